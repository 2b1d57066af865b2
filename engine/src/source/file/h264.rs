//! H.264 in files, raw (Annex B) or in MP4, decoded in the source's thread.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::Path;

use openh264::decoder::{DecodeOptions, DecodedYUV, Decoder, Flush};
use openh264::formats::YUVSource;

use super::cannot_open;
use super::mp4::Mp4Track;
use crate::base::error::{Error, Kind, Result};
use crate::base::time::Duration;
use crate::media::video::{Colour, Picture};
use crate::proto::nal::{TYPE_AUD, TYPE_IDR, TYPE_PPS, TYPE_SEI, TYPE_SLICE, TYPE_SPS, nal_type, split};

/// Two minutes at 4 Mbit/s; a raw file is held in memory.
const MOST_BYTES: u64 = 64 << 20;
/// Units without a picture in a row after which the file counts as broken.
const MOST_EMPTY: usize = 300;
const MOST_SIDE: usize = 1920;

/// A stream, its units, and the place in it.
pub struct H264File {
    name: String,
    units: Units,
    next: usize,
    decoder: Decoder,
    /// What the decoder still held at the end of the file: streams whose pictures are coded in another order than shown.
    rest: VecDeque<Picture>,
    /// Pictures given since the first one, in the order they are shown in.
    shown: usize,
    size: (u32, u32),
}

enum Units {
    Raw { bytes: Vec<u8>, units: Vec<Range<usize>> },
    Mp4(Box<Mp4Track>),
}

impl Units {
    const fn len(&self) -> usize {
        match self {
            Self::Raw { units, .. } => units.len(),
            Self::Mp4(track) => track.count(),
        }
    }

    fn unit(&mut self, number: usize) -> Result<&[u8]> {
        match self {
            Self::Raw { bytes, units } => Ok(&bytes[units[number].clone()]),
            Self::Mp4(track) => track.unit(number),
        }
    }
}

impl std::fmt::Debug for H264File {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("H264File").field("name", &self.name).field("next", &self.next).finish_non_exhaustive()
    }
}

/// True where the file begins with a start code.
///
/// # Errors
/// It cannot be opened.
pub fn looks_like(path: &Path) -> Result<bool> {
    let mut head = [0xff; 4];
    let mut file = File::open(path).map_err(|error| cannot_open(path, &error))?;
    let count = file.read(&mut head).map_err(|error| cannot_open(path, &error))?;
    Ok(count == 4 && (head == [0, 0, 0, 1] || head.starts_with(&[0, 0, 1])))
}

impl H264File {
    /// Reads the whole of a raw file and decodes its first picture to learn the size.
    ///
    /// # Errors
    /// It cannot be opened, is above 64 MiB, or holds no picture that can be decoded.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|error| cannot_open(path, &error))?;
        let mut bytes = Vec::new();
        file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(|error| cannot_open(path, &error))?;
        if bytes.len() as u64 > MOST_BYTES {
            let text = format!("{} is above 64 MiB: cut it or convert it to MP4", path.display());
            return Err(Error::new(Kind::Malformed, text));
        }
        let units = units(&bytes);
        Self::begin(path, Units::Raw { bytes, units })
    }

    /// The H.264 track of an MP4 file.
    ///
    /// # Errors
    /// As [`Mp4Track::open`], or it holds no picture that can be decoded.
    pub fn open_mp4(path: &Path) -> Result<Self> {
        Self::begin(path, Units::Mp4(Box::new(Mp4Track::open(path)?)))
    }

    fn begin(path: &Path, units: Units) -> Result<Self> {
        let name = path.display().to_string();
        let decoder = new_decoder(&name)?;
        let mut file = Self { name, units, next: 0, decoder, rest: VecDeque::new(), shown: 0, size: (0, 0) };
        let mut first = Picture::default();
        file.read(&mut first)?;
        file.size = (first.width, first.height);
        (file.next, file.decoder) = (0, new_decoder(&file.name)?);
        file.rest.clear();
        file.shown = 0;
        Ok(file)
    }

    /// Decodes the next picture into `picture`; at the end it goes on with the first.
    ///
    /// # Errors
    /// There is nothing to decode for a long stretch, or the file cannot be read any more.
    pub fn read(&mut self, picture: &mut Picture) -> Result<()> {
        for _ in 0..MOST_EMPTY.min(self.units.len() * 2 + 1) {
            if self.rest.is_empty() && self.next == 0 {
                self.shown = 0;
            }
            if let Some(rest) = self.rest.pop_front() {
                *picture = rest;
                self.shown += 1;
                return Ok(());
            }
            if self.next >= self.units.len() {
                self.begin_again()?;
                continue;
            }
            let unit = self.units.unit(self.next)?;
            self.next += 1;
            // Flushing after each unit would bring pictures out of their order. A damaged unit is passed over: the next
            // IDR repairs it.
            let options = DecodeOptions::new().flush_after_decode(Flush::NoFlush);
            let Ok(Some(yuv)) = self.decoder.decode_with_options(unit, options) else { continue };
            let (width, height) = yuv.dimensions();
            if width > MOST_SIDE || height > MOST_SIDE {
                return Err(self.broken("is larger than 1920×1920; scale it first"));
            }
            copy(&yuv, picture);
            self.shown += 1;
            return Ok(());
        }
        Err(self.broken("holds no picture that can be decoded"))
    }

    /// The first unit refers to nothing that the old decoder holds.
    fn begin_again(&mut self) -> Result<()> {
        for yuv in self.decoder.flush_remaining().unwrap_or_default() {
            let mut picture = Picture::default();
            copy(&yuv, &mut picture);
            self.rest.push_back(picture);
        }
        (self.next, self.decoder) = (0, new_decoder(&self.name)?);
        Ok(())
    }

    /// How long the picture that came last is shown, where the file says so.
    pub fn step(&self) -> Option<Duration> {
        match &self.units {
            Units::Raw { .. } => None,
            Units::Mp4(track) => track.step(self.shown.checked_sub(1)?),
        }
    }

    pub const fn size(&self) -> (u32, u32) {
        self.size
    }

    /// Pictures per second. A raw stream seldom says: a call's usual rate.
    pub const fn frame_rate(&self) -> f32 {
        match &self.units {
            Units::Raw { .. } => 30.0,
            Units::Mp4(track) => track.frame_rate(),
        }
    }

    fn broken(&self, what: &str) -> Error {
        Error::new(Kind::Malformed, format!("{} {what}", self.name))
    }
}

