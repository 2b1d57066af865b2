//! A service that puts other keys in for somebody's: whoever runs one can write into its database.

use std::path::Path;

use rusqlite::{Connection, params};
use serde_json::Value;
use tempfile::tempdir;
use visavis_tests::Outcome;
use visavis_tests::service::host::Host;
use visavis_tests::service::product::Person;

fn well<T>(outcome: Outcome<T>) -> T {
    outcome.expect("done")
}

fn said<T>(outcome: Outcome<T>) -> String {
    outcome.err().unwrap_or_default()
}

/// From now on the service shows `other`'s account key, devices and sealing keys for `name`.
fn swap(service: &Path, name: &str, other: &str) {
    let database = Connection::open(service.join("service.db")).expect("the database");
    let query = "SELECT id, key, devices FROM accounts WHERE name = ?1";
    type Row = (i64, Vec<u8>, String);
    let row = |name: &str| -> Row {
        database.query_row(query, [name], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).expect("an account")
    };
    let ((id, ..), (others, key, devices)) = (row(name), row(other));
    // Two accounts never have one key.
    database.execute("UPDATE accounts SET key = ?2 WHERE id = ?1", params![others, vec![9u8; 32]]).expect("written");
    let update = "UPDATE accounts SET key = ?2, devices = ?3 WHERE id = ?1";
    database.execute(update, params![id, key, devices]).expect("written");
    database.execute("DELETE FROM sealing WHERE account = ?1", [id]).expect("written");
    database.execute("UPDATE sealing SET account = ?2 WHERE account = ?1", [others, id]).expect("written");
}

fn trust_of(person: &Person, name: &str) -> Value {
    let roster = well(person.run(&["pals", "list"]));
    let pals = roster["pals"].as_array().expect("pals").clone();
    pals.into_iter().find(|pal| pal["name"] == name).map_or(Value::Null, |pal| pal["trust"].clone())
}

#[test]
fn a_directory_that_swaps_keys_is_found_out() {
    let folder = tempdir().expect("folder");
    let service = folder.path().join("service");
    let host = Host::start(&service, "").expect("serves");
    let link = host.said()["link"].as_str().expect("a link").to_owned();
    let person = |name| Person::new(name, folder.path(), &link);
    let (ada, ben, carl, dora, eve) = (person("ada"), person("ben"), person("carl"), person("dora"), person("eve"));
    for person in [&ada, &ben, &carl, &dora, &eve] {
        well(person.register());
    }
    let bens_link = well(ben.run(&["account", "show"]))["link"].as_str().expect("a link").to_owned();
    // Before: a link is certain, a name is not, and messages go.
    assert_eq!(well(ada.run(&["pals", "add", "ben"]))["verified"], false);
    assert_eq!(well(dora.run(&["pals", "add", &bens_link]))["verified"], true);
    for name in ["ada", "dora"] {
        well(ben.run(&["pals", "accept", name]));
    }
    assert_eq!((trust_of(&ada, "ben"), trust_of(&dora, "ben")), ("unverified".into(), "verified".into()));
    well(ada.run(&["message", "send", "ben", "for Ben alone"]));

    swap(&service, "ben", "eve");
    // Whoever knew him finds another key, and says nothing to it.
    for person in [&ada, &dora] {
        assert_eq!(trust_of(person, "ben"), "changed", "{}", person.name);
        let refused = said(person.run(&["message", "send", "ben", "for Ben alone"]));
        assert!(refused.contains("another key for ben"), "{refused}");
        let refused = said(person.run(&["call", "@ben", "--headless", "--mic", "none", "--speaker", "none"]));
        assert!(refused.contains("another key for ben"), "{refused}");
    }
    // A link says which key it has to be: nobody is added.
    let refused = said(carl.run(&["pals", "add", &bens_link]));
    assert!(refused.contains("another key for ben than the link"), "{refused}");
    let roster = well(carl.run(&["pals", "list"]));
    assert_eq!(
        (roster["pals"].as_array().map(Vec::len), roster["waiting"].as_array().map(Vec::len)),
        (Some(0), Some(0))
    );
    // A name alone says nothing of keys, and that is said.
    let added = well(carl.run(&["pals", "add", "ben"]));
    assert_eq!((&added["verified"], &added["pals"]), (&Value::Bool(false), &Value::Bool(false)));
}
