//! A disk that forgets what was not synced when its power goes: what was answered well must be on it, all the same.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::OpenFlags;
use sqlite_vfs::{DatabaseHandle, LockKind, OpenOptions, Vfs, WalDisabled, register as register_vfs};

use super::*;

/// A file as it is seen, as it would be after a loss of power, and what makes the difference.
#[derive(Clone, Debug, Default)]
struct Stored {
    live: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

impl Change {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Self::Write(at, bytes) => {
                to.resize(to.len().max(at + bytes.len()), 0);
                to[*at..at + bytes.len()].copy_from_slice(bytes);
            }
            Self::Length(length) => to.resize(*length, 0),
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Disk {
    files: HashMap<String, Stored>,
    /// Writes and syncs until the power goes; `None`: it stays.
    left: Option<u32>,
}

impl Disk {
    fn spend(&mut self) -> io::Result<()> {
        match &mut self.left {
            Some(0) => Err(io::Error::other("no power")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn change(&mut self, file: &str, change: Change) -> io::Result<()> {
        self.spend()?;
        let stored = self.files.entry(file.to_owned()).or_default();
        change.apply(&mut stored.live);
        stored.unsynced.push(change);
        Ok(())
    }

    fn sync(&mut self, file: &str) -> io::Result<()> {
        self.spend()?;
        let stored = self.files.entry(file.to_owned()).or_default();
        stored.durable.clone_from(&stored.live);
        stored.unsynced.clear();
        Ok(())
    }

    /// The power goes and comes back: of what was not synced some is there, in any order, some only in part.
    fn lose_power(&mut self, chance: &mut fastrand::Rng) {
        for stored in self.files.values_mut() {
            for change in stored.unsynced.drain(..) {
                match change {
                    _ if chance.bool() => {}
                    Change::Write(at, mut bytes) if chance.u8(..) < 64 => {
                        bytes.truncate(chance.usize(..=bytes.len()));
                        Change::Write(at, bytes).apply(&mut stored.durable);
                    }
                    whole => whole.apply(&mut stored.durable),
                }
            }
            stored.live.clone_from(&stored.durable);
        }
        self.left = None;
    }
}

#[derive(Clone, Debug)]
struct Power(Arc<Mutex<Disk>>);

impl Power {
    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Handle {
    power: Power,
    file: String,
    lock: LockKind,
}

impl Vfs for Power {
    type Handle = Handle;

    fn open(&self, file: &str, _: OpenOptions) -> io::Result<Handle> {
        self.disk().files.entry(file.to_owned()).or_default();
        Ok(Handle { power: self.clone(), file: file.to_owned(), lock: LockKind::None })
    }

    fn delete(&self, file: &str) -> io::Result<()> {
        let mut disk = self.disk();
        disk.spend()?;
        disk.files.remove(file);
        Ok(())
    }

    fn exists(&self, file: &str) -> io::Result<bool> {
        Ok(self.disk().files.contains_key(file))
    }

    fn temporary_name(&self) -> String {
        "temporary".into()
    }

    fn random(&self, buffer: &mut [i8]) {
        buffer.fill(7);
    }

    fn sleep(&self, duration: std::time::Duration) -> std::time::Duration {
        duration
    }
}

impl DatabaseHandle for Handle {
    type WalIndex = WalDisabled;

    fn size(&self) -> io::Result<u64> {
        Ok(self.power.disk().files.get(&self.file).map_or(0, |stored| stored.live.len() as u64))
    }

    fn read_exact_at(&mut self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let disk = self.power.disk();
        let live = disk.files.get(&self.file).map_or(&[][..], |stored| &stored.live);
        let bytes = live.get(offset as usize..).and_then(|rest| rest.get(..buffer.len()));
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.power.disk().change(&self.file, Change::Write(offset as usize, bytes.to_vec()))
    }

    fn sync(&mut self, _: bool) -> io::Result<()> {
        self.power.disk().sync(&self.file)
    }

    fn set_len(&mut self, size: u64) -> io::Result<()> {
        self.power.disk().change(&self.file, Change::Length(size as usize))
    }

    fn lock(&mut self, lock: LockKind) -> io::Result<bool> {
        self.lock = lock;
        Ok(true)
    }

    fn reserved(&mut self) -> io::Result<bool> {
        Ok(false)
    }

    fn current_lock(&self) -> io::Result<LockKind> {
        Ok(self.lock)
    }

    fn wal_index(&self, _: bool) -> io::Result<WalDisabled> {
        Ok(WalDisabled)
    }
}

/// The database on that disk. One connection for itself alone, whose index of the log is in memory.
fn open(vfs: &str) -> rusqlite::Result<Sqlite> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let mut connection = Connection::open_with_flags_and_vfs("service.db", flags, vfs)?;
    connection.pragma_update_and_check(None, "locking_mode", "exclusive", |_| Ok(()))?;
    prepare(&mut connection)?;
    bring_up(&mut connection).expect("tables");
    // Often enough that the power goes while the log is written back, too.
    connection.pragma_update_and_check(None, "wal_autocheckpoint", 16, |_| Ok(()))?;
    Ok(Sqlite { connection })
}

/// Texts of the room, by their numbers.
fn texts(database: &Sqlite) -> Vec<usize> {
    let mut read = database.connection.prepare("SELECT text FROM entries WHERE what = 0 ORDER BY text").expect("read");
    let rows = read.query_map([], |row| row.get::<_, String>(0)).expect("read");
    rows.map(|text| text.expect("read").parse().expect("a number")).collect()
}

/// What was acknowledged before the power went, and what is there afterwards, for each of `points` moments.
fn after_loss(vfs: &str, synchronous: &str, points: u64) -> Vec<(Vec<usize>, Vec<usize>)> {
    let power = Power(Arc::default());
    register_vfs(vfs, power.clone(), false).expect("registered");
    let mut database = open(vfs).expect("made");
    run(&mut database, vec![register("ada"), create(1)]);
    drop(database);
    let fresh = power.disk().clone();
    let point = |seed| {
        let mut chance = fastrand::Rng::with_seed(seed);
        *power.disk() = fresh.clone();
        let mut database = open(vfs).expect("opened");
        database.connection.pragma_update(None, "synchronous", synchronous).expect("set");
        power.disk().left = Some(chance.u32(1..600));
        let (mut acknowledged, mut next) = (Vec::new(), 0);
        while power.disk().left != Some(0) && next < 2000 {
            let numbers: Vec<usize> = (next..next + chance.usize(1..20)).collect();
            next += numbers.len();
            let answers = run(&mut database, numbers.iter().map(|n| post(1, *n, &n.to_string())).collect());
            let well = numbers.into_iter().zip(&answers).filter(|(_, answered)| code(answered).is_none());
            acknowledged.extend(well.map(|(number, _)| number));
        }
        // The power is gone: what the program still does has no effect.
        power.disk().left = Some(0);
        drop(database);
        power.disk().lose_power(&mut chance);
        let found = open(vfs).map(|database| {
            let whole: String =
                database.connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("read");
            if whole == "ok" { texts(&database) } else { Vec::new() }
        });
        // A database that cannot be read any more has nothing.
        (acknowledged, found.unwrap_or_default())
    };
    (0..points).map(point).collect()
}

fn lost(points: &[(Vec<usize>, Vec<usize>)]) -> usize {
    points
        .iter()
        .map(|(acknowledged, found)| acknowledged.iter().filter(|number| !found.contains(number)).count())
        .sum()
}

#[test]
fn what_was_acknowledged_outlives_a_loss_of_power_at_any_moment() {
    let points = after_loss("power-full", "full", 200);
    assert_eq!(points.len(), 200);
    let acknowledged: usize = points.iter().map(|(acknowledged, _)| acknowledged.len()).sum();
    assert!(acknowledged > 2000, "{acknowledged}");
    assert_eq!(lost(&points), 0);
    for (_, found) in &points {
        assert!(found.windows(2).all(|pair| pair[0] != pair[1]), "none is there twice");
    }
}

#[test]
fn a_disk_that_is_not_asked_to_sync_loses_some_and_this_test_sees_it() {
    let points = after_loss("power-off", "off", 200);
    assert!(lost(&points) > 0, "of {} acknowledged", points.iter().map(|(some, _)| some.len()).sum::<usize>());
}
