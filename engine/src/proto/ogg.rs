//! Opus in Ogg (RFC 3533, RFC 7845): what a voice clip is kept as, so that any player plays it.

/// A mono clip at 48 kHz as one Ogg stream. `packets`: Opus, `samples` each, the first of which `look_ahead` samples do not
/// belong to the sound; `length`: of the sound, in samples.
pub fn opus_file(packets: &[Vec<u8>], samples: usize, look_ahead: usize, length: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let skip = u16::try_from(look_ahead).unwrap_or(u16::MAX);
    // RFC 7845 §5.1: version 1, one channel, pre-skip, the input's rate, no gain, mapping family 0.
    let mut head = b"OpusHead\x01\x01".to_vec();
    head.extend_from_slice(&skip.to_le_bytes());
    head.extend_from_slice(&48_000u32.to_le_bytes());
    head.extend_from_slice(&[0, 0, 0]);
    // §5.2: whose program it was, and no comments.
    let vendor = b"visavis";
    let mut tags = b"OpusTags".to_vec();
    tags.extend_from_slice(&u32::try_from(vendor.len()).unwrap_or(0).to_le_bytes());
    tags.extend_from_slice(vendor);
    tags.extend_from_slice(&0u32.to_le_bytes());
    page(&mut out, FIRST, 0, 0, &[&head]);
    page(&mut out, 0, 0, 1, &[&tags]);
    let end = (length.saturating_add(look_ahead)) as u64;
    let mut number = 2;
    let mut at = 0u64;
    let mut rest = packets;
    while !rest.is_empty() {
        let (some, after) = rest.split_at(on_a_page(rest));
        at = at.saturating_add((some.len().saturating_mul(samples)) as u64);
        let is_last = after.is_empty();
        // RFC 7845 §4.4: the last page says where the sound ends.
        let granule = if is_last { at.min(end) } else { at };
        let packets: Vec<&[u8]> = some.iter().map(Vec::as_slice).collect();
        page(&mut out, if is_last { LAST } else { 0 }, granule, number, &packets);
        number = number.saturating_add(1);
        rest = after;
    }
    out
}

/// How many of `packets` go on one page: it has 255 segments (RFC 3533 §6), and fifty packets of 20 ms are a second.
fn on_a_page(packets: &[Vec<u8>]) -> usize {
    let mut segments = 0usize;
    let fit = packets.iter().take(50).take_while(|packet| {
        segments = segments.saturating_add(packet.len() / 255).saturating_add(1);
        segments <= 255
    });
    fit.count().max(1)
}

/// RFC 3533 §6: one page of whole packets.
fn page(out: &mut Vec<u8>, flags: u8, granule: u64, number: u32, packets: &[&[u8]]) {
    let begin = out.len();
    out.extend_from_slice(b"OggS\0");
    out.push(flags);
    out.extend_from_slice(&granule.to_le_bytes());
    out.extend_from_slice(&SERIAL.to_le_bytes());
    out.extend_from_slice(&number.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    let mut segments = Vec::new();
    for packet in packets {
        segments.extend(std::iter::repeat_n(255, packet.len() / 255));
        segments.push((packet.len() % 255) as u8);
    }
    out.push(u8::try_from(segments.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(&segments);
    packets.iter().for_each(|packet| out.extend_from_slice(packet));
    let sum = checksum(out.get(begin..).unwrap_or_default());
    if let Some(place) = out.get_mut(begin.saturating_add(22)..begin.saturating_add(26)) {
        place.copy_from_slice(&sum.to_le_bytes());
    }
}

/// RFC 3533 §6: CRC-32 of polynomial 0x04c11db7, not reflected, from 0.
fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0u32, |sum, byte| {
        (0..8).fold(sum ^ (u32::from(*byte) << 24), |sum, _| (sum << 1) ^ if sum >> 31 == 1 { 0x04c1_1db7 } else { 0 })
    })
}

const FIRST: u8 = 2;
const LAST: u8 = 4;

/// One stream a file: its number says nothing.
const SERIAL: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    /// Pages as flags, granule, number and packets, their sums checked.
    fn pages(mut bytes: &[u8]) -> Vec<(u8, u64, u32, Vec<Vec<u8>>)> {
        let mut pages = Vec::new();
        while !bytes.is_empty() {
            assert_eq!(&bytes[..5], b"OggS\0");
            let count = usize::from(bytes[26]);
            let segments = &bytes[27..27 + count];
            let length = 27 + count + segments.iter().map(|length| usize::from(*length)).sum::<usize>();
            let mut whole = bytes[..length].to_vec();
            let sum = u32::from_le_bytes(whole[22..26].try_into().expect("four"));
            whole[22..26].fill(0);
            assert_eq!(checksum(&whole), sum);
            let (mut packets, mut packet, mut at) = (Vec::new(), Vec::new(), 27 + count);
            for segment in segments {
                packet.extend_from_slice(&bytes[at..at + usize::from(*segment)]);
                at += usize::from(*segment);
                if *segment < 255 {
                    packets.push(std::mem::take(&mut packet));
                }
            }
            let granule = u64::from_le_bytes(bytes[6..14].try_into().expect("eight"));
            pages.push((bytes[5], granule, u32::from_le_bytes(bytes[18..22].try_into().expect("four")), packets));
            bytes = &bytes[length..];
        }
        pages
    }

    #[test]
    fn the_packets_stand_in_pages_that_say_where_the_sound_ends() {
        let packets: Vec<Vec<u8>> = (0..120usize).map(|n| vec![n as u8; n * 5]).collect();
        let file = opus_file(&packets, 960, 312, 119 * 960);
        let pages = pages(&file);
        assert_eq!(pages.iter().map(|page| page.0).collect::<Vec<_>>(), [FIRST, 0, 0, 0, LAST]);
        assert_eq!(pages.iter().map(|page| page.2).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        assert!(pages[0].3[0].starts_with(b"OpusHead") && pages[1].3[0].starts_with(b"OpusTags"));
        assert_eq!(pages[2..].iter().flat_map(|page| page.3.clone()).collect::<Vec<_>>(), packets);
        assert_eq!((pages[2].1, pages[4].1), (50 * 960, 119 * 960 + 312));
    }

    #[test]
    fn the_checksum_is_that_of_rfc_3533() {
        // CRC-32/MPEG-2 without its initial value: "123456789" gives the catalogued CRC-32 check of this polynomial from 0.
        assert_eq!(checksum(b"123456789"), 0x89a1_897f);
    }
}
