//! The chirp rig: plays chirps on one device and finds them on another.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crossbeam_channel::Receiver;
use engine::base::error::{Error, Kind, Result};
use engine::base::pipe::{PipeReceiver, pipe};
use engine::base::stereo::{both, to_mono};
use engine::base::time::{Duration, Instant, WallTime, now};
use engine::device::{Backend, Loudspeaker, Microphone, MicrophoneSpec, SpeakerSpec};
use engine::media::chirp::{ChirpFinder, ChirpSource, PERIOD_MICROS, VARIANTS};
use engine::media::summary::Samples;

/// What to measure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The loudspeaker that chirps are played to.
    pub out: String,
    /// The microphone at which they are looked for.
    pub input: String,
    /// Ends when so many were heard whole, …
    pub count: u64,
    /// … or after this long.
    pub patience: Duration,
    /// The only sound system to use.
    pub host: Option<Backend>,
}

/// What was heard so far.
#[derive(Debug, Default)]
pub struct Heard {
    /// From the loudspeaker to the microphone, in milliseconds.
    pub delays: Samples,
    /// Chirps that sound like another than the one that was played, because something is missing in them or was added:
    /// they tell no delay.
    pub spoilt: u64,
    /// Chirps that were played once the devices were steady and long enough ago to be heard: so many would have been heard
    /// if none was lost.
    pub played: u64,
    /// Delays about the same as each other that do not count yet.
    pending: Vec<f64>,
    /// The newest delay that counts.
    newest: Option<f64>,
    /// Whether the last one that was heard counts.
    is_unbroken: bool,
}

/// Plays and listens until the plan is over, or `stop` is told. `progress` is called after each chirp.
///
/// # Errors
/// `Gone` where there is no such device (the text names those there are) or one is lost on the way; `Reopen` and
/// `Refused` where it cannot be used.
pub fn measure(plan: &Plan, stop: &Receiver<()>, progress: impl FnMut(&Heard)) -> Result<Heard> {
    let begun = now();
    let microphone = Microphone::open_on(plan.host, &MicrophoneSpec::Named(plan.input.clone()), false, begun)?;
    let over = Arc::new(AtomicBool::new(false));
    let (player, played) = play_chirps(plan, over.clone())?;
    let heard = listen(plan, begun, microphone, &player, &played, stop, progress);
    over.store(true, Ordering::Relaxed);
    player.join().map_err(|_| Error::new(Kind::Gone, "the player of the chirps panicked"))??;
    heard
}

fn listen(
    plan: &Plan,
    begun: Instant,
    mut microphone: Microphone,
    player: &Player,
    played: &PipeReceiver<Played>,
    stop: &Receiver<()>,
    mut progress: impl FnMut(&Heard),
) -> Result<Heard> {
    let mut finder = ChirpFinder::new();
    let mut recent = VecDeque::with_capacity(RECENT);
    let (mut sound, mut middle, mut heard) = (Vec::new(), Vec::new(), Heard::default());
    let (mut counted, mut until) = (0, begun);
    let steady = begun + UNSTEADY;
    let is_over = |heard: &Heard| heard.delays.len() >= plan.count || now() >= begun + plan.patience;
    // A player that ends by itself has lost its device, and says so when it is joined.
    while !is_over(&heard) && !player.is_finished() && stop.try_recv().is_err() {
        while let Some(chirp) = played.try_recv() {
            counted += u64::from(chirp.at >= steady);
            recent.truncate(RECENT - 1);
            recent.push_front(Played { number: counted, ..chirp });
        }
        sound.clear();
        let first = microphone.take(now(), &mut sound);
        if !sound.is_empty() {
            until = first + time_of(sound.len() as u64);
        }
        to_mono(&sound, &mut middle);
        finder.push(&middle, first, |found| {
            let is_it = |chirp: &&Played| chirp.variant == found.variant && chirp.at <= found.at + AHEAD;
            match recent.iter().find(is_it) {
                Some(chirp) if chirp.at < steady => return,
                Some(chirp) => heard.take(chirp.number, milliseconds(chirp.at, found.at)),
                None if found.at < steady => return,
                None => heard.spoilt += 1,
            }
            progress(&heard);
        });
        if microphone.lost() {
            return Err(Error::new(Kind::Gone, format!("the microphone {} was lost", plan.input)));
        }
        wait_for_next(microphone.next_due(now()));
    }
    heard.conclude(&recent, until);
    Ok(heard)
}

