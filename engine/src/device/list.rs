//! Which devices there are.

use cpal::traits::{DeviceTrait, HostTrait};

use super::backend::{Backend, hosts};
use crate::base::error::{Error, Kind, Result};

/// One device as a person names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceEntry {
    pub host: String,
    /// What a person reads.
    pub name: String,
    /// What never changes; `MicrophoneSpec::Named` takes either.
    pub id: String,
}

/// What this machine has, hosts of the least delay first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceList {
    pub hosts: Vec<String>,
    pub microphones: Vec<DeviceEntry>,
    pub speakers: Vec<DeviceEntry>,
    /// What "the default" is at present.
    pub default_microphone: Option<DeviceEntry>,
    pub default_speaker: Option<DeviceEntry>,
}

/// Asks the hosts for their devices.
#[derive(Clone, Copy, Debug)]
pub struct AudioDevices;

impl AudioDevices {
    /// All devices of all hosts that answer (`backend`: of that one). A host that does not is left out.
    pub fn list(backend: Option<Backend>) -> DeviceList {
        let mut list = DeviceList::default();
        for host in hosts(backend) {
            let mut able = |device: &cpal::Device, side: Side, _: &DeviceEntry| side.fits(device);
            let Some(one) = list_of(&host, &mut able) else { continue };
            list.hosts.extend(one.hosts);
            list.microphones.extend(one.microphones);
            list.speakers.extend(one.speakers);
            list.default_microphone = list.default_microphone.or(one.default_microphone);
            list.default_speaker = list.default_speaker.or(one.default_speaker);
        }
        list
    }
}

/// The devices of one host; `None` where it does not answer any more. `able` says whether a device has a side.
pub(super) fn list_of(
    host: &cpal::Host,
    able: &mut impl FnMut(&cpal::Device, Side, &DeviceEntry) -> bool,
) -> Option<DeviceList> {
    let name = host.id().name().to_owned();
    let mut list = DeviceList { hosts: vec![name.clone()], ..Default::default() };
    for device in host.devices().ok()? {
        let Some(entry) = entry(&name, &device) else { continue };
        if able(&device, Side::Microphone, &entry) {
            list.microphones.push(entry.clone());
        }
        if able(&device, Side::Speaker, &entry) {
            list.speakers.push(entry);
        }
    }
    list.default_microphone = host.default_input_device().and_then(|device| entry(&name, &device));
    list.default_speaker = host.default_output_device().and_then(|device| entry(&name, &device));
    Some(list)
}

/// The device called `name`, by its name, its id, or a part of its name that fits only once.
pub(super) fn named<'a>(entries: &'a [DeviceEntry], name: &str) -> Option<&'a DeviceEntry> {
    entries.iter().find(|entry| entry.name == name || entry.id == name).or_else(|| {
        let part = name.to_lowercase();
        let mut fitting = entries.iter().filter(|entry| entry.name.to_lowercase().contains(&part));
        fitting.next().filter(|_| fitting.next().is_none())
    })
}

/// Capture or playback.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    Microphone,
    Speaker,
}

impl Side {
    /// As a person says it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Microphone => "microphone",
            Self::Speaker => "loudspeaker",
        }
    }

    pub(super) fn fits(self, device: &cpal::Device) -> bool {
        match self {
            Self::Microphone => device.supports_input(),
            Self::Speaker => device.supports_output(),
        }
    }
}

/// The device called `name`, or the default one; the first host that has it wins.
pub(super) fn find(side: Side, name: Option<&str>, backend: Option<Backend>) -> Result<(cpal::Device, DeviceEntry)> {
    let mut known = Vec::new();
    let mut parts = Vec::new();
    for host in hosts(backend) {
        let Some(name) = name else {
            let device = match side {
                Side::Microphone => host.default_input_device(),
                Side::Speaker => host.default_output_device(),
            };
            match device.and_then(|device| Some((entry(host.id().name(), &device)?, device))) {
                Some((entry, device)) => return Ok((device, entry)),
                None => continue,
            }
        };
        let Ok(devices) = host.devices() else { continue };
        for device in devices.filter(|device| side.fits(device)) {
            let Some(entry) = entry(host.id().name(), &device) else { continue };
            if entry.name == name || entry.id == name {
                return Ok((device, entry));
            }
            if entry.name.to_lowercase().contains(&name.to_lowercase()) {
                parts.push((device, entry.clone()));
            }
            if !known.contains(&entry.name) {
                known.push(entry.name);
            }
        }
    }
    let word = side.word();
    match (name, parts.len()) {
        (Some(_), 1) => Ok(parts.remove(0)),
        (Some(name), 0) if known.is_empty() => {
            Err(Error::new(Kind::Gone, format!("no {word} named {name}; there are none at all")))
        }
        (Some(name), 0) => {
            Err(Error::new(Kind::Gone, format!("no {word} named {name}; there are: {}", known.join(", "))))
        }
        (Some(name), _) => {
            Err(Error::new(Kind::Gone, format!("more than one {word} fits {name}: {}", known.join(", "))))
        }
        (None, _) => Err(Error::new(Kind::Gone, format!("this machine has no {word}"))),
    }
}

fn entry(host: &str, device: &cpal::Device) -> Option<DeviceEntry> {
    let id = device.id().ok()?.id().to_owned();
    let name = device.description().map_or_else(|_| id.clone(), |description| description.name().to_owned());
    Some(DeviceEntry { host: host.to_owned(), name, id })
}
