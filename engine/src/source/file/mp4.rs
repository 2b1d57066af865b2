//! MP4 files: where the samples of the H.264 track lie (ISO/IEC 14496-12 §8.7, §8.8), read one by one.
//!
//! Of the index only the few tables that say so are read, each bounded by what is there: the readers that there are for all
//! of it do not end, or take all memory, on files that were made to do that.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use super::cannot_open;
use crate::base::error::{Error, Kind, Result};
use crate::base::time::Duration;
use crate::proto::nal::{TYPE_IDR, nal_type};

/// Two days at 60 pictures a second.
const MOST_SAMPLES: usize = 1 << 23;
/// The index of as many samples has about as many bytes; it is held in memory while it is read.
const MOST_INDEX: u64 = 64 << 20;
/// A picture is shown no shorter than a call can carry, and no longer than one waits for something to happen.
const SHORTEST: Duration = Duration::from_millis(8);
const LONGEST: Duration = Duration::from_secs(10);
/// A whole picture of 1920×1920 without compression is below this.
const MOST_UNIT: u32 = 8 << 20;

/// The H.264 track of a file.
pub struct Mp4Track<R = File> {
    name: String,
    file: R,
    samples: Vec<Sample>,
    /// Units of time in a second.
    timescale: u32,
    /// Parameter sets as Annex B, for in front of each IDR picture.
    parameters: Vec<u8>,
    /// Bytes of the length in front of each NAL unit (ISO/IEC 14496-15 §5.3.3.1).
    length_bytes: usize,
    frame_rate: f32,
    sample: Vec<u8>,
    unit: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sample {
    offset: u64,
    size: u32,
    /// How long until the next one is decoded; once all are known, how long the picture is shown that is this one in the order
    /// of showing.
    duration: u32,
}

/// True where the file begins with one of the boxes that MP4 and QuickTime files begin with.
///
/// # Errors
/// It cannot be opened.
pub fn looks_like(path: &Path) -> Result<bool> {
    let mut head = [0; 8];
    let mut file = File::open(path).map_err(|error| cannot_open(path, &error))?;
    let count = file.read(&mut head).map_err(|error| cannot_open(path, &error))?;
    Ok(count == 8 && matches!(&head[4..], b"ftyp" | b"moov" | b"mdat" | b"free" | b"skip" | b"wide"))
}

impl Mp4Track {
    /// Reads the index of the file.
    ///
    /// # Errors
    /// It cannot be opened (`Kind::Gone`), is damaged, cut off, or has no H.264 track (`Kind::Malformed`).
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|error| cannot_open(path, &error))?;
        let length = file.metadata().map_err(|error| cannot_open(path, &error))?.len();
        Self::new(path.display().to_string(), file, length)
    }
}

impl<R: Read + Seek> Mp4Track<R> {
    /// The same of what is called `name` and has so many bytes.
    ///
    /// # Errors
    /// As [`Mp4Track::open`].
    pub fn new(name: String, mut file: R, length: u64) -> Result<Self> {
        let malformed = |what: &str| Error::new(Kind::Malformed, format!("{name} {what}"));
        let Index { mut samples, shifts, track } = read_index(&mut file, length).map_err(malformed)?;
        if samples.is_empty() {
            return Err(malformed("holds no picture"));
        }
        let is_there = |sample: &Sample| sample.offset.saturating_add(sample.size.into()) <= length;
        if !samples.iter().all(is_there) {
            return Err(malformed("is cut off: it ends before its pictures do"));
        }
        let time: u64 = samples.iter().map(|sample| u64::from(sample.duration)).sum();
        let frame_rate = samples.len() as f64 * f64::from(track.timescale) / time as f64;
        show_in_order(&mut samples, &shifts);
        Ok(Self {
            name,
            file,
            samples,
            timescale: track.timescale,
            parameters: track.parameters,
            length_bytes: track.length_bytes,
            // What says nothing about time is played at a call's usual rate.
            frame_rate: if frame_rate.is_finite() { frame_rate as f32 } else { 30.0 },
            sample: Vec::new(),
            unit: Vec::new(),
        })
    }

    pub const fn count(&self) -> usize {
        self.samples.len()
    }

    /// Pictures per second, the mean over the file.
    pub const fn frame_rate(&self) -> f32 {
        self.frame_rate
    }

    /// How long the picture with this number in the order of showing is shown; `None` where the file says nothing about it.
    pub fn step(&self, number: usize) -> Option<Duration> {
        let duration = self.samples.get(number)?.duration;
        let shown = Duration::from_secs_f64(f64::from(duration) / f64::from(self.timescale.max(1)));
        (self.timescale > 0 && duration > 0).then(|| shown.clamp(SHORTEST, LONGEST))
    }

