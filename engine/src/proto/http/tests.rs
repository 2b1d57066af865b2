//! What is understood, and each way to smuggle.

use proptest::collection::vec;
use proptest::prelude::{any, proptest};

use super::*;

fn read(text: &str) -> Result<Option<Head>, Bad> {
    parse_head(text.as_bytes()).map(|head| head.map(|(head, _)| head))
}

fn with(lines: &str) -> Result<Option<Head>, Bad> {
    read(&format!("POST /v1/account/login HTTP/1.1\r\nHost: a\r\n{lines}\r\n"))
}

#[test]
fn a_request_is_understood() {
    let text = "POST /v1/account/login?a=b HTTP/1.1\r\nHost: chat.example\r\nAuthorization: Bearer abc\r\n\
                Content-Length: 12\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{\"name\":";
    let (head, length) = parse_head(text.as_bytes()).expect("good").expect("whole");
    assert_eq!(&text[length..], "{\"name\":");
    assert_eq!((head.path.as_str(), head.query.as_str(), head.content_length), ("/v1/account/login", "a=b", 12));
    assert_eq!(head.bearer.as_deref(), Some("abc"));
    assert!(head.close && head.upgrade.is_none());
    assert_eq!(parse_head(&text.as_bytes()[..length - 1]), Ok(None));
}

#[test]
fn an_upgrade_is_understood() {
    let text = "GET /v1/channels HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
                Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
                Sec-WebSocket-Protocol: visavis.1, other\r\n\r\n";
    let upgrade = read(text).expect("good").expect("whole").upgrade.expect("an upgrade");
    assert_eq!(upgrade.protocols, ["visavis.1", "other"]);
    assert_eq!(read(&text.replace(": 13", ": 8")), Err(Bad::Form));
    assert_eq!(read(&text.replace("GET", "POST")), Err(Bad::Form));
}

#[test]
fn what_smuggles_is_refused() {
    assert!(with("Content-Length: 5\r\n").is_ok());
    for lines in [
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding : chunked\r\n",
        "transfer-encoding: identity\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\ncontent-length: 6\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length:\r\n",
        "Content-Length: 5\r\n Transfer-Encoding: chunked\r\n",
        "X: a\nContent-Length: 5\r\n",
        "X: a\rContent-Length: 5\r\n",
        "X: a\0b\r\n",
        "Host: b\r\n",
        "Authorization: Bearer a\r\nAuthorization: Bearer b\r\n",
        "No colon here\r\n",
    ] {
        assert_eq!(with(lines), Err(Bad::Form), "{lines:?}");
    }
    assert_eq!(with("Content-Length: 99999999999999999999\r\n"), Err(Bad::Form));
}

#[test]
fn tricks_with_paths_and_versions_are_refused() {
    let get = |target: &str| read(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert!(get("/people/ada").is_ok());
    for target in
        ["/../etc", "/a/../b", "/a//b", "//a", "/%2e%2e/", "/a\\b", "http://a/", "a", "*", "/a#b", "/.git", "/é"]
    {
        assert_eq!(get(target), Err(Bad::Form), "{target}");
    }
    assert_eq!(read("GET / HTTP/1.0\r\nHost: a\r\n\r\n"), Err(Bad::Version));
    assert_eq!(read("PUT / HTTP/1.1\r\nHost: a\r\n\r\n"), Err(Bad::Method));
    assert_eq!(read("GET / HTTP/1.1\r\n\r\n"), Err(Bad::Form), "no host");
    assert_eq!(read("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), Err(Bad::Form));
}

#[test]
fn a_head_has_a_bound() {
    let mut text = "GET / HTTP/1.1\r\nHost: a\r\n".to_owned();
    text.push_str(&"X: y\r\n".repeat(70));
    assert_eq!(read(&format!("{text}\r\n")), Err(Bad::HeadTooLarge));
    let long = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "y".repeat(LARGEST_HEAD));
    assert_eq!(read(&long), Err(Bad::HeadTooLarge));
}

proptest! {
    #[test]
    fn garbage_never_panics(bytes in vec(any::<u8>(), 0..400)) {
        let _ = parse_head(&bytes);
    }

    #[test]
    fn a_spoiled_request_has_one_reading(at in 0..70usize, byte in any::<u8>()) {
        let whole = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nX: y\r\n\r\n";
        let mut spoiled = whole.to_vec();
        if let Some(place) = spoiled.get_mut(at) {
            *place = byte;
        }
        // Whatever is still accepted ends at its first empty line.
        if let Ok(Some((_, length))) = parse_head(&spoiled) {
            assert!(spoiled[..length].ends_with(b"\r\n\r\n") && !spoiled[..length - 1].windows(4).any(|w| w == b"\r\n\r\n"));
        }
    }
}
