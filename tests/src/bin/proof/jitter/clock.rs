//! A clock that a proof sets, for a buffer that reads the system's instead of being told the time.
//!
//! `unsafe` here: the standard library reads the time by the C library's function; one of the same name in the program
//! itself goes before it.

use std::cell::Cell;
use std::ffi::c_int;

use rustix::time::{ClockId, Timespec, clock_gettime as system};

thread_local! {
    /// Nanoseconds of the monotonic clock on this thread; negative: the system's.
    static SET: Cell<i64> = const { Cell::new(-1) };
}

/// Sets this thread's monotonic clock; `None` gives it back to the system.
pub fn set(micros: Option<i64>) {
    // Ten minutes after the machine's start, so that there is a past.
    SET.set(micros.map_or(-1, |micros| 600_000_000_000 + micros * 1000));
}

/// What the C library's function of this name does: 0, and the time in `time`; −1 for an unknown clock.
///
/// # Safety
///
/// `time` is valid for writing.
#[allow(unsafe_code, reason = "a function that takes the C library's place")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(id: c_int, time: *mut Timespec) -> c_int {
    let Ok(id) = ClockId::try_from(id) else { return -1 };
    let set = SET.get();
    let now = if id == ClockId::Monotonic && set >= 0 {
        Timespec { tv_sec: set / 1_000_000_000, tv_nsec: set % 1_000_000_000 }
    } else {
        system(id)
    };
    // SAFETY: the caller's promise; the layout is the kernel's own on 64-bit Linux.
    unsafe { time.write(now) };
    0
}
