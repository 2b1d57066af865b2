//! What RTP packets look like on the wire: header extensions, payload types, and which of them goes ahead.

use str0m::rtp::{Extension, ExtensionMap, ExtensionSerializer, ExtensionValues};

use crate::net::datagram::Class;
use crate::proto::unit_ext::{self, UnitExt};

/// Extension ids, the same on both sides. 1, 3 and 4 are the ids str0m and browsers use by habit.
pub(super) fn extensions() -> ExtensionMap {
    let mut map = ExtensionMap::empty();
    map.set(1, Extension::AudioLevel);
    map.set(3, Extension::TransportSequenceNumber);
    map.set(4, Extension::RtpMid);
    map.set(5, Extension::AbsoluteCaptureTime);
    map.set(6, Extension::with_serializer(unit_ext::URI, UnitSerializer));
    map
}

#[derive(Debug)]
struct UnitSerializer;

impl ExtensionSerializer for UnitSerializer {
    fn write_to(&self, buffer: &mut [u8], values: &ExtensionValues) -> usize {
        let Some(unit) = values.user_values.get::<UnitExt>() else { return 0 };
        let bytes = unit.write();
        let Some(room) = buffer.get_mut(..bytes.len()) else { return 0 };
        room.copy_from_slice(&bytes);
        bytes.len()
    }

    fn parse_value(&self, buffer: &[u8], values: &mut ExtensionValues) -> bool {
        let unit = UnitExt::parse(buffer);
        if let Some(unit) = unit {
            values.user_values.set(unit);
        }
        unit.is_some()
    }

    fn is_video(&self) -> bool {
        true
    }

    fn is_audio(&self) -> bool {
        false
    }
}

/// Audio and everything that keeps the path alive goes ahead of video. The payload type is in the clear
/// (RFC 3711 §3.1); RTP and STUN are told apart by the first byte (RFC 7983 §7).
pub(super) fn class_of(datagram: &[u8]) -> Class {
    match datagram {
        [128..=191, second, ..] if !is_sound(second & 0x7f) && datagram.len() > 200 => Class::Video,
        // RFC 6347 §4.1, RFC 9147 §4: what DTLS carries itself is files.
        [23 | 32..=63, ..] if datagram.len() > 200 => Class::Video,
        _ => Class::Audio,
    }
}

const fn is_sound(payload_type: u8) -> bool {
    matches!(payload_type, AUDIO_PAYLOAD_TYPE | RED_PAYLOAD_TYPE)
}

/// Opus, as browsers number it.
pub(super) const AUDIO_PAYLOAD_TYPE: u8 = 111;

/// Opus with copies of earlier frames (RFC 2198), as browsers number it.
pub(super) const RED_PAYLOAD_TYPE: u8 = 63;

/// H.264, as browsers number it; its retransmissions have the next number.
pub(super) const VIDEO_PAYLOAD_TYPE: u8 = 108;
