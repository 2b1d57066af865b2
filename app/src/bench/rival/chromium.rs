//! Chromium: where it is, which one it is, and a call inside it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use crossbeam_channel::Receiver;
use engine::base::time::{Duration, Instant, WallTime, now};
use engine::media::marker;
use engine::net::impair::Impairment;
use serde::Deserialize;

use super::door::Door;
use super::page::{self, Medium};
use super::process::{Guarded, pause};
use super::relay::Relay;
use crate::markers::Seen;

/// The browser that was found.
#[derive(Clone, Debug)]
pub struct Chromium {
    program: PathBuf,
    /// Name and first number of the version: "Chromium 156".
    pub name: String,
    /// All of what it says of itself.
    pub version: String,
}

/// How a call in it is tuned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tuning {
    /// What any page can have.
    Page,
    /// Pictures are shown as they arrive, and sound devices are asked for little at a time: for that it must be started
    /// with settings that no page has.
    Fastest,
}

/// Names under which Chromium and its siblings are installed.
const NAMES: [&str; 5] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"];

/// What it is started with: no window, nothing that talks to the network by itself, no rest for a page that nobody
/// looks at, addresses instead of names that need a multicast to be resolved. The page is our own, so it needs no
/// sandbox, which does not work in every container.
const FLAGS: [&str; 19] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--no-default-browser-check",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--disable-breakpad",
    "--disable-features=WebRtcHideLocalIpsWithMdns",
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows",
    "--autoplay-policy=no-user-gesture-required",
    "--use-fake-ui-for-media-stream",
    "--window-size=400,300",
];

/// WebRTC's own switch for pictures that are shown as soon as they are decoded.
const FASTEST: &str = "--force-fieldtrials=WebRTC-ForcePlayoutDelay/min_ms:0,max_ms:0/";

/// Samples for which it asks its sound devices at a time. Mouth to ear took 106 ms with its own choice, 79 with 256 and
/// 67 with 128; 64 left gaps in the sound, and the delay grew.
const SHORT_SOUND: &str = "--audio-buffer-size=128";

/// Starting it takes two seconds on a slow machine with cold files; the call in it less than one.
const START: Duration = Duration::from_secs(30);
/// The page speaks twice a second.
const SILENCE: Duration = Duration::from_secs(10);

/// Finds the browser: the one named, or the first of the usual names on the PATH.
pub fn find(named: Option<&Path>) -> Option<PathBuf> {
    if let Some(path) = named {
        // A bare name is a file here as well, not one to be looked for.
        return std::path::absolute(path).ok().filter(|path| path.is_file());
    }
    let folders = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&folders).collect();
    NAMES.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name))).find(|path| path.is_file())
}

/// What the page says.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Said {
    /// Why it gives up.
    failed: Option<String>,
    /// The codec in use, once it is known.
    codec: Option<String>,
    /// Of the received picture.
    size: Option<(u32, u32)>,
    /// Counter, painted, handed to the compositor; microseconds since 1970.
    samples: Vec<(u32, u64, u64)>,
    check: Option<Check>,
}

/// A received picture in small, and what the page read in it.
#[derive(Debug, Deserialize)]
struct Check {
    width: u32,
    height: u32,
    luma: Vec<u8>,
    counter: u32,
    drawn: u64,
}

/// What was seen of a call's pictures.
#[derive(Clone, Debug, Default)]
pub struct Watched {
    pub seen: Vec<Seen>,
    pub codec: Option<String>,
    pub size: Option<(u32, u32)>,
}

impl Watched {
    /// From the first picture that was seen to the last one.
    fn span(&self) -> Duration {
        let (Some(first), Some(last)) = (self.seen.first(), self.seen.last()) else { return Duration::ZERO };
        Duration::from_micros(last.painted.micros_since(first.painted).max(0) as u64)
    }

    /// A call whose pictures come, for `shown` already, and that cannot be concluded would go on for ever: no picture is
    /// checked before the page knows the codec.
    fn come_to_an_end(&self, shown: Duration, time: Duration) -> Result<()> {
        if shown <= time + SILENCE {
            return Ok(());
        }
        let shown = shown.as_secs();
        match &self.codec {
            None => {
                bail!("Chromium has shown pictures for {shown} s and does not say by which codec: please report it")
            }
            Some(_) => bail!(
                "Chromium's call does not come to its end: after {shown} s its pictures span {:.1} of {:.1} s",
                self.span().as_secs_f64(),
                time.as_secs_f64()
            ),
        }
    }
}

