//! Keys, where no widget has the keyboard.

use egui::{Key, Modifiers, Ui};
use engine::handle::Command;
use engine::layout::snapshot::{Phase, ViewSnapshot};

use crate::ui::UiState;

/// What the keys pressed in this pass ask for: M mute, V camera, L latency overlay, Esc hang up or decline or close the
/// device panel, Enter accept, Ctrl-Q quit.
pub fn shortcuts(ui: &Ui, snapshot: &ViewSnapshot, state: &mut UiState) -> Vec<Command> {
    let mut commands = Vec::new();
    if ui.input_mut(|input| input.consume_key(Modifiers::COMMAND, Key::Q)) {
        commands.push(Command::Quit);
    }
    if ui.memory(|memory| memory.focused().is_some()) {
        return commands;
    }
    let pressed = |key| ui.input_mut(|input| input.consume_key(Modifiers::NONE, key));
    match &snapshot.phase {
        Phase::InCall { .. } | Phase::Reconnecting { .. } => {
            if pressed(Key::M) {
                commands.push(Command::Mute(!snapshot.controls.muted));
            }
            if pressed(Key::V) {
                commands.push(Command::CameraOff(!snapshot.controls.camera_off));
            }
            if pressed(Key::L) {
                state.latency_open = !state.latency_open;
            }
            if pressed(Key::Escape) {
                match state.devices_open {
                    true => state.devices_open = false,
                    false => commands.push(Command::HangUp),
                }
            }
        }
        Phase::RingingOut { .. } | Phase::Connecting { .. } if pressed(Key::Escape) => commands.push(Command::HangUp),
        Phase::RingingIn { .. } => {
            if pressed(Key::Escape) {
                commands.push(Command::Decline);
            } else if pressed(Key::Enter) {
                commands.push(Command::Accept);
            }
        }
        _ => {}
    }
    commands
}
