//! Files that are sent and received in calls, on a thread of its own: the engine's tick waits for no disk. What is received
//! has a name of no meaning until it is complete and is what was offered; a transfer that broke off goes on with it.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use crate::base::error::{Error, Kind, Result};
use crate::base::pipe::{PipeReceiver, PipeSender, Wake, pipe};
use crate::proto::file::name::FileName;
use crate::proto::file::{LARGEST, Offer};
use crate::proto::hex;
use crate::proto::keys::{Digest, Hasher, PublicKey};
use crate::store::file::make_folder;

/// What the thread is asked. One file is read and one is written at a time: another one takes its place.
#[derive(Debug)]
pub enum Job {
    /// Look at a file that is to be sent. → [`Told::Opened`]
    Open(PathBuf),
    /// The other side has so much of it, with this digest: where reading begins. → [`Told::Begins`]
    Begin { from: u64, have: Digest },
    /// The next part. → [`Told::Part`]
    Read,
    /// Make room for what is offered by this account, in this folder. → [`Told::Prepared`]
    Prepare { folder: PathBuf, from: PublicKey, offer: Offer },
    /// The sender has something else than is here: all of it comes.
    Restart,
    /// The next part. → [`Told::Wrote`]
    Write(Vec<u8>),
    /// It is complete. → [`Told::Saved`]
    Finish,
    /// No more of it; what is there is kept to go on with, or not.
    Stop { keep: bool },
}

/// What the thread tells.
#[derive(Debug)]
pub enum Told {
    Opened(Result<Offer>),
    Begins(Result<u64>),
    /// Nothing in it: the file is over.
    Part(Result<Vec<u8>>),
    /// So much of it is here, with this digest.
    Prepared(Result<(u64, Digest)>),
    Wrote(Result<usize>),
    Saved(Result<PathBuf>),
}

/// The thread.
#[derive(Debug)]
pub struct Disk {
    jobs: Option<PipeSender<Job>>,
    told: PipeReceiver<Told>,
    thread: Option<JoinHandle<()>>,
}

impl Disk {
    /// [`Kind::Retry`]: the system gives no thread.
    pub fn start(wake: Wake) -> Result<Self> {
        let (jobs, jobs_in) = pipe(JOBS);
        let (told_out, told) = pipe(JOBS * 2);
        let work = move || {
            let mut desk = Desk::default();
            while let Some(job) = jobs_in.recv() {
                let Some(told) = desk.run(job) else { continue };
                if told_out.send(told).is_err() {
                    return;
                }
                wake.wake();
            }
        };
        let thread = std::thread::Builder::new().name("files".into()).spawn(work);
        let thread = thread.map_err(|error| Error::new(Kind::Retry, format!("files cannot be sent: {error}")))?;
        Ok(Self { jobs: Some(jobs), told, thread: Some(thread) })
    }

    /// `false`: more is asked than is done; the transfer is to be given up.
    pub fn ask(&self, job: Job) -> bool {
        self.jobs.as_ref().is_some_and(|jobs| jobs.try_send(job).is_ok())
    }

