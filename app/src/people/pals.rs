//! `visavis pals`.

use anyhow::{Context, Result};
use clap::{Subcommand, ValueEnum};
use crossbeam_channel::Receiver;
use engine::people::command::{Notice, Outcome, Wanted};
use engine::people::trust::Trust;
use engine::people::view::PalView;
use engine::proto::contact::Contact;
use engine::proto::service::directory::{Listing, Reply as DirectoryReply, Request as DirectoryRequest};
use engine::proto::service::frame::{Ask, Push, Reply};
use engine::proto::service::names::AccountName;
use engine::proto::service::pals::{Presence, Push as PalsPush, Reply as PalsReply, Request};
use engine::proto::text::{Prose, Text};
use engine::store::identity::Identity;
use serde_json::json;

use super::{Console, Hold, columns, date, name, unexpected};
use crate::args::Options;

#[derive(Clone, Debug, Subcommand)]
pub enum Pals {
    /// Your pals and how they are, who asks to be one, and whom you asked
    List,
    /// Ask somebody, by name or link: with a link only whoever has the link's key is taken
    Add {
        contact: Contact,
        /// A line for them
        #[arg(long, default_value = "")]
        note: String,
    },
    /// Accept somebody who asked
    Accept {
        #[arg(id = "account", value_name = "NAME", value_parser = name)]
        name: AccountName,
    },
    /// Say no to somebody who asked; they are not told
    Decline {
        #[arg(id = "account", value_name = "NAME", value_parser = name)]
        name: AccountName,
    },
    /// Not a pal any more
    Remove {
        #[arg(id = "account", value_name = "NAME", value_parser = name)]
        name: AccountName,
    },
    /// Block somebody; they are not told
    Block {
        #[arg(id = "account", value_name = "NAME", value_parser = name)]
        name: AccountName,
        /// Not any more
        #[arg(long)]
        off: bool,
    },
    /// Appear offline to one pal
    Hide {
        #[arg(id = "account", value_name = "NAME", value_parser = name)]
        name: AccountName,
        /// Not any more
        #[arg(long)]
        off: bool,
    },
    /// Tell those who run the service about somebody
    Report {
        #[arg(id = "account", value_name = "NAME", value_parser = name)]
        name: AccountName,
        text: String,
    },
    /// People who let themselves be found
    Search {
        /// A part of the name or the comment
        #[arg(default_value = "")]
        text: String,
        #[arg(long, default_value = "")]
        place: String,
        /// As en
        #[arg(long, default_value = "")]
        language: String,
    },
    /// Let yourself be found
    Listed {
        /// A line beside your name
        #[arg(default_value = "")]
        comment: String,
        /// Not any more
        #[arg(long)]
        off: bool,
    },
    /// The sixty digits to compare with somebody, by another way than this service
    Number {
        #[arg(id = "account", value_name = "NAME", value_parser = name)]
        name: AccountName,
    },
    /// The digits were compared and are the same: the key that the service shows now is theirs
    Verify {
        #[arg(id = "account", value_name = "NAME", value_parser = name)]
        name: AccountName,
    },
    /// Be there, and show what changes with your pals, a line each, until Ctrl-C
    Watch {
        /// How you are seen
        #[arg(long, value_enum, default_value_t = Seen::Online)]
        presence: Seen,
        /// A line beside it
        #[arg(long, default_value = "")]
        text: String,
    },
    /// People on the same network, who need no service: call them as lan:NAME
    Near,
    /// Who called, newest first
    Calls,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Seen {
    Online,
    Away,
    Busy,
    Offline,
}

/// Does it. True when it went well.
pub fn run(what: &Pals, options: &Options, interrupted: &Receiver<()>) -> Result<bool> {
    if matches!(what, Pals::Near) {
        return super::near::run(options, interrupted);
    }
    let hold = if matches!(what, Pals::Watch { .. }) { Hold::Live } else { Hold::Channels };
    let mut console = Console::open(options, hold, interrupted)?;
    match what {
        Pals::List => list(&mut console)?,
        // Done above, without a session.
        Pals::Near => {}
        Pals::Add { contact, note } => {
            let wanted = Wanted::Befriend { contact: contact.clone(), note: Text::cut(note) };
            let outcome = console.ask(wanted)?;
            let Outcome::Befriended { person, pals, verified } = outcome else { return Err(unexpected(&outcome)) };
            let said = json!({ "person": person, "pals": pals, "verified": verified });
            console.print(&said, |_| {
                let how = if verified { "verified" } else { "unverified: compare the digits of visavis pals number" };
                let state = if pals { "is a pal now" } else { "was asked" };
                println!("{} {state} ({how})", person.name);
            })?;
        }
        Pals::Accept { name } => {
            let contact = Contact::Name(name.clone());
            console.ask(Wanted::Befriend { contact, note: Text::default() })?;
            console.print_done(&format!("{name} is a pal now"))?;
        }
        Pals::Decline { name } => done(&mut console, Request::Decline { name: name.clone() }, "declined")?,
        Pals::Remove { name } => done(&mut console, Request::Remove { name: name.clone() }, "removed")?,
        Pals::Block { name, off } => {
            let said = if *off { "not blocked any more" } else { "blocked" };
            done(&mut console, Request::Block { name: name.clone(), blocked: !off }, said)?;
        }
        Pals::Hide { name, off } => {
            let said = if *off { "sees you again" } else { "sees you offline" };
            done(&mut console, Request::Hide { name: name.clone(), hidden: !off }, &format!("{name} {said}"))?;
        }
        Pals::Report { name, text } => {
            let request = Request::Report { name: name.clone(), text: Prose::cut(text) };
            done(&mut console, request, "reported to those who run the service")?;
        }
        Pals::Search { text, place, language } => search(&mut console, text, place, language)?,
        Pals::Listed { comment, off } => {
            let request = DirectoryRequest::List { listed: !off, comment: Text::cut(comment) };
            console.channel(Ask::Directory(request))?;
            console.print_done(if *off { "you are not listed any more" } else { "you are listed" })?;
        }
        Pals::Number { name } => {
            let asked = pals(&mut console, Request::Roster { after: None });
            console.unless_offline(asked)?;
            let pal = console.view().pal(name).cloned().with_context(|| format!("{name} is none of your pals"))?;
            let identity = Identity::load_or_create(&crate::data_folder(options)?, "")?;
            let number = identity.safety_number(&pal.pal.person.key);
            console.print(&json!({ "number": number, "trust": pal.trust }), |_| println!("{number}"))?;
        }
        Pals::Verify { name } => {
            console.ask(Wanted::Verify { name: name.clone() })?;
            console.print_done(&format!("{name} is verified"))?;
        }
        Pals::Watch { presence, text } => watch(&mut console, *presence, text)?,
        Pals::Calls => {
            let asked = pals(&mut console, Request::Calls { before: None, limit: 0 });
            console.unless_offline(asked)?;
            let calls = console.view().calls.clone();
            console.print(&calls, |calls| {
                for call in calls {
                    let how = match (call.incoming, call.missed) {
                        (true, true) => "missed",
                        (true, false) => "called you",
                        (false, true) => "was not there",
                        (false, false) => "you called",
                    };
                    println!("{}", columns(&[&call.person.name, &date(call.at), &how]));
                }
            })?;
        }
    }
    Ok(true)
}

fn pals(console: &mut Console, request: Request) -> Result<PalsReply, engine::net::service::https::Failure> {
    match console.channel(Ask::Pals(request))? {
        Reply::Pals(reply) => Ok(reply),
        _ => Ok(PalsReply::Unknown),
    }
}

fn done(console: &mut Console, request: Request, said: &str) -> Result<()> {
    pals(console, request)?;
    console.print_done(said)
}

fn list(console: &mut Console) -> Result<()> {
    let asked = pals(console, Request::Roster { after: None });
    let mut reply = console.unless_offline(asked)?;
    while let Some(PalsReply::Roster { next: Some(next), .. }) = reply {
        reply = Some(pals(console, Request::Roster { after: Some(next) })?);
    }
    let view = console.view();
    let said = json!({
        "pals": view.pals, "asked": view.asked, "waiting": view.waiting, "blocked": view.blocked,
    });
    console.print(&said, |_| {
        for pal in &view.pals {
            println!("{}", columns(&[&pal.pal.person.name, &word(pal.pal.presence), &beside(pal)]));
        }
        for asked in &view.asked {
            println!("{}", columns(&[&asked.person.name, &"asks you", &&*asked.note]));
        }
        for person in &view.waiting {
            println!("{}", columns(&[&person.name, &"was asked", &""]));
        }
        for person in &view.blocked {
            println!("{}", columns(&[&person.name, &"blocked", &""]));
        }
        if view.pals.is_empty() && view.asked.is_empty() && view.waiting.is_empty() {
            println!("nobody yet: visavis pals search, visavis pals add NAME");
        }
    })
}

fn search(console: &mut Console, text: &str, place: &str, language: &str) -> Result<()> {
    let (mut found, mut after): (Vec<Listing>, Option<Text<64>>) = (Vec::new(), None);
    loop {
        let request = DirectoryRequest::Search {
            text: Text::cut(text),
            place: Text::cut(place),
            language: Text::cut(language),
            after,
            limit: 0,
        };
        let reply = console.channel(Ask::Directory(request))?;
        let Reply::Directory(DirectoryReply::People { people, next }) = reply else { return Err(unexpected(&reply)) };
        found.extend(people.into_vec());
        // A thousand are more than anybody reads; a narrower search finds the rest.
        match next {
            Some(next) if found.len() < 1000 => after = Some(next),
            _ => break,
        }
    }
    console.print(&found, |found| {
        for Listing { person, location, comment, .. } in found {
            println!("{}", columns(&[&person.name, &&*person.display, &&**location, &&**comment]));
        }
        if found.is_empty() {
            println!("nobody who is listed fits");
        }
    })
}

fn watch(console: &mut Console, presence: Seen, text: &str) -> Result<()> {
    let presence = presence.into();
    console.ask(Wanted::SetPresence { presence, text: Text::cut(text) })?;
    list(console)?;
    console.follow(|console, notice| {
        let Some(Notice::Push(push)) = notice else { return };
        let Push::Pals(push) = *push else { return };
        // Envelopes are for a program that can ring.
        if matches!(push, PalsPush::Signal { .. } | PalsPush::Unknown) {
            return;
        }
        let _ = console.print(&push, |push| match push {
            PalsPush::Asked(asked) => println!("{}", columns(&[&asked.person.name, &"asks you", &&*asked.note])),
            PalsPush::Added(pal) => println!("{}", columns(&[&pal.person.name, &"is a pal now", &""])),
            PalsPush::Removed { name } => println!("{}", columns(&[name, &"is no pal any more", &""])),
            PalsPush::Presence { name, presence, text } => println!("{}", columns(&[name, &word(*presence), &&**text])),
            PalsPush::Missed(call) => println!("{}", columns(&[&call.person.name, &"called", &date(call.at)])),
            PalsPush::Signal { .. } | PalsPush::Unknown => {}
        });
    });
    Ok(())
}

const fn word(presence: Presence) -> &'static str {
    match presence {
        Presence::Online => "online",
        Presence::Away => "away",
        Presence::Busy => "busy",
        Presence::Offline => "offline",
    }
}

fn beside(pal: &PalView) -> String {
    let trust = match pal.trust {
        Trust::Verified => "",
        Trust::Unverified => "(unverified)",
        Trust::Changed => "(KEY CHANGED: compare the safety number)",
    };
    let hidden = if pal.pal.hidden { "(sees you offline)" } else { "" };
    [trust, hidden, &*pal.pal.text].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

impl From<Seen> for Presence {
    fn from(seen: Seen) -> Self {
        match seen {
            Seen::Online => Self::Online,
            Seen::Away => Self::Away,
            Seen::Busy => Self::Busy,
            Seen::Offline => Self::Offline,
        }
    }
}
