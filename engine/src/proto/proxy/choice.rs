//! Which proxy a connection takes, if any: what was said, else what the environment says.

use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::ProxyUrl;
use crate::base::error::{Error, Result};

/// What a person chose.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ProxySetting {
    /// As the environment says.
    #[default]
    Environment,
    /// None, whatever the environment says.
    Direct,
    This(ProxyUrl),
}

/// The proxy for everything that dials, and what is dialled without it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    proxy: Option<ProxyUrl>,
    except: Vec<Except>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Except {
    All,
    /// The name and all below it.
    Domain(String),
    Net(IpNet),
}

impl Proxies {
    /// None: everything is dialled directly.
    pub const NONE: Self = Self { proxy: None, except: Vec::new() };

    /// This one, whatever the environment says.
    pub const fn only(proxy: ProxyUrl) -> Self {
        Self { proxy: Some(proxy), except: Vec::new() }
    }

    /// Of the environment: `https_proxy`, else `all_proxy` (either in capitals as well), but for what `no_proxy` lists.
    ///
    /// # Errors
    /// [`Refused`](crate::base::error::Kind::Refused): what stands there is no proxy; a line for the person.
    pub fn of_environment(variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let either = |name: &str| {
            let found = variable(name).or_else(|| variable(&name.to_ascii_uppercase()));
            found.filter(|text| !text.trim().is_empty())
        };
        let Some(text) = either("https_proxy").or_else(|| either("all_proxy")) else { return Ok(Self::NONE) };
        let except = either("no_proxy").unwrap_or_default();
        let except = except.split(',').filter_map(|entry| Except::parse(entry.trim())).collect();
        Ok(Self { proxy: Some(text.parse()?), except })
    }

    /// The proxy itself.
    pub const fn proxy(&self) -> Option<&ProxyUrl> {
        self.proxy.as_ref()
    }

    /// The proxy on the way to `host`, a name or an address. This machine itself is never reached through one.
    pub fn towards(&self, host: &str) -> Option<&ProxyUrl> {
        let host = host.trim_end_matches('.');
        let ip = host.parse::<IpAddr>().ok();
        let is_own = host.eq_ignore_ascii_case("localhost") || ip.is_some_and(|ip| ip.to_canonical().is_loopback());
        let is_excepted = is_own || self.except.iter().any(|except| except.holds(host, ip));
        self.proxy.as_ref().filter(|_| !is_excepted)
    }
}

impl ProxySetting {
    /// What it comes to. `variable`: of the environment.
    ///
    /// # Errors
    /// See [`Proxies::of_environment`].
    pub fn proxies(&self, variable: impl Fn(&str) -> Option<String>) -> Result<Proxies> {
        match self {
            Self::Environment => Proxies::of_environment(variable),
            Self::Direct => Ok(Proxies::NONE),
            Self::This(proxy) => Ok(Proxies::only(proxy.clone())),
        }
    }
}

impl FromStr for ProxySetting {
    type Err = Error;

    /// `none`, `environment`, or a proxy ([`ProxyUrl`]).
    fn from_str(text: &str) -> Result<Self> {
        match text.trim() {
            "none" => Ok(Self::Direct),
            "" | "environment" => Ok(Self::Environment),
            url => url.parse().map(Self::This),
        }
    }
}

impl TryFrom<String> for ProxySetting {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

/// With the password: for the file of settings.
impl From<ProxySetting> for String {
    fn from(setting: ProxySetting) -> Self {
        match setting {
            ProxySetting::Environment => "environment".into(),
            ProxySetting::Direct => "none".into(),
            ProxySetting::This(proxy) => proxy.expose(),
        }
    }
}

impl Except {
    fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::All);
        }
        if let Some(net) = text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from)) {
            return Some(Self::Net(net));
        }
        let name = text.trim_start_matches(['*', '.']).to_ascii_lowercase();
        (!name.is_empty()).then_some(Self::Domain(name))
    }

    fn holds(&self, host: &str, ip: Option<IpAddr>) -> bool {
        match self {
            Self::All => true,
            Self::Net(net) => ip.is_some_and(|ip| net.contains(&ip.to_canonical())),
            Self::Domain(name) => {
                let host = host.to_ascii_lowercase();
                host.strip_suffix(name.as_str()).is_some_and(|front| front.is_empty() || front.ends_with('.'))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(entries: &[(&str, &str)]) -> Proxies {
        let find = |name: &str| entries.iter().find(|(known, _)| *known == name).map(|(_, text)| (*text).to_owned());
        Proxies::of_environment(find).expect("a proxy")
    }

    #[test]
    fn the_environment_is_read_as_other_programs_read_it() {
        let host = |proxies: Proxies| proxies.proxy().map(|proxy| proxy.host.clone());
        assert_eq!(host(of(&[])), None);
        assert_eq!(host(of(&[("https_proxy", "http://a:1"), ("all_proxy", "socks5://b")])).as_deref(), Some("a"));
        assert_eq!(host(of(&[("https_proxy", " "), ("ALL_PROXY", "socks5://b")])).as_deref(), Some("b"));
        assert!(Proxies::of_environment(|_| Some("gopher://x".into())).is_err());
    }

    #[test]
    fn a_setting_goes_before_the_environment() {
        let variable = |_: &str| Some("http://a:1".to_owned());
        let host = |text: &str| {
            let setting: ProxySetting = text.parse().expect("a setting");
            assert_eq!(String::from(setting.clone()).parse::<ProxySetting>().expect("read again"), setting);
            setting.proxies(variable).expect("a proxy").proxy().map(|proxy| proxy.host.clone())
        };
        assert_eq!(host("environment").as_deref(), Some("a"));
        assert_eq!(host("none"), None);
        assert_eq!(host("socks5://bob:pw@b").as_deref(), Some("b"));
    }

    #[test]
    fn what_is_excepted_is_dialled_directly() {
        let proxies = of(&[("https_proxy", "p"), ("no_proxy", "example.org, .lab.test,10.0.0.0/8,192.0.2.7")]);
        for direct in
            ["example.org", "www.EXAMPLE.org", "a.lab.test", "10.9.9.9", "192.0.2.7", "localhost", "127.0.0.1", "::1"]
        {
            assert_eq!(proxies.towards(direct), None, "{direct}");
        }
        for through in ["example.com", "badexample.org", "11.0.0.1", "192.0.2.8", "2001:db8::1"] {
            assert!(proxies.towards(through).is_some(), "{through}");
        }
        assert_eq!(of(&[("https_proxy", "p"), ("no_proxy", "*")]).towards("example.com"), None);
        assert_eq!(Proxies::NONE.towards("example.com"), None);
    }
}
