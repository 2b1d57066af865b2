//! What every database has to do alike: each operation once at least, and its answer.

mod talk;

use crate::base::id::{AccountId, CallId};
use crate::proto::devices::DeviceList;
use crate::proto::keys::{Digest, PublicKey, Signer};
use crate::proto::service::account::{Login, Recover, Register, Secret};
use crate::proto::service::chat::{Reply as ChatReply, Request};
use crate::proto::service::directory::{Reply as DirectoryReply, Request as DirectoryRequest};
use crate::proto::service::messages::Request as MessageRequest;
use crate::proto::service::names::{AccountName, Bytes, Key, Millis, RoomId, Seq};
use crate::proto::service::pals::{Reply as PalsReply, Request as PalsRequest};
use crate::proto::service::profile::{Profile, Visibility};
use crate::proto::service::refusal::Code;
use crate::proto::text::{Prose, Text};
use crate::store::op::accounts::{
    Answer as AccountAnswer, Checked, Holder, NewTokens, Op as AccountOp, PasswordHash, hash_of,
};
use crate::store::op::chat::{Answer as ChatAnswer, Op as ChatOp};
use crate::store::op::messages::{Answer as MessageAnswer, Op as MessageOp};
use crate::store::op::pals::{Answer as PalsAnswer, Op as PalsOp, Signal};
use crate::store::op::{Answer, By, Op, directory};
use crate::store::sql::Answered;

pub const AT: Millis = Millis(1_000_000);
const FOREVER: Millis = Millis(u64::MAX >> 1);

/// A database that does batches, and says how many rows a query finds.
pub trait Runs {
    fn run(&mut self, ops: Vec<Op>) -> Vec<Answered>;
    fn count(&mut self, query: &str) -> u64;
}

/// All that is the same for every database, on an empty one.
pub fn all(database: &mut dyn Runs) {
    one_refused_operation_of_a_batch_leaves_nothing_and_harms_no_other(database);
    the_same_key_has_one_effect_also_within_one_batch(database);
    accounts_live(database);
    people_are_found_and_become_pals(database);
    talk::rooms_have_one_order_and_their_rules(database);
    talk::messages_are_kept_until_they_are_deleted(database);
    a_deleted_account_leaves_its_place_in_the_order_and_no_words(database);
}

pub fn name(name: &str) -> AccountName {
    AccountName::new(name).expect("a name")
}

fn secret(what: &str, of: &str) -> Secret {
    Secret::new(&format!("{what} of {of}"))
}

fn tokens(name: &str) -> NewTokens {
    let (access, refresh) = (secret("access", name), secret("refresh", name));
    NewTokens { access, access_until: FOREVER, refresh, refresh_until: FOREVER }
}

fn access(name: &str) -> Digest {
    hash_of(&secret("access", name))
}

/// Registers one with keys of its own.
pub fn register(who: &str) -> Op {
    let (account, device) = (Signer::generate().expect("key"), Signer::generate().expect("key"));
    register_with(who, &account, &device, None, false)
}

fn register_with(who: &str, account: &Signer, device: &Signer, invite: Option<Secret>, needs_invite: bool) -> Op {
    let devices = DeviceList::sign(account, 1, vec![device.public()]);
    let request = Register {
        password: secret("password", who),
        display: Default::default(),
        device: device.public(),
        devices,
        invite,
        name: name(who),
    };
    let (request, password, recovery) = (Box::new(request), PasswordHash("hash".into()), secret("RECOVERY", who));
    account_op(AccountOp::Register { request, password, recovery, needs_invite, tokens: tokens(who), at: AT })
}

fn account_op(op: AccountOp) -> Op {
    Op::Accounts(Box::new(op))
}

pub fn chat_op(op: ChatOp) -> Op {
    Op::Chat(Box::new(op))
}

pub fn by(account: u64) -> By {
    By { account: AccountId(account), at: AT }
}

fn key(text: &str) -> Key {
    Key::try_from(text.to_owned()).expect("a key")
}

pub fn ask(account: u64, request: Request) -> Op {
    chat_op(ChatOp::Ask { by: by(account), request: Box::new(request) })
}