    pub fn poll(&self) -> Option<Told> {
        self.told.try_recv()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.jobs = None;
        // Whoever waits to be heard is let go.
        while self.told.recv().is_some() {}
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[derive(Debug, Default)]
struct Desk {
    reading: Option<File>,
    writing: Option<Writing>,
}

#[derive(Debug)]
struct Writing {
    file: File,
    part: PathBuf,
    folder: PathBuf,
    offer: Offer,
    hasher: Hasher,
    length: u64,
}

impl Desk {
    fn run(&mut self, job: Job) -> Option<Told> {
        Some(match job {
            Job::Open(path) => Told::Opened(self.open(&path)),
            Job::Begin { from, have } => Told::Begins(self.begin(from, &have)),
            Job::Read => Told::Part(self.read()),
            Job::Prepare { folder, from, offer } => Told::Prepared(self.prepare(&folder, &from, offer)),
            Job::Write(bytes) => Told::Wrote(self.write(&bytes)),
            Job::Finish => Told::Saved(self.finish()),
            Job::Restart => {
                let writing = self.writing.as_mut()?;
                (writing.length, writing.hasher) = (0, Hasher::default());
                if writing.file.set_len(0).and_then(|()| writing.file.seek(SeekFrom::Start(0))).is_err() {
                    self.writing = None;
                }
                return None;
            }
            Job::Stop { keep } => {
                if let Some(writing) = self.writing.take().filter(|_| !keep) {
                    let _ = fs::remove_file(&writing.part);
                }
                return None;
            }
        })
    }

    fn open(&mut self, path: &Path) -> Result<Offer> {
        self.reading = None;
        let failed = |error: std::io::Error| refused(path, "cannot be read", &error);
        let mut file = File::open(path).map_err(failed)?;
        let about = file.metadata().map_err(failed)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if !about.is_file() {
            return Err(Error::new(Kind::Refused, format!("{} is no file", path.display())));
        }
        if about.len() > LARGEST {
            return Err(Error::new(Kind::Full, format!("{name} is larger than {} GiB", LARGEST >> 30)));
        }
        let mut hasher = Hasher::default();
        let size = feed(&mut file, u64::MAX, &mut hasher).map_err(failed)?;
        let offer = Offer { name: FileName::of(&name), size, hash: hasher.digest() };
        self.reading = Some(file);
        Ok(offer)
    }

    fn begin(&mut self, from: u64, have: &Digest) -> Result<u64> {
        let file = self.reading.as_mut().ok_or_else(none)?;
        let failed = |error: std::io::Error| Error::new(Kind::Refused, format!("the file cannot be read: {error}"));
        file.seek(SeekFrom::Start(0)).map_err(failed)?;
        let mut hasher = Hasher::default();
        let is_same = feed(file, from, &mut hasher).map_err(failed)? == from && hasher.digest() == *have;
        let from = if is_same { from } else { 0 };
        file.seek(SeekFrom::Start(from)).map_err(failed)?;
        Ok(from)
    }

    fn read(&mut self) -> Result<Vec<u8>> {
        let file = self.reading.as_mut().ok_or_else(none)?;
        let mut bytes = Vec::with_capacity(PART);
        let read = file.take(PART as u64).read_to_end(&mut bytes);
        read.map_err(|error| Error::new(Kind::Refused, format!("the file cannot be read: {error}")))?;
        Ok(bytes)
    }

    fn prepare(&mut self, folder: &Path, from: &PublicKey, offer: Offer) -> Result<(u64, Digest)> {
        self.writing = None;
        make_folder(folder)?;
        let part = part_of(folder, from, &offer.hash);
        let failed = |error: std::io::Error| refused(&part, "cannot be written", &error);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&part).map_err(failed)?;
        let mut hasher = Hasher::default();
        let mut length = file.metadata().map_err(failed)?.len();
        if length > offer.size {
            length = 0;
        }
        file.set_len(length).map_err(failed)?;
        feed(&mut file, length, &mut hasher).map_err(failed)?;
        if let Some(room) = room(folder)
            && offer.size.saturating_sub(length).saturating_add(SPARE) > room
        {
            if length == 0 {
                let _ = fs::remove_file(&part);
            }
            let text = format!("there is no room for {}: {} MiB are free", offer.name, room >> 20);
            return Err(Error::new(Kind::Full, text));
        }
        let have = hasher.digest();
        self.writing = Some(Writing { file, part, folder: folder.to_path_buf(), offer, hasher, length });
        Ok((length, have))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        let writing = self.writing.as_mut().ok_or_else(none)?;
        if writing.length.saturating_add(bytes.len() as u64) > writing.offer.size {
            return Err(Error::new(Kind::Malformed, "more came than was offered"));
        }
        let failed = |error: std::io::Error| refused(&writing.part, "cannot be written", &error);
        writing.file.write_all(bytes).map_err(failed)?;
        writing.hasher.add(bytes);
        writing.length += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn finish(&mut self) -> Result<PathBuf> {
        let writing = self.writing.take().ok_or_else(none)?;
        if writing.length != writing.offer.size || writing.hasher.digest() != writing.offer.hash {
            let _ = fs::remove_file(&writing.part);
            return Err(Error::new(Kind::Malformed, "what came is not what was offered: it is thrown away"));
        }
        let failed = |error: std::io::Error| refused(&writing.part, "cannot be written", &error);
        writing.file.sync_all().map_err(failed)?;
        name_it(&writing.part, &writing.folder, &writing.offer.name)
    }
}

/// Gives the complete file its name, or the first with a number that is free: nothing is replaced.
fn name_it(part: &Path, folder: &Path, name: &FileName) -> Result<PathBuf> {
    for number in 1..=MOST_NUMBERS {
        let path = folder.join(if number == 1 { name.to_string() } else { name.numbered(number) });
        // A link, unlike a rename, fails where the name is taken.
        match fs::hard_link(part, &path) {
            Ok(()) => {
                let _ = fs::remove_file(part);
                return Ok(path);
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            // File systems without links (FAT).
            Err(_) if !path.exists() => {
                fs::rename(part, &path).map_err(|error| refused(&path, "cannot be written", &error))?;
                return Ok(path);
            }
            Err(error) => return Err(refused(&path, "cannot be written", &error)),
        }
    }
    Err(Error::new(Kind::Full, format!("there are {MOST_NUMBERS} files called {name} already")))
}

/// Adds what is read, up to `most` bytes; how much it was.
fn feed(file: &mut File, most: u64, hasher: &mut Hasher) -> std::io::Result<u64> {
    let (mut buffer, mut done) = (vec![0; PART], 0_u64);
    while done < most {
        let most = usize::try_from(most - done).unwrap_or(PART).min(PART);
        match file.read(&mut buffer[..most])? {
            0 => break,
            read => {
                hasher.add(&buffer[..read]);
                done += read as u64;
            }
        }
    }
    Ok(done)
}

/// Under this name it lies until it is complete: the same file of the same sender goes on there.
fn part_of(folder: &Path, from: &PublicKey, hash: &Digest) -> PathBuf {
    let short = |bytes: &[u8]| hex::text(bytes.get(..8).unwrap_or_default());
    folder.join(format!(".{}-{}.part", short(&hash.0), short(&from.0)))
}

/// Whether a part of it is here: the person has accepted it before.
pub fn has_part(folder: &Path, from: &PublicKey, hash: &Digest) -> bool {
    part_of(folder, from, hash).exists()
}

/// Bytes that are free for us; `None` where the system does not say.
fn room(folder: &Path) -> Option<u64> {
    #[cfg(unix)]
    return rustix::fs::statvfs(folder).ok().map(|about| about.f_bavail.saturating_mul(about.f_frsize));
    #[cfg(not(unix))]
    None
}

fn none() -> Error {
    Error::new(Kind::Gone, "the file is closed")
}

fn refused(path: &Path, what: &str, error: &std::io::Error) -> Error {
    Error::new(Kind::Refused, format!("{} {what}: {error}", path.display()))
}

/// Parts that may wait: a mebibyte and a half.
const JOBS: usize = 96;

/// What is read at once.
const PART: usize = 64 * 1024;

/// Left free for everything else.
const SPARE: u64 = 64 << 20;

const MOST_NUMBERS: u32 = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: PublicKey = PublicKey([7; 32]);

    fn bytes(length: usize) -> Vec<u8> {
        (0..length).map(|n| (n * n / 7) as u8).collect()
    }

    fn offer_of(desk: &mut Desk, path: &Path) -> Offer {
        match desk.run(Job::Open(path.to_path_buf())) {
            Some(Told::Opened(offer)) => offer.expect("a file"),
            other => panic!("{other:?}"),
        }
    }

    fn prepare(desk: &mut Desk, folder: &Path, offer: &Offer) -> (u64, Digest) {
        desk.prepare(folder, &FROM, offer.clone()).expect("room")
    }

    #[test]
    fn a_file_that_breaks_off_goes_on_and_gets_a_name_that_is_free() {
        let folder = tempfile::tempdir().expect("folder");
        let (here, there) = (folder.path().join("a.bin"), folder.path().join("in"));
        let whole = bytes(300_000);
        fs::write(&here, &whole).expect("written");
        let (mut sender, mut receiver) = (Desk::default(), Desk::default());
        let offer = offer_of(&mut sender, &here);
        assert_eq!((offer.size, &*offer.name), (300_000, "a.bin"));
        assert!(!has_part(&there, &FROM, &offer.hash));
        let (from, have) = prepare(&mut receiver, &there, &offer);
        assert_eq!((from, sender.begin(from, &have).expect("begins")), (0, 0));
        receiver.write(&sender.read().expect("a part")).expect("written");
        // The call breaks off, and the program with it.
        drop(receiver);
        assert!(has_part(&there, &FROM, &offer.hash) && !has_part(&there, &PublicKey([8; 32]), &offer.hash));
        let mut receiver = Desk::default();
        let (from, have) = prepare(&mut receiver, &there, &offer);
        assert_eq!(from, PART as u64);
        assert_eq!(sender.begin(from, &have).expect("begins"), from);
        fs::write(there.join("a.bin"), b"another one").expect("written");
        loop {
            let part = sender.read().expect("a part");
            if part.is_empty() {
                break;
            }
            receiver.write(&part).expect("written");
        }
        let path = receiver.finish().expect("complete");
        assert_eq!(path, there.join("a (2).bin"));
        assert_eq!(fs::read(&path).expect("there"), whole);
        assert_eq!(fs::read(there.join("a.bin")).expect("there"), b"another one", "nothing is replaced");
        assert_eq!(fs::read_dir(&there).expect("there").count(), 2, "and nothing is left");
    }

    #[test]
    fn what_is_not_what_was_offered_gets_no_name() {
        let folder = tempfile::tempdir().expect("folder");
        let whole = bytes(1000);
        let offer = Offer { name: FileName::of("a.bin"), size: 1000, hash: Digest::of(&whole) };
        let mut desk = Desk::default();
        prepare(&mut desk, folder.path(), &offer);
        desk.write(&bytes(999)).expect("written");
        desk.write(b"!").expect("written");
        assert_eq!(desk.finish().expect_err("another file").kind, Kind::Malformed);
        prepare(&mut desk, folder.path(), &offer);
        assert!(desk.write(&bytes(1001)).is_err(), "more than was offered");
        desk.write(&bytes(10)).expect("written");
        assert!(desk.finish().is_err(), "less than was offered");
        assert_eq!(fs::read_dir(folder.path()).expect("there").count(), 0);
        // What is here is something else than the sender has: all of it is sent.
        prepare(&mut desk, folder.path(), &offer);
        desk.write(&[0; 10]).expect("written");
        let (from, have) = prepare(&mut desk, folder.path(), &offer);
        let here = folder.path().join("sent");
        fs::write(&here, &whole).expect("written");
        let mut sender = Desk::default();
        offer_of(&mut sender, &here);
        assert_eq!((from, sender.begin(from, &have).expect("begins")), (10, 0));
        desk.run(Job::Restart);
        desk.write(&sender.read().expect("a part")).expect("written");
        assert_eq!(fs::read(desk.finish().expect("complete")).expect("there"), whole);
    }

    #[test]
    fn what_has_no_room_or_is_no_file_is_refused_with_words() {
        let folder = tempfile::tempdir().expect("folder");
        let mut desk = Desk::default();
        let offer = Offer { name: FileName::of("a.bin"), size: 1 << 60, hash: Digest::of(b"") };
        let error = desk.prepare(folder.path(), &FROM, offer).expect_err("no disk is that large");
        assert_eq!((error.kind, error.text.contains("no room for a.bin")), (Kind::Full, true), "{error}");
        assert_eq!(fs::read_dir(folder.path()).expect("there").count(), 0);
        assert_eq!(desk.open(folder.path()).expect_err("a folder").kind, Kind::Refused);
        assert_eq!(desk.open(&folder.path().join("none")).expect_err("nothing").kind, Kind::Refused);
        assert_eq!(desk.write(b"x").expect_err("nothing is open").kind, Kind::Gone);
    }
}
