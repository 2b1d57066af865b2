//! Quick Messages from program to program, where the recipient's can be reached: on the same network, or where it was called
//! before.

pub mod door;
pub mod send;
mod talk;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::net::lan::Neighbours;
use crate::proto::keys::PublicKey;
use crate::store::known::KnownPeers;

/// Whether messages go, and come, this way.
#[derive(Clone, Debug, Default)]
pub struct Direct {
    /// Where others find us: TCP B + 2. `None`: nowhere.
    pub port: Option<u16>,
    /// Others are tried; never where only relays are wanted, because it shows our address.
    pub is_wanted: bool,
    pub around: Around,
}

/// Who is on the same network at present.
#[derive(Clone, Debug, Default)]
pub struct Around(Arc<Mutex<Neighbours>>);

impl Around {
    pub fn put(&self, neighbours: Neighbours) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = neighbours;
    }

    /// Where whoever says to hold `key` is.
    fn of(&self, key: &PublicKey) -> Vec<SocketAddr> {
        let neighbours = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let theirs = neighbours.iter().filter(|other| other.key == *key);
        let doors = theirs.flat_map(|other| {
            let port = other.base.saturating_add(DOOR);
            other.addresses.iter().map(move |ip| SocketAddr::new(*ip, port))
        });
        doors.collect()
    }
}

/// Where the holder of `key` may be reached: `said` first, then on the same network, then where they were called before.
pub fn ways(said: Option<SocketAddr>, around: &Around, known: &KnownPeers, key: &PublicKey) -> Vec<SocketAddr> {
    let before = known.addresses_of(key).into_iter();
    let before = before.map(|address| SocketAddr::new(address.ip(), address.port().saturating_add(DOOR)));
    let mut ways: Vec<SocketAddr> = said.into_iter().chain(around.of(key)).chain(before).collect();
    let mut seen = std::collections::HashSet::new();
    ways.retain(|way| seen.insert(*way));
    ways.truncate(MOST_WAYS);
    ways
}

/// From the base port to that of messages.
pub const DOOR: u16 = 2;

/// Each that is silent costs its patience before the service is asked.
const MOST_WAYS: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::lan::Neighbour;

    #[test]
    fn whoever_is_near_or_was_called_before_is_tried_each_place_once() {
        let folder = tempfile::tempdir().expect("folder");
        let mut known = KnownPeers::load(folder.path()).expect("none");
        let (ben, eve) = (PublicKey([1; 32]), PublicKey([2; 32]));
        for (name, key) in
            [("192.0.2.1:2000", ben), ("bens-machine:2000", ben), ("2001:db8::1:3000", ben), ("192.0.2.9:2000", eve)]
        {
            known.remember(name, key, false).expect("kept");
        }
        let around = Around::default();
        let near =
            |key, base, ip: &str| Neighbour { name: "x".into(), key, base, addresses: vec![ip.parse().expect("ip")] };
        around.put(Arc::new(vec![
            near(ben, 2000, "192.0.2.1"),
            near(eve, 2000, "192.0.2.7"),
            near(ben, 2200, "10.0.0.1"),
        ]));
        let texts = |said| ways(said, &around, &known, &ben).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(texts(None), ["192.0.2.1:2002", "10.0.0.1:2202", "[2001:db8::1]:3002"]);
        let said = "127.0.0.1:9".parse().ok();
        assert_eq!(texts(said), ["127.0.0.1:9", "192.0.2.1:2002", "10.0.0.1:2202"]);
    }
}
