//! Rates other than 48 kHz, by rubato; never inside a callback.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Async, FixedAsync, Resampler, SincInterpolationParameters, SincInterpolationType, WindowFunction};

use crate::base::error::{Error, Kind, Result};
use crate::base::stereo::Stereo;

/// 1.3 ms at 48 kHz: small against a callback, large against the cost of a call.
const CHUNK: usize = 64;

/// Converts sound from one rate to another, or hands it through where they are the same.
pub struct Converter {
    inner: Option<Box<Async<f32>>>,
    waiting: Vec<Stereo>,
    made: Vec<Stereo>,
}

impl Converter {
    /// Errors: `Refused` for a rate of zero.
    pub fn new(from: u32, to: u32) -> Result<Self> {
        if from == to {
            return Ok(Self { inner: None, waiting: Vec::new(), made: Vec::new() });
        }
        if from == 0 || to == 0 {
            return Err(Error::new(Kind::Refused, "a sample rate of zero"));
        }
        // 64 taps: 0.7 ms of delay, stop band below −80 dB; speech asks for no more.
        let parameters = SincInterpolationParameters {
            sinc_len: 64,
            f_cutoff: None,
            interpolation: SincInterpolationType::Linear,
            oversampling_factor: 256,
            window: WindowFunction::BlackmanHarris2,
        };
        let ratio = f64::from(to) / f64::from(from);
        let inner = Async::new_sinc(ratio, 1.01, &parameters, CHUNK, 2, FixedAsync::Input)
            .map_err(|error| Error::new(Kind::Refused, format!("cannot convert {from} Hz to {to} Hz: {error}")))?;
        let made = vec![[0.0; 2]; inner.output_frames_max()];
        Ok(Self { inner: Some(Box::new(inner)), waiting: Vec::with_capacity(16 * CHUNK), made })
    }

    /// Converts `samples` and appends what is ready to `out`.
    pub fn convert(&mut self, samples: &[Stereo], out: &mut Vec<Stereo>) {
        let Some(inner) = &mut self.inner else {
            out.extend_from_slice(samples);
            return;
        };
        self.waiting.extend_from_slice(samples);
        let mut start = 0;
        while let Some(chunk) = self.waiting.get(start..start + CHUNK) {
            start += CHUNK;
            let frames = self.made.len();
            let (Ok(input), Ok(mut output)) = (
                InterleavedSlice::new(chunk.as_flattened(), 2, CHUNK),
                InterleavedSlice::new_mut(self.made.as_flattened_mut(), 2, frames),
            ) else {
                continue;
            };
            // Sizes are right by construction; were one not, a chunk of silence is better than no sound at all.
            let made = inner.process_into_buffer(&input, &mut output, None).map_or(0, |(_, made)| made);
            out.extend_from_slice(self.made.get(..made).unwrap_or_default());
        }
        self.waiting.drain(..start);
    }

    /// Samples at the input rate that wait for a whole chunk.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Samples that must come before anything is made: a whole chunk, or one.
    pub(super) fn missing(&self) -> usize {
        if self.inner.is_some() { CHUNK - self.waiting.len() } else { 1 }
    }

    /// Samples at the output rate by which the sound is behind, the waiting ones not counted.
    pub(super) fn delay(&self) -> usize {
        self.inner.as_ref().map_or(0, |inner| inner.output_delay())
    }
}
