//! What the window and the engine say to each other beside the picture.

use std::path::PathBuf;

use crate::base::id::TileId;
use crate::layout::snapshot::FileView;
use crate::media::switches::Switches;
use crate::people::command::{Outcome, Wanted};
use crate::proto::proxy::choice::ProxySetting;

/// What a person asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Call this target: `host[:port]`, or a pal's name.
    Call(String),
    Accept,
    Decline,
    /// Also cancels an outgoing call.
    HangUp,
    Mute(bool),
    CameraOff(bool),
    /// Use this device, by the name it is listed under; `None`: the system's default, whichever that is.
    Microphone(Option<String>),
    Speaker(Option<String>),
    Camera(String),
    /// Send this screen or window beside the camera, by the name it is listed under; `None`: none any more.
    Share(Option<String>),
    /// Screens move smoothly, which costs them sharpness; else they stay sharp, which costs them pictures.
    ScreenMotion(bool),
    /// What is done to the microphone's sound.
    Processing(Switches),
    /// Stereo as it is, in short frames, instead of one voice.
    Music(bool),
    /// How loud the other side is played here, in percent of how it comes: 0 to 200.
    Volume(TileId, u8),
    /// The other side is not heard here, and is not told.
    Hush(TileId, bool),
    /// The tile is now so large on the screen, in pixels; of no size where it is hidden: no more is sent than is seen.
    Watch(TileId, u16, u16),
    /// The devices are being looked at: show how loud the microphone is, in a call or without.
    CheckMicrophone(bool),
    /// Play a short tone on the loudspeaker.
    TestTone,
    /// Play what the microphone hears two seconds later, without a call; ends by itself.
    EchoTest(bool),
    /// Be seen by others on the same network, or not; kept.
    ShowOnNetwork(bool),
    /// Dial through this; kept. The session with the service is made anew by it.
    Proxy(ProxySetting),
    /// The first of our ports from the next start on; kept.
    BasePort(Option<u16>),
    /// Send a file to the other side of the call.
    SendFile(PathBuf),
    /// Take the file that is offered, or do not.
    TakeFile(bool),
    /// No more of what is sent, or of what is received.
    StopFile {
        sending: bool,
    },
    /// Ask something of the service; its outcome comes as a [`Notice::Done`] with the same number.
    People(u64, Box<Wanted>),
    Quit,
}

/// What the engine tells beside the picture.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// We wait for calls on this base port.
    Listening {
        base_port: u16,
    },
    Ringing {
        peer: String,
        incoming: bool,
    },
    Connected {
        peer: String,
    },
    /// The call is over; what it was like.
    Ended {
        outcome: String,
        reason: String,
        report: Box<crate::media::report::Report>,
    },
    /// What was asked of the service came out so; or a line for the person.
    Done {
        ticket: u64,
        outcome: Result<Box<Outcome>, String>,
    },
    /// The session with the service stands, under this name.
    Online {
        name: String,
    },
    /// A file that is sent, or comes.
    File(FileNotice),
    /// One line a person can read: what happened and what to do.
    Error(String),
}

/// What happened to a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileNotice {
    /// The other side offers it: [`Command::TakeFile`] answers.
    Offered(FileView),
    /// It arrived, here or there.
    Done { file: FileView, is_sent: bool, path: PathBuf },
    /// It did not: why, in one line. A part that is here is kept where it can be gone on with.
    Failed { file: FileView, is_sent: bool, why: String },
}
