//! The transport of one connection behind one face: real WebRTC (`webrtc`), or none at all (`plain`) where a test
//! needs the same result to the bit, or a capture needs something to be found in.
//!
//! Every mutation is followed by a drain: `receive` and `run_timeouts` leave nothing behind inside. What comes out
//! lands in a [`Drained`], whose storage is used again.

mod ice;
pub mod pairs;
pub mod plain;
pub mod webrtc;
mod wire;

#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use self::pairs::PathKind;
use self::plain::Plain;
use self::webrtc::Webrtc;
use super::datagram::{Outbox, Received};
use super::paths::Found;
use crate::base::error::Result;
use crate::base::foreign;
use crate::base::id::Ssrc;
use crate::base::rate::Bitrate;
use crate::base::time::{Duration, Instant, WallTime};
use crate::proto::signal::media::Candidate;
use crate::proto::unit_ext::UnitExt;

/// What travels in a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Track {
    Audio,
    Video,
    /// Pictures beside the first ones: of further sources, counted from 0, and from [`FURTHER`] on the smaller layers of the
    /// first source.
    Further(u8),
    /// Parity of pictures' packets, and packets that measure the path ([`crate::proto::repair`]).
    Repair,
}

impl Track {
    pub const fn is_video(self) -> bool {
        !matches!(self, Self::Audio | Self::Repair)
    }

    /// Where a layer of the first source travels, the largest one with the source itself. Of those that there are.
    pub const fn of_layer(layer: u8) -> Self {
        match layer.checked_sub(1) {
            None => Self::Video,
            Some(lower) => Self::Further(FURTHER as u8 + lower),
        }
    }

    /// Which layer of the first source travels here; `None` for sound and further sources.
    pub const fn layer(self) -> Option<u8> {
        match self {
            Self::Video => Some(0),
            Self::Further(number) if number >= FURTHER as u8 => Some(number - FURTHER as u8 + 1),
            _ => None,
        }
    }
}

/// So many sources of pictures a side may have beside the first one.
pub const FURTHER: usize = 2;
/// So many smaller layers of the first source are sent beside it, where somebody looks at them (simulcast).
pub const LOWER: usize = 2;
/// Tracks of pictures beside the first one.
pub const BESIDE: usize = FURTHER + LOWER;

/// The synchronisation sources of one side, announced before the first packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sources {
    pub audio: Ssrc,
    pub video: Ssrc,
    /// Retransmissions of video, RFC 4588.
    pub video_rtx: Ssrc,
    /// Pictures of further sources and of smaller layers, and their retransmissions; `None` where a side takes none.
    pub further: [Option<(Ssrc, Ssrc)>; BESIDE],
    /// Parity and probes; `None` where a side reads none.
    pub repair: Option<Ssrc>,
}

impl Sources {
    /// The track that packets from `ssrc` belong to; retransmissions have none of their own.
    pub fn track(&self, ssrc: Ssrc) -> Option<Track> {
        let further = || self.further.iter().position(|further| further.is_some_and(|(other, _)| other == ssrc));
        match ssrc {
            _ if ssrc == self.audio => Some(Track::Audio),
            _ if ssrc == self.video => Some(Track::Video),
            _ if Some(ssrc) == self.repair => Some(Track::Repair),
            _ => further().map(|number| Track::Further(number as u8)),
        }
    }

    /// Where pictures of `track` come from.
    pub fn video_of(&self, track: Track) -> Option<Ssrc> {
        match track {
            Track::Audio | Track::Repair => None,
            Track::Video => Some(self.video),
            Track::Further(number) => self.further.get(usize::from(number)).copied().flatten().map(|(ssrc, _)| ssrc),
        }
    }
}

/// What one side tells the other before media can flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// ICE user fragment and password, RFC 8445 §5.3.
    pub ufrag: String,
    pub password: String,
    /// SHA-256 of the DTLS certificate, RFC 8122 §5.
    pub fingerprint: [u8; 32],
    pub sources: Sources,
}

