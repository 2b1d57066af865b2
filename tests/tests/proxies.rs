//! Connections and datagrams through real proxies: tinyproxy, dante and microsocks, each in a namespace with nothing else.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use engine::base::error::{Error, Kind};
use engine::base::time::now;
use engine::net::proxy::{Dial, Through, Tunnel, UdpRelay, advance};
use engine::proto::proxy::{Destination, Handshake, ProxyUrl, is_login};
use mio::{Events, Interest, Poll, Token};
use visavis_tests::judged::{Ill, PROGRAMS};
use visavis_tests::netns::{Networks, missing};
use visavis_tests::skip::skip;

/// A namespace with one proxy in it, which listens on `port`.
fn with_proxy(program: &str, arguments: &[&str], port: u16) -> Networks {
    let mut networks = Networks::new(&["solo"]).expect("a namespace");
    networks.start("solo", program, arguments).expect("started");
    eventually("the proxy listens", || {
        networks.run("solo", "ss -Hlnt").is_ok_and(|text| text.contains(&format!(":{port} ")))
    });
    networks
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = now() + Duration::from_secs(20);
    while !holds() {
        assert!(now() < until, "not in twenty seconds: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Says back in capitals what one connection says, and begins with a greeting of its own.
fn shouter() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("bound");
    let work = move || {
        let (mut socket, _) = listener.accept().expect("a connection");
        socket.write_all(b"hail ").expect("written");
        let mut buffer = [0; 64];
        while let Ok(length @ 1..) = socket.read(&mut buffer) {
            let _ = socket.write_all(&buffer[..length].to_ascii_uppercase());
        }
    };
    std::thread::Builder::new().name("shouter".into()).spawn(work).expect("a thread");
    address
}

/// Through `proxy` to a server that speaks first; what came.
fn greet(proxy: &str) -> Result<Vec<u8>, Error> {
    let proxy: ProxyUrl = proxy.parse()?;
    let address = SocketAddr::new(proxy.host.parse().expect("literal"), proxy.port);
    let destination = Destination::Address(shouter());
    let dial = Dial { address, through: Some(Arc::new(Through { proxy, destination })) };
    let mut tunnel = Tunnel::open(&dial)?;
    let mut poll = Poll::new().expect("a poll");
    poll.registry()
        .register(tunnel.socket_mut(), Token(0), Interest::READABLE | Interest::WRITABLE)
        .expect("registered");
    let (mut events, until) = (Events::with_capacity(4), now() + Duration::from_secs(20));
    while !tunnel.advance()? {
        assert!(now() < until, "no answer of the proxy");
        poll.poll(&mut events, Some(Duration::from_millis(100))).expect("polled");
    }
    let mut socket = tunnel.into_socket();
    socket.write_all(b"ada").expect("written");
    let (mut said, mut buffer) = (Vec::new(), [0; 64]);
    while said.len() < 8 {
        match socket.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => said.extend(&buffer[..length]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                assert!(now() < until, "nothing comes through: {said:?}");
                poll.poll(&mut events, Some(Duration::from_millis(100))).expect("polled");
            }
            Err(error) => panic!("{error}"),
        }
    }
    Ok(said)
}

#[test]
fn tinyproxy_carries_connections_with_the_right_login() {
    if let Some(why) = missing(&["tinyproxy", "ss"]) {
        return skip("CONNECT through tinyproxy", &why);
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("tiny.conf");
    std::fs::write(&file, "Port 3128\nListen 127.0.0.1\nTimeout 60\nMaxClients 8\nBasicAuth bob pw\n")
        .expect("written");
    let networks = with_proxy("tinyproxy", &["-d", "-c", file.to_str().expect("text")], 3128);
    networks.within("solo", || {
        assert_eq!(greet("http://bob:pw@127.0.0.1:3128").expect("through"), b"hail ADA");
        for wrong in ["http://bob:no@127.0.0.1:3128", "http://127.0.0.1:3128"] {
            let error = greet(wrong).expect_err("refused");
            assert!(is_login(&error) && error.text.contains("password"), "{wrong}: {error}");
        }
    });
}

#[test]
fn tinyproxy_says_which_port_it_does_not_carry() {
    if let Some(why) = missing(&["tinyproxy", "ss"]) {
        return skip("ports of tinyproxy", &why);
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("tiny.conf");
    std::fs::write(&file, "Port 3128\nListen 127.0.0.1\nTimeout 60\nMaxClients 8\nConnectPort 443\n").expect("written");
    let networks = with_proxy("tinyproxy", &["-d", "-c", file.to_str().expect("text")], 3128);
    let error = networks.within("solo", || greet("http://127.0.0.1:3128")).expect_err("refused");
    assert!(error.kind == Kind::Refused && error.text.contains("does not allow connections to port"), "{error}");
}

#[test]
fn microsocks_carries_connections_with_the_right_login() {
    if let Some(why) = missing(&["microsocks", "ss"]) {
        return skip("SOCKS5 through microsocks", &why);
    }
    let arguments = ["-i", "127.0.0.1", "-p", "1081", "-u", "bob", "-P", "pw"];
    let networks = with_proxy("microsocks", &arguments, 1081);
    networks.within("solo", || {
        assert_eq!(greet("socks5://bob:pw@127.0.0.1:1081").expect("through"), b"hail ADA");
        let error = greet("socks5://bob:no@127.0.0.1:1081").expect_err("refused");
        assert!(error.text.contains("does not accept the user name or the password"), "{error}");
        let error = greet("socks5://127.0.0.1:1081").expect_err("refused");
        assert!(error.text.contains("wants a user name"), "{error}");
    });
}

#[test]
fn dante_carries_connections_and_datagrams() {
    if let Some(why) = missing(&["danted", "ss"]) {
        return skip("SOCKS5 through dante", &why);
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("dante.conf");
    let text = "logoutput: /dev/null\ninternal: 127.0.0.1 port = 1080\nexternal: 127.0.0.1\nclientmethod: none\n\
                socksmethod: none\nclient pass { from: 0.0.0.0/0 to: 0.0.0.0/0 }\n\
                socks pass { from: 0.0.0.0/0 to: 0.0.0.0/0 command: connect udpassociate bindreply udpreply }\n";
    std::fs::write(&file, text).expect("written");
    let networks = with_proxy("danted", &["-f", file.to_str().expect("text")], 1080);
    networks.within("solo", || {
        assert_eq!(greet("socks5://127.0.0.1:1080").expect("through"), b"hail ADA");
        datagrams("socks5://127.0.0.1:1080");
    });
}

/// A datagram there and its echo back, by the relay alone.
fn datagrams(proxy: &str) {
    let proxy: ProxyUrl = proxy.parse().expect("a proxy");
    let address = SocketAddr::new(proxy.host.parse().expect("literal"), proxy.port);
    let mut handshake = Handshake::associate(&proxy).expect("SOCKS5");
    let mut socket = mio::net::TcpStream::connect(address).expect("a way");
    let until = now() + Duration::from_secs(20);
    while !advance(&mut socket, &mut handshake).expect("taken") {
        assert!(now() < until, "no answer of the proxy");
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut relay = UdpRelay::new(socket, &handshake).expect("a relay");
    assert!(relay.is_open());
    let (here, there) = (bound(), bound());
    let far = there.local_addr().expect("bound");
    let mut out = Vec::new();
    relay.wrap(far, b"over there", &mut out);
    here.send_to(&out, relay.relay()).expect("sent");
    let mut buffer = [0; 128];
    let (length, from) = there.recv_from(&mut buffer).expect("it came");
    assert_eq!(&buffer[..length], b"over there");
    assert_ne!(from, here.local_addr().expect("bound"), "it came by the proxy");
    there.send_to(b"and back", from).expect("sent");
    let (length, from) = here.recv_from(&mut buffer).expect("it came");
    assert_eq!(relay.unpack(from, &buffer[..length]), Some((far, &b"and back"[..])));
    assert_eq!(relay.unpack(far, &buffer[..length]), None, "only the relay is believed");
}

fn bound() -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a limit");
    socket
}

#[test]
fn an_account_is_made_through_a_proxy_and_a_wrong_login_is_said_in_words() {
    if let Some(why) = missing(&PROGRAMS) {
        return skip("a service behind a proxy", &why);
    }
    let site = Ill::ProxyLogin.open().expect("a network");
    let register = |how: &str, environment: Option<&str>| {
        let mut command = site.visavis().expect("built");
        command.args(["account", "register", "ada", "--service", &site.link]);
        if !how.is_empty() {
            command.args(["--proxy", how]);
        }
        command.envs(environment.map(|proxy| ("https_proxy", proxy)));
        command.env("VISAVIS_PASSWORD", "a password of some length");
        let output = command.output().expect("it ran");
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (done, said) = register("http://bob:wrong@192.168.1.1:3128", None);
    assert!(!done && said.contains("does not accept the user name or the password"), "{said}");
    let (done, said) = register("", Some("http://bob:right@192.168.1.1:3128"));
    assert!(done, "{said}");
}
