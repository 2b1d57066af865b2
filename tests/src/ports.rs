//! Ports that no other test uses.

use std::net::{TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};

/// TCP takes the first three ports of a base, UDP the first 101.
const BLOCK: u16 = 110;

/// Below the system's own choices (from 32768 up), above what programs use by default.
const FIRST: u16 = 12_000;
const BLOCKS: u16 = 180;

/// A base port whose first ports are free. No two calls of one process get the same; processes begin at different
/// places.
pub fn free_base() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let begin = (std::process::id() % u32::from(BLOCKS)) as u16;
    (0..BLOCKS)
        .map(|_| FIRST + (begin + NEXT.fetch_add(1, Ordering::Relaxed)) % BLOCKS * BLOCK)
        .find(|base| is_free(*base))
        .expect("some of 180 blocks of ports are free")
}

fn is_free(base: u16) -> bool {
    (0..3).all(|offset| TcpListener::bind(("0.0.0.0", base + offset)).is_ok())
        && (0..2).all(|offset| UdpSocket::bind(("0.0.0.0", base + offset)).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_is_given_once_and_a_taken_one_never() {
        let first = free_base();
        let _taken = TcpListener::bind(("0.0.0.0", first)).expect("free");
        assert!(!is_free(first));
        let others: Vec<u16> = (0..20).map(|_| free_base()).collect();
        assert!(!others.contains(&first));
        assert!(others.iter().all(|base| base.abs_diff(first) >= BLOCK));
    }
}
