//! What a path asks of sound: the shortest frames that it carries, with as many copies as its losses call for.

use crate::base::rate::Bitrate;
use crate::base::time::Duration;
use crate::media::frame_length::{Coding, FrameLength, FrameLengths};

/// What is around a frame in an encrypted packet, in bytes: IPv4 20, UDP 8, RTP 12, its extensions 24, the authentication tag
/// 16, the type of a redundant payload 1.
pub const AROUND: u64 = 81;
/// RFC 2198's header of a copy.
const COPY_HEADER: u64 = 4;

/// Copies of earlier frames in a packet: how many frames earlier each is, nearest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Copies {
    count: u8,
    apart: u8,
}

impl Copies {
    pub const NONE: Self = Self { count: 0, apart: 1 };
    /// Of the frame before.
    pub const ONE: Self = Self { count: 1, apart: 1 };
    /// The farthest frame a copy is of.
    pub const FARTHEST: usize = Self::MOST as usize * Self::APART as usize;
    const MOST: u8 = 3;
    const APART: u8 = 4;

    pub const fn count(self) -> usize {
        self.count as usize
    }

    /// How many frames earlier each copy is.
    pub fn distances(self) -> impl DoubleEndedIterator<Item = usize> + Clone {
        (1..=self.count()).map(move |n| n * self.apart as usize)
    }

    /// The farthest copy.
    const fn reach(self) -> usize {
        self.count as usize * self.apart as usize
    }
}

/// What is known of the path, towards the other side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SoundPath {
    /// What sound may take of it, with all that is around it.
    pub budget: Bitrate,
    /// Share of the packets that are lost, 0.0 to 1.0.
    pub loss: f32,
    /// How many are lost together, on average; at least 1.
    pub burst: f32,
    pub round_trip: Option<Duration>,
}

/// What the person or the other side allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// This length and no other.
    pub forced: Option<FrameLength>,
    /// The most that Opus is given for one voice.
    pub most: Bitrate,
    /// Those that the other side reads.
    pub lengths: FrameLengths,
    /// The other side reads RFC 2198.
    pub copies: bool,
    /// Two channels of whatever sounds, in frames of 10 ms at most.
    pub music: bool,
    /// What is around each frame on the wire, in bytes.
    pub around: u64,
}

impl Bounds {
    /// Two channels, and more in each of them than there is in a voice.
    const MUSIC: u64 = 3;

    const fn most(&self) -> Bitrate {
        if self.music { Bitrate::from_bps(self.most.as_bps().saturating_mul(Self::MUSIC)) } else { self.most }
    }
}

/// How sound is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SoundPlan {
    pub length: FrameLength,
    /// Of Opus.
    pub bitrate_bps: u64,
    pub copies: Copies,
    /// In-band FEC, and the loss that it is made for, in percent.
    pub fec: Option<u8>,
}

/// Of lost frames so many may stay lost.
const LEFT: f32 = 0.005;
/// A copy that comes later than this would only be played by a call that is late already.
const LATEST: Duration = Duration::from_millis(100);
/// Below this loss one copy at short distance is enough of a precaution.
const RARE: f32 = 0.001;
/// Where a word takes so long to and fro, 5 ms of it are not felt.
const LONG: Duration = Duration::from_millis(120);

impl SoundPlan {
    /// The plan for `path`.
    pub fn new(path: &SoundPath, bounds: &Bounds) -> Self {
        let least = match path.round_trip {
            Some(time) if time > LONG => FrameLength::Ms10,
            _ => FrameLength::Ms5,
        };
        let is_fit = |length: &FrameLength| match bounds.forced {
            Some(forced) => *length == forced,
            None => *length >= least && !(bounds.music && *length > FrameLength::Ms10),
        };
        let read = || FrameLength::ALL.into_iter().filter(|length| bounds.lengths.has(*length));
        // An older program may read none that fits.
        let are_fit = read().any(|length| is_fit(&length));
        let lengths = || read().filter(|length| !are_fit || is_fit(length));
        let most = if bounds.copies { usize::from(Copies::MOST) } else { 0 };
        for count in (0..=most).rev() {
            for length in lengths() {
                let copies = copies(path, length, count);
                // The same with fewer is tried in its turn.
                let rate = opus_rate(path.budget, around(bounds, length, copies), copies);
                if copies.count() == count && rate >= least_rate(length, count, bounds.music) {
                    return Self::with(path, bounds, length, copies);
                }
            }
        }
        let length = lengths().next_back().unwrap_or(FrameLength::Ms20);
        Self::with(path, bounds, length, Copies::NONE)
    }

