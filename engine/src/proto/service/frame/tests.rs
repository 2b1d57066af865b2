//! Messages as they are on the wire, and garbage.

use proptest::prelude::{any, proptest};

use super::*;
use crate::proto::service::names::{AccountName, RoomId, Seq};

#[test]
fn a_request_is_read_as_it_was_written() {
    let asks = [
        Ask::Directory(directory::Request::List { listed: true, comment: Default::default() }),
        Ask::Pals(pals::Request::Hide { name: AccountName::new("ben").expect("a name"), hidden: true }),
        Ask::Chat(chat::Request::History { room: RoomId(3), after: Some(Seq(4)), before: None, limit: 10 }),
        Ask::Messages(messages::Request::Read { seq: Seq(9) }),
    ];
    for ask in asks {
        let text = ask.to_text(7);
        let frame = AskFrame::parse(&text).expect("its form");
        assert_eq!((frame.id, frame.channel), (7, ask.channel()));
        assert_eq!(frame.ask().expect("its form"), ask);
    }
}

#[test]
fn what_a_newer_side_says_is_unknown_and_no_error() {
    let frame = AskFrame::parse(r#"{"id":1,"channel":"chat","ask":{"type":"sing","volume":3},"more":1}"#);
    assert_eq!(frame.expect("its form").ask(), Ok(Ask::Chat(chat::Request::Unknown)));
    assert_eq!(Said::parse(r#"{"channel":"holograms","push":{"type":"x"}}"#), Ok(Said::Unknown));
    assert_eq!(
        Said::parse(r#"{"channel":"pals","push":{"type":"x","y":1}}"#),
        Ok(Said::Push(Push::Pals(pals::Push::Unknown)))
    );
    let frame = r#"{"id":4,"channel":"chat","refused":{"code":"too-cloudy","text":"no"}}"#;
    let Ok(Said::Refused { id: 4, refusal }) = Said::parse(frame) else { panic!("a refusal") };
    assert_eq!(refusal.code, Code::Other);
}

#[test]
fn what_the_service_says_is_read_as_it_was_written() {
    let reply = Reply::Chat(chat::Reply::Posted { room: RoomId(1), seq: Seq(2), at: Default::default() });
    assert_eq!(Said::parse(&reply.to_text(5)), Ok(Said::Reply { id: 5, reply }));
    let push = Push::Chat(chat::Push::Out { room: RoomId(1) });
    assert_eq!(Said::parse(&push.to_text()), Ok(Said::Push(push)));
    let refusal = Refusal::retry_after(Code::TooOften, "wait", 250);
    assert_eq!(Said::parse(&refusal_text(6, Channel::Pals, &refusal)), Ok(Said::Refused { id: 6, refusal }));
}

#[test]
fn a_malformed_request_is_described_without_its_words() {
    let frame = AskFrame::parse(r#"{"id":1,"channel":"chat","ask":{"type":"post","room":"hunter2"}}"#);
    let refusal = frame.expect("its outside").ask().expect_err("its inside");
    assert!(refusal.code == Code::Malformed && !refusal.text.contains("hunter2"), "{refusal:?}");
}

proptest! {
    #[test]
    fn garbage_is_refused_without_panic(text in any::<String>()) {
        let _ = AskFrame::parse(&text).map(|frame| frame.ask());
        let _ = Said::parse(&text);
    }

    #[test]
    fn a_spoiled_request_never_panics(at in 0..80usize, byte in any::<char>()) {
        let whole = Ask::Chat(chat::Request::Read { room: RoomId(3), seq: Seq(4) }).to_text(7);
        let spoiled: String = whole.chars().enumerate().map(|(n, c)| if n == at { byte } else { c }).collect();
        let _ = AskFrame::parse(&spoiled).map(|frame| frame.ask());
    }
}
