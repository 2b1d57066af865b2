//! The engine's handle of a video encoder.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU64, Ordering};

use super::VideoCodec;
use super::h264::encoder::{Encoded, H264Encoder};
use super::plain::PlainEncoder;

use super::worker::{Clock, Job, Worker};
use crate::base::error::Result;
use crate::base::id::UnitNumber;
use crate::base::pipe::{Refusal, Wake};
use crate::base::rate::Bitrate;
use crate::base::time::{Duration, Instant};
use crate::media::encoded::EncodedUnit;
use crate::media::scale::Scaler;
use crate::media::video::{CapturedPicture, Content, Picture};

/// One picture is being encoded and one waits: a third would only be older when it is sent.
const BOUND: usize = 2;
/// The encoder failed for every picture of a second: it will not recover.
const MOST_FAILURES: u32 = 30;

/// How to encode.
#[derive(Clone, Copy, Debug)]
pub struct EncoderConfig {
    pub codec: VideoCodec,
    /// The size of the units; pictures of another size are scaled. Rounded down to even numbers, at least 16.
    pub width: u32,
    pub height: u32,
    /// Pictures per second.
    pub frame_rate: f32,
    pub bitrate: Bitrate,
}

/// What became of pictures so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EncoderCounters {
    pub submitted: u64,
    /// The in-pipe was full.
    pub refused: u64,
    /// Rate control left the picture out.
    pub skipped: u64,
    pub failed: u64,
    pub units: u64,
}

/// An encoder on a thread of its own (or inline). All settings take effect with the next picture that is taken.
pub struct VideoEncoder {
    worker: Worker<EncodeJob>,
    shared: Arc<Shared>,
    submitted: u64,
    refused: u64,
}

/// What the handle asks for and the worker counts.
#[derive(Debug)]
struct Shared {
    bitrate: AtomicU64,
    /// Width in the upper, height in the lower half.
    size: AtomicU64,
    keyframe: AtomicBool,
    text: AtomicBool,
    layers: AtomicU8,
    /// The least in the upper, the most in the lower half.
    quantisers: AtomicU16,
    skipped: AtomicU64,
    failed: AtomicU64,
    units: AtomicU64,
}

impl VideoEncoder {
    /// Starts the encoder's thread; `wake` is called after each picture.
    ///
    /// # Errors
    /// There is no thread to be had (`Kind::Retry`).
    pub fn spawn(config: EncoderConfig, wake: Wake) -> Result<Self> {
        let (job, shared) = EncodeJob::new(config);
        let worker = Worker::spawn("video-encoder", BOUND, job, wake)?;
        Ok(Self { worker, shared, submitted: 0, refused: 0 })
    }

    /// The same, whose thread starts with the first picture.
    pub fn asleep(config: EncoderConfig, wake: Wake) -> Self {
        let (job, shared) = EncodeJob::new(config);
        Self { worker: Worker::asleep("video-encoder", BOUND, job, wake), shared, submitted: 0, refused: 0 }
    }

    /// The same without a thread: `submit` encodes, which takes `takes` of virtual time.
    pub fn inline(config: EncoderConfig, takes: Duration) -> Self {
        let (job, shared) = EncodeJob::new(config);
        Self { worker: Worker::inline(job, takes), shared, submitted: 0, refused: 0 }
    }

    /// Hands a picture over. `Full`: the encoder is busy; skip this picture (it has been counted).
    pub fn submit(&mut self, picture: CapturedPicture, now: Instant) -> Result<(), Refusal<CapturedPicture>> {
        let result = self.worker.submit(picture, now);
        match result {
            Ok(()) => self.submitted += 1,
            Err(_) => self.refused += 1,
        }
        result
    }

    /// The next unit, in the order of the pictures.
    pub fn poll(&mut self, now: Instant) -> Option<EncodedUnit> {
        self.worker.poll(now)
    }

    /// Makes the next unit a keyframe. When the source stands still, submit its last picture again.
    pub fn request_keyframe(&self) {
        self.shared.keyframe.store(true, Ordering::Release);
    }

    pub fn set_bitrate(&self, bitrate: Bitrate) {
        self.shared.bitrate.store(bitrate.as_bps(), Ordering::Relaxed);
    }

    /// Changes the size of the units; the first one of another size is a keyframe.
    pub fn set_size(&self, width: u32, height: u32) {
        self.shared.size.store(pack(width, height), Ordering::Relaxed);
    }

    /// What the pictures are of; the first unit of another content is a keyframe.
    pub fn set_content(&self, content: Content) {
        self.shared.text.store(content == Content::Text, Ordering::Relaxed);
    }

    /// The least and the most that H.264's quantiser may be, 0 to 51, from the next keyframe of another size or content on.
    pub fn set_quantisers(&self, (least, most): (u8, u8)) {
        self.shared.quantisers.store(u16::from_be_bytes([least, most]), Ordering::Relaxed);
    }

    /// Temporal layers, 1 or 2; the first unit of another number is a keyframe.
    pub fn set_layers(&self, layers: u8) {
        self.shared.layers.store(layers, Ordering::Relaxed);
    }

    /// The size the next unit will have.
    pub fn size(&self) -> (u32, u32) {
        unpack(self.shared.size.load(Ordering::Relaxed))
    }

