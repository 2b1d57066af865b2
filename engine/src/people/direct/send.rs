//! The sender's end.

use std::net::{SocketAddr, TcpStream};

use super::talk::Talk;
use crate::base::error::{Error, Kind, Result};
use crate::base::time::Duration;
use crate::net::tls::TlsIdentity;
use crate::proto::direct::{Answer, Head, Hello, PART, read, written};
use crate::proto::frame::{FrameKind, frame};
use crate::proto::keys::PublicKey;
use crate::proto::quick::Quick;
use crate::proto::seal::MessageKey;
use crate::proto::service::names::Key;
use crate::store::identity::Identity;

/// Gives the message to the first of `ways` at which the holder of `to` is. Whether that is their only device.
///
/// # Errors
/// None of them was there, or would take it: the last one's words.
pub fn send(ways: &[SocketAddr], identity: &Identity, to: PublicKey, key: &Key, quick: &Quick) -> Result<bool> {
    let mut failed = Error::new(Kind::Retry, "nobody knows where they are");
    for way in ways {
        match send_to(*way, identity, to, key, quick) {
            Ok(is_only) => return Ok(is_only),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

fn send_to(way: SocketAddr, identity: &Identity, to: PublicKey, key: &Key, quick: &Quick) -> Result<bool> {
    let unreachable = |error: std::io::Error| Error::new(Kind::Retry, format!("they are not at {way}: {error}"));
    let socket = TcpStream::connect_timeout(&way, CONNECT).map_err(unreachable)?;
    let mut talk = Talk::new(socket, TlsIdentity::new(identity.device())?.connect()?, GREETING);
    let device = talk.shake()?;
    talk.send(&written(FrameKind::Hello, &Hello { devices: identity.devices().clone(), sealing: None })?)?;
    let hello: Hello = talk.next(FrameKind::Hello, read)?;
    if hello.account(&device)? != to {
        return Err(Error::new(Kind::Refused, format!("somebody else is at {way}")));
    }
    let sealing = hello.sealing.filter(|sealing| sealing.device == device);
    let sealing = sealing.ok_or_else(|| Error::new(Kind::Malformed, "there is nothing to seal the message to"))?;
    let message_key = MessageKey::generate()?;
    let sealed = message_key.seal_to(&hello.devices, &[sealing])?.pop();
    let sealed = sealed.ok_or_else(|| Error::new(Kind::Refused, "their device did not sign its key"))?;
    let signed = quick.sign(identity.device(), identity.devices(), to, key)?;
    let bytes = message_key.encrypt(signed)?;
    let size = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    talk.allow(DELIVERY);
    talk.send(&written(FrameKind::Head, &Head { key: key.clone(), size, sealed })?)?;
    for part in bytes.chunks(PART) {
        talk.send(&frame(FrameKind::Part, part)?)?;
    }
    let answer: Answer = talk.next(FrameKind::Answer, read)?;
    talk.close();
    if !answer.kept {
        return Err(Error::new(Kind::Refused, format!("their program did not take it: {}", &*answer.why)));
    }
    Ok(hello.devices.devices.len() == 1)
}

/// Whoever is there answers within a round trip; the service is the other way.
const CONNECT: Duration = Duration::from_millis(800);
const GREETING: Duration = Duration::from_secs(3);

/// Four mebibytes at a megabit a second.
const DELIVERY: Duration = Duration::from_secs(40);
