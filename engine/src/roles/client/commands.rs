//! What a person asks for.

use std::sync::atomic::Ordering;

use bevy_ecs::world::World;

use super::{audio, calls, check, devices, files, lan, people, routes, shares};
use crate::base::id::TileId;
use crate::device::{Loudspeaker, Microphone};
use crate::media::audible::Seat;
use crate::proto::signal::event::Event;
use crate::world::connection::Tracks;
use crate::world::message::Command;
use crate::world::shared::{AppEnd, Quit};
use crate::world::stream::{AudioStream, Frames, Ledger, StreamOf};

pub fn take_commands(world: &mut World) {
    while let Some(command) = world.resource::<AppEnd>().commands.try_recv() {
        let current = calls::current(world);
        match command {
            Command::Call(target) => calls::dial(world, &target),
            Command::Accept => with(world, current, Event::Accept),
            Command::Decline => with(world, current, Event::Decline),
            Command::HangUp => {
                people::give_up(world);
                with(world, current, Event::HangUp);
            }
            Command::Mute(muted) => devices::mute(world, current, muted),
            Command::CameraOff(off) => devices::camera_off(world, current, off),
            Command::Microphone(name) => {
                audio::choose::<Microphone>(world, name);
                devices::switch(world, current);
            }
            Command::Speaker(name) => audio::choose::<Loudspeaker>(world, name),
            Command::Camera(name) => devices::choose_camera(world, current, &name),
            Command::Share(name) => devices::share(world, current, name),
            Command::Volume(tile, percent) => with_seat(world, tile, |seat| seat.set_volume(percent)),
            Command::Hush(tile, hushed) => with_seat(world, tile, |seat| seat.set_hushed(hushed)),
            Command::Watch(tile, width, height) => look_at(world, tile, (width, height)),
            Command::Processing(switches) => devices::process(world, current, switches),
            Command::Music(music) => devices::play_music(world, current, music),
            Command::ScreenMotion(motion) => shares::set_motion(world, motion),
            Command::CheckMicrophone(on) => {
                check::open(world, on);
                if on {
                    shares::look(world);
                }
            }
            Command::TestTone => check::play_tone(world),
            Command::EchoTest(on) => check::play_echo(world, on),
            Command::ShowOnNetwork(shown) => lan::show(world, shown),
            Command::Proxy(setting) => routes::choose_proxy(world, setting),
            Command::BasePort(base) => audio::keep(world, |choices| choices.base_port = base),
            Command::SendFile(path) => files::send(world, path),
            Command::TakeFile(taken) => files::take(world, taken),
            Command::StopFile { sending } => files::stop(world, sending),
            Command::People(ticket, wanted) => people::want(world, ticket, *wanted),
            Command::Quit => {
                with(world, current, Event::HangUp);
                world.resource::<Quit>().0.store(true, Ordering::Relaxed);
            }
        }
    }
}

fn with(world: &mut World, entity: Option<bevy_ecs::entity::Entity>, event: Event) {
    if let Some(entity) = entity {
        calls::feed(world, entity, event);
    }
}

/// The tile's size on the screen. What was not looked at did not freeze meanwhile.
fn look_at(world: &mut World, tile: TileId, size: (u16, u16)) {
    let mut videos = world.query::<(&mut Frames, &mut Ledger)>();
    for (mut frames, mut ledger) in videos.iter_mut(world).filter(|(frames, _)| frames.tile == tile) {
        frames.seen = Some(size);
        ledger.freezes.pause();
    }
}

/// Changes how the one on this tile is heard here.
fn with_seat(world: &mut World, tile: TileId, change: impl FnOnce(&mut Seat)) {
    let mut videos = world.query::<(&Frames, &StreamOf)>();
    let Some(of) = videos.iter(world).find(|(frames, _)| frames.tile == tile).map(|(_, of)| of.0) else { return };
    let Some(tracks) = world.get::<Tracks>(of).copied() else { return };
    if let Some(mut stream) = world.get_mut::<AudioStream>(tracks.audio_in) {
        change(&mut stream.seat);
    }
}
