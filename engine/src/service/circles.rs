//! Who is seen how by whom. Everything that shows presence, or that tells that somebody is there, asks [`Circles`], so that
//! whoever appears offline does so everywhere.

use std::collections::{BTreeSet, HashMap};

use bevy_ecs::entity::Entity;
use bevy_ecs::resource::Resource;
use bevy_ecs::system::Query;

use crate::base::id::AccountId;
use crate::bus::log::PeerId;
use crate::proto::service::frame::Push as AnyPush;
use crate::proto::service::names::AccountName;
use crate::proto::service::pals::{Presence, Push};
use crate::proto::signal::body::Line;
use crate::service::between::Part;
use crate::service::session::{Present, Session};
use crate::service::shared::Outbox;
use crate::store::op::pals::Link;

/// The circles of accounts that are there, and what other services tell of theirs.
#[derive(Resource, Debug, Default)]
pub struct Circles {
    by_account: HashMap<AccountId, Circle>,
    elsewhere: HashMap<AccountId, Vec<(PeerId, Part)>>,
}

/// An account that is there.
#[derive(Debug)]
struct Circle {
    name: AccountName,
    /// `None` until the store has said it: nobody is shown anything before.
    links: Option<HashMap<AccountId, bool>>,
    /// What each of its sessions says; those that have said nothing are not in it.
    said: Vec<(Entity, Presence, Line)>,
}

type Shown = (Presence, Line);

impl Circles {
    /// How `account` is seen by `viewer`.
    pub fn seen(&self, account: AccountId, viewer: AccountId) -> Shown {
        if self.is_seen_by(account, viewer) { self.shown(account) } else { nowhere() }
    }

    /// A session says how it is. All who see it are told where that has changed.
    pub fn say(
        &mut self,
        (account, session): (AccountId, Entity),
        (presence, text): Shown,
        present: &Present,
        out: &mut Outbox,
    ) {
        self.change(account, present, out, |circles| {
            let Some(circle) = circles.by_account.get_mut(&account) else { return };
            circle.said.retain(|(one, ..)| *one != session);
            circle.said.push((session, presence, text));
        });
    }

    /// The store has said who the pals are.
    pub fn set_links(&mut self, account: AccountId, links: Vec<Link>, present: &Present, out: &mut Outbox) {
        self.change(account, present, out, |circles| {
            if let Some(circle) = circles.by_account.get_mut(&account) {
                circle.links = Some(links.into_iter().map(|link| (link.account, link.hidden)).collect());
            }
        });
    }

    /// The two are pals from now on, or not any more; whoever tells them so tells how each is seen.
    pub fn pair(&mut self, one: AccountId, other: AccountId, are_pals: bool) {
        for (one, other) in [(one, other), (other, one)] {
            let Some(links) = self.by_account.get_mut(&one).and_then(|circle| circle.links.as_mut()) else { continue };
            match are_pals {
                true => drop(links.insert(other, false)),
                false => drop(links.remove(&other)),
            }
        }
    }

    /// `account` appears offline to `from`, or not any more. Whoever was seen offline before is seen so still: nothing is
    /// told then, or the telling would tell.
    pub fn hide(&mut self, account: AccountId, from: AccountId, hidden: bool, present: &Present, out: &mut Outbox) {
        self.change(account, present, out, |circles| {
            if let Some(links) = circles.by_account.get_mut(&account).and_then(|circle| circle.links.as_mut()) {
                links.insert(from, hidden);
            }
        });
    }

    /// What another service tells of its part of an account.
    pub fn set_elsewhere(&mut self, at: PeerId, part: Part, present: &Present, out: &mut Outbox) {
        let account = part.account;
        self.change(account, present, out, |circles| {
            let parts = circles.elsewhere.entry(account).or_default();
            parts.retain(|(peer, _)| *peer != at);
            parts.push((at, part));
        });
    }

    /// An account has no sessions at another service any more.
    pub fn left_elsewhere(&mut self, at: PeerId, account: AccountId, present: &Present, out: &mut Outbox) {
        self.change(account, present, out, |circles| {
            let Some(parts) = circles.elsewhere.get_mut(&account) else { return };
            parts.retain(|(peer, _)| *peer != at);
            if parts.is_empty() {
                circles.elsewhere.remove(&account);
            }
        });
    }

