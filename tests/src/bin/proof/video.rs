//! The video codec: what is around it costs, and what it does with mutated units.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use engine::base::error::Error;
use engine::base::id::UnitNumber;
use engine::base::pipe::Wake;
use engine::base::rate::Bitrate;
use engine::base::time::{Instant, now};
use engine::codec::VideoCodec;
use engine::codec::pool::Pool;
use engine::codec::video_decoder::VideoDecoder;
use engine::codec::video_encoder::{EncoderConfig, VideoEncoder};
use engine::media::encoded::{EncodedUnit, ReceivedUnit};
use engine::media::ledger::Stamps;
use engine::media::simulcast::{Audience, LAYERS, size_of};
use engine::media::video::CapturedPicture;
use engine::source::testcard::TestCard;
use openh264::decoder::Decoder;
use openh264::encoder::{
    BitRate, Complexity, Encoder, EncoderConfig as Bare, FrameRate, Profile, RateControlMode, UsageType,
};
use openh264::formats::{YUVSlices, YUVSource};
use openh264::{OpenH264API, Timestamp};
use rustix::time::{ClockId, clock_gettime};
use visavis_tests::Outcome;
use visavis_tests::fuzz;
use visavis_tests::mutated::{Plan, survive};

use crate::table::Table;

const MUTATED: u64 = 1_000_000;

pub fn mutated(table: &mut Table) -> Outcome<()> {
    let plan = Plan { seed: 7, size: (320, 180), mutated: MUTATED, planted: None };
    let survived = catch_unwind(AssertUnwindSafe(|| survive(&plan)));
    table.holds("nothing panics", survived.is_ok(), "");
    let Ok(survived) = survived else { return Ok(()) };
    let survived = survived?;
    table.at_least("mutated units", Some(survived.mutated as f64), MUTATED as f64, "");
    table.goal("kept from the decoder", Some(survived.refused as f64), "", "");
    table.goal("the decoder failed on", Some(survived.failed as f64), "", "");
    table.goal("decoded to a picture", Some(survived.shown as f64), "", "");
    let right = survived.right as f64 / survived.whole.max(1) as f64 * 100.0;
    table.at_least("whole units between them whose picture was right", Some(right), 100.0, "%");
    table.goal("the slowest unit", Some(survived.slowest.as_secs_f64() * 1e3), "", "ms");
    table.at_most("memory grown at its most", Some(survived.grown as f64 / 1e6), 100.0, "MB");
    Ok(())
}

/// Every parser and mutated whole inputs.
pub fn fuzz(table: &mut Table) -> Outcome<()> {
    for target in fuzz::TARGETS {
        // Each panic would be printed: of a million that is a book.
        let survived = fuzz::survive(&target, MUTATED, 7);
        table.at_least(&format!("{}: inputs", target.name), Some(survived.inputs as f64), MUTATED as f64, "");
        table.at_most(&format!("{}: panics", target.name), Some(survived.panics as f64), 0.0, "");
        let slowest = survived.slowest.as_secs_f64() * 1e3;
        table.goal(&format!("{}: the slowest", target.name), Some(slowest), "", "ms");
    }
    Ok(())
}

/// Times the measurement is made; the median counts.
const TURNS: usize = 7;

/// Pictures of 720 lines, each encoded and decoded, by the bare library and by us in turns: what disturbs the machine disturbs
/// both alike. Of each pair the ratio counts, and of all pairs the one in the middle.
pub fn path(table: &mut Table) -> Outcome<()> {
    const PICTURES: usize = 300;
    /// Encoders begin with a keyframe, and threads start.
    const FIRST: usize = 10;
    let (mut bare, mut ours) = (BarePath::new()?, OurPath::new()?);
    let (mut of_bare, mut of_ours) = (Vec::new(), Vec::new());
    paced(2 * PICTURES, 30, |n, due| {
        if n.is_multiple_of(2) {
            of_bare.push(processor(|| bare.turn(due))?);
        } else {
            of_ours.push(processor(|| ours.turn(due))?);
        }
        Ok(())
    })?;
    let made = ours.decoder.counters().frames + ours.encoder.counters().skipped;
    if made != PICTURES as u64 {
        return Err(format!("{made} of {PICTURES} pictures were made"));
    }
    let (bare, ours) = (&of_bare[FIRST..], &of_ours[FIRST..]);
    table.goal("the library's calls, a picture encoded and decoded", Some(median(bare) * 1e3), "", "ms");
    table.goal("ours", Some(median(ours) * 1e3), "", "ms");
    table.at_most("ours over the library's", Some((ratio(ours, bare) - 1.0) * 100.0), 5.0, "%");
    let (half, rest) = (bare.len() / 2, ours.len() / 2);
    let halves = [ratio(&ours[..rest], &bare[..half]), ratio(&ours[rest..], &bare[half..])];
    let apart = (halves[0] - halves[1]).abs() * 100.0;
    table.goal("  its two halves differ by", Some(apart), "", "%");
    Ok(())
}

