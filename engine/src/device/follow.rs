//! Which device one side of the sound should have open: the chosen one while it is there, else the system's default,
//! whichever that is. Decides only; who asks it opens and closes.

use super::list::{DeviceEntry, named};
use crate::base::time::{Duration, Instant};

/// One side's choice, what is open, and what was tried.
#[derive(Clone, Debug, Default)]
pub struct Follow {
    /// By name or id; `None`: the system's default.
    wanted: Option<String>,
    /// With the time since when.
    open: Option<(DeviceEntry, Instant)>,
    /// True where it is the wanted one.
    opening: Option<bool>,
    /// Another choice was made since the open one was opened.
    renew: bool,
    /// The wanted one is not there, or does not want; the default stands in.
    away: bool,
    failures: u32,
    again: Option<Instant>,
    /// The wanted one refused so often, and is left alone until then.
    refusals: u32,
    shun: Option<Instant>,
    /// The one before, if there was one since [`Follow::close`].
    before: Option<DeviceEntry>,
}

/// What there is to choose from, and when that was looked at.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen<'a> {
    pub devices: &'a [DeviceEntry],
    pub default: Option<&'a DeviceEntry>,
    pub looked: Option<Instant>,
}

/// What a person is told about a device that was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    Nothing,
    /// Another one than before.
    Now(String),
    /// The chosen one is back.
    Back(String),
    /// The chosen one is not there, this one is used meanwhile.
    StandsIn {
        wanted: String,
        name: String,
    },
}

/// Tries of a device that does not open, with pauses that double from 250 ms to 8 s: half a minute in all. Then only a change
/// of what is plugged in begins anew.
const MOST: u32 = 8;
/// A device that was open for so long was not opened in vain.
const STEADY: Duration = Duration::from_secs(10);

impl Follow {
    /// From now on this one, by name or id; `None`: the system's default.
    pub fn want(&mut self, name: Option<String>) {
        let (open, before) = (self.open.take(), self.before.take());
        *self = Self { wanted: name, renew: open.is_some(), open, before, ..Self::default() };
    }

    /// The device to open now, if any: by name or id, or the default. One of [`Follow::opened`] and [`Follow::failed`] must
    /// follow.
    pub fn next(&mut self, now: Instant, seen: Seen<'_>) -> Option<Option<String>> {
        let waits = self.again.is_some_and(|at| at > now) || self.failures > MOST;
        if self.opening.is_some() || (waits && !self.renew) {
            return None;
        }
        let target = self.target(now, seen)?;
        self.opening = Some(self.wanted.is_none() || target.is_some());
        (self.renew, self.again) = (false, None);
        Some(target)
    }

    /// The device that [`Follow::next`] named is open.
    pub fn opened(&mut self, entry: DeviceEntry, now: Instant) -> News {
        let is_wanted = self.opening.take().unwrap_or(true);
        let was_away = std::mem::replace(&mut self.away, !is_wanted);
        let before = self.before.replace(entry.clone());
        let name = entry.name.clone();
        self.open = Some((entry, now));
        match &self.wanted {
            Some(_) if is_wanted && was_away && before.is_some() => News::Back(name),
            Some(wanted) if !is_wanted => News::StandsIn { wanted: wanted.clone(), name },
            _ if before.is_some_and(|before| before.id != self.id()) => News::Now(name),
            _ => News::Nothing,
        }
    }

    /// It could not be opened. True when a person should hear why: the pauses after it are not worth a word each.
    pub fn failed(&mut self, now: Instant) -> bool {
        let is_wanted = self.opening.take().unwrap_or(true);
        if is_wanted && self.wanted.is_some() {
            self.refusals += 1;
            self.shun = Some(now + pause(self.refusals));
            return !std::mem::replace(&mut self.away, true);
        }
        self.failures += 1;
        self.again = Some(now + pause(self.failures));
        self.failures == 1
    }

    /// What was open is gone. Its name.
    pub fn lost(&mut self, now: Instant) -> Option<String> {
        let (entry, since) = self.open.take()?;
        self.failures = if now.saturating_duration_since(since) < STEADY { self.failures + 1 } else { 0 };
        self.again = Some(now + pause(self.failures));
        Some(entry.name)
    }