    /// The sample of that number as Annex B.
    ///
    /// # Errors
    /// The file cannot be read any more.
    pub fn unit(&mut self, number: usize) -> Result<&[u8]> {
        let Sample { offset, size, .. } = self.samples.get(number).copied().unwrap_or_default();
        self.sample.resize(size as usize, 0);
        let read = self.file.seek(SeekFrom::Start(offset)).and_then(|_| self.file.read_exact(&mut self.sample));
        read.map_err(|error| Error::new(Kind::Malformed, format!("{} cannot be read any more: {error}", self.name)))?;
        self.unit.clear();
        let mut rest = &self.sample[..];
        let mut has_parameters = false;
        // What lies behind a length that is too large is damage: the decoder passes over such a unit.
        while let Some((length, after)) = rest.split_at_checked(self.length_bytes) {
            let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
            let Some((nal, after)) = after.split_at_checked(length) else { break };
            if nal_type(nal) == Some(TYPE_IDR) && !has_parameters {
                has_parameters = true;
                self.unit.extend(&self.parameters);
            }
            self.unit.extend([0, 0, 1]);
            self.unit.extend(nal);
            rest = after;
        }
        Ok(&self.unit)
    }
}

/// What the file says about its pictures.
struct Index {
    samples: Vec<Sample>,
    shifts: Shifts,
    track: Track,
}

/// By how much each sample is shown later than it is decoded; none where all are shown as they are decoded.
type Shifts = Vec<i32>;

struct Track {
    number: u32,
    timescale: u32,
    parameters: Vec<u8>,
    length_bytes: usize,
    /// What a fragment's samples have where it says nothing else: duration and size.
    usual: (u32, u32),
}

type Found<T> = std::result::Result<T, &'static str>;

const DAMAGED: &str = "is damaged: its tables do not fit together";

fn read_index(file: &mut (impl Read + Seek), length: u64) -> Found<Index> {
    let (mut at, mut track, mut samples, mut shifts) = (0, None, Vec::new(), Shifts::new());
    while at < length {
        let mut head = [0; 16];
        file.seek(SeekFrom::Start(at)).map_err(|_| DAMAGED)?;
        let count = length.saturating_sub(at).min(16) as usize;
        file.read_exact(&mut head[..count]).map_err(|_| DAMAGED)?;
        let Some((name, skip, size)) = box_head(&head[..count], length - at) else { break };
        if matches!(&name, b"moov" | b"moof") {
            if size > MOST_INDEX || size > length - at {
                return Err("is cut off, or its index is above 64 MiB");
            }
            let mut bytes = vec![0; (size - skip) as usize];
            file.seek(SeekFrom::Start(at + skip)).map_err(|_| DAMAGED)?;
            file.read_exact(&mut bytes).map_err(|_| DAMAGED)?;
            match &track {
                None if name == *b"moov" => track = Some(read_movie(&bytes, &mut samples, &mut shifts)?),
                Some(track) if name == *b"moof" => {
                    for (_, fragment) in boxes(&bytes).filter(|(name, _)| name == b"traf") {
                        // What is whole of a damaged one is played.
                        let _ = list_fragment(fragment, at, track, (&mut samples, &mut shifts));
                    }
                }
                _ => {}
            }
        }
        at = at.saturating_add(size);
    }
    let track = track.ok_or("has no index: it was cut off, or is still being written")?;
    Ok(Index { samples, shifts, track })
}

/// The name of a box, how much of it is in front of its content, and how long all of it is, §4.2. `None` where there is none.
fn box_head(bytes: &[u8], rest: u64) -> Option<([u8; 4], u64, u64)> {
    let mut fields = Fields(bytes);
    let size = fields.u32()?;
    let name = fields.u32()?.to_be_bytes();
    let (skip, size) = match size {
        // The last one goes to the end of the file.
        0 => (8, rest),
        1 => (16, fields.u64()?),
        size => (8, size.into()),
    };
    (size >= skip).then_some((name, skip, size))
}

/// The boxes within one.
fn boxes(mut bytes: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    std::iter::from_fn(move || {
        let (name, skip, size) = box_head(bytes, bytes.len() as u64)?;
        let (whole, rest) = bytes.split_at_checked(usize::try_from(size).ok()?)?;
        bytes = rest;
        Some((name, whole.get(skip as usize..)?))
    })
}