pub fn post(account: u64, number: usize, text: &str) -> Op {
    ask(account, Request::Post { room: RoomId(1), key: key(&format!("key-{number:08}")), text: Prose::cut(text) })
}

pub fn create(account: u64) -> Op {
    let (name, key) = (Text::cut("room"), key("the-room"));
    chat_op(ChatOp::Create { by: by(account), name, topic: Default::default(), private: false, password: None, key })
}

fn pals(account: u64, request: PalsRequest) -> Op {
    Op::Pals(Box::new(PalsOp::Ask { by: by(account), request: Box::new(request) }))
}

fn search(account: u64, request: DirectoryRequest) -> Op {
    Op::Directory(Box::new(directory::Op { by: by(account), request }))
}

fn message(account: u64, device: PublicKey, request: MessageRequest) -> Op {
    Op::Messages(Box::new(MessageOp::Ask { by: by(account), device, request: Box::new(request) }))
}

pub fn code(answered: &Answered) -> Option<Code> {
    match answered {
        Answered::Refused(_, refusal) => Some(refusal.code),
        Answered::Well(_) => None,
    }
}

fn one(database: &mut dyn Runs, op: Op) -> Answered {
    database.run(vec![op]).pop().expect("an answer")
}

fn well(database: &mut dyn Runs, op: Op) -> Answer {
    match one(database, op) {
        Answered::Well(answer) => answer,
        Answered::Refused(whose, refusal) => panic!("{whose:?}: {:?}: {}", refusal.code, &*refusal.text),
    }
}

fn account(database: &mut dyn Runs, op: AccountOp) -> AccountAnswer {
    match well(database, account_op(op)) {
        Answer::Accounts(answer) => answer,
        other => panic!("{other:?}"),
    }
}

fn chat(database: &mut dyn Runs, op: Op) -> ChatAnswer {
    match well(database, op) {
        Answer::Chat(answer) => answer,
        other => panic!("{other:?}"),
    }
}

fn pal(database: &mut dyn Runs, op: Op) -> PalsAnswer {
    match well(database, op) {
        Answer::Pals(answer) => answer,
        other => panic!("{other:?}"),
    }
}

fn quick(database: &mut dyn Runs, op: Op) -> MessageAnswer {
    match well(database, op) {
        Answer::Messages(answer) => answer,
        other => panic!("{other:?}"),
    }
}

fn one_refused_operation_of_a_batch_leaves_nothing_and_harms_no_other(database: &mut dyn Runs) {
    // Numbers that are refused are not used again everywhere: each is made for itself.
    assert_eq!(code(&one(database, register("ada"))), None);
    let answers = database.run(vec![register("ada"), create(1), post(99, 1, "not in"), post(1, 2, "in")]);
    let codes: Vec<_> = answers.iter().map(code).collect();
    assert_eq!(codes, [Some(Code::Taken), None, Some(Code::NotFound), None]);
    assert_eq!(database.count("SELECT count(*) FROM entries"), 2, "one joined, one text");
}

fn the_same_key_has_one_effect_also_within_one_batch(database: &mut dyn Runs) {
    let answers = database.run(vec![post(1, 7, "once"), post(1, 7, "once"), create(1)]);
    let entry = |answered: &Answered| match answered {
        Answered::Well(Answer::Chat(ChatAnswer::Posted { entry, .. })) => entry.is_some(),
        other => panic!("not posted: {other:?}"),
    };
    assert!(entry(&answers[0]) && !entry(&answers[1]));
    assert_eq!(database.count("SELECT count(*) FROM rooms"), 1);
}

/// An account with its number, and a device of it.
fn newcomer(database: &mut dyn Runs, who: &str) -> (u64, Signer) {
    let (key, device) = (Signer::generate().expect("key"), Signer::generate().expect("key"));
    assert_eq!(code(&one(database, register_with(who, &key, &device, None, false))), None);
    let who_op = AccountOp::Who { access: access(who), at: AT, then: Holder::Photo(Vec::new()) };
    let AccountAnswer::Holder { account: number, .. } = account(database, who_op) else { panic!("no holder") };
    (number.0, device)
}

