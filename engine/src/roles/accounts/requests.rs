//! What comes over HTTP: requests of accounts, pages, and the wish for channels.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bevy_ecs::entity::Entity;
use bevy_ecs::resource::Resource;
use bevy_ecs::system::{Query, Res, ResMut};

use crate::base::time::Duration;
use crate::net::bucket::Buckets;
use crate::net::web::connection::WebRequest;
use crate::proto::hex;
use crate::proto::http::Method;
use crate::proto::keys::{Digest, random};
use crate::proto::service::account::{PHOTO_PATH, Register, Request, Secret};
use crate::proto::service::frame::{PATH as CHANNELS, PROTOCOL};
use crate::proto::service::names::{AccountName, Millis};
use crate::proto::service::refusal::{Code, Refusal};
use crate::roles::accounts::backoff::Backoff;
use crate::roles::accounts::hashed::Then;
use crate::roles::accounts::photo::LARGEST_PHOTO;
use crate::roles::accounts::{Hashers, pages};
use crate::service::session::Connection;
use crate::service::shared::{Asked, Now, Outbox, Registration, Rules, Storage};
use crate::store::op::Op as StoreOp;
use crate::store::op::accounts::{Checked, Holder, NewTokens, Op};
use crate::store::passwords::Work;

/// How often each address may have a password hashed, which is what costs the service most, and may look at pages.
#[derive(Resource, Debug)]
pub struct Registrations {
    /// Registrations without an invitation.
    registrations: Buckets,
    /// Whatever has a password checked, whoever it is about.
    logins: Buckets,
    /// Profile pages and photos, so that nobody copies them all.
    pages: Buckets,
}

impl Default for Registrations {
    fn default() -> Self {
        let buckets = || Buckets::new(MOST_ADDRESSES);
        Self { registrations: buckets(), logins: buckets(), pages: buckets() }
    }
}

pub fn take_requests(
    connections: Query<&Connection>,
    mut asked: ResMut<Asked>,
    mut outbox: ResMut<Outbox>,
    mut registrations: ResMut<Registrations>,
    hashers: Res<Hashers>,
    backoff: Res<Backoff>,
    storage: Res<Storage>,
    rules: Res<Rules>,
    now: Res<Now>,
) {
    for (from, request) in asked.http.drain(..) {
        let Ok(connection) = connections.get(from) else { continue };
        let address = connection.web.peer().ip().to_canonical();
        let mut desk = Desk {
            from,
            address,
            registrations: &mut registrations,
            hashers: &hashers,
            backoff: &backoff,
            storage: &storage,
            rules: &rules,
            now: *now,
        };
        match desk.take(*request) {
            Ok(Some(page)) => outbox.answer(from, page),
            // The answer comes from the store.
            Ok(None) => {}
            Err(refusal) => outbox.refuse_http(from, &refusal),
        }
    }
}

/// What one request is looked at with.
struct Desk<'a> {
    from: Entity,
    address: IpAddr,
    registrations: &'a mut Registrations,
    hashers: &'a Hashers,
    backoff: &'a Backoff,
    storage: &'a Storage,
    rules: &'a Rules,
    now: Now,
}

type Taken = Result<Option<crate::net::web::connection::Response>, Refusal>;

