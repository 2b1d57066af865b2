//! What waits to be sent and what came in: a file each, so that a program that ends, and another one of the same folder, take
//! nothing from each other.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::error::{Error, Kind, Result};
use crate::proto::hex;
use crate::proto::keys::{PublicKey, random};
use crate::proto::quick::{Part, PartKind, Quick};
use crate::proto::service::names::{AccountName, Key, Millis, Person, RoomId, Seq};
use crate::proto::text::Prose;
use crate::store::file::{self, Existing};

/// Something to send. Its key makes it one, however often it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outgoing {
    pub key: Key,
    pub at: Millis,
    /// Whoever was logged in when it was written: nobody else sends it.
    pub from: AccountName,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum What {
    Post { room: RoomId, text: Prose<4000> },
    Message { to: AccountName, message: Kept },
}

/// A Quick Message as it is kept here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    pub text: Prose<4000>,
    #[serde(default)]
    pub reply_to: Option<Key>,
    /// Files beside this one, in their order.
    #[serde(default)]
    pub parts: Vec<KeptPart>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptPart {
    pub kind: PartKind,
    pub file: String,
    pub size: usize,
}

/// A message in the inbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    pub seq: Seq,
    pub at: Millis,
    pub from: Person,
    /// The sender's name for it: what a reply names.
    pub key: Key,
    pub read: bool,
    pub message: Kept,
    /// Why it cannot be shown; empty: it can.
    #[serde(default)]
    pub trouble: String,
}

/// The queue and the inbox of one account in one data folder.
#[derive(Clone, Debug)]
pub struct Mailbox {
    outgoing: PathBuf,
    inbox: PathBuf,
}

impl Mailbox {
    /// `account` keeps what belongs to two people on one machine apart.
    pub fn new(data_dir: &Path, account: &PublicKey) -> Self {
        let folder = data_dir.join("messages").join(hex::text(account.0.get(..8).unwrap_or_default()));
        Self { outgoing: folder.join("outgoing"), inbox: folder.join("inbox") }
    }

    /// Puts a message of a room in the queue: it is on disk then.
    ///
    /// # Errors
    /// [`Kind::Full`]: a thousand wait already; [`Kind::Refused`]: the disk.
    pub fn queue_post(&self, from: &AccountName, room: RoomId, text: Prose<4000>, at: Millis) -> Result<Outgoing> {
        self.queue(Outgoing { key: new_key()?, at, from: from.clone(), what: What::Post { room, text } })
    }

    /// Puts a Quick Message in the queue.
    ///
    /// # Errors
    /// As with [`Self::queue_post`].
    pub fn queue_message(&self, from: &AccountName, to: AccountName, quick: &Quick, at: Millis) -> Result<Outgoing> {
        let key = new_key()?;
        let message = keep(&self.outgoing, &key, quick)?;
        self.queue(Outgoing { key, at, from: from.clone(), what: What::Message { to, message } })
    }

    /// All that waits, the oldest first. What cannot be read is passed over.
    pub fn outgoing(&self) -> Vec<Outgoing> {
        let mut all: Vec<Outgoing> = read_all(&self.outgoing);
        all.sort_by(|one, other| (one.at, &one.key).cmp(&(other.at, &other.key)));
        all
    }

    /// It is sent, or never will be.
    pub fn sent(&self, outgoing: &Outgoing) {
        if let What::Message { message, .. } = &outgoing.what {
            remove_parts(&self.outgoing, message);
        }
        let _ = std::fs::remove_file(self.outgoing.join(format!("{}.json", &*outgoing.key)));
    }

    /// The message as it was given.
    ///
    /// # Errors
    /// Its files are gone.
    pub fn quick_of(&self, message: &Kept) -> Result<Quick> {
        load(&self.outgoing, message)
    }

    /// Keeps a message that came; `false` where it is there already, which a service that gives one twice does not change.
    ///
    /// # Errors
    /// [`Kind::Refused`]: the disk.
    pub fn receive(&self, mut received: Received, quick: &Quick) -> Result<bool> {
        let all = self.inbox();
        if all.iter().any(|one| one.from.key == received.from.key && one.key == received.key) {
            return Ok(false);
        }
        received.message = keep(&self.inbox, &seq_key(received.seq)?, quick)?;
        self.save(&received).map(|()| true)
    }

