//! Ports opened in a real router: miniupnpd in a namespace, by each of its protocols.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use engine::base::pipe::Wake;
use engine::base::time::now;
use engine::net::mapping::{Mapper, MappingState, Method, Protocol};
use visavis_tests::netns::{Nat, Networks, missing};
use visavis_tests::skip::skip;

/// A home whose router maps; `settings`: further lines for it.
fn home(settings: &str) -> Networks {
    let mut networks = Networks::home(Nat::Port).expect("a home");
    let folder = tempfile::tempdir().expect("a folder");
    let (file, pid) = (folder.path().join("upnp.conf"), folder.path().join("upnp.pid"));
    let text = format!(
        "ext_ifname=wan\next_ip=5.5.5.1\nlistening_ip=lan\nhttp_port=5555\nsecure_mode=yes\n\
         uuid=00000000-0000-0000-0000-000000000001\nupnp_table_name=miniupnpd\nupnp_nat_table_name=miniupnpd\n\
         upnp_forward_chain=miniupnpd\nupnp_nat_chain=prerouting_miniupnpd\n\
         upnp_nat_postrouting_chain=postrouting_miniupnpd\n{settings}\n\
         allow 1024-65535 192.168.1.0/24 1024-65535\ndeny 0-65535 0.0.0.0/0 0-65535\n"
    );
    std::fs::write(&file, text).expect("written");
    for line in [
        "nft add table inet miniupnpd",
        "nft add chain inet miniupnpd prerouting_miniupnpd { type nat hook prerouting priority dstnat ; policy accept ; }",
        "nft add chain inet miniupnpd postrouting_miniupnpd { type nat hook postrouting priority srcnat ; policy accept ; }",
        "nft add chain inet miniupnpd miniupnpd { type filter hook forward priority -5 ; policy accept ; }",
    ] {
        networks.run("gw", line).expect("a table");
    }
    let path = |path: &std::path::Path| path.to_str().expect("text").to_owned();
    networks.start("gw", "miniupnpd", &["-d", "-f", &path(&file), "-P", &path(&pid)]).expect("started");
    eventually("miniupnpd listens", || {
        networks.run("gw", "ss -Hlnu").is_ok_and(|text| text.contains(":1900") || text.contains(":5351"))
            && networks
                .run("gw", "ss -Hlnt")
                .is_ok_and(|text| text.contains(":5555") || !settings.contains("enable_upnp=yes"))
    });
    networks
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = now() + Duration::from_secs(20);
    while !holds() {
        assert!(now() < until, "not in twenty seconds: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn mapped(mapper: &Mapper) -> MappingState {
    let mut state = None;
    eventually("something is said of the port", || {
        state = mapper.poll_event().map(|event| event.state);
        state.is_some()
    });
    state.expect("said")
}

fn rules(networks: &Networks) -> String {
    networks.run("gw", "nft list table inet miniupnpd").expect("a table")
}

/// A datagram from outside to `external`; whether it came to `inside`.
fn arrives(networks: &Networks, external: SocketAddr, inside: &UdpSocket) -> bool {
    inside.set_read_timeout(Some(Duration::from_millis(300))).expect("a limit");
    networks.within("srv", || {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a port");
        socket.send_to(b"from outside", external).expect("sent");
    });
    matches!(inside.recv(&mut [0; 64]), Ok(12))
}

fn maps_by(method: Method, settings: &str) {
    if let Some(why) = missing(&["miniupnpd", "ss"]) {
        return skip(&format!("mapping by {method}"), &why);
    }
    let networks = home(settings);
    let inside = networks.within("cl", || UdpSocket::bind(("192.168.1.2", 2000)).expect("a port"));
    let mapper = networks.within("cl", || Mapper::start(Wake::none()).expect("a thread"));
    mapper.ask(Protocol::Udp, 2000).expect("taken");
    mapper.ask(Protocol::Tcp, 2001).expect("taken");
    let mut found = Vec::new();
    for _ in 0..2 {
        match mapped(&mapper) {
            MappingState::Mapped { external, by, is_public } => {
                assert_eq!((by, is_public), (method, true));
                assert_eq!(external.ip(), Ipv4Addr::new(5, 5, 5, 1));
                found.push(external);
            }
            other => panic!("{other:?}: {}", rules(&networks)),
        }
    }
    assert!(rules(&networks).contains("192.168.1.2"), "{}", rules(&networks));
    assert!(arrives(&networks, found[0], &inside), "{}", rules(&networks));
    // A fault of the program: the stack unwinds, the mappings go.
    let fault = std::thread::scope(|scope| {
        let faulty = std::thread::Builder::new().name("faulty".into()).spawn_scoped(scope, move || {
            let _kept = mapper;
            std::panic::resume_unwind(Box::new("a fault"));
        });
        faulty.expect("a thread").join().is_err()
    });
    assert!(fault);
    assert!(!rules(&networks).contains("192.168.1.2"), "{}", rules(&networks));
    assert!(!arrives(&networks, found[0], &inside));
}

#[test]
fn a_router_that_knows_pcp_opens_ports_until_the_program_ends() {
    maps_by(Method::Pcp, "enable_natpmp=yes\nenable_upnp=yes");
}

#[test]
fn a_router_that_only_knows_upnp_opens_ports_until_the_program_ends() {
    maps_by(Method::Upnp, "enable_natpmp=no\nenable_upnp=yes");
}

#[test]
fn an_older_router_that_only_knows_upnp_opens_ports_until_the_program_ends() {
    maps_by(Method::Upnp, "enable_natpmp=no\nenable_upnp=yes\nforce_igd_desc_v1=yes");
}

#[test]
fn a_router_that_maps_nothing_is_said() {
    if let Some(why) = missing(&[]) {
        return skip("mapping by nobody", &why);
    }
    let networks = Networks::home(Nat::Port).expect("a home");
    let mapper = networks.within("cl", || Mapper::start(Wake::none()).expect("a thread"));
    mapper.ask(Protocol::Udp, 2000).expect("taken");
    match mapped(&mapper) {
        MappingState::Refused { why } => assert!(why.contains("no router"), "{why}"),
        other => panic!("{other:?}"),
    }
}
