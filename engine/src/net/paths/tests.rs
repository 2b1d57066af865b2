//! Two engines' ways to each other over real sockets: a connection between them, and a relay that is really one.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use mio::{Events, Poll};

use super::*;
use crate::base::time::now;
use crate::net::proxy::Dial;
use crate::net::turn::{Turn, TurnConfig, TurnLimits};
use crate::proto::turn::TurnSecret;
use crate::proto::turn::uri::{Over, ServerUri};

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// One side: its media port and its ways.
struct Side {
    poll: Poll,
    udp: crate::net::udp::UdpPort,
    paths: Paths,
    inbox: Inbox,
    found: Vec<Found>,
}

impl Side {
    fn new() -> Self {
        let poll = Poll::new().expect("an event loop");
        let mut udp = crate::net::udp::UdpPort::open(0).expect("a port");
        udp.register(poll.registry(), Token(0)).expect("watched");
        let tokens = TokenRange { first: 1, count: 26 };
        let paths = Paths::new(poll.registry(), tokens, udp.port(), 0).expect("ways");
        Self { poll, udp, paths, inbox: Inbox::default(), found: Vec::new() }
    }

    fn gather(&mut self, servers: Servers, relay_only: bool) {
        self.paths.gather(Plan { servers: Arc::new(servers), own: vec![LOCAL], relay_only }, now());
    }

    fn turn(&mut self) {
        let mut events = Events::with_capacity(32);
        self.poll.poll(&mut events, Some(Duration::from_millis(5))).expect("polled");
        for event in &events {
            if event.token() != Token(0) {
                self.paths.handle_ready(event, &mut self.inbox, now());
            }
        }
        while self.udp.receive(&mut self.inbox) {}
        self.paths.sort(&mut self.inbox, now());
        let mut direct = Outbox::default();
        self.paths.run(&mut direct, now());
        self.udp.send(&direct, now());
        self.found.extend(std::iter::from_fn(|| self.paths.poll_found()));
    }

    fn send(&mut self, from: SocketAddr, to: SocketAddr, tcp: bool, bytes: &[u8]) {
        let (mut outbox, mut direct) = (Outbox::default(), Outbox::default());
        outbox.put(from, to, Class::Video, tcp, bytes);
        assert!(self.paths.carry(&outbox, &mut direct, now()), "it goes another way than the port's own");
        self.udp.send(&direct, now());
    }

    fn relayed(&self) -> Option<SocketAddr> {
        let of_relay =
            |found: &&Found| found.candidate.typ == CandidateKind::Relayed && found.candidate.address.is_ipv4();
        self.found.iter().find(of_relay).map(|found| found.candidate.address)
    }

    /// What came: from whom, to which address of ours, over TCP or not.
    fn take(&mut self) -> Vec<(SocketAddr, SocketAddr, bool, Vec<u8>)> {
        let read = |index: usize| {
            let (datagram, bytes) = self.inbox.read(index)?;
            Some((datagram.from, datagram.to, datagram.tcp, bytes.to_vec()))
        };
        let taken = (0..self.inbox.datagrams().len()).filter_map(read).collect();
        self.inbox.clear();
        taken
    }
}

/// Lets both run until `done`, at most twenty seconds.
fn until(sides: &mut [Side], mut done: impl FnMut(&mut [Side]) -> bool) -> bool {
    let end = now() + Duration::from_secs(20);
    while now() < end {
        sides.iter_mut().for_each(Side::turn);
        if done(sides) {
            return true;
        }
    }
    false
}

fn relay() -> (Turn, TurnSecret) {
    let secret = TurnSecret::from_text("a secret of the tests").expect("long enough");
    let config = TurnConfig {
        udp: vec![0],
        tcp: Some(0),
        secret: secret.clone(),
        realm: "realm".into(),
        address: None,
        allowed: vec!["127.0.0.0/8".parse().expect("a network")],
        relayed: None,
    };
    (Turn::start(config, TurnLimits::default()).expect("a relay"), secret)
}

fn servers(turn: &Turn, secret: &TurnSecret, over: Over) -> Servers {
    let port = if over == Over::Udp { turn.udp[0] } else { turn.tcp.expect("a port") };
    let uri = ServerUri { relays: true, over, host: "127.0.0.1".into(), port };
    let server = Server { uri, ways: vec![Dial::direct((LOCAL, port).into())], trust: None };
    let (user, password) = secret.credentials("ada", u64::MAX / 2);
    turn.expect(&user);
    Servers { list: vec![server], user, password, socks: None }
}

