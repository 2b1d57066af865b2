//! The RTP payload format for H.264, packetization-mode 1 (RFC 6184): single NAL units, STAP-A, FU-A.

use std::ops::Range;

use super::nal::{MAX_NAL, MAX_UNIT, Malformed, TYPE_AUD, TYPE_IDR, TYPE_SPS, split};

const STAP_A: u8 = 24;
const FU_A: u8 = 28;
/// FU indicator and FU header, RFC 6184 §5.8.
const FU_OVERHEAD: usize = 2;
/// A payload must hold an FU's two bytes and something of the NAL unit; a path with less than this carries no video.
const LEAST_PAYLOAD: usize = 64;

/// The payloads of one unit, in sending order. Reused from unit to unit: in the steady state nothing is allocated.
#[derive(Clone, Debug, Default)]
pub struct Packets {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

/// One payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload<'a> {
    pub bytes: &'a [u8],
    /// It is the last of its unit, RFC 6184 §5.1.
    pub marker: bool,
}

impl Packets {
    pub const fn len(&self) -> usize {
        self.ends.len()
    }

    pub const fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The payload `index`.
    pub fn payload(&self, index: usize) -> Option<Payload<'_>> {
        let start = index.checked_sub(1).map_or(Some(0), |before| self.ends.get(before).copied())?;
        let bytes = self.bytes.get(start..*self.ends.get(index)?)?;
        Some(Payload { bytes, marker: index.saturating_add(1) == self.ends.len() })
    }

    /// All payloads, the last one with the marker.
    pub fn iter(&self) -> impl Iterator<Item = Payload<'_>> {
        let last = self.ends.len().saturating_sub(1);
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(self.ends.iter().copied()).enumerate().map(move |(index, (start, end))| Payload {
            bytes: self.bytes.get(start..end).unwrap_or_default(),
            marker: index == last,
        })
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    fn close(&mut self) {
        self.ends.push(self.bytes.len());
    }
}

/// Cuts `unit` (Annex B) into payloads of at most `max_payload` bytes (never taken below 64), replacing what `out`
/// held. Neighbouring small NAL units (the parameter sets in front of an IDR) share a STAP-A; what is too large
/// becomes FU-A fragments of equal size, so that no tiny last packet rides along. NAL unit types that RFC 6184
/// table 1 gives another meaning (0 and 24 to 31) are left out.
pub fn packetise(unit: &[u8], max_payload: usize, out: &mut Packets) {
    let max_payload = max_payload.max(LEAST_PAYLOAD);
    out.clear();
    let mut nals = split(unit).filter(|nal| sendable(nal)).peekable();
    while let Some(nal) = nals.next() {
        if nal.len() > max_payload {
            fragment(nal, max_payload, out);
            continue;
        }
        let mut length = nal.len().saturating_add(3);
        let fits = |length: usize, next: &&[u8]| length.saturating_add(2).saturating_add(next.len()) <= max_payload;
        if nals.peek().is_none_or(|next| !fits(length, next)) {
            out.bytes.extend_from_slice(nal);
            out.close();
            continue;
        }
        // §5.7.1: the header's NRI is the largest of all inside, F is set where one is; it is known at the end.
        let header_at = out.bytes.len();
        out.bytes.push(STAP_A);
        let mut header = aggregate(nal, STAP_A, out);
        while let Some(next) = nals.next_if(|next| fits(length, next)) {
            length = length.saturating_add(2).saturating_add(next.len());
            header = aggregate(next, header, out);
        }
        if let Some(byte) = out.bytes.get_mut(header_at) {
            *byte = header;
        }
        out.close();
    }
}

/// True where a payload shows the beginning of a unit by itself: parameter sets or a delimiter stand in front.
pub fn begins_unit(payload: &[u8]) -> bool {
    matches!(types(payload).next(), Some(TYPE_SPS | TYPE_AUD))
}

