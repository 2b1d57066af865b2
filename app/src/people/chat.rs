//! `visavis chat`.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use clap::Subcommand;
use crossbeam_channel::Receiver;
use engine::people::command::{Notice, Outcome, Wanted};
use engine::people::view::View;
use engine::proto::service::chat::{Entry, Push as ChatPush, Reply as ChatReply, Request, Room, What};
use engine::proto::service::directory::{Reply as DirectoryReply, Request as DirectoryRequest, RoomListing};
use engine::proto::service::frame::{Ask, Push, Reply};
use engine::proto::service::names::{AccountName, RoomId, Seq};
use engine::proto::text::{Prose, Text};
use engine::store::mailbox::new_key;
use serde_json::json;

use super::host::{self, Host};
use super::{Console, Hold, columns, date, name, secret, unexpected};
use crate::args::Options;

#[derive(Clone, Debug, Subcommand)]
pub enum Chat {
    /// The rooms that you belong to
    List,
    /// Rooms that are open to all
    Rooms {
        /// A part of the name
        #[arg(default_value = "")]
        text: String,
    },
    /// Make a room; what is said in rooms can be read by who runs the service
    Create {
        #[arg(id = "called", value_name = "NAME")]
        name: String,
        #[arg(long, default_value = "")]
        topic: String,
        /// Not listed: only who is invited, or knows the password, gets in
        #[arg(long)]
        private: bool,
        /// Ask for a password that lets people in (VISAVIS_ROOM_PASSWORD)
        #[arg(long)]
        password: bool,
    },
    /// Go into a room, by its number
    Join {
        room: String,
        /// Ask for its password (VISAVIS_ROOM_PASSWORD)
        #[arg(long)]
        password: bool,
    },
    /// Belong to a room no more
    Leave { room: String },
    /// Let somebody in
    Invite {
        room: String,
        #[arg(id = "account", value_name = "NAME", value_parser = name)]
        name: AccountName,
    },
    /// Say something; without a network it is kept and said later
    Send { room: String, text: String },
    /// Say it otherwise: something of your own, by its number in the room
    Edit { room: String, number: u64, text: String },
    /// Take something back; as a moderator, also what others said
    Delete { room: String, number: u64 },
    /// Show that you are writing, for some seconds
    Typing { room: String },
    /// You have read everything, or up to this number, on all your devices
    Read { room: String, number: Option<u64> },
    /// What was said, newest last
    History {
        room: String,
        /// Only what has your name in it
        #[arg(long)]
        named: bool,
        /// What came before this number
        #[arg(long)]
        before: Option<u64>,
        /// At most so many entries
        #[arg(long, default_value_t = 50)]
        limit: u16,
    },
    /// Show what is said in your rooms, a line each, until Ctrl-C
    Follow {
        /// In this room alone
        room: Option<String>,
    },
    #[command(flatten)]
    Host(Host),
}

