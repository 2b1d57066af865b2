//! Y4M (YUV4MPEG2), 4:2:0 of eight bits: reading and writing.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use super::cannot_open;
use crate::base::error::{Error, Kind, Result};
use crate::media::scale::Scaler;
use crate::media::video::{Colour, Matrix, Picture, Range};

/// Header lines of files in the wild are below 200 bytes.
const MOST_LINE: u64 = 1024;
const MOST_SIDE: u32 = 1920;

/// Reads pictures; after the last one comes the first.
#[derive(Debug)]
pub struct Y4mReader<R = File> {
    name: String,
    file: BufReader<R>,
    /// Where the first picture begins.
    first: u64,
    width: u32,
    height: u32,
    frame_rate: f32,
    colour: Colour,
}

impl Y4mReader {
    /// Opens a file and reads its header.
    ///
    /// # Errors
    /// It cannot be opened (`Kind::Gone`); it is not Y4M, not 4:2:0 of eight bits, interlaced, larger than 1920 on a
    /// side, or empty (`Kind::Malformed`).
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|error| cannot_open(path, &error))?;
        Self::new(path.display().to_string(), file)
    }
}

impl<R: Read + Seek> Y4mReader<R> {
    /// The same of what is called `name`.
    ///
    /// # Errors
    /// As [`Y4mReader::open`].
    pub fn new(name: String, file: R) -> Result<Self> {
        let mut file = BufReader::with_capacity(1 << 16, file);
        let line = read_line(&mut file).ok_or_else(|| malformed(&name, "is not a Y4M file"))?;
        let Some(fields) = line.strip_prefix("YUV4MPEG2 ") else {
            return Err(malformed(&name, "is not a Y4M file: it does not begin with YUV4MPEG2"));
        };
        let mut reader = Self {
            name,
            file,
            first: line.len() as u64 + 1,
            width: 0,
            height: 0,
            frame_rate: 30.0,
            colour: Colour::default(),
        };
        reader.parse(fields)?;
        reader.read(&mut Picture::default())?;
        reader.rewind()?;
        Ok(reader)
    }

    /// Reads the next picture into `picture`.
    ///
    /// # Errors
    /// The file cannot be read any more, or what stands there is no frame.
    pub fn read(&mut self, picture: &mut Picture) -> Result<()> {
        let line = match read_line(&mut self.file) {
            Some(line) => line,
            None => {
                self.rewind()?;
                read_line(&mut self.file).ok_or_else(|| malformed(&self.name, "holds no picture"))?
            }
        };
        if line != "FRAME" && !line.starts_with("FRAME ") {
            return Err(malformed(&self.name, "is damaged: a frame does not begin with FRAME"));
        }
        picture.resize(self.width, self.height);
        picture.colour = self.colour;
        for plane in [&mut picture.y, &mut picture.u, &mut picture.v] {
            self.file.read_exact(plane).map_err(|_| malformed(&self.name, "breaks off within a frame"))?;
        }
        Ok(())
    }

    pub const fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    pub const fn frame_rate(&self) -> f32 {
        self.frame_rate
    }

    fn rewind(&mut self) -> Result<()> {
        self.file.seek(SeekFrom::Start(self.first)).map_err(|_| malformed(&self.name, "cannot be read again"))?;
        Ok(())
    }

    fn parse(&mut self, fields: &str) -> Result<()> {
        let mut matrix = None;
        for field in fields.split_ascii_whitespace() {
            let (tag, value) = field.split_at_checked(1).unwrap_or((field, ""));
            match tag {
                "W" => self.width = value.parse().unwrap_or(0),
                "H" => self.height = value.parse().unwrap_or(0),
                "F" => {
                    let rate = value.split_once(':').and_then(|(number, per)| {
                        Some(number.parse::<f32>().ok()? / per.parse::<f32>().ok().filter(|per| *per > 0.0)?)
                    });
                    self.frame_rate = rate.filter(|rate| (1.0..=120.0).contains(rate)).unwrap_or(30.0);
                }
                "I" if value != "p" && value != "?" => {
                    return Err(malformed(&self.name, "is interlaced; convert it first"));
                }
                "C" if !matches!(value, "420" | "420jpeg" | "420paldv" | "420mpeg2") => {
                    return Err(malformed(&self.name, "is not 4:2:0 of eight bits; convert it first"));
                }
                "X" if value == "COLORRANGE=FULL" => self.colour.range = Range::Full,
                "X" if value == "MATRIX=BT601" => matrix = Some(Matrix::Bt601),
                "X" if value == "MATRIX=BT709" => matrix = Some(Matrix::Bt709),
                _ => {}
            }
        }
        if !(1..=MOST_SIDE).contains(&self.width) || !(1..=MOST_SIDE).contains(&self.height) {
            return Err(malformed(&self.name, "has a size outside of 1×1 to 1920×1920"));
        }
        // Files seldom say: high definition is BT.709, the rest BT.601.
        let usual = if self.height >= 720 { Matrix::Bt709 } else { Matrix::Bt601 };
        self.colour.matrix = matrix.unwrap_or(usual);
        Ok(())
    }
}

/// Writes pictures. All have the size of the first: others are scaled.
#[derive(Debug)]
pub struct Y4mWriter {
    name: String,
    file: BufWriter<File>,
    frame_rate: u32,
    size: Option<(u32, u32)>,
    scaler: Scaler,
    scaled: Picture,
    written: u64,
}

