//! Mouth to ear through real device interfaces: cpal and PulseAudio at both ends of a call.

use std::process::{Command, ExitCode};
use std::time::Duration;

use engine::media::summary::Summary;
use serde_json::{Value, json};
use visavis_app::probe::audio::mouth_to_ear;
use visavis_app::pulse::Pulse;
use visavis_tests::Outcome;
use visavis_tests::party::{Party, Setup};

use crate::table::Table;

/// The verb with which this program starts itself, inside the environment of the private server.
pub const HEAR: &str = "--hear";

/// Chirps that must be heard in the call, one each half second.
const CHIRPS: u64 = 200;

pub fn through_devices(table: &mut Table) -> Outcome<()> {
    let pulse = Pulse::start().map_err(|error| error.to_string())?;
    // From the loudspeaker straight to the microphone that hears it: what the devices and the rig take by themselves.
    let bare = hear_in(&pulse, "mouth", "microphone", 16)?;
    table.goal("the same devices without a call p50", Some(bare.delays.p50), "", "ms");
    let env = pulse.env();
    let callee = Setup::new("Ben", "--once --video none --mic none --speaker ear").with_env(&env);
    let mut callee = Party::listen(&callee)?;
    let caller = Setup::new("Ada", "--video none --mic microphone --speaker none").with_env(&env);
    let mut caller = Party::call_to(&caller, &callee)?;
    for party in [&mut caller, &mut callee] {
        party.wait_for("in call with", Duration::from_secs(15))?;
    }
    let Measured { delays: heard, spoilt } = hear_in(&pulse, "mouth", "listen", CHIRPS)?;
    caller.terminate()?;
    let (caller, callee) = (caller.finish(Duration::from_secs(10))?, callee.finish(Duration::from_secs(10))?);
    for log in [&caller.log, &callee.log] {
        // A device that could not be opened would be said there.
        print!("{}", log.lines().filter(|line| line.contains("cannot") || line.contains("no ")).collect::<String>());
    }
    let (_, report) = (caller.ended()?, callee.ended()?);
    table.at_least("chirps heard through the call", Some(heard.n as f64), CHIRPS as f64, "");
    table.goal("chirps with a hole in them", Some(spoilt), "", "");
    table.at_most("mouth to ear p50", Some(heard.p50), 30.0, "ms");
    table.at_most("mouth to ear p95", Some(heard.p95), 45.0, "ms");
    table.goal("mouth to ear at most", Some(heard.max), "", "ms");
    table.goal("sound concealed", report.audio.concealed_ratio.map(|ratio| ratio * 100.0), "≤ 0.1 %", "%");
    table.goal("loudspeaker's ring ran dry", report.audio.underruns.map(|n| n as f64), "0", "");
    table.goal("sound captured to played, by the report, p50", report.audio.delay_ms.map(|delay| delay.p50), "", "ms");
    Ok(())
}

/// [`HEAR`]: measures in this process and prints the summary and the number of spoilt chirps as JSON.
pub fn hear(mouth: &str, ear: &str, count: &str) -> ExitCode {
    let count: u64 = count.parse().unwrap_or(CHIRPS);
    // Two a second, and some that a busy machine spoils.
    let patience = Duration::from_secs(count * 6 / 10 + 15);
    match mouth_to_ear(mouth, ear, count, patience) {
        Ok(heard) => match heard.delays.summary() {
            Some(delays) => {
                println!("{}", json!({ "delays": delays, "spoilt": heard.spoilt }));
                ExitCode::SUCCESS
            }
            None => {
                eprintln!("no chirp was heard whole, and {} with a hole", heard.spoilt);
                ExitCode::from(1)
            }
        },
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(1)
        }
    }
}

struct Measured {
    delays: Summary,
    spoilt: f64,
}

fn hear_in(pulse: &Pulse, mouth: &str, ear: &str, count: u64) -> Outcome<Measured> {
    let own = std::env::current_exe().map_err(|error| format!("where am I: {error}"))?;
    let run = Command::new(own).args([HEAR, mouth, ear, &count.to_string()]).envs(pulse.env()).output();
    let run = run.map_err(|error| format!("the rig cannot be started: {error}"))?;
    let failed = || format!("the rig from {mouth} to {ear}: {}", String::from_utf8_lossy(&run.stderr).trim());
    let said: Value = serde_json::from_slice(&run.stdout).map_err(|_| failed())?;
    let delays = serde_json::from_value(said["delays"].clone()).map_err(|_| failed())?;
    Ok(Measured { delays, spoilt: said["spoilt"].as_f64().ok_or_else(failed)? })
}