    /// Something was plugged in or out: what was tried in vain is tried again.
    pub fn changed(&mut self) {
        (self.failures, self.refusals, self.again, self.shun) = (0, 0, None, None);
    }

    /// Nobody needs the device any more.
    pub fn close(&mut self) {
        *self = Self { wanted: self.wanted.take(), ..Self::default() };
    }

    /// What is open.
    pub fn device(&self) -> Option<&DeviceEntry> {
        self.open.as_ref().map(|(entry, _)| entry)
    }

    /// When the next try is due.
    pub const fn next_due(&self) -> Option<Instant> {
        self.again
    }

    fn target(&self, now: Instant, seen: Seen<'_>) -> Option<Option<String>> {
        let wanted = self.wanted.as_deref();
        let may_try = self.refusals <= MOST && self.shun.is_none_or(|at| at <= now);
        let is_there = wanted.is_some_and(|name| named(seen.devices, name).is_some());
        let Some((open, since)) = self.open.as_ref().filter(|_| !self.renew) else {
            let stands_in = self.away && !(is_there && may_try);
            return Some(self.wanted.clone().filter(|_| !stands_in));
        };
        // A look from before it was opened tells nothing about it.
        seen.looked.filter(|at| at > since)?;
        if wanted.is_some() && self.away && is_there && may_try {
            return Some(self.wanted.clone());
        }
        if wanted.is_some() && !self.away {
            // The server may have moved its sound to another device already. A device of another host is not listed at all.
            let is_listed = seen.devices.iter().any(|entry| entry.id == open.id);
            let is_judged = seen.default.is_some_and(|default| default.host == open.host);
            return (is_judged && !is_listed).then_some(None);
        }
        seen.default.filter(|default| (&default.host, &default.id) != (&open.host, &open.id)).map(|_| None)
    }

    fn id(&self) -> &str {
        self.open.as_ref().map_or("", |(entry, _)| &entry.id)
    }
}

