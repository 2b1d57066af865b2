//! The panel of the service's people, found by name in the accessibility tree.

use std::sync::Arc;

use egui::vec2;
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;
use engine::base::time::now;
use engine::handle::{Command, Notice};
use engine::layout::snapshot::ViewSnapshot;
use engine::people::command::{Outcome, State, Wanted};
use engine::people::trust::Trust;
use engine::people::view::{PalView, View};
use engine::proto::contact::Contact;
use engine::proto::keys::PublicKey;
use engine::proto::service::account::Secret;
use engine::proto::service::names::{AccountName, Person};
use engine::proto::service::pals::{Asked, Pal, Presence};
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