    fn with(path: &SoundPath, bounds: &Bounds, length: FrameLength, copies: Copies) -> Self {
        let rate = opus_rate(path.budget, around(bounds, length, copies), copies);
        // Who insists on a length that is too short for the path insists on what it needs.
        let lowest = bounds.forced.map_or(LOWEST, |_| least_rate(length, 0, bounds.music));
        let bitrate = rate.clamp(lowest, best_rate(length, bounds.music)).min(bounds.most());
        // Both would pay twice for the same.
        let fec = length.coding() == Coding::Speech && copies.count() == 0 && path.loss > RARE;
        let percent = (path.loss * 100.0).ceil().clamp(1.0, 50.0) as u8;
        Self { length, bitrate_bps: bitrate.as_bps(), copies, fec: fec.then_some(percent) }
    }

    /// What it takes on the wire.
    pub fn on_wire(&self, bounds: &Bounds) -> Bitrate {
        let sound = self.bitrate_bps.saturating_mul(1 + self.copies.count() as u64);
        Bitrate::from_bps(sound.saturating_add(around(bounds, self.length, self.copies)))
    }
}

/// Opus' lowest (RFC 6716 §2.1.1).
const LOWEST: Bitrate = Bitrate::from_kbps(6);

/// What a voice needs at least to be pleasant to listen to, and music twice. Short frames code worse: less is shared between
/// their samples. `copies` are worth nothing where nobody wants to hear what they are of.
const fn least_rate(length: FrameLength, copies: usize, music: bool) -> Bitrate {
    let times = if music { 2 } else { 1 };
    Bitrate::from_kbps(
        times
            * match length {
                FrameLength::Ms2_5 => 56,
                FrameLength::Ms5 => 40,
                FrameLength::Ms10 => 28,
                FrameLength::Ms20 => 14,
                FrameLength::Ms40 => 10,
                FrameLength::Ms60 if copies > 0 => 8,
                FrameLength::Ms60 => 6,
            },
    )
}

/// More than this is not heard in one voice, or in music.
const fn best_rate(length: FrameLength, music: bool) -> Bitrate {
    let times = if music { Bounds::MUSIC } else { 1 };
    Bitrate::from_kbps(
        times
            * match length {
                FrameLength::Ms2_5 => 96,
                FrameLength::Ms5 => 64,
                FrameLength::Ms10 => 48,
                FrameLength::Ms20 => 40,
                FrameLength::Ms40 | FrameLength::Ms60 => 32,
            },
    )
}

/// Bits per second around the frames.
const fn around(bounds: &Bounds, length: FrameLength, copies: Copies) -> u64 {
    let bits = 8 * (bounds.around + COPY_HEADER * copies.count() as u64);
    bits * 48_000 / length.samples() as u64
}

/// What is left for each of the frames in a packet.
fn opus_rate(budget: Bitrate, around: u64, copies: Copies) -> Bitrate {
    let left = budget.as_bps().saturating_sub(around);
    Bitrate::from_bps(left / (1 + copies.count() as u64))
}

/// The best `count` copies, or fewer where fewer are enough.
fn copies(path: &SoundPath, length: FrameLength, count: usize) -> Copies {
    if path.loss < RARE {
        // Where the frames carry no FEC, for the first loss there is.
        let wanted = usize::from(length.coding() == Coding::LowDelay);
        return if count.min(wanted) == 0 { Copies::NONE } else { Copies::ONE };
    }
    let farthest = (LATEST.as_micros() / length.duration().as_micros().max(1)) as usize;
    let mut best = (path.loss, Copies::NONE);
    for count in 1..=count as u8 {
        for apart in 1..=Copies::APART {
            let copies = Copies { count, apart };
            let left = left_lost(path, copies);
            // A little less lost is not worth waiting longer for.
            if copies.reach() <= farthest.max(1) && best.0 > LEFT && left < best.0 * 0.8 {
                best = (left, copies);
            }
        }
    }
    best.1
}

