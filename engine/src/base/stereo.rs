//! Sound of two channels. All that is decoded, mixed and played is of that form; the microphone's in music mode too.

/// One sample of the left and one of the right channel, each from −1 to 1.
pub type Stereo = [f32; 2];

/// The same on both sides.
pub const fn both(sample: f32) -> Stereo {
    [sample; 2]
}

/// What a single ear in the middle hears.
pub const fn middle([left, right]: Stereo) -> f32 {
    (left + right) * 0.5
}

/// The middle of each, instead of what is in `out`.
pub fn to_mono(samples: &[Stereo], out: &mut Vec<f32>) {
    out.clear();
    out.extend(samples.iter().copied().map(middle));
}
