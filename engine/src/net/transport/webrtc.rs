//! One WebRTC connection: str0m in RTP mode. All of its names stay in this folder.

mod channel;

use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{SystemTime, UNIX_EPOCH};

use str0m::bwe::{Bitrate as StrBitrate, BweKind};
use str0m::config::Fingerprint;
use str0m::ice::IceCreds;
use str0m::media::{KeyframeRequestKind, MediaKind, Mid, Pt};
use str0m::net::{Protocol, Receive};
use str0m::rtp::{AbsCaptureTime, ExtensionValues, RtpWrite};
use str0m::{Event, IceConnectionState, Input, Output, Rtc};

use self::channel::DataChannel;
use super::ice::{self, Candidates};
use super::pairs::{Pair, Pairs};
use super::wire::{AUDIO_PAYLOAD_TYPE, RED_PAYLOAD_TYPE, VIDEO_PAYLOAD_TYPE, class_of, extensions};
use super::{ArrivedPacket, BESIDE, Drained, IDLE, OutgoingPacket, Parameters, Sources, Track, TransportEvent};
use crate::base::error::{Error, Kind, Result};
use crate::base::foreign;
use crate::base::id::Ssrc;
use crate::base::rate::Bitrate;
use crate::base::time::{Duration, Instant, WallTime};
use crate::media::sound::plan::AROUND;
use crate::net::datagram::Received;
use crate::net::paths::Found;
use crate::proto::signal::media::Candidate;
use crate::proto::unit_ext::UnitExt;

/// Packets that str0m would release later than this are not worth another turn now.
const SLACK: Duration = Duration::from_micros(500);

/// Turns of the timeout loop per tick: str0m releases one packet per turn, an IDR of 500 packets is past every cap.
const TURNS: usize = 500;

/// A resend is useful while the picture can still be shown: a second of packets at 8 Mbit/s.
const RTX_PACKETS: usize = 1024;
const RTX_AGE: Duration = Duration::from_secs(1);

/// Share of a second's bytes that resends may take. str0m's 0.15 discards the resends of 30 lost packets.
const RTX_SHARE: f32 = 0.4;

/// Where a call starts before its path is known.
const FIRST_ESTIMATE: StrBitrate = StrBitrate::kbps(1000);

/// Every pair that works is checked so often: when one falls silent, another that answered within this time takes over.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// A pair whose checks are not answered is given up after 30 s, and nothing is sent on it any more (RFC 7675 §5.1).
const CHECKS: usize = 30;

/// With nothing heard for so long no pair is left to be checked: candidates are paired anew.
const LOST: Duration = Duration::from_secs(30);

/// One WebRTC connection.
pub struct Webrtc {
    rtc: Rtc,
    parameters: Parameters,
    theirs: Option<Sources>,
    audio: Outgoing,
    video: Outgoing,
    further: Vec<Outgoing>,
    repair: Option<Outgoing>,
    channel: DataChannel,
    pairs: Pairs,
    candidates: Candidates,
    now: Instant,
    deadline: Instant,
    written: bool,
    /// The other side's first DTLS messages, where they came before our own check of their address was answered: half a
    /// round trip decides that. Dropped, they would come again after DTLS' second of patience.
    early: Vec<(Received, Vec<u8>)>,
    /// Set once the transport failed inside: it takes and gives nothing any more.
    broken: bool,
}

/// A flight of handshake messages has no more datagrams.
const EARLY: usize = 6;

struct Outgoing {
    mid: Mid,
    payload_type: Pt,
    ssrc: Ssrc,
    sequence: u64,
}

