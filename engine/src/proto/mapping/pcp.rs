//! The Port Control Protocol (RFC 6887), MAP only.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::Protocol;

/// UDP, at the gateway (RFC 6887 §19.1; NAT-PMP has the same).
pub const PORT: u16 = 5351;

/// What makes a mapping ours (RFC 6887 §11.1): who does not know it can neither take it away nor answer for the router.
pub type Nonce = [u8; 12];

/// One mapping that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    pub nonce: Nonce,
    /// Our address as the router sees it.
    pub client: IpAddr,
    pub protocol: Protocol,
    pub internal: u16,
    /// The outer address that we would like, or had; port 0: any.
    pub suggested: Option<SocketAddr>,
    /// Seconds; 0 takes the mapping away.
    pub lifetime: u32,
}

/// A router's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    pub result: u8,
    /// Seconds: of the mapping, or until asking again makes sense.
    pub lifetime: u32,
    pub epoch: u32,
    pub map: Option<Map>,
}

/// The mapping that an answer is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Map {
    pub nonce: Nonce,
    pub protocol: u8,
    pub internal: u16,
    pub external: SocketAddr,
}

impl Request {
    /// RFC 6887 §7.1 and §11.1.
    pub fn to_bytes(self) -> Vec<u8> {
        let mut bytes = vec![VERSION, MAP, 0, 0];
        bytes.extend(self.lifetime.to_be_bytes());
        bytes.extend(mapped(self.client).octets());
        bytes.extend(self.nonce);
        bytes.extend([self.protocol.number(), 0, 0, 0]);
        bytes.extend(self.internal.to_be_bytes());
        bytes.extend(self.suggested.map_or(self.internal, |outer| outer.port()).to_be_bytes());
        // RFC 6887 §11.1: no address suggested is all zeros of the family that is wanted.
        let any = match self.client {
            IpAddr::V4(_) => Ipv6Addr::from_bits(0xffff_0000_0000),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED,
        };
        bytes.extend(self.suggested.map_or(any, |outer| mapped(outer.ip())).octets());
        bytes
    }
}

impl Answer {
    /// `None`: not an answer of this protocol to MAP.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        // RFC 6887 §7: a length that is no multiple of four, or above 1100, is dropped.
        if bytes.len() > LONGEST || !bytes.len().is_multiple_of(4) {
            return None;
        }
        let mut head = Reader(bytes);
        let [version, opcode, _, result] = head.take()?;
        // RFC 6887 §9: the answer of a router of another version names its own.
        if opcode != (MAP | ANSWER) && !(opcode & ANSWER != 0 && result == UNSUPPORTED_VERSION) {
            return None;
        }
        if version != VERSION && result != UNSUPPORTED_VERSION {
            return None;
        }
        let lifetime = u32::from_be_bytes(head.take()?);
        let epoch = u32::from_be_bytes(head.take()?);
        let _: [u8; 12] = head.take()?;
        Some(Self { result, lifetime, epoch, map: parse_map(head) })
    }
}

fn parse_map(mut body: Reader<'_>) -> Option<Map> {
    let nonce = body.take()?;
    let [protocol, ..] = body.take::<4>()?;
    let internal = u16::from_be_bytes(body.take()?);
    let port = u16::from_be_bytes(body.take()?);
    let ip = IpAddr::V6(Ipv6Addr::from(body.take::<16>()?)).to_canonical();
    Some(Map { nonce, protocol, internal, external: SocketAddr::new(ip, port) })
}

/// What a result means to a person (RFC 6887 §7.4).
pub const fn why(result: u8) -> &'static str {
    match result {
        2 => "the router does not allow it",
        4 => "the router knows no mappings",
        8 => "the router has no room for more mappings",
        9 => "the router cannot map this protocol",
        10 => "this machine has all the mappings that the router gives it",
        11 => "the router cannot give this outer port",
        12 => "there is another router between this machine and the one that answered",
        _ => "the router had a fault",
    }
}

pub const SUCCESS: u8 = 0;
pub const UNSUPPORTED_VERSION: u8 = 1;

const VERSION: u8 = 2;
const MAP: u8 = 1;
const ANSWER: u8 = 0x80;
const LONGEST: usize = 1100;

/// RFC 6887 §5: IPv4 addresses are written as IPv6 ones.
fn mapped(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

/// Bytes from the front.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(pub &'a [u8]);

impl Reader<'_> {
    pub fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*first)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{any, proptest};

    use super::*;

    fn request() -> Request {
        Request {
            nonce: *b"twelve bytes",
            client: "192.168.1.2".parse().expect("an address"),
            protocol: Protocol::Udp,
            internal: 2000,
            suggested: None,
            lifetime: 1200,
        }
    }

    /// What a router makes of a request.
    fn answer(request: &[u8], external: &str) -> Vec<u8> {
        let mut bytes = request.to_vec();
        (bytes[1], bytes[3]) = (0x81, 0);
        bytes[8..12].copy_from_slice(&77u32.to_be_bytes());
        bytes[12..24].fill(0);
        let external: SocketAddr = external.parse().expect("an address");
        bytes[42..44].copy_from_slice(&external.port().to_be_bytes());
        bytes[44..60].copy_from_slice(&mapped(external.ip()).octets());
        bytes
    }

    #[test]
    fn a_request_is_laid_out_as_the_rfc_draws_it() {
        let bytes = request().to_bytes();
        assert_eq!(bytes.len(), 60);
        assert_eq!(bytes[..8], [2, 1, 0, 0, 0, 0, 4, 0xb0]);
        assert_eq!(bytes[8..24], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 168, 1, 2]);
        assert_eq!(bytes[24..36], *b"twelve bytes");
        assert_eq!(bytes[36..44], [17, 0, 0, 0, 7, 208, 7, 208]);
        assert_eq!(bytes[44..], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0]);
    }

    #[test]
    fn an_answer_names_the_outer_address() {
        let answer = Answer::parse(&answer(&request().to_bytes(), "203.0.113.5:40000")).expect("an answer");
        assert_eq!((answer.result, answer.lifetime, answer.epoch), (SUCCESS, 1200, 77));
        let map = answer.map.expect("a mapping");
        assert_eq!((map.nonce, map.protocol, map.internal), (*b"twelve bytes", 17, 2000));
        assert_eq!(map.external, "203.0.113.5:40000".parse().expect("an address"));
    }

    #[test]
    fn a_router_that_only_speaks_nat_pmp_is_told_from_noise() {
        // RFC 6887 Appendix A: version 0, the opcode with its high bit, result 1; its twelve bytes are no whole PCP header.
        assert_eq!(Answer::parse(&[0, 0x81, 0, 1, 0, 0, 0, 9]), None);
        let mut long = [0; 24];
        (long[1], long[3]) = (0x81, 1);
        assert_eq!(Answer::parse(&long).map(|answer| answer.result), Some(UNSUPPORTED_VERSION));
        assert_eq!(Answer::parse(&request().to_bytes()), None, "a request is no answer");
        assert_eq!(Answer::parse(&[0; 61]), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in vec(any::<u8>(), 0..80)) {
            let _ = Answer::parse(&bytes);
        }
    }
}
