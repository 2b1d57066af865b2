//! Asks servers from which address and port the media port is seen (RFC 8489 §12).

use std::net::SocketAddr;

use stun_proto::types::attribute::XorMappedAddress;
use stun_proto::types::message::{BINDING, Message, MessageClass, MessageType, MessageWriteVec, TransactionId};
use stun_proto::types::prelude::{MessageWrite, MessageWriteExt};

use super::Found;
use crate::base::time::{Duration, Instant};
use crate::net::datagram::{Class, Outbox};
use crate::net::interfaces;
use crate::proto::signal::media::{Candidate, CandidateKind};

/// The questions that are open.
#[derive(Debug, Default)]
pub(super) struct Bindings(Vec<Binding>);

#[derive(Debug)]
struct Binding {
    local: SocketAddr,
    server: SocketAddr,
    id: TransactionId,
    sent: u32,
    due: Instant,
}

/// RFC 8489 §6.2.1 begins with 500 ms for paths nobody knows; a person waits for this one, and a doubled question harms nobody.
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// The last one goes out 6.2 s after the first.
const MOST: u32 = 6;

impl Bindings {
    pub fn ask(&mut self, servers: Vec<SocketAddr>, port: u16, now: Instant) {
        self.0.clear();
        for server in servers {
            let Some(ip) = interfaces::address_towards(server.ip()) else { continue };
            let id = TransactionId::generate();
            self.0.push(Binding { local: SocketAddr::new(ip, port), server, id, sent: 0, due: now });
        }
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn asks(&self, server: SocketAddr) -> bool {
        self.0.iter().any(|binding| binding.server == server)
    }

    pub fn due(&self) -> Option<Instant> {
        self.0.iter().map(|binding| binding.due).min()
    }

    pub fn send_due(&mut self, out: &mut Outbox, now: Instant) {
        for binding in self.0.iter_mut().filter(|binding| binding.due <= now) {
            let kind = MessageType::from_class_method(MessageClass::Request, BINDING);
            let mut request = Message::builder(kind, binding.id, MessageWriteVec::with_capacity(32));
            if request.add_fingerprint().is_ok() {
                out.push(binding.local, binding.server, Class::Audio, &request.finish());
            }
            binding.due = now + FIRST_WAIT * 2u32.saturating_pow(binding.sent);
            binding.sent += 1;
        }
        self.0.retain(|binding| binding.sent <= MOST);
    }

    /// The answer of `from`, where it is one: how the port is seen. Anything else is not believed.
    pub fn take(&mut self, from: SocketAddr, bytes: &[u8]) -> Option<Found> {
        let message = Message::from_bytes(bytes).ok().filter(|message| message.has_class(MessageClass::Success))?;
        let id = message.transaction_id();
        let at = self.0.iter().position(|binding| binding.server == from && binding.id == id)?;
        let binding = self.0.swap_remove(at);
        let seen = message.attribute::<XorMappedAddress>().ok()?.addr(id);
        let address = SocketAddr::new(seen.ip().to_canonical(), seen.port());
        let is_of_family = address.is_ipv4() == binding.local.is_ipv4();
        if !is_of_family || address == binding.local {
            return None;
        }
        let candidate = Candidate { address, typ: CandidateKind::ServerReflexive, priority: 0, tcp: false };
        Some(Found { candidate, base: binding.local })
    }
}
