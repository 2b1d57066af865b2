//! Units: what an encoder makes of one picture, and what travels.

use std::sync::Arc;

use crate::base::id::UnitNumber;
use crate::base::time::Instant;

/// One encoded picture on the sender's side.
#[derive(Clone, Debug)]
pub struct EncodedUnit {
    /// H.264: an Annex B byte stream (start codes 00 00 00 01 or 00 00 01), parameter sets in front of every IDR.
    pub data: Vec<u8>,
    pub keyframe: bool,
    pub temporal_id: u8,
    /// Nothing refers to this unit: it may be dropped alone.
    pub discardable: bool,
    pub width: u32,
    pub height: u32,
    pub number: UnitNumber,
    pub captured: Instant,
    pub encoded: Instant,
}

/// One complete unit on the receiver's side, in decoding order.
#[derive(Clone, Debug)]
pub struct ReceivedUnit {
    /// Annex B, as above. The storage goes back to the stream's pool once the decoder is done with it.
    pub data: Arc<Vec<u8>>,
    pub keyframe: bool,
    pub number: UnitNumber,
    /// RTP timestamp (90 kHz), extended to 64 bits.
    pub timestamp: u64,
    pub stamps: super::ledger::Stamps,
}
