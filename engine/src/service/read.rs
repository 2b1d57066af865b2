//! Reads connections on which something happened, and sorts what was asked.

use bevy_ecs::entity::Entity;
use bevy_ecs::system::{Query, Res, ResMut};
use tungstenite::Utf8Bytes;

use crate::net::turn::Handed;
use crate::net::web::connection::{Close, Heard, Response};
use crate::net::web::doors::DoorKind;
use crate::proto::http::Head;
use crate::proto::nettest::service::ABOUT;
use crate::proto::service::frame::{Ask as Wanted, AskFrame, Channel};
use crate::proto::service::messages::BLOB_PATH;
use crate::proto::service::refusal::{Code, Refusal};
use crate::service::session::{Connection, Session, Strangers};
use crate::service::shared::{Ask, Asked, Counters, Ended, Network, Now, Outbox, Relays, Rules};

pub fn read_connections(
    mut connections: Query<(&mut Connection, Option<&mut Session>)>,
    mut network: ResMut<Network>,
    mut asked: ResMut<Asked>,
    mut outbox: ResMut<Outbox>,
    mut ended: ResMut<Ended>,
    mut counters: ResMut<Counters>,
    mut strangers: ResMut<Strangers>,
    (rules, relays): (Res<Rules>, Res<Relays>),
    now: Res<Now>,
) {
    let mut ready = std::mem::take(&mut network.ready);
    ready.sort_unstable();
    ready.dedup();
    for entity in ready {
        let Ok((mut connection, mut session)) = connections.get_mut(entity) else { continue };
        // What was readable may have become writable too.
        let written = connection.web.write(now.0);
        let mut wrong = None;
        let door = connection.door;
        let read = connection.web.read(now.0, &mut |heard| match heard {
            Heard::Request(request) => {
                counters.requests += 1;
                tracing::debug!(target: "http", path = request.head.path, "request");
                match refuse(&request.head, door, &rules) {
                    Some(response) => outbox.answer(entity, response),
                    None if door == DoorKind::Figures => asked.figures.push((entity, request)),
                    None if request.head.path.starts_with(ABOUT) => asked.nettest.push((entity, request)),
                    None if request.head.path.starts_with(BLOB_PATH) => asked.blobs.push((entity, request)),
                    None => asked.http.push((entity, request)),
                }
            }
            Heard::Text(text) => {
                counters.asks += 1;
                // A socket is opened for a session only.
                let Some(session) = session.as_deref_mut() else { return };
                match sort(&text, session, now.0) {
                    Ok((id, wanted)) => file(entity, id, wanted, &mut asked),
                    Err(Wrong::Refused(id, channel, refusal)) => {
                        counters.refused += 1;
                        outbox.refuse(entity, id, channel, &refusal);
                    }
                    Err(Wrong::NoFrame) => wrong = Some(Close::Malformed),
                }
            }
        });
        if let Some(balancer) = connection.web.take_origin()
            && session.is_none()
        {
            strangers.remove(balancer.ip().to_canonical(), entity);
            if let Some(oldest) = strangers.add(connection.web.peer().ip().to_canonical(), entity) {
                counters.crowded += 1;
                ended.0.push((oldest, Close::Crowded));
            }
        }
        if let Err(Close::Relay) = read {
            hand_over(&mut connection, &network, &relays);
        }
        match (read, written, wrong) {
            (Err(why), ..) | (_, Err(why), _) | (.., Some(why)) => ended.0.push((entity, why)),
            (Ok(true), ..) => network.ready.push(entity),
            (Ok(false), ..) => {}
        }
    }
}

/// Gives a connection that speaks STUN to the relay; where there is none it is closed.
fn hand_over(connection: &mut Connection, network: &Network, relays: &Relays) {
    let peer = connection.web.peer();
    let (Some(turn), Some((mut stream, bytes))) = (&relays.turn, connection.web.take_stream()) else { return };
    if network.registry.deregister(stream.socket_mut()).is_ok() {
        turn.take(Handed { stream, peer, bytes });
    }
}

/// What is answered before anybody looks at the request.
fn refuse(head: &Head, door: DoorKind, rules: &Rules) -> Option<Response> {
    if door == DoorKind::Redirect {
        // Whatever was sent here went over the wire in the clear; it is not looked at.
        let host = if rules.host.is_empty() { host_of(&head.host) } else { &rules.host };
        let port = if rules.port == 443 { String::new() } else { format!(":{}", rules.port) };
        let mut response = Response::text(308, "this service speaks TLS");
        response.headers.push(format!("Location: https://{host}{port}{}", head.path));
        response.close = true;
        return Some(response);
    }
    // A page in a browser of this machine may have a name that leads here (DNS rebinding).
    if door == DoorKind::Figures && !matches!(host_of(&head.host), "127.0.0.1" | "localhost" | "[::1]") {
        return Some(Response::text(403, "this is for programs of this machine"));
    }
    // RFC 6455 §10.2, and for requests alike: a page of somebody else speaks for nobody here.
    let is_foreign = head.origin.as_ref().is_some_and(|origin| origin.strip_prefix("https://") != Some(&head.host));
    is_foreign.then(|| Response::text(403, "requests of other sites are refused"))
}

/// The host without its port.
fn host_of(host: &str) -> &str {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '[' | ']' | ':');
    if !host.chars().all(is_plain) {
        return "localhost";
    }
    match host.rfind(':') {
        Some(at) if !host[at..].contains(']') => &host[..at],
        _ => host,
    }
}

enum Wrong {
    Refused(u64, Channel, Refusal),
    /// Not even the outside of a request: whoever sends that is closed.
    NoFrame,
}

/// A request within its channel's limits, which are looked at before its inside is read.
fn sort(text: &Utf8Bytes, session: &mut Session, now: std::time::Instant) -> Result<(u64, Wanted), Wrong> {
    let frame = AskFrame::parse(text.as_str()).map_err(|_| Wrong::NoFrame)?;
    let refused = |refusal| Wrong::Refused(frame.id, frame.channel, refusal);
    if text.len() > frame.channel.limits().largest {
        return Err(refused(Refusal::new(Code::TooLarge, "the request is longer than its channel permits")));
    }
    session.take(frame.channel, now).map_err(|wait| {
        let wait = u32::try_from(wait.as_millis()).unwrap_or(u32::MAX).max(1);
        refused(Refusal::retry_after(Code::TooOften, "too many requests: wait a little", wait))
    })?;
    frame.ask().map(|wanted| (frame.id, wanted)).map_err(refused)
}

fn file(from: Entity, id: u64, wanted: Wanted, asked: &mut Asked) {
    match wanted {
        Wanted::Directory(ask) => asked.directory.push(Ask { from, id, ask }),
        Wanted::Pals(ask) => asked.pals.push(Ask { from, id, ask }),
        Wanted::Chat(ask) => asked.chat.push(Ask { from, id, ask }),
        Wanted::Messages(ask) => asked.messages.push(Ask { from, id, ask }),
    }
}
