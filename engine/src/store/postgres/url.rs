//! Where a PostgreSQL database is: `postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=…&sslrootcert=FILE`.

use std::fmt;
use std::path::PathBuf;

use crate::base::error::{Error, Kind, Result};
use crate::proto::authority::{Authority, decode};

/// Where the database is, and who asks it.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreUrl {
    pub user: String,
    pub password: String,
    pub host: String,
    pub port: u16,
    pub database: String,
    pub tls: TlsMode,
}

/// How the way to the database is kept from others' eyes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsMode {
    /// `disable`: in the clear. Without `sslmode` only to this machine.
    Off,
    /// `require`: encrypted. Whose key it is is known where both sides know a password (SCRAM's channel binding).
    Require,
    /// `verify-full`: the certificate names the host, and an authority of the file, or of this system, has signed it.
    Verify(Option<PathBuf>),
}

impl StoreUrl {
    /// # Errors
    /// [`Kind::Refused`]: what is wrong with it, never with its password.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = |what: &str| {
            Error::new(Kind::Refused, format!("--store: {what}: postgres://USER:PASSWORD@HOST:PORT/DATABASE"))
        };
        let rest = text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://"));
        let rest = rest.ok_or_else(|| wrong("no such kind of store"))?;
        let (rest, options) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = rest.split_once('/').ok_or_else(|| wrong("no database is named"))?;
        let Authority { user, password, host, port } = Authority::parse(authority).map_err(&wrong)?;
        let database = decode(database).ok_or_else(|| wrong("a percent sign stands before two digits"))?;
        if user.is_empty() || database.is_empty() {
            return Err(wrong("user or database are missing"));
        }
        let tls = tls_mode(options, Authority::parse(authority).is_ok_and(|place| place.is_here()));
        let tls = tls.map_err(|text| wrong(&text))?;
        Ok(Self { user, password, host, port: port.unwrap_or(5432), database, tls })
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "postgres://{}@{}:{}/{}", self.user, self.host, self.port, self.database)
    }
}

fn tls_mode(options: &str, is_here: bool) -> Result<TlsMode, String> {
    let (mut mode, mut roots) = (None, None);
    for option in options.split('&').filter(|option| !option.is_empty()) {
        match option.split_once('=') {
            Some(("sslmode", value)) => mode = Some(value),
            Some(("sslrootcert", value)) => {
                roots = Some(PathBuf::from(decode(value).ok_or("a percent sign stands before two digits")?));
            }
            _ => return Err(format!("{option:?} is not known here")),
        }
    }
    match mode {
        Some("disable") => Ok(TlsMode::Off),
        Some("require") => Ok(TlsMode::Require),
        Some("verify-full") => Ok(TlsMode::Verify(roots)),
        Some(other) => Err(format!("sslmode is disable, require or verify-full, not {other:?}")),
        None if is_here => Ok(TlsMode::Off),
        None => Ok(TlsMode::Require),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_user_host_and_database_and_never_shows_its_password() {
        let url =
            StoreUrl::parse("postgres://visavis:p%40ss%2Fword@db.example:6432/calls?sslmode=require").expect("whole");
        assert_eq!((url.user.as_str(), url.password.as_str(), url.port), ("visavis", "p@ss/word", 6432));
        assert_eq!((url.host.as_str(), url.database.as_str(), &url.tls), ("db.example", "calls", &TlsMode::Require));
        assert_eq!(format!("{url:?}"), "postgres://visavis@db.example:6432/calls");
        let here = StoreUrl::parse("postgresql://a@[::1]/b").expect("whole");
        assert_eq!((here.host.as_str(), here.port, here.tls), ("::1", 5432, TlsMode::Off));
        let there = StoreUrl::parse("postgres://a:b@10.0.0.1/c").expect("whole");
        assert_eq!(there.tls, TlsMode::Require, "never in the clear over a network unless it is said");
    }

    #[test]
    fn what_is_no_url_is_refused_without_its_password() {
        for text in [
            "mysql://a:secret@b/c",
            "postgres://secret",
            "postgres://a:secret@b:x/c",
            "postgres://a:secret@/c",
            "postgres://a:secret@b/c?sslmode=maybe",
            "postgres://a:secret@b/c?x=1",
            "postgres://a:secret%zz@b/c",
            "postgres://a:secret@b/",
        ] {
            let error = StoreUrl::parse(text).expect_err(text);
            assert!(error.kind == Kind::Refused && !error.text.contains("secret"), "{error}");
        }
    }
}
