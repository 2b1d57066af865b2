//! Accounts of a running service: each row of the table of what is refused, with what is accepted beside it.

use std::time::Duration;

use engine::proto::service::account::{
    ChangePassword, CloseReport, Delete, Export, Invitation, Invite, LoggedIn, Nothing, Recover, Refresh, Registered,
    Reports, ReportsAsk, Request, Secret, Suspend,
};
use engine::proto::service::frame::Ask;
use engine::proto::service::pals;
use engine::proto::service::refusal::Code;
use engine::proto::text::Prose;
use tempfile::tempdir;
use visavis_tests::service::client::{Asked, Failed, Place};
use visavis_tests::service::host::Host;
use visavis_tests::service::people::Someone;
use visavis_tests::service::tls::{connect, exchange};

fn code<T: std::fmt::Debug>(asked: Asked<T>) -> Code {
    match asked {
        Err(Failed::Refused(refusal)) => refusal.code,
        other => panic!("expected a refusal: {other:?}"),
    }
}

#[test]
fn an_account_lives_from_registering_to_its_deletion() {
    let folder = tempdir().expect("folder");
    let host = Host::start(folder.path(), "").expect("serves");
    let place = Place::of(&host);
    let ada = Someone::new("ada");
    let registered = ada.register(&place).map_err(String::from).expect("registered");
    assert_eq!(registered.login.person.key, ada.account.public());
    assert_eq!(code(ada.register(&place)), Code::Taken);
    assert_eq!(code(Someone::new("ADA").register(&place)), Code::Taken);

    let login = ada.log_in(&place).map_err(String::from).expect("logged in");
    assert_eq!(
        code(place.account::<LoggedIn>(&ada.login_with(&Secret::new("wrong password")), None)),
        Code::WrongPassword
    );
    assert_eq!(
        code(place.account::<LoggedIn>(&Someone::new("eve").login_with(&ada.password), None)),
        Code::WrongPassword
    );
    place.open(&login.access).map_err(String::from).expect("opened");

    let change = |old: &Secret| {
        let new = Secret::new("another password");
        Request::ChangePassword(ChangePassword { old: old.clone(), new })
    };
    assert_eq!(
        code(place.account::<LoggedIn>(&change(&Secret::new("not that one")), Some(&login.access))),
        Code::WrongPassword
    );
    let changed: LoggedIn =
        place.account(&change(&ada.password), Some(&login.access)).map_err(String::from).expect("changed");
    assert_eq!(code(place.open(&login.access).map(|_| ())), Code::Unauthorized, "other sessions are over");
    assert_eq!(code(ada.log_in(&place)), Code::WrongPassword);
    let export: Export =
        place.account(&Request::Export, Some(&changed.access)).map_err(String::from).expect("exported");
    assert_eq!(export.export["account"]["name"], "ada");

    let recover = |code: &Secret| {
        let (name, device) = (ada.name.clone(), ada.device.public());
        let (code, new) = (code.clone(), ada.password.clone());
        Request::Recover(Box::new(Recover { name, code, new, device }))
    };
    assert_eq!(code(place.account::<Registered>(&recover(&Secret::new("AAAA-BBBB")), None)), Code::WrongPassword);
    // As somebody types it from paper.
    let typed = Secret::new(&registered.recovery.expose().to_lowercase().replace('-', " "));
    let recovered: Registered = place.account(&recover(&typed), None).map_err(String::from).expect("recovered");
    assert_eq!(
        code(place.account::<Registered>(&recover(&registered.recovery), None)),
        Code::WrongPassword,
        "good once"
    );

    let delete = |password: &Secret| Request::Delete(Delete { password: password.clone() });
    let access = Some(&recovered.login.access);
    assert_eq!(code(place.account::<Nothing>(&delete(&Secret::new("no")), access)), Code::WrongPassword);
    place.account::<Nothing>(&delete(&ada.password), access).map_err(String::from).expect("deleted");
    assert_eq!(code(ada.log_in(&place)), Code::WrongPassword);
    ada.register(&place).map_err(String::from).expect("the name and the key are free again");

    // Neither the log nor the database has what was said in confidence; the same search finds what is planted.
    let secrets = [
        ada.password.clone(),
        Secret::new("wrong password"),
        registered.recovery,
        registered.login.access,
        login.refresh,
        changed.access,
    ];
    let log = host.log();
    assert!(log.contains("opened"), "the log says what happens: {log}");
    assert_eq!(host.stop(), Some(0));
    let has = |haystack: &[u8], secret: &Secret| {
        let needle = secret.expose().as_bytes();
        haystack.windows(needle.len()).any(|window| window == needle)
    };
    let mut written = std::fs::read(folder.path().join("service.db")).expect("a database");
    for secret in &secrets {
        assert!(!has(log.as_bytes(), secret) && !has(&written, secret), "a secret was written");
        written.extend_from_slice(secret.expose().as_bytes());
        assert!(has(&written, secret));
    }
}

