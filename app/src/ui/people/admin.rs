//! What those who run the service read and do.

use egui::{CollapsingHeader, Ui};
use engine::handle::Command;
use engine::people::command::Wanted;

use super::{PeopleState, weak};

pub fn show(ui: &mut Ui, state: &mut PeopleState, commands: &mut Vec<Command>) {
    ui.add_space(12.0);
    CollapsingHeader::new("For those who run the service").show(ui, |ui| {
        if ui.button("Read reports").clicked() {
            state.ask("Reading reports", Wanted::Reports { after: 0 }, commands);
        }
        let Some(reports) = state.reports.clone() else { return };
        if reports.is_empty() {
            weak(ui, "Nothing is reported.");
        }
        for report in reports {
            ui.strong(format!("{} is reported by {}", report.about.name, report.by.name));
            ui.label(&*report.text);
            ui.horizontal(|ui| {
                if ui.button("Dealt with").clicked() {
                    state.reports.iter_mut().for_each(|all| all.retain(|one| one.number != report.number));
                    state.ask("Closing it", Wanted::CloseReport { number: report.number }, commands);
                }
                if ui.button(format!("Suspend {}", report.about.name)).clicked() {
                    let name = report.about.name.clone();
                    state.ask("Suspending", Wanted::Suspend { name, suspended: true }, commands);
                }
            });
        }
    });
}