    /// What came, the oldest first.
    pub fn inbox(&self) -> Vec<Received> {
        let mut all: Vec<Received> = read_all(&self.inbox);
        all.sort_by_key(|received| (received.at, received.seq));
        all
    }

    /// The number of the next message that does not come by the service, whose own numbers are lower.
    pub fn next_direct(&self) -> Seq {
        let newest = self.inbox().into_iter().map(|received| received.seq.0).filter(|seq| *seq >= DIRECT).max();
        Seq(newest.map_or(DIRECT, |newest| newest.saturating_add(1)))
    }

    /// Where the inbox's files lie.
    pub fn folder(&self) -> &Path {
        &self.inbox
    }

    /// The file of a part.
    pub fn path_of(&self, part: &KeptPart) -> PathBuf {
        self.inbox.join(&part.file)
    }

    /// Marks it as read; `None` where there is none.
    ///
    /// # Errors
    /// [`Kind::Refused`]: the disk.
    pub fn read(&self, seq: Seq) -> Result<Option<Received>> {
        let Some(mut received) = self.inbox().into_iter().find(|received| received.seq == seq) else { return Ok(None) };
        if !received.read {
            received.read = true;
            self.save(&received)?;
        }
        Ok(Some(received))
    }

    pub fn delete(&self, seq: Seq) {
        if let Some(received) = self.inbox().into_iter().find(|received| received.seq == seq) {
            remove_parts(&self.inbox, &received.message);
            let _ = std::fs::remove_file(self.inbox.join(name_of(seq)));
        }
    }

    /// The newest message that was fetched, read or deleted since as it may be.
    pub fn cursor(&self) -> Seq {
        let text = file::read(&self.inbox.join(CURSOR)).ok().flatten();
        let number = text.and_then(|bytes| String::from_utf8(bytes).ok()?.trim().parse().ok());
        Seq(number.unwrap_or(0))
    }

    /// Everything up to `seq` is here.
    ///
    /// # Errors
    /// [`Kind::Refused`]: the disk.
    pub fn set_cursor(&self, seq: Seq) -> Result<()> {
        file::write(&self.inbox.join(CURSOR), seq.0.to_string().as_bytes(), Existing::Replace).map(|_| ())
    }

    fn queue(&self, outgoing: Outgoing) -> Result<Outgoing> {
        let waiting = std::fs::read_dir(&self.outgoing).map_or(0, Iterator::count);
        if waiting >= MOST_WAITING {
            return Err(Error::new(Kind::Full, "a thousand messages wait to be sent already"));
        }
        let bytes = serde_json::to_vec(&outgoing).unwrap_or_default();
        file::write(&self.outgoing.join(format!("{}.json", &*outgoing.key)), &bytes, Existing::Replace)?;
        Ok(outgoing)
    }

    fn save(&self, received: &Received) -> Result<()> {
        let bytes = serde_json::to_vec_pretty(received).unwrap_or_default();
        file::write(&self.inbox.join(name_of(received.seq)), &bytes, Existing::Replace).map(|_| ())
    }
}

/// A name for one intention.
///
/// # Errors
/// [`Kind::Retry`]: the system gives no randomness.
pub fn new_key() -> Result<Key> {
    let text = hex::text(&random::<16>()?);
    Key::try_from(text).map_err(|error| Error::new(Kind::Malformed, error))
}

fn name_of(seq: Seq) -> String {
    format!("{:010}.json", seq.0)
}

fn seq_key(seq: Seq) -> Result<Key> {
    Key::try_from(format!("{:010}", seq.0)).map_err(|error| Error::new(Kind::Malformed, error))
}

fn keep(folder: &Path, key: &Key, quick: &Quick) -> Result<Kept> {
    let mut parts = Vec::new();
    for (number, Part { kind, bytes }) in (1..).zip(&quick.parts) {
        let ending = match kind {
            PartKind::Photo => "jpg",
            PartKind::Voice => "opus",
            PartKind::Unknown => "bin",
        };
        let name = format!("{}-{number}.{ending}", &**key);
        file::write(&folder.join(&name), bytes, Existing::Replace)?;
        parts.push(KeptPart { kind: *kind, file: name, size: bytes.len() });
    }
    Ok(Kept { text: quick.text.clone(), reply_to: quick.reply_to.clone(), parts })
}

