//! A second address and a second port that questions are answered from (RFC 5780 §6): so a client finds out to whom its
//! router lets it be seen as one, and whom it lets in.
//!
//! Four ends: each of the two addresses with each of the two ports. The first is the relay's own port, which listens on all
//! addresses; the others have sockets of their own.

use std::io;
use std::net::{IpAddr, SocketAddr};

use mio::event::Source;
use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};

use super::address::listen_udp;
use crate::proto::turn::{self, Change};

/// One of the four ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub second_address: bool,
    pub second_port: bool,
}

impl End {
    pub const FIRST: Self = Self { second_address: false, second_port: false };

    /// The end that a request which came to this one is to be answered from.
    const fn changed(self, change: Change) -> Self {
        Self { second_address: self.second_address != change.address, second_port: self.second_port != change.port }
    }
}

#[derive(Debug)]
pub(super) struct Elsewhere {
    addresses: [IpAddr; 2],
    ports: [u16; 2],
    /// Of the three ends that are not the first.
    sockets: [(End, UdpSocket); 3],
}

impl Elsewhere {
    /// The ends beside `first` and `port`, on `second` and a port that the system chooses.
    pub fn open(first: IpAddr, second: IpAddr, port: u16) -> io::Result<Self> {
        let (both, other) = listen_udp(second, 0, true)?;
        let end = |second_address, second_port| End { second_address, second_port };
        let sockets = [
            (end(false, true), listen_udp(first, other, true)?.0),
            (end(true, false), listen_udp(second, port, true)?.0),
            (end(true, true), both),
        ];
        Ok(Self { addresses: [first, second], ports: [port, other], sockets })
    }

    /// Registers the three sockets with tokens from `first` on.
    pub fn register(&mut self, registry: &Registry, first: usize) -> io::Result<()> {
        for (at, (_, socket)) in self.sockets.iter_mut().enumerate() {
            socket.register(registry, Token(first + at), Interest::READABLE)?;
        }
        Ok(())
    }

    /// What came to the socket with this number, and to which end.
    pub fn receive(&self, number: usize, datagram: &mut [u8]) -> Option<(usize, SocketAddr, End)> {
        let (end, socket) = self.sockets.get(number)?;
        let (length, from) = socket.recv_from(datagram).ok()?;
        Some((length, from, *end))
    }

    /// Answers a request that came to `end`, from where it asks to be answered. `main`: the first end's socket.
    pub fn answer(&self, bytes: &[u8], from: SocketAddr, end: End, main: Option<&UdpSocket>) {
        let turn::Seen::Binding(request) = turn::look(bytes) else { return };
        let to = end.changed(turn::change(bytes));
        let other = End { second_address: !end.second_address, second_port: !end.second_port };
        let Some(answer) = turn::bound_from(&request, from, self.address(to), self.address(other)) else { return };
        let own = self.sockets.iter().find(|(own, _)| *own == to).map(|(_, socket)| socket);
        if let Some(socket) = own.or(main) {
            // A full socket loses the answer as the path would.
            let _ = socket.send_to(&answer, from);
        }
    }

    fn address(&self, end: End) -> SocketAddr {
        let [first, second] = self.addresses;
        let [port, other] = self.ports;
        SocketAddr::new(if end.second_address { second } else { first }, if end.second_port { other } else { port })
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket as StdSocket;

    use super::*;
    use crate::base::time::Duration;
    use crate::net::turn::{Turn, TurnConfig, TurnLimits};
    use crate::proto::nettest::stun::{self, Wanted};
    use crate::proto::turn::TurnSecret;

    #[test]
    fn a_question_is_answered_from_where_it_asks_to_be_and_the_other_end_is_named() {
        let [first, second] = ["127.0.0.1", "127.0.0.2"].map(|ip| ip.parse::<IpAddr>().expect("an address"));
        let config = TurnConfig {
            udp: vec![0],
            tcp: None,
            secret: TurnSecret::from_text("a secret of the tests").expect("long enough"),
            realm: "realm".into(),
            address: Some(first),
            second: Some(second),
            allowed: Vec::new(),
            relayed: None,
        };
        let turn = Turn::start(config, TurnLimits::default()).expect("a relay");
        assert!(turn.closed.is_empty(), "{:?}", turn.closed);
        let main = SocketAddr::new(first, turn.udp[0]);
        let client = StdSocket::bind("127.0.0.1:0").expect("a port");
        client.set_read_timeout(Some(Duration::from_secs(5))).expect("a limit");
        let ask = |wanted, to: SocketAddr| {
            client.send_to(&stun::request(wanted, &[7; 12]), to).expect("sent");
            let mut buffer = [0; 256];
            let (length, from) = client.recv_from(&mut buffer).expect("answered");
            (from, stun::answer(&buffer[..length], &[7; 12]).expect("an answer"))
        };
        let (from, answer) = ask(Wanted::Binding, main);
        let other = answer.other.expect("named");
        assert_eq!((from, answer.mapped, other.ip()), (main, client.local_addr().ok(), second));
        assert_ne!(other.port(), main.port());
        let changed = |other_address, other_port| ask(Wanted::BindingFrom { other_address, other_port }, main).0;
        assert_eq!(changed(true, true), other);
        assert_eq!(changed(false, true), SocketAddr::new(first, other.port()));
        assert_eq!(changed(true, false), SocketAddr::new(second, main.port()));
        // At the other end the first one is the other.
        let (from, answer) = ask(Wanted::Binding, other);
        assert_eq!((from, answer.other), (other, Some(main)));
        assert_eq!(ask(Wanted::BindingFrom { other_address: true, other_port: true }, other).0, main);
    }
}