/// True where a payload holds (a part of) an IDR slice.
pub fn holds_idr(payload: &[u8]) -> bool {
    types(payload).any(|kind| kind == TYPE_IDR)
}

/// True where a payload is the first one of a keyframe: parameter sets stand in front, or it begins an IDR slice. What a relay
/// goes over to another layer at.
pub fn begins_keyframe(payload: &[u8]) -> bool {
    let is_fragment = payload.first().is_some_and(|byte| byte & 0x1f == FU_A);
    // §5.8: the start bit of the FU header.
    let starts = !is_fragment || payload.get(1).is_some_and(|byte| byte & 0x80 != 0);
    starts && types(payload).any(|kind| matches!(kind, TYPE_SPS | TYPE_IDR))
}

/// Puts payloads of one unit together again.
#[derive(Debug, Default)]
pub struct Depacketiser {
    unit: Vec<u8>,
    /// Where the NAL unit of an unfinished FU-A begins in `unit`.
    open: Option<usize>,
    complete: bool,
}

impl Depacketiser {
    /// Takes the next payload in sequence order; `marker` is the packet's marker bit. After a marker (or
    /// [`Self::finish`]) the unit is taken with [`Self::take_into`].
    ///
    /// # Errors
    /// Not RFC 6184 packetization-mode 1, or larger than [`MAX_UNIT`] and [`MAX_NAL`] allow: what was there is thrown
    /// away; drop the unit's other packets as well.
    pub fn push(&mut self, payload: &[u8], marker: bool) -> Result<(), Malformed> {
        if self.complete {
            self.reset();
        }
        let result = self.append(payload).and_then(|()| if marker { self.finish() } else { Ok(()) });
        if result.is_err() {
            self.reset();
        }
        result
    }

    /// Ends the unit without a marker, where the next packet has another timestamp.
    ///
    /// # Errors
    /// A fragment has no end.
    pub fn finish(&mut self) -> Result<(), Malformed> {
        match self.open {
            Some(_) => {
                self.reset();
                Err(Malformed("a fragment without an end"))
            }
            None => {
                self.complete = true;
                Ok(())
            }
        }
    }

    /// Exchanges the finished unit, Annex B with start codes of four bytes, for the storage of `unit`. False, and nothing is
    /// exchanged, while it is not finished or empty.
    pub fn take_into(&mut self, unit: &mut Vec<u8>) -> bool {
        if !self.complete || self.unit.is_empty() {
            return false;
        }
        std::mem::swap(&mut self.unit, unit);
        self.reset();
        true
    }

    /// Throws away what was there.
    pub fn reset(&mut self) {
        self.unit.clear();
        self.open = None;
        self.complete = false;
    }

    fn append(&mut self, payload: &[u8]) -> Result<(), Malformed> {
        let (header, rest) = payload.split_first().ok_or(Malformed("an empty payload"))?;
        let kind = header & 0x1f;
        if self.open.is_some() && kind != FU_A {
            return Err(Malformed("a fragment without an end"));
        }
        match kind {
            1..=23 => self.nal(payload),
            STAP_A => {
                let mut rest = rest;
                if rest.is_empty() {
                    return Err(Malformed("an empty aggregate"));
                }
                while !rest.is_empty() {
                    let (nal, after) = next_aggregated(rest).ok_or(Malformed("an aggregate ends too early"))?;
                    self.nal(nal)?;
                    rest = after;
                }
                Ok(())
            }
            FU_A => self.fragment(*header, rest),
            _ => Err(Malformed("a payload type of another packetization mode")),
        }
    }

    fn nal(&mut self, nal: &[u8]) -> Result<(), Malformed> {
        if !sendable(nal) {
            return Err(Malformed("a NAL unit type that no payload carries"));
        }
        if nal.len() > MAX_NAL {
            return Err(Malformed("a NAL unit above 512 KiB"));
        }
        self.extend(&[0, 0, 0, 1])?;
        self.extend(nal)
    }

