//! A call without a window: watches the notices, presents what the engine publishes, ends when it is time.

use std::path::PathBuf;
use std::sync::Arc;

use crossbeam_channel::{Receiver, bounded};
use engine::base::error::Result;
use engine::base::time::{Duration, Instant, now};
use engine::handle::{Command, Link, Notice, Redraw};
use engine::media::report::Report;
use engine::render::gpu::GpuContext;

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
/// The screenshot cannot be written.
pub fn run(link: &Link, bell: &Bell, plan: &Plan, interrupted: &Receiver<()>) -> Result<Option<Report>> {
    let mut presenter = if plan.blind { None } else { open_presenter(plan.talk) };
    let (started, mut report, mut hung_up) = (now(), None, None::<Instant>);
    let mut end = plan.run_for.map(|time| started + time);
    let beat = plan.present_hz.map(|hz| Duration::from_secs(1) / hz);
    let mut next_beat = started;
    let send = |command| {
        if link.commands.try_send(command).is_ok() {
            link.wake.wake();
        }
    };
    if let Some(target) = &plan.call {
        send(Command::Call(target.clone()));
    }
    loop {
        if beat.is_none_or(|_| now() >= next_beat) {
            if let Some(beat) = beat {
                // Absolute beats, as a screen has them; those that a stall passed are left out.
                next_beat += beat * ((now() - next_beat).as_nanos() / beat.as_nanos() + 1) as u32;
            }
            if let Some(snapshot) = link.view.take()
                && let Some(shown) = &mut presenter
                && let Err(error) = shown.present(snapshot, &link.presented)
            {
                eprintln!("drawing failed and stops: {error}");
                presenter = None;
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
        let wait = [end.filter(|_| hung_up.is_none()), hung_up.map(|since| since + GRACE), beat.map(|_| next_beat)];
        let until = wait.into_iter().flatten().min().unwrap_or(at + Duration::from_secs(1));
        let timeout = until.saturating_duration_since(now()).min(Duration::from_millis(200));
        if beat.is_some() {
            // A screen does not look earlier because something arrived.
            crossbeam_channel::select! { recv(interrupted) -> _ => send(Command::HangUp), default(timeout) => {} }
        } else {
            crossbeam_channel::select! {
                recv(bell.0) -> _ => {},
                recv(interrupted) -> _ => { hung_up = Some(now()); send(Command::HangUp); },
                default(timeout) => {},
            }
        }
    }
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
        Notice::Error(text) => eprintln!("{text}"),
    }
}
