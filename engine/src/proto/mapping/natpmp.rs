//! NAT-PMP (RFC 6886): what many routers speak that do not speak PCP.

use std::net::Ipv4Addr;

use super::Protocol;
use super::pcp::Reader;

/// A router's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The router's outer address.
    External {
        epoch: u32,
        ip: Ipv4Addr,
    },
    Mapped {
        epoch: u32,
        protocol: Protocol,
        internal: u16,
        external: u16,
        lifetime: u32,
    },
    /// RFC 6886 §3.5.
    Failed {
        opcode: u8,
        result: u16,
    },
}

/// Asks for the outer address (RFC 6886 §3.2).
pub const EXTERNAL: [u8; 2] = [0, 0];

/// Asks for a mapping (RFC 6886 §3.3). `lifetime` in seconds; 0, with `suggested` 0, takes it away (§3.4).
pub fn map(protocol: Protocol, internal: u16, suggested: u16, lifetime: u32) -> Vec<u8> {
    let mut bytes = vec![0, opcode(protocol), 0, 0];
    bytes.extend(internal.to_be_bytes());
    bytes.extend(suggested.to_be_bytes());
    bytes.extend(lifetime.to_be_bytes());
    bytes
}

impl Answer {
    /// `None`: not an answer of this protocol.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let [0, opcode] = reader.take()? else { return None };
        let opcode = opcode.checked_sub(ANSWER)?;
        let result = u16::from_be_bytes(reader.take()?);
        if result != 0 {
            return Some(Self::Failed { opcode, result });
        }
        let epoch = u32::from_be_bytes(reader.take()?);
        let protocol = match opcode {
            0 => return Some(Self::External { epoch, ip: Ipv4Addr::from(reader.take::<4>()?) }),
            1 => Protocol::Udp,
            2 => Protocol::Tcp,
            _ => return None,
        };
        let internal = u16::from_be_bytes(reader.take()?);
        let external = u16::from_be_bytes(reader.take()?);
        let lifetime = u32::from_be_bytes(reader.take()?);
        Some(Self::Mapped { epoch, protocol, internal, external, lifetime })
    }
}

/// What a result means to a person (RFC 6886 §3.5).
pub const fn why(result: u16) -> &'static str {
    match result {
        2 => "the router does not allow it",
        3 => "the router itself has no network",
        4 => "the router has no room for more mappings",
        5 => "the router knows no mappings",
        _ => "the router had a fault",
    }
}

const fn opcode(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Udp => 1,
        Protocol::Tcp => 2,
    }
}

const ANSWER: u8 = 128;

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{any, proptest};

    use super::*;

    #[test]
    fn requests_are_laid_out_as_the_rfc_draws_them() {
        assert_eq!(map(Protocol::Tcp, 2001, 2001, 1200), [0, 2, 0, 0, 7, 209, 7, 209, 0, 0, 4, 0xb0]);
        assert_eq!(map(Protocol::Udp, 2000, 0, 0), [0, 1, 0, 0, 7, 208, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn answers_are_read() {
        let external = Answer::parse(&[0, 128, 0, 0, 0, 0, 0, 9, 203, 0, 113, 5]);
        assert_eq!(external, Some(Answer::External { epoch: 9, ip: Ipv4Addr::new(203, 0, 113, 5) }));
        let mapped = Answer::parse(&[0, 129, 0, 0, 0, 0, 0, 9, 7, 208, 156, 64, 0, 0, 4, 176]);
        let expected =
            Answer::Mapped { epoch: 9, protocol: Protocol::Udp, internal: 2000, external: 40_000, lifetime: 1200 };
        assert_eq!(mapped, Some(expected));
        assert_eq!(Answer::parse(&[0, 130, 0, 2]), Some(Answer::Failed { opcode: 2, result: 2 }));
        for noise in [&[][..], &[0], &[0, 1, 0, 0], &[2, 129, 0, 0], &[0, 131, 0, 0, 0, 0, 0, 0]] {
            assert_eq!(Answer::parse(noise), None, "{noise:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in vec(any::<u8>(), 0..40)) {
            let _ = Answer::parse(&bytes);
        }
    }
}
