//! Malformed sound through all that receives sound, in virtual time: real packets, spoilt as a faulty sender, a stranger or a
//! bad cable would, with numbers that jump, another sender and a long gap in between.

mod spoil;

use std::time::Duration;

use engine::base::error::Error;
use engine::base::rate::Bitrate;
use engine::base::stereo::Stereo;
use engine::base::time::{Instant, WallTime, now};
use engine::codec::opus::{FrameLength, OpusDecoder, OpusEncoder};
use engine::media::policy::Policy;
use engine::net::transport::{ArrivedPacket, Track};
use engine::proto::red;
use engine::systems::{deliver, playout};
use engine::world::connection::LinkEstimate;
use engine::world::stream::AudioStream;
use engine::world::tape::{NOBODY, Tape};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use self::spoil::{Model, spoil};
use crate::Outcome;
use crate::process::Holdings;

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub seed: u64,
    pub length: FrameLength,
    /// Malformed packets in a round.
    pub malformed: usize,
    /// In each whole sound, then malformed sound, then whole sound again; in every second one a gap of 10 s.
    pub rounds: usize,
    pub planted: Option<Planted>,
}

/// A fault to see whether it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// After malformed sound one sample is not a number.
    NotANumber,
    /// After malformed sound everything takes 30 ms longer.
    StaysLate,
    /// Malformed packets are kept.
    Kept,
}

/// What became of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Survived {
    pub malformed: u64,
    pub whole: u64,
    /// Samples played, and those of them that were not finite.
    pub played: u64,
    pub not_finite: u64,
    /// Packets, whole ones too, that had a frame of their own for the jitter buffer.
    pub filed: u64,
    /// The loudest sample of whole packets alone, at all, and in the last seconds of whole sound after malformed sound; 1.0
    /// is full scale.
    pub loudest_whole: f32,
    pub loudest: f32,
    pub loudest_settled: f32,
    /// The most packets in the jitter buffer and samples behind the decoder at any time.
    pub most_packets: usize,
    pub most_samples: usize,
    /// Resident memory at its most over what it was before the first malformed packet, in bytes.
    pub grown: u64,
    /// The delay of whole sound before (median), in milliseconds; the last round's.
    pub baseline: f64,
    /// After malformed sound it took so long until the delay was the baseline + 20 ms at most and stayed so; the worst round,
    /// in seconds. `None` where one never was.
    pub back: Option<f64>,
    /// Samples made up in the last seconds of whole sound after malformed sound.
    pub made_up: u64,
}

/// What the delay may be above the baseline, in milliseconds.
const MORE: f64 = 20.0;
/// Whole sound before and after: of the first the last half counts.
const CALM: Duration = Duration::from_secs(10);
/// The last seconds of whole sound, in which nothing is made up.
const SETTLED: Duration = Duration::from_secs(3);
const GAP: Duration = Duration::from_secs(10);
const WAY: Duration = Duration::from_millis(20);
/// The loudspeaker takes so much at a time: 2.5 ms.
const PULL: Duration = Duration::from_micros(2500);
const PULLED: usize = 120;
/// What is around the payload on the wire, in bytes.
const AROUND: usize = 60;
/// Malformed packets between two looks at the memory.
const LOOK: u64 = 200;

/// Plays the plan with `sound` (48 kHz, repeated), whose packets are the models.
///
/// # Errors
/// The codec refuses its settings, or the sound is shorter than a frame.
pub fn survive(plan: &Plan, sound: &[f32]) -> Outcome<Survived> {
    let models = encoded(plan.length, sound)?;
    let mut call = Call::new(plan, &models)?;
    call.survived.loudest_whole = loudest(&models)?;
    let mut back = Some(0.0f64);
    for round in 0..plan.rounds {
        call.calm(CALM / 2);
        call.delays.clear();
        call.calm(CALM / 2);
        call.survived.baseline = median(&mut call.delays);
        if round == 0 {
            call.before = resident()?;
        }
        call.trouble(plan.malformed, round % 2 == 1)?;
        back = back.zip(call.recover()).map(|(worst, back)| worst.max(back));
    }
    call.survived.back = back;
    call.survived.filed = call.stream.jitter.counters().received;
    Ok(call.survived)
}

/// Both ends.
struct Call<'a> {
    random: StdRng,
    models: &'a [Model],
    length: FrameLength,
    /// Frames made so far, of them all.
    frame: usize,
    sequence: u64,
    timestamp: u64,
    start: Instant,
    /// Since `start`: when the next frame is complete, and when the loudspeaker takes the next samples.
    made: Duration,
    pulls: Duration,
    way: Duration,
    /// A packet that is overtaken by the next one.
    overtaken: Option<ArrivedPacket>,
    stream: AudioStream,
    link: LinkEstimate,
    tape: Tape,
    out: Vec<Stereo>,
    /// When something was heard since they were last cleared, and how long after its first sample was captured, ms.
    delays: Vec<(Duration, f64)>,
    /// Since this was last set to 0.
    loudest: f32,
    before: u64,
    planted: Option<Planted>,
    kept: Vec<Vec<u8>>,
    survived: Survived,
}

