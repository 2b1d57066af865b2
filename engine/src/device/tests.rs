//! Facts about feeds, rings and predictions; no device is opened.
#![allow(unsafe_code, reason = "an allocator that counts is an unsafe trait")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use super::{
    CallbackClock, Lateness, Loudspeaker, Microphone, MicrophoneSpec, RATE, SpeakerSpec, microphone_pair, speaker_pair,
};
use crate::base::error::Kind;
use crate::base::stereo::Stereo;
use crate::base::time::now;

/// Counts what this thread allocates and frees.
struct Watching;

thread_local! {
    static TOUCHED: Cell<u64> = const { Cell::new(0) };
}

fn touched() -> u64 {
    TOUCHED.with(Cell::get)
}

// SAFETY: hands everything to the system's allocator; the count is a plain thread-local without a destructor.
unsafe impl GlobalAlloc for Watching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        TOUCHED.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        TOUCHED.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static WATCHING: Watching = Watching;

#[test]
fn the_callbacks_never_touch_the_allocator() {
    let (mut microphone, _microphone_end) = microphone_pair(9600, 2);
    let (mut speaker, mut speaker_end) = speaker_pair(9600, 2);
    let (_, _) = speaker_end.samples.push_partial_slice(&[[0.5; 2]; 500]);
    let (input, mut output) = ([0.25f32; 240], [0.0f32; 240]);
    let before = touched();
    // Past full and past empty: the ends of the rings are where mistakes live.
    for n in 0..1000 {
        microphone.on_data(&input, n, 0);
        speaker.on_data(&mut output, n, 0);
    }
    assert_eq!(touched(), before);
    drop(vec![1u8; 100]);
    assert!(touched() > before, "the watcher sleeps");
}

/// What is planted between the callbacks; the first is nothing.
const PLANTED: [&str; 5] =
    ["nothing", "a lock that another thread holds", "a system call", "a log line", "a large buffer"];

/// Names what is planted, in a process that runs the callbacks where every system call but the last is deadly.
#[cfg(target_os = "linux")]
const PLANT: &str = "VISAVIS_PLANT";

#[cfg(target_os = "linux")]
#[test]
fn the_callbacks_wait_for_no_lock_and_make_no_system_call() {
    const NAME: &str = "device::tests::the_callbacks_wait_for_no_lock_and_make_no_system_call";
    if let Ok(plant) = std::env::var(PLANT) {
        under_watch(&plant);
    }
    for plant in PLANTED {
        let own = std::env::current_exe().unwrap();
        let run =
            std::process::Command::new(own).args([NAME, "--exact", "--nocapture"]).env(PLANT, plant).output().unwrap();
        let lived = run.status.code() == Some(WATCHED);
        assert_eq!(lived, plant == PLANTED[0], "{plant}: {:?} {}", run.status, String::from_utf8_lossy(&run.stderr));
    }
}

/// What [`under_watch`] ends with when nothing was planted: no other end of a test process has this status.
#[cfg(target_os = "linux")]
const WATCHED: i32 = 77;

/// Runs both callbacks, and what is planted between them, with a filter that ends the process at any system call but the
/// one that ends it.
#[cfg(target_os = "linux")]
fn under_watch(plant: &str) -> ! {
    use std::sync::{Arc, Barrier, Mutex};
    let (mut microphone, _microphone_end) = microphone_pair(9600, 2);
    let (mut speaker, mut speaker_end) = speaker_pair(9600, 2);
    let _ = speaker_end.samples.push_partial_slice(&[[0.5; 2]; 500]);
    let (input, mut output) = ([0.25f32; 240], [0.0f32; 240]);
    let (lock, held) = (Arc::new(Mutex::new(())), Arc::new(Barrier::new(2)));
    let (theirs, waits) = (lock.clone(), held.clone());
    let holder = std::thread::Builder::new().name("holder".into()).spawn(move || {
        let _guard = theirs.lock();
        waits.wait();
        // Until the process ends.
        std::thread::park();
    });
    assert!(holder.is_ok());
    held.wait();
    forbid_system_calls();
    for n in 0..1000 {
        microphone.on_data(&input, n, 0);
        speaker.on_data(&mut output, n, 0);
    }
    match plant {
        "a lock that another thread holds" => drop(lock.lock()),
        "a system call" => drop(std::hint::black_box(std::process::id())),
        "a log line" => println!("late"),
        "a large buffer" => drop(std::hint::black_box(vec![1u8; 64 << 20])),
        _ => {}
    }
    // SAFETY: ends the process without running anything more of it.
    unsafe { libc::_exit(WATCHED) }
}

