//! WAV files: read whole when opened, written by a thread of their own.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use hound::{SampleFormat, WavReader, WavSpec, WavWriter};

use super::RATE;
use super::convert::Converter;
use crate::base::error::{Error, Kind, Result};
use crate::base::pipe::{PipeReceiver, PipeSender, pipe};
use crate::base::stereo::{Stereo, both};

/// Half an hour of 48 kHz stereo: 700 MB as f32 at most while reading.
const LONGEST: u32 = RATE * 60 * 30;
/// Blocks of at least 2.5 ms between engine and writer: a disk that stalls for 0.6 s loses nothing.
const BLOCKS: usize = 256;

/// The whole file at 48 kHz; of more than two channels the middle on both sides.
///
/// Errors: `Gone` where it cannot be opened, `Malformed` where it is no WAV file or holds no sound: tell the person.
pub fn read(path: &Path) -> Result<Vec<Stereo>> {
    let shown = path.display();
    let file = File::open(path).map_err(|error| Error::new(Kind::Gone, format!("cannot open {shown}: {error}")))?;
    let malformed = |error: hound::Error| Error::new(Kind::Malformed, format!("{shown} is not a WAV file: {error}"));
    let reader = WavReader::new(std::io::BufReader::new(file)).map_err(malformed)?;
    let spec = reader.spec();
    let channels = usize::from(spec.channels.max(1));
    if reader.duration() > LONGEST {
        return Err(Error::new(Kind::Refused, format!("{shown} is longer than half an hour")));
    }
    let samples: Vec<f32> = match spec.sample_format {
        SampleFormat::Float => reader.into_samples::<f32>().collect::<Result<_, _>>(),
        SampleFormat::Int => {
            let scale = 1.0 / (1u64 << (spec.bits_per_sample.clamp(1, 32) - 1)) as f32;
            reader.into_samples::<i32>().map(|sample| sample.map(|sample| sample as f32 * scale)).collect()
        }
    }
    .map_err(malformed)?;
    let two = |frame: &[f32]| match *frame {
        [left, right] => [left, right],
        _ => both(frame.iter().sum::<f32>() / channels as f32),
    };
    let samples: Vec<Stereo> = samples.chunks_exact(channels).map(two).collect();
    let mut out = Vec::with_capacity(samples.len());
    Converter::new(spec.sample_rate, RATE)?.convert(&samples, &mut out);
    if out.is_empty() {
        return Err(Error::new(Kind::Malformed, format!("{shown} holds no sound")));
    }
    Ok(out)
}

/// Writes 48 kHz stereo, 16 bit, on the thread `wav`. The header is brought up to date each second, so that a killed
/// process leaves a file that can be read; dropping ends the file.
#[derive(Debug)]
pub(super) struct Recorder {
    blocks: Option<PipeSender<Vec<Stereo>>>,
    spent: PipeReceiver<Vec<Stereo>>,
    thread: Option<JoinHandle<()>>,
    lost: u64,
    waits: bool,
}

impl Recorder {
    /// One that `waits` for the disk, or one that loses what the disk is too slow for.
    ///
    /// Errors: `Gone` where the file cannot be made.
    pub(super) fn new(path: PathBuf, waits: bool) -> Result<Self> {
        let cannot =
            |error: &dyn std::fmt::Display| Error::new(Kind::Gone, format!("cannot write {}: {error}", path.display()));
        let spec = WavSpec { channels: 2, sample_rate: RATE, bits_per_sample: 16, sample_format: SampleFormat::Int };
        let mut writer = WavWriter::create(&path, spec).map_err(|error| cannot(&error))?;
        writer.flush().map_err(|error| cannot(&error))?;
        let (blocks, taken) = pipe::<Vec<Stereo>>(BLOCKS);
        let (given_back, spent) = pipe(BLOCKS);
        let thread = std::thread::Builder::new()
            .name("wav".into())
            .spawn(move || write(writer, &taken, &given_back))
            .map_err(|error| cannot(&error))?;
        Ok(Self { blocks: Some(blocks), spent, thread: Some(thread), lost: 0, waits })
    }

    /// Hands `samples` over. When the pipe is full they are counted and lost: an engine in real time never waits for a disk.
    pub(super) fn write(&mut self, samples: &[Stereo]) {
        let mut block = self.spent.try_recv().unwrap_or_default();
        block.clear();
        block.extend_from_slice(samples);
        let is_taken = self.blocks.as_ref().is_some_and(|blocks| match self.waits {
            true => blocks.send(block).is_ok(),
            false => blocks.try_send(block).is_ok(),
        });
        if !is_taken {
            self.lost += samples.len() as u64;
        }
    }

    /// Samples that found no room.
    pub(super) const fn lost(&self) -> u64 {
        self.lost
    }

    /// True when the disk refused: the thread has ended.
    pub(super) fn is_gone(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.blocks = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn write(mut writer: WavWriter<BufWriter<File>>, blocks: &PipeReceiver<Vec<Stereo>>, spent: &PipeSender<Vec<Stereo>>) {
    let mut unsaved = 0;
    while let Some(block) = blocks.recv() {
        for sample in block.as_flattened() {
            if writer.write_sample((sample.clamp(-1.0, 1.0) * 32_767.0).round() as i16).is_err() {
                return;
            }
        }
        unsaved += block.len();
        if unsaved >= RATE as usize {
            unsaved = 0;
            if writer.flush().is_err() {
                return;
            }
        }
        let _ = spent.try_send(block);
    }
    // The file ends here; a disk that refuses now keeps what the last flush left.
    let _ = writer.finalize();
}
