//! What a STUN and TURN server reads of a message before anything answers it, and credentials that need no table.
//!
//! STUN: RFC 8489. TURN: RFC 8656. Whoever may relay gets a name that says until when, and a password that is the name's
//! authentication code by a secret of the servers (draft-uberti-behave-turn-rest-00, section 2.2), as other TURN servers
//! understand it too.

pub mod uri;

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use aws_lc_rs::hmac;
use data_encoding::BASE64;
use stun_proto::types::attribute::{AttributeType, ErrorCode, RawAttribute, Userhash, Username, XorMappedAddress};
use stun_proto::types::message::{
    BINDING, IntegrityAlgorithm, LongTermCredentials, Message, MessageClass, MessageWriteVec,
};
use stun_proto::types::prelude::{Attribute, AttributeFromRaw, AttributeStaticType, MessageWrite, MessageWriteExt};
use turn_types::attribute::XorPeerAddress;

use super::hex;
use super::keys::random;
use crate::base::error::{Error, Kind, Result};

/// The largest message that is taken over a stream: a datagram in a Send indication.
pub const LARGEST: usize = 4096;

/// The most peers one CreatePermission may name.
const MOST_NAMED: usize = 16;

/// What a datagram or a framed message is.
#[derive(Debug)]
pub enum Seen<'a> {
    /// A STUN request for the address it came from.
    Binding(Message<'a>),
    /// Any other STUN request or indication.
    Message(Message<'a>),
    /// Data on a channel (RFC 8656 §12.4).
    Channel,
    /// Nothing for a server.
    Foreign,
}

/// Looks at a whole message.
pub fn look(bytes: &[u8]) -> Seen<'_> {
    match bytes.first() {
        Some(0..=3) => match Message::from_bytes(bytes) {
            Ok(message) if message.is_response() => Seen::Foreign,
            Ok(message) if message.has_method(BINDING) => match message.has_class(MessageClass::Request) {
                true => Seen::Binding(message),
                false => Seen::Foreign,
            },
            Ok(message) => Seen::Message(message),
            Err(_) => Seen::Foreign,
        },
        // RFC 8656 §12: 0x4000 to 0x4FFF.
        Some(0x40..=0x4F) if bytes.len() >= 4 => Seen::Channel,
        _ => Seen::Foreign,
    }
}

/// A message at the beginning of a stream's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Framed {
    /// Its bytes.
    pub length: usize,
    /// The bytes it takes with what fills it up to four (RFC 8656 §12.5).
    pub taken: usize,
}

/// The message that begins a stream (RFC 8656 §3.1 and §12.5): `Ok(None)` as long as its length is not to be seen, an error
/// where it is none or larger than [`LARGEST`]. It may not be whole yet.
#[expect(clippy::result_unit_err, reason = "there is nothing to be said about bytes of another protocol")]
pub fn framed(bytes: &[u8]) -> std::result::Result<Option<Framed>, ()> {
    let Some(head) = bytes.first_chunk::<4>() else {
        return match bytes.first() {
            None | Some(0..=3 | 0x40..=0x4F) => Ok(None),
            Some(_) => Err(()),
        };
    };
    let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
    let length = match head[0] {
        0..=3 if length % 4 == 0 => length.saturating_add(20),
        0x40..=0x4F => length.saturating_add(4),
        _ => return Err(()),
    };
    if length > LARGEST { Err(()) } else { Ok(Some(Framed { length, taken: length.next_multiple_of(4) })) }
}

/// The answer to a [`Seen::Binding`] that came from `from` (RFC 8489 §6.3.1.1); `None` to what is no request.
pub fn bound(request: &Message<'_>, from: SocketAddr) -> Option<Vec<u8>> {
    if !request.has_class(MessageClass::Request) {
        return None;
    }
    let from = SocketAddr::new(from.ip().to_canonical(), from.port());
    let mut answer = Message::builder_success(request, MessageWriteVec::with_capacity(64));
    answer.add_attribute(&XorMappedAddress::new(from, request.transaction_id())).ok()?;
    answer.add_fingerprint().ok()?;
    Some(answer.finish())
}

