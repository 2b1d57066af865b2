//! Devices that come and go while a call runs, and mouth to ear through JACK.

use std::time::Duration;

use engine::base::time::now;
use engine::media::summary::Summary;
use visavis_app::jack::{self, Jack};
use visavis_app::pulse::Pulse;
use visavis_tests::Outcome;
use visavis_tests::party::{Party, Setup};
use visavis_tests::probe::{hear, hear_jack};
use visavis_tests::skip::skip;
use visavis_tests::talk::{pactl, plug_microphone, unplug};

use crate::table::Table;

/// What the caller hears and the callee plays to, what stands in for the microphone, and another loudspeaker.
const DESK: [(&str, &str); 4] = [("mouth", "microphone"), ("ear", "listen"), ("spare", "handset"), ("other", "hark")];
/// A lost device is replaced, and another default followed, within so many milliseconds.
const SOON: f64 = 2000.0;
/// The contract: within 5 s the delay is at most so much more than it was.
const MORE: f64 = 20.0;
const CHIRPS: u64 = 20;
/// The shortest frames. Chirps are no speech: what takes noise out takes them out as well.
const CALL: &str = "--video none --frame 2.5 --processing off";
/// Frames in a period of JACK's.
const PERIOD: u32 = 128;
/// What a sound card adds at its two ends and the server without one has not: a period recorded before it is read, and one
/// written before it is played. Milliseconds.
const CARD: f64 = 2.0 * PERIOD as f64 / 48.0;

pub fn devices(table: &mut Table) -> Outcome<()> {
    come_and_go(table)?;
    if !jack::is_installed() {
        skip("devices: mouth to ear through JACK", "no jackd");
        return Ok(());
    }
    through_jack(table)
}

fn come_and_go(table: &mut Table) -> Outcome<()> {
    let pulse = Pulse::with_pairs(&DESK).map_err(|error| error.to_string())?;
    let env = pulse.env();
    pactl("set-default-source handset", &env)?;
    pactl("set-default-sink ear", &env)?;
    let callee = Setup::new("Ben", &format!("--once --mic none --speaker default {CALL}")).with_env(&env);
    let mut callee = Party::listen(&callee)?;
    let caller = Setup::new("Ada", &format!("--mic microphone --speaker none {CALL}")).with_env(&env);
    let mut caller = Party::call_to(&caller, &callee)?;
    for party in [&mut caller, &mut callee] {
        party.wait_for("in call with", Duration::from_secs(15))?;
    }
    let before = hear(&pulse, "mouth", "listen", CHIRPS)?.delay_ms;
    table.goal("PulseAudio: mouth to ear before p50", before.map(|delay| delay.p50), "", "ms");
    let baseline = before.ok_or("no chirp was heard")?.p50;

    unplug("microphone", &env)?;
    let said = said(&mut caller, "microphone is not there: handset is used", 1)?;
    table.at_most("microphone unplugged, another one used after", Some(said), SOON, "ms");
    plug_microphone("microphone", "mouth", &env)?;
    let back = self::said(&mut caller, "The microphone microphone is back", 1)?;
    table.at_most("microphone plugged in again, used after", Some(back), SOON, "ms");
    after(table, &pulse, "listen", baseline, "microphone")?;

    pactl("set-default-sink other", &env)?;
    let followed = self::said(&mut callee, "The loudspeaker is other now", 1)?;
    table.at_most("another default loudspeaker, used after", Some(followed), SOON, "ms");
    after(table, &pulse, "hark", baseline, "loudspeaker")?;
    unplug("other", &env)?;
    let lost = self::said(&mut callee, "The loudspeaker is", 2)?;
    table.at_most("default loudspeaker unplugged, another one used after", Some(lost), SOON, "ms");

    caller.terminate()?;
    let (caller, callee) = (caller.finish(Duration::from_secs(10))?, callee.finish(Duration::from_secs(10))?);
    table.holds("the call went on to its end", caller.ended().is_ok() && callee.ended().is_ok(), "");
    Ok(())
}

