//! A room's people, and what its moderators and its host do with it.

use egui::Ui;
use engine::handle::Command;
use engine::proto::service::chat::{Member, Request, Role, Room};
use engine::proto::text::{Prose, Text};

use super::{PeopleState, field, heading, weak};

/// The tools of a room that is open.
pub fn show(ui: &mut Ui, state: &mut PeopleState, here: &Room, commands: &mut Vec<Command>) {
    let room = here.room;
    if here.role != Role::Member {
        heading(ui, "The room");
        let topic = field(ui, &mut state.fields.topic, "Topic", "what the room is about", false);
        let notice = field(ui, &mut state.fields.notice, "Message of the day", "message of the day", false);
        let slow = field(ui, &mut state.fields.slow, "Slow mode", "seconds between messages of one person", false);
        ui.horizontal(|ui| {
            if ui.button("Set topic").clicked() || topic {
                let topic = Text::cut(state.fields.topic.trim());
                state.ask_chat("Setting the topic", Request::SetTopic { room, topic }, commands);
            }
            if ui.button("Set message").clicked() || notice {
                let notice = Prose::cut(state.fields.notice.trim());
                state.ask_chat("Setting the message", Request::SetNotice { room, notice }, commands);
            }
            if ui.button("Set slow mode").clicked() || slow {
                match state.fields.slow.trim().parse() {
                    Ok(seconds) => state.ask_chat("Setting it", Request::Slow { room, seconds }, commands),
                    Err(_) => state.line = "Say a number of seconds; 0 ends slow mode.".to_owned(),
                }
            }
        });
    }
    heading(ui, "Who is in it");
    let me = state.view.person.as_ref().map(|person| person.name.clone());
    for Member { person, role } in state.members.clone() {
        ui.horizontal(|ui| {
            ui.label(person.name.to_string());
            weak(ui, word(role));
            let is_below = rank(here.role) > rank(role) && me.as_ref() != Some(&person.name);
            let mut ask = |what, request| {
                state.ask_chat(what, request, commands);
                state.ask_chat("Looking who is there", Request::Members { room }, commands);
            };
            let name = || person.name.clone();
            if here.role == Role::Host && is_below {
                let (word, role) = match role {
                    Role::Moderator => ("Make member", Role::Member),
                    _ => ("Make moderator", Role::Moderator),
                };
                if ui.button(word).clicked() {
                    ask("Setting the role", Request::SetRole { room, name: name(), role });
                }
            }
            if is_below && ui.button("Kick").clicked() {
                ask("Kicking", Request::Kick { room, name: name(), ban: None });
            }
            if is_below && ui.button("Ban").clicked() {
                ask("Banning", Request::Kick { room, name: name(), ban: Some(true) });
            }
        });
    }
}

const fn word(role: Role) -> &'static str {
    match role {
        Role::Host => "host",
        Role::Moderator => "moderator",
        Role::Member => "",
    }
}

const fn rank(role: Role) -> u8 {
    match role {
        Role::Host => 2,
        Role::Moderator => 1,
        Role::Member => 0,
    }
}
