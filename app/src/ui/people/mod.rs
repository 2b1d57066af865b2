//! The service in the window: pals, rooms, messages and the account, in a panel beside the call's card.

mod account;
mod admin;
mod inbox;
mod moderate;
mod near;
mod pals;
mod rooms;

use std::collections::HashMap;
use std::sync::Arc;

use egui::{Rect, RichText, ScrollArea, Sense, Ui, UiBuilder, pos2};
use engine::handle::Command;
use engine::net::lan::Neighbours;
use engine::people::command::{Outcome, State, Wanted};
use engine::people::view::View;
use engine::proto::service::account::Report;
use engine::proto::service::chat::{Member, Reply as ChatReply, Request};
use engine::proto::service::directory::{Listing, Reply as DirectoryReply};
use engine::proto::service::frame::{Ask, Reply};
use engine::proto::service::names::{AccountName, RoomId, Seq};

use super::theme;
use super::widgets::{self, card};

/// What the panel shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tab {
    #[default]
    Pals,
    Rooms,
    Inbox,
    Account,
}

/// What only the panel knows.
#[derive(Default)]
pub struct PeopleState {
    /// The newest that the session told.
    pub view: Arc<View>,
    /// Who is on the same network.
    pub neighbours: Neighbours,
    pub open: bool,
    pub tab: Tab,
    next: u64,
    /// What was asked for and has not come out yet, for the person.
    waiting: HashMap<u64, &'static str>,
    /// One line: what went wrong, or what was done.
    line: String,
    fields: Fields,
    found: Vec<Listing>,
    /// The code to be written down, until that was said to be done.
    recovery: Option<String>,
    room: Option<RoomId>,
    /// The entry of it whose tools are shown.
    entry: Option<Seq>,
    /// The entry that is said otherwise.
    editing: Option<Seq>,
    /// When others were told that one writes, in the window's seconds.
    typed: Option<f64>,
    /// The room's tools are open.
    tools: bool,
    members: Vec<Member>,
    reports: Option<Vec<Report>>,
    message: Option<Seq>,
    write_to: Option<AccountName>,
    photo: Option<(Seq, egui::TextureHandle)>,
}

/// What is being typed.
#[derive(Default)]
struct Fields {
    service: String,
    name: String,
    password: String,
    contact: String,
    room: String,
    say: String,
    message: String,
    topic: String,
    notice: String,
    slow: String,
    device: String,
}

impl PeopleState {
    /// What was asked for came out so.
    pub fn done(&mut self, ticket: u64, outcome: Result<Box<Outcome>, String>) {
        self.waiting.remove(&ticket);
        match outcome.map(|outcome| *outcome) {
            Err(text) => self.line = text,
            Ok(Outcome::Registered { recovery, .. }) => {
                self.recovery = Some(recovery.expose().to_owned());
                self.line.clear();
            }
            Ok(Outcome::LoggedIn { person }) => self.line = format!("You are {} here.", person.name),
            Ok(Outcome::Befriended { person, pals, .. }) => {
                self.line = format!("{} {}.", person.name, if pals { "is a pal now" } else { "was asked" });
            }
            Ok(Outcome::Queued { why, .. }) => self.line = format!("{why}: it goes out at the next connection."),
            Ok(Outcome::Sent { direct: true, .. }) => self.line = "Their program has the message.".to_owned(),
            Ok(Outcome::Sent { .. }) => self.line = "The message is on its way.".to_owned(),
            Ok(Outcome::Reply(reply)) => match *reply {
                Reply::Directory(DirectoryReply::People { people, .. }) => {
                    self.line = if people.is_empty() { "Nobody who is listed fits.".into() } else { String::new() };
                    self.found = people.into_vec();
                }
                Reply::Chat(ChatReply::Members { room, members }) if self.room == Some(room) => {
                    self.members = members.into_vec();
                }
                _ => {}
            },
            Ok(Outcome::Devices(devices)) => {
                self.line = format!(
                    "Both devices have to show this account key: {}. Start the program again on the new one.",
                    devices.account.fingerprint()
                );
            }
            Ok(Outcome::Reports(reports)) => self.reports = Some(reports),
            Ok(_) => {}
        }
    }

    /// Asks the session for something; `what` is shown while it takes its time.
    fn ask(&mut self, what: &'static str, wanted: Wanted, commands: &mut Vec<Command>) {
        self.next += 1;
        self.line.clear();
        self.waiting.insert(self.next, what);
        commands.push(Command::People(self.next, Box::new(wanted)));
    }

    /// Asks for something of a room.
    fn ask_chat(&mut self, what: &'static str, request: Request, commands: &mut Vec<Command>) {
        self.ask(what, Wanted::Ask(Box::new(Ask::Chat(request))), commands);
    }

