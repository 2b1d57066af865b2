//! Cuts what the microphone gives into frames, and goes from one frame length to another without a gap.
//!
//! Between lengths of the same [`Coding`] nothing needs to be done. The other coding's encoder hears 100 ms of the same
//! samples before its first frame is sent, so that it knows the voice; and as it looks further ahead, its frames begin that
//! much later in the input: what the decoder makes of a timestamp is the same moment before and after.

use crate::media::frame_length::{Coding, FrameLength};

/// One thing to do: encode `length` samples from `from` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Index into the samples that wait.
    pub from: usize,
    pub length: FrameLength,
    /// The timestamp of its first sample; `None` for a frame that is only heard, not sent.
    pub timestamp: Option<u64>,
    /// The first for its encoder: where it is only heard, the encoder forgets what was before; where it is sent, it must be
    /// understood without the frames before it, as the decoder has not had them.
    pub first: bool,
}

/// Where in the input the next frame begins.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub struct Framer {
    length: FrameLength,
    /// Samples since the beginning: of the first that waits, of the first not yet there, and of the next frame's timestamp.
    start: u64,
    end: u64,
    timestamp: u64,
    warming: Option<Warming>,
    /// The next frame is the first of its coding.
    is_first: bool,
}

/// Another encoder hears what is to come.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
struct Warming {
    length: FrameLength,
    /// Up to here it has heard the input.
    heard: u64,
    begun: bool,
    /// The timestamp of its first frame that is sent.
    first: u64,
}

/// 100 ms of input: what an encoder has heard before them hardly matters any more.
const WARM: u64 = 4800;

impl Framer {
    pub const fn new(length: FrameLength) -> Self {
        Self { length, start: 0, end: 0, timestamp: 0, warming: None, is_first: false }
    }

    /// Nothing has come yet.
    pub const fn is_new(&self) -> bool {
        self.end == 0
    }

    /// The length of the frames that are sent now.
    pub const fn length(&self) -> FrameLength {
        self.length
    }

    /// Frames are to be of this length as soon as can be.
    pub fn set_length(&mut self, length: FrameLength) {
        if length.coding() == self.length.coding() {
            (self.length, self.warming) = (length, None);
            return;
        }
        if let Some(warming) = &mut self.warming {
            warming.length = length;
            return;
        }
        // A whole number of frames of both.
        let frame = self.length.samples() as u64;
        let first = self.timestamp + WARM.div_ceil(frame) * frame;
        let heard = self.timestamp + length.coding().shift();
        self.warming = Some(Warming { length, heard, begun: false, first });
    }

    /// So many samples have come.
    pub const fn add(&mut self, count: usize) {
        self.end += count as u64;
    }

    /// So many samples never came: all that follows is that much later, what waits included.
    pub fn skip(&mut self, count: u64) {
        (self.start, self.end, self.timestamp) = (self.start + count, self.end + count, self.timestamp + count);
        if let Some(warming) = &mut self.warming {
            (warming.heard, warming.first) = (warming.heard + count, warming.first + count);
        }
    }

    /// What can be encoded now. Call until there is nothing.
    pub fn next_step(&mut self) -> Option<Step> {
        if let Some(warming) = &mut self.warming {
            let (to, length) = (warming.first + warming.length.coding().shift(), warm_length(warming.length.coding()));
            if warming.heard < to && warming.heard + length.samples() as u64 <= self.end {
                let from = (warming.heard - self.start) as usize;
                warming.heard += length.samples() as u64;
                let first = !std::mem::replace(&mut warming.begun, true);
                return Some(Step { from, length, timestamp: None, first });
            }
            if self.timestamp >= warming.first {
                if warming.heard < to {
                    return None;
                }
                (self.length, self.warming, self.is_first) = (warming.length, None, true);
            }
        }
        let (begin, samples) = (self.timestamp + self.length.coding().shift(), self.length.samples() as u64);
        if begin + samples > self.end {
            return None;
        }
        let timestamp = Some(self.timestamp);
        self.timestamp += samples;
        let first = std::mem::take(&mut self.is_first);
        Some(Step { from: (begin - self.start) as usize, length: self.length, timestamp, first })
    }

    /// How many of the samples that wait nobody needs any more: the caller takes them away.
    pub fn take_spare(&mut self) -> usize {
        let needed = self.warming.map_or(self.timestamp, |warming| warming.heard.min(self.timestamp)).min(self.end);
        let spare = needed - self.start;
        self.start = needed;
        spare as usize
    }

