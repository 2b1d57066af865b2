//! What pictures are made for a target: how large, how many a second, and how the encoder spends what it has.

use crate::base::rate::Bitrate;
use crate::base::time::{Duration, Instant};
use crate::media::video::Content;

/// How pictures are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PicturePlan {
    pub width: u32,
    pub height: u32,
    /// Every so manyth picture of the source is encoded: 1 is all of them.
    pub every: u32,
    /// The least and the most that H.264's quantiser may be, 0 to 51.
    pub quantisers: (u8, u8),
    /// Temporal layers: with two every other picture may be left out alone.
    pub layers: u8,
}

/// What an encoder has to do with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PictureSource {
    pub width: u32,
    pub height: u32,
    /// Halvings of the size that the machine's load asks for.
    pub load: u32,
    pub content: Content,
    /// Packets are lost on the way, and what is sent again comes late.
    pub is_lossy: bool,
}

/// Whether pictures are lost on the way; for a while after they were, since each change of layers costs a keyframe.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lossy {
    lost: Option<Instant>,
}

impl Lossy {
    /// `loss` is the share of the packets that are lost.
    pub fn observe(&mut self, loss: f64, round_trip: Option<Duration>, now: Instant) -> bool {
        const MANY: f64 = 0.01;
        const STAYS: Duration = Duration::from_secs(30);
        if loss >= MANY && round_trip.is_some_and(|trip| trip > IN_TIME) {
            self.lost = Some(now);
        }
        self.lost.is_some_and(|lost| now.saturating_duration_since(lost) < STAYS)
    }
}

/// Sent again within this time a picture is not missed.
const IN_TIME: Duration = Duration::from_millis(40);
/// Quantisers of text: below the one nobody sees a difference, above the other letters of 9 pixels are not read any more.
/// What moves may have any.
const TEXT: (u8, u8) = (22, 38);
const MOTION: (u8, u8) = (0, 51);

/// Bits for each pixel and picture, in thousandths, under which H.264 looks torn.
const LEAST_BITS: u64 = 40;
/// Sizes by what the source's sides are divided by.
const PARTS: [u32; 3] = [1, 2, 4];
/// The narrowest picture that is worth looking at, and the width that is never given up for the rate.
const NARROWEST: u32 = 320;
/// With less than this for its smallest picture every other one is left out.
const HALF_RATE: Bitrate = Bitrate::from_kbps(110);

impl PicturePlan {
    /// The plan for `target`. `current`: what is sent now; a step up needs a fifth more than the step down, so that the size
    /// does not flap. A machine that cannot keep up gets fewer pixels before it gets fewer pictures. Text with fewer pixels
    /// cannot be read: it stays as it is, in as many pictures as there is room for.
    pub fn new(target: Bitrate, source: PictureSource, current: Option<Self>) -> Self {
        if source.content == Content::Text {
            let (width, height) = ((source.width & !1).max(16), (source.height & !1).max(16));
            return Self { width, height, every: 1, quantisers: TEXT, layers: 1 };
        }
        let part = |n: u32| ((source.width / n).max(16) & !1, (source.height / n).max(16) & !1);
        let is_enough = |(width, height): (u32, u32)| {
            let least = u64::from(width) * u64::from(height) * 30 * LEAST_BITS / 1000;
            let holds = current.is_some_and(|current| current.width * current.height >= width * height);
            target.as_bps() >= if holds { least } else { least * 6 / 5 }
        };
        let sizes = PARTS.map(part).into_iter().enumerate();
        let mut possible = sizes.filter(|(step, size)| *step == 0 || size.0 >= NARROWEST.min(source.width));
        let found = possible.clone().find(|(_, size)| is_enough(*size)).or_else(|| possible.by_ref().last());
        let (step, _) = found.unwrap_or((0, part(1)));
        let last = PARTS.len() - 1;
        let loaded = (step + source.load as usize).min(last);
        let (width, height) = part(PARTS[loaded]);
        // What load is left beyond the smallest picture takes pictures.
        let beyond = (step + source.load as usize).saturating_sub(last) as u32;
        let is_poor =
            target < HALF_RATE && target.as_bps() < u64::from(width) * u64::from(height) * 30 * LEAST_BITS / 800;
        let every = (1 + u32::from(is_poor)) << beyond.min(2);
        Self { width, height, every, quantisers: MOTION, layers: 1 + u8::from(source.is_lossy) }
    }

