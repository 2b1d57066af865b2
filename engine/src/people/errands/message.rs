//! Quick Messages: sealed and sent, fetched and opened.

use std::net::SocketAddr;

use super::account::changed_key;
use super::{At, Errands, unexpected};
use crate::base::error::{Error, Kind};
use crate::net::service::https::{Asked, Failure};
use crate::people::command::Outcome;
use crate::people::direct;
use crate::people::session::Inner;
use crate::people::trust::Trust;
use crate::proto::keys::PublicKey;
use crate::proto::quick::{Opened, Quick};
use crate::proto::seal::MessageKey;
use crate::proto::service::messages::{BLOB_PATH, Message, Reply, Request, Stored};
use crate::proto::service::names::{AccountName, Key, Person, Seq};
use crate::proto::service::refusal::{Code, Refusal};
use crate::proto::text::List;
use crate::store::known::KnownPeers;
use crate::store::mailbox::{Kept, Outgoing, Received, What, new_key};

impl Errands {
    /// Sends what is queued; it leaves the queue when it is there, or never will be.
    pub(super) fn deliver(&self, outgoing: &Outgoing, said: Option<SocketAddr>) -> Asked<Outcome> {
        let at = self.at()?;
        let What::Message { to, message } = &outgoing.what else { return Err(unexpected()) };
        let key = outgoing.key.clone();
        if !at.mailbox.outgoing().iter().any(|one| one.key == key) {
            // It was in the way twice, and has gone out.
            return Ok(Outcome::Sent { key, direct: false });
        }
        let quick = at.mailbox.quick_of(message).map_err(Failure::from);
        let outcome = quick.and_then(|quick| {
            let direct = self.send_directly(&at, to, &quick, &key, said);
            if direct == Some(true) {
                return Ok(Outcome::Sent { key: key.clone(), direct: true });
            }
            // Their other devices have it from the service.
            match self.send(&at, to, &quick, outgoing) {
                Ok(()) => Ok(Outcome::Sent { key: key.clone(), direct: direct.is_some() }),
                Err(failure) if failure.is_passing() => {
                    let why = match direct {
                        Some(_) => format!("one of their devices has it, for the others: {failure}"),
                        None => failure.to_string(),
                    };
                    Ok(Outcome::Queued { key: key.clone(), why })
                }
                Err(failure) => Err(failure),
            }
        });
        if !matches!(outcome, Ok(Outcome::Queued { .. })) {
            at.mailbox.sent(outgoing);
        }
        self.tell(Inner::Mail);
        outcome
    }

    /// From program to program, where theirs can be reached: whether that was their only device. `None`: it cannot.
    fn send_directly(
        &self,
        at: &At,
        to: &AccountName,
        quick: &Quick,
        key: &Key,
        said: Option<SocketAddr>,
    ) -> Option<bool> {
        // Only to whoever has the key that is remembered, and only where showing our address is fine.
        let theirs = at.keys.of(to).ok().flatten().filter(|_| self.direct.is_wanted)?;
        let known = KnownPeers::load(&self.data).ok()?;
        let ways = direct::ways(said, &self.direct.around, &known, &theirs);
        direct::send::send(&ways, &self.identity, theirs, key, quick).ok()
    }

    fn send(&self, at: &At, to: &AccountName, quick: &Quick, outgoing: &Outgoing) -> Asked<()> {
        let reply = self.messages(Request::Keys { name: to.clone() })?;
        let Reply::Keys { devices, keys } = reply else { return Err(unexpected()) };
        let person = Person { name: to.clone(), key: devices.account, display: Default::default() };
        if at.keys.meet([&person])?.first() == Some(&Trust::Changed) {
            return Err(refused(Code::Forbidden, &changed_key(to)));
        }
        let message_key = MessageKey::generate()?;
        let sealed = message_key.seal_to(&devices, &keys)?;
        if sealed.is_empty() {
            let text =
                format!("{to} has no device yet that messages can be sealed to: it has one after the next login there");
            return Err(refused(Code::NotFound, &text));
        }
        let signed = quick.sign(self.identity.device(), self.identity.devices(), devices.account, &outgoing.key)?;
        let bytes = message_key.encrypt(signed)?;
        let stored: Stored = self.with_access(at, |access| {
            let body = Some(("application/octet-stream", bytes.as_slice()));
            at.place.connect()?.request("POST", BLOB_PATH, Some(access), body)?.json()
        })?;
        let (to, key, blob) = (to.clone(), outgoing.key.clone(), stored.blob);
        self.messages(Request::Send { to, key, blob, sealed: List::cut(sealed) }).map(|_| ())
    }

