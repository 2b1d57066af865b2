//! `visavis pals near`: who is on the same network, asked of the network itself.

use std::time::Duration;

use anyhow::Result;
use crossbeam_channel::Receiver;
use engine::base::pipe::Wake;
use engine::base::time::now;
use engine::net::lan::{Lan, Neighbours};
use engine::proto::lan::Neighbour;
use engine::store::identity::Identity;
use serde_json::json;

use super::columns;
use crate::args::Options;

/// Does it, without being seen. True when it went well.
pub fn run(options: &Options, interrupted: &Receiver<()>) -> Result<bool> {
    let data = crate::data_folder(options)?;
    let name = options.name.clone().unwrap_or_else(crate::own_name);
    let identity = Identity::load_or_create(&data, &name)?;
    let base = crate::network::base(options, &data);
    let mut lan = Lan::start(&name, identity.account(), base, Wake::none())?;
    lan.look(true)?;
    let until = now() + options.run_for.unwrap_or(LOOK);
    let mut found = Neighbours::default();
    while now() < until && interrupted.try_recv().is_err() {
        std::thread::sleep(STEP);
        found = lan.take().unwrap_or(found);
    }
    if options.json {
        println!("{}", serde_json::to_string_pretty(&found.iter().map(entry).collect::<Vec<_>>())?);
        return Ok(true);
    }
    if found.is_empty() {
        println!("Nobody on this network shows themselves.");
    }
    for other in found.iter() {
        let addresses: Vec<String> = other.addresses.iter().map(ToString::to_string).collect();
        println!("{}", columns(&[&format!("lan:{}", other.name), &other.base, &addresses.join(" ")]));
    }
    Ok(true)
}

fn entry(other: &Neighbour) -> serde_json::Value {
    json!({ "name": other.name, "key": other.key, "base_port": other.base, "addresses": other.addresses })
}

/// The others answer within a tenth of a second; the question is asked again after a second.
const LOOK: Duration = Duration::from_millis(2500);
const STEP: Duration = Duration::from_millis(50);
