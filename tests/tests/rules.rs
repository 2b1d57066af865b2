//! The rules of the source that a machine can check: who may import whom, how long a file may be, and where certain
//! words may stand. Each rule is a function of a file's path and text, so each is also shown a file that breaks it.

mod code;

use code::{Token, files, module_of, named_paths, root, tokens};

type Rule = fn(path: &str, text: &str) -> Vec<String>;

/// The one list; the tests below name the rules through it.
const RULES: [(&str, Rule); 10] = [
    ("imports point down", imports_point_down),
    ("no file over 500 lines", files_are_short),
    ("bevy only from world up", bevy_stays_up),
    ("str0m only in the transport", str0m_stays_in_the_transport),
    ("one clock", one_clock),
    ("unsafe only in the named files", unsafe_is_listed),
    ("no panic on network input", network_input_never_panics),
    ("no lock in a callback", callbacks_take_no_lock),
    ("nothing left open", nothing_is_left_open),
    ("no paths of a machine", no_paths_of_a_machine),
];

/// Where `unsafe` may stand, for the reason given at the top of each file.
const UNSAFE_FILES: [&str; 6] = [
    "engine/src/base/thread.rs",
    "engine/src/codec/h264/encoder.rs",
    "engine/src/device/quiet.rs",
    "engine/src/device/tests.rs",
    "tests/src/bin/proof/jitter/clock.rs",
    "tests/tests/steady.rs",
];

/// A file that does not fit on a few screens has more than one subject.
const MOST_LINES: usize = 500;

