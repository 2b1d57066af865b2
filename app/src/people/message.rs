//! `visavis message`.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use crossbeam_channel::Receiver;
use engine::base::stereo::to_mono;
use engine::codec::opus::clip;
use engine::codec::photo;
use engine::device::read_wav;
use engine::people::command::{Notice, Outcome, Wanted};
use engine::people::direct::DOOR;
use engine::proto::keys::Digest;
use engine::proto::quick::{Part, PartKind, Quick};
use engine::proto::service::messages::LARGEST;
use engine::proto::service::names::{AccountName, Seq};
use engine::proto::target::Target;
use engine::proto::text::Prose;
use engine::store::login::Logins;
use engine::store::mailbox::{KeptPart, Mailbox, Received};
use serde_json::{Value, json};

use super::{Console, Hold, columns, date, file, name, unexpected};
use crate::args::Options;

#[derive(Clone, Debug, Subcommand)]
pub enum Message {
    /// Send a message to a pal, there or not: sealed to their devices, so that the service cannot read it
    Send(Send),
    /// Fetch what has come, and list it
    Inbox {
        /// Only what was not read
        #[arg(long)]
        unread: bool,
    },
    /// Show one, and mark it as read
    Read { number: u64 },
    /// Delete one, here and on the service
    Delete { number: u64 },
    /// Show messages as they come, until Ctrl-C
    Follow,
}

#[derive(Args, Clone, Debug)]
pub struct Send {
    #[arg(id = "account", value_name = "NAME", value_parser = name)]
    to: AccountName,
    #[arg(default_value = "")]
    text: String,
    /// A photo: JPEG, PNG or WebP. It is painted anew, so that nothing else of the file goes along
    #[arg(long, value_name = "FILE")]
    photo: Vec<PathBuf>,
    /// A voice clip: a WAV file, sent as Opus
    #[arg(long, value_name = "FILE.wav")]
    voice: Vec<PathBuf>,
    /// The number of the message that it answers
    #[arg(long, value_name = "NUMBER")]
    reply: Option<u64>,
    /// Where their program is, to give it to them without the service: HOST or HOST:BASE-PORT. Pals on the same network, and
    /// who was called by address before, are found without it
    #[arg(long, value_name = "HOST")]
    at: Option<Target>,
}

/// Does it. True when it went well.
pub fn run(what: &Message, options: &Options, interrupted: &Receiver<()>) -> Result<bool> {
    let hold = if matches!(what, Message::Follow) { Hold::Live } else { Hold::Channels };
    let mut console = Console::open(options, hold, interrupted)?;
    match what {
        Message::Send(send) => {
            let quick = quick(send, options)?;
            let parts: Vec<Value> = quick.parts.iter().map(part_json).collect();
            let to = send.to.clone();
            let at = send.at.as_ref().map(door).transpose()?;
            let said = match console.ask(Wanted::Message { to: to.clone(), quick: Box::new(quick), at })? {
                Outcome::Sent { key, direct } => json!({ "sent": &*key, "to": to, "parts": parts, "direct": direct }),
                Outcome::Queued { key, why } => {
                    eprintln!("{why}: it is kept and goes out at the next connection");
                    json!({ "queued": &*key, "to": to, "parts": parts })
                }
                other => return Err(unexpected(&other)),
            };
            console.print(&said, |_| ())?;
        }
        Message::Inbox { unread } => {
            let asked = console.ask(Wanted::Fetch);
            console.unless_offline(asked)?;
            let mailbox = mailbox(options)?;
            let all = mailbox.inbox().into_iter().filter(|received| !unread || !received.read);
            let all: Vec<Value> = all.map(|received| message_json(&mailbox, &received)).collect();
            console.print(&all, |_| mailbox.inbox().iter().for_each(|received| println!("{}", line(received))))?;
        }
        Message::Read { number } => {
            let outcome = console.ask(Wanted::Read { seq: Seq(*number) })?;
            let Outcome::Message(received) = outcome else { return Err(unexpected(&outcome)) };
            show(&console, &mailbox(options)?, &received)?;
        }
        Message::Delete { number } => {
            console.ask(Wanted::DeleteMessage { seq: Seq(*number) })?;
            console.print_done("deleted")?;
        }
        Message::Follow => {
            let mailbox = mailbox(options)?;
            console.follow(|console, notice| {
                if let Some(Notice::Arrived(received)) = notice {
                    drop(show(console, &mailbox, &received));
                }
            });
        }
    }
    Ok(true)
}

