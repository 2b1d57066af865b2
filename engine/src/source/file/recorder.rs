//! Writes shown pictures to a Y4M file on a thread of its own: a disk must not hold up a call.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use super::y4m::Y4mWriter;
use crate::base::error::{Error, Kind, Result};
use crate::base::pipe::{PipeSender, pipe};
use crate::media::video::Picture;

/// Pictures that may wait for the disk: half a second of them. Past that a picture is left out, counted.
const WAITING: usize = 15;

/// A recording. Dropping it writes what waits and closes the file.
#[derive(Debug)]
pub struct Recorder {
    pipe: Option<PipeSender<Arc<Picture>>>,
    thread: Option<JoinHandle<()>>,
}

impl Recorder {
    /// Creates the file.
    ///
    /// # Errors
    /// It cannot be created: a line for the person.
    pub fn create(path: &Path, frame_rate: u32) -> Result<Self> {
        let mut writer = Y4mWriter::create(path, frame_rate)?;
        let (sender, receiver) = pipe::<Arc<Picture>>(WAITING);
        let work = move || {
            while let Some(picture) = receiver.recv() {
                // A full disk ends the recording, not the call; the pictures so far stay readable.
                if writer.write(&picture).is_err() {
                    return;
                }
            }
            let _ = writer.finish();
        };
        let thread = std::thread::Builder::new()
            .name("video-recorder".into())
            .spawn(work)
            .map_err(|error| Error::new(Kind::Retry, format!("cannot start the recorder: {error}")))?;
        Ok(Self { pipe: Some(sender), thread: Some(thread) })
    }

    /// Takes one picture; leaves it out when the disk is behind.
    pub fn push(&self, picture: &Arc<Picture>) {
        if let Some(pipe) = &self.pipe {
            let _ = pipe.try_send(picture.clone());
        }
    }

    /// Pictures left out because the disk was behind.
    pub fn left_out(&self) -> u64 {
        self.pipe.as_ref().map_or(0, PipeSender::refused)
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.pipe = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::y4m::Y4mReader;
    use super::*;

    #[test]
    fn a_recording_reads_back_picture_by_picture() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("call.y4m");
        let recorder = Recorder::create(&path, 30).expect("a new file");
        for n in 0..5u8 {
            let mut picture = Picture::new(64, 48);
            picture.y.fill(100 + n);
            recorder.push(&Arc::new(picture));
        }
        assert_eq!(recorder.left_out(), 0);
        drop(recorder);
        let mut reader = Y4mReader::open(&path).expect("a Y4M file");
        let mut picture = Picture::default();
        for n in 0..5u8 {
            reader.read(&mut picture).expect("a picture");
            assert_eq!((picture.width, picture.height, picture.y[0]), (64, 48, 100 + n));
        }
    }
}
