//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use engine::base::rate::Bitrate;
use engine::device::{Backend, MicrophoneSpec, SpeakerSpec};
use engine::media::frame_length::FrameLength;
use engine::media::switches::Switches;
use engine::net::impair::Impairment;
use engine::proto::lan::Visibility;
use engine::proto::proxy::choice::ProxySetting;
use engine::proto::service::link::ServiceLink;
use engine::source::SourceSpec;
use engine::world::config::{Config, Remember};
use visavis_app::probe::Probe;

use crate::bench::Bench;
use crate::people::account::Account;
use crate::people::chat::Chat;
use crate::people::message::Message;
use crate::people::pals::Pals;
use crate::relay::Relay;
use crate::replay::Replay;
use crate::serve::Serve;

/// Desktop video calling, face to face, with the milliseconds on show.
#[derive(Debug, Parser)]
#[command(name = "visavis", version, about, max_term_width = 110)]
pub struct Arguments {
    #[command(subcommand)]
    pub verb: Option<Verb>,
    #[command(flatten)]
    pub options: Options,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// A whole call on this machine with real media; a report and a picture at the end
    Demo,
    /// Call somebody: HOST, HOST:BASE-PORT, or a pal by name, as NAME or @NAME
    Call {
        target: String,
        /// The other side's key has changed and the new one was compared: remember it instead of the old one
        #[arg(long)]
        trust_new_key: bool,
    },
    /// Wait for calls
    Listen {
        /// Accept every call without asking
        #[arg(long)]
        auto_answer: bool,
        /// End after the first call
        #[arg(long)]
        once: bool,
    },
    /// The latency lab: calls in virtual time over named paths; what they take, and what changed since
    #[command(args_conflicts_with_subcommands = true)]
    Bench(Bench),
    /// A recorded call again: whether every decision is the same, what another policy would have done, or without its media
    Replay(Replay),
    /// Measure another program: how long it takes from one of its ends to the other
    #[command(subcommand)]
    Probe(Probe),
    /// List microphones, loudspeakers and cameras
    Devices,
    /// Your account on a service: make one, log in, show yourself
    #[command(subcommand)]
    Account(Account),
    /// Your pals on the service: find, ask, see, block
    #[command(subcommand)]
    Pals(Pals),
    /// Rooms to talk in
    #[command(subcommand)]
    Chat(Chat),
    /// Messages with photos and voice clips, also for those who are not there
    #[command(subcommand)]
    Message(Message),
    /// Test the network step by step, and say what is wrong, what to change, and what that would gain
    Nettest {
        /// Show the whole public address, on the screen and in network.txt
        #[arg(long)]
        show_address: bool,
    },
    /// The service that people find each other on: accounts, directory, pals, chat, messages
    Serve(Box<Serve>),
    /// Tell the services on a bus that this machine relays media, for as long as this runs. It carries none yet
    Relay(Relay),
}

