//! One client of the relay: the protocol's state for it alone, and what it may do.

use std::net::{IpAddr, SocketAddr};

use stun_proto::types::TransportType;
use stun_proto::types::message::{LongTermCredentials, Message};
use stun_proto::types::prelude::AttributeStaticType;
use turn_server_proto::api::TurnServerApi;
use turn_server_proto::server::TurnServer;
use turn_types::attribute::XorPeerAddress;
use turn_types::message::{ALLOCATE, CHANNEL_BIND};

use super::{TurnConfig, TurnLimits};
use crate::base::time::{Duration, Instant};
use crate::proto::turn::{self, Names};

/// How a client is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Via {
    /// Through the listening socket with this number.
    Udp { socket: usize, from: SocketAddr },
    /// Through the stream with this key.
    Stream(usize),
}

#[derive(Debug)]
pub(super) struct Client {
    pub via: Via,
    /// The address it speaks from.
    pub remote: SocketAddr,
    pub proto: TurnServer,
    /// Keys of the sockets that relay for it.
    pub relays: Vec<usize>,
    credentials: Option<LongTermCredentials>,
    /// Whom it wanted to reach and when: an address for a permission, with its port for a channel.
    peers: Vec<(SocketAddr, Instant)>,
    pub heard: Instant,
    /// When the protocol wants to be asked again.
    pub due: Instant,
    /// When what was carried so far would have been carried at the rate that is permitted.
    carried_until: Instant,
}

/// What is done with a message of a client.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Gate {
    /// The protocol reads it.
    Open,
    /// Answered here.
    Refused(Option<Vec<u8>>),
}

/// RFC 8656 §9: permissions last five minutes; channels ten.
const REMEMBERED: Duration = Duration::from_secs(600);
/// RFC 8656 §19: what a client may not do, and what there is no room for.
const FORBIDDEN: u16 = 403;
const NO_ROOM: u16 = 508;
/// A burst that is carried whole.
const BURST: Duration = Duration::from_millis(500);

impl Client {
    pub fn new(via: Via, listen: SocketAddr, remote: SocketAddr, realm: &str, now: Instant) -> Self {
        let transport = match via {
            Via::Udp { .. } => TransportType::Udp,
            Via::Stream(_) => TransportType::Tcp,
        };
        Self {
            via,
            remote,
            proto: TurnServer::new(transport, listen, realm.to_owned()),
            relays: Vec::new(),
            credentials: None,
            peers: Vec::new(),
            heard: now,
            due: now,
            carried_until: now,
        }
    }

    pub fn transport(&self) -> TransportType {
        self.proto.transport()
    }

    /// The name it relays under.
    pub fn user(&self) -> Option<&str> {
        self.credentials.as_ref().map(LongTermCredentials::username)
    }

    /// Looks at a message before the protocol does: makes its sender known where the name is good, and refuses what leads
    /// to where it may not. `wall` in seconds since 1970.
    pub fn gate(
        &mut self,
        message: &Message<'_>,
        (config, names): (&TurnConfig, &Names),
        limits: &TurnLimits,
        (now, wall): (Instant, u64),
    ) -> Gate {
        // The first good name is the client's: an allocation belongs to one (RFC 8656 §5).
        if self.credentials.is_none()
            && let Some(user) = turn::user(message, names)
            && let Some(password) = config.secret.check(&user, wall)
        {
            self.credentials = Some(LongTermCredentials::new(user.clone(), password.clone()));
            self.proto.add_user(user, password);
        }
        if message.has_method(ALLOCATE) || !message.has_attribute(XorPeerAddress::TYPE) {
            return Gate::Open;
        }
        let peers = turn::peers(message).unwrap_or_default();
        let is_reachable = |peer: &SocketAddr| config.may_reach(peer.ip());
        if peers.is_empty() || !peers.iter().all(is_reachable) {
            return self.refuse(message, FORBIDDEN, config);
        }
        self.peers.retain(|(_, at)| now.saturating_duration_since(*at) < REMEMBERED);
        let has_port = message.has_method(CHANNEL_BIND);
        for peer in peers {
            let peer = SocketAddr::new(peer.ip(), if has_port { peer.port() } else { 0 });
            match self.peers.iter().position(|(known, _)| *known == peer) {
                Some(known) => self.peers[known].1 = now,
                None if self.peers.len() < limits.peers => self.peers.push((peer, now)),
                None => return self.refuse(message, NO_ROOM, config),
            }
        }
        Gate::Open
    }

    fn refuse(&self, message: &Message<'_>, code: u16, config: &TurnConfig) -> Gate {
        // Whoever has no allocation learns nothing of whom it could reach.
        let credentials = self.credentials.as_ref().filter(|_| !self.relays.is_empty());
        Gate::Refused(credentials.and_then(|known| turn::refused(message, code, known, &config.realm)))
    }

    /// Whether so many more bytes may be carried.
    pub fn may_carry(&mut self, bytes: usize, limits: &TurnLimits, now: Instant) -> bool {
        let takes = Duration::from_secs_f64(bytes as f64 / f64::from(limits.bytes.max(1)));
        let until = self.carried_until.max(now) + takes;
        let fits = until.saturating_duration_since(now) <= BURST;
        if fits {
            self.carried_until = until;
        }
        fits
    }
}

