//! Whole calls between two processes, in real time: what every change must leave as it is. The strict figures are in
//! the proof; here the machine may be busy.

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use engine::base::time::now;
use visavis_tests::attack::Attacker;
use visavis_tests::capture::{Capture, contains, parameter_sets};
use visavis_tests::party::{Finished, Party, Setup, whole_call};
use visavis_tests::ports::free_base;
use visavis_tests::process::Holdings;
use visavis_tests::skip::skip;

/// Nothing is heard or seen: most of what is tested here is about something else.
const BLIND: &str = "--video none --mic none --speaker none";
const SILENT: &str = "--mic chirp --speaker none";

const SOON: Duration = Duration::from_secs(15);

/// Calls at the same time would take the time from each other that is measured.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn two_processes_see_and_hear_each_other() {
    let _alone = alone();
    let [caller, callee] = whole_call(8.0, SILENT).expect("a call");
    for (own, other) in [(&caller, &callee), (&callee, &caller)] {
        let (shown, sent) = (own.video.frames_presented, other.video.frames_captured);
        assert!(shown as f64 >= 0.9 * sent as f64, "{shown} of {sent} pictures were shown: {:?}", own.video);
        assert!(own.audio.concealed_ratio.expect("sound came") <= 0.02, "{:?}", own.audio);
        let setup = own.setup_ms;
        assert!(setup.connected.is_some() && setup.first_audio.is_some() && setup.first_video.is_some(), "{setup:?}");
        // Both are measured from what was painted and played, not from counters.
        assert!(own.video.ledger_error_ms.is_some(), "no marker was read");
        assert!(own.audio.mouth_to_ear_ms.expect("chirps were found").n >= 8, "{:?}", own.audio);
        assert_eq!(own.path.kind.as_deref(), Some("direct"));
    }
}

#[test]
fn who_is_left_alone_is_told_why() {
    let _alone = alone();
    let mut callee = Party::listen(&Setup::new("Ben", BLIND)).expect("listens");
    let mut caller = Party::call_to(&Setup::new("Ada", BLIND), &callee).expect("calls");
    caller.wait_for("in call with", SOON).expect("answered");
    let killed = now();
    callee.kill().expect("killed");
    let end = caller.wait_for("failed: ", Duration::from_secs(8)).expect("the call ends");
    let after = now() - killed;
    assert!(after <= Duration::from_secs(5), "{after:?}");
    let address = format!("127.0.0.1:{}", callee.base());
    assert!(end.contains(&address), "whom? {end}");
    let Finished { code, report, log } = caller.finish(SOON).expect("ends");
    assert_eq!(code, Some(1), "{log}");
    assert_eq!(report.map(|report| report.outcome).as_deref(), Some("failed"));
}

#[test]
fn calls_leave_nothing_behind() {
    let _alone = alone();
    let mut callee = Party::listen(&Setup::new("Ben", SILENT)).expect("listens");
    let mut one_more = |nth: usize| {
        let caller = Party::call_to(&Setup::new("Ada", &format!("--for 0.6 {SILENT}")), &callee).expect("calls");
        caller.finish(SOON).expect("ends").ended().expect("went well");
        callee.wait_for_nth("ended: ", nth, SOON).expect("noticed");
        (settled(&callee), callee.temporary_files())
    };
    // The first call brings in what the program has not used before: drivers, codecs, pages of its own file.
    one_more(1);
    let (first, files) = one_more(2);
    let mut last = (first.clone(), files);
    for nth in 3..=7 {
        last = one_more(nth);
    }
    assert_eq!(last.0.left_over(&first), None, "{first:?} {last:?}");
    assert_eq!(last.1, files, "temporary files");
    let grown = last.0.grown_mb(&first);
    assert!(grown < 5.0, "{grown:.1} MB more after five more calls");
}

/// What `party` holds once nothing more goes away.
fn settled(party: &Party) -> Holdings {
    let mut before = Holdings::of(party.pid()).expect("it runs");
    for _ in 0..20 {
        // Threads end some time after they are told to; nobody is told when they have.
        std::thread::sleep(Duration::from_millis(100));
        let after = Holdings::of(party.pid()).expect("it runs");
        if after.threads == before.threads && after.files == before.files {
            return after;
        }
        before = after;
    }
    before
}

