//! How we show ourselves in an OFFER or ANSWER.

use bevy_ecs::world::World;

use crate::base::error::{Error, Kind, Result};
use crate::base::id::Ssrc;
use crate::base::time::Instant;
use crate::net::transport::plain::Plain;
use crate::net::transport::webrtc::Webrtc;
use crate::net::transport::{BESIDE, FURTHER, LOWER, Sources, Transport};
use crate::proto::keys::{self, Digest};
use crate::proto::signal::machine::Own;
use crate::proto::signal::media::{IceCredentials, MediaParameters, Ssrcs};
use crate::world::call::Signalling;
use crate::world::shared::Settings;

/// The transport of a call to come, and how we show ourselves in its OFFER or ANSWER. No packet leaves it before
/// [`start`].
///
/// # Errors
/// The system gives no random numbers: a line for the person.
pub fn prepare(world: &World, now: Instant) -> Result<(Transport, Own)> {
    let settings = &world.resource::<Settings>().0;
    let signalling = world.resource::<Signalling>();
    let numbers = keys::random::<{ 16 + 8 * BESIDE }>()?;
    let ssrc = |at: usize| {
        let bytes = [numbers[at], numbers[at + 1], numbers[at + 2], numbers[at + 3]];
        // Zero is used for probing by some.
        Ssrc(u32::from_be_bytes(bytes).max(1))
    };
    let further = std::array::from_fn(|number| Some((ssrc(12 + 8 * number), ssrc(16 + 8 * number))));
    let sources =
        Sources { audio: ssrc(0), video: ssrc(4), video_rtx: ssrc(8), further, repair: Some(ssrc(12 + 8 * FURTHER)) };
    let transport = if settings.plain {
        Transport::Plain(Box::new(Plain::new(sources, now)))
    } else {
        Transport::Webrtc(Box::new(Webrtc::new(sources, now)))
    };
    let abilities = &settings.abilities;
    let (further, layers) = apart(sources.further);
    let parameters = transport.parameters();
    // The plain transport has no credentials; the form of the message wants some.
    let ice = IceCredentials::new(&parameters.ufrag, &parameters.password)
        .or_else(|| IceCredentials::new("plain", "plainplainplainplainplain"))
        .ok_or_else(|| Error::new(Kind::Reopen, "no ICE credentials"))?;
    let media = MediaParameters {
        dtls: Digest(parameters.fingerprint),
        ice,
        ssrcs: Ssrcs {
            audio: sources.audio,
            video: sources.video,
            video_rtx: sources.video_rtx,
            further,
            repair: sources.repair.filter(|_| abilities.repair),
            layers,
        },
        audio: abilities.audio.clone(),
        video: abilities.video,
        base_port: settings.base_port,
        version: abilities.version,
        needs: abilities.needs,
        relay_only: settings.relay_only,
        files: !settings.plain,
    };
    let identity = &signalling.identity;
    Ok((transport, Own { name: identity.name().clone(), devices: identity.devices().clone(), media }))
}

type Pair = Option<(Ssrc, Ssrc)>;

/// Further sources and smaller layers, as they are told to the other side.
fn apart(beside: [Pair; BESIDE]) -> ([Pair; FURTHER], [Pair; LOWER]) {
    let at = |number: usize| beside.get(number).copied().flatten();
    (std::array::from_fn(at), std::array::from_fn(|number| at(FURTHER + number)))
}

/// The same as the transport has them.
pub fn together(further: [Pair; FURTHER], layers: [Pair; LOWER]) -> [Pair; BESIDE] {
    let mut all = further.into_iter().chain(layers);
    std::array::from_fn(|_| all.next().flatten())
}
