//! Finding a UPnP router (UPnP Device Architecture 1.1 §1.3): the question, and where an answer says it is described.

use std::net::{Ipv4Addr, SocketAddrV4};

use httparse::{EMPTY_HEADER, Status};

/// Where SSDP is spoken.
pub const PORT: u16 = 1900;
pub const GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 255, 250);

/// What a router may be looked for as; those that know the second version answer to the first as well, not all the other
/// way round.
pub const TARGETS: [&str; 2] =
    ["urn:schemas-upnp-org:device:InternetGatewayDevice:1", "urn:schemas-upnp-org:device:InternetGatewayDevice:2"];

/// A place on an HTTP server that is named by its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub address: SocketAddrV4,
    /// From the first slash on.
    pub path: String,
}

/// The question for `target`.
pub fn search(target: &str) -> String {
    // UDA 1.1 §1.3.2: answers are spread over MX seconds; a router is one device and we are in a hurry.
    format!("M-SEARCH * HTTP/1.1\r\nHOST: {GROUP}:{PORT}\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\nST: {target}\r\n\r\n")
}

/// Where the answerer is described; `None`: no answer of a router.
pub fn location(answer: &[u8]) -> Option<Place> {
    let mut headers = [EMPTY_HEADER; 32];
    let mut head = httparse::Response::new(&mut headers);
    let Ok(Status::Complete(_)) = head.parse(answer) else { return None };
    if head.code != Some(200) {
        return None;
    }
    let value = |name: &str| {
        let header = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(header.value).ok().map(str::trim)
    };
    value("st").filter(|st| TARGETS.contains(st))?;
    Place::parse(value("location")?)
}

impl Place {
    /// `http://` and an IPv4 address: a name would have to be looked up, and a router is known by its address.
    pub fn parse(url: &str) -> Option<Self> {
        let rest = url.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("http://")).and_then(|_| url.get(7..))?;
        let (host, path) = rest.split_at_checked(rest.find('/').unwrap_or(rest.len()))?;
        let address = match host.split_once(':') {
            Some((ip, port)) => SocketAddrV4::new(ip.parse().ok()?, port.parse().ok()?),
            None => SocketAddrV4::new(host.parse().ok()?, 80),
        };
        Some(Self { address, path: checked(if path.is_empty() { "/" } else { path })? })
    }

    /// Another place, as a page at this one names it: a whole URL, a path, or one beside this path.
    pub fn join(&self, reference: &str) -> Option<Self> {
        if reference.contains("://") {
            return Self::parse(reference);
        }
        let path = match reference.strip_prefix('/') {
            Some(_) => reference.to_owned(),
            None => format!("{}/{reference}", self.path.rsplit_once('/').map_or("", |(folder, _)| folder)),
        };
        Some(Self { address: self.address, path: checked(&path)? })
    }
}

/// A path that can stand in a request's first line.
fn checked(path: &str) -> Option<String> {
    (path.len() <= 512 && path.bytes().all(|byte| byte.is_ascii_graphic())).then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::*;

    const ANSWER: &str = "HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=120\r\n\
        ST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\nUSN: uuid:1\r\nEXT:\r\nSERVER: x\r\n\
        LOCATION: http://192.168.1.1:5555/rootDesc.xml\r\n\r\n";

    #[test]
    fn an_answer_says_where_the_router_is_described() {
        let place = Place { address: "192.168.1.1:5555".parse().expect("an address"), path: "/rootDesc.xml".into() };
        assert_eq!(location(ANSWER.as_bytes()), Some(place));
        for other in [
            ANSWER.replace("200 OK", "404 No"),
            ANSWER.replace("InternetGatewayDevice", "MediaServer"),
            ANSWER.replace("192.168.1.1", "router.example"),
            ANSWER.replace("http:", "file:"),
            ANSWER.replace("rootDesc.xml", "a b"),
            ANSWER.replace("\r\n\r\n", ""),
        ] {
            assert_eq!(location(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn places_are_joined_as_pages_name_them() {
        let base = Place::parse("http://10.0.0.1/a/b.xml").expect("a place");
        assert_eq!(base.address.port(), 80);
        let path = |reference: &str| base.join(reference).map(|place| place.path);
        assert_eq!(path("/ctl/IPConn").as_deref(), Some("/ctl/IPConn"));
        assert_eq!(path("ctl").as_deref(), Some("/a/ctl"));
        assert_eq!(path("http://10.0.0.1:9/x").as_deref(), Some("/x"));
        assert_eq!(path("http://evil.example/x"), None);
        assert_eq!(path("/x\r\nHost: evil"), None);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in any::<String>()) {
            let _ = (location(text.as_bytes()), Place::parse(&text), Place::parse(&format!("http://{text}")));
        }
    }
}
