//! Networks that lack one thing each, and what the network test says of them: the program itself, in namespaces.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use engine::base::time::now;
use serde_json::Value;
use tempfile::TempDir;

use crate::Outcome;
use crate::netns::Networks;
use crate::party::program;

/// What is wrong with a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ill {
    Nothing,
    UdpBlocked,
    Only443,
    ProxyNeeded,
    ProxyLogin,
    Symmetric,
    NoIpv6,
    Mtu1280,
    DeepQueue,
    Loss5,
    RelayDown,
    DoubleNat,
    PortRule,
}

/// All that are labelled, the healthy one first.
pub const ALL: [Ill; 13] = [
    Ill::Nothing,
    Ill::UdpBlocked,
    Ill::Only443,
    Ill::ProxyNeeded,
    Ill::ProxyLogin,
    Ill::Symmetric,
    Ill::NoIpv6,
    Ill::Mtu1280,
    Ill::DeepQueue,
    Ill::Loss5,
    Ill::RelayDown,
    Ill::DoubleNat,
    Ill::PortRule,
];

/// What the test said, and how long it took.
#[derive(Clone, Debug)]
pub struct Judged {
    /// In the order of the verdict.
    pub causes: Vec<String>,
    pub healthy: bool,
    pub seconds: f64,
    pub whole: Value,
}

/// What these networks need beside `ip` and `nft`.
pub const PROGRAMS: [&str; 4] = ["tinyproxy", "turnserver", "tc", "ss"];

