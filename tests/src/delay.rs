//! Programs that are late by a known time: what a probe measures is compared with them.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use engine::base::time::now;
use visavis_app::pulse::Pulse;

use crate::Outcome;

/// Carries sound from a microphone to a loudspeaker of a private server, through two programs of PulseAudio's own and a
/// pipe between them. What it takes by itself is not known; what is put into the pipe on top of that is, to the sample:
/// both devices keep the same clock, and no sample is left out or made up between them.
pub struct DelayLine {
    record: Child,
    play: Child,
    delay: Arc<AtomicI64>,
    /// Bytes that came out of the pipe.
    carried: Arc<AtomicU64>,
    carrier: Option<JoinHandle<()>>,
}

/// 48 kHz, one channel, 16 bits.
const BYTES_PER_MS: i64 = 96;
/// What the player holds in stock, so that a busy machine does not let it run dry: a player that runs dry is late from
/// then on, by nobody knows how much.
const STOCK_MS: u32 = 250;

impl DelayLine {
    /// # Errors
    /// The two programs cannot be started, or nothing comes through them.
    pub fn start(pulse: &Pulse, from: &str, to: &str) -> Outcome<Self> {
        let form = ["--raw", "--format=s16le", "--rate=48000", "--channels=1"];
        let start = |program: &str, device: &str, latency: u32| {
            let mut command = Command::new(program);
            command.args(form).args([format!("--device={device}"), format!("--latency-msec={latency}")]);
            command.envs(pulse.env()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
            command.spawn().map_err(|error| format!("{program}: {error}"))
        };
        let (mut record, mut play) = (start("parec", from, 10)?, start("pacat", to, STOCK_MS)?);
        let (source, sink) = (record.stdout.take().expect("piped"), play.stdin.take().expect("piped"));
        let (delay, carried) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicU64::new(0)));
        let (wanted, count) = (delay.clone(), carried.clone());
        let carrier = std::thread::Builder::new().name("delay line".into());
        let carrier = carrier.spawn(move || carry(source, sink, &wanted, &count)).map_err(|error| error.to_string())?;
        let line = Self { record, play, delay, carried, carrier: Some(carrier) };
        line.wait_until_carried(BYTES_PER_MS as u64 * u64::from(STOCK_MS) * 2)?;
        Ok(line)
    }

    /// From now on it is so much later than by itself. More of it is silence put in, less of it is sound left out.
    ///
    /// # Errors
    /// Nothing comes through it any more.
    pub fn set(&self, ms: u32) -> Outcome<()> {
        let before = self.carried.load(Ordering::Relaxed);
        self.delay.store(i64::from(ms) * BYTES_PER_MS, Ordering::Relaxed);
        self.wait_until_carried(before + BYTES_PER_MS as u64 * u64::from(STOCK_MS) * 2)
    }

    fn wait_until_carried(&self, bytes: u64) -> Outcome<()> {
        let until = now() + Duration::from_secs(10);
        while self.carried.load(Ordering::Relaxed) < bytes {
            if now() >= until {
                return Err("nothing comes through the delay line".into());
            }
            // The carrier tells nobody.
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for DelayLine {
    fn drop(&mut self) {
        // Without them the carrier's reading ends.
        for child in [&mut self.record, &mut self.play] {
            let _ = child.kill();
            let _ = child.wait();
        }
        if let Some(carrier) = self.carrier.take() {
            let _ = carrier.join();
        }
    }
}

/// Copies until either end is closed; makes good for each change of `wanted`, in bytes.
fn carry(mut from: ChildStdout, mut to: ChildStdin, wanted: &AtomicI64, carried: &AtomicU64) {
    let (mut block, mut delay) = ([0u8; 480], 0);
    loop {
        if from.read_exact(&mut block).is_err() {
            return;
        }
        let more = wanted.load(Ordering::Relaxed) - delay;
        let left_out = usize::try_from(-more).unwrap_or(0).min(block.len());
        let silence = vec![0; usize::try_from(more).unwrap_or(0)];
        delay += silence.len() as i64 - left_out as i64;
        if to.write_all(&silence).and_then(|()| to.write_all(&block[left_out..])).is_err() {
            return;
        }
        carried.fetch_add(block.len() as u64, Ordering::Relaxed);
    }
}