    /// How many samples lie between the first that waits and `timestamp`.
    pub const fn index(&self, timestamp: u64) -> u64 {
        timestamp - self.start
    }
}

/// Frames that an encoder only hears: the longest that fit into every one's length.
const fn warm_length(coding: Coding) -> FrameLength {
    match coding {
        Coding::LowDelay => FrameLength::Ms10,
        Coding::Speech => FrameLength::Ms20,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Steps of a microphone that gives 2.5 ms at a time, with a change of length at some of them.
    fn run(first: FrameLength, changes: &[(usize, FrameLength)], pulls: usize) -> Vec<(u64, Step)> {
        let (mut framer, mut steps, mut gone) = (Framer::new(first), Vec::new(), 0);
        for pull in 0..pulls {
            changes.iter().filter(|(at, _)| *at == pull).for_each(|(_, length)| framer.set_length(*length));
            framer.add(120);
            while let Some(step) = framer.next_step() {
                assert!(gone + (step.from + step.length.samples()) as u64 <= framer.end, "{step:?} is not there yet");
                steps.push((gone + step.from as u64, step));
            }
            gone += framer.take_spare() as u64;
            assert!(framer.end - gone <= 2 * 2880 + 192, "what waits is bounded");
        }
        steps
    }

    fn sent(steps: &[(u64, Step)]) -> Vec<(u64, u64, FrameLength)> {
        steps.iter().filter_map(|(at, step)| Some((*at, step.timestamp?, step.length))).collect()
    }

    #[test]
    fn frames_follow_each_other_in_input_and_timestamps_whatever_the_changes() {
        let changes: Vec<(usize, FrameLength)> = (0..60).map(|n| (n * 67, FrameLength::ALL[n * 5 % 6])).collect();
        let steps = run(FrameLength::Ms5, &changes, 4100);
        let (mut due, mut seen) = (0, std::collections::HashSet::new());
        for (at, timestamp, length) in sent(&steps) {
            assert_eq!(timestamp, due, "no gap");
            assert_eq!(at, timestamp + length.coding().shift());
            due += length.samples() as u64;
            seen.insert(length);
        }
        assert!(due > 4000 * 120 - 6000 && seen.len() == 6, "{due} {seen:?}");
    }

    #[test]
    fn the_other_encoder_has_heard_all_that_comes_before_its_first_frame() {
        for (from, to) in [(FrameLength::Ms5, FrameLength::Ms20), (FrameLength::Ms60, FrameLength::Ms2_5)] {
            let steps = run(from, &[(100, to)], 400);
            let first =
                steps.iter().position(|(_, step)| step.timestamp.is_some() && step.length == to).expect("changed");
            let mut before = steps[..first].iter().filter(|(_, step)| step.timestamp.is_none());
            assert!(before.clone().next().expect("warmed").1.first && steps[first].1.first);
            assert_eq!(steps.iter().filter(|(_, step)| step.first).count(), 2);
            let heard: usize = before.clone().map(|(_, step)| step.length.samples()).sum();
            assert!(heard >= 4800);
            let (begin, last) = (before.next().expect("warmed").0, steps[first].0);
            assert_eq!(begin + heard as u64, last, "up to the frame, without a gap");
        }
    }

    #[test]
    fn samples_that_never_came_are_a_gap_in_time_and_in_nothing_else() {
        for to in [FrameLength::Ms5, FrameLength::Ms20] {
            let mut framer = Framer::new(FrameLength::Ms5);
            framer.add(300);
            assert_eq!(framer.next_step().and_then(|step| step.timestamp), Some(0));
            framer.set_length(to);
            framer.take_spare();
            framer.skip(48_000);
            framer.add(240);
            let step = framer.next_step().expect("a frame");
            assert_eq!((step.from, step.timestamp), (0, Some(48_240)));
            assert_eq!(framer.index(48_240), 0);
        }
    }

    #[test]
    fn who_changes_their_mind_stays() {
        let steps = run(FrameLength::Ms5, &[(10, FrameLength::Ms20), (20, FrameLength::Ms5)], 200);
        assert!(sent(&steps).iter().all(|(.., length)| *length == FrameLength::Ms5));
    }
}
