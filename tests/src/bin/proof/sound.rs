//! Mouth to ear through real device interfaces: cpal and PulseAudio at both ends of a call.

use std::time::Duration;

use visavis_app::pulse::Pulse;
use visavis_tests::Outcome;
use visavis_tests::party::{Party, Setup};
use visavis_tests::probe::hear;

use crate::table::Table;

/// Chirps that must be heard in the call, one each half second.
const CHIRPS: u64 = 200;

pub fn through_devices(table: &mut Table) -> Outcome<()> {
    let pulse = Pulse::start().map_err(|error| error.to_string())?;
    // From the loudspeaker straight to the microphone that hears it: what the devices and the rig take by themselves.
    let bare = hear(&pulse, "mouth", "microphone", 16)?;
    table.goal("the same devices without a call p50", bare.delay_ms.map(|delay| delay.p50), "", "ms");
    let env = pulse.env();
    let callee = Setup::new("Ben", "--once --video none --mic none --speaker ear").with_env(&env);
    let mut callee = Party::listen(&callee)?;
    let caller = Setup::new("Ada", "--video none --mic microphone --processing off --speaker none").with_env(&env);
    let mut caller = Party::call_to(&caller, &callee)?;
    for party in [&mut caller, &mut callee] {
        party.wait_for("in call with", Duration::from_secs(15))?;
    }
    let heard = hear(&pulse, "mouth", "listen", CHIRPS)?;
    caller.terminate()?;
    let (caller, callee) = (caller.finish(Duration::from_secs(10))?, callee.finish(Duration::from_secs(10))?);
    for log in [&caller.log, &callee.log] {
        // A device that could not be opened would be said there.
        print!("{}", log.lines().filter(|line| line.contains("cannot") || line.contains("no ")).collect::<String>());
    }
    let (_, report) = (caller.ended()?, callee.ended()?);
    table.at_least("chirps heard through the call", heard.delay_ms.map(|delay| delay.n as f64), CHIRPS as f64, "");
    table.goal("chirps with a hole in them", Some(heard.spoilt as f64), "", "");
    table.at_most("mouth to ear p50", heard.delay_ms.map(|delay| delay.p50), 30.0, "ms");
    table.at_most("mouth to ear p95", heard.delay_ms.map(|delay| delay.p95), 45.0, "ms");
    table.goal("mouth to ear at most", heard.delay_ms.map(|delay| delay.max), "", "ms");
    table.goal("sound concealed", report.audio.concealed_ratio.map(|ratio| ratio * 100.0), "≤ 0.1 %", "%");
    table.goal("loudspeaker's ring ran dry", report.audio.underruns.map(|n| n as f64), "0", "");
    table.goal("sound captured to played, by the report, p50", report.audio.delay_ms.map(|delay| delay.p50), "", "ms");
    Ok(())
}
