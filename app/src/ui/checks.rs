//! In the device panel: how loud the microphone is, a test tone, and one's own voice two seconds later.

use egui::{Rect, Sense, Slider, Ui, UiBuilder, WidgetInfo, pos2, vec2};
use engine::handle::Command;
use engine::layout::snapshot::{Controls, TileView};

use super::theme;
use super::widgets::{Tone, round, text_button};

/// A row's height in the panel.
pub const METER: f32 = 22.0;
pub const BUTTONS: f32 = 44.0;
pub const VOLUME: f32 = 28.0;

/// A bar that follows the voice. Loud is red: it is about to be cut.
pub fn meter(ui: &mut Ui, controls: &Controls) {
    let colours = theme::palette(ui.visuals().dark_mode);
    let (row, response) = ui.allocate_exact_size(vec2(ui.available_width(), METER), Sense::hover());
    let level = controls.microphone_level.unwrap_or(0.0).clamp(0.0, 1.0);
    let info = || WidgetInfo::slider(true, f64::from(level), "Microphone level");
    response.widget_info(info);
    let bar = Rect::from_min_max(
        pos2(row.left() + 12.0, row.center().y - 3.0),
        pos2(row.right() - 12.0, row.center().y + 3.0),
    );
    ui.painter().rect_filled(bar, round(bar), colours.control);
    let fill = Rect::from_min_max(bar.min, pos2(bar.left() + bar.width() * level, bar.bottom()));
    // −3 dB on a meter that begins at −60.
    let colour = if level > 0.95 { colours.danger } else { colours.accent };
    if fill.width() >= 1.0 {
        ui.painter().rect_filled(fill, round(bar), colour);
    }
}

/// How loud the other side is played here.
pub fn volume(ui: &mut Ui, other: &TileView, commands: &mut Vec<Command>) {
    let (row, _) = ui.allocate_exact_size(vec2(ui.available_width(), VOLUME), Sense::hover());
    ui.scope_builder(UiBuilder::new().max_rect(row.shrink2(vec2(12.0, 0.0))), |ui| {
        ui.style_mut().spacing.slider_width = row.width() - 90.0;
        let mut percent = other.volume;
        let slider = Slider::new(&mut percent, 0..=200).suffix(" %").trailing_fill(true);
        let response = ui.add_enabled(!other.hushed, slider);
        response
            .widget_info(|| WidgetInfo::slider(!other.hushed, f64::from(percent), format!("Volume of {}", other.name)));
        if response.changed() {
            commands.push(Command::Volume(other.id, percent));
        }
    });
}

/// The tone, and outside of a call the echo.
pub fn buttons(ui: &mut Ui, controls: &Controls, in_call: bool, commands: &mut Vec<Command>) {
    let (row, _) = ui.allocate_exact_size(vec2(ui.available_width(), BUTTONS), Sense::hover());
    let row = row.shrink2(vec2(10.0, 6.0));
    let half = (row.width() - theme::GAP) / 2.0;
    let place =
        |n: f32| Rect::from_min_size(pos2(row.left() + n * (half + theme::GAP), row.top()), vec2(half, row.height()));
    if text_button(ui, if in_call { row } else { place(0.0) }, Tone::Plain, "Test tone") {
        commands.push(Command::TestTone);
    }
    if !in_call {
        let (tone, name) = if controls.echo_test { (Tone::Pressed, "Stop") } else { (Tone::Plain, "Hear yourself") };
        if text_button(ui, place(1.0), tone, name) {
            commands.push(Command::EchoTest(!controls.echo_test));
        }
    }
}