#[test]
fn a_call_survives_what_strangers_send() {
    const SEED: u64 = 0x5eed;
    let _alone = alone();
    let mut callee = Party::listen(&Setup::new("Ben", &format!("--once {SILENT}"))).expect("listens");
    let mut caller = Party::call_to(&Setup::new("Ada", SILENT), &callee).expect("calls");
    caller.wait_for("in call with", SOON).expect("answered");
    callee.wait_for("in call with", SOON).expect("answered");
    // By then the call has taken what it takes: the picture has its full size, pools and queues are filled.
    std::thread::sleep(Duration::from_secs(4));
    let before = settled(&callee);
    let at = |port| SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
    let mut attacker = Attacker::new(SEED);
    println!("seed {SEED}");
    attacker.send_datagrams(50_000, at(callee.base()), at(caller.base())).expect("sent");
    let connections = attacker.connect(500, at(callee.base()).into(), SOON);
    assert!(connections >= 250, "only {connections} connections were accepted at all");
    let after = settled(&callee);
    assert!(after.grown_mb(&before) < 16.0, "{before:?} {after:?}");
    caller.terminate().expect("told");
    let caller = caller.finish(SOON).expect("ends");
    let callee = callee.finish(SOON).expect("ends");
    for log in [&caller.log, &callee.log] {
        assert!(!log.contains("panicked"), "{log}");
    }
    let (caller, callee) = (caller.ended().expect("went well"), callee.ended().expect("went well"));
    let (sent, received) = (caller.audio.packets_sent, callee.audio.packets_received);
    assert!(received as f64 > 0.8 * sent as f64, "{received} of {sent} packets of sound");
}

/// Starts a call that cannot come about; its exit status and log.
fn vain(args: &str, target: &str) -> (Option<i32>, String) {
    let caller = Party::call(&Setup::new("Ada", &format!("{BLIND} {args}")), target).expect("starts");
    let Finished { code, log, .. } = caller.finish(Duration::from_secs(20)).expect("ends");
    (code, log)
}

#[test]
fn errors_say_what_happened_and_what_to_do() {
    let _alone = alone();
    let nobody = format!("127.0.0.1:{}", free_base());
    let (code, log) = vain("", &nobody);
    assert!(
        code == Some(1) && log.contains("unreachable") && log.contains("does not run on that port"),
        "{code:?} {log}"
    );
    // RFC 5737: an address for documentation, where nobody is.
    let (code, log) = vain("", "203.0.113.1");
    assert!(code == Some(1) && log.contains("unreachable"), "{code:?} {log}");
    let (code, log) = vain("", "nobody.invalid");
    assert!(code == Some(1) && log.contains("nobody.invalid"), "{code:?} {log}");
    let (code, log) = vain("", "a b");
    assert!(code != Some(0) && log.contains("cannot call \"a b\""), "{code:?} {log}");
}

#[test]
fn wrong_files_are_wrong_use() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    let other = folder.path().join("letter.txt");
    std::fs::write(&other, "neither seen nor heard").expect("written");
    let other = other.display();
    // Somebody answers: that the call cannot come about is not the reason.
    let callee = Party::listen(&Setup::new("Ben", BLIND)).expect("listens");
    for (media, named) in [
        ("--mic file:/nonexistent.wav".to_owned(), "/nonexistent.wav"),
        ("--video camera-next-door".to_owned(), "testcard"),
        (format!("--video file:{other}"), "letter.txt"),
        (format!("--mic file:{other}"), "letter.txt"),
    ] {
        let setup = Setup::new("Ada", &format!("--for 0.5 --speaker none {media}"));
        let caller = Party::call_to(&setup, &callee).expect("starts").finish(SOON).expect("ends");
        assert!(caller.log.contains(named), "{media}: {}", caller.log);
        assert_eq!(caller.code, Some(2), "{media}: {}", caller.log);
    }
}

#[test]
fn a_call_with_an_unknown_device_goes_on_and_says_so() {
    let _alone = alone();
    let callee = Party::listen(&Setup::new("Ben", &format!("--once {BLIND}"))).expect("listens");
    let setup = Setup::new("Ada", "--for 1 --video none --mic trumpet --speaker none");
    let caller = Party::call_to(&setup, &callee).expect("calls").finish(SOON).expect("ends");
    assert!(caller.log.contains("no microphone named trumpet"), "{}", caller.log);
    caller.ended().expect("the call goes on");
}

