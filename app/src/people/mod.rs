//! `visavis account`, `pals`, `chat` and `message`: the service from the command line.

pub mod account;
mod admin;
pub mod chat;
mod host;
pub mod message;
mod near;
pub mod pals;
mod secret;

use std::fmt::Display;
use std::sync::Arc;

use anyhow::{Result, anyhow, bail};
use crossbeam_channel::Receiver;
use engine::base::error::{Error, Kind};
use engine::base::time::{Duration, now};
use engine::net::service::https::Failure;
use engine::people::command::{Notice, Outcome, State, Wanted};
use engine::people::direct::Direct;
use engine::people::view::View;
use engine::people::{People, PeopleConfig};
use engine::proto::service::frame::{Ask, Reply};
use engine::proto::service::names::{AccountName, Millis};
use serde::Serialize;

use crate::args::Options;

/// One session, asked step by step.
pub struct Console {
    people: People,
    view: Arc<View>,
    next: u64,
    json: bool,
    run_for: Option<Duration>,
    interrupted: Receiver<()>,
}

/// How a session is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// HTTP alone.
    Requests,
    /// The channels, for what is asked.
    Channels,
    /// The channels, with messages fetched as they come.
    Live,
}

impl Console {
    /// Starts a session of the data folder.
    pub fn open(options: &Options, hold: Hold, interrupted: &Receiver<()>) -> Result<Self> {
        let data = crate::data_folder(options)?;
        let config = PeopleConfig {
            proxies: crate::network::proxies(options, &data)?,
            data,
            name: options.name.clone().unwrap_or_else(crate::own_name),
            channels: hold != Hold::Requests,
            presence: None,
            receive: hold == Hold::Live,
            direct: Direct { is_wanted: !options.relay_only, ..Direct::default() },
        };
        // The console waits for notices itself.
        let people = People::start(config, Arc::new(|| ()))?;
        let (json, run_for) = (options.json, options.run_for);
        Ok(Self { people, view: Arc::default(), next: 1, json, run_for, interrupted: interrupted.clone() })
    }

    /// Asks, and waits for the outcome.
    pub fn ask(&mut self, wanted: Wanted) -> Result<Outcome, Failure> {
        let ticket = self.next;
        self.next += 1;
        let failed = |text: &'static str| Failure::from(Error::new(Kind::Retry, text));
        if !self.people.send(ticket, wanted) {
            return Err(failed("the session takes nothing more"));
        }
        let until = now() + PATIENCE;
        loop {
            match self.notice(LOOK) {
                Some(Notice::Done { ticket: of, outcome }) if of == ticket => return outcome,
                Some(Notice::Trouble(text)) => eprintln!("{text}"),
                Some(_) => {}
                None if self.is_interrupted() => return Err(failed("interrupted")),
                None if now() >= until => return Err(failed("the service did not answer in time")),
                None => {}
            }
        }
    }

    /// Asks on a channel.
    pub fn channel(&mut self, ask: Ask) -> Result<Reply, Failure> {
        match self.ask(Wanted::Ask(Box::new(ask)))? {
            Outcome::Reply(reply) => Ok(*reply),
            _ => Err(Error::new(Kind::Malformed, "the service's answer is of another kind").into()),
        }
    }

    /// The next notice, where one comes in time.
    pub fn notice(&mut self, patience: Duration) -> Option<Notice> {
        self.people.notices().recv_timeout(patience)
    }

    /// What is known at present.
    pub fn view(&mut self) -> Arc<View> {
        if let Some(view) = self.people.view() {
            self.view = view;
        }
        self.view.clone()
    }

    /// Gives each notice to `show`, and now and then none, until the time asked for is over or the person ends it.
    pub fn follow(&mut self, mut show: impl FnMut(&mut Self, Option<Notice>)) {
        let until = self.run_for.map(|time| now() + time);
        loop {
            if self.is_interrupted() || until.is_some_and(|until| now() >= until) {
                return;
            }
            let notice = self.notice(LOOK);
            match &notice {
                Some(Notice::State(state)) => say_state(state),
                Some(Notice::Trouble(text)) => eprintln!("{text}"),
                _ => show(self, notice),
            }
        }
    }