/// A picture takes less to encode, and to decode.
const ENOUGH: Duration = Duration::from_millis(14);

struct BarePath {
    encoder: Encoder,
    decoder: Decoder,
    card: TestCard,
    /// As many pictures as are on their way at once in a call: drawing into the one that was encoded a moment ago is cheaper.
    held: std::collections::VecDeque<CapturedPicture>,
    began: Option<Instant>,
}

impl BarePath {
    fn new() -> Outcome<Self> {
        let failed = |error: openh264::Error| error.to_string();
        Ok(Self {
            encoder: Encoder::with_api_config(OpenH264API::from_source(), bare_config(2500)).map_err(failed)?,
            decoder: Decoder::new().map_err(failed)?,
            card: card((1280, 720)),
            held: Default::default(),
            began: None,
        })
    }

    fn turn(&mut self, due: Instant) -> Outcome<()> {
        let failed = |error: openh264::Error| error.to_string();
        let drawn = self.card.draw(due);
        self.held.push_back(drawn.clone());
        if self.held.len() > 2 {
            self.held.pop_front();
        }
        let picture = drawn.picture;
        let (width, height) = (picture.width as usize, picture.height as usize);
        let strides = (width, width / 2, width / 2);
        let source = YUVSlices::new((&picture.y, &picture.u, &picture.v), (width, height), strides);
        let millis = due.saturating_duration_since(*self.began.get_or_insert(due)).as_millis() as u64;
        let unit = self.encoder.encode_at(&source, Timestamp::from_millis(millis)).map_err(failed)?.to_vec();
        std::thread::sleep(ENOUGH.saturating_sub(now() - due));
        if !unit.is_empty() {
            self.decoder.decode(&unit).map_err(failed)?.ok_or("no picture")?;
        }
        std::thread::sleep((ENOUGH * 2).saturating_sub(now() - due));
        Ok(())
    }
}

struct OurPath {
    encoder: VideoEncoder,
    decoder: VideoDecoder,
    card: TestCard,
    _pool: Pool,
}

impl OurPath {
    fn new() -> Outcome<Self> {
        let pool = Pool::new("video-decoder");
        Ok(Self {
            encoder: VideoEncoder::spawn(config((1280, 720), 2500), Wake::none()).map_err(said)?,
            decoder: VideoDecoder::pooled(VideoCodec::H264, &pool, Wake::none()),
            card: card((1280, 720)),
            _pool: pool,
        })
    }

    fn turn(&mut self, due: Instant) -> Outcome<()> {
        self.encoder.submit(self.card.draw(due), due).map_err(|_| "the encoder is behind")?;
        std::thread::sleep(ENOUGH.saturating_sub(now() - due));
        while let Some(unit) = self.encoder.poll(now()) {
            self.decoder.submit(received(unit), now());
        }
        std::thread::sleep((ENOUGH * 2).saturating_sub(now() - due));
        while self.decoder.poll(now()).is_some() {}
        Ok(())
    }
}

fn card(size: (u32, u32)) -> TestCard {
    TestCard::new(size.0, size.1, 30.0)
}

/// Draws each picture when it is due, so that drawing costs the same in both.
fn paced(count: usize, rate: u32, mut each: impl FnMut(usize, Instant) -> Outcome<()>) -> Outcome<()> {
    let start = now();
    for n in 0..count {
        let due = start + Duration::from_secs(1) * n as u32 / rate;
        std::thread::sleep(due.saturating_duration_since(now()));
        each(n, due)?;
    }
    Ok(())
}

fn bare_config(kbps: u32) -> Bare {
    Bare::new()
        .usage_type(UsageType::CameraVideoRealTime)
        .profile(Profile::Baseline)
        .complexity(Complexity::Low)
        .rate_control_mode(RateControlMode::Bitrate)
        .skip_frames(true)
        .bitrate(BitRate::from_bps(kbps * 1000))
        .max_frame_rate(FrameRate::from_hz(30.0))
        .scene_change_detect(false)
        .num_threads(1)
}

fn config((width, height): (u32, u32), kbps: u64) -> EncoderConfig {
    let bitrate = Bitrate::from_kbps(kbps);
    EncoderConfig { codec: VideoCodec::H264, width, height, frame_rate: 30.0, bitrate }
}

