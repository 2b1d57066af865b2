//! The client's side of HTTP/1.1: a request's head, and the head of an answer (RFC 9112 §4), without IO.

use std::fmt::Write;

use httparse::{EMPTY_HEADER, Status};

use crate::base::error::{Error, Kind, Result};
use crate::proto::service::frame::{PATH, PROTOCOL};

/// The head of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerHead {
    pub status: u16,
    pub content_length: usize,
    /// Sec-WebSocket-Accept.
    pub accept: Option<String>,
}

/// A request's head. `body`: its type and length, where it has one.
pub fn request_head(method: &str, host: &str, path: &str, token: Option<&str>, body: Option<(&str, usize)>) -> String {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n");
    if let Some(token) = token {
        let _ = write!(head, "Authorization: Bearer {token}\r\n");
    }
    if let Some((content_type, length)) = body {
        let _ = write!(head, "Content-Type: {content_type}\r\nContent-Length: {length}\r\n");
    }
    head.push_str("\r\n");
    head
}

/// The request that goes on as the channels of a session (RFC 6455 §4.1). `key`: sixteen random bytes in base64.
pub fn upgrade_head(host: &str, token: &str, key: &str) -> String {
    format!(
        "GET {PATH} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Protocol: {PROTOCOL}\r\n\r\n"
    )
}

/// The head at the beginning of `bytes` and its length; `None` while it is not whole. [`Kind::Malformed`]: not HTTP, longer
/// than 16 KiB, or of a length that is not said by Content-Length: close the connection.
pub fn parse_answer(bytes: &[u8]) -> Result<Option<(AnswerHead, usize)>> {
    let malformed = |why: &str| Error::new(Kind::Malformed, format!("what answers there is no such service: {why}"));
    let mut headers = [EMPTY_HEADER; 64];
    let mut answer = httparse::Response::new(&mut headers);
    let length = match answer.parse(bytes) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) if bytes.len() < LARGEST => return Ok(None),
        _ => return Err(malformed("it does not speak HTTP")),
    };
    let mut head = AnswerHead { status: answer.code.unwrap_or(0), content_length: 0, accept: None };
    for header in answer.headers.iter() {
        let value = std::str::from_utf8(header.value).map(str::trim).map_err(|_| malformed("a header is no text"))?;
        if header.name.eq_ignore_ascii_case("content-length") {
            head.content_length = value.parse().map_err(|_| malformed("its length is no number"))?;
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(malformed("its length is not said"));
        } else if header.name.eq_ignore_ascii_case("sec-websocket-accept") {
            head.accept = Some(value.to_owned());
        }
    }
    Ok(Some((head, length)))
}

const LARGEST: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{any, proptest};

    use super::*;
    use crate::proto::http;

    #[test]
    fn an_answer_of_the_service_is_understood() {
        let head = http::response_head(200, "application/json", 12, false, &["Retry-After: 3".to_owned()]);
        let bytes = [head.as_bytes(), b"{}"].concat();
        let (read, length) = parse_answer(&bytes).expect("good").expect("whole");
        assert_eq!((read, length), (AnswerHead { status: 200, content_length: 12, accept: None }, head.len()));
        assert_eq!(parse_answer(&bytes[..head.len() - 1]).expect("good"), None);
        let upgrade = b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: abc\r\n\r\n";
        let (read, _) = parse_answer(upgrade).expect("good").expect("whole");
        assert_eq!((read.status, read.accept.as_deref()), (101, Some("abc")));
    }

    #[test]
    fn what_the_client_asks_is_understood_by_the_service() {
        let asked = request_head("POST", "chat.example", "/v1/account/profile", Some("abc"), Some(("a/b", 2)));
        let (head, _) = http::parse_head(asked.as_bytes()).expect("good").expect("whole");
        assert_eq!((head.path.as_str(), head.content_length), ("/v1/account/profile", 2));
        assert_eq!(head.bearer.as_deref(), Some("abc"));
        let asked = upgrade_head("chat.example:8443", "abc", "dGhlIHNhbXBsZSBub25jZQ==");
        let (head, _) = http::parse_head(asked.as_bytes()).expect("good").expect("whole");
        assert_eq!(head.upgrade.expect("an upgrade").protocols, [PROTOCOL]);
    }

    #[test]
    fn an_answer_without_a_length_or_that_never_ends_is_refused() {
        for text in [
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "SSH-2.0-OpenSSH_9.2\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        ] {
            assert_eq!(parse_answer(text.as_bytes()).expect_err(text).kind, Kind::Malformed);
        }
        let endless = [b"HTTP/1.1 200 OK\r\nX: ".to_vec(), vec![b'a'; LARGEST]].concat();
        assert!(parse_answer(&endless).is_err());
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in vec(any::<u8>(), 0..300)) {
            let _ = parse_answer(&bytes);
        }
    }
}
