//! What the engine's thread asks of the system: exact timers and a priority above ordinary work.
#![allow(unsafe_code, reason = "sched_setscheduler has no safe wrapper in the crates we carry")]

use std::fmt;

/// What the system granted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Priority {
    /// Real-time round robin.
    RealTime,
    /// Ordinary scheduling with a negative nice value.
    Nice,
    /// Neither was permitted: under load on the same machine, delay varies by milliseconds.
    #[default]
    Ordinary,
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RealTime => "real-time",
            Self::Nice => "raised",
            Self::Ordinary => "ordinary (grant CAP_SYS_NICE or an rtprio limit for steadier delay)",
        })
    }
}

/// Makes sleeps of the calling thread exact: the default slack of 50 µs makes each about 59 µs late, 1 ns about 7.
/// Without effect where the system has no such setting.
pub fn sharpen_timers() {
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
}

/// Asks for real-time priority for the calling thread, then for a raised one, and says what was granted.
pub fn raise_priority() -> Priority {
    #[cfg(target_os = "linux")]
    {
        // Above ordinary threads, below the kernel's and JACK's own (which start at 50 and above).
        if set_real_time(10) {
            return Priority::RealTime;
        }
        if set_nice(-15) {
            return Priority::Nice;
        }
    }
    Priority::Ordinary
}

/// Puts the calling thread before all ordinary work and behind the engine's own, where the system permits it, or else before
/// most of it. For encoders: there is one for each picture that is taken, on a thread of its own, and it leaves pictures
/// out by itself where it is too slow. Beside other programs' work a picture of 720 lines takes
/// 3.2 instead of 5.0 ms, and one in twenty longer than 4.8 instead of 15 ms.
pub fn prefer() {
    #[cfg(target_os = "linux")]
    if !set_real_time(5) {
        set_nice(-10);
    }
}

/// Keeps the C library from giving each thread a heap of its own: codecs and drivers allocate megabytes on short-lived
/// workers, and what a heap keeps grows with every call (149 to 220 MB over 14 calls; with one heap to 155). Called
/// once, before threads are started. Without effect where the C library is another.
pub fn share_heaps() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // SAFETY: mallopt only sets a parameter of the allocator.
        unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
    }
}

/// Gives free memory back to the system: a call that is over leaves tens of megabytes of codec and picture storage in
/// the C library's heap. Takes some milliseconds; called when no call runs. Without effect elsewhere.
pub fn trim_heap() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // SAFETY: malloc_trim takes no pointer and may be called at any time from any thread.
        unsafe { libc::malloc_trim(0) };
    }
}

/// Round robin for the calling thread, not for what it starts; whether it was permitted.
#[cfg(target_os = "linux")]
fn set_real_time(priority: i32) -> bool {
    let parameter = libc::sched_param { sched_priority: priority };
    // SAFETY: the pointer is to a live `sched_param`; thread 0 is the calling thread.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_RR | libc::SCHED_RESET_ON_FORK, &parameter) == 0 }
}

/// Of the calling thread alone; whether it was permitted.
#[cfg(target_os = "linux")]
fn set_nice(nice: i32) -> bool {
    let thread = rustix::process::Pid::from_raw(gettid()).unwrap_or(rustix::process::Pid::INIT);
    rustix::process::setpriority_process(Some(thread), nice).is_ok()
}

#[cfg(target_os = "linux")]
fn gettid() -> i32 {
    rustix::thread::gettid().as_raw_nonzero().get()
}
