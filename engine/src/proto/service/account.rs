//! Accounts, as JSON over HTTPS. Each request is a `POST` to `/v1/account/…` whose path is its [`Request::path`]; with
//! [`Request::needs_token`] it carries `Authorization: Bearer ACCESS`. An answer is 200 with the JSON of the type named
//! at the request, or another status with a [`Refusal`](super::refusal::Refusal).

use std::fmt;

use serde::{Deserialize, Serialize};

use super::names::{AccountName, Millis, Person};
use super::profile::Profile;
use crate::proto::devices::DeviceList;
use crate::proto::keys::PublicKey;
use crate::proto::signal::body::Name;
use crate::proto::text::{List, Prose, Text};

/// A request of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// → [`Registered`].
    Register(Box<Register>),
    /// → [`LoggedIn`].
    Login(Box<Login>),
    /// → [`LoggedIn`]. The refresh token is used up: a second use ends all sessions that came of it.
    Refresh(Refresh),
    /// → [`Nothing`]. Ends this session.
    Logout,
    /// → [`LoggedIn`]. Ends all other sessions.
    ChangePassword(ChangePassword),
    /// → [`Registered`], with a new recovery code. Ends all other sessions.
    Recover(Box<Recover>),
    /// → [`Nothing`]. The account and what it owns are gone.
    Delete(Delete),
    /// → [`Export`].
    Export,
    /// → [`Nothing`]. A list with a higher serial, of the same account key.
    SetDevices(Box<SetDevices>),
    /// → [`Profile`]: one's own, with everything.
    Profile,
    /// → [`Profile`]. The photo is not changed here but by `POST /v1/account/photo` with the picture as body.
    SetProfile(Box<Profile>),
    /// → [`Invitation`].
    Invite(Invite),
    /// As one who runs the service: what was reported, oldest first. → [`Reports`]
    Reports(ReportsAsk),
    /// As one who runs the service: a report was dealt with. → [`Nothing`]
    CloseReport(CloseReport),
    /// As one who runs the service: an account can log in no more, or again. → [`Nothing`]
    Suspend(Suspend),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Register {
    pub name: AccountName,
    pub password: Secret,
    #[serde(default)]
    pub display: Name,
    /// The device that registers; it must be in `devices`.
    pub device: PublicKey,
    pub devices: DeviceList,
    #[serde(default)]
    pub invite: Option<Secret>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Login {
    pub name: AccountName,
    pub password: Secret,
    /// The device that logs in. It is rung and gets sealed messages once the account's list has it.
    pub device: PublicKey,
    /// A newer list than the service may have.
    #[serde(default)]
    pub devices: Option<DeviceList>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refresh {
    pub refresh: Secret,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangePassword {
    pub old: Secret,
    pub new: Secret,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recover {
    pub name: AccountName,
    pub code: Secret,
    pub new: Secret,
    pub device: PublicKey,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delete {
    pub password: Secret,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetDevices {
    pub devices: DeviceList,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invite {
    /// How many may register with it.
    pub uses: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportsAsk {
    /// The number of the last one of the page before.
    #[serde(default)]
    pub after: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reports {
    /// Those that are not closed.
    pub reports: List<Report, 100>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    pub number: u64,
    pub at: Millis,
    pub by: Person,
    pub about: Person,
    pub text: Prose<2000>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloseReport {
    pub number: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspend {
    pub name: AccountName,
    pub suspended: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoggedIn {
    pub person: Person,
    /// For `Authorization: Bearer`, and for opening the channels.
    pub access: Secret,
    pub access_until: Millis,
    pub refresh: Secret,
    pub refresh_until: Millis,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    pub login: LoggedIn,
    /// To be written down: with it a lost password can be replaced, once.
    pub recovery: Secret,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    pub invite: Secret,
    /// For others: where the service is, its key, and the invitation.
    pub link: String,
}

/// Everything that the service holds of an account, as JSON made for people to keep.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Export {
    pub export: serde_json::Value,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nothing {}

/// A password, a token or a code: shown to nobody who prints it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(Text<512>);

impl Secret {
    pub fn new(text: &str) -> Self {
        Self(Text::cut(text))
    }

    /// The secret itself: for hashing, comparing and sending only.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a secret")
    }
}

/// The path of uploads of one's photo: JPEG, PNG or WebP, at most 2 MiB. → [`Profile`].
pub const PHOTO_PATH: &str = "/v1/account/photo";

impl Request {
    pub const fn path(&self) -> &'static str {
        match self {
            Self::Register(_) => "/v1/account/register",
            Self::Login(_) => "/v1/account/login",
            Self::Refresh(_) => "/v1/account/refresh",
            Self::Logout => "/v1/account/logout",
            Self::ChangePassword(_) => "/v1/account/password",
            Self::Recover(_) => "/v1/account/recover",
            Self::Delete(_) => "/v1/account/delete",
            Self::Export => "/v1/account/export",
            Self::SetDevices(_) => "/v1/account/devices",
            Self::Profile => "/v1/account/profile",
            Self::SetProfile(_) => "/v1/account/profile/set",
            Self::Invite(_) => "/v1/account/invite",
            Self::Reports(_) => "/v1/account/reports",
            Self::CloseReport(_) => "/v1/account/reports/close",
            Self::Suspend(_) => "/v1/account/suspend",
        }
    }

    pub const fn needs_token(&self) -> bool {
        !matches!(self, Self::Register(_) | Self::Login(_) | Self::Refresh(_) | Self::Recover(_))
    }

    /// The body to send: JSON, `{}` where there is nothing to say.
    pub fn body(&self) -> Vec<u8> {
        let written = match self {
            Self::Register(body) => serde_json::to_vec(body),
            Self::Login(body) => serde_json::to_vec(body),
            Self::Refresh(body) => serde_json::to_vec(body),
            Self::ChangePassword(body) => serde_json::to_vec(body),
            Self::Recover(body) => serde_json::to_vec(body),
            Self::Delete(body) => serde_json::to_vec(body),
            Self::SetDevices(body) => serde_json::to_vec(body),
            Self::SetProfile(body) => serde_json::to_vec(body),
            Self::Invite(body) => serde_json::to_vec(body),
            Self::Reports(body) => serde_json::to_vec(body),
            Self::CloseReport(body) => serde_json::to_vec(body),
            Self::Suspend(body) => serde_json::to_vec(body),
            Self::Logout | Self::Export | Self::Profile => Ok(b"{}".to_vec()),
        };
        // These types have no map with keys that are not text, which is all that can fail.
        written.unwrap_or_default()
    }

    /// The request of a path and a body; `None` for a path of no request.
    pub fn parse(path: &str, body: &[u8]) -> Option<serde_json::Result<Self>> {
        fn read<'a, T: Deserialize<'a>>(body: &'a [u8], make: fn(T) -> Request) -> serde_json::Result<Request> {
            serde_json::from_slice(body).map(make)
        }
        let nothing = |request: Self| serde_json::from_slice::<Nothing>(body).map(|_| request);
        Some(match path {
            "/v1/account/register" => read(body, |body| Self::Register(Box::new(body))),
            "/v1/account/login" => read(body, |body| Self::Login(Box::new(body))),
            "/v1/account/refresh" => read(body, Self::Refresh),
            "/v1/account/logout" => nothing(Self::Logout),
            "/v1/account/password" => read(body, Self::ChangePassword),
            "/v1/account/recover" => read(body, |body| Self::Recover(Box::new(body))),
            "/v1/account/delete" => read(body, Self::Delete),
            "/v1/account/export" => nothing(Self::Export),
            "/v1/account/devices" => read(body, |body| Self::SetDevices(Box::new(body))),
            "/v1/account/profile" => nothing(Self::Profile),
            "/v1/account/profile/set" => read(body, |body| Self::SetProfile(Box::new(body))),
            "/v1/account/invite" => read(body, Self::Invite),
            "/v1/account/reports" => read(body, Self::Reports),
            "/v1/account/reports/close" => read(body, Self::CloseReport),
            "/v1/account/suspend" => read(body, Self::Suspend),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again_at_its_path() {
        let requests = [
            Request::Logout,
            Request::Export,
            Request::Profile,
            Request::Refresh(Refresh { refresh: Secret::new("r") }),
            Request::ChangePassword(ChangePassword { old: Secret::new("o"), new: Secret::new("n") }),
            Request::Delete(Delete { password: Secret::new("p") }),
            Request::Invite(Invite { uses: 3 }),
            Request::Reports(ReportsAsk { after: 3 }),
            Request::CloseReport(CloseReport { number: 3 }),
            Request::Suspend(Suspend { name: AccountName::new("ada").expect("a name"), suspended: true }),
            Request::SetProfile(Box::default()),
        ];
        for request in requests {
            let read = Request::parse(request.path(), &request.body()).expect("a path").expect("its form");
            assert_eq!(read, request);
        }
        assert!(Request::parse("/v1/account/other", b"{}").is_none());
    }

    #[test]
    fn a_secret_is_not_printed() {
        let login = Refresh { refresh: Secret::new("hunter2") };
        assert!(!format!("{login:?}").contains("hunter2"));
    }
}
