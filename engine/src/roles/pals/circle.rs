//! Who is seen how by whom. Everything that shows presence asks [`Circles::seen`], so that whoever appears offline does
//! so everywhere.

use std::collections::HashMap;

use bevy_ecs::entity::Entity;
use bevy_ecs::resource::Resource;
use bevy_ecs::system::{Query, Res, ResMut};

use crate::base::id::AccountId;
use crate::proto::service::frame::Push as AnyPush;
use crate::proto::service::names::AccountName;
use crate::proto::service::pals::{Presence, Push};
use crate::proto::signal::body::Line;
use crate::service::session::{Present, Session};
use crate::service::shared::{Changes, Now, Outbox, Storage};
use crate::store::op::pals::{Link, Op};
use crate::store::op::{By, Op as StoreOp};

/// The circles of accounts that are there.
#[derive(Resource, Debug, Default)]
pub struct Circles {
    by_account: HashMap<AccountId, Circle>,
}

/// An account that is there.
#[derive(Debug)]
struct Circle {
    name: AccountName,
    /// `None` until the store has said it: nobody is shown anything before.
    links: Option<HashMap<AccountId, bool>>,
    /// What each of its sessions says; those that have said nothing are not in it.
    said: Vec<(Entity, Presence, Line)>,
    /// What is shown to those it does not hide from.
    shown: (Presence, Line),
}

impl Circles {
    /// How `account` is seen by `viewer`.
    pub fn seen(&self, account: AccountId, viewer: AccountId) -> (Presence, Line) {
        let nowhere = (Presence::Offline, Line::default());
        let Some(circle) = self.by_account.get(&account) else { return nowhere };
        match circle.links.as_ref().and_then(|links| links.get(&viewer)) {
            Some(false) => circle.shown.clone(),
            _ => nowhere,
        }
    }

    /// A session says how it is.
    pub fn say(&mut self, account: AccountId, session: Entity, presence: Presence, text: Line) {
        let Some(circle) = self.by_account.get_mut(&account) else { return };
        circle.said.retain(|(one, ..)| *one != session);
        circle.said.push((session, presence, text));
    }

    /// The store has said who the pals are.
    pub fn set_links(&mut self, account: AccountId, links: Vec<Link>) {
        if let Some(circle) = self.by_account.get_mut(&account) {
            circle.links = Some(links.into_iter().map(|link| (link.account, link.hidden)).collect());
        }
    }

    /// The two are pals from now on, or not any more.
    pub fn pair(&mut self, one: AccountId, other: AccountId, are_pals: bool) {
        for (one, other) in [(one, other), (other, one)] {
            let Some(links) = self.by_account.get_mut(&one).and_then(|circle| circle.links.as_mut()) else { continue };
            match are_pals {
                true => drop(links.insert(other, false)),
                false => drop(links.remove(&other)),
            }
        }
    }

    /// `account` appears offline to `from`, or not any more; how it was seen before.
    pub fn hide(&mut self, account: AccountId, from: AccountId, hidden: bool) {
        if let Some(links) = self.by_account.get_mut(&account).and_then(|circle| circle.links.as_mut()) {
            links.insert(from, hidden);
        }
    }

    /// Pushes to `viewer` how `account` is seen.
    pub fn tell(&self, account: AccountId, name: &AccountName, viewer: AccountId, present: &Present, out: &mut Outbox) {
        let (presence, text) = self.seen(account, viewer);
        let push = AnyPush::Pals(Push::Presence { name: name.clone(), presence, text });
        out.push(present.of(viewer).iter().copied(), &push);
    }

    /// Finds what is shown of `account` anew, and tells all who see it where that has changed.
    pub fn refresh(&mut self, account: AccountId, present: &Present, out: &mut Outbox) {
        let Some(circle) = self.by_account.get_mut(&account) else { return };
        let Some(links) = &circle.links else { return };
        let shown = shown_of(&circle.said);
        if shown == circle.shown {
            return;
        }
        circle.shown = shown;
        let push = Push::Presence { name: circle.name.clone(), presence: circle.shown.0, text: circle.shown.1.clone() };
        let viewers = links.iter().filter(|(_, hidden)| !**hidden).flat_map(|(viewer, _)| present.of(*viewer));
        out.push(viewers.copied(), &AnyPush::Pals(push));
    }

