//! The app's end of the channels to the engine's thread.

use std::sync::Arc;

use crate::base::pipe::{Latest, PipeReceiver, PipeSender, Wake, pipe};
use crate::layout::snapshot::{Presented, ViewSnapshot};
use crate::net::lan::Neighbours;
use crate::people::view::View;
pub use crate::world::message::{Command, FileNotice, Notice};
use crate::world::shared::AppEnd;
pub use crate::world::shared::Redraw;

/// Commands and notices that may wait: what a person does in a second is far less.
const COMMANDS: usize = 256;
/// At 60 pictures a second and 100 tiles the engine drains this every tick.
const PRESENTED: usize = 256;

/// What the app holds.
#[derive(Debug)]
pub struct Link {
    /// The newest description of the picture; older ones nobody took are replaced.
    pub view: Arc<Latest<Arc<ViewSnapshot>>>,
    /// Refused when full: the window tells the person that the engine does not follow.
    pub commands: PipeSender<Command>,
    pub notices: PipeReceiver<Notice>,
    /// When full the newest is dropped and counted by the window.
    pub presented: PipeSender<Presented>,
    /// The newest of the service's people, where there is a session.
    pub people: Arc<Latest<Arc<View>>>,
    /// Who is on the same network, whenever that changed.
    pub neighbours: Arc<Latest<Neighbours>>,
    /// Wakes the engine after a command.
    pub wake: Wake,
}

/// Both ends. `wake` is what wakes the engine's poll; `redraw` is called after each new description of the picture
/// and each notice.
pub fn link(wake: Wake, redraw: Redraw) -> (Link, AppEnd) {
    let (view, people, neighbours) =
        (Arc::new(Latest::default()), Arc::new(Latest::default()), Arc::new(Latest::default()));
    let (command_sender, command_receiver) = pipe(COMMANDS);
    let (notice_sender, notice_receiver) = pipe(COMMANDS);
    let (presented_sender, presented_receiver) = pipe(PRESENTED);
    let link = Link {
        view: view.clone(),
        commands: command_sender,
        notices: notice_receiver,
        presented: presented_sender,
        people: people.clone(),
        neighbours: neighbours.clone(),
        wake,
    };
    let end = AppEnd {
        view,
        commands: command_receiver,
        notices: notice_sender,
        presented: presented_receiver,
        people,
        neighbours,
        redraw,
    };
    (link, end)
}
