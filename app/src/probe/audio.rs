//! The chirp rig: plays chirps on one device and finds them on another.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use engine::base::error::{Error, Kind, Result};
use engine::base::pipe::{PipeReceiver, pipe};
use engine::base::time::{Duration, Instant, WallTime, now};
use engine::device::{Loudspeaker, Microphone, MicrophoneSpec, SpeakerSpec};
use engine::media::chirp::{ChirpFinder, ChirpSource};
use engine::media::summary::Samples;

/// What the rig heard.
#[derive(Debug, Default)]
pub struct Heard {
    /// From the loudspeaker to the microphone, in milliseconds.
    pub delays: Samples,
    /// Chirps with a hole in them: they sound like another than the one that was played, so they tell no delay.
    pub spoilt: u64,
}

/// Plays chirps to the loudspeaker `mouth` and hears them at the microphone `ear` until `count` were heard or
/// `patience` is over. This process must have the server's environment.
///
/// # Errors
/// A device cannot be opened.
pub fn mouth_to_ear(mouth: &str, ear: &str, count: u64, patience: Duration) -> Result<Heard> {
    let begun = now();
    let mut microphone = Microphone::open(&MicrophoneSpec::Named(ear.into()), begun)?;
    let stop = Arc::new(AtomicBool::new(false));
    let (player, played) = play_chirps(mouth, stop.clone())?;
    let mut finder = ChirpFinder::new();
    let mut recent = VecDeque::with_capacity(RECENT);
    let (mut sound, mut heard) = (Vec::new(), Heard::default());
    // The first chirps belong to the start: no device's estimate of its own delay is steady yet.
    let steady = begun + Duration::from_secs(3);
    while heard.delays.len() < count && now() < begun + patience {
        while let Some(chirp) = played.try_recv() {
            recent.truncate(RECENT - 1);
            recent.push_front(chirp);
        }
        sound.clear();
        let first = microphone.take(now(), &mut sound);
        finder.push(&sound, first, |found| {
            let latest = recent.iter().find(|chirp: &&Played| chirp.at <= found.at + AHEAD);
            match latest {
                _ if found.at < steady => {}
                Some(chirp) if chirp.variant == found.variant => heard.delays.push(milliseconds(chirp.at, found.at)),
                _ => heard.spoilt += 1,
            }
        });
        wait_for_next(microphone.next_due(now()));
    }
    stop.store(true, Ordering::Relaxed);
    player.join().map_err(|_| Error::new(Kind::Gone, "the player of the chirps panicked"))??;
    Ok(heard)
}

/// Chirps that were played and may still be heard: two seconds of them.
const RECENT: usize = 4;
/// The two devices' estimates may differ by so much that a chirp is heard before it is played.
const AHEAD: Duration = Duration::from_millis(50);

/// From `a` to `b`; negative where `b` was before.
fn milliseconds(a: Instant, b: Instant) -> f64 {
    (b.saturating_duration_since(a).as_secs_f64() - a.saturating_duration_since(b).as_secs_f64()) * 1e3
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
}

type Player = JoinHandle<Result<()>>;

/// Plays chirps without a break and tells when each will be heard, by what the loudspeaker said of the samples it
/// begins among. So neither a gap in the playing nor the device's clock needs to be made good for.
fn play_chirps(mouth: &str, stop: Arc<AtomicBool>) -> Result<(Player, PipeReceiver<Played>)> {
    let spec = SpeakerSpec::Named(mouth.into());
    // Two a second, and the other side looks every few milliseconds.
    let (tell, played) = pipe(64);
    let play = move || {
        let mut speaker = Loudspeaker::open(&spec, now())?;
        let mut source = ChirpSource::new(WallTime::of(now()));
        let schedule = source.clone();
        let (mut samples, mut pushed) = (Vec::new(), 0u64);
        let (mut variant, mut begins) = schedule.next_after(0);
        while !stop.load(Ordering::Relaxed) {
            let wanted = speaker.deficit(now());
            samples.resize(wanted, 0.0);
            source.fill(&mut samples);
            if wanted > 0 {
                let plays = speaker.push(&samples, now());
                let end = pushed + wanted as u64;
                while begins < end {
                    let at = plays + Duration::from_nanos((begins - pushed) * 1_000_000_000 / 48_000);
                    // Were the other side gone, `stop` would come next.
                    let _ = tell.try_send(Played { variant, at });
                    (variant, begins) = schedule.next_after(begins + 1);
                }
                pushed = end;
            }
            wait_for_next(speaker.next_due(now()));
        }
        Ok(())
    };
    let player = std::thread::Builder::new().name("chirps".into()).spawn(play);
    let player = player.map_err(|error| Error::new(Kind::Retry, format!("cannot start the thread chirps: {error}")))?;
    Ok((player, played))
}
