//! Where sound comes from.

use std::fmt;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::backend::Backend;
use super::callback::{Mark, MicrophoneEnd};
use super::choose::open_microphone;
use super::convert::Converter;
use super::list::DeviceEntry;
use super::predict::CallbackClock;
use super::{MicrophoneSpec, RATE, samples_in, time_of, wav};
use crate::base::error::Result;
use crate::base::stereo::{Stereo, both};
use crate::base::time::{Instant, WallTime};
use crate::media::chirp::ChirpSource;

/// After a stall of the engine sound older than this is dropped: late sound is delay for the rest of the call.
const OLDEST: Duration = Duration::from_millis(60);
/// The tick after a callback is due so much later: callbacks wake nobody.
const AFTER: Duration = Duration::from_micros(250);

/// An open microphone.
pub struct Microphone {
    feed: Feed,
    dropped: u64,
}

enum Feed {
    None,
    Paced { pace: Pace, sound: Sound },
    Device(Box<Device>),
}

enum Sound {
    Wav(Vec<Stereo>, usize),
    Chirp(ChirpSource),
}

/// Sample n is captured at start + n / 48000.
struct Pace {
    start: Instant,
    given: u64,
}

struct Device {
    end: MicrophoneEnd,
    converter: Converter,
    clock: CallbackClock,
    rate: u32,
    epoch: Instant,
    entry: DeviceEntry,
    /// Frames (of the device) that left the ring.
    taken: u64,
    /// Frames refused by the full ring as of the last look: they came before whatever is in it now.
    refused: u64,
    newest: Option<Mark>,
    raw: Vec<Stereo>,
    // Dropped last: its callbacks use what is above only through the rings.
    _stream: cpal::Stream,
}

impl Microphone {
    /// Opens what `spec` names.
    ///
    /// Errors: `Gone` (no such device or file), `Malformed` (not a WAV file), `Reopen` and `Refused` (the device does
    /// not want): one line for the person.
    pub fn open(spec: &MicrophoneSpec, now: Instant) -> Result<Self> {
        Self::open_on(None, spec, false, now)
    }

    /// As `open`, of one sound system only where it is said; in stereo where that is wanted and the device has it.
    pub fn open_on(backend: Option<Backend>, spec: &MicrophoneSpec, stereo: bool, now: Instant) -> Result<Self> {
        let pace = Pace { start: now, given: 0 };
        let feed = match spec {
            MicrophoneSpec::None => Feed::None,
            MicrophoneSpec::Chirp => Feed::Paced { pace, sound: Sound::Chirp(ChirpSource::new(WallTime::of(now))) },
            MicrophoneSpec::Wav(path) => Feed::Paced { pace, sound: Sound::Wav(wav::read(path)?, 0) },
            MicrophoneSpec::Default => Feed::Device(Box::new(Device::open(None, backend, stereo)?)),
            MicrophoneSpec::Named(name) => Feed::Device(Box::new(Device::open(Some(name), backend, stereo)?)),
        };
        Ok(Self { feed, dropped: 0 })
    }

    /// Appends what was captured up to `now` to `out` (48 kHz) and returns when the first appended sample was
    /// captured (`now` where there was none). Sound older than 60 ms is dropped and counted.
    pub fn take(&mut self, now: Instant, out: &mut Vec<Stereo>) -> Instant {
        match &mut self.feed {
            Feed::None => now,
            Feed::Paced { pace, sound } => {
                let due = samples_in(now.saturating_duration_since(pace.start));
                let bound = samples_in(OLDEST);
                let excess = due.saturating_sub(pace.given + bound);
                if excess > 0 {
                    self.dropped += excess;
                    sound.skip(excess, &mut Vec::new());
                    pace.given += excess;
                }
                let first = pace.start + time_of(pace.given, RATE);
                let count = due.saturating_sub(pace.given);
                sound.append(count as usize, out);
                pace.given += count;
                first
            }
            Feed::Device(device) => device.take(now, out, &mut self.dropped),
        }
    }

    /// When the next samples are there: 250 µs after the next callback is expected. `None` where samples come
    /// whenever one asks.
    pub fn next_due(&self, now: Instant) -> Option<Instant> {
        let Feed::Device(device) = &self.feed else { return None };
        let next = device.epoch + Duration::from_nanos(device.clock.next(device.rate)?) + AFTER;
        // A device that misses its callback is looked at again soon, not at once for ever.
        Some(if next > now { next } else { now + AFTER })
    }

