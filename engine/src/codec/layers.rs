//! One source in three sizes, encoded on one thread: each picture is scaled once from size to size, and a layer that nobody
//! watches is not encoded.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::h264::encoder::{Encoded, H264Encoder};
use super::worker::{Clock, Job, Worker};
use crate::base::error::Result;
use crate::base::id::UnitNumber;
use crate::base::pipe::Wake;
use crate::base::rate::Bitrate;
use crate::base::time::{Duration, Instant};
use crate::media::encoded::EncodedUnit;
use crate::media::scale::Scaler;
use crate::media::simulcast::{LAYERS, Watched, size_of};
use crate::media::video::{CapturedPicture, Picture};

/// Two pictures in all their layers: what the encoder of one size has, too.
const BOUND: usize = 2 * LAYERS;

/// Encodes the layers that are watched.
pub struct LayeredEncoder {
    worker: Worker<LayersJob>,
    settings: Arc<[Settings; LAYERS]>,
    watched: Watched,
}

#[derive(Debug)]
struct Settings {
    bitrate: AtomicU64,
    keyframe: AtomicBool,
}

impl LayeredEncoder {
    /// Starts its thread; `wake` is called after each unit. `bitrates`: what each layer may take, the largest first.
    ///
    /// # Errors
    /// There is no thread to be had (`Kind::Retry`).
    pub fn spawn(frame_rate: f32, bitrates: [Bitrate; LAYERS], wake: Wake) -> Result<Self> {
        let (job, settings) = LayersJob::new(frame_rate, bitrates);
        let worker = Worker::spawn("layers-encoder", BOUND, job, wake)?;
        Ok(Self { worker, settings, watched: Watched::default() })
    }

    /// The same without a thread: each layer takes `takes` of virtual time.
    pub fn inline(frame_rate: f32, bitrates: [Bitrate; LAYERS], takes: Duration) -> Self {
        let (job, settings) = LayersJob::new(frame_rate, bitrates);
        Self { worker: Worker::inline(job, takes), settings, watched: Watched::default() }
    }

    /// One more watches `layer`: its next unit is a keyframe.
    pub fn watch(&mut self, layer: usize) {
        if self.watched.watch(layer) {
            self.request_keyframe(layer);
        }
    }

    /// One less does; the last one's layer is not encoded any more.
    pub fn unwatch(&mut self, layer: usize) {
        self.watched.unwatch(layer);
    }

    pub fn request_keyframe(&self, layer: usize) {
        self.settings.get(layer).into_iter().for_each(|layer| layer.keyframe.store(true, Ordering::Release));
    }

    pub fn set_bitrate(&self, layer: usize, bitrate: Bitrate) {
        let layer = self.settings.get(layer);
        layer.into_iter().for_each(|layer| layer.bitrate.store(bitrate.as_bps(), Ordering::Relaxed));
    }

    /// Hands a picture over for all layers that are watched, the largest first. How many of them the encoder had no room for:
    /// it is behind.
    pub fn submit(&mut self, captured: &CapturedPicture, now: Instant) -> usize {
        let watched = (0..LAYERS).filter(|layer| self.watched.is_watched(*layer));
        watched.filter(|layer| self.worker.submit((captured.clone(), *layer), now).is_err()).count()
    }

    /// The next unit and its layer.
    pub fn poll(&mut self, now: Instant) -> Option<(usize, EncodedUnit)> {
        self.worker.poll(now)
    }
}

struct Layer {
    encoder: H264Encoder,
    number: UnitNumber,
    /// Scaled, and from which picture.
    picture: Picture,
    of: Option<Instant>,
}

struct LayersJob {
    layers: [Layer; LAYERS],
    settings: Arc<[Settings; LAYERS]>,
    scaler: Scaler,
    began: Option<Instant>,
}

impl LayersJob {
    fn new(frame_rate: f32, bitrates: [Bitrate; LAYERS]) -> (Self, Arc<[Settings; LAYERS]>) {
        let settings =
            Arc::new(bitrates.map(|bitrate| Settings {
                bitrate: AtomicU64::new(bitrate.as_bps()),
                keyframe: AtomicBool::new(false),
            }));
        let layers = std::array::from_fn(|_| Layer {
            encoder: H264Encoder::new(frame_rate),
            number: UnitNumber(0),
            picture: Picture::default(),
            of: None,
        });
        (Self { layers, settings: settings.clone(), scaler: Scaler::default(), began: None }, settings)
    }

    /// Makes the picture of `layer` from that of the layer above, unless it is there.
    fn scale(&mut self, captured: &CapturedPicture, layer: usize) {
        let top = (captured.picture.width, captured.picture.height);
        for at in 0..=layer {
            let (above, below) = self.layers.split_at_mut(at);
            let Some(own) = below.first_mut().filter(|own| own.of != Some(captured.captured)) else { continue };
            let from = above.last().map_or(&*captured.picture, |above| &above.picture);
            // The largest one is the picture itself, where its sides are even.
            if at == 0 && size_of(0, top) == top {
                continue;
            }
            let from = if at == 1 && size_of(0, top) == top { &*captured.picture } else { from };
            let (width, height) = size_of(at, top);
            own.picture.resize(width, height);
            self.scaler.scale(from, &mut own.picture);
            own.of = Some(captured.captured);
        }
    }
}

impl Job for LayersJob {
    type In = (CapturedPicture, usize);
    type Out = (usize, EncodedUnit);

