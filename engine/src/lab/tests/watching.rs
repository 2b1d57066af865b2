//! No more is sent than is looked at, and no more than the machine can do.

use bevy_ecs::resource::Resource;
use bevy_ecs::schedule::IntoScheduleConfigs;
use bevy_ecs::system::{Query, ResMut};

use super::*;
use crate::base::id::TileId;
use crate::codec::video_decoder::DecoderCounters;
use crate::media::load::EncoderLoad;
use crate::media::simulcast::{Audience, Forward, LAYERS};
use crate::media::video::Picture;
use crate::net::transport::{BESIDE, LOWER, Track};
use crate::proto::repair::Repair;
use crate::proto::rtp_h264::begins_keyframe;
use crate::systems::deliver;
use crate::world::config::Plant;
use crate::world::connection::{Connection, Exchange, Tracks};
use crate::world::outgoing::{VideoQueue, VideoSent};
use crate::world::shared::FIRST_TILE;
use crate::world::stage::Stage;
use crate::world::stream::{Decoder, Frames};

const HD: SourceSpec = SourceSpec::TestCard { width: 1280, height: 720, frame_rate: 30.0 };

/// Real pictures in the clear: what breaks is seen.
fn pictures(config: &mut Config) {
    model(config);
    (config.camera, config.codec) = (Some(HD), VideoCodec::H264);
    (config.microphone, config.find_chirps) = (MicrophoneSpec::None, false);
}

/// Ada is looked at by Ben.
struct Pair {
    lab: Lab,
    ada: MemberId,
    ben: MemberId,
    _folder: tempfile::TempDir,
}

impl Pair {
    fn new(setup: impl Fn(&mut Config)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut lab = Lab::new(folder.path(), "lan".parse().expect("known"), 3);
        let ada = lab.add("Ada", &setup).expect("an engine");
        let ben = lab.add("Ben", |config| {
            setup(config);
            config.camera = None;
        });
        let ben = ben.expect("an engine");
        lab.command(ada, Command::Call(lab.target(ben)));
        Self { lab, ada, ben, _folder: folder }
    }

    fn look(&mut self, width: u16, height: u16) {
        self.lab.command(self.ben, Command::Watch(FIRST_TILE, width, height));
    }

    fn tracks(&mut self, member: MemberId) -> Tracks {
        let world = self.lab.engine_mut(member).world_mut();
        *world.query::<&Tracks>().single(world).expect("one connection")
    }

    fn sent(&mut self) -> VideoSent {
        let video = self.tracks(self.ada).video_out;
        *self.lab.engine_mut(self.ada).world_mut().get::<VideoSent>(video).expect("a track")
    }

    fn load(&mut self) -> u32 {
        let video = self.tracks(self.ada).video_out;
        self.lab.engine_mut(self.ada).world_mut().get::<VideoQueue>(video).expect("a track").load.level()
    }

    /// What Ben sees.
    fn shown(&mut self) -> std::sync::Arc<Picture> {
        let video = self.tracks(self.ben).video_in;
        let world = self.lab.engine_mut(self.ben).world_mut();
        let frame = world.get::<Frames>(video).expect("a stream").shown.as_ref().expect("a picture");
        frame.picture.clone()
    }

    /// Lets so many pictures pass; every one that is shown is whole and none is an old one. Their widths.
    fn run(&mut self, pictures: u32) -> Vec<u32> {
        let before = self.counter();
        let (widths, broken) = self.watch(pictures);
        assert_eq!(broken, None);
        let after = self.counter();
        assert!(after >= before + pictures / 2, "it stands still: {before} to {after} in {pictures}");
        widths
    }

    /// The number of the picture that Ben sees.
    fn counter(&mut self) -> u32 {
        let picture = self.shown();
        let found = crate::media::marker::read(&picture.y, picture.width as usize, picture.width, picture.height);
        found.map_or(0, |marker| marker.counter)
    }