impl Webrtc {
    /// A connection that waits for the other side's parameters.
    pub fn new(sources: Sources, now: Instant) -> Self {
        let creds = IceCreds::new();
        let mut config = Rtc::builder()
            .set_rtp_mode(true)
            .clear_codecs()
            .enable_opus(true, true)
            .set_local_ice_credentials(creds.clone())
            .set_stats_interval(Some(Duration::from_secs(1)))
            .enable_bwe(Some(FIRST_ESTIMATE));
        config.set_max_stun_rto(CHECK_EVERY);
        config.set_max_stun_retransmits(CHECKS);
        *config.extension_map() = extensions();
        // RFC 6184 §8.1: constrained baseline, level 3.1, packetization mode 1.
        let (video_type, rtx_type) = (Pt::from(VIDEO_PAYLOAD_TYPE), Pt::from(VIDEO_PAYLOAD_TYPE + 1));
        config.codec_config().add_h264(video_type, Some(rtx_type), true, 0x42e01f);
        let audio_type = Pt::from(AUDIO_PAYLOAD_TYPE);
        let mut rtc = config.build(now);
        let mut api = rtc.direct_api();
        let (audio, video) = (Mid::from("aud"), Mid::from("vid"));
        api.declare_media(audio, MediaKind::Audio);
        api.declare_media(video, MediaKind::Video);
        api.declare_stream_tx(sources.audio.0.into(), None, audio, None);
        let mut further = Vec::new();
        let first = (video, sources.video, sources.video_rtx);
        let others = FURTHER_MIDS.iter().zip(sources.further).filter_map(|(mid, further)| {
            let (ssrc, rtx) = further?;
            Some((Mid::from(*mid), ssrc, rtx))
        });
        for (mid, ssrc, rtx) in std::iter::once(first).chain(others) {
            if mid != video {
                api.declare_media(mid, MediaKind::Video);
                further.push(Outgoing { mid, payload_type: video_type, ssrc, sequence: 1 });
            }
            let stream = api.declare_stream_tx(ssrc.0.into(), Some(rtx.0.into()), mid, None);
            stream.set_unpaced(true);
            stream.set_rtx_cache(RTX_PACKETS, RTX_AGE, Some(RTX_SHARE));
        }
        let repair = sources.repair.map(|ssrc| {
            let mid = Mid::from(REPAIR_MID);
            api.declare_media(mid, MediaKind::Video);
            api.declare_stream_tx(ssrc.0.into(), None, mid, None).set_unpaced(true);
            Outgoing { mid, payload_type: video_type, ssrc, sequence: 1 }
        });
        api.enable_twcc_feedback();
        // str0m makes SHA-256 fingerprints only; anything else would fail to match at the other side.
        let mut fingerprint = [0; 32];
        fingerprint.iter_mut().zip(&api.local_dtls_fingerprint().bytes).for_each(|(to, from)| *to = *from);
        let parameters = Parameters { ufrag: creds.ufrag, password: creds.pass, fingerprint, sources };
        Self {
            rtc,
            parameters,
            theirs: None,
            audio: Outgoing { mid: audio, payload_type: audio_type, ssrc: sources.audio, sequence: 1 },
            video: Outgoing { mid: video, payload_type: video_type, ssrc: sources.video, sequence: 1 },
            further,
            repair,
            channel: DataChannel::default(),
            pairs: Pairs::default(),
            candidates: Candidates::default(),
            now,
            deadline: now + IDLE,
            written: false,
            early: Vec::new(),
            broken: false,
        }
    }

    pub fn parameters(&self) -> Parameters {
        self.parameters.clone()
    }

    pub fn start(&mut self, remote: &Parameters, controlling: bool, now: Instant) -> Result<()> {
        let fingerprint = Fingerprint { hash_func: "sha-256".into(), bytes: remote.fingerprint.to_vec() };
        let (audio, video) = (self.audio.mid, self.video.mid);
        let mut api = self.rtc.direct_api();
        api.set_remote_fingerprint(fingerprint);
        api.set_remote_ice_credentials(IceCreds { ufrag: remote.ufrag.clone(), pass: remote.password.clone() });
        api.set_ice_controlling(controlling);
        self.pairs.set_controlling(controlling);
        // Audio is never asked for again: a resend would come after its time.
        api.expect_stream_rx(remote.sources.audio.0.into(), None, audio, None).suppress_nack(true);
        let (ssrc, rtx) = (remote.sources.video.0.into(), remote.sources.video_rtx.0.into());
        api.expect_stream_rx(ssrc, Some(rtx), video, None);
        for (outgoing, theirs) in self.further.iter().zip(remote.sources.further) {
            let Some((ssrc, rtx)) = theirs else { continue };
            api.expect_stream_rx(ssrc.0.into(), Some(rtx.0.into()), outgoing.mid, None);
        }
        if let (Some(outgoing), Some(ssrc)) = (&self.repair, remote.sources.repair) {
            // What is sent again would come later than what it repairs.
            api.expect_stream_rx(ssrc.0.into(), None, outgoing.mid, None).suppress_nack(true);
        }
        let failed = |error| Error::new(Kind::Reopen, format!("the encrypted connection could not start: {error}"));
        api.start_dtls(controlling).map_err(failed)?;
        DataChannel::start(&mut self.rtc, controlling);
        self.theirs = Some(remote.sources);
        self.deadline = now;
        Ok(())
    }

