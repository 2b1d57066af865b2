//! Logging in, and who one is.

use egui::Ui;
use engine::handle::Command;
use engine::people::command::{State, Wanted};
use engine::proto::service::account::Secret;
use engine::proto::service::link::ServiceLink;
use engine::proto::service::names::AccountName;
use engine::proto::service::pals::Presence;

use super::{PeopleState, admin, field, heading, weak};

pub fn show(ui: &mut Ui, state: &mut PeopleState, commands: &mut Vec<Command>) {
    if let Some(code) = state.recovery.clone() {
        heading(ui, "Your recovery code");
        weak(ui, "Write it down: with it a lost password can be replaced. It is not shown again.");
        ui.monospace(code);
        if ui.button("I have written it down").clicked() {
            state.recovery = None;
        }
        return;
    }
    match state.view.person.clone() {
        Some(person) if !matches!(state.view.state, State::LoggedOut) => {
            heading(ui, &format!("{} at {}", person.name, state.view.service));
            presence(ui, state, commands);
            if ui.button("Log out").clicked() {
                state.ask("Logging out", Wanted::LogOut, commands);
            }
            admin::show(ui, state, commands);
        }
        _ => log_in(ui, state, commands),
    }
}

fn presence(ui: &mut Ui, state: &mut PeopleState, commands: &mut Vec<Command>) {
    let all = [
        (Presence::Online, "Online"),
        (Presence::Away, "Away"),
        (Presence::Busy, "Busy"),
        (Presence::Offline, "Appear offline"),
    ];
    ui.horizontal(|ui| {
        for (presence, name) in all {
            if ui.selectable_label(state.view.presence == presence, name).clicked() {
                state.ask("Telling your pals", Wanted::SetPresence { presence, text: Default::default() }, commands);
            }
        }
    });
}

fn log_in(ui: &mut Ui, state: &mut PeopleState, commands: &mut Vec<Command>) {
    heading(ui, "Find people on a service");
    weak(ui, "Ask who runs it for its link.");
    field(ui, &mut state.fields.service, "Service", "link of the service", false);
    field(ui, &mut state.fields.name, "Account name", "account name", false);
    let entered = field(ui, &mut state.fields.password, "Password", "password", true);
    let (mut log_in, mut register) = (entered, false);
    ui.horizontal(|ui| {
        log_in |= ui.button("Log in").clicked();
        register = ui.button("Create account").clicked();
    });
    if !log_in && !register {
        return;
    }
    let service: Result<ServiceLink, String> = state.fields.service.parse().map_err(|error| format!("{error}"));
    let name = AccountName::new(&state.fields.name).map_err(str::to_owned);
    match service.and_then(|service| name.map(|name| (service, name))) {
        Err(text) => state.line = text,
        Ok((service, name)) => {
            let password = Secret::new(&std::mem::take(&mut state.fields.password));
            let (what, wanted) = if register {
                ("Making the account", Wanted::Register { service, name, password, display: Default::default() })
            } else {
                ("Logging in", Wanted::LogIn { service, name, password })
            };
            state.ask(what, wanted, commands);
        }
    }
}
