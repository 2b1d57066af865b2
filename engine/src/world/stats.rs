//! What is counted and measured.

use std::collections::VecDeque;

use bevy_ecs::component::Component;
use bevy_ecs::resource::Resource;

use crate::base::thread::Priority;
use crate::base::time::Instant;
use crate::media::summary::Samples;

/// Figures of one incoming video stream.
#[derive(Component, Debug, Default)]
pub struct StreamStats {
    pub bytes: u64,
    pub decoded: u64,
    pub stages: [Samples; 8],
    pub captured_to_decoded: Samples,
    pub glass_to_glass: Samples,
    pub ledger_total: Samples,
    /// How much later than a picture the sound is heard that was captured with it, milliseconds.
    pub sound_after_picture: Samples,
    /// |Σ stages − marker| per unit.
    pub ledger_error: Samples,
    /// From asking for a keyframe until it was there, milliseconds.
    pub keyframe_wait: Samples,
    /// The peer's clock minus ours, to compare a marker's time with ours.
    pub clock_offset_ms: f64,
    pub size: Option<(u32, u32)>,
}

/// Figures of the engine while the current call runs: begun anew with each.
#[derive(Resource, Debug, Default)]
pub struct Stats {
    pub ticks: u64,
    /// Ticks that began more than two cells after they were due.
    pub overruns: u64,
    pub work_us: Samples,
    pub late_us: Samples,
    pub priority: Priority,
    pub audio_delay: Samples,
    pub mouth_to_ear: Samples,
    /// What waits in the jitter buffer and in the loudspeaker's ring, milliseconds.
    pub audio_hold: Samples,
    pub audio_ring: Samples,
    pub audio_network: Samples,
    pub recent: Recent,
}

/// Medians over the last two seconds, for the overlay.
#[derive(Debug, Default)]
pub struct Recent {
    pub stages: [Window; 8],
    pub glass_to_glass: Window,
    pub mouth_to_ear: Window,
    pub audio_hold: Window,
    pub audio_ring: Window,
    pub audio_network: Window,
    /// Bytes in and out at the last look, and what the rates were then.
    pub looked: Option<(Instant, u64, u64, u64)>,
    pub receiving_bps: u64,
    pub sending_bps: u64,
    pub frames_per_second: f32,
}

/// The last values of something that comes 30 times a second: two seconds of them.
#[derive(Debug, Default)]
pub struct Window(VecDeque<f64>);

impl Window {
    const BOUND: usize = 64;

    pub fn push(&mut self, value: f64) {
        if value.is_finite() {
            if self.0.capacity() == 0 {
                self.0.reserve_exact(Self::BOUND);
            }
            if self.0.len() == Self::BOUND {
                self.0.pop_front();
            }
            self.0.push_back(value);
        }
    }

    pub fn median(&self) -> Option<f64> {
        let mut values = [0.0; Self::BOUND];
        values.iter_mut().zip(&self.0).for_each(|(to, value)| *to = *value);
        let values = values.get_mut(..self.0.len())?;
        let middle = values.len().checked_sub(1)? / 2;
        Some(*values.select_nth_unstable_by(middle, f64::total_cmp).1)
    }
}
