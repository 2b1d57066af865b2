//! The relay of a running service: who is let in, whom it reaches, and what goes through.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use engine::proto::service::frame::{Ask, Reply};
use engine::proto::service::pals;
use engine::proto::turn::TurnSecret;
use rustls::version::TLS13;
use stun_proto::types::TransportType;
use stun_proto::types::attribute::XorMappedAddress;
use stun_proto::types::message::{BINDING, Message, MessageWriteVec};
use stun_proto::types::prelude::{MessageWrite, MessageWriteExt};
use tempfile::{TempDir, tempdir};
use turn_client_proto::api::TurnEvent;
use turn_client_proto::prelude::TurnClientApi;
use visavis_tests::service::client::{PATIENCE, Place};
use visavis_tests::service::host::Host;
use visavis_tests::service::people::Someone;
use visavis_tests::service::relay::{Relayed, Wire, over_stream, over_udp};
use visavis_tests::service::tls::connect;

/// What nobody answers is waited for no longer.
const SILENCE: Duration = Duration::from_secs(2);

fn host(args: &str) -> (Host, TempDir) {
    let folder = tempdir().expect("folder");
    let host = Host::start(folder.path(), &format!("--turn-ports 0 {args}")).expect("serves");
    (host, folder)
}

/// What the service gives Ada to be let in with.
fn relays(host: &Host) -> pals::Relays {
    let mut channels = Someone::new("ada").join(&Place::of(host)).map_err(String::from).expect("joins");
    match channels.ask(&Ask::Pals(pals::Request::Relays)).map_err(String::from).expect("answered") {
        Reply::Pals(pals::Reply::Relays(relays)) => relays,
        other => panic!("no relays: {other:?}"),
    }
}

