//! The media socket: one UDP port, batched both ways.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use mio::{Interest, Registry, Token};
use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::datagram::{Class, Inbox, Outbox};
use super::impair::Impairment;
use super::impair::port::ImpairedPort;
use crate::base::error::{Error, Kind, Result};
use crate::base::time::{self, Instant};

/// Ports in a media range: base … base + 100.
pub const SPAN: u16 = 100;

/// The largest datagram (or coalesced run of them) that one receive takes.
const RECEIVE_BYTES: usize = 64 << 10;

/// Receives per wake before the tick must run: 8 batches of 32 are 10 ms of 30 Mbit/s. What remains waits in the
/// kernel's buffer and is taken after the tick.
const RECEIVES_PER_WAKE: usize = 8;

/// A segmented send is one datagram to the system until it is cut up: 65,507 bytes are the most that IPv4 has room for.
const SEGMENTED: usize = 65_000;

/// One bound UDP socket and its batching state.
pub struct UdpPort {
    socket: mio::net::UdpSocket,
    state: UdpSocketState,
    port: u16,
    dual_stack: bool,
    class: Class,
    buffers: Vec<u8>,
    drops: u64,
    impaired: Option<Box<ImpairedPort>>,
}

impl UdpPort {
    /// Binds the first free port of `base ..= base + 100` on all addresses, IPv6 and IPv4 on one socket where the
    /// system can.
    ///
    /// # Errors
    /// [`Kind::Refused`] when no port of the range is free: choose another base port.
    pub fn open(base: u16) -> Result<Self> {
        for port in base..=base.saturating_add(SPAN) {
            match Self::bind(port) {
                Ok(udp) => return Ok(udp),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Err(error) => {
                    return Err(Error::new(Kind::Refused, format!("cannot open UDP port {port}: {error}")));
                }
            }
        }
        let next = base.saturating_add(SPAN).saturating_add(1);
        let text = format!("UDP ports {base} to {} are all taken: choose another with --base-port {next}", next - 1);
        Err(Error::new(Kind::Refused, text))
    }

