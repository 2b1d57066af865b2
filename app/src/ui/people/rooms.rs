//! Rooms, and what is said in them.

use egui::{Label, RichText, Sense, Ui};
use engine::handle::Command;
use engine::people::command::Wanted;
use engine::proto::service::chat::{Entry, Request, Role, Room, What};
use engine::proto::service::frame::Ask;
use engine::proto::service::names::RoomId;
use engine::proto::text::{Prose, Text};
use engine::store::mailbox::new_key;

use super::super::theme;
use super::{PeopleState, field, heading, moderate, weak};

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
        let named = view.named.iter().filter(|named| named.room == room.room).count();
        let name = if named == 0 { name } else { format!("{name} @{named}") };
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
            (state.room, state.entry, state.editing, state.tools) = (None, None, None, false);
        }
        ui.strong(&*here.name);
        if ui.selectable_label(state.tools, "Who is here").clicked() {
            state.tools = !state.tools;
            if state.tools {
                (state.fields.topic, state.fields.notice) = (here.topic.to_string(), here.notice.to_string());
                state.fields.slow = here.slow_seconds.to_string();
                state.ask_chat("Looking who is there", Request::Members { room }, commands);
            }
        }
        if ui.button("Leave").clicked() {
            state.ask_chat("Leaving", Request::Leave { room }, commands);
        }
    });
    if state.tools {
        return moderate::show(ui, state, here, commands);
    }
    for line in [&*here.topic, &*here.notice] {
        if !line.is_empty() {
            weak(ui, line);
        }
    }
    if here.slow_seconds > 0 {
        weak(ui, &format!("Slow mode: one message in {} seconds each.", here.slow_seconds));
    }
    say(ui, state, room, commands);
    typing(ui, state, room);
    let is_all_here = view.talk(room).and_then(|talk| talk.entries.last()).is_some_and(|entry| entry.seq == here.last);
    if here.last > here.read && is_all_here {
        state.ask_chat("Reading", Request::Read { room, seq: here.last }, commands);
    }
    // Newest first: it stands where one looks.
    for entry in view.talk(room).map(|talk| talk.entries.as_slice()).unwrap_or_default().iter().rev() {
        let colours = theme::palette(ui.visuals().dark_mode);
        let text = RichText::new(said(entry));
        let text = if view.names_me(entry) { text.strong().color(colours.accent) } else { text };
        let is_open = state.entry == Some(entry.seq);
        ui.horizontal_wrapped(|ui| {
            ui.strong(entry.by.name.to_string());
            let label = ui.add(Label::new(text).sense(Sense::click()));
            if matches!(entry.what, What::Text { deleted: false, .. }) && label.clicked() {
                state.entry = if is_open { None } else { Some(entry.seq) };
            }
        });
        if is_open {
            tools(ui, state, here, entry, commands);
        }
    }
}

/// The field in which one says something, or says it otherwise.
fn say(ui: &mut Ui, state: &mut PeopleState, room: RoomId, commands: &mut Vec<Command>) {
    let before = state.fields.say.len();
    let entered = field(ui, &mut state.fields.say, "Say something", "say something; @name calls somebody", false);
    let now = ui.input(|input| input.time);
    if state.fields.say.len() > before && state.typed.is_none_or(|typed| now >= typed + TYPING_AGAIN) {
        state.typed = Some(now);
        let typing = Wanted::Ask(Box::new(Ask::Chat(Request::Typing { room })));
        // Nobody waits for it, and nothing is said about it.
        commands.push(Command::People(0, Box::new(typing)));
    }
    ui.horizontal(|ui| {
        let word = if state.editing.is_some() { "Say it so" } else { "Say" };
        let is_asked = ui.button(word).clicked() || entered;
        if state.editing.is_some() && ui.button("Leave it").clicked() {
            state.editing = None;
            state.fields.say.clear();
        }
        if !is_asked || state.fields.say.trim().is_empty() {
            return;
        }
        let text = Prose::cut(&std::mem::take(&mut state.fields.say));
        state.typed = None;
        match (state.editing.take(), new_key()) {
            (None, _) => state.ask("Saying it", Wanted::Post { room, text }, commands),
            (Some(seq), Ok(key)) => state.ask_chat("Changing it", Request::Edit { room, key, seq, text }, commands),
            (Some(_), Err(error)) => state.line = error.to_string(),
        }
    });
}

fn typing(ui: &mut Ui, state: &PeopleState, room: RoomId) {
    let names: Vec<&str> = state.view.typing.iter().filter(|sign| sign.room == room).map(|sign| &*sign.name).collect();
    match names[..] {
        [] => {}
        [one] => weak(ui, &format!("{one} is writing…")),
        [one, other] => weak(ui, &format!("{one} and {other} are writing…")),
        [one, ..] => weak(ui, &format!("{one} and {} others are writing…", names.len() - 1)),
    }
}

/// What can be done with an entry.
fn tools(ui: &mut Ui, state: &mut PeopleState, here: &Room, entry: &Entry, commands: &mut Vec<Command>) {
    let What::Text { text, .. } = &entry.what else { return };
    let is_own = state.view.person.as_ref().is_some_and(|person| person.name == entry.by.name);
    ui.horizontal(|ui| {
        if is_own && ui.button("Edit").clicked() {
            (state.editing, state.entry) = (Some(entry.seq), None);
            state.fields.say = text.to_string();
        }
        if !is_own && ui.button("Answer").clicked() {
            state.fields.say = format!("@{} {}", entry.by.name, state.fields.say);
            state.entry = None;
        }
        if (is_own || here.role != Role::Member) && ui.button("Delete").clicked() {
            state.entry = None;
            match new_key() {
                Ok(key) => {
                    let request = Request::Delete { room: here.room, key, seq: entry.seq };
                    state.ask_chat("Deleting it", request, commands);
                }
                Err(error) => state.line = error.to_string(),
            }
        }
    });
}

/// A sign is good for six seconds with the others.
const TYPING_AGAIN: f64 = 3.0;

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