    /// The widths of so many pictures, and what was wrong with the first that was not whole or was an old one.
    fn watch(&mut self, pictures: u32) -> (Vec<u32>, Option<String>) {
        let (mut widths, mut last, mut broken) = (Vec::new(), None::<u32>, None);
        for _ in 0..pictures {
            self.lab.run_for(Duration::from_micros(33_333));
            let picture = self.shown();
            let found = crate::media::marker::read(&picture.y, picture.width as usize, picture.width, picture.height);
            let counter = found.map(|marker| marker.counter);
            // A keyframe of a large layer is on its way for longer than a small picture: it may be of one moment before.
            if counter.is_none_or(|counter| last.is_some_and(|last| counter + 1 < last)) {
                broken = broken.or_else(|| Some(format!("{counter:?} after {last:?}")));
            }
            last = counter;
            widths.push(picture.width);
        }
        let counters = self.decoder();
        if counters.refused + counters.failed + counters.dropped > 0 {
            broken = broken.or_else(|| Some(format!("{counters:?}")));
        }
        widths.dedup();
        (widths, broken)
    }

    fn decoder(&mut self) -> DecoderCounters {
        let video = self.tracks(self.ben).video_in;
        let world = self.lab.engine_mut(self.ben).world_mut();
        world.get::<Decoder>(video).expect("a stream").0.counters()
    }
}

#[test]
fn a_tile_gets_the_layer_that_fills_it_at_once_and_no_broken_picture() {
    let mut pair = Pair::new(pictures);
    pair.lab.run_for(Duration::from_secs(8));
    assert_eq!(pair.run(10), [1280], "nobody has said how large the tile is");
    for (tile, width) in [((1200, 675), 1280), ((330, 186), 320), ((640, 360), 640), ((1280, 720), 1280)] {
        pair.look(tile.0, tile.1);
        pair.run(15);
        assert_eq!(pair.run(10), [width], "a tile of {tile:?}");
    }
    assert_eq!((pair.decoder().refused, pair.decoder().failed), (0, 0));
}

#[test]
fn a_hidden_tile_costs_nothing_and_is_back_at_once() {
    let mut pair = Pair::new(pictures);
    pair.lab.run_for(Duration::from_secs(4));
    pair.look(0, 0);
    pair.lab.run_for(ms(500));
    let before = pair.sent();
    pair.lab.run_for(Duration::from_secs(20));
    let hidden = pair.sent();
    assert_eq!(hidden.sent, before.sent, "nothing is encoded for nobody");
    assert!(hidden.captured >= before.captured + 590, "we still see ourselves");
    pair.look(640, 360);
    pair.lab.run_for(ms(100));
    let counter = pair.counter();
    assert!(u64::from(counter) + 3 >= hidden.captured, "{counter} of {}", hidden.captured);
    pair.run(30);
    pair.lab.command(pair.ada, Command::HangUp);
    assert!(pair.lab.run_until_ended(Duration::from_secs(10)));
    let video = pair.lab.report(pair.ben).expect("ended").video.clone();
    assert_eq!(video.freezes, 0, "what nobody looks at does not freeze: {video:?}");
}

#[test]
fn a_word_about_a_tile_that_is_not_there_is_not_heeded() {
    let mut pair = Pair::new(pictures);
    pair.lab.run_for(Duration::from_secs(3));
    pair.lab.command(pair.ben, Command::Watch(TileId(77), 0, 0));
    let before = pair.sent().sent;
    pair.lab.run_for(Duration::from_secs(1));
    assert!(pair.sent().sent >= before + 25);
}

/// What a relay does for one that watches, between Ben's transport and his stream.
#[derive(Resource)]
struct Relay {
    forward: Forward,
    /// It goes over to another layer at any picture.
    broken: bool,
    /// Rows of parity that came, by the source that they repair.
    parity: [u64; SOURCES],
}

/// The first source, the further ones and the smaller layers.
const SOURCES: usize = 1 + BESIDE;

