//! Which *decoded* frame is due. Frames wait after the decoder, not in front of it, so that a frame that is late for
//! its own time is still there for the next one's references.
//!
//! A frame's play time is its media time on the local clock, as the quickest of the last frames came through, plus a
//! target delay: the 95th percentile (see [`Policy`]) of how much longer than the quickest frames are on their way, or more
//! where the picture would stand still for the slowest. What the encoder
//! varies is left out: a keyframe takes it several times as long, and no frame after it should wait for that. On an
//! even path the target vanishes and a frame is due the moment it is decoded.

use std::collections::VecDeque;

use super::policy::Policy;
use crate::base::time::{Duration, Instant};

/// Four seconds at 30 frames per second: long enough to have seen the path's jitter, short enough to forget it.
const WINDOW: usize = 120;

/// A picture that comes so late for its time is no freeze (webrtc-stats §freezeCount: 150 ms), with some of that to spare.
const NOT_FROZEN: Duration = Duration::from_millis(120);

/// Microseconds with each frame: 15 ms in a second.
const FORGET: i64 = 500;

/// Measures the path's variation and says when frames are due. Times inside are microseconds since `start`.
#[derive(Clone, Debug)]
pub struct PlayoutClock {
    start: Instant,
    policy: Policy,
    /// Of the last frames: arrival minus media time, and the same without the encoder's time.
    transits: VecDeque<(i64, i64)>,
    sorted: Vec<i64>,
    base: i64,
    target: i64,
    /// The longest variation, forgotten slowly: what is lost twice is rare.
    slowest: i64,
    skipped: u64,
    /// When the newest frame was captured, on the local clock, minus its media time.
    capture: Option<i64>,
    /// How long the sound that belongs to the pictures takes from its capture to the loudspeaker.
    sound: Option<Duration>,
    /// Every frame is due so much later: the laboratory's plant.
    extra: Duration,
    at_once: bool,
}

impl PlayoutClock {
    /// `start` is any instant not later than the first frame.
    pub fn new(start: Instant) -> Self {
        Self::with_policy(start, Policy::default())
    }

    /// The same by other measures.
    pub fn with_policy(start: Instant, policy: Policy) -> Self {
        Self {
            start,
            policy,
            transits: VecDeque::with_capacity(WINDOW),
            sorted: Vec::with_capacity(WINDOW),
            base: 0,
            target: 0,
            slowest: 0,
            skipped: 0,
            capture: None,
            sound: None,
            extra: Duration::ZERO,
            at_once: false,
        }
    }

    /// Frames are due as soon as they are decoded, or as evenly as they were captured. Of a page of text nothing moves: a large
    /// change takes long on its way, and the small one after it should not wait as long.
    pub const fn set_at_once(&mut self, at_once: bool) {
        self.at_once = at_once;
    }

    /// The sound that belongs to the pictures is heard so long after its capture; `None`: there is none, or not yet. Pictures
    /// wait for it, as far as [`Policy::picture_ahead`] says; it does not wait for them.
    pub const fn set_sound(&mut self, after_capture: Option<Duration>) {
        self.sound = after_capture;
    }

    /// Every frame is due `extra` later than the path asks for.
    pub const fn set_extra(&mut self, extra: Duration) {
        self.extra = extra;
    }

