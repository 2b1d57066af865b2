//! Files in a call: one each way at a time, over the data channel, read and written on a thread of their own.

mod incoming;
mod outgoing;

use std::collections::VecDeque;
use std::path::PathBuf;

use bevy_ecs::entity::Entity;
use bevy_ecs::query::QueryState;
use bevy_ecs::resource::Resource;
use bevy_ecs::world::World;

use self::incoming::Incoming;
use self::outgoing::Outgoing;
use super::{calls, media};
use crate::base::error::Result;
use crate::base::rate::Bitrate;
use crate::base::time::{Duration, Instant};
use crate::layout::snapshot::FileView;
use crate::media::report::FileReport;
use crate::proto::file::pace::Beside;
use crate::proto::file::{Control, Message};
use crate::proto::keys::{Digest, PublicKey};
use crate::proto::signal::action::Phase;
use crate::proto::signal::body::{Body, Line};
use crate::store::transfer::{Disk, Job, Told};
use crate::world::call::CallState;
use crate::world::connection::{Connection, Exchange};
use crate::world::message::{FileNotice, Notice};
use crate::world::outgoing::{Source, TargetRate};
use crate::world::shared::{EngineWake, Now, Settings};

/// What is sent and what comes.
#[derive(Debug, Default, Resource)]
pub struct Files {
    disk: Option<Disk>,
    sending: Option<Outgoing>,
    receiving: Option<Incoming>,
    /// The other side of this connection takes files, or its program is older.
    taken: Option<(Entity, bool)>,
    /// When it was last asked to open the channel.
    asked: Option<Instant>,
    shown: Option<Instant>,
    desk: Desk,
    /// Of the call's report.
    over: Vec<FileReport>,
}

/// What is to be said: to the other side, and to the person.
#[derive(Debug, Default)]
pub struct Desk {
    controls: VecDeque<Vec<u8>>,
    notices: Vec<FileNotice>,
}

impl Desk {
    fn say(&mut self, control: &Control) {
        // Offers and answers are a handful; whoever takes none of them for long is not there.
        if self.controls.len() < MOST_CONTROLS {
            self.controls.push_back(control.to_bytes());
        }
    }

    fn tell(&mut self, notice: FileNotice) {
        self.notices.push(notice);
    }
}

/// The call's media begins over `connection`.
pub fn started(world: &mut World, connection: Entity, takes_files: bool) {
    let mut files = world.resource_mut::<Files>();
    (files.taken, files.asked) = (Some((connection, takes_files)), None);
    files.over.clear();
    files.desk = Desk::default();
}

/// The person sends a file.
pub fn send(world: &mut World, path: PathBuf) {
    if let Err(text) = try_send(world, path) {
        calls::tell(world, Notice::Error(text));
    }
}

fn try_send(world: &mut World, path: PathBuf) -> Result<(), String> {
    let there = call(world).filter(|there| there.phase.is_accepted());
    let account = there.and_then(|there| there.account).ok_or("a file is sent in a call: call somebody first")?;
    let files = world.resource::<Files>();
    if let Some(sending) = &files.sending {
        return Err(format!("one file at a time: {} is being sent", sending.view().name));
    }
    let Some((_, true)) = files.taken else {
        return Err("the other side's program takes no files: it needs a newer version".into());
    };
    with_disk(world).map_err(|error| error.text.to_string())?;
    let mut files = world.resource_mut::<Files>();
    files.sending = Some(Outgoing::new(path.clone(), account));
    ask(&files, Job::Open(path));
    Ok(())
}

/// The person takes what is offered, or does not.
pub fn take(world: &mut World, taken: bool) {
    let folder = world.resource::<Settings>().0.files.clone();
    let mut files = world.resource_mut::<Files>();
    let Files { receiving, desk, disk, .. } = &mut *files;
    let (Some(incoming), Some(disk)) = (receiving.as_mut().filter(|incoming| incoming.is_asked()), disk) else {
        return;
    };
    if taken {
        incoming.prepare(folder, disk);
        return;
    }
    desk.say(&incoming.refusal("it was not wanted"));
    let notice = incoming.failed("you did not take it".into());
    desk.tell(notice);
    *receiving = None;
}