#[test]
fn a_refresh_token_is_good_once_and_its_second_use_ends_the_session() {
    let folder = tempdir().expect("folder");
    let host = Host::start(folder.path(), "").expect("serves");
    let place = Place::of(&host);
    let ada = Someone::new("ada");
    let first = ada.register(&place).map_err(String::from).expect("registered").login;
    let refresh = |login: &LoggedIn| Request::Refresh(Refresh { refresh: login.refresh.clone() });
    let second: LoggedIn = place.account(&refresh(&first), None).map_err(String::from).expect("refreshed");
    assert_eq!(code(place.open(&first.access).map(|_| ())), Code::Unauthorized, "the old access token is over");
    let mut channels = place.open(&second.access).map_err(String::from).expect("the new one is good");
    assert_eq!(code(place.account::<LoggedIn>(&refresh(&first), None)), Code::Unauthorized, "a thief");
    assert_eq!(code(place.account::<LoggedIn>(&refresh(&second), None)), Code::Unauthorized, "and the one robbed");
    assert_eq!(code(place.open(&second.access).map(|_| ())), Code::Unauthorized);
    assert!(channels.read(Duration::from_secs(10)).is_err(), "open channels are closed");
    let again = ada.log_in(&place).map_err(String::from).expect("the password still is good");
    place.account::<Nothing>(&Request::Logout, Some(&again.access)).map_err(String::from).expect("logged out");
    assert_eq!(code(place.account::<Nothing>(&Request::Logout, Some(&again.access))), Code::Unauthorized);
}

#[test]
fn one_registers_by_invitation_where_the_service_says_so() {
    let folder = tempdir().expect("folder");
    let open = Host::start(folder.path(), "").expect("serves");
    let ada = Someone::new("ada");
    ada.register(&Place::of(&open)).map_err(String::from).expect("registered");
    assert_eq!(open.stop(), Some(0));
    let host = Host::start(folder.path(), "--registration invite").expect("serves");
    let place = Place::of(&host);
    let ben = Someone::new("ben");
    assert_eq!(code(ben.register(&place)), Code::Closed);
    let login = ada.log_in(&place).map_err(String::from).expect("the account is still there");
    let invite = Request::Invite(Invite { uses: 1 });
    let invitation: Invitation = place.account(&invite, Some(&login.access)).map_err(String::from).expect("invited");
    let with = |someone: &Someone, code: &str| {
        let Request::Register(mut request) = someone.registration() else { panic!("a registration") };
        request.invite = Some(Secret::new(code));
        place.account::<Registered>(&Request::Register(request), None)
    };
    assert_eq!(code(with(&ben, "0123")), Code::Closed);
    with(&ben, invitation.invite.expose()).map_err(String::from).expect("invited");
    assert_eq!(code(with(&Someone::new("eve"), invitation.invite.expose())), Code::Closed, "used up");
    assert!(invitation.link.contains(&place.pin.to_string()), "{}", invitation.link);
}

#[test]
fn reports_are_read_and_accounts_suspended_by_those_who_run_the_service() {
    let folder = tempdir().expect("folder");
    let host = Host::start(folder.path(), "").expect("serves");
    let place = Place::of(&host);
    let (ada, ben) = (Someone::new("ada"), Someone::new("ben"));
    let access = ada.register(&place).map_err(String::from).expect("registered").login.access;
    let mut to_ben = ben.join(&place).map_err(String::from).expect("joined");
    let text = Prose::cut("writes to me all the time");
    let report = pals::Request::Report { name: ada.name.clone(), text };
    to_ben.ask(&Ask::Pals(report)).map_err(String::from).expect("reported");
    let read = || place.account::<Reports>(&Request::Reports(ReportsAsk { after: 0 }), Some(&access));
    assert_eq!(code(read()), Code::Forbidden);
    let said = std::process::Command::new(visavis_tests::party::program().expect("built"))
        .args(["serve", "admin", "ada", "--data"])
        .arg(folder.path())
        .status();
    assert!(said.expect("runs").success());
    let reports = read().map_err(String::from).expect("read").reports;
    assert_eq!((reports.len(), &*reports[0].by.name, &*reports[0].about.name), (1, "ben", "ada"));
    let close = Request::CloseReport(CloseReport { number: reports[0].number });
    place.account::<Nothing>(&close, Some(&access)).map_err(String::from).expect("closed");
    assert!(read().map_err(String::from).expect("read").reports.is_empty());
    let suspend = |name: &Someone, suspended| {
        let request = Request::Suspend(Suspend { name: name.name.clone(), suspended });
        place.account::<Nothing>(&request, Some(&access))
    };
    suspend(&ben, true).map_err(String::from).expect("suspended");
    assert!(to_ben.read(Duration::from_secs(10)).is_err(), "the channels are closed");
    assert_eq!(code(ben.log_in(&place)), Code::Forbidden);
    assert_eq!(code(suspend(&ada, true)), Code::Forbidden, "not each other");
    suspend(&ben, false).map_err(String::from).expect("let in again");
    ben.log_in(&place).map_err(String::from).expect("logged in");
}