fn relay(mut relay: ResMut<Relay>, mut connections: Query<&mut Exchange>) {
    let Relay { forward, broken, parity } = &mut *relay;
    for mut exchange in &mut connections {
        exchange.0.packets.retain_mut(|packet| {
            // Parity is of numbers that the one who watches never sees.
            if let (Track::Repair, Some(Repair::Parity(row))) = (packet.track, Repair::parse(&packet.payload)) {
                parity[usize::from(row.source)] += 1;
            }
            let Some(layer) = packet.track.layer() else { return packet.track != Track::Repair };
            let begins = packet.unit.is_some() && (*broken || begins_keyframe(&packet.payload));
            let passed = forward.pass(layer.into(), (packet.sequence, packet.timestamp), begins);
            let Some((number, time)) = passed else { return false };
            // Numbers begin anew for each that watches.
            (packet.track, packet.sequence, packet.timestamp) = (Track::Video, number + 65_536, time);
            true
        });
    }
}

/// Ben behind a relay, who is shown `layer`; others watch all that are in `tiles`.
fn behind_a_relay(broken: bool, tiles: &[(u16, u16)], layer: usize) -> Pair {
    let mut pair = Pair::new(pictures);
    let ben = pair.lab.engine_mut(pair.ben);
    let mut forward = Forward::default();
    forward.ask(layer);
    ben.world_mut().insert_resource(Relay { forward, broken, parity: [0; SOURCES] });
    ben.schedule_mut().add_systems(relay.in_set(Stage::Deliver).before(deliver::file_packets));
    pair.lab.run_for(Duration::from_secs(2));
    others_watch(&mut pair, tiles);
    pair.lab.run_for(Duration::from_secs(6));
    pair
}

fn others_watch(pair: &mut Pair, tiles: &[(u16, u16)]) {
    let video = pair.tracks(pair.ada).video_out;
    let world = pair.lab.engine_mut(pair.ada).world_mut();
    world.get_mut::<VideoQueue>(video).expect("a track").asked = Some(Audience::of(tiles.iter().copied()));
}

/// The relay is asked for another layer, and asks Ada for a keyframe of it.
fn go_over(pair: &mut Pair, layer: usize) {
    let ben = pair.lab.engine_mut(pair.ben).world_mut();
    ben.resource_mut::<Relay>().forward.ask(layer);
    let mut connections = ben.query::<&mut Connection>();
    for mut connection in connections.iter_mut(ben) {
        connection.transport.request_keyframe(Track::of_layer(layer as u8));
    }
}

/// Units of each layer that Ada sent.
fn units(pair: &mut Pair) -> [u64; LAYERS] {
    let tracks = pair.tracks(pair.ada);
    let world = pair.lab.engine_mut(pair.ada).world_mut();
    let sent = |video| world.get::<VideoSent>(video).expect("a track").sent;
    [sent(tracks.video_out), sent(tracks.lower_out[0]), sent(tracks.lower_out[1])]
}

#[test]
fn layers_that_somebody_watches_are_sent_side_by_side_and_no_others() {
    let all = [(1280, 720), (640, 360), (320, 180)];
    let mut pair = behind_a_relay(false, &all[..1], 0);
    let mut before = units(&mut pair);
    let mut sent = |pair: &mut Pair| {
        pair.lab.run_for(Duration::from_secs(2));
        let after = units(pair);
        let sent = std::array::from_fn::<u64, LAYERS, _>(|layer| after[layer] - before[layer]);
        before = after;
        sent.map(|units| units > 40)
    };
    assert_eq!(sent(&mut pair), [true, false, false]);
    for (tiles, layers) in [
        (&all[..], [true, true, true]),
        (&[all[0], all[2]][..], [true, false, true]),
        // However many watch on however large a tile.
        (&[(300, 170), (1900, 1000), (200, 100)][..], [true, false, true]),
        (&all[..1], [true, false, false]),
        (&[][..], [false, false, false]),
    ] {
        others_watch(&mut pair, tiles);
        pair.lab.run_for(ms(300));
        sent(&mut pair);
        assert_eq!(sent(&mut pair), layers, "{tiles:?}");
    }
}

