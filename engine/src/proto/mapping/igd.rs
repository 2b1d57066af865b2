//! UPnP Internet Gateway Devices: what a description says, what is asked by SOAP, and the answers (WANIPConnection:1 and :2,
//! WANPPPConnection:1; UPnP Device Architecture 1.1 §2 and §3). Also the little of HTTP that they come in.

use std::net::{Ipv4Addr, SocketAddrV4};

use httparse::{EMPTY_HEADER, Status};
use roxmltree::{Document, Node, ParsingOptions};

use super::Protocol;
use super::ssdp::Place;

/// What answers does not speak HTTP, or goes on for too long: close it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAPage;

/// The service of a router that maps ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    pub control: Place,
    /// The whole name, with its version.
    pub kind: String,
}

/// What is asked of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    ExternalAddress,
    Add {
        protocol: Protocol,
        external: u16,
        internal: SocketAddrV4,
        /// Seconds; 0: for ever.
        lease: u32,
    },
    /// Only the second version has it: another outer port where the one asked for is taken.
    AddAny {
        protocol: Protocol,
        external: u16,
        internal: SocketAddrV4,
        lease: u32,
    },
    Delete {
        protocol: Protocol,
        external: u16,
    },
}

/// A router's answer to an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Done,
    External(Ipv4Addr),
    Reserved(u16),
    /// A number of WANIPConnection:2 §2.5.
    Refused(u16),
}

/// The service that maps ports in the description that was fetched from `page`; the control URL has to lie at the same
/// address. `None`: no such router.
pub fn find_service(xml: &str, page: &Place) -> Option<Service> {
    let document = parse(xml)?;
    let services = document.descendants().filter(|node| node.has_tag_name_local("service")).filter_map(|node| {
        let kind = child(node, "serviceType")?.text()?.trim();
        let rank = KINDS.iter().position(|known| *known == kind)?;
        let control = page.join(child(node, "controlURL")?.text()?.trim())?;
        (control.address.ip() == page.address.ip()).then(|| (rank, Service { control, kind: kind.to_owned() }))
    });
    services.min_by_key(|(rank, _)| *rank).map(|(_, service)| service)
}

impl Service {
    pub fn has_add_any(&self) -> bool {
        self.kind.ends_with(":WANIPConnection:2")
    }

    /// A whole HTTP request.
    pub fn request(&self, action: Action) -> String {
        let (name, arguments) = (action.name(), action.arguments());
        let body = format!(
            "<?xml version=\"1.0\"?>\r\n<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" \
             s:encodingStyle=\"http://schemas.xmlsoap.org/soap/encoding/\"><s:Body><u:{name} xmlns:u=\"{kind}\">\
             {arguments}</u:{name}></s:Body></s:Envelope>\r\n",
            kind = self.kind
        );
        format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: text/xml; charset=\"utf-8\"\r\nContent-Length: \
             {length}\r\nSOAPAction: \"{kind}#{name}\"\r\nConnection: close\r\n\r\n{body}",
            path = self.control.path,
            host = self.control.address,
            length = body.len(),
            kind = self.kind,
        )
    }
}

impl Action {
    const fn name(self) -> &'static str {
        match self {
            Self::ExternalAddress => "GetExternalIPAddress",
            Self::Add { .. } => "AddPortMapping",
            Self::AddAny { .. } => "AddAnyPortMapping",
            Self::Delete { .. } => "DeletePortMapping",
        }
    }

    fn arguments(self) -> String {
        match self {
            Self::ExternalAddress => String::new(),
            Self::Add { protocol, external, internal, lease }
            | Self::AddAny { protocol, external, internal, lease } => format!(
                "<NewRemoteHost></NewRemoteHost><NewExternalPort>{external}</NewExternalPort><NewProtocol>{protocol}\
                 </NewProtocol><NewInternalPort>{port}</NewInternalPort><NewInternalClient>{ip}</NewInternalClient>\
                 <NewEnabled>1</NewEnabled><NewPortMappingDescription>Visavis</NewPortMappingDescription>\
                 <NewLeaseDuration>{lease}</NewLeaseDuration>",
                port = internal.port(),
                ip = internal.ip(),
            ),
            Self::Delete { protocol, external } => format!(
                "<NewRemoteHost></NewRemoteHost><NewExternalPort>{external}</NewExternalPort><NewProtocol>{protocol}\
                 </NewProtocol>"
            ),
        }
    }
}

/// The GET of a description.
pub fn describe(page: &Place) -> String {
    format!("GET {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", page.path, page.address)
}

