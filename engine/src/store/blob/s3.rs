//! Blobs at a server that speaks S3: in one bucket, by paths (`/BUCKET/PREFIX/ab/abcd…`).

use std::fmt;
use std::io::{self, Read, Write};
use std::sync::{Mutex, PoisonError};

use httparse::{EMPTY_HEADER, Status};

use crate::base::error::{Error, Kind, Result};
use crate::base::time::{self, WallTime};
use crate::proto::authority::{Authority, decode};
use crate::store::blob::path_of;
use crate::store::blob::sign::{Key, authorization, hash, timestamp};
use crate::store::wire::{Stream, Trust};

/// Where the bucket is, and who asks.
#[derive(Clone, PartialEq, Eq)]
pub struct S3Url {
    at: Authority,
    bucket: String,
    /// Before all names, without slashes at its ends.
    prefix: String,
    region: String,
    has_tls: bool,
}

/// A bucket, with a connection that is used again.
#[derive(Debug)]
pub struct S3 {
    url: S3Url,
    idle: Mutex<Option<Stream>>,
}

impl S3Url {
    pub(super) fn parse(rest: &str) -> Result<Self> {
        let wrong =
            |what: &str| Error::new(Kind::Refused, format!("--blob: {what}: s3://KEY:SECRET@HOST:PORT/BUCKET/PREFIX"));
        let (rest, options) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').ok_or_else(|| wrong("no bucket is named"))?;
        let (bucket, prefix) = path.split_once('/').unwrap_or((path, ""));
        let at = Authority::parse(authority).map_err(wrong)?;
        // What stands in a path without being written otherwise.
        let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._/".contains(&byte));
        if bucket.is_empty() || at.user.is_empty() || !is_plain(path) {
            return Err(wrong("key and bucket are letters, digits, dots and dashes"));
        }
        let (mut region, mut has_tls) = ("us-east-1".to_owned(), !at.is_here());
        for option in options.split('&').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some(("region", name)) => region = decode(name).ok_or_else(|| wrong("the region is no text"))?,
                Some(("tls", "off")) => has_tls = false,
                Some(("tls", "on")) => has_tls = true,
                _ => return Err(wrong("region=NAME, tls=on and tls=off are known")),
            }
        }
        let prefix = prefix.trim_matches('/').to_owned();
        Ok(Self { at, bucket: bucket.to_owned(), prefix, region, has_tls })
    }

    fn port(&self) -> u16 {
        self.at.port.unwrap_or(if self.has_tls { 443 } else { 80 })
    }

    fn path(&self, name: &str) -> Result<String> {
        let path = path_of(name)?;
        let prefix = if self.prefix.is_empty() { String::new() } else { format!("{}/", self.prefix) };
        Ok(format!("/{}/{prefix}{}", self.bucket, path.display()))
    }
}

impl fmt::Debug for S3Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}:{}/{}/{}", self.at.host, self.port(), self.bucket, self.prefix)
    }
}

impl S3 {
    /// A bucket that lets itself be written to: that is tried.
    ///
    /// # Errors
    /// [`Kind::Refused`] with a line for the operator.
    pub fn open(url: &S3Url) -> Result<Self> {
        let s3 = Self { url: url.clone(), idle: Mutex::new(None) };
        let probe = "0000000000000000visavis";
        let tried = s3.put(probe, b"visavis").and_then(|()| s3.read(probe));
        s3.remove(probe);
        let refused = |what: &str| Error::new(Kind::Refused, format!("blobs cannot be kept at {url:?}: {what}"));
        match tried {
            Ok(Some(bytes)) if bytes == b"visavis" => Ok(s3),
            Ok(_) => Err(refused("what is written is not there")),
            Err(error) => Err(refused(&error.text)),
        }
    }

