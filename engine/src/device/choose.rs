//! Which configuration a device is opened with, and opening it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cpal::traits::{DeviceTrait, StreamTrait};
use cpal::{BufferSize, FromSample, SampleFormat, SizedSample, StreamConfig, SupportedStreamConfigRange};

use super::RATE;
use super::backend::Backend;
use super::callback::{MicrophoneCallback, MicrophoneEnd, Shared, SpeakerCallback, SpeakerEnd};
use super::callback::{microphone_pair, speaker_pair};
use super::list::{DeviceEntry, Side, find};
use crate::base::error::{Error, Kind, Result};
use crate::base::time::{Instant, now};

/// 1.25 ms first; what is refused is tried with more, then with whatever the device likes.
const BUFFERS: [BufferSize; 5] = [
    BufferSize::Fixed(60),
    BufferSize::Fixed(120),
    BufferSize::Fixed(240),
    BufferSize::Fixed(480),
    BufferSize::Default,
];
/// For hosts that can hang.
const PATIENCE: Option<Duration> = Some(Duration::from_secs(2));
/// Samples converted at once inside a callback where the device does not speak f32.
const SCRATCH: usize = 1024;

/// A device that runs, and the engine's end of it.
pub(super) struct Opened<End> {
    pub(super) stream: cpal::Stream,
    pub(super) end: End,
    pub(super) rate: u32,
    /// Marks count from here.
    pub(super) epoch: Instant,
    pub(super) entry: DeviceEntry,
}

/// In stereo where `stereo` is wanted and there is any.
pub(super) fn open_microphone(
    name: Option<&str>,
    backend: Option<Backend>,
    stereo: bool,
) -> Result<Opened<MicrophoneEnd>> {
    let (device, entry) = find(Side::Microphone, name, backend)?;
    let configs = device.supported_input_configs().map_err(|error| cannot(Side::Microphone, &error))?;
    let (config, format) = choose(Side::Microphone, if stereo { 2 } else { 1 }, configs)?;
    let epoch = now();
    let mut refused = None;
    for buffer_size in BUFFERS {
        let config = StreamConfig { buffer_size, ..config };
        // 200 ms: what a stalled engine may find when it comes back.
        let (callback, end) = microphone_pair(config.sample_rate as usize / 5, config.channels);
        let stream = match format {
            SampleFormat::F32 => capture::<f32>(&device, config, callback, &end, epoch),
            SampleFormat::I16 => capture::<i16>(&device, config, callback, &end, epoch),
            SampleFormat::I32 => capture::<i32>(&device, config, callback, &end, epoch),
            SampleFormat::U8 => capture::<u8>(&device, config, callback, &end, epoch),
            _ => capture::<u16>(&device, config, callback, &end, epoch),
        };
        match stream.and_then(|stream| stream.play().map(|()| stream)) {
            Ok(stream) => return Ok(Opened { stream, end, rate: config.sample_rate, epoch, entry }),
            Err(error) => refused = Some(error),
        }
    }
    Err(refused.map_or_else(|| no_format(Side::Microphone), |error| cannot(Side::Microphone, &error)))
}

pub(super) fn open_speaker(name: Option<&str>, backend: Option<Backend>) -> Result<Opened<SpeakerEnd>> {
    let (device, entry) = find(Side::Speaker, name, backend)?;
    let configs = device.supported_output_configs().map_err(|error| cannot(Side::Speaker, &error))?;
    let (config, format) = choose(Side::Speaker, 2, configs)?;
    let epoch = now();
    let mut refused = None;
    for buffer_size in BUFFERS {
        let config = StreamConfig { buffer_size, ..config };
        let (callback, end) = speaker_pair(config.sample_rate as usize / 5, config.channels);
        let stream = match format {
            SampleFormat::F32 => playback::<f32>(&device, config, callback, &end, epoch),
            SampleFormat::I16 => playback::<i16>(&device, config, callback, &end, epoch),
            SampleFormat::I32 => playback::<i32>(&device, config, callback, &end, epoch),
            SampleFormat::U8 => playback::<u8>(&device, config, callback, &end, epoch),
            _ => playback::<u16>(&device, config, callback, &end, epoch),
        };
        match stream.and_then(|stream| stream.play().map(|()| stream)) {
            Ok(stream) => return Ok(Opened { stream, end, rate: config.sample_rate, epoch, entry }),
            Err(error) => refused = Some(error),
        }
    }
    Err(refused.map_or_else(|| no_format(Side::Speaker), |error| cannot(Side::Speaker, &error)))
}

