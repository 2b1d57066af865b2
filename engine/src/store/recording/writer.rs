//! Writes pieces on a thread of its own: a slow disk must not hold up a call, and a full one must not end it.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use super::{MAGIC, PIECE_HEAD, Piece, VERSION, checksum, refused};
use crate::base::error::{Error, Kind, Result};
use crate::base::pipe::{PipeReceiver, PipeSender, Wake, pipe};

/// Pieces that may wait for the disk: four seconds. Past that the recording stops, as memory must not grow instead.
const BOUND: usize = 8;

/// A recording being written. Dropping it ends and joins the thread.
#[derive(Debug)]
pub struct RecordingWriter {
    /// `None` once it is closed.
    pieces: Option<PipeSender<(Piece, Vec<u8>)>>,
    /// Bodies that were written, to be filled again.
    spare: PipeReceiver<Vec<u8>>,
    failure: Arc<OnceLock<Error>>,
    /// Somebody was told of the failure.
    told: bool,
    waits: bool,
    thread: Option<JoinHandle<()>>,
    size: u64,
    limit: u64,
    path: PathBuf,
}

impl RecordingWriter {
    /// Opens the file and starts the thread; `wake` is called when writing fails. At most `limit` bytes are written. What is
    /// in the file stays until the first piece comes, and a new file without any piece goes again. Readable by its owner
    /// only.
    ///
    /// # Errors
    /// The file cannot be made (`Malformed`): one line for the person.
    pub fn create(path: &Path, limit: u64, wake: Wake) -> Result<Self> {
        let is_new = !path.exists();
        let failed = |error: std::io::Error| {
            Error::new(Kind::Malformed, format!("cannot record to {}: {error}", path.display()))
        };
        let file = open(path).map_err(failed)?;
        let (pieces, to_write) = pipe(BOUND);
        let (written, spare) = pipe(BOUND);
        let failure = Arc::new(OnceLock::new());
        let (told, named) = (failure.clone(), path.to_owned());
        let work = move || {
            let outcome = write_all(file, &to_write, &written);
            if is_new && matches!(outcome, Ok(false)) {
                let _ = std::fs::remove_file(&named);
            }
            if let Err(error) = outcome {
                let _ = told.set(refused(&named, "the recording stopped, the call goes on: cannot write", &error));
                wake.wake();
            }
        };
        let thread = std::thread::Builder::new()
            .name("recorder".into())
            .spawn(work)
            .map_err(|error| Error::new(Kind::Retry, format!("cannot start the thread recorder: {error}")))?;
        let size = (MAGIC.len() + 2) as u64;
        let path = path.to_owned();
        Ok(Self {
            pieces: Some(pieces),
            spare,
            failure,
            told: false,
            waits: false,
            thread: Some(thread),
            size,
            limit,
            path,
        })
    }

    /// From now on [`Self::put`] waits for the disk: in virtual time a call passes faster than any disk writes.
    pub const fn wait_for_disk(&mut self) {
        self.waits = true;
    }

    /// Hands a piece over and gives empty storage for the next one.
    ///
    /// # Errors
    /// `Full`: the limit is reached, or the disk does not follow. `Refused`: an earlier piece could not be written. The
    /// recording is over: close it and tell the person.
    pub fn put(&mut self, piece: Piece, body: Vec<u8>) -> Result<Vec<u8>> {
        if let Some(failure) = self.failure.get() {
            return Err(failure.clone());
        }
        self.size += (PIECE_HEAD + body.len()) as u64;
        // The end must fit as well.
        if self.size + PIECE_HEAD as u64 > self.limit {
            let text = format!("the recording {} reached its limit and stopped, the call goes on", self.path.display());
            return Err(Error::new(Kind::Full, text));
        }
        if self.waits {
            return self.put_in_time(piece, body);
        }
        let pieces = self.pieces.as_ref();
        if pieces.is_none_or(|pieces| pieces.try_send((piece, body)).is_err()) {
            let text =
                format!("the recording stopped, the call goes on: the disk of {} is too slow", self.path.display());
            return Err(self.failure.get().cloned().unwrap_or_else(|| Error::new(Kind::Full, text)));
        }
        let mut spare = self.spare.try_recv().unwrap_or_default();
        spare.clear();
        Ok(spare)
    }