    /// How much is new for the person: who asks, where they are named, and what was not read.
    pub fn news(&self) -> usize {
        self.view.asked.len() + self.view.named.len() + self.view.inbox.iter().filter(|received| !received.read).count()
    }
}

impl std::fmt::Debug for PeopleState {
    /// Never what is typed: passwords are.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PeopleState({:?}, open {})", self.tab, self.open)
    }
}

/// How wide the panel is, in points.
pub const WIDTH: f32 = 400.0;

/// Where the panel stands, where it is open; what is left of the screen beside it.
pub fn place(screen: Rect, state: &PeopleState) -> (Option<Rect>, Rect) {
    if !state.open {
        return (None, screen);
    }
    let width = WIDTH.min(screen.width() - 2.0 * theme::GAP);
    let left = screen.right() - theme::GAP - width;
    let top = pos2(left, screen.top() + theme::GAP);
    let panel = Rect::from_min_max(top, pos2(left + width, screen.bottom() - theme::BOTTOM_BAR));
    let rest = Rect::from_min_max(screen.min, pos2(left, screen.bottom()));
    // Beside it there has to be room for the call's card.
    (Some(panel), if rest.width() < 480.0 { screen } else { rest })
}

/// The panel. True when somebody is to be called: the name is in the answer.
pub fn panel(ui: &mut Ui, rect: Rect, state: &mut PeopleState, commands: &mut Vec<Command>) -> Option<String> {
    // Takes clicks on the panel's own surface.
    ui.interact(rect, ui.scope_id().with("people panel"), Sense::click());
    card(ui, rect);
    let mut call = None;
    ui.scope_builder(UiBuilder::new().max_rect(rect.shrink(16.0)), |ui| {
        widgets::on_page(ui);
        ui.horizontal(|ui| {
            let named = state.view.named.len();
            let inbox = state.view.inbox.iter().filter(|received| !received.read).count();
            let tabs = [
                (Tab::Pals, "Pals".to_owned()),
                (Tab::Rooms, if named == 0 { "Rooms".to_owned() } else { format!("Rooms (@{named})") }),
                (Tab::Inbox, if inbox == 0 { "Inbox".to_owned() } else { format!("Inbox ({inbox})") }),
                (Tab::Account, "Account".to_owned()),
            ];
            for (tab, name) in tabs {
                if ui.selectable_label(state.tab == tab, name).clicked() {
                    state.tab = tab;
                }
            }
        });
        ui.separator();
        status(ui, state);
        let person = state.view.person.clone();
        ScrollArea::vertical().id_salt(state.tab as u8).auto_shrink(false).show(ui, |ui| {
            if state.tab == Tab::Pals {
                call = near::show(ui, state);
            }
            match (state.tab, &person) {
                // Everything begins with an account.
                (Tab::Account, _) | (_, None) => account::show(ui, state, commands),
                (Tab::Pals, _) => call = pals::show(ui, state, commands).or(call.take()),
                (Tab::Rooms, _) => rooms::show(ui, state, commands),
                (Tab::Inbox, _) => inbox::show(ui, state, commands),
            }
        });
    });
    call
}

fn status(ui: &mut Ui, state: &PeopleState) {
    let connection = match &state.view.state {
        State::Offline { why } => Some(format!("Not connected: {why}")),
        State::Connecting => Some("Connecting…".to_owned()),
        State::LoggedOut => Some("The session has ended: log in again.".to_owned()),
        State::Online | State::Nobody => None,
    };
    let waiting = state.waiting.values().next().map(|what| format!("{what}…"));
    let outgoing = (state.view.outgoing > 0).then(|| format!("{} wait to be sent.", state.view.outgoing));
    let lines = [connection, waiting, outgoing, Some(state.line.clone()).filter(|line| !line.is_empty())];
    for line in lines.into_iter().flatten() {
        weak(ui, &line);
    }
}

/// A line that matters less.
fn weak(ui: &mut Ui, text: &str) {
    let colours = theme::palette(ui.visuals().dark_mode);
    ui.label(RichText::new(text).size(theme::SMALL + 1.0).color(colours.weak));
}

/// A heading.
fn heading(ui: &mut Ui, text: &str) {
    ui.add_space(4.0);
    ui.label(RichText::new(text).size(theme::BODY).strong());
}

/// A field of one line with an accessible name; true when Enter was pressed in it.
fn field(ui: &mut Ui, text: &mut String, name: &str, hint: &str, is_secret: bool) -> bool {
    let edit = egui::TextEdit::singleline(text).hint_text(hint).password(is_secret).desired_width(f32::INFINITY);
    let edit = edit.margin(egui::Margin::symmetric(12, 7));
    let response = ui.add(edit);
    let info = || egui::WidgetInfo::labeled(egui::accesskit::Role::TextInput, true, name);
    response.widget_info(info);
    response.lost_focus() && ui.input(|input| input.key_pressed(egui::Key::Enter))
}
