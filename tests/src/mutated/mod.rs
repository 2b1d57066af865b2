//! Mutated H.264 units through the parser in front of the decoder and the decoder: real units, spoilt as a faulty or hostile
//! sender would, with whole ones in between.

mod spoil;

use std::sync::Arc;
use std::time::Duration;

use engine::base::id::UnitNumber;
use engine::base::rate::Bitrate;
use engine::base::time::{Instant, WallTime, now};
use engine::codec::VideoCodec;
use engine::codec::video_decoder::VideoDecoder;
use engine::codec::video_encoder::{EncoderConfig, VideoEncoder};
use engine::media::encoded::ReceivedUnit;
use engine::media::ledger::Stamps;
use engine::media::marker::{self, Marker};
use engine::media::video::{CapturedPicture, Picture};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use self::spoil::spoil;
use crate::Outcome;
use crate::process::Holdings;

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub seed: u64,
    pub size: (u32, u32),
    pub mutated: u64,
    pub planted: Option<Planted>,
}

/// A fault to see whether it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// One of the whole units between mutated ones is another.
    WrongPicture,
    /// Mutated units are kept.
    Kept,
}

/// What became of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Survived {
    pub mutated: u64,
    /// Mutated ones that the parser, or the want of a keyframe, kept from the decoder; on which the decoder failed; of which
    /// it made a picture.
    pub refused: u64,
    pub failed: u64,
    pub shown: u64,
    /// Whole units after mutated ones, beginning with a keyframe, and those of them whose picture was right.
    pub whole: u64,
    pub right: u64,
    /// The longest time that one unit took.
    pub slowest: Duration,
    /// Resident memory at its most over what it was in the first part, in bytes.
    pub grown: u64,
}

/// So many mutated units lie between whole ones.
const ROUND: u64 = 40;
/// Whole units after them: a keyframe and what follows it.
const WHOLE: usize = 4;
/// Different units that are mutated: keyframes and others.
const MODELS: usize = 48;
const KEYFRAME_EVERY: usize = 8;

/// A unit as the encoder made it, and what it shows.
#[derive(Clone, Debug)]
struct Model {
    data: Vec<u8>,
    keyframe: bool,
    marker: Marker,
}

/// Sends the plan.
///
/// # Errors
/// The encoder makes no units.
pub fn survive(plan: &Plan) -> Outcome<Survived> {
    let models = encoded(plan.size)?;
    let mut random = StdRng::seed_from_u64(plan.seed);
    let mut call = Call {
        decoder: VideoDecoder::inline(VideoCodec::H264, Duration::ZERO),
        start: now(),
        number: 0,
        survived: Survived::default(),
    };
    let (mut before, mut kept) = (None, Vec::new());
    while call.survived.mutated < plan.mutated {
        let first = call.whole(&models, &mut random, plan.planted)?;
        for turn in 0..ROUND.min(plan.mutated - call.survived.mutated) {
            // A decoder that has lost its place takes keyframes only: mutated others would never get to it.
            if !call.has_place(&models, first, &mut random) {
                continue;
            }
            let [model, other] = [0; 2].map(|_| &models[random.random_range(0..models.len())]);
            let data = spoil(&mut random, &model.data, &other.data);
            if plan.planted == Some(Planted::Kept) {
                kept.push(vec![turn as u8; 65_536]);
            }
            call.mutated(data, model.keyframe);
        }
        let resident = resident()?;
        // Its first sizes are what a decoder needs.
        if call.survived.mutated >= plan.mutated / 10 {
            let before = *before.get_or_insert(resident);
            call.survived.grown = call.survived.grown.max(resident.saturating_sub(before));
        }
    }
    call.whole(&models, &mut random, None)?;
    Ok(call.survived)
}

struct Call {
    decoder: VideoDecoder,
    start: Instant,
    number: u16,
    survived: Survived,
}