    pub fn put(&self, name: &str, bytes: &[u8]) -> Result<()> {
        match self.ask("PUT", name, bytes)? {
            (200, _) => Ok(()),
            (status, _) => Err(Error::new(Kind::Refused, format!("the server answers {status}"))),
        }
    }

    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        match self.ask("GET", name, b"")? {
            (200, body) => Ok(Some(body)),
            (404, _) => Ok(None),
            (status, _) => Err(Error::new(Kind::Refused, format!("the server answers {status}"))),
        }
    }

    pub fn remove(&self, name: &str) {
        if let Err(error) = self.ask("DELETE", name, b"") {
            tracing::warn!(target: "storage", "a blob was not removed: {error}");
        }
    }

    /// One request, and once more on a new connection where the one that was used before is gone.
    fn ask(&self, method: &str, name: &str, body: &[u8]) -> Result<(u16, Vec<u8>)> {
        let path = self.url.path(name)?;
        let failed = |error: io::Error| Error::new(Kind::Retry, format!("{:?} cannot be reached: {error}", self.url));
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(stream) = idle
            && let Ok(answer) = self.exchange(stream, method, &path, body)
        {
            return Ok(answer);
        }
        let socket = Stream::connect(&self.url.at.host, self.url.port()).map_err(failed)?;
        let stream = match self.url.has_tls {
            true => Stream::secure(socket, &self.url.at.host, &Trust::Authorities(None)).map_err(failed)?,
            false => Stream::Plain(socket),
        };
        self.exchange(stream, method, &path, body).map_err(failed)
    }

    fn exchange(&self, mut stream: Stream, method: &str, path: &str, body: &[u8]) -> io::Result<(u16, Vec<u8>)> {
        let Authority { host, user, password, .. } = &self.url.at;
        let is_usual = self.url.at.port.is_none();
        let bracketed = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        let host = if is_usual { bracketed } else { format!("{bracketed}:{}", self.url.port()) };
        let (digest, time) = (hash(body), timestamp(WallTime::of(time::now()).as_micros() / 1_000_000));
        let headers = [("host", host.as_str()), ("x-amz-content-sha256", &digest), ("x-amz-date", &time)];
        let key = Key { id: user, secret: password, region: &self.url.region };
        let signed = authorization(key, method, path, &headers);
        let mut head =
            format!("{method} {path} HTTP/1.1\r\nauthorization: {signed}\r\ncontent-length: {}\r\n", body.len());
        headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
        head.push_str("\r\n");
        stream.write_all(head.as_bytes())?;
        stream.write_all(body)?;
        stream.flush()?;
        let Answer { status, body, can_go_on } = read_answer(&mut stream)?;
        if can_go_on {
            *self.idle.lock().unwrap_or_else(PoisonError::into_inner) = Some(stream);
        }
        Ok((status, body))
    }
}

struct Answer {
    status: u16,
    body: Vec<u8>,
    can_go_on: bool,
}

/// An answer whose body is of a length that is said. Of refusals the body is passed over, with the connection where its
/// length is not said.
fn read_answer(stream: &mut impl Read) -> io::Result<Answer> {
    let malformed = |why: &'static str| io::Error::new(io::ErrorKind::InvalidData, why);
    let mut bytes = Vec::new();
    let (status, length, start, mut can_go_on) = loop {
        let mut some = [0; 4096];
        match stream.read(&mut some)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            length => bytes.extend_from_slice(some.get(..length).unwrap_or_default()),
        }
        let mut headers = [EMPTY_HEADER; 64];
        let mut answer = httparse::Response::new(&mut headers);
        match answer.parse(&bytes) {
            Ok(Status::Complete(start)) => {
                let header = |name: &str| {
                    let found = answer.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
                    found.and_then(|header| std::str::from_utf8(header.value).ok())
                };
                let length: Option<usize> = header("content-length").and_then(|length| length.trim().parse().ok());
                let is_last = header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
                break (answer.code.unwrap_or(0), length, start, !is_last);
            }
            Ok(Status::Partial) if bytes.len() < LARGEST_HEAD => {}
            _ => return Err(malformed("it does not speak HTTP")),
        }
    };
    let mut body = bytes.split_off(start.min(bytes.len()));
    let length = match (status, length) {
        // RFC 9110 §15.3.5: there is none.
        (204, _) => 0,
        (_, Some(length)) if length <= LARGEST_BODY => length,
        (200, None) => return Err(malformed("the answer's length is not said")),
        (_, None) => {
            can_go_on = false;
            0
        }
        _ => return Err(malformed("the answer is longer than anything that is kept")),
    };
    while body.len() < length {
        let mut some = [0; 16 * 1024];
        match stream.read(&mut some)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            length => body.extend_from_slice(some.get(..length).unwrap_or_default()),
        }
    }
    body.truncate(length);
    Ok(Answer { status, body, can_go_on })
}

const LARGEST_HEAD: usize = 16 * 1024;

/// The largest sealed message, and some.
const LARGEST_BODY: usize = 8 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_bucket_and_host_and_never_shows_its_secret() {
        let url = S3Url::parse("AKIA:a%2Fsecret@s3.example/calls/blobs/?region=eu-north-1").expect("whole");
        assert_eq!((url.at.password.as_str(), url.region.as_str(), url.port()), ("a/secret", "eu-north-1", 443));
        assert_eq!(url.path("0123456789abcdef").expect("a name"), "/calls/blobs/01/0123456789abcdef");
        assert!(url.path("../../etc/passwd0").is_err());
        assert_eq!(format!("{url:?}"), "s3://s3.example:443/calls/blobs");
        assert!(!S3Url::parse("a:b@127.0.0.1:9000/c").expect("whole").has_tls);
        for wrong in ["a:secret@b", "a:secret@b/", "b/c", "a:secret@b/c?tls=maybe", "a:secret@b/c d"] {
            assert!(!S3Url::parse(wrong).expect_err(wrong).text.contains("secret"));
        }
    }

    #[test]
    fn answers_are_read_to_their_end_and_those_without_one_end_the_connection() {
        let read = |text: &str| read_answer(&mut text.as_bytes());
        let whole = read("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1").expect("whole");
        assert!(whole.status == 200 && whole.body == b"abc" && whole.can_go_on);
        let refused =
            read("HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n<xml>\r\n0\r\n\r\n").expect("read");
        assert!(refused.status == 404 && !refused.can_go_on);
        for wrong in [
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
            "SSH-2.0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
