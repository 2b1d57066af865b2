//! The STUN messages that the test sends (RFC 8489 §6, RFC 5780 §7, RFC 8656 §7.1), and what it reads of the answers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What makes a message ours (RFC 8489 §5).
pub type Transaction = [u8; 12];

/// A request that is answered with the address it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    Binding,
    /// To be answered from elsewhere (RFC 5780 §7.2).
    BindingFrom {
        other_address: bool,
        other_port: bool,
    },
    /// Of this length, header included; at least 24.
    Padded(usize),
    /// For a relayed address over UDP, without a login: refused by whoever relays.
    Allocate,
}

/// An answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub is_error: bool,
    /// ERROR-CODE.
    pub code: Option<u16>,
    /// XOR-MAPPED-ADDRESS, else MAPPED-ADDRESS.
    pub mapped: Option<SocketAddr>,
    /// OTHER-ADDRESS (RFC 5780 §7.4): where else the server listens.
    pub other: Option<SocketAddr>,
}

/// The bytes of a request.
pub fn request(wanted: Wanted, transaction: &Transaction) -> Vec<u8> {
    let kind = if wanted == Wanted::Allocate { ALLOCATE } else { BINDING };
    let mut bytes = Vec::with_capacity(64);
    bytes.extend(kind.to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend(COOKIE.to_be_bytes());
    bytes.extend(transaction);
    match wanted {
        Wanted::Binding => {}
        Wanted::BindingFrom { other_address, other_port } => {
            let flags = u8::from(other_address) * 4 + u8::from(other_port) * 2;
            attribute(&mut bytes, CHANGE_REQUEST, &[0, 0, 0, flags]);
        }
        Wanted::Padded(length) => {
            let room = length.saturating_sub(24).next_multiple_of(4).min(MOST_PADDING);
            attribute(&mut bytes, PADDING, &vec![0; room]);
        }
        // REQUESTED-TRANSPORT (RFC 8656 §18.7): 17 is UDP.
        Wanted::Allocate => attribute(&mut bytes, REQUESTED_TRANSPORT, &[17, 0, 0, 0]),
    }
    let length = bytes.len().saturating_sub(20) as u16;
    if let Some(place) = bytes.get_mut(2..4) {
        place.copy_from_slice(&length.to_be_bytes());
    }
    bytes
}

/// An answer to the request of `transaction`; `None`: something else.
pub fn answer(bytes: &[u8], transaction: &Transaction) -> Option<Answer> {
    let (head, mut rest) = bytes.split_first_chunk::<20>()?;
    let [k0, k1, l0, l1, c0, c1, c2, c3, id @ ..] = head;
    let kind = u16::from_be_bytes([*k0, *k1]);
    if u32::from_be_bytes([*c0, *c1, *c2, *c3]) != COOKIE || id != transaction {
        return None;
    }
    // RFC 8489 §5: the class of success is 0b10, of an error 0b11.
    let is_error = match kind & 0x0110 {
        0x0100 => false,
        0x0110 => true,
        _ => return None,
    };
    rest = rest.get(..usize::from(u16::from_be_bytes([*l0, *l1])))?;
    let mut found = Answer { is_error, ..Answer::default() };
    while let Some((head, after)) = rest.split_first_chunk::<4>() {
        let [t0, t1, n0, n1] = *head;
        let length = usize::from(u16::from_be_bytes([n0, n1]));
        let value = after.get(..length)?;
        match u16::from_be_bytes([t0, t1]) {
            XOR_MAPPED => found.mapped = address(value, Some(transaction)).or(found.mapped),
            MAPPED => found.mapped = found.mapped.or_else(|| address(value, None)),
            OTHER_ADDRESS => found.other = address(value, None),
            // RFC 8489 §14.8: hundreds in three bits, the rest in a byte.
            ERROR_CODE => found.code = value.get(2..4).map(|two| two.iter().fold(0, code)),
            _ => {}
        }
        rest = after.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Some(found)
}

/// The length of a message that begins a stream; `None`: not to be seen yet.
pub fn whole(bytes: &[u8]) -> Option<usize> {
    let head = bytes.get(2..4)?.first_chunk::<2>()?;
    Some(usize::from(u16::from_be_bytes(*head)).saturating_add(20))
}

const fn code(so_far: u16, byte: &u8) -> u16 {
    so_far.saturating_mul(100).saturating_add(*byte as u16 % 100)
}

fn attribute(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    bytes.extend(kind.to_be_bytes());
    bytes.extend((value.len() as u16).to_be_bytes());
    bytes.extend_from_slice(value);
}

/// RFC 8489 §14.1 and §14.2: `key` is given where the address is mixed with the cookie and the transaction.
fn address(value: &[u8], key: Option<&Transaction>) -> Option<SocketAddr> {
    let (head, ip) = value.split_first_chunk::<4>()?;
    let [_, family, p0, p1] = *head;
    let mut mix = [0u8; 16];
    if let Some(transaction) = key {
        let (front, back) = mix.split_first_chunk_mut::<4>()?;
        *front = COOKIE.to_be_bytes();
        back.copy_from_slice(transaction);
    }
    let port = u16::from_be_bytes([p0 ^ mix.first()?, p1 ^ mix.get(1)?]);
    let mixed = |ip: &[u8]| ip.iter().zip(mix).map(|(byte, key)| byte ^ key).collect::<Vec<u8>>();
    let ip = match family {
        1 => IpAddr::V4(Ipv4Addr::from(*mixed(ip.get(..4)?).first_chunk::<4>()?)),
        2 => IpAddr::V6(Ipv6Addr::from(*mixed(ip.get(..16)?).first_chunk::<16>()?)),
        _ => return None,
    };
    Some(SocketAddr::new(ip.to_canonical(), port))
}

const COOKIE: u32 = 0x2112_A442;
const BINDING: u16 = 0x0001;
const ALLOCATE: u16 = 0x0003;
const MAPPED: u16 = 0x0001;
const CHANGE_REQUEST: u16 = 0x0003;
const ERROR_CODE: u16 = 0x0009;
const REQUESTED_TRANSPORT: u16 = 0x0019;
const XOR_MAPPED: u16 = 0x0020;
const OTHER_ADDRESS: u16 = 0x802c;
/// One that no server has to understand (RFC 8489 §14) and that none does.
const PADDING: u16 = 0xfffe;
const MOST_PADDING: usize = 2000;

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{any, proptest};

    use super::*;

    /// RFC 5769 §2.2 and §2.3.
    const ID: Transaction = [0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae];

    #[test]
    fn the_address_of_the_rfc_s_answer_is_read() {
        let mut bytes = vec![0x01, 0x01, 0x00, 0x18, 0x21, 0x12, 0xa4, 0x42];
        bytes.extend(ID);
        bytes.extend([0x80, 0x22, 0x00, 0x05, b't', b'e', b's', b't', b' ', 0, 0, 0]);
        bytes.extend([0x00, 0x20, 0x00, 0x08, 0x00, 0x01, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43]);
        let read = answer(&bytes, &ID).expect("an answer");
        assert_eq!(read.mapped, Some("192.0.2.1:32853".parse().expect("an address")));
        assert_eq!(answer(&bytes, &[0; 12]), None, "another's answer");
        bytes[0] = 0;
        assert_eq!(answer(&bytes, &ID), None, "a request");
    }

    #[test]
    fn a_refusal_has_its_number() {
        let mut bytes = vec![0x01, 0x13, 0x00, 0x08, 0x21, 0x12, 0xa4, 0x42];
        bytes.extend(ID);
        bytes.extend([0x00, 0x09, 0x00, 0x04, 0, 0, 4, 1]);
        let read = answer(&bytes, &ID).expect("an answer");
        assert_eq!((read.is_error, read.code, read.mapped), (true, Some(401), None));
        assert_eq!(whole(&bytes), Some(28));
    }

    #[test]
    fn requests_have_the_length_that_they_say() {
        for wanted in [
            Wanted::Binding,
            Wanted::BindingFrom { other_address: true, other_port: true },
            Wanted::Padded(1252),
            Wanted::Allocate,
        ] {
            let bytes = request(wanted, &ID);
            assert_eq!(whole(&bytes), Some(bytes.len()), "{wanted:?}");
        }
        assert_eq!(request(Wanted::Padded(1252), &ID).len(), 1252);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in vec(any::<u8>(), 0..80)) {
            let mut framed = vec![1, 1, 0, bytes.len() as u8, 0x21, 0x12, 0xa4, 0x42];
            framed.extend(ID);
            framed.extend(&bytes);
            let _ = (answer(&bytes, &ID), answer(&framed, &ID), whole(&bytes));
        }
    }
}
