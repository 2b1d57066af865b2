//! The page that the browser shows, and what the page says back: HTTP on the loopback interface, for one browser that
//! we have started ourselves.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use anyhow::{Context, Result, bail};
use crossbeam_channel::Receiver;
use engine::base::time::{Duration, now};

use super::process::pause;

/// A file that the page consists of.
#[derive(Clone, Debug)]
pub struct Resource {
    /// Behind the token: empty for the page itself.
    pub path: &'static str,
    pub kind: &'static str,
    pub body: Vec<u8>,
}

/// Where the browser asks. Everything that it says is taken one after the other by whoever calls [`Door::hear`].
#[derive(Debug)]
pub struct Door {
    listener: TcpListener,
    /// A word that other programs of this machine do not know.
    token: String,
    resources: Vec<Resource>,
}

/// The head of a request: a browser's takes less than 1 KiB.
const MOST_HEAD: usize = 8 << 10;
/// What the page says at once: 57,600 numbers of a picture in small are the most.
const MOST_BODY: usize = 1 << 20;
/// A browser opens connections before it needs them: one that says nothing must not keep the others waiting.
const SILENCE: Duration = Duration::from_millis(500);
/// The whole of a request.
const LONGEST: Duration = Duration::from_secs(5);

impl Door {
    /// # Errors
    /// No port can be had.
    pub fn open(token: &str, resources: Vec<Resource>) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port for the page")?;
        listener.set_nonblocking(true).context("the page's port")?;
        Ok(Self { listener, token: token.to_owned(), resources })
    }

    /// What the browser is to open.
    ///
    /// # Errors
    /// The system does not know the port.
    pub fn url(&self) -> Result<String> {
        let port = self.listener.local_addr().context("the page's port")?.port();
        Ok(format!("http://127.0.0.1:{port}/{}", self.token))
    }

    /// Serves until the page has said something; `None` when it said nothing in this time.
    ///
    /// # Errors
    /// `stop` was told, or the port is lost.
    pub fn hear(&self, patience: Duration, stop: &Receiver<()>) -> Result<Option<Vec<u8>>> {
        let until = now() + patience;
        while now() < until {
            match self.listener.accept() {
                // One request that fails is the browser's to repeat.
                Ok((stream, _)) => {
                    if let Ok(Some(said)) = self.serve(stream) {
                        return Ok(Some(said));
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => pause(stop)?,
                Err(error) => return Err(error).context("the page's port is lost"),
            }
        }
        Ok(None)
    }

    /// One request and its answer; the body where it was the page's.
    fn serve(&self, mut stream: TcpStream) -> Result<Option<Vec<u8>>> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(SILENCE))?;
        stream.set_write_timeout(Some(LONGEST))?;
        let request = read(&mut stream)?;
        let path = request.path.strip_prefix('/').and_then(|path| path.strip_prefix(self.token.as_str()));
        match (request.method.as_str(), path) {
            ("GET", Some(path)) => match self.resources.iter().find(|resource| resource.path == path) {
                Some(resource) => answer(&mut stream, "200 OK", resource.kind, &resource.body)?,
                None => answer(&mut stream, "404 Not Found", "text/plain", b"")?,
            },
            ("POST", Some("")) => {
                answer(&mut stream, "204 No Content", "text/plain", b"")?;
                return Ok(Some(request.body));
            }
            _ => answer(&mut stream, "404 Not Found", "text/plain", b"")?,
        }
        Ok(None)
    }
}

struct Request {
    method: String,
    path: String,
    body: Vec<u8>,
}

/// Reads one request of bounded size. Only what a browser's `fetch` sends is understood.
fn read(from: &mut impl Read) -> Result<Request> {
    let until = now() + LONGEST;
    let mut bytes = Vec::new();
    let mut chunk = [0; 16 << 10];
    let mut more = |bytes: &mut Vec<u8>| -> Result<()> {
        let count = from.read(&mut chunk)?;
        if count == 0 || now() >= until {
            bail!("a request that is cut off");
        }
        bytes.extend_from_slice(&chunk[..count]);
        Ok(())
    };
    loop {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut head = httparse::Request::new(&mut headers);
        if let httparse::Status::Complete(begin) = head.parse(&bytes)? {
            let (method, path) = (head.method.unwrap_or_default().to_owned(), head.path.unwrap_or_default().to_owned());
            let named = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
            let length = named
                .map_or(Ok(0), |header| std::str::from_utf8(header.value)?.parse::<usize>().context("a length"))?;
            if length > MOST_BODY {
                bail!("a request of {length} bytes");
            }
            while bytes.len() < begin + length {
                more(&mut bytes)?;
            }
            return Ok(Request { method, path, body: bytes[begin..begin + length].to_vec() });
        }
        if bytes.len() > MOST_HEAD {
            bail!("a request without an end");
        }
        more(&mut bytes)?;
    }
}

/// The two policies give the page a clock of 5 µs instead of one of 100 µs.
fn answer(to: &mut impl Write, status: &str, kind: &str, body: &[u8]) -> Result<()> {
    write!(
        to,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\
         Cross-Origin-Opener-Policy: same-origin\r\nCross-Origin-Embedder-Policy: require-corp\r\n\r\n",
        body.len()
    )?;
    to.write_all(body)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(door: &Door, text: &str) -> (Option<Vec<u8>>, String) {
        let (_told, stop) = crossbeam_channel::bounded(1);
        let address = door.listener.local_addr().expect("a port");
        let mut stream = TcpStream::connect(address).expect("it listens");
        stream.write_all(text.as_bytes()).expect("room");
        stream.shutdown(std::net::Shutdown::Write).expect("open");
        let heard = door.hear(Duration::from_millis(300), &stop).expect("it serves");
        let mut said = String::new();
        stream.read_to_string(&mut said).expect("text");
        (heard, said)
    }

    #[test]
    fn the_page_is_served_and_heard_and_nobody_else_is() {
        let page = Resource { path: "", kind: "text/html", body: b"<p>".to_vec() };
        let door = Door::open("word", vec![page]).expect("a port");
        let (heard, said) = ask(&door, "GET /word HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(heard.is_none() && said.starts_with("HTTP/1.1 200 OK") && said.ends_with("\r\n\r\n<p>"), "{said}");
        let (heard, said) = ask(&door, "POST /word HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}");
        assert_eq!(heard.as_deref(), Some(&b"{}"[..]));
        assert!(said.starts_with("HTTP/1.1 204"), "{said}");
        for other in [
            "POST /wrong HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}",
            "GET /word/other HTTP/1.1\r\n\r\n",
            "POST /word HTTP/1.1\r\nContent-Length: 20\r\n\r\n{}",
            "POST /word HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n{}",
            "POST /word HTTP/1.1\r\nContent-Length: -1\r\n\r\n{}",
            "no request at all\r\n\r\n",
            "",
        ] {
            let (heard, said) = ask(&door, other);
            assert!(heard.is_none() && !said.contains("200 OK"), "{other}: {said}");
        }
    }
}