impl TurnConfig {
    pub(super) fn may_reach(&self, peer: IpAddr) -> bool {
        let written = peer.to_canonical();
        // An IPv4 address in the writing of IPv6 is never what a client means.
        written == peer && (turn::is_public(peer) || self.allowed.iter().any(|net| net.contains(&peer)))
    }
}

#[cfg(test)]
mod tests {
    use stun_proto::types::message::{MessageClass, MessageType, MessageWriteVec, TransactionId};
    use stun_proto::types::prelude::{MessageWrite, MessageWriteExt};
    use turn_types::message::{CREATE_PERMISSION, SEND};

    use super::*;
    use crate::base::time::now;
    use crate::proto::turn::TurnSecret;

    fn config(allowed: &[&str]) -> TurnConfig {
        TurnConfig {
            udp: vec![0],
            tcp: None,
            secret: TurnSecret::from_text("a secret of the tests").expect("long enough"),
            realm: "realm".into(),
            address: None,
            second: None,
            allowed: allowed.iter().map(|net| net.parse().expect("a network")).collect(),
            relayed: None,
        }
    }

    fn naming(class: MessageClass, peer: &str) -> Vec<u8> {
        let id = TransactionId::generate();
        let method = if class == MessageClass::Request { CREATE_PERMISSION } else { SEND };
        let kind = MessageType::from_class_method(class, method);
        let mut message = Message::builder(kind, id, MessageWriteVec::new());
        message.add_attribute(&XorPeerAddress::new(peer.parse().expect("an address"), id)).expect("room");
        message.finish()
    }

    fn client(relays: &[usize]) -> Client {
        let any = SocketAddr::from(([192, 0, 2, 1], 1));
        let mut client = Client::new(Via::Stream(0), any, any, "realm", now());
        client.relays = relays.to_vec();
        client.credentials = Some(LongTermCredentials::new("u".into(), "p".into()));
        client
    }

    #[test]
    fn peers_within_networks_are_reached_only_where_the_operator_says_so() {
        let (closed, open) = (config(&[]), config(&["10.0.0.0/8", "127.0.0.1/32"]));
        let gate = |config: &TurnConfig, class, peer: &str, relays: &[usize]| {
            let bytes = naming(class, peer);
            let message = Message::from_bytes(&bytes).expect("STUN");
            client(relays).gate(&message, (config, &Names::default()), &TurnLimits::default(), (now(), 0))
        };
        assert_eq!(gate(&closed, MessageClass::Request, "8.8.8.8:53", &[1]), Gate::Open);
        for peer in ["10.0.0.1:80", "127.0.0.1:80", "[::ffff:8.8.8.8]:53", "[::1]:80", "169.254.169.254:80"] {
            let Gate::Refused(Some(answer)) = gate(&closed, MessageClass::Request, peer, &[1]) else {
                panic!("{peer} is refused");
            };
            let answer = Message::from_bytes(&answer).expect("STUN");
            assert!(answer.is_response(), "{peer}");
            assert_eq!(gate(&closed, MessageClass::Indication, peer, &[1]), Gate::Refused(None), "{peer}");
            assert_eq!(gate(&closed, MessageClass::Request, peer, &[]), Gate::Refused(None), "{peer}");
        }
        assert_eq!(gate(&open, MessageClass::Request, "10.0.0.1:80", &[1]), Gate::Open);
        assert_eq!(gate(&open, MessageClass::Request, "127.0.0.1:80", &[1]), Gate::Open);
        assert!(matches!(gate(&open, MessageClass::Request, "127.0.0.2:80", &[1]), Gate::Refused(Some(_))));
        assert!(matches!(gate(&open, MessageClass::Request, "[::ffff:10.0.0.1]:80", &[1]), Gate::Refused(Some(_))));
    }

    #[test]
    fn a_client_reaches_so_many_peers_and_again_after_their_time() {
        let (config, limits) = (config(&[]), TurnLimits { peers: 2, ..TurnLimits::default() });
        let (mut client, start) = (client(&[1]), now());
        let mut reach = |peer: &str, at| {
            let bytes = naming(MessageClass::Request, peer);
            client.gate(&Message::from_bytes(&bytes).expect("STUN"), (&config, &Names::default()), &limits, (at, 0))
                == Gate::Open
        };
        assert!(reach("8.8.8.8:1", start) && reach("8.8.4.4:1", start) && reach("8.8.8.8:2", start));
        assert!(!reach("1.1.1.1:1", start));
        assert!(reach("1.1.1.1:1", start + REMEMBERED));
    }

    #[test]
    fn more_than_the_rate_is_not_carried_and_as_much_is() {
        let limits = TurnLimits { bytes: 100_000, ..TurnLimits::default() };
        let (mut client, start) = (client(&[1]), now());
        let mut carried = |from: u64, every_ms: u64| {
            let at = |n: u64| start + Duration::from_secs(from) + Duration::from_millis(n * every_ms);
            (0..1000).filter(|n| client.may_carry(1000, &limits, at(*n))).count()
        };
        assert_eq!(carried(0, 10), 1000);
        let of_twice = carried(100, 5);
        assert!((500..=560).contains(&of_twice), "{of_twice}");
    }
}