/// One RTP packet to send. Sequence numbers are the transport's own.
#[derive(Clone, Debug)]
pub struct OutgoingPacket<'a> {
    pub track: Track,
    /// RTP timestamp in the clock of the track: 48 kHz for audio, 90 kHz for video.
    pub timestamp: u32,
    pub marker: bool,
    /// The payload has copies of earlier frames in it (RFC 2198).
    pub redundant: bool,
    pub payload: &'a [u8],
    /// When what is in it was captured: sender reports are extrapolated from it.
    pub captured: Instant,
    /// The wall time of the capture, on the first packet of a unit.
    pub capture_time: Option<WallTime>,
    pub unit: Option<UnitExt>,
    /// RFC 6464: 0 (loudest) to -127 dBov.
    pub level: Option<i8>,
    /// RFC 6464 §3, the bit V: somebody speaks. It goes out with the level only.
    pub voice: bool,
}

/// One RTP packet that arrived, decrypted. Numbers are extended: they do not wrap.
#[derive(Clone, Debug)]
pub struct ArrivedPacket {
    pub track: Track,
    pub sequence: u64,
    pub timestamp: u64,
    pub marker: bool,
    pub redundant: bool,
    pub payload: Arc<[u8]>,
    pub at: Instant,
    pub capture_time: Option<WallTime>,
    pub unit: Option<UnitExt>,
    pub level: Option<i8>,
    /// Somebody speaks, as the sender says.
    pub voice: bool,
}

/// What a transport says besides packets.
#[derive(Clone, Debug, PartialEq)]
pub enum TransportEvent {
    /// The path works and both sides are authenticated.
    Connected,
    /// No path answers any more; it may come back.
    Disconnected,
    /// The other side asks for a keyframe of the first source.
    KeyframeRequest,
    /// Of a further one.
    FurtherKeyframeRequest(u8),
    /// A new estimate of what the path carries towards the other side.
    Estimate(Bitrate),
    /// The path's figures, about once a second.
    Figures {
        round_trip: Option<Duration>,
        loss_out: Option<f32>,
        local: Option<SocketAddr>,
        remote: Option<SocketAddr>,
    },
    /// The receiver's own 50 ms report, sent by [`Transport::send_feedback`].
    Feedback(Arc<[u8]>),
    /// The other side closed, or a fault inside made the transport unusable (then with its text).
    Closed(String),
}

/// What a drain brings out.
#[derive(Debug, Default)]
pub struct Drained {
    pub packets: Vec<ArrivedPacket>,
    pub events: Vec<TransportEvent>,
    /// Of the data channel.
    pub messages: Vec<Vec<u8>>,
    pub outbox: Outbox,
}

impl Drained {
    /// Files are read in every tick: what is more than this is of one who floods, and is dropped.
    const MESSAGES: usize = 1024;

    fn keep_message(&mut self, message: Vec<u8>) {
        if self.messages.len() < Self::MESSAGES {
            self.messages.push(message);
        }
    }
}

/// The transport of one connection.
pub enum Transport {
    Webrtc(Box<Webrtc>),
    Plain(Box<Plain>),
}

/// A far deadline for transports that wait for nothing.
pub const IDLE: Duration = Duration::from_secs(3600);

/// The plain one stands in for a library, and allocates as it pleases.
macro_rules! each {
    ($self:ident, $inner:ident => $body:expr) => {
        match $self {
            Transport::Webrtc($inner) => $body,
            Transport::Plain($inner) => foreign::call(|| $body),
        }
    };
}

impl Transport {
    /// What to tell the other side about this one.
    pub fn parameters(&self) -> Parameters {
        each!(self, inner => inner.parameters())
    }

    /// Takes the other side's parameters and begins. `controlling`: this side chooses among paths that work.
    ///
    /// # Errors
    /// [`crate::base::error::Kind::Reopen`] when encryption cannot start: end the call.
    pub fn start(&mut self, remote: &Parameters, controlling: bool, now: Instant) -> Result<()> {
        each!(self, inner => inner.start(remote, controlling, now))
    }

    /// A way to reach us. Its priority (RFC 8445 §5.1.2), or `None` where it says nothing new.
    pub fn add_local(&mut self, found: &Found) -> Option<u32> {
        each!(self, inner => inner.add_local(found))
    }

    /// A way to reach the other side, as it said over signalling.
    pub fn add_remote(&mut self, candidate: &Candidate) {
        each!(self, inner => inner.add_remote(candidate));
    }