    pub fn add_local(&mut self, found: &Found) -> Option<u32> {
        self.pairs.on_local(found);
        self.written = true;
        foreign::call(|| {
            let candidate = ice::local(found)?;
            self.candidates.local.push(candidate.clone());
            self.rtc.add_local_candidate(candidate).map(str0m::Candidate::prio)
        })
    }

    pub fn add_remote(&mut self, candidate: &Candidate) {
        self.pairs.on_remote(candidate);
        self.written = true;
        foreign::call(|| {
            if let Some(candidate) = ice::remote(candidate) {
                self.candidates.remote.push(candidate.clone());
                self.rtc.add_remote_candidate(candidate);
            }
        });
    }

    pub fn accepts(&self, datagram: &Received, bytes: &[u8]) -> bool {
        let Ok(receive) = Receive::new(ice::protocol(datagram.tcp), datagram.from, datagram.to, bytes) else {
            return false;
        };
        !self.broken && foreign::call(|| self.rtc.accepts(&Input::Receive(datagram.at, receive)))
    }

    pub fn receive(&mut self, datagram: &Received, bytes: &[u8], out: &mut Drained) -> bool {
        let Ok(receive) = Receive::new(ice::protocol(datagram.tcp), datagram.from, datagram.to, bytes) else {
            return false;
        };
        let input = Input::Receive(datagram.at, receive);
        if self.broken {
            return false;
        }
        if !foreign::call(|| self.rtc.accepts(&input)) {
            // RFC 7983 §7. It was routed here: somebody who knows our ICE password is at that address.
            if bytes.first().is_some_and(|first| (20..=63).contains(first)) && self.early.len() < EARLY {
                self.early.push((datagram.clone(), bytes.to_vec()));
            }
            return false;
        }
        let pair = Pair { local: datagram.to, remote: datagram.from, tcp: datagram.tcp };
        self.pairs.on_received(pair, bytes, datagram.at);
        self.now = datagram.at;
        self.contained(out, |this, out| {
            // One bad datagram is not the end of the call: str0m has already refused it.
            let _ = foreign::call(|| this.rtc.handle_input(input));
            this.drain(out);
            this.replay_early(datagram.at, out);
        });
        true
    }

    /// Hands in what came before its address was known to be good, once it is.
    fn replay_early(&mut self, now: Instant, out: &mut Drained) {
        for (datagram, bytes) in std::mem::take(&mut self.early) {
            let receive = Receive::new(ice::protocol(datagram.tcp), datagram.from, datagram.to, bytes.as_slice());
            let Ok(input) = receive.map(|receive| Input::Receive(now, receive)) else { continue };
            if self.rtc.accepts(&input) {
                let _ = self.rtc.handle_input(input);
                self.drain(out);
            } else {
                self.early.push((datagram, bytes));
            }
        }
    }

    pub fn write(&mut self, packet: &OutgoingPacket<'_>, _: Instant) {
        let outgoing = match packet.track {
            Track::Audio => Some(&mut self.audio),
            Track::Video => Some(&mut self.video),
            Track::Further(number) => self.further.get_mut(usize::from(number)),
            Track::Repair => self.repair.as_mut(),
        };
        let Some(outgoing) = outgoing else { return };
        let payload_type = if packet.redundant { Pt::from(RED_PAYLOAD_TYPE) } else { outgoing.payload_type };
        foreign::call(|| {
            // The extension goes out only with both.
            let mut values = ExtensionValues {
                audio_level: packet.level,
                voice_activity: packet.level.map(|_| packet.voice),
                ..Default::default()
            };
            if let Some(time) = packet.capture_time {
                let capture_time = UNIX_EPOCH + Duration::from_micros(time.as_micros());
                values.abs_capture_time = Some(AbsCaptureTime { capture_time, clock_offset: None });
            }
            if let Some(unit) = packet.unit {
                values.user_values.set(unit);
            }
            let sequence = outgoing.sequence;
            outgoing.sequence += 1;
            let write = RtpWrite::new(payload_type, sequence.into(), packet.timestamp, packet.captured, packet.payload)
                .marker(packet.marker)
                .nackable(packet.track.is_video())
                .ext_vals(values);
            let ssrc = outgoing.ssrc.0.into();
            if let Some(stream) = self.rtc.direct_api().stream_tx(&ssrc) {
                stream.write_rtp(write);
                self.written = true;
            }
        });
    }

