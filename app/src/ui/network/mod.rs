//! Networking: addresses, base port, proxy, the network test with its progress, and the guide.

mod guide;

use std::net::IpAddr;

use egui::{Rect, RichText, ScrollArea, Sense, Ui, UiBuilder, pos2, vec2};
use engine::handle::Command;
use engine::proto::nettest::report::line;
use engine::proto::nettest::verdict::Verdict;
use engine::proto::nettest::{Findings, Step};
use engine::proto::proxy::choice::ProxySetting;
use engine::proto::target::{DEFAULT_BASE, check_base};

use super::theme;
use super::widgets::{self, card};

/// What only the page knows.
#[derive(Debug, Default)]
pub struct NetworkState {
    pub open: bool,
    /// The first of our ports in use.
    pub base: Option<u16>,
    pub local: Vec<IpAddr>,
    pub public: Option<IpAddr>,
    /// What the test has found so far, step by step.
    pub done: Vec<Step>,
    pub found: Findings,
    pub verdict: Option<Verdict>,
    pub running: bool,
    /// Where the last test was written.
    pub written: Option<String>,
    /// What the person wants of the test.
    pub wish: Option<Wish>,
    pub fields: Fields,
    guide_open: bool,
    line: String,
    was_open: bool,
}

/// What is being typed.
#[derive(Default)]
pub struct Fields {
    pub base: String,
    pub proxy: String,
    pub hidden: bool,
}

/// Never what is typed: proxies have passwords.
impl std::fmt::Debug for Fields {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fields")
    }
}

/// What the window is to do with the test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Only the addresses: the page was opened.
    Look,
    Test,
    Cancel,
}

impl NetworkState {
    /// The page was closed: at the next opening the addresses are looked at anew.
    pub fn closed(&mut self) {
        self.was_open = false;
    }

    /// A step is done.
    pub fn done(&mut self, step: Step, found: Findings) {
        self.local.clone_from(&found.local);
        self.public = found.public.or(self.public);
        if !self.done.contains(&step) {
            self.done.push(step);
        }
        self.found = found;
    }

    fn begin(&mut self) {
        (self.running, self.verdict, self.written) = (true, None, None);
        self.done.clear();
        self.found = Findings::default();
        self.wish = Some(Wish::Test);
    }
}

/// How wide the page is, in points.
const WIDTH: f32 = 520.0;

/// Where the page stands.
pub fn place(screen: Rect) -> Rect {
    let width = WIDTH.min(screen.width() - 2.0 * theme::GAP);
    let left = screen.center().x - width / 2.0;
    Rect::from_min_max(pos2(left, screen.top() + theme::GAP), pos2(left + width, screen.bottom() - theme::BOTTOM_BAR))
}

/// The page.
pub fn page(ui: &mut Ui, screen: Rect, state: &mut NetworkState, commands: &mut Vec<Command>) {
    if !state.was_open {
        state.wish.get_or_insert(Wish::Look);
    }
    state.was_open = true;
    let rect = place(screen);
    // What is behind the page steps back.
    let behind = theme::palette(ui.visuals().dark_mode).background;
    ui.painter().rect_filled(screen, 0.0, behind.gamma_multiply(0.8));
    // Takes clicks on the page's own surface.
    ui.interact(rect, ui.scope_id().with("network page"), Sense::click());
    card(ui, rect);
    ui.scope_builder(UiBuilder::new().max_rect(rect.shrink(16.0)), |ui| {
        widgets::on_page(ui);
        addresses(ui, state);
        ui.horizontal(|ui| {
            for (is_guide, name) in [(false, "Network"), (true, "Guide")] {
                if ui.selectable_label(state.guide_open == is_guide, name).clicked() {
                    state.guide_open = is_guide;
                }
            }
        });
        ui.separator();
        ScrollArea::vertical().id_salt(state.guide_open).auto_shrink(false).show(ui, |ui| match state.guide_open {
            true => guide::show(ui, state),
            false => {
                settings(ui, state, commands);
                test(ui, state);
            }
        });
    });
    if state.wish.is_some() {
        // The window does it before it draws again.
        ui.ctx().request_repaint();
    }
}

/// Always to be seen.
fn addresses(ui: &mut Ui, state: &NetworkState) {
    let local: Vec<String> = state.local.iter().map(ToString::to_string).collect();
    row(ui, "Local address", if local.is_empty() { "not known yet".to_owned() } else { local.join(", ") }.as_str());
    let public = state.public.map_or_else(|| "not known: a service says it".to_owned(), |ip| ip.to_string());
    row(ui, "Public address", &public);
}

