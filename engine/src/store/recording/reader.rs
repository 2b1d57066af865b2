//! Reads pieces back, and says in one line what is wrong with a file that is none, is not whole, or was changed.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::{MAGIC, MOST, PIECE_HEAD, Piece, VERSION, checksum};
use crate::base::error::{Error, Kind, Result};

/// A recording being read, piece by piece.
#[derive(Debug)]
pub struct RecordingReader {
    path: PathBuf,
    file: BufReader<File>,
    /// Bytes read so far.
    at: u64,
    is_over: bool,
}

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    Piece(Piece, Vec<u8>),
    /// The recording was ended, and this was all.
    End,
    /// It was cut off: the program that wrote it died, or the file was not copied whole.
    CutOff,
}

impl RecordingReader {
    /// Opens `path` and looks whether it is a recording.
    ///
    /// # Errors
    /// `Malformed` with one line for the person: there is no such file, it is not a recording, or one of another version.
    pub fn open(path: &Path) -> Result<Self> {
        let malformed = |text: String| Error::new(Kind::Malformed, text);
        let file = File::open(path).map_err(|error| malformed(format!("cannot open {}: {error}", path.display())))?;
        let mut reader = Self { path: path.to_owned(), file: BufReader::new(file), at: 0, is_over: false };
        let mut head = [0; MAGIC.len() + 2];
        let count = reader.read(&mut head)?;
        let (magic, version) = head.split_at(MAGIC.len());
        if count < head.len() || magic != MAGIC {
            return Err(malformed(format!("{} is not a recording of a call", path.display())));
        }
        if version != VERSION.to_le_bytes() {
            let text =
                format!("{} is a recording of another version of this program: replay it with that", path.display());
            return Err(malformed(text));
        }
        Ok(reader)
    }

    /// The next piece.
    ///
    /// # Errors
    /// `Malformed`: what comes was changed or damaged, or the disk cannot be read.
    pub fn next_piece(&mut self) -> Result<Next> {
        let began = self.at;
        let mut head = [0; PIECE_HEAD];
        let count = self.read(&mut head)?;
        if self.is_over {
            return if count == 0 { Ok(Next::End) } else { Err(self.damaged(began, "something follows its end")) };
        }
        if count < head.len() {
            return Ok(Next::CutOff);
        }
        let [kind, l0, l1, l2, l3, c0, c1, c2, c3] = head;
        let (length, sum) = (u32::from_le_bytes([l0, l1, l2, l3]) as usize, u32::from_le_bytes([c0, c1, c2, c3]));
        let piece = Piece::ALL.into_iter().find(|piece| piece.number() == kind);
        let piece = piece.ok_or_else(|| self.damaged(began, "a piece of no known kind"))?;
        if length > MOST {
            return Err(self.damaged(began, "a piece of impossible length"));
        }
        let mut body = vec![0; length];
        if self.read(&mut body)? < length {
            return Ok(Next::CutOff);
        }
        if checksum(kind, &body) != sum {
            return Err(self.damaged(began, "the checksum is wrong"));
        }
        self.is_over = piece == Piece::End;
        Ok(Next::Piece(piece, body))
    }

    /// The line for a person about something wrong at a place of the file.
    pub fn damaged(&self, at: u64, what: &str) -> Error {
        let text = format!("{} was changed or is damaged: {what}, {at} bytes in", self.path.display());
        Error::new(Kind::Malformed, text)
    }

    /// Where the next piece begins.
    pub const fn at(&self) -> u64 {
        self.at
    }

    /// As much as there is, up to the whole of `buffer`.
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let mut count = 0;
        while count < buffer.len() {
            match self.file.read(&mut buffer[count..]) {
                Ok(0) => break,
                Ok(more) => count += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(Error::new(Kind::Malformed, format!("cannot read {}: {error}", self.path.display())));
                }
            }
        }
        self.at += count as u64;
        Ok(count)
    }
}
