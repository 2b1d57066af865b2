//! What the processing of the microphone's sound does: with speech made for it, in a room that is computed.

use std::path::Path;

use engine::base::time::{Duration, Instant, now};
use engine::codec::VideoCodec;
use engine::codec::worker::Work;
use engine::device::{MicrophoneSpec, SpeakerSpec};
use engine::handle::Command;
use engine::lab::Lab;
use engine::media::switches::Switches;
use engine::net::impair::Impairment;
use engine::voice::VoiceProcessor;
use rustix::time::{ClockId, clock_gettime};
use visavis_tests::speech::power;
use visavis_tests::{Outcome, room, speech};

use crate::table::Table;

const RATE: usize = 48_000;
/// What a device gives at a time: 5 ms.
const PART: usize = 240;
const ECHO: Switches = Switches { echo: true, ..Switches::OFF };
const NOISE: Switches = Switches { noise: true, ..Switches::OFF };
/// How far the far speech is below full scale while somebody speaks; the echo is 9 dB below that, and the near speech 6 dB
/// above the echo.
const FAR: f32 = -23.0;
const NEAR: f32 = -26.0;
const ECHO_GAIN: f32 = 0.35;

pub fn processing(table: &mut Table) -> Outcome<()> {
    let (far, near) = (speech::far(FAR)?, speech::near(NEAR)?);
    echo(table, &far, &near);
    moved(table, &far);
    drift(table, &far);
    noise(table, &near, &far);
    delay(table);
    cost(table, &far, &near)
}

/// A loudspeaker and a microphone.
struct Devices<'a> {
    switches: Switches,
    /// What the microphone captures, sample by sample.
    captured: &'a [f32],
    /// What is played, and at which sample of the microphone's time it says that a sample plays.
    played: &'a [f32],
    plays: &'a dyn Fn(usize) -> f64,
}

impl Devices<'_> {
    /// What comes out, moved to the time of its capture.
    fn run(&self) -> Vec<f32> {
        let (mut processor, start) = (VoiceProcessor::new(self.switches), now());
        let (mut out, mut placed, mut pushed) = (Vec::new(), vec![0.0; self.captured.len()], 0);
        for (part, samples) in self.captured.chunks(PART).enumerate() {
            // The engine is 10 ms ahead of its loudspeaker.
            while (self.plays)(pushed) < ((part + 3) * PART) as f64 {
                let Some(more) = self.played.get(pushed..pushed + PART) else { break };
                processor.play(more, at(start, (self.plays)(pushed)));
                pushed += PART;
            }
            out.clear();
            let first = processor.process(samples, at(start, (part * PART) as f64), &mut out);
            let place = (first - at(start, 0.0)).as_secs_f64() * RATE as f64;
            if let Some(place) = placed.get_mut(place.round() as usize..) {
                place.iter_mut().zip(&out).for_each(|(place, sample)| *place = *sample);
            }
        }
        placed
    }
}

/// When a sample was captured; nothing was captured in the first second.
fn at(start: Instant, sample: f64) -> Instant {
    start + Duration::from_secs_f64(1.0 + sample / RATE as f64)
}

/// `sound` so many milliseconds later.
fn later(sound: &[f32], ms: usize) -> Vec<f32> {
    std::iter::repeat_n(0.0, ms * RATE / 1000).chain(sound.iter().copied()).take(sound.len()).collect()
}

fn scaled(sound: &[f32], gain: f32) -> Vec<f32> {
    sound.iter().map(|sample| sample * gain).collect()
}

/// A quiet room's own noise, 76 dB below full scale.
fn with_room_noise(sound: &[f32]) -> Vec<f32> {
    let noise = speech::white(sound.len());
    sound.iter().zip(noise).map(|(sample, noise)| sample + noise * 2.7e-4).collect()
}

/// How much less there is of `before` in `after`, decibels, from `from` to `to` seconds.
fn down(before: &[f32], after: &[f32], from: f64, to: f64) -> f64 {
    let part = (from * RATE as f64) as usize..((to * RATE as f64) as usize).min(before.len());
    decibels(power(&before[part.clone()]) / power(&after[part]).max(1e-20))
}

fn decibels(ratio: f32) -> f64 {
    10.0 * f64::from(ratio).log10()
}

/// 1 where both are the same but for their strength.
fn correlation(one: &[f32], other: &[f32]) -> f64 {
    let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    product(one, other) / (product(one, one) * product(other, other)).sqrt().max(1e-20)
}

