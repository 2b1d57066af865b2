//! The sound systems that a machine may have, the one of the least delay first.

use std::fmt;
use std::str::FromStr;

use cpal::traits::{DeviceTrait, HostTrait};
use cpal::{HostId, SupportedBufferSize};

use super::quiet::silence_alsa;

/// One sound system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    PulseAudio,
    PipeWire,
    Jack,
    Alsa,
}

impl Backend {
    const ALL: [Self; 4] = [Self::PulseAudio, Self::PipeWire, Self::Jack, Self::Alsa];

    const fn word(self) -> &'static str {
        match self {
            Self::PulseAudio => "pulseaudio",
            Self::PipeWire => "pipewire",
            Self::Jack => "jack",
            Self::Alsa => "alsa",
        }
    }
}

impl FromStr for Backend {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|backend| backend.word() == text);
        let backend = known.ok_or("say pulseaudio, pipewire, jack or alsa")?;
        let is_built_in = cpal::ALL_HOSTS.iter().any(|id| id.name().eq_ignore_ascii_case(text));
        if is_built_in { Ok(backend) } else { Err(format!("this program was built without {text}")) }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A JACK server of at most so many frames a period goes before PulseAudio. Mouth to ear with frames of 2.5 ms takes 11.3 ms
/// through JACK at 128 frames, 14.7 ms through PulseAudio; at 512 its two periods alone would be longer.
const QUICK: u32 = 256;

/// The hosts that answer, least delay first; only `forced` where it is said. PulseAudio takes 2 s at most to say no.
///
/// PulseAudio's own protocol takes 5.6 ms from microphone to loudspeaker where ALSA's plugin for it takes 9.3. PipeWire's
/// own comes after it, because a PipeWire desktop answers as PulseAudio too. JACK is asked only where its server runs.
pub(super) fn hosts(forced: Option<Backend>) -> impl Iterator<Item = cpal::Host> {
    silence_alsa();
    let is_jack = |id: &HostId| id.name().eq_ignore_ascii_case("jack");
    let mut ids: Vec<HostId> = cpal::available_hosts();
    ids.retain(|id| match forced {
        Some(forced) => id.name().eq_ignore_ascii_case(forced.word()),
        None => !is_jack(id) || jack_runs(),
    });
    let jack = ids.iter().copied().find(is_jack).and_then(|id| cpal::host_from_id(id).ok());
    let is_quick = jack.as_ref().is_some_and(is_quick);
    ids.sort_by_key(|id| match id.name().to_lowercase().as_str() {
        "jack" if is_quick => 0,
        "pulseaudio" => 1,
        "pipewire" => 2,
        "null" => 5,
        "jack" => 4,
        _ => 3,
    });
    ids.into_iter().filter_map(|id| cpal::host_from_id(id).ok())
}

/// Whether [`hosts`] may have a better one by now, or this one may have ended without a word.
pub(super) fn is_makeshift(host: &cpal::Host) -> bool {
    match host.id().name().to_lowercase().as_str() {
        "alsa" | "null" => true,
        "jack" => !jack_runs(),
        _ => false,
    }
}

fn is_quick(jack: &cpal::Host) -> bool {
    let config = jack.default_output_device().and_then(|device| device.default_output_config().ok());
    config.is_some_and(|config| match config.buffer_size() {
        SupportedBufferSize::Range { max, .. } => *max <= QUICK,
        SupportedBufferSize::Unknown => false,
    })
}

/// A look at the server's socket: opening JACK's library to ask it leaves files behind where no server runs.
#[cfg(target_os = "linux")]
fn jack_runs() -> bool {
    let server = std::env::var("JACK_DEFAULT_SERVER").unwrap_or_else(|_| "default".to_owned());
    let user = rustix::process::getuid().as_raw();
    std::path::Path::new(&format!("/dev/shm/jack_{server}_{user}_0")).exists()
}

#[cfg(not(target_os = "linux"))]
const fn jack_runs() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_is_known_by_its_word_and_one_left_out_is_named() {
        assert_eq!("pulseaudio".parse(), Ok(Backend::PulseAudio));
        assert_eq!("alsa".parse(), Ok(Backend::Alsa));
        assert!("oss".parse::<Backend>().is_err_and(|text| text.contains("pipewire")));
        if !cpal::ALL_HOSTS.iter().any(|id| id.name().eq_ignore_ascii_case("pipewire")) {
            assert!("pipewire".parse::<Backend>().is_err_and(|text| text.contains("built without")));
        }
        for backend in Backend::ALL {
            assert!(
                backend.to_string().parse::<Backend>().is_ok_and(|same| same == backend) || backend != Backend::Alsa
            );
        }
    }
}
