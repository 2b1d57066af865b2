//! What of the path is whose: sound first, then pictures that are worth looking at, then better sound, then better pictures.

use crate::base::rate::Bitrate;

/// What sound needs to be easy to listen to, with all that is around it: 20 ms of 40 kbit/s.
pub const SOUND_NEEDS: Bitrate = Bitrate::from_kbps(72);
/// Below this no picture is worth sending.
pub const PICTURES_NEED: Bitrate = Bitrate::from_kbps(80);
/// Of what is left so much goes to sound until it has all that it wants.
const SOUND_GETS: u64 = 20;

/// What sound may take of `total` while there are pictures.
pub fn sound(total: Bitrate, most: Bitrate) -> Bitrate {
    let left = Bitrate::from_bps(total.as_bps().saturating_sub(SOUND_NEEDS.as_bps()));
    let wanted = Bitrate::from_bps(SOUND_NEEDS.as_bps() + left.percent(SOUND_GETS).as_bps());
    wanted.min(most).min(total)
}

/// Whether `total` carries pictures beside sound.
pub fn carries_pictures(total: Bitrate, most_sound: Bitrate) -> bool {
    total.as_bps().saturating_sub(sound(total, most_sound).as_bps()) >= PICTURES_NEED.as_bps()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sound_goes_first_then_pictures_then_better_sound() {
        let most = Bitrate::from_kbps(300);
        // kbit/s in all, of sound, and whether there are pictures.
        let table =
            [(50, 50, false), (100, 77, false), (180, 93, true), (300, 117, true), (500, 157, true), (2000, 300, true)];
        for (total, expected, pictures) in table {
            let total = Bitrate::from_kbps(total);
            assert_eq!(sound(total, most).as_bps() / 1000, expected, "{total}");
            assert_eq!(carries_pictures(total, most), pictures, "{total}");
        }
        assert_eq!(sound(Bitrate::from_kbps(2000), Bitrate::default()), Bitrate::default());
    }
}
