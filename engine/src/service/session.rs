//! A connection, and the session of an account on it.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use bevy_ecs::component::Component;
use bevy_ecs::entity::Entity;
use bevy_ecs::resource::Resource;

use crate::base::id::AccountId;
use crate::net::bucket::group;
use crate::net::web::connection::WebConnection;
use crate::net::web::doors::DoorKind;
use crate::proto::keys::PublicKey;
use crate::proto::service::frame::{Channel, ChannelLimits};
use crate::proto::service::names::Person;

/// One connection.
#[derive(Component, Debug)]
pub struct Connection {
    pub web: WebConnection,
    /// Its place among the tokens of the poll.
    pub slot: usize,
    /// Where it came in.
    pub door: DoorKind,
}

/// An account's session on a connection that carries its channels.
#[derive(Component, Clone, Debug)]
pub struct Session {
    pub account: AccountId,
    pub person: Person,
    pub device: PublicKey,
    pub admin: bool,
    buckets: [Bucket; 4],
}

/// How much of a channel is left: full again at this time.
#[derive(Clone, Copy, Debug)]
struct Bucket(Instant);

impl Session {
    pub const fn new(account: AccountId, person: Person, device: PublicKey, admin: bool, now: Instant) -> Self {
        Self { account, person, device, admin, buckets: [Bucket(now); 4] }
    }

    /// Takes one request of `channel`; how long to wait where none is left (ITU-T I.371's virtual scheduling).
    pub fn take(&mut self, channel: Channel, now: Instant) -> Result<(), Duration> {
        let at = match channel {
            Channel::Directory => 0,
            Channel::Pals => 1,
            Channel::Chat => 2,
            Channel::Messages | Channel::Unknown => 3,
        };
        let ChannelLimits { per_second, burst, .. } = channel.limits();
        let step = Duration::from_secs(1) / per_second;
        let full = self.buckets[at].0.max(now) + step;
        let over = full.saturating_duration_since(now).saturating_sub(step * burst);
        if !over.is_zero() {
            return Err(over);
        }
        self.buckets[at] = Bucket(full);
        Ok(())
    }
}

/// Who is there: the sessions of each account.
#[derive(Resource, Debug, Default)]
pub struct Present {
    by_account: HashMap<AccountId, Vec<Entity>>,
}

impl Present {
    pub fn add(&mut self, account: AccountId, session: Entity) {
        self.by_account.entry(account).or_default().push(session);
    }

    /// `true` when it was the account's last one.
    pub fn remove(&mut self, account: AccountId, session: Entity) -> bool {
        let Some(sessions) = self.by_account.get_mut(&account) else { return false };
        sessions.retain(|one| *one != session);
        let is_last = sessions.is_empty();
        if is_last {
            self.by_account.remove(&account);
        }
        is_last
    }

    pub fn of(&self, account: AccountId) -> &[Entity] {
        self.by_account.get(&account).map_or(&[], Vec::as_slice)
    }

    pub fn accounts(&self) -> usize {
        self.by_account.len()
    }
}

/// Connections that have not shown a token yet, by address, oldest first: those of one address make room for each
/// other, and where there are too many altogether, those of the address that has most make room for everybody else.
#[derive(Resource, Debug, Default)]
pub struct Strangers {
    by_address: HashMap<IpAddr, VecDeque<Entity>>,
    /// The same addresses by how many they have.
    by_count: BTreeSet<(usize, IpAddr)>,
    count: usize,
}

impl Strangers {
    /// One more from `address`; the connection that has to go for it, where there are too many.
    pub fn add(&mut self, address: IpAddr, connection: Entity) -> Option<Entity> {
        let address = group(address);
        self.change(address, |list| list.push_back(connection));
        let own = self.by_address.get(&address).map_or(0, VecDeque::len);
        let crowded = match self.by_count.last() {
            _ if own > MOST_OF_ADDRESS => address,
            Some((_, crowded)) if self.count > MOST => *crowded,
            _ => return None,
        };
        let mut oldest = None;
        self.change(crowded, |list| oldest = list.pop_front());
        oldest
    }

