//! People on the same network: what is announced of one by DNS-SD (RFC 6763), and what an announcement says.

use std::net::IpAddr;

use crate::base::error::{Error, Kind};
use crate::proto::hex;
use crate::proto::keys::PublicKey;
use crate::proto::target::check_base;

/// The service's type (RFC 6763 §7).
pub const SERVICE: &str = "_visavis._tcp.local.";

/// Somebody on the same network, as they say of themselves: a name and a key that nobody has vouched for. Who holds the key is
/// shown when a connection stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbour {
    pub name: String,
    pub key: PublicKey,
    pub base: u16,
    /// At least one, IPv4 first.
    pub addresses: Vec<IpAddr>,
}

/// Whether one is seen by the others on the network, and looks for them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Visibility {
    /// Neither; nothing is sent.
    #[default]
    Off,
    /// Look for others, without being seen.
    Hidden,
    Shown,
}

impl Neighbour {
    /// Of an announcement's texts, port and addresses; `None`: it is of another version, or not whole.
    pub fn read(
        name: Option<&str>,
        key: Option<&str>,
        base: u16,
        addresses: impl Iterator<Item = IpAddr>,
    ) -> Option<Self> {
        let name = shown(name?);
        check_base(base).ok().filter(|()| !name.is_empty())?;
        let key = PublicKey(hex::parse(key?)?);
        let mut addresses: Vec<IpAddr> = addresses.filter(|ip| is_usable(*ip)).take(MOST_ADDRESSES).collect();
        addresses.sort_unstable();
        addresses.dedup();
        (!addresses.is_empty()).then_some(Self { name, key, base, addresses })
    }

    pub fn is_called(&self, name: &str) -> bool {
        self.name.to_lowercase() == name.trim().to_lowercase()
    }
}

impl std::str::FromStr for Visibility {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "off" => Ok(Self::Off),
            "hidden" => Ok(Self::Hidden),
            "on" => Ok(Self::Shown),
            _ => Err(Error::new(Kind::Refused, "say on, hidden or off")),
        }
    }
}

/// The name of an announcement: one of a kind even where two people are called the same (RFC 6763 §4.1.1: at most 63 bytes).
pub fn instance(name: &str, key: &PublicKey) -> String {
    let mut name = shown(name);
    while name.len() > 50 {
        name.pop();
    }
    let mark: String = hex::text(&key.0).chars().take(8).collect();
    // A dot would part the name.
    format!("{} {mark}", name.replace('.', " ")).trim().to_owned()
}

/// What stands in an announcement (RFC 6763 §6).
pub fn properties(name: &str, key: &PublicKey) -> [(&'static str, String); 3] {
    [("txtvers", "1".to_owned()), (NAME, shown(name)), (KEY, hex::text(&key.0))]
}

pub const NAME: &str = "name";
pub const KEY: &str = "key";

/// A name as it may stand on a screen.
fn shown(name: &str) -> String {
    let kept: String = name.trim().chars().filter(|c| !c.is_control()).take(64).collect();
    kept.trim().to_owned()
}

/// One that can be called without saying by which interface.
fn is_usable(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !(ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || ip.is_broadcast()),
        IpAddr::V6(ip) => !(ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || ip.is_unicast_link_local()),
    }
}

const MOST_ADDRESSES: usize = 8;

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::*;

    const KEY: PublicKey = PublicKey([0xab; 32]);

    #[test]
    fn what_is_announced_is_read() {
        let [_, (_, name), (_, key)] = properties(" Ada \u{7}Lovelace ", &KEY);
        let addresses = ["::1", "fe80::1", "2001:db8::7", "127.0.0.1", "192.168.1.7", "192.168.1.7"];
        let addresses = addresses.map(|text| text.parse().expect("an address"));
        let read = Neighbour::read(Some(&name), Some(&key), 2000, addresses.into_iter()).expect("whole");
        assert_eq!((read.name.as_str(), read.key, read.base), ("Ada Lovelace", KEY, 2000));
        assert_eq!(read.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(), ["192.168.1.7", "2001:db8::7"]);
        assert!(read.is_called(" ada lovelace") && !read.is_called("ada"));
    }

    #[test]
    fn what_is_not_whole_is_nobody() {
        let address: IpAddr = "192.168.1.7".parse().expect("an address");
        let (key, one) = (hex::text(&KEY.0), || [address].into_iter());
        assert!(Neighbour::read(Some("Ada"), Some(&key), 2000, one()).is_some());
        assert!(Neighbour::read(Some("\u{1b}"), Some(&key), 2000, one()).is_none());
        assert!(Neighbour::read(None, Some(&key), 2000, one()).is_none());
        assert!(Neighbour::read(Some("Ada"), Some("abc"), 2000, one()).is_none());
        assert!(Neighbour::read(Some("Ada"), Some(&key), 2018, one()).is_none());
        assert!(Neighbour::read(Some("Ada"), Some(&key), 2000, [].into_iter()).is_none());
    }

    proptest! {
        #[test]
        fn an_announcement_has_a_name_that_fits(name in any::<String>()) {
            let instance = instance(&name, &KEY);
            assert!(instance.len() <= 63 && !instance.contains('.') && instance.ends_with("abababab"), "{instance}");
        }
    }
}