/// The person wants no more of it.
pub fn stop(world: &mut World, sending: bool) {
    let mut files = world.resource_mut::<Files>();
    let Files { sending: outgoing, receiving: incoming, desk, disk, .. } = &mut *files;
    if sending {
        if let Some(outgoing) = outgoing.take() {
            outgoing.refusal("it was stopped").iter().for_each(|control| desk.say(control));
            desk.tell(outgoing.failed("you stopped it".into()));
        }
    } else if let Some(incoming) = incoming.take() {
        desk.say(&incoming.refusal("it was stopped"));
        desk.tell(incoming.failed("you stopped it".into()));
        disk.as_ref().map(|disk| disk.ask(Job::Stop { keep: false }));
    }
}

/// The other side asks for the channel, which we alone open.
pub fn open_channel(world: &mut World, call: Entity) {
    let connection = media::connection_of(world, call);
    if let Some(mut connection) = connection.and_then(|connection| world.get_mut::<Connection>(connection)) {
        connection.transport.open_channel();
    }
}

/// What became of files in this call.
pub fn of_call(world: &World) -> Vec<FileReport> {
    world.get_resource::<Files>().map(|files| files.over.clone()).unwrap_or_default()
}

/// In every tick: what the disk and the other side said, and what can be sent.
pub fn carry(world: &mut World, exchanges: &mut QueryState<(Entity, &mut Exchange)>) {
    let now = world.resource::<Now>().0;
    let there = call(world);
    let connection = there.and_then(|there| there.connection);
    let messages = take_messages(world, exchanges, connection);
    let files = world.resource::<Files>();
    let is_idle = files.sending.is_none() && files.receiving.is_none() && files.desk.notices.is_empty();
    if is_idle && messages.is_empty() {
        return;
    }
    if messages.iter().any(|message| !message.is_empty()) && with_disk(world).is_err() {
        return;
    }
    take_told(world, now);
    hear(world, &messages, there);
    world.resource_mut::<Files>().settle(connection);
    if let Some(there) = there {
        put(world, there, now);
    }
    tell(world, now);
}

/// The call that the window belongs to.
#[derive(Clone, Copy, Debug)]
struct There {
    call: Entity,
    connection: Option<Entity>,
    account: Option<PublicKey>,
    phase: Phase,
}

fn call(world: &World) -> Option<There> {
    let call = calls::current(world)?;
    let state = world.get::<CallState>(call)?;
    let (connection, account, phase) = (state.connection, state.account, state.machine.phase());
    Some(There { call, connection, account, phase })
}

/// What came over the channel of the call's connection. Files of calls that are over are nobody's.
fn take_messages(
    world: &mut World,
    exchanges: &mut QueryState<(Entity, &mut Exchange)>,
    connection: Option<Entity>,
) -> Vec<Vec<u8>> {
    let mut taken = Vec::new();
    for (entity, mut exchange) in exchanges.iter_mut(world) {
        if exchange.0.messages.is_empty() {
            continue;
        }
        let messages = std::mem::take(&mut exchange.0.messages);
        if Some(entity) == connection {
            taken = messages;
        }
    }
    taken
}

fn with_disk(world: &mut World) -> Result<()> {
    if world.resource::<Files>().disk.is_none() {
        let wake = world.resource::<EngineWake>().0.clone();
        world.resource_mut::<Files>().disk = Some(Disk::start(wake)?);
    }
    Ok(())
}

fn ask(files: &Files, job: Job) {
    if let Some(disk) = &files.disk {
        disk.ask(job);
    }
}