    /// It has shown a token, or is over.
    pub fn remove(&mut self, address: IpAddr, connection: Entity) {
        self.change(group(address), |list| list.retain(|one| *one != connection));
    }

    pub const fn count(&self) -> usize {
        self.count
    }

    fn change(&mut self, address: IpAddr, how: impl FnOnce(&mut VecDeque<Entity>)) {
        let list = self.by_address.entry(address).or_default();
        let before = list.len();
        how(list);
        let after = list.len();
        if before != after {
            self.by_count.remove(&(before, address));
            self.by_count.insert((after, address));
            self.count = self.count + after - before;
        }
        if after == 0 {
            self.by_count.remove(&(0, address));
            self.by_address.remove(&address);
        }
    }
}

/// One address has a few, behind a shared one a few hundred people may log in at once.
const MOST_OF_ADDRESS: usize = 256;

/// At 40 KiB each 320 MB, and then only while they say something.
const MOST: usize = 8192;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::now;
    use crate::proto::service::names::AccountName;

    #[test]
    fn a_channel_takes_its_burst_and_then_its_rate() {
        let start = now();
        let person = Person {
            name: AccountName::new("ada").expect("a name"),
            key: PublicKey([0; 32]),
            display: Default::default(),
        };
        let mut session = Session::new(AccountId(1), person, PublicKey([0; 32]), false, start);
        let mut take = |ms| session.take(Channel::Chat, start + Duration::from_millis(ms));
        assert_eq!((0..20).filter(|_| take(0).is_ok()).count(), 10);
        assert_eq!(take(0), Err(Duration::from_millis(200)));
        assert!(take(200).is_ok() && take(200).is_err());
        assert!(session.take(Channel::Pals, start).is_ok(), "channels do not share");
    }

    #[test]
    fn strangers_of_one_address_make_room_for_each_other_only() {
        let mut strangers = Strangers::default();
        let (loud, quiet): (IpAddr, IpAddr) = ([127, 0, 0, 2].into(), [127, 0, 0, 1].into());
        let entity = |n: u32| Entity::from_raw_u32(n).expect("an entity");
        assert_eq!(strangers.add(quiet, entity(0)), None);
        let dropped: Vec<_> = (1..1000).filter_map(|n| strangers.add(loud, entity(n))).collect();
        assert_eq!(dropped.len(), 999 - MOST_OF_ADDRESS);
        assert_eq!(dropped[0], entity(1), "the oldest goes first");
        strangers.remove(quiet, entity(0));
        assert_eq!(strangers.count(), MOST_OF_ADDRESS);
    }

    #[test]
    fn where_strangers_fill_everything_those_of_the_largest_crowd_go_first() {
        let mut strangers = Strangers::default();
        let entity = |n: usize| Entity::from_raw_u32(n as u32).expect("an entity");
        // Two hundred and fifty-six each from thirty-two addresses: no more than each may have, and all places taken.
        let address = |n: usize| IpAddr::from([10, 0, 0, n as u8]);
        for n in 0..MOST {
            assert_eq!(strangers.add(address(n / MOST_OF_ADDRESS), entity(n)), None);
        }
        let quiet: IpAddr = [192, 0, 2, 1].into();
        let (first, second) = (strangers.add(quiet, entity(MOST)), strangers.add(quiet, entity(MOST + 1)));
        let of_crowd = |gone: Option<Entity>| gone.is_some_and(|gone| (0..MOST).any(|n| entity(n) == gone));
        assert!(of_crowd(first) && of_crowd(second) && first != second);
        assert_eq!(strangers.count(), MOST);
        // A whole /64 is one customer.
        let mut strangers = Strangers::default();
        let v6 = |n: u16| IpAddr::from([0x2001, 0xdb8, 0, 0, n, 0, 0, n]);
        let dropped = (0..1000u16).filter_map(|n| strangers.add(v6(n), entity(n.into()))).count();
        assert_eq!(dropped, 1000 - MOST_OF_ADDRESS);
        (0..1000u16).for_each(|n| strangers.remove(v6(n), entity(n.into())));
        assert_eq!((strangers.count(), strangers.by_count.len(), strangers.by_address.len()), (0, 0, 0));
    }
}
