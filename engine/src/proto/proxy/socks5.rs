//! SOCKS version 5 (RFC 1928) with the login of RFC 1929, and its framing of datagrams.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Destination, Login, wrong_login};
use crate::base::error::{Error, Kind, Result};

/// What is asked of the proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    Connect(Destination),
    /// A relay for datagrams. They come from an address that is not known yet: all zeros (RFC 1928 §7).
    Associate,
}

/// The talk with the proxy.
#[derive(Debug)]
pub struct Socks5 {
    wanted: Wanted,
    login: Option<Login>,
    stage: Stage,
    buffer: Vec<u8>,
    bound: Option<SocketAddr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Method,
    Login,
    Reply,
    Over,
}

impl Socks5 {
    /// And the first bytes.
    ///
    /// # Errors
    /// [`Kind::Refused`]: a name or a login of more than 255 bytes.
    pub fn new(wanted: Wanted, login: Option<Login>) -> Result<(Self, Vec<u8>)> {
        let is_long = |text: &str| text.len() > 255;
        let long_name = matches!(&wanted, Wanted::Connect(Destination::Name(name, _)) if is_long(name));
        if long_name || login.as_ref().is_some_and(|login| is_long(&login.user) || is_long(&login.password)) {
            return Err(Error::new(Kind::Refused, "a name or password is longer than a SOCKS5 proxy can be told"));
        }
        // RFC 1928 §3: without a login only "none is needed" is offered, or the proxy would wait for one.
        let out = match login {
            Some(_) => vec![VERSION, 2, NO_LOGIN, PASSWORD],
            None => vec![VERSION, 1, NO_LOGIN],
        };
        Ok((Self { wanted, login, stage: Stage::Method, buffer: Vec::new(), bound: None }, out))
    }

    /// See [`Handshake::wants`](super::Handshake::wants).
    pub fn wants(&self) -> usize {
        let whole = match self.stage {
            Stage::Method | Stage::Login => 2,
            // RFC 1928 §6: the address's length stands in its first byte, where it is a name.
            Stage::Reply => match self.buffer.get(3..5) {
                None => 5,
                Some(&[IPV4, _]) => 10,
                Some(&[IPV6, _]) => 22,
                Some(&[_, length]) => usize::from(length).saturating_add(7),
                Some(_) => 5,
            },
            Stage::Over => 0,
        };
        whole.saturating_sub(self.buffer.len())
    }

