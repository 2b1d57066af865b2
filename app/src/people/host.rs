//! What a room's moderators and its host do: the part of `visavis chat` that is theirs.

use anyhow::Result;
use clap::{Subcommand, ValueEnum};
use engine::proto::service::chat::{Member, Reply, Request, Role};
use engine::proto::service::names::AccountName;
use engine::proto::text::{Prose, Text};

use super::chat::{chat, find};
use super::{Console, columns, name, unexpected};

#[derive(Clone, Debug, Subcommand)]
pub enum Host {
    /// Who belongs to a room, and who has what to say there
    Members { room: String },
    /// As a moderator: what the room is about
    Topic { room: String, text: String },
    /// As a moderator: the message of the day, shown to everybody who comes in; without a text there is none
    Notice {
        room: String,
        #[arg(default_value = "")]
        text: String,
    },
    /// As a moderator: everybody else may say something once in so many seconds; 0 ends it
    Slow { room: String, seconds: u16 },
    /// As a moderator: somebody is out, and may come back
    Kick {
        room: String,
        #[arg(id = "account", value_name = "NAME", value_parser = name)]
        name: AccountName,
    },
    /// As a moderator: somebody is out for good
    Ban {
        room: String,
        #[arg(id = "account", value_name = "NAME", value_parser = name)]
        name: AccountName,
        /// Not any more: they may come back
        #[arg(long)]
        off: bool,
    },
    /// As the host: what somebody has to say in the room
    Role {
        room: String,
        #[arg(id = "account", value_name = "NAME", value_parser = name)]
        name: AccountName,
        #[arg(value_enum)]
        role: Rank,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Rank {
    /// Everything, and who moderates
    Host,
    /// Deletes, kicks, bans, slows down, sets the topic
    Moderator,
    Member,
}

/// Does it.
pub fn run(what: &Host, console: &mut Console) -> Result<()> {
    let (room, request, said) = match what {
        Host::Members { room } => return members(console, room),
        Host::Topic { room, text } => {
            let room = find(console, room)?;
            (room, Request::SetTopic { room, topic: Text::cut(text) }, "the topic is set".to_owned())
        }
        Host::Notice { room, text } => {
            let room = find(console, room)?;
            let said = if text.is_empty() { "there is no message of the day" } else { "the message of the day is set" };
            (room, Request::SetNotice { room, notice: Prose::cut(text) }, said.to_owned())
        }
        Host::Slow { room, seconds } => {
            let room = find(console, room)?;
            let said = match seconds {
                0 => "the room is not slow any more".to_owned(),
                _ => format!("one message in {seconds} seconds each"),
            };
            (room, Request::Slow { room, seconds: *seconds }, said)
        }
        Host::Kick { room, name } => {
            let room = find(console, room)?;
            (room, Request::Kick { room, name: name.clone(), ban: None }, format!("{name} is out"))
        }
        Host::Ban { room, name, off } => {
            let room = find(console, room)?;
            let said = if *off { "may come back" } else { "is out for good" };
            (room, Request::Kick { room, name: name.clone(), ban: Some(!off) }, format!("{name} {said}"))
        }
        Host::Role { room, name, role } => {
            let room = find(console, room)?;
            let role = Role::from(*role);
            (room, Request::SetRole { room, name: name.clone(), role }, format!("{name} is {} now", word(role)))
        }
    };
    chat(console, request)?;
    console.print(&serde_json::json!({ "done": true, "room": room }), |_| println!("{said}"))
}

fn members(console: &mut Console, room: &str) -> Result<()> {
    let room = find(console, room)?;
    let reply = chat(console, Request::Members { room })?;
    let Reply::Members { members, .. } = reply else { return Err(unexpected(&reply)) };
    console.print(&*members, |members: &[Member]| {
        for Member { person, role } in members {
            println!("{}", columns(&[&person.name, &word(*role), &&*person.display]));
        }
    })
}

/// As people say it.
pub const fn word(role: Role) -> &'static str {
    match role {
        Role::Host => "host",
        Role::Moderator => "moderator",
        Role::Member => "member",
    }
}

impl From<Rank> for Role {
    fn from(rank: Rank) -> Self {
        match rank {
            Rank::Host => Self::Host,
            Rank::Moderator => Self::Moderator,
            Rank::Member => Self::Member,
        }
    }
}
