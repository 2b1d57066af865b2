//! A call without a window: watches the notices, presents what the engine publishes, ends when it is time.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use crossbeam_channel::{Receiver, bounded};
use engine::base::error::{Error, Kind, Result};
use engine::base::time::{Duration, Instant, WallTime, now};
use engine::handle::{Command, FileNotice, Link, Notice, Redraw};
use engine::layout::snapshot::Presented;
use engine::media::phase::Refresh;
use engine::media::report::Report;
use engine::render::gpu::GpuContext;
use visavis_app::ui::file_text;

use crate::markers::MarkerLog;
use crate::present::Presenter;

/// How a run without a window goes.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Call this target as soon as it runs.
    pub call: Option<String>,
    /// End after this long; while nobody has answered yet as well.
    pub run_for: Option<Duration>,
    /// End after the first call.
    pub once: bool,
    /// Present at this rate instead of on arrival.
    pub present_hz: Option<u32>,
    /// Write what is shown last.
    pub screenshot: Option<PathBuf>,
    /// Write each marker that is drawn.
    pub markers: Option<PathBuf>,
    /// Send these to the other side, one after another.
    pub send_files: Vec<PathBuf>,
    /// Say on the standard error what happens.
    pub talk: bool,
    /// Do not draw: nobody looks, and there may be no graphics adapter.
    pub blind: bool,
}

/// Rings when the engine has something new.
pub struct Bell(Receiver<()>);

/// How long a call that is hung up may take to report.
const GRACE: Duration = Duration::from_secs(2);

/// The hook for the engine and the bell it rings.
pub fn bell() -> (Redraw, Bell) {
    let (sender, receiver) = bounded(1);
    // A full bell has been rung already.
    (
        Arc::new(move || {
            let _ = sender.try_send(());
        }),
        Bell(receiver),
    )
}

