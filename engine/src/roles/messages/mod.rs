//! Quick Messages for people who are not there: sealed by the sender, kept until they are fetched and deleted.

mod blobs;

use bevy_ecs::schedule::{IntoScheduleConfigs, Schedule};
use bevy_ecs::system::{Query, Res, ResMut};
use bevy_ecs::world::World;

use crate::base::error::Result;
use crate::base::pipe::Wake;
use crate::net::web::connection::Response;
use crate::proto::service::frame::{Channel, Push as AnyPush, Reply as AnyReply};
use crate::proto::service::messages::{Push, Reply, Stored};
use crate::service::Role;
use crate::service::files::{Files, Wanted};
use crate::service::session::{Present, Session};
use crate::service::shared::{Asked, Collected, Desk, Outbox, Storage, asker};
use crate::store::op::Op as StoreOp;
use crate::store::op::messages::{Answer, Op};

use blobs::Writer;

/// Adds the role's systems to the tick.
///
/// # Errors
/// The system gives no thread for writing uploads.
pub fn install(world: &mut World, schedule: &mut Schedule, wake: &Wake) -> Result<()> {
    let blobs = world.resource::<Storage>().blobs.clone();
    world.insert_resource(Writer::start(blobs, wake)?);
    schedule.add_systems(
        (take_done, blobs::take_written, take_asks, blobs::take_requests, blobs::sweep).chain().in_set(Role::Messages),
    );
    Ok(())
}

fn take_asks(sessions: Query<&Session>, mut asked: ResMut<Asked>, mut desk: Desk) {
    for ask in asked.messages.drain(..) {
        let Ok(session) = sessions.get(ask.from) else { continue };
        let op = Op::Ask { by: desk.by(session), device: session.device, request: Box::new(ask.ask) };
        desk.submit(ask.from, ask.id, Channel::Messages, StoreOp::Messages(Box::new(op)));
    }
}

fn take_done(
    mut collected: ResMut<Collected>,
    mut outbox: ResMut<Outbox>,
    present: Res<Present>,
    files: Res<Files>,
    writer: Res<Writer>,
) {
    for done in collected.0.messages.drain(..) {
        if let Ok(Answer::Swept(old)) = &done.answer {
            old.iter().for_each(|blob| files.remove(blob));
        }
        let Some(from) = asker(done.ticket) else { continue };
        // Uploads and downloads are asked for over HTTP, where requests have no numbers.
        let is_http = done.ticket.id == 0;
        let reply = match done.answer {
            Err(refusal) if is_http => {
                outbox.refuse_http(from, &refusal);
                continue;
            }
            Err(refusal) => {
                outbox.refuse(from, done.ticket.id, Channel::Messages, &refusal);
                continue;
            }
            Ok(Answer::Reply(reply)) => reply,
            Ok(Answer::Sent { reply, to, message }) => {
                if let Some(message) = message {
                    outbox.push_to(to, None, &present, &AnyPush::Messages(Push::Arrived(message)));
                }
                reply
            }
            Ok(Answer::Read { account, seq }) => {
                outbox.push_to(account, Some(from), &present, &AnyPush::Messages(Push::Read { seq }));
                Reply::Done
            }
            Ok(Answer::Deleted { blob }) => {
                blob.iter().for_each(|blob| files.remove(blob));
                Reply::Done
            }
            Ok(Answer::MayUpload { account, blob, bytes }) => {
                if let Err(refusal) = writer.submit(from, account, blob, bytes) {
                    outbox.refuse_http(from, &refusal);
                }
                continue;
            }
            Ok(Answer::Kept(blob)) => {
                let stored = serde_json::to_vec(&Stored { blob }).unwrap_or_default();
                outbox.answer(from, Response::json(200, stored));
                continue;
            }
            Ok(Answer::MayFetch(blob)) => {
                let (name, content_type) = (blob.to_string(), "application/octet-stream");
                let wanted = Wanted { from, name, content_type, none: "there is no such message" };
                if let Err(refusal) = files.read(wanted) {
                    outbox.refuse_http(from, &refusal);
                }
                continue;
            }
            Ok(Answer::Swept(_)) => continue,
        };
        outbox.reply(from, done.ticket.id, &AnyReply::Messages(reply));
    }
}
