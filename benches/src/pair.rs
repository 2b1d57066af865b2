//! Two ends of one connection, joined by lists instead of a network, in virtual time.

use std::net::{Ipv4Addr, SocketAddr};

use engine::base::id::Ssrc;
use engine::base::rate::Bitrate;
use engine::base::time::{Duration, Instant, WallTime, now};
use engine::net::datagram::Inbox;
use engine::net::paths::Found;
use engine::net::transport::plain::Plain;
use engine::net::transport::webrtc::Webrtc;
use engine::net::transport::{Drained, OutgoingPacket, Sources, Track, Transport, TransportEvent};
use engine::proto::unit_ext::UnitExt;

/// Two ends that are connected.
pub struct Pair {
    ends: [End; 2],
    at: Instant,
    timestamp: u32,
    payload: [u8; 1100],
    /// Sent and not arrived.
    missing: usize,
}

struct End {
    transport: Transport,
    address: SocketAddr,
    out: Drained,
    inbox: Inbox,
}

/// What a picture's packets took.
#[derive(Clone, Copy, Debug)]
pub struct Took {
    /// At the sender: written, packed into datagrams and handed out.
    pub write: Duration,
    /// At the receiver: datagrams taken and packets handed out.
    pub parse: Duration,
}

/// Packets of one picture: 10 kB, as 2.5 Mbit/s at 30 a second have it.
pub const PACKETS: usize = 10;

impl Pair {
    /// Over WebRTC (`real`) or in the clear.
    pub fn new(real: bool, start: Instant) -> Self {
        let mut ends = [1, 2].map(|n| End::new(real, n, start));
        let told = [0, 1].map(|n: usize| (ends[n].transport.parameters(), ends[n].address));
        for (n, end) in ends.iter_mut().enumerate() {
            let (parameters, address) = &told[1 - n];
            end.transport.start(parameters, n == 0, start).expect("parameters of our own making");
            end.transport.add_remote(&Found::host(*address, false).candidate);
        }
        let mut pair = Self { ends, at: start, timestamp: 0, payload: [0x41; 1100], missing: 0 };
        let mut connected = [false; 2];
        // A few round trips of a millisecond; the first message of a handshake may be repeated after a second.
        for _ in 0..5000 {
            pair.at += Duration::from_millis(1);
            pair.settle();
            for (end, connected) in pair.ends.iter_mut().zip(&mut connected) {
                *connected |= end.out.events.drain(..).any(|event| event == TransportEvent::Connected);
            }
            if connected == [true; 2] {
                return pair;
            }
        }
        panic!("the two ends do not connect");
    }

    /// Sends the packets of one picture from the first end to the second, a thirtieth of a second after the one before.
    pub fn send_picture(&mut self) -> Took {
        self.at += Duration::from_micros(33_333);
        self.timestamp = self.timestamp.wrapping_add(3000);
        self.settle();
        let [near, far] = &mut self.ends;
        let began = now();
        for index in 0..PACKETS {
            let first = index == 0;
            let packet = OutgoingPacket {
                track: Track::Video,
                timestamp: self.timestamp,
                marker: index + 1 == PACKETS,
                redundant: false,
                payload: &self.payload,
                captured: self.at,
                capture_time: first.then(|| WallTime::of(self.at)),
                unit: first.then(UnitExt::default),
                level: None,
                voice: false,
            };
            near.transport.write(&packet, self.at);
        }
        near.transport.run_timeouts(self.at, &mut near.out);
        let written = now();
        near.hand_to(far, self.at);
        let handed = now();
        far.take();
        let taken = now();
        self.missing += PACKETS;
        self.settle();
        // Once in some ten seconds str0m holds back what follows a picture's first packet; it comes with the next picture.
        assert!(self.missing < PACKETS, "{} packets have not arrived", self.missing);
        Took { write: written - began, parse: taken - handed }
    }

    /// Lets both ends say what they have to say, until neither has more: feedback, reports, signs of life.
    fn settle(&mut self) {
        for _ in 0..100 {
            let [near, far] = &mut self.ends;
            let spoke = [near.speak(far, self.at), far.speak(near, self.at)];
            near.take();
            far.take();
            if spoke == [false; 2] {
                break;
            }
        }
        self.missing -= self.ends[1].out.packets.drain(..).count();
    }
}

impl End {
    fn new(real: bool, number: u8, start: Instant) -> Self {
        let first = u32::from(number) * 10;
        let sources = Sources {
            audio: Ssrc(first),
            video: Ssrc(first + 1),
            video_rtx: Ssrc(first + 2),
            further: Default::default(),
            repair: None,
        };
        let mut transport = if real {
            Transport::Webrtc(Box::new(Webrtc::new(sources, start)))
        } else {
            Transport::Plain(Box::new(Plain::new(sources, start)))
        };
        let address = SocketAddr::from((Ipv4Addr::new(10, 0, 0, number), 2000));
        let _ = transport.add_local(&Found::host(address, false));
        transport.set_desired(Bitrate::from_kbps(2500));
        Self { transport, address, out: Drained::default(), inbox: Inbox::default() }
    }

    /// Runs what is due and hands over what there is to send; whether there was any.
    fn speak(&mut self, other: &mut Self, at: Instant) -> bool {
        if self.transport.is_written() || self.transport.deadline() <= at {
            self.transport.run_timeouts(at, &mut self.out);
        }
        self.hand_to(other, at)
    }

    fn hand_to(&mut self, other: &mut Self, at: Instant) -> bool {
        let spoke = !self.out.outbox.is_empty();
        for (sending, bytes) in self.out.outbox.iter() {
            other.inbox.push(self.address, sending.to, at, bytes);
        }
        self.out.outbox.clear();
        spoke
    }

    fn take(&mut self) {
        for index in 0..self.inbox.datagrams().len() {
            let Some((datagram, bytes)) = self.inbox.read(index) else { continue };
            self.transport.receive(datagram, bytes, &mut self.out);
        }
        self.inbox.clear();
    }
}