    /// Why writing failed, if it did and this was not asked before.
    pub fn take_failure(&mut self) -> Option<Error> {
        let failure = self.failure.get().filter(|_| !self.told).cloned();
        self.told |= failure.is_some();
        failure
    }

    /// As [`Self::put`] for one who may wait for the disk.
    ///
    /// # Errors
    /// `Refused`: it could not be written.
    pub fn put_in_time(&mut self, piece: Piece, body: Vec<u8>) -> Result<Vec<u8>> {
        let sent = self.pieces.as_ref().is_some_and(|pieces| pieces.send((piece, body)).is_ok());
        if let Some(failure) = self.failure.get().filter(|_| !sent) {
            return Err(failure.clone());
        }
        let mut spare = self.spare.try_recv().unwrap_or_default();
        spare.clear();
        Ok(spare)
    }

    /// Waits until everything is on the disk.
    ///
    /// # Errors
    /// `Refused`: it could not be written.
    pub fn finish(mut self) -> Result<()> {
        self.join();
        self.failure.get().map_or(Ok(()), |failure| Err(failure.clone()))
    }

    /// Nothing more comes; the thread writes the end, and ends when everything is on the disk.
    pub fn close(&mut self) {
        self.pieces = None;
    }
}

impl RecordingWriter {
    fn join(&mut self) {
        self.close();
        if let Some(thread) = self.thread.take() {
            // A panic in there has been reported by the hook; the file is as whole as it can be.
            let _ = thread.join();
        }
    }
}

impl Drop for RecordingWriter {
    fn drop(&mut self) {
        self.join();
    }
}

/// Whether anything was written.
fn write_all(
    mut file: File,
    pieces: &PipeReceiver<(Piece, Vec<u8>)>,
    written: &PipeSender<Vec<u8>>,
) -> std::io::Result<bool> {
    let mut whole = 0;
    while let Some((piece, body)) = pieces.recv() {
        if whole == 0 {
            whole = begin(&mut file)?;
        }
        if let Err(error) = write_piece(&mut file, piece, &body) {
            // Half a piece is of use to nobody; where this fails as well, the reader finds the place.
            let _ = file.set_len(whole);
            return Err(error);
        }
        whole += (PIECE_HEAD + body.len()) as u64;
        // When nobody takes it back it is only storage.
        let _ = written.try_send(body);
    }
    if whole > 0 {
        write_piece(&mut file, Piece::End, &[])?;
    }
    Ok(whole > 0)
}

/// Not emptied yet: what was recorded before is worth more than a recording that does not begin.
fn open(path: &Path) -> std::io::Result<File> {
    let mut options = File::options();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Empties the file and writes what stands in front; how much that is.
fn begin(file: &mut File) -> std::io::Result<u64> {
    // A device that is no file has nothing to empty.
    let _ = file.set_len(0);
    let mut head = MAGIC.to_vec();
    head.extend(VERSION.to_le_bytes());
    file.write_all(&head)?;
    Ok(head.len() as u64)
}

fn write_piece(file: &mut File, piece: Piece, body: &[u8]) -> std::io::Result<()> {
    let mut head = [0; PIECE_HEAD];
    head[0] = piece.number();
    head[1..5].copy_from_slice(&(body.len() as u32).to_le_bytes());
    head[5..].copy_from_slice(&checksum(piece.number(), body).to_le_bytes());
    file.write_all(&head)?;
    file.write_all(body)?;
    // A device that is no file (a pipe, the null device) has nothing to bring to the disk.
    match file.sync_data() {
        Err(error) if error.kind() != std::io::ErrorKind::InvalidInput => Err(error),
        _ => Ok(()),
    }
}