impl Chromium {
    /// Asks it for its version.
    ///
    /// # Errors
    /// It cannot be started or is no browser.
    pub fn meet(program: PathBuf, folder: &Path, stop: &Receiver<()>) -> Result<Self> {
        let mut command = Command::new(&program);
        command.arg("--version");
        let mut asked = Guarded::start("Chromium", command, folder)?;
        asked.finish(Duration::from_secs(20), stop)?;
        let said = asked.said();
        let (name, version) = name_of(&said).with_context(|| format!("{} says no version", program.display()))?;
        Ok(Self { program, name, version })
    }

    /// A call in it whose pictures are watched for `time`, and one of them is checked.
    ///
    /// # Errors
    /// It does not start, the call does not come about or to an end, it dies, hangs or reads markers wrongly; `stop` was
    /// told.
    pub fn watch(
        &self,
        tuning: Tuning,
        path: Option<(Impairment, u64)>,
        time: Duration,
        folder: &Path,
        stop: &Receiver<()>,
    ) -> Result<Watched> {
        let mut call = self.call(Medium::Picture, tuning, path, &[], folder)?;
        let (mut watched, mut checked, mut first) = (Watched::default(), false, None::<Instant>);
        while !(watched.span() >= time && checked) {
            let patience = if watched.seen.is_empty() { START } else { SILENCE };
            let Said { codec, size, samples, check, .. } = call.hear(patience, stop)?;
            watched.codec = codec.or(watched.codec);
            watched.size = size.or(watched.size);
            watched.seen.extend(samples.into_iter().map(|(counter, painted, handed)| Seen {
                counter,
                painted: WallTime::from_micros(painted),
                handed: WallTime::from_micros(handed),
                drawn: None,
            }));
            if let Some(check) = check {
                check.verify()?;
                checked = true;
            }
            call.keep_going(&watched)?;
            if !watched.seen.is_empty() {
                let shown = now().saturating_duration_since(*first.get_or_insert_with(now));
                watched.come_to_an_end(shown, time)?;
            }
        }
        Ok(watched)
    }

    /// A call in it that carries sound from the default microphone to the default loudspeaker of `env`, while `during`
    /// runs; the codec it used.
    ///
    /// # Errors
    /// As [`Chromium::watch`], and what `during` gives.
    pub fn carry_sound<T>(
        &self,
        path: Option<(Impairment, u64)>,
        env: &[(String, String)],
        folder: &Path,
        stop: &Receiver<()>,
        during: impl FnOnce() -> Result<T>,
    ) -> Result<(T, Option<String>)> {
        let mut call = self.call(Medium::Sound, Tuning::Fastest, path, env, folder)?;
        let said = call.hear(START, stop)?;
        let result = during();
        // Were it gone, that is why nothing was heard.
        if let Some(status) = call.browser.ended() {
            bail!("Chromium ended during the call ({status})");
        }
        Ok((result?, said.codec))
    }

    fn call(
        &self,
        medium: Medium,
        tuning: Tuning,
        path: Option<(Impairment, u64)>,
        env: &[(String, String)],
        folder: &Path,
    ) -> Result<Call> {
        let relay = path.map(|(impairment, seed)| Relay::start(impairment, seed)).transpose()?;
        let profile = tempfile::Builder::new().prefix("profile").rand_bytes(16).tempdir_in(folder)?;
        // Nobody can guess the folder's name, so it serves as the page's as well.
        let token = profile.path().file_name().context("a folder has a name")?.to_string_lossy().into_owned();
        let door = Door::open(&token, page::resources(medium, relay.as_ref().map(Relay::ports), &token)?)?;
        let mut command = Command::new(&self.program);
        command.args(FLAGS).arg(format!("--user-data-dir={}", profile.path().display()));
        match (medium, tuning) {
            (Medium::Picture, Tuning::Fastest) => _ = command.arg(FASTEST),
            (Medium::Sound, Tuning::Fastest) => _ = command.arg(SHORT_SOUND),
            (_, Tuning::Page) => {}
        }
        command.arg(door.url()?).envs(env.iter().map(|(key, value)| (key, value)));
        let browser = Guarded::start("Chromium", command, folder)?;
        Ok(Call { browser, door, began: now(), _relay: relay, _profile: profile })
    }
}