impl Desk<'_> {
    fn take(&mut self, request: WebRequest) -> Taken {
        let head = &request.head;
        let at = self.now.wall();
        match (head.method, head.path.as_str()) {
            (Method::Get, CHANNELS) => {
                let access = self.access(&request)?;
                let upgrade = head.upgrade.as_ref().filter(|upgrade| upgrade.protocols.iter().any(|p| p == PROTOCOL));
                let key =
                    upgrade.ok_or_else(|| malformed("channels are opened as a WebSocket that speaks visavis.1"))?;
                self.submit(Op::Open { access, key: key.key.clone(), at })
            }
            (Method::Get, "/" | "/join") => Ok(Some(pages::front())),
            (Method::Get, path) => self.page(path, head.bearer.as_deref(), at),
            (Method::Post, PHOTO_PATH) => {
                let access = self.access(&request)?;
                if request.body.is_empty() || request.body.len() > LARGEST_PHOTO {
                    return Err(Refusal::new(Code::TooLarge, "a photo has at most 2 MiB"));
                }
                self.submit(Op::Who { access, at, then: Holder::Photo(request.body) })
            }
            (Method::Post, path) => {
                let parsed = Request::parse(path, &request.body).ok_or_else(not_found)?;
                let wanted = parsed.map_err(|_| malformed("the request is not of its form"))?;
                let access = if wanted.needs_token() { Some(self.access(&request)?) } else { None };
                self.account(wanted, access.unwrap_or(Digest([0; 32])), at)
            }
        }
    }

    fn account(&mut self, request: Request, access: Digest, at: Millis) -> Taken {
        match request {
            Request::Register(request) => self.register(request),
            Request::Login(login) => {
                self.may_try(&login.name)?;
                self.submit(Op::Find { login })
            }
            Request::Refresh(request) => {
                self.submit(Op::Refresh { refresh: request.refresh, tokens: new_tokens(at)?, at })
            }
            Request::Logout => self.submit(Op::Logout { access, at }),
            Request::ChangePassword(request) => {
                check_password(&request.new)?;
                self.may_hash()?;
                self.submit(Op::Check {
                    access,
                    at,
                    then: Checked::ChangePassword { old: request.old, new: request.new },
                })
            }
            Request::Recover(request) => {
                check_password(&request.new)?;
                self.may_try(&request.name)?;
                self.submit(Op::CheckRecovery { request, at })
            }
            Request::Delete(request) => {
                self.may_hash()?;
                self.submit(Op::Check { access, at, then: Checked::Delete { password: request.password } })
            }
            Request::Export => self.submit(Op::Export { access, at }),
            Request::SetDevices(request) => {
                self.submit(Op::SetDevices { access, devices: Box::new(request.devices), at })
            }
            Request::Profile => self.submit(Op::Profile { access, at }),
            Request::SetProfile(profile) => self.submit(Op::SetProfile { access, profile, at }),
            Request::Reports(request) => self.submit(Op::Reports { access, after: request.after, at }),
            Request::CloseReport(request) => self.submit(Op::CloseReport { access, number: request.number, at }),
            Request::Suspend(request) => {
                self.submit(Op::Suspend { access, name: request.name, suspended: request.suspended, at })
            }
            Request::Invite(request) => self.submit(Op::Invite { access, code: new_secret()?, uses: request.uses, at }),
        }
    }

    fn register(&mut self, request: Box<Register>) -> Taken {
        if self.rules.registration == Registration::Closed {
            return Err(Refusal::new(Code::Closed, "nobody can register here at present"));
        }
        if self.rules.registration == Registration::Invite && request.invite.is_none() {
            return Err(Refusal::new(Code::Closed, "one registers here by invitation: ask somebody for a link"));
        }
        check_password(&request.password)?;
        if request.devices.verify(&request.device).is_err() {
            return Err(Refusal::new(Code::Forbidden, "the account's key did not sign this device"));
        }
        let count = if self.is_this_machine() { 1_000_000 } else { 30 };
        let hour = Duration::from_secs(3600);
        if request.invite.is_none() && !self.registrations.registrations.take_of(self.address, count, hour, self.now.0)
        {
            let text = "too many accounts were made from your address: try again later";
            return Err(Refusal::retry_after(Code::TooOften, text, 120_000));
        }
        self.hashers.0.submit(Work::Hash(request.password.clone()), Then::Register(self.from, request))?;
        Ok(None)
    }

    fn page(&mut self, path: &str, bearer: Option<&str>, at: Millis) -> Taken {
        let per_minute = if self.is_this_machine() { 100_000 } else { PAGES_PER_MINUTE };
        if !self.registrations.pages.take(self.address, per_minute, self.now.0) {
            return Err(Refusal::retry_after(Code::TooOften, "too many pages for your address: wait", 1000));
        }
        let access = bearer.map(|token| Digest::of(token.as_bytes()));
        if let Some(name) = path.strip_prefix("/people/") {
            let name = AccountName::new(name).map_err(|_| not_found())?;
            return self.submit(Op::Page { name, access, at });
        }
        if let Some(photo) = path.strip_prefix("/photos/") {
            return self.submit(Op::Photo { photo: photo.to_owned(), access, at });
        }
        Err(not_found())
    }

    /// Whether this address may have one more password checked, whoever's it is.
    fn may_hash(&mut self) -> Result<(), Refusal> {
        let per_minute = if self.is_this_machine() { 100_000 } else { 60 };
        match self.registrations.logins.take(self.address, per_minute, self.now.0) {
            true => Ok(()),
            false => Err(Refusal::retry_after(Code::TooOften, "too many logins from your address: wait", 1000)),
        }
    }

    fn may_try(&mut self, name: &AccountName) -> Result<(), Refusal> {
        self.may_hash()?;
        self.backoff.may_try(name, self.address, self.now.0).map_err(|wait| {
            let wait = u32::try_from(wait.as_millis()).unwrap_or(u32::MAX).max(1);
            Refusal::retry_after(Code::TooOften, "too many wrong passwords from your address: wait", wait)
        })
    }

    /// Several programs of one machine share its own address; other addresses of the loopback network are like any.
    fn is_this_machine(&self) -> bool {
        [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)].contains(&self.address)
    }

    /// The hash of the token that came with a request.
    fn access(&self, request: &WebRequest) -> Result<Digest, Refusal> {
        let token = request.head.bearer.as_deref().filter(|token| !token.is_empty());
        let token = token.ok_or_else(|| Refusal::new(Code::Unauthorized, "log in first"))?;
        Ok(Digest::of(token.as_bytes()))
    }

    fn submit(&self, op: Op) -> Taken {
        self.storage.submit(self.from, 0, StoreOp::Accounts(Box::new(op))).map(|()| None)
    }
}