#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Pictures to send: camera[:N], screen[:N], window:TITLE, portal, testcard, file:PATH (Y4M, MP4 or H.264), none. More
    /// than once for several at once, at most three
    #[arg(long, global = true, value_parser = camera, help_heading = "Media")]
    pub video: Vec<Camera>,
    /// How screens and windows are sent: text (sharp, fewer pictures where there is little room) or motion (smooth, less sharp)
    #[arg(long, global = true, value_name = "MODE", value_enum, default_value_t = ScreenMode::Text, help_heading = "Media")]
    pub screen_mode: ScreenMode,
    /// Sound to send: default, a device's NAME, file:PATH.wav, chirp, none
    #[arg(long, global = true, value_parser = microphone, help_heading = "Media")]
    pub mic: Option<MicrophoneSpec>,
    /// Where sound is played: default, a device's NAME, file:PATH.wav, none
    #[arg(long, global = true, value_parser = speaker, help_heading = "Media")]
    pub speaker: Option<SpeakerSpec>,
    /// What is done to the microphone's sound: on, off, or a list of echo, noise and gain. On where it is a device; with
    /// chirps and files off, and so must it be with a device that measures something
    #[arg(long, global = true, value_name = "WHAT", help_heading = "Media")]
    pub processing: Option<Switches>,
    /// Send the microphone in stereo and as it is, in frames of 10 ms at most: for music
    #[arg(long, global = true, conflicts_with = "processing", help_heading = "Media")]
    pub music: bool,
    /// The sound system to use: pulseaudio, pipewire, jack, alsa (default: the quickest that answers)
    #[arg(long, global = true, value_name = "NAME", help_heading = "Media")]
    pub host: Option<Backend>,
    /// Write the received pictures to this Y4M file
    #[arg(long, global = true, value_name = "PATH.y4m", help_heading = "Media")]
    pub record_video: Option<PathBuf>,
    /// Record what comes in during the next call, to replay it: the other side's sound and picture are in it
    #[arg(long, global = true, value_name = "FILE", help_heading = "Run")]
    pub record: Option<PathBuf>,
    /// The most that a recording may take, in bytes
    #[arg(long, global = true, value_name = "BYTES", help_heading = "Run", requires = "record")]
    pub record_limit: Option<u64>,
    /// The most that video may take, in bits per second
    #[arg(long, global = true, value_name = "BPS", help_heading = "Media")]
    pub max_bitrate: Option<u64>,
    /// Frames of sound of so many milliseconds, whatever the path: 2.5, 5, 10, 20, 40 or 60; as the path asks: auto
    #[arg(long, global = true, value_name = "MS", value_parser = frame, default_value = "auto", help_heading = "Media")]
    pub frame: Frame,
    /// The most that sound may take on the wire with all that is around it, in bits per second
    #[arg(long, global = true, value_name = "BPS", value_parser = clap::value_parser!(u64).range(17_000..=2_000_000), help_heading = "Media")]
    pub max_sound: Option<u64>,
    /// How you are called
    #[arg(long, global = true, help_heading = "Run")]
    pub name: Option<String>,
    /// Where identity, settings and caches live
    #[arg(long, global = true, value_name = "DIR", help_heading = "Run")]
    pub data: Option<PathBuf>,
    /// No window
    #[arg(long, global = true, help_heading = "Run")]
    pub headless: bool,
    /// End after this long
    #[arg(long = "for", global = true, value_name = "SECONDS", value_parser = seconds, help_heading = "Run")]
    pub run_for: Option<Duration>,
    /// In a call: send this file to the other side; may be repeated. Without --for the call ends when they are there
    #[arg(long = "send-file", global = true, value_name = "FILE", help_heading = "Run", value_parser = existing)]
    pub send_files: Vec<PathBuf>,
    /// Where files go that others send: the folder for downloads; with --data, the folder "received" in it
    #[arg(long, global = true, value_name = "DIR", help_heading = "Run")]
    pub files: Option<PathBuf>,
    /// Take files that others send without asking
    #[arg(long, global = true, help_heading = "Run")]
    pub take_files: bool,
    /// Write the call's report as JSON
    #[arg(long, global = true, value_name = "FILE", help_heading = "Run")]
    pub report: Option<PathBuf>,
    /// Print the report as JSON instead of as a table
    #[arg(long, global = true, help_heading = "Run")]
    pub json: bool,
    /// Write a picture of what is shown, at the end (of the window: a second before it closes)
    #[arg(long, global = true, value_name = "FILE.png", help_heading = "Run")]
    pub screenshot: Option<PathBuf>,
    /// Without a window: present this often per second instead of on arrival, as a screen does
    #[arg(long, global = true, value_name = "HZ", value_parser = clap::value_parser!(u32).range(1..=1000), help_heading = "Run")]
    pub present_hz: Option<u32>,
    /// Without a window: write of each marker its number, and when it was painted, handed to the renderer and drawn, in
    /// microseconds
    #[arg(long, global = true, hide = true, value_name = "FILE")]
    pub markers: Option<PathBuf>,
    /// The first of our ports: call control on TCP, media on the first free UDP port from here on
    #[arg(long, global = true, value_name = "B", help_heading = "Network")]
    pub base_port: Option<u16>,
    /// The service, as the link that it prints, or as HOST[:PORT]; once logged in it is known
    #[arg(long, global = true, value_name = "LINK", help_heading = "Network")]
    pub service: Option<ServiceLink>,
    /// Through which everything is dialled: http://[USER:PASSWORD@]HOST:PORT, socks5://…, none, or environment (https_proxy,
    /// all_proxy, no_proxy). Unless it is said: what was set in the window, else environment
    #[arg(long, global = true, value_name = "URL", help_heading = "Network")]
    pub proxy: Option<ProxySetting>,
    /// People on the same network find each other without a server: on, hidden (find them without being seen), off. Unless it is
    /// said: what was set in the window, else on
    #[arg(long, global = true, value_name = "HOW", help_heading = "Network")]
    pub lan: Option<Visibility>,
    /// Appear offline to everybody: at the service, on the network, and at our own ports. Unless it is said: what was set in
    /// the window
    #[arg(long, global = true, help_heading = "Network")]
    pub appear_offline: bool,
    /// Media by relays alone, so that the other side does not see this machine's address
    #[arg(long, global = true, help_heading = "Network")]
    pub relay_only: bool,
    /// Do not ask the router (PCP, NAT-PMP, UPnP) to lead to this program
    #[arg(long, global = true, help_heading = "Network")]
    pub no_port_mapping: bool,
    /// Make the path worse than it is, both ways: lan, home, bad, burst, thin, spiky, international, or KEY=VALUE,… with
    /// delay, jitter (ms), loss, reorder, dup (%), burst (datagrams), rate (kbit/s), queue (ms)
    #[arg(long, global = true, value_name = "PROFILE", help_heading = "Network")]
    pub impair: Option<Impairment>,
    /// Where the chances of --impair begin: the same number, the same chances
    #[arg(long, global = true, value_name = "N", help_heading = "Network")]
    pub seed: Option<u64>,
    /// The length of the cells of the engine's time, in microseconds: for measuring what it costs and gives
    #[arg(long, global = true, hide = true, value_name = "MICROSECONDS", value_parser = clap::value_parser!(u64).range(50..=20_000))]
    pub cell: Option<u64>,
    /// Media in the clear, for looking into it on a network of your own. Both sides must have it
    #[arg(long, global = true, hide = true)]
    pub plain: bool,
}

