//! People on the same network, who need no service.

use egui::Ui;

use super::{PeopleState, heading, weak};

/// Whoever is there. The target of whom to call, where that was asked for.
pub fn show(ui: &mut Ui, state: &PeopleState) -> Option<String> {
    if state.neighbours.is_empty() {
        return None;
    }
    let mut call = None;
    heading(ui, "On this network");
    for other in state.neighbours.iter() {
        ui.horizontal(|ui| {
            ui.label(&other.name);
            let address = other.addresses.first().map(ToString::to_string).unwrap_or_default();
            weak(ui, &address);
            // Of two with one name each has an address of its own.
            let is_only = state.neighbours.iter().filter(|one| one.is_called(&other.name)).count() == 1;
            if ui.button("Call").clicked() {
                call = Some(match is_only {
                    true => format!("lan:{}", other.name),
                    false if address.contains(':') => format!("[{address}]:{}", other.base),
                    false => format!("{address}:{}", other.base),
                });
            }
        });
    }
    call
}
