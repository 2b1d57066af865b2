//! A recorded call, tick by tick from its file.

use std::collections::VecDeque;
use std::path::Path;

use crate::base::error::{Error, Kind, Result};
use crate::store::recording::{Next, Piece, RecordingReader};
use crate::world::tape::note::{Head, TickNote};

/// A recording being read.
#[derive(Debug)]
pub struct RecordedCall {
    head: Head,
    reader: RecordingReader,
    ticks: VecDeque<TickNote>,
    /// Take what is whole of a recording that was cut off.
    partial: bool,
    cut_off: bool,
    is_over: bool,
}

impl RecordedCall {
    /// Opens `path`. `partial`: a recording that was cut off is read as far as it is whole.
    ///
    /// # Errors
    /// `Malformed` with one line for the person: it is no recording, or not a whole one.
    pub fn open(path: &Path, partial: bool) -> Result<Self> {
        let mut reader = RecordingReader::open(path)?;
        let head = match reader.next_piece()? {
            Next::Piece(Piece::Head, body) => {
                postcard::from_bytes(&body).map_err(|_| reader.damaged(0, "it does not begin as a recording does"))?
            }
            Next::CutOff => return Err(cut_off(path, 0.0, false)),
            _ => return Err(reader.damaged(0, "it does not begin as a recording does")),
        };
        let call = Self { head, reader, ticks: VecDeque::new(), partial, cut_off: false, is_over: false };
        call.look_through(path)?;
        Ok(call)
    }

    pub const fn head(&self) -> &Head {
        &self.head
    }

    /// The next tick; `None` after the last one.
    ///
    /// # Errors
    /// `Malformed`: the file was changed while it was read.
    pub fn next_tick(&mut self) -> Result<Option<TickNote>> {
        while self.ticks.is_empty() && !self.is_over {
            let at = self.reader.at();
            match self.reader.next_piece()? {
                Next::Piece(Piece::Ticks, body) => self.ticks = ticks(&body, &self.reader, at)?,
                Next::Piece(Piece::Head, _) => return Err(self.reader.damaged(at, "it begins twice")),
                Next::Piece(Piece::End, _) => {}
                Next::End => self.is_over = true,
                Next::CutOff => (self.is_over, self.cut_off) = (true, true),
            }
        }
        Ok(self.ticks.pop_front())
    }

    /// Whether the recording was cut off where it ended.
    pub const fn was_cut_off(&self) -> bool {
        self.cut_off
    }

    /// Reads the whole file once: what is wrong at its end is said before an hour is replayed. Nothing is kept.
    fn look_through(&self, path: &Path) -> Result<()> {
        let mut whole = Self {
            head: self.head.clone(),
            reader: RecordingReader::open(path)?,
            ticks: VecDeque::new(),
            partial: self.partial,
            cut_off: false,
            is_over: false,
        };
        // Its head.
        whole.reader.next_piece()?;
        let (mut number, mut last, mut seconds) = (0, 0i64, 0.0);
        while let Some(tick) = whole.next_tick()? {
            let wrong = |what| Err(whole.reader.damaged(whole.reader.at(), what));
            if tick.number != number {
                return wrong("ticks are missing");
            }
            let longest = if number == 0 { WEEK } else { HOUR };
            if !(last..=last.saturating_add(longest)).contains(&tick.now) || tick.entries.len() > MOST {
                return wrong("a tick that no call has");
            }
            (number, last, seconds) = (number + 1, tick.now, tick.now as f64 / 1e9);
        }
        if whole.cut_off && !self.partial {
            return Err(cut_off(path, seconds, number > 0));
        }
        if number == 0 {
            return Err(Error::new(Kind::Malformed, format!("{} has no call in it", path.display())));
        }
        Ok(())
    }
}

/// Nanoseconds. Between two ticks of a call lie 20 ms, unless the program was held up; the first may be a week after the
/// program's start.
const HOUR: i64 = 3600 * 1_000_000_000;
const WEEK: i64 = 24 * 7 * HOUR;
/// Things that come in one tick: after a stall of seconds some hundreds.
const MOST: usize = 20_000;

fn ticks(body: &[u8], reader: &RecordingReader, at: u64) -> Result<VecDeque<TickNote>> {
    let (mut rest, mut ticks) = (body, VecDeque::new());
    while !rest.is_empty() {
        let (tick, after) = postcard::take_from_bytes(rest).map_err(|_| reader.damaged(at, "a tick cannot be read"))?;
        ticks.push_back(tick);
        rest = after;
    }
    Ok(ticks)
}

fn cut_off(path: &Path, seconds: f64, has_some: bool) -> Error {
    let what = if has_some { "; --partial takes what is there" } else { "" };
    Error::new(Kind::Malformed, format!("{} was cut off {seconds:.1} s after it began{what}", path.display()))
}