/// What `--video` says.
#[derive(Clone, Debug, PartialEq)]
pub enum Camera {
    None,
    Source(SourceSpec),
}

/// What `--screen-mode` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ScreenMode {
    Text,
    Motion,
}

/// What `--frame` says: a length, or as the path asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame(pub Option<FrameLength>);

impl Options {
    /// The engine's settings: what was said, and what is usual where nothing was.
    pub fn config(&self, name: &str, data: PathBuf, base: u16) -> Config {
        let mut config = Config::new(name, data, base);
        config.relay_only = self.relay_only;
        config.take_files = self.take_files;
        let downloads =
            || directories::UserDirs::new()?.download_dir().map(PathBuf::from).filter(|_| self.data.is_none());
        if let Some(files) = self.files.clone().or_else(downloads) {
            config.files = files;
        }
        config.map_ports = !self.no_port_mapping;
        let mut sources = self.video.iter().filter_map(|camera| match camera {
            Camera::None => None,
            Camera::Source(spec) => Some(spec.clone()),
        });
        config.camera = if self.video.is_empty() { Some(SourceSpec::TEST_CARD) } else { sources.next() };
        config.further.iter_mut().zip(sources).for_each(|(further, spec)| *further = Some(spec));
        config.screen_motion = self.screen_mode == ScreenMode::Motion;
        config.microphone = self.mic.clone().unwrap_or_default();
        config.speaker = self.speaker.clone().unwrap_or_default();
        config.processing = self.processing;
        config.backend = self.host;
        config.remember = Remember { microphone: self.mic.is_none(), speaker: self.speaker.is_none() };
        if let Some(bps) = self.max_bitrate {
            config.most = Bitrate::from_bps(bps);
        }
        config.audio_frame = self.frame.0;
        if let Some(bps) = self.max_sound {
            (config.audio_most, config.music_most) = (Bitrate::from_bps(bps), Bitrate::from_bps(bps));
        }
        config.music = self.music;
        // The other side's chirps are found whoever plays them: it costs 1.8 % of a core only while asked for.
        config.find_chirps = config.microphone == MicrophoneSpec::Chirp;
        config.plain = self.plain;
        config.record_video.clone_from(&self.record_video);
        config.record.clone_from(&self.record);
        config.record_limit = self.record_limit.unwrap_or(config.record_limit);
        config.impair = self.impair;
        config.seed = self.seed.unwrap_or(config.seed);
        config.cell = self.cell.map_or(config.cell, Duration::from_micros);
        config
    }
}

fn camera(text: &str) -> Result<Camera, String> {
    if text == "none" {
        return Ok(Camera::None);
    }
    let spec: SourceSpec = text.parse().map_err(|error| format!("{error}, or none"))?;
    if let SourceSpec::File(path) = &spec {
        readable(&path.to_string_lossy())?;
    }
    Ok(Camera::Source(spec))
}