    fn fragment(&mut self, indicator: u8, rest: &[u8]) -> Result<(), Malformed> {
        let (header, data) = rest.split_first().ok_or(Malformed("a fragment without a header"))?;
        let (starts, ends) = (header & 0x80 != 0, header & 0x40 != 0);
        let begin = match (starts, self.open) {
            (true, None) => {
                // §5.8: F and NRI come from the indicator, the type from the FU header.
                let first = (indicator & 0xe0) | (header & 0x1f);
                if !sendable(&[first]) {
                    return Err(Malformed("a fragment of a type that no payload carries"));
                }
                self.extend(&[0, 0, 0, 1])?;
                let begin = self.unit.len();
                self.extend(&[first])?;
                begin
            }
            (false, Some(begin)) => begin,
            _ => return Err(Malformed("a fragment out of place")),
        };
        self.extend(data)?;
        if self.unit.len().saturating_sub(begin) > MAX_NAL {
            return Err(Malformed("a NAL unit above 512 KiB"));
        }
        // §5.8: start and end in one fragment is forbidden; the NAL unit is whole all the same, and some send it.
        self.open = if ends { None } else { Some(begin) };
        Ok(())
    }

    fn extend(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        if self.unit.len().saturating_add(bytes.len()) > MAX_UNIT {
            return Err(Malformed("a unit above 1 MiB"));
        }
        self.unit.extend_from_slice(bytes);
        Ok(())
    }
}

/// RFC 6184 table 1: 0 is reserved, 24 to 31 name packet structures.
fn sendable(nal: &[u8]) -> bool {
    nal.first().is_some_and(|byte| matches!(byte & 0x1f, 1..=23))
}

/// Appends one NAL unit to an aggregate and gives the aggregate's header with this one's F and NRI in it.
fn aggregate(nal: &[u8], header: u8, out: &mut Packets) -> u8 {
    // A NAL unit in an aggregate fits a payload, and a payload fits a datagram: below 64 KiB.
    let length = u16::try_from(nal.len()).unwrap_or(u16::MAX);
    out.bytes.extend_from_slice(&length.to_be_bytes());
    out.bytes.extend_from_slice(nal);
    let first = nal.first().copied().unwrap_or_default();
    STAP_A | ((header | first) & 0x80) | (header & 0x60).max(first & 0x60)
}

fn fragment(nal: &[u8], max_payload: usize, out: &mut Packets) {
    let Some((first, data)) = nal.split_first() else { return };
    let room = max_payload.saturating_sub(FU_OVERHEAD).max(1);
    let chunk = data.len().div_ceil(data.len().div_ceil(room).max(1)).max(1);
    let Range { start, end } = 0..data.len().div_ceil(chunk);
    for (index, part) in (start..end).zip(data.chunks(chunk)) {
        let starts = u8::from(index == start) << 7;
        let ends = u8::from(index.saturating_add(1) == end) << 6;
        out.bytes.push((first & 0xe0) | FU_A);
        out.bytes.push(starts | ends | (first & 0x1f));
        out.bytes.extend_from_slice(part);
        out.close();
    }
}

/// The first NAL unit of an aggregate's body, and what follows it.
fn next_aggregated(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = body.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

/// The types of the NAL units that a payload holds whole or in part.
fn types(payload: &[u8]) -> impl Iterator<Item = u8> {
    let kind = payload.first().map_or(0, |byte| byte & 0x1f);
    let fragment = payload.get(1).map_or(0, |byte| byte & 0x1f);
    let single = match kind {
        STAP_A => None,
        FU_A => Some(fragment),
        _ => Some(kind),
    };
    let mut body = if kind == STAP_A { payload.get(1..).unwrap_or_default() } else { &[] };
    let aggregated = std::iter::from_fn(move || {
        let (nal, rest) = next_aggregated(body)?;
        body = rest;
        Some(nal.first().map_or(0, |byte| byte & 0x1f))
    });
    single.into_iter().chain(aggregated)
}

#[cfg(test)]
mod tests;
