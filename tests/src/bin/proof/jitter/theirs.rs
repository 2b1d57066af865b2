//! The crate `neteq` on a trace. It reads the clock itself, so its thread's clock is set.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use neteq::codec::AudioDecoder;
use neteq::neteq::SpeechType;
use neteq::{AudioPacket, NetEq, NetEqConfig, RtpHeader};

use super::traces::Trace;
use super::{Heard, clock, voice};

/// It hands out 10 ms at a time.
const PULL: i64 = 10_000;
const TYPE: u8 = 111;

/// "Decodes" a packet's number to the voice at that place.
struct Voice {
    frame: usize,
    /// The first packet since this was last set to `u64::MAX`, and the end of the last.
    first: Arc<AtomicU64>,
    end: Arc<AtomicU64>,
}

impl AudioDecoder for Voice {
    fn sample_rate(&self) -> u32 {
        48_000
    }

    fn channels(&self) -> u8 {
        1
    }

    fn decode(&mut self, encoded: &[u8]) -> neteq::Result<Vec<f32>> {
        let number = encoded.try_into().map_or(0, u64::from_le_bytes);
        self.first.fetch_min(number, Relaxed);
        self.end.store(number + 1, Relaxed);
        Ok(voice::samples(number * self.frame as u64, self.frame).collect())
    }
}

pub fn play(trace: &Trace) -> neteq::Result<Heard> {
    clock::set(Some(0));
    let heard = play_in_virtual_time(trace);
    clock::set(None);
    heard
}

fn play_in_virtual_time(trace: &Trace) -> neteq::Result<Heard> {
    let frame = (trace.frame * 48 / 1000) as usize;
    let mut buffer = NetEq::new(NetEqConfig { sample_rate: 48_000, ..NetEqConfig::default() })?;
    let (first, end) = (Arc::new(AtomicU64::new(u64::MAX)), Arc::new(AtomicU64::new(0)));
    buffer.register_decoder(TYPE, Box::new(Voice { frame, first: first.clone(), end: end.clone() }));
    let mut arrivals: Vec<(i64, usize)> =
        trace.packets.iter().enumerate().filter_map(|(n, packet)| Some((packet.arrival?, n))).collect();
    arrivals.sort_unstable();
    let last = trace.packets.last().map_or(0, |packet| packet.at);
    let (mut arrivals, mut heard) = (arrivals.into_iter().peekable(), Heard::default());
    let mut decoded = 0;
    for at in (1_300..last).step_by(PULL as usize) {
        while let Some((arrival, n)) = arrivals.next_if(|(arrival, _)| *arrival <= at) {
            clock::set(Some(arrival));
            let header = RtpHeader::new(n as u16, (n * frame) as u32, 1, TYPE, false);
            let payload = (n as u64).to_le_bytes().to_vec();
            buffer.insert_packet(AudioPacket::new(header, payload, 48_000, 1, (trace.frame / 1000) as u32))?;
        }
        clock::set(Some(at));
        let packets = buffer.get_statistics().packets_awaiting_decode;
        let held = buffer.current_buffer_size_samples() - packets * frame;
        first.store(u64::MAX, Relaxed);
        let before = end.load(Relaxed);
        let sound = buffer.get_audio()?;
        let after = end.load(Relaxed);
        decoded += (packets - buffer.get_statistics().packets_awaiting_decode) as u64;
        heard.samples += sound.samples.len() as u64;
        if sound.speech_type != SpeechType::Normal {
            heard.missing += sound.samples.len() as u64;
            continue;
        }
        // Where in the sender's sound this begins.
        let place = if held > 0 {
            (before * frame as u64).saturating_sub(held as u64)
        } else {
            first.load(Relaxed).min(after) * frame as u64
        };
        let Some(packet) = trace.packets.get((place / frame as u64) as usize) else { continue };
        let within = (place % frame as u64) as f64 / 48.0;
        heard.delays.push((at, (at - packet.at) as f64 / 1e3 - within));
    }
    // Left out without anything in its place: what was lost, came too late or was thrown away.
    let sent = trace.packets.iter().filter(|packet| packet.at < last - 1_000_000).count() as u64;
    heard.missing += sent.saturating_sub(decoded) * frame as u64;
    Ok(heard)
}
