use proptest::prelude::*;
use stun_proto::types::prelude::AttributeWrite;
use turn_types::message::CREATE_PERMISSION;

use super::*;

fn message(class: MessageClass, peers: &[SocketAddr]) -> Vec<u8> {
    let kind = stun_proto::types::message::MessageType::from_class_method(class, CREATE_PERMISSION);
    let id = stun_proto::types::message::TransactionId::generate();
    let mut message = Message::builder(kind, id, MessageWriteVec::new());
    for peer in peers {
        message.add_attribute(&XorPeerAddress::new(*peer, id)).expect("room");
    }
    message.finish()
}

#[test]
fn a_server_reads_requests_and_nothing_that_is_an_answer() {
    let request = Message::builder_request(BINDING, MessageWriteVec::new()).finish();
    let Seen::Binding(binding) = look(&request) else { panic!("a request") };
    let from: SocketAddr = "[::ffff:192.0.2.7]:4000".parse().expect("an address");
    let answer = bound(&binding, from).expect("fits");
    let parsed = Message::from_bytes(&answer).expect("STUN");
    let mapped = parsed.attribute::<XorMappedAddress>().expect("there").addr(parsed.transaction_id());
    assert_eq!(mapped, "192.0.2.7:4000".parse().expect("an address"));
    assert!(matches!(look(&answer), Seen::Foreign), "an answer is answered by nobody");
    assert!(matches!(look(&message(MessageClass::Request, &[])), Seen::Message(_)));
    assert!(matches!(look(&[0x40, 0, 0, 1, 9]), Seen::Channel));
    for foreign in [&[][..], &[0x40], &[0x50, 0, 0, 0], b"POST / HTTP/1.1\r\n", &[0; 19], &[22, 3, 1, 0, 4]] {
        assert!(matches!(look(foreign), Seen::Foreign), "{foreign:?}");
    }
}

#[test]
fn the_named_peers_are_all_found_and_too_many_are_refused() {
    let some: Vec<SocketAddr> = (0..16).map(|port| SocketAddr::from(([192, 0, 2, 1], 5000 + port))).collect();
    let bytes = message(MessageClass::Request, &some);
    assert_eq!(peers(&Message::from_bytes(&bytes).expect("STUN")).as_ref(), Some(&some));
    let many: Vec<SocketAddr> = (0..17).map(|port| SocketAddr::from(([192, 0, 2, 1], 5000 + port))).collect();
    let bytes = message(MessageClass::Request, &many);
    assert_eq!(peers(&Message::from_bytes(&bytes).expect("STUN")), None);
}

#[test]
fn addresses_of_no_use_to_the_internet_are_known_in_every_writing() {
    let hidden = [
        "10.1.2.3",
        "127.0.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.0.1",
        "100.64.0.1",
        "0.0.0.0",
        "255.255.255.255",
        "224.0.0.1",
        "198.18.0.1",
        "::",
        "::1",
        "::ffff:10.0.0.1",
        "::ffff:8.8.8.8",
        "fe80::1",
        "fc00::1",
        "fd12::1",
        "ff02::1",
        "64:ff9b::a00:1",
        "2002:7f00:1::",
        "2001:db8::1",
        "2001::1",
        "64:ff9b:1::1",
    ];
    for address in hidden {
        assert!(!is_public(address.parse().expect("an address")), "{address}");
    }
    let public = [
        "8.8.8.8",
        "172.15.0.1",
        "172.32.0.1",
        "100.63.0.1",
        "100.128.0.1",
        "192.167.0.1",
        "223.255.255.255",
        "2606:4700::1111",
        "64:ff9b::808:808",
        "2002:808:808::",
        "2a00::1",
    ];
    for address in public {
        assert!(is_public(address.parse().expect("an address")), "{address}");
    }
}

/// The example of RFC 2202, section 3, case 2, says that the code is the standard's.
#[test]
fn a_name_is_good_until_its_time_and_with_its_password_only() {
    let secret = TurnSecret::of(b"Jefe");
    assert_eq!(
        secret.password("what do ya want for nothing?"),
        BASE64.encode(&hex::parse::<20>("effcdf6ae5eb2fa2d27416d5f184df9c259a7c79").expect("hex"))
    );
    let (user, password) = secret.credentials("ada", 1000);
    assert_eq!(user, "1000:ada");
    assert_eq!(secret.check(&user, 1000), Some(password.clone()));
    assert_eq!(secret.check(&user, 1001), None);
    assert_ne!(secret.check("1001:ada", 1000), Some(password));
    for bad in ["", "ada", "-1:ada", ":ada", "99999999999999999999999:ada"] {
        assert_eq!(secret.check(bad, 0), None, "{bad}");
    }
    assert!(TurnSecret::from_text("short").is_err());
}

#[test]
fn a_sender_is_known_by_name_and_by_its_hash() {
    let mut names = Names::default();
    names.add("1000:ada".into(), "realm");
    let from = |attribute: &dyn AttributeWrite| {
        let mut message = Message::builder_request(CREATE_PERMISSION, MessageWriteVec::new());
        message.add_attribute(attribute).expect("room");
        let bytes = message.finish();
        user(&Message::from_bytes(&bytes).expect("STUN"), &names)
    };
    let known = Some("1000:ada".to_owned());
    assert_eq!(from(&Username::new("1000:ada").expect("a name")), known);
    assert_eq!(from(&Userhash::new(Userhash::compute("1000:ada", "realm"))), known);
    assert_eq!(from(&Userhash::new(Userhash::compute("1000:ada", "another"))), None);
    for n in 0..MOST_NAMES {
        names.add(format!("{n}:ben"), "realm");
    }
    assert_eq!((names.by_hash.len(), names.order.len()), (MOST_NAMES, MOST_NAMES));
    assert_eq!(names.of_hash(&Userhash::compute("1000:ada", "realm")), None, "the oldest one");
}

#[test]
fn messages_of_a_stream_are_cut_at_their_ends() {
    let request = message(MessageClass::Request, &[]);
    let of = |length, taken| Ok(Some(Framed { length, taken }));
    assert_eq!(framed(&request), of(request.len(), request.len()));
    assert_eq!(framed(&[0x40, 1, 0, 5]), of(9, 12));
    assert_eq!(framed(&[0x40, 1]), Ok(None));
    assert_eq!(framed(&[]), Ok(None));
    for bad in [&[0x50, 0, 0, 0][..], &[0x40, 1, 0xff, 0xff], &[0, 1, 0, 3], b"GET "] {
        assert_eq!(framed(bad), Err(()), "{bad:?}");
    }
}

proptest! {
    #[test]
    fn whatever_comes_is_read_without_harm(mut bytes in proptest::collection::vec(any::<u8>(), 0..600), kind in 0u8..8) {
        if let Some(first) = bytes.first_mut() {
            *first = if kind < 4 { kind } else { *first };
        }
        if let (true, length) = (kind < 6, bytes.len().saturating_sub(20) as u16 & !3)
            && bytes.len() >= 20
        {
            bytes.truncate(20 + usize::from(length));
            bytes[2..4].copy_from_slice(&length.to_be_bytes());
            bytes[4..8].copy_from_slice(&0x2112_a442u32.to_be_bytes());
        }
        let _ = framed(&bytes);
        if let Seen::Message(message) | Seen::Binding(message) = look(&bytes) {
            let _ = (user(&message, &Names::default()), peers(&message));
            let _ = bound(&message, ([127, 0, 0, 1], 1).into());
        }
    }
}