    fn run(&mut self, (captured, layer): Self::In, clock: Clock) -> Result<Option<Self::Out>> {
        self.scale(&captured, layer);
        let (Some(own), Some(settings)) = (self.layers.get_mut(layer), self.settings.get(layer)) else {
            return Ok(None);
        };
        let top = (captured.picture.width, captured.picture.height);
        let picture = if layer == 0 && size_of(0, top) == top { &*captured.picture } else { &own.picture };
        let force = settings.keyframe.swap(false, Ordering::AcqRel);
        let bitrate = Bitrate::from_bps(settings.bitrate.load(Ordering::Relaxed));
        let began = *self.began.get_or_insert(captured.captured);
        let millis = captured.captured.saturating_duration_since(began).as_millis() as u64;
        let mut data = Vec::new();
        let encoded = own.encoder.encode(picture, bitrate, force, millis, &mut data);
        let keyframe = match encoded {
            Ok(Encoded::Skipped) | Err(_) => {
                // A keyframe that was asked for is still owed.
                settings.keyframe.fetch_or(force, Ordering::AcqRel);
                return Ok(None);
            }
            Ok(encoded) => encoded == Encoded::Keyframe,
        };
        let number = own.number;
        own.number = number.next();
        let unit = EncodedUnit {
            data,
            keyframe,
            temporal_id: 0,
            discardable: false,
            width: picture.width,
            height: picture.height,
            number,
            captured: captured.captured,
            encoded: clock.now(),
        };
        Ok(Some((layer, unit)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::{WallTime, now};
    use crate::codec::VideoCodec;
    use crate::codec::video_decoder::VideoDecoder;
    use crate::media::encoded::ReceivedUnit;
    use crate::media::ledger::Stamps;
    use crate::media::marker::{self, Marker};
    use crate::media::simulcast::Switch;

    const RATES: [Bitrate; LAYERS] = [Bitrate::from_kbps(1500), Bitrate::from_kbps(500), Bitrate::from_kbps(150)];

    fn captured(turn: u32, start: Instant) -> CapturedPicture {
        let at = start + Duration::from_millis(33) * turn;
        let mut picture = Picture::new(1280, 720);
        marker::paint(&mut picture, Marker { counter: turn, drawn: WallTime::of(at) });
        CapturedPicture { picture: Arc::new(picture), captured: at }
    }

    fn counter(picture: &Picture) -> Option<u32> {
        let found = marker::read(&picture.y, picture.width as usize, picture.width, picture.height);
        found.map(|marker| marker.counter)
    }

    #[test]
    fn what_nobody_watches_is_not_encoded_and_what_many_watch_once() {
        let (start, mut made) = (now(), [0; LAYERS]);
        let mut encoder = LayeredEncoder::inline(30.0, RATES, Duration::ZERO);
        let mut run = |encoder: &mut LayeredEncoder, turns: std::ops::Range<u32>| {
            for turn in turns {
                assert_eq!(encoder.submit(&captured(turn, start), start), 0);
                while let Some((layer, unit)) = encoder.poll(start) {
                    assert_eq!((unit.width, unit.height), size_of(layer, (1280, 720)));
                    made[layer] += 1;
                }
            }
            std::mem::take(&mut made)
        };
        assert_eq!(run(&mut encoder, 0..5), [0, 0, 0]);
        (0..7).for_each(|_| encoder.watch(2));
        let [top, half, quarter] = run(&mut encoder, 5..15);
        assert!(top == 0 && half == 0 && (1..=10).contains(&quarter), "{top} {half} {quarter}");
        encoder.watch(0);
        (0..7).for_each(|_| encoder.unwatch(2));
        let [top, half, quarter] = run(&mut encoder, 15..25);
        assert!((1..=10).contains(&top) && half == 0 && quarter == 0, "{top} {half} {quarter}");
    }

    #[test]
    fn a_watcher_that_changes_layers_sees_no_broken_picture_and_no_old_one() {
        let start = now();
        let mut encoder = LayeredEncoder::inline(30.0, RATES, Duration::ZERO);
        let mut decoder = VideoDecoder::inline(VideoCodec::H264, Duration::ZERO);
        let mut switch = Switch::default();
        let (mut last, mut sizes) = (None, Vec::new());
        for turn in 0..120 {
            // Another layer every twelve pictures, back and forth.
            if turn % 12 == 0 {
                let layer = [0, 2, 1, 0, 1, 2][turn as usize / 12 % 6];
                switch.ask(layer);
                encoder.watch(layer);
            }
            encoder.submit(&captured(turn, start), start);
            while let Some((layer, unit)) = encoder.poll(start) {
                let (takes, left) = switch.takes(layer, unit.keyframe);
                left.into_iter().for_each(|left| encoder.unwatch(left));
                if !takes {
                    continue;
                }
                let EncodedUnit { data, keyframe, number, .. } = unit;
                let data = Arc::new(data);
                let unit =
                    ReceivedUnit { data, keyframe, number, timestamp: u64::from(turn), stamps: Stamps::default() };
                assert!(decoder.submit(unit, start), "inline takes all");
                let frame = decoder.poll(start).expect("whole");
                let shown = counter(&frame.picture);
                assert!(shown.is_some() && shown >= last, "{shown:?} after {last:?}");
                last = shown;
                sizes.push(frame.picture.width);
            }
        }
        let counters = decoder.counters();
        assert_eq!((counters.refused, counters.failed), (0, 0));
        sizes.dedup();
        assert!(sizes.len() >= 8, "it went from layer to layer: {sizes:?}");
    }
}
