//! Where sound goes. Between the engine and the device's callback stands one ring. It is filled with one period's sound
//! just in time: before the predicted callback by a margin that covers how late the engine's ticks are and how early the
//! callbacks, as measured. What is pushed earlier would only wait there.

use std::fmt;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::backend::Backend;
use super::callback::SpeakerEnd;
use super::choose::open_speaker;
use super::convert::Converter;
use super::list::DeviceEntry;
use super::predict::{CallbackClock, Lateness};
use super::wav::Recorder;
use super::{RATE, SpeakerSpec, samples_in, time_of};
use crate::base::error::Result;
use crate::base::stereo::Stereo;
use crate::base::time::{self as clock, Instant};

/// A device that misses its callback is looked at again so much later.
const AGAIN: Duration = Duration::from_micros(250);
/// What a paced speaker is ahead of time: a tick's distance, so that sound is written before it is due.
const LEAD: Duration = Duration::from_micros(2_500);
/// After a stall no more than this is asked for at once; the rest of the gap stays silent and is counted.
const MOST: Duration = Duration::from_millis(60);

/// An open loudspeaker.
pub struct Loudspeaker {
    output: Output,
}

enum Output {
    Paced { start: Instant, pushed: u64, underruns: u64, recorder: Option<Recorder> },
    Device(Box<Device>),
}

struct Device {
    end: SpeakerEnd,
    converter: Converter,
    clock: CallbackClock,
    lateness: Lateness,
    rate: u32,
    epoch: Instant,
    entry: DeviceEntry,
    underruns: u64,
    /// When the ring was filled for the next callback, and when that was expected, nanoseconds on the marks' axis.
    filled: Option<(u64, u64)>,
    /// From callback to air as the host says, smoothed (ns).
    latency: f64,
    made: Vec<Stereo>,
    _stream: cpal::Stream,
}

impl Loudspeaker {
    /// Opens what `spec` names. Errors as [`super::Microphone::open`].
    pub fn open(spec: &SpeakerSpec, now: Instant) -> Result<Self> {
        Self::open_on(None, spec, false, now)
    }

    /// As `open`, of one sound system only where it is said. A file that `waits` loses nothing, and holds everybody up: for
    /// virtual time, which is faster than a disk.
    pub fn open_on(backend: Option<Backend>, spec: &SpeakerSpec, waits: bool, now: Instant) -> Result<Self> {
        let paced = |recorder| Output::Paced { start: now, pushed: 0, underruns: 0, recorder };
        let output = match spec {
            SpeakerSpec::None => paced(None),
            SpeakerSpec::Wav(path) => paced(Some(Recorder::new(path.clone(), waits)?)),
            SpeakerSpec::Default => Output::Device(Box::new(Device::open(None, backend)?)),
            SpeakerSpec::Named(name) => Output::Device(Box::new(Device::open(Some(name), backend)?)),
        };
        Ok(Self { output })
    }

    /// Samples (48 kHz) that must be pushed now: none before the margin to the next callback has begun, then what the ring
    /// is short of a period. Ask again after pushing: a device of another rate takes whole chunks.
    pub fn deficit(&mut self, now: Instant) -> usize {
        match &mut self.output {
            Output::Paced { start, pushed, underruns, recorder } => {
                let played = samples_in(now.saturating_duration_since(*start));
                let wanted = played + samples_in(LEAD);
                let excess = wanted.saturating_sub(*pushed + samples_in(MOST));
                if excess > 0 {
                    *underruns += 1;
                    // A file keeps its time line: the gap is silence in it.
                    if let Some(recorder) = recorder {
                        recorder.write(&vec![[0.0; 2]; excess.min(u64::from(RATE)) as usize]);
                    }
                    *pushed += excess;
                }
                wanted.saturating_sub(*pushed) as usize
            }
            Output::Device(device) => device.deficit(now),
        }
    }

    /// When the engine should serve the deficit next: a margin before the predicted callback; `None` where a tick every
    /// 2.5 ms will do.
    pub fn next_due(&self, now: Instant) -> Option<Instant> {
        let Output::Device(device) = &self.output else { return None };
        let next = device.epoch + Duration::from_nanos(device.clock.next(device.rate)?);
        let due = next.checked_sub(device.lateness.margin()).unwrap_or(next);
        // A device that misses its callback is looked at again soon, not at once for ever.
        Some(if due > now { due } else { now + AGAIN })
    }

    /// Plays `samples` after what was pushed before; returns when the first of them will be heard. What finds no room
    /// in the ring (200 ms) is lost and counted.
    pub fn push(&mut self, samples: &[Stereo], now: Instant) -> Instant {
        match &mut self.output {
            Output::Paced { start, pushed, recorder, .. } => {
                let at = *start + time_of(*pushed, RATE);
                *pushed += samples.len() as u64;
                if let Some(recorder) = recorder {
                    recorder.write(samples);
                }
                at
            }
            Output::Device(device) => device.push(samples, now),
        }
    }

    /// The sound that waits in the ring.
    pub fn fill(&self, now: Instant) -> Duration {
        match &self.output {
            Output::Paced { start, pushed, .. } => (*start + time_of(*pushed, RATE)).saturating_duration_since(now),
            Output::Device(device) => {
                time_of(device.in_ring() as u64, device.rate) + time_of(device.converter.waiting() as u64, RATE)
            }
        }
    }

