//! A path worse than the one there is: later, uneven, lossy, narrow, at times gone. The same description serves the
//! socket (`--impair`), the laboratory's virtual links, and tests; with the same seed it does the same.

pub mod path;
pub mod port;

use std::fmt;
use std::str::FromStr;

use crate::base::rate::Bitrate;
use crate::base::time::Duration;

/// What a direction does to its datagrams. Both directions are alike and independent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Impairment {
    /// One way, in the middle of what `jitter` varies.
    pub delay: Duration,
    /// The delay wanders this far to both sides, a new way each 100 ms. Datagrams keep their order.
    pub jitter: Duration,
    /// Share of the datagrams lost, 0 to 1.
    pub loss: f32,
    /// How many are lost in a row, on average; 1: each by itself.
    pub burst: f32,
    /// What the narrowest place carries, headers included.
    pub rate: Option<Bitrate>,
    /// How long that place's queue is before it drops.
    pub queue: Duration,
    /// Share of the datagrams that overtake the one before.
    pub reorder: f32,
    /// Share that comes twice.
    pub duplicate: f32,
    pub spell: Option<Spell>,
}

/// A bad time that comes back: the last part of each period.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spell {
    pub period: Duration,
    pub lasts: Duration,
    /// Share lost meanwhile, beside what is lost anyway.
    pub loss: f32,
}

impl Impairment {
    /// Does nothing.
    pub const NONE: Self = Self {
        delay: Duration::ZERO,
        jitter: Duration::ZERO,
        loss: 0.0,
        burst: 1.0,
        rate: None,
        queue: Duration::from_millis(200),
        reorder: 0.0,
        duplicate: 0.0,
        spell: None,
    };

    /// The profile called `name`.
    pub fn profile(name: &str) -> Option<Self> {
        PROFILES.iter().find(|(known, ..)| *known == name).map(|(_, impairment, _)| *impairment)
    }

    /// From the first datagram until the narrow place drops: what is in flight counts with the queue.
    fn longest(&self) -> Duration {
        self.delay + self.jitter + self.queue
    }
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// The named paths: name, what they do, and the same in words.
pub const PROFILES: [(&str, Impairment, &str); 7] = [
    ("lan", Impairment { delay: ms(1), ..Impairment::NONE }, "1 ms"),
    ("home", Impairment { delay: ms(20), jitter: ms(5), loss: 0.005, ..Impairment::NONE }, "20 ±5 ms, 0.5 % lost"),
    (
        "bad",
        Impairment { delay: ms(80), jitter: ms(40), loss: 0.05, reorder: 0.01, ..Impairment::NONE },
        "80 ±40 ms, 5 % lost, 1 % out of order",
    ),
    (
        "burst",
        Impairment { spell: Some(Spell { period: ms(20_000), lasts: ms(2_000), loss: 1.0 }), ..Impairment::NONE },
        "nothing for 2 s of every 20 s",
    ),
    (
        "thin",
        Impairment { rate: Some(Bitrate::from_kbps(500)), queue: ms(1_000), ..Impairment::NONE },
        "500 kbit/s with a queue of 1 s",
    ),
    (
        "spiky",
        Impairment { spell: Some(Spell { period: ms(20_000), lasts: ms(10_000), loss: 0.3 }), ..Impairment::NONE },
        "10 s good, 10 s with 30 % lost",
    ),
    (
        "international",
        Impairment { delay: ms(250), jitter: ms(100), loss: 0.1, burst: 4.0, ..Impairment::NONE },
        "250 ±100 ms, 10 % lost, four in a row",
    ),
];

/// Why a description was not understood: a line for the person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadImpairment(String);

impl fmt::Display for BadImpairment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadImpairment {}

/// `NAME`, or `KEY=VALUE,…`, or a name with values that differ from it: `home,loss=3`. Milliseconds, percent, kbit/s,
/// milliseconds of queue; `burst` is a number of datagrams.
impl FromStr for Impairment {
    type Err = BadImpairment;

    fn from_str(text: &str) -> Result<Self, BadImpairment> {
        let mut impairment = Self::NONE;
        for (index, word) in text.split(',').enumerate() {
            let word = word.trim();
            match word.split_once('=') {
                Some((key, value)) => impairment.set(key.trim(), value.trim())?,
                None if index == 0 => impairment = Self::profile(word).ok_or_else(|| unknown_profile(word))?,
                None => return Err(BadImpairment(format!("{word:?} is no KEY=VALUE; keys are {KEYS}"))),
            }
        }
        Ok(impairment)
    }
}

/// As it is read: the name of a path, and what differs from it.
impl fmt::Display for Impairment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let same = PROFILES.iter().find(|(_, path, _)| path == self);
        // Spells have no key: they come with a name.
        let alike =
            same.or_else(|| PROFILES.iter().find(|(_, path, _)| self.spell.is_some() && path.spell == self.spell));
        let (name, base) = alike.map_or(("", Self::NONE), |(name, path, _)| (*name, *path));
        f.write_str(name)?;
        let mut comma = if name.is_empty() { "" } else { "," };
        for (key, value) in KEYS.split(", ").map(|key| (key, self.value(key))) {
            if let Some(value) = value.filter(|value| base.value(key) != Some(*value)) {
                write!(f, "{comma}{key}={}", (value * 1e4).round() / 1e4)?;
                comma = ",";
            }
        }
        // Of nothing at all something has to be said.
        if name.is_empty() && comma.is_empty() { f.write_str("delay=0") } else { Ok(()) }
    }
}

