//! Keeps the ALSA library from writing to standard error while devices are listed: a missing card is no news.
#![allow(unsafe_code, reason = "the ALSA library offers only a C call for it")]

/// Silences the library for the whole process; does nothing elsewhere than on Linux.
pub(super) fn silence_alsa() {
    #[cfg(target_os = "linux")]
    {
        use std::ffi::{c_char, c_int};
        type Handler = unsafe extern "C" fn(*const c_char, c_int, *const c_char, c_int, *const c_char, ...);
        unsafe extern "C" {
            fn snd_lib_error_set_handler(handler: Option<Handler>) -> c_int;
        }
        unsafe extern "C" fn nothing(_: *const c_char, _: c_int, _: *const c_char, _: c_int, _: *const c_char) {}
        static ONCE: std::sync::Once = std::sync::Once::new();
        ONCE.call_once(|| {
            type Fixed = unsafe extern "C" fn(*const c_char, c_int, *const c_char, c_int, *const c_char);
            // SAFETY: a callee that reads only the named arguments may be called as variadic under the C calling
            // conventions of Linux (System V x86-64, AAPCS64): the caller cleans up. libasound is linked by cpal.
            unsafe {
                let handler = std::mem::transmute::<Fixed, Handler>(nothing);
                snd_lib_error_set_handler(Some(handler));
            }
        });
    }
}
