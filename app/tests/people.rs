//! The panel of the service's people, found by name in the accessibility tree.

use std::sync::Arc;

use egui::vec2;
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;
use engine::base::time::now;
use engine::handle::{Command, Notice};
use engine::layout::snapshot::{Controls, FileView, Phase, ViewSnapshot};
use engine::people::command::{Outcome, State, Wanted};
use engine::people::trust::Trust;
use engine::people::view::{DeviceView, PalView, View};
use engine::proto::contact::Contact;
use engine::proto::device_code::DeviceCode;
use engine::proto::keys::PublicKey;
use engine::proto::service::account::Secret;
use engine::proto::service::chat::{Entry, Member, Reply as ChatReply, Request, Role, Room, What};
use engine::proto::service::frame::{Ask, Reply};
use engine::proto::service::names::{AccountName, Millis, Person, RoomId, Seq};
use engine::proto::service::pals::{Asked, Pal, Presence};
use engine::proto::text::{List, Prose, Text};
use visavis_app::ui::people::Tab;
use visavis_app::ui::{self, UiState, theme};

#[derive(Default)]
struct Stage {
    state: UiState,
    commands: Vec<Command>,
}

fn name(text: &str) -> AccountName {
    AccountName::new(text).expect("a name")
}

fn person(text: &str) -> Person {
    Person { name: name(text), key: PublicKey([1; 32]), display: Default::default() }
}

fn view() -> View {
    let pal = |name: &str, trust| PalView {
        pal: Pal { person: person(name), presence: Presence::Online, text: Default::default(), hidden: false },
        trust,
    };
    View {
        state: State::Online,
        service: "chat.example".into(),
        person: Some(person("robin")),
        pals: vec![pal("ada", Trust::Verified), pal("edsger", Trust::Changed)],
        asked: vec![Asked { person: person("grace"), note: Default::default() }],
        ..View::default()
    }
}

fn harness(view: View, tab: Tab) -> Harness<'static, Stage> {
    let mut stage = Stage::default();
    stage.state.people.view = Arc::new(view);
    stage.state.people.open = true;
    stage.state.people.tab = tab;
    let draw = |ui: &mut egui::Ui, stage: &mut Stage| {
        stage.commands.extend(ui::draw(ui, &ViewSnapshot::default(), &[], &mut stage.state, now()));
    };
    let builder = Harness::builder().with_size(vec2(1200.0, 800.0)).with_context_setup(theme::install);
    let mut harness = builder.build_ui_state(draw, stage);
    harness.run_steps(2);
    harness
}

fn click(harness: &mut Harness<'static, Stage>, label: &str) -> Vec<Command> {
    harness.get_all_by_label(label).next().expect("it is there").click();
    harness.run_steps(2);
    std::mem::take(&mut harness.state_mut().commands)
}

#[test]
fn a_pal_is_called_by_name_and_one_whose_key_changed_cannot_be() {
    let mut harness = harness(view(), Tab::Pals);
    // The first "Call" is the card's own, the second one is Ada's; Edsger has none.
    assert_eq!(harness.get_all_by_label("Call").count(), 2);
    harness.get_all_by_label("Call").last().expect("Ada's").click();
    harness.run_steps(2);
    assert!(harness.state().commands.contains(&Command::Call("@ada".to_owned())), "{:?}", harness.state().commands);
}

#[test]
fn whoever_asks_is_accepted_and_the_button_says_that_there_is_news() {
    let mut harness = harness(view(), Tab::Pals);
    let wanted = click(&mut harness, "Accept");
    let [Command::People(_, wanted)] = &wanted[..] else { panic!("one wish: {wanted:?}") };
    assert_eq!(**wanted, Wanted::Befriend { contact: Contact::Name(name("grace")), note: Default::default() });
    assert_eq!(harness.state().state.people.news(), 1);
    click(&mut harness, "People");
    assert!(harness.query_by_label("Accept").is_none(), "the panel is closed");
}

