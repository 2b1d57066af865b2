//! `visavis relay`: says on the bus of a service that this machine relays media, for as long as it runs.

use std::time::Duration;

use anyhow::{Result, anyhow};
use clap::Args;
use crossbeam_channel::Receiver;
use engine::base::pipe::Wake;
use engine::base::time::now;
use engine::bus::url::BusUrl;
use engine::bus::{Bus, RELAY};
use engine::proto::hex;
use engine::proto::keys::random;
use serde_json::json;

#[derive(Args, Clone, Debug)]
pub struct Relay {
    /// The services' bus: redis://:PASSWORD@HOST:PORT
    #[arg(long, value_name = "URL", value_parser = bus_url)]
    join: BusUrl,
    /// The address that others reach this relay at, as HOST:PORT
    #[arg(long, value_name = "ADDRESS")]
    address: String,
}

/// Holds the lease until it is interrupted, or for `run_for`. True when it went well.
pub fn run(what: &Relay, run_for: Option<Duration>, json: bool, interrupted: &Receiver<()>) -> Result<bool> {
    let id = hex::text(&random::<8>()?);
    let mut bus = Bus::valkey(&what.join, &Wake::none())?;
    bus.hold(&format!("{RELAY}{id}"), &json!({ "address": what.address }).to_string());
    let health = bus.health().cloned().ok_or_else(|| anyhow!("a relay needs a bus"))?;
    let until = run_for.map(|time| now() + time);
    let mut was_connected = false;
    loop {
        let is_connected = health.is_connected();
        if is_connected != was_connected {
            was_connected = is_connected;
            match (json, is_connected) {
                (true, _) => println!("{}", json!({ "relay": id, "joined": is_connected })),
                (false, true) => println!("relay {id} has joined"),
                (false, false) => println!("relay {id} has lost the bus, and tries again"),
            }
        }
        while bus.poll().is_some() {}
        let tick = Duration::from_millis(100);
        let left = until.map_or(tick, |until| until.saturating_duration_since(now()).min(tick));
        if interrupted.recv_timeout(left).is_ok() || until.is_some_and(|until| now() >= until) {
            return Ok(true);
        }
    }
}

fn bus_url(text: &str) -> Result<BusUrl, String> {
    BusUrl::parse(text).map_err(|error| error.text.to_string())
}