impl Y4mWriter {
    /// Makes the file; the header is written with the first picture.
    ///
    /// # Errors
    /// It cannot be made (`Kind::Gone`).
    pub fn create(path: &Path, frame_rate: u32) -> Result<Self> {
        let name = path.display().to_string();
        let file =
            File::create(path).map_err(|error| Error::new(Kind::Gone, format!("cannot write {name}: {error}")))?;
        let file = BufWriter::with_capacity(1 << 16, file);
        Ok(Self {
            name,
            file,
            frame_rate,
            size: None,
            scaler: Scaler::default(),
            scaled: Picture::default(),
            written: 0,
        })
    }

    /// Writes one picture. It may wait for the disk: not for the engine's thread.
    ///
    /// # Errors
    /// The disk is full or gone (`Kind::Gone`): stop recording and say so.
    pub fn write(&mut self, picture: &Picture) -> Result<()> {
        self.try_write(picture).map_err(|error| Error::new(Kind::Gone, format!("cannot write {}: {error}", self.name)))
    }

    /// Writes what is buffered.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn finish(mut self) -> Result<()> {
        self.file.flush().map_err(|error| Error::new(Kind::Gone, format!("cannot write {}: {error}", self.name)))
    }

    /// Pictures written so far.
    pub const fn written(&self) -> u64 {
        self.written
    }

    fn try_write(&mut self, picture: &Picture) -> std::io::Result<()> {
        let size = match self.size {
            Some(size) => size,
            None => {
                let range = if picture.colour.range == Range::Full { "FULL" } else { "LIMITED" };
                let matrix = if picture.colour.matrix == Matrix::Bt709 { "BT709" } else { "BT601" };
                let (width, height, rate) = (picture.width, picture.height, self.frame_rate);
                let colour = format!("XCOLORRANGE={range} XMATRIX={matrix}");
                writeln!(self.file, "YUV4MPEG2 W{width} H{height} F{rate}:1 Ip A1:1 C420jpeg {colour}")?;
                *self.size.insert((width, height))
            }
        };
        let picture = if size == (picture.width, picture.height) {
            picture
        } else {
            self.scaled.resize(size.0, size.1);
            self.scaler.scale(picture, &mut self.scaled);
            &self.scaled
        };
        self.file.write_all(b"FRAME\n")?;
        for plane in [&picture.y, &picture.u, &picture.v] {
            self.file.write_all(plane)?;
        }
        self.written += 1;
        Ok(())
    }
}

/// The next line without its end; `None` at the end of the file, or where no line ends within the bound.
fn read_line(file: &mut impl BufRead) -> Option<String> {
    let mut line = Vec::new();
    file.take(MOST_LINE).read_until(b'\n', &mut line).ok()?;
    line.pop().filter(|last| *last == b'\n')?;
    String::from_utf8(line).ok()
}

fn malformed(name: &str, what: &str) -> Error {
    Error::new(Kind::Malformed, format!("{name} {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pictures() -> Vec<Picture> {
        (0..3)
            .map(|turn| {
                let mut picture = Picture::new(35, 21);
                picture.colour = Colour { matrix: Matrix::Bt601, range: Range::Full };
                picture.y.iter_mut().enumerate().for_each(|(at, pixel)| *pixel = (at * 7 + turn * 31) as u8);
                picture.u.fill(turn as u8);
                picture
            })
            .collect()
    }

    #[test]
    fn what_is_written_is_read_over_and_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.y4m");
        let mut writer = Y4mWriter::create(&path, 25).expect("a file");
        pictures().iter().for_each(|picture| writer.write(picture).expect("written"));
        writer.write(&Picture::new(70, 42)).expect("scaled");
        assert_eq!(writer.written(), 4);
        writer.finish().expect("flushed");
        let mut reader = Y4mReader::open(&path).expect("a Y4M file");
        assert_eq!((reader.size(), reader.frame_rate()), ((35, 21), 25.0));
        let mut picture = Picture::default();
        for turn in 0..9 {
            reader.read(&mut picture).expect("a picture");
            if let Some(expected) = pictures().get(turn % 4) {
                assert!(picture == *expected, "picture {turn}");
            }
        }
    }

    #[test]
    fn what_is_not_y4m_is_said_in_one_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("b.y4m");
        for (content, text) in [
            (&b"RIFF...."[..], "is not a Y4M file"),
            (b"RIFF \n", "does not begin with YUV4MPEG2"),
            (b"YUV4MPEG2 W16 H16 C444\n", "is not 4:2:0"),
            (b"YUV4MPEG2 W99999999999 H16\n", "has a size outside"),
            (b"YUV4MPEG2 W16 H16 It\n", "is interlaced"),
            (b"YUV4MPEG2 W16 H16 F30:1\n", "holds no picture"),
            (b"YUV4MPEG2 W16 H16 F30:1\nFRAME\nshort", "breaks off"),
            (b"YUV4MPEG2 W16 H16 F30:1\nFRAMES\n", "is damaged"),
        ] {
            std::fs::write(&path, content).expect("writes");
            let error = Y4mReader::open(&path).expect_err(text);
            assert!(error.text.contains(text) && !error.text.contains('\n'), "{error}");
            assert_eq!(error.kind, Kind::Malformed);
        }
    }
}