/// Sends back what comes, until it is dropped.
struct Echo {
    address: SocketAddr,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Echo {
    fn new() -> Self {
        let socket = UdpSocket::bind(("127.0.0.1", 0)).expect("a socket");
        socket.set_read_timeout(Some(Duration::from_millis(20))).expect("a deadline");
        let (address, over) = (socket.local_addr().expect("bound"), Arc::new(AtomicBool::new(false)));
        let echo = {
            let over = over.clone();
            move || {
                let mut buffer = [0; 2048];
                while !over.load(Ordering::Relaxed) {
                    if let Ok((length, from)) = socket.recv_from(&mut buffer) {
                        socket.send_to(&buffer[..length], from).expect("sent back");
                    }
                }
            }
        };
        Self {
            address,
            over,
            thread: Some(std::thread::Builder::new().name("echo".into()).spawn(echo).expect("a thread")),
        }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// A hundred datagrams of all sizes to somebody who sends them back: in Send indications, then on a channel.
fn carries<C: TurnClientApi>(mut relayed: Relayed<C>, what: &str) {
    let echo = Echo::new();
    assert!(relayed.is_allocated(PATIENCE), "{what}: {:?}", relayed.events);
    assert!(relayed.may_reach(echo.address.ip(), PATIENCE), "{what}: {:?}", relayed.events);
    let sent: Vec<Vec<u8>> = (0..100usize).map(|n| vec![n as u8; 1 + n * 12]).collect();
    for (at, bytes) in sent.iter().enumerate() {
        if at == 50 {
            let bound = relayed.ask(|client, at| client.bind_channel(TransportType::Udp, echo.address, at));
            bound.expect("asked");
            let is_bound = |event: &TurnEvent| matches!(event, TurnEvent::ChannelCreated(..));
            assert!(relayed.run(PATIENCE, |this| this.events.iter().any(is_bound)), "{what}: {:?}", relayed.events);
        }
        relayed.send(echo.address, bytes).expect("sent");
        // One after another: a datagram may be lost where many are sent at once, and none is then.
        assert!(relayed.run(PATIENCE, |this| this.data.len() > at), "{what}: datagram {at}");
    }
    let came: Vec<&Vec<u8>> = relayed.data.iter().map(|(_, bytes)| bytes).collect();
    assert!(came.iter().copied().eq(&sent), "{what}: the bytes are the same");
    assert!(relayed.data.iter().all(|(from, _)| *from == echo.address), "{what}");
}

#[test]
fn media_goes_through_over_udp_tcp_and_tls() {
    let (host, _folder) = host("--turn-allow 127.0.0.0/8");
    let pals::Relays { uris, user, password, .. } = relays(&host);
    let uris: Vec<String> = uris.into_vec().iter().map(ToString::to_string).collect();
    let udp = format!("turn:HOST:{}?transport=udp", host.turn().port());
    let tls = format!("turns:HOST:{}?transport=tcp", host.address().port());
    assert!(uris.contains(&udp) && uris.contains(&tls), "{uris:?}");
    let (user, password) = (user.to_string(), password.to_string());
    carries(over_udp(Wire::udp(host.turn()).expect("a socket"), &user, &password).expect("asks"), "UDP");
    carries(over_stream(Wire::tcp(host.turn_tcp()).expect("connects"), &user, &password).expect("asks"), "TCP");
    let tls = connect(host.address(), None, host.pin(), &TLS13, PATIENCE).expect("connects");
    carries(over_stream(Wire::tls(tls).expect("a wire"), &user, &password).expect("asks"), "TLS");
}

#[test]
fn everybody_learns_where_they_are_seen_from() {
    let (host, _folder) = host("");
    let socket = UdpSocket::bind(("127.0.0.1", 0)).expect("a socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a deadline");
    let mut request = Message::builder_request(BINDING, MessageWriteVec::new());
    request.add_fingerprint().expect("room");
    socket.send_to(&request.finish(), host.turn()).expect("sent");
    let mut buffer = [0; 512];
    let (length, _) = socket.recv_from(&mut buffer).expect("answered");
    let answer = Message::from_bytes(&buffer[..length]).expect("STUN");
    let mapped = answer.attribute::<XorMappedAddress>().expect("there").addr(answer.transaction_id());
    assert_eq!(mapped, socket.local_addr().expect("bound"));
}

#[test]
fn nobody_is_relayed_for_without_a_name_that_is_good() {
    let (host, _folder) = host("");
    let relays = relays(&host);
    let (user, password) = (relays.user.to_string(), relays.password.to_string());
    let mine = TurnSecret::from_text("a secret that the service has not").expect("long enough");
    let (forged, of_forged) = mine.credentials("ada", relays.until.0 / 1000);
    let expired = user.replacen(|c: char| c.is_ascii_digit(), "0", 1);
    let tries = [
        ("", ""),
        (user.as_str(), "wrong"),
        (forged.as_str(), of_forged.as_str()),
        (expired.as_str(), password.as_str()),
        ("ada", password.as_str()),
    ];
    for (user, password) in tries {
        let mut relayed = over_udp(Wire::udp(host.turn()).expect("a socket"), user, password).expect("asks");
        assert!(!relayed.is_allocated(SILENCE), "{user}");
    }
    let mut relayed = over_udp(Wire::udp(host.turn()).expect("a socket"), &user, &password).expect("asks");
    assert!(relayed.is_allocated(PATIENCE), "with what the service gave: {:?}", relayed.events);
}

#[test]
fn neither_this_machine_nor_a_private_network_is_reached() {
    let (host, _folder) = host("");
    let relays = relays(&host);
    let (user, password) = (relays.user.to_string(), relays.password.to_string());
    let mut relayed = over_udp(Wire::udp(host.turn()).expect("a socket"), &user, &password).expect("asks");
    assert!(relayed.is_allocated(PATIENCE), "{:?}", relayed.events);
    for hidden in ["127.0.0.1", "10.0.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0"] {
        let hidden: IpAddr = hidden.parse().expect("an address");
        assert!(!relayed.may_reach(hidden, PATIENCE), "{hidden}");
        let is_said =
            |event: &TurnEvent| matches!(event, TurnEvent::PermissionCreateFailed(_, peer) if *peer == hidden);
        assert!(relayed.events.iter().any(is_said), "{hidden} is refused, not passed over");
    }
    // Nothing is sent to it.
    assert!(relayed.may_reach("8.8.8.8".parse().expect("an address"), PATIENCE), "{:?}", relayed.events);
}

#[test]
fn a_name_has_so_many_addresses_and_gives_them_back() {
    let (host, _folder) = host("");
    let relays = relays(&host);
    let (user, password) = (relays.user.to_string(), relays.password.to_string());
    let mut held = Vec::new();
    for n in 0..16 {
        let mut relayed = over_udp(Wire::udp(host.turn()).expect("a socket"), &user, &password).expect("asks");
        assert!(relayed.is_allocated(PATIENCE), "{n}: {:?}", relayed.events);
        held.push(relayed);
    }
    let ask = || over_udp(Wire::udp(host.turn()).expect("a socket"), &user, &password).expect("asks");
    assert!(!ask().is_allocated(PATIENCE), "one too many");
    let mut first = held.swap_remove(0);
    first.ask(|client, at| client.delete(at)).expect("asked");
    assert!(first.run(PATIENCE, |this| this.address().is_none()), "given back");
    assert!(ask().is_allocated(PATIENCE), "there is room again");
}
