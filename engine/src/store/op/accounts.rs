//! Operations on accounts.

use crate::base::id::AccountId;
use crate::proto::devices::DeviceList;
use crate::proto::keys::{Digest, PublicKey};
use crate::proto::service::account::{Export, LoggedIn, Login, Recover, Register, Registered, Reports, Secret};
use crate::proto::service::names::{AccountName, Millis, Person};
use crate::proto::service::profile::{Profile, Viewer};

/// The hash of a password, as the store keeps it.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(pub String);

impl std::fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a hash")
    }
}

/// Tokens for a session that is to be opened. The store keeps their hashes only.
#[derive(Clone, Debug)]
pub struct NewTokens {
    pub access: Secret,
    pub access_until: Millis,
    pub refresh: Secret,
    pub refresh_until: Millis,
}

/// SHA-256 of a token or a code: they are random, so nothing slower is needed.
pub fn hash_of(secret: &Secret) -> Digest {
    Digest::of(secret.expose().as_bytes())
}

#[derive(Clone, Debug)]
pub enum Op {
    Register {
        request: Box<Register>,
        password: PasswordHash,
        recovery: Secret,
        needs_invite: bool,
        tokens: NewTokens,
        at: Millis,
    },
    /// The hash of an account's password, for checking a login.
    Find {
        login: Box<Login>,
    },
    /// The password was right; `seen` is the hash it was checked against.
    Login {
        login: Box<Login>,
        seen: PasswordHash,
        tokens: NewTokens,
        at: Millis,
    },
    Refresh {
        refresh: Secret,
        tokens: NewTokens,
        at: Millis,
    },
    Logout {
        access: Digest,
        at: Millis,
    },
    /// Who holds a token, and the hash of their password, for checking it before `then`.
    Check {
        access: Digest,
        at: Millis,
        then: Checked,
    },
    SetPassword {
        account: AccountId,
        device: PublicKey,
        seen: PasswordHash,
        password: PasswordHash,
        tokens: NewTokens,
        at: Millis,
    },
    /// The code is checked before the new password is hashed, so that only whoever knows it causes work.
    CheckRecovery {
        request: Box<Recover>,
        at: Millis,
    },
    Recover {
        request: Box<Recover>,
        password: PasswordHash,
        recovery: Secret,
        tokens: NewTokens,
        at: Millis,
    },
    Delete {
        account: AccountId,
        seen: PasswordHash,
    },
    Export {
        access: Digest,
        at: Millis,
    },
    SetDevices {
        access: Digest,
        devices: Box<DeviceList>,
        at: Millis,
    },
    Profile {
        access: Digest,
        at: Millis,
    },
    SetProfile {
        access: Digest,
        profile: Box<Profile>,
        at: Millis,
    },
    /// `photo` names the new one; the old one's name comes back.
    SetPhoto {
        account: AccountId,
        photo: String,
    },
    Invite {
        access: Digest,
        code: Secret,
        uses: u16,
        at: Millis,
    },
    /// As one who runs the service.
    Reports {
        access: Digest,
        after: u64,
        at: Millis,
    },
    CloseReport {
        access: Digest,
        number: u64,
        at: Millis,
    },
    Suspend {
        access: Digest,
        name: AccountName,
        suspended: bool,
        at: Millis,
    },
    /// Opens the channels.
    /// With the key of the WebSocket that is asked for.
    Open {
        access: Digest,
        key: String,
        at: Millis,
    },
    /// A profile page, as the holder of the token sees it, or as anyone does.
    Page {
        name: AccountName,
        access: Option<Digest>,
        at: Millis,
    },
    /// Whether a photo may be seen.
    Photo {
        photo: String,
        access: Option<Digest>,
        at: Millis,
    },
    /// Who holds a token: for uploads.
    Who {
        access: Digest,
        at: Millis,
        then: Holder,
    },
}

/// What is to be done once a password was checked.
#[derive(Clone, Debug)]
pub enum Checked {
    ChangePassword { old: Secret, new: Secret },
    Delete { password: Secret },
}

/// What the holder of a token wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// To change the photo to these bytes.
    Photo(Vec<u8>),
}

#[derive(Clone, Debug)]
pub enum Answer {
    Registered(Box<Registered>),
    LoggedIn(Box<LoggedIn>),
    /// Sessions of the account other than the new one are to be closed.
    LoggedInAlone(AccountId, Box<LoggedIn>),
    Recovered(AccountId, Box<Registered>),
    /// `None`: there is no such account; the caller spends the same time all the same.
    Found {
        login: Box<Login>,
        hash: Option<PasswordHash>,
    },
    LoggedOut(AccountId, PublicKey),
    /// A refresh token came a second time: the sessions that came of it are over.
    Reused(AccountId, PublicKey),
    /// The recovery code was wrong.
    RecoveryWrong(AccountName),
    ToCheck {
        account: AccountId,
        device: PublicKey,
        hash: PasswordHash,
        then: Checked,
    },
    RecoveryGood(Box<Recover>),
    Deleted(AccountId),
    Export(Box<Export>),
    Reports(Box<Reports>),
    /// Its sessions are to be closed.
    Suspended(AccountId),
    Done,
    Profile(Box<Profile>),
    PhotoSet {
        profile: Box<Profile>,
        old: String,
    },
    Invited(Secret),
    Opened(Box<Opened>),
    Page {
        person: Person,
        profile: Box<Profile>,
        viewer: Viewer,
    },
    /// It may be seen.
    Photo(String),
    Holder {
        account: AccountId,
        then: Holder,
    },
}

/// Whose channels are opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    pub account: AccountId,
    pub person: Person,
    pub device: PublicKey,
    pub admin: bool,
    pub key: String,
}
