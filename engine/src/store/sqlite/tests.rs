//! What is SQLite's own: a full disk, a newer database; and all that every database does.

mod power;

use super::*;
use crate::proto::service::refusal::Code;
use crate::store::sql::suite::{self, Runs, code, create, post, register};

fn database(folder: &tempfile::TempDir) -> Sqlite {
    Sqlite::open(&folder.path().join("service.db")).expect("made")
}

fn run(database: &mut Sqlite, ops: Vec<Op>) -> Vec<Answered> {
    let batch: Vec<_> = ops.into_iter().map(|op| (Ticket::default(), op)).collect();
    database.run(&batch, Duration::ZERO)
}

impl Runs for Sqlite {
    fn run(&mut self, ops: Vec<Op>) -> Vec<Answered> {
        run(self, ops)
    }

    fn count(&mut self, query: &str) -> u64 {
        self.connection.query_row(query, [], |row| row.get(0)).expect("read")
    }
}

#[test]
fn it_does_what_every_database_does() {
    let folder = tempfile::tempdir().expect("folder");
    suite::all(&mut database(&folder));
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
fn a_database_of_a_newer_program_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().expect("folder");
    database(&folder).connection.pragma_update(None, "user_version", 999).expect("set");
    let error = Sqlite::open(&folder.path().join("service.db")).expect_err("newer");
    assert!(error.kind == Kind::Refused && error.text.contains("999"), "{error}");
}
