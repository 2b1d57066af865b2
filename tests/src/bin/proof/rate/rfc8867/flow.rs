//! One flow of pictures over the real transport in virtual time, steered by us or by the transport's estimator alone.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use engine::base::id::{Ssrc, UnitNumber};
use engine::base::rate::Bitrate;
use engine::base::time::{Instant, WallTime};
use engine::media::encoded::EncodedUnit;
use engine::media::rate::probe::{ProbeMeter, ProbeReport};
use engine::media::rate::{DelayMeter, DelayReport, RateControl, UnitQueue};
use engine::net::datagram::Inbox;
use engine::net::paths::Found;
use engine::net::transport::webrtc::Webrtc;
use engine::net::transport::{Drained, OutgoingPacket, Sources, Track, Transport, TransportEvent};
use engine::proto::repair::Repair;
use engine::proto::unit_ext::UnitExt;

/// Whose rate it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    Us,
    /// str0m's estimate is the target.
    Transport,
}

/// RFC 8867 §4.3: 150 kbit/s to 1.5 Mbit/s.
const LEAST: Bitrate = Bitrate::from_kbps(150);
pub const MOST: Bitrate = Bitrate::from_kbps(1500);
const PAYLOAD: usize = 1130;
/// UDP and IP.
pub const HEADERS: usize = 28;
const FRAME: Duration = Duration::from_micros(33_333);

struct End {
    transport: Transport,
    address: SocketAddr,
    seen: Drained,
}

/// A sender, a receiver, and what is between encoder and transport.
pub struct Flow {
    by: By,
    ends: [End; 2],
    pub one_way: Duration,
    /// Pictures come between these moments, in seconds.
    pub sends: Vec<(f64, f64)>,
    control: RateControl,
    estimate: Bitrate,
    queue: UnitQueue,
    sending: Option<(EncodedUnit, usize)>,
    next: Instant,
    number: UnitNumber,
    meter: DelayMeter,
    probes: ProbeMeter,
    begun: bool,
}

impl Flow {
    /// A flow whose sides have found each other before `at`.
    pub fn new(by: By, n: u8, one_way: Duration, sends: Vec<(f64, f64)>, at: Instant) -> Self {
        let end = |n: u8| {
            let base = u32::from(n) * 10;
            let sources = Sources {
                audio: Ssrc(base),
                video: Ssrc(base + 1),
                video_rtx: Ssrc(base + 2),
                further: Default::default(),
                repair: Some(Ssrc(base + 3)),
            };
            let address = SocketAddr::from((Ipv4Addr::new(10, 0, 0, n), 2000));
            let mut transport = Transport::Webrtc(Box::new(Webrtc::new(sources, at)));
            let _ = transport.add_local(&Found::host(address, false));
            End { transport, address, seen: Drained::default() }
        };
        let mut ends = [end(n * 2 + 1), end(n * 2 + 2)];
        let told = ends.each_ref().map(|end| (end.transport.parameters(), end.address));
        for (index, end) in ends.iter_mut().enumerate() {
            let (parameters, address) = &told[1 - index];
            let _ = end.transport.start(parameters, index == 0, at);
            end.transport.add_remote(&Found::host(*address, false).candidate);
        }
        ends[0].transport.set_desired(MOST);
        Self {
            by,
            ends,
            one_way,
            sends,
            control: RateControl::new(MOST, Bitrate::default()),
            estimate: RateControl::START,
            queue: UnitQueue::default(),
            sending: None,
            next: at,
            number: UnitNumber(0),
            meter: DelayMeter::default(),
            probes: ProbeMeter::default(),
            begun: false,
        }
    }

    /// Runs both ends to `now` and says what each wants to send: end, datagram.
    pub fn run(&mut self, seconds: f64, now: Instant) -> Vec<(usize, Vec<u8>)> {
        if self.begun {
            self.steer(now);
            self.capture(seconds, now);
            self.send(now);
            if let Some(report) = self.meter.report(now).filter(|_| self.by == By::Us) {
                self.ends[1].transport.send_feedback(&report.to_bytes());
            }
            if let Some(report) = self.probes.report(now) {
                self.ends[1].transport.send_feedback(&report.to_bytes());
            }
        }
        let mut out = Vec::new();
        for (index, end) in self.ends.iter_mut().enumerate() {
            if end.transport.is_written() || end.transport.deadline() <= now {
                end.transport.run_timeouts(now, &mut end.seen);
            }
            out.extend(end.seen.outbox.iter().map(|(_, bytes)| (index, bytes.to_vec())));
            end.seen.outbox.clear();
        }
        out
    }

    /// A datagram from the other end comes to `index`.
    pub fn arrive(&mut self, index: usize, bytes: &[u8], now: Instant) {
        let from = self.ends[1 - index].address;
        let end = &mut self.ends[index];
        let mut inbox = Inbox::default();
        inbox.push(from, end.address, now, bytes);
        if let Some((datagram, bytes)) = inbox.read(0) {
            end.transport.receive(datagram, bytes, &mut end.seen);
        }
        for packet in self.ends[1].seen.packets.drain(..) {
            if packet.track == Track::Repair {
                if let Some(Repair::Probe(probe)) = Repair::parse(&packet.payload) {
                    self.probes.observe(&probe, packet.payload.len() + 81, packet.at);
                }
                continue;
            }
            self.meter.count(packet.payload.len() + 81);
            self.meter.observe_spread(packet.timestamp, packet.sequence, packet.payload.len() + 81, packet.at);
            self.meter.count_picture(packet.sequence, packet.unit.map(|unit| unit.number.0), packet.at);
            if let (Some(captured), Some(unit)) = (packet.capture_time, packet.unit) {
                let sent = captured.as_micros() + (unit.encode + unit.queue).as_micros() as u64;
                let delay = WallTime::of(packet.at).micros_since(WallTime::from_micros(sent));
                self.meter.observe_picture(delay, packet.at);
            }
        }
    }