/// The content of the first box called so within one.
fn child<'a>(bytes: &'a [u8], name: &[u8; 4]) -> Option<&'a [u8]> {
    boxes(bytes).find(|(other, _)| other == name).map(|(_, content)| content)
}

/// The first H.264 track of a movie box.
fn read_movie(movie: &[u8], samples: &mut Vec<Sample>, shifts: &mut Shifts) -> Found<Track> {
    let mut other = "holds no H.264 video";
    for (_, track) in boxes(movie).filter(|(name, _)| name == b"trak") {
        let Some(media) = child(track, b"mdia") else { continue };
        let Some(tables) = child(media, b"minf").and_then(|minf| child(minf, b"stbl")) else { continue };
        // §8.5.2: version, flags and the number of entries are in front of them.
        let entry = child(tables, b"stsd").and_then(|entries| boxes(entries.get(8..)?).next());
        match entry {
            Some((name, entry)) if matches!(&name, b"avc1" | b"avc3") => {
                list(tables, samples).ok_or(DAMAGED)?;
                if let Some(table) = child(tables, b"ctts") {
                    list_shifts(table, samples.len(), shifts).ok_or(DAMAGED)?;
                }
                return read_track(movie, track, media, entry).ok_or(DAMAGED);
            }
            Some((name, _)) if matches!(&name, b"hvc1" | b"hev1") => {
                other = "holds H.265 video; convert it to H.264 first";
            }
            Some((name, _)) if matches!(&name, b"av01" | b"vp08" | b"vp09" | b"mp4v") => {
                other = "holds video of another kind than H.264; convert it first";
            }
            _ => {}
        }
    }
    Err(other)
}

fn read_track(movie: &[u8], track: &[u8], media: &[u8], entry: &[u8]) -> Option<Track> {
    // §8.3.2 and §8.4.2: version 1 has two times of 64 bits in front, version 0 of 32.
    let after_times = |content: &'_ [u8]| {
        let mut fields = Fields(content);
        let version = fields.u32()? >> 24;
        fields.skip(if version == 1 { 16 } else { 8 })?;
        fields.u32()
    };
    let number = after_times(child(track, b"tkhd")?)?;
    let timescale = after_times(child(media, b"mdhd")?)?;
    // §12.1.3: a visual entry has 78 bytes in front of its boxes.
    let mut fields = Fields(child(entry.get(78..)?, b"avcC")?);
    // ISO/IEC 14496-15 §5.3.3.1: version, profile, compatibility and level are in front.
    fields.skip(4)?;
    let length_bytes = usize::from(fields.u8()? & 3) + 1;
    let mut parameters = Vec::new();
    for mask in [0x1f, 0xff] {
        for _ in 0..fields.u8()? & mask {
            let length = fields.u16()?;
            parameters.extend([0, 0, 1]);
            parameters.extend(fields.take(length.into())?);
        }
    }
    let extends = child(movie, b"mvex").into_iter().flat_map(boxes).filter(|(name, _)| name == b"trex");
    let usual = extends.filter_map(|(_, content)| {
        let mut fields = Fields(content);
        fields.skip(4)?;
        let is_ours = fields.u32()? == number;
        fields.skip(4)?;
        is_ours.then_some((fields.u32()?, fields.u32()?))
    });
    Some(Track { number, timescale, parameters, length_bytes, usual: usual.last().unwrap_or_default() })
}

/// The samples of an index that is not in fragments, §8.6.1, §8.7.
fn list(tables: &[u8], samples: &mut Vec<Sample>) -> Option<()> {
    let table = |name: &[u8; 4]| child(tables, name).and_then(|content| Some(Fields(content.get(4..)?)));
    let mut sizes = table(b"stsz")?;
    let (size, count) = (sizes.u32()?, sizes.u32()? as usize);
    if count > MOST_SAMPLES {
        return None;
    }
    let (mut times, mut runs) = (table(b"stts")?, table(b"stsc")?);
    let (mut time, mut same_time) = (0, 0);
    times.skip(4)?;
    let mut rows = runs.u32()?;
    let (mut chunks, is_wide) = match table(b"stco") {
        Some(chunks) => (chunks, false),
        None => (table(b"co64")?, true),
    };
    let mut next_run = runs.u32().zip(runs.u32());
    let mut in_chunk = 0;
    for number in 1..=chunks.u32()? {
        let mut offset = if is_wide { chunks.u64()? } else { chunks.u32()?.into() };
        while let Some((_, per_chunk)) = next_run.filter(|(first, _)| rows > 0 && *first <= number) {
            in_chunk = per_chunk;
            // Which description it has is of no use here: there is one track.
            runs.skip(4)?;
            rows -= 1;
            next_run = runs.u32().zip(runs.u32());
        }
        for _ in 0..in_chunk {
            if samples.len() == count {
                return Some(());
            }
            while same_time == 0 {
                match times.u32().zip(times.u32()) {
                    Some((run, delta)) => (same_time, time) = (run, delta),
                    // The last one's time holds on.
                    None => same_time = u32::MAX,
                }
            }
            same_time -= 1;
            let size = if size == 0 { sizes.u32()? } else { size };
            if size > MOST_UNIT {
                return None;
            }
            samples.push(Sample { offset, size, duration: time });
            offset = offset.checked_add(size.into())?;
        }
    }
    (samples.len() == count).then_some(())
}

