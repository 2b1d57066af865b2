//! Rooms, and what is said in them.

use egui::Ui;
use engine::handle::Command;
use engine::people::command::Wanted;
use engine::proto::service::chat::{Entry, Request, What};
use engine::proto::service::frame::Ask;
use engine::proto::service::names::RoomId;
use engine::proto::text::{Prose, Text};
use engine::store::mailbox::new_key;

use super::{PeopleState, field, heading, weak};

pub fn show(ui: &mut Ui, state: &mut PeopleState, commands: &mut Vec<Command>) {
    match state.room {
        Some(room) if state.view.rooms.iter().any(|one| one.room == room) => talk(ui, state, room, commands),
        _ => list(ui, state, commands),
    }
}

fn list(ui: &mut Ui, state: &mut PeopleState, commands: &mut Vec<Command>) {
    let entered = field(ui, &mut state.fields.room, "Room", "name of a new room, or a room's number", false);
    ui.horizontal(|ui| {
        if ui.button("Join by number").clicked() {
            match state.fields.room.trim().parse() {
                Ok(number) => {
                    let request = Request::Join { room: RoomId(number), password: None };
                    state.ask("Joining", Wanted::Ask(Box::new(Ask::Chat(request))), commands);
                }
                Err(_) => state.line = "A room's number is wanted to join it.".to_owned(),
            }
        }
        if (ui.button("New room").clicked() || entered) && !state.fields.room.trim().is_empty() {
            let name = Text::cut(state.fields.room.trim());
            match new_key() {
                Ok(key) => {
                    let request =
                        Request::Create { name, topic: Default::default(), private: false, password: None, key };
                    state.ask("Making the room", Wanted::Ask(Box::new(Ask::Chat(request))), commands);
                }
                Err(error) => state.line = error.to_string(),
            }
        }
    });
    let view = state.view.clone();
    for room in &view.invited {
        ui.horizontal(|ui| {
            ui.label(format!("You are invited to {}", &*room.name));
            if ui.button("Join").clicked() {
                let request = Request::Join { room: room.room, password: None };
                state.ask("Joining", Wanted::Ask(Box::new(Ask::Chat(request))), commands);
            }
        });
    }
    heading(ui, "Your rooms");
    for room in &view.rooms {
        let unread = room.last.0.saturating_sub(room.read.0);
        let name = if unread == 0 { room.name.to_string() } else { format!("{} ({unread} new)", &*room.name) };
        if ui.button(name).clicked() {
            state.room = Some(room.room);
            state.ask("Reading", Wanted::Look { room: room.room }, commands);
        }
        let topic = if room.topic.is_empty() { String::new() } else { format!(" · {}", &*room.topic) };
        weak(ui, &format!("number {} · {} people{topic}", room.room.0, room.members));
    }
    weak(ui, "What is said in rooms can be read by who runs the service.");
}

fn talk(ui: &mut Ui, state: &mut PeopleState, room: RoomId, commands: &mut Vec<Command>) {
    let view = state.view.clone();
    let Some(here) = view.rooms.iter().find(|one| one.room == room) else { return };
    ui.horizontal(|ui| {
        if ui.button("Back").clicked() {
            state.room = None;
        }
        ui.strong(&*here.name);
        if ui.button("Leave").clicked() {
            state.ask("Leaving", Wanted::Ask(Box::new(Ask::Chat(Request::Leave { room }))), commands);
        }
    });
    let entered = field(ui, &mut state.fields.say, "Say something", "say something", false);
    if (ui.button("Say").clicked() || entered) && !state.fields.say.trim().is_empty() {
        let text = Prose::cut(&std::mem::take(&mut state.fields.say));
        state.ask("Saying it", Wanted::Post { room, text }, commands);
    }
    if here.last > here.read
        && view.talk(room).and_then(|talk| talk.entries.last()).is_some_and(|entry| entry.seq == here.last)
    {
        state.ask("Reading", Wanted::Ask(Box::new(Ask::Chat(Request::Read { room, seq: here.last }))), commands);
    }
    // Newest first: it stands where one looks.
    for entry in view.talk(room).map(|talk| talk.entries.as_slice()).unwrap_or_default().iter().rev() {
        ui.horizontal_wrapped(|ui| {
            ui.strong(entry.by.name.to_string());
            ui.label(said(entry));
        });
    }
}

fn said(entry: &Entry) -> String {
    match &entry.what {
        What::Text { deleted: true, .. } => "(deleted)".to_owned(),
        What::Text { text, edited, .. } => format!("{}{}", &**text, if *edited { " (edited)" } else { "" }),
        What::Edit { .. } => "(edited something)".to_owned(),
        What::Delete { .. } => "(deleted something)".to_owned(),
        What::Joined => "joined".to_owned(),
        What::Left => "left".to_owned(),
        What::Topic { topic } => format!("set the topic: {}", &**topic),
        What::Unknown => "(something that a newer version shows)".to_owned(),
    }
}
