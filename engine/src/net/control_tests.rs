use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, TcpStream as StdStream};

use mio::{Events, Poll};

use super::*;
use crate::base::time::now;
use crate::proto::keys::Signer;

/// One end: a door and its own poll.
struct End {
    poll: Poll,
    door: ControlDoor,
    device: PublicKey,
    seen: Vec<ControlEvent>,
}

impl End {
    fn new(limits: DoorLimits) -> Self {
        let device = Signer::generate().expect("key");
        let poll = Poll::new().expect("poll");
        let tokens = TokenRange { first: 10, count: 64 };
        let tls = TlsIdentity::new(&device).expect("identity");
        let door = ControlDoor::bind(0, poll.registry(), tokens, tls, limits).expect("door");
        Self { poll, door, device: device.public(), seen: Vec::new() }
    }

    fn local(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.door.port()))
    }

    /// One turn: waits at most 2 ms for the sockets, as the engine waits for its next cell.
    fn turn(&mut self) {
        let mut events = Events::with_capacity(64);
        self.poll.poll(&mut events, Some(Duration::from_millis(2))).expect("poll");
        for event in &events {
            self.door.handle_ready(event, now());
        }
        if self.door.deadline().is_some_and(|at| at <= now()) {
            self.door.handle_timeout(now());
        }
        while let Some(event) = self.door.poll_event() {
            if let ControlEvent::Opened { link, .. } = &event {
                self.door.confirm(*link);
            }
            self.seen.push(event);
        }
    }

    fn opened(&self) -> Option<(LinkId, PublicKey)> {
        self.seen.iter().find_map(|event| match event {
            ControlEvent::Opened { link, device, .. } => Some((*link, *device)),
            _ => None,
        })
    }

    fn frames(&self) -> Vec<&[u8]> {
        let frames = self.seen.iter().filter_map(|event| match event {
            ControlEvent::Frame { bytes, .. } => Some(bytes.as_slice()),
            _ => None,
        });
        frames.collect()
    }

    fn closed(&self) -> Option<CloseReason> {
        self.seen.iter().find_map(|event| match event {
            ControlEvent::Closed { why, .. } => Some(*why),
            _ => None,
        })
    }
}

/// Turns both ends until `done`; fails after 20 s.
fn until(ends: &mut [&mut End], what: &str, mut done: impl FnMut(&mut [&mut End]) -> bool) {
    let start = now();
    while !done(ends) {
        assert!(now() - start < Duration::from_secs(20), "{what} did not happen");
        ends.iter_mut().for_each(|end| end.turn());
    }
}

fn joined(limits: DoorLimits) -> (End, End, LinkId, LinkId) {
    let (mut ada, mut bob) = (End::new(DoorLimits::default()), End::new(limits));
    let to = ada.door.connect(&[Dial::direct(bob.local())], now()).expect("room");
    until(&mut [&mut ada, &mut bob], "opening", |ends| ends.iter().all(|end| end.opened().is_some()));
    let from = bob.opened().expect("opened").0;
    (ada, bob, to, from)
}

#[test]
fn two_doors_learn_each_others_keys_and_exchange_a_thousand_frames_in_order() {
    let (mut ada, mut bob, to, from) = joined(DoorLimits::default());
    assert_eq!(ada.opened(), Some((to, bob.device)));
    assert_eq!(bob.opened().map(|(_, device)| device), Some(ada.device));
    let body = |number: u32| [number.to_be_bytes().as_slice(), &vec![7; (number % 900) as usize]].concat();
    let mut sent = 0;
    until(&mut [&mut ada, &mut bob], "a thousand frames each way", |ends| {
        let [ada, bob] = ends else { unreachable!("two ends") };
        // Ten a turn: more than a call ever says, less than the write queue holds.
        for _ in 0..10 {
            if sent < 1000 {
                ada.door.send(to, &body(sent), now()).expect("sent");
                bob.door.send(from, &body(sent), now()).expect("sent");
                sent += 1;
            }
        }
        ada.frames().len() == 1000 && bob.frames().len() == 1000
    });
    for end in [&ada, &bob] {
        assert!(end.frames().iter().zip(0..).all(|(frame, number)| **frame == body(number)));
    }
    assert_eq!((bob.door.counters().frames_in, bob.door.counters().frames_out), (1000, 1000));
}