/// How much of `heard` is `speech`, at whatever strength, against all else, in decibels (J. Le Roux and others, "SDR: half-baked
/// or well done?", 2019, SI-SDR), pauses included.
fn projected(speech: &[f32], heard: &[f32]) -> f64 {
    let share = correlation(speech, heard).powi(2);
    10.0 * (share / (1.0 - share).max(1e-12)).log10()
}

/// The mean over all frames of 20 ms in which `speech` is loud.
fn frames(speech: &[f32], heard: &[f32]) -> f64 {
    let loud = speech.chunks_exact(960).zip(heard.chunks_exact(960)).filter(|(speech, _)| power(speech) > 1e-5);
    let each: Vec<f64> = loud.map(|(speech, heard)| correlation(speech, heard)).collect();
    each.iter().sum::<f64>() / each.len().max(1) as f64
}

fn echo(table: &mut Table, far: &[f32], near: &[f32]) {
    let plays = |sample: usize| sample as f64;
    let run = |captured: &[f32]| Devices { switches: ECHO, captured, played: far, plays: &plays }.run();
    for ms in [60, 120, 200] {
        let captured = later(&scaled(far, 0.5), ms);
        let out = run(&captured);
        let line = format!("echo {ms} ms late, linear: less of it after 3 s");
        table.at_least(&line, Some(down(&captured, &out, 3.0, 30.0)), 45.0, "dB");
    }
    let response = room::response(0.4);
    for (name, distorted) in [
        ("linear", far.to_vec()),
        ("saturated", far.iter().map(|sample| (sample * 6.0).tanh() / 6.0).collect::<Vec<f32>>()),
        ("clipped", far.iter().map(|sample| sample.clamp(-0.12, 0.12)).collect()),
    ] {
        let heard = room::heard(&distorted, &response);
        let gain = ECHO_GAIN * (power(far) / power(&heard)).sqrt();
        let captured = with_room_noise(&later(&scaled(&heard, gain), 60));
        let line = |text: &str| format!("loudspeaker {name}, a room of 0.4 s: {text}");
        let out = run(&captured);
        // What is left is the room's noise, which is not the echo's.
        table.at_least(&line("echo less after 3 s"), Some(down(&captured, &out, 3.0, 30.0)), 25.0, "dB");
        let mut both = captured.clone();
        let from = 8 * RATE;
        both[from..].iter_mut().zip(near).for_each(|(sample, near)| *sample += near);
        let length = near.len().min(both.len() - from) - RATE;
        let (spoken, out) = (&near[..length], &run(&both)[from..from + length]);
        table.at_least(&line("both speak, correlation, % "), Some(correlation(spoken, out) * 100.0), 90.0, "%");
        table.goal(&line("the same before"), Some(correlation(spoken, &both[from..from + length]) * 100.0), "", "%");
        table.goal(&line("in frames of 20 ms, mean"), Some(frames(spoken, out) * 100.0), "", "%");
    }
}

/// The echo is 100 ms later from 15 s on: known from the device's times, or not.
fn moved(table: &mut Table, far: &[f32]) {
    let moves = 15 * RATE;
    for (name, known) in [("says so", true), ("does not say so", false)] {
        let shift = |sample: usize| if sample >= moves { 4800 } else { 0 };
        let plays = |sample: usize| (sample + if known { shift(sample) } else { 0 }) as f64;
        let echo = |sample: usize| sample.checked_sub(2880 + shift(sample)).map_or(0.0, |at| far[at] * 0.5);
        let captured: Vec<f32> = (0..far.len()).map(echo).collect();
        let out = Devices { switches: ECHO, captured: &captured, played: far, plays: &plays }.run();
        // The first quarter of a second from which on it is always 25 dB less.
        let quarters = (0..24).map(|quarter| {
            let from = 15.0 + f64::from(quarter) * 0.25;
            let loud = power(&captured[(from * RATE as f64) as usize..][..RATE / 4]) > 1e-5;
            !loud || down(&captured, &out, from, from + 0.25) >= 25.0
        });
        let held: Vec<bool> = quarters.collect();
        let recovered = held.iter().rposition(|held| !held).map_or(0, |last| last + 1);
        let seconds = Some(recovered as f64 * 0.25).filter(|_| recovered < held.len());
        table.at_most(&format!("a loudspeaker 100 ms later that {name}: recovered"), seconds, 3.0, "s");
    }
}

