//! What the jitter buffer is given, and what it counts.

use std::sync::Arc;

use crate::base::time::Instant;
use crate::proto::rtp_h264::{begins_unit, holds_idr};
use crate::proto::unit_ext::UnitExt;

/// One RTP packet of the stream, decrypted.
#[derive(Clone, Debug)]
pub struct PacketIn {
    /// Extended to 64 bits.
    pub sequence: u64,
    /// 90 kHz, extended to 64 bits.
    pub timestamp: u64,
    pub marker: bool,
    /// In the storage it came off the path in.
    pub payload: Arc<[u8]>,
    pub arrival: Instant,
    /// On the first packet of a unit.
    pub unit: Option<UnitExt>,
    /// When the picture was captured, on the local clock.
    pub capture: Option<Instant>,
}

/// What happened to packets and units so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Counters {
    pub packets: u64,
    pub duplicates: u64,
    /// Came after their unit was handed out or given up.
    pub late: u64,
    /// Gaps that no retransmission filled in time.
    pub gaps: u64,
    /// Times that everything was thrown away because a bound was reached or the sequence jumped.
    pub resets: u64,
    /// Packets thrown away while waiting for a keyframe, or with a unit that was malformed.
    pub dropped_packets: u64,
    pub malformed_units: u64,
    pub units: u64,
    /// Packets that were lost and made good by parity.
    pub repaired: u64,
    /// Times that units which nothing refers to were gone on without.
    pub skipped: u64,
}

/// A packet in its place.
#[derive(Debug)]
pub(super) struct Slot {
    pub timestamp: u64,
    pub marker: bool,
    pub arrival: Instant,
    pub unit: Option<UnitExt>,
    pub capture: Option<Instant>,
    pub payload: Arc<[u8]>,
    /// It begins a unit, as far as the packet itself shows.
    pub head: bool,
    pub idr: bool,
}

impl From<PacketIn> for Slot {
    fn from(packet: PacketIn) -> Self {
        Self {
            timestamp: packet.timestamp,
            marker: packet.marker,
            arrival: packet.arrival,
            unit: packet.unit,
            capture: packet.capture,
            head: packet.unit.is_some() || begins_unit(&packet.payload),
            idr: holds_idr(&packet.payload),
            payload: packet.payload,
        }
    }
}
