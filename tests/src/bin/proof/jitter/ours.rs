//! Our buffer on a trace, in virtual time.

use std::time::Duration;

use engine::base::stereo::both;
use engine::base::time::now;
use engine::media::jitter_audio::{AudioPacket, JitterBuffer, Next};
use engine::media::stretch::Stretcher;

use super::traces::Trace;
use super::{Heard, voice};

/// The loudspeaker takes so much at a time: 2.5 ms, as the engine does.
const PULL: i64 = 2_500;

pub fn play(trace: &Trace, safety: u8) -> Heard {
    let start = now();
    let frame = (trace.frame * 48 / 1000) as usize;
    let (mut jitter, mut stretcher) = (JitterBuffer::default(), Stretcher::default());
    jitter.set_safety(safety);
    let mut arrivals: Vec<(i64, usize)> =
        trace.packets.iter().enumerate().filter_map(|(n, packet)| Some((packet.arrival?, n))).collect();
    arrivals.sort_unstable();
    let end = trace.packets.last().map_or(0, |packet| packet.at);
    let (mut arrivals, mut heard) = (arrivals.into_iter().peekable(), Heard::default());
    let (mut made, mut out) = (Vec::new(), vec![[0.0; 2]; (PULL * 48 / 1000) as usize]);
    // The device's grid lies beside the packets'.
    for at in (1_300..end).step_by(PULL as usize) {
        while let Some((arrival, n)) = arrivals.next_if(|(arrival, _)| *arrival <= at) {
            jitter.insert(AudioPacket {
                sequence: 1000 + n as u64,
                timestamp: (n * frame) as u64,
                arrival: start + Duration::from_micros(arrival as u64),
                samples: frame,
                payload: [0; 40].as_slice().into(),
                level: None,
                captured: None,
                copy: false,
            });
        }
        let moment = start + Duration::from_micros(at as u64);
        loop {
            let held = stretcher.len();
            let goal = stretcher.appetite(out.len(), jitter.wish(moment, held, out.len()), jitter.ready());
            if held >= goal {
                break;
            }
            let decision = jitter.next(moment, held, goal - held);
            made.clear();
            match &decision.next {
                Next::Decode(packet) => {
                    made.extend(voice::samples(packet.timestamp, packet.samples).map(both));
                    let sent = trace.packets[(packet.sequence - 1000) as usize].at;
                    heard.delays.push((at, (at - sent) as f64 / 1e3 + held as f64 / 48.0));
                }
                other => {
                    made.resize(other.samples(), [0.0; 2]);
                    if !heard.delays.is_empty() {
                        heard.missing += other.samples() as u64;
                    }
                }
            }
            stretcher.push(&made, decision.stretch, decision.ppm);
        }
        heard.missing += stretcher.pop(&mut out) as u64;
        heard.samples += out.len() as u64;
    }
    let counters = jitter.counters();
    heard.missing += counters.dropped * frame as u64;
    heard
}