#[test]
fn a_taken_port_is_said_with_a_free_one() {
    let _alone = alone();
    let callee = Party::listen(&Setup::new("Ben", BLIND)).expect("listens");
    let error = Party::listen(&Setup::new("Cem", BLIND).with_base(callee.base())).err().expect("taken");
    let offered: u16 = error
        .lines()
        .find_map(|line| line.split_once("Start with --base-port "))
        .and_then(|(_, port)| port.trim().parse().ok())
        .unwrap_or_else(|| panic!("no port is offered: {error}"));
    Party::listen(&Setup::new("Cem", BLIND).with_base(offered)).expect("the offered port is free");
}

#[test]
fn another_key_at_a_known_address_is_refused() {
    let _alone = alone();
    let (base, folder) = (free_base(), tempfile::tempdir().expect("a folder"));
    let ada = Setup::new("Ada", &format!("--for 0.5 {BLIND}")).with_data(&folder.path().join("ada"));
    let ben =
        |data: &str| Setup::new("Ben", &format!("--once {BLIND}")).with_data(&folder.path().join(data)).with_base(base);
    let call = |data: &str| {
        let callee = Party::listen(&ben(data)).expect("listens");
        Party::call_to(&ada, &callee).expect("calls").finish(SOON).expect("ends")
    };
    call("ben").ended().expect("the first time the key is remembered");
    call("ben").ended().expect("the same key is welcome");
    let Finished { code, report, log } = call("impostor");
    assert_eq!(code, Some(1), "{log}");
    assert_eq!(report.map(|report| report.outcome).as_deref(), Some("refused"), "{log}");
    assert!(log.lines().last().is_some_and(|line| line.contains("key")), "{log}");
}

#[test]
fn a_capture_of_a_call_shows_neither_names_nor_pictures() {
    const NAME: &str = "a_capture_of_a_call_shows_neither_names_nor_pictures";
    const ADA: &str = "Ada Planted-Name-4711";
    let _alone = alone();
    let captured = |args: &str, plant: bool| {
        let bases = [free_base(), free_base()];
        let capture = Capture::start(&bases)?;
        let setup = |name: &str, base, args: &str| {
            let mut setup = Setup::new(name, args).with_base(base);
            setup.args.extend(["--max-bitrate".into(), "600000".into()]);
            setup
        };
        let callee = Party::listen(&setup("Ben", bases[0], &format!("--once {args} {SILENT}")))?;
        let mut caller = Party::call_to(&setup(ADA, bases[1], &format!("--for 3 {args} {SILENT}")), &callee)?;
        caller.wait_for("in call with", SOON)?;
        let end = format!("the end of the capture {args}");
        if plant {
            say(ADA, bases[0]);
        }
        caller.finish(SOON)?.ended()?;
        callee.finish(SOON)?.ended()?;
        say(&end, bases[0]);
        if !capture.has(end.as_bytes(), Duration::from_secs(5)) {
            return Err("the capture is not whole".to_owned());
        }
        capture.stop()
    };
    let plain = match captured("--plain", true) {
        Ok(plain) => plain,
        Err(error) if error.contains("tcpdump") => return skip(NAME, &error),
        Err(error) => panic!("{error}"),
    };
    // The search finds what is there to be found.
    let sets = parameter_sets(&plain).expect("a keyframe in the clear").to_vec();
    assert!(contains(&plain, &sets) && contains(&plain, ADA.as_bytes()));
    let encrypted = captured("", false).expect("a call");
    assert!(encrypted.len() > 100_000, "{} bytes: no call was captured", encrypted.len());
    assert!(!contains(&encrypted, ADA.as_bytes()), "the caller's name");
    assert!(!contains(&encrypted, &sets) && parameter_sets(&encrypted).is_none(), "a part of a picture");
}

/// Sends `text` in the clear to the media port `port`.
fn say(text: &str, port: u16) {
    let socket = UdpSocket::bind(("127.0.0.1", 0)).expect("a port");
    // The party may be gone already; the capture sees the datagram all the same.
    let _ = socket.send_to(text.as_bytes(), ("127.0.0.1", port));
}