const KEYS: &str = "delay, jitter, loss, burst, rate, queue, reorder, dup";

fn unknown_profile(word: &str) -> BadImpairment {
    let names: Vec<&str> = PROFILES.iter().map(|(name, ..)| *name).collect();
    BadImpairment(format!("no path named {word:?}: there are {}; or say KEY=VALUE,… of {KEYS}", names.join(", ")))
}

impl Impairment {
    /// What stands behind a key, in its unit.
    fn value(&self, key: &str) -> Option<f64> {
        let ms = |time: Duration| Some(time.as_secs_f64() * 1e3);
        let percent = |share: f32| Some(f64::from(share) * 100.0);
        match key {
            "delay" => ms(self.delay),
            "jitter" => ms(self.jitter),
            "loss" => percent(self.loss),
            "burst" => Some(self.burst.into()),
            "rate" => self.rate.map(|rate| rate.as_bps() as f64 / 1e3),
            "queue" => ms(self.queue),
            "reorder" => percent(self.reorder),
            "dup" => percent(self.duplicate),
            _ => None,
        }
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), BadImpairment> {
        let number = |least: f64, most: f64, unit: &str| match value.parse::<f64>() {
            Ok(number) if (least..=most).contains(&number) => Ok(number),
            _ => Err(BadImpairment(format!("{key}={value}: say a number from {least} to {most}{unit}"))),
        };
        let time = |most: f64| number(0.0, most, " ms").map(|ms| Duration::from_secs_f64(ms / 1e3));
        let share = || number(0.0, 100.0, " %").map(|percent| percent as f32 / 100.0);
        match key {
            "delay" => self.delay = time(10_000.0)?,
            "jitter" => self.jitter = time(10_000.0)?,
            "loss" => self.loss = share()?,
            "burst" => self.burst = number(1.0, 1000.0, " datagrams")? as f32,
            "rate" => self.rate = Some(Bitrate::from_bps((number(8.0, 10_000_000.0, " kbit/s")? * 1e3) as u64)),
            "queue" => self.queue = time(10_000.0)?,
            // The library moves one of every so many.
            "reorder" => self.reorder = number(0.0, 50.0, " %")? as f32 / 100.0,
            "dup" => self.duplicate = share()?,
            _ => return Err(BadImpairment(format!("no key named {key:?}: there are {KEYS}"))),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_values_and_names_with_values_are_read() {
        let home = Impairment::profile("home").expect("known");
        assert_eq!("home".parse(), Ok(home));
        assert_eq!("home,loss=3".parse(), Ok(Impairment { loss: 0.03, ..home }));
        let free = "delay=80,jitter=40,loss=5,burst=2,rate=500,queue=1000,reorder=1,dup=1";
        let expected = Impairment {
            delay: ms(80),
            jitter: ms(40),
            loss: 0.05,
            burst: 2.0,
            rate: Some(Bitrate::from_kbps(500)),
            queue: ms(1000),
            reorder: 0.01,
            duplicate: 0.01,
            spell: None,
        };
        assert_eq!(free.parse(), Ok(expected));
    }

    #[test]
    fn what_is_written_is_read_as_the_same() {
        let all = "delay=80,jitter=40,loss=5,burst=2,rate=500,queue=1000,reorder=1,dup=1";
        for text in ["lan", "spiky", "burst,delay=7.5", "loss=0.5", all, "delay=0"] {
            let path: Impairment = text.parse().expect("known");
            assert_eq!(path.to_string(), text);
            assert_eq!(path.to_string().parse(), Ok(path));
        }
        assert_eq!("home,loss=0.5,delay=20".parse::<Impairment>().expect("known").to_string(), "home");
    }

    #[test]
    fn what_is_not_understood_is_said_in_one_line() {
        for (text, named) in [
            ("hom", "there are lan, home,"),
            ("home,bad", "is no KEY=VALUE"),
            ("delay=-1", "from 0 to 10000 ms"),
            ("loss=101", "from 0 to 100 %"),
            ("loss=much", "from 0 to 100 %"),
            ("speed=1", "no key named \"speed\""),
            ("", "no path named \"\""),
            ("rate=NaN", "from 8 to"),
        ] {
            let error = text.parse::<Impairment>().expect_err(text).to_string();
            assert!(error.contains(named) && !error.contains('\n'), "{text}: {error}");
        }
    }
}