/// Where a binding request asks to be answered from (CHANGE-REQUEST, RFC 5780 §7.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    pub address: bool,
    pub port: bool,
}

/// What `request` asks for; nothing where it is none.
pub fn change(request: &[u8]) -> Change {
    let Ok(message) = Message::from_bytes(request) else { return Change::default() };
    let Some(flags) = message.raw_attribute(CHANGE_REQUEST).and_then(|raw| raw.value.get(3).copied()) else {
        return Change::default();
    };
    Change { address: flags & 4 != 0, port: flags & 2 != 0 }
}

/// As [`bound`], from an end at `origin` that names the `other` one (RFC 5780 §6.1).
pub fn bound_from(request: &Message<'_>, from: SocketAddr, origin: SocketAddr, other: SocketAddr) -> Option<Vec<u8>> {
    let from = SocketAddr::new(from.ip().to_canonical(), from.port());
    let mut answer = Message::builder_success(request, MessageWriteVec::with_capacity(96));
    answer.add_attribute(&XorMappedAddress::new(from, request.transaction_id())).ok()?;
    for (kind, address) in [(RESPONSE_ORIGIN, origin), (OTHER_ADDRESS, other)] {
        let value = plain_address(address);
        answer.add_attribute(&RawAttribute::new(kind, &value)).ok()?;
    }
    answer.add_fingerprint().ok()?;
    Some(answer.finish())
}

/// As MAPPED-ADDRESS has it (RFC 8489 §14.1).
fn plain_address(address: SocketAddr) -> Vec<u8> {
    let mut value = vec![0, if address.is_ipv4() { 1 } else { 2 }];
    value.extend(address.port().to_be_bytes());
    match address.ip() {
        IpAddr::V4(ip) => value.extend(ip.octets()),
        IpAddr::V6(ip) => value.extend(ip.octets()),
    }
    value
}

const CHANGE_REQUEST: AttributeType = AttributeType::new(0x0003);
const RESPONSE_ORIGIN: AttributeType = AttributeType::new(0x802b);
const OTHER_ADDRESS: AttributeType = AttributeType::new(0x802c);

/// A refusal of `request` with `code`, signed for whoever knows `credentials` (RFC 8489 §9.2.4).
pub fn refused(request: &Message<'_>, code: u16, credentials: &LongTermCredentials, realm: &str) -> Option<Vec<u8>> {
    if !request.has_class(MessageClass::Request) {
        return None;
    }
    let mut answer = Message::builder_error(request, MessageWriteVec::with_capacity(96));
    answer.add_attribute(&ErrorCode::builder(code).build().ok()?).ok()?;
    let key = credentials.to_key(realm.to_owned()).into();
    answer.add_message_integrity(&key, IntegrityAlgorithm::Sha1).ok()?;
    Some(answer.finish())
}

/// Who sends the message, as it says: by name, or by the name's hash (RFC 8489 §14.4) among those that are `known`.
pub fn user(message: &Message<'_>, known: &Names) -> Option<String> {
    let named = message.attribute::<Username>().ok().map(|user| user.username().to_owned());
    named.or_else(|| known.of_hash(message.attribute::<Userhash>().ok()?.hash()).map(str::to_owned))
}

/// Names that were given out, by their hashes; the oldest are forgotten. Who comes by name need not be among them.
#[derive(Debug, Default)]
pub struct Names {
    by_hash: HashMap<[u8; 32], String>,
    order: VecDeque<[u8; 32]>,
}

/// Some 10 MiB.
const MOST_NAMES: usize = 65_536;