impl<'a> Call<'a> {
    fn new(plan: &Plan, models: &'a [Model]) -> Outcome<Self> {
        let mut stream = AudioStream::new(&Policy::default()).map_err(said)?;
        // So that copies inside malformed packets are looked for as well.
        stream.jitter.set_fec(true);
        Ok(Self {
            random: StdRng::seed_from_u64(plan.seed),
            models,
            length: plan.length,
            frame: 0,
            sequence: 1 << 20,
            timestamp: 1 << 30,
            start: now(),
            made: Duration::ZERO,
            // The device's grid lies beside the packets'.
            pulls: Duration::from_micros(1300),
            way: WAY,
            overtaken: None,
            stream,
            link: LinkEstimate::default(),
            tape: Tape::default(),
            out: vec![[0.0; 2]; PULLED],
            delays: Vec::new(),
            loudest: 0.0,
            before: 0,
            planted: plan.planted,
            kept: Vec::new(),
            survived: Survived::default(),
        })
    }

    /// Whole sound.
    fn calm(&mut self, time: Duration) {
        let until = self.made + time;
        while self.made < until {
            let packet = self.next();
            self.survived.whole += 1;
            self.arrive(packet);
        }
    }

    /// Malformed sound, until `count` packets of it have come, and a third as many whole ones among them.
    fn trouble(&mut self, count: usize, gap: bool) -> Outcome<()> {
        let until = self.survived.malformed + count as u64;
        let half = until - count as u64 / 2;
        let mut gap = gap;
        while self.survived.malformed < until {
            self.jump();
            let mut packet = self.next();
            if self.random.random_range(0..4) > 0 {
                self.spoil(&mut packet);
            } else {
                self.survived.whole += 1;
            }
            match self.random.random_range(0..40) {
                0 if self.overtaken.is_none() => self.overtaken = Some(packet),
                1 => {
                    self.arrive(packet.clone());
                    self.arrive(packet);
                }
                _ => self.arrive(packet),
            }
            if gap && self.survived.malformed >= half {
                gap = false;
                self.pause();
            }
            if self.survived.malformed.is_multiple_of(LOOK) {
                self.look()?;
            }
        }
        self.look()?;
        match self.planted {
            Some(Planted::NotANumber) => self.stream.stretcher.push(&[[f32::NAN; 2]], Default::default(), 0),
            Some(Planted::StaysLate) => self.way += Duration::from_millis(30),
            Some(Planted::Kept) | None => {}
        }
        Ok(())
    }

    fn look(&mut self) -> Outcome<()> {
        self.survived.grown = self.survived.grown.max(resident()?.saturating_sub(self.before));
        Ok(())
    }

    /// Whole sound again: after how many seconds the delay is back for good.
    fn recover(&mut self) -> Option<f64> {
        let begun = self.made;
        self.delays.clear();
        self.calm(CALM - SETTLED);
        let concealed = self.stream.jitter.counters().concealed_samples;
        self.loudest = 0.0;
        self.calm(SETTLED);
        self.survived.loudest_settled = self.survived.loudest_settled.max(self.loudest);
        self.survived.made_up += self.stream.jitter.counters().concealed_samples - concealed;
        let most = self.survived.baseline + MORE;
        let (last, _) = self.delays.last()?;
        match self.delays.iter().rev().find(|(_, delay)| *delay > most) {
            Some((at, _)) if at == last => None,
            Some((at, _)) => Some(at.saturating_sub(begun).as_secs_f64()),
            None => Some(0.0),
        }
    }

    /// The next frame as a whole packet: with copies, or by itself.
    fn next(&mut self) -> ArrivedPacket {
        let samples = self.length.samples();
        self.frame += 1;
        self.sequence = self.sequence.saturating_add(1);
        self.timestamp = self.timestamp.saturating_add(samples as u64);
        self.made += self.length.duration();
        let model = |back: usize| &*self.models[(self.frame + self.models.len() * 2 - back) % self.models.len()];
        let copies = self.random.random_range(0..3usize);
        let mut payload = Vec::new();
        match copies {
            0 => payload.extend_from_slice(model(0)),
            // Of what is too far away for a header there is no copy.
            _ => red::write((1..=copies).rev().map(|n| ((n * samples) as u32, model(n))), model(0), &mut payload),
        }
        let captured = self.start + self.made - self.length.duration();
        ArrivedPacket {
            track: Track::Audio,
            sequence: self.sequence,
            timestamp: self.timestamp,
            marker: false,
            redundant: copies > 0,
            payload: payload.into(),
            at: self.start + self.made + self.way,
            capture_time: Some(WallTime::of(captured)),
            unit: None,
            level: None,
            voice: false,
        }
    }

    fn spoil(&mut self, packet: &mut ArrivedPacket) {
        let (bytes, redundant) = spoil(&mut self.random, &packet.payload, packet.redundant, self.models);
        if self.planted == Some(Planted::Kept) {
            self.kept.push(vec![1; 65_536]);
        }
        (packet.payload, packet.redundant) = (bytes.into(), redundant);
        self.survived.malformed += 1;
    }

