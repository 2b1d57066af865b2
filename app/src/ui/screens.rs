//! The screens around a call: idle, ringing, connecting, incoming, ended.

use egui::accesskit::Role;
use egui::{Align2, Frame, Margin, Rect, TextEdit, Ui, WidgetInfo, pos2, vec2};
use engine::handle::Command;

use super::icons::Icon;
use super::widgets::{Tone, card, icon_button, label, text_button};
use super::{UiState, theme, tiles};

/// A target is a host name (253 octets, RFC 1035 §2.3.4) and a port.
const TARGET: usize = 260;

pub fn idle(ui: &mut Ui, screen: Rect, state: &mut UiState, commands: &mut Vec<Command>) {
    let colours = theme::palette(ui.visuals().dark_mode);
    let rect = middle(screen, vec2(440.0, 272.0));
    card(ui, rect);
    let mut column = Column::new(rect, 32.0);
    label(ui, column.next(34.0, 4.0), Align2::LEFT_CENTER, "Visavis", theme::TITLE, colours.text);
    let who =
        if state.own_name.is_empty() { "Ready to call".to_owned() } else { format!("You are {}", state.own_name) };
    label(ui, column.next(20.0, 26.0), Align2::LEFT_CENTER, &who, theme::BODY, colours.weak);
    label(ui, column.next(18.0, 6.0), Align2::LEFT_CENTER, "Call a pal or a computer", theme::SMALL, colours.weak);
    let row = column.next(44.0, 22.0);
    let call = Rect::from_min_max(pos2(row.right() - 92.0, row.top()), row.max);
    let field = Rect::from_min_max(row.min, pos2(call.left() - theme::GAP, row.bottom()));
    ui.painter().rect_filled(field, 12.0, colours.control);
    let edit = TextEdit::singleline(&mut state.address)
        .hint_text("name or host[:port]")
        .font(theme::font(theme::BODY + 1.0))
        .char_limit(TARGET)
        .frame(Frame::NONE.inner_margin(Margin::symmetric(14, 0)))
        .align(egui::Align2::LEFT_CENTER);
    let response = ui.put(field, edit);
    response.widget_info(|| WidgetInfo::labeled(Role::TextInput, true, "Address to call"));
    let entered = response.lost_focus() && ui.input(|input| input.key_pressed(egui::Key::Enter));
    let pressed = text_button(ui, call, Tone::Accent, "Call");
    let target = state.address.trim().to_owned();
    if (entered || pressed) && !target.is_empty() {
        commands.push(state.call(&target));
    }
    let listening = match state.listening {
        Some(port) => format!("Listening on port {port}"),
        None => "Not listening yet".to_owned(),
    };
    label(ui, column.next(20.0, 0.0), Align2::LEFT_CENTER, &listening, theme::SMALL + 1.0, colours.weak);
}

/// Ringing there, or connecting: the peer, one line, one button.
pub fn waiting(ui: &mut Ui, screen: Rect, peer: &str, line: &str, button: &str, commands: &mut Vec<Command>) {
    let mut column = person(ui, screen, peer, line, "");
    let row = column.next(56.0, 0.0);
    let rect = Rect::from_center_size(row.center(), vec2(76.0, 52.0));
    if icon_button(ui, rect, Icon::HangUp, Tone::Danger, button, &format!("{button} (Esc)")) {
        commands.push(Command::HangUp);
    }
}

pub fn incoming(ui: &mut Ui, screen: Rect, peer: &str, verified: bool, commands: &mut Vec<Command>) {
    let hint = if verified { "Verified" } else { "Unverified: nobody has checked that this is really them" };
    let mut column = person(ui, screen, peer, "is calling you", hint);
    let row = column.next(56.0, 0.0);
    let place = |shift: f32| Rect::from_center_size(row.center() + vec2(shift, 0.0), vec2(76.0, 52.0));
    if icon_button(ui, place(-56.0), Icon::HangUp, Tone::Danger, "Decline", "Decline (Esc)") {
        commands.push(Command::Decline);
    }
    if icon_button(ui, place(56.0), Icon::Accept, Tone::Accent, "Accept", "Accept (Enter)") {
        commands.push(Command::Accept);
    }
}

pub fn ended(
    ui: &mut Ui,
    screen: Rect,
    [peer, outcome, reason]: [&str; 3],
    state: &mut UiState,
    commands: &mut Vec<Command>,
) {
    let line = match outcome {
        "ended" => "Call ended".to_owned(),
        "no-answer" => "No answer".to_owned(),
        "answered-elsewhere" => "Answered on another device".to_owned(),
        other => sentence(other),
    };
    let mut column = person(ui, screen, peer, &line, reason);
    let row = column.next(56.0, 0.0);
    let again = state.last_called.clone();
    let shift = if again.is_some() { 78.0 } else { 0.0 };
    let place = |shift: f32| Rect::from_center_size(row.center() + vec2(shift, 0.0), vec2(140.0, 44.0));
    if text_button(ui, place(-shift), Tone::Plain, "Close") {
        state.ended_closed = true;
    }
    if let Some(target) = again
        && text_button(ui, place(shift), Tone::Accent, "Call again")
    {
        commands.push(state.call(&target));
    }
}

/// A card with a person, a line and a smaller second line; what is left of it is for buttons.
fn person(ui: &mut Ui, screen: Rect, peer: &str, line: &str, hint: &str) -> Column {
    let colours = theme::palette(ui.visuals().dark_mode);
    let rect = middle(screen, vec2(440.0, 322.0));
    card(ui, rect);
    let mut column = Column::new(rect, 28.0);
    let face = column.next(92.0, 14.0);
    let disc = Rect::from_center_size(face.center(), vec2(92.0 / 0.48, 92.0 / 0.48));
    tiles::initial(ui, disc, peer);
    label(ui, column.next(32.0, 2.0), Align2::CENTER_CENTER, peer, theme::TITLE, colours.text);
    label(ui, column.next(24.0, 2.0), Align2::CENTER_CENTER, line, theme::LEAD - 1.0, colours.weak);
    label(ui, column.next(20.0, 22.0), Align2::CENTER_CENTER, hint, theme::SMALL + 1.0, colours.weak);
    column
}

/// A rectangle of `size` in the middle of the screen, smaller where the screen is.
fn middle(screen: Rect, size: egui::Vec2) -> Rect {
    Rect::from_center_size(screen.center(), size.min(screen.size() - vec2(2.0 * theme::GAP, 2.0 * theme::GAP)))
}

/// Hands out rows from the top.
struct Column {
    rest: Rect,
}

impl Column {
    fn new(card: Rect, margin: f32) -> Self {
        Self { rest: card.shrink(margin) }
    }

    fn next(&mut self, height: f32, gap: f32) -> Rect {
        let row = Rect::from_min_size(self.rest.min, vec2(self.rest.width(), height));
        self.rest.min.y += height + gap;
        row
    }
}

/// An outcome's word as a sentence's start.
fn sentence(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