#[test]
fn without_an_account_one_logs_in_and_the_recovery_code_is_shown_once() {
    let mut harness = harness(View::default(), Tab::Pals);
    click(&mut harness, "Log in");
    assert!(harness.state().commands.is_empty(), "nothing was typed");
    for (label, text) in [("Service", "chat.example"), ("Account name", "robin"), ("Password", "a long password")] {
        harness.get_by_label(label).focus();
        harness.get_by_label(label).type_text(text);
        harness.run_steps(2);
    }
    let wanted = click(&mut harness, "Create account");
    let [Command::People(ticket, wanted)] = &wanted[..] else { panic!("one wish: {wanted:?}") };
    let Wanted::Register { service, name, password, .. } = &**wanted else { panic!("to register: {wanted:?}") };
    assert_eq!((service.host.as_str(), &**name, password.expose()), ("chat.example", "robin", "a long password"));
    let outcome = Outcome::Registered { person: person("robin"), recovery: Secret::new("ABCD-EFGH") };
    let done = Notice::Done { ticket: *ticket, outcome: Ok(Box::new(outcome)) };
    harness.state_mut().state.notice(done);
    harness.run_steps(2);
    assert!(harness.query_by_label("ABCD-EFGH").is_some());
    click(&mut harness, "I have written it down");
    assert!(harness.query_by_label("ABCD-EFGH").is_none());
}

fn with_room(role: Role) -> View {
    let entry = |seq, by: &str, text: &str, mentions: Vec<AccountName>| Entry {
        seq: Seq(seq),
        at: Millis(0),
        by: person(by),
        what: What::Text { text: Prose::cut(text), edited: false, deleted: false, mentions: List::cut(mentions) },
    };
    let room = Room {
        room: RoomId(7),
        name: Text::cut("bridges"),
        topic: Text::cut("old ones"),
        notice: Prose::cut("be kind"),
        private: false,
        locked: false,
        role,
        last: Seq(2),
        read: Seq(2),
        members: 2,
        slow_seconds: 30,
    };
    let mut view = View { rooms: vec![room], ..view() };
    let entries = vec![
        entry(1, "robin", "is the stone one open?", Vec::new()),
        entry(2, "ada", "@robin it is", vec![name("robin")]),
    ];
    view.add_entries(RoomId(7), entries);
    view.types(RoomId(7), &name("ada"), now());
    view
}