/// Tokens of 256 random bits: an access token for a quarter of an hour, a refresh token for sixty days.
pub(super) fn new_tokens(at: Millis) -> Result<NewTokens, Refusal> {
    const ACCESS: u64 = 15 * 60 * 1000;
    const REFRESH: u64 = 60 * 24 * 3600 * 1000;
    let until = |time| Millis(at.0.saturating_add(time));
    let (access, refresh) = (new_secret()?, new_secret()?);
    Ok(NewTokens { access, access_until: until(ACCESS), refresh, refresh_until: until(REFRESH) })
}

pub(super) fn new_secret() -> Result<Secret, Refusal> {
    let bytes: [u8; 32] = random().map_err(|_| Refusal::new(Code::Busy, "the service's system gives no randomness"))?;
    Ok(Secret::new(&hex::text(&bytes)))
}

/// A hundred and sixty random bits in groups that can be written down.
pub(super) fn new_recovery_code() -> Result<Secret, Refusal> {
    let bytes: [u8; 20] = random().map_err(|_| Refusal::new(Code::Busy, "the service's system gives no randomness"))?;
    let text = data_encoding::BASE32_NOPAD.encode(&bytes);
    let groups: Vec<&str> = (0..text.len()).step_by(4).map(|at| &text[at..at + 4]).collect();
    Ok(Secret::new(&groups.join("-")))
}

/// NIST SP 800-63B §5.1.1.2: length is what counts.
fn check_password(password: &Secret) -> Result<(), Refusal> {
    match password.expose().chars().count() {
        8..=256 => Ok(()),
        _ => Err(malformed("a password has 8 to 256 characters")),
    }
}

/// Those who fill the table keep everybody else out, so it is large: at 40 bytes each 2.6 MB.
const MOST_ADDRESSES: usize = 65_536;

/// A person who looks at one after another, and the photos on them.
const PAGES_PER_MINUTE: u32 = 240;

fn malformed(text: &str) -> Refusal {
    Refusal::new(Code::Malformed, text)
}

fn not_found() -> Refusal {
    Refusal::new(Code::NotFound, "there is no such page")
}