/// A loudspeaker whose clock is another one, for half a minute.
fn drift(table: &mut Table, far: &[f32]) {
    for ppm in [-1000.0, -100.0, 100.0, 1000.0] {
        let ratio = 1.0 + ppm * 1e-6;
        let echo = |sample: usize| between(far, (sample as f64 - 2880.0) * ratio) * 0.5;
        let captured: Vec<f32> = (0..far.len() - RATE).map(echo).collect();
        for (name, known) in [("", 1.0), (", its times hidden", 0.0)] {
            let plays = |sample: usize| sample as f64 / (1.0 + ppm * 1e-6 * known);
            let out = Devices { switches: ECHO, captured: &captured, played: far, plays: &plays }.run();
            let mut each: Vec<f64> = (4..30)
                .filter(|second| power(&captured[second * RATE..][..RATE]) > 1e-6)
                .map(|second| down(&captured, &out, second as f64, second as f64 + 1.0))
                .collect();
            each.sort_unstable_by(f64::total_cmp);
            let line = |text: &str| format!("clocks {ppm:+.0} ppm apart{name}: echo less, {text}");
            let median = each.get(each.len() / 2).copied();
            if known > 0.0 {
                table.at_least(&line("median second"), median, 25.0, "dB");
                table.goal(&line("worst second after 4 s"), each.first().copied(), "", "dB");
            } else {
                table.goal(&line("median second"), median, "", "dB");
            }
        }
    }
}

/// The sound between samples: by a sinc in a window, which is no part of what is measured.
fn between(sound: &[f32], place: f64) -> f32 {
    const REACH: i64 = 16;
    let middle = place.floor() as i64;
    let taps = (middle - REACH + 1..=middle + REACH).filter_map(|at| {
        let sample = f64::from(*sound.get(usize::try_from(at).ok()?)?);
        let turn = (place - at as f64) * std::f64::consts::PI;
        let sinc = if turn.abs() < 1e-9 { 1.0 } else { turn.sin() / turn };
        Some(sample * sinc * (0.5 + 0.5 * (turn / (REACH + 1) as f64).cos()))
    });
    taps.sum::<f64>() as f32
}

fn noise(table: &mut Table, near: &[f32], far: &[f32]) {
    let length = near.len();
    for (name, noise) in
        [("pink noise", speech::pink(length)), ("a fan", speech::fan(length)), ("babble", speech::babble(length, far))]
    {
        let noise = scaled(&noise, (power(near) / power(&noise) / 10.0).sqrt());
        // What is done to the sum is done to both: with the noise the other way round, each can be told from the other.
        let run = |sign: f32| {
            let captured: Vec<f32> = near.iter().zip(&noise).map(|(near, noise)| near + noise * sign).collect();
            Devices { switches: NOISE, captured: &captured, played: &[], plays: &|_| f64::INFINITY }.run()
        };
        let (one, other) = (run(1.0), run(-1.0));
        // The first three seconds it learns, and the last samples are still inside.
        let part = 3 * RATE..length - 960;
        let half = |sign: f32| -> Vec<f32> {
            one.iter().zip(&other).map(|(one, other)| (one + sign * other) / 2.0).collect::<Vec<_>>()[part.clone()]
                .into()
        };
        let (left, noise_left) = (half(1.0), half(-1.0));
        let before = decibels(power(&near[part.clone()]) / power(&noise[part.clone()]));
        let better = decibels(power(&left) / power(&noise_left)) - before;
        let line = |text: &str| format!("{name} at 10 dB: {text}");
        table.goal(
            &line("better, what became of the speech against what became of the noise"),
            Some(better),
            "≥ 8 dB",
            "dB",
        );
        // The stricter measure: what was done to the speech itself counts as noise too.
        let captured: Vec<f32> = near.iter().zip(&noise).map(|(near, noise)| near + noise).collect();
        let speech = &near[part.clone()];
        let better = projected(speech, &one[part.clone()]) - projected(speech, &captured[part.clone()]);
        table.goal(&line("better, what is the clean speech against all that is not"), Some(better), "≥ 8 dB", "dB");
        table.goal(&line("the speech itself against what was done to it"), Some(projected(speech, &left)), "", "dB");
        let pauses: Vec<usize> =
            part.clone().step_by(960).filter(|at| power(&near[*at..at + 960]) < 1e-8 && at + 960 < part.end).collect();
        let sum = |sound: &[f32]| pauses.iter().map(|at| power(&sound[*at..at + 960])).sum::<f32>();
        table.at_least(&line("noise less while nobody speaks"), Some(decibels(sum(&noise) / sum(&one))), 8.0, "dB");
        let kept = correlation(&near[part.clone()], &one[part.clone()]);
        table.at_least(&line("correlation with the speech"), Some(kept * 100.0), 90.0, "%");
    }
}