impl Names {
    pub fn add(&mut self, user: String, realm: &str) {
        let hash = Userhash::compute(&user, realm);
        if self.by_hash.insert(hash, user).is_some() {
            return;
        }
        self.order.push_back(hash);
        if self.order.len() > MOST_NAMES
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_hash.remove(&oldest);
        }
    }

    fn of_hash(&self, hash: &[u8; 32]) -> Option<&str> {
        self.by_hash.get(hash).map(String::as_str)
    }
}

/// The peers a message wants to reach, with their ports; `None` where it names more than fit or one that is not readable.
pub fn peers(message: &Message<'_>) -> Option<Vec<SocketAddr>> {
    let named = message.iter_attributes().filter(|(_, attribute)| attribute.get_type() == XorPeerAddress::TYPE);
    let transaction = message.transaction_id();
    let peers: Option<Vec<_>> = named
        .take(MOST_NAMED + 1)
        .map(|(_, attribute)| Some(XorPeerAddress::from_raw(attribute).ok()?.addr(transaction)))
        .collect();
    peers.filter(|peers| peers.len() <= MOST_NAMED)
}

/// Whether an address is anybody's in the Internet: not of a private network, of a link, of this machine, of many, or
/// inside another one (RFC 6890 and the registries it made).
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

const fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !matches!(
        (a, b, c),
        (0 | 10 | 127 | 224.., ..)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 168, _)
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (198, 18 | 19, _)
            | (198, 51, 100)
            | (203, 0, 113)
    )
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, c, ..] = address.segments();
    match (a, b) {
        // NAT64 and 6to4 hide an IPv4 address (RFC 6052 §2.1, RFC 3056 §2).
        (0x64, 0xff9b) if c == 0 => is_public_v4(Ipv4Addr::from_bits(address.to_bits() as u32)),
        (0x2002, _) => is_public_v4(Ipv4Addr::from_bits((address.to_bits() >> 80) as u32)),
        // Teredo, benchmarks, ORCHID, documentation.
        (0x2001, 0 | 2 | 0x10..=0x2f | 0xdb8) | (0x3fff, 0..=0xfff) => false,
        (0x2000..=0x3fff, _) => true,
        // Everything else is special, v4-mapped ones (::ffff:0:0/96) as well.
        _ => false,
    }
}

/// What names and passwords for relaying are made of.
#[derive(Clone)]
pub struct TurnSecret(hmac::Key);

impl std::fmt::Debug for TurnSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TurnSecret")
    }
}

impl TurnSecret {
    /// One that nobody else has.
    ///
    /// # Errors
    /// [`Kind::Retry`] where the system gives no randomness.
    pub fn generate() -> Result<Self> {
        Ok(Self::of(hex::text(&random::<32>()?).as_bytes()))
    }

    /// The one that several servers share: the text of a file, as coturn's `static-auth-secret`.
    ///
    /// # Errors
    /// [`Kind::Refused`] where it is too short to be one.
    pub fn from_text(text: &str) -> Result<Self> {
        match text.trim() {
            text if text.len() >= 16 => Ok(Self::of(text.as_bytes())),
            _ => Err(Error::new(Kind::Refused, "a secret for relaying has at least 16 characters")),
        }
    }

    fn of(bytes: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, bytes))
    }

    /// Name and password that are good `until` a second since 1970, for `who`.
    pub fn credentials(&self, who: &str, until: u64) -> (String, String) {
        let user = format!("{until}:{who}");
        let password = self.password(&user);
        (user, password)
    }

    /// The password of `user` where the name is still good at `now`, in seconds since 1970.
    pub fn check(&self, user: &str, now: u64) -> Option<String> {
        let until: u64 = user.split(':').next()?.parse().ok()?;
        (until >= now && user.len() <= LONGEST_NAME).then(|| self.password(user))
    }

    fn password(&self, user: &str) -> String {
        BASE64.encode(hmac::sign(&self.0, user.as_bytes()).as_ref())
    }
}

/// Of a name (RFC 8489 §14.3 permits 508).
const LONGEST_NAME: usize = 128;

#[cfg(test)]
mod tests;
