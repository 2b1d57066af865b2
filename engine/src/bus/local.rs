//! The bus of a service that is alone: its leases are its own.

use std::collections::BTreeMap;

use crate::bus::Event;

#[derive(Debug, Default)]
pub struct Local {
    held: BTreeMap<String, String>,
    has_changed: bool,
}

impl Local {
    pub fn hold(&mut self, name: &str, value: &str) {
        let before = self.held.insert(name.to_owned(), value.to_owned());
        self.has_changed |= before.as_deref() != Some(value);
    }

    pub fn poll(&mut self) -> Option<Event> {
        let changed = std::mem::take(&mut self.has_changed);
        changed.then(|| Event::Leases(self.held.clone().into_iter().collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_are_told_when_they_change() {
        let mut bus = Local::default();
        assert_eq!(bus.poll(), None);
        bus.hold("relay:1", "a");
        bus.hold("relay:1", "a");
        assert_eq!(bus.poll(), Some(Event::Leases(vec![("relay:1".into(), "a".into())])));
        assert_eq!(bus.poll(), None);
    }
}