    /// See [`Handshake::handle`](super::Handshake::handle).
    pub fn handle(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<bool> {
        self.buffer.extend_from_slice(bytes);
        if self.wants() > 0 {
            // What can be seen to be wrong is not waited for.
            return self.check().map(|()| false);
        }
        self.check()?;
        let whole = std::mem::take(&mut self.buffer);
        match (self.stage, whole.as_slice()) {
            (Stage::Method, [_, NO_LOGIN]) => self.ask(out),
            (Stage::Method, [_, PASSWORD]) if self.login.is_some() => self.log_in(out),
            // RFC 1928 §3: "no acceptable methods", or one that was not offered.
            (Stage::Method, _) => return Err(wrong_login(self.login.is_some())),
            (Stage::Login, [_, 0]) => self.ask(out),
            // RFC 1929 §2.
            (Stage::Login, _) => return Err(wrong_login(true)),
            (Stage::Reply, whole) => {
                self.stage = Stage::Over;
                self.bound = read_address(whole.get(3..).unwrap_or_default()).map(|(address, _)| address);
                return Ok(true);
            }
            (Stage::Over, _) => return Ok(true),
        }
        Ok(false)
    }

    /// Where the proxy stands for us.
    pub const fn bound(&self) -> Option<SocketAddr> {
        self.bound
    }

    fn check(&self) -> Result<()> {
        let malformed = || Error::new(Kind::Malformed, "what answers there is no SOCKS5 proxy: check its address");
        let version = if self.stage == Stage::Login { LOGIN_VERSION } else { VERSION };
        match self.buffer.as_slice() {
            // RFC 1929 says 1; some proxies answer with 5.
            [first, ..] if *first != version && !(self.stage == Stage::Login && *first == VERSION) => Err(malformed()),
            [_, code, ..] if *code != 0 && self.stage == Stage::Reply => Err(refusal(*code)),
            _ => Ok(()),
        }
    }

    fn log_in(&mut self, out: &mut Vec<u8>) {
        self.stage = Stage::Login;
        let Some(login) = &self.login else { return };
        out.push(LOGIN_VERSION);
        for text in [&login.user, &login.password] {
            // At most 255: checked when the login was taken.
            out.push(text.len().min(255) as u8);
            out.extend(text.bytes().take(255));
        }
    }

    fn ask(&mut self, out: &mut Vec<u8>) {
        self.stage = Stage::Reply;
        let command = if self.wanted == Wanted::Associate { ASSOCIATE } else { CONNECT };
        out.extend([VERSION, command, 0]);
        match &self.wanted {
            Wanted::Connect(Destination::Address(address)) => write_address(*address, out),
            Wanted::Connect(Destination::Name(name, port)) => {
                out.extend([NAME, name.len().min(255) as u8]);
                out.extend(name.bytes().take(255));
                out.extend(port.to_be_bytes());
            }
            Wanted::Associate => write_address(SocketAddr::from(([0, 0, 0, 0], 0)), out),
        }
    }
}

/// A datagram to `to`, as the relay wants it (RFC 1928 §7); it is put behind what is in `out`.
pub fn wrap(to: SocketAddr, payload: &[u8], out: &mut Vec<u8>) {
    out.extend([0, 0, 0]);
    write_address(to, out);
    out.extend_from_slice(payload);
}

/// Whom a datagram of the relay comes from, and what is in it. `None`: a fragment (which we may drop, RFC 1928 §7), a sender
/// that is a name, or none at all.
pub fn unwrap(datagram: &[u8]) -> Option<(SocketAddr, &[u8])> {
    let [0, 0, 0, rest @ ..] = datagram else { return None };
    let (from, length) = read_address(rest)?;
    Some((from, rest.get(length..)?))
}

/// What [`wrap`] adds at most.
pub const LONGEST_HEADER: usize = 22;

fn write_address(address: SocketAddr, out: &mut Vec<u8>) {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => {
            out.push(IPV4);
            out.extend(ip.octets());
        }
        IpAddr::V6(ip) => {
            out.push(IPV6);
            out.extend(ip.octets());
        }
    }
    out.extend(address.port().to_be_bytes());
}

/// An address and how many bytes it takes.
fn read_address(bytes: &[u8]) -> Option<(SocketAddr, usize)> {
    let (kind, rest) = bytes.split_first()?;
    let (ip, port): (IpAddr, _) = match *kind {
        IPV4 => (Ipv4Addr::from(*rest.first_chunk::<4>()?).into(), rest.get(4..6)?),
        IPV6 => (Ipv6Addr::from(*rest.first_chunk::<16>()?).into(), rest.get(16..18)?),
        _ => return None,
    };
    let port = u16::from_be_bytes(*port.first_chunk::<2>()?);
    Some((SocketAddr::new(ip, port), if *kind == IPV4 { 7 } else { 19 }))
}

/// RFC 1928 §6.
fn refusal(code: u8) -> Error {
    let (kind, text) = match code {
        2 => (Kind::Refused, "the proxy's rules do not allow the connection: ask who runs it"),
        3 | 4 => (Kind::Retry, "the proxy finds no way to the other side"),
        5 => (Kind::Retry, "nobody listens at the other side of the proxy"),
        6 => (Kind::Retry, "the other side of the proxy does not answer"),
        7 => (Kind::Refused, "the proxy carries no datagrams"),
        8 => (Kind::Refused, "the proxy cannot reach this kind of address"),
        _ => (Kind::Retry, "the proxy had a fault"),
    };
    Error::new(kind, text)
}