    /// Fetches what has come since the last time. What cannot be opened is kept with the reason.
    pub(super) fn fetch(&self) -> Asked<Outcome> {
        let at = self.at()?;
        let mut new = 0;
        loop {
            let reply = self.messages(Request::Inbox { after: at.mailbox.cursor(), limit: 0 })?;
            let Reply::Inbox { messages, more } = reply else { return Err(unexpected()) };
            for message in messages.iter() {
                new += usize::from(self.take(&at, message)?);
                at.mailbox.set_cursor(message.seq)?;
            }
            if !more || messages.is_empty() {
                let waiting = at.mailbox.inbox().iter().filter(|received| !received.read).count();
                return Ok(Outcome::Fetched { new, waiting });
            }
        }
    }

    /// Opens one and keeps it; whether it is new.
    fn take(&self, at: &At, message: &Message) -> Asked<bool> {
        let path = format!("{BLOB_PATH}/{}", &*message.blob);
        let fetched =
            self.with_access(at, |access| at.place.connect()?.request("GET", &path, Some(access), None)?.bytes());
        let bytes = match fetched {
            Ok(bytes) => bytes,
            // Deleted meanwhile on another device.
            Err(Failure::Refused(refusal)) if refusal.code == Code::NotFound => return Ok(false),
            Err(failure) => return Err(failure),
        };
        let (key, quick, trouble) = match self.open(at, message, bytes) {
            Ok(opened) => (opened.key, opened.quick, String::new()),
            Err(failure) if failure.is_passing() => return Err(failure),
            Err(failure) => (new_key()?, Quick::default(), failure.to_string()),
        };
        let from = message.from.clone();
        let (seq, at_wall, read) = (message.seq, message.at, message.read);
        let received = Received { seq, at: at_wall, from, key, read, message: Kept::default(), trouble };
        let is_new = at.mailbox.receive(received, &quick)?;
        let kept = at.mailbox.inbox().into_iter().find(|one| one.seq == seq);
        if let Some(kept) = kept.filter(|_| is_new) {
            self.tell(Inner::Arrived(Box::new(kept)));
        }
        Ok(is_new)
    }

    fn open(&self, at: &At, message: &Message, bytes: Vec<u8>) -> Asked<Opened> {
        if at.keys.meet([&message.from])?.first() == Some(&Trust::Changed) {
            return Err(refused(Code::Forbidden, &changed_key(&message.from.name)));
        }
        let device = self.identity.device().public();
        let sealed = message.sealed.iter().find(|sealed| sealed.device == device);
        let sealed = sealed.ok_or_else(|| Error::new(Kind::Refused, "the message was not sealed to this device"))?;
        let bytes = self.logins.sealing_pair()?.open(sealed)?.decrypt(bytes)?;
        let opened = Quick::open(&bytes, &self.identity.account())?;
        check_sender(&opened.from, &message.from)?;
        Ok(opened)
    }

    pub(super) fn read(&self, seq: Seq) -> Asked<Outcome> {
        let at = self.at()?;
        let none = || refused(Code::NotFound, "there is no such message");
        let received = at.mailbox.read(seq)?.ok_or_else(none)?;
        self.tell(Inner::Mail);
        // The mark is for one's other devices: it waits for no network.
        let _ = self.messages(Request::Read { seq });
        Ok(Outcome::Message(Box::new(received)))
    }

    pub(super) fn delete_message(&self, seq: Seq) -> Asked<Outcome> {
        let at = self.at()?;
        match self.messages(Request::Delete { seq }) {
            Err(Failure::Refused(refusal)) if refusal.code == Code::NotFound => {}
            Err(failure) => return Err(failure),
            Ok(_) => {}
        }
        at.mailbox.delete(seq);
        self.tell(Inner::Mail);
        Ok(Outcome::Done)
    }
}

/// Who signed it is who the service says it is from.
fn check_sender(signed: &PublicKey, said: &Person) -> Asked<()> {
    if *signed == said.key {
        return Ok(());
    }
    let text = format!("the message was signed by somebody else than {}: it is not shown", said.name);
    Err(refused(Code::Forbidden, &text))
}

fn refused(code: Code, text: &str) -> Failure {
    Failure::Refused(Refusal::new(code, text))
}
