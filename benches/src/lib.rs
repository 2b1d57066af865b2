//! What the benches share: made-up traffic and engines without sockets.

pub mod pair;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use bevy_ecs::entity::Entity;
use engine::base::id::{Ssrc, UnitNumber};
use engine::base::pipe::Wake;
use engine::base::time::{Duration, Instant, WallTime};
use engine::codec::worker::Work;
use engine::device::{MicrophoneSpec, SpeakerSpec};
use engine::engine::Engine;
use engine::handle::link;
use engine::media::video::{CapturedPicture, Picture};
use engine::net::datagram::Inbox;
use engine::net::paths::Found;
use engine::net::transport::plain::Plain;
use engine::net::transport::{Drained, OutgoingPacket, Sources, Track, Transport};
use engine::proto::unit_ext::UnitExt;
use engine::roles::client::media;
use engine::source::testcard::TestCard;
use engine::world::config::Config;
use engine::world::shared::Arriving;

/// An engine without sockets or devices.
pub fn engine(folder: &Path, now: Instant) -> Engine {
    let mut config = Config::new("Bench", folder, 2000);
    (config.microphone, config.speaker) = (MicrophoneSpec::None, SpeakerSpec::None);
    let (_, end) = link(Wake::none(), Arc::new(|| {}));
    Engine::new(config, Wake::none(), end, now).expect("a new folder")
}

/// One far end: writes packets that an engine's connection takes.
pub struct Far {
    transport: Transport,
    address: SocketAddr,
    near: SocketAddr,
    out: Drained,
    number: u16,
}

/// Adds a connection to `engine` and returns its far end.
pub fn connect(engine: &mut Engine, index: u16, now: Instant) -> Far {
    let near = SocketAddr::from((Ipv4Addr::new(10, 0, 0, 1), 2000));
    let [high, low] = index.to_be_bytes();
    let address = SocketAddr::from((Ipv4Addr::new(10, 1, high, low), 2000));
    let sources =
        Sources { audio: Ssrc(1), video: Ssrc(2), video_rtx: Ssrc(3), further: Default::default(), repair: None };
    let end = |local, remote| {
        let mut transport = Transport::Plain(Box::new(Plain::new(sources, now)));
        let parameters = transport.parameters();
        transport.start(&parameters, true, now).expect("the plain transport starts");
        let _ = transport.add_local(&Found::host(local, false));
        transport.add_remote(&Found::host(remote, false).candidate);
        transport
    };
    let mut config = Config::new("Bench", "", 2000);
    // A thousand connections need no two thousand threads here.
    config.work = Work::Inline { encode: Duration::ZERO, decode: Duration::ZERO };
    let inside = end(near, address);
    media::spawn(engine.world_mut(), Entity::PLACEHOLDER, inside, &config, now).expect("codecs open");
    Far { transport: end(address, near), address, near, out: Drained::default(), number: 0 }
}

impl Far {
    /// Puts one video packet of 1000 bytes into the engine's inbox.
    pub fn send(&mut self, engine: &mut Engine, now: Instant) {
        self.number = self.number.wrapping_add(1);
        let unit = UnitExt { number: UnitNumber(self.number), ..Default::default() };
        let payload = [0x41; 1000];
        let packet = OutgoingPacket {
            track: Track::Video,
            timestamp: u32::from(self.number) * 3000,
            marker: true,
            redundant: false,
            payload: &payload,
            captured: now,
            capture_time: Some(WallTime::of(now)),
            unit: Some(unit),
            level: None,
            voice: false,
        };
        self.transport.write(&packet, now);
        self.transport.run_timeouts(now, &mut self.out);
        let inbox: &mut Inbox = &mut engine.world_mut().resource_mut::<Arriving>().into_inner().0;
        for (_, bytes) in self.out.outbox.iter() {
            inbox.push(self.address, self.near, now, bytes);
        }
        self.out.outbox.clear();
    }
}

/// Thirty pictures of the test card, as a camera would take them.
pub fn pictures(start: Instant) -> Vec<CapturedPicture> {
    let mut card = TestCard::new(1280, 720, 30.0);
    let own = |at| {
        let drawn = card.draw(at);
        CapturedPicture { picture: Arc::new(Picture::clone(&drawn.picture)), captured: drawn.captured }
    };
    (0..30).map(|n| start + n * Duration::from_micros(33_333)).map(own).collect()
}