const VERSION: u8 = 5;
const LOGIN_VERSION: u8 = 1;
const NO_LOGIN: u8 = 0;
const PASSWORD: u8 = 2;
const CONNECT: u8 = 1;
const ASSOCIATE: u8 = 3;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{any, proptest};

    use super::*;

    fn login() -> Login {
        Login { user: "bob".into(), password: "pw".into() }
    }

    /// Gives the answers in the pieces that are wanted; what was said, and how it ended.
    fn talk(wanted: Wanted, login: Option<Login>, answers: &[u8]) -> (Vec<u8>, Result<bool>, Option<SocketAddr>) {
        let (mut socks5, mut said) = Socks5::new(wanted, login).expect("short");
        let (mut rest, mut ended) = (answers, Ok(false));
        while matches!(ended, Ok(false)) && !rest.is_empty() {
            let take = socks5.wants().min(rest.len());
            assert!(take > 0);
            let (now, later) = rest.split_at(take);
            rest = later;
            ended = socks5.handle(now, &mut said);
        }
        (said, ended, socks5.bound())
    }

    #[test]
    fn a_connection_is_asked_for_by_name_with_a_login() {
        let answers = [&[5, 2][..], &[1, 0], &[5, 0, 0, 1, 10, 0, 0, 1, 4, 56]].concat();
        let (said, ended, bound) = talk(Wanted::Connect(Destination::of("ab.example", 443)), Some(login()), &answers);
        assert_eq!(ended.ok(), Some(true));
        let expected =
            [&[5, 2, 0, 2][..], &[1, 3, b'b', b'o', b'b', 2, b'p', b'w'], &[5, 1, 0, 3, 10], b"ab.example", &[1, 187]];
        assert_eq!(said, expected.concat());
        assert_eq!(bound, Some("10.0.0.1:1080".parse().expect("an address")));
    }

    #[test]
    fn what_follows_the_last_byte_is_left_alone() {
        for (reply, length) in [(vec![5, 0, 0, 1, 1, 2, 3, 4, 0, 9], 10), (vec![5, 0, 0, 3, 2, b'x', b'y', 0, 9], 9)] {
            let (mut socks5, mut out) = Socks5::new(Wanted::Associate, None).expect("short");
            socks5.handle(&[5, 0], &mut out).expect("go on");
            let mut read = 0;
            while socks5.wants() > 0 {
                let next = &reply[read..read + socks5.wants()];
                read += next.len();
                socks5.handle(next, &mut out).expect("go on");
            }
            assert_eq!(read, length);
        }
    }

    #[test]
    fn each_refusal_is_said() {
        let to = || Wanted::Connect(Destination::of("192.0.2.1", 1));
        let text = |login, answers: &[u8]| talk(to(), login, answers).1.expect_err("refused").text.into_owned();
        assert!(text(None, &[5, 0xff]).contains("wants a user name"));
        assert!(text(Some(login()), &[5, 2, 1, 1]).contains("does not accept the user name or the password"));
        assert!(text(None, &[5, 0, 5, 2]).contains("rules"));
        assert!(text(None, &[5, 0, 5, 5, 0, 1, 0, 0, 0, 0, 0, 0]).contains("nobody listens"));
        assert!(text(None, b"HT").contains("no SOCKS5 proxy"));
        assert!(Socks5::new(Wanted::Connect(Destination::Name("x".repeat(256), 1)), None).is_err());
    }

    #[test]
    fn datagrams_are_framed_both_ways() {
        for address in ["203.0.113.9:3478", "[2001:db8::9]:3478"] {
            let to: SocketAddr = address.parse().expect("an address");
            let mut out = Vec::new();
            wrap(to, b"hello", &mut out);
            assert!(out.len() <= LONGEST_HEADER + 5);
            assert_eq!(unwrap(&out), Some((to, &b"hello"[..])));
            out[2] = 1;
            assert_eq!(unwrap(&out), None, "a fragment");
        }
        assert_eq!(unwrap(&[0, 0, 0, 1, 1, 2, 3]), None);
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(bytes in vec(any::<u8>(), 0..64), size in 1usize..30) {
            let _ = unwrap(&bytes);
            let (mut socks5, mut out) = Socks5::new(Wanted::Associate, Some(login())).expect("short");
            let _ = bytes.chunks(size).try_for_each(|chunk| socks5.handle(chunk, &mut out).map(drop));
        }
    }
}