#[test]
fn a_watcher_that_goes_from_layer_to_layer_sees_no_broken_picture() {
    let all = [(1280, 720), (640, 360), (320, 180)];
    let mut pair = behind_a_relay(false, &all, 0);
    for (layer, width) in [(0, 1280), (2, 320), (1, 640), (0, 1280), (1, 640), (2, 320)] {
        go_over(&mut pair, layer);
        // The last picture stays while the keyframe is on its way, and after it the encoder saves for a while.
        assert_eq!(pair.watch(60).1, None);
        assert_eq!(pair.run(30), [width]);
    }
    // A relay that does not wait for a keyframe is found out.
    let mut pair = behind_a_relay(true, &all, 0);
    pair.run(10);
    pair.lab.engine_mut(pair.ben).world_mut().resource_mut::<Relay>().forward.ask(2);
    let (_, broken) = pair.watch(30);
    assert!(broken.is_some());
}

/// Rows of parity for each layer, where packets are lost and keyframes of all layers are asked for. `reads`: somebody can read
/// that of the smaller ones.
fn parity(reads: bool) -> [u64; LAYERS] {
    let mut pair = behind_a_relay(false, &[(1280, 720), (640, 360), (320, 180)], 0);
    pair.lab.change_paths("delay=10,loss=10".parse().expect("a path"));
    let tracks = pair.tracks(pair.ada);
    for lower in tracks.lower_out.into_iter().filter(|_| reads) {
        let world = pair.lab.engine_mut(pair.ada).world_mut();
        world.get_mut::<VideoQueue>(lower).expect("a track").repair.is_read = true;
    }
    for layer in [2, 1, 0, 2, 1, 0, 2, 1, 0] {
        go_over(&mut pair, layer);
        pair.lab.run_for(Duration::from_secs(2));
    }
    let ben = pair.lab.engine_mut(pair.ben).world_mut();
    let parity = ben.resource::<Relay>().parity;
    std::array::from_fn(|layer| parity[if layer == 0 { 0 } else { BESIDE - LOWER + layer }])
}

#[test]
fn smaller_layers_carry_no_parity_which_nobody_could_read() {
    let [first, half, quarter] = parity(false);
    assert!(first > 0, "keyframes of the first one are protected");
    assert_eq!((half, quarter), (0, 0));
    // Were it sent it would be seen here.
    let [_, half, quarter] = parity(true);
    assert!(half > 0 && quarter > 0, "{half} {quarter}");
}

#[test]
fn a_machine_that_is_too_slow_sends_fewer_pixels_before_fewer_pictures() {
    // What a picture of 720 lines takes, the level that is enough, the width that is sent, and pictures of 30 a second.
    for (takes, level, width, least) in [(20, 0, 1280, 28), (45, 1, 640, 28), (200, 2, 320, 28), (700, 3, 320, 13)] {
        let mut pair = Pair::new(|config| {
            pictures(config);
            config.codec = VideoCodec::Plain;
            config.plant = Plant { encode: ms(takes), ..Plant::default() };
        });
        pair.lab.run_for(Duration::from_secs(25));
        let before = pair.sent();
        pair.lab.run_for(Duration::from_secs(4));
        let after = pair.sent();
        let sent = (after.sent - before.sent) / 4;
        assert_eq!(pair.load(), level, "{takes} ms for a picture");
        assert!((least..=31).contains(&sent), "{takes} ms for a picture: {sent} a second, {before:?} {after:?}");
        assert!(level <= EncoderLoad::SMALLEST || sent <= 16, "{sent} a second");
        let video = pair.tracks(pair.ada).video_out;
        let plan = pair.lab.engine_mut(pair.ada).world_mut().get::<VideoQueue>(video).expect("a track").plan;
        assert_eq!(plan.map(|plan| plan.width), Some(width), "{takes} ms for a picture");
    }
}
