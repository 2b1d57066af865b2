//! `visavis account`.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use crossbeam_channel::Receiver;
use engine::people::command::{Outcome, Wanted};
use engine::proto::contact::ContactLink;
use engine::proto::service::account::Secret;
use engine::proto::service::link::ServiceLink;
use engine::proto::service::names::{AccountName, Person};
use engine::proto::service::profile::{Profile, Visibility};
use engine::proto::text::{List, Prose, Text};
use engine::store::identity::Identity;
use engine::store::login::Logins;
use serde_json::json;

use super::admin::{self, Admin};
use super::{Console, Hold, file, name, secret, unexpected};
use crate::args::Options;

#[derive(Clone, Debug, Subcommand)]
pub enum Account {
    /// Make an account: passwords come from the terminal, the standard input or VISAVIS_PASSWORD
    Register {
        #[arg(id = "account", value_name = "NAME", value_parser = name)]
        name: AccountName,
        /// How others see you called; your account's name unless said
        #[arg(long, default_value = "")]
        display: String,
    },
    /// Log in on this device
    Login {
        #[arg(id = "account", value_name = "NAME", value_parser = name)]
        name: AccountName,
    },
    /// Log out on this device; what is kept here of the account stays
    Logout,
    /// Change the password: the old one from VISAVIS_PASSWORD, the new one from VISAVIS_NEW_PASSWORD, or both typed
    Password,
    /// A new password with the recovery code, from VISAVIS_RECOVERY or typed
    Recover {
        #[arg(id = "account", value_name = "NAME", value_parser = name)]
        name: AccountName,
    },
    /// Delete the account and all that it owns on the service
    Delete,
    /// Everything that the service holds of the account, as JSON
    Export,
    /// Who you are here: account, service, safety, and the link for others
    Show,
    /// What others see of you
    Profile,
    /// Change it; what is not said stays as it is
    Set(Set),
    /// Your photo, from a JPEG, PNG or WebP file of at most 2 MiB
    Photo { file: PathBuf },
    /// A link with which others can make an account
    Invite {
        /// For how many
        #[arg(long, default_value_t = 1)]
        uses: u16,
    },
    #[command(flatten)]
    Admin(Admin),
}

#[derive(Args, Clone, Debug)]
pub struct Set {
    #[arg(long)]
    display: Option<String>,
    #[arg(long)]
    location: Option<String>,
    /// As en,pt-BR
    #[arg(long, value_delimiter = ',')]
    languages: Option<Vec<String>>,
    #[arg(long)]
    about: Option<String>,
    /// Who sees a field: location=all, about=pals, photo=nobody; more than once for several
    #[arg(long, value_name = "FIELD=WHO", value_parser = seen)]
    seen: Vec<(Field, Visibility)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Location,
    Languages,
    About,
    Photo,
}

/// Does it. True when it went well.
pub fn run(what: &Account, options: &Options, interrupted: &Receiver<()>) -> Result<bool> {
    let hold = match what {
        Account::Register { .. } | Account::Login { .. } | Account::Recover { .. } => Hold::Channels,
        _ => Hold::Requests,
    };
    let mut console = Console::open(options, hold, interrupted)?;
    match what {
        Account::Register { name, display } => {
            let (service, password) = (service(options)?, secret::ask("Password", "VISAVIS_PASSWORD")?);
            let display = Text::cut(display);
            let wanted = Wanted::Register { service, name: name.clone(), password, display };
            entered(&mut console, wanted, options)?;
        }
        Account::Login { name } => {
            let (service, password) = (service(options)?, secret::ask("Password", "VISAVIS_PASSWORD")?);
            entered(&mut console, Wanted::LogIn { service, name: name.clone(), password }, options)?;
        }
        Account::Recover { name } => {
            let service = service(options)?;
            let code = secret::ask("Recovery code", "VISAVIS_RECOVERY")?;
            let new = secret::ask("New password", "VISAVIS_NEW_PASSWORD")?;
            entered(&mut console, Wanted::Recover { service, name: name.clone(), code, new }, options)?;
        }
        Account::Logout => {
            console.ask(Wanted::LogOut)?;
            console.print_done("logged out")?;
        }
        Account::Password => {
            let old = secret::ask("Old password", "VISAVIS_PASSWORD")?;
            let new = secret::ask("New password", "VISAVIS_NEW_PASSWORD")?;
            console.ask(Wanted::ChangePassword { old, new })?;
            console.print_done("the password is changed, and all other devices are logged out")?;
        }
        Account::Delete => {
            let password = secret::ask("Password, to delete the account", "VISAVIS_PASSWORD")?;
            console.ask(Wanted::Delete { password })?;
            console.print_done("the account is deleted")?;
        }
        Account::Export => {
            let outcome = console.ask(Wanted::Export)?;
            let Outcome::Export(export) = outcome else { return Err(unexpected(&outcome)) };
            println!("{}", serde_json::to_string_pretty(&export)?);
        }
        Account::Show => show(&mut console, options)?,
        Account::Admin(what) => admin::run(what, &mut console)?,
        Account::Profile => print_profile(&mut console, Wanted::Profile)?,
        Account::Set(set) => {
            let mut new = profile(&mut console, Wanted::Profile)?;
            set.apply(&mut new);
            print_profile(&mut console, Wanted::SetProfile(Box::new(new)))?;
        }
        Account::Photo { file: path } => {
            let bytes = file(path, 2 * 1024 * 1024)?;
            print_profile(&mut console, Wanted::SetPhoto(bytes))?;
        }
        Account::Invite { uses } => {
            let outcome = console.ask(Wanted::Invite { uses: *uses })?;
            let Outcome::Invitation(invitation) = outcome else { return Err(unexpected(&outcome)) };
            console.print(&*invitation, |invitation| println!("{}", invitation.link))?;
        }
    }
    Ok(true)
}

