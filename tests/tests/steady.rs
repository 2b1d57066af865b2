//! A steady tick allocates nothing of its own. Two whole engines hold a call in virtual time, under an allocator that
//! counts what is asked of it within their ticks; asked by the transport or a codec it does not count
//! ([`engine::base::foreign`]), nor what the C libraries below them take from `malloc`.
//!
//! Left out are exactly those ticks in which a signalling message is taken or given (once a second the clocks are
//! compared): sealing and opening an envelope is no work on media.
#![allow(unsafe_code, reason = "an allocator that counts is an unsafe trait")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::backtrace::Backtrace;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use engine::base::foreign;
use engine::base::time::now;
use engine::codec::VideoCodec;
use engine::codec::worker::Work;
use engine::device::{MicrophoneSpec, SpeakerSpec};
use engine::handle::Command;
use engine::lab::{Lab, Ticked, Watch};
use engine::media::switches::Switches;
use engine::net::datagram::{Class, Inbox, Outbox};
use engine::net::impair::Impairment;
use engine::net::udp::UdpPort;
use engine::source::SourceSpec;
use engine::world::config::Config;
use engine::world::shared::Settings;
use engine::world::stats::Stats;
use visavis_tests::ports::free_base;

/// Until the rate has risen, pictures have their size and what is kept was as full as it gets.
const WARM_UP: Duration = Duration::from_secs(8);
const STEADY: Duration = Duration::from_secs(10);
/// Where the first few came from is enough to mend them.
const TRACED: usize = 50;

struct Counting;

thread_local! {
    static WITHIN: Cell<bool> = const { Cell::new(false) };
    /// What the tick that runs has asked for, by itself and inside of libraries.
    static OWN: Cell<u64> = const { Cell::new(0) };
    static FOREIGN: Cell<u64> = const { Cell::new(0) };
    static TRACES: RefCell<Vec<Backtrace>> = const { RefCell::new(Vec::new()) };
    static SEEN: RefCell<Seen> = RefCell::default();
}

/// What was counted in the ticks of both engines.
#[derive(Debug, Default)]
struct Seen {
    ticks: u64,
    own: u64,
    /// Ticks with a signalling message, which are not among those, and what they asked for.
    signalled: u64,
    for_signalling: u64,
    foreign: u64,
    traces: Vec<Backtrace>,
}

fn note() {
    if !WITHIN.get() {
        return;
    }
    if foreign::is_inside() {
        FOREIGN.set(FOREIGN.get() + 1);
        return;
    }
    OWN.set(OWN.get() + 1);
    // Taking a trace allocates too.
    WITHIN.set(false);
    TRACES.with_borrow_mut(|traces| {
        if traces.len() < TRACED {
            traces.push(Backtrace::force_capture());
        }
    });
    WITHIN.set(true);
}

// SAFETY: hands everything to the system's allocator; what is kept beside it are plain thread-locals, and while a trace
// is taken nothing is noted.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note();
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn begin() {
    OWN.set(0);
    FOREIGN.set(0);
    WITHIN.set(true);
}

fn end(tick: Ticked) {
    WITHIN.set(false);
    let traces = TRACES.take();
    SEEN.with_borrow_mut(|seen| {
        if tick.signalled {
            seen.signalled += 1;
            seen.for_signalling += OWN.get();
            return;
        }
        seen.ticks += 1;
        seen.own += OWN.get();
        seen.foreign += FOREIGN.get();
        let room = TRACED.saturating_sub(seen.traces.len());
        seen.traces.extend(traces.into_iter().take(room));
    });
}

impl Seen {
    /// The lines of our own code in which the first allocations were made, the innermost first, and how often each.
    fn places(&self) -> String {
        let mut places = BTreeMap::<String, usize>::new();
        for trace in &self.traces {
            *places.entry(place(trace)).or_default() += 1;
        }
        places.iter().map(|(place, count)| format!("{count:6} × {place}\n")).collect()
    }
}

/// The innermost lines of our own behind the allocator.
fn place(trace: &Backtrace) -> String {
    let text = trace.to_string();
    let (_, behind) = text.rsplit_once("__rust_alloc").or(text.rsplit_once("__rust_realloc")).unwrap_or(("", &text));
    // The first of the lines is the allocator's.
    let lines = behind.lines().filter_map(|line| line.trim().strip_prefix("at ")).skip(1);
    let ours = lines.filter(|at| at.contains("engine/src/") || at.contains("steady.rs"));
    ours.map(|at| at.rsplit_once("src/").map_or(at, |(_, at)| at)).take(3).collect::<Vec<_>>().join(" < ")
}

/// The real transport and codecs, inline.
fn real(config: &mut Config) {
    config.camera = Some(SourceSpec::TestCard { width: 1280, height: 720, frame_rate: 30.0 });
    (config.microphone, config.speaker) = (MicrophoneSpec::Chirp, SpeakerSpec::None);
    config.find_chirps = true;
    config.auto_answer = true;
    config.work = Work::Inline { encode: Duration::from_millis(3), decode: Duration::from_millis(2) };
}

