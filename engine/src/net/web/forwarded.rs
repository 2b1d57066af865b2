//! Who has connected to the balancer before us: the PROXY protocol, version 2
//! (<https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt>, §2.2).

use std::io::{self, ErrorKind, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A header that is still being read, before anything else of the connection.
#[derive(Debug, Default)]
pub struct Forwarded {
    bytes: Vec<u8>,
}

/// What a whole header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Somebody at this address.
    Client(SocketAddr),
    /// The balancer itself, to see whether the service is well; or it does not know.
    Balancer,
}

impl Forwarded {
    /// Reads on, and never further than the header's end.
    ///
    /// # Errors
    /// [`ErrorKind::WouldBlock`]: more has to come. [`ErrorKind::InvalidData`]: that is no such header.
    pub fn read(&mut self, socket: &mut impl Read) -> io::Result<Origin> {
        loop {
            let wanted = wanted(&self.bytes).ok_or(ErrorKind::InvalidData)?;
            let missing = wanted.saturating_sub(self.bytes.len());
            if missing == 0 {
                return origin(&self.bytes).ok_or_else(|| ErrorKind::InvalidData.into());
            }
            let mut some = [0; 64];
            let room = some.get_mut(..missing.min(64)).unwrap_or_default();
            match socket.read(room) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(length) => self.bytes.extend_from_slice(room.get(..length).unwrap_or_default()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// How long the header is, as far as is known; `None` where it is none.
fn wanted(bytes: &[u8]) -> Option<usize> {
    let known = bytes.len().min(SIGNATURE.len());
    if bytes.get(..known) != SIGNATURE.get(..known) {
        return None;
    }
    match bytes.get(14..16) {
        Some(&[high, low]) => {
            let length = usize::from(u16::from_be_bytes([high, low]));
            // Balancers add a few fields; none needs more.
            (length <= LONGEST).then_some(HEAD + length)
        }
        _ => Some(HEAD),
    }
}

fn origin(bytes: &[u8]) -> Option<Origin> {
    let (command, family) = (*bytes.get(12)?, *bytes.get(13)?);
    let port = |at: usize| Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    match (command, family) {
        // LOCAL: whatever follows is to be passed over.
        (0x20, _) | (0x21, 0x00) => Some(Origin::Balancer),
        (0x21, 0x11) => {
            let address: [u8; 4] = bytes.get(16..20)?.try_into().ok()?;
            Some(Origin::Client((IpAddr::from(Ipv4Addr::from(address)), port(24)?).into()))
        }
        (0x21, 0x21) => {
            let address: [u8; 16] = bytes.get(16..32)?.try_into().ok()?;
            Some(Origin::Client((IpAddr::from(Ipv6Addr::from(address)), port(48)?).into()))
        }
        _ => None,
    }
}

/// Its first bytes stand in no TLS record.
pub const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

const HEAD: usize = 16;
const LONGEST: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).expect("short").to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, rest].concat()
    }

    const V4: [u8; 12] = [192, 0, 2, 7, 10, 0, 0, 1, 0x30, 0x39, 0x01, 0xbb];

    #[test]
    fn a_header_is_read_to_its_end_and_no_further() {
        let with_more = [header(0x21, 0x11, &[&V4[..], &[4, 0, 1, 9]].concat()), b"TLS".to_vec()].concat();
        let mut rest = &with_more[..];
        let origin = Forwarded::default().read(&mut rest).expect("whole");
        assert_eq!(origin, Origin::Client("192.0.2.7:12345".parse().expect("an address")));
        assert_eq!(rest, b"TLS");
        let v6 = [&[0x20, 1, 0x0d, 0xb8][..], &[0; 11], &[9], &[0; 16], &[0, 80, 1, 187]].concat();
        let origin = Forwarded::default().read(&mut &header(0x21, 0x21, &v6)[..]).expect("whole");
        assert_eq!(origin, Origin::Client("[2001:db8::9]:80".parse().expect("an address")));
        assert_eq!(Forwarded::default().read(&mut &header(0x20, 0, &[])[..]).expect("whole"), Origin::Balancer);
    }

    #[test]
    fn a_header_may_come_byte_by_byte() {
        struct Slow<'a>(&'a [u8], bool);
        impl Read for Slow<'_> {
            fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
                self.1 = !self.1;
                if self.1 {
                    return Err(ErrorKind::WouldBlock.into());
                }
                self.0.read(&mut out[..1])
            }
        }
        let bytes = header(0x21, 0x11, &V4);
        let (mut slow, mut forwarded) = (Slow(&bytes, false), Forwarded::default());
        let origin = loop {
            match forwarded.read(&mut slow) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                other => break other,
            }
        };
        assert!(matches!(origin, Ok(Origin::Client(_))));
    }

    #[test]
    fn what_is_no_header_is_refused_at_its_first_wrong_byte() {
        let long = header(0x21, 0x11, &[0; 1025]);
        for wrong in [
            &b"\x16\x03\x01"[..],
            b"PROXY TCP4 1.2.3.4 ",
            &header(0x31, 0x11, &V4),
            &header(0x21, 0x11, &V4[..4]),
            &header(0x21, 0x12, &V4),
            &long,
        ] {
            let error = Forwarded::default().read(&mut &*wrong).expect_err("none");
            assert_eq!(error.kind(), ErrorKind::InvalidData, "{wrong:?}");
        }
        let error = Forwarded::default().read(&mut &header(0x21, 0x11, &V4)[..20]).expect_err("cut off");
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_a_header_or_none(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..80), with_signature: bool) {
            let bytes = if with_signature { [&SIGNATURE[..], &bytes].concat() } else { bytes };
            let _ = Forwarded::default().read(&mut &bytes[..]);
        }
    }
}