/// How long it takes until `party` says so, in milliseconds.
fn said(party: &mut Party, text: &str, nth: usize) -> Outcome<f64> {
    let begun = now();
    party.wait_for_nth(text, nth, Duration::from_secs(10))?;
    Ok((now() - begun).as_secs_f64() * 1e3)
}

/// The delay from the fifth second after a change on: a probe counts nothing in its first three.
fn after(table: &mut Table, pulse: &Pulse, ear: &str, baseline: f64, what: &str) -> Outcome<()> {
    std::thread::sleep(Duration::from_secs(2));
    let delay = hear(pulse, "mouth", ear, CHIRPS)?.delay_ms;
    let line = |figure: &str| format!("5 s after the {what} changed {figure}");
    table.at_most(&line("p50"), delay.map(|delay| delay.p50), baseline + MORE, "ms");
    table.at_most(&line("at most"), delay.map(|delay| delay.max), baseline + MORE, "ms");
    Ok(())
}

/// Two programs and the probe as clients of one server, 128 frames a period, frames of 2.5 ms.
fn through_jack(table: &mut Table) -> Outcome<()> {
    let jack = Jack::start(PERIOD).map_err(|error| error.to_string())?;
    let bare = hear_jack(&jack, None, 16)?.delay_ms;
    // Less than nothing: what is written in a period is read in the same one, and each end counts a sound card's period.
    table.goal("JACK: the same devices without a call p50", bare.map(|delay| delay.p50), "", "ms");
    let env = jack.env();
    let callee = Setup::new("Ben", &format!("--once --mic none --host jack {CALL}")).with_env(&env);
    let mut callee = Party::listen(&callee)?;
    let caller = Setup::new("Ada", &format!("--speaker none --host jack {CALL}")).with_env(&env);
    let mut caller = Party::call_to(&caller, &callee)?;
    for party in [&mut caller, &mut callee] {
        party.wait_for("in call with", Duration::from_secs(15))?;
    }
    let port = |party: &Party, part| jack.port_of(party.pid(), part).map_err(|error| error.to_string());
    let (mouth, ear) = (port(&caller, "in_0")?, port(&callee, "out_0")?);
    let heard = hear_jack(&jack, Some((&mouth, &ear)), 100)?;
    caller.terminate()?;
    let (caller, callee) = (caller.finish(Duration::from_secs(10))?, callee.finish(Duration::from_secs(10))?);
    let (_, report) = (caller.ended()?, callee.ended()?);
    table.at_least("JACK: chirps heard through the call", heard.delay_ms.map(|delay| delay.n as f64), 100.0, "");
    table.goal("JACK: chirps with a hole in them", Some(heard.spoilt as f64), "", "");
    let of = |figure: fn(&Summary) -> f64| heard.delay_ms.as_ref().map(figure);
    let over = |figure| Some(of(figure)? - bare?.p50);
    table.goal("JACK: the same devices with a call p50", of(|delay| delay.p50), "", "ms");
    table.at_most("JACK: mouth to ear p50: with a call less without", over(|delay| delay.p50), 16.0, "ms");
    table.goal("JACK: the same", over(|delay| delay.p50), "≤ 12 ms", "ms");
    let with_card = over(|delay| delay.p50).map(|p50| p50 + CARD);
    table.goal(&format!("JACK: the same with the {CARD:.2} ms of a card"), with_card, "", "ms");
    table.goal("JACK: mouth to ear p95", over(|delay| delay.p95), "", "ms");
    table.goal("JACK: sound concealed", report.audio.concealed_ratio.map(|ratio| ratio * 100.0), "≤ 0.1 %", "%");
    table.goal("JACK: loudspeaker's ring ran dry", report.audio.underruns.map(|n| n as f64), "0", "");
    let played = report.audio.delay_ms.map(|delay| delay.p50);
    table.goal("JACK: sound captured to played, by the report, p50", played, "", "ms");
    for (stage, spread) in &report.audio.stages_ms {
        table.goal(&format!("JACK: of this {stage} p50"), Some(spread.p50), "", "ms");
    }
    Ok(())
}