    /// Nothing is known of another service any more.
    pub fn forget_elsewhere(&mut self, at: PeerId, present: &Present, out: &mut Outbox) {
        let is_there = |parts: &[(PeerId, Part)]| parts.iter().any(|(peer, _)| *peer == at);
        let accounts = self.elsewhere.iter().filter(|(_, parts)| is_there(parts));
        for account in accounts.map(|(account, _)| *account).collect::<Vec<_>>() {
            self.left_elsewhere(at, account, present, out);
        }
    }

    /// This service's part of an account, for the others.
    pub fn part(&self, account: AccountId, sessions: &Query<&Session>, present: &Present) -> Option<Part> {
        let circle = self.by_account.get(&account)?;
        let sessions = present.of(account).iter().filter_map(|one| sessions.get(*one).ok());
        let seen_by = circle.links.as_ref().map(|links| {
            let mut seen_by: Vec<_> = links.iter().filter(|(_, hidden)| !**hidden).map(|(viewer, _)| *viewer).collect();
            seen_by.sort_unstable();
            seen_by
        });
        Some(Part {
            account,
            name: circle.name.clone(),
            devices: sessions.map(|session| session.device).collect(),
            said: circle.said(),
            seen_by,
        })
    }

    /// Those from whom an account that is at this service hides; `None`: from everybody, or it is not known yet. What
    /// somebody does while they hide is told to none of them.
    pub fn hides_from(&self, account: AccountId) -> Option<Vec<AccountId>> {
        let circle = self.by_account.get(&account)?;
        let links = circle.links.as_ref()?;
        let mut said = circle.said().into_iter().chain(self.parts(account).filter_map(|part| part.said.clone()));
        if said.any(|(presence, _)| presence == Presence::Offline) {
            return None;
        }
        Some(links.iter().filter(|(_, hidden)| **hidden).map(|(viewer, _)| *viewer).collect())
    }

    /// The accounts that are at this service.
    pub fn accounts(&self) -> impl Iterator<Item = AccountId> {
        self.by_account.keys().copied()
    }

    /// Changes what is known of an account, and tells each who is at this service and sees it otherwise than before.
    fn change(&mut self, account: AccountId, present: &Present, out: &mut Outbox, how: impl FnOnce(&mut Self)) {
        let (before, seen_before) = (self.shown(account), self.viewers(account, present));
        let name_before = self.name(account);
        how(self);
        let (after, seen_after) = (self.shown(account), self.viewers(account, present));
        let Some(name) = self.name(account).or(name_before) else { return };
        let push = |shown: Shown| {
            let (presence, text) = shown;
            AnyPush::Pals(Push::Presence { name: name.clone(), presence, text })
        };
        let at =
            |viewers: &BTreeSet<AccountId>, shown: &Shown, is_other: &dyn Fn(AccountId) -> bool, out: &mut Outbox| {
                let viewers = viewers.iter().filter(|viewer| is_other(**viewer)).flat_map(|viewer| present.of(*viewer));
                out.push(viewers.copied(), &push(shown.clone()));
            };
        // Seen before and now, newly seen, and seen no more.
        let saw = |viewer: AccountId| seen_before.contains(&viewer);
        if before != after {
            at(&seen_after, &after, &saw, out);
        }
        if after != nowhere() {
            at(&seen_after, &after, &|viewer| !saw(viewer), out);
        }
        if before != nowhere() {
            at(&seen_before, &nowhere(), &|viewer| !seen_after.contains(&viewer), out);
        }
    }

    /// Who of this service sees the account.
    fn viewers(&self, account: AccountId, present: &Present) -> BTreeSet<AccountId> {
        let links = self.by_account.get(&account).and_then(|circle| circle.links.as_ref());
        let here = links.into_iter().flat_map(HashMap::keys);
        let elsewhere = self.parts(account).filter_map(|part| part.seen_by.as_ref()).flatten();
        let is_here = |viewer: &AccountId| !present.of(*viewer).is_empty();
        here.chain(elsewhere).copied().filter(is_here).filter(|viewer| self.is_seen_by(account, *viewer)).collect()
    }

