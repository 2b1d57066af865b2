//! The few widgets everything is made of. Each stands in a rectangle it is given and has a name in the
//! accessibility tree.

use egui::accesskit::Role;
use egui::{Align2, Color32, CornerRadius, Painter, Rect, Response, Sense, Stroke, StrokeKind, Ui, WidgetInfo};

use super::icons::{self, Icon};
use super::theme::{self, Palette};

/// How a button looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Plain,
    /// Something is off, or a panel is open: inverted.
    Pressed,
    Accent,
    Danger,
}

/// A round or pill-shaped button with an icon.
pub fn icon_button(ui: &mut Ui, rect: Rect, icon: Icon, tone: Tone, name: &str, hint: &str) -> bool {
    let colours = theme::palette(ui.visuals().dark_mode);
    let response = button(ui, rect, name);
    let (fill, on) = fills(&colours, tone, &response);
    let painter = ui.painter();
    painter.rect_filled(rect, round(rect), fill);
    focus_ring(painter, rect, &colours, &response);
    icons::draw(painter, icon, rect.center(), 24.0, on, fill);
    response.on_hover_text(hint).clicked()
}

/// A pill-shaped button with a word.
pub fn text_button(ui: &mut Ui, rect: Rect, tone: Tone, name: &str) -> bool {
    let colours = theme::palette(ui.visuals().dark_mode);
    let response = button(ui, rect, name);
    let (fill, on) = fills(&colours, tone, &response);
    ui.painter().rect_filled(rect, round(rect), fill);
    focus_ring(ui.painter(), rect, &colours, &response);
    paint_text(ui.painter(), rect.shrink2(egui::vec2(12.0, 0.0)), Align2::CENTER_CENTER, name, theme::BODY + 1.0, on);
    response.clicked()
}

/// A line of text that is cut with an ellipsis where it does not fit, and can be read by a screen reader.
pub fn label(ui: &mut Ui, rect: Rect, align: Align2, text: &str, size: f32, colour: Color32) -> Rect {
    if text.is_empty() {
        return Rect::from_min_size(rect.min, egui::Vec2::ZERO);
    }
    let painted = paint_text(ui.painter(), rect, align, text, size, colour);
    let id = ui.scope_id().with((text, rect.min.x.to_bits(), rect.min.y.to_bits()));
    let response = ui.interact(painted, id, Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, text));
    painted
}

/// Paints one line inside `rect`; answers what it covers.
pub fn paint_text(painter: &Painter, rect: Rect, align: Align2, text: &str, size: f32, colour: Color32) -> Rect {
    let mut job = egui::text::LayoutJob::simple_singleline(text.to_owned(), theme::font(size), colour);
    job.wrap = egui::text::TextWrapping::truncate_at_width(rect.width().max(1.0));
    let galley = painter.layout_job(job);
    let place = align.align_size_within_rect(galley.size(), rect);
    painter.galley(place.min, galley, colour);
    place.intersect(rect)
}

/// A raised surface.
pub fn card(ui: &Ui, rect: Rect) {
    let colours = theme::palette(ui.visuals().dark_mode);
    let radius = CornerRadius::same(theme::CARD_RADIUS);
    ui.painter().rect(rect, radius, colours.card, Stroke::new(1.0, colours.line), StrokeKind::Inside);
}

/// Controls on a card stand apart and have its colours.
pub fn on_page(ui: &mut Ui) {
    let colours = theme::palette(ui.visuals().dark_mode);
    ui.spacing_mut().item_spacing = egui::vec2(8.0, 8.0);
    ui.spacing_mut().button_padding = egui::vec2(12.0, 5.0);
    ui.spacing_mut().interact_size.y = 28.0;
    ui.visuals_mut().widgets.inactive.weak_bg_fill = colours.control;
    ui.visuals_mut().widgets.hovered.weak_bg_fill = colours.control_hover;
}

pub fn round(rect: Rect) -> CornerRadius {
    CornerRadius::same((rect.height() / 2.0).round() as u8)
}

fn button(ui: &mut Ui, rect: Rect, name: &str) -> Response {
    // The place is part of the identity, the name is not: a button that says "Unmute" now is the same button.
    let id = ui.scope_id().with(("button", rect.center().x.round() as i32, rect.center().y.round() as i32));
    let response = ui.interact(rect, id, Sense::click());
    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, name));
    response
}

fn fills(colours: &Palette, tone: Tone, response: &Response) -> (Color32, Color32) {
    let warm = response.hovered() || response.has_focus();
    let lit = |colour: Color32| if warm { colour.lerp_to_gamma(colours.text, 0.14) } else { colour };
    match tone {
        Tone::Plain => (if warm { colours.control_hover } else { colours.control }, colours.text),
        Tone::Pressed => (if warm { colours.weak } else { colours.text }, colours.background),
        Tone::Accent => (lit(colours.accent), colours.on_accent),
        Tone::Danger => (lit(colours.danger), Color32::WHITE),
    }
}

fn focus_ring(painter: &Painter, rect: Rect, colours: &Palette, response: &Response) {
    if response.has_focus() {
        let ring = rect.expand(3.0);
        painter.rect_stroke(ring, round(ring), Stroke::new(2.0, colours.accent), StrokeKind::Inside);
    }
}