    /// What the encoder is told to spend, which thinks of 30 pictures a second: fewer of them are larger.
    pub const fn bitrate(&self, target: Bitrate) -> Bitrate {
        Bitrate::from_bps(target.as_bps() * self.every as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HD: PictureSource =
        PictureSource { width: 1280, height: 720, load: 0, content: Content::Motion, is_lossy: false };
    const SENT: PicturePlan = PicturePlan { width: 0, height: 0, every: 1, quantisers: MOTION, layers: 1 };

    #[test]
    fn the_table_of_targets() {
        // kbit/s, what is sent now, what is sent then, and every how manyth.
        let table = [
            (4000, None, (1280, 720), 1),
            (1300, Some((640, 360)), (640, 360), 1),
            (1340, Some((640, 360)), (1280, 720), 1),
            (1120, Some((1280, 720)), (1280, 720), 1),
            (1000, Some((1280, 720)), (640, 360), 1),
            (300, Some((640, 360)), (640, 360), 1),
            (270, Some((640, 360)), (320, 180), 1),
            (300, Some((320, 180)), (320, 180), 1),
            (340, Some((320, 180)), (640, 360), 1),
            (120, Some((320, 180)), (320, 180), 1),
            (80, Some((320, 180)), (320, 180), 2),
        ];
        for (kbps, current, size, every) in table {
            let current = current.map(|(width, height)| PicturePlan { width, height, ..SENT });
            let plan = PicturePlan::new(Bitrate::from_kbps(kbps), HD, current);
            assert_eq!(((plan.width, plan.height), plan.every), (size, every), "{kbps} kbit/s from {current:?}");
        }
    }

    #[test]
    fn what_it_is_of_and_what_is_lost_of_it_decide_on_quantisers_and_layers() {
        let table = [
            (Content::Motion, false, (1280, 720), (0, 51), 1),
            (Content::Motion, true, (1280, 720), (0, 51), 2),
            (Content::Text, false, (1280, 720), (22, 38), 1),
            (Content::Text, true, (1280, 720), (22, 38), 1),
        ];
        for (content, is_lossy, size, quantisers, layers) in table {
            let plan = PicturePlan::new(Bitrate::from_kbps(4000), PictureSource { content, is_lossy, ..HD }, None);
            let expected = PicturePlan { width: size.0, height: size.1, every: 1, quantisers, layers };
            assert_eq!(plan, expected, "{content:?}, lossy: {is_lossy}");
        }
        let text = PictureSource { content: Content::Text, ..HD };
        assert_eq!(PicturePlan::new(Bitrate::from_kbps(50), text, None).width, 1280, "text stays readable");
    }

    #[test]
    fn losses_are_remembered_for_a_while_where_what_is_sent_again_comes_late() {
        let (mut lossy, start) = (Lossy::default(), crate::base::time::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let (short, long) = (Some(Duration::from_millis(20)), Some(Duration::from_millis(100)));
        assert!(!lossy.observe(0.1, short, at(0)) && !lossy.observe(0.005, long, at(1)));
        assert!(lossy.observe(0.02, long, at(2)) && lossy.observe(0.0, long, at(20)));
        assert!(!lossy.observe(0.0, long, at(40)));
    }

    #[test]
    fn a_loaded_machine_gets_fewer_pixels_before_fewer_pictures() {
        let plans: Vec<_> = (0..4)
            .map(|load| PicturePlan::new(Bitrate::from_kbps(4000), PictureSource { load, ..HD }, None))
            .map(|plan| (plan.width, plan.every))
            .collect();
        assert_eq!(plans, [(1280, 1), (640, 1), (320, 1), (320, 2)]);
    }

    #[test]
    fn small_and_odd_sources_stay_as_they_are() {
        for (width, height) in [(320, 240), (17, 33), (2, 2)] {
            let source = PictureSource { width, height, ..HD };
            let plan = PicturePlan::new(Bitrate::from_kbps(50), source, None);
            assert_eq!((plan.width, plan.height), (width.max(16) & !1, height.max(16) & !1));
        }
    }

    #[test]
    fn fewer_pictures_are_larger() {
        let plan = PicturePlan { width: 320, height: 180, every: 2, ..SENT };
        assert_eq!(plan.bitrate(Bitrate::from_kbps(80)), Bitrate::from_kbps(160));
    }
}