#[test]
fn nothing_that_is_malformed_or_foreign_is_accepted() {
    let folder = tempdir().expect("folder");
    let host = Host::start(folder.path(), "").expect("serves");
    let place = Place::of(&host);
    let ada = Someone::new("ada");
    let login = ada.register(&place).map_err(String::from).expect("registered").login;
    let token = login.access.expose();
    let send = |request: &str| {
        let patience = Duration::from_secs(10);
        let mut stream = connect(place.address, None, place.pin, &rustls::version::TLS13, patience).expect("connected");
        let answer = exchange(&mut stream, request.as_bytes()).expect("an answer");
        String::from_utf8_lossy(&answer).chars().skip(9).take(3).collect::<String>()
    };
    let profile = |path: &str, lines: &str, body: &str| {
        format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{lines}\r\n{body}")
    };
    let own = "/v1/account/profile";
    let bearer = format!("Authorization: Bearer {token}\r\n");
    let good = format!("{bearer}Content-Length: 2\r\n");
    assert_eq!(send(&profile(own, &good, "{}")), "200", "the positive control");
    let flipped = format!("Authorization: Bearer {}x\r\nContent-Length: 2\r\n", &token[..token.len() - 1]);
    for (what, request, status) in [
        ("no token", profile(own, "Content-Length: 2\r\n", "{}"), "401"),
        ("another token", profile(own, &flipped, "{}"), "401"),
        ("the refresh token", profile(own, &good.replace(token, login.refresh.expose()), "{}"), "401"),
        ("a foreign origin", profile(own, &format!("{good}Origin: https://evil.example\r\n"), "{}"), "403"),
        ("an opaque origin", profile(own, &format!("{good}Origin: null\r\n"), "{}"), "403"),
        ("two lengths", profile(own, &format!("{good}Content-Length: 2\r\n"), "{}"), "400"),
        (
            "length and chunks",
            profile(own, &format!("{good}Transfer-Encoding: chunked\r\n"), "2\r\n{}\r\n0\r\n\r\n"),
            "400",
        ),
        ("chunks", profile(own, &format!("{bearer}Transfer-Encoding: chunked\r\n"), "2\r\n{}\r\n0\r\n\r\n"), "400"),
        ("a folded line", profile(own, &good.replace("Bearer ", "Bearer\r\n "), "{}"), "400"),
        ("bare line feeds", profile(own, &good, "{}").replace("\r\n", "\n"), "400"),
        ("two hosts", profile(own, &format!("{good}Host: other\r\n"), "{}"), "400"),
        ("a step up", profile("/v1/x/../account/profile", &good, "{}"), "400"),
        ("an escape", profile("/v1/account/%70rofile", &good, "{}"), "400"),
        ("two slashes", profile("//v1/account/profile", &good, "{}"), "400"),
        ("an absolute target", profile("https://localhost/v1/account/profile", &good, "{}"), "400"),
        ("another version", profile(own, &good, "{}").replace("HTTP/1.1", "HTTP/1.0"), "505"),
        ("another method", profile(own, &good, "{}").replace("POST", "PUT"), "501"),
        ("a large body", profile(own, &format!("{bearer}Content-Length: 70000\r\n"), "{}"), "413"),
        ("a large photo", profile("/v1/account/photo", &format!("{bearer}Content-Length: 2097153\r\n"), ""), "413"),
        ("a large head", profile(own, &format!("{good}X: {}\r\n", "x".repeat(17000)), "{}"), "431"),
        ("no such page", profile("/v1/account/other", &good, "{}"), "404"),
        ("no JSON", profile(own, &good, "no"), "400"),
    ] {
        assert_eq!(send(&request), status, "{what}");
    }
    // What follows a refused request on the same connection is not read.
    let smuggled = profile(own, &format!("{bearer}Content-Length: 0\r\nTransfer-Encoding: chunked\r\n"), "0\r\n\r\n");
    let smuggled = smuggled.replace("Connection: close\r\n", "") + &profile(own, &good, "{}");
    let mut stream =
        connect(place.address, None, place.pin, &rustls::version::TLS13, Duration::from_secs(10)).expect("connected");
    let answer = exchange(&mut stream, smuggled.as_bytes()).expect("an answer");
    assert_eq!(String::from_utf8_lossy(&answer).matches("HTTP/1.1").count(), 1);
    // TLS 1.2, and a service that shows another key.
    let patience = Duration::from_secs(10);
    assert!(connect(place.address, None, place.pin, &rustls::version::TLS12, patience).is_err());
    let other = engine::proto::keys::Digest([7; 32]);
    assert!(connect(place.address, None, other, &rustls::version::TLS13, patience).is_err());
}