/// Does it. True when it went well.
pub fn run(what: &Chat, options: &Options, interrupted: &Receiver<()>) -> Result<bool> {
    let hold = if matches!(what, Chat::Follow { .. }) { Hold::Live } else { Hold::Channels };
    let mut console = Console::open(options, hold, interrupted)?;
    match what {
        Chat::List => {
            let asked = console.channel(Ask::Chat(Request::Rooms));
            console.unless_offline(asked)?;
            let rooms = console.view().rooms.clone();
            console.print(&rooms, |rooms| rooms.iter().for_each(|room| println!("{}", line(room))))?;
        }
        Chat::Rooms { text } => open_rooms(&mut console, text)?,
        Chat::Create { name, topic, private, password } => {
            let password = password.then(|| secret::ask("Room password", "VISAVIS_ROOM_PASSWORD")).transpose()?;
            let (name, topic) = (Text::cut(name), Text::cut(topic));
            let request = Request::Create { name, topic, private: *private, password, key: new_key()? };
            entered(&mut console, request)?;
        }
        Chat::Join { room, password } => {
            let password = password.then(|| secret::ask("Room password", "VISAVIS_ROOM_PASSWORD")).transpose()?;
            let Some(room) = number(room) else { bail!("say the room's number: visavis chat rooms lists them") };
            entered(&mut console, Request::Join { room, password })?;
        }
        Chat::Leave { room } => {
            let room = find(&mut console, room)?;
            chat(&mut console, Request::Leave { room })?;
            console.print_done("left")?;
        }
        Chat::Invite { room, name } => {
            let room = find(&mut console, room)?;
            chat(&mut console, Request::Invite { room, name: name.clone() })?;
            console.print_done(&format!("{name} was invited"))?;
        }
        Chat::Send { room, text } => {
            let room = find(&mut console, room)?;
            let said = match console.ask(Wanted::Post { room, text: Prose::cut(text) })? {
                Outcome::Reply(reply) => match *reply {
                    Reply::Chat(ChatReply::Posted { room, seq, at }) => json!({ "room": room, "seq": seq, "at": at }),
                    other => return Err(unexpected(&other)),
                },
                Outcome::Queued { key, why } => {
                    eprintln!("{why}: it is kept and goes out at the next connection");
                    json!({ "queued": &*key })
                }
                other => return Err(unexpected(&other)),
            };
            console.print(&said, |_| ())?;
        }
        Chat::Edit { room, number, text } => {
            let (room, key) = (find(&mut console, room)?, new_key()?);
            posted(&mut console, Request::Edit { room, key, seq: Seq(*number), text: Prose::cut(text) })?;
        }
        Chat::Delete { room, number } => {
            let (room, key) = (find(&mut console, room)?, new_key()?);
            posted(&mut console, Request::Delete { room, key, seq: Seq(*number) })?;
        }
        Chat::Typing { room } => {
            let room = find(&mut console, room)?;
            chat(&mut console, Request::Typing { room })?;
            console.print_done("they see that you write")?;
        }
        Chat::Read { room, number } => {
            let room = find(&mut console, room)?;
            // The service takes the newest where that is less.
            let seq = Seq(number.unwrap_or(i64::MAX as u64));
            chat(&mut console, Request::Read { room, seq })?;
            console.print_done("read")?;
        }
        Chat::Host(what) => host::run(what, &mut console)?,
        Chat::History { room, named, before, limit } => {
            let room = find(&mut console, room)?;
            let before = before.map(Seq);
            let reply = chat(&mut console, Request::History { room, after: None, before, limit: *limit })?;
            let ChatReply::History { entries, .. } = reply else { return Err(unexpected(&reply)) };
            let mut entries = entries.into_vec();
            entries.sort_by_key(|entry| entry.seq);
            let view = console.view();
            entries.retain(|entry| !named || view.names_me(entry));
            console.print(&entries, |entries| entries.iter().for_each(|entry| println!("{}", said(entry, &view))))?;
        }
        Chat::Follow { room } => follow(&mut console, room.as_deref())?,
    }
    Ok(true)
}

fn posted(console: &mut Console, request: Request) -> Result<()> {
    let reply = chat(console, request)?;
    let ChatReply::Posted { room, seq, at } = reply else { return Err(unexpected(&reply)) };
    console.print(&json!({ "room": room, "seq": seq, "at": at }), |_| ())
}

/// Asks on the chat channel.
pub fn chat(console: &mut Console, request: Request) -> Result<ChatReply> {
    match console.channel(Ask::Chat(request))? {
        Reply::Chat(reply) => Ok(reply),
        other => Err(unexpected(&other)),
    }
}

fn entered(console: &mut Console, request: Request) -> Result<()> {
    let reply = chat(console, request)?;
    let ChatReply::Room(room) = reply else { return Err(unexpected(&reply)) };
    console.print(&*room, |room| {
        println!("{}", line(room));
        if !room.notice.is_empty() {
            println!("{}", &*room.notice);
        }
    })
}

fn open_rooms(console: &mut Console, text: &str) -> Result<()> {
    let (mut rooms, mut after): (Vec<RoomListing>, Option<Text<64>>) = (Vec::new(), None);
    loop {
        let request = DirectoryRequest::Rooms { text: Text::cut(text), after, limit: 0 };
        let reply = console.channel(Ask::Directory(request))?;
        let Reply::Directory(DirectoryReply::Rooms { rooms: page, next }) = reply else {
            return Err(unexpected(&reply));
        };
        rooms.extend(page.into_vec());
        match next {
            Some(next) if rooms.len() < 1000 => after = Some(next),
            _ => break,
        }
    }
    console.print(&rooms, |rooms| {
        for room in rooms {
            let locked = if room.locked { "(password)" } else { "" };
            println!("{:>6}  {}", room.room.0, columns(&[&&*room.name, &room.members, &locked, &&*room.topic]));
        }
    })
}

