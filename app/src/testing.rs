//! The network test: what it is told with, and what it leaves in the data folder; for the window and the command line.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::base::error::{Error, Kind, Result};
use engine::base::pipe::Wake;
use engine::net::nettest::{NetTest, NetTestConfig, Told};
use engine::proto::nettest::Findings;
use engine::proto::nettest::report::{masked, text};
use engine::proto::nettest::verdict::Verdict;
use engine::proto::proxy::choice::Proxies;
use engine::proto::service::link::ServiceLink;
use engine::store::login::Logins;

use crate::ui::network::{NetworkState, Wish};

/// What the test needs to know.
#[derive(Clone, Debug)]
pub struct TestOptions {
    pub data: PathBuf,
    /// Else the one that one is logged in at.
    pub service: Option<ServiceLink>,
    pub proxies: Arc<Proxies>,
}

impl TestOptions {
    /// A test of the ports from `base` on; `quick`: only what tells the addresses.
    ///
    /// # Errors
    /// See [`NetTest::start`].
    pub fn start(&self, base: u16, quick: bool, told: Arc<dyn Fn() + Send + Sync>) -> Result<NetTest> {
        let config = NetTestConfig { service: self.service(), proxies: self.proxies.clone(), base, quick };
        NetTest::start(config, Wake::none(), Some(told))
    }

    /// The service that is asked.
    pub fn service(&self) -> Option<ServiceLink> {
        let logged_in = || Logins::new(&self.data).load().ok().flatten()?.service.parse().ok();
        self.service.clone().or_else(logged_in)
    }
}

/// Leaves `network.txt` and `network.json` in the data folder; where the text is. Public addresses are masked unless
/// `show_address`.
///
/// # Errors
/// [`Kind::Refused`]: they cannot be written; a line for the person.
pub fn keep(data: &Path, found: &Findings, verdict: &Verdict, show_address: bool) -> Result<PathBuf> {
    let refused = |path: &Path, error: std::io::Error| {
        Error::new(Kind::Refused, format!("{} cannot be written: {error}", path.display()))
    };
    std::fs::create_dir_all(data).map_err(|error| refused(data, error))?;
    let path = data.join("network.txt");
    std::fs::write(&path, text(found, verdict, show_address)).map_err(|error| refused(&path, error))?;
    let other = data.join("network.json");
    let json = serde_json::to_vec_pretty(&whole(found, verdict, show_address)).unwrap_or_default();
    std::fs::write(&other, json).map_err(|error| refused(&other, error))?;
    Ok(path)
}

/// Everything as JSON.
pub fn whole(found: &Findings, verdict: &Verdict, show_address: bool) -> serde_json::Value {
    let found = if show_address { serde_json::to_value(found).unwrap_or_default() } else { masked(found) };
    serde_json::json!({ "version": 1, "findings": found, "verdict": verdict })
}

/// The window's test.
#[derive(Debug, Default)]
pub struct Testing {
    test: Option<(NetTest, bool)>,
}

impl Testing {
    /// Does what the page wants, and gives it what there is to be shown. `told` draws again.
    pub fn follow(&mut self, options: &TestOptions, state: &mut NetworkState, told: &Arc<dyn Fn() + Send + Sync>) {
        match state.wish.take() {
            Some(Wish::Cancel) => {
                (self.test, state.running) = (None, false);
            }
            Some(wish) => {
                let quick = wish == Wish::Look;
                // The one before is over with this: it is of no more use.
                self.test =
                    options.start(state.base.unwrap_or_default(), quick, told.clone()).ok().map(|test| (test, quick));
                state.running = !quick && self.test.is_some();
            }
            None => {}
        }
        let mut is_over = false;
        while let Some(told) = self.test.as_ref().and_then(|(test, _)| test.poll()) {
            let is_quick = self.test.as_ref().is_some_and(|(_, quick)| *quick);
            match told {
                Told::Done(_, found) if is_quick => {
                    state.local = found.local;
                    state.public = found.public.or(state.public);
                }
                Told::Done(step, found) => state.done(step, *found),
                Told::Over(found, verdict) => {
                    is_over = true;
                    if !is_quick {
                        let path = keep(&options.data, &found, &verdict, false);
                        state.written =
                            Some(path.map_or_else(|error| error.to_string(), |path| path.display().to_string()));
                        (state.found, state.verdict, state.running) = (*found, Some(verdict), false);
                    }
                }
            }
        }
        if is_over {
            self.test = None;
        }
    }
}
