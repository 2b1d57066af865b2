//! Pals: how they are, who asks, and finding others.

use egui::{Sense, Ui, vec2};
use engine::handle::Command;
use engine::people::command::Wanted;
use engine::people::trust::Trust;
use engine::people::view::PalView;
use engine::proto::contact::Contact;
use engine::proto::service::directory::Request as DirectoryRequest;
use engine::proto::service::frame::Ask;
use engine::proto::service::names::AccountName;
use engine::proto::service::pals::{Presence, Request};
use engine::proto::text::Text;

use super::super::theme;
use super::{PeopleState, Tab, field, heading, weak};

/// The list. The name of whom to call, where that was asked for.
pub fn show(ui: &mut Ui, state: &mut PeopleState, commands: &mut Vec<Command>) -> Option<String> {
    let mut call = None;
    let entered = field(ui, &mut state.fields.contact, "Name or link", "name or link of somebody", false);
    ui.horizontal(|ui| {
        if ui.button("Add pal").clicked() || entered {
            match state.fields.contact.parse::<Contact>() {
                Ok(contact) => {
                    state.ask("Asking them", Wanted::Befriend { contact, note: Default::default() }, commands)
                }
                Err(error) => state.line = error.to_string(),
            }
        }
        if ui.button("Search").clicked() {
            let request = DirectoryRequest::Search {
                text: Text::cut(&state.fields.contact),
                place: Default::default(),
                language: Default::default(),
                after: None,
                limit: 50,
            };
            state.ask("Searching", Wanted::Ask(Box::new(Ask::Directory(request))), commands);
        }
    });
    found(ui, state, commands);
    let view = state.view.clone();
    if !view.asked.is_empty() {
        heading(ui, "They ask you");
    }
    for asked in &view.asked {
        let name = &asked.person.name;
        ui.horizontal(|ui| {
            ui.label(name.to_string());
            if ui.button("Accept").clicked() {
                befriend(state, name.clone(), commands);
            }
            if ui.button("Decline").clicked() {
                let request = Request::Decline { name: name.clone() };
                state.ask("Declining", Wanted::Ask(Box::new(Ask::Pals(request))), commands);
            }
        });
        if !asked.note.is_empty() {
            weak(ui, &asked.note);
        }
    }
    heading(ui, "Pals");
    if view.pals.is_empty() {
        weak(ui, "Nobody yet: add somebody by name or link.");
    }
    for pal in &view.pals {
        if row(ui, pal, state) {
            call = Some(format!("@{}", pal.pal.person.name));
        }
    }
    if !view.waiting.is_empty() {
        heading(ui, "You asked");
        view.waiting.iter().for_each(|person| weak(ui, &person.name));
    }
    call
}

fn found(ui: &mut Ui, state: &mut PeopleState, commands: &mut Vec<Command>) {
    if state.found.is_empty() {
        return;
    }
    heading(ui, "Found");
    for listing in state.found.clone() {
        ui.horizontal(|ui| {
            ui.label(listing.person.name.to_string());
            if ui.button("Ask").clicked() {
                befriend(state, listing.person.name.clone(), commands);
            }
        });
        let beside: Vec<&str> =
            [&*listing.location, &*listing.comment].into_iter().filter(|text| !text.is_empty()).collect();
        if !beside.is_empty() {
            weak(ui, &beside.join(" · "));
        }
    }
    if ui.button("Close the search").clicked() {
        state.found.clear();
    }
}

fn befriend(state: &mut PeopleState, name: AccountName, commands: &mut Vec<Command>) {
    let wanted = Wanted::Befriend { contact: Contact::Name(name), note: Default::default() };
    state.ask("Asking them", wanted, commands);
}

/// One pal; true when they are to be called.
fn row(ui: &mut Ui, pal: &PalView, state: &mut PeopleState) -> bool {
    let colours = theme::palette(ui.visuals().dark_mode);
    let (colour, word) = match pal.pal.presence {
        Presence::Online => (colours.accent, "online"),
        Presence::Away => (colours.weak, "away"),
        Presence::Busy => (colours.danger, "busy"),
        Presence::Offline => (colours.line, "offline"),
    };
    let name = pal.pal.person.name.clone();
    let mut call = false;
    ui.horizontal(|ui| {
        let (dot, _) = ui.allocate_exact_size(vec2(12.0, 12.0), Sense::hover());
        ui.painter().circle_filled(dot.center(), 5.0, colour);
        ui.label(name.to_string());
        let trust = match pal.trust {
            Trust::Verified => "verified",
            Trust::Unverified => "unverified",
            Trust::Changed => "KEY CHANGED",
        };
        weak(ui, &format!("{word} · {trust}"));
        if pal.trust != Trust::Changed {
            call = ui.button("Call").clicked();
            if ui.button("Write").clicked() {
                (state.write_to, state.tab) = (Some(name.clone()), Tab::Inbox);
            }
        }
    });
    if !pal.pal.text.is_empty() {
        weak(ui, &pal.pal.text);
    }
    call
}
