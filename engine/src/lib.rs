//! The real-time media engine of Visavis.
//!
//! Connections, streams, jitter buffers and decoded frames are components of one ECS world; one schedule of eleven
//! steps moves them; one thread runs it, woken by sockets, workers and a timer. Two walks explain everything.
//!
//! # From the socket to the screen
//!
//! | # | where | what happens | what it leaves behind |
//! |---|---|---|---|
//! | 1 | [`net::udp`] | batched receive; the arrival is stamped here and nowhere else | [`Inbox`](net::datagram::Inbox) |
//! | 2 | [`systems::route`] | address to connection; only unknown STUN is asked about | [`Inbound`](world::connection::Inbound) |
//! | 3 | [`systems::pump`] | the transport: one datagram in, drained, the next | [`Exchange`](world::connection::Exchange) |
//! | 4 | [`systems::deliver`] | packets filed by stream | [`VideoJitterBuffer`](world::stream::VideoJitterBuffer), [`AudioStream`](world::stream::AudioStream) |
//! | 5 | [`systems::playout`] | decodable units to the decoder; due frames shown; the ring's deficit mixed | decoder's pipe, loudspeaker's ring |
//! | 6 | [`systems::collect`] | the tick's first step: what workers have ready | [`Frames`](world::stream::Frames) |
//! | 7 | [`systems::publish`] | one description of the picture | [`ViewSnapshot`](layout::snapshot::ViewSnapshot) |
//! | 8 | [`render`] | on the main thread: upload planes, convert colour, one instanced draw | the screen; [`Presented`](layout::snapshot::Presented) back to 6 |
//!
//! # From the camera to the socket
//!
//! A [`source`] thread leaves its newest picture in a slot → [`systems::capture`], in as many layers as are looked at
//! ([`media::simulcast`]) → an encoder worker each ([`codec::video_encoder`]) → [`systems::collect`] → our own queue with its bucket and brake
//! ([`media::rate::UnitQueue`]) → [`systems::send`] packetises and writes to the transport → [`systems::flush`] runs its
//! timeouts and gives the datagrams to the socket. Sound: microphone callback → ring → [`systems::capture`]: [`voice`]
//! takes echo and noise out, and what is left is encoded → the same `send`.
//!
//! # The ledger
//!
//! Every video unit carries nine stamps ([`media::ledger::Stamps`]): captured, encoded, sent, arrived, complete,
//! released, decoded, published, presented. The sender's part travels in a header extension ([`proto::unit_ext`]). What
//! the ledger says must equal what a marker read in the presented pixels measures ([`media::marker`]).
//!
//! # Recording and replaying
//!
//! What comes from outside into a tick is taken through the tape ([`world::tape`]): packets, events, frames and units, samples,
//! device figures. A recorded call notes it, a replayed one ([`replay`]) takes it from the recording and asks nobody; what each
//! tick decided ([`engine::decisions`]) must come out the same.
//!
//! # The service
//!
//! [`server`] is a world of its own beside it: sessions of people instead of streams, the same loop on sockets, the same
//! floors. Its schedule is the table of [`service`]; what it does is in its roles. From a request to its answer:
//!
//! | where | what happens | what it leaves behind |
//! |---|---|---|
//! | [`net::web`] | TLS, then HTTP, then a WebSocket, within their limits | [`WebRequest`](net::web::connection::WebRequest), text |
//! | [`service::read`] | sorted by channel; sizes and rates before contents | [`Asked`](service::shared::Asked) |
//! | [`roles`] | answered, or made into one whole operation | [`Op`](store::op::Op) in the store's pipe |
//! | [`store::worker`] | many operations, one commit, on a thread of its own | [`Done`](store::op::Done), on disk |
//! | [`roles`] | the answer to whoever asked, pushes to whom it concerns | [`Outbox`](service::shared::Outbox) |
//! | [`service::write`] | each to its connection | the sockets |
//!
//! The client's side of it is [`people`]: one TLS connection that carries all channels, kept and opened again, with what is
//! remembered for when there is none. Between two programs go messages where they can ([`people::direct`]), and files in a call
//! over its data channel: [`proto::file`] says and paces them, [`store::transfer`] reads and writes them on a thread of its own.
//!
//! # The network around
//!
//! | what | without IO | with |
//! |---|---|---|
//! | ports that a router opens: PCP, NAT-PMP, UPnP | [`proto::mapping`] | [`net::mapping`], a thread |
//! | proxies: CONNECT, SOCKS5 and its datagrams | [`proto::proxy`] | [`net::proxy`] |
//! | people on the same network | [`proto::lan`] | [`net::lan`], a thread |
//! | the network test, and what it comes to in words | [`proto::nettest`] | [`net::nettest`], a thread; the service's half: [`roles::nettest`], [`net::dialback`] |
//!
//! # Floors
//!
//! Imports point down only.
//!
//! ```text
//!  7  replay                            recorded calls again, decision for decision
//!  6  lab                               whole engines in virtual time
//!  5  engine, handle, server            run loops; the app's end of the channels
//!  4  roles                             client, and the service's; never import each other
//!  3½ service                           the service's world and schedule
//!  3  systems                           one verb per file; never import each other
//!  2  world                             data only: components, resources, messages, steps
//!  1½ people                            the session with a service, on threads of its own
//!  1  net codec source device voice render store never import each other; no ECS
//!  0  proto media layout | base         base lowest: ids, time, rates, pools, pipes, errors
//! ```
//!
//! # Time
//!
//! Time comes in as an argument; only [`base::time`] reads a clock. The loop's time is a grid of cells of 250 µs: an
//! arrival runs a tick at once, unless one has already run a tick in this cell; a deadline runs at the first boundary
//! at or after it ([`engine::pace`]).
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

pub mod base;
pub mod bus;
pub mod codec;
#[cfg(feature = "client")]
pub mod device;
#[cfg(feature = "client")]
pub mod engine;
#[cfg(feature = "client")]
pub mod handle;
#[cfg(feature = "client")]
pub mod lab;
pub mod layout;
pub mod media;
pub mod net;
#[cfg(feature = "client")]
pub mod people;
pub mod proto;
#[cfg(feature = "client")]
pub mod render;
#[cfg(feature = "client")]
pub mod replay;
pub mod roles;
pub mod server;
pub mod service;
#[cfg(feature = "client")]
pub mod source;
pub mod store;
#[cfg(feature = "client")]
pub mod systems;
#[cfg(feature = "client")]
pub mod voice;
#[cfg(feature = "client")]
pub mod world;