    /// Whether every service that knows lets the viewer see the account: one that has not heard yet that it hides from
    /// them must not show it.
    fn is_seen_by(&self, account: AccountId, viewer: AccountId) -> bool {
        let circle = self.by_account.get(&account).filter(|circle| !circle.said.is_empty());
        let links = circle.and_then(|circle| circle.links.as_ref());
        let here = links.map(|links| links.get(&viewer) == Some(&false));
        let parts = self.parts(account).filter(|part| part.said.is_some()).filter_map(|part| part.seen_by.as_ref());
        let mut all = here.into_iter().chain(parts.map(|seen_by| seen_by.binary_search(&viewer).is_ok())).peekable();
        all.peek().is_some() && all.all(|is_seen| is_seen)
    }

    /// What is shown of an account to those it does not hide from.
    fn shown(&self, account: AccountId) -> Shown {
        let here = self.by_account.get(&account).and_then(Circle::said);
        shown_of(here.into_iter().chain(self.parts(account).filter_map(|part| part.said.clone())))
    }

    fn name(&self, account: AccountId) -> Option<AccountName> {
        let here = self.by_account.get(&account).map(|circle| circle.name.clone());
        here.or_else(|| self.parts(account).next().map(|part| part.name.clone()))
    }

    fn parts(&self, account: AccountId) -> impl Iterator<Item = &Part> {
        self.elsewhere.get(&account).into_iter().flatten().map(|(_, part)| part)
    }

    /// Somebody has come. `true` where nothing is known of the account yet: whoever adds it asks the store for its pals.
    pub fn add(&mut self, account: AccountId, name: &AccountName) -> bool {
        let mut is_new = false;
        self.by_account.entry(account).or_insert_with(|| {
            is_new = true;
            Circle { name: name.clone(), links: None, said: Vec::new() }
        });
        is_new
    }

    /// None of the account's sessions is there any more.
    pub fn remove(&mut self, account: AccountId) {
        self.by_account.remove(&account);
    }

    /// A session is over.
    pub fn forget(&mut self, account: AccountId, session: Entity, present: &Present, out: &mut Outbox) {
        self.change(account, present, out, |circles| {
            if let Some(circle) = circles.by_account.get_mut(&account) {
                circle.said.retain(|(one, ..)| *one != session);
            }
        });
    }
}

impl Circle {
    /// What its sessions say together.
    fn said(&self) -> Option<Shown> {
        let said = self.said.iter().map(|(_, presence, text)| (*presence, text.clone()));
        said.max_by_key(|(presence, _)| rank(*presence))
    }
}

fn nowhere() -> Shown {
    (Presence::Offline, Line::default())
}

/// Whoever appears offline on one device does so altogether; busy goes before online, and online before away.
fn shown_of(said: impl Iterator<Item = Shown>) -> Shown {
    match said.max_by_key(|(presence, _)| rank(*presence)) {
        None | Some((Presence::Offline, _)) => nowhere(),
        Some(shown) => shown,
    }
}