    /// Whether both ends are there.
    pub fn is_connected(&self) -> bool {
        self.ends.iter().all(|end| end.seen.events.contains(&TransportEvent::Connected))
    }

    pub fn begin(&mut self, now: Instant) {
        (self.begun, self.next) = (true, now);
        self.ends.iter_mut().for_each(|end| end.seen.events.clear());
    }

    fn steer(&mut self, now: Instant) {
        for event in self.ends[0].seen.events.drain(..) {
            match event {
                TransportEvent::Estimate(rate) => {
                    self.estimate = rate;
                    self.control.on_estimate(rate);
                }
                TransportEvent::Feedback(bytes) => {
                    if let Some(report) = DelayReport::parse(&bytes) {
                        self.control.set_path(Bitrate::default(), Some(self.one_way * 2));
                        self.control.on_report(&report, now);
                        self.control.take_anew();
                    } else if let Some(report) = ProbeReport::parse(&bytes) {
                        self.control.on_probe(&report, now);
                    }
                }
                _ => {}
            }
        }
        if self.by == By::Us && self.control.take_forget(now) {
            self.ends[0].transport.forget_sent();
        }
    }

    fn target(&self, now: Instant) -> Bitrate {
        match self.by {
            By::Us => self.control.target(now),
            By::Transport => self.estimate.percent(92).clamp(LEAST, MOST),
        }
    }

    fn capture(&mut self, seconds: f64, now: Instant) {
        if now < self.next {
            return;
        }
        self.next += FRAME;
        let target = self.target(now);
        let sends = self.sends.iter().any(|(from, to)| (*from..*to).contains(&seconds));
        let largest = target.bytes_in(Duration::from_millis(100)) as usize;
        if !sends || target == Bitrate::default() || self.queue.is_braked(target, largest, now) {
            return;
        }
        let first = self.number == UnitNumber(0);
        let left = if self.by == By::Us { self.queue.left_of(target) } else { target };
        let bytes = left.bytes_in(FRAME) as usize * if first { 6 } else { 1 };
        self.queue.push(EncodedUnit {
            data: vec![0x41; bytes.max(50)],
            keyframe: first,
            temporal_id: 0,
            discardable: false,
            width: 1280,
            height: 720,
            number: self.number,
            captured: now,
            encoded: now,
        });
        self.number = self.number.next();
    }

    /// While pictures are off the path is measured, as in a call.
    fn probe(&mut self, now: Instant) {
        let Some(train) = self.control.take_train(now).filter(|_| self.by == By::Us) else { return };
        let mut payload = Vec::new();
        for place in 0..train.packets {
            train.probe(place).write(train.payload, &mut payload);
            self.ends[0].transport.write(&packet(Track::Repair, &payload, now), now);
        }
    }

    fn send(&mut self, now: Instant) {
        self.probe(now);
        let (pace, burst) = match self.by {
            By::Us => (self.control.pace(now), self.control.burst()),
            By::Transport => (self.target(now).percent(220), Duration::from_millis(100)),
        };
        while self.queue.may_leave(pace, burst, now) {
            if self.sending.is_none() {
                let Some(unit) = self.queue.take(now) else { return };
                self.sending = Some((unit, 0));
            }
            let Some((unit, at)) = &mut self.sending else { return };
            let first = *at == 0;
            let end = (*at + PAYLOAD).min(unit.data.len());
            let last = end == unit.data.len();
            let extension = UnitExt {
                number: unit.number,
                queue: now.saturating_duration_since(unit.encoded),
                ..UnitExt::default()
            };
            let packet = OutgoingPacket {
                marker: last,
                capture_time: first.then(|| WallTime::of(unit.captured)),
                unit: first.then_some(extension),
                ..packet(Track::Video, &unit.data[*at..end], unit.captured)
            };
            self.ends[0].transport.write(&packet, now);
            let bytes = end - *at + 81;
            self.control.on_sent(bytes, first.then_some(unit.number), now);
            self.queue.left(bytes, last);
            *at = end;
            if last {
                self.sending = None;
            }
        }
    }
}

fn packet(track: Track, payload: &[u8], captured: Instant) -> OutgoingPacket<'_> {
    OutgoingPacket {
        track,
        timestamp: (WallTime::of(captured).as_micros() * 9 / 100) as u32,
        marker: false,
        redundant: false,
        payload,
        captured,
        capture_time: None,
        unit: None,
        level: None,
        voice: false,
    }
}

/// What of a datagram is pictures.
pub fn is_media(bytes: &[u8]) -> bool {
    bytes.len() > 200 && matches!(bytes.first(), Some(128..=191))
}

/// Datagrams on their way beside the bottleneck, in the order of their arrival.
pub type Flying = VecDeque<(Instant, usize, usize, Vec<u8>)>;