/// Runs until the plan is over. The last call's report, `None` where there was no call.
///
/// # Errors
/// The screenshot or the markers cannot be written.
pub fn run(link: &Link, bell: &Bell, plan: &Plan, interrupted: &Receiver<()>) -> Result<Option<Report>> {
    let mut presenter = if plan.blind { None } else { open_presenter(plan.talk) };
    let (started, mut report, mut hung_up) = (now(), None, None::<Instant>);
    let mut end = plan.run_for.map(|time| started + time);
    let mut beat = plan.present_hz.map(|hz| Beat::new(hz, started));
    let unwritten = |error: std::io::Error| Error::new(Kind::Refused, format!("cannot write the markers: {error}"));
    let mut markers = plan.markers.as_deref().map(MarkerLog::create).transpose().map_err(unwritten)?;
    let send = |command| {
        if link.commands.try_send(command).is_ok() {
            link.wake.wake();
        }
    };
    let mut files: VecDeque<PathBuf> = plan.send_files.iter().cloned().collect();
    // Of those the last one is sent and the call may end.
    let is_for_files = !files.is_empty() && plan.run_for.is_none();
    if let Some(target) = &plan.call {
        send(Command::Call(target.clone()));
    }
    loop {
        // What was drawn in time first: a picture that came since then has missed this refresh.
        if let Some(shown) = beat.as_mut().and_then(|beat| beat.refresh(now())) {
            tell(link, shown);
        }
        if let Some(snapshot) = link.view.take()
            && let Some(screen) = &mut presenter
        {
            let handed = now();
            let drawn = screen.present(snapshot);
            if let (Ok(Some(drawn)), Some(log)) = (&drawn, &mut markers) {
                log.add(handed, drawn).map_err(unwritten)?;
            }
            match (drawn, &mut beat) {
                (Ok(None), _) => {}
                (Ok(Some(drawn)), None) => tell(link, drawn),
                (Ok(Some(drawn)), Some(beat)) => {
                    if let Some(shown) = beat.draw(drawn) {
                        tell(link, shown);
                    }
                }
                (Err(error), _) => {
                    eprintln!("drawing failed and stops: {error}");
                    presenter = None;
                }
            }
        }
        while let Some(notice) = link.notices.try_recv() {
            let over = matches!(notice, Notice::Ended { .. });
            if plan.talk {
                say(&notice);
            }
            if matches!(notice, Notice::Connected { .. }) && plan.call.is_some() {
                // The time asked for is the call's own.
                end = plan.run_for.map(|time| now() + time);
            }
            if matches!(notice, Notice::File(FileNotice::Offered(_))) {
                // Nobody is there who could be asked.
                send(Command::TakeFile(false));
            }
            let is_sent = matches!(&notice, Notice::File(FileNotice::Done { is_sent, .. } | FileNotice::Failed { is_sent, .. }) if *is_sent);
            if matches!(notice, Notice::Connected { .. }) || is_sent {
                match files.pop_front() {
                    Some(file) => send(Command::SendFile(file)),
                    None if is_sent && is_for_files => end = Some(now()),
                    None => {}
                }
            }
            if let Notice::Ended { report: ended, .. } = notice {
                report = Some(*ended);
            }
            if over && (plan.once || plan.call.is_some() || hung_up.is_some()) {
                return finish(presenter.as_ref(), plan, report);
            }
        }
        let at = now();
        if hung_up.is_some_and(|since| at >= since + GRACE) {
            return finish(presenter.as_ref(), plan, report);
        }
        if hung_up.is_none() && (end.is_some_and(|end| at >= end) || interrupted.try_recv().is_ok()) {
            hung_up = Some(at);
            send(Command::HangUp);
        }
        let refresh = beat.as_ref().filter(|beat| beat.drawn.is_some()).map(|beat| beat.next);
        let wait = [end.filter(|_| hung_up.is_none()), hung_up.map(|since| since + GRACE), refresh];
        let until = wait.into_iter().flatten().min().unwrap_or(at + Duration::from_secs(1));
        let timeout = until.saturating_duration_since(now()).min(Duration::from_millis(200));
        crossbeam_channel::select! {
            recv(bell.0) -> _ => {},
            recv(interrupted) -> _ => { hung_up = Some(now()); send(Command::HangUp); },
            default(timeout) => {},
        }
    }
}

/// The refreshes of a screen that is not there. What is drawn before one is seen at it; of two drawn pictures the newer
/// (what graphics interfaces call a mailbox).
#[derive(Debug)]
struct Beat {
    hz: u64,
    next: Instant,
    drawn: Option<Presented>,
}

impl Beat {
    fn new(hz: u32, now: Instant) -> Self {
        let hz = u64::from(hz.max(1));
        Self { hz, next: next_refresh(now, hz), drawn: None }
    }

    /// A picture was drawn. What the refresh that came meanwhile, if one did, has put on the screen before it.
    fn draw(&mut self, drawn: Presented) -> Option<Presented> {
        let shown = self.refresh(drawn.at);
        self.drawn = Some(drawn);
        shown
    }

    /// Goes on to the refresh after `now`. What the one before it, if it has come, has put on the screen.
    fn refresh(&mut self, now: Instant) -> Option<Presented> {
        let at = self.next;
        if now < at {
            return None;
        }
        self.next = next_refresh(now, self.hz);
        let drawn = self.drawn.take()?;
        let refresh = Refresh {
            early: at.saturating_duration_since(drawn.at),
            period: Duration::from_micros(1_000_000 / self.hz),
        };
        Some(Presented { at, refresh: Some(refresh), ..drawn })
    }
}

/// Refreshes lie on the machine's clock, as a screen's do: where in one of them a call begins is chance.
fn next_refresh(now: Instant, hz: u64) -> Instant {
    let micros = WallTime::of(now).as_micros();
    let next = (micros * hz / 1_000_000 + 1) * 1_000_000;
    now + Duration::from_micros(next.div_ceil(hz) - micros)
}

