//! The decoder: one per incoming stream.

use std::fmt;

use audiopus::coder::Decoder;
use audiopus::packet::{Packet, nb_samples};
use audiopus::{Channels, MutSignals, SampleRate};

use super::{MAX_PACKET_SAMPLES, malformed, refused};
use crate::base::error::{Error, Kind, Result};
use crate::base::stereo::Stereo;

/// Decodes to 48 kHz stereo, whatever the packets hold (of mono both sides are the same).
pub struct OpusDecoder {
    decoder: Decoder,
    /// Sound goes on without a packet in frames of so many samples, as long as those of the packets: within one the library goes
    /// on smoothly, and what it makes of another length does not fit to what follows.
    step: usize,
    /// What was made of such a frame and nobody has asked for yet.
    rest: Vec<Stereo>,
}

/// A frame of the library's concealment is at most 20 ms long.
const LONGEST_STEP: usize = 960;
/// 2.5 ms, in which one sound goes over into another.
const FADE: usize = 120;

impl OpusDecoder {
    /// Errors: `Refused` where the library has no memory.
    pub fn new() -> Result<Self> {
        let decoder = Decoder::new(SampleRate::Hz48000, Channels::Stereo).map_err(refused)?;
        Ok(Self { decoder, step: FADE, rest: Vec::with_capacity(LONGEST_STEP) })
    }

    /// Decodes `packet`, appends its samples to `out` and returns their number.
    ///
    /// Errors: `Malformed`: count the packet as lost and [`conceal`](Self::conceal) instead; `out` is as it was.
    pub fn decode(&mut self, packet: &[u8], out: &mut Vec<Stereo>) -> Result<usize> {
        let samples = packet_samples(packet).ok_or_else(not_a_packet)?;
        let start = out.len();
        let decoded = self.run(Some(packet), samples, false, out)?;
        self.step = samples.min(LONGEST_STEP);
        self.join(&mut out[start..]);
        Ok(decoded)
    }

    /// Appends `samples` samples that continue the sound where a packet is missing, the same in however many calls.
    pub fn conceal(&mut self, samples: usize, out: &mut Vec<Stereo>) {
        let end = out.len() + samples;
        out.extend(self.rest.drain(..samples.min(self.rest.len())));
        while out.len() < end {
            if self.run(None, self.step, false, out).is_err() {
                out.resize(end, [0.0; 2]);
            }
        }
        self.rest.extend(out.drain(end..));
    }

    /// What was concealed beyond what was asked for fades into what was decoded after it.
    fn join(&mut self, decoded: &mut [Stereo]) {
        let over = self.rest.len().min(FADE) as f32;
        for (n, (sample, rest)) in decoded.iter_mut().zip(self.rest.iter().take(FADE)).enumerate() {
            let share = (n as f32 + 0.5) / over;
            *sample = std::array::from_fn(|side| sample[side] * share + rest[side] * (1.0 - share));
        }
        self.rest.clear();
    }

    /// Appends the `samples` samples *before* `packet` from the copy that `packet` carries of them, or conceals where
    /// it carries none. Decode `packet` itself after.
    ///
    /// Errors: `Malformed`, as above.
    pub fn decode_fec(&mut self, packet: &[u8], samples: usize, out: &mut Vec<Stereo>) -> Result<usize> {
        packet_samples(packet).ok_or_else(not_a_packet)?;
        let end = out.len() + samples;
        let step = samples.div_ceil(120).saturating_mul(120).min(MAX_PACKET_SAMPLES);
        let start = out.len();
        self.run(Some(packet), step, true, out)?;
        out.resize(end, [0.0; 2]);
        self.join(&mut out[start..]);
        Ok(samples)
    }

    fn run(&mut self, packet: Option<&[u8]>, samples: usize, fec: bool, out: &mut Vec<Stereo>) -> Result<usize> {
        let start = out.len();
        out.resize(start + samples, [0.0; 2]);
        let packet = packet.map(Packet::try_from).transpose().map_err(malformed)?;
        let decoded = MutSignals::try_from(out[start..].as_flattened_mut())
            .and_then(|signals| self.decoder.decode_float(packet, signals, fec));
        match decoded {
            Ok(decoded) => {
                out.truncate(start + decoded.min(samples));
                out[start..].as_flattened_mut().iter_mut().for_each(|sample| *sample = bounded(*sample));
                Ok(decoded.min(samples))
            }
            Err(error) => {
                out.truncate(start);
                Err(malformed(error))
            }
        }
    }
}

/// 12 dB above full scale: more than the codec adds to any sound that a microphone can take.
pub const LOUDEST: f32 = 4.0;

/// Malformed packets have been seen to decode to millions: the limiter would turn everybody else down for it.
fn bounded(sample: f32) -> f32 {
    if sample.is_finite() { sample.clamp(-LOUDEST, LOUDEST) } else { 0.0 }
}

impl fmt::Debug for OpusDecoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpusDecoder").finish_non_exhaustive()
    }
}

/// The number of samples at 48 kHz that `packet` holds by its table of contents (RFC 6716 §3.1); `None` where it is
/// no packet. The frames inside are checked only by decoding.
pub fn packet_samples(packet: &[u8]) -> Option<usize> {
    let packet = Packet::try_from(packet).ok()?;
    nb_samples(packet, SampleRate::Hz48000).ok().filter(|samples| (1..=MAX_PACKET_SAMPLES).contains(samples))
}

fn not_a_packet() -> Error {
    Error::new(Kind::Malformed, "not an Opus packet")
}
