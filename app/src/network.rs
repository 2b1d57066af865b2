//! What the network options and settings of a data folder come to.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use engine::proto::lan::Visibility;
use engine::proto::proxy::choice::Proxies;
use engine::proto::target::DEFAULT_BASE;
use engine::store::settings::Choices;

use crate::args::Options;

/// The proxies that were said on the command line, else chosen in the window, else named by the environment.
pub fn proxies(options: &Options, data: &Path) -> Result<Arc<Proxies>> {
    let setting = options.proxy.clone().unwrap_or_else(|| Choices::load(data).0.proxy);
    Ok(Arc::new(setting.proxies(|name| std::env::var(name).ok())?))
}

/// Whether people on the same network see us.
pub fn visibility(options: &Options, data: &Path) -> Visibility {
    let chosen = || if Choices::load(data).0.hidden { Visibility::Hidden } else { Visibility::Shown };
    options.lan.unwrap_or_else(chosen)
}

/// Whether nobody sees us.
pub fn appears_offline(options: &Options, data: &Path) -> bool {
    options.appear_offline || Choices::load(data).0.appear_offline
}

/// The first of our ports.
pub fn base(options: &Options, data: &Path) -> u16 {
    options.base_port.or_else(|| Choices::load(data).0.base_port).unwrap_or(DEFAULT_BASE)
}
