//! What playing out trades against what: delay against sound and pictures that come too late.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::base::error::{Error, Kind};
use crate::base::time::Duration;

/// The numbers that are a matter of taste, within what is reasonable. What is usual is the default.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// The share of sound packets of 20 ms that may come after their time, 0.0 to 0.5, on a path that often lets
    /// packets come late.
    pub sound_late: f32,
    /// From 0, the least delay, to 100, the least concealment.
    pub sound_safety: u8,
    /// Sound waits at least so long for packets that may still come.
    pub sound_least: Duration,
    /// A variation of the path below this does not hold pictures back.
    pub picture_ignored: Duration,
    /// The share of pictures that are to be there in time, in percent, 50 to 100.
    pub picture_share: u8,
    /// Pictures wait at most so long for their time.
    pub picture_most: Duration,
    /// A picture may be seen so long before its sound is heard.
    pub picture_ahead: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            // Two gaps of a packet in four seconds: on a crowded channel that costs 1.6 % of the sound and saves 16 ms
            // against none. A path that can do better without more delay is not worse for it (jitter_audio::estimate).
            sound_late: 0.01,
            sound_safety: 50,
            sound_least: Duration::ZERO,
            // Below this the variation is the machine's own, a person cannot see it, and waiting would only cost delay.
            picture_ignored: Duration::from_millis(12),
            picture_share: 95,
            // A call is no call any more behind more than this; later frames are shown as they come.
            picture_most: Duration::from_millis(500),
            // ITU-R BT.1359-1: nobody sees that sound is late by less than 125 ms, and what is shown sooner is better: a call
            // begins with long frames of sound, which no picture is to wait for. By how much sound is late varies.
            picture_ahead: Duration::from_millis(90),
        }
    }
}

/// The keys as a person gives them, and what they are.
pub const KEYS: [(&str, &str); 7] = [
    ("sound.late", "percent of the sound packets that may come too late, 0 to 50"),
    ("sound.safety", "0 to 100: from the least delay of sound to the least concealment"),
    ("sound.least", "milliseconds that sound waits at least for late packets, 0 to 500"),
    ("picture.ignored", "milliseconds of variation that hold no picture back, 0 to 500"),
    ("picture.share", "percent of the pictures that are to be in time, 50 to 100"),
    ("picture.most", "milliseconds that pictures wait at most, 0 to 2000"),
    (
        "picture.ahead",
        "milliseconds that a picture may be seen before its sound is heard, 0 to 2000 (as early as possible)",
    ),
];

impl FromStr for Policy {
    type Err = Error;

    /// `KEY=VALUE,…`; what is not named stays as it usually is.
    fn from_str(text: &str) -> Result<Self, Error> {
        let mut policy = Self::default();
        for part in text.split(',') {
            let malformed = |text: String| Error::new(Kind::Malformed, text);
            let keys = || KEYS.map(|(key, what)| format!("{key}: {what}")).join("; ");
            let (key, value) =
                part.split_once('=').ok_or_else(|| malformed(format!("say KEY=VALUE, with {}", keys())))?;
            let within = |least: f64, most: f64| {
                let number = value.trim().parse::<f64>().ok().filter(|number| (least..=most).contains(number));
                number.ok_or_else(|| malformed(format!("{key}={value}: a number from {least} to {most} belongs there")))
            };
            let ms = |most| within(0.0, most).map(|ms| Duration::from_secs_f64(ms / 1e3));
            match key.trim() {
                "sound.late" => policy.sound_late = (within(0.0, 50.0)? / 100.0) as f32,
                "sound.safety" => policy.sound_safety = within(0.0, 100.0)? as u8,
                "sound.least" => policy.sound_least = ms(500.0)?,
                "picture.ignored" => policy.picture_ignored = ms(500.0)?,
                "picture.share" => policy.picture_share = within(50.0, 100.0)? as u8,
                "picture.most" => policy.picture_most = ms(2000.0)?,
                "picture.ahead" => policy.picture_ahead = ms(2000.0)?,
                _ => return Err(malformed(format!("nothing is called {key}; there are {}", keys()))),
            }
        }
        Ok(policy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_changes_and_the_rest_stays() {
        let policy: Policy = "sound.late=5,picture.ignored=0".parse().expect("two known keys");
        let expected = Policy { sound_late: 0.05, picture_ignored: Duration::ZERO, ..Policy::default() };
        assert_eq!(policy, expected);
    }

    #[test]
    fn every_key_is_known_and_nothing_else() {
        for (key, _) in KEYS {
            // 50 is what is usual for one of them, and within every range of the others.
            let value = if key == "sound.safety" { 20 } else { 50 };
            let changed: Policy = format!("{key}={value}").parse().expect("within every range");
            assert_ne!(changed, Policy::default(), "{key}");
        }
        for wrong in ["", "sound.late", "sound.late=-1", "sound.late=x", "picture.share=101", "sound.late=1,lunch=2"] {
            let error = wrong.parse::<Policy>().expect_err(wrong);
            assert!(error.kind == Kind::Malformed && !error.text.contains('\n'), "{wrong}: {error}");
        }
    }
}