/// What the body of an answer to an action says; `None`: nothing that is one.
pub fn parse_answer(status: u16, xml: &str) -> Option<Answer> {
    let document = parse(xml)?;
    let text = |name: &str| {
        let node = document.descendants().find(|node| node.has_tag_name_local(name))?;
        node.text().map(|text| text.trim().to_owned())
    };
    if let Some(code) = text("errorCode") {
        return Some(Answer::Refused(code.parse().ok()?));
    }
    if status != 200 {
        return None;
    }
    if let Some(ip) = text("NewExternalIPAddress") {
        return Some(Answer::External(ip.parse().ok()?));
    }
    if let Some(port) = text("NewReservedPort") {
        return Some(Answer::Reserved(port.parse().ok()?));
    }
    document.descendants().any(|node| node.tag_name().name().ends_with("Response")).then_some(Answer::Done)
}

/// What a number means to a person.
pub const fn why(code: u16) -> &'static str {
    match code {
        606 => "the router wants a login for it",
        718 => "the outer port is taken by another machine",
        724 => "the router cannot map to another port",
        728 => "the router has no room for more mappings",
        _ => "the router does not allow it",
    }
}

/// The outer port belongs to another machine.
pub const CONFLICT: u16 = 718;
/// The router knows only mappings that stay.
pub const ONLY_PERMANENT: u16 = 725;

/// The longest page that is read.
pub const LARGEST_BODY: usize = 64 * 1024;
const LARGEST_HEAD: usize = 8 * 1024;

/// A whole HTTP answer: its status and body. `Ok(None)`: not whole yet; `is_over`: no more comes. An error: not HTTP, or too
/// long.
pub fn page(bytes: &[u8], is_over: bool) -> Result<Option<(u16, Vec<u8>)>, NotAPage> {
    let mut headers = [EMPTY_HEADER; 48];
    let mut head = httparse::Response::new(&mut headers);
    let length = match head.parse(bytes).map_err(|_| NotAPage)? {
        Status::Complete(length) if length <= LARGEST_HEAD => length,
        Status::Partial if bytes.len() < LARGEST_HEAD && !is_over => return Ok(None),
        _ => return Err(NotAPage),
    };
    let (status, body) = (head.code.unwrap_or(0), bytes.get(length..).unwrap_or_default());
    if body.len() > LARGEST_BODY {
        return Err(NotAPage);
    }
    let value = |name: &str| {
        let header = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(header.value).ok().map(str::trim)
    };
    // RFC 9112 §6.3: chunks, then a length, then all that comes until the other side closes.
    if value("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
        return match chunks(body)? {
            Some(body) => Ok(Some((status, body))),
            None if is_over => Err(NotAPage),
            None => Ok(None),
        };
    }
    let Some(length) = value("content-length") else {
        return Ok(is_over.then(|| (status, body.to_vec())));
    };
    let length: usize = length.parse().map_err(|_| NotAPage)?;
    match body.get(..length) {
        _ if length > LARGEST_BODY => Err(NotAPage),
        Some(body) => Ok(Some((status, body.to_vec()))),
        None if is_over => Err(NotAPage),
        None => Ok(None),
    }
}

/// RFC 9112 §7.1.
fn chunks(mut bytes: &[u8]) -> Result<Option<Vec<u8>>, NotAPage> {
    let mut body = Vec::new();
    loop {
        let (start, length) = match httparse::parse_chunk_size(bytes).map_err(|_| NotAPage)? {
            Status::Complete(found) => found,
            Status::Partial => return Ok(None),
        };
        if length == 0 {
            return Ok(Some(body));
        }
        let length = usize::try_from(length).ok().filter(|length| *length <= LARGEST_BODY).ok_or(NotAPage)?;
        let rest = bytes.get(start..).unwrap_or_default();
        let Some(chunk) = rest.get(..length) else { return Ok(None) };
        body.extend_from_slice(chunk);
        bytes = rest.get(length.saturating_add(2)..).unwrap_or_default();
    }
}

/// Best first: the second version knows another port where one is taken.
const KINDS: [&str; 3] = [
    "urn:schemas-upnp-org:service:WANIPConnection:2",
    "urn:schemas-upnp-org:service:WANIPConnection:1",
    "urn:schemas-upnp-org:service:WANPPPConnection:1",
];

/// Without document types: an entity that grows is the oldest trick there is.
fn parse(xml: &str) -> Option<Document<'_>> {
    let options = ParsingOptions { allow_dtd: false, nodes_limit: 4096, ..ParsingOptions::default() };
    Document::parse_with_options(xml, options).ok()
}

fn child<'a, 'b>(node: Node<'a, 'b>, name: &str) -> Option<Node<'a, 'b>> {
    node.children().find(|child| child.has_tag_name_local(name))
}

/// Tags by their name alone: routers are free with namespaces.
trait LocalName {
    fn has_tag_name_local(&self, name: &str) -> bool;
}

impl LocalName for Node<'_, '_> {
    fn has_tag_name_local(&self, name: &str) -> bool {
        self.is_element() && self.tag_name().name() == name
    }
}

#[cfg(test)]
#[path = "igd_tests.rs"]
mod tests;
