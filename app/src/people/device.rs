//! Several devices of one account: the part of `visavis account` about them.

use anyhow::Result;
use clap::Subcommand;
use engine::base::time::{Duration, now};
use engine::net::service::https::Failure;
use engine::people::command::{Outcome, Wanted};
use engine::proto::device_code::DeviceCode;
use engine::proto::devices::DeviceList;
use engine::proto::service::names::AccountName;
use engine::proto::service::refusal::Code;
use serde_json::json;

use super::account::service;
use super::{Console, name, secret, unexpected};
use crate::args::Options;

#[derive(Clone, Debug, Subcommand)]
pub enum Devices {
    /// The account's devices
    #[command(name = "devices")]
    List,
    /// On a further device: log in, show its code, and wait until the device that the account was made on has signed it
    Link {
        #[arg(id = "account", value_name = "NAME", value_parser = name)]
        name: AccountName,
    },
    /// On the device that the account was made on: sign another one, by the code that it shows
    AddDevice { code: DeviceCode },
}

/// Does it. True when it went well.
pub fn run(what: &Devices, console: &mut Console, options: &Options) -> Result<bool> {
    match what {
        Devices::List => print(console, Wanted::Devices, "the account's devices")?,
        Devices::AddDevice { code } => {
            print(
                console,
                Wanted::AddDevice { device: code.0 },
                "signed; the other device has to show the same account key",
            )?;
        }
        Devices::Link { name } => return link(console, name, options),
    }
    Ok(true)
}

fn link(console: &mut Console, name: &AccountName, options: &Options) -> Result<bool> {
    let (service, password) = (service(options)?, secret::ask("Password", "VISAVIS_PASSWORD")?);
    let outcome = console.ask(Wanted::LogIn { service, name: name.clone(), password })?;
    let Outcome::LoggedIn { .. } = outcome else { return Err(unexpected(&outcome)) };
    let device = console.view().device;
    if let Some(device) = device.filter(|device| !device.is_signed) {
        let code = DeviceCode(device.key);
        console.print(&json!({ "code": code.to_string() }), |_| {
            println!("this device's code: {code}");
            println!("on the device that the account was made on, say: visavis account add-device CODE");
        })?;
    }
    let until = now() + options.run_for.unwrap_or(PATIENCE);
    loop {
        match console.ask(Wanted::Adopt) {
            Ok(Outcome::Devices(devices)) => {
                show(
                    console,
                    &devices,
                    "this device is the account's; compare the account key with that of the other device",
                )?;
                return Ok(true);
            }
            Ok(other) => return Err(unexpected(&other)),
            Err(Failure::Refused(refusal))
                if refusal.code == Code::NotFound && now() < until && !console.is_interrupted() => {}
            Err(failure) => return Err(failure.into()),
        }
        // Nothing tells of it; the person types meanwhile.
        let again = now() + AGAIN;
        while now() < again && console.notice(again - now()).is_some() {}
    }
}

fn print(console: &mut Console, wanted: Wanted, said: &str) -> Result<()> {
    let outcome = console.ask(wanted)?;
    let Outcome::Devices(devices) = outcome else { return Err(unexpected(&outcome)) };
    show(console, &devices, said)
}

fn show(console: &mut Console, list: &DeviceList, said: &str) -> Result<()> {
    let own = console.view().device.map(|device| device.key);
    let devices = || list.devices.iter().map(|device| (DeviceCode(*device).to_string(), Some(*device) == own));
    let account = list.account.fingerprint().to_string();
    let all: Vec<_> = devices().map(|(code, own)| json!({ "code": code, "this": own })).collect();
    console.print(&json!({ "account_key": account, "serial": list.serial, "devices": all }), |_| {
        println!("{said}");
        println!("account key: {account}");
        devices().for_each(|(code, own)| println!("  {code}{}", if own { "  (this one)" } else { "" }));
    })
}

/// A person walks from one device to the other.
const PATIENCE: Duration = Duration::from_secs(600);
const AGAIN: Duration = Duration::from_secs(1);
