//! On a server of the system's package, where there is one: all that every database does, and what is PostgreSQL's own.

#[path = "../../../../tests/src/service/cluster.rs"]
#[allow(dead_code, reason = "the tests of whole services use the rest")]
mod cluster;

use std::sync::atomic::Ordering;

use super::connection::Connection;
use super::*;
use crate::base::error::Kind;
use crate::base::pipe::Wake;
use crate::proto::service::refusal::Code;
use crate::store::op::{Answer, Finished};
use crate::store::sql::suite::{self, Runs, code, create, post, register};
use crate::store::worker::{Backend, Store, WorkerSettings};
use cluster::Cluster;

struct Database(Postgres);

impl Runs for Database {
    fn run(&mut self, ops: Vec<Op>) -> Vec<Answered> {
        run(&mut self.0, ops)
    }

    fn count(&mut self, query: &str) -> u64 {
        let connection = Connection::open(&self.0.url).expect("reached");
        let database: &dyn super::Database = &connection;
        database.value(query, &[]).expect("a number")
    }
}

fn run(database: &mut Postgres, ops: Vec<Op>) -> Vec<Answered> {
    let batch: Vec<_> = ops.into_iter().map(|op| (Ticket::default(), op)).collect();
    database.run(&batch, Duration::ZERO)
}

fn open(url: &str) -> Result<Postgres> {
    Postgres::open(&StoreUrl::parse(url)?, &Arc::default())
}

/// One server for all: starting it takes longer than what is tested.
#[test]
fn postgresql_does_what_every_database_does_and_what_is_its_own() {
    let certificate = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("made");
    let (chain, key) = (certificate.cert.pem(), certificate.signing_key.serialize_pem());
    let Some(mut cluster) = Cluster::start(false, Some((&chain, &key))).expect("started") else {
        println!("SKIPPED: PostgreSQL is not installed");
        return;
    };
    let url = cluster.url();
    suite::all(&mut Database(open(&url).expect("opened")));
    a_wrong_password_and_a_newer_database_are_refused_with_words(&url);
    the_way_is_encrypted_and_bound_to_the_password(&url, &chain);
    two_who_meet_both_get_through(&url);
    what_is_about_one_room_keeps_its_order_over_all_workers(&url);
    a_lost_server_is_said_and_found_again(&mut cluster);
}

fn a_wrong_password_and_a_newer_database_are_refused_with_words(url: &str) {
    let wrong = url.replace("password", "passw0rd");
    let error = open(&wrong).expect_err("refused");
    assert!(error.kind == Kind::Refused && error.text.contains("28P01") && !error.text.contains("passw0rd"), "{error}");
    let error = open(&url.replace("/postgres", "/nowhere")).expect_err("refused");
    assert!(error.text.contains("nowhere"), "{error}");
    let admin = Connection::open(&StoreUrl::parse(url).expect("whole")).expect("reached");
    admin.batch("UPDATE visavis SET version = 999").expect("set");
    let error = open(url).expect_err("newer");
    admin.batch("UPDATE visavis SET version = 1").expect("set");
    assert!(error.kind == Kind::Refused && error.text.contains("999"), "{error}");
}

fn the_way_is_encrypted_and_bound_to_the_password(url: &str, chain: &str) {
    let seen = |url: &str| {
        let connection = Connection::open(&StoreUrl::parse(url).expect("whole")).expect("reached");
        let database: &dyn super::Database = &connection;
        let query = "SELECT count(*) FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl";
        database.value::<u64>(query, &[]).expect("a number")
    };
    assert_eq!(seen(&format!("{url}?sslmode=disable")), 0);
    assert_eq!(seen(&format!("{url}?sslmode=require")), 1);
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), chain).expect("written");
    let verify = |host: &str| {
        let url = url.replace("127.0.0.1", host);
        format!("{url}?sslmode=verify-full&sslrootcert={}", file.path().display())
    };
    assert_eq!(seen(&verify("localhost")), 1);
    let error = open(&verify("127.0.0.1")).expect_err("the certificate names another");
    assert!(error.text.contains("certificate"), "{error}");
}

/// Two workers that touch the same rows in both orders.
fn two_who_meet_both_get_through(url: &str) {
    let first = open(url).expect("opened");
    let health = first.health().clone();
    let (mut one, mut other) = (first.another(), first.another());
    run(&mut one, vec![register("tom"), register("una"), create(1)]);
    let work = |database: &mut Postgres, who: usize| {
        (0..40)
            .flat_map(|n| run(database, vec![register(&format!("meets{who}x{n}"))]))
            .filter(|one| code(one).is_some())
            .count()
    };
    let refused: usize = std::thread::scope(|scope| {
        let threads = [scope.spawn(|| work(&mut one, 1)), scope.spawn(|| work(&mut other, 2))];
        threads.into_iter().map(|thread| thread.join().expect("ended")).sum()
    });
    assert_eq!(refused, 0, "retried {}", health.retried.load(Ordering::Relaxed));
    assert_eq!(health.given_up.load(Ordering::Relaxed), 0);
}

fn what_is_about_one_room_keeps_its_order_over_all_workers(url: &str) {
    let backend = Backend::Postgres(Box::new(open(url).expect("opened")), 8);
    let store = Store::start(backend, WorkerSettings::default(), &Wake::none()).expect("started");
    // Whoever the suite has left in the first room as its host.
    let mut finished = Finished::default();
    let admin = Connection::open(&StoreUrl::parse(url).expect("whole")).expect("reached");
    let database: &dyn super::Database = &admin;
    let host: u64 = database.value("SELECT account FROM members WHERE room = 1 AND role = 2", &[]).expect("a host");
    for n in 0..300 {
        store.submit(Ticket { to: 1, id: n }, post(host, 10_000 + n as usize, "in order")).expect("taken");
    }
    while finished.chat.len() < 300 {
        store.collect(&mut finished);
        std::thread::yield_now();
    }
    let ids: Vec<u64> = finished.chat.iter().map(|done| done.ticket.id).collect();
    assert!(ids.is_sorted() && finished.chat.iter().all(|done| done.answer.is_ok()));
}

fn a_lost_server_is_said_and_found_again(cluster: &mut Cluster) {
    let mut database = open(&cluster.url()).expect("opened");
    let health = database.health().clone();
    cluster.end();
    let refused = run(&mut database, vec![register("vic")]);
    assert!(
        matches!(&refused[..], [Answered::Refused(_, refusal)] if refusal.code == Code::Busy && refusal.text.contains("cannot reach")),
        "{refused:?}"
    );
    assert!(!health.is_reachable() && health.lost.load(Ordering::Relaxed) == 1);
    cluster.begin().expect("started");
    // It is asked again a little later, not at every operation.
    let stored = (0..1000).find_map(|_| {
        std::thread::sleep(Duration::from_millis(10));
        let answered = run(&mut database, vec![register("vic")]).pop();
        matches!(answered, Some(Answered::Well(Answer::Accounts(_)))).then_some(())
    });
    assert!(stored.is_some() && health.is_reachable());
}
