//! The probe as its user starts it, in the environment of a private sound server.

use std::process::{Command, Output};

use visavis_app::probe::AudioReport;
use visavis_app::pulse::Pulse;

use crate::Outcome;
use crate::party::program;

/// `visavis probe ARGS`, run to its end.
///
/// # Errors
/// It cannot be started.
pub fn probe(args: &str, env: &[(String, String)]) -> Outcome<Output> {
    let mut command = Command::new(program()?);
    command.arg("probe").args(args.split_whitespace()).envs(env.iter().map(|(key, value)| (key, value)));
    command.output().map_err(|error| format!("visavis probe: {error}"))
}

/// `count` chirps from the loudspeaker `out` to the microphone `input` of `pulse`.
///
/// # Errors
/// None was heard, or a device cannot be opened: the text has what the probe said.
pub fn hear(pulse: &Pulse, out: &str, input: &str, count: u64) -> Outcome<AudioReport> {
    let run = probe(&format!("audio --out {out} --in {input} --count {count} --json"), &pulse.env())?;
    if !run.status.success() {
        return Err(format!("from {out} to {input}: {}", String::from_utf8_lossy(&run.stderr).trim()));
    }
    serde_json::from_slice(&run.stdout).map_err(|error| format!("the probe's JSON: {error}"))
}
