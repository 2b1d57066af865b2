use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Mutex;
use std::thread::JoinHandle;

use super::*;
use crate::base::time::{self, Duration};

/// A router on the loopback: what it was sent, and answers as it is told.
struct Router {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<Vec<u8>>>>,
    quit: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Router {
    fn start(mut answer: impl FnMut(&[u8], SocketAddr, &UdpSocket) + Send + 'static) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        socket.set_read_timeout(Some(Duration::from_millis(10))).expect("a limit");
        let (heard, quit) = (Arc::<Mutex<Vec<Vec<u8>>>>::default(), Arc::new(AtomicBool::new(false)));
        let (noted, stop, address) = (heard.clone(), quit.clone(), socket.local_addr().expect("bound"));
        let work = move || {
            let mut buffer = [0; 2048];
            while !stop.load(Ordering::Relaxed) {
                if let Ok((length, from)) = socket.recv_from(&mut buffer) {
                    noted.lock().expect("unpoisoned").push(buffer[..length].to_vec());
                    answer(&buffer[..length], from, &socket);
                }
            }
        };
        let thread = std::thread::Builder::new().name("router".into()).spawn(work).expect("a thread");
        Self { address, heard, quit, thread: Some(thread) }
    }

    fn heard(&self) -> Vec<Vec<u8>> {
        self.heard.lock().expect("unpoisoned").clone()
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        self.quit.store(true, Ordering::Relaxed);
        let _ = self.thread.take().expect("running").join();
    }
}

fn gateway(pcp: u16, ssdp: u16) -> Gateway {
    Gateway { address: Ipv4Addr::LOCALHOST, own: Ipv4Addr::LOCALHOST, pcp, ssdp }
}

fn pcp_answer(request: &[u8], epoch: u32) -> Vec<u8> {
    let mut bytes = request.to_vec();
    (bytes[1], bytes[3]) = (0x81, 0);
    bytes[8..12].copy_from_slice(&epoch.to_be_bytes());
    bytes[12..24].fill(0);
    bytes[44..60].copy_from_slice(&Ipv4Addr::new(203, 0, 113, 7).to_ipv6_mapped().octets());
    bytes
}

fn next(mapper: &Mapper) -> MappingEvent {
    let until = time::now() + Duration::from_secs(20);
    loop {
        if let Some(event) = mapper.poll_event() {
            return event;
        }
        assert!(time::now() < until, "nothing happened");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = time::now() + Duration::from_secs(20);
    while !holds() {
        assert!(time::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_router_of_pcp_maps_and_the_end_takes_the_mapping_away() {
    let router = Router::start(|request, from, socket| {
        // An answer with another nonce, and one from elsewhere: neither is believed.
        let mut forged = pcp_answer(request, 5);
        forged[24] ^= 1;
        forged[42..44].copy_from_slice(&[0x11, 0x11]);
        socket.send_to(&forged, from).expect("sent");
        let mut elsewhere = pcp_answer(request, 5);
        elsewhere[42..44].copy_from_slice(&[0x22, 0x22]);
        let other = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        other.send_to(&elsewhere, from).expect("sent");
        socket.send_to(&pcp_answer(request, 5), from).expect("sent");
    });
    let port = router.address.port();
    let mapper = Mapper::with(move || Some(gateway(port, 9)), Wake::none()).expect("a thread");
    mapper.ask(Protocol::Udp, 2000).expect("taken");
    let external = "203.0.113.7:2000".parse().expect("an address");
    let state = MappingState::Mapped { external, by: Method::Pcp, is_public: true };
    assert_eq!(next(&mapper), MappingEvent { protocol: Protocol::Udp, port: 2000, state });
    let lives =
        || router.heard().iter().map(|bytes| u32::from_be_bytes(bytes[4..8].try_into().expect("four"))).collect();
    let before: Vec<u32> = lives();
    assert!(before.iter().all(|life| *life == 1200), "{before:?}");
    drop(mapper);
    let after: Vec<u32> = lives();
    assert_eq!(after.last(), Some(&0), "{after:?}");
}

#[test]
fn a_panic_of_the_owner_takes_the_mapping_away() {
    let router = Router::start(|request, from, socket| {
        socket.send_to(&pcp_answer(request, 5), from).expect("sent");
    });
    let port = router.address.port();
    let owner = std::thread::Builder::new().name("owner".into()).spawn(move || {
        let mapper = Mapper::with(move || Some(gateway(port, 9)), Wake::none()).expect("a thread");
        mapper.ask(Protocol::Udp, 2000).expect("taken");
        next(&mapper);
        std::panic::resume_unwind(Box::new("as a fault would"));
    });
    assert!(owner.expect("a thread").join().is_err());
    assert_eq!(router.heard().last().map(|bytes| bytes[4..8].to_vec()), Some(vec![0; 4]));
}

#[test]
fn a_router_that_began_anew_is_asked_for_everything_again() {
    let mut answered = 0;
    let router = Router::start(move |request, from, socket| {
        answered += 1;
        // The second answer comes from a router that has just started.
        let epoch = if answered == 1 { 5000 } else { 1 };
        socket.send_to(&pcp_answer(request, epoch), from).expect("sent");
    });
    let port = router.address.port();
    let mapper = Mapper::with(move || Some(gateway(port, 9)), Wake::none()).expect("a thread");
    mapper.ask(Protocol::Udp, 2000).expect("taken");
    next(&mapper);
    mapper.ask(Protocol::Tcp, 2001).expect("taken");
    next(&mapper);
    let of_udp = || router.heard().iter().filter(|bytes| bytes[36] == 17).count();
    eventually("the first mapping is asked for again", || of_udp() >= 2);
}

#[test]
fn a_router_of_nat_pmp_maps_and_one_behind_another_is_noticed() {
    let router = Router::start(|request, from, socket| {
        let answer = match request {
            [2, ..] => vec![0, 0x81, 0, 1, 0, 0, 0, 5],
            [0, 0] => vec![0, 128, 0, 0, 0, 0, 0, 5, 192, 168, 178, 20],
            [0, opcode, rest @ ..] => {
                [&[0, opcode | 128, 0, 0, 0, 0, 0, 5], &rest[2..4], &[0x9c, 0x40], &rest[6..10]].concat()
            }
            _ => return,
        };
        socket.send_to(&answer, from).expect("sent");
    });
    let port = router.address.port();
    let mapper = Mapper::with(move || Some(gateway(port, 9)), Wake::none()).expect("a thread");
    mapper.ask(Protocol::Tcp, 2001).expect("taken");
    let external = "192.168.178.20:40000".parse().expect("an address");
    assert_eq!(next(&mapper).state, MappingState::Mapped { external, by: Method::NatPmp, is_public: false });
    drop(mapper);
    assert_eq!(router.heard().last(), Some(&vec![0, 2, 0, 0, 7, 209, 0, 0, 0, 0, 0, 0]));
}

#[test]
fn a_gateway_that_goes_takes_its_mappings_with_it() {
    let router = Router::start(|request, from, socket| {
        socket.send_to(&pcp_answer(request, 5), from).expect("sent");
    });
    let (port, is_there) = (router.address.port(), Arc::new(AtomicBool::new(true)));
    let there = is_there.clone();
    let find = move || there.load(Ordering::Relaxed).then(|| gateway(port, 9));
    let mapper = Mapper::with(find, Wake::none()).expect("a thread");
    mapper.ask(Protocol::Udp, 2000).expect("taken");
    assert!(matches!(next(&mapper).state, MappingState::Mapped { .. }));
    is_there.store(false, Ordering::Relaxed);
    assert_eq!(next(&mapper).state, MappingState::Lost);
    assert!(matches!(next(&mapper).state, MappingState::Refused { .. }));
    is_there.store(true, Ordering::Relaxed);
    assert!(matches!(next(&mapper).state, MappingState::Mapped { .. }));
}

/// A description that a web server gives on every connection.
fn serve(page: String) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("bound");
    let asked = Arc::<Mutex<Vec<String>>>::default();
    let noted = asked.clone();
    let work = move || {
        for stream in listener.incoming().take(8) {
            let mut stream = stream.expect("a connection");
            let mut buffer = [0; 4096];
            let length = stream.read(&mut buffer).unwrap_or(0);
            noted.lock().expect("unpoisoned").push(String::from_utf8_lossy(&buffer[..length]).into_owned());
            // The other end may close early: that is what some tests are about.
            let _ = stream.write_all(page.as_bytes());
        }
    };
    // Ends with the process: it waits for connections that a refusal never makes.
    std::thread::Builder::new().name("pages".into()).spawn(work).expect("a thread");
    (address, asked)
}

fn ssdp_answer(location: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\nLOCATION: {location}\r\n\r\n"
    )
}

#[test]
fn a_description_elsewhere_or_without_end_is_not_believed() {
    let endless = format!("HTTP/1.0 200 OK\r\n\r\n{}", "x".repeat(200_000));
    let (pages, asked) = serve(endless);
    let location = format!("http://{pages}/d.xml");
    let router = Router::start(move |_, from, socket| {
        // Another machine's description, then its own.
        for place in ["http://127.0.0.2:9/d.xml", location.as_str()] {
            socket.send_to(ssdp_answer(place).as_bytes(), from).expect("sent");
        }
    });
    let ssdp = router.address.port();
    // Port 9 of the loopback answers nothing: neither PCP nor NAT-PMP.
    let mapper = Mapper::with(move || Some(gateway(9, ssdp)), Wake::none()).expect("a thread");
    mapper.ask(Protocol::Udp, 2000).expect("taken");
    assert!(matches!(next(&mapper).state, MappingState::Refused { .. }));
    let asked = asked.lock().expect("unpoisoned").clone();
    assert_eq!(asked.len(), 1, "only the gateway's own page is fetched: {asked:?}");
    assert!(asked[0].starts_with("GET /d.xml HTTP/1.1\r\n"));
}
