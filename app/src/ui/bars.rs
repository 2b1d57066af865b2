//! The bar above the picture (who, how long, how good), the bar below it (the controls), and the device panel.

use egui::accesskit::Role;
use egui::{Align2, Pos2, Rect, ScrollArea, Sense, StrokeKind, Ui, UiBuilder, WidgetInfo, pos2, vec2};
use engine::base::time::{Duration, Instant};
use engine::handle::Command;
use engine::layout::snapshot::{Controls, Party, Quality, TileView, ViewSnapshot};
use engine::media::switches::Switches;

use super::icons::Icon;
use super::widgets::{Tone, card, icon_button, label, paint_text};
use super::{UiState, checks, theme, tiles};

pub fn top(ui: &mut Ui, screen: Rect, snapshot: &ViewSnapshot, peer: &str, now: Instant) {
    let colours = theme::palette(ui.visuals().dark_mode);
    let bar = Rect::from_min_size(screen.min, vec2(screen.width(), theme::TOP_BAR)).shrink2(vec2(20.0, 0.0));
    let half = Rect::from_min_max(bar.min, pos2(bar.left() + bar.width() * 0.45, bar.bottom()));
    label(ui, half, Align2::LEFT_CENTER, peer, theme::LEAD, colours.text);
    if let Some(since) = snapshot.in_call_since {
        let time = now.saturating_duration_since(since);
        // The clock goes on where no picture comes.
        ui.ctx().request_repaint_after(Duration::from_millis(1000 - u64::from(time.subsec_millis())));
        let seconds = time.as_secs();
        label(ui, bar, Align2::CENTER_CENTER, &duration(seconds), theme::BODY, colours.weak);
    }
    let quality = snapshot.tiles.iter().filter(|tile| tile.party == Party::Remote).map(|tile| tile.quality).min();
    let quality = quality.unwrap_or(Quality::Unknown);
    let right = Rect::from_min_max(pos2(bar.right() - bar.width() * 0.4, bar.top()), bar.max);
    let word = label(ui, right, Align2::RIGHT_CENTER, tiles::quality_word(quality), theme::BODY, colours.weak);
    tiles::quality(ui.painter(), pos2(word.left() - 24.0, bar.center().y + 5.5), quality, colours.text);
}

pub fn bottom(ui: &mut Ui, screen: Rect, snapshot: &ViewSnapshot, state: &mut UiState, commands: &mut Vec<Command>) {
    let controls = &snapshot.controls;
    close_beside(ui, screen, state);
    let wide = theme::CONTROL + 20.0;
    let total = 5.0 * theme::CONTROL + wide + 5.0 * theme::GAP;
    let middle = screen.bottom() - theme::BOTTOM_BAR / 2.0;
    let mut x = screen.center().x - total / 2.0;
    let mut next = |width: f32| {
        let rect = Rect::from_min_size(pos2(x, middle - theme::CONTROL / 2.0), vec2(width, theme::CONTROL));
        x += width + theme::GAP;
        rect
    };
    let off = |off: bool| if off { Tone::Pressed } else { Tone::Plain };
    let (icon, name) = match controls.muted {
        true => (Icon::MicrophoneOff, "Unmute microphone"),
        false => (Icon::Microphone, "Mute microphone"),
    };
    if icon_button(ui, next(theme::CONTROL), icon, off(controls.muted), name, &format!("{name} (M)")) {
        commands.push(Command::Mute(!controls.muted));
    }
    let (icon, name) = match controls.camera_off {
        true => (Icon::CameraOff, "Turn camera on"),
        false => (Icon::Camera, "Turn camera off"),
    };
    if icon_button(ui, next(theme::CONTROL), icon, off(controls.camera_off), name, &format!("{name} (V)")) {
        commands.push(Command::CameraOff(!controls.camera_off));
    }
    let devices = next(theme::CONTROL);
    devices_button(ui, devices, state);
    let name = if state.latency_open { "Hide latency" } else { "Show latency" };
    let rect = next(theme::CONTROL);
    if icon_button(ui, rect, Icon::Latency, off(state.latency_open), name, &format!("{name} (L)")) {
        state.latency_open = !state.latency_open;
    }
    let name = if state.files_open { "Hide files" } else { "Send a file" };
    if icon_button(ui, next(theme::CONTROL), Icon::File, off(state.files_open), name, name) {
        state.files_open = !state.files_open;
    }
    if icon_button(ui, next(wide), Icon::HangUp, Tone::Danger, "Hang up", "Hang up (Esc)") {
        commands.push(Command::HangUp);
    }
    if state.devices_open {
        let other = snapshot.tiles.iter().find(|tile| tile.party == Party::Remote);
        panel(ui, screen, (devices.center(), true), (controls, other), commands);
    }
}

