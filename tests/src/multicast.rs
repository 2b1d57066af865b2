//! What a machine says by multicast DNS (RFC 6762) to whoever asks on its network.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use engine::base::time::now;
use socket2::{Domain, Protocol, Socket, Type};

use crate::Outcome;
use crate::netns::Networks;
use crate::party::program;

const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const PORT: u16 = 5353;

/// The one who is asked about.
const ADA: Ipv4Addr = Ipv4Addr::new(192, 168, 7, 1);

/// Two machines, `one` (192.168.7.1) and `two` (192.168.7.2), on the bridge of a third.
///
/// # Errors
/// What the system says.
pub fn bridge() -> Outcome<Networks> {
    let networks = Networks::new(&["hub", "one", "two"])?;
    networks.run("hub", "ip link add br0 type bridge")?;
    networks.run("hub", "ip link set br0 up")?;
    for (name, port, address) in [("one", "p1", "192.168.7.1/24"), ("two", "p2", "192.168.7.2/24")] {
        networks.link((name, "eth0", address), ("hub", port, ""))?;
        networks.run("hub", &format!("ip link set {port} master br0"))?;
        networks.run(name, "ip route add default dev eth0")?;
    }
    Ok(networks)
}

/// The program on `one`, until it is dropped.
pub struct Ada(Child);

impl Ada {
    /// Waits for calls there, with `how` of hers.
    ///
    /// # Errors
    /// It does not start.
    pub fn listen(networks: &Networks, folder: &Path, how: &str) -> Outcome<Self> {
        let program = program()?;
        let program = program.to_str().ok_or("a path that is no text")?;
        let line = format!("listen --headless --auto-answer --mic none --speaker none --name Ada --lan on {how}");
        let mut command = networks.command("one", program);
        command.args(line.split_whitespace()).arg("--data").arg(folder.join("one"));
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        child.map(Self).map_err(|error| error.to_string())
    }
}

impl Drop for Ada {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Asks from `two`, `count` times within `lasting`, for all that there is of the program on this network. How many datagrams
/// came from `one` meanwhile, be they answers or questions of its own.
///
/// # Errors
/// The system gives no socket.
pub fn heard(networks: &Networks, count: usize, lasting: Duration) -> Outcome<usize> {
    networks.within("two", || {
        let socket = open().map_err(|error| error.to_string())?;
        let questions = [query("_visavis._tcp.local", 12), query("_services._dns-sd._udp.local", 12)];
        let (begun, mut asked, mut heard) = (now(), 0, 0);
        let mut buffer = [0; 9000];
        while now() - begun < lasting {
            let due = (count as f64 * (now() - begun).as_secs_f64() / lasting.as_secs_f64()) as usize;
            while asked < due {
                let _ = socket.send_to(&questions[asked % 2], SocketAddr::from((GROUP, PORT)));
                asked += 1;
            }
            while let Ok((_, from)) = socket.recv_from(&mut buffer) {
                heard += usize::from(from.ip() == IpAddr::V4(ADA));
            }
        }
        Ok(heard)
    })
}

fn open() -> std::io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT)).into())?;
    socket.join_multicast_v4(&GROUP, &Ipv4Addr::new(192, 168, 7, 2))?;
    socket.set_multicast_if_v4(&Ipv4Addr::new(192, 168, 7, 2))?;
    socket.set_read_timeout(Some(Duration::from_millis(1)))?;
    Ok(socket.into())
}

/// RFC 1035 §4.1: one question.
fn query(name: &str, kind: u16) -> Vec<u8> {
    let mut bytes = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        bytes.push(label.len() as u8);
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes.extend(kind.to_be_bytes());
    bytes.extend([0, 1]);
    bytes
}
