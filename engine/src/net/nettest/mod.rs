//! The network test: its steps on a thread of its own, each told as soon as it is done. It uses what calls use: the service's
//! doors with their key, the proxies, STUN, the router's mappings.

mod bandwidth;
mod datagrams;
mod doors;
mod hops;
mod inbound;
mod relay;
mod run;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crate::base::error::{Error, Kind, Result};
use crate::base::pipe::{PipeReceiver, Wake, pipe};
use crate::proto::nettest::verdict::Verdict;
use crate::proto::nettest::{Findings, Step};
use crate::proto::proxy::choice::Proxies;
use crate::proto::service::link::ServiceLink;

/// What is tested.
#[derive(Clone, Debug)]
pub struct NetTestConfig {
    /// Without one only what needs no other end is tested.
    pub service: Option<ServiceLink>,
    pub proxies: Arc<Proxies>,
    /// The first of our ports.
    pub base: u16,
    /// Only what tells the addresses.
    pub quick: bool,
}

/// What the test tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// The step is done; with all that was found so far.
    Done(Step, Box<Findings>),
    /// That was the last one.
    Over(Box<Findings>, Verdict),
}

/// A running test. Dropping it cancels it and joins its threads, within a second.
#[derive(Debug)]
pub struct NetTest {
    told: PipeReceiver<Told>,
    quit: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl NetTest {
    /// Begins. `wake` is called after each step. It takes twenty seconds at most.
    ///
    /// # Errors
    /// [`Kind::Retry`]: no thread can be started.
    pub fn start(config: NetTestConfig, wake: Wake, redraw: Option<Arc<dyn Fn() + Send + Sync>>) -> Result<Self> {
        let (teller, told) = pipe(MOST_TOLD);
        let quit = Arc::new(AtomicBool::new(false));
        let run = run::Run::new(config, teller, wake, redraw, quit.clone());
        let thread = std::thread::Builder::new()
            .name("network test".into())
            .spawn(move || run.run())
            .map_err(|error| Error::new(Kind::Retry, format!("the network cannot be tested: {error}")))?;
        Ok(Self { told, quit, thread: Some(thread) })
    }

    /// The next thing that was found.
    pub fn poll(&self) -> Option<Told> {
        self.told.try_recv()
    }

    /// Waits for it; `None` after the last one.
    pub fn next(&self) -> Option<Told> {
        self.told.recv()
    }

    /// How to cancel it while somebody waits in [`Self::next`].
    pub fn canceller(&self) -> impl Fn() + Send + Sync + 'static {
        let quit = self.quit.clone();
        move || quit.store(true, Ordering::Relaxed)
    }
}

impl Drop for NetTest {
    fn drop(&mut self) {
        self.quit.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Each step is told once.
const MOST_TOLD: usize = 64;
