//! The controls over the picture: a function of the snapshot and a little state of its own, to commands.

pub mod bars;
pub mod checks;
pub mod files;
pub mod icons;
pub mod latency;
pub mod network;
pub mod people;
pub mod screens;
pub mod theme;
pub mod tiles;
pub mod widgets;

use egui::{Align2, Color32, Rect, Ui, pos2, vec2};
use engine::base::time::{Duration, Instant};
use engine::handle::{Command, FileNotice, Notice};
use engine::layout::snapshot::{Phase, ViewSnapshot};

/// What only the window knows.
#[derive(Debug, Default)]
pub struct UiState {
    /// The target being typed.
    pub address: String,
    /// Shown on the idle screen; empty: not shown.
    pub own_name: String,
    pub listening: Option<u16>,
    pub latency_open: bool,
    pub devices_open: bool,
    pub files_open: bool,
    /// The path being typed.
    pub file: String,
    /// The service's people.
    pub people: people::PeopleState,
    /// The networking page.
    pub network: network::NetworkState,
    /// The engine was told that it is.
    devices_told: bool,
    /// Whom "call again" calls.
    last_called: Option<String>,
    /// The ended screen was closed by the person.
    ended_closed: bool,
    toast: Option<(String, Option<Instant>)>,
}

/// Long enough to read two lines.
const TOAST: Duration = Duration::from_secs(6);

impl UiState {
    /// Takes in what the engine tells.
    pub fn notice(&mut self, notice: Notice) {
        match notice {
            Notice::Listening { base_port } => (self.listening, self.network.base) = (Some(base_port), Some(base_port)),
            Notice::Error(text) => self.toast(text),
            Notice::File(notice) => self.toast(file_text(&notice)),
            // The panel of people shows it.
            Notice::Online { .. } => {}
            Notice::Done { ticket, outcome } => self.people.done(ticket, outcome),
            // The snapshot's phase says these; a new call ends the closed ended screen.
            Notice::Ringing { .. } | Notice::Connected { .. } | Notice::Ended { .. } => self.ended_closed = false,
        }
    }

    /// Shows one line for a while.
    pub fn toast(&mut self, text: String) {
        self.toast = Some((text, None));
    }

    /// True while a call is on the screen and its tiles are to be drawn.
    pub fn shows_tiles(phase: &Phase) -> bool {
        matches!(phase, Phase::InCall { .. } | Phase::Reconnecting { .. })
    }

    /// Calls `target` and remembers it.
    fn call(&mut self, target: &str) -> Command {
        self.last_called = Some(target.to_owned());
        self.ended_closed = false;
        Command::Call(target.to_owned())
    }
}

/// Where tiles may stand on a screen of this size, in points.
pub fn video_area(screen: Rect) -> Rect {
    let top_left = screen.min + vec2(theme::GAP, theme::TOP_BAR);
    Rect::from_min_max(top_left, (screen.max - vec2(theme::GAP, theme::BOTTOM_BAR)).max(top_left))
}