/// One picture of 720 lines at 30 a second and 49 of 180 lines at 15.
pub fn many(table: &mut Table) -> Outcome<()> {
    const SMALL: usize = 49;
    const SECONDS: usize = 4;
    let large = units((1280, 720), 2500, 30 * SECONDS, 30)?;
    let small = units((320, 180), 200, 15 * SECONDS, 15)?;
    // As many threads as we have; and one, on which decoders never meet in the caches.
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (mut ours, mut bare, mut alone) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..TURNS.min(5) {
        bare.push(processor(|| bare_many(&large, &small, SMALL, threads))?);
        ours.push(processor(|| our_many(&large, &small, SMALL))?);
        alone.push(processor(|| bare_many(&large, &small, SMALL, 1))?);
    }
    let of_core = |values: &[f64]| Some(median(values) / SECONDS as f64 * 100.0);
    table.goal("the library's calls on as many threads, of a core", of_core(&bare), "", "%");
    table.goal("on one thread, one after the other, of a core", of_core(&alone), "", "%");
    table.goal("ours, of a core", of_core(&ours), "", "%");
    table.at_most("ours for one of the library's", Some(ratio(&ours, &bare) * 100.0), 115.0, "%");
    table.goal("ours for one of the library's on one thread", Some(ratio(&ours, &alone) * 100.0), "", "%");
    Ok(())
}

fn bare_many(large: &[EncodedUnit], small: &[EncodedUnit], count: usize, threads: usize) -> Outcome<()> {
    std::thread::scope(|scope| {
        let part = |own| move || bare_part(large, small, (0..=count).skip(own).step_by(threads));
        let workers: Vec<_> = (0..threads).map(|own| scope.spawn(part(own))).collect();
        workers.into_iter().try_for_each(|worker| worker.join().unwrap_or_else(|_| Err("a decoder panicked".into())))
    })
}

/// The decoders of one thread; number 0 has the large pictures.
fn bare_part(large: &[EncodedUnit], small: &[EncodedUnit], numbers: impl Iterator<Item = usize>) -> Outcome<()> {
    let new = |number| Decoder::new().map(|decoder| (number, decoder)).map_err(|error| error.to_string());
    let mut decoders = numbers.map(new).collect::<Outcome<Vec<(usize, Decoder)>>>()?;
    let decode = |decoder: &mut Decoder, unit: &EncodedUnit| -> Outcome<()> {
        let decoded = decoder.decode(&unit.data).map_err(|error| error.to_string())?.ok_or("no picture")?;
        if decoded.dimensions().0 == unit.width as usize { Ok(()) } else { Err("another size".into()) }
    };
    paced(large.len(), 30, |n, _| {
        for (number, decoder) in &mut decoders {
            match number {
                0 => decode(decoder, &large[n])?,
                _ if n.is_multiple_of(2) => small.get(n / 2).map_or(Ok(()), |unit| decode(decoder, unit))?,
                _ => {}
            }
        }
        Ok(())
    })
}

fn our_many(large: &[EncodedUnit], small: &[EncodedUnit], count: usize) -> Outcome<()> {
    let pool = Pool::new("video-decoder");
    let new = || VideoDecoder::pooled(VideoCodec::H264, &pool, Wake::none());
    let mut decoders: Vec<VideoDecoder> = (0..=count).map(|_| new()).collect();
    let frames = |decoders: &[VideoDecoder]| decoders.iter().map(|decoder| decoder.counters().frames).sum::<u64>();
    // Fifty that begin in the same moment take longer than a pipe holds, which no room does: each has begun before the rest comes.
    for (number, decoder) in decoders.iter_mut().enumerate() {
        decoder.submit(received(if number == 0 { &large[0] } else { &small[0] }.clone()), now());
    }
    let deadline = now() + Duration::from_secs(5);
    while frames(&decoders) <= count as u64 && now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    paced(large.len(), 30, |n, _| {
        let (first, others) = decoders.split_first_mut().ok_or("none")?;
        if n == 0 {
            return Ok(());
        }
        first.submit(received(large[n].clone()), now());
        while first.poll(now()).is_some() {}
        if n.is_multiple_of(2)
            && let Some(unit) = small.get(n / 2)
        {
            for decoder in others {
                decoder.submit(received(unit.clone()), now());
                while decoder.poll(now()).is_some() {}
            }
        }
        Ok(())
    })?;
    let wanted = (large.len() + small.len() * count) as u64;
    let deadline = now() + Duration::from_secs(5);
    while frames(&decoders) < wanted && now() < deadline {
        decoders.iter_mut().for_each(|decoder| while decoder.poll(now()).is_some() {});
        std::thread::sleep(Duration::from_millis(5));
    }
    let made = frames(&decoders);
    if made == wanted { Ok(()) } else { Err(format!("{made} of {wanted} units were decoded")) }
}