fn follow(console: &mut Console, room: Option<&str>) -> Result<()> {
    let only = room.map(|room| find(console, room)).transpose()?;
    let reply = chat(console, Request::Rooms)?;
    let ChatReply::Rooms { rooms } = reply else { return Err(unexpected(&reply)) };
    console.print(&rooms, |rooms| rooms.iter().for_each(|room| println!("{}", line(room))))?;
    let meant = rooms.iter().filter(|room| only.is_none_or(|only| only == room.room));
    let mut shown: BTreeMap<RoomId, Seq> = meant.map(|room| (room.room, room.last)).collect();
    for room in shown.keys() {
        console.ask(Wanted::Look { room: *room })?;
    }
    console.follow(|console, notice| {
        if let Some(Notice::Push(push)) = notice {
            match *push {
                Push::Chat(push @ ChatPush::Invited { .. }) => show(console, &push, &console.view.clone()),
                Push::Chat(
                    push @ (ChatPush::Typing { room, .. }
                    | ChatPush::Out { room }
                    | ChatPush::Settings { room, .. }
                    | ChatPush::Role { room, .. }),
                ) if shown.contains_key(&room) => show(console, &push, &console.view.clone()),
                _ => {}
            }
        }
        // The view has what was said while there was no connection too, each once and in its order.
        let view = console.view();
        for (room, last) in &mut shown {
            let entries = view.talk(*room).map(|talk| talk.entries.as_slice()).unwrap_or_default();
            for entry in entries.iter().filter(|entry| entry.seq > *last) {
                show(console, &ChatPush::Entry { room: *room, entry: Box::new(entry.clone()) }, &view);
            }
            *last = entries.last().map_or(*last, |entry| entry.seq.max(*last));
        }
    });
    Ok(())
}

fn show(console: &Console, push: &ChatPush, view: &View) {
    let printed = console.print(push, |push| match push {
        ChatPush::Entry { room, entry } => println!("{:>6}  {}", room.0, said(entry, view)),
        ChatPush::Typing { room, name } => println!("{:>6}  {name} is writing", room.0),
        ChatPush::Settings { room, notice, slow_seconds } => {
            let slow =
                if *slow_seconds == 0 { String::new() } else { format!(" (one message in {slow_seconds} s each)") };
            println!("{:>6}  message of the day: {}{slow}", room.0, &**notice);
        }
        ChatPush::Role { room, role } => println!("{:>6}  you are {} here now", room.0, host::word(*role)),
        ChatPush::Invited { room, by } => println!("{:>6}  {} invites you: {}", room.room.0, by.name, &*room.name),
        ChatPush::Out { room } => println!("{:>6}  you are out of it", room.0),
        _ => {}
    });
    if let Err(error) = printed {
        eprintln!("{error}");
    }
}

/// A room by its number, or by the name of one that one belongs to.
pub fn find(console: &mut Console, room: &str) -> Result<RoomId> {
    if let Some(room) = number(room) {
        return Ok(room);
    }
    let asked = console.channel(Ask::Chat(Request::Rooms));
    console.unless_offline(asked)?;
    let view = console.view();
    let found: Vec<&Room> = view.rooms.iter().filter(|one| one.name.eq_ignore_ascii_case(room)).collect();
    match found[..] {
        [one] => Ok(one.room),
        [] => bail!("you belong to no room {room}: visavis chat list lists yours"),
        _ => bail!("several of your rooms are called {room}: say its number"),
    }
}

fn number(room: &str) -> Option<RoomId> {
    room.strip_prefix('#').unwrap_or(room).parse().ok().map(RoomId)
}

fn line(room: &Room) -> String {
    let unread = room.last.0.saturating_sub(room.read.0);
    let unread = if unread == 0 { String::new() } else { format!("{unread} new") };
    format!("{:>6}  {}", room.room.0, columns(&[&&*room.name, &unread, &&*room.topic]))
}

fn said(entry: &Entry, view: &View) -> String {
    let names_you = if view.names_me(entry) { "  <- names you" } else { "" };
    let what = match &entry.what {
        What::Text { deleted: true, .. } => "(deleted)".to_owned(),
        What::Text { text, edited, .. } => format!("{}{}", &**text, if *edited { " (edited)" } else { "" }),
        What::Edit { of, text } => format!("(edits {}) {}", of.0, &**text),
        What::Delete { of } => format!("(deletes {})", of.0),
        What::Joined => "(joined)".to_owned(),
        What::Left => "(left)".to_owned(),
        What::Topic { topic } => format!("(the topic is now: {})", &**topic),
        What::Unknown => "(says something that a newer version shows)".to_owned(),
    };
    format!("{:>5}  {}  {:<16} {what}{names_you}", entry.seq.0, date(entry.at), entry.by.name.to_string())
}