/// The first chirps belong to the start: no device's estimate of its own delay is steady yet.
const UNSTEADY: Duration = Duration::from_secs(3);
/// Chirps that were played and may still be heard: one of each kind, and the one that comes next.
const RECENT: usize = VARIANTS as usize + 1;
/// The two devices' estimates may differ by so much that a chirp is heard before it is played.
const AHEAD: Duration = Duration::from_millis(50);
/// A chirp is found 70 ms after its first sample was heard; the rest is for a delay that grows.
const FOUND: Duration = Duration::from_millis(100);
/// Half of the time between two chirps, in milliseconds. A chirp taken for another one is wrong by a whole number of
/// such times.
const APART: f64 = PERIOD_MICROS as f64 / 2e3;
/// A delay that is quite another than before counts when so many chirps in a row say so.
const STAYS: usize = 4;

impl Heard {
    /// A delay counts when the chirp before it or the one after it has about the same, and one that is quite another
    /// than what counted before when it stays: what was taken for another chirp than it is tells no delay. Those that
    /// were played before this one should have been heard before it.
    fn take(&mut self, number: u64, delay: f64) {
        self.played = self.played.max(number);
        let is_alike = |other: &f64| (other - delay).abs() < APART;
        let needed = match &self.newest {
            Some(newest) if is_alike(newest) && self.is_unbroken => 1,
            Some(newest) if !is_alike(newest) => STAYS,
            _ => 2,
        };
        if !self.pending.last().is_none_or(is_alike) {
            self.spoilt += self.pending.len() as u64;
            self.pending.clear();
        }
        self.pending.push(delay);
        self.is_unbroken = self.pending.len() >= needed;
        if self.is_unbroken {
            self.pending.drain(..).for_each(|delay| self.delays.push(delay));
            self.newest = Some(delay);
        }
    }

    /// Nothing comes after the newest one, with what was played last and the end of what was listened to. A chirp that
    /// may have been under way still, as the longest delay says, is not lost.
    fn conclude(&mut self, recent: &VecDeque<Played>, until: Instant) {
        self.spoilt += self.pending.drain(..).count() as u64;
        let longest = self.delays.summary().map_or(0.0, |delays| delays.max.max(0.0));
        let takes = Duration::from_secs_f64(longest / 1e3) + FOUND;
        let due = recent.iter().find(|chirp| chirp.at + takes <= until);
        self.played = self.played.max(due.map_or(0, |chirp| chirp.number));
    }

    /// The newest delay that counts, in milliseconds; `None` where what was heard last does not count yet.
    pub fn newest(&self) -> Option<f64> {
        self.newest.filter(|_| self.is_unbroken)
    }
}

/// From `a` to `b`; negative where `b` was before.
fn milliseconds(a: Instant, b: Instant) -> f64 {
    (b.saturating_duration_since(a).as_secs_f64() - a.saturating_duration_since(b).as_secs_f64()) * 1e3
}

/// How long so many samples take.
fn time_of(samples: u64) -> Duration {
    Duration::from_nanos(samples * 1_000_000_000 / 48_000)
}

/// The device's callbacks wake nobody.
fn wait_for_next(due: Option<Instant>) {
    let at = now();
    std::thread::sleep(due.unwrap_or(at + Duration::from_millis(2)).saturating_duration_since(at));
}

/// A chirp, and when its first sample leaves the loudspeaker.
#[derive(Clone, Copy, Debug)]
struct Played {
    variant: u8,
    at: Instant,
    /// The first one that counts is 1; 0 before that. Who listens gives it.
    number: u64,
}

type Player = JoinHandle<Result<()>>;

