//! Shows the window with made-up parties, to look at: `look PHASE [dark|light] [WIDTHxHEIGHT] [SCALE] [FILE.png]`.
//! PHASE: idle, network, pals, rooms, inbox, account (with the panel of the service's people), devices (with their panel), out, in, connecting, call, panel (a call with the devices' panel), group, off,
//! reconnecting, ended, live (a new picture 30 times a second).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use engine::base::id::TileId;
use engine::base::pipe::Wake;
use engine::base::rate::Bitrate;
use engine::base::time::{Duration, now};
use engine::handle::{Notice, link};
use engine::layout::snapshot::{Controls, LatencyView, Party, PathView, Phase, Quality, TileView, ViewSnapshot};
use engine::media::video::Picture;
use engine::people::command::State;
use engine::people::trust::Trust;
use engine::people::view::{PalView, View};
use engine::proto::keys::PublicKey;
use engine::proto::lan::Neighbour;
use engine::proto::service::chat::Room;
use engine::proto::service::names::{AccountName, Key, Millis, Person, RoomId, Seq};
use engine::proto::service::pals::{Asked, Pal, Presence};
use engine::proto::text::{Prose, Text};
use engine::store::mailbox::{Kept, Received};
use visavis_app::testing::TestOptions;
use visavis_app::ui::people::Tab;
use visavis_app::window::{WindowLoop, WindowOptions};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument = |index: usize, default: &str| arguments.get(index).map_or(default, String::as_str).to_owned();
    let (phase, size) = (argument(0, "call"), argument(2, "1280x800"));
    let (width, height) = size.split_once('x').ok_or("a size is WIDTHxHEIGHT")?;
    // Opening a window on software graphics takes a second; a live one is looked at for five.
    let (shot, end) = if phase == "live" { (5000, 6000) } else { (700, 1500) };
    let options = WindowOptions {
        own_name: "Robin".to_owned(),
        width: width.parse()?,
        height: height.parse()?,
        theme: if argument(1, "dark") == "light" { egui::ThemePreference::Light } else { egui::ThemePreference::Dark },
        scale: arguments.get(3).map(|scale| scale.parse()).transpose()?,
        show_latency: phase == "call",
        show_devices: matches!(phase.as_str(), "devices" | "panel"),
        show_people: match phase.as_str() {
            "pals" => Some(Tab::Pals),
            "rooms" => Some(Tab::Rooms),
            "inbox" => Some(Tab::Inbox),
            "account" => Some(Tab::Account),
            _ => None,
        },
        show_network: phase == "network",
        // Without a service: nothing is sent.
        network: (phase == "network").then(|| TestOptions {
            data: std::env::temp_dir(),
            service: None,
            proxies: Arc::default(),
        }),
        screenshot: arguments.get(4).map(|path| (path.into(), Duration::from_millis(shot))),
        run_for: arguments.get(4).map(|_| Duration::from_millis(end)),
        ..Default::default()
    };
    let window = WindowLoop::new()?;
    let redraw = window.redraw_hook();
    let (app, engine) = link(Wake::none(), redraw.clone());
    let snapshot = made_up(&phase);
    engine.view.put(Arc::new(snapshot.clone()));
    engine.people.put(Arc::new(if phase == "account" { View::default() } else { people() }));
    engine.neighbours.put(Arc::new(vec![Neighbour {
        name: "Grace".to_owned(),
        key: PublicKey([7; 32]),
        base: 2000,
        addresses: vec!["192.168.1.23".parse()?],
    }]));
    let told = engine.notices.try_send(Notice::Listening { base_port: 2000 });
    told.map_err(|_| "a new pipe takes a notice")?;
    redraw();
    let ended = Arc::new(AtomicBool::new(false));
    let (view, stop) = (engine.view.clone(), ended.clone());
    let publish = move || {
        let mut snapshot = snapshot;
        while !stop.load(Ordering::Acquire) {
            snapshot.number += 1;
            snapshot.tiles[0].frame += 1;
            view.put(Arc::new(snapshot.clone()));
            redraw();
            std::thread::sleep(Duration::from_millis(33));
        }
    };
    let publisher = match phase.as_str() {
        "live" => Some(std::thread::Builder::new().name("publisher".to_owned()).spawn(publish)?),
        _ => None,
    };
    let report = window.run(app, options);
    ended.store(true, Ordering::Release);
    if let Some(publisher) = publisher {
        publisher.join().map_err(|_| "the publisher panicked")?;
    }
    println!("{:?}", report?);
    Ok(())
}

