//! What every database does for rooms and messages.

use super::*;
use crate::proto::keys::Purpose;
use crate::proto::service::chat::{Role, What};
use crate::proto::service::messages::{Reply as MessageReply, Request as MessageRequest, SealedKey, SealingKey};
use crate::proto::text::List;

pub(super) fn rooms_have_one_order_and_their_rules(database: &mut dyn Runs) {
    let (mia, _) = newcomer(database, "mia");
    let (noa, _) = newcomer(database, "noa");
    let join = |who, room| ChatOp::Join { by: by(who), room: RoomId(room), password: None, checked: None };
    assert!(matches!(chat(database, chat_op(join(mia, 1))), ChatAnswer::Joined { entry: Some(_), .. }));
    let password = Some(PasswordHash("locked".into()));
    let locked = ChatOp::Create {
        by: by(mia),
        name: Text::cut("mine"),
        topic: Text::cut("secrets"),
        private: true,
        password,
        key: key("mias-room"),
    };
    let ChatAnswer::Joined { room: locked, .. } = chat(database, chat_op(locked)) else { panic!("no room") };
    let locked = locked.room;
    assert_eq!(code(&one(database, chat_op(join(noa, locked.0)))), Some(Code::NotFound), "it is not shown to be there");
    let with = |password, checked| ChatOp::Join { by: by(noa), room: locked, password, checked };
    let asks = chat(database, chat_op(with(Some(secret("room", "mia")), None)));
    let ChatAnswer::NeedsPassword { hash, .. } = asks else { panic!("{asks:?}") };
    assert!(matches!(chat(database, chat_op(with(None, Some(hash)))), ChatAnswer::Joined { .. }));
    let ChatAnswer::Rooms(rooms) = chat(database, chat_op(ChatOp::Rooms(by(mia)))) else { panic!("no rooms") };
    assert_eq!(
        rooms.iter().map(|room| (room.room, room.role)).collect::<Vec<_>>(),
        [(locked, Role::Host), (RoomId(1), Role::Member)]
    );
    let say = |who, text: &str, key_text: &str| {
        ask(who, Request::Post { room: RoomId(1), key: key(key_text), text: Prose::cut(text) })
    };
    let ChatAnswer::Posted { entry: Some(entry), .. } =
        chat(database, say(mia, "hello @ada and @nobody", "mia-says-1"))
    else {
        panic!("not said")
    };
    assert!(matches!(&entry.what, What::Text { mentions, .. } if mentions.iter().map(|one| &**one).eq(["ada"])));
    let edit =
        Request::Edit { room: RoomId(1), key: key("mia-edits-1"), seq: entry.seq, text: Prose::cut("hello all") };
    assert!(matches!(chat(database, ask(mia, edit)), ChatAnswer::Posted { entry: Some(_), .. }));
    let history = |after, before, limit| Request::History { room: RoomId(1), after, before, limit };
    let mut read = |request| match chat(database, ask(1, request)) {
        ChatAnswer::Reply(ChatReply::History { entries, more, .. }) => {
            (entries.iter().map(|one| one.seq.0).collect::<Vec<_>>(), more)
        }
        other => panic!("{other:?}"),
    };
    let last = entry.seq.0 + 1;
    assert_eq!(read(history(Some(Seq(0)), None, 0)), ((1..=last).collect(), false), "no gap, nothing twice");
    assert_eq!(read(history(None, None, 2)), (vec![last, last - 1], true));
    assert_eq!(read(history(None, Some(Seq(2)), 5)), (vec![1], false));
    let since = ChatOp::Since(vec![(RoomId(1), Seq(last - 2)), (locked, Seq(99)), (RoomId(999), Seq(0))]);
    let ChatAnswer::Since(news) = chat(database, chat_op(since)) else { panic!("no news") };
    let [(RoomId(1), entries, newest)] = &news[..] else { panic!("{news:?}") };
    assert_eq!((entries.iter().map(|one| one.seq.0).collect::<Vec<_>>(), newest.0), (vec![last - 1, last], last));
    let others = Request::Delete { room: RoomId(1), key: key("noa-deletes"), seq: entry.seq };
    assert_eq!(code(&one(database, ask(noa, others))), Some(Code::NotFound), "one who is not in the room");
    let delete = Request::Delete { room: RoomId(1), key: key("ada-deletes"), seq: entry.seq };
    chat(database, ask(1, delete));
    assert_eq!(database.count("SELECT count(*) FROM entries WHERE text LIKE '%hello%'"), 0);
    assert!(matches!(chat(database, ask(mia, Request::Typing { room: RoomId(1) })), ChatAnswer::Typing { .. }));
    for (seq, read) in [(99, last + 1), (1, 1)] {
        let answer = chat(database, ask(mia, Request::Read { room: RoomId(1), seq: Seq(seq) }));
        assert!(matches!(answer, ChatAnswer::Read { seq: Seq(found), .. } if found == read));
    }
    let ChatAnswer::Rooms(rooms) = chat(database, chat_op(ChatOp::Rooms(by(mia)))) else { panic!("no rooms") };
    assert_eq!(rooms[1].read, Seq(last + 1), "what is read stays so");
    let invite = Request::Invite { room: RoomId(1), name: name("noa") };
    assert!(matches!(chat(database, ask(1, invite.clone())), ChatAnswer::Invited { .. }));
    assert!(matches!(chat(database, ask(1, invite)), ChatAnswer::Reply(ChatReply::Done)), "once");
    assert!(
        matches!(chat(database, ask(1, Request::Members { room: RoomId(1) })), ChatAnswer::Reply(ChatReply::Members { members, .. }) if members.len() == 2)
    );
    chat(database, ask(1, Request::SetTopic { room: RoomId(1), topic: Text::cut("Go") }));
    chat(database, ask(1, Request::SetNotice { room: RoomId(1), notice: Prose::cut("be kind") }));
    chat(database, ask(1, Request::Slow { room: RoomId(1), seconds: 30 }));
    assert_eq!(code(&one(database, say(mia, "too soon", "mia-says-2"))), Some(Code::TooOften));
    chat(database, ask(1, Request::Slow { room: RoomId(1), seconds: 0 }));
    chat(database, ask(1, Request::SetRole { room: RoomId(1), name: name("mia"), role: Role::Moderator }));
    chat(database, ask(1, Request::SetRole { room: RoomId(1), name: name("mia"), role: Role::Member }));
    chat(database, ask(1, Request::Kick { room: RoomId(1), name: name("mia"), ban: Some(true) }));
    assert_eq!(code(&one(database, chat_op(join(mia, 1)))), Some(Code::Forbidden));
    chat(database, ask(1, Request::Kick { room: RoomId(1), name: name("mia"), ban: Some(false) }));
    chat(database, chat_op(join(mia, 1)));
    chat(database, ask(1, Request::Leave { room: RoomId(1) }));
    let ChatAnswer::Rooms(rooms) = chat(database, chat_op(ChatOp::Rooms(by(mia)))) else { panic!("no rooms") };
    assert_eq!(rooms[1].role, Role::Host, "a room without a host gets one");
    chat(database, chat_op(join(1, 1)));
}

