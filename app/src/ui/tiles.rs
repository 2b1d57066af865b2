//! What stands on each tile: the name, quality and mute marks, and an initial where there is no picture.

use egui::accesskit::Role;
use egui::{Align2, Color32, CornerRadius, Painter, Rect, Sense, Stroke, StrokeKind, Ui, WidgetInfo, pos2, vec2};
use engine::layout::snapshot::{Party, Quality, TileView};

use super::icons::{self, Icon};
use super::theme;
use super::widgets::{paint_text, round};

/// Where a tile was drawn, in points.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TilePlace {
    pub rect: Rect,
    pub radius: f32,
    pub has_picture: bool,
}

/// A pill's height.
const PILL: f32 = 26.0;
/// Louder than this a person speaks: −40 dB of full scale lies above room noise.
const SPEAKING: f32 = 0.01;

pub fn draw(ui: &mut Ui, tiles: &[TileView], placed: &[TilePlace]) {
    for (tile, place) in tiles.iter().zip(placed) {
        let rect = place.rect;
        if rect.width() < 1.0 || rect.height() < 1.0 {
            continue;
        }
        let id = ui.scope_id().with(("tile", tile.id));
        let text = describe(tile);
        ui.interact(rect, id, Sense::hover()).widget_info(|| WidgetInfo::labeled(Role::Image, true, &text));
        if !place.has_picture {
            initial(ui, rect, &tile.name);
        }
        if tile.stands_still && place.has_picture {
            ui.painter().rect_filled(rect, CornerRadius::same(place.radius.round() as u8), theme::STANDS_STILL);
        }
        if tile.too_narrow && rect.width() >= 220.0 {
            let text = "The path is too narrow for pictures";
            paint_text(ui.painter(), rect, Align2::CENTER_CENTER, text, theme::BODY, theme::ON_PICTURE);
        }
        outline(ui, tile, place);
        // On a thumbnail a pill would hide the picture.
        if rect.width() >= 96.0 && rect.height() >= 56.0 {
            pill(ui.painter(), rect, tile);
        }
    }
}

fn outline(ui: &Ui, tile: &TileView, place: &TilePlace) {
    let colours = theme::palette(ui.visuals().dark_mode);
    let radius = CornerRadius::same(place.radius.round() as u8);
    if tile.level > SPEAKING && !tile.muted && tile.party == Party::Remote {
        let stroke = Stroke::new(2.0, colours.accent);
        ui.painter().rect_stroke(place.rect, radius, stroke, StrokeKind::Inside);
    } else if tile.party == Party::Local {
        let stroke = Stroke::new(1.0, Color32::from_white_alpha(60));
        ui.painter().rect_stroke(place.rect, radius, stroke, StrokeKind::Inside);
    }
}

/// The first letter of a name on a disc: the same name has the same tint.
pub fn initial(ui: &Ui, rect: Rect, name: &str) {
    let colours = theme::palette(ui.visuals().dark_mode);
    let radius = (rect.height().min(rect.width()) * 0.24).clamp(14.0, 52.0);
    let letter = name.chars().find(|letter| letter.is_alphanumeric()).map(|letter| letter.to_uppercase().to_string());
    ui.painter().circle_filled(rect.center(), radius, colours.accent.lerp_to_gamma(colours.tile, 0.72));
    ui.painter().text(
        rect.center(),
        Align2::CENTER_CENTER,
        letter.unwrap_or_else(|| "?".to_owned()),
        theme::font(radius * 0.95),
        colours.accent.lerp_to_gamma(colours.text, 0.35),
    );
}

fn pill(painter: &Painter, tile: Rect, view: &TileView) {
    let small = tile.width() < 220.0;
    let inset = if small { 6.0 } else { 10.0 };
    let size = if small { theme::SMALL } else { theme::BODY - 1.0 };
    let name = if view.party == Party::Local { "You" } else { view.name.as_str() };
    let marks = f32::from(u8::from(view.muted) + u8::from(view.camera_off)) * 21.0;
    let bars = if view.party == Party::Remote { 22.0 } else { 0.0 };
    let text = painter.layout_no_wrap(name.to_owned(), theme::font(size), theme::ON_PICTURE).size().x;
    let width = (text + 21.0 + marks + bars).min(tile.width() - 2.0 * inset);
    let rect = Rect::from_min_size(pos2(tile.left() + inset, tile.bottom() - inset - PILL), vec2(width, PILL));
    painter.rect_filled(rect, round(rect), theme::OVER_PICTURE);
    let mut x = rect.left() + 10.0;
    if view.party == Party::Remote {
        quality(painter, pos2(x, rect.center().y + 5.5), view.quality, theme::ON_PICTURE);
        x += bars;
    }
    let room = Rect::from_min_max(pos2(x, rect.top()), pos2(rect.right() - 10.0 - marks, rect.bottom()));
    paint_text(painter, room, Align2::LEFT_CENTER, name, size, theme::ON_PICTURE);
    let mut mark = rect.right() - marks + 3.0;
    let behind = theme::OVER_PICTURE.to_opaque();
    for (on, icon) in [(view.muted, Icon::MicrophoneOff), (view.camera_off, Icon::CameraOff)] {
        if on {
            icons::draw(painter, icon, pos2(mark, rect.center().y), 14.0, theme::ON_PICTURE, behind);
            mark += 21.0;
        }
    }
}

/// Three bars rising from `at` (lower left), as many of them full as the path is good.
pub fn quality(painter: &Painter, at: egui::Pos2, quality: Quality, colour: Color32) {
    let full = match quality {
        Quality::Unknown => 0,
        Quality::Bad => 1,
        Quality::Fair => 2,
        Quality::Good => 3,
    };
    for bar in 0..3u8 {
        let left = at.x + f32::from(bar) * 5.0;
        let rect = Rect::from_min_max(pos2(left, at.y - 4.0 - f32::from(bar) * 3.5), pos2(left + 3.4, at.y));
        let tint = if bar < full { colour } else { colour.gamma_multiply(0.3) };
        painter.rect_filled(rect, 1.5, tint);
    }
}

/// Quality in a word.
pub const fn quality_word(quality: Quality) -> &'static str {
    match quality {
        Quality::Unknown => "measuring",
        Quality::Bad => "poor connection",
        Quality::Fair => "fair connection",
        Quality::Good => "good connection",
    }
}

fn describe(tile: &TileView) -> String {
    let mut text = if tile.party == Party::Local { format!("{} (you)", tile.name) } else { tile.name.clone() };
    if tile.party == Party::Remote {
        text = format!("{text}, {}", quality_word(tile.quality));
    }
    if tile.muted {
        text.push_str(", muted");
    }
    if tile.camera_off {
        text.push_str(", camera off");
    }
    if tile.too_narrow {
        text.push_str(", the path is too narrow for pictures");
    } else if tile.stands_still {
        text.push_str(", the picture stands still");
    }
    text
}