    fn bind(port: u16) -> io::Result<Self> {
        let (socket, dual_stack) = match dual_stack_socket(port) {
            Ok(socket) => (socket, true),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
            Err(_) => (v4_socket(port)?, false),
        };
        socket.set_nonblocking(true)?;
        // At least a second of video at 8 Mbit/s: a tick delayed by the scheduler must not lose packets.
        let _ = socket.set_recv_buffer_size(2 << 20);
        let _ = socket.set_send_buffer_size(2 << 20);
        let socket = mio::net::UdpSocket::from_std(socket.into());
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        let port = socket.local_addr()?.port();
        let buffers = vec![0; RECEIVE_BYTES * BATCH_SIZE];
        let mut udp = Self { socket, state, port, dual_stack, class: Class::Audio, buffers, drops: 0, impaired: None };
        udp.set_class(Class::Video);
        Ok(udp)
    }

    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.socket, token, Interest::READABLE)
    }

    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Datagrams that the kernel would not take (its buffer was full, or no route): lost, as on any path.
    pub const fn drops(&self) -> u64 {
        self.drops
    }

    /// From now on the path is as `impairment` says, both ways, with chances drawn from `seed`.
    pub fn impair(&mut self, impairment: Impairment, seed: u64) {
        self.impaired = Some(Box::new(ImpairedPort::new(impairment, seed)));
    }

    /// When a datagram that an impaired path holds is through; `None` where none is held.
    pub fn next_due(&self) -> Option<Instant> {
        self.impaired.as_ref().and_then(|impaired| impaired.next_due())
    }

    /// Moves what has arrived into `inbox`, stamped. True when more may be waiting: call again after the tick.
    pub fn receive(&mut self, inbox: &mut Inbox) -> bool {
        let more = self.receive_from_socket(inbox);
        if let Some(impaired) = &mut self.impaired {
            impaired.deliver(inbox, time::now());
        }
        more
    }

    fn receive_from_socket(&mut self, inbox: &mut Inbox) -> bool {
        let mut metas = [RecvMeta::default(); BATCH_SIZE];
        for _ in 0..RECEIVES_PER_WAKE {
            let mut chunks = self.buffers.chunks_exact_mut(RECEIVE_BYTES);
            let mut slices: [IoSliceMut<'_>; BATCH_SIZE] =
                std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
            let count = match self.state.recv(UdpSockRef::from(&self.socket), &mut slices, &mut metas) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // An ICMP error of an earlier send is reported here once; the path's liveness decides, not this.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => continue,
                Err(_) => return false,
            };
            let at = time::now();
            for (meta, buffer) in metas.iter().zip(self.buffers.chunks_exact(RECEIVE_BYTES)).take(count) {
                let to = SocketAddr::new(meta.dst_ip.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), canonical), self.port);
                let from = SocketAddr::new(canonical(meta.addr.ip()), meta.addr.port());
                let Some(bytes) = buffer.get(..meta.len) else { continue };
                for datagram in bytes.chunks(meta.stride.max(1)) {
                    match &mut self.impaired {
                        None => inbox.push(from, to, at, datagram),
                        Some(impaired) => impaired.arrive(from, to, datagram, at),
                    }
                }
            }
        }
        true
    }

    /// Sends everything in `outbox`, or what an impaired path has let through by `now`. What the kernel does not take is
    /// counted and lost.
    pub fn send(&mut self, outbox: &Outbox, now: Instant) {
        match &mut self.impaired {
            None => self.put(outbox),
            Some(impaired) => {
                impaired.leave(outbox, now);
                self.send_due(now);
            }
        }
    }

    /// Sends what an impaired path has let through by `now`; nothing where none is impaired.
    pub fn send_due(&mut self, now: Instant) {
        if let Some(mut impaired) = self.impaired.take() {
            self.put(impaired.through(now));
            self.impaired = Some(impaired);
        }
    }

    /// Runs of equal destination and size go as one segmented call.
    fn put(&mut self, outbox: &Outbox) {
        let mut rest = outbox.datagrams.as_slice();
        while let Some(first) = rest.first() {
            let size = first.range.len();
            let most = self.state.max_gso_segments().max(1);
            let mut run = 1;
            // Segmentation offload: equal sizes, only the last of a run may be shorter.
            while run < most && run < rest.len() {
                let (next, last) = (&rest[run], &rest[run - 1]);
                let joins = next.to == first.to && next.from == first.from && next.class == first.class;
                let is_full = (run + 1) * size > SEGMENTED;
                if !joins || is_full || next.range.len() > size || last.range.len() != size {
                    break;
                }
                run += 1;
            }
            let (batch, tail) = rest.split_at(run);
            let end = batch.last().map_or(first.range.end, |last| last.range.end);
            let contents = &outbox.bytes[first.range.start..end];
            self.set_class(first.class);
            let segment = (run > 1).then_some(size);
            if self.transmit(first.from.ip(), first.to, contents, segment).is_err() {
                self.drops += run as u64;
            }
            rest = tail;
        }
    }

    /// One segmented send from our own address. The batching crate always writes a zero type of service into its
    /// control message, which would undo the class set on the socket, so on Linux the call is made here.
    #[cfg(target_os = "linux")]
    fn transmit(&self, from: IpAddr, to: SocketAddr, contents: &[u8], segment: Option<usize>) -> io::Result<()> {
        use std::io::IoSlice;

        use socket2::{MsgHdr, SockAddr};

        let mut ancillary = Ancillary::default();
        if let Some(size) = segment {
            ancillary.push(libc::SOL_UDP, libc::UDP_SEGMENT, &(size as u16).to_ne_bytes());
        }
        match self.outward_ip(from) {
            ip if ip.is_unspecified() => {}
            // ip(7), in_pktinfo: any interface, our address, and one that means something only when received.
            IpAddr::V4(ip) => {
                let [a, b, c, d] = ip.octets();
                ancillary.push(libc::IPPROTO_IP, libc::IP_PKTINFO, &[0, 0, 0, 0, a, b, c, d, 0, 0, 0, 0]);
            }
            // RFC 3542 §6.1, in6_pktinfo: our address, any interface.
            IpAddr::V6(ip) => {
                let mut info = [0; 20];
                info.iter_mut().zip(ip.octets()).for_each(|(to, byte)| *to = byte);
                ancillary.push(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &info);
            }
        }
        let (to, contents) = (SockAddr::from(self.outward(to)), [IoSlice::new(contents)]);
        let message = MsgHdr::new().with_addr(&to).with_buffers(&contents).with_control(ancillary.bytes());
        SockRef::from(&self.socket).sendmsg(&message, libc::MSG_DONTWAIT)?;
        Ok(())
    }

    #[cfg(not(target_os = "linux"))]
    fn transmit(&self, from: IpAddr, to: SocketAddr, contents: &[u8], segment: Option<usize>) -> io::Result<()> {
        let transmit = quinn_udp::Transmit {
            destination: self.outward(to),
            ecn: None,
            contents,
            segment_size: segment,
            src_ip: (!from.is_unspecified()).then(|| self.outward_ip(from)),
        };
        self.state.try_send(UdpSockRef::from(&self.socket), &transmit)
    }

    fn set_class(&mut self, class: Class) {
        if self.class == class {
            return;
        }
        self.class = class;
        let socket = SockRef::from(&self.socket);
        // A system that refuses the mark still carries the datagram.
        let _ = socket.set_tos_v4(class.tos());
        #[cfg(target_os = "linux")]
        if self.dual_stack {
            let _ = socket.set_tclass_v6(class.tos());
        }
    }

    fn outward(&self, to: SocketAddr) -> SocketAddr {
        SocketAddr::new(self.outward_ip(to.ip()), to.port())
    }

    fn outward_ip(&self, ip: IpAddr) -> IpAddr {
        match ip {
            IpAddr::V4(v4) if self.dual_stack => IpAddr::V6(v4.to_ipv6_mapped()),
            other => other,
        }
    }
}

