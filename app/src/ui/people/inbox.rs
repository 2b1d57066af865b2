//! Messages: what came, and writing one.

use egui::{ColorImage, TextEdit, TextureOptions, Ui, WidgetInfo};
use engine::handle::Command;
use engine::people::command::Wanted;
use engine::proto::quick::{PartKind, Quick};
use engine::proto::service::names::{AccountName, Seq};
use engine::proto::text::Prose;
use engine::store::mailbox::Received;

use super::{PeopleState, heading, weak};

pub fn show(ui: &mut Ui, state: &mut PeopleState, commands: &mut Vec<Command>) {
    if let Some(to) = state.write_to.clone() {
        return write(ui, state, to, commands);
    }
    let view = state.view.clone();
    if let Some(received) = state.message.and_then(|seq| view.inbox.iter().find(|one| one.seq == seq)) {
        return message(ui, state, received, commands);
    }
    heading(ui, "Messages");
    if view.inbox.is_empty() {
        weak(ui, "Nothing has come yet. Write to a pal: they need not be there.");
    }
    for received in view.inbox.iter().rev() {
        let first = received.message.text.lines().next().unwrap_or_default();
        let state_word = if received.read { "" } else { "new · " };
        ui.horizontal(|ui| {
            if ui.button(format!("{}{}", state_word, received.from.name)).clicked() {
                state.message = Some(received.seq);
                state.ask("Opening", Wanted::Read { seq: received.seq }, commands);
            }
            weak(ui, if received.trouble.is_empty() { first } else { "cannot be shown" });
        });
    }
}

fn message(ui: &mut Ui, state: &mut PeopleState, received: &Received, commands: &mut Vec<Command>) {
    ui.horizontal(|ui| {
        if ui.button("Back").clicked() {
            state.message = None;
        }
        ui.strong(received.from.name.to_string());
        if ui.button("Answer").clicked() {
            state.write_to = Some(received.from.name.clone());
        }
        if ui.button("Delete").clicked() {
            state.message = None;
            state.ask("Deleting", Wanted::DeleteMessage { seq: received.seq }, commands);
        }
    });
    if !received.trouble.is_empty() {
        weak(ui, &received.trouble);
    }
    ui.label(&*received.message.text);
    for part in &received.message.parts {
        match part.kind {
            PartKind::Photo => photo(ui, state, received.seq, &state.view.folder.join(&part.file)),
            PartKind::Voice => weak(ui, &format!("voice clip: {}", state.view.folder.join(&part.file).display())),
            PartKind::Unknown => weak(ui, "something that a newer version shows"),
        }
    }
}

/// The first photo of the message that is open.
fn photo(ui: &mut Ui, state: &mut PeopleState, seq: Seq, path: &std::path::Path) {
    if state.photo.as_ref().is_none_or(|(of, _)| *of != seq) {
        let Ok(picture) = image::open(path).map(|picture| picture.to_rgb8()) else {
            return weak(ui, "a photo that cannot be shown");
        };
        let size = [picture.width() as usize, picture.height() as usize];
        let texture = ui.ctx().load_texture("photo", ColorImage::from_rgb(size, &picture), TextureOptions::LINEAR);
        state.photo = Some((seq, texture));
    }
    if let Some((_, texture)) = &state.photo {
        let wide = ui.available_width();
        let response = ui.add(egui::Image::new(texture).max_width(wide).max_height(300.0));
        response.widget_info(|| WidgetInfo::labeled(egui::accesskit::Role::Image, true, "Photo"));
    }
}

fn write(ui: &mut Ui, state: &mut PeopleState, to: AccountName, commands: &mut Vec<Command>) {
    heading(ui, &format!("To {to}"));
    let edit = TextEdit::multiline(&mut state.fields.message).desired_rows(5).desired_width(f32::INFINITY);
    let response = ui.add(edit);
    response.widget_info(|| WidgetInfo::labeled(egui::accesskit::Role::TextInput, true, "Message"));
    let answers = state.message.and_then(|seq| state.view.inbox.iter().find(|one| one.seq == seq));
    let reply_to = answers.filter(|one| one.from.name == to).map(|one| one.key.clone());
    ui.horizontal(|ui| {
        if ui.button("Send message").clicked() && !state.fields.message.trim().is_empty() {
            let text = Prose::cut(&std::mem::take(&mut state.fields.message));
            let quick = Box::new(Quick { text, parts: Vec::new(), reply_to: reply_to.clone() });
            state.write_to = None;
            state.ask("Sending", Wanted::Message { to: to.clone(), quick, at: None }, commands);
        }
        if ui.button("Close").clicked() {
            state.write_to = None;
        }
    });
    weak(ui, "Sealed to their devices: the service cannot read it. Photos and voice clips: visavis message send.");
}