/// All controls. `placed` says where each of the snapshot's tiles was drawn, in points.
pub fn draw(
    ui: &mut Ui,
    snapshot: &ViewSnapshot,
    placed: &[tiles::TilePlace],
    state: &mut UiState,
    now: Instant,
) -> Vec<Command> {
    let mut commands = Vec::new();
    let screen = ui.ctx().content_rect();
    let is_idle =
        matches!(snapshot.phase, Phase::Idle) || (matches!(snapshot.phase, Phase::Ended { .. }) && state.ended_closed);
    let (panel, beside) = if is_idle { people::place(screen, &state.people) } else { (None, screen) };
    state.devices_open &= is_idle || UiState::shows_tiles(&snapshot.phase);
    match &snapshot.phase {
        Phase::Idle => screens::idle(ui, beside, state, &mut commands),
        Phase::RingingOut { peer } => screens::waiting(ui, screen, peer, "Ringing…", "Cancel", &mut commands),
        Phase::Connecting { peer } => screens::waiting(ui, screen, peer, "Connecting…", "Cancel", &mut commands),
        Phase::RingingIn { peer, verified } => screens::incoming(ui, screen, peer, *verified, &mut commands),
        Phase::Ended { .. } if state.ended_closed => screens::idle(ui, beside, state, &mut commands),
        Phase::Ended { peer, outcome, reason } => {
            screens::ended(ui, screen, [peer, outcome, reason], state, &mut commands);
        }
        Phase::InCall { peer } => in_call(ui, screen, snapshot, placed, state, (peer, false, now), &mut commands),
        Phase::Reconnecting { peer } => in_call(ui, screen, snapshot, placed, state, (peer, true, now), &mut commands),
    }
    if let Some(panel) = panel
        && let Some(target) = people::panel(ui, panel, &mut state.people, &mut commands)
    {
        commands.push(state.call(&target));
    }
    state.network.open &= is_idle;
    if state.network.open {
        network::page(ui, screen, &mut state.network, &mut commands);
    } else {
        state.network.closed();
    }
    if is_idle {
        bars::idle(ui, screen, &snapshot.controls, state, &mut commands);
    }
    if state.devices_open != state.devices_told {
        state.devices_told = state.devices_open;
        commands.push(Command::CheckMicrophone(state.devices_open));
    }
    toast(ui, screen, state, now);
    commands
}

fn in_call(
    ui: &mut Ui,
    screen: Rect,
    snapshot: &ViewSnapshot,
    placed: &[tiles::TilePlace],
    state: &mut UiState,
    (peer, reconnecting, now): (&str, bool, Instant),
    commands: &mut Vec<Command>,
) {
    tiles::draw(ui, &snapshot.tiles, placed);
    bars::top(ui, screen, snapshot, peer, now);
    if state.latency_open {
        latency::panel(ui, screen, &snapshot.latency);
    }
    if reconnecting {
        let at = pos2(screen.center().x, screen.top() + theme::TOP_BAR + theme::GAP);
        banner(ui, screen, at, "Reconnecting… the call goes on when the network is back");
    } else if !snapshot.controls.device_note.is_empty() {
        let at = pos2(screen.center().x, screen.top() + theme::TOP_BAR + theme::GAP);
        banner(ui, screen, at, &snapshot.controls.device_note);
    }
    files::show(ui, screen, &snapshot.controls, state, commands);
    bars::bottom(ui, screen, snapshot, state, commands);
}

/// What happened to a file, for the person.
pub fn file_text(notice: &FileNotice) -> String {
    match notice {
        FileNotice::Offered(file) => format!("{} ({}) is offered to you.", file.name, files::size(file.size)),
        FileNotice::Done { file, is_sent: true, .. } => format!("{} has arrived there.", file.name),
        FileNotice::Done { path, is_sent: false, .. } => format!("Received: {}", path.display()),
        FileNotice::Failed { file, why, .. } => format!("{}: {why}.", file.name),
    }
}

fn toast(ui: &mut Ui, screen: Rect, state: &mut UiState, now: Instant) {
    let Some((text, until)) = &mut state.toast else { return };
    let until = *until.get_or_insert(now + TOAST);
    if now >= until {
        state.toast = None;
        return;
    }
    ui.ctx().request_repaint_after(until - now);
    let at = pos2(screen.center().x, screen.bottom() - theme::BOTTOM_BAR - 44.0);
    banner(ui, screen, at, text);
}

/// One line on a pill, its upper edge's middle at `at`.
fn banner(ui: &mut Ui, screen: Rect, at: egui::Pos2, text: &str) {
    let size = theme::BODY;
    let wanted = ui.painter().layout_no_wrap(text.to_owned(), theme::font(size), Color32::WHITE).size().x + 36.0;
    let width = wanted.min(screen.width() - 2.0 * theme::GAP);
    let rect = Rect::from_min_size(pos2(at.x - width / 2.0, at.y), vec2(width, 34.0));
    ui.painter().rect_filled(rect, widgets::round(rect), theme::OVER_PICTURE.to_opaque());
    widgets::label(ui, rect.shrink2(vec2(16.0, 0.0)), Align2::CENTER_CENTER, text, size, theme::ON_PICTURE);
}