fn made_up(phase: &str) -> ViewSnapshot {
    let peer = "Ada Lovelace".to_owned();
    let others = ["Grace Hopper", "Alan Turing", "Edsger Dijkstra", "Barbara Liskov"];
    let remotes = if phase == "group" { others.len() + 1 } else { 1 };
    let mut tiles: Vec<TileView> = (0..remotes)
        .map(|index| {
            let name = if index == 0 { peer.as_str() } else { others[index - 1] };
            tile(index as u64 + 1, name, Party::Remote, Some(painted(index as u32)))
        })
        .collect();
    tiles.push(tile(100, "Robin", Party::Local, Some(painted(9))));
    tiles[0].level = if phase == "group" { 0.2 } else { 0.0 };
    if phase == "off" || phase == "group" {
        let last = tiles.len() - 2;
        tiles[last].picture = None;
        tiles[last].camera_off = true;
        tiles[last].muted = true;
        tiles[last].quality = Quality::Fair;
    }
    ViewSnapshot {
        number: 1,
        tiles,
        phase: match phase {
            "idle" | "devices" | "network" | "pals" | "rooms" | "inbox" | "account" => Phase::Idle,
            "out" => Phase::RingingOut { peer },
            "in" => Phase::RingingIn { peer, verified: false },
            "connecting" => Phase::Connecting { peer },
            "reconnecting" => Phase::Reconnecting { peer },
            "ended" => Phase::Ended {
                peer,
                outcome: "unreachable".to_owned(),
                reason: "Nobody answers at 192.0.2.7:2000. Is the program running there?".to_owned(),
            },
            _ => Phase::InCall { peer },
        },
        controls: Controls {
            muted: phase == "off",
            camera_off: phase == "off",
            microphones: vec!["Built-in microphone".to_owned(), "USB headset".to_owned()],
            microphone: "USB headset".to_owned(),
            microphone_now: "USB headset".to_owned(),
            microphone_level: Some(0.62),
            speakers: vec!["Built-in speakers".to_owned(), "USB headset".to_owned()],
            speaker: Controls::DEFAULT.to_owned(),
            speaker_now: "Built-in speakers".to_owned(),
            cameras: vec!["Integrated camera".to_owned()],
            camera: "Integrated camera".to_owned(),
            ..Default::default()
        },
        latency: LatencyView {
            video_stages_ms: [Some(4.1), Some(0.9), Some(18.4), Some(1.2), Some(2.0), Some(3.6), Some(0.2), Some(6.3)],
            glass_to_glass_ms: Some(36.7),
            mouth_to_ear_ms: Some(31.0),
            audio_stages_ms: vec![("Jitter buffer", 12.0), ("Speaker ring", 5.2)],
            path: Some(PathView { to_us_ms: 21.0, to_them_ms: 16.0, uncertainty_ms: 18.5 }),
            loss: Some(0.004),
            sending: Bitrate::from_kbps(1850),
            receiving: Bitrate::from_kbps(1790),
            width: 1280,
            height: 720,
            frames_per_second: 30.0,
            busy: None,
        },
        in_call_since: now().checked_sub(Duration::from_secs(754)),
    }
}

/// Somebody's people on a service.
fn people() -> View {
    let person = |name: &str| Person {
        name: AccountName::new(name).expect("a name"),
        key: PublicKey([1; 32]),
        display: Default::default(),
    };
    let pal = |name: &str, presence, text: &str, trust| PalView {
        pal: Pal { person: person(name), presence, text: Text::cut(text), hidden: false },
        trust,
    };
    let room = |number, name: &str, topic: &str, last| Room {
        room: RoomId(number),
        name: Text::cut(name),
        topic: Text::cut(topic),
        notice: Default::default(),
        private: false,
        locked: false,
        role: Default::default(),
        last: Seq(last),
        read: Seq(4),
        members: 7,
        slow_seconds: 0,
    };
    let message = |seq, name: &str, text: &str, read| Received {
        seq: Seq(seq),
        at: Millis(1_795_806_000_000),
        from: person(name),
        key: Key::try_from("a-key-of-it".to_owned()).expect("a key"),
        read,
        message: Kept { text: Prose::cut(text), ..Kept::default() },
        trouble: String::new(),
    };
    View {
        state: State::Online,
        service: "chat.example.org".to_owned(),
        person: Some(person("robin")),
        presence: Presence::Online,
        pals: vec![
            pal("ada", Presence::Online, "", Trust::Verified),
            pal("barbara", Presence::Busy, "in a meeting until four", Trust::Unverified),
            pal("edsger", Presence::Offline, "", Trust::Changed),
        ],
        asked: vec![Asked { person: person("grace"), note: Text::cut("We met at the harbour.") }],
        rooms: vec![room(3, "bridges", "old ones", 4), room(9, "compilers", "", 11)],
        inbox: vec![message(1, "ada", "See you at eight?", true), message(2, "grace", "It was a moth.", false)],
        ..View::default()
    }
}

fn tile(id: u64, name: &str, party: Party, picture: Option<Picture>) -> TileView {
    TileView {
        id: TileId(id),
        name: name.to_owned(),
        party,
        picture: picture.map(Arc::new),
        frame: 1,
        unit: None,
        quality: Quality::Good,
        muted: false,
        camera_off: false,
        stands_still: false,
        too_narrow: false,
        level: 0.0,
        volume: 100,
        hushed: false,
    }
}

/// Soft hills under a sky, another hour of the day for each seed.
fn painted(seed: u32) -> Picture {
    let mut picture = Picture::new(1280, 720);
    let turn = seed as f32 * 1.3;
    for row in 0..720 {
        for column in 0..1280 {
            let (x, y) = (column as f32 / 1280.0, row as f32 / 720.0);
            let ridge = |base: f32, wave: f32, shift: f32| base + 0.06 * (x * wave + shift + turn).sin();
            let depth = [ridge(0.55, 5.0, 0.0), ridge(0.68, 7.0, 2.0), ridge(0.82, 4.0, 4.0)];
            let hills = depth.iter().filter(|edge| y > **edge).count() as f32;
            let (luma, warm) =
                if hills > 0.0 { (120.0 - hills * 26.0, -0.3) } else { (225.0 - 90.0 * (1.0 - y), 0.5 - y) };
            picture.y[row * 1280 + column] = luma as u8;
            if row % 2 == 0 && column % 2 == 0 {
                let at = row / 2 * 640 + column / 2;
                picture.u[at] = (128.0 + 42.0 * (turn + warm * 1.4).cos() - 8.0 * hills) as u8;
                picture.v[at] = (128.0 + 38.0 * (turn * 0.7 + warm * 2.0 + x * 0.6).sin()) as u8;
            }
        }
    }
    picture
}
