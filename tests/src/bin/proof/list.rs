//! All proofs, in the order of what a person asks first.

use visavis_tests::Outcome;

use crate::table::Table;
use crate::{
    contract, devices, endurance, files, guard, jitter, lab, media, nettest, networks, opus, probe, rate, replay,
    rival, screens, service, sound, video, voice,
};

/// A long measurement.
pub struct Proof {
    /// What it is asked for by.
    pub name: &'static str,
    pub title: &'static str,
    /// One sentence.
    pub is: &'static str,
    pub run: fn(&mut Table) -> Outcome<()>,
}

const fn proof(name: &'static str, run: fn(&mut Table) -> Outcome<()>, title: &'static str, is: &'static str) -> Proof {
    Proof { name, title, is, run }
}

pub const PROOFS: [Proof; 49] = [
    proof(
        "nettest",
        nettest::causes,
        "The network test names what is wrong",
        "Twelve networks that lack one thing each and one that lacks nothing, in namespaces, with the program itself.",
    ),
    proof(
        "durability",
        service::durable,
        "A service that is killed keeps what it acknowledged",
        "Forty people write while the service is killed a thousand times and started again.",
    ),
    proof(
        "durability-postgresql",
        service::durable_on_postgresql,
        "Of two services on PostgreSQL one at a time is killed",
        "Forty people write while one of two services is killed two hundred times and started again; they go to the other.",
    ),
    proof(
        "service-load-postgresql",
        service::load_on_postgresql,
        "Ten thousand people on a service with PostgreSQL",
        "As service-load, with the database in a PostgreSQL of this machine.",
    ),
    proof(
        "service-load",
        service::load,
        "Ten thousand people on a service",
        "10,000 connected clients, of which 1,000 write once a second into rooms of ten; on this disk, and with 5 ms more for each commit.",
    ),
    proof(
        "files",
        files::beside_media,
        "A file beside sound and pictures",
        "Two calls over the same narrow path, one with a file of 20 MB: what it adds to the delay of sound and pictures.",
    ),
    proof(
        "unseen",
        guard::unseen,
        "Whoever appears offline",
        "Ten thousand questions at each door about two people who hide and one who is not there, in an order that chance gives.",
    ),
    proof(
        "profiles",
        guard::profiles,
        "What people do not show of themselves",
        "A hundred people whose profiles show each field to some; all that goes over the wire to four kinds of people who look.",
    ),
    proof(
        "flood",
        guard::floods,
        "People who misbehave at the service",
        "10,000 slow connections, floods at each door, oversized frames and guessed passwords, beside people who do nothing wrong.",
    ),
    proof(
        "firewalls",
        guard::behind_firewalls,
        "The service through firewalls",
        "An account, the directory, chat, photos and messages with nothing inward, with the seed's table of ports, and with 443 alone.",
    ),
    proof(
        "call",
        media::call,
        "A call of two on one machine",
        "Half a minute of 720p30 and sound both ways between two programs, every picture presented as soon as it is there.",
    ),
    proof(
        "screen",
        media::screen,
        "At a screen of 60 Hz",
        "The same, presented when a screen of 60 Hz would; ten starts, because its phase is another one each time.",
    ),
    proof(
        "lips",
        media::lips,
        "Lips and words",
        "Five calls over a path like that between two homes: how much later sound is heard than its picture is shown.",
    ),
    proof(
        "setup",
        media::setup,
        "From the accept to the first sound and picture",
        "Twenty calls, each timed from the moment it is accepted.",
    ),
    proof(
        "networks",
        networks::matrix,
        "Calls between gateways of all kinds",
        "Every ordered pair of kinds, each a call between two programs in networks of their own: which way media goes, and how soon.",
    ),
    proof(
        "heal",
        networks::heal,
        "Networks that break and come back",
        "Outages, another address, a gateway that forgets, a path that falls silent beside one that works.",
    ),
    proof(
        "hostile",
        networks::hostile,
        "Calls that somebody wants to break",
        "Checks without a password, handshakes that others begin, servers and a router that answer nothing right.",
    ),
    proof(
        "quiet",
        networks::quiet,
        "A call in which nobody says or shows anything",
        "Ten minutes without microphone and camera between two homes: its path is never given up.",
    ),
    proof("cost", media::cost, "What a call costs", "Processor time and memory of one side, with and without drawing."),
    proof(
        "cells",
        media::cells,
        "The length of the engine's cells",
        "What each length of the grid that the engine's time is divided into costs and gives.",
    ),
    proof(
        "sound",
        sound::through_devices,
        "Mouth to ear through PulseAudio",
        "Chirps through the sound server, the caller, the callee and the sound server again; ten starts.",
    ),
    proof(
        "losses",
        contract::losses,
        "What losses leave of the sound",
        "Two minutes each on simulated paths that lose packets singly and in bursts, and one that is nearly too narrow.",
    ),
    proof(
        "contract",
        contract::contract,
        "The delay contract",
        "After a disturbance the delay is back at its baseline + 20 ms within 5 s, in virtual time.",
    ),
    proof(
        "creep",
        contract::creep,
        "The delay does not creep",
        "Thirty minutes on each simulated path: the delay of the last minutes against that of the first.",
    ),
    proof(
        "drift",
        contract::drift,
        "Clocks that do not agree",
        "Thirty minutes between devices whose clocks differ by up to 1500 millionths.",
    ),
    proof(
        "voice",
        voice::processing,
        "Echo, noise and level",
        "What the processing of the microphone's sound does to made speech in a computed room, and what it costs.",
    ),
    proof(
        "devices",
        devices::devices,
        "Devices that come and go, and JACK",
        "Devices are unplugged and changed during a call through PulseAudio; mouth to ear through a JACK server.",
    ),
    proof(
        "steps",
        rate::steps,
        "A path that narrows and widens",
        "2 → 0.6 → 2 and 4 → 0.4 → 4 Mbit/s, 20 s each, in virtual time: how soon pictures follow, and what waits meanwhile.",
    ),
    proof(
        "thin",
        rate::thin,
        "Paths that are too narrow for pictures",
        "500 to 25 kbit/s in virtual time: sound goes first, pictures go off by themselves and come back by themselves.",
    ),
    proof(
        "repair",
        rate::losses,
        "What losses leave of the pictures",
        "A minute each with 2, 5 and 10 % lost, and thirty packets lost in a row, in virtual time.",
    ),
    proof(
        "rfc8867",
        rate::rfc8867,
        "Rate control beside another one",
        "The cases 5.1 to 5.8 of RFC 8867 in virtual time: ours against str0m's estimator alone, over the same transport.",
    ),
    proof(
        "jitter",
        jitter::against_neteq,
        "The jitter buffer beside another one",
        "Eleven paths in virtual time through ours, the crate neteq, and an oracle that knows every arrival beforehand.",
    ),
    proof(
        "opus",
        opus::malformed,
        "Malformed sound",
        "A million spoilt Opus packets and redundant payloads through all that receives sound, in virtual time.",
    ),
    proof(
        "screen-text",
        screens::text,
        "A screen with text",
        "A page of small letters on a display of its own, sent as a screen: standing still, changing, scrolled.",
    ),
    proof(
        "video-cost",
        video::path,
        "What is around the video codec",
        "Processor time of our encoder and decoder with all that is around them, beside the bare calls of the library.",
    ),
    proof(
        "many",
        video::many,
        "Fifty pictures at once",
        "One picture of 720 lines and 49 small ones decoded side by side, beside the bare calls of the library.",
    ),
    proof(
        "layers",
        video::layers,
        "Three sizes of one source",
        "What encoding one source in three sizes costs beside the largest alone, and what is not encoded.",
    ),
    proof(
        "fuzz",
        video::fuzz,
        "Parsers given anything",
        "A million mutated inputs to every parser of pictures' files, packets, units and reports.",
    ),
    proof(
        "mutated",
        video::mutated,
        "Mutated pictures",
        "A million spoilt H.264 units through the parser and the decoder, with whole ones in between.",
    ),
    proof(
        "rival",
        rival::against_chromium,
        "Beside Chromium",
        "Calls of both programs in turns on this machine, measured by the same markers and chirps.",
    ),
    proof(
        "gstreamer",
        rival::against_gstreamer,
        "Beside GStreamer",
        "Pictures through its pipelines with the same encoder, in turns with our own calls.",
    ),
    proof("probe", probe::known, "Whether the probe can be trusted", "What it makes of delays that are known."),
    proof(
        "speed",
        lab::speed,
        "How fast the laboratory's time passes",
        "Simulated calls, with models of the codecs and with real encryption and codecs.",
    ),
    proof(
        "compare",
        lab::compare,
        "Whether a comparison can be trusted",
        "Three milliseconds more on the path must be seen as worse, and other seeds of the same must not.",
    ),
    proof(
        "replay",
        replay::replay,
        "A recorded call again",
        "A minute of a real call: replayed in other orders, with packets taken out, and without its media.",
    ),
    proof(
        "attack",
        endurance::attack,
        "Strangers",
        "A million datagrams and ten thousand connections of strangers during a call.",
    ),
    proof(
        "kill",
        endurance::kill,
        "One side disappears",
        "A program is killed during a call; what the other one says.",
    ),
    proof(
        "hundred",
        endurance::hundred,
        "A hundred calls in a row",
        "What is left over after them in the one that listens.",
    ),
    proof("size", media::size, "The size of the program", "What is to be carried to another machine."),
];