/// Before the try after so many in vain.
fn pause(tries: u32) -> Duration {
    if tries == 0 { Duration::ZERO } else { Duration::from_millis(250 << (tries - 1).min(5)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::now;

    fn entry(name: &str) -> DeviceEntry {
        DeviceEntry { host: "PulseAudio".into(), name: name.into(), id: format!("id-{name}") }
    }

    struct Desk {
        devices: Vec<DeviceEntry>,
        default: DeviceEntry,
        at: Instant,
    }

    impl Desk {
        fn new(names: &[&str], default: &str) -> Self {
            let devices = names.iter().copied().map(entry).collect();
            Self { devices, default: entry(default), at: now() }
        }

        fn later(&mut self, ms: u64) -> Instant {
            self.at += Duration::from_millis(ms);
            self.at
        }

        /// As seen just now.
        fn ask(&self, follow: &mut Follow) -> Option<Option<String>> {
            let seen = Seen { devices: &self.devices, default: Some(&self.default), looked: Some(self.at) };
            follow.next(self.at, seen)
        }
    }

    fn named(name: &str) -> Option<Option<String>> {
        Some(Some(name.to_owned()))
    }

    #[test]
    fn the_default_is_followed_when_it_changes() {
        let (mut desk, mut follow) = (Desk::new(&["desk", "head"], "desk"), Follow::default());
        assert_eq!(desk.ask(&mut follow), Some(None));
        assert_eq!(desk.ask(&mut follow), None, "it is being opened");
        assert_eq!(follow.opened(entry("desk"), desk.at), News::Nothing);
        desk.later(500);
        assert_eq!(desk.ask(&mut follow), None);
        desk.default = entry("head");
        assert_eq!(desk.ask(&mut follow), Some(None));
        assert_eq!(follow.opened(entry("head"), desk.at), News::Now("head".into()));
        assert_eq!(desk.ask(&mut follow), None, "that look is from before it was opened");
    }

    #[test]
    fn a_named_device_that_vanishes_is_stood_in_for_until_it_is_back() {
        let (mut desk, mut follow) = (Desk::new(&["desk", "head"], "desk"), Follow::default());
        follow.want(Some("head".into()));
        assert_eq!(desk.ask(&mut follow), named("head"));
        assert_eq!(follow.opened(entry("head"), desk.at), News::Nothing);
        desk.later(500);
        // The server has moved the sound: the stream goes on, the device is not in the list any more.
        desk.devices.truncate(1);
        assert_eq!(desk.ask(&mut follow), Some(None));
        let stands_in = News::StandsIn { wanted: "head".into(), name: "desk".into() };
        assert_eq!(follow.opened(entry("desk"), desk.at), stands_in);
        desk.later(500);
        assert_eq!(desk.ask(&mut follow), None);
        desk.devices.push(entry("head"));
        follow.changed();
        assert_eq!(desk.ask(&mut follow), named("head"));
        assert_eq!(follow.opened(entry("head"), desk.at), News::Back("head".into()));
        desk.later(500);
        assert_eq!(desk.ask(&mut follow), None);
    }

    #[test]
    fn a_lost_device_that_is_still_listed_is_tried_once_before_the_default() {
        let (mut desk, mut follow) = (Desk::new(&["desk", "head"], "desk"), Follow::default());
        follow.want(Some("head".into()));
        desk.ask(&mut follow);
        follow.opened(entry("head"), desk.at);
        desk.later(20_000);
        assert_eq!(follow.lost(desk.at), Some("head".into()));
        assert_eq!(desk.ask(&mut follow), named("head"));
        assert!(follow.failed(desk.at));
        assert_eq!(desk.ask(&mut follow), Some(None), "at once");
        follow.opened(entry("desk"), desk.at);
        desk.later(100);
        assert_eq!(desk.ask(&mut follow), None, "it refused a moment ago");
        desk.later(200);
        assert_eq!(desk.ask(&mut follow), named("head"));
        assert!(!follow.failed(desk.at), "said before");
    }

    #[test]
    fn tries_are_bounded_their_pauses_double_and_a_change_begins_anew() {
        let (mut desk, mut follow) = (Desk::new(&[], "none"), Follow::default());
        let start = desk.at;
        let mut tries = Vec::new();
        for _ in 0..100_000 {
            if desk.ask(&mut follow) == Some(None) {
                tries.push(desk.at.saturating_duration_since(start).as_millis());
                assert_eq!(follow.failed(desk.at), tries.len() == 1, "said once");
            }
            desk.later(10);
        }
        assert_eq!(tries, [0, 250, 750, 1750, 3750, 7750, 15_750, 23_750, 31_750]);
        follow.changed();
        assert_eq!(desk.ask(&mut follow), Some(None));
        assert_eq!(follow.opened(entry("desk"), desk.at), News::Nothing);
    }

    #[test]
    fn one_that_is_lost_as_soon_as_it_is_open_is_not_opened_for_ever() {
        let (mut desk, mut follow) = (Desk::new(&["desk"], "desk"), Follow::default());
        let mut tries = 0;
        for _ in 0..100_000 {
            if desk.ask(&mut follow).is_some() {
                tries += 1;
                follow.opened(entry("desk"), desk.at);
                assert!(follow.lost(desk.at).is_some());
            }
            desk.later(10);
        }
        assert_eq!(tries, MOST + 1);
    }

    #[test]
    fn another_choice_is_opened_at_once_and_one_that_is_not_there_leaves_the_open_one() {
        let (mut desk, mut follow) = (Desk::new(&["desk", "head"], "desk"), Follow::default());
        desk.ask(&mut follow);
        follow.opened(entry("desk"), desk.at);
        follow.want(Some("head".into()));
        assert_eq!(desk.ask(&mut follow), named("head"));
        assert_eq!(follow.opened(entry("head"), desk.at), News::Now("head".into()));
        follow.want(Some("trumpet".into()));
        assert_eq!(desk.ask(&mut follow), named("trumpet"));
        assert!(follow.failed(desk.at));
        assert_eq!(follow.device().map(|open| open.name.as_str()), Some("head"));
        desk.later(500);
        assert_eq!(desk.ask(&mut follow), Some(None), "the default stands in");
    }

    #[test]
    fn a_device_of_a_host_that_is_not_listed_is_left_alone() {
        let (mut desk, mut follow) = (Desk::new(&["desk"], "desk"), Follow::default());
        follow.want(Some("hw:1".into()));
        desk.ask(&mut follow);
        follow.opened(DeviceEntry { host: "ALSA".into(), ..entry("hw:1") }, desk.at);
        desk.later(500);
        assert_eq!(desk.ask(&mut follow), None);
    }
}
