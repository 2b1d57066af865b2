//! Thousands of clients of a service on a few threads.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use engine::base::time::now;
use engine::proto::keys::Digest;
use engine::proto::service::account::Secret;
use engine::proto::service::chat::{Push as ChatPush, Reply as ChatReply, Request as ChatRequest};
use engine::proto::service::frame::{Ask, Push, Reply, Said};
use engine::proto::service::pals::{Presence, Request as PalsRequest};
use mio::{Events, Interest, Poll, Token};
use rustls::{ClientConnection, StreamOwned};
use tungstenite::protocol::{Role, WebSocket, WebSocketConfig};
use tungstenite::{Error, Message};

use crate::Outcome;
use crate::service::client::Place;
use crate::service::seed;

type Socket = WebSocket<StreamOwned<ClientConnection, mio::net::TcpStream>>;

/// What a thread's clients do.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Numbers of its people.
    pub first: usize,
    pub count: usize,
    /// Those below this number write.
    pub writers: usize,
    pub room: usize,
    /// Between two posts of a writer.
    pub each: Duration,
    /// Between two changes of presence of all the others together.
    pub presence: Duration,
    pub warm_up: Duration,
    pub lasting: Duration,
}

/// What a thread's clients saw.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub connected: usize,
    pub posts: u64,
    /// From a post to its acknowledgement.
    pub acknowledged: Vec<Duration>,
    pub entries: u64,
    pub presences: u64,
    pub refused: u64,
    pub broken: u64,
}

struct Member {
    socket: Socket,
    n: usize,
    next: u64,
    due: Instant,
    posted: HashMap<u64, Instant>,
}

/// Connects and opens the channels of a plan's people, each from one of ten addresses of this machine.
///
/// # Errors
/// The service does not let one in.
pub fn connect(address: SocketAddr, pin: Digest, access: &[Secret], plan: &Plan) -> Outcome<Vec<(usize, Socket)>> {
    let members = (plan.first..plan.first + plan.count).map(|n| {
        let from = SocketAddr::from(([127, 0, 0, 2 + (n % 10) as u8], 0));
        let place = Place { address, pin, from: Some(from) };
        let channels = place.open(access.get(n).ok_or("no such person")?)?;
        let stream = channels.into_stream();
        stream.sock.set_nonblocking(true).map_err(|error| error.to_string())?;
        let sock = mio::net::TcpStream::from_std(stream.sock);
        let stream = StreamOwned::new(stream.conn, sock);
        let config = WebSocketConfig::default().read_buffer_size(2048).write_buffer_size(0);
        Ok((n, WebSocket::from_raw_socket(stream, Role::Client, Some(config))))
    });
    members.collect()
}

/// Lets connected people do what the plan says.
///
/// # Errors
/// The system gives no event loop.
pub fn run(members: Vec<(usize, Socket)>, plan: &Plan) -> Outcome<Seen> {
    let text = |error: std::io::Error| error.to_string();
    let mut poll = Poll::new().map_err(text)?;
    let mut events = Events::with_capacity(1024);
    let begin = now();
    let mut seen = Seen { connected: members.len(), ..Seen::default() };
    let mut people = Vec::with_capacity(members.len());
    for (at, (n, mut socket)) in members.into_iter().enumerate() {
        let interest = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(&mut socket.get_mut().sock, Token(at), interest).map_err(text)?;
        // Spread over the first interval.
        let share = plan.each.mul_f64((n * 7919 % 1000) as f64 / 1000.0);
        let mut member = Member { socket, n, next: 1, due: begin + share, posted: HashMap::new() };
        if n < plan.writers {
            say(&mut member, &Ask::Chat(ChatRequest::Rooms), &mut seen);
        }
        say(&mut member, &presence(Presence::Online), &mut seen);
        people.push(Some(member));
    }
    let measured = begin + plan.warm_up;
    let end = measured + plan.lasting;
    let (mut presence_due, mut turn) = (begin, 0usize);
    while now() < end {
        poll.poll(&mut events, Some(Duration::from_millis(1))).map_err(text)?;
        for event in &events {
            let place = &mut people[event.token().0];
            if let Some(member) = place
                && !hear(member, &mut seen, now() >= measured)
            {
                seen.broken += 1;
                *place = None;
            }
        }
        let at = now();
        for member in people.iter_mut().flatten().filter(|member| member.n < plan.writers && member.due <= at) {
            member.due += plan.each;
            let post = seed::post(member.n, plan.room, member.next)?;
            let id = say(member, &Ask::Chat(post), &mut seen);
            if at >= measured {
                seen.posts += 1;
                member.posted.insert(id, at);
            }
        }
        while presence_due <= at && plan.count > 0 {
            presence_due += plan.presence;
            turn = (turn + 1) % people.len();
            let wanted = if turn % 2 == 0 { Presence::Away } else { Presence::Online };
            if let Some(member) = &mut people[turn] {
                say(member, &presence(wanted), &mut seen);
            }
        }
    }
    Ok(seen)
}

fn presence(presence: Presence) -> Ask {
    Ask::Pals(PalsRequest::SetPresence { presence, text: Default::default() })
}

fn say(member: &mut Member, ask: &Ask, seen: &mut Seen) -> u64 {
    let id = member.next;
    member.next += 1;
    if let Err(error) = member.socket.send(Message::text(ask.to_text(id)))
        && !would_block(&error)
    {
        seen.broken += 1;
    }
    id
}

/// Reads what has come; `false` when the connection is over.
fn hear(member: &mut Member, seen: &mut Seen, measured: bool) -> bool {
    let _ = member.socket.flush();
    loop {
        match member.socket.read() {
            Ok(Message::Text(text)) => match Said::parse(text.as_str()) {
                Ok(Said::Reply { id, reply: Reply::Chat(ChatReply::Posted { .. }) }) => {
                    if let Some(posted) = member.posted.remove(&id) {
                        seen.acknowledged.push(now() - posted);
                    }
                }
                Ok(Said::Refused { .. }) => seen.refused += 1,
                Ok(Said::Push(Push::Chat(ChatPush::Entry { .. }))) if measured => seen.entries += 1,
                Ok(Said::Push(Push::Pals(_))) if measured => seen.presences += 1,
                _ => {}
            },
            Ok(_) => {}
            Err(error) if would_block(&error) => return true,
            Err(_) => return false,
        }
    }
}

fn would_block(error: &Error) -> bool {
    matches!(error, Error::Io(error) if error.kind() == ErrorKind::WouldBlock)
}