#[test]
fn datagrams_go_over_a_connection_and_back() {
    let mut sides = [Side::new(), Side::new()];
    sides.iter_mut().for_each(|side| side.gather(Servers::default(), false));
    let address = |side: &Side| SocketAddr::new(LOCAL, side.paths.tcp_port().expect("listens"));
    let (ours, theirs) = (address(&sides[0]), address(&sides[1]));
    sides[0].send(ours, theirs, true, &[1; 1200]);
    sides[0].send(ours, theirs, true, &[2; 20]);
    let mut come = Vec::new();
    assert!(until(&mut sides, |sides| {
        come.extend(sides[1].take());
        come.len() == 2
    }));
    let (from, to, tcp, bytes) = come[0].clone();
    assert_eq!((to, tcp, bytes, come[1].3.len()), (theirs, true, vec![1; 1200], 20));
    assert_ne!(from, ours, "who connects is seen from another port");
    sides[1].send(theirs, from, true, &[3; 30]);
    assert!(until(&mut sides, |sides| sides[0].take() == [(theirs, ours, true, vec![3; 30])]));
}

#[test]
fn nobody_connects_while_there_is_no_call() {
    let mut sides = [Side::new()];
    let port = sides[0].paths.tcp_port().expect("listens");
    let stranger = std::net::TcpStream::connect((LOCAL, port)).expect("the system takes it");
    stranger.set_nonblocking(true).expect("set");
    let is_closed = |stranger: &std::net::TcpStream| {
        matches!(stranger.peek(&mut [0]), Ok(0) | Err(_))
            && !matches!(stranger.peek(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
    };
    assert!(until(&mut sides, |_| is_closed(&stranger)));
    assert_eq!(sides[0].paths.counters().strangers, 1);
}

fn is_carried_by_a_relay(over: Over) {
    let (turn, secret) = relay();
    let mut sides = [Side::new(), Side::new()];
    sides[0].gather(servers(&turn, &secret, over), true);
    sides[1].gather(Servers::default(), false);
    assert!(until(&mut sides, |sides| sides[0].relayed().is_some()), "the relay gives an address");
    assert!(
        sides[0].found.iter().all(|found| found.candidate.typ == CandidateKind::Relayed),
        "nothing says where we are"
    );
    let relayed = sides[0].relayed().expect("given");
    let peer = SocketAddr::new(LOCAL, sides[1].udp.port());
    sides[0].paths.permit(LOCAL, now());
    // The first ones wait for the permission, later ones have a channel.
    let mut come = Vec::new();
    let mut sent = 0u8;
    assert!(until(&mut sides, |sides| {
        if come.len() == usize::from(sent) {
            sides[0].send(relayed, peer, false, &[sent; 900]);
            sent += 1;
        }
        come.extend(sides[1].take());
        come.len() >= 10
    }));
    assert!(come.iter().all(|(from, to, tcp, bytes)| (*from, *to, *tcp, bytes.len()) == (relayed, peer, false, 900)));
    let mut outbox = Outbox::default();
    outbox.push(peer, relayed, Class::Video, &[7; 70]);
    sides[1].udp.send(&outbox, now());
    assert!(until(&mut sides, |sides| sides[0].take() == [(peer, relayed, false, vec![7; 70])]));
    assert!(turn.counters.allocations.load(std::sync::atomic::Ordering::Relaxed) > 0);
    sides[0].paths.close(now());
    assert!(
        until(&mut sides, |_| turn.counters.allocations.load(std::sync::atomic::Ordering::Relaxed) == 0),
        "the address is given back"
    );
}

#[test]
fn datagrams_go_by_a_relay_over_udp() {
    is_carried_by_a_relay(Over::Udp);
}

#[test]
fn datagrams_go_by_a_relay_over_tcp() {
    is_carried_by_a_relay(Over::Tcp);
}

#[test]
fn a_relay_with_a_wrong_password_gives_nothing_and_the_others_are_tried() {
    let (turn, secret) = relay();
    let mut sides = [Side::new()];
    let mut all = servers(&turn, &secret, Over::Udp);
    all.password = "wrong".into();
    sides[0].gather(all, false);
    assert!(
        until(&mut sides, |sides| sides[0].paths.deadline().is_none() && sides[0].found.len() == 2),
        "nothing is tried for ever"
    );
    assert_eq!(sides[0].relayed(), None);
    let hosts = sides[0].found.iter().filter(|found| found.candidate.typ == CandidateKind::Host).count();
    assert_eq!(hosts, 2);
}