fn take_told(world: &mut World, now: Instant) {
    let mut files = world.resource_mut::<Files>();
    let Files { disk: Some(disk), sending, receiving, desk, over, .. } = &mut *files else { return };
    while let Some(told) = disk.poll() {
        match told {
            Told::Opened(_) | Told::Begins(_) | Told::Part(_) => {
                if let Some(outgoing) = sending
                    && let Err(error) = outgoing.on_told(told)
                {
                    outgoing.refusal("the sender cannot read it any more").iter().for_each(|control| desk.say(control));
                    desk.tell(outgoing.failed(error.text.into()));
                    *sending = None;
                }
            }
            Told::Prepared(_) | Told::Wrote(_) | Told::Saved(_) => {
                let Some(incoming) = receiving else { continue };
                match incoming.on_told(told, disk, desk) {
                    Ok(None) => {}
                    Ok(Some(path)) => {
                        desk.say(&Control::Done { hash: incoming.offer().hash });
                        desk.tell(FileNotice::Done { file: incoming.view(), is_sent: false, path });
                        over.push(report(&incoming.view(), incoming.identity(), false, "done"));
                        *receiving = None;
                    }
                    Err(error) => {
                        desk.say(&incoming.refusal(&error.text));
                        desk.tell(incoming.failed(error.text.into()));
                        *receiving = None;
                    }
                }
            }
        }
    }
    // Reading goes on while the channel is full: no more than a few parts ahead.
    if let Some(outgoing) = sending {
        outgoing.read_ahead(disk, now);
    }
}

fn hear(world: &mut World, messages: &[Vec<u8>], there: Option<There>) {
    let Some(There { account: Some(account), connection: Some(connection), .. }) = there else { return };
    let now = world.resource::<Now>().0;
    let config = &world.resource::<Settings>().0;
    let (folder, takes_all) = (config.files.clone(), config.take_files);
    let mut files = world.resource_mut::<Files>();
    let Files { disk: Some(disk), sending, receiving, desk, over, .. } = &mut *files else { return };
    for message in messages.iter().filter_map(|message| Message::parse(message)) {
        match message {
            Message::Data { offset, bytes } => {
                let Some(incoming) = receiving else { continue };
                if let Err(why) = incoming.on_data(offset, bytes, disk) {
                    desk.say(&incoming.refusal(why));
                    desk.tell(incoming.failed(why.into()));
                    disk.ask(Job::Stop { keep: true });
                    *receiving = None;
                }
            }
            Message::Control(Control::Offer(offer)) => match receiving {
                Some(incoming) if incoming.offer().hash == offer.hash => {}
                Some(_) => {
                    let why = Line::cut("one file at a time: another one is coming");
                    desk.say(&Control::Refuse { hash: offer.hash, why });
                }
                None => {
                    let incoming = receiving.insert(Incoming::new(offer, account, connection));
                    incoming.begin(&folder, takes_all, disk, desk);
                }
            },
            Message::Control(Control::Refuse { hash, why }) => {
                if let Some(outgoing) = sending.take_if(|outgoing| outgoing.is_of(&hash)) {
                    desk.tell(outgoing.failed(format!("the other side says: {}", &*why)));
                }
                if let Some(incoming) = receiving.take_if(|incoming| incoming.offer().hash == hash) {
                    desk.tell(incoming.failed(format!("the other side says: {}", &*why)));
                    disk.ask(Job::Stop { keep: true });
                }
            }
            Message::Control(Control::Done { hash }) => {
                if let Some(outgoing) = sending.take_if(|outgoing| outgoing.is_of(&hash) && outgoing.is_taken()) {
                    over.push(report(&outgoing.view(), (&hash, outgoing.began()), true, "done"));
                    desk.tell(outgoing.done());
                }
            }
            Message::Control(control) => {
                if let Some(outgoing) = sending {
                    outgoing.on_control(&control, disk, now);
                }
            }
        }
    }
}

impl Files {
    /// What belongs to a connection that is gone: what is sent waits for another call with the same person, what came is kept.
    fn settle(&mut self, connection: Option<Entity>) {
        if let Some(incoming) = self.receiving.take_if(|incoming| Some(incoming.connection()) != connection) {
            ask(self, Job::Stop { keep: true });
            let why = "the call ended before it was complete; in the next one it goes on".to_owned();
            self.over.push(report(&incoming.view(), incoming.identity(), false, "broken off"));
            self.desk.tell(incoming.failed(why));
        }
        if let Some(outgoing) = &mut self.sending {
            outgoing.settle(connection);
        }
        if connection.is_none() {
            self.desk.controls.clear();
        }
    }
}

