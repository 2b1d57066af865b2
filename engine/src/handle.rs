//! The app's end of the channels to the engine's thread, and the engine's end of them.

use std::sync::Arc;

use crate::base::pipe::{Latest, PipeReceiver, PipeSender, Wake, pipe};
use crate::layout::snapshot::{Presented, ViewSnapshot};

/// Commands and notices that may wait: what a person does in a second is far less.
const COMMANDS: usize = 256;
/// At 60 pictures a second and 100 tiles the engine drains this every tick.
const PRESENTED: usize = 256;

/// What a person asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Call this target: `host[:port]`.
    Call(String),
    Accept,
    Decline,
    /// Also cancels an outgoing call.
    HangUp,
    Mute(bool),
    CameraOff(bool),
    /// Use this device, by the name it is listed under.
    Microphone(String),
    Speaker(String),
    Camera(String),
    Quit,
}

/// What the engine tells beside the picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// We wait for calls on this base port.
    Listening {
        base_port: u16,
    },
    Ringing {
        peer: String,
        incoming: bool,
    },
    Ended {
        outcome: String,
        reason: String,
    },
    /// One line a person can read: what happened and what to do.
    Error(String),
}

/// What the app holds.
#[derive(Debug)]
pub struct Link {
    /// The newest description of the picture; older ones nobody took are replaced.
    pub view: Arc<Latest<ViewSnapshot>>,
    /// Refused when full: the window tells the person that the engine does not follow.
    pub commands: PipeSender<Command>,
    pub notices: PipeReceiver<Notice>,
    /// When full the newest is dropped and counted by the window.
    pub presented: rtrb::Producer<Presented>,
    /// Wakes the engine after a command.
    pub wake: Wake,
}

/// What the engine holds.
#[derive(Debug)]
pub struct EngineEnd {
    pub view: Arc<Latest<ViewSnapshot>>,
    pub commands: PipeReceiver<Command>,
    /// When full the notice is dropped and counted: the snapshot says the same a moment later.
    pub notices: PipeSender<Notice>,
    pub presented: rtrb::Consumer<Presented>,
}

/// Both ends. `wake` is what wakes the engine's poll.
pub fn link(wake: Wake) -> (Link, EngineEnd) {
    let view = Arc::new(Latest::default());
    let (command_sender, command_receiver) = pipe(COMMANDS);
    let (notice_sender, notice_receiver) = pipe(COMMANDS);
    let (producer, consumer) = rtrb::RingBuffer::new(PRESENTED);
    (
        Link { view: view.clone(), commands: command_sender, notices: notice_receiver, presented: producer, wake },
        EngineEnd { view, commands: command_receiver, notices: notice_sender, presented: consumer },
    )
}