/// Three sizes of one source, and the largest alone.
pub fn layers(table: &mut Table) -> Outcome<()> {
    const PICTURES: usize = 120;
    let (mut top, mut all) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        top.push(processor(|| encode_layers(PICTURES, &[0]).map(drop))?);
        all.push(processor(|| encode_layers(PICTURES, &[0, 1, 2]).map(drop))?);
    }
    let each = |values: &[f64]| Some(median(values) / PICTURES as f64 * 1e3);
    table.goal("the largest alone, a picture", each(&top), "", "ms");
    table.goal("all three", each(&all), "", "ms");
    table.at_most("all three for one of the largest", Some(ratio(&all, &top) * 100.0), 160.0, "%");
    let layers = |tiles: &[(u16, u16)]| {
        let wanted = Audience::of(tiles.iter().copied()).layers((1280, 720));
        (0..LAYERS).filter(|layer| wanted[*layer]).collect::<Vec<_>>()
    };
    let none = encode_layers(30, &layers(&[]))?;
    table.at_most("units of layers that nobody watches", Some(none as f64), 0.0, "");
    let (one, many) = (encode_layers(30, &layers(&[(640, 360)]))?, encode_layers(30, &layers(&[(640, 360); 3]))?);
    table.at_most("units more with three watchers than with one", Some(many as f64 - one as f64), 0.0, "");
    Ok(())
}

/// Encodes a test card in these layers, as a call does; how many units that made.
fn encode_layers(count: usize, layers: &[usize]) -> Outcome<usize> {
    let rates = [2500, 700, 200];
    let new = |layer: &usize| VideoEncoder::asleep(config(size_of(*layer, (1280, 720)), rates[*layer]), Wake::none());
    let mut encoders: Vec<VideoEncoder> = layers.iter().map(new).collect();
    let (mut card, mut units) = (card((1280, 720)), 0);
    let mut taken = |encoders: &mut [VideoEncoder]| {
        encoders.iter_mut().for_each(|encoder| units += std::iter::from_fn(|| encoder.poll(now())).count());
        units
    };
    paced(count, 30, |_, due| {
        taken(&mut encoders);
        let drawn = card.draw(due);
        let mut given = encoders.iter_mut().map(|encoder| encoder.submit(drawn.clone(), due).is_ok());
        if given.all(|given| given) { Ok(()) } else { Err("the encoder is behind".into()) }
    })?;
    std::thread::sleep(Duration::from_millis(200));
    Ok(taken(&mut encoders))
}

/// A test card of that size, encoded.
fn units(size: (u32, u32), kbps: u64, count: usize, rate: u32) -> Outcome<Vec<EncodedUnit>> {
    let (start, mut card) = (now(), card(size));
    let mut encoder = VideoEncoder::inline(config(size, kbps), Duration::ZERO);
    let mut units = Vec::new();
    // Some are left out by rate control.
    for n in 0..count as u32 * 2 {
        let at = start + Duration::from_secs(1) * n / rate;
        let CapturedPicture { picture, captured } = card.draw(at);
        encoder.submit(CapturedPicture { picture, captured }, at).map_err(|_| "the encoder takes nothing")?;
        units.extend(encoder.poll(at));
        if units.len() == count {
            return Ok(units);
        }
    }
    Err(format!("{} of {count} units", units.len()))
}

fn received(unit: EncodedUnit) -> ReceivedUnit {
    let EncodedUnit { data, keyframe, number: UnitNumber(number), .. } = unit;
    let timestamp = u64::from(number) * 3000;
    ReceivedUnit { data: Arc::new(data), keyframe, number: UnitNumber(number), timestamp, stamps: Stamps::default() }
}

/// Processor seconds of this process while `work` runs.
fn processor(work: impl FnOnce() -> Outcome<()>) -> Outcome<f64> {
    let seconds = || {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
    };
    let before = seconds();
    work()?;
    Ok(seconds() - before)
}

/// The median of the ratios of what was measured one after the other.
fn ratio(ours: &[f64], bare: &[f64]) -> f64 {
    let ratios: Vec<f64> = ours.iter().zip(bare).map(|(ours, bare)| ours / bare).collect();
    median(&ratios)
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn said(error: Error) -> String {
    error.text.to_string()
}