/// By how much the samples are shown later than decoded, §8.6.1.3. Version 1 has signed numbers; in version 0 none is so large.
fn list_shifts(table: &[u8], count: usize, shifts: &mut Shifts) -> Option<()> {
    let mut fields = Fields(table.get(4..)?);
    for _ in 0..fields.u32()? {
        let (run, shift) = (fields.u32()? as usize, fields.u32()? as i32);
        let end = shifts.len().checked_add(run).filter(|end| *end <= count)?;
        shifts.resize(end, shift);
    }
    Some(())
}

/// Puts how long each picture is shown in the order of showing: pictures may be coded in another one.
fn show_in_order(samples: &mut [Sample], shifts: &[i32]) {
    if shifts.iter().all(|shift| Some(shift) == shifts.first()) {
        return;
    }
    let mut at = 0i64;
    let mut times: Vec<i64> = Vec::with_capacity(samples.len());
    for (number, sample) in samples.iter().enumerate() {
        times.push(at.saturating_add(shifts.get(number).copied().unwrap_or_default().into()));
        at = at.saturating_add(sample.duration.into());
    }
    times.sort_unstable();
    // The last one is shown until the last one that was decoded would be over.
    let ends = times.iter().skip(1).copied().chain(std::iter::once(at.max(times.last().copied().unwrap_or(at))));
    let shown = times.iter().zip(ends).map(|(time, end)| u32::try_from(end.saturating_sub(*time)).unwrap_or(u32::MAX));
    samples.iter_mut().zip(shown).for_each(|(sample, shown)| sample.duration = shown);
}

/// The samples of a fragment whose box begins at `start`, §8.8.7, §8.8.8. `None` where it ends too early, or is another track's.
fn list_fragment(
    fragment: &[u8],
    start: u64,
    track: &Track,
    (samples, shifts): (&mut Vec<Sample>, &mut Shifts),
) -> Option<()> {
    let mut head = Fields(child(fragment, b"tfhd")?);
    let flags = head.u32()?;
    if head.u32()? != track.number {
        return None;
    }
    let base = if flags & 1 != 0 { head.u64()? } else { start };
    if flags & 2 != 0 {
        head.skip(4)?;
    }
    let usual_time = if flags & 8 != 0 { head.u32()? } else { track.usual.0 };
    let usual_size = if flags & 0x10 != 0 { head.u32()? } else { track.usual.1 };
    let mut offset = base;
    for (_, content) in boxes(fragment).filter(|(name, _)| name == b"trun") {
        let mut run = Fields(content);
        let flags = run.u32()? & 0xff_ffff;
        let count = run.u32()?;
        if flags & 1 != 0 {
            offset = base.checked_add_signed(i64::from(run.u32()? as i32))?;
        }
        if flags & 4 != 0 {
            run.skip(4)?;
        }
        for _ in 0..count {
            let duration = if flags & 0x100 != 0 { run.u32()? } else { usual_time };
            let size = if flags & 0x200 != 0 { run.u32()? } else { usual_size };
            if flags & 0x400 != 0 {
                run.skip(4)?;
            }
            let shift = if flags & 0x800 != 0 { run.u32()? as i32 } else { 0 };
            if samples.len() >= MOST_SAMPLES || size > MOST_UNIT {
                return None;
            }
            if shift != 0 || !shifts.is_empty() {
                shifts.resize(samples.len(), 0);
                shifts.push(shift);
            }
            samples.push(Sample { offset, size, duration });
            offset = offset.checked_add(size.into())?;
        }
    }
    Some(())
}

/// Big-endian numbers, one after the other; `None` past the end.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn skip(&mut self, count: usize) -> Option<()> {
        self.take(count).map(drop)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.first_chunk().copied()
    }

    fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }
}

#[cfg(test)]
mod tests;
