//! Takes what the store has done.

use bevy_ecs::system::{Res, ResMut};

use crate::service::shared::{Collected, Storage};

pub fn collect_done(storage: Res<Storage>, mut collected: ResMut<Collected>) {
    storage.store.collect(&mut collected.0);
}