/// A browser with our page in it. The browser ends before its folder goes.
struct Call {
    browser: Guarded,
    door: Door,
    began: Instant,
    _relay: Option<Relay>,
    _profile: tempfile::TempDir,
}

impl Call {
    fn hear(&mut self, patience: Duration, stop: &Receiver<()>) -> Result<Said> {
        let until = now() + patience;
        while now() < until {
            if let Some(said) = self.door.hear(Duration::from_millis(500), stop)? {
                let said: Said = serde_json::from_slice(&said).context("the page says what nobody understands")?;
                if let Some(why) = said.failed {
                    bail!("the call in Chromium failed: {why}");
                }
                return Ok(said);
            }
            if let Some(status) = self.browser.ended() {
                bail!("Chromium ended before the call was over ({status})");
            }
            pause(stop)?;
        }
        bail!("Chromium hangs: nothing was heard of its call for {} s", patience.as_secs())
    }

    /// A page that speaks and shows no picture would never come to an end.
    fn keep_going(&self, watched: &Watched) -> Result<()> {
        let newest = watched.seen.last().and_then(|seen| seen.painted.to_instant()).unwrap_or(self.began);
        if now().saturating_duration_since(newest) > START {
            bail!("Chromium's call shows no pictures for {} s", START.as_secs());
        }
        Ok(())
    }
}

impl Check {
    /// The engine's own reader sees the same in the picture: both paint and read the same marker.
    fn verify(&self) -> Result<()> {
        let read = marker::read(&self.luma, self.width as usize, self.width, self.height);
        match read {
            Some(marker) if (marker.counter, marker.drawn.as_micros()) == (self.counter, self.drawn) => Ok(()),
            other => bail!(
                "the marker in Chromium's picture reads as {} {} there and as {other:?} here: please report it",
                self.counter,
                self.drawn
            ),
        }
    }
}

/// "Chromium 156.0.8078.108 built on Debian" is Chromium 156.
fn name_of(said: &str) -> Option<(String, String)> {
    let line = said.lines().find(|line| line.contains('.'))?;
    let words: Vec<&str> = line.split_whitespace().collect();
    let at = words.iter().position(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    let major = words[at].split('.').next()?;
    let name = words.get(..at).filter(|name| !name.is_empty())?.join(" ");
    Some((format!("{name} {major}"), line.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_is_known_by_name_and_major_version() {
        let name = |said: &str| name_of(said).map(|(name, _)| name);
        assert_eq!(name("Chromium 156.0.8078.108 built on Debian\n").as_deref(), Some("Chromium 156"));
        assert_eq!(name("Google Chrome 141.0.7390.54 \n").as_deref(), Some("Google Chrome 141"));
        assert_eq!(name("nothing of the kind"), None);
        assert_eq!(name("1.2"), None);
    }

    #[test]
    fn a_call_that_cannot_be_concluded_ends_all_the_same() {
        let seen = |seconds: u64| {
            let painted = WallTime::from_micros(1_795_000_000_000_000 + seconds * 1_000_000);
            Seen { counter: seconds as u32, painted, handed: painted, drawn: None }
        };
        let time = Duration::from_secs(9);
        let mut watched = Watched { seen: (0..=19).map(seen).collect(), ..Default::default() };
        assert_eq!((watched.span(), Watched::default().span()), (Duration::from_secs(19), Duration::ZERO));
        assert!(watched.come_to_an_end(time + SILENCE, time).is_ok());
        let late = time + SILENCE + Duration::from_millis(500);
        let said = |watched: &Watched| watched.come_to_an_end(late, time).expect_err("it is late").to_string();
        assert!(said(&watched).contains("pictures for 19 s") && said(&watched).contains("codec"), "{}", said(&watched));
        watched.codec = Some("video/H264".to_owned());
        watched.seen.truncate(2);
        assert!(said(&watched).ends_with("span 1.0 of 9.0 s"), "{}", said(&watched));
    }

    #[test]
    fn a_marker_that_reads_otherwise_here_is_refused() {
        let mut picture = engine::media::video::Picture::new(320, 180);
        let drawn = WallTime::from_micros(1_795_000_123_456_789);
        marker::paint(&mut picture, marker::Marker { counter: 9, drawn });
        let check =
            |counter| Check { width: 320, height: 180, luma: picture.y.clone(), counter, drawn: drawn.as_micros() };
        assert!(check(9).verify().is_ok());
        assert!(check(8).verify().is_err());
        assert!(Check { luma: Vec::new(), ..check(9) }.verify().is_err());
    }
}
