//! A timer that mio can wait for, exact to microseconds (`epoll` itself rounds to whole milliseconds).

use std::io;

use mio::{Registry, Token};

use crate::base::time::{self, Instant};

/// One-shot timer. Linux: a `timerfd`, registered with mio. Elsewhere: the poll's own timeout.
#[derive(Debug)]
pub struct Timer {
    #[cfg(target_os = "linux")]
    fd: std::os::fd::OwnedFd,
    due: Option<Instant>,
}

impl Timer {
    #[cfg(target_os = "linux")]
    pub fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        use std::os::fd::AsRawFd;

        use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};

        let fd = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        registry.register(&mut mio::unix::SourceFd(&fd.as_raw_fd()), token, mio::Interest::READABLE)?;
        Ok(Self { fd, due: None })
    }

    #[cfg(not(target_os = "linux"))]
    pub fn new(_: &Registry, _: Token) -> io::Result<Self> {
        Ok(Self { due: None })
    }

    /// Arms the timer for `due`, or disarms it. Without effect when it stands so already.
    pub fn arm(&mut self, due: Option<Instant>) {
        if self.due == due {
            return;
        }
        self.due = due;
        #[cfg(target_os = "linux")]
        {
            use rustix::time::{Itimerspec, TimerfdTimerFlags, Timespec, timerfd_settime};

            let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
            // A value of zero would disarm: a deadline that has passed fires after a nanosecond.
            let value = due.map_or(zero, |due| {
                let rest = due.saturating_duration_since(time::now());
                Timespec { tv_sec: rest.as_secs() as i64, tv_nsec: i64::from(rest.subsec_nanos()).max(1) }
            });
            let _ = timerfd_settime(
                &self.fd,
                TimerfdTimerFlags::empty(),
                &Itimerspec { it_interval: zero, it_value: value },
            );
        }
    }

    /// The timer has fired: the next [`Timer::arm`] sets it anew whatever the time.
    pub fn fired(&mut self) {
        self.due = None;
    }

    /// What to pass to the poll besides: nothing where the timer wakes it by itself.
    pub fn poll_timeout(&self) -> Option<std::time::Duration> {
        if cfg!(target_os = "linux") { None } else { self.due.map(|due| due.saturating_duration_since(time::now())) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn fires_after_its_deadline_and_again_when_armed_again() {
        let mut poll = mio::Poll::new().expect("poll");
        let mut timer = Timer::new(poll.registry(), Token(7)).expect("timer");
        let mut events = mio::Events::with_capacity(4);
        for _ in 0..3 {
            let due = time::now() + Duration::from_millis(3);
            timer.arm(Some(due));
            let timeout = timer.poll_timeout().or(Some(Duration::from_secs(5)));
            poll.poll(&mut events, timeout).expect("poll");
            assert!(time::now() >= due);
            assert!(time::now() < due + Duration::from_secs(1), "the timer fired, not the test's own timeout");
            timer.fired();
        }
    }
}
