//! HTTP/1.1, as little of it as the service needs (RFC 9110, RFC 9112), without IO.
//!
//! What could be read in two ways by two programs is refused, and an error closes the connection: any
//! Transfer-Encoding, repeated Content-Length or Host, folded headers, bare line feeds, paths with tricks.

use httparse::{EMPTY_HEADER, Status};

/// The largest head of a request.
pub const LARGEST_HEAD: usize = 16 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    Post,
}

/// The head of a request, with what the service looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    pub method: Method,
    /// Begins with `/`; letters, digits and `-._~/` only, without `..`, `//` and `/.`.
    pub path: String,
    /// What follows the `?`.
    pub query: String,
    pub host: String,
    /// The token of `Authorization: Bearer`.
    pub bearer: Option<String>,
    pub origin: Option<String>,
    pub content_type: Option<String>,
    pub content_length: usize,
    pub close: bool,
    pub upgrade: Option<Upgrade>,
}

/// A request to go on as a WebSocket (RFC 6455 §4.2.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upgrade {
    /// Sec-WebSocket-Key.
    pub key: String,
    /// Sec-WebSocket-Protocol: what the client offers.
    pub protocols: Vec<String>,
}

/// A request that is refused; the connection is closed after the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bad {
    /// Not HTTP, or of a form that is refused.
    Form,
    HeadTooLarge,
    BodyTooLarge,
    /// A method that nothing here knows.
    Method,
    Version,
}

impl Bad {
    /// RFC 9110 §15.5, RFC 6585 §5.
    pub const fn status(self) -> u16 {
        match self {
            Self::Form => 400,
            Self::HeadTooLarge => 431,
            Self::BodyTooLarge => 413,
            Self::Method => 501,
            Self::Version => 505,
        }
    }
}

/// The head at the beginning of `bytes` and its length; `None` while it is not whole.
pub fn parse_head(bytes: &[u8]) -> Result<Option<(Head, usize)>, Bad> {
    let Some(length) = head_length(bytes)? else { return Ok(None) };
    let head = bytes.get(..length).ok_or(Bad::Form)?;
    let mut headers = [EMPTY_HEADER; MOST_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(head) {
        Ok(Status::Complete(parsed)) if parsed == length => {}
        Err(httparse::Error::Version) => return Err(Bad::Version),
        Err(httparse::Error::TooManyHeaders) => return Err(Bad::HeadTooLarge),
        _ => return Err(Bad::Form),
    }
    if request.version != Some(1) {
        return Err(Bad::Version);
    }
    let method = match request.method {
        Some("GET") => Method::Get,
        Some("POST") => Method::Post,
        _ => return Err(Bad::Method),
    };
    let target = request.path.ok_or(Bad::Form)?;
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    if !is_plain_path(path) || !query.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
        return Err(Bad::Form);
    }
    let fields = Fields { headers: request.headers };
    let host = fields.only("host")?.filter(|host| !host.is_empty()).ok_or(Bad::Form)?;
    // RFC 9112 §6.1: a request with both lengths is how requests are smuggled. One way to say a length is enough.
    if fields.all("transfer-encoding").next().is_some() {
        return Err(Bad::Form);
    }
    let content_length = match fields.only("content-length")? {
        None => 0,
        // Digits only: `+5`, ` 5` and `5, 5` are read differently by different programs.
        Some(text) if !text.is_empty() && text.len() <= 10 && text.bytes().all(|byte| byte.is_ascii_digit()) => {
            text.parse().map_err(|_| Bad::BodyTooLarge)?
        }
        Some(_) => return Err(Bad::Form),
    };
    let has_token = |name: &str, token: &str| {
        fields
            .all(name)
            .flatten()
            .flat_map(|value| value.split(','))
            .any(|part| part.trim().eq_ignore_ascii_case(token))
    };
    let upgrade = if fields.all("upgrade").next().is_some() {
        let key = fields.only("sec-websocket-key")?.filter(|key| key.len() == 24).ok_or(Bad::Form)?;
        let is_version_13 = fields.only("sec-websocket-version")? == Some("13");
        let is_upgrade = has_token("upgrade", "websocket") && has_token("connection", "upgrade") && is_version_13;
        if method != Method::Get || content_length != 0 || !is_upgrade {
            return Err(Bad::Form);
        }
        let protocols = fields.all("sec-websocket-protocol").flatten().flat_map(|value| value.split(','));
        Some(Upgrade { key: key.to_owned(), protocols: protocols.map(|part| part.trim().to_owned()).take(8).collect() })
    } else {
        None
    };
    let bearer =
        fields.only("authorization")?.map(|value| value.strip_prefix("Bearer ").unwrap_or_default().to_owned());
    let head = Head {
        method,
        path: path.to_owned(),
        query: query.to_owned(),
        host: host.to_owned(),
        bearer,
        origin: fields.only("origin")?.map(str::to_owned),
        content_type: fields.only("content-type")?.map(str::to_owned),
        content_length,
        close: has_token("connection", "close"),
        upgrade,
    };
    Ok(Some((head, length)))
}