#[test]
fn the_door_opens_over_ipv6_and_after_a_dead_address() {
    let (mut ada, mut bob) = (End::new(DoorLimits::default()), End::new(DoorLimits::default()));
    // A port that was just closed refuses.
    let dead = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|l| l.local_addr()).expect("port");
    let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, bob.door.port()));
    let good =
        if bob.door.listeners.as_ref().is_some_and(|listeners| listeners.v6.is_some()) { v6 } else { bob.local() };
    ada.door.connect(&[dead, good].map(Dial::direct), now()).expect("room");
    until(&mut [&mut ada, &mut bob], "opening", |ends| ends.iter().all(|end| end.opened().is_some()));
    ada.seen.clear();
    ada.door.connect(&[Dial::direct(dead)], now()).expect("room");
    until(&mut [&mut ada], "refusal", |ends| ends[0].closed() == Some(CloseReason::ConnectRefused));
}

#[test]
fn a_goodbye_comes_after_all_that_was_sent_and_a_dead_program_is_told_apart() {
    let (mut ada, mut bob, to, _) = joined(DoorLimits::default());
    ada.door.send(to, b"bye", now()).expect("sent");
    ada.door.close(to, now());
    assert!(ada.door.send(to, b"more", now()).is_err());
    until(&mut [&mut ada, &mut bob], "goodbye", |ends| ends[1].closed() == Some(CloseReason::Goodbye));
    assert_eq!(bob.frames(), [b"bye"]);
    until(&mut [&mut ada, &mut bob], "both to let go", |ends| ends.iter().all(|end| end.door.held().0 == 0));

    let (ada, mut bob, ..) = joined(DoorLimits::default());
    // What the system does when a program is killed: the sockets close, and nobody says anything.
    drop(ada);
    until(&mut [&mut bob], "the end", |ends| ends[0].closed() == Some(CloseReason::PeerGone));
}

#[test]
fn five_hundred_garbage_connections_are_dropped_and_a_live_link_goes_on() {
    let (mut ada, mut bob, to, _) = joined(DoorLimits::default());
    let address = bob.local();
    let mut open = Vec::new();
    for number in 0u32..500 {
        let mut stream = StdStream::connect(address).expect("accepted by the system");
        // Noise, the start of a TLS record with a great length, a frame of our own without TLS, and silence.
        let noise: Vec<u8> = (0..64u32).map(|at| (at.wrapping_mul(number).wrapping_mul(31)) as u8).collect();
        let garbage: &[u8] = match number % 4 {
            0 => &noise,
            1 => &[22, 3, 1, 255, 255, 1, 0, 255, 255],
            2 => &[0, 0, 0, 2, 1, b'{', b'}'],
            _ => &[],
        };
        // The door may have closed it already.
        let _ = stream.write_all(garbage);
        open.push(stream);
        bob.turn();
        let (links, bytes) = bob.door.held();
        assert!(links <= 16 && bytes <= 16 * 64 * 1024, "{links} links, {bytes} bytes");
        if number % 50 == 0 {
            ada.door.send(to, &number.to_be_bytes(), now()).expect("the live link goes on");
        }
    }
    until(&mut [&mut ada, &mut bob], "the live link's frames", |ends| ends[1].frames().len() == 10);
    until(&mut [&mut ada, &mut bob], "all to be met", |ends| ends[1].door.counters().accepted == 501);
    let counters = bob.door.counters();
    assert!(counters.strangers + counters.crowded + counters.too_often >= 485, "{counters:?}");
    assert_eq!(counters.opened, 1);
    // Closed means closed: the first one reads its end or a reset.
    open[0].set_read_timeout(Some(Duration::from_secs(5))).expect("timeout");
    let mut rest = Vec::new();
    let ended = open[0].read_to_end(&mut rest);
    assert!(!matches!(&ended, Err(error) if error.kind() == ErrorKind::WouldBlock), "{ended:?}");
}