    /// Samples that were captured and never taken.
    pub fn dropped(&self) -> u64 {
        match &self.feed {
            Feed::Device(device) => self.dropped + device.end.shared.refused.load(Ordering::Relaxed),
            _ => self.dropped,
        }
    }

    /// The device is gone: close and open another.
    pub fn lost(&self) -> bool {
        matches!(&self.feed, Feed::Device(device) if device.end.shared.lost.load(Ordering::Relaxed))
    }

    /// The device that is open; `None` where the sound comes from elsewhere.
    pub const fn device(&self) -> Option<&DeviceEntry> {
        match &self.feed {
            Feed::Device(device) => Some(&device.entry),
            _ => None,
        }
    }

    pub const fn is_none(&self) -> bool {
        matches!(self.feed, Feed::None)
    }
}

impl Sound {
    fn append(&mut self, count: usize, out: &mut Vec<Stereo>) {
        let start = out.len();
        match self {
            Self::Chirp(chirp) => {
                let mut piece = [0.0; 480];
                while out.len() < start + count {
                    let part = (start + count - out.len()).min(piece.len());
                    chirp.fill(&mut piece[..part]);
                    out.extend(piece[..part].iter().copied().map(both));
                }
            }
            Self::Wav(samples, at) => {
                while out.len() < start + count {
                    let rest = &samples[*at..];
                    let part = rest.len().min(start + count - out.len());
                    out.extend_from_slice(&rest[..part]);
                    *at = (*at + part) % samples.len();
                }
            }
        }
    }

    fn skip(&mut self, count: u64, scratch: &mut Vec<Stereo>) {
        match self {
            Self::Wav(samples, at) => *at = ((*at as u64 + count) % samples.len() as u64) as usize,
            Self::Chirp(_) => {
                let mut left = count;
                while left > 0 {
                    scratch.clear();
                    let part = left.min(48_000);
                    self.append(part as usize, scratch);
                    left -= part;
                }
            }
        }
    }
}

impl Device {
    fn open(name: Option<&str>, backend: Option<Backend>, stereo: bool) -> Result<Self> {
        let opened = open_microphone(name, backend, stereo)?;
        Ok(Self {
            end: opened.end,
            converter: Converter::new(opened.rate, RATE)?,
            clock: CallbackClock::default(),
            rate: opened.rate,
            epoch: opened.epoch,
            entry: opened.entry,
            taken: 0,
            refused: 0,
            newest: None,
            raw: Vec::with_capacity(16_384),
            _stream: opened.stream,
        })
    }

    fn take(&mut self, now: Instant, out: &mut Vec<Stereo>, dropped: &mut u64) -> Instant {
        while let Ok(mark) = self.end.marks.pop() {
            self.clock.observe(mark.at, mark.index, mark.frames, self.rate);
            self.newest = Some(mark);
        }
        let available = self.end.samples.slots();
        let bound = (OLDEST.as_millis() as usize * self.rate as usize) / 1000;
        if available > bound {
            let excess = available - bound;
            if let Ok(chunk) = self.end.samples.read_chunk(excess) {
                chunk.commit_all();
            }
            *dropped += excess as u64;
            self.taken += excess as u64;
        }
        self.raw.clear();
        self.raw.resize(available.min(bound), [0.0; 2]);
        let _ = self.end.samples.pop_entire_slice(&mut self.raw);
        // Counted from the front: a callback may have run between the marks and the samples.
        let index = self.taken + self.refused;
        self.refused = self.end.shared.refused.load(Ordering::Relaxed);
        let behind = self.converter.waiting() as u64;
        self.taken += self.raw.len() as u64;
        let before = out.len();
        self.converter.convert(&self.raw, out);
        if out.len() == before {
            return now;
        }
        // A callback delivers what the device recorded before it: its first frame is one callback old.
        let period = u64::from(self.newest.map_or(0, |mark| mark.frames));
        let delay = time_of(self.converter.delay() as u64, RATE) + time_of(period + behind, self.rate);
        let at = self.clock.time(index, self.rate).unwrap_or(0.0).max(0.0);
        let first = self.epoch + Duration::from_nanos(at as u64);
        first.checked_sub(delay).unwrap_or(first).min(now)
    }
}

impl fmt::Debug for Microphone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.feed {
            Feed::None => "none",
            Feed::Paced { .. } => "paced",
            Feed::Device(_) => "device",
        };
        f.debug_struct("Microphone").field("feed", &kind).field("dropped", &self.dropped).finish()
    }
}