const fn rank(presence: Presence) -> u8 {
    match presence {
        Presence::Offline => 3,
        Presence::Busy => 2,
        Presence::Online => 1,
        Presence::Away => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entity(n: u32) -> Entity {
        Entity::from_raw_u32(n).expect("an entity")
    }

    fn ada() -> AccountName {
        AccountName::new("ada").expect("a name")
    }

    const ADA: AccountId = AccountId(1);
    const BEN: AccountId = AccountId(2);
    const EVE: AccountId = AccountId(3);
    const MIA: AccountId = AccountId(4);

    fn shown(presence: Presence) -> Shown {
        (presence, Line::default())
    }

    fn link(account: AccountId, hidden: bool) -> Link {
        Link { account, name: ada(), hidden }
    }

    fn part(said: Option<Presence>, seen_by: &[AccountId]) -> Part {
        Part { account: ADA, name: ada(), devices: Vec::new(), said: said.map(shown), seen_by: Some(seen_by.to_vec()) }
    }

    #[test]
    fn of_several_devices_the_most_telling_is_shown_and_offline_hides_all() {
        let said = |presences: &[Presence]| shown_of(presences.iter().map(|presence| shown(*presence))).0;
        use Presence::{Away, Busy, Offline, Online};
        assert_eq!(said(&[]), Offline);
        assert_eq!(said(&[Away, Online]), Online);
        assert_eq!(said(&[Busy, Online, Away]), Busy);
        assert_eq!(said(&[Online, Offline]), Offline);
    }

    #[test]
    fn one_is_seen_by_pals_only_and_not_by_those_one_hides_from() {
        let (mut circles, present, mut outbox) = (Circles::default(), Present::default(), Outbox::default());
        circles.add(ADA, &ada());
        circles.say((ADA, entity(1)), shown(Presence::Online), &present, &mut outbox);
        assert_eq!(circles.seen(ADA, BEN).0, Presence::Offline, "before the pals are known nobody is shown anything");
        circles.set_links(ADA, vec![link(BEN, false), link(MIA, true)], &present, &mut outbox);
        assert_eq!(circles.seen(ADA, BEN).0, Presence::Online);
        assert_eq!(circles.seen(ADA, MIA).0, Presence::Offline, "hidden from");
        assert_eq!(circles.seen(ADA, EVE).0, Presence::Offline, "no pal");
        circles.pair(ADA, BEN, false);
        assert_eq!(circles.seen(ADA, BEN).0, Presence::Offline);
    }

    #[test]
    fn each_service_tells_its_own_people_once_how_one_is_elsewhere() {
        let (mut circles, mut present, mut outbox) = (Circles::default(), Present::default(), Outbox::default());
        present.add(BEN, entity(2));
        present.add(MIA, entity(4));
        let mut told = |circles: &mut Circles, said, seen_by: &[AccountId]| {
            circles.set_elsewhere(PeerId(9), part(said, seen_by), &present, &mut outbox);
            outbox.0.drain(..).map(|(to, _)| to).collect::<Vec<_>>()
        };
        assert_eq!(told(&mut circles, Some(Presence::Online), &[BEN, EVE]), [entity(2)], "eve is not at this service");
        assert_eq!(told(&mut circles, Some(Presence::Online), &[BEN, EVE]), [], "nothing new");
        assert_eq!(told(&mut circles, Some(Presence::Online), &[BEN, MIA]), [entity(4)], "she is a pal now");
        assert_eq!(told(&mut circles, Some(Presence::Busy), &[BEN]), [entity(2), entity(4)], "and hidden from now");
        assert_eq!((circles.seen(ADA, BEN).0, circles.seen(ADA, MIA).0), (Presence::Busy, Presence::Offline));
        circles.forget_elsewhere(PeerId(9), &present, &mut outbox);
        assert_eq!(outbox.0.len(), 1, "whoever saw her sees her go");
        assert_eq!(circles.seen(ADA, BEN).0, Presence::Offline);
    }

    #[test]
    fn a_service_that_has_not_heard_yet_that_one_hides_does_not_show_one() {
        let (mut circles, present, mut outbox) = (Circles::default(), Present::default(), Outbox::default());
        circles.add(ADA, &ada());
        circles.say((ADA, entity(1)), shown(Presence::Online), &present, &mut outbox);
        circles.set_elsewhere(PeerId(9), part(Some(Presence::Away), &[BEN, MIA]), &present, &mut outbox);
        assert_eq!(circles.seen(ADA, BEN).0, Presence::Online, "what is not loaded yet is no reason to hide");
        circles.set_links(ADA, vec![link(BEN, false), link(MIA, true)], &present, &mut outbox);
        assert_eq!(circles.seen(ADA, BEN).0, Presence::Online);
        assert_eq!(circles.seen(ADA, MIA).0, Presence::Offline);
        circles.set_elsewhere(PeerId(9), part(Some(Presence::Offline), &[BEN, MIA]), &present, &mut outbox);
        assert_eq!(circles.seen(ADA, BEN).0, Presence::Offline, "offline on one device hides all");
    }

    #[test]
    fn what_somebody_does_while_hiding_is_told_to_nobody_they_hide_from() {
        let (mut circles, present, mut outbox) = (Circles::default(), Present::default(), Outbox::default());
        circles.add(ADA, &ada());
        assert_eq!(circles.hides_from(ADA), None, "it is not known yet");
        circles.set_links(ADA, vec![link(BEN, false), link(MIA, true)], &present, &mut outbox);
        assert_eq!(circles.hides_from(ADA), Some(vec![MIA]), "also before she has said how she is");
        circles.say((ADA, entity(1)), shown(Presence::Online), &present, &mut outbox);
        assert_eq!(circles.hides_from(ADA), Some(vec![MIA]));
        circles.set_elsewhere(PeerId(9), part(Some(Presence::Offline), &[BEN]), &present, &mut outbox);
        assert_eq!(circles.hides_from(ADA), None, "offline on one device hides from all");
    }
}