fn accounts_live(database: &mut dyn Runs) {
    let (key, device) = (Signer::generate().expect("key"), Signer::generate().expect("key"));
    let refused = one(database, register_with("cleo", &key, &device, None, true));
    assert_eq!(code(&refused), Some(Code::Closed));
    let invite = secret("invite", "ada");
    let ask = AccountOp::Invite { access: access("ada"), code: invite.clone(), uses: 1, at: AT };
    assert!(matches!(account(database, ask), AccountAnswer::Invited(_)));
    assert_eq!(code(&one(database, register_with("cleo", &key, &device, Some(invite.clone()), true))), None);
    let other = register_with("dana", &Signer::generate().expect("key"), &device, Some(invite), true);
    assert_eq!(code(&one(database, other)), Some(Code::Closed), "the invitation is used up");
    // The same key under another name.
    let again = one(database, register_with("cleo2", &key, &device, None, false));
    assert!(matches!(&again, Answered::Refused(_, refusal) if refusal.text.contains("account key")), "{again:?}");

    let login =
        Login { name: name("cleo"), password: secret("password", "cleo"), device: device.public(), devices: None };
    let login = Box::new(login);
    let AccountAnswer::Found { hash: Some(seen), .. } = account(database, AccountOp::Find { login: login.clone() })
    else {
        panic!("not found")
    };
    let new = tokens("cleo2");
    let wrong =
        AccountOp::Login { login: login.clone(), seen: PasswordHash("other".into()), tokens: new.clone(), at: AT };
    assert_eq!(code(&one(database, account_op(wrong))), Some(Code::WrongPassword));
    let right = AccountOp::Login { login: login.clone(), seen: seen.clone(), tokens: new, at: AT };
    assert!(matches!(account(database, right), AccountAnswer::LoggedIn(_)));
    let refresh = |new: &str| AccountOp::Refresh { refresh: secret("refresh", "cleo2"), tokens: tokens(new), at: AT };
    assert!(matches!(account(database, refresh("cleo3")), AccountAnswer::LoggedIn(_)));
    assert!(matches!(account(database, refresh("cleo4")), AccountAnswer::Reused(..)), "a refresh token is good once");
    let opened = AccountOp::Open { access: access("cleo3"), key: String::new(), at: AT };
    assert_eq!(code(&one(database, account_op(opened))), Some(Code::Unauthorized), "and what came of it is over");

    let opened = AccountOp::Open { access: access("cleo"), key: "key".into(), at: AT };
    let AccountAnswer::Opened(opened) = account(database, opened) else { panic!("not opened") };
    assert_eq!((&opened.person.name, opened.admin, opened.device), (&name("cleo"), false, device.public()));
    let cleo = opened.account;
    let mut profile = Profile::default();
    (profile.location.value, profile.location.seen) = (Text::cut("Lund"), Visibility::All);
    (profile.about.value, profile.about.seen) = (Prose::cut("nobody's business"), Visibility::Nobody);
    let set = AccountOp::SetProfile { access: access("cleo"), profile: Box::new(profile), at: AT };
    assert!(matches!(account(database, set), AccountAnswer::Profile(_)));
    assert!(
        matches!(account(database, AccountOp::Profile { access: access("cleo"), at: AT }), AccountAnswer::Profile(own) if &*own.about.value == "nobody's business")
    );
    let AccountAnswer::Page { profile: seen_by_all, .. } =
        account(database, AccountOp::Page { name: name("cleo"), access: Some(access("ada")), at: AT })
    else {
        panic!("no page")
    };
    assert_eq!((&*seen_by_all.location.value, &*seen_by_all.about.value), ("Lund", ""));
    let photo = "0123456789abcdef".to_owned();
    let set = AccountOp::SetPhoto { account: cleo, photo: photo.clone() };
    assert!(matches!(account(database, set), AccountAnswer::PhotoSet { old, .. } if old.is_empty()));
    let shown = AccountOp::Photo { photo, access: Some(access("cleo")), at: AT };
    assert!(matches!(account(database, shown), AccountAnswer::Photo(_)));

    let devices = DeviceList::sign(&key, 2, vec![device.public()]);
    let set = AccountOp::SetDevices { access: access("cleo"), devices: Box::new(devices.clone()), at: AT };
    assert!(matches!(account(database, set.clone()), AccountAnswer::Done));
    assert!(matches!(account(database, set), AccountAnswer::Done), "the same once more");
    let older = DeviceList::sign(&key, 1, vec![device.public(), Signer::generate().expect("key").public()]);
    let set = AccountOp::SetDevices { access: access("cleo"), devices: Box::new(older), at: AT };
    assert_eq!(code(&one(database, account_op(set))), Some(Code::Taken));

    let check =
        AccountOp::Check { access: access("cleo"), at: AT, then: Checked::Delete { password: secret("p", "c") } };
    assert!(matches!(account(database, check), AccountAnswer::ToCheck { .. }));
    let password = PasswordHash("second".into());
    let set = AccountOp::SetPassword {
        account: cleo,
        device: device.public(),
        seen,
        password,
        tokens: tokens("cleo5"),
        at: AT,
    };
    assert!(matches!(account(database, set), AccountAnswer::LoggedInAlone(..)));
    let recover = |code: &Secret| {
        Box::new(Recover {
            name: name("cleo"),
            code: code.clone(),
            new: secret("new", "cleo"),
            device: device.public(),
        })
    };
    let wrong = AccountOp::CheckRecovery { request: recover(&secret("wrong", "cleo")), at: AT };
    assert!(matches!(account(database, wrong), AccountAnswer::RecoveryWrong(_)));
    assert!(
        matches!(account(database, AccountOp::Export { access: access("cleo5"), at: AT }), AccountAnswer::Export(export)
        if export.export["account"]["name"] == "cleo" && export.export["made"][0]["at"] == 1_000_000)
    );
    let out = AccountOp::Logout { access: access("cleo5"), at: AT };
    assert!(matches!(account(database, out), AccountAnswer::LoggedOut(who, _) if who == cleo));
}

