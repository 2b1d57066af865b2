//! Speech that nobody has spoken, and noises: made anew for each test.

use std::process::{Command, Stdio};

use engine::base::stereo::{Stereo, both, middle};
use engine::device::Converter;

use crate::Outcome;

/// Who says something, and what.
const FAR: [(&str, &str); 2] = [
    (
        "en-gb",
        "Good morning. I have looked at the plans for the new bridge, and I think that we should begin with the \
         northern side, because the ground there is firmer. The engineers agree, but the city wants to see three more \
         drawings before anybody moves a single stone. Can you send them to me by Thursday afternoon? If not, please \
         call Peter and tell him why it takes so long.",
    ),
    (
        "en-us+f3",
        "The quick brown fox jumps over the lazy dog while seven wizards make toxic brew for the evil queen and Jack. \
         Yesterday it rained all day, so we stayed inside, read our books, and drank far too much tea.",
    ),
];
const NEAR: [(&str, &str); 2] = [
    (
        "en-us+f2",
        "Yes, of course. My brother keeps the drawings in his office, and he will be back on Wednesday. I could ask him \
         to copy the third page for you. Shall we meet at the station at half past nine? The weather is said to be \
         fine, and the train is usually on time. Bring the big umbrella all the same.",
    ),
    (
        "de+m3",
        "Guten Tag. Ich habe die Zeichnungen gesehen und finde, dass wir auf der Nordseite anfangen sollten. Bitte rufen \
         Sie mich am Donnerstag an.",
    ),
];

/// Half a minute of a man and a woman; 48 kHz, while they speak at `level` dBFS.
///
/// # Errors
/// There is no `espeak-ng`.
pub fn far(level: f32) -> Outcome<Vec<f32>> {
    said(&FAR, level)
}

/// The same of two others, in two languages.
///
/// # Errors
/// As [`far`].
pub fn near(level: f32) -> Outcome<Vec<f32>> {
    said(&NEAR, level)
}

fn said(parts: &[(&str, &str)], level: f32) -> Outcome<Vec<f32>> {
    let mut all = Vec::new();
    for (voice, text) in parts {
        let mut sound = spoken(voice, text)?;
        // Pauses do not count.
        let loud: Vec<f32> = sound.chunks(960).map(power).filter(|power| *power > 1e-5).collect();
        let mean = loud.iter().sum::<f32>() / loud.len().max(1) as f32;
        let gain = 10f32.powf(level / 20.0) / mean.sqrt();
        sound.iter_mut().for_each(|sample| *sample *= gain);
        all.append(&mut sound);
    }
    Ok(all)
}

fn spoken(voice: &str, text: &str) -> Outcome<Vec<f32>> {
    let mut command = Command::new("espeak-ng");
    command.args(["-v", voice, "-s", "160", "--stdout", text]).stdin(Stdio::null()).stderr(Stdio::null());
    let output = command.output().map_err(|error| format!("espeak-ng: {error}; scripts/setup.sh test installs it"))?;
    let data = output.stdout.windows(4).position(|name| name == b"data").ok_or("espeak-ng says nothing")?;
    let bytes = output.stdout.get(data + 8..).unwrap_or_default();
    let sample = |bytes: &[u8; 2]| f32::from(i16::from_le_bytes(*bytes)) / 32_768.0;
    let samples: Vec<Stereo> = bytes.as_chunks().0.iter().map(sample).map(both).collect();
    let mut sound = Vec::new();
    // The rate of all its voices.
    Converter::new(22_050, 48_000).map_err(|error| error.text.to_string())?.convert(&samples, &mut sound);
    Ok(sound.into_iter().map(middle).collect())
}

/// Mean square.
pub fn power(sound: &[f32]) -> f32 {
    sound.iter().map(|x| x * x).sum::<f32>() / sound.len().max(1) as f32
}

/// White noise from −1 to 1, the same each time.
pub fn white(length: usize) -> Vec<f32> {
    let mut state = 0x2545_f491u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..length).map(|_| next()).collect()
}

/// 3 dB less an octave (P. Kellett's filter, within 0.05 dB above 9 Hz at 44.1 kHz).
pub fn pink(length: usize) -> Vec<f32> {
    const POLES: [(f32, f32); 6] = [
        (0.99886, 0.055_517_9),
        (0.99332, 0.075_075_9),
        (0.969, 0.153_852),
        (0.8665, 0.310_485_6),
        (0.55, 0.532_952_2),
        (-0.7616, -0.016_898),
    ];
    let (mut states, mut last) = ([0.0f32; 6], 0.0);
    let mut next = |white: f32| {
        for (state, (pole, gain)) in states.iter_mut().zip(POLES) {
            *state = pole * *state + white * gain;
        }
        let sum = states.iter().sum::<f32>() + last + white * 0.5362;
        last = white * 0.115_926;
        sum
    };
    white(length).into_iter().map(&mut next).collect()
}

/// A computer's fan: dark noise, and its blades.
pub fn fan(length: usize) -> Vec<f32> {
    let mut dark = 0.0;
    let mut at = 0;
    let mut next = |pink: f32| {
        dark += 0.05 * (pink - dark);
        let turn = at as f32 / 48_000.0 * std::f32::consts::TAU;
        at += 1;
        3.0 * dark + 0.6 * (120.0 * turn).sin() + 0.3 * (240.0 * turn).sin() + 0.2 * (1180.0 * turn).sin()
    };
    pink(length).into_iter().map(&mut next).collect()
}

/// Twelve voices at once, quicker and slower: none is understood.
pub fn babble(length: usize, voices: &[f32]) -> Vec<f32> {
    let mut sum = vec![0.0; length];
    for voice in 0..12 {
        let speed = [1.0, 0.9, 1.1, 1.2][voice % 4];
        for (at, sum) in sum.iter_mut().enumerate() {
            *sum += voices[((at as f64 * speed) as usize + voice * 97_000) % voices.len()];
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pink_noise_has_as_much_in_each_octave() {
        let noise = pink(96_000);
        // Differences of neighbours favour the highest octaves: white noise would give 2.
        let steps: Vec<f32> = noise.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let share = power(&steps) / power(&noise);
        assert!((0.05..0.5).contains(&share), "{share}");
    }

    #[test]
    fn what_is_said_has_its_level() {
        let said = near(-26.0).expect("espeak-ng");
        let loud: Vec<f32> = said.chunks(960).map(power).filter(|power| *power > 1e-6).collect();
        let level = 10.0 * (loud.iter().sum::<f32>() / loud.len() as f32).log10();
        assert!(said.len() > 20 * 48_000 && (-30.0..-24.0).contains(&level), "{} s, {level} dBFS", said.len() / 48_000);
    }
}
