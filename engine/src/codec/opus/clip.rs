//! A voice clip: one voice, encoded whole, as a file that any player plays.

use super::{FrameLength, OpusEncoder};
use crate::base::error::{Error, Kind, Result};
use crate::base::rate::Bitrate;
use crate::proto::ogg;

/// A mono clip at 48 kHz as Ogg Opus, 32 kbit/s: four minutes fill a megabyte.
///
/// Errors: `Full` beyond ten minutes; `Refused` where the library has no memory.
pub fn encode(samples: &[f32]) -> Result<Vec<u8>> {
    if samples.len() > LONGEST {
        return Err(Error::new(Kind::Full, "a clip has at most ten minutes"));
    }
    let length = FrameLength::Ms20;
    let mut encoder = OpusEncoder::new(length, Bitrate::from_kbps(32))?;
    encoder.set_complexity(10)?;
    let look_ahead = encoder.look_ahead();
    let (mut packets, mut frame) = (Vec::new(), Vec::with_capacity(length.samples()));
    // As much silence behind it as the encoder looks ahead: the end comes out too.
    let silence = std::iter::repeat_n(0.0, look_ahead);
    let mut rest = samples.iter().copied().chain(silence).peekable();
    while rest.peek().is_some() {
        frame.clear();
        frame.extend(rest.by_ref().take(length.samples()));
        frame.resize(length.samples(), 0.0);
        let mut packet = Vec::new();
        encoder.encode(&frame, &mut packet)?;
        packets.push(packet);
    }
    Ok(ogg::opus_file(&packets, length.samples(), look_ahead, samples.len()))
}

const LONGEST: usize = 10 * 60 * 48_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_of_voice_is_a_file_of_a_few_kilobytes() {
        let tone: Vec<f32> = (0..48_000).map(|n| (n as f32 * 0.05).sin() * 0.3).collect();
        let file = encode(&tone).expect("encoded");
        assert!(file.starts_with(b"OggS") && (2_000..8_000).contains(&file.len()), "{}", file.len());
        assert_eq!(encode(&vec![0.0; LONGEST + 1]).expect_err("too long").kind, Kind::Full);
    }
}