fn people_are_found_and_become_pals(database: &mut dyn Runs) {
    let (ben, _) = newcomer(database, "ben");
    let (eve, _) = newcomer(database, "eve");
    let list = |who| search(who, DirectoryRequest::List { listed: true, comment: Text::cut("Plays Go") });
    well(database, list(1));
    well(database, list(ben));
    let find = |text: &str, after: Option<&str>, limit| DirectoryRequest::Search {
        text: Text::cut(text),
        place: Text::default(),
        language: Text::default(),
        after: after.map(Text::cut),
        limit,
    };
    let mut found = |request| match well(database, search(eve, request)) {
        Answer::Directory(directory::Answer(DirectoryReply::People { people, next })) => (
            people.iter().map(|one| one.person.name.to_string()).collect::<Vec<_>>(),
            next.map(|next| next.to_string()),
        ),
        other => panic!("{other:?}"),
    };
    assert_eq!(found(find("plays go", None, 10)), (vec!["ada".into(), "ben".into()], None));
    assert_eq!(found(find("", None, 1)), (vec!["ada".into()], Some("ada".into())));
    assert_eq!(found(find("", Some("ada"), 1)), (vec!["ben".into()], None));
    assert_eq!(found(find("chess", None, 10)).0, Vec::<String>::new());
    let rooms = DirectoryRequest::Rooms { text: Text::cut("ROO"), after: None, limit: 5 };
    let Answer::Directory(directory::Answer(DirectoryReply::Rooms { rooms, .. })) = well(database, search(eve, rooms))
    else {
        panic!("no rooms")
    };
    assert_eq!(
        rooms.iter().map(|room| (room.room, room.members, room.locked)).collect::<Vec<_>>(),
        [(RoomId(1), 1, false)]
    );

    let add = |who: &str| PalsRequest::Add { name: name(who), note: Text::cut("hello") };
    assert!(matches!(pal(database, pals(1, add("ben"))), PalsAnswer::Asked { of, .. } if of == AccountId(ben)));
    let roster = |who| Op::Pals(Box::new(PalsOp::Roster { by: by(who), after: None }));
    let PalsAnswer::Roster { rest, .. } = pal(database, roster(ben)) else { panic!("no roster") };
    assert!(matches!(*rest, PalsReply::Roster { asked, .. } if asked.iter().any(|asked| &*asked.note == "hello")));
    assert!(matches!(pal(database, pals(ben, add("ada"))), PalsAnswer::Paired { .. }));
    let PalsAnswer::Roster { pals: list, .. } = pal(database, roster(ben)) else { panic!("no roster") };
    assert_eq!(list.iter().map(|(account, ..)| *account).collect::<Vec<_>>(), [AccountId(1)]);
    let hide = PalsRequest::Hide { name: name("ben"), hidden: true };
    assert!(matches!(pal(database, pals(1, hide)), PalsAnswer::Hidden { hidden: true, .. }));
    let PalsAnswer::Circle(_, links) = pal(database, Op::Pals(Box::new(PalsOp::Circle(by(1))))) else {
        panic!("no circle")
    };
    assert!(links.iter().any(|link| link.account == AccountId(ben) && link.hidden));
    let may = |from, to: &str| {
        let signal = Signal {
            from: PublicKey([1; 32]),
            device: None,
            envelope: Bytes::new(vec![1]).expect("short"),
            call: None,
        };
        Op::Pals(Box::new(PalsOp::MaySignal { by: by(from), to: name(to), signal: Box::new(signal) }))
    };
    assert!(matches!(pal(database, may(1, "ben")), PalsAnswer::MaySignal { .. }));
    assert_eq!(code(&one(database, may(eve, "ben"))), Some(Code::NotFound));
    let note = PalsOp::NoteCall { by: by(1), to: AccountId(ben), call: CallId([7; 16]), missed: true };
    for _ in 0..2 {
        assert!(matches!(pal(database, Op::Pals(Box::new(note.clone()))), PalsAnswer::Called { .. }));
    }
    let calls = PalsRequest::Calls { before: None, limit: 0 };
    let PalsAnswer::Reply(PalsReply::Calls { calls }) = pal(database, pals(ben, calls)) else { panic!("no calls") };
    assert!(calls.len() == 1 && calls[0].incoming && calls[0].missed);
    assert!(matches!(
        pal(database, pals(ben, PalsRequest::Devices { name: name("ada") })),
        PalsAnswer::Reply(PalsReply::Devices { .. })
    ));
    well(database, pals(eve, add("ben")));
    well(database, pals(ben, PalsRequest::Decline { name: name("eve") }));
    well(database, pals(ben, PalsRequest::Block { name: name("eve"), blocked: true }));
    well(database, pals(ben, PalsRequest::Report { name: name("eve"), text: Prose::cut("is a nuisance") }));
    let Answer::Directory(directory::Answer(DirectoryReply::People { people, .. })) =
        well(database, search(eve, find("", None, 10)))
    else {
        panic!("no people")
    };
    assert_eq!(
        people.iter().map(|one| one.person.name.to_string()).collect::<Vec<_>>(),
        ["ada"],
        "one who blocks is not found"
    );
    well(database, pals(ben, PalsRequest::Block { name: name("eve"), blocked: false }));
    database.count("SELECT count(*) FROM reports");
    let reports = AccountOp::Reports { access: access("ben"), after: 0, at: AT };
    assert_eq!(code(&one(database, account_op(reports))), Some(Code::Forbidden), "not for everybody");
}

fn a_deleted_account_leaves_its_place_in_the_order_and_no_words(database: &mut dyn Runs) {
    let join = ChatOp::Join { by: by(1), room: RoomId(1), password: None, checked: None };
    chat(database, chat_op(join));
    chat(database, post(1, 500, "my treasure"));
    let delete = AccountOp::Delete { account: AccountId(1), seen: PasswordHash("hash".into()) };
    assert_eq!(code(&one(database, account_op(delete))), None);
    let (zoe, _) = newcomer(database, "zoe");
    let join = ChatOp::Join { by: by(zoe), room: RoomId(1), password: None, checked: None };
    chat(database, chat_op(join));
    let history = Request::History { room: RoomId(1), after: Some(Seq(0)), before: None, limit: 0 };
    let said = format!("{:?}", chat(database, ask(zoe, history)));
    assert!(said.contains("deleted-1") && said.contains("deleted: true") && !said.contains("ada"), "{said}");
    assert_eq!(database.count("SELECT count(*) FROM entries WHERE text LIKE '%treasure%'"), 0);
}