fn settings(ui: &mut Ui, state: &mut NetworkState, commands: &mut Vec<Command>) {
    heading(ui, "Base Port");
    let base = state.base.map_or_else(|| "no ports are open".to_owned(), |base| format!("{base} is in use."));
    weak(ui, &format!("{base} Another one is taken at the next start."));
    ui.horizontal(|ui| {
        field(ui, &mut state.fields.base, "Base Port", "2000", 90.0, false);
        if ui.button("Keep port").clicked() {
            let text = state.fields.base.trim();
            let wanted = if text.is_empty() { Ok(DEFAULT_BASE) } else { text.parse::<u16>().map_err(|_| ()) };
            match wanted.map(|base| (base, check_base(base))) {
                Ok((base, Ok(()))) => {
                    commands.push(Command::BasePort((base != DEFAULT_BASE).then_some(base)));
                    state.line = format!("Port {base} is used from the next start on.");
                }
                Ok((_, Err(error))) => state.line = error.to_string(),
                Err(()) => state.line = "The base port is a number from 1 to 65433.".to_owned(),
            }
        }
    });
    heading(ui, "Proxy Settings");
    weak(ui, "none, environment, http://USER:PASSWORD@HOST:PORT or socks5://…");
    ui.horizontal(|ui| {
        // Dots for what may hold a password.
        let is_secret = state.fields.proxy.contains('@');
        field(ui, &mut state.fields.proxy, "Proxy", "environment", 320.0, is_secret);
        if ui.button("Keep proxy").clicked() {
            match state.fields.proxy.parse::<ProxySetting>() {
                Ok(setting) => {
                    commands.push(Command::Proxy(setting));
                    state.line = "It is used from now on.".to_owned();
                }
                Err(error) => state.line = error.to_string(),
            }
        }
    });
    let mut shown = !state.fields.hidden;
    if ui.checkbox(&mut shown, "People on the same network see me").changed() {
        state.fields.hidden = !shown;
        commands.push(Command::ShowOnNetwork(shown));
    }
    if !state.line.is_empty() {
        weak(ui, &state.line);
    }
}

fn test(ui: &mut Ui, state: &mut NetworkState) {
    heading(ui, "Is this network good?");
    ui.horizontal(|ui| {
        if state.running {
            if ui.button("Cancel test").clicked() {
                state.wish = Some(Wish::Cancel);
            }
            let part = state.done.len() as f32 / Step::ALL.len() as f32;
            ui.add(egui::ProgressBar::new(part).desired_width(220.0));
        } else if ui.button("Test Network").clicked() {
            state.begin();
        } else if state.done.is_empty() {
            weak(ui, "Twenty seconds at most. It stops no call.");
        }
    });
    if let Some(verdict) = &state.verdict {
        verdict_of(ui, verdict);
        if let Some(path) = &state.written {
            weak(ui, &format!("Written to {path}"));
        }
    }
    if state.done.is_empty() || (!state.running && state.verdict.is_none()) {
        return;
    }
    for step in Step::ALL {
        let is_done = state.done.contains(&step);
        let figure = line(step, &state.found, true).filter(|_| is_done);
        let figure = figure.unwrap_or_else(|| if is_done || !state.running { "not measured" } else { "…" }.to_owned());
        row(ui, &step.to_string(), &figure);
    }
}

fn verdict_of(ui: &mut Ui, verdict: &Verdict) {
    if verdict.healthy {
        ui.label(RichText::new("This network is healthy: nothing is to be changed.").strong());
    }
    for advice in &verdict.advice {
        ui.label(RichText::new(&advice.what).strong());
        ui.label(&advice.change);
        let gain = match advice.gain_ms {
            Some(ms) if ms >= 1.0 => format!("Up to {ms:.0} ms less delay. {}", advice.gain),
            _ => advice.gain.clone(),
        };
        weak(ui, &gain);
    }
}

fn row(ui: &mut Ui, name: &str, text: &str) {
    ui.horizontal_top(|ui| {
        let colours = theme::palette(ui.visuals().dark_mode);
        let name = RichText::new(name).size(theme::SMALL + 1.0).color(colours.weak);
        let left = egui::Layout::left_to_right(egui::Align::Min);
        ui.allocate_ui_with_layout(vec2(120.0, 18.0), left, |ui| {
            ui.set_min_width(120.0);
            ui.label(name);
        });
        ui.add(egui::Label::new(RichText::new(text).size(theme::SMALL + 1.0)).wrap());
    });
}

fn heading(ui: &mut Ui, text: &str) {
    ui.add_space(4.0);
    ui.label(RichText::new(text).size(theme::BODY).strong());
}

fn weak(ui: &mut Ui, text: &str) {
    let colours = theme::palette(ui.visuals().dark_mode);
    ui.label(RichText::new(text).size(theme::SMALL + 1.0).color(colours.weak));
}

/// A field of one line with an accessible name.
fn field(ui: &mut Ui, text: &mut String, name: &str, hint: &str, width: f32, is_secret: bool) {
    let edit = egui::TextEdit::singleline(text).hint_text(hint).password(is_secret).desired_width(width);
    let response = ui.add(edit.margin(egui::Margin::symmetric(12, 7)));
    response.widget_info(|| egui::WidgetInfo::labeled(egui::accesskit::Role::TextInput, true, name));
}