/// 48 kHz before all, then as many channels as are wanted, then f32: no conversion is the cheapest conversion.
fn choose(
    side: Side,
    wanted: u16,
    configs: impl Iterator<Item = SupportedStreamConfigRange>,
) -> Result<(StreamConfig, SampleFormat)> {
    let rank = |format| match format {
        SampleFormat::F32 => Some(0),
        SampleFormat::I16 => Some(1),
        SampleFormat::I32 => Some(2),
        SampleFormat::U16 => Some(3),
        SampleFormat::U8 => Some(4),
        _ => None,
    };
    configs
        .filter_map(|range| {
            let rate = RATE.clamp(range.min_sample_rate(), range.max_sample_rate());
            let order = (rate.abs_diff(RATE), range.channels().abs_diff(wanted), rank(range.sample_format())?);
            let config =
                StreamConfig { channels: range.channels(), sample_rate: rate, buffer_size: BufferSize::Default };
            Some((order, config, range.sample_format()))
        })
        .min_by_key(|(order, ..)| *order)
        .map(|(_, config, format)| (config, format))
        .ok_or_else(|| no_format(side))
}

fn capture<T: SizedSample>(
    device: &cpal::Device,
    config: StreamConfig,
    mut callback: MicrophoneCallback,
    end: &MicrophoneEnd,
    epoch: Instant,
) -> Result<cpal::Stream, cpal::Error>
where
    f32: FromSample<T>,
{
    let mut scratch = vec![0.0f32; SCRATCH / usize::from(config.channels) * usize::from(config.channels)];
    device.build_input_stream::<T, _, _>(
        config,
        move |data, info| {
            let at = now().saturating_duration_since(epoch).as_nanos() as u64;
            let stamp = info.timestamp();
            let latency = stamp.callback.saturating_duration_since(stamp.capture).as_nanos() as u64;
            for piece in data.chunks(scratch.len().max(1)) {
                for (slot, sample) in scratch.iter_mut().zip(piece) {
                    *slot = f32::from_sample_(*sample);
                }
                callback.on_data(&scratch[..piece.len()], at, latency);
            }
        },
        on_error(&end.shared),
        PATIENCE,
    )
}

fn playback<T: SizedSample + FromSample<f32>>(
    device: &cpal::Device,
    config: StreamConfig,
    mut callback: SpeakerCallback,
    end: &SpeakerEnd,
    epoch: Instant,
) -> Result<cpal::Stream, cpal::Error> {
    let mut scratch = vec![0.0f32; SCRATCH / usize::from(config.channels) * usize::from(config.channels)];
    device.build_output_stream::<T, _, _>(
        config,
        move |data, info| {
            let at = now().saturating_duration_since(epoch).as_nanos() as u64;
            let stamp = info.timestamp();
            let latency = stamp.playback.saturating_duration_since(stamp.callback).as_nanos() as u64;
            for piece in data.chunks_mut(scratch.len().max(1)) {
                let filled = &mut scratch[..piece.len()];
                callback.on_data(filled, at, latency);
                for (slot, sample) in piece.iter_mut().zip(filled) {
                    *slot = T::from_sample_(*sample);
                }
            }
        },
        on_error(&end.shared),
        PATIENCE,
    )
}

/// An overrun or a refused priority is survived; whatever else ends the device.
fn on_error(shared: &Arc<Shared>) -> impl FnMut(cpal::Error) + Send + 'static {
    let shared = shared.clone();
    move |error: cpal::Error| {
        use cpal::ErrorKind::{DeviceChanged, RealtimeDenied, Xrun};
        if !matches!(error.kind(), Xrun | RealtimeDenied | DeviceChanged) {
            shared.lost.store(true, Ordering::Relaxed);
        }
    }
}

fn cannot(side: Side, error: &cpal::Error) -> Error {
    Error::new(Kind::Reopen, format!("cannot open the {}: {error}", side.word()))
}

fn no_format(side: Side) -> Error {
    Error::new(Kind::Refused, format!("the {} offers no sample format that can be used", side.word()))
}