/// From now on, for this thread.
#[cfg(target_os = "linux")]
fn forbid_system_calls() {
    let op = |code: u32, jt: u8, k: u32| libc::sock_filter { code: code as u16, jt, jf: 0, k };
    let filter = [
        // The number of the call is the first word of what the filter sees (seccomp(2)).
        op(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
        op(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, libc::SYS_exit_group as u32),
        op(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_KILL_PROCESS),
        op(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
    // SAFETY: the kernel copies the filter during the call and writes nothing.
    let done = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) == 0
    };
    assert!(done, "{}", std::io::Error::last_os_error());
}

#[test]
fn a_dry_ring_is_silence_and_one_underrun_a_callback_but_not_before_the_first_sample() {
    let (mut callback, mut end) = speaker_pair(960, 2);
    let mut out = [9.0f32; 8];
    callback.on_data(&mut out, 0, 0);
    assert_eq!(out, [0.0; 8]);
    let underruns = |end: &super::callback::SpeakerEnd| end.shared.underruns.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(underruns(&end), 0);
    let _ = end.samples.push_partial_slice(&[[0.1, 0.3], [0.2, 0.4]]);
    callback.on_data(&mut out, 1, 0);
    assert_eq!(out, [0.1, 0.3, 0.2, 0.4, 0.0, 0.0, 0.0, 0.0]);
    assert_eq!(underruns(&end), 1);
}

#[test]
fn whatever_the_device_has_becomes_two_sides_and_back() {
    for (channels, given, taken) in
        [(1, &[0.5][..], [0.5, 0.5]), (2, &[0.0, 1.0], [0.0, 1.0]), (4, &[0.0, 1.0, 0.0, 1.0], [0.5, 0.5])]
    {
        let (mut callback, mut end) = microphone_pair(2, channels);
        callback.on_data(given, 7, 0);
        assert_eq!(end.samples.pop(), Ok(taken));
    }
    for (channels, heard) in [(1, &[0.5][..]), (2, &[0.2, 0.8]), (4, &[0.2, 0.8, 0.0, 0.0])] {
        let (mut callback, mut end) = speaker_pair(2, channels);
        let _ = end.samples.push_partial_slice(&[[0.2, 0.8]]);
        let mut out = vec![9.0; usize::from(channels)];
        callback.on_data(&mut out, 0, 0);
        assert_eq!(out, heard);
    }
}

#[test]
fn what_finds_no_room_is_counted() {
    let (mut callback, mut end) = microphone_pair(2, 2);
    callback.on_data(&[0.0, 1.0, 0.5, 0.5, 1.0, 1.0], 7, 0);
    assert_eq!(end.shared.refused.load(std::sync::atomic::Ordering::Relaxed), 1);
    assert_eq!(end.marks.pop().map(|mark| (mark.at, mark.frames)), Ok((7, 3)));
}

#[test]
fn the_next_callback_is_predicted_on_a_jittery_drifting_device() {
    let (mut clock, mut lateness) = (CallbackClock::default(), Lateness::default());
    let mut worst = 0.0f64;
    for n in 0..4000u64 {
        // 300 ppm slow, up to 0.7 ms late.
        let due = (n as f64) * 2.5e6 * 1.0003;
        let late = ((n * 7919) % 700) as f64 * 1e3;
        if n > 400 {
            worst = worst.max((clock.next(RATE).unwrap() as f64 - due).abs());
        }
        lateness.observe(clock.observe((due + late) as u64, n * 120, 120, RATE));
    }
    assert!(worst < 0.6e6, "{worst} ns");
    assert_eq!(clock.period(), 120);
    assert!((700..=1000).contains(&lateness.margin().as_micros()), "{:?}", lateness.margin());
}

#[test]
fn the_margin_starts_at_three_milliseconds_and_covers_what_was_late() {
    let mut lateness = Lateness::default();
    assert_eq!(lateness.margin(), Duration::from_millis(3));
    for n in 0..2000 {
        lateness.observe(Duration::from_millis(if n % 100 == 0 { 6 } else { 0 }));
    }
    assert!((6..8).contains(&lateness.margin().as_millis()), "{:?}", lateness.margin());
    for _ in 0..80_000 {
        lateness.observe(Duration::from_micros(50));
    }
    assert_eq!(lateness.margin(), Duration::from_micros(500));
}

#[test]
fn a_wav_file_is_played_in_time_again_and_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one.wav");
    let start = now();
    {
        let mut speaker = Loudspeaker::open(&SpeakerSpec::Wav(path.clone()), start).unwrap();
        let sound: Vec<Stereo> = (0..4800).map(|n| [(n as f32 / 4800.0) - 0.5, 0.25]).collect();
        assert_eq!(speaker.push(&sound, start), start);
        assert_eq!(speaker.deficit(start + Duration::from_millis(100)), 120);
        assert_eq!(speaker.refused(), 0);
    }
    let mut microphone = Microphone::open(&MicrophoneSpec::Wav(path), start).unwrap();
    let mut out = Vec::new();
    for tick in 1..=80u32 {
        let before = out.len();
        let first = microphone.take(start + Duration::from_micros(2500) * tick, &mut out);
        assert_eq!(first, start + Duration::from_micros(2500) * (tick - 1));
        assert_eq!(out.len() - before, 120);
    }
    let is = |n: usize, left: f32| (out[n][0] - left).abs() < 1e-3 && (out[n][1] - 0.25).abs() < 1e-3;
    assert!(is(0, -0.5) && is(4800, -0.5) && is(4799, 0.5));
    assert_eq!(microphone.dropped(), 0);
    out.clear();
    microphone.take(start + Duration::from_millis(700), &mut out);
    assert_eq!((out.len(), microphone.dropped()), (2880, 48 * 440));
}