/// What goes to the system beside the contents of one send (RFC 3542 §20): of each item its length, level and type, and
/// the data, filled up to whole words. Written in place, because a send must not allocate.
#[cfg(target_os = "linux")]
#[derive(Debug, Default)]
struct Ancillary {
    /// Room for both items that a send may have, of which an IPv6 address is the longer one: 24 and 40 bytes.
    bytes: [[u8; 32]; 2],
    used: usize,
}

#[cfg(target_os = "linux")]
impl Ancillary {
    fn push(&mut self, level: i32, kind: i32, data: &[u8]) {
        const WORD: usize = size_of::<usize>();
        let length = WORD + 8 + data.len();
        let fields = [&length.to_ne_bytes()[..], &level.to_ne_bytes(), &kind.to_ne_bytes(), data];
        let room = self.bytes.as_flattened_mut().iter_mut().skip(self.used);
        room.zip(fields.into_iter().flatten()).for_each(|(to, byte)| *to = *byte);
        self.used += length.next_multiple_of(WORD);
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.as_flattened().get(..self.used).unwrap_or_default()
    }
}

/// An IPv4 address that arrived over a dual-stack socket, as IPv4 again.
pub fn canonical(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

fn dual_stack_socket(port: u16) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV6, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_only_v6(false)?;
    socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)).into())?;
    Ok(socket)
}

fn v4_socket(port: u16) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)).into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Waits in the kernel until `port` is readable, then moves what is there.
    fn receive_all(port: &mut UdpPort, poll: &mut mio::Poll, count: usize) -> Inbox {
        let mut inbox = Inbox::default();
        let mut events = mio::Events::with_capacity(8);
        let end = time::now() + std::time::Duration::from_secs(5);
        while inbox.datagrams().len() < count && time::now() < end {
            poll.poll(&mut events, Some(std::time::Duration::from_secs(1))).expect("poll");
            while port.receive(&mut inbox) {}
        }
        inbox
    }

    #[test]
    fn a_segmented_batch_arrives_whole_and_in_order() {
        let mut sender = UdpPort::open(0).expect("a free port");
        let mut receiver = UdpPort::open(0).expect("a free port");
        let mut poll = mio::Poll::new().expect("poll");
        receiver.register(poll.registry(), Token(0)).expect("register");
        let to = SocketAddr::from((Ipv4Addr::LOCALHOST, receiver.port()));
        let from = SocketAddr::from((Ipv4Addr::LOCALHOST, sender.port()));
        let mut outbox = Outbox::default();
        for n in 0..20u8 {
            outbox.push(from, to, Class::Video, &vec![n; if n == 19 { 300 } else { 1200 }]);
        }
        outbox.push(from, to, Class::Audio, &[99; 80]);
        sender.send(&outbox, time::now());
        assert_eq!(sender.drops(), 0);
        let inbox = receive_all(&mut receiver, &mut poll, 21);
        assert_eq!(inbox.datagrams().len(), 21);
        for n in 0..20 {
            let (datagram, bytes) = inbox.read(n).expect("datagram");
            assert_eq!(bytes[0] as usize, n);
            assert_eq!((datagram.from, datagram.to), (from, to));
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_is_sent_leaves_from_the_address_it_names() {
        let mut sender = UdpPort::open(0).expect("a free port");
        let mut receiver = UdpPort::open(0).expect("a free port");
        let mut poll = mio::Poll::new().expect("poll");
        receiver.register(poll.registry(), Token(0)).expect("register");
        let to = SocketAddr::from((Ipv4Addr::LOCALHOST, receiver.port()));
        // All of 127.0.0.0/8 is this machine; unasked it would say 127.0.0.1.
        let from = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), sender.port()));
        let mut outbox = Outbox::default();
        (0..3).for_each(|_| outbox.push(from, to, Class::Video, &[1; 1000]));
        outbox.push(from, to, Class::Audio, &[2; 100]);
        sender.send(&outbox, time::now());
        let inbox = receive_all(&mut receiver, &mut poll, 4);
        let seen: Vec<(SocketAddr, usize)> =
            (0..4).filter_map(|n| inbox.read(n)).map(|(datagram, bytes)| (datagram.from, bytes.len())).collect();
        assert_eq!(seen, [(from, 1000), (from, 1000), (from, 1000), (from, 100)]);
    }

    #[test]
    fn the_first_free_port_of_the_range_is_taken() {
        let first = UdpPort::open(42_000).expect("a port");
        let second = UdpPort::open(42_000).expect("a port");
        assert!(second.port() > first.port() && second.port() <= 42_000 + SPAN);
    }
}