/// Sizes instead of codecs, everything in the clear.
fn model(config: &mut Config) {
    real(config);
    (config.plain, config.codec) = (true, VideoCodec::Plain);
}

/// With all that can be done to the microphone's sound, which takes chirps that both sides send at once for echoes.
fn processed(config: &mut Config) {
    model(config);
    config.processing = Some(Switches::ON);
}

/// Holds a call and counts during its steady part. `plant`: one more allocation, in that tick of one engine.
fn count(setup: fn(&mut Config), plant: Option<u64>) -> Seen {
    let folder = tempfile::tempdir().expect("a folder");
    let mut lab = Lab::new(folder.path(), Impairment::profile("lan").expect("known"), 1);
    let ada = lab.add("Ada", setup).expect("an engine");
    let ben = lab.add("Ben", setup).expect("an engine");
    if let Some(number) = plant {
        let mut tick = 0;
        lab.engine_mut(ada).schedule_mut().add_systems(move || {
            tick += 1;
            if tick == number {
                black_box(vec![tick]);
            }
        });
    }
    lab.command(ada, Command::Call(lab.target(ben)));
    lab.run_for(WARM_UP);
    let before = [ada, ben].map(|member| (lab.ticks(member), lab.glass_ms(member).len()));
    SEEN.take();
    lab.set_watch(Watch { begin, end });
    lab.run_for(STEADY);
    lab.set_watch(Watch::default());
    let seen = SEEN.take();
    let mut ticks = 0;
    for (member, (ticks_before, shown)) in [ada, ben].into_iter().zip(before) {
        ticks += lab.ticks(member) - ticks_before;
        let shown = lab.glass_ms(member).len() - shown;
        assert!(shown >= 290, "{shown} pictures were shown in ten seconds");
        let recent = &lab.engine_mut(member).world().resource::<Stats>().recent;
        let heard = recent.mouth_to_ear.median();
        let is_processed = lab.engine_mut(member).world().resource::<Settings>().0.processing.is_some();
        let recent = &lab.engine_mut(member).world().resource::<Stats>().recent;
        assert!(
            recent.receiving_bps > 500_000 && (heard.is_some() || is_processed),
            "{} bit/s, {heard:?}",
            recent.receiving_bps
        );
    }
    assert_eq!(seen.ticks + seen.signalled, ticks);
    seen
}

fn assert_steady(name: &str, seen: &Seen) {
    let Seen { ticks, own, signalled, for_signalling, foreign, .. } = seen;
    println!("{name}: {ticks} ticks: {own} allocations, and {foreign} in transports and codecs");
    println!("left out: {signalled} ticks with signalling, {for_signalling} allocations");
    assert!(*ticks > 5000 && *signalled <= 60, "{ticks} ticks, {signalled} with signalling");
    assert_eq!(*own, 0, "{name}: {own} allocations in {ticks} ticks; the first:\n{}", seen.places());
}

#[test]
fn a_steady_tick_around_models_allocates_nothing() {
    assert_steady("model", &count(model, None));
}

#[test]
fn a_steady_tick_over_webrtc_and_real_codecs_allocates_nothing() {
    assert_steady("real", &count(real, None));
}

#[test]
fn a_steady_tick_with_processed_sound_allocates_nothing() {
    assert_steady("processed", &count(processed, None));
}

#[test]
fn a_planted_allocation_is_counted_and_traced() {
    let seen = count(model, Some(6000));
    let places = seen.places();
    assert_eq!(seen.own, 1, "{places}");
    assert!(places.split('<').next().is_some_and(|innermost| innermost.contains("steady.rs")), "{places}");
}

/// What a call in virtual time does not have: a picture and some sound through real sockets.
#[test]
fn the_media_socket_sends_and_receives_without_allocating() {
    let base = free_base();
    let (mut near, mut far) = (UdpPort::open(base).expect("free"), UdpPort::open(base).expect("free"));
    let [from, to] = [near.port(), far.port()].map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let (mut outbox, mut inbox, mut arrived) = (Outbox::default(), Inbox::default(), 0);
    for turn in 0..200 {
        if turn == 100 {
            SEEN.take();
        }
        begin();
        outbox.clear();
        (0..10).for_each(|_| outbox.push(from, to, Class::Video, &[7; 1200]));
        outbox.push(from, to, Class::Audio, &[7; 100]);
        near.send(&outbox, now());
        inbox.clear();
        far.receive(&mut inbox);
        arrived += inbox.datagrams().len();
        end(Ticked { signalled: false });
    }
    let seen = SEEN.take();
    assert!(near.drops() == 0 && arrived > 1000, "{arrived} datagrams arrived");
    assert_eq!(seen.own, 0, "{} allocations in {} turns; the first:\n{}", seen.own, seen.ticks, seen.places());
}