    pub fn next_sequence(&self, track: Track) -> u64 {
        let outgoing = match track {
            Track::Audio => Some(&self.audio),
            Track::Video => Some(&self.video),
            Track::Further(number) => self.further.get(usize::from(number)),
            Track::Repair => self.repair.as_ref(),
        };
        outgoing.map_or(0, |outgoing| outgoing.sequence)
    }

    pub fn run_timeouts(&mut self, now: Instant, out: &mut Drained) {
        if self.broken {
            return;
        }
        self.written = false;
        self.now = now;
        self.contained(out, |this, out| {
            // str0m's pacer releases one packet per timeout, so once per tick would starve it.
            let mut next = this.drain(out);
            for _ in 0..TURNS {
                if next > now + SLACK {
                    break;
                }
                if foreign::call(|| this.rtc.handle_input(Input::Timeout(next.max(now)))).is_err() {
                    break;
                }
                next = this.drain(out);
            }
        });
    }

    pub fn drop_gone(&mut self, own: &[IpAddr]) {
        foreign::call(|| self.candidates.drop_gone(&mut self.rtc, own));
        self.written = true;
    }

    pub fn watch(&mut self, told: bool, heard: Instant, now: Instant) -> bool {
        let is_lost = now.saturating_duration_since(heard) >= LOST || self.pairs.is_stranded(heard, now);
        foreign::call(|| {
            self.candidates.revive(&mut self.rtc, is_lost, now);
            let Some((used, other)) = self.pairs.failed(told, now) else { return false };
            let is_left = self.candidates.leave(&mut self.rtc, used, other, now);
            if is_left {
                self.pairs.leave(used, now);
            }
            self.written |= is_left;
            is_left
        })
    }

    pub const fn pairs(&self) -> &Pairs {
        &self.pairs
    }

    pub const fn deadline(&self) -> Instant {
        self.deadline
    }

    pub const fn is_written(&self) -> bool {
        self.written
    }

    pub const fn around_sound(&self) -> u64 {
        AROUND
    }

    pub fn request_keyframe(&mut self, track: Track) {
        let Some(ssrc) = self.theirs.and_then(|theirs| theirs.video_of(track)) else { return };
        foreign::call(|| {
            if let Some(stream) = self.rtc.direct_api().stream_rx(&ssrc.0.into()) {
                stream.request_keyframe(KeyframeRequestKind::Pli);
                self.written = true;
            }
        });
    }

    pub fn send_feedback(&mut self, report: &[u8]) {
        let Some(theirs) = self.theirs else { return };
        let (sender, media) = (self.parameters.sources.video.0.into(), theirs.video.0.into());
        foreign::call(|| self.rtc.direct_api().send_app_specific_feedback(sender, media, report));
        self.written = true;
    }

    pub fn set_desired(&mut self, rate: Bitrate) {
        self.rtc.bwe().set_bitrate(StrBitrate::ZERO, StrBitrate::bps(rate.as_bps()));
    }

    pub fn reset_estimate(&mut self, rate: Bitrate) {
        self.rtc.bwe().reset(StrBitrate::bps(rate.as_bps()));
    }

    pub fn forget_sent(&mut self) {
        foreign::call(|| {
            if let Some(stream) = self.rtc.direct_api().stream_tx(&self.video.ssrc.0.into()) {
                // It begins with an empty cache.
                stream.set_rtx_cache(RTX_PACKETS, RTX_AGE, Some(RTX_SHARE));
            }
        });
    }

    pub fn close(&mut self) {
        let _ = self.rtc.close();
        self.written = true;
    }

