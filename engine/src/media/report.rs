//! The report of a call, version 1. A figure that was not measured is `null`, never 0.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::summary::{Spread, Summary};

/// What `--report FILE` writes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub version: u32,
    pub outcome: String,
    pub reason: String,
    pub seconds: f64,
    /// Media that the call was without, and why.
    #[serde(default)]
    pub missing: Vec<String>,
    pub path: PathReport,
    pub setup_ms: SetupReport,
    pub audio: AudioReport,
    /// Of the first source of pictures of either side.
    pub video: VideoReport,
    /// Of the further ones, by their place.
    #[serde(default)]
    pub further: Vec<VideoReport>,
    pub av_skew_ms: Option<SkewReport>,
    /// Files that were sent and received.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileReport>,
    pub ticks: TickReport,
    pub process: ProcessReport,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileReport {
    pub name: String,
    pub bytes: u64,
    pub sha256: String,
    /// So much of it was there already.
    pub began: u64,
    /// "sent" or "received".
    pub direction: String,
    /// "done", or "broken off" by the end of the call.
    pub outcome: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PathReport {
    /// "direct", "relay" or "tcp"; `null` when no path was ever found.
    pub kind: Option<String>,
    pub local: Option<String>,
    pub remote: Option<String>,
    pub changes: u32,
    /// How often a path that had fallen silent was left for another.
    #[serde(default)]
    pub failovers: u32,
}

/// Milliseconds from the accept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SetupReport {
    pub connected: Option<f64>,
    pub first_audio: Option<f64>,
    pub first_video: Option<f64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AudioReport {
    pub packets_sent: u64,
    pub packets_received: u64,
    pub packets_lost: u64,
    pub concealed_ratio: Option<f64>,
    /// Cut out, whole pitch periods, to catch up with a delay that fell; part of the sound that was played.
    #[serde(default)]
    pub accelerated_ratio: Option<f64>,
    /// Played twice, likewise, to follow a delay that grew.
    #[serde(default)]
    pub decelerated_ratio: Option<f64>,
    /// The longest stretch without anything that was received, milliseconds.
    pub longest_gap_ms: Option<f64>,
    /// Lost packets that were restored from copies or FEC.
    pub packets_restored: u64,
    pub underruns: Option<u64>,
    /// Of the frames that were sent last.
    pub frame_ms: Option<f64>,
    pub bitrate_bps: Option<u64>,
    /// Capture of a sample to its place in the loudspeaker's ring, by the sender's capture time.
    pub delay_ms: Option<Summary>,
    /// Chirp to chirp.
    pub mouth_to_ear_ms: Option<Summary>,
    pub stages_ms: BTreeMap<String, Spread>,
    /// `null` where nothing was done to the microphone's sound.
    #[serde(default)]
    pub processing: Option<ProcessingReport>,
}

/// What was done to the microphone's sound, as it stood at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProcessingReport {
    /// Far signal over echo, and echo over what the canceller's linear filter leaves of it: by the canceller.
    pub echo_return_loss_db: Option<f64>,
    pub echo_enhancement_db: Option<f64>,
    /// From the sound that plays to its echo: by the canceller.
    pub echo_delay_ms: Option<f64>,
    /// How much faster the loudspeaker's clock is than the microphone's.
    pub drift_ppm: Option<f64>,
    /// Noise before over noise after, where nobody speaks.
    pub noise_reduction_db: Option<f64>,
    pub gain_db: Option<f64>,
    /// Share of the time in which somebody speaks.
    pub voice_ratio: Option<f64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct VideoReport {
    pub frames_captured: u64,
    pub frames_sent: u64,
    pub frames_decoded: u64,
    /// Distinct markers read in presented pixels; frames presented where the source paints none.
    pub frames_presented: u64,
    pub freezes: u64,
    pub freeze_ratio: Option<f64>,
    pub longest_freeze_ms: Option<f64>,
    pub width: Option<u32>,
    pub height: Option<u32>,
    pub bitrate_bps: Option<u64>,
    pub captured_to_decoded_ms: Option<Summary>,
    pub glass_to_glass_ms: Option<Summary>,
    pub ledger_error_ms: Option<Spread>,
    /// From asking for a keyframe until it was there.
    #[serde(default)]
    pub keyframe_wait_ms: Option<Summary>,
    /// By the names of the eight stages.
    pub stages_ms: BTreeMap<String, Option<Spread>>,
}

/// How much later sound is heard than the picture is shown that was captured with it, in milliseconds, picture by picture:
/// the median, and what its amount stays below in 95 of 100. Negative: the sound is first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SkewReport {
    pub n: u64,
    pub p50: f64,
    pub p95: f64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TickReport {
    pub n: u64,
    pub overruns: u64,
    pub work_p50_us: Option<f64>,
    pub work_p99_us: Option<f64>,
    pub late_p99_us: Option<f64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProcessReport {
    pub cpu_s: Option<f64>,
    pub rss_peak_bytes: Option<u64>,
}