impl Ill {
    /// The name of its cause in the verdict; `None`: the network is healthy.
    pub const fn cause(self) -> Option<&'static str> {
        Some(match self {
            Self::Nothing => return None,
            Self::UdpBlocked => "udp_blocked",
            Self::Only443 => "only443",
            Self::ProxyNeeded => "proxy_needed",
            Self::ProxyLogin => "proxy_login",
            Self::Symmetric => "symmetric",
            Self::NoIpv6 => "no_ipv6",
            Self::Mtu1280 => "mtu",
            Self::DeepQueue => "deep_queue",
            Self::Loss5 => "loss",
            Self::RelayDown => "relay_down",
            Self::DoubleNat => "double_nat",
            Self::PortRule => "port_rule",
        })
    }

    /// Runs `visavis nettest` in such a network.
    ///
    /// # Errors
    /// The network cannot be made, the service does not start, or the program fails.
    pub fn judge(self) -> Outcome<Judged> {
        let site = self.open()?;
        let mut command = site.visavis()?;
        command.args(["nettest", "--json", "--show-address", "--service", &site.link]);
        if self == Self::ProxyLogin {
            command.args(["--proxy", "http://bob:wrong@192.168.1.1:3128"]);
        }
        let begun = now();
        let output = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
        let seconds = (now() - begun).as_secs_f64();
        let said = String::from_utf8_lossy(&output.stdout);
        let whole: Value = serde_json::from_str(&said)
            .map_err(|error| format!("{error}: {said}{}", String::from_utf8_lossy(&output.stderr)))?;
        let advice = whole["verdict"]["advice"].as_array().cloned().unwrap_or_default();
        let causes = advice.iter().filter_map(|one| Some(one["cause"].as_str()?.to_owned())).collect();
        let healthy = whole["verdict"]["healthy"].as_bool().unwrap_or(false);
        let kept =
            std::fs::read_to_string(site.folder.path().join("me/network.txt")).map_err(|error| error.to_string())?;
        if kept.is_empty() {
            return Err("network.txt is empty".into());
        }
        Ok(Judged { causes, healthy, seconds, whole })
    }

    /// Such a network, with the service outside.
    ///
    /// # Errors
    /// The network cannot be made, or the service does not start.
    pub fn open(self) -> Outcome<Site> {
        let folder = tempfile::tempdir().map_err(|error| format!("no folder: {error}"))?;
        let mut networks = self.network(folder.path())?;
        let (link, service) = self.serve(&mut networks, folder.path())?;
        Ok(Site { networks, link, service, folder })
    }

    /// `cl` behind `gw`, perhaps behind `outer`, and `srv`; healthy but for one thing.
    fn network(self, folder: &Path) -> Outcome<Networks> {
        let mut networks = Networks::new(&["srv", "outer", "gw", "cl"])?;
        networks.link(("gw", "lan", "192.168.1.1/24"), ("cl", "eth0", "192.168.1.2/24"))?;
        networks.run("cl", "ip route add default via 192.168.1.1")?;
        let mut routers = vec!["gw"];
        if self == Self::DoubleNat {
            networks.link(("outer", "wan", "5.5.5.1/24"), ("srv", "eth0", "5.5.5.10/24"))?;
            networks.link(("gw", "wan", "10.0.0.2/24"), ("outer", "lan", "10.0.0.1/24"))?;
            networks.run("gw", "ip route add default via 10.0.0.1")?;
            routers.push("outer");
        } else {
            networks.link(("gw", "wan", "5.5.5.1/24"), ("srv", "eth0", "5.5.5.10/24"))?;
        }
        networks.run("srv", "ip addr add 5.5.5.11/24 dev eth0")?;
        if self != Self::NoIpv6 {
            networks.run("gw", "ip -6 addr add 2a0a:1::1/64 dev lan nodad")?;
            networks.run("cl", "ip -6 addr add 2a0a:1::2/64 dev eth0 nodad")?;
            networks.run("cl", "ip -6 route add default via 2a0a:1::1")?;
        }
        for name in &routers {
            networks.run(name, "sysctl -qw net.ipv4.ip_forward=1")?;
        }
        networks.nft("gw", &self.rules())?;
        if self == Self::DoubleNat {
            networks.nft(
                "outer",
                "table ip n { chain post { type nat hook postrouting priority srcnat; oifname \"wan\" masquerade; }\n}",
            )?;
        }
        if self == Self::DeepQueue {
            // 2 Mbit/s up, and 1.2 s of it in the router's queue.
            networks.run("gw", "tc qdisc add dev wan root tbf rate 2mbit burst 10kb latency 1200ms")?;
        }
        if matches!(self, Self::ProxyNeeded | Self::ProxyLogin) {
            let file = folder.join("tiny.conf");
            let text =
                "Port 3128\nListen 192.168.1.1\nTimeout 60\nMaxClients 32\nBasicAuth bob right\nConnectPort 443\n";
            std::fs::write(&file, text).map_err(|error| error.to_string())?;
            networks.start("gw", "tinyproxy", &["-d", "-c", file.to_str().ok_or("a path that is no text")?])?;
            networks.listens("gw", "tcp", 3128)?;
        }
        Ok(networks)
    }

    fn rules(self) -> String {
        let udp = match self {
            Self::Symmetric => "oifname \"wan\" ip protocol udp masquerade to :20000-65535 fully-random;",
            _ => "",
        };
        let filter = match self {
            Self::UdpBlocked => "meta l4proto udp drop;",
            Self::Only443 => {
                "ct state established,related accept; iifname \"lan\" tcp dport 443 accept; iifname { \"lan\", \"wan\" } drop;"
            }
            Self::ProxyNeeded | Self::ProxyLogin => "drop;",
            // A tunnel that says nothing of what it drops, with the usual help for TCP.
            Self::Mtu1280 => "tcp flags syn tcp option maxseg size set 1240; oifname \"wan\" meta length > 1280 drop;",
            Self::Loss5 => "iifname \"lan\" meta l4proto { tcp, udp } numgen random mod 20 < 1 drop;",
            _ => "",
        };
        let inwards = match self {
            Self::PortRule => "",
            _ => {
                "iifname \"wan\" udp dport 2000 dnat to 192.168.1.2; iifname \"wan\" tcp dport 2000-2002 dnat to 192.168.1.2;"
            }
        };
        format!(
            "table ip n {{\n chain pre {{ type nat hook prerouting priority dstnat; {inwards}\n }}\n \
             chain post {{ type nat hook postrouting priority srcnat; {udp} oifname \"wan\" masquerade;\n }}\n \
             chain f {{ type filter hook forward priority 0; {filter}\n }}\n \
             chain in {{ type filter hook input priority 0; iifname \"wan\" udp dport 1024-65535 ct state new drop; \
             iifname \"wan\" ct state new tcp flags syn drop;\n }}\n}}"
        )
    }

    /// The service on `srv`, and its link.
    fn serve(self, networks: &mut Networks, folder: &Path) -> Outcome<(String, Child)> {
        let data = folder.join("service");
        let visavis = program()?;
        let mut command = networks.command("srv", visavis.to_str().ok_or("a path that is no text")?);
        command.args(["serve", "--json", "--host-name", "5.5.5.10", "--data"]).arg(data);
        if self != Self::RelayDown {
            command.args(["--turn-address", "5.5.5.10", "--turn-second", "5.5.5.11"]);
        } else {
            // STUN is answered by a program of its own, by two addresses (RFC 5780); at the relay's place there is nobody.
            let secret = folder.join("secret");
            std::fs::write(&secret, "a secret of sixteen").map_err(|error| error.to_string())?;
            command.args(["--turn", "stun:5.5.5.10:3478", "--turn", "turn:5.5.5.11:3490?transport=udp"]);
            command.args(["--turn", "turn:5.5.5.11:3490?transport=tcp", "--turn-secret"]).arg(secret);
            networks.start(
                "srv",
                "turnserver",
                &[
                    "-n",
                    "--stun-only",
                    "-L",
                    "5.5.5.10",
                    "-L",
                    "5.5.5.11",
                    "-p",
                    "3478",
                    "--no-tls",
                    "--no-dtls",
                    "--no-cli",
                    "--pidfile",
                    "/dev/null",
                    "--log-file",
                    "stdout",
                ],
            )?;
            networks.listens("srv", "udp", 3478)?;
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| e.to_string())?;
        let mut line = String::new();
        let stdout = child.stdout.take().ok_or("no standard output")?;
        BufReader::new(stdout).read_line(&mut line).map_err(|error| error.to_string())?;
        let said: Value = serde_json::from_str(&line).map_err(|error| format!("the service: {error}: {line}"))?;
        let pin = said["pin"].as_str().ok_or("no pin")?.to_owned();
        Ok((format!("https://5.5.5.10/join#pin={pin}"), child))
    }
}