#[test]
fn the_source_keeps_every_rule() {
    let files = files(&root());
    assert!(files.iter().any(|(path, _)| path == "engine/src/lib.rs"), "the source was not found");
    let broken: Vec<String> = files
        .iter()
        .flat_map(|(path, text)| RULES.iter().flat_map(|(_, rule)| rule(path, text)))
        .chain(stale_unsafe_entries(&files))
        .collect();
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

#[test]
fn every_planted_violation_is_caught() {
    let long = "\n".repeat(MOST_LINES + 1);
    let todo = format!("// {}: later", ["TO", "DO"].concat());
    let machine = format!("const DIR: &str = \"/{}/ada/calls\";", "home");
    let planted: &[(&str, &str, &str)] = &[
        ("imports point down", "engine/src/base/id.rs", "use crate::media::mix::Mixer;"),
        ("imports point down", "engine/src/proto/nal.rs", "use crate::media::encoded::Unit;"),
        ("imports point down", "engine/src/media/mix.rs", "use crate::{base::id::CallId, layout::grid};"),
        ("imports point down", "engine/src/net/udp.rs", "fn f() { let _ = crate::codec::worker::x(); }"),
        ("imports point down", "engine/src/voice/far.rs", "use crate::device::Loudspeaker;"),
        ("imports point down", "engine/src/codec/worker.rs", "#[cfg(test)] mod tests { use crate::source::Card; }"),
        ("imports point down", "engine/src/world/call.rs", "use crate::systems::pump;"),
        ("imports point down", "engine/src/systems/pump.rs", "use super::{flush::drain};"),
        ("imports point down", "engine/src/systems/pump.rs", "mod inner { use super::super::flush::drain; }"),
        ("imports point down", "engine/src/systems/pump.rs", "use crate::systems::schedule;"),
        ("imports point down", "engine/src/systems/mod.rs", "use crate::roles::client;"),
        ("imports point down", "engine/src/roles/client/mod.rs", "use crate::engine::Engine;"),
        ("imports point down", "engine/src/roles/client/calls.rs", "use crate::roles::chat::Line;"),
        ("imports point down", "engine/src/roles/client/mod.rs", "use super::relay::Forward;"),
        ("imports point down", "engine/src/service/read.rs", "use crate::roles::chat::Hall;"),
        ("imports point down", "engine/src/roles/pals/mod.rs", "use crate::roles::accounts::Hashers;"),
        ("imports point down", "engine/src/roles/chat/mod.rs", "use crate::server::Serving;"),
        ("imports point down", "engine/src/people/session.rs", "use crate::world::call::CallState;"),
        ("imports point down", "engine/src/net/service/https.rs", "use crate::people::People;"),
        ("imports point down", "engine/src/handle.rs", "use crate::engine::Engine;"),
        ("imports point down", "engine/src/net/tcp.rs", "use crate as me;"),
        ("no file over 500 lines", "shaders/tile.wgsl", &long),
        ("bevy only from world up", "engine/src/media/mix.rs", "use bevy_ecs::world::World;"),
        ("bevy only from world up", "app/src/window.rs", "use bevy_ecs::world::World;"),
        ("str0m only in the transport", "engine/src/systems/pump.rs", "use str0m::Rtc;"),
        ("one clock", "engine/src/net/udp.rs", "let at = std::time::Instant::now();"),
        ("one clock", "app/src/window.rs", "use std::time::Instant as I; let at = Instant :: now;"),
        ("one clock", "app/src/window.rs", "let age = self.shown.elapsed();"),
        ("one clock", "engine/src/net/udp.rs", "#[cfg(not(test))] fn f() { SystemTime::now(); }"),
        ("unsafe only in the named files", "engine/src/net/udp.rs", "unsafe { libc::close(0) };"),
        ("no panic on network input", "engine/src/proto/nal.rs", "let n = bytes.first().unwrap();"),
        ("no panic on network input", "engine/src/net/tls.rs", "#[cfg(test)] mod tests {} fn f() { panic!(\"x\") }"),
        ("no lock in a callback", "engine/src/device/callback.rs", "shared.marks.lock().push(mark);"),
        ("nothing left open", "README.md", &todo),
        ("no paths of a machine", "engine/src/store/file.rs", &machine),
    ];
    for (name, path, text) in planted {
        let rule = RULES.iter().find(|(known, _)| known == name).expect("a rule of the list").1;
        assert_eq!(rule(path, text).len(), 1, "{name}: {path}: {text}");
    }
    for (name, _) in RULES {
        assert!(planted.iter().any(|(planted, ..)| *planted == name), "{name}: no violation is planted");
    }
}

#[test]
fn what_is_allowed_is_not_reported() {
    for (path, text) in [
        ("engine/src/media/jitter_video.rs", "use crate::proto::{rtp_h264::Packet, unit_ext};"),
        ("engine/src/layout/grid.rs", "use crate::media::video::Picture;"),
        ("engine/src/systems/mod.rs", "use crate::systems::pump; use crate::world::stage::Stage;"),
        ("engine/src/systems/tests.rs", "use super::{pump, schedule};"),
        ("engine/src/systems/pump.rs", "fn f() {} mod tests { use super::f; }"),
        ("engine/src/roles/client/report.rs", "use super::media; use crate::roles::client::calls;"),
        ("engine/src/engine.rs", "use crate::handle::Handle; use crate::roles::client;"),
        ("app/src/main.rs", "use engine::engine::Engine;"),
        ("engine/src/net/transport/webrtc.rs", "use str0m::Rtc; // crate::codec::worker"),
        ("engine/src/base/time.rs", "pub fn now() -> Instant { Instant::now() }"),
        ("engine/src/net/bucket.rs", "#[cfg(test)] mod tests { fn f() { Instant::now(); panic!(); } }"),
        ("engine/src/net/tls.rs", "fn f<'a>(x: &'a str) -> char { log(r#\"unsafe .unwrap()\"#); '\"' } /* unsafe */"),
    ] {
        let broken: Vec<String> = RULES.iter().flat_map(|(_, rule)| rule(path, text)).collect();
        assert!(broken.is_empty(), "{broken:?}");
    }
}

/// base < proto, media, layout < the neighbours < world < systems < roles < engine and handle < app.
fn imports_point_down(path: &str, text: &str) -> Vec<String> {
    let (inside, krate) = match path.split_once("/src/") {
        Some(("engine", inside)) if inside.ends_with(".rs") => (inside, "visavis_engine"),
        // What the binary may see of the engine is everything; what it has of its own lies above.
        _ => return Vec::new(),
    };
    let module = module_of(inside);
    let words = tokens(text);
    let renamed = words.windows(2).filter(|pair| pair[0].text == "crate" && pair[1].text == "as");
    let renamed = renamed.map(|pair| report(path, pair[0].line, "the crate under another name hides what is imported"));
    named_paths(&words, &module, krate)
        .iter()
        .filter_map(|named| Some(report(path, named.line, &why_not(&module, &named.path)?)))
        .chain(renamed)
        .collect()
}

/// Why the module `from` may not name `to`; `None` when it may.
fn why_not(from: &[String], to: &[String]) -> Option<String> {
    let part = |module: &[String], n: usize| module.get(n).cloned().unwrap_or_default();
    let (own, other) = (part(from, 0), part(to, 0));
    // The front page of the crate names its parts.
    let own_place = place(&own)?;
    let refused = |why: &str| Some(format!("{} names {}: {why}", from.join("::"), to.join("::")));
    let Some(other_place) = place(&other) else {
        return refused("the root of the crate offers nothing of its own");
    };
    if own == other {
        let (own_part, other_part) = (part(from, 1), part(to, 1));
        // Their `mod.rs`, which has no second part, ties the parts together; its tests see what it sees.
        let ties = own_part.is_empty() || own_part == "tests" || own_part == other_part;
        return match own.as_str() {
            "systems" if !ties => refused("a system imports no other system and not their table"),
            "roles" if !ties => refused("roles never import each other"),
            _ => None,
        };
    }
    match own_place.cmp(&other_place) {
        std::cmp::Ordering::Greater => None,
        std::cmp::Ordering::Equal => refused("neighbours never import each other"),
        std::cmp::Ordering::Less => refused("imports point down only"),
    }
}

/// How high a part of the engine stands. Equal: neighbours that do not know each other.
fn place(part: &str) -> Option<usize> {
    const PLACES: [&[&str]; 11] = [
        &["base"],
        // These three are one storey, with stairs: units are parsed, then buffered, then laid out.
        &["proto"],
        &["media"],
        &["layout"],
        &["net", "codec", "source", "device", "voice", "render", "store", "bus"],
        &["people"],
        &["world"],
        &["systems"],
        &["service"],
        &["roles"],
        &["handle"],
    ];
    match part {
        "engine" | "server" => Some(PLACES.len()),
        "lab" => Some(PLACES.len() + 1),
        // Its tests record calls in the laboratory.
        "replay" => Some(PLACES.len() + 2),
        _ => PLACES.iter().position(|parts| parts.contains(&part)),
    }
}

fn files_are_short(path: &str, text: &str) -> Vec<String> {
    let lines = text.lines().count();
    if !(path.ends_with(".rs") || path.ends_with(".wgsl")) || lines <= MOST_LINES {
        return Vec::new();
    }
    vec![report(path, lines, "over 500 lines: split it by noun")]
}

fn bevy_stays_up(path: &str, text: &str) -> Vec<String> {
    const ABOVE: [&str; 11] = [
        "world/",
        "systems/",
        "service/",
        "roles/",
        "engine.rs",
        "engine/",
        "handle.rs",
        "lab/",
        "replay/",
        "server.rs",
        "server/",
    ];
    let is_above = path.strip_prefix("engine/src/").is_some_and(|inside| ABOVE.iter().any(|up| inside.starts_with(up)));
    // Tests and benches build worlds of their own.
    if !is_product(path) || is_above {
        return Vec::new();
    }
    words(path, text, "bevy is known from world/ up only", |word| word.text.starts_with("bevy_"))
}

fn str0m_stays_in_the_transport(path: &str, text: &str) -> Vec<String> {
    if !is_product(path) || path.starts_with("engine/src/net/transport/") {
        return Vec::new();
    }
    words(path, text, "str0m is known to net/transport only", |word| {
        word.text.starts_with("str0m") && word.text != "str0m_netem"
    })
}

fn one_clock(path: &str, text: &str) -> Vec<String> {
    if !path.ends_with(".rs") || path == "engine/src/base/time.rs" || is_test_file(path) {
        return Vec::new();
    }
    let words = tokens(text);
    let reads = |at: usize| {
        let word = |n: usize| words.get(at + n).map_or("", |word| word.text.as_str());
        let now = matches!(word(0), "Instant" | "SystemTime") && word(1) == "::" && word(2) == "now";
        now || (word(0) == "." && word(1) == "elapsed" && word(2) == "(")
    };
    let found = (0..words.len()).filter(|&at| !words[at].in_test && reads(at));
    found.map(|at| report(path, words[at].line, "only base/time.rs reads a clock; time is an argument")).collect()
}

fn unsafe_is_listed(path: &str, text: &str) -> Vec<String> {
    if UNSAFE_FILES.contains(&path) {
        return Vec::new();
    }
    words(path, text, "unsafe outside the named files", |word| word.text == "unsafe")
}

fn stale_unsafe_entries(files: &[(String, String)]) -> Vec<String> {
    let has =
        |path: &str, text: &str| tokens(text).iter().any(|word| word.text == "unsafe") && UNSAFE_FILES.contains(&path);
    let used: Vec<&str> = files.iter().filter(|(path, text)| has(path, text)).map(|(path, _)| path.as_str()).collect();
    let stale = UNSAFE_FILES.iter().filter(|path| !used.contains(path));
    stale.map(|path| report(path, 1, "listed for unsafe and has none")).collect()
}

fn network_input_never_panics(path: &str, text: &str) -> Vec<String> {
    const PANICS: [&str; 4] = ["panic", "unreachable", concat!("to", "do"), "unimplemented"];
    let is_input = path.starts_with("engine/src/proto/") || path.starts_with("engine/src/net/");
    if !is_input || is_test_file(path) {
        return Vec::new();
    }
    let words = tokens(text);
    let panics = words.windows(3).filter(|three| {
        let [first, second, third] = three else { return false };
        let unwraps = first.text == "." && second.text == "unwrap" && third.text == "(";
        !first.in_test && (unwraps || (PANICS.contains(&first.text.as_str()) && second.text == "!"))
    });
    panics.map(|three| report(path, three[0].line, "network input never panics: count it and drop it")).collect()
}

/// A lock that nobody else holds makes no system call, so running the callbacks does not find it.
fn callbacks_take_no_lock(path: &str, text: &str) -> Vec<String> {
    const LOCKS: [&str; 7] = ["Mutex", "RwLock", "Condvar", "lock", "OnceLock", "LazyLock", "ReentrantLock"];
    if !matches!(path, "engine/src/device/callback.rs" | "engine/src/device/choose.rs") {
        return Vec::new();
    }
    words(path, text, "a device's callback takes no lock", |word| LOCKS.contains(&word.text.as_str()))
}

fn nothing_is_left_open(path: &str, text: &str) -> Vec<String> {
    // In two pieces each, or this file would break its own rule.
    let marks = [["TO", "DO"].concat(), ["FIX", "ME"].concat(), ["XX", "X"].concat()];
    let is_open = |line: &str| line.split(|c: char| !c.is_alphanumeric()).any(|word| marks.iter().any(|m| m == word));
    lines(path, text, "finish it or open an issue", is_open)
}

fn no_paths_of_a_machine(path: &str, text: &str) -> Vec<String> {
    let places = ["home", "root", "Users", "work"].map(|folder| format!("/{folder}/"));
    let up = format!("..{}", "/shared");
    let begins = |line: &str, at: usize| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "_-.~}$".contains(c));
    let names_one = |line: &str| {
        let absolute = |place: &String| line.match_indices(place.as_str()).any(|(at, _)| begins(line, at));
        line.contains(&up) || places.iter().any(absolute)
    };
    lines(path, text, "a path that only one machine has", names_one)
}