    /// Takes everything out; returns when str0m wants to be called next.
    fn drain(&mut self, out: &mut Drained) -> Instant {
        loop {
            match foreign::call(|| self.rtc.poll_output()) {
                Ok(Output::Timeout(at)) => {
                    self.deadline = at;
                    return at;
                }
                Ok(Output::Transmit(transmit)) => {
                    let class = class_of(&transmit.contents);
                    let tcp = transmit.proto == Protocol::Tcp;
                    let pair = Pair { local: transmit.source, remote: transmit.destination, tcp };
                    self.pairs.on_sent(pair, &transmit.contents, self.now);
                    out.outbox.put(transmit.source, transmit.destination, class, tcp, &transmit.contents);
                }
                Ok(Output::Event(event)) => self.take_event(event, out),
                Err(error) => {
                    self.broken = true;
                    out.events.push(TransportEvent::Closed(error.to_string()));
                    self.deadline += IDLE;
                    return self.deadline;
                }
            }
        }
    }

    fn take_event(&mut self, event: Event, out: &mut Drained) {
        match event {
            Event::RtpPacket(packet) => {
                let ssrc = Ssrc(*packet.header.ssrc);
                let Some(track) = self.theirs.and_then(|theirs| theirs.track(ssrc)) else { return };
                let values = &packet.header.ext_vals;
                out.packets.push(ArrivedPacket {
                    track,
                    sequence: *packet.seq_no,
                    timestamp: packet.time.numer(),
                    marker: packet.header.marker,
                    redundant: *packet.header.payload_type == RED_PAYLOAD_TYPE,
                    at: packet.timestamp,
                    capture_time: values.abs_capture_time.and_then(|time| wall_time(time.capture_time)),
                    unit: values.user_values.get::<UnitExt>().copied(),
                    level: values.audio_level,
                    voice: values.voice_activity.unwrap_or_default(),
                    payload: packet.payload,
                });
            }
            Event::Connected => out.events.push(TransportEvent::Connected),
            Event::IceConnectionStateChange(IceConnectionState::Disconnected) => {
                out.events.push(TransportEvent::Disconnected);
            }
            Event::KeyframeRequest(request) => {
                let further = self.further.iter().position(|outgoing| outgoing.mid == request.mid);
                out.events.push(further.map_or(TransportEvent::KeyframeRequest, |number| {
                    TransportEvent::FurtherKeyframeRequest(number as u8)
                }));
            }
            Event::EgressBitrateEstimate(BweKind::Twcc { estimate, .. }) => {
                out.events.push(TransportEvent::Estimate(Bitrate::from_bps(estimate.as_u64())));
            }
            Event::PeerStats(stats) => {
                let pair = stats.selected_candidate_pair;
                out.events.push(TransportEvent::Figures {
                    round_trip: stats.rtt.or(pair.as_ref().and_then(|pair| pair.current_round_trip_time)),
                    loss_out: stats.egress_loss_fraction,
                    local: pair.as_ref().map(|pair| pair.local.addr),
                    remote: pair.as_ref().map(|pair| pair.remote.addr),
                });
            }
            Event::AppSpecificFeedback(feedback) => {
                out.events.push(TransportEvent::Feedback(feedback.payload));
            }
            Event::ChannelOpen(id, label) => self.channel.on_opened(id, &label),
            Event::ChannelClose(id) => self.channel.on_closed(id),
            Event::ChannelData(data) if self.channel.is_of(data.id) => out.keep_message(data.data),
            Event::Closed => out.events.push(TransportEvent::Closed(String::new())),
            _ => {}
        }
    }

    /// Runs `work`; a panic inside the library ends this connection, not the program.
    fn contained(&mut self, out: &mut Drained, work: impl FnOnce(&mut Self, &mut Drained)) {
        if catch_unwind(AssertUnwindSafe(|| work(self, out))).is_err() {
            self.broken = true;
            self.deadline += IDLE;
            out.events.push(TransportEvent::Closed("a fault inside the WebRTC library; please report it".into()));
        }
    }
}

/// What further sources and smaller layers are called between the two sides.
const FURTHER_MIDS: [&str; BESIDE] = ["vi1", "vi2", "vl1", "vl2"];

/// And the stream beside pictures.
const REPAIR_MID: &str = "rep";

fn wall_time(time: SystemTime) -> Option<WallTime> {
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    Some(WallTime::from_micros(since.as_micros() as u64))
}