/// Says what is on the screen now. A full pipe: the engine is behind by hundreds of pictures and counts this one as not
/// shown.
fn tell(link: &Link, shown: Presented) {
    let _ = link.presented.try_send(shown);
}

fn open_presenter(talk: bool) -> Option<Presenter> {
    match GpuContext::headless().and_then(Presenter::new) {
        Ok(presenter) => Some(presenter),
        Err(error) => {
            if talk {
                eprintln!("nothing is drawn: {error}");
            }
            None
        }
    }
}

fn finish(presenter: Option<&Presenter>, plan: &Plan, report: Option<Report>) -> Result<Option<Report>> {
    if let (Some(presenter), Some(path)) = (presenter, &plan.screenshot) {
        presenter.save(path)?;
    }
    Ok(report)
}

fn say(notice: &Notice) {
    match notice {
        Notice::Listening { base_port } => eprintln!("listening on port {base_port}"),
        Notice::Ringing { peer, incoming: true } => eprintln!("{peer} calls"),
        Notice::Ringing { peer, incoming: false } => eprintln!("calling {peer}"),
        Notice::Connected { peer } => eprintln!("in call with {peer}"),
        Notice::Ended { outcome, reason, .. } => eprintln!("{outcome}: {reason}"),
        Notice::Online { name } => eprintln!("online as {name}"),
        // Nobody asked here.
        Notice::Done { .. } => {}
        Notice::File(notice) => eprintln!("{}", file_text(notice)),
        Notice::Error(text) => eprintln!("{text}"),
    }
}

#[cfg(test)]
mod tests {
    use engine::base::id::TileId;

    use super::*;

    fn drawn(at: Instant, frame: u64) -> Presented {
        Presented { tile: TileId(1), frame, at, marker: None, refresh: None }
    }

    #[test]
    fn a_picture_is_seen_at_the_refresh_after_it_was_drawn() {
        let start = now();
        let mut beat = Beat::new(60, start);
        let first = beat.next;
        assert!(first > start && first <= start + Duration::from_micros(16_667), "{:?}", first - start);
        assert!(beat.draw(drawn(start, 1)).is_none() && beat.draw(drawn(start, 2)).is_none());
        assert!(beat.refresh(first - Duration::from_micros(1)).is_none());
        // Looked at late: the screen was not.
        let seen = beat.refresh(first + Duration::from_millis(3)).expect("drawn in time");
        assert_eq!((seen.frame, seen.at), (2, first));
        let refresh = seen.refresh.expect("known");
        assert_eq!((refresh.early, refresh.period), (first - start, Duration::from_micros(16_666)));
        assert!(beat.refresh(first + Duration::from_millis(4)).is_none());
        let second = beat.next - first;
        assert!(second.abs_diff(Duration::from_micros(16_667)) <= Duration::from_micros(1), "{second:?}");
    }

    #[test]
    fn what_is_drawn_past_a_refresh_is_seen_at_the_next_one() {
        let mut beat = Beat::new(60, now());
        let first = beat.next;
        assert!(beat.draw(drawn(first - Duration::from_millis(9), 1)).is_none());
        let late = first + Duration::from_micros(500);
        let seen = beat.draw(drawn(late, 2)).expect("the one before was in time");
        assert_eq!((seen.frame, seen.at), (1, first));
        let second = beat.next;
        let seen = beat.refresh(second).expect("drawn since");
        assert_eq!((seen.frame, seen.at, seen.refresh.map(|refresh| refresh.early)), (2, second, Some(second - late)));
    }

    #[test]
    fn refreshes_do_not_drift_and_two_screens_agree() {
        let start = now();
        let (mut one, hz) = (start, 60);
        (0..600).for_each(|_| one = next_refresh(one, hz));
        let other = next_refresh(one - Duration::from_millis(5), hz);
        assert!((other.max(one) - other.min(one)) <= Duration::from_micros(1));
    }
}
