//! Files in a call: what is offered, how far each is, and sending one.

use egui::{Align, Layout, ProgressBar, Rect, RichText, Sense, TextEdit, Ui, UiBuilder, WidgetInfo, pos2, vec2};
use engine::handle::Command;
use engine::layout::snapshot::{Controls, FileView};

use super::widgets::{self, card};
use super::{UiState, theme};

/// The card, where it is open, a file is on its way, or one is offered: bottom right, above the controls.
pub fn show(ui: &mut Ui, screen: Rect, controls: &Controls, state: &mut UiState, commands: &mut Vec<Command>) {
    let rows = [&controls.receiving, &controls.sending].into_iter().flatten().count();
    if !state.files_open && rows == 0 {
        return;
    }
    let is_form = state.files_open && controls.sending.is_none();
    let height = 44.0 + ROW * rows as f32 + if is_form { FORM } else { 0.0 };
    let size = vec2(WIDTH.min(screen.width() - 2.0 * theme::GAP), height);
    let right_bottom = pos2(screen.right() - theme::GAP, screen.bottom() - theme::BOTTOM_BAR);
    let rect = Rect::from_min_max(right_bottom - size, right_bottom);
    // Takes clicks on the card's own surface.
    ui.interact(rect, ui.scope_id().with("files"), Sense::click());
    card(ui, rect);
    ui.scope_builder(UiBuilder::new().max_rect(rect.shrink(14.0)), |ui| {
        widgets::on_page(ui);
        ui.label(RichText::new("Files").size(theme::BODY).strong());
        if let Some(file) = &controls.receiving {
            incoming(ui, file, commands);
        }
        if let Some(file) = &controls.sending {
            outgoing(ui, file, commands);
        }
        if is_form {
            form(ui, state, commands);
        }
    });
}

fn incoming(ui: &mut Ui, file: &FileView, commands: &mut Vec<Command>) {
    if !file.is_offered {
        return progress(ui, file, "Receiving", false, commands);
    }
    ui.label(format!("{} ({}) is offered to you.", file.name, size(file.size)));
    ui.horizontal(|ui| {
        if ui.button("Take file").clicked() {
            commands.push(Command::TakeFile(true));
        }
        if ui.button("Do not take").clicked() {
            commands.push(Command::TakeFile(false));
        }
    });
}

fn outgoing(ui: &mut Ui, file: &FileView, commands: &mut Vec<Command>) {
    if !file.is_offered {
        return progress(ui, file, "Sending", true, commands);
    }
    ui.label(format!("{} waits to be taken.", file.name));
    if ui.button("Stop sending").clicked() {
        commands.push(Command::StopFile { sending: true });
    }
}

fn progress(ui: &mut Ui, file: &FileView, what: &str, sending: bool, commands: &mut Vec<Command>) {
    let part = if file.size == 0 { 1.0 } else { file.done as f32 / file.size as f32 };
    ui.label(format!("{what} {}: {} of {}", file.name, size(file.done), size(file.size)));
    ui.horizontal(|ui| {
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            if ui.button(if sending { "Stop sending" } else { "Stop receiving" }).clicked() {
                commands.push(Command::StopFile { sending });
            }
            let response = ui.add(ProgressBar::new(part).desired_width(ui.available_width()));
            response.widget_info(|| WidgetInfo::labeled(egui::accesskit::Role::ProgressIndicator, true, what));
        });
    });
}

fn form(ui: &mut Ui, state: &mut UiState, commands: &mut Vec<Command>) {
    let edit = TextEdit::singleline(&mut state.file).hint_text("path of a file, or drop one on the window");
    let response = ui.add(edit.desired_width(f32::INFINITY).margin(egui::Margin::symmetric(12, 7)));
    response.widget_info(|| WidgetInfo::labeled(egui::accesskit::Role::TextInput, true, "File"));
    let entered = response.lost_focus() && ui.input(|input| input.key_pressed(egui::Key::Enter));
    if (ui.button("Send file").clicked() || entered) && !state.file.trim().is_empty() {
        commands.push(Command::SendFile(std::mem::take(&mut state.file).trim().into()));
    }
}

/// In the unit that leaves one to four digits.
pub fn size(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} bytes"),
        10_000..10_000_000 => format!("{} KB", bytes / 1000),
        10_000_000..10_000_000_000 => format!("{} MB", bytes / 1_000_000),
        _ => format!("{} GB", bytes / 1_000_000_000),
    }
}

const WIDTH: f32 = 340.0;
/// A line and a row of buttons; a field and a button.
const ROW: f32 = 58.0;
const FORM: f32 = 76.0;