    /// Now and then the numbers go on elsewhere, as another sender's do.
    fn jump(&mut self) {
        let near = self.random.random_range(-2000..2000i64);
        let far = self.random.random_range(-480_000..480_000i64);
        // What an extended number of 16 bits and of 32 can be after a long time.
        let (sequence, timestamp) = (self.random.random_range(0..1 << 40), self.random.random_range(0..1 << 48));
        match self.random.random_range(0..600) {
            0 => self.sequence = self.sequence.saturating_add_signed(near),
            1 => self.timestamp = self.timestamp.saturating_add_signed(far),
            2 => {
                self.sequence = self.sequence.saturating_add_signed(near);
                self.timestamp = self.timestamp.saturating_add_signed(far);
            }
            3 => (self.sequence, self.timestamp) = (sequence, timestamp),
            4 => self.sequence = sequence,
            5 => self.timestamp = timestamp,
            _ => {}
        }
    }

    /// Nothing comes; the sender's numbers went on, or did not.
    fn pause(&mut self) {
        self.made += GAP;
        if self.random.random() {
            let frames = (GAP.as_micros() / self.length.duration().as_micros()) as u64;
            self.sequence += frames;
            self.timestamp += frames * self.length.samples() as u64;
        }
    }

    /// `packet` is filed when it comes, and the loudspeaker takes what it takes until then.
    fn arrive(&mut self, packet: ArrivedPacket) {
        while self.start + self.pulls < packet.at {
            self.pull();
        }
        self.file(&packet);
        if let Some(overtaken) = self.overtaken.take() {
            self.file(&ArrivedPacket { at: packet.at, ..overtaken });
        }
    }

    fn file(&mut self, packet: &ArrivedPacket) {
        deliver::file_sound(packet, AROUND, &self.link, &mut self.stream);
        // As often as the engine would.
        let _ = self.stream.meter.report(packet.at);
        self.survived.most_packets = self.survived.most_packets.max(self.stream.jitter.len());
    }

    fn pull(&mut self) {
        let moment = self.start + self.pulls;
        playout::make_samples(&mut self.stream, &self.tape, NOBODY, moment, PULLED);
        self.survived.most_samples = self.survived.most_samples.max(self.stream.stretcher.len());
        self.stream.stretcher.pop(&mut self.out);
        self.stream.loudness.observe(&self.out);
        let not_finite = self.out.as_flattened().iter().filter(|sample| !sample.is_finite()).count();
        self.survived.not_finite += not_finite as u64;
        self.survived.played += PULLED as u64;
        self.loudest = self.out.as_flattened().iter().fold(self.loudest, |most, sample| most.max(sample.abs()));
        self.survived.loudest = self.survived.loudest.max(self.loudest);
        if let Some(heard) = self.stream.heard.take()
            && let Some(captured) = heard.captured
        {
            let waited = (moment - captured).as_secs_f64() + heard.before as f64 / 48_000.0;
            self.delays.push((self.pulls, waited * 1e3));
        }
        self.pulls += PULL;
    }
}

/// `sound` as packets of this length, with and without in-band FEC and pauses.
fn encoded(length: FrameLength, sound: &[f32]) -> Outcome<Vec<Model>> {
    let mut models = Vec::new();
    for (kbps, fec, pauses) in [(56, false, false), (24, true, true)] {
        let mut encoder = OpusEncoder::new(length, Bitrate::from_kbps(kbps)).map_err(said)?;
        encoder.set_fec(fec, 20).map_err(said)?;
        encoder.set_dtx(pauses).map_err(said)?;
        for frame in sound.chunks_exact(length.samples()) {
            let mut model = Model::new();
            encoder.encode(frame, &mut model).map_err(said)?;
            models.push(model);
        }
    }
    if models.is_empty() { Err("no sound to encode".into()) } else { Ok(models) }
}

/// The loudest sample of all models one after another, and again from the first.
fn loudest(models: &[Model]) -> Outcome<f32> {
    let (mut decoder, mut samples, mut loudest) = (OpusDecoder::new().map_err(said)?, Vec::new(), 0.0f32);
    for model in models.iter().chain(models) {
        samples.clear();
        decoder.decode(model, &mut samples).map_err(said)?;
        loudest = samples.as_flattened().iter().fold(loudest, |most, sample| most.max(sample.abs()));
    }
    Ok(loudest)
}

/// Of this process, in bytes.
fn resident() -> Outcome<u64> {
    Ok(Holdings::of(std::process::id())?.resident)
}

fn median(delays: &mut [(Duration, f64)]) -> f64 {
    delays.sort_by(|(_, a), (_, b)| a.total_cmp(b));
    delays.get(delays.len() / 2).map_or(f64::NAN, |(_, delay)| *delay)
}

fn said(error: Error) -> String {
    error.text.to_string()
}

#[cfg(test)]
mod tests;