/// Puts on the channel what it takes.
fn put(world: &mut World, there: There, now: Instant) {
    let There { call, connection: Some(connection), account: Some(account), phase } = there else { return };
    let beside = beside(world, call, now);
    let is_caller = world.get::<CallState>(call).is_some_and(|state| state.machine.is_caller());
    let mut files = std::mem::take(&mut *world.resource_mut::<Files>());
    if let Some(transport) = world.get_mut::<Connection>(connection).map(|connection| connection.into_inner()) {
        let transport = &mut transport.transport;
        let is_wanted = files.sending.as_ref().is_some_and(|outgoing| outgoing.wants_channel(&account));
        if is_wanted && !transport.has_channel() && is_caller && phase == Phase::InCall {
            transport.open_channel();
        }
        let is_open = transport.has_channel();
        while is_open && files.desk.controls.front().is_some_and(|control| transport.send_message(control)) {
            files.desk.controls.pop_front();
        }
        if is_open && let Some(incoming) = &mut files.receiving {
            incoming.acknowledge(|bytes| transport.send_message(bytes));
        }
        if is_open && let Some(outgoing) = &mut files.sending {
            outgoing.send(connection, &account, beside, now, |bytes| transport.send_message(bytes));
        }
        let is_due = files.asked.is_none_or(|asked| now.saturating_duration_since(asked) >= ASK_AGAIN);
        if is_wanted && !is_open && !is_caller && is_due && phase == Phase::InCall {
            files.asked = Some(now);
            calls::send(world, call, Body::Files);
        }
    }
    *world.resource_mut::<Files>() = files;
}

/// How the media beside files is off.
fn beside(world: &World, call: Entity, now: Instant) -> Beside {
    let Some(tracks) = media::tracks_of(world, call) else { return Beside::Content };
    let video = tracks.video_out;
    let is_sent = world.get::<Source>(video).is_some_and(|source| source.0.is_some());
    let Some(rate) = world.get::<TargetRate>(video).filter(|_| is_sent) else { return Beside::Content };
    let most = world.resource::<Settings>().0.most;
    // What is around packets and what is sent again is not in the target.
    if rate.0.target(now) >= most.percent(75) {
        return Beside::Content;
    }
    let part = Bitrate::from_bps(rate.0.total().as_bps() / 8);
    Beside::Short(if rate.0.is_too_narrow() { LITTLE } else { part.max(PART) })
}

/// Tells the person, and shows how far it is.
fn tell(world: &mut World, now: Instant) {
    let mut files = world.resource_mut::<Files>();
    let notices = std::mem::take(&mut files.desk.notices);
    let is_due = files.shown.is_none_or(|shown| now.saturating_duration_since(shown) >= SHOW_AGAIN);
    if notices.is_empty() && !is_due {
        return;
    }
    files.shown = Some(now);
    let views = (files.sending.as_ref().map(Outgoing::view), files.receiving.as_ref().map(Incoming::view));
    let showing = &world.resource::<crate::world::shared::Showing>().controls;
    if views.0 != showing.sending || views.1 != showing.receiving {
        calls::show(world, |showing| (showing.controls.sending, showing.controls.receiving) = views);
    }
    notices.into_iter().for_each(|notice| calls::tell(world, Notice::File(notice)));
}

fn report(file: &FileView, (hash, began): (&Digest, u64), is_sent: bool, outcome: &str) -> FileReport {
    let direction = if is_sent { "sent" } else { "received" }.to_owned();
    FileReport {
        name: file.name.clone(),
        bytes: file.size,
        sha256: hash.to_string(),
        began,
        direction,
        outcome: outcome.to_owned(),
    }
}

/// An envelope may be lost with its route.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// A bar that moves four times a second moves well.
const SHOW_AGAIN: Duration = Duration::from_millis(250);

const MOST_CONTROLS: usize = 64;

/// What a file gets beside pictures that have too little, at least; and beside sound alone on a path too narrow for pictures.
const PART: Bitrate = Bitrate::from_kbps(64);
const LITTLE: Bitrate = Bitrate::from_kbps(16);
