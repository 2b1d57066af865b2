//! Errands of an account, and of who is a pal.

use super::{At, Errands, unexpected};
use crate::net::service::https::{Asked, Failure, Place};
use crate::people::command::{Outcome, Wanted};
use crate::people::session::Inner;
use crate::people::trust::Trust;
use crate::proto::contact::Contact;
use crate::proto::service::account::{
    ChangePassword, CloseReport, Delete, Invite, LoggedIn, Login as LoginRequest, Nothing, PHOTO_PATH, Recover,
    Register, Registered, Reports, ReportsAsk, Request, Secret, Suspend,
};
use crate::proto::service::frame::{Ask, Reply};
use crate::proto::service::link::ServiceLink;
use crate::proto::service::names::{AccountName, Person};
use crate::proto::service::refusal::{Code, Refusal};
use crate::proto::service::{messages, pals};
use crate::proto::signal::body::Line;
use crate::store::login::{Login, Tokens};

impl Errands {
    pub(super) fn account(&self, wanted: Wanted) -> Asked<Outcome> {
        match wanted {
            Wanted::Register { service, name, password, display } => {
                let request = Request::Register(Box::new(Register {
                    name,
                    password,
                    display,
                    device: self.identity.device().public(),
                    devices: self.identity.devices().clone(),
                    invite: service.invite.clone(),
                }));
                let Registered { login, recovery } = self.place(service.clone())?.account(&request, None)?;
                let person = self.enter(service, login)?;
                Ok(Outcome::Registered { person, recovery })
            }
            Wanted::LogIn { service, name, password } => {
                let device = self.identity.device().public();
                // Only a list of the account's own key is taken; another one would be refused with the login.
                let request = |devices| {
                    let (name, password) = (name.clone(), password.clone());
                    Request::Login(Box::new(LoginRequest { name, password, device, devices }))
                };
                let login = self.place(service.clone())?.account::<LoggedIn>(&request(None), None)?;
                Ok(Outcome::LoggedIn { person: self.enter(service, login)? })
            }
            Wanted::Recover { service, name, code, new } => {
                let device = self.identity.device().public();
                let request = Request::Recover(Box::new(Recover { name, code, new, device }));
                let Registered { login, recovery } = self.place(service.clone())?.account(&request, None)?;
                let person = self.enter(service, login)?;
                Ok(Outcome::Registered { person, recovery })
            }
            Wanted::LogOut => {
                let at = self.at()?;
                // A service that is not there keeps a session that nobody has the tokens of.
                let _ = self.asked::<Nothing>(&at, &Request::Logout);
                self.leave().map(|()| Outcome::Done)
            }
            Wanted::Delete { password } => {
                let at = self.at()?;
                self.asked::<Nothing>(&at, &Request::Delete(Delete { password }))?;
                self.leave().map(|()| Outcome::Done)
            }
            Wanted::ChangePassword { old, new } => {
                let at = self.at()?;
                let fresh: LoggedIn = self.asked(&at, &Request::ChangePassword(ChangePassword { old, new }))?;
                self.enter(at.place.link().clone(), fresh).map(|_| Outcome::Done)
            }
            Wanted::Export => {
                let at = self.at()?;
                let export: crate::proto::service::account::Export = self.asked(&at, &Request::Export)?;
                Ok(Outcome::Export(Box::new(export.export)))
            }
            Wanted::Profile => self.asked(&self.at()?, &Request::Profile).map(Outcome::Profile),
            Wanted::SetProfile(profile) => self.asked(&self.at()?, &Request::SetProfile(profile)).map(Outcome::Profile),
            Wanted::SetPhoto(bytes) => {
                let at = self.at()?;
                let profile = self.with_access(&at, |access| {
                    let body = Some(("application/octet-stream", bytes.as_slice()));
                    at.place.connect()?.request("POST", PHOTO_PATH, Some(access), body)?.json()
                })?;
                Ok(Outcome::Profile(profile))
            }
            Wanted::Invite { uses } => {
                self.asked(&self.at()?, &Request::Invite(Invite { uses })).map(Outcome::Invitation)
            }
            Wanted::Reports { after } => {
                let found: Reports = self.asked(&self.at()?, &Request::Reports(ReportsAsk { after }))?;
                Ok(Outcome::Reports(found.reports.into_vec()))
            }
            Wanted::CloseReport { number } => {
                self.asked::<Nothing>(&self.at()?, &Request::CloseReport(CloseReport { number }))?;
                Ok(Outcome::Done)
            }
            Wanted::Suspend { name, suspended } => {
                self.asked::<Nothing>(&self.at()?, &Request::Suspend(Suspend { name, suspended }))?;
                Ok(Outcome::Done)
            }
            // What the channels carry is asked on them.
            _ => Err(unexpected()),
        }
    }

