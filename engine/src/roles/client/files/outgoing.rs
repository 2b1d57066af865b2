//! The file that is sent.

use std::collections::VecDeque;
use std::path::PathBuf;

use bevy_ecs::entity::Entity;

use crate::base::error::Result;
use crate::base::time::Instant;
use crate::layout::snapshot::FileView;
use crate::proto::file::pace::{Beside, Pace};
use crate::proto::file::{Control, Offer, write_data};
use crate::proto::keys::{Digest, PublicKey};
use crate::proto::signal::body::Line;
use crate::store::transfer::{Disk, Job, Told};
use crate::world::message::FileNotice;

#[derive(Debug)]
pub struct Outgoing {
    path: PathBuf,
    /// Whose it is: nobody else is offered it.
    to: PublicKey,
    offer: Option<Offer>,
    stage: Stage,
    connection: Option<Entity>,
    pace: Pace,
    /// Read and not sent, the first part from `taken` on.
    ahead: VecDeque<Vec<u8>>,
    taken: usize,
    /// Parts that the disk was asked for.
    asked: usize,
    is_read: bool,
    /// What the other side had.
    began: u64,
    message: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The disk looks at it.
    Looking,
    /// For a call with its recipient, or its channel.
    Waiting,
    Offered,
    /// The disk goes to where it begins.
    Beginning,
    Running,
}

impl Outgoing {
    pub fn new(path: PathBuf, to: PublicKey) -> Self {
        Self {
            path,
            to,
            offer: None,
            stage: Stage::Looking,
            connection: None,
            pace: Pace::default(),
            ahead: VecDeque::new(),
            taken: 0,
            asked: 0,
            is_read: false,
            began: 0,
            message: Vec::new(),
        }
    }

    /// What the disk says.
    ///
    /// # Errors
    /// The file cannot be read: it is over.
    pub fn on_told(&mut self, told: Told) -> Result<()> {
        match told {
            Told::Opened(offer) => {
                self.offer = Some(offer?);
                self.stage = Stage::Waiting;
            }
            Told::Begins(from) => {
                let from = from?;
                // Meanwhile the call may have ended.
                if self.stage == Stage::Beginning {
                    self.pace.start(from);
                    self.began = from;
                    self.ahead.clear();
                    (self.taken, self.is_read, self.stage) = (0, false, Stage::Running);
                }
            }
            Told::Part(part) => {
                let part = part?;
                self.asked = self.asked.saturating_sub(1);
                if self.stage == Stage::Running {
                    self.is_read |= part.is_empty();
                    self.ahead.extend((!part.is_empty()).then_some(part));
                }
            }
            _ => {}
        }
        Ok(())
    }

    pub fn read_ahead(&mut self, disk: &Disk, _: Instant) {
        while self.stage == Stage::Running
            && !self.is_read
            && self.ahead.len() + self.asked < AHEAD
            && disk.ask(Job::Read)
        {
            self.asked += 1;
        }
    }

    pub fn on_control(&mut self, control: &Control, disk: &Disk, now: Instant) {
        match control {
            // Parts that were asked for before would be of another place.
            Control::Accept { hash, from, have }
                if self.stage == Stage::Offered && self.is_of(hash) && self.asked == 0 =>
            {
                let is_asked = disk.ask(Job::Begin { from: *from, have: *have });
                self.stage = if is_asked { Stage::Beginning } else { self.stage };
            }
            Control::Got { hash, to } if self.stage == Stage::Running && self.is_of(hash) => {
                self.pace.on_heard(*to, now);
            }
            _ => {}
        }
    }

    /// Offers it over a new connection to its recipient, and sends what may go; `put` says whether the channel took it.
    pub fn send(
        &mut self,
        connection: Entity,
        account: &PublicKey,
        beside: Beside,
        now: Instant,
        mut put: impl FnMut(&[u8]) -> bool,
    ) {
        let Some(offer) = self.offer.as_ref().filter(|_| *account == self.to) else { return };
        // What the disk was asked for before the break has to come first.
        if self.stage == Stage::Waiting && self.asked == 0 && put(&Control::Offer(offer.clone()).to_bytes()) {
            (self.stage, self.connection) = (Stage::Offered, Some(connection));
        }
        while self.stage == Stage::Running {
            let Some(part) = self.ahead.front() else { return };
            let room = self.pace.room(beside, now);
            let rest = part.get(self.taken..).unwrap_or_default();
            let bytes = rest.get(..room.min(rest.len())).unwrap_or_default();
            if bytes.is_empty() {
                return;
            }
            write_data(self.pace.sent(), bytes, &mut self.message);
            if !put(&self.message) {
                return;
            }
            let sent = bytes.len();
            self.taken += sent;
            if self.taken >= part.len() {
                self.ahead.pop_front();
                self.taken = 0;
            }
            self.pace.on_sent(sent, now);
        }
    }

    /// The connection it was offered over is gone: it is offered again over the next one.
    pub fn settle(&mut self, connection: Option<Entity>) {
        if self.connection.is_some() && self.connection != connection {
            self.connection = None;
            if self.stage != Stage::Looking {
                self.stage = Stage::Waiting;
            }
            self.ahead.clear();
        }
    }

    pub fn wants_channel(&self, account: &PublicKey) -> bool {
        self.stage == Stage::Waiting && self.to == *account
    }

    pub fn is_of(&self, hash: &Digest) -> bool {
        self.offer.as_ref().is_some_and(|offer| offer.hash == *hash)
    }

    pub const fn began(&self) -> u64 {
        self.began
    }

    /// The other side has begun to take it: of what it had before the disk may not know yet where that ends.
    pub fn is_taken(&self) -> bool {
        matches!(self.stage, Stage::Beginning | Stage::Running)
    }

    /// What tells the other side that nothing more comes.
    pub fn refusal(&self, why: &str) -> Option<Control> {
        let offer = self.offer.as_ref().filter(|_| self.connection.is_some())?;
        Some(Control::Refuse { hash: offer.hash, why: Line::cut(why) })
    }

    pub fn failed(&self, why: String) -> FileNotice {
        FileNotice::Failed { file: self.view(), is_sent: true, why }
    }

    pub fn done(self) -> FileNotice {
        FileNotice::Done { file: self.view(), is_sent: true, path: self.path }
    }

    pub fn view(&self) -> FileView {
        let name = || self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        FileView {
            name: self.offer.as_ref().map_or_else(name, |offer| offer.name.to_string()),
            size: self.offer.as_ref().map_or(0, |offer| offer.size),
            done: if self.stage == Stage::Running { self.pace.heard() } else { 0 },
            is_offered: self.stage != Stage::Running,
        }
    }
}

/// Parts of 64 KiB that are read before they can be sent: more than the channel takes at once.
const AHEAD: usize = 4;
