//! CONNECT of HTTP (RFC 9110 §9.3.6), with the Basic login (RFC 7617).

use data_encoding::BASE64;
use httparse::{EMPTY_HEADER, Status};

use super::{Destination, Login, wrong_login};
use crate::base::error::{Error, Kind, Result};

/// Waits for the head of the proxy's answer.
#[derive(Debug)]
pub struct Connect {
    head: Vec<u8>,
    had_login: bool,
    port: u16,
    is_over: bool,
}

impl Connect {
    /// And the request.
    pub fn new(destination: &Destination, login: Option<&Login>) -> (Self, Vec<u8>) {
        let mut request = format!("CONNECT {destination} HTTP/1.1\r\nHost: {destination}\r\n");
        if let Some(Login { user, password }) = login {
            let both = BASE64.encode(format!("{user}:{password}").as_bytes());
            request.push_str(&format!("Proxy-Authorization: Basic {both}\r\n"));
        }
        request.push_str("\r\n");
        let port = destination.port();
        (Self { head: Vec::new(), had_login: login.is_some(), port, is_over: false }, request.into_bytes())
    }

    /// One byte at a time: where the head ends is not known before it is there, and what follows it is the other side's.
    pub const fn wants(&self) -> usize {
        if self.is_over { 0 } else { 1 }
    }

    /// See [`Handshake::handle`](super::Handshake::handle).
    pub fn handle(&mut self, bytes: &[u8]) -> Result<bool> {
        self.head.extend_from_slice(bytes);
        if !self.head.ends_with(b"\r\n\r\n") && self.head.len() < LARGEST {
            return Ok(false);
        }
        let mut headers = [EMPTY_HEADER; 64];
        let mut answer = httparse::Response::new(&mut headers);
        let malformed = || Error::new(Kind::Malformed, "what answers there is no HTTP proxy: check its address");
        if !matches!(answer.parse(&self.head), Ok(Status::Complete(_))) {
            return Err(malformed());
        }
        self.is_over = true;
        match answer.code.unwrap_or(0) {
            200..=299 => Ok(true),
            // RFC 9110 §15.5.8; 401 is said by proxies that take themselves for servers.
            407 | 401 => Err(wrong_login(self.had_login)),
            403 | 405 => Err(Error::new(
                Kind::Refused,
                format!("the proxy does not allow connections to port {}: ask who runs it", self.port),
            )),
            500..=599 => Err(Error::new(Kind::Retry, "the proxy finds no way to the other side")),
            100..=499 => Err(Error::new(Kind::Refused, "the proxy does not allow the connection: ask who runs it")),
            _ => Err(malformed()),
        }
    }
}

const LARGEST: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{any, proptest};

    use super::*;
    use crate::proto::proxy::is_login;

    fn answered(text: &str, login: Option<&Login>) -> Result<bool> {
        let (mut connect, _) = Connect::new(&Destination::of("192.0.2.1", 2018), login);
        for byte in text.bytes() {
            assert_eq!(connect.wants(), 1);
            if connect.handle(&[byte])? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    #[test]
    fn a_request_names_the_other_side_and_the_login() {
        let login = Login { user: "Aladdin".into(), password: "open sesame".into() };
        let (_, request) = Connect::new(&Destination::of("2001:db8::1", 443), Some(&login));
        let text = String::from_utf8(request).expect("text");
        assert!(text.starts_with("CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: [2001:db8::1]:443\r\n"), "{text}");
        // RFC 7617 §2.
        assert!(text.ends_with("Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n"), "{text}");
    }

    #[test]
    fn an_answer_ends_where_its_head_ends() {
        assert_eq!(answered("HTTP/1.0 200 Connection established\r\nVia: x\r\n\r\n", None).ok(), Some(true));
        assert_eq!(answered("HTTP/1.1 200 OK\r\n", None).ok(), Some(false));
    }

    #[test]
    fn each_refusal_says_what_to_do() {
        let login = Login { user: "bob".into(), password: "x".into() };
        let wrong = answered("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", Some(&login)).expect_err("refused");
        assert!(is_login(&wrong) && wrong.text.contains("password"), "{wrong}");
        let missing = answered("HTTP/1.1 407 x\r\n\r\n", None).expect_err("refused");
        assert!(is_login(&missing) && missing.text != wrong.text);
        let port = answered("HTTP/1.1 403 Access violation\r\n\r\n", None).expect_err("refused");
        assert!(port.text.contains("2018") && !is_login(&port), "{port}");
        assert_eq!(answered("HTTP/1.1 502 x\r\n\r\n", None).expect_err("no way").kind, Kind::Retry);
        assert_eq!(answered("SSH-2.0-x\r\n\r\n", None).expect_err("no proxy").kind, Kind::Malformed);
        assert_eq!(answered(&"x".repeat(20_000), None).expect_err("no end").kind, Kind::Malformed);
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(bytes in vec(any::<u8>(), 0..200)) {
            let (mut connect, _) = Connect::new(&Destination::of("x", 1), None);
            let _ = bytes.chunks(3).try_for_each(|chunk| connect.handle(chunk).map(drop));
        }
    }
}