    /// Asks somebody to be a pal. By a link: only whoever has the link's key, and that is certain from then on.
    pub(super) fn befriend(&self, contact: &Contact, note: Line) -> Asked<Outcome> {
        let at = self.at()?;
        if let Contact::Link(link) = contact
            && link.service.host != at.place.link().host
        {
            let text = format!("{} is at {}, and you are at {}", link.name, link.service.host, at.place.link().host);
            return Err(Failure::Refused(Refusal::new(Code::NotFound, &text)));
        }
        let name = contact.name();
        self.pals(pals::Request::Add { name: name.clone(), note })?;
        let (person, pals) = self.on_roster(name)?;
        if !contact.permits(&person.key) {
            // Undone at once: whoever is behind that key has seen a request, and nothing else.
            self.pals(pals::Request::Remove { name: name.clone() })?;
            return Err(Failure::Refused(Refusal::new(Code::Forbidden, &wrong_key(name))));
        }
        let trust = match contact {
            Contact::Link(_) => {
                at.keys.confirm(name, person.key)?;
                Trust::Verified
            }
            Contact::Name(_) => at.keys.meet([&person])?.pop().unwrap_or_default(),
        };
        if trust == Trust::Changed {
            self.pals(pals::Request::Remove { name: name.clone() })?;
            return Err(Failure::Refused(Refusal::new(Code::Forbidden, &changed_key(name))));
        }
        // The roster is shown as it is now.
        self.pals(pals::Request::Roster { after: None })?;
        Ok(Outcome::Befriended { person, pals, verified: trust == Trust::Verified })
    }

    /// The person compared the digits of the key that the service shows now.
    pub(super) fn verify(&self, name: &AccountName) -> Asked<Outcome> {
        let at = self.at()?;
        let (person, _) = self.on_roster(name)?;
        at.keys.confirm(name, person.key)?;
        self.pals(pals::Request::Roster { after: None })?;
        Ok(Outcome::Done)
    }

    /// Somebody who is a pal, or was asked; whether they are one.
    fn on_roster(&self, name: &AccountName) -> Asked<(Person, bool)> {
        let mut after = None;
        loop {
            let reply = self.pals(pals::Request::Roster { after })?;
            let pals::Reply::Roster { pals, next, waiting, .. } = reply else { return Err(unexpected()) };
            if let Some(pal) = pals.iter().find(|pal| pal.person.name == *name) {
                return Ok((pal.person.clone(), true));
            }
            if let Some(person) = waiting.iter().find(|person| person.name == *name) {
                return Ok((person.clone(), false));
            }
            let none = || Failure::Refused(Refusal::new(Code::NotFound, &format!("{name} is none of your pals")));
            after = Some(next.ok_or_else(none)?);
        }
    }

    pub(super) fn pals(&self, request: pals::Request) -> Asked<pals::Reply> {
        match self.ask(Ask::Pals(request))? {
            Reply::Pals(reply) => Ok(reply),
            _ => Err(unexpected()),
        }
    }

    pub(super) fn messages(&self, request: messages::Request) -> Asked<messages::Reply> {
        match self.ask(Ask::Messages(request))? {
            Reply::Messages(reply) => Ok(reply),
            _ => Err(unexpected()),
        }
    }

    fn place(&self, service: ServiceLink) -> Asked<Place> {
        Ok(Place::new(service, self.quit.clone(), self.proxies.get())?)
    }

    fn asked<T: serde::de::DeserializeOwned>(&self, at: &At, request: &Request) -> Asked<T> {
        self.with_access(at, |access: &Secret| at.place.account(request, Some(access)))
    }

    /// One is logged in from now on; messages can be sealed to this device, where the account's list has it.
    fn enter(&self, service: ServiceLink, login: LoggedIn) -> Asked<Person> {
        let service = ServiceLink { invite: None, ..service };
        let person = login.person.clone();
        let held = self.logins.hold()?;
        let known = held.load()?.filter(|known| known.person.name == person.name);
        let door = known.and_then(|known| known.door);
        let tokens = Some(Tokens::from(login));
        held.save(&Login { service: service.to_string(), person: person.clone(), tokens, door })?;
        drop(held);
        self.tell(Inner::Login);
        if self.has_channels && self.is_own(&person) {
            let key = self.logins.sealing_pair()?.signed(self.identity.device());
            self.messages(messages::Request::PublishKey { key })?;
        }
        Ok(person)
    }

    fn leave(&self) -> Asked<()> {
        self.logins.hold()?.forget()?;
        self.tell(Inner::Login);
        Ok(())
    }
}

fn wrong_key(name: &AccountName) -> String {
    format!(
        "the service shows another key for {name} than the link: refused, and nobody was added. Ask {name} for the link again."
    )
}

pub(super) fn changed_key(name: &AccountName) -> String {
    format!(
        "the service shows another key for {name} than before: refused. Compare the safety number, then say visavis pals verify {name}."
    )
}