fn entered(console: &mut Console, wanted: Wanted, options: &Options) -> Result<()> {
    let (person, recovery) = match console.ask(wanted)? {
        Outcome::Registered { person, recovery } => (person, Some(recovery)),
        Outcome::LoggedIn { person } => (person, None),
        other => return Err(unexpected(&other)),
    };
    let identity = Identity::load_or_create(&crate::data_folder(options)?, "")?;
    if identity.account() != person.key {
        eprintln!("this device is not signed by the account's key: it is not rung, and no message is sealed to it");
    }
    let link = link(&person, &service(options)?)?;
    let recovery = recovery.as_ref().map(Secret::expose);
    let said = json!({ "person": person, "recovery": recovery, "link": link.to_string() });
    console.print(&said, |_| {
        println!("you are {} here", person.name);
        if let Some(code) = recovery {
            println!("recovery code, to be written down: {code}");
        }
        println!("link for others: {link}");
    })
}

fn show(console: &mut Console, options: &Options) -> Result<()> {
    let login = Logins::new(&crate::data_folder(options)?).load()?.context("log in first: visavis account login")?;
    let link = link(&login.person, &login.service.parse()?)?;
    let is_logged_in = login.tokens.is_some();
    let said = json!({
        "person": login.person, "service": login.service, "logged_in": is_logged_in, "link": link.to_string(),
    });
    console.print(&said, |_| {
        println!("{} at {}", login.person.name, link.service.host);
        if !is_logged_in {
            println!("the session has ended: visavis account login {}", login.person.name);
        }
        println!("link for others: {link}");
    })
}

/// The service that was said, or the one that one is at.
fn service(options: &Options) -> Result<ServiceLink> {
    if let Some(service) = &options.service {
        return Ok(service.clone());
    }
    let login = Logins::new(&crate::data_folder(options)?).load()?;
    match login {
        Some(login) => Ok(login.service.parse()?),
        None => bail!("say which service: --service LINK"),
    }
}

fn link(person: &Person, service: &ServiceLink) -> Result<ContactLink> {
    Ok(ContactLink { service: service.clone(), name: person.name.clone(), key: person.key.fingerprint() })
}

fn profile(console: &mut Console, wanted: Wanted) -> Result<Profile> {
    match console.ask(wanted)? {
        Outcome::Profile(profile) => Ok(*profile),
        other => Err(unexpected(&other)),
    }
}

fn print_profile(console: &mut Console, wanted: Wanted) -> Result<()> {
    let profile = profile(console, wanted)?;
    console.print(&profile, |profile| {
        let shown = |name: &str, value: &str, seen: Visibility| {
            let seen = match seen {
                Visibility::All => "all",
                Visibility::Pals => "pals",
                Visibility::Nobody => "nobody",
            };
            println!("{name:<12}{value:<40} seen by {seen}");
        };
        println!("{:<12}{}", "name", profile.display);
        shown("location", &profile.location.value, profile.location.seen);
        let languages = profile.languages.value.iter().map(|one| one.to_string()).collect::<Vec<_>>().join(", ");
        shown("languages", &languages, profile.languages.seen);
        shown("about", &profile.about.value, profile.about.seen);
        shown("photo", if profile.photo.value.is_empty() { "none" } else { "yes" }, profile.photo.seen);
    })
}

impl Set {
    fn apply(&self, profile: &mut Profile) {
        if let Some(display) = &self.display {
            profile.display = Text::cut(display);
        }
        if let Some(location) = &self.location {
            profile.location.value = Text::cut(location);
        }
        if let Some(languages) = &self.languages {
            profile.languages.value = List::cut(languages.iter().map(|language| Text::cut(language)).collect());
        }
        if let Some(about) = &self.about {
            profile.about.value = Prose::cut(about);
        }
        for (field, seen) in &self.seen {
            match field {
                Field::Location => profile.location.seen = *seen,
                Field::Languages => profile.languages.seen = *seen,
                Field::About => profile.about.seen = *seen,
                Field::Photo => profile.photo.seen = *seen,
            }
        }
    }
}

fn seen(text: &str) -> Result<(Field, Visibility), String> {
    let (field, seen) = text.split_once('=').ok_or("say FIELD=all, FIELD=pals or FIELD=nobody")?;
    let field = match field {
        "location" => Field::Location,
        "languages" => Field::Languages,
        "about" => Field::About,
        "photo" => Field::Photo,
        _ => return Err("the fields are location, languages, about and photo".into()),
    };
    let seen = match seen {
        "all" => Visibility::All,
        "pals" => Visibility::Pals,
        "nobody" => Visibility::Nobody,
        _ => return Err("a field is seen by all, pals or nobody".into()),
    };
    Ok((field, seen))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_changes_and_the_rest_stays() {
        let mut profile = Profile { display: Text::cut("Ada"), ..Profile::default() };
        profile.about.value = Prose::cut("bridges");
        let set = Set {
            display: None,
            location: Some("Trieste".into()),
            languages: Some(vec!["en".into(), "it".into()]),
            about: None,
            seen: vec![seen("location=all").expect("known"), seen("photo=pals").expect("known")],
        };
        set.apply(&mut profile);
        assert_eq!((&*profile.display, &*profile.about.value, &*profile.location.value), ("Ada", "bridges", "Trieste"));
        assert_eq!((profile.location.seen, profile.photo.seen), (Visibility::All, Visibility::Pals));
        assert_eq!(profile.languages.value.len(), 2);
        assert!(seen("hat=all").is_err() && seen("photo").is_err() && seen("photo=me").is_err());
    }
}