pub(super) fn messages_are_kept_until_they_are_deleted(database: &mut dyn Runs) {
    let (ida, device) = newcomer(database, "ida");
    let (jon, other) = newcomer(database, "jon");
    for (one, of) in [(ida, "jon"), (jon, "ida")] {
        well(database, pals(one, PalsRequest::Add { name: name(of), note: Text::default() }));
    }
    let public = Bytes::new(vec![9; 32]).expect("short");
    let signature = other.sign(Purpose::Sealing, &public);
    let sealing = SealingKey { device: other.public(), public, signature };
    for _ in 0..2 {
        quick(database, message(jon, other.public(), MessageRequest::PublishKey { key: sealing.clone() }));
    }
    let keys = quick(database, message(ida, device.public(), MessageRequest::Keys { name: name("jon") }));
    assert!(matches!(keys, MessageAnswer::Reply(MessageReply::Keys { keys, .. }) if keys.len() == 1));
    let blob: Text<64> = Text::cut("abcdefghijklmnop");
    let upload = MessageOp::Upload { access: access("ida"), at: AT, blob: blob.clone(), bytes: vec![1; 10] };
    assert!(matches!(quick(database, Op::Messages(Box::new(upload))), MessageAnswer::MayUpload { .. }));
    let send = || MessageRequest::Send {
        to: name("jon"),
        key: key("message-1"),
        blob: blob.clone(),
        sealed: List::cut(Vec::<SealedKey>::new()),
    };
    assert_eq!(
        code(&one(database, message(ida, device.public(), send()))),
        Some(Code::NotFound),
        "nothing was uploaded"
    );
    let keep = MessageOp::Keep { account: AccountId(ida), blob: blob.clone(), size: 10, at: AT };
    quick(database, Op::Messages(Box::new(keep)));
    assert!(matches!(
        quick(database, message(ida, device.public(), send())),
        MessageAnswer::Sent { message: Some(_), .. }
    ));
    assert!(
        matches!(quick(database, message(ida, device.public(), send())), MessageAnswer::Sent { message: None, .. }),
        "once"
    );
    let fetch =
        |who: &str| Op::Messages(Box::new(MessageOp::Fetch { access: access(who), at: AT, blob: blob.clone() }));
    assert!(matches!(quick(database, fetch("jon")), MessageAnswer::MayFetch(_)));
    assert_eq!(code(&one(database, fetch("eve"))), Some(Code::NotFound));
    let inbox = |database: &mut dyn Runs| match quick(
        database,
        message(jon, other.public(), MessageRequest::Inbox { after: Seq(0), limit: 0 }),
    ) {
        MessageAnswer::Reply(MessageReply::Inbox { messages, .. }) => {
            messages.iter().map(|one| (one.seq, one.read)).collect::<Vec<_>>()
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(inbox(database), [(Seq(1), false)]);
    quick(database, message(jon, other.public(), MessageRequest::Read { seq: Seq(1) }));
    assert_eq!(inbox(database), [(Seq(1), true)]);
    let deleted = quick(database, message(jon, other.public(), MessageRequest::Delete { seq: Seq(1) }));
    assert!(matches!(deleted, MessageAnswer::Deleted { blob: Some(_) }));
    assert_eq!(inbox(database), []);
    let old: Text<64> = Text::cut("ponmlkjihgfedcba");
    let keep = MessageOp::Keep { account: AccountId(ida), blob: old.clone(), size: 10, at: AT };
    quick(database, Op::Messages(Box::new(keep)));
    let swept = quick(database, Op::Messages(Box::new(MessageOp::Sweep { before: FOREVER })));
    assert!(matches!(swept, MessageAnswer::Swept(blobs) if blobs == [old]));
}
