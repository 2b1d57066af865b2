//! Who of many is heard: the loudest ones. Nobody is cut off for being a little softer than somebody else, and hand-over is a
//! fade. Loudness is what the senders say (RFC 6464), so that what is not heard need not be decoded.

use super::mix::mix_ramp;
use crate::base::stereo::Stereo;

/// How many are heard at once: more voices than that nobody follows, and each costs a decoder's time.
pub const MOST: usize = 5;
/// Who is not heard must be so much louder (6 dB) than somebody who is.
const LOUDER: f32 = 6.0;
/// Loudness follows a voice that begins within 30 ms and one that pauses within half a second (48 kHz samples).
const RISE: f32 = 1_440.0;
const FALL: f32 = 24_000.0;
/// A sender that does not say how loud it is speaks at a usual level.
const USUAL: f32 = -30.0;
const SILENT: f32 = -127.0;
/// A fade from nothing to all takes 20 ms.
const FADE: f32 = 960.0;

/// One stream's place in the mix.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seat {
    /// dBov.
    loudness: f32,
    heard: bool,
    gain: f32,
    /// How loud the listener wants it, 1 being as it comes.
    volume: f32,
    /// The listener does not want to hear it.
    hushed: bool,
}

impl Default for Seat {
    fn default() -> Self {
        Self { loudness: SILENT, heard: false, gain: 0.0, volume: 1.0, hushed: false }
    }
}

impl Seat {
    /// `samples` of the stream were made that are `level` loud, in dBov.
    pub fn observe(&mut self, level: Option<i8>, samples: usize) {
        let level = level.map_or(USUAL, f32::from);
        let time = if level > self.loudness { RISE } else { FALL };
        self.loudness += (level - self.loudness) * (1.0 - (-(samples as f32) / time).exp());
    }

    /// dBov, smoothed.
    pub const fn loudness(&self) -> f32 {
        self.loudness
    }

    pub const fn is_heard(&self) -> bool {
        self.heard
    }

    pub const fn set_heard(&mut self, heard: bool) {
        self.heard = heard;
    }

    /// Nothing of it is in the mix: it need not be decoded.
    pub fn is_silent(&self) -> bool {
        self.target() == 0.0 && self.gain == 0.0
    }

    /// In percent of how it comes: 0 to 200.
    pub fn set_volume(&mut self, percent: u8) {
        self.volume = f32::from(percent.min(200)) / 100.0;
    }

    pub const fn set_hushed(&mut self, hushed: bool) {
        self.hushed = hushed;
    }

    pub fn volume_percent(&self) -> u8 {
        (self.volume * 100.0).round() as u8
    }

    pub const fn is_hushed(&self) -> bool {
        self.hushed
    }

    /// Adds `samples` onto `sum`, as loud as they are to be, without a step.
    pub fn mix_into(&mut self, sum: &mut [Stereo], samples: &[Stereo]) {
        let most = samples.len() as f32 / FADE;
        let to = self.target().clamp(self.gain - most, self.gain + most);
        mix_ramp(sum, samples, self.gain, to);
        self.gain = to;
    }

    const fn target(&self) -> f32 {
        if self.heard && !self.hushed { self.volume } else { 0.0 }
    }
}

/// Who begins to be heard and who no longer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandOver<K> {
    pub begins: Option<K>,
    pub ends: Option<K>,
}

/// The next hand-over among `seats`: one at a time, so that voices follow each other. Among equals the first ones stay.
pub fn hand_over<'a, K: Copy>(seats: impl Iterator<Item = (K, &'a Seat)>, most: usize) -> HandOver<K> {
    let (mut heard, mut softest, mut loudest) = (0, None::<(K, f32)>, None::<(K, f32)>);
    for (key, seat) in seats {
        if seat.heard {
            heard += 1;
            if softest.is_none_or(|(_, least)| seat.loudness <= least) {
                softest = Some((key, seat.loudness));
            }
        } else if loudest.is_none_or(|(_, most)| seat.loudness > most) {
            loudest = Some((key, seat.loudness));
        }
    }
    let begins = loudest.map(|(key, _)| key);
    match (softest, loudest) {
        _ if heard > most => HandOver { begins: None, ends: softest.map(|(key, _)| key) },
        _ if heard < most => HandOver { begins, ends: None },
        (Some((ends, least)), Some((_, loud))) if loud > least + LOUDER => HandOver { begins, ends: Some(ends) },
        _ => HandOver { begins: None, ends: None },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Half a second of 2.5 ms at these levels; who is heard at the end.
    fn run(seats: &mut [Seat], levels: &[i8], steps: usize) -> Vec<usize> {
        for _ in 0..steps {
            seats.iter_mut().zip(levels).for_each(|(seat, level)| seat.observe(Some(*level), 120));
            let HandOver { begins, ends } = hand_over(seats.iter().enumerate(), 2);
            ends.into_iter().for_each(|n: usize| seats[n].set_heard(false));
            begins.into_iter().for_each(|n: usize| seats[n].set_heard(true));
        }
        (0..seats.len()).filter(|n| seats[*n].is_heard()).collect()
    }

    #[test]
    fn the_loudest_are_heard_and_a_little_louder_is_not_enough() {
        let mut seats = [Seat::default(); 4];
        assert_eq!(run(&mut seats, &[-30, -60, -28, -70], 200), [0, 2]);
        // 4 dB more than the softer of the two.
        assert_eq!(run(&mut seats, &[-30, -26, -28, -70], 400), [0, 2]);
        assert_eq!(run(&mut seats, &[-30, -15, -28, -70], 400), [1, 2]);
        // Who pauses is handed over from only after a while.
        assert_eq!(run(&mut seats, &[-30, -15, -90, -70], 20), [1, 2]);
        assert_eq!(run(&mut seats, &[-30, -15, -90, -70], 400), [0, 1]);
    }

    #[test]
    fn nobody_is_left_out_where_there_is_room() {
        let mut seats = [Seat::default(); 2];
        assert_eq!(run(&mut seats, &[-90, -127], 2), [0, 1]);
    }

    #[test]
    fn a_hand_over_is_a_fade_and_ends_in_silence() {
        let mut seat = Seat::default();
        assert!(seat.is_silent());
        seat.set_heard(true);
        let mut out = vec![[0.0; 2]; 1920];
        out.chunks_mut(240).for_each(|part| seat.mix_into(part, &[[1.0; 2]; 240]));
        let steps = out.windows(2).map(|pair| (pair[1][0] - pair[0][0]).abs()).fold(0.0, f32::max);
        assert!(out[1919] == [1.0; 2] && steps < 0.002, "{steps}");
        seat.set_hushed(true);
        let mut sum = vec![[0.0; 2]; 480];
        (0..2).for_each(|_| seat.mix_into(&mut sum, &[[1.0; 2]; 480]));
        assert!(seat.is_silent());
        seat.set_hushed(false);
        seat.set_volume(150);
        (0..3).for_each(|_| seat.mix_into(&mut sum, &[[1.0; 2]; 960]));
        assert_eq!(seat.gain, 1.5);
    }

    #[test]
    fn who_does_not_say_how_loud_it_is_counts_as_usual() {
        let mut seat = Seat::default();
        (0..100).for_each(|_| seat.observe(None, 960));
        assert!((seat.loudness() - USUAL).abs() < 0.5);
    }
}