fn load(folder: &Path, message: &Kept) -> Result<Quick> {
    let mut parts = Vec::new();
    for KeptPart { kind, file: name, .. } in &message.parts {
        let gone = || Error::new(Kind::Gone, format!("the file {name} of a message that waits is gone"));
        parts.push(Part { kind: *kind, bytes: file::read(&folder.join(name))?.ok_or_else(gone)? });
    }
    Ok(Quick { text: message.text.clone(), parts, reply_to: message.reply_to.clone() })
}

fn remove_parts(folder: &Path, message: &Kept) {
    for part in &message.parts {
        let _ = std::fs::remove_file(folder.join(&part.file));
    }
}

fn read_all<T: for<'de> Deserialize<'de>>(folder: &Path) -> Vec<T> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let files =
        entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|ending| ending == "json"));
    files.filter_map(|path| serde_json::from_slice(&file::read(&path).ok()??).ok()).collect()
}

/// Nobody gets so many messages by a service.
const DIRECT: u64 = 1_000_000_000;

const CURSOR: &str = "cursor";

const MOST_WAITING: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    fn quick() -> Quick {
        let part = |kind, bytes: &[u8]| Part { kind, bytes: bytes.to_vec() };
        let parts = vec![part(PartKind::Photo, b"a face"), part(PartKind::Voice, b"a voice")];
        Quick { text: Prose::cut("hello"), parts, reply_to: None }
    }

    fn name(text: &str) -> AccountName {
        AccountName::new(text).expect("a name")
    }

    #[test]
    fn what_waits_is_there_at_the_next_start_in_its_order_until_it_is_sent() {
        let folder = tempfile::tempdir().expect("folder");
        let mailbox = Mailbox::new(folder.path(), &PublicKey([1; 32]));
        let second = mailbox.queue_post(&name("ada"), RoomId(3), Prose::cut("two"), Millis(2)).expect("queued");
        let first = mailbox.queue_message(&name("ada"), name("ben"), &quick(), Millis(1)).expect("queued");
        let again = Mailbox::new(folder.path(), &PublicKey([1; 32]));
        assert_eq!(again.outgoing(), [first.clone(), second.clone()]);
        let What::Message { message, .. } = &first.what else { panic!("a message") };
        assert_eq!(again.quick_of(message).expect("whole"), quick());
        again.sent(&first);
        assert_eq!(mailbox.outgoing(), std::slice::from_ref(&second));
        again.sent(&second);
        let left = std::fs::read_dir(&mailbox.outgoing).expect("folder").count();
        assert_eq!(left, 0, "its parts are gone too");
        assert!(Mailbox::new(folder.path(), &PublicKey([2; 32])).outgoing().is_empty(), "another's");
    }

    #[test]
    fn a_message_that_comes_twice_is_kept_once() {
        let folder = tempfile::tempdir().expect("folder");
        let mailbox = Mailbox::new(folder.path(), &PublicKey([1; 32]));
        let from = Person { name: name("ada"), key: PublicKey([2; 32]), display: Default::default() };
        let received = |seq| Received {
            seq: Seq(seq),
            at: Millis(1),
            from: from.clone(),
            key: Key::try_from("the-same-key".to_owned()).expect("a key"),
            read: false,
            message: Kept::default(),
            trouble: String::new(),
        };
        assert!(mailbox.receive(received(4), &quick()).expect("kept"));
        assert!(!mailbox.receive(received(5), &quick()).expect("known"));
        let all = mailbox.inbox();
        assert_eq!((all.len(), all[0].seq, all[0].read), (1, Seq(4), false));
        let bytes: Vec<Vec<u8>> =
            all[0].message.parts.iter().map(|part| std::fs::read(mailbox.path_of(part)).expect("a file")).collect();
        assert_eq!(bytes, [b"a face".to_vec(), b"a voice".to_vec()]);
        assert!(mailbox.read(Seq(4)).expect("read").expect("there").read && mailbox.inbox()[0].read);
        assert!(mailbox.read(Seq(5)).expect("nothing").is_none());
        assert_eq!(mailbox.cursor(), Seq(0));
        mailbox.set_cursor(Seq(5)).expect("written");
        mailbox.delete(Seq(4));
        assert!(mailbox.inbox().is_empty());
        assert_eq!(mailbox.cursor(), Seq(5), "what was deleted does not come again");
    }
}
