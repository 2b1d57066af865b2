//! A proxy as people write it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::base::error::{Error, Kind};

/// A proxy: `http://[USER:PASSWORD@]HOST[:PORT]` or `socks5://…`.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProxyUrl {
    pub kind: ProxyKind,
    pub host: String,
    pub port: u16,
    pub login: Option<Login>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProxyKind {
    /// CONNECT (RFC 9110 §9.3.6).
    Http,
    /// RFC 1928.
    Socks5,
}

/// A user name and a password. Not shown by `Debug`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Login {
    pub user: String,
    pub password: String,
}

impl ProxyUrl {
    /// The whole of it, the password too: for the settings.
    pub fn expose(&self) -> String {
        let login = self.login.as_ref();
        let login = login.map(|login| format!("{}:{}@", encoded(&login.user), encoded(&login.password)));
        format!("{}{}{}", self.scheme(), login.unwrap_or_default(), self.place())
    }

    const fn scheme(&self) -> &'static str {
        match self.kind {
            ProxyKind::Http => "http://",
            ProxyKind::Socks5 => "socks5://",
        }
    }

    fn place(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

/// Without the password: it ends up in logs and on screens.
impl fmt::Display for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.login.as_ref().map(|login| format!("{}@", encoded(&login.user)));
        write!(f, "{}{}{}", self.scheme(), user.unwrap_or_default(), self.place())
    }
}

impl fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Login({})", self.user)
    }
}

impl FromStr for ProxyUrl {
    type Err = Error;

    /// [`Kind::Refused`] with a line that says what is wrong; it does not repeat what may be a password.
    fn from_str(text: &str) -> Result<Self, Error> {
        let refused = |why: &str| {
            let text = format!("{why}: write the proxy as http://HOST:PORT or socks5://USER:PASSWORD@HOST:PORT");
            Error::new(Kind::Refused, text)
        };
        let text = text.trim();
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        let (kind, usual) = match scheme.to_ascii_lowercase().as_str() {
            "http" => (ProxyKind::Http, 3128),
            // The h: names are looked up by the proxy, which is always so here.
            "socks5" | "socks5h" | "socks" => (ProxyKind::Socks5, 1080),
            "https" => return Err(refused("a proxy that is spoken to in TLS is not known")),
            _ => return Err(refused("that is no kind of proxy")),
        };
        let rest = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (login, place) = match rest.rsplit_once('@') {
            Some((login, place)) => (Some(login), place),
            None => (None, rest),
        };
        let login = match login {
            None => None,
            Some(login) => {
                let (user, password) = login.split_once(':').unwrap_or((login, ""));
                let decoded = |text| decoded(text).ok_or_else(|| refused("the user name or password is no text"));
                Some(Login { user: decoded(user)?, password: decoded(password)? })
            }
        };
        let (host, port) = match place.strip_prefix('[') {
            Some(rest) => {
                let (host, after) = rest.split_once(']').ok_or_else(|| refused("the bracket is not closed"))?;
                host.parse::<std::net::Ipv6Addr>().map_err(|_| refused("no IPv6 address in the brackets"))?;
                (host, after.strip_prefix(':'))
            }
            None => match place.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (place, None),
            },
        };
        let port = match port {
            None => usual,
            Some(port) => {
                port.parse().ok().filter(|port| *port != 0).ok_or_else(|| refused("the port is no number"))?
            }
        };
        let is_host = !host.is_empty() && host.len() <= 253 && host.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_host {
            return Err(refused("no host is named"));
        }
        Ok(Self { kind, host: host.to_owned(), port, login })
    }
}

impl TryFrom<String> for ProxyUrl {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<ProxyUrl> for String {
    fn from(url: ProxyUrl) -> Self {
        url.expose()
    }
}

/// RFC 3986 §2.1: what would be taken for a part of the address is written in percent.
fn encoded(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let one = |byte: u8| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(one).collect()
}

fn decoded(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        let two = after.first_chunk::<2>().and_then(|two| std::str::from_utf8(two).ok());
        match two.and_then(|two| u8::from_str_radix(two, 16).ok()).filter(|_| *first == b'%') {
            Some(byte) => {
                out.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => out.push(*first),
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::*;

    #[test]
    fn proxies_are_read_as_people_write_them() {
        let read = |text: &str| text.parse::<ProxyUrl>().expect(text);
        let plain = read("proxy.example");
        assert_eq!((plain.kind, plain.host.as_str(), plain.port), (ProxyKind::Http, "proxy.example", 3128));
        let whole = read("socks5://bob:p%40ss%3Aword@[2001:db8::1]:1081/");
        assert_eq!((whole.kind, whole.host.as_str(), whole.port), (ProxyKind::Socks5, "2001:db8::1", 1081));
        let login = whole.login.clone().expect("a login");
        assert_eq!((login.user.as_str(), login.password.as_str()), ("bob", "p@ss:word"));
        assert_eq!(read(&whole.expose()), whole);
        assert_eq!(read("socks5h://10.0.0.1").port, 1080);
        for wrong in ["", "http://", "ftp://x", "http://x:0", "http://x:y", "http://[::1", "https://x", "http://a b"] {
            assert_eq!(wrong.parse::<ProxyUrl>().expect_err(wrong).kind, Kind::Refused);
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let url: ProxyUrl = "http://bob:secret@proxy:1".parse().expect("a proxy");
        for shown in [url.to_string(), format!("{url:?}"), format!("{:?}", url.login)] {
            assert!(shown.contains("bob") && !shown.contains("secret"), "{shown}");
        }
        let error = "http://bob:secret@".parse::<ProxyUrl>().expect_err("no host");
        assert!(!error.text.contains("secret"));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(user in "[^\u{0}]{0,20}", password in any::<String>(), port in 1u16..) {
            let url = ProxyUrl {
                kind: ProxyKind::Socks5,
                host: "proxy.example".into(),
                port,
                login: Some(Login { user, password }),
            };
            assert_eq!(url.expose().parse::<ProxyUrl>().ok(), Some(url));
        }

        #[test]
        fn no_text_makes_it_panic(text in any::<String>()) {
            let _ = text.parse::<ProxyUrl>();
        }
    }
}
