//! The doors of a running service: all of them lead to the same place, and the certificate can change under it.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use engine::base::time::now;
use engine::net::web::certificate::{Pem, ServiceTls};
use engine::net::web::forwarded::SIGNATURE;
use engine::proto::service::account::{LoggedIn, Secret};
use engine::proto::service::refusal::Code;
use rustls::version::TLS13;
use tempfile::tempdir;
use visavis_tests::party::program;
use visavis_tests::service::client::{Client, Failed, Place};
use visavis_tests::service::host::Host;
use visavis_tests::service::people::Someone;
use visavis_tests::service::tls::secure;

/// One request in the clear; the whole answer.
fn plain(port: &serde_json::Value, request: &str) -> String {
    let port = port.as_u64().and_then(|port| u16::try_from(port).ok()).expect("a port");
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("open");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("settable");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = Vec::new();
    // Whoever is refused may be cut off.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn every_door_leads_to_the_service_and_the_plain_one_only_says_where_it_is() {
    let folder = tempdir().expect("folder");
    let (first, second) = (visavis_tests::ports::free_base(), visavis_tests::ports::free_base());
    // The last --doors counts.
    let args = format!("--doors {first},{second} --http-port {} --host-name chat.example", first + 1);
    let host = Host::start(folder.path(), &args).expect("serves");
    let place = Place::of(&host);
    let ada = Someone::new("ada");
    let registered = ada.register(&place).map_err(String::from).expect("registered");
    for port in [first, second] {
        let place = Place { address: SocketAddr::from(([127, 0, 0, 1], port)), ..place };
        place.open(&registered.login.access).map_err(String::from).expect("the same sessions");
    }
    let answer = plain(
        &host.said()["http"],
        "GET /people/ada?secret=1 HTTP/1.1\r\nHost: evil.example\r\nAuthorization: Bearer x\r\n\r\n",
    );
    assert!(answer.starts_with("HTTP/1.1 308 "), "{answer}");
    assert!(answer.contains(&format!("Location: https://chat.example:{first}/people/ada\r\n")), "{answer}");
    assert!(!answer.contains("secret") && !answer.contains("evil"), "{answer}");
    // TLS is spoken behind the doors, and nothing else.
    let answer = plain(&serde_json::json!(first), "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(!answer.contains("HTTP"), "{answer:?}");
}

#[test]
fn figures_are_for_programs_of_this_machine() {
    let folder = tempdir().expect("folder");
    let host = Host::start(folder.path(), "--metrics-port 0").expect("serves");
    let port = &host.said()["metrics"];
    let ask = |path: &str, host: &str| {
        plain(port, &format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"))
    };
    assert!(ask("/healthz", "127.0.0.1").starts_with("HTTP/1.1 200 "));
    let figures = ask("/metrics", "localhost:1");
    assert!(figures.contains("\nvisavis_connections_accepted_total "), "{figures}");
    let commits = host.figure("visavis_storage_commit_seconds_count").expect("told");
    Someone::new("ada").register(&Place::of(&host)).map_err(String::from).expect("registered");
    assert!(host.figure("visavis_storage_commit_seconds_count").expect("told") > commits);
    assert!(ask("/metrics", "rebound.example").starts_with("HTTP/1.1 403 "), "a name that leads here");
    assert!(ask("/", "localhost").starts_with("HTTP/1.1 404 "));
    let outside = format!("{}:{}", Path::new("127.0.0.2").display(), port);
    assert!(TcpStream::connect(outside).is_err(), "only the loopback address itself is listened on");
}

#[test]
fn a_renewed_certificate_is_shown_without_a_restart() {
    let folder = tempdir().expect("folder");
    let (chain, key) = (folder.path().join("chain.pem"), folder.path().join("key.pem"));
    let write = |pem: &Pem| {
        fs::write(&key, &pem.key).expect("written");
        fs::write(&chain, &pem.chain).expect("written");
        ServiceTls::new(pem).expect("usable").pin()
    };
    let first = write(&Pem::self_signed(vec!["localhost".into()]).expect("made"));
    let args = format!("--tls-cert {} --tls-key {}", chain.display(), key.display());
    let host = Host::start(&folder.path().join("data"), &args).expect("serves");
    let place = Place::of(&host);
    assert_eq!(place.pin, first);
    let ada = Someone::new("ada");
    let access = ada.register(&place).map_err(String::from).expect("registered").login.access;
    let mut open = place.open(&access).map_err(String::from).expect("opened");
    // Half a file is not used.
    fs::write(&chain, b"-----BEGIN CERTIFICATE-----\n").expect("written");
    let second = write(&Pem::self_signed(vec!["localhost".into()]).expect("made"));
    let renewed = Place { pin: second, ..place };
    let until = now() + Duration::from_secs(20);
    while renewed.connect().is_err() {
        assert!(now() < until, "the new certificate is not shown");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(place.connect().is_err(), "the old one is not shown any more");
    let roster = engine::proto::service::pals::Request::Roster { after: None };
    open.ask(&engine::proto::service::frame::Ask::Pals(roster)).map_err(String::from).expect("goes on");
}

#[test]
fn a_copy_made_while_the_service_runs_is_a_service() {
    let folder = tempdir().expect("folder");
    let (data, copy, restored) = (folder.path().join("data"), folder.path().join("copy"), folder.path().join("back"));
    let host = Host::start(&data, "").expect("serves");
    let place = Place::of(&host);
    let ada = Someone::new("ada");
    ada.register(&place).map_err(String::from).expect("registered");
    let visavis = |verb: &str, what: &Path, data: &Path| {
        let mut command = Command::new(program().expect("built"));
        let output = command.args(["serve", verb]).arg(what).arg("--data").arg(data).output().expect("runs");
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (well, said) = visavis("backup", &copy, &data);
    assert!(well, "{said}");
    assert!(!visavis("restore", &copy, &data).0, "never over a service");
    let (well, said) = visavis("restore", &copy, &restored);
    assert!(well, "{said}");
    let again = Host::start(&restored, "").expect("serves");
    let place = Place::of(&again);
    assert_eq!(place.pin, host.pin(), "its clients know it");
    let login: LoggedIn = ada.log_in(&place).map_err(String::from).expect("the account is there");
    assert_eq!(login.person.name, ada.name);
}

/// A connection of a balancer at `from` that speaks for `client` (PROXY protocol, version 2), then TLS.
fn forwarded(place: &Place, from: [u8; 4], client: Option<[u8; 4]>) -> std::io::Result<Client> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((from, 0)).into())?;
    socket.connect(&place.address.into())?;
    let mut tcp: TcpStream = socket.into();
    if let Some(client) = client {
        let addresses = [&client[..], &[127, 0, 0, 1], &[0x30, 0x39], &[0x01, 0xbb]].concat();
        tcp.write_all(&[&SIGNATURE[..], &[0x21, 0x11, 0, 12], &addresses].concat())?;
    }
    secure(tcp, place.pin, &TLS13, Duration::from_secs(20)).map(Client::over)
}

#[test]
fn a_balancer_is_believed_for_whom_it_connects_and_nobody_else_is() {
    let folder = tempdir().expect("folder");
    let host = Host::start(folder.path(), "--trusted-proxy 127.0.0.2/32").expect("serves");
    let place = Place::of(&host);
    let ada = Someone::new("ada");
    ada.register(&place).map_err(String::from).expect("registered");
    let balancer = [127, 0, 0, 2];
    let log_in = |client: [u8; 4], password: &Secret| {
        let mut connection = forwarded(&place, balancer, Some(client)).expect("connected");
        connection.account::<LoggedIn>(&ada.login_with(password), None)
    };
    let (bad, good) = ([203, 0, 113, 7], [198, 51, 100, 9]);
    let wrong = Secret::new("not the password");
    let codes: Vec<Option<Code>> =
        (0..6).map(|_| log_in(bad, &wrong).err().and_then(Failed::refusal).map(|refusal| refusal.code)).collect();
    assert_eq!(codes[..4], [Some(Code::WrongPassword); 4]);
    assert_eq!(codes[5], Some(Code::TooOften), "that address is slowed down");
    log_in(good, &ada.password).map_err(String::from).expect("and no other one behind the same balancer");
    // Pages, too, are limited for each address, not for the balancer.
    let looks = |client: [u8; 4], times: usize| {
        let mut connection = forwarded(&place, balancer, Some(client)).expect("connected");
        let mut look =
            || connection.request("GET", "/people/ada", None, "", b"").map_err(String::from).expect("answered").0;
        (0..times).filter(|_| look() == 429).count()
    };
    assert!(looks(bad, 400) > 50);
    assert_eq!(looks(good, 20), 0);
    // One that is not named as a balancer speaks for nobody, and a balancer says first for whom it speaks.
    assert!(forwarded(&place, [127, 0, 0, 3], Some(good)).is_err());
    assert!(forwarded(&place, balancer, None).is_err());
    assert!(forwarded(&place, [127, 0, 0, 3], None).is_ok());
}