/// Where a program at `target` takes messages.
fn door(target: &Target) -> Result<SocketAddr> {
    let Target::Direct { host, base } = target else { bail!("say an address: --at HOST[:BASE-PORT]") };
    let found = (host.as_str(), base.saturating_add(DOOR)).to_socket_addrs();
    found.ok().and_then(|mut all| all.next()).with_context(|| format!("{host} has no address"))
}

fn quick(send: &Send, options: &Options) -> Result<Quick> {
    let mut parts = Vec::new();
    for path in &send.photo {
        // As large as a screen, and well below a message's bound.
        let painted = photo::repaint(&file(path, 32 * 1024 * 1024)?, 1600);
        let bytes = painted.with_context(|| format!("{} is no JPEG, PNG or WebP", path.display()))?;
        parts.push(Part { kind: PartKind::Photo, bytes });
    }
    for path in &send.voice {
        let mut mono = Vec::new();
        to_mono(&read_wav(path)?, &mut mono);
        parts.push(Part { kind: PartKind::Voice, bytes: clip::encode(&mono)? });
    }
    if send.text.is_empty() && parts.is_empty() {
        bail!("there is nothing to send: say a text, --photo or --voice");
    }
    if parts.iter().map(|part| part.bytes.len()).sum::<usize>() > LARGEST - 64 * 1024 {
        bail!("a message has at most 4 MiB: send fewer photos or shorter clips");
    }
    let reply_to = match send.reply {
        None => None,
        Some(number) => {
            let inbox = mailbox(options)?.inbox();
            let answered = inbox.into_iter().find(|received| received.seq.0 == number);
            Some(answered.with_context(|| format!("there is no message {number}"))?.key)
        }
    };
    Ok(Quick { text: Prose::cut(&send.text), parts, reply_to })
}

fn mailbox(options: &Options) -> Result<Mailbox> {
    let data = crate::data_folder(options)?;
    let login = Logins::new(&data).load()?.context("log in first: visavis account login")?;
    Ok(Mailbox::new(&data, &login.person.key))
}

fn show(console: &Console, mailbox: &Mailbox, received: &Received) -> Result<()> {
    console.print(&message_json(mailbox, received), |_| {
        println!("{}", line(received));
        if !received.trouble.is_empty() {
            println!("{}", received.trouble);
        }
        if !received.message.text.is_empty() {
            println!("\n{}\n", &*received.message.text);
        }
        received.message.parts.iter().for_each(|part| println!("{}: {}", kind(part), mailbox.path_of(part).display()));
    })
}

fn line(received: &Received) -> String {
    let state = if received.read { "" } else { "new" };
    let parts = received.message.parts.iter().map(kind).collect::<Vec<_>>().join(", ");
    let first = received.message.text.lines().next().unwrap_or_default();
    let first = if received.trouble.is_empty() { first } else { "(cannot be shown)" };
    let from = columns(&[&received.from.name, &date(received.at), &state, &parts]);
    format!("{:>5}  {from}  {first}", received.seq.0)
}

fn kind(part: &KeptPart) -> &'static str {
    match part.kind {
        PartKind::Photo => "photo",
        PartKind::Voice => "voice",
        PartKind::Unknown => "file",
    }
}

fn message_json(mailbox: &Mailbox, received: &Received) -> Value {
    let parts: Vec<Value> = received
        .message
        .parts
        .iter()
        .map(|part| json!({ "kind": part.kind, "file": mailbox.path_of(part), "size": part.size }))
        .collect();
    json!({
        "number": received.seq, "at": received.at, "from": received.from, "key": &*received.key, "read": received.read,
        "text": &*received.message.text, "reply_to": received.message.reply_to.as_ref().map(|key| (**key).to_owned()),
        "parts": parts, "trouble": received.trouble,
    })
}

fn part_json(part: &Part) -> Value {
    json!({ "kind": part.kind, "size": part.bytes.len(), "sha256": Digest::of(&part.bytes).to_string() })
}
