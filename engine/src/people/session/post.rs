//! The door for messages of pals who reach us without a service: open while somebody is logged in who is seen.

use std::collections::HashMap;

use super::Session;
use crate::people::command::Notice;
use crate::people::direct::door::{Door, Writers};
use crate::people::trust::Trust;
use crate::proto::service::pals::Presence;

/// The door, and who may write.
#[derive(Default)]
pub struct Post {
    door: Option<Door>,
    writers: Writers,
    is_refused: bool,
}

impl Session {
    /// Opens and closes the door, and says who may write: pals, but those whose key has changed or to whom one appears offline.
    pub(super) fn see_to_door(&mut self) {
        let Some(port) = self.config.direct.port else { return };
        let is_wanted = self.view.person.is_some() && self.view.presence != Presence::Offline;
        if !is_wanted {
            self.post.door = None;
            return;
        }
        let pals = self.view.pals.iter().filter(|pal| pal.trust != Trust::Changed && !pal.pal.hidden);
        let writers: HashMap<_, _> = pals.map(|pal| (pal.pal.person.key, pal.pal.person.clone())).collect();
        *self.post.writers.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = writers;
        if self.post.door.is_some() || self.post.is_refused {
            return;
        }
        let (data, writers) = (self.config.data.clone(), self.post.writers.clone());
        match Door::open(port, data, &self.config.name, writers, self.ends.inner_out.clone(), self.ends.wake.clone()) {
            Ok(door) => self.post.door = Some(door),
            Err(error) => {
                // Said once: the messages come by the service.
                self.post.is_refused = true;
                let _ = self.ends.notices.try_send(Notice::Trouble(error.text.into()));
            }
        }
    }
}
