//! Operations on a database of their own: whole or not at all, and with words where there is no room.

mod power;

use super::*;
use crate::proto::devices::DeviceList;
use crate::proto::keys::Signer;
use crate::proto::service::account::{Register, Secret};
use crate::proto::service::chat::Request;
use crate::proto::service::names::{AccountName, Key, Millis, RoomId};
use crate::proto::text::{Prose, Text};
use crate::store::op::accounts::{NewTokens, Op as AccountOp, PasswordHash};
use crate::store::op::chat::{Answer as ChatAnswer, Op as ChatOp};
use crate::store::op::{By, accounts, chat};

const AT: Millis = Millis(1_000_000);

fn database(folder: &tempfile::TempDir) -> Sqlite {
    Sqlite::open(&folder.path().join("service.db")).expect("made")
}

fn register(name: &str) -> Op {
    let (account, device) = (Signer::generate().expect("key"), Signer::generate().expect("key"));
    let devices = DeviceList::sign(&account, 1, vec![device.public()]);
    let name = AccountName::new(name).expect("a name");
    let secret = |what: &str| Secret::new(&format!("{what} of {name}"));
    let tokens = NewTokens {
        access: secret("access"),
        access_until: Millis(u64::MAX >> 1),
        refresh: secret("refresh"),
        refresh_until: Millis(u64::MAX >> 1),
    };
    let recovery = secret("recovery");
    let request = Register {
        password: secret("password"),
        display: Default::default(),
        device: device.public(),
        devices,
        invite: None,
        name,
    };
    let (request, password) = (Box::new(request), PasswordHash("hash".into()));
    Op::Accounts(Box::new(AccountOp::Register { request, password, recovery, needs_invite: false, tokens, at: AT }))
}

fn chat_op(op: ChatOp) -> Op {
    Op::Chat(Box::new(op))
}

fn by(account: u64) -> By {
    By { account: crate::base::id::AccountId(account), at: AT }
}

fn post(account: u64, number: usize, text: &str) -> Op {
    let key = Key::try_from(format!("key-{number:08}")).expect("a key");
    let request = Request::Post { room: RoomId(1), key, text: Prose::cut(text) };
    chat_op(ChatOp::Ask { by: by(account), request: Box::new(request) })
}

fn create(account: u64) -> Op {
    let key = Key::try_from("the-room".to_owned()).expect("a key");
    let name = Text::cut("room");
    chat_op(ChatOp::Create { by: by(account), name, topic: Default::default(), private: false, password: None, key })
}

fn run(database: &mut Sqlite, ops: Vec<Op>) -> Vec<Answered> {
    let batch: Vec<_> = ops.into_iter().map(|op| (Ticket::default(), op)).collect();
    database.run(&batch, Duration::ZERO)
}

fn code(answered: &Answered) -> Option<Code> {
    match answered {
        Answered::Refused(_, refusal) => Some(refusal.code),
        Answered::Well(_) => None,
    }
}

#[test]
fn one_refused_operation_of_a_batch_leaves_nothing_and_harms_no_other() {
    let folder = tempfile::tempdir().expect("folder");
    let mut database = database(&folder);
    let answers =
        run(&mut database, vec![register("ada"), register("ada"), create(1), post(2, 1, "not in"), post(1, 2, "in")]);
    let codes: Vec<_> = answers.iter().map(code).collect();
    assert_eq!(codes, [None, Some(Code::Taken), None, Some(Code::NotFound), None]);
    let entries: u64 =
        database.connection.query_row("SELECT count(*) FROM entries", [], |row| row.get(0)).expect("read");
    assert_eq!(entries, 2, "one joined, one text");
}

#[test]
fn the_same_key_has_one_effect_also_within_one_batch() {
    let folder = tempfile::tempdir().expect("folder");
    let mut database = database(&folder);
    let answers =
        run(&mut database, vec![register("ada"), create(1), post(1, 7, "once"), post(1, 7, "once"), create(1)]);
    let entry = |answered: &Answered| match answered {
        Answered::Well(Answer::Chat(ChatAnswer::Posted { entry, .. })) => entry.is_some(),
        other => panic!("not posted: {other:?}"),
    };
    assert!(entry(&answers[2]) && !entry(&answers[3]));
    let rooms: u64 = database.connection.query_row("SELECT count(*) FROM rooms", [], |row| row.get(0)).expect("read");
    assert_eq!(rooms, 1);
}

#[test]
fn a_full_disk_is_refused_with_words_and_goes_on_when_there_is_room() {
    let folder = tempfile::tempdir().expect("folder");
    let mut database = database(&folder);
    run(&mut database, vec![register("ada"), create(1)]);
    let pages: u64 = database.connection.query_row("PRAGMA page_count", [], |row| row.get(0)).expect("read");
    let limit = |database: &Sqlite, pages: u64| {
        database.connection.pragma_update(None, "max_page_count", pages).expect("set");
    };
    limit(&database, pages + 4);
    let text = "x".repeat(4000);
    let mut written = 0;
    let refused = (0..100).find_map(|number| {
        let answers = run(&mut database, vec![post(1, number, &text)]);
        written += usize::from(code(&answers[0]).is_none());
        code(&answers[0])
    });
    assert_eq!(refused, Some(Code::Full));
    let whole: String = database.connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("read");
    assert_eq!(whole, "ok");
    limit(&database, pages + 1000);
    assert_eq!(code(&run(&mut database, vec![post(1, 1000, &text)])[0]), None);
    let texts: usize = database
        .connection
        .query_row("SELECT count(*) FROM entries WHERE what = 0", [], |row| row.get(0))
        .expect("read");
    assert_eq!(texts, written + 1);
}

#[test]
fn a_deleted_account_leaves_its_place_in_the_order_and_no_words() {
    let folder = tempfile::tempdir().expect("folder");
    let mut database = database(&folder);
    run(&mut database, vec![register("ada"), create(1), post(1, 1, "my secret")]);
    let delete = accounts::Op::Delete { account: by(1).account, seen: PasswordHash("hash".into()) };
    assert_eq!(code(&run(&mut database, vec![Op::Accounts(Box::new(delete))])[0]), None);
    run(
        &mut database,
        vec![register("ben"), chat_op(chat::Op::Join { by: by(2), room: RoomId(1), password: None, checked: None })],
    );
    let history =
        Request::History { room: RoomId(1), after: Some(crate::proto::service::names::Seq(0)), before: None, limit: 0 };
    let answers = run(&mut database, vec![chat_op(ChatOp::Ask { by: by(2), request: Box::new(history) })]);
    let said = format!("{:?}", answers[0]);
    assert!(said.contains("deleted-1") && said.contains("deleted: true") && !said.contains("ada"), "{said}");
    let words: u64 = database
        .connection
        .query_row("SELECT count(*) FROM entries WHERE text LIKE '%secret%'", [], |row| row.get(0))
        .expect("read");
    assert_eq!(words, 0);
}

#[test]
fn a_database_of_a_newer_program_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().expect("folder");
    database(&folder).connection.pragma_update(None, "user_version", 999).expect("set");
    let error = Sqlite::open(&folder.path().join("service.db")).expect_err("newer");
    assert!(error.kind == Kind::Refused && error.text.contains("999"), "{error}");
}