/// The head of an answer. `headers` are whole lines without their ends.
pub fn response_head(status: u16, content_type: &str, length: usize, close: bool, headers: &[String]) -> String {
    let mut head = format!(
        "HTTP/1.1 {status} {}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\
         X-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\nReferrer-Policy: no-referrer\r\n",
        reason(status)
    );
    if close {
        head.push_str("Connection: close\r\n");
    }
    for line in headers {
        head.push_str(line);
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    head
}

/// RFC 9110 §15.
pub const fn reason(status: u16) -> &'static str {
    match status {
        101 => "Switching Protocols",
        200 => "OK",
        301 => "Moved Permanently",
        308 => "Permanent Redirect",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        507 => "Insufficient Storage",
        _ => "Bad Request",
    }
}

/// Where the head ends. Line feeds stand after carriage returns only (RFC 9112 §2.2 permits both; two readings of one
/// text are one too many), and a line that begins with white space is a folded one (§5.2).
fn head_length(bytes: &[u8]) -> Result<Option<usize>, Bad> {
    let seen = bytes.get(..bytes.len().min(LARGEST_HEAD)).unwrap_or_default();
    let mut line = 0usize;
    let mut before = 0u8;
    for (at, byte) in seen.iter().enumerate() {
        match (before, byte) {
            (b'\r', b'\n') => {
                // An empty line: the head has ended. Before a first line there is none.
                if at == line.saturating_add(1) {
                    return if line == 0 { Err(Bad::Form) } else { Ok(Some(at.saturating_add(1))) };
                }
                line = at.saturating_add(1);
            }
            (b'\r', _) | (_, b'\n' | 0) => return Err(Bad::Form),
            (_, b' ' | b'\t') if at == line => return Err(Bad::Form),
            _ => {}
        }
        before = *byte;
    }
    if bytes.len() >= LARGEST_HEAD { Err(Bad::HeadTooLarge) } else { Ok(None) }
}

/// Nothing that is read differently by others: no escapes, no backslashes, no steps up, no empty or hidden parts.
fn is_plain_path(path: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/');
    path.starts_with('/')
        && path.len() <= 512
        && path.bytes().all(is_plain)
        && !path.contains("//")
        && !path.contains("/.")
}

struct Fields<'a, 'b> {
    headers: &'a [httparse::Header<'b>],
}

impl<'a> Fields<'a, '_> {
    /// The values of a field; `None` for one that is no text.
    fn all(&self, name: &str) -> impl Iterator<Item = Option<&'a str>> {
        let found = self.headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name));
        found.map(|header| std::str::from_utf8(header.value).ok().map(str::trim))
    }

    /// The value of a field that may stand once.
    fn only(&self, name: &str) -> Result<Option<&'a str>, Bad> {
        let mut all = self.all(name);
        match (all.next(), all.next()) {
            (None, _) => Ok(None),
            (Some(Some(value)), None) => Ok(Some(value)),
            _ => Err(Bad::Form),
        }
    }
}

/// More than any program sends.
const MOST_HEADERS: usize = 64;

#[cfg(test)]
mod tests;
