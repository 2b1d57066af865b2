//! The steps of a tick.

use bevy_ecs::schedule::SystemSet;

/// One step of a tick. They run in this order, each once per tick.
#[derive(SystemSet, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Take what workers, devices and the window have ready.
    Collect,
    /// Find each datagram's connection.
    Route,
    /// Hand datagrams to their transports.
    Pump,
    /// File packets into their jitter buffers.
    Deliver,
    /// Calls begin, change and end. The only step that spawns, despawns, inserts or removes.
    Session,
    /// Decide what is due; feed decoders and the loudspeaker.
    Playout,
    /// Take pictures and samples; feed encoders.
    Capture,
    /// Packetise units that may go.
    Send,
    /// Run the transports' timeouts; give datagrams to the socket.
    Flush,
    /// Describe the picture.
    Publish,
    /// Count, and forget what was only for this tick.
    Account,
}

impl Stage {
    pub const ALL: [Self; 11] = [
        Self::Collect,
        Self::Route,
        Self::Pump,
        Self::Deliver,
        Self::Session,
        Self::Playout,
        Self::Capture,
        Self::Send,
        Self::Flush,
        Self::Publish,
        Self::Account,
    ];
}
