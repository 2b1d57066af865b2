//! The network test's other end: says where one is seen from, carries bytes to and fro, and calls back, all without a login
//! and within limits by address.

use bevy_ecs::resource::Resource;
use bevy_ecs::schedule::{IntoScheduleConfigs, Schedule};
use bevy_ecs::system::{Query, Res, ResMut};
use bevy_ecs::world::World;

use crate::base::error::Result;
use crate::base::time::WallTime;
use crate::net::bucket::Buckets;
use crate::net::dialback::Dialler;
use crate::net::web::connection::Response;
use crate::proto::http::Method;
use crate::proto::nettest::service::{ABOUT, About, DIAL, DOWN, Dial, UP, wanted_bytes};
use crate::proto::service::refusal::{Code, Refusal};
use crate::service::Role;
use crate::service::session::Connection;
use crate::service::shared::{Asked, Now, Outbox, Relays};

/// Adds the role's systems to the tick.
///
/// # Errors
/// The system gives no thread to call back from.
pub fn install(world: &mut World, schedule: &mut Schedule) -> Result<()> {
    world.insert_resource(Desk { dialler: Dialler::start()?, dials: Buckets::default(), bytes: Buckets::default() });
    schedule.add_systems(take_requests.in_set(Role::Nettest));
    Ok(())
}

#[derive(Resource, Debug)]
struct Desk {
    dialler: Dialler,
    dials: Buckets,
    /// Of requests that carry bytes.
    bytes: Buckets,
}

fn take_requests(
    connections: Query<&Connection>,
    mut asked: ResMut<Asked>,
    mut outbox: ResMut<Outbox>,
    mut desk: ResMut<Desk>,
    relays: Res<Relays>,
    now: Res<Now>,
) {
    for (from, request) in asked.nettest.drain(..) {
        let Ok(connection) = connections.get(from) else { continue };
        let address = connection.web.peer().ip().to_canonical();
        let head = &request.head;
        let too_often =
            || Refusal::retry_after(Code::TooOften, "too many network tests from your address: wait", 10_000);
        let answer = match (head.method, head.path.as_str()) {
            (Method::Get, ABOUT) => {
                let time_us = WallTime::of(now.0).as_micros();
                let about = About { you: address, time_us, relays: relays.uris.clone() };
                Ok(serde_json::to_vec(&about).unwrap_or_default())
            }
            (Method::Get, DOWN) => match desk.bytes.take(address, TRANSFERS, now.0) {
                true => Ok(vec![b' '; wanted_bytes(&head.query)]),
                false => Err(too_often()),
            },
            (Method::Post, UP) => match desk.bytes.take(address, TRANSFERS, now.0) {
                true => Ok(b"{}".to_vec()),
                false => Err(too_often()),
            },
            (Method::Post, DIAL) => match Dial::parse(&request.body) {
                None => Err(Refusal::new(Code::Malformed, "the request is not of its form")),
                // The address is the one that asked, whatever the request says: nobody is called for somebody else.
                Some(dial) if desk.dials.take(address, DIALS, now.0) && desk.dialler.dial(address, dial) => {
                    Ok(b"{}".to_vec())
                }
                Some(_) => Err(too_often()),
            },
            _ => Err(Refusal::new(Code::NotFound, "there is no such page")),
        };
        match answer {
            Ok(body) => outbox.answer(from, Response::json(200, body)),
            Err(refusal) => outbox.refuse_http(from, &refusal),
        }
    }
}

/// Each minute of an address: the design's limit.
const DIALS: u32 = 6;

/// A test takes at most 20 MB in pieces of up to 256 KiB, the first ones small.
const TRANSFERS: u32 = 240;