fn chat_of(commands: &[Command]) -> Vec<Request> {
    let request = |command: &Command| match command {
        Command::People(_, wanted) => match &**wanted {
            Wanted::Ask(ask) => match &**ask {
                Ask::Chat(request) => Some(request.clone()),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    };
    commands.iter().filter_map(request).collect()
}

#[test]
fn what_one_said_is_said_otherwise_and_others_see_that_one_writes() {
    let mut harness = harness(with_room(Role::Member), Tab::Rooms);
    click(&mut harness, "bridges");
    for shown in ["old ones", "be kind", "Slow mode: one message in 30 seconds each.", "ada is writing…"] {
        assert!(harness.query_by_label(shown).is_some(), "{shown}");
    }
    harness.get_by_label("Say something").focus();
    harness.get_by_label("Say something").type_text("wait");
    harness.run_steps(2);
    let typed = std::mem::take(&mut harness.state_mut().commands);
    assert!(chat_of(&typed).contains(&Request::Typing { room: RoomId(7) }), "{typed:?}");

    click(&mut harness, "is the stone one open?");
    click(&mut harness, "Edit");
    assert!(harness.query_by_label("Leave it").is_some());
    harness.get_by_label("Say something").focus();
    harness.get_by_label("Say something").type_text(" and the wooden one?");
    harness.run_steps(2);
    let said = click(&mut harness, "Say it so");
    let [Request::Edit { room, seq, text, .. }] = &chat_of(&said)[..] else { panic!("an edit: {said:?}") };
    assert_eq!((*room, *seq), (RoomId(7), Seq(1)));
    // Typed where the caret stood.
    assert!(text.contains(" and the wooden one?") && text.ends_with("one open?"), "{}", &**text);
    // What somebody else said is theirs.
    click(&mut harness, "@robin it is");
    assert!(harness.query_by_label("Delete").is_none() && harness.query_by_label("Answer").is_some());
}

#[test]
fn a_moderator_takes_back_kicks_and_sets_the_room() {
    let mut harness = harness(with_room(Role::Host), Tab::Rooms);
    click(&mut harness, "bridges");
    click(&mut harness, "@robin it is");
    let deleted = click(&mut harness, "Delete");
    assert!(matches!(&chat_of(&deleted)[..], [Request::Delete { seq: Seq(2), .. }]), "{deleted:?}");
    let asked = click(&mut harness, "Who is here");
    let [Command::People(ticket, _)] = &asked[..] else { panic!("one wish: {asked:?}") };
    let member = |who: &str, role| Member { person: person(who), role };
    let members = List::cut(vec![member("robin", Role::Host), member("ada", Role::Member)]);
    let reply = Reply::Chat(ChatReply::Members { room: RoomId(7), members });
    let outcome = Ok(Box::new(Outcome::Reply(Box::new(reply))));
    harness.state_mut().state.notice(Notice::Done { ticket: *ticket, outcome });
    harness.run_steps(2);
    assert_eq!(harness.get_all_by_label("Kick").count(), 1, "nobody kicks themselves");
    let kicked = click(&mut harness, "Ban");
    assert!(chat_of(&kicked).contains(&Request::Kick { room: RoomId(7), name: name("ada"), ban: Some(true) }));
    let named = click(&mut harness, "Make moderator");
    assert!(matches!(&chat_of(&named)[..], [Request::SetRole { role: Role::Moderator, .. }, ..]), "{named:?}");
    let set = click(&mut harness, "Set slow mode");
    assert!(chat_of(&set).contains(&Request::Slow { room: RoomId(7), seconds: 30 }), "as it is: {set:?}");
}

#[test]
fn a_device_that_is_not_signed_shows_its_code_and_the_first_one_takes_it() {
    let device = |is_signed, signs| Some(DeviceView { key: PublicKey([9; 32]), is_signed, signs });
    let code = DeviceCode(PublicKey([9; 32])).to_string();
    let mut new = harness(View { device: device(false, false), ..view() }, Tab::Account);
    assert!(new.query_by_label(&code).is_some());
    let wanted = click(&mut new, "It is signed now");
    assert!(matches!(&wanted[..], [Command::People(_, wanted)] if **wanted == Wanted::Adopt), "{wanted:?}");
    let mut first = harness(View { device: device(true, true), ..view() }, Tab::Account);
    first.get_by_label("Code of the other device").focus();
    first.get_by_label("Code of the other device").type_text(&code);
    first.run_steps(2);
    let wanted = click(&mut first, "Sign it");
    let add = Wanted::AddDevice { device: PublicKey([9; 32]) };
    assert!(matches!(&wanted[..], [Command::People(_, wanted)] if **wanted == add), "{wanted:?}");
}

#[test]
fn a_file_that_is_offered_is_taken_or_not_and_one_on_its_way_can_be_stopped() {
    let file = |is_offered| Some(FileView { name: "photo.jpg".into(), size: 3_000_000, done: 1_500_000, is_offered });
    let stage = |receiving: Option<FileView>, sending: Option<FileView>| {
        let controls = Controls { receiving, sending, ..Controls::default() };
        let snapshot =
            ViewSnapshot { phase: Phase::InCall { peer: "ada".into() }, controls, ..ViewSnapshot::default() };
        let draw = move |ui: &mut egui::Ui, stage: &mut Stage| {
            stage.commands.extend(ui::draw(ui, &snapshot, &[], &mut stage.state, now()));
        };
        let builder = Harness::builder().with_size(vec2(1200.0, 800.0)).with_context_setup(theme::install);
        let mut harness = builder.build_ui_state(draw, Stage::default());
        harness.run_steps(2);
        harness
    };
    let mut offered = stage(file(true), None);
    assert!(offered.query_by_label("photo.jpg (3000 KB) is offered to you.").is_some());
    assert_eq!(click(&mut offered, "Take file"), [Command::TakeFile(true)]);
    assert_eq!(click(&mut offered, "Do not take"), [Command::TakeFile(false)]);
    let mut running = stage(file(false), file(false));
    assert_eq!(click(&mut running, "Stop receiving"), [Command::StopFile { sending: false }]);
    assert_eq!(click(&mut running, "Stop sending"), [Command::StopFile { sending: true }]);
    let mut idle = stage(None, None);
    assert!(idle.query_by_label("Send file").is_none());
    click(&mut idle, "Send a file");
    idle.get_by_label("File").focus();
    idle.get_by_label("File").type_text("/tmp/a.txt");
    idle.run_steps(2);
    assert_eq!(click(&mut idle, "Send file"), [Command::SendFile("/tmp/a.txt".into())]);
}