/// Plays chirps without a break and tells when each will be heard, by what the loudspeaker said of the samples it
/// begins among. So neither a gap in the playing nor the device's clock needs to be made good for.
fn play_chirps(plan: &Plan, over: Arc<AtomicBool>) -> Result<(Player, PipeReceiver<Played>)> {
    let (out, host) = (plan.out.clone(), plan.host);
    // Two a second, and the other side looks every few milliseconds.
    let (tell, played) = pipe(64);
    let play = move || {
        let mut speaker = Loudspeaker::open_on(host, &SpeakerSpec::Named(out.clone()), false, now())?;
        let mut source = ChirpSource::new(WallTime::of(now()));
        let schedule = source.clone();
        let (mut samples, mut sound, mut pushed) = (Vec::new(), Vec::new(), 0u64);
        let (mut variant, mut begins) = schedule.next_after(0);
        while !over.load(Ordering::Relaxed) {
            let wanted = speaker.deficit(now());
            samples.resize(wanted, 0.0);
            source.fill(&mut samples);
            if wanted > 0 {
                sound.clear();
                sound.extend(samples.iter().copied().map(both));
                let plays = speaker.push(&sound, now());
                let end = pushed + wanted as u64;
                while begins < end {
                    let at = plays + time_of(begins - pushed);
                    // Were the other side gone, `over` would come next.
                    let _ = tell.try_send(Played { variant, at, number: 0 });
                    (variant, begins) = schedule.next_after(begins + 1);
                }
                pushed = end;
            }
            if speaker.lost() {
                return Err(Error::new(Kind::Gone, format!("the loudspeaker {out} was lost")));
            }
            wait_for_next(speaker.next_due(now()));
        }
        Ok(())
    };
    let player = std::thread::Builder::new().name("chirps".into()).spawn(play);
    let player = player.map_err(|error| Error::new(Kind::Retry, format!("cannot start the thread chirps: {error}")))?;
    Ok((player, played))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(delays: &[f64]) -> (u64, u64, Option<f64>) {
        let mut heard = Heard::default();
        delays.iter().for_each(|delay| heard.take(1, *delay));
        heard.conclude(&VecDeque::new(), now());
        (heard.delays.len(), heard.spoilt, heard.delays.summary().map(|summary| summary.max))
    }

    #[test]
    fn a_chirp_taken_for_another_tells_no_delay() {
        assert_eq!(heard(&[]), (0, 0, None));
        assert_eq!(heard(&[100.0, 101.0, 99.0]), (3, 0, Some(101.0)));
        for spoilt in [[1600.0, 100.0, 101.0], [100.0, 1600.0, 101.0], [100.0, 101.0, 1600.0]] {
            let (whole, lone, _) = heard(&spoilt);
            assert_eq!(whole + lone, 3, "{spoilt:?}");
            assert!(lone >= 1, "{spoilt:?}");
        }
        assert_eq!(heard(&[100.0, 101.0, 1600.0, 102.0, 100.0]), (4, 1, Some(102.0)));
    }

    /// How many of twenty chirps count as played, of which these were heard after 400 ms, when listening ended so many
    /// milliseconds after the last one was played.
    fn played(numbers: &[u64], after: u64) -> u64 {
        let start = now();
        let at = |number: u64| start + Duration::from_millis(number * 500);
        let chirp = |number| Played { variant: (number % u64::from(VARIANTS)) as u8, at: at(number), number };
        let recent = (0..=20).rev().take(RECENT).map(chirp).collect();
        let mut heard = Heard::default();
        numbers.iter().for_each(|number| heard.take(*number, 400.0));
        heard.conclude(&recent, at(20) + Duration::from_millis(after));
        heard.played
    }

    #[test]
    fn a_chirp_that_was_lost_was_played_and_one_under_way_was_not_lost() {
        let all: Vec<u64> = (1..=20).collect();
        assert_eq!(played(&all, 450), 20);
        let half: Vec<u64> = (1..=19).step_by(2).collect();
        // The last one was still under way, then it was lost.
        assert_eq!((played(&half, 450), played(&half, 550)), (19, 20));
        // All of the second half, or of all that there were.
        assert_eq!((played(&all[..10], 550), played(&all[..10], 0)), (20, 19));
        assert_eq!((played(&[], 0), played(&[], 100)), (19, 20));
    }

    #[test]
    fn a_delay_that_grows_and_stays_is_measured() {
        assert_eq!(heard(&[100.0, 100.0, 900.0, 901.0, 902.0, 901.0]), (6, 0, Some(902.0)));
        // The same twice by chance.
        assert_eq!(heard(&[100.0, 100.0, 2600.0, 2601.0, 101.0, 102.0]), (4, 2, Some(102.0)));
    }
}
