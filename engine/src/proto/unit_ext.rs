//! The RTP header extension `visavis-unit`: the sender's part of the latency ledger, on the first packet of each unit.
//!
//! Seven bytes, big-endian, so that it fits a one-byte-header element (RFC 8285 §4.2):
//!
//! | byte | content |
//! |---|---|
//! | 0–1 | unit number, modulo 2¹⁶ |
//! | 2 | bit 7: discardable; bits 6–4: temporal id; bits 3–2: what it refers to is one unit more than this before it; bits 1–0: layer |
//! | 3–4 | captured → encoded in units of 100 µs, 65535 = 6.5535 s or more |
//! | 5–6 | encoded → sent, likewise |

use crate::base::id::UnitNumber;
use crate::base::time::Duration;

/// What names the extension in signalling (RFC 8285 §5).
pub const URI: &str = "urn:visavis:unit";
/// The length of the element's data.
pub const LENGTH: usize = 7;
/// 100 µs resolve a tenth of a video stage that matters, and u16 reaches 6.5 s.
const STEP: Duration = Duration::from_micros(100);

/// What the extension says about a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnitExt {
    pub number: UnitNumber,
    /// 0 to 7.
    pub temporal_id: u8,
    /// Nothing refers to this unit.
    pub discardable: bool,
    /// The unit it refers to is so many units before it, 1 to 4: what lies between is not needed for it. 4 is also said
    /// where it is farther. Nothing in a keyframe.
    pub refers: u8,
    /// Simulcast layer, 0 to 3.
    pub layer: u8,
    /// Captured → encoded, in steps of 100 µs, at most 6.5535 s.
    pub encode: Duration,
    /// Encoded → sent, likewise.
    pub queue: Duration,
}

impl Default for UnitExt {
    fn default() -> Self {
        let (number, encode, queue) = (UnitNumber::default(), Duration::ZERO, Duration::ZERO);
        Self { number, temporal_id: 0, discardable: false, refers: 1, layer: 0, encode, queue }
    }
}

impl UnitExt {
    /// The element's data. Numbers above their field are cut to its largest.
    pub fn write(&self) -> [u8; LENGTH] {
        let [number_high, number_low] = self.number.0.to_be_bytes();
        let refers = self.refers.clamp(1, 4).saturating_sub(1) << 2;
        let flags = (u8::from(self.discardable) << 7) | (self.temporal_id.min(7) << 4) | refers | self.layer.min(3);
        let [encode_high, encode_low] = steps(self.encode).to_be_bytes();
        let [queue_high, queue_low] = steps(self.queue).to_be_bytes();
        [number_high, number_low, flags, encode_high, encode_low, queue_high, queue_low]
    }

    /// Reads the element's data; `None` when it has another length.
    pub fn parse(data: &[u8]) -> Option<Self> {
        let &[number_high, number_low, flags, encode_high, encode_low, queue_high, queue_low] = data else {
            return None;
        };
        let duration = |high, low| STEP.saturating_mul(u32::from(u16::from_be_bytes([high, low])));
        Some(Self {
            number: UnitNumber(u16::from_be_bytes([number_high, number_low])),
            temporal_id: (flags >> 4) & 7,
            discardable: flags & 0x80 != 0,
            refers: ((flags >> 2) & 3).saturating_add(1),
            layer: flags & 3,
            encode: duration(encode_high, encode_low),
            queue: duration(queue_high, queue_low),
        })
    }
}

/// `time` in steps, rounded to the nearest and cut to the field.
fn steps(time: Duration) -> u16 {
    let micros = time.saturating_add(STEP / 2).as_micros();
    u16::try_from(micros / STEP.as_micros()).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop};
    use proptest::{prop_assert_eq, proptest};

    use super::*;

    #[test]
    fn the_bytes_are_where_the_table_says() {
        let ext = UnitExt {
            number: UnitNumber(0x1234),
            temporal_id: 2,
            discardable: true,
            refers: 2,
            layer: 1,
            encode: Duration::from_micros(4_260),
            queue: Duration::from_secs(60),
        };
        assert_eq!(ext.write(), [0x12, 0x34, 0b1010_0101, 0, 43, 0xff, 0xff]);
    }

    #[test]
    fn another_length_is_nothing() {
        assert_eq!(UnitExt::parse(&[0; 6]), None);
        assert_eq!(UnitExt::parse(&[0; 8]), None);
        assert_eq!(UnitExt::parse(&[]), None);
    }

    proptest! {
        #[test]
        fn reading_and_writing_are_inverse(data in prop::array::uniform7(any::<u8>())) {
            prop_assert_eq!(UnitExt::parse(&data).map(|ext| ext.write()), Some(data));
        }
    }
}