/// The engine and the binary: what ships.
fn is_product(path: &str) -> bool {
    path.starts_with("engine/") || path.starts_with("app/")
}

fn is_test_file(path: &str) -> bool {
    path.starts_with("tests/") || path.contains("/tests/") || path.ends_with("/tests.rs") || path.ends_with("_tests.rs")
}

/// Reports each word of a Rust file that `is_wrong`.
fn words(path: &str, text: &str, why: &str, is_wrong: impl Fn(&Token) -> bool) -> Vec<String> {
    if !path.ends_with(".rs") {
        return Vec::new();
    }
    tokens(text).iter().filter(|word| is_wrong(word)).map(|word| report(path, word.line, why)).collect()
}

/// Reports each line of a text file that `is_wrong`.
fn lines(path: &str, text: &str, why: &str, is_wrong: impl Fn(&str) -> bool) -> Vec<String> {
    // What a run leaves behind in the folder (reports, logs) is not ours to judge.
    const WRITTEN: [&str; 6] = ["rs", "wgsl", "toml", "md", "sh", "yml"];
    let ending = path.rsplit(['.', '/']).next().unwrap_or_default();
    if !(WRITTEN.contains(&ending) || matches!(path, "Makefile" | ".ci/run")) {
        return Vec::new();
    }
    let numbered = text.lines().enumerate().filter(|(_, line)| is_wrong(line));
    numbered.map(|(n, _)| report(path, n + 1, why)).collect()
}

fn report(path: &str, line: usize, why: &str) -> String {
    format!("{path}:{line}: {why}")
}
