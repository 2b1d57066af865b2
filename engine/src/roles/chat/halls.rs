//! Which connections hear what is said in which room.

use std::collections::HashMap;

use bevy_ecs::entity::Entity;
use bevy_ecs::resource::Resource;
use bevy_ecs::system::{Res, ResMut};

use crate::base::id::AccountId;
use crate::proto::service::names::RoomId;
use crate::service::shared::Changes;

/// Listeners by room, and rooms by listener.
#[derive(Resource, Debug, Default)]
pub struct Halls {
    by_room: HashMap<RoomId, Vec<(AccountId, Entity)>>,
    by_listener: HashMap<Entity, Vec<RoomId>>,
}

impl Halls {
    /// A connection has asked for its rooms: from now on it hears what is said in them.
    pub fn open(&mut self, listener: Entity) {
        self.by_listener.entry(listener).or_default();
    }

    /// Adds a listener that has opened.
    pub fn enter(&mut self, room: RoomId, account: AccountId, listener: Entity) {
        let Some(rooms) = self.by_listener.get_mut(&listener) else { return };
        if !rooms.contains(&room) {
            rooms.push(room);
            self.by_room.entry(room).or_default().push((account, listener));
        }
    }

    /// All of an account's listeners are out of a room.
    pub fn leave(&mut self, room: RoomId, account: AccountId) {
        let Some(listeners) = self.by_room.get_mut(&room) else { return };
        for (_, listener) in listeners.iter().filter(|(one, _)| *one == account) {
            if let Some(rooms) = self.by_listener.get_mut(listener) {
                rooms.retain(|one| *one != room);
            }
        }
        listeners.retain(|(one, _)| *one != account);
    }

    pub fn listeners(&self, room: RoomId) -> impl Iterator<Item = (AccountId, Entity)> {
        self.by_room.get(&room).into_iter().flatten().copied()
    }

    fn forget(&mut self, listener: Entity) {
        for room in self.by_listener.remove(&listener).unwrap_or_default() {
            if let Some(listeners) = self.by_room.get_mut(&room) {
                listeners.retain(|(_, one)| *one != listener);
                if listeners.is_empty() {
                    self.by_room.remove(&room);
                }
            }
        }
    }
}

/// Whoever is gone hears nothing more.
pub fn forget_gone(mut halls: ResMut<Halls>, changes: Res<Changes>) {
    changes.went.iter().for_each(|(listener, ..)| halls.forget(*listener));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_hears_the_rooms_one_is_in_until_one_leaves_or_goes() {
        let mut halls = Halls::default();
        let (room, other) = (RoomId(1), RoomId(2));
        let listener = |n| Entity::from_raw_u32(n).expect("an entity");
        halls.enter(room, AccountId(1), listener(1));
        assert_eq!(halls.listeners(room).count(), 0, "it has not asked for its rooms");
        for n in [1, 2, 3] {
            halls.open(listener(n));
        }
        halls.enter(room, AccountId(1), listener(1));
        halls.enter(room, AccountId(1), listener(2));
        halls.enter(room, AccountId(1), listener(2));
        halls.enter(room, AccountId(2), listener(3));
        halls.enter(other, AccountId(2), listener(3));
        assert_eq!(halls.listeners(room).count(), 3);
        halls.leave(room, AccountId(1));
        assert_eq!(halls.listeners(room).collect::<Vec<_>>(), [(AccountId(2), listener(3))]);
        halls.forget(listener(3));
        assert!(halls.by_room.values().all(Vec::is_empty) && halls.listeners(other).count() == 0);
    }
}