    /// A frame with this RTP timestamp (90 kHz, extended) was whole at `arrived`, after `encode` in its encoder (zero
    /// where the sender does not say). It was captured at `captured`, on the local clock.
    pub fn on_frame(&mut self, timestamp: u64, arrived: Instant, encode: Duration, captured: Option<Instant>) {
        self.capture = captured.map(|captured| self.micros(captured).saturating_sub(media_micros(timestamp)));
        let transit = self.micros(arrived).saturating_sub(media_micros(timestamp));
        // The sender's timestamps began anew: what was measured says nothing any more.
        if self.transits.back().is_some_and(|last| last.0.abs_diff(transit) > 10_000_000) {
            self.transits.clear();
            self.slowest = 0;
        }
        if self.transits.len() == WINDOW {
            self.transits.pop_front();
        }
        let encode = i64::try_from(encode.as_micros()).unwrap_or(i64::MAX);
        self.transits.push_back((transit, transit.saturating_sub(encode)));
        self.base = self.transits.iter().map(|transit| transit.0).min().unwrap_or_default();
        self.sorted.clear();
        self.sorted.extend(self.transits.iter().map(|transit| transit.1));
        self.sorted.sort_unstable();
        let rank = (self.sorted.len() * usize::from(self.policy.picture_share)).div_ceil(100).saturating_sub(1);
        let quickest = self.sorted.first().copied().unwrap_or_default();
        let variation = self.sorted.get(rank).map_or(0, |path| path - quickest);
        let micros = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        // Nor would the slowest of them have made the picture stand still.
        let slowest = self.sorted.last().map_or(0, |path| path - quickest);
        self.slowest = slowest.max(self.slowest - FORGET);
        let variation = variation.max(self.slowest - micros(NOT_FROZEN));
        let is_ignored = variation < micros(self.policy.picture_ignored);
        self.target = if is_ignored { 0 } else { variation.min(micros(self.policy.picture_most)) };
    }

    /// When the frame with this timestamp is due.
    pub fn play_time(&self, timestamp: u64) -> Instant {
        if self.at_once {
            return self.start;
        }
        let micros = media_micros(timestamp).saturating_add(self.hold());
        self.start + Duration::from_micros(u64::try_from(micros).unwrap_or_default()) + self.extra
    }

    /// Of the waiting frames (their timestamps in decoding order) the index of the newest one that is due at `now`;
    /// the ones in front of it are skipped and counted. The caller removes them.
    pub fn choose(&mut self, timestamps: impl Iterator<Item = u64>, now: Instant) -> Option<usize> {
        let due = timestamps.take_while(|timestamp| self.play_time(*timestamp) <= now).count();
        let index = due.checked_sub(1)?;
        self.skipped += index as u64;
        Some(index)
    }

    /// When the first of the waiting frames is due; `None` when none waits.
    pub fn next_due(&self, mut timestamps: impl Iterator<Item = u64>) -> Option<Instant> {
        timestamps.next().map(|timestamp| self.play_time(timestamp))
    }

    /// How long frames wait so that nearly all are there in time.
    pub fn target(&self) -> Duration {
        if self.at_once { Duration::ZERO } else { Duration::from_micros(self.target.unsigned_abs()) }
    }

    /// Frames that were decoded and never chosen, because a newer one was due as well.
    pub const fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Play time minus media time: what the path asks for, or what the sound does.
    fn hold(&self) -> i64 {
        let path = self.base.saturating_add(self.target);
        let Some((capture, sound)) = self.capture.zip(self.sound) else { return path };
        let wait = sound.saturating_sub(self.policy.picture_ahead).min(self.policy.picture_most);
        path.max(capture.saturating_add(i64::try_from(wait.as_micros()).unwrap_or(i64::MAX)))
    }

    fn micros(&self, at: Instant) -> i64 {
        i64::try_from(at.saturating_duration_since(self.start).as_micros()).unwrap_or(i64::MAX)
    }
}