/// The decoder's memory is its own: this is the one copy on the way from the file to the encoder.
fn copy(yuv: &DecodedYUV<'_>, picture: &mut Picture) {
    let (width, height) = yuv.dimensions();
    picture.resize(width as u32, height as u32);
    picture.colour = Colour::default();
    let (luma, blue, red) = yuv.strides();
    let planes = [(yuv.y(), luma, width), (yuv.u(), blue, width.div_ceil(2)), (yuv.v(), red, width.div_ceil(2))];
    for ((from, stride, width), to) in planes.into_iter().zip([&mut picture.y, &mut picture.u, &mut picture.v]) {
        for (line, row) in to.chunks_exact_mut(width).zip(from.chunks(stride)) {
            line.copy_from_slice(&row[..width]);
        }
    }
}

fn new_decoder(name: &str) -> Result<Decoder> {
    Decoder::new().map_err(|error| Error::new(Kind::Reopen, format!("no decoder for {name}: {error}")))
}

/// The access units of a stream, ITU-T H.264 §7.4.1.2.3: a new one begins with what may only stand in front of a
/// picture, or with the slice that holds the first macroblock, once the one before has a slice.
fn units(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut starts = Vec::new();
    let mut has_slice = true;
    for nal in split(bytes) {
        // first_mb_in_slice is the slice header's first field: 0 is written as a single set bit.
        let begins = match nal_type(nal) {
            Some(TYPE_AUD | TYPE_SPS | TYPE_PPS | TYPE_SEI) => true,
            Some(TYPE_SLICE | TYPE_IDR) => nal.get(1).is_some_and(|byte| byte & 0x80 != 0),
            _ => false,
        };
        if begins && has_slice {
            // Three bytes of start code stand in front of every NAL unit.
            starts.push((nal.as_ptr() as usize - bytes.as_ptr() as usize).saturating_sub(3));
            has_slice = false;
        }
        has_slice |= matches!(nal_type(nal), Some(TYPE_SLICE | TYPE_IDR));
    }
    let ends = starts.iter().skip(1).copied().chain(std::iter::once(bytes.len()));
    starts.iter().zip(ends).map(|(start, end)| *start..end).collect()
}

#[cfg(test)]
mod tests {
    use openh264::encoder::Encoder;
    use openh264::formats::YUVSlices;

    use super::*;
    use crate::base::time::{WallTime, now};
    use crate::media::marker::{self, Marker};
    use crate::source::file::FileSource;

    #[test]
    fn a_raw_stream_plays_over_and_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("card.h264");
        let mut encoder = Encoder::new().expect("an encoder");
        let mut stream = Vec::new();
        for counter in 0..3 {
            let mut picture = Picture::new(320, 180);
            marker::paint(&mut picture, Marker { counter, drawn: WallTime::from_micros(1) });
            let yuv = YUVSlices::new((&picture.y, &picture.u, &picture.v), (320, 180), (320, 160, 160));
            encoder.encode(&yuv).expect("encodes").write_vec(&mut stream);
        }
        std::fs::write(&path, &stream).expect("writes");
        let mut source = FileSource::open(&path).expect("a raw stream");
        assert_eq!(source.size(), (320, 180));
        let counters: Vec<Option<u32>> = (0..5)
            .map(|_| source.next(now()).expect("a picture").picture)
            .map(|picture| marker::read(&picture.y, 320, 320, 180).map(|marker| marker.counter))
            .collect();
        assert_eq!(counters, [0, 1, 2, 0, 1].map(Some));
    }

    #[test]
    fn a_start_code_with_nothing_behind_it_is_malformed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("empty.h264");
        std::fs::write(&path, [0, 0, 0, 1, 0x65, 1, 2, 3]).expect("writes");
        assert_eq!(FileSource::open(&path).expect_err("nothing to decode").kind, Kind::Malformed);
    }
}
