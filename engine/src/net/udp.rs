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
                if !joins || next.range.len() > size || last.range.len() != size {
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
        use std::os::fd::AsRawFd;

        use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
        use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrStorage, sendmsg};

        let segment = segment.map(|size| size as u16);
        let (v4, v6);
        let mut control: [Option<ControlMessage<'_>>; 2] = [segment.as_ref().map(ControlMessage::UdpGsoSegments), None];
        match self.outward_ip(from) {
            ip if ip.is_unspecified() => {}
            IpAddr::V4(ip) => {
                let address = in_addr { s_addr: u32::from_ne_bytes(ip.octets()) };
                v4 = in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: address, ipi_addr: in_addr { s_addr: 0 } };
                control[1] = Some(ControlMessage::Ipv4PacketInfo(&v4));
            }
            IpAddr::V6(ip) => {
                v6 = in6_pktinfo { ipi6_ifindex: 0, ipi6_addr: in6_addr { s6_addr: ip.octets() } };
                control[1] = Some(ControlMessage::Ipv6PacketInfo(&v6));
            }
        }
        let control: &[ControlMessage<'_>] = match (control[0], control[1]) {
            (Some(a), Some(b)) => &[a, b],
            (Some(a), None) | (None, Some(a)) => &[a],
            (None, None) => &[],
        };
        let to = SockaddrStorage::from(self.outward(to));
        sendmsg(self.socket.as_raw_fd(), &[IoSlice::new(contents)], control, MsgFlags::MSG_DONTWAIT, Some(&to))?;
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

    #[test]
    fn the_first_free_port_of_the_range_is_taken() {
        let first = UdpPort::open(42_000).expect("a port");
        let second = UdpPort::open(42_000).expect("a port");
        assert!(second.port() > first.port() && second.port() <= 42_000 + SPAN);
    }
}
