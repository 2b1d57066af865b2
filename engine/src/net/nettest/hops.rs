//! How many routers with private addresses stand on the way out: two are one too many.

use std::net::Ipv4Addr;
use std::sync::atomic::AtomicBool;

/// `None`: the routers do not say, or this system does not tell.
#[cfg(target_os = "linux")]
pub fn private_routers(to: Ipv4Addr, quit: &AtomicBool) -> Option<u8> {
    use std::sync::atomic::Ordering;

    use crate::proto::mapping::is_public;

    let mut count = None;
    for hops in 1..=MOST {
        if quit.load(Ordering::Relaxed) {
            return None;
        }
        let Some(router) = linux::router_at(to, hops) else { break };
        let is_inner = router != to && !is_public(router.into());
        if !is_inner {
            count = count.or(Some(0));
            break;
        }
        count = Some(u8::try_from(hops).unwrap_or(u8::MAX));
    }
    count
}

#[cfg(not(target_os = "linux"))]
pub fn private_routers(_to: Ipv4Addr, _quit: &AtomicBool) -> Option<u8> {
    None
}

/// Nobody has more routers at home.
#[cfg(target_os = "linux")]
const MOST: u32 = 4;

#[cfg(target_os = "linux")]
mod linux {
    use std::io::IoSliceMut;
    use std::net::{Ipv4Addr, UdpSocket};
    use std::os::fd::AsRawFd;

    use nix::sys::socket::sockopt::Ipv4RecvErr;
    use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg, setsockopt};

    use crate::base::time::{self, Duration};

    /// Who says that a packet died after so many hops (RFC 792, time exceeded), or that it has arrived.
    pub fn router_at(to: Ipv4Addr, hops: u32) -> Option<Ipv4Addr> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
        setsockopt(&socket, Ipv4RecvErr, &true).ok()?;
        socket.set_ttl(hops).ok()?;
        socket.set_nonblocking(true).ok()?;
        let begun = time::now();
        for wait in TRIES {
            // An error is the answer to the one before: it is read below.
            let _ = socket.send_to(b"visavis", (to, PORT));
            let until = begun.checked_add(wait)?;
            while time::now() < until {
                if let Some(from) = offender(&socket) {
                    return Some(from);
                }
                std::thread::sleep(LOOK);
            }
        }
        None
    }

    fn offender(socket: &UdpSocket) -> Option<Ipv4Addr> {
        let mut bytes = [0; 64];
        let mut pieces = [IoSliceMut::new(&mut bytes)];
        let mut control = nix::cmsg_space!([u8; 128]);
        let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
        let message = recvmsg::<SockaddrIn>(socket.as_raw_fd(), &mut pieces, Some(&mut control), flags).ok()?;
        let address = |message| match message {
            ControlMessageOwned::Ipv4RecvErr(_, from) => from,
            _ => None,
        };
        let from = message.cmsgs().ok()?.find_map(address)?;
        Some(Ipv4Addr::from(u32::from_be(from.sin_addr.s_addr)))
    }

    /// Where traceroute begins; nobody listens there.
    const PORT: u16 = 33_434;
    const TRIES: [Duration; 2] = [Duration::from_millis(400), Duration::from_millis(900)];
    const LOOK: Duration = Duration::from_millis(5);
}