#[test]
fn a_file_of_another_rate_becomes_48_khz_and_keeps_its_sides() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cd.wav");
    let spec = hound::WavSpec {
        channels: 2,
        sample_rate: 44_100,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(&path, spec).unwrap();
    for n in 0..44_100 {
        let sample = ((n as f32 * 1000.0 * std::f32::consts::TAU / 44_100.0).sin() * 16_000.0) as i16;
        writer.write_sample(sample).unwrap();
        writer.write_sample(-sample).unwrap();
    }
    writer.finalize().unwrap();
    let sound = super::wav::read(&path).unwrap();
    assert!((47_800..=48_000).contains(&sound.len()), "{}", sound.len());
    let crossings = sound[4_800..43_200].windows(2).filter(|pair| pair[0][0] < 0.0 && pair[1][0] >= 0.0).count();
    assert!((799..=801).contains(&crossings), "{crossings}");
    assert!(sound.iter().all(|[left, right]| (left + right).abs() < 1e-4));
}

#[test]
fn what_cannot_be_opened_says_why_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text.wav");
    std::fs::write(&text, "no sound at all, only words").unwrap();
    let open = |path| Microphone::open(&MicrophoneSpec::Wav(path), now()).unwrap_err();
    let missing = open(folder.path().join("missing.wav"));
    assert_eq!(missing.kind, Kind::Gone);
    assert!(missing.text.starts_with("cannot open "), "{missing}");
    let malformed = open(text);
    assert_eq!(malformed.kind, Kind::Malformed);
    assert!(malformed.text.contains(" is not a WAV file"), "{malformed}");
    assert!(!malformed.text.contains('\n'));
}

#[test]
fn a_speaker_that_is_nowhere_asks_for_what_time_plays() {
    let start = now();
    let mut speaker = Loudspeaker::open(&SpeakerSpec::None, start).unwrap();
    let mut pushed = 0;
    for tick in 0..400u32 {
        let at = start + Duration::from_micros(2500) * tick;
        let deficit = speaker.deficit(at);
        let heard = speaker.push(&vec![[0.0; 2]; deficit], at);
        assert!(heard >= at);
        pushed += deficit;
    }
    assert_eq!(pushed, 48_000);
    assert_eq!(speaker.underruns(), 0);
    // Half a second of stall is not caught up with, but counted.
    assert!(speaker.deficit(start + Duration::from_millis(1500)) <= 2880);
    assert_eq!(speaker.underruns(), 1);
}