/// A click in each place, given in parts of 2.5 and of 5 ms: how much later than without processing the part with it is there.
fn delay(table: &mut Table) {
    let worst = |switches: Switches| {
        let mut worst = 0;
        for part in [120, 240] {
            for place in (0..1920).step_by(37) {
                worst = worst.max(click(switches, part, RATE / 4 + place));
            }
        }
        Some(worst as f64 / 48.0)
    };
    table.at_most("delay of a click, all off, at most", worst(Switches::OFF), 0.0, "ms");
    table.at_most("delay of a click, echo, at most", worst(ECHO), 10.0, "ms");
    table.at_most("delay of a click, noise, at most", worst(NOISE), 10.0, "ms");
    table.at_most("delay of a click, gain, at most", worst(Switches { gain: true, ..Switches::OFF }), 0.0, "ms");
    table.at_most("delay of a click, all on, at most", worst(Switches::ON), 10.0, "ms");
}

/// Samples between the end of the part with the click at `place` and the end of the part that brings it.
fn click(switches: Switches, part: usize, place: usize) -> usize {
    let (mut processor, start, mut out) = (VoiceProcessor::new(switches), now(), Vec::new());
    for begins in (0..RATE / 2).step_by(part) {
        let samples: Vec<f32> = (begins..begins + part).map(|at| if at == place { 0.5 } else { 0.0 }).collect();
        out.clear();
        processor.process(&samples, at(start, begins as f64), &mut out);
        if out.iter().any(|sample| sample.abs() > 0.02) {
            return begins - place / part * part;
        }
    }
    usize::MAX
}

/// Processor time: of the processing alone, and of a whole call with sound alone in virtual time, both sides.
fn cost(table: &mut Table, far: &[f32], near: &[f32]) -> Outcome<()> {
    let seconds = far.len() as f64 / RATE as f64;
    let captured: Vec<f32> =
        later(&scaled(far, ECHO_GAIN), 60).iter().zip(near).map(|(echo, near)| echo + near).collect();
    for switches in [ECHO, NOISE, Switches::ON] {
        let begun = used();
        Devices { switches, captured: &captured, played: far, plays: &|sample| sample as f64 }.run();
        let share = (used() - begun) / (captured.len() as f64 / RATE as f64) * 100.0;
        table.goal(&format!("processor of the processing, {switches}"), Some(share), "", "%");
    }
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let path = folder.path().join("near.wav");
    write(&path, near)?;
    for (name, switches, must) in [("all off", Switches::OFF, None), ("all on", Switches::ON, Some(4.0))] {
        let begun = used();
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let mut lab = Lab::new(folder.path(), Impairment::profile("home").ok_or("no such profile")?, 1);
        let setup = |config: &mut engine::world::config::Config| {
            (config.microphone, config.speaker) = (MicrophoneSpec::Wav(path.clone()), SpeakerSpec::None);
            (config.auto_answer, config.plain, config.codec) = (true, true, VideoCodec::H264);
            config.work = Work::Inline { encode: Duration::ZERO, decode: Duration::ZERO };
            config.processing = Some(switches);
        };
        let failed = |error: engine::base::error::Error| error.text.to_string();
        let (ada, ben) = (lab.add("Ada", setup).map_err(failed)?, lab.add("Ben", setup).map_err(failed)?);
        lab.command(ada, Command::Call(lab.target(ben)));
        lab.run_for(Duration::from_secs(60));
        let share = (used() - begun) / 60.0 / 2.0 * 100.0;
        let line = format!("processor of one side of a call with sound, {name}");
        match must {
            Some(must) => table.at_most(&line, Some(share), must, "%"),
            None => table.goal(&line, Some(share), "", "%"),
        }
    }
    table.goal("seconds of speech that were used", Some(seconds), "", "s");
    Ok(())
}

/// Processor time of this process until now, seconds.
fn used() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// One channel of 16 bits at 48 kHz.
fn write(path: &Path, sound: &[f32]) -> Outcome<()> {
    let samples = sound.iter().flat_map(|sample| ((sample * 32_767.0) as i16).to_le_bytes());
    let length = sound.len() as u32 * 2;
    let mut bytes = b"RIFF".to_vec();
    bytes.extend((36 + length).to_le_bytes());
    bytes.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    bytes.extend((RATE as u32).to_le_bytes());
    bytes.extend((RATE as u32 * 2).to_le_bytes());
    bytes.extend(b"\x02\0\x10\0data");
    bytes.extend(length.to_le_bytes());
    bytes.extend(samples);
    std::fs::write(path, bytes).map_err(|error| error.to_string())
}