/// Without a call there are only the devices to see to.
pub fn idle(ui: &mut Ui, screen: Rect, controls: &Controls, state: &mut UiState, commands: &mut Vec<Command>) {
    close_beside(ui, screen, state);
    if state.devices_open {
        // The card behind the panel steps back.
        let colours = theme::palette(ui.visuals().dark_mode);
        ui.painter().rect_filled(screen, 0.0, colours.background.gamma_multiply(0.8));
    }
    let middle = pos2(screen.center().x, screen.bottom() - theme::BOTTOM_BAR / 2.0);
    let shift = vec2(theme::CONTROL + theme::GAP, 0.0);
    let place = |at: Pos2| Rect::from_center_size(at, vec2(theme::CONTROL, theme::CONTROL));
    devices_button(ui, place(middle - shift), state);
    people_button(ui, place(middle), state);
    network_button(ui, place(middle + shift), state);
    if state.devices_open {
        panel(ui, screen, (middle - shift, false), (controls, None), commands);
    }
}

fn devices_button(ui: &mut Ui, rect: Rect, state: &mut UiState) {
    let tone = if state.devices_open { Tone::Pressed } else { Tone::Plain };
    if icon_button(ui, rect, Icon::Devices, tone, "Devices", "Microphone, speaker, camera") {
        state.devices_open = !state.devices_open;
    }
}

fn people_button(ui: &mut Ui, rect: Rect, state: &mut UiState) {
    let tone = if state.people.open { Tone::Pressed } else { Tone::Plain };
    let news = state.people.news();
    let hint = if news == 0 { "Pals, rooms, messages, account".to_owned() } else { format!("{news} new") };
    if icon_button(ui, rect, Icon::People, tone, "People", &hint) {
        state.people.open = !state.people.open;
    }
    if news > 0 {
        let colours = theme::palette(ui.visuals().dark_mode);
        ui.painter().circle_filled(rect.right_top() + vec2(-6.0, 6.0), 6.0, colours.danger);
    }
}

fn network_button(ui: &mut Ui, rect: Rect, state: &mut UiState) {
    let tone = if state.network.open { Tone::Pressed } else { Tone::Plain };
    if icon_button(ui, rect, Icon::Network, tone, "Networking", "Addresses, ports, proxy, network test") {
        state.network.open = !state.network.open;
    }
}

/// A click beside the panel closes it; what is added later lies above this.
fn close_beside(ui: &mut Ui, screen: Rect, state: &mut UiState) {
    if state.devices_open && ui.interact(screen, ui.scope_id().with("beside the devices"), Sense::click()).clicked() {
        state.devices_open = false;
    }
}

const ROW: f32 = 32.0;
const HEADING: f32 = 28.0;

fn panel(
    ui: &mut Ui,
    screen: Rect,
    (above, in_call): (Pos2, bool),
    (controls, other): (&Controls, Option<&TileView>),
    commands: &mut Vec<Command>,
) {
    type Choose = fn(Option<String>) -> Command;
    let camera: Choose = |name| Command::Camera(name.unwrap_or_default());
    // With what the system's default is at present, where there is one to choose.
    let sections: [(&str, &[String], &str, Option<&str>, Choose); 3] = [
        (
            "Microphone",
            &controls.microphones,
            &controls.microphone,
            Some(&controls.microphone_now),
            Command::Microphone,
        ),
        ("Speaker", &controls.speakers, &controls.speaker, Some(&controls.speaker_now), Command::Speaker),
        ("Camera", &controls.cameras, &controls.camera, None, camera),
    ];
    let rows = |list: &[String], now: Option<&str>| list.len().max(1) + usize::from(now.is_some() && !list.is_empty());
    let lists: f32 = sections.iter().map(|(_, list, _, now, _)| HEADING + ROW * rows(list, *now) as f32).sum();
    let own = controls.processing;
    let switches = [
        ("Cancel echo", own.echo, Switches { echo: !own.echo, ..own }),
        ("Suppress noise", own.noise, Switches { noise: !own.noise, ..own }),
        ("Keep my voice at one level", own.gain, Switches { gain: !own.gain, ..own }),
    ];
    let others = if other.is_some() { HEADING + ROW + checks::VOLUME } else { 0.0 };
    let shares = if controls.shares.is_empty() { 0.0 } else { HEADING + ROW * (controls.shares.len() + 1) as f32 };
    let content =
        lists + shares + HEADING + ROW * (1 + switches.len()) as f32 + checks::METER + checks::BUTTONS + others;
    let bottom = screen.bottom() - theme::BOTTOM_BAR;
    let room = bottom - screen.top() - theme::GAP;
    let size = vec2(300.0_f32.min(screen.width() - 2.0 * theme::GAP), (content + 20.0).min(room));
    let left = (above.x - size.x / 2.0).clamp(screen.left() + theme::GAP, screen.right() - theme::GAP - size.x);
    let rect = Rect::from_min_size(pos2(left, bottom - size.y), size);
    // Takes clicks on the panel's own surface, which would otherwise close it.
    ui.interact(rect, ui.scope_id().with("devices panel"), Sense::click());
    card(ui, rect);
    let inner = rect.shrink2(vec2(10.0, 10.0));
    ui.scope_builder(UiBuilder::new().max_rect(inner), |ui| {
        ScrollArea::vertical().max_height(inner.height()).auto_shrink(false).show(ui, |ui| {
            ui.spacing_mut().item_spacing = vec2(0.0, 0.0);
            for (kind, list, chosen, now, command) in sections {
                heading(ui, kind);
                if list.is_empty() {
                    row(ui, &format!("No {} found", kind.to_lowercase()), "", false);
                } else if let Some(now) = now {
                    let is_chosen = chosen == Controls::DEFAULT;
                    let named = is_chosen && !now.is_empty();
                    let text = if named { format!("System default ({now})") } else { "System default".to_owned() };
                    if row(ui, &text, &format!("{kind}: System default"), is_chosen) {
                        commands.push(command(None));
                    }
                }
                for name in list {
                    if row(ui, name, &format!("{kind}: {name}"), name == chosen) {
                        commands.push(command(Some(name.clone())));
                    }
                }
                match kind {
                    "Microphone" => checks::meter(ui, controls),
                    "Speaker" => checks::buttons(ui, controls, in_call, commands),
                    _ => {}
                }
            }
            if let Some(other) = other {
                heading(ui, &other.name);
                checks::volume(ui, other, commands);
                if check_box(ui, "Do not play", other.hushed) {
                    commands.push(Command::Hush(other.id, !other.hushed));
                }
            }
            if !controls.shares.is_empty() {
                heading(ui, "Share beside the camera");
            }
            for name in &controls.shares {
                let is_shared = *name == controls.shared;
                // A title may be anything.
                let text = match name.strip_prefix("window:") {
                    Some(title) => format!("Share window {title}"),
                    None => format!("Share {name}"),
                };
                if check_box(ui, &text, is_shared) {
                    commands.push(Command::Share((!is_shared).then(|| name.clone())));
                }
            }
            if !controls.shares.is_empty() && check_box(ui, "Smooth instead of sharp", controls.screen_motion) {
                commands.push(Command::ScreenMotion(!controls.screen_motion));
            }
            heading(ui, "My sound");
            if check_box(ui, "Music: stereo, as it is", controls.music) {
                commands.push(Command::Music(!controls.music));
            }
            // Of music nothing is taken away.
            for (name, on, switched) in switches.iter().filter(|_| !controls.music) {
                if check_box(ui, name, *on) {
                    commands.push(Command::Processing(*switched));
                }
            }
        });
    });
}