#[test]
fn silent_late_and_unproven_connections_are_closed_at_their_limit() {
    let short = Duration::from_millis(50);
    let limits = DoorLimits { first_byte: short, ..DoorLimits::default() };
    let mut bob = End::new(limits);
    let _silent = StdStream::connect(bob.local()).expect("accepted");
    until(&mut [&mut bob], "the first byte's limit", |ends| ends[0].door.counters().strangers == 1);

    let limits = DoorLimits { proof: short, ..DoorLimits::default() };
    let (mut ada, mut bob) = (End::new(DoorLimits::default()), End::new(limits));
    ada.door.connect(&[Dial::direct(bob.local())], now()).expect("room");
    let start = now();
    // Nobody confirms here: the events are taken from the door before the harness sees them.
    while bob.door.counters().strangers == 0 {
        assert!(now() - start < Duration::from_secs(20));
        ada.turn();
        let mut events = Events::with_capacity(16);
        bob.poll.poll(&mut events, Some(Duration::from_millis(2))).expect("poll");
        events.iter().for_each(|event| bob.door.handle_ready(event, now()));
        bob.door.handle_timeout(now());
        bob.seen.extend(std::iter::from_fn(|| bob.door.poll_event()));
    }
    assert_eq!(bob.closed(), Some(CloseReason::Timeout));
}

#[test]
fn the_seventh_attempt_within_a_minute_is_turned_away() {
    let limits = DoorLimits { loopback_per_minute: 6, ..DoorLimits::default() };
    let mut bob = End::new(limits);
    let _streams: Vec<_> = (0..7).map(|_| StdStream::connect(bob.local()).expect("accepted")).collect();
    until(&mut [&mut bob], "seven", |ends| ends[0].door.counters().accepted == 7);
    assert_eq!((bob.door.counters().too_often, bob.door.held().0), (1, 6));
}

#[test]
fn a_reader_that_does_not_read_is_cut_and_the_queue_stays_bounded() {
    let (ada, mut bob, _, from) = joined(DoorLimits::default());
    let body = vec![1; 16 * 1024];
    // The system's own buffers hold some MiB before the queue grows; ada never takes a turn.
    let error = (0..4096).find_map(|_| bob.door.send(from, &body, now()).err()).expect("cut");
    assert_eq!(error.kind, Kind::Full);
    bob.turn();
    assert_eq!(bob.closed(), Some(CloseReason::SlowReader));
    assert_eq!(bob.door.send(from, &body, now()).expect_err("over").kind, Kind::Gone);
    drop(ada);
}

#[test]
fn a_closed_door_looks_like_one_that_is_not_there_and_keeps_its_links() {
    let (mut ada, mut bob, to, _) = joined(DoorLimits::default());
    let address = bob.local();
    bob.door.listen(false).expect("closed");
    assert_eq!(StdStream::connect(address).expect_err("nobody").kind(), ErrorKind::ConnectionRefused);
    ada.door.send(to, b"still here", now()).expect("sent");
    until(&mut [&mut ada, &mut bob], "the link goes on", |ends| ends[1].frames().len() == 1);
    bob.door.listen(true).expect("open again");
    assert_eq!(bob.local(), address);
    let before = bob.door.counters().accepted;
    let _stream = StdStream::connect(address).expect("somebody");
    until(&mut [&mut bob], "it is heard", |ends| ends[0].door.counters().accepted == before + 1);
}
