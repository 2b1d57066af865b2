//! Looks at the machine's devices again and again, on a thread of its own: a sound server may take seconds to answer.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::backend::{Backend, hosts, is_makeshift};
use super::list::{DeviceEntry, DeviceList, Side, list_of};
use crate::base::error::{Error, Kind, Result};
use crate::base::pipe::{Latest, PipeReceiver, PipeSender, Wake, pipe};
use crate::base::time::{Duration, Instant, now};

/// A device that was plugged in is there within a second. Two questions to PulseAudio take 0.3 ms.
const EVERY: Duration = Duration::from_millis(500);
/// ALSA walks through all cards and their configuration.
const EVERY_ALSA: Duration = Duration::from_secs(2);
/// Looks at a host that one would rather not have, before the better ones are asked again.
const PATIENCE: u32 = 5;

/// The newest list of devices. Dropping it ends the thread, which is not joined: a server that hangs must not keep the
/// program from ending.
#[derive(Debug)]
pub struct DeviceWatch {
    news: Arc<Latest<DeviceList>>,
    looked: Arc<AtomicU64>,
    epoch: Instant,
    _over: PipeSender<()>,
}

impl DeviceWatch {
    /// Begins to look. `wake` is called when something has changed.
    ///
    /// Errors: `Retry` where no thread can be started.
    pub fn start(backend: Option<Backend>, wake: Wake) -> Result<Self> {
        let (news, looked, epoch) = (Arc::new(Latest::default()), Arc::new(AtomicU64::new(0)), now());
        let (sender, over) = pipe(1);
        let watcher =
            Watcher { backend, news: news.clone(), looked: looked.clone(), epoch, host: None, able: HashMap::new() };
        let spawned = std::thread::Builder::new().name("device watch".into()).spawn(move || watcher.run(&over, &wake));
        spawned.map_err(|error| Error::new(Kind::Retry, format!("cannot watch the devices: {error}")))?;
        Ok(Self { news, looked, epoch, _over: sender })
    }

    /// The devices, where they are others than when last asked. Those of the first host that answers.
    pub fn news(&self) -> Option<DeviceList> {
        self.news.take()
    }

    /// When the newest look began.
    pub fn looked(&self) -> Instant {
        self.epoch + Duration::from_micros(self.looked.load(Ordering::Acquire))
    }
}

struct Watcher {
    backend: Option<Backend>,
    news: Arc<Latest<DeviceList>>,
    looked: Arc<AtomicU64>,
    epoch: Instant,
    host: Option<(cpal::Host, u32)>,
    /// ALSA tells what a device can do only by opening it, which is done once: a busy one would seem to be gone.
    able: HashMap<(String, Side), bool>,
}

impl Watcher {
    fn run(mut self, over: &PipeReceiver<()>, wake: &Wake) {
        let mut last = None;
        while !over.is_gone() {
            let at = now();
            let list = self.look();
            if last.as_ref() != Some(&list) {
                last = Some(list.clone());
                self.news.put(list);
                wake.wake();
            }
            let looked = at.saturating_duration_since(self.epoch).as_micros() as u64;
            self.looked.store(looked, Ordering::Release);
            let is_slow = self.host.as_ref().is_some_and(|(host, _)| is_makeshift(host));
            // Nobody sends: it returns early when the other end is dropped.
            let _ = over.recv_timeout(if is_slow { EVERY_ALSA } else { EVERY });
        }
    }

    /// The devices of the host that answered before, or of the first that does now and has any.
    fn look(&mut self) -> DeviceList {
        let Self { host, able, .. } = self;
        let mut able = |device: &cpal::Device, side: Side, entry: &DeviceEntry| {
            *able.entry((entry.id.clone(), side)).or_insert_with(|| side.fits(device))
        };
        if let Some((host, looks)) = host
            && (!is_makeshift(host) || *looks < PATIENCE)
            && let Some(list) = list_of(host, &mut able)
        {
            *looks += 1;
            return list;
        }
        *host = None;
        for candidate in hosts(self.backend) {
            if let Some(list) = list_of(&candidate, &mut able)
                && !(list.microphones.is_empty() && list.speakers.is_empty())
            {
                *host = Some((candidate, 0));
                return list;
            }
        }
        DeviceList::default()
    }
}