fn frame(text: &str) -> Result<Frame, String> {
    if text == "auto" {
        return Ok(Frame(None));
    }
    let length = FrameLength::ALL.into_iter().find(|length| length.to_string() == text);
    let all = || FrameLength::ALL.map(|length| length.to_string()).join(", ");
    length.map(|length| Frame(Some(length))).ok_or_else(|| format!("say auto or one of {}", all()))
}

fn microphone(text: &str) -> Result<MicrophoneSpec, String> {
    Ok(match text {
        "default" => MicrophoneSpec::Default,
        "none" => MicrophoneSpec::None,
        "chirp" => MicrophoneSpec::Chirp,
        _ => match text.strip_prefix("file:") {
            Some(path) => MicrophoneSpec::Wav(readable(path)?),
            None => MicrophoneSpec::Named(text.to_owned()),
        },
    })
}

fn speaker(text: &str) -> Result<SpeakerSpec, String> {
    Ok(match text {
        "default" => SpeakerSpec::Default,
        "none" => SpeakerSpec::None,
        _ => match text.strip_prefix("file:") {
            Some("") => return Err("say which file: file:PATH.wav".into()),
            Some(path) => SpeakerSpec::Wav(path.into()),
            None => SpeakerSpec::Named(text.to_owned()),
        },
    })
}

fn existing(text: &str) -> Result<PathBuf, String> {
    readable(text)
}

/// A file that can be opened; the error is found before anybody is called.
fn readable(path: &str) -> Result<PathBuf, String> {
    match std::fs::File::open(path) {
        Ok(_) => Ok(path.into()),
        Err(error) => Err(format!("cannot open {path}: {error}")),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "say a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|_| "say a number of seconds from 0 up".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    /// A verb's own argument under the name of a general one would be taken for it.
    #[test]
    fn no_verb_has_an_argument_called_as_a_general_one() {
        let command = Arguments::command();
        let general: Vec<String> = command.get_arguments().map(|argument| argument.get_id().to_string()).collect();
        let mut waiting: Vec<&clap::Command> = command.get_subcommands().collect();
        assert!(general.iter().any(|id| id == "name") && !waiting.is_empty());
        while let Some(verb) = waiting.pop() {
            let same = verb.get_arguments().find(|argument| general.contains(&argument.get_id().to_string()));
            assert!(same.is_none(), "{}: {:?}", verb.get_name(), same.map(|argument| argument.get_id()));
            waiting.extend(verb.get_subcommands());
        }
    }

    #[test]
    fn frames_have_the_lengths_that_opus_has() {
        let frame =
            |text| Arguments::try_parse_from(["visavis", "listen", "--frame", text]).map(|parsed| parsed.options.frame);
        assert_eq!(frame("2.5").expect("a length"), Frame(Some(FrameLength::Ms2_5)));
        assert_eq!(frame("60").expect("a length"), Frame(Some(FrameLength::Ms60)));
        assert_eq!(frame("auto").expect("as the path asks"), Frame(None));
        assert!(frame("7").expect_err("no such frame").to_string().contains("2.5, 5, 10, 20, 40, 60"));
    }

    #[test]
    fn a_device_is_processed_and_a_measuring_sound_is_not() {
        let switches = |args: &str| {
            let words = ["visavis", "listen"].into_iter().chain(args.split_whitespace());
            let parsed = Arguments::try_parse_from(words).expect("right use");
            parsed.options.config("Ada", "nowhere".into(), 2000).switches()
        };
        assert_eq!((switches(""), switches("--mic Desk")), (Switches::ON, Switches::ON));
        assert_eq!((switches("--mic chirp"), switches("--mic none")), (Switches::OFF, Switches::OFF));
        assert_eq!(switches("--mic Desk --processing off"), Switches::OFF);
        let echo = Switches { echo: true, ..Switches::OFF };
        assert_eq!(switches("--mic chirp --processing echo"), echo);
        assert!(Arguments::try_parse_from(["visavis", "listen", "--processing", "music"]).is_err());
    }

    #[test]
    fn a_missing_file_is_wrong_use_before_anybody_is_called() {
        let error = Arguments::try_parse_from(["visavis", "call", "host", "--mic", "file:/nonexistent.wav"])
            .expect_err("no such file");
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("cannot open /nonexistent.wav"), "{error}");
    }
}