/// A network with the service on its outside.
#[derive(Debug)]
pub struct Site {
    pub networks: Networks,
    /// The service's link, without a port: the doors are tried in their order.
    pub link: String,
    service: Child,
    folder: TempDir,
}

impl Site {
    /// The program on the machine inside, with a data folder of its own and no proxy of the environment.
    ///
    /// # Errors
    /// It is not built.
    pub fn visavis(&self) -> Outcome<Command> {
        let mut command = self.networks.command("cl", program()?.to_str().ok_or("a path that is no text")?);
        for name in ["https_proxy", "all_proxy", "no_proxy"] {
            command.env_remove(name).env_remove(name.to_ascii_uppercase());
        }
        // After the verb and its arguments clap takes it as well as before them.
        command.arg("--data").arg(self.folder.path().join("me")).stdin(Stdio::null());
        Ok(command)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.service.kill();
        let _ = self.service.wait();
    }
}

impl Networks {
    /// Waits until something listens there.
    ///
    /// # Errors
    /// Nothing does, for twenty seconds.
    pub fn listens(&self, name: &str, protocol: &str, port: u16) -> Outcome<()> {
        let (until, flag) = (now() + Duration::from_secs(20), if protocol == "udp" { "-Hlnu" } else { "-Hlnt" });
        while !self.run(name, &format!("ss {flag}"))?.contains(&format!(":{port} ")) {
            if now() >= until {
                return Err(format!("nothing listens on {protocol} {port} of {name}"));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}
