use proptest::collection::vec;
use proptest::prelude::{any, proptest};

use super::*;

const DESCRIPTION: &str = r#"<?xml version="1.0"?>
<root xmlns="urn:schemas-upnp-org:device-1-0"><specVersion><major>1</major><minor>1</minor></specVersion>
<device><deviceType>urn:schemas-upnp-org:device:InternetGatewayDevice:1</deviceType><serviceList><service>
<serviceType>urn:schemas-upnp-org:service:Layer3Forwarding:1</serviceType><controlURL>/ctl/L3F</controlURL></service>
</serviceList><deviceList><device><deviceList><device><serviceList><service>
<serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType><controlURL>/ctl/IPConn</controlURL></service>
</serviceList></device></deviceList></device></deviceList></device></root>"#;

fn router() -> Place {
    Place::parse("http://192.168.1.1:5555/rootDesc.xml").expect("a place")
}

#[test]
fn the_service_that_maps_ports_is_found_in_a_description() {
    let service = find_service(DESCRIPTION, &router()).expect("a service");
    assert_eq!(service.kind, KINDS[1]);
    assert_eq!(service.control, Place { path: "/ctl/IPConn".into(), ..router() });
    let second = DESCRIPTION.replace("WANIPConnection:1", "WANIPConnection:2");
    assert!(find_service(&second, &router()).expect("a service").has_add_any());
    assert!(!service.has_add_any());
}

#[test]
fn a_control_address_elsewhere_is_not_believed() {
    for elsewhere in ["http://192.0.2.66/ctl", "http://evil.example/ctl", "https://192.168.1.1/ctl"] {
        assert_eq!(find_service(&DESCRIPTION.replace("/ctl/IPConn", elsewhere), &router()), None, "{elsewhere}");
    }
    let same = DESCRIPTION.replace("/ctl/IPConn", "http://192.168.1.1:80/ctl");
    assert!(find_service(&same, &router()).is_some());
}

#[test]
fn a_document_type_is_refused() {
    let bomb = format!("<!DOCTYPE a [<!ENTITY x \"xxxxxxxx\">]>{}", &DESCRIPTION[22..]);
    assert_eq!(find_service(&bomb, &router()), None);
}

#[test]
fn a_request_says_how_long_it_is_and_what_it_wants() {
    let service = find_service(DESCRIPTION, &router()).expect("a service");
    let internal = "192.168.1.2:2000".parse().expect("an address");
    let text = service.request(Action::Add { protocol: Protocol::Udp, external: 2000, internal, lease: 1200 });
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("POST /ctl/IPConn HTTP/1.1\r\nHost: 192.168.1.1:5555\r\n"), "{head}");
    assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())));
    assert!(head.contains("SOAPAction: \"urn:schemas-upnp-org:service:WANIPConnection:1#AddPortMapping\""));
    assert!(body.contains("<NewProtocol>UDP</NewProtocol>") && body.contains(">192.168.1.2<"));
    assert!(Document::parse(body).is_ok());
}

#[test]
fn answers_and_refusals_are_read() {
    let wrap = |inner: &str| format!("<s:Envelope xmlns:s=\"x\" xmlns:u=\"y\"><s:Body>{inner}</s:Body></s:Envelope>");
    let external = "<u:GetExternalIPAddressResponse><NewExternalIPAddress>203.0.113.1</NewExternalIPAddress>\
                    </u:GetExternalIPAddressResponse>";
    assert_eq!(parse_answer(200, &wrap(external)), Some(Answer::External(Ipv4Addr::new(203, 0, 113, 1))));
    assert_eq!(parse_answer(200, &wrap("<u:AddPortMappingResponse/>")), Some(Answer::Done));
    let reserved = "<u:AddAnyPortMappingResponse><NewReservedPort>4000</NewReservedPort></u:AddAnyPortMappingResponse>";
    assert_eq!(parse_answer(200, &wrap(reserved)), Some(Answer::Reserved(4000)));
    let fault = "<s:Fault><detail><UPnPError><errorCode>718</errorCode></UPnPError></detail></s:Fault>";
    assert_eq!(parse_answer(500, &wrap(fault)), Some(Answer::Refused(CONFLICT)));
    assert_eq!(parse_answer(500, &wrap("<u:AddPortMappingResponse/>")), None);
    assert_eq!(parse_answer(200, &wrap("")), None);
    assert_eq!(parse_answer(200, &wrap(&external.replace("203.0.113.1", "here"))), None);
}

#[test]
fn pages_come_with_a_length_in_chunks_or_until_the_end() {
    let page = |text: &str, is_over| page(text.as_bytes(), is_over);
    let body = |text: &str| Ok(Some((200, text.as_bytes().to_vec())));
    let sized = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n";
    assert_eq!(page(&format!("{sized}abc"), false), Ok(None));
    assert_eq!(page(&format!("{sized}abcd"), false), body("abcd"));
    assert_eq!(page(&format!("{sized}abc"), true), Err(NotAPage));
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n";
    assert_eq!(page(chunked, false), Ok(None));
    assert_eq!(page(&format!("{chunked}0\r\n\r\n"), false), body("abcd"));
    assert_eq!(page("HTTP/1.0 200 OK\r\n\r\nab", false), Ok(None));
    assert_eq!(page("HTTP/1.0 200 OK\r\n\r\nab", true), body("ab"));
    assert_eq!(page("HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n", false), Err(NotAPage));
    assert_eq!(page(&format!("HTTP/1.0 200 OK\r\n\r\n{}", "a".repeat(LARGEST_BODY + 1)), false), Err(NotAPage));
    assert_eq!(page(&format!("HTTP/1.1 200 OK\r\nA: {}", "a".repeat(9000)), false), Err(NotAPage));
    assert_eq!(page("hello", false), Err(NotAPage));
}

proptest! {
    #[test]
    fn no_page_makes_it_panic(bytes in vec(any::<u8>(), 0..400), status in any::<u16>(), text in any::<String>()) {
        let _ = (page(&bytes, false), page(&bytes, true), chunks(&bytes));
        let _ = (parse_answer(status, &text), find_service(&text, &router()));
    }
}
