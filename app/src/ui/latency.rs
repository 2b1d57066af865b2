//! The live latency overlay: eight stages as a waterfall, and the figures beside them.

use egui::{Align2, Rect, Ui, pos2, vec2};
use engine::layout::snapshot::{Busy, LatencyView, PathView};
use engine::media::ledger::STAGES;

use super::theme;
use super::widgets::{card, label, paint_text};

const WIDTH: f32 = 312.0;
const ROW: f32 = 16.0;
const FACT: f32 = 17.0;
/// Names on the left, figures on the right of the bars.
const NAMES: f32 = 66.0;
const FIGURES: f32 = 44.0;
/// Room for the name on the tile below.
const NAME_PILL: f32 = 48.0;

pub fn panel(ui: &mut Ui, screen: Rect, view: &LatencyView) {
    let colours = theme::palette(ui.visuals().dark_mode);
    let facts = facts(view);
    let lines = facts.len().div_ceil(2) + usize::from(view.busy.is_some());
    let height = 24.0 + 26.0 + ROW * STAGES.len() as f32 + 8.0 + FACT * lines as f32;
    let top = screen.top() + theme::TOP_BAR;
    let size =
        vec2(WIDTH.min(screen.width() - 2.0 * theme::GAP), height.min(screen.bottom() - theme::BOTTOM_BAR - top));
    // Bottom left, above the name: the upper part of the picture, where faces are, stays free.
    let corner = (screen.bottom() - theme::BOTTOM_BAR - NAME_PILL - size.y).max(top + 4.0);
    let rect = Rect::from_min_size(pos2(screen.left() + theme::GAP + 8.0, corner), size);
    card(ui, rect);
    let inner = rect.shrink2(vec2(14.0, 10.0));
    let title = Rect::from_min_size(inner.min, vec2(inner.width(), 22.0));
    label(ui, title, Align2::LEFT_CENTER, "Glass to glass", theme::BODY, colours.text);
    let total = format!("{} ms", number(view.glass_to_glass_ms));
    label(ui, title, Align2::RIGHT_CENTER, &total, theme::LEAD, colours.accent);
    waterfall(ui, inner, view);
    let top = inner.top() + 26.0 + ROW * STAGES.len() as f32 + 8.0;
    for (index, (name, value)) in facts.iter().enumerate() {
        let (column, row) = ((index % 2) as f32, (index / 2) as f32);
        let width = (inner.width() - 16.0) / 2.0;
        let corner = pos2(inner.left() + column * (width + 16.0), top + row * FACT);
        let place = Rect::from_min_size(corner, vec2(width, FACT));
        paint_text(ui.painter(), place, Align2::LEFT_CENTER, name, theme::SMALL, colours.weak);
        let value_place = Rect::from_min_max(pos2(place.left() + 58.0, place.top()), place.max);
        paint_text(ui.painter(), value_place, Align2::RIGHT_CENTER, value, theme::SMALL, colours.text);
    }
    if let Some(busy) = view.busy {
        let corner = pos2(inner.left(), top + facts.len().div_ceil(2) as f32 * FACT);
        let place = Rect::from_min_size(corner, vec2(inner.width(), FACT));
        label(ui, place, Align2::LEFT_CENTER, &busy_text(busy), theme::SMALL, colours.accent);
    }
}

/// What is sent less, and why, in one line.
pub fn busy_text(busy: Busy) -> String {
    let pictures = match busy.every {
        0 | 1 => String::new(),
        2 => ", every other picture".to_owned(),
        every => format!(", one picture of {every}"),
    };
    format!("Sending {}×{}{pictures}: computer too busy", busy.width, busy.height)
}

/// Each stage starts where the one before ended; the sum is as wide as there is room.
fn waterfall(ui: &mut Ui, inner: Rect, view: &LatencyView) {
    let colours = theme::palette(ui.visuals().dark_mode);
    let left = inner.left() + NAMES;
    let room = (inner.width() - NAMES - FIGURES).max(1.0);
    let sum: f64 = view.video_stages_ms.iter().flatten().map(|stage| stage.max(0.0)).sum();
    let scale = if sum > 0.0 { f64::from(room) / sum } else { 0.0 };
    let mut start = 0.0;
    for (index, (name, stage)) in STAGES.iter().zip(view.video_stages_ms).enumerate() {
        let top = inner.top() + 26.0 + index as f32 * ROW;
        let row = Rect::from_min_size(pos2(inner.left(), top), vec2(inner.width(), ROW));
        paint_text(ui.painter(), row, Align2::LEFT_CENTER, name, theme::SMALL, colours.weak);
        paint_text(ui.painter(), row, Align2::RIGHT_CENTER, &number(stage), theme::SMALL, colours.text);
        let length = stage.unwrap_or(0.0).max(0.0) * scale;
        let from = left + (start as f32).min(room - 2.0);
        let to = (from + (length as f32).max(2.0)).min(left + room);
        if stage.is_some() {
            let bar = Rect::from_min_max(pos2(from, top + 4.0), pos2(to, top + ROW - 4.0));
            ui.painter().rect_filled(bar, 2.5, colours.accent);
        }
        start += length;
    }
}

fn facts(view: &LatencyView) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("Mouth to ear", format!("{} ms", number(view.mouth_to_ear_ms))),
        ("Path to us", view.path.map_or_else(|| "–".to_owned(), |path| to_us(&path))),
        ("Path back", format!("{} ms", number(view.path.map(|path| path.to_them_ms)))),
        ("Loss", view.loss.map_or_else(|| "–".to_owned(), |share| format!("{:.1} %", share * 100.0))),
        ("Picture", format!("{}×{}", view.width, view.height)),
        ("Sending", view.sending.to_string()),
        ("Receiving", view.receiving.to_string()),
        ("Frames", format!("{:.0}/s", view.frames_per_second)),
    ];
    // What waits in the sound's path, whose way is the picture's; more would push the panel over a small window.
    let waiting = view.audio_stages_ms.iter().filter(|(name, _)| *name != "sound path").take(2);
    facts.extend(waiting.map(|(name, ms)| (*name, format!("{} ms", number(Some(*ms))))));
    facts
}

/// With what the comparison of the clocks leaves open.
fn to_us(path: &PathView) -> String {
    format!("{} ±{} ms", number(Some(path.to_us_ms)), number(Some(path.uncertainty_ms)))
}

/// One decimal below ten, none above; a dash for what was not measured.
fn number(ms: Option<f64>) -> String {
    match ms {
        None => "–".to_owned(),
        Some(ms) if ms.abs() < 10.0 => format!("{ms:.1}"),
        Some(ms) => format!("{ms:.0}"),
    }
}