    pub fn is_full(&self) -> bool {
        self.worker.is_full()
    }

    /// When the next unit is ready, in virtual time.
    pub fn next_due(&self) -> Option<Instant> {
        self.worker.next_due()
    }

    /// True when the encoder has ended by itself: make a new one.
    pub fn is_gone(&self) -> bool {
        self.worker.is_gone()
    }

    pub fn counters(&self) -> EncoderCounters {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        EncoderCounters {
            submitted: self.submitted,
            refused: self.refused,
            skipped: load(&self.shared.skipped),
            failed: load(&self.shared.failed),
            units: load(&self.shared.units),
        }
    }
}

enum Engine {
    H264(Box<H264Encoder>),
    Plain(PlainEncoder),
}

struct EncodeJob {
    engine: Engine,
    shared: Arc<Shared>,
    scaler: Scaler,
    scaled: Picture,
    number: UnitNumber,
    began: Option<Instant>,
    last_size: (u32, u32),
    failures: u32,
    /// A good guess of the next unit's size.
    capacity: usize,
}

impl EncodeJob {
    fn new(config: EncoderConfig) -> (Self, Arc<Shared>) {
        let shared = Arc::new(Shared {
            bitrate: AtomicU64::new(config.bitrate.as_bps()),
            size: AtomicU64::new(pack(config.width, config.height)),
            keyframe: AtomicBool::new(false),
            text: AtomicBool::new(false),
            layers: AtomicU8::new(1),
            quantisers: AtomicU16::new(u16::from_be_bytes([0, 51])),
            skipped: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            units: AtomicU64::new(0),
        });
        let engine = match config.codec {
            VideoCodec::H264 => Engine::H264(Box::new(H264Encoder::new(config.frame_rate))),
            VideoCodec::Plain | VideoCodec::Blank => Engine::Plain(PlainEncoder::new(config.frame_rate)),
        };
        let job = Self {
            engine,
            shared: shared.clone(),
            scaler: Scaler::default(),
            scaled: Picture::default(),
            number: UnitNumber(0),
            began: None,
            last_size: (0, 0),
            failures: 0,
            capacity: 4096,
        };
        (job, shared)
    }
}

impl Job for EncodeJob {
    type In = CapturedPicture;
    type Out = EncodedUnit;

    fn run(&mut self, item: CapturedPicture, clock: Clock) -> Result<Option<EncodedUnit>> {
        let captured = item.captured;
        let size = unpack(self.shared.size.load(Ordering::Relaxed));
        let bitrate = Bitrate::from_bps(self.shared.bitrate.load(Ordering::Relaxed));
        let force = self.shared.keyframe.swap(false, Ordering::AcqRel) || size != self.last_size;
        let picture = if (item.picture.width, item.picture.height) == size {
            &*item.picture
        } else {
            self.scaled.resize(size.0, size.1);
            self.scaler.scale(&item.picture, &mut self.scaled);
            &self.scaled
        };
        let millis = captured.saturating_duration_since(*self.began.get_or_insert(captured)).as_millis() as u64;
        let mut data = Vec::with_capacity(self.capacity);
        let layers = self.shared.layers.load(Ordering::Relaxed);
        let result = match &mut self.engine {
            Engine::H264(encoder) => {
                let is_text = self.shared.text.load(Ordering::Relaxed);
                encoder.set_content(if is_text { Content::Text } else { Content::Motion });
                encoder.set_layers(layers);
                let [least, most] = self.shared.quantisers.load(Ordering::Relaxed).to_be_bytes();
                encoder.set_quantisers((least, most));
                encoder.encode(picture, bitrate, force, millis, &mut data)
            }
            Engine::Plain(encoder) => {
                encoder.set_layers(layers);
                Ok(encoder.encode(picture, bitrate, force, &mut data))
            }
        };
        let encoded = match result {
            Ok(Encoded::Skipped) => {
                self.shared.skipped.fetch_add(1, Ordering::Relaxed);
                // A keyframe that was asked for is still owed.
                self.shared.keyframe.fetch_or(force, Ordering::AcqRel);
                return Ok(None);
            }
            Ok(encoded) => encoded,
            Err(error) => {
                self.shared.failed.fetch_add(1, Ordering::Relaxed);
                self.failures += 1;
                return if self.failures >= MOST_FAILURES { Err(error) } else { Ok(None) };
            }
        };
        let (keyframe, discardable) = (encoded == Encoded::Keyframe, encoded == Encoded::Discardable);
        self.failures = 0;
        self.last_size = size;
        if !keyframe {
            self.capacity = (data.len() * 2).max(4096);
        }
        self.shared.units.fetch_add(1, Ordering::Relaxed);
        let number = self.number;
        self.number = number.next();
        let (width, height) = size;
        let encoded = clock.now();
        Ok(Some(EncodedUnit {
            data,
            keyframe,
            temporal_id: u8::from(discardable),
            discardable,
            width,
            height,
            number,
            captured,
            encoded,
        }))
    }
}

fn pack(width: u32, height: u32) -> u64 {
    let even = |size: u32| u64::from(size.clamp(16, 1920) & !1);
    (even(width) << 32) | even(height)
}

const fn unpack(size: u64) -> (u32, u32) {
    ((size >> 32) as u32, size as u32)
}
