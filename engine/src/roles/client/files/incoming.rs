//! The file that comes.

use std::path::{Path, PathBuf};

use bevy_ecs::entity::Entity;

use super::Desk;
use crate::base::error::Result;
use crate::layout::snapshot::FileView;
use crate::proto::file::{Control, LARGEST, Offer};
use crate::proto::keys::{Digest, PublicKey};
use crate::proto::signal::body::Line;
use crate::store::transfer::{Disk, Job, Told, has_part};
use crate::world::message::FileNotice;

#[derive(Debug)]
pub struct Incoming {
    offer: Offer,
    from: PublicKey,
    connection: Entity,
    stage: Stage,
    /// What was here before.
    began: u64,
    received: u64,
    unwritten: u64,
    told: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// A person is asked.
    Asked,
    /// The disk makes room.
    Preparing,
    Running,
    /// Everything has come; the disk looks whether it is what was offered.
    Checking,
}

impl Incoming {
    pub const fn new(offer: Offer, from: PublicKey, connection: Entity) -> Self {
        Self { offer, from, connection, stage: Stage::Asked, began: 0, received: 0, unwritten: 0, told: 0 }
    }

    /// Goes on with a part of it that the person has taken before, takes it where everything is taken, or asks.
    pub fn begin(&mut self, folder: &Path, takes_all: bool, disk: &Disk, desk: &mut Desk) {
        if takes_all || has_part(folder, &self.from, &self.offer.hash) {
            return self.prepare(folder.to_path_buf(), disk);
        }
        desk.tell(FileNotice::Offered(self.view()));
    }

    pub fn prepare(&mut self, folder: PathBuf, disk: &Disk) {
        let job = Job::Prepare { folder, from: self.from, offer: self.offer.clone() };
        if self.offer.size <= LARGEST && disk.ask(job) {
            self.stage = Stage::Preparing;
        }
    }

    /// What the disk says; the file's path once it is complete.
    ///
    /// # Errors
    /// There is no room, the disk fails, or it is not what was offered: it is over.
    pub fn on_told(&mut self, told: Told, disk: &Disk, desk: &mut Desk) -> Result<Option<PathBuf>> {
        match told {
            Told::Prepared(prepared) => {
                let (from, have) = prepared?;
                if self.stage == Stage::Preparing {
                    (self.began, self.received, self.stage) = (from, from, Stage::Running);
                    self.told = from;
                    desk.say(&Control::Accept { hash: self.offer.hash, from, have });
                    self.finish_if_complete(disk);
                }
            }
            Told::Wrote(written) => {
                self.unwritten = self.unwritten.saturating_sub(written? as u64);
                if self.stage == Stage::Running {
                    self.finish_if_complete(disk);
                }
            }
            Told::Saved(path) => return path.map(Some),
            _ => {}
        }
        Ok(None)
    }

    /// The next part.
    ///
    /// # Errors
    /// It has no place, or the disk is far behind: it is over, and why.
    pub fn on_data(&mut self, offset: u64, bytes: &[u8], disk: &Disk) -> Result<(), &'static str> {
        if self.stage != Stage::Running {
            return Err("a part came that nobody asked for");
        }
        if offset == 0 && self.received == self.began && self.began > 0 {
            // What is here is not the beginning of what the sender has.
            (self.received, self.began, self.told) = (0, 0, 0);
            disk.ask(Job::Restart);
        }
        let end = offset.saturating_add(bytes.len() as u64);
        if offset != self.received || end > self.offer.size {
            return Err("a part came that has no place in the file");
        }
        if self.unwritten > MOST_UNWRITTEN || !disk.ask(Job::Write(bytes.to_vec())) {
            return Err("the disk is too slow for it");
        }
        self.received = end;
        self.unwritten = self.unwritten.saturating_add(bytes.len() as u64);
        self.finish_if_complete(disk);
        Ok(())
    }

    /// Tells the sender how far it is: while the disk is behind, later.
    pub fn acknowledge(&mut self, put: impl FnOnce(&[u8]) -> bool) {
        let is_new = self.received > self.told && self.unwritten <= MUCH_UNWRITTEN;
        if is_new && put(&Control::Got { hash: self.offer.hash, to: self.received }.to_bytes()) {
            self.told = self.received;
        }
    }

    pub fn is_asked(&self) -> bool {
        self.stage == Stage::Asked
    }

    pub const fn offer(&self) -> &Offer {
        &self.offer
    }

    /// Which file it is, and how much of it was here before.
    pub const fn identity(&self) -> (&Digest, u64) {
        (&self.offer.hash, self.began)
    }

    pub const fn connection(&self) -> Entity {
        self.connection
    }

    pub fn refusal(&self, why: &str) -> Control {
        Control::Refuse { hash: self.offer.hash, why: Line::cut(why) }
    }

    pub fn failed(&self, why: String) -> FileNotice {
        FileNotice::Failed { file: self.view(), is_sent: false, why }
    }

    pub fn view(&self) -> FileView {
        let name = self.offer.name.to_string();
        FileView { name, size: self.offer.size, done: self.received, is_offered: self.stage == Stage::Asked }
    }

    fn finish_if_complete(&mut self, disk: &Disk) {
        if self.received == self.offer.size && disk.ask(Job::Finish) {
            self.stage = Stage::Checking;
        }
    }
}

/// The sender has no more than 96 KiB on the way that was not acknowledged.
const MOST_UNWRITTEN: u64 = 1 << 20;
const MUCH_UNWRITTEN: u64 = 512 << 10;