    fn add(&mut self, account: AccountId, name: &AccountName) -> bool {
        let mut is_new = false;
        self.by_account.entry(account).or_insert_with(|| {
            is_new = true;
            let shown = (Presence::Offline, Line::default());
            Circle { name: name.clone(), links: None, said: Vec::new(), shown }
        });
        is_new
    }

    fn forget(&mut self, account: AccountId, session: Entity) {
        if let Some(circle) = self.by_account.get_mut(&account) {
            circle.said.retain(|(one, ..)| *one != session);
        }
    }
}

/// Whoever appears offline on one device does so altogether; busy goes before online, and online before away.
fn shown_of(said: &[(Entity, Presence, Line)]) -> (Presence, Line) {
    let rank = |presence| match presence {
        Presence::Offline => 3,
        Presence::Busy => 2,
        Presence::Online => 1,
        Presence::Away => 0,
    };
    let shown = said.iter().max_by_key(|(_, presence, _)| rank(*presence));
    match shown {
        None | Some((_, Presence::Offline, _)) => (Presence::Offline, Line::default()),
        Some((_, presence, text)) => (*presence, text.clone()),
    }
}

/// Loads the circle of whoever came, and shows who went.
pub fn follow_sessions(
    sessions: Query<&Session>,
    mut circles: ResMut<Circles>,
    mut outbox: ResMut<Outbox>,
    changes: Res<Changes>,
    present: Res<Present>,
    storage: Res<Storage>,
    now: Res<Now>,
) {
    for (entity, session, _) in &changes.went {
        circles.forget(session.account, *entity);
        circles.refresh(session.account, &present, &mut outbox);
        // Of several that went in one tick the last one finds nobody left.
        if present.of(session.account).is_empty() {
            circles.by_account.remove(&session.account);
        }
    }
    for entity in &changes.came {
        let Ok(session) = sessions.get(*entity) else { continue };
        if circles.add(session.account, &session.person.name) {
            let by = By { account: session.account, at: now.wall() };
            let op = StoreOp::Pals(Box::new(Op::Circle(by)));
            // Refused where too much waits: the client's own requests are refused then too, and it comes again.
            if storage.submit(*entity, 0, op).is_err() {
                circles.by_account.remove(&session.account);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entity(n: u32) -> Entity {
        Entity::from_raw_u32(n).expect("an entity")
    }

    #[test]
    fn of_several_devices_the_most_telling_is_shown_and_offline_hides_all() {
        let line = Line::default;
        let said = |presences: &[Presence]| {
            let said: Vec<_> = presences.iter().zip(0..).map(|(p, n)| (entity(n), *p, line())).collect();
            shown_of(&said).0
        };
        use Presence::{Away, Busy, Offline, Online};
        assert_eq!(said(&[]), Offline);
        assert_eq!(said(&[Away, Online]), Online);
        assert_eq!(said(&[Busy, Online, Away]), Busy);
        assert_eq!(said(&[Online, Offline]), Offline);
    }

    #[test]
    fn one_is_seen_by_pals_only_and_not_by_those_one_hides_from() {
        let (mut circles, present, mut outbox) = (Circles::default(), Present::default(), Outbox::default());
        let (ada, ben, eve, mia) = (AccountId(1), AccountId(2), AccountId(3), AccountId(4));
        let name = AccountName::new("ada").expect("a name");
        circles.add(ada, &name);
        circles.say(ada, entity(1), Presence::Online, Line::default());
        circles.refresh(ada, &present, &mut outbox);
        assert_eq!(circles.seen(ada, ben).0, Presence::Offline, "before the pals are known nobody is shown anything");
        let link = |account, hidden| Link { account, name: name.clone(), hidden };
        circles.set_links(ada, vec![link(ben, false), link(mia, true)]);
        circles.refresh(ada, &present, &mut outbox);
        assert_eq!(circles.seen(ada, ben).0, Presence::Online);
        assert_eq!(circles.seen(ada, mia).0, Presence::Offline, "hidden from");
        assert_eq!(circles.seen(ada, eve).0, Presence::Offline, "no pal");
        circles.pair(ada, ben, false);
        assert_eq!(circles.seen(ada, ben).0, Presence::Offline);
    }
}