/// The share of frames that is lost with all its copies. Losses come and go as in Gilbert's model: what follows a lost packet
/// is the more likely lost the nearer it is.
fn left_lost(path: &SoundPath, copies: Copies) -> f32 {
    let loss = path.loss.clamp(0.0, 0.9);
    let burst = path.burst.max(1.0 / (1.0 - loss));
    let stays = (1.0 - 1.0 / burst) - loss / (1.0 - loss) / burst;
    let memory = stays.clamp(0.0, 0.99);
    let is_lost_too = |frames: usize| loss + (1.0 - loss) * memory.powi(frames as i32);
    // From copy to copy the distance is the same.
    copies.distances().map(|_| is_lost_too(usize::from(copies.apart))).product::<f32>() * loss
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        forced: None,
        most: Bitrate::from_kbps(64),
        lengths: FrameLengths::ALL,
        copies: true,
        music: false,
        around: AROUND,
    };

    fn path(kbps: u64, loss: f32, burst: f32) -> SoundPath {
        SoundPath { budget: Bitrate::from_kbps(kbps), loss, burst, round_trip: None }
    }

    #[test]
    fn a_good_path_has_short_frames_and_one_copy() {
        let plan = SoundPlan::new(&path(300, 0.0, 1.0), &BOUNDS);
        assert_eq!(plan, SoundPlan { length: FrameLength::Ms5, bitrate_bps: 64_000, copies: Copies::ONE, fec: None });
    }

    #[test]
    fn it_never_takes_more_than_the_budget_where_that_can_be() {
        for kbps in (18..400).step_by(3) {
            for loss in [0.0, 0.01, 0.1, 0.3, 0.5] {
                for burst in [1.0, 1.5, 4.0] {
                    let plan = SoundPlan::new(&path(kbps, loss, burst), &BOUNDS);
                    assert!(plan.on_wire(&BOUNDS) <= Bitrate::from_kbps(kbps), "{kbps} {loss} {burst}: {plan:?}");
                    assert!(plan.bitrate_bps >= 6000);
                }
            }
        }
    }

    #[test]
    fn less_room_makes_longer_frames() {
        let length = |kbps| SoundPlan::new(&path(kbps, 0.0, 1.0), &BOUNDS).length;
        let all: Vec<_> = [300, 120, 60, 30, 20].map(length).into();
        let expected = [FrameLength::Ms5, FrameLength::Ms10, FrameLength::Ms20, FrameLength::Ms40, FrameLength::Ms60];
        assert_eq!(all, expected);
    }

    #[test]
    fn losses_are_answered_with_copies_within_the_budget() {
        let count = |loss, kbps| SoundPlan::new(&path(kbps, loss, 1.0 / (1.0 - loss)), &BOUNDS).copies.count();
        assert_eq!(count(0.01, 300), 1);
        assert_eq!(count(0.10, 300), 2);
        assert_eq!(count(0.30, 300), 3);
        // 96 kbit/s carry it with frames of 20 ms.
        assert_eq!(count(0.30, 96), 3);
        assert_eq!(SoundPlan::new(&path(96, 0.3, 1.43), &BOUNDS).length, FrameLength::Ms20);
        // At last only in-band FEC is left.
        let plan = SoundPlan::new(&path(24, 0.1, 1.1), &BOUNDS);
        assert!(plan.copies.count() == 0 && plan.fec == Some(10), "{plan:?}");
    }

    #[test]
    fn what_is_lost_together_is_not_copied_side_by_side() {
        let plan = SoundPlan::new(&path(300, 0.1, 4.0), &BOUNDS);
        assert!(plan.copies.distances().next().is_some_and(|first| first > 1), "{plan:?}");
        let alone = SoundPlan::new(&path(300, 0.1, 1.1), &BOUNDS);
        assert_eq!(alone.copies.distances().collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn who_reads_no_copies_gets_none_and_a_forced_length_stays() {
        let bounds = Bounds { forced: Some(FrameLength::Ms20), copies: false, ..BOUNDS };
        let plan = SoundPlan::new(&path(20, 0.2, 1.2), &bounds);
        assert_eq!((plan.length, plan.copies.count(), plan.fec), (FrameLength::Ms20, 0, Some(20)));
        let shortest = Bounds { forced: Some(FrameLength::Ms2_5), ..BOUNDS };
        assert_eq!(SoundPlan::new(&path(300, 0.0, 1.0), &shortest).bitrate_bps, 56_000);
    }

    #[test]
    fn only_frames_that_the_other_side_reads_are_sent() {
        let of = |lengths: &[u32], forced, music| {
            let bounds = Bounds { lengths: FrameLengths::of_micros(lengths), forced, music, ..BOUNDS };
            SoundPlan::new(&path(300, 0.0, 1.0), &bounds).length
        };
        assert_eq!(of(&[2_500, 5_000, 20_000, 7], None, false), FrameLength::Ms5);
        assert_eq!(of(&[20_000, 60_000], None, false), FrameLength::Ms20);
        assert_eq!(of(&[20_000], Some(FrameLength::Ms5), false), FrameLength::Ms20);
        assert_eq!(of(&[20_000], None, true), FrameLength::Ms20);
    }

    #[test]
    fn music_has_more_of_everything_and_never_frames_longer_than_ten_milliseconds() {
        let music = Bounds { music: true, ..BOUNDS };
        let plan = |kbps| SoundPlan::new(&path(kbps, 0.0, 1.0), &music);
        assert_eq!((plan(600).length, plan(600).bitrate_bps), (FrameLength::Ms5, 192_000));
        for kbps in (20..600).step_by(7) {
            let plan = plan(kbps);
            assert!(plan.length <= FrameLength::Ms10, "{kbps}: {plan:?}");
            assert!(plan.on_wire(&music) <= Bitrate::from_kbps(kbps.max(71)), "{kbps}: {plan:?}");
        }
    }

    #[test]
    fn a_long_way_has_longer_frames() {
        let far = SoundPath { round_trip: Some(Duration::from_millis(250)), ..path(300, 0.0, 1.0) };
        assert_eq!(SoundPlan::new(&far, &BOUNDS).length, FrameLength::Ms10);
    }
}