fn heading(ui: &mut Ui, text: &str) {
    let colours = theme::palette(ui.visuals().dark_mode);
    let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), HEADING), Sense::hover());
    label(ui, rect.shrink2(vec2(10.0, 0.0)), Align2::LEFT_CENTER, text, theme::SMALL, colours.weak);
}

/// One device; without an accessible name it is only a remark.
fn row(ui: &mut Ui, text: &str, name: &str, chosen: bool) -> bool {
    let colours = theme::palette(ui.visuals().dark_mode);
    let sense = if name.is_empty() { Sense::hover() } else { Sense::click() };
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), ROW), sense);
    if !name.is_empty() {
        response.widget_info(|| WidgetInfo::selected(Role::RadioButton, true, chosen, name));
        if response.hovered() || response.has_focus() {
            ui.painter().rect_filled(rect, 8.0, colours.control);
        }
        let dot = pos2(rect.left() + 18.0, rect.center().y);
        ui.painter().circle_stroke(dot, 5.5, (1.5, if chosen { colours.accent } else { colours.weak }));
        if chosen {
            ui.painter().circle_filled(dot, 3.0, colours.accent);
        }
    }
    let room = Rect::from_min_max(pos2(rect.left() + 34.0, rect.top()), pos2(rect.right() - 8.0, rect.bottom()));
    let colour = if name.is_empty() { colours.weak } else { colours.text };
    paint_text(ui.painter(), room, Align2::LEFT_CENTER, text, theme::BODY, colour);
    response.clicked()
}

/// Something that is on or off.
fn check_box(ui: &mut Ui, name: &str, on: bool) -> bool {
    let colours = theme::palette(ui.visuals().dark_mode);
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), ROW), Sense::click());
    response.widget_info(|| WidgetInfo::selected(Role::CheckBox, true, on, name));
    if response.hovered() || response.has_focus() {
        ui.painter().rect_filled(rect, 8.0, colours.control);
    }
    let square = Rect::from_center_size(pos2(rect.left() + 18.0, rect.center().y), vec2(11.0, 11.0));
    let stroke = (1.5, if on { colours.accent } else { colours.weak });
    ui.painter().rect_stroke(square, 2.0, stroke, StrokeKind::Middle);
    if on {
        ui.painter().rect_filled(square.shrink(2.5), 1.0, colours.accent);
    }
    let room = Rect::from_min_max(pos2(rect.left() + 34.0, rect.top()), pos2(rect.right() - 8.0, rect.bottom()));
    paint_text(ui.painter(), room, Align2::LEFT_CENTER, name, theme::BODY, colours.text);
    response.clicked()
}

/// `m:ss`, from an hour on `h:mm:ss`.
fn duration(seconds: u64) -> String {
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}