    /// How long before the callback the ring is filled at present.
    pub fn margin(&self) -> Duration {
        match &self.output {
            Output::Paced { .. } => Duration::ZERO,
            Output::Device(device) => device.lateness.margin(),
        }
    }

    /// How often the device asked for more than there was (stalls, for a paced one).
    pub fn underruns(&self) -> u64 {
        match &self.output {
            Output::Paced { underruns, .. } => *underruns,
            Output::Device(device) => device.end.shared.underruns.load(Ordering::Relaxed),
        }
    }

    /// Samples that were pushed and found no room.
    pub fn refused(&self) -> u64 {
        match &self.output {
            Output::Paced { recorder, .. } => recorder.as_ref().map_or(0, Recorder::lost),
            Output::Device(device) => device.end.shared.refused.load(Ordering::Relaxed),
        }
    }

    /// The device (or the disk) is gone: close and open another.
    pub fn lost(&self) -> bool {
        match &self.output {
            Output::Paced { recorder, .. } => recorder.as_ref().is_some_and(Recorder::is_gone),
            Output::Device(device) => device.end.shared.lost.load(Ordering::Relaxed),
        }
    }

    /// The device that is open; `None` where the sound goes elsewhere.
    pub const fn device(&self) -> Option<&DeviceEntry> {
        match &self.output {
            Output::Device(device) => Some(&device.entry),
            Output::Paced { .. } => None,
        }
    }

    /// True for a real device: there is an air to play into.
    pub const fn is_device(&self) -> bool {
        matches!(self.output, Output::Device(_))
    }
}

impl Device {
    fn open(name: Option<&str>, backend: Option<Backend>) -> Result<Self> {
        let opened = open_speaker(name, backend)?;
        Ok(Self {
            end: opened.end,
            converter: Converter::new(RATE, opened.rate)?,
            clock: CallbackClock::default(),
            lateness: Lateness::default(),
            rate: opened.rate,
            epoch: opened.epoch,
            entry: opened.entry,
            underruns: 0,
            filled: None,
            latency: 0.0,
            made: Vec::with_capacity(16_384),
            _stream: opened.stream,
        })
    }

    fn deficit(&mut self, now: Instant) -> usize {
        while let Ok(mark) = self.end.marks.pop() {
            self.clock.observe(mark.at, mark.index, mark.frames, self.rate);
            if let Some((filled, expected)) = self.filled.take() {
                self.lateness.observe(used(self.lateness.margin(), filled, expected, mark.at));
            }
            let seen = mark.latency as f64;
            // Host figures jump by a period from poll to poll; a second or so of them has a steady mean.
            self.latency = if self.latency == 0.0 { seen } else { self.latency + (seen - self.latency) / 256.0 };
        }
        let underruns = self.end.shared.underruns.load(Ordering::Relaxed);
        if underruns > self.underruns {
            self.underruns = underruns;
            self.lateness.ran_dry();
        }
        let Some(next) = self.clock.next(self.rate) else { return 0 };
        if self.epoch + Duration::from_nanos(next) > now + self.lateness.margin() {
            return 0;
        }
        let missing = (self.clock.period() as usize).saturating_sub(self.in_ring());
        if missing == 0 {
            return 0;
        }
        let asked = (missing as u64 * u64::from(RATE)).div_ceil(u64::from(self.rate)) as usize;
        asked.saturating_sub(self.converter.waiting()).max(self.converter.missing())
    }

    fn push(&mut self, samples: &[Stereo], now: Instant) -> Instant {
        let ahead = self.in_ring() as u64;
        let waiting = self.converter.waiting() as u64;
        self.made.clear();
        self.converter.convert(samples, &mut self.made);
        let (_, rest) = self.end.samples.push_partial_slice(&self.made);
        self.end.shared.refused.fetch_add(rest.len() as u64, Ordering::Relaxed);
        // A tick has its time from its beginning; what it did since then counts as late too.
        let done = clock::now().saturating_duration_since(self.epoch).as_nanos() as u64;
        self.filled = self.clock.next(self.rate).map(|expected| (done, expected));
        let next = self.clock.next(self.rate).map_or(now, |next| self.epoch + Duration::from_nanos(next)).max(now);
        next + time_of(ahead + self.converter.delay() as u64, self.rate)
            + time_of(waiting, RATE)
            + Duration::from_nanos(self.latency as u64)
    }

    fn in_ring(&self) -> usize {
        self.end.samples.buffer().capacity() - self.end.samples.slots()
    }
}

/// How much of the margin was used up by a tick that filled the ring late, at `filled`, and a callback that came early,
/// at `at` instead of `expected` (all in nanoseconds).
fn used(margin: Duration, filled: u64, expected: u64, at: u64) -> Duration {
    let planned = expected.saturating_sub(margin.as_nanos() as u64);
    Duration::from_nanos(filled.saturating_sub(planned) + expected.saturating_sub(at))
}

impl fmt::Debug for Loudspeaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loudspeaker").field("device", &self.is_device()).field("underruns", &self.underruns()).finish()
    }
}