    /// The answer as JSON where that was asked for; else as `text` writes it.
    pub fn print<T: Serialize + ?Sized>(&self, answer: &T, text: impl FnOnce(&T)) -> Result<()> {
        if self.json {
            println!("{}", serde_json::to_string(answer)?);
        } else {
            text(answer);
        }
        Ok(())
    }

    /// Says that it is done, and how.
    pub fn print_done(&self, what: &str) -> Result<()> {
        self.print(&serde_json::json!({ "done": true }), |_| println!("{what}"))
    }

    /// Takes a failure for want of a network as such: `None`, after saying that what is shown may be old.
    pub fn unless_offline<T>(&mut self, asked: Result<T, Failure>) -> Result<Option<T>> {
        match asked {
            Ok(answer) => Ok(Some(answer)),
            Err(failure) if failure.is_passing() && self.view().person.is_some() => {
                eprintln!("{failure}; this is what was known before");
                Ok(None)
            }
            Err(failure) => Err(failure.into()),
        }
    }

    fn is_interrupted(&self) -> bool {
        self.interrupted.try_recv().is_ok()
    }
}

fn say_state(state: &State) {
    match state {
        State::Offline { why } => eprintln!("not connected: {why}"),
        State::Online => eprintln!("connected"),
        State::LoggedOut | State::Nobody => eprintln!("logged out"),
        State::Connecting => {}
    }
}

/// An account's name as somebody wrote it; `@` before it is fine.
pub fn name(text: &str) -> Result<AccountName, String> {
    AccountName::new(text.strip_prefix('@').unwrap_or(text)).map_err(str::to_owned)
}

/// `YYYY-MM-DD hh:mm` in UTC.
pub fn date(at: Millis) -> String {
    let (days, seconds) = (at.0 / 86_400_000, at.0 / 1000 % 86_400);
    // Days since 0000-03-01, in eras of 400 years (Howard Hinnant, "chrono-compatible low-level date algorithms").
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}", seconds / 3600, seconds / 60 % 60)
}

/// An answer of another kind than was asked for.
pub fn unexpected(what: &dyn std::fmt::Debug) -> anyhow::Error {
    anyhow!("the service answered something else: {what:?}")
}

/// A line of columns, padded; the last one as it is.
pub fn columns(parts: &[&dyn Display]) -> String {
    let last = parts.len().saturating_sub(1);
    let padded = parts.iter().enumerate().map(|(n, part)| match n {
        n if n == last => part.to_string(),
        0 => format!("{:<20}", part.to_string()),
        _ => format!("{:<12}", part.to_string()),
    });
    padded.collect::<Vec<_>>().join(" ").trim_end().to_owned()
}

/// What a file holds, at most `most` bytes of it.
pub fn file(path: &std::path::Path, most: usize) -> Result<Vec<u8>> {
    let malformed = |text: String| anyhow::Error::from(Error::new(Kind::Malformed, text));
    let bytes = std::fs::read(path).map_err(|error| malformed(format!("cannot read {}: {error}", path.display())))?;
    if bytes.len() > most {
        bail!("{} is longer than {} KiB", path.display(), most / 1024);
    }
    Ok(bytes)
}

/// A service may hash passwords one after another, and a message may be megabytes.
const PATIENCE: Duration = Duration::from_secs(150);

/// How long Ctrl-C may go unnoticed.
const LOOK: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_people_write_them() {
        for (ms, text) in [
            (0, "1970-01-01 00:00"),
            (951_782_400_000, "2000-02-29 00:00"),
            (1_795_806_000_000, "2026-11-27 19:00"),
            (4_107_542_399_000, "2100-02-28 23:59"),
        ] {
            assert_eq!(date(Millis(ms)), text);
        }
    }
}