impl Call {
    /// Hands in one unit; what it shows, if anything.
    fn submit(&mut self, data: Vec<u8>, keyframe: bool) -> Option<Arc<Picture>> {
        self.number = self.number.wrapping_add(1);
        let unit = ReceivedUnit {
            data: Arc::new(data),
            keyframe,
            number: UnitNumber(self.number),
            timestamp: u64::from(self.number) * 3000,
            stamps: Stamps::default(),
        };
        let begun = now();
        self.decoder.submit(unit, self.start);
        self.survived.slowest = self.survived.slowest.max(now() - begun);
        self.decoder.poll(self.start).map(|frame| frame.picture)
    }

    /// Whole units from a keyframe on, whose number is given back.
    fn whole(&mut self, models: &[Model], random: &mut StdRng, planted: Option<Planted>) -> Outcome<usize> {
        let first = random.random_range(0..MODELS / KEYFRAME_EVERY) * KEYFRAME_EVERY;
        for (at, model) in models.iter().enumerate().skip(first).take(WHOLE) {
            let is_other = planted == Some(Planted::WrongPicture) && at == first;
            let sent = if is_other { &models[(first + KEYFRAME_EVERY) % MODELS] } else { model };
            let shown = self.submit(sent.data.clone(), sent.keyframe);
            self.survived.whole += 1;
            self.survived.right += u64::from(shown.and_then(|picture| read(&picture)) == Some(model.marker));
        }
        Ok(first)
    }

    /// Gives the decoder a whole keyframe where it waits for one, mostly.
    fn has_place(&mut self, models: &[Model], first: usize, random: &mut StdRng) -> bool {
        if self.decoder.wants_keyframe() && random.random_range(0..8) > 0 {
            let model = &models[first];
            return self.submit(model.data.clone(), true).is_some();
        }
        true
    }

    fn mutated(&mut self, data: Vec<u8>, keyframe: bool) {
        let before = self.decoder.counters();
        let shown = self.submit(data, keyframe).is_some();
        let after = self.decoder.counters();
        self.survived.mutated += 1;
        self.survived.refused += after.refused - before.refused;
        self.survived.failed += after.failed - before.failed;
        self.survived.shown += u64::from(shown);
    }
}

/// Units with markers, a keyframe every eighth.
fn encoded((width, height): (u32, u32)) -> Outcome<Vec<Model>> {
    let start = now();
    let bitrate = Bitrate::from_kbps(1000);
    let config = EncoderConfig { codec: VideoCodec::H264, width, height, frame_rate: 30.0, bitrate };
    let mut encoder = VideoEncoder::inline(config, Duration::ZERO);
    let mut models = Vec::new();
    for counter in 0..MODELS as u32 * 2 {
        if models.len() == MODELS {
            break;
        }
        let marker = Marker { counter, drawn: WallTime::from_micros(1_795_000_000_000_000 + u64::from(counter)) };
        let mut picture = Picture::new(width, height);
        for (at, pixel) in picture.y.iter_mut().enumerate() {
            *pixel = 40 + ((at as u32 % width / 3 + at as u32 / width / 5 + counter * 4) % 160) as u8;
        }
        marker::paint(&mut picture, marker);
        if models.len().is_multiple_of(KEYFRAME_EVERY) {
            encoder.request_keyframe();
        }
        let at = start + Duration::from_millis(33) * counter;
        let captured = CapturedPicture { picture: Arc::new(picture), captured: at };
        encoder.submit(captured, at).map_err(|_| "the encoder takes nothing")?;
        let unit = encoder.poll(at);
        models.extend(unit.map(|unit| Model { data: unit.data, keyframe: unit.keyframe, marker }));
    }
    let is_right = |(at, model): (usize, &Model)| model.keyframe == at.is_multiple_of(KEYFRAME_EVERY);
    if models.len() == MODELS && models.iter().enumerate().all(is_right) {
        Ok(models)
    } else {
        Err(format!("{} units were encoded", models.len()))
    }
}

fn read(picture: &Picture) -> Option<Marker> {
    marker::read(&picture.y, picture.width as usize, picture.width, picture.height)
}

/// Of this process, in bytes.
fn resident() -> Outcome<u64> {
    Ok(Holdings::of(std::process::id())?.resident)
}
