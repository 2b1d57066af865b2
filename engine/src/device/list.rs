//! Which devices there are.

use cpal::HostId;
use cpal::traits::{DeviceTrait, HostTrait};

use super::quiet::silence_alsa;
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
}

/// Asks the hosts for their devices.
#[derive(Clone, Copy, Debug)]
pub struct AudioDevices;

impl AudioDevices {
    /// All devices of all hosts that answer. A host that does not is left out (PulseAudio after at most 2 s).
    pub fn list() -> DeviceList {
        let mut list = DeviceList::default();
        for host in hosts() {
            let name = host.id().name().to_owned();
            let Ok(devices) = host.devices() else { continue };
            for device in devices {
                let Some(entry) = entry(&name, &device) else { continue };
                if device.supports_input() {
                    list.microphones.push(entry.clone());
                }
                if device.supports_output() {
                    list.speakers.push(entry);
                }
            }
            list.hosts.push(name);
        }
        list
    }
}

/// Capture or playback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Microphone,
    Speaker,
}

impl Side {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Microphone => "microphone",
            Self::Speaker => "loudspeaker",
        }
    }

    fn fits(self, device: &cpal::Device) -> bool {
        match self {
            Self::Microphone => device.supports_input(),
            Self::Speaker => device.supports_output(),
        }
    }
}

/// The device called `name`, or the default one; the first host that has it wins.
pub(super) fn find(side: Side, name: Option<&str>) -> Result<cpal::Device> {
    let mut known = Vec::new();
    let mut parts = Vec::new();
    for host in hosts() {
        let Some(name) = name else {
            let device = match side {
                Side::Microphone => host.default_input_device(),
                Side::Speaker => host.default_output_device(),
            };
            match device {
                Some(device) => return Ok(device),
                None => continue,
            }
        };
        let Ok(devices) = host.devices() else { continue };
        for device in devices.filter(|device| side.fits(device)) {
            let Some(entry) = entry(host.id().name(), &device) else { continue };
            if entry.name == name || entry.id == name {
                return Ok(device);
            }
            if entry.name.to_lowercase().contains(&name.to_lowercase()) {
                parts.push(device);
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

/// Hosts that answer, least delay first: measured on one machine, PulseAudio's own protocol takes 5.6 ms from
/// microphone to loudspeaker where ALSA's plugin for it takes 9.3.
fn hosts() -> Vec<cpal::Host> {
    silence_alsa();
    let mut ids: Vec<HostId> = cpal::available_hosts();
    ids.sort_by_key(|id| match id.name().to_lowercase().as_str() {
        "pulseaudio" => 0,
        "null" => 2,
        _ => 1,
    });
    ids.into_iter().filter_map(|id| cpal::host_from_id(id).ok()).collect()
}

fn entry(host: &str, device: &cpal::Device) -> Option<DeviceEntry> {
    let id = device.id().ok()?.id().to_owned();
    let name = device.description().map_or_else(|_| id.clone(), |description| description.name().to_owned());
    Some(DeviceEntry { host: host.to_owned(), name, id })
}