    /// What the path in use leads along; `None` before media leaves by any.
    pub fn path_kind(&self) -> Option<PathKind> {
        match self {
            Self::Webrtc(inner) => inner.pairs().kind(),
            Self::Plain(_) => None,
        }
    }

    /// These are our addresses now; what was sent from others is not used any more.
    pub fn drop_gone(&mut self, own: &[IpAddr]) {
        if let Self::Webrtc(inner) = self {
            inner.drop_gone(own);
        }
    }

    /// Looks after the path: leaves one that has fallen silent for another that answers, and brings back what was left or
    /// lost. `told`: the other side hears nothing; `heard`: when something came last. True when another path is taken.
    pub fn watch(&mut self, told: bool, heard: Instant, now: Instant) -> bool {
        match self {
            Self::Webrtc(inner) => inner.watch(told, heard, now),
            Self::Plain(_) => false,
        }
    }

    /// Whether this connection would take the datagram: asked only for datagrams from unknown addresses.
    pub fn accepts(&self, datagram: &Received, bytes: &[u8]) -> bool {
        each!(self, inner => inner.accepts(datagram, bytes))
    }

    /// Hands in one datagram and drains. False where it is not for this connection.
    pub fn receive(&mut self, datagram: &Received, bytes: &[u8], out: &mut Drained) -> bool {
        each!(self, inner => inner.receive(datagram, bytes, out))
    }

    /// Queues one packet; `run_timeouts` brings it out.
    pub fn write(&mut self, packet: &OutgoingPacket<'_>, now: Instant) {
        each!(self, inner => inner.write(packet, now));
    }

    /// The number that the next packet of `track` will have.
    pub fn next_sequence(&self, track: Track) -> u64 {
        each!(self, inner => inner.next_sequence(track))
    }

    /// Runs what is due and drains.
    pub fn run_timeouts(&mut self, now: Instant, out: &mut Drained) {
        each!(self, inner => inner.run_timeouts(now, out));
    }

    /// When `run_timeouts` must run next.
    pub fn deadline(&self) -> Instant {
        each!(self, inner => inner.deadline())
    }

    /// True when something was written since the last `run_timeouts`.
    pub fn is_written(&self) -> bool {
        each!(self, inner => inner.is_written())
    }

    /// Bytes on the wire around the payload of a packet of sound.
    pub fn around_sound(&self) -> u64 {
        each!(self, inner => inner.around_sound())
    }

    /// Asks the other side for a keyframe (PLI, RFC 4585 §6.3.1).
    pub fn request_keyframe(&mut self, track: Track) {
        each!(self, inner => inner.request_keyframe(track));
    }

    /// Sends the receiver's own report (PSFB FMT 15, RFC 4585 §6.4).
    pub fn send_feedback(&mut self, report: &[u8]) {
        each!(self, inner => inner.send_feedback(report));
    }

    /// The rate one would like to send at: the estimator probes up to it.
    pub fn set_desired(&mut self, rate: Bitrate) {
        each!(self, inner => inner.set_desired(rate));
    }

    /// Begins the estimate anew at `rate`: the path was measured to carry less.
    pub fn reset_estimate(&mut self, rate: Bitrate) {
        each!(self, inner => inner.reset_estimate(rate));
    }

    /// Pictures' packets sent so far are not sent again, whoever asks: the path is full of what came before.
    pub fn forget_sent(&mut self) {
        each!(self, inner => inner.forget_sent());
    }

    /// Opens the data channel: the side that controls does, the other one asks it to.
    pub fn open_channel(&mut self) {
        if let Self::Webrtc(inner) = self {
            inner.open_channel();
        }
    }

    pub fn has_channel(&self) -> bool {
        matches!(self, Self::Webrtc(inner) if inner.has_channel())
    }

    /// Puts one message on the data channel, reliable and in order. `false`: it takes no more at the moment.
    pub fn send_message(&mut self, bytes: &[u8]) -> bool {
        match self {
            Self::Webrtc(inner) => inner.send_message(bytes),
            Self::Plain(_) => false,
        }
    }

    /// Says goodbye to the other side; `run_timeouts` brings it out.
    pub fn close(&mut self) {
        each!(self, inner => inner.close());
    }
}
