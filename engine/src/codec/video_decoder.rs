//! The engine's handle of a video decoder.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::VideoCodec;
use super::h264::decoder::{H264Decoder, NoPicture};
use super::plain::PlainDecoder;
use super::pool::Pool;
use super::worker::{Clock, Job, Worker};
use crate::base::error::Result;
use crate::base::id::UnitNumber;
use crate::base::pipe::Wake;
use crate::base::pool::ArcPool;
use crate::base::time::{Duration, Instant};
use crate::media::encoded::ReceivedUnit;
use crate::media::ledger::Stamps;
use crate::media::video::Picture;

/// A quarter of a second at 30 frames per second: a decoder that is further behind will not catch up by decoding all.
const BOUND: usize = 8;
/// Eight waiting for their play time, two at the renderer, two in descriptions that it is done with, one being decoded,
/// one spare.
const PICTURES: usize = 14;

/// One decoded picture.
#[derive(Clone, Debug)]
pub struct DecodedFrame {
    pub picture: Arc<Picture>,
    pub number: UnitNumber,
    /// RTP timestamp (90 kHz), extended to 64 bits.
    pub timestamp: u64,
    pub keyframe: bool,
    /// Those of the unit, and `decoded`.
    pub stamps: Stamps,
}

/// What became of units so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DecoderCounters {
    pub submitted: u64,
    /// Dropped because the in-pipe was full, and up to the next keyframe after that.
    pub dropped: u64,
    /// Malformed, or no keyframe while one is awaited.
    pub refused: u64,
    /// The decoder failed on it.
    pub failed: u64,
    pub frames: u64,
}

/// A decoder in a pool (or inline): one unit in, one frame out.
pub struct VideoDecoder {
    worker: Worker<DecodeJob>,
    shared: Arc<Shared>,
    /// The pipe was full: nothing is taken before the next keyframe.
    dropping: bool,
    submitted: u64,
    dropped: u64,
}

#[derive(Debug, Default)]
struct Shared {
    wants_keyframe: AtomicBool,
    refused: AtomicU64,
    failed: AtomicU64,
    frames: AtomicU64,
}

impl VideoDecoder {
    /// A decoder on the threads of `pool`; `wake` is called after each unit. Until the first one it costs next to nothing.
    pub fn pooled(codec: VideoCodec, pool: &Pool, wake: Wake) -> Self {
        let (job, shared) = DecodeJob::new(codec);
        Self::with(Worker::Pooled(pool.add(BOUND, job, wake)), shared)
    }

    /// The same without a thread: `submit` decodes, which takes `takes` of virtual time.
    pub fn inline(codec: VideoCodec, takes: Duration) -> Self {
        let (job, shared) = DecodeJob::new(codec);
        Self::with(Worker::inline(job, takes), shared)
    }

    /// Hands a unit over; `true` when it was taken. When the decoder is behind (or gone), this unit and all up to the
    /// next keyframe are dropped and counted, and [`Self::wants_keyframe`] says so.
    pub fn submit(&mut self, unit: ReceivedUnit, now: Instant) -> bool {
        if self.dropping && !unit.keyframe {
            self.dropped += 1;
            return false;
        }
        let taken = self.worker.submit(unit, now).is_ok();
        if taken {
            self.submitted += 1;
        } else {
            self.dropped += 1;
            self.shared.wants_keyframe.store(true, Ordering::Release);
        }
        self.dropping = !taken;
        taken
    }

    /// The next frame, in the order of the units.
    pub fn poll(&mut self, now: Instant) -> Option<DecodedFrame> {
        self.worker.poll(now)
    }

    /// True once after the decoder lost its place: ask for a keyframe.
    pub fn wants_keyframe(&self) -> bool {
        self.shared.wants_keyframe.swap(false, Ordering::AcqRel)
    }

    /// When the next frame is ready, in virtual time.
    pub fn next_due(&self) -> Option<Instant> {
        self.worker.next_due()
    }

    /// True when the decoder has ended by itself: make a new one and ask for a keyframe.
    pub fn is_gone(&self) -> bool {
        self.worker.is_gone()
    }

    pub fn counters(&self) -> DecoderCounters {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        DecoderCounters {
            submitted: self.submitted,
            dropped: self.dropped,
            refused: load(&self.shared.refused),
            failed: load(&self.shared.failed),
            frames: load(&self.shared.frames),
        }
    }

    const fn with(worker: Worker<DecodeJob>, shared: Arc<Shared>) -> Self {
        Self { worker, shared, dropping: false, submitted: 0, dropped: 0 }
    }
}

enum Engine {
    H264(Box<H264Decoder>),
    Plain(PlainDecoder),
    Blank(Arc<Picture>),
}

struct DecodeJob {
    engine: Engine,
    shared: Arc<Shared>,
    pool: ArcPool<Picture>,
}

impl DecodeJob {
    fn new(codec: VideoCodec) -> (Self, Arc<Shared>) {
        let shared = Arc::new(Shared::default());
        let engine = match codec {
            VideoCodec::H264 => Engine::H264(Box::default()),
            VideoCodec::Plain => Engine::Plain(PlainDecoder::default()),
            VideoCodec::Blank => Engine::Blank(Arc::default()),
        };
        (Self { engine, shared: shared.clone(), pool: ArcPool::new(PICTURES) }, shared)
    }

    fn decode(&mut self, unit: &ReceivedUnit) -> Result<(Arc<Picture>, bool), NoPicture> {
        let pool = &mut self.pool;
        match &mut self.engine {
            Engine::H264(decoder) => {
                let mut picture = None;
                let info = decoder.decode(&unit.data, |decoded| {
                    picture = Some(pool.take(Picture::default, |place| decoded.copy_to(place)));
                })?;
                picture.map(|picture| (picture, info.is_keyframe)).ok_or(NoPicture::Empty)
            }
            Engine::Blank(picture) => Ok((picture.clone(), unit.keyframe)),
            Engine::Plain(decoder) => {
                let mut keyframe = None;
                let picture = pool.take(Picture::default, |place| keyframe = decoder.decode(&unit.data, place));
                keyframe.map(|keyframe| (picture, keyframe)).ok_or(NoPicture::Refused)
            }
        }
    }
}

impl Job for DecodeJob {
    type In = ReceivedUnit;
    type Out = DecodedFrame;

    fn run(&mut self, unit: ReceivedUnit, clock: Clock) -> Result<Option<DecodedFrame>> {
        let count = |counter: &AtomicU64| counter.fetch_add(1, Ordering::Relaxed);
        match self.decode(&unit) {
            Ok((picture, keyframe)) => {
                count(&self.shared.frames);
                let stamps = Stamps { decoded: Some(clock.now()), ..unit.stamps };
                let ReceivedUnit { number, timestamp, .. } = unit;
                Ok(Some(DecodedFrame { picture, number, timestamp, keyframe, stamps }))
            }
            Err(NoPicture::Empty) => Ok(None),
            Err(reason) => {
                count(if reason == NoPicture::Broken { &self.shared.failed } else { &self.shared.refused });
                self.shared.wants_keyframe.store(true, Ordering::Release);
                Ok(None)
            }
        }
    }
}

#[cfg(test)]
mod tests;