fn media_micros(timestamp: u64) -> i64 {
    i64::try_from(u128::from(timestamp) * 1_000_000 / 90_000).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::now;

    const FRAME: u64 = 3000;

    fn at(start: Instant, frame: u64, late_us: u64) -> Instant {
        start + Duration::from_micros(1_000_000 + frame * 33_333 + frame / 3 + late_us)
    }

    #[test]
    fn what_is_to_be_shown_at_once_waits_for_nothing() {
        let start = now();
        let mut clock = PlayoutClock::new(start);
        // A page that took half a second, now and then.
        (0..200).for_each(|frame| {
            clock.on_frame(90_000 + frame * FRAME, at(start, frame, frame % 8 / 7 * 500_000), Duration::ZERO, None)
        });
        let (next, arrived) = (90_000 + 200 * FRAME, at(start, 200, 0));
        assert_eq!(clock.choose(std::iter::once(next), arrived), None);
        clock.set_at_once(true);
        assert_eq!((clock.choose(std::iter::once(next), arrived), clock.target()), (Some(0), Duration::ZERO));
    }

    #[test]
    fn pictures_wait_for_their_sound_and_no_longer_than_that() {
        let start = now();
        let mut clock = PlayoutClock::new(start);
        let captured = |frame| at(start, frame, 0);
        let arrived = |frame| at(start, frame, 40_000);
        (0..30).for_each(|frame| {
            clock.on_frame(frame * FRAME, arrived(frame), Duration::ZERO, Some(captured(frame)));
        });
        let due =
            |clock: &PlayoutClock| clock.play_time(29 * FRAME).saturating_duration_since(captured(29)).as_millis();
        assert_eq!(due(&clock), 40);
        // Sound that is not later than the pictures by more than they may be ahead does not matter.
        clock.set_sound(Some(Duration::from_millis(65)));
        assert_eq!(due(&clock), 40);
        clock.set_sound(Some(Duration::from_millis(190)));
        assert_eq!(due(&clock), 100);
        clock.set_sound(None);
        assert_eq!(due(&clock), 40);
    }

    #[test]
    fn on_an_even_path_a_frame_is_due_on_arrival() {
        let start = now();
        let mut clock = PlayoutClock::new(start);
        for frame in 0..200 {
            let decoded = at(start, frame, frame * 7 % 13 * 100);
            clock.on_frame(90_000 + frame * FRAME, decoded, Duration::ZERO, None);
            assert_eq!(clock.choose(std::iter::once(90_000 + frame * FRAME), decoded), Some(0), "frame {frame}");
        }
        assert_eq!(clock.target(), Duration::ZERO);
    }

    #[test]
    fn on_an_uneven_path_frames_wait_and_are_evenly_spaced() {
        let start = now();
        let mut clock = PlayoutClock::new(start);
        let late = |frame: u64| frame * 7919 % 41 * 1000;
        (0..200).for_each(|frame| clock.on_frame(frame * FRAME, at(start, frame, late(frame)), Duration::ZERO, None));
        assert!((34..=40).contains(&clock.target().as_millis()), "{:?}", clock.target());
        let gap = clock.play_time(201 * FRAME) - clock.play_time(200 * FRAME);
        assert!((33..=34).contains(&gap.as_millis()), "{gap:?}");
        // When the path becomes even again, the delay goes with it.
        (200..330).for_each(|frame| clock.on_frame(frame * FRAME, at(start, frame, 0), Duration::ZERO, None));
        assert_eq!(clock.target(), Duration::ZERO);
    }

    #[test]
    fn a_keyframe_that_took_long_to_encode_delays_no_frame_after_it() {
        let start = now();
        let mut clock = PlayoutClock::new(start);
        let slow = |frame: u64| Duration::from_millis(if frame.is_multiple_of(10) { 40 } else { 3 });
        for frame in 0..60 {
            let arrived = at(start, frame, slow(frame).as_micros() as u64);
            clock.on_frame(frame * FRAME, arrived, slow(frame), None);
            assert_eq!(clock.choose(std::iter::once(frame * FRAME), arrived), Some(0), "frame {frame}");
        }
        assert_eq!(clock.target(), Duration::ZERO);
    }

    #[test]
    fn of_several_due_frames_the_newest_is_shown_and_the_others_counted() {
        let start = now();
        let mut clock = PlayoutClock::new(start);
        (0..3).for_each(|frame| clock.on_frame(frame * FRAME, at(start, frame, 0), Duration::ZERO, None));
        let waiting = || (0..4).map(|frame| frame * FRAME);
        assert_eq!(clock.choose(waiting(), at(start, 2, 900)), Some(2));
        assert_eq!(clock.skipped(), 2);
        assert_eq!(clock.choose(waiting().skip(3), at(start, 2, 900)), None);
        let due = clock.next_due(waiting().skip(3)).expect("one waits");
        assert!(due > at(start, 2, 900) && due <= at(start, 3, 100));
    }
}
