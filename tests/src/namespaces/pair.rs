//! Two people at home, who are pals by the service of a third machine, and what a call between them comes to.

use std::path::Path;
use std::time::Duration;

use engine::media::report::Report;
use tempfile::TempDir;

use super::{HOST, Lab, Nat, Node, Side};
use crate::Outcome;
use crate::party::{Party, Setup};
use crate::service::host::Host;
use crate::service::product::Person;

/// The two, and where they live.
pub struct Pair {
    pub lab: Lab,
    pub ada: Person,
    pub ben: Person,
    pub host: Host,
    kinds: [Nat; 2],
    folder: TempDir,
}

/// Nobody looks and listens here: little is sent.
pub const MEDIA: &str = "--video testcard --mic chirp --speaker none --max-bitrate 400000";

const PATIENCE: Duration = Duration::from_secs(20);

impl Pair {
    /// Builds the machines, starts the service with `more` arguments, and makes the two pals.
    ///
    /// # Errors
    /// Something does not start: its words.
    pub fn new(more: &str) -> Outcome<Self> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let lab = Lab::up()?;
        let data = folder.path().join("service");
        let args = format!("--host-name {HOST} {more}");
        let host = Host::start_within(&lab.within(Node::Server), &data, &args)?;
        let link = host.said()["link"].as_str().ok_or("no link")?.to_owned();
        let person = |name: &str, side| Person::new(name, folder.path(), &link).within(lab.within(Node::Client(side)));
        let (ada, ben) = (person("ada", Side::A), person("ben", Side::B));
        ada.register()?;
        ben.register()?;
        ada.run(&["pals", "add", "ben"])?;
        ben.run(&["pals", "accept", "ada"])?;
        Ok(Self { lab, ada, ben, host, kinds: [Nat::None; 2], folder })
    }

    /// Starts an HTTP proxy (3128) and a SOCKS proxy (1080) on both gateways.
    ///
    /// # Errors
    /// They do not start.
    pub fn start_proxies(&mut self) -> Outcome<()> {
        for (number, side) in [(1, Side::A), (2, Side::B)] {
            let write = |name: &str, text: String| {
                let file = self.folder.path().join(format!("{name}{number}"));
                std::fs::write(&file, text).map_err(|error| error.to_string())?;
                file.to_str().map(str::to_owned).ok_or_else(|| "a path that is no text".to_owned())
            };
            let http = format!(
                "Port 3128\nListen 192.168.{number}.1\nTimeout 600\nMaxClients 64\nAllow 192.168.{number}.0/24\nConnectPort 443\n"
            );
            let socks = format!(
                "internal: lan port = 1080\nexternal: wan\nclientmethod: none\nsocksmethod: none\n\
                 client pass {{ from: 192.168.{number}.0/24 to: 0.0.0.0/0 }}\n\
                 socks pass {{ from: 192.168.{number}.0/24 to: 0.0.0.0/0 command: connect udpassociate }}\n\
                 socks pass {{ from: 0.0.0.0/0 to: 192.168.{number}.0/24 command: udpreply }}\n"
            );
            let (http, socks) = (write("http", http)?, write("socks", socks)?);
            self.lab.start(Node::Gateway(side), "tinyproxy", &["-d", "-c", &http])?;
            self.lab.start(Node::Gateway(side), "danted", &["-f", &socks])?;
        }
        Ok(())
    }

    /// Starts UPnP, NAT-PMP and PCP on the gateway of `side`; [`Self::set`] takes its rules away.
    ///
    /// # Errors
    /// They do not start.
    pub fn start_mapping(&mut self, side: Side) -> Outcome<()> {
        let number = if side == Side::A { 1 } else { 2 };
        for line in [
            "nft add table inet miniupnpd",
            "nft add chain inet miniupnpd prerouting_miniupnpd { type nat hook prerouting priority dstnat ; policy accept ; }",
            "nft add chain inet miniupnpd postrouting_miniupnpd { type nat hook postrouting priority srcnat ; policy accept ; }",
            "nft add chain inet miniupnpd miniupnpd { type filter hook forward priority -5 ; policy accept ; }",
        ] {
            self.lab.exec(Node::Gateway(side), line)?;
        }
        let file = self.folder.path().join(format!("upnp{number}"));
        let text = format!(
            "ext_ifname=wan\next_ip=5.5.5.{number}\nlistening_ip=lan\nhttp_port=5555\nport=5555\nenable_natpmp=yes\n\
             enable_upnp=yes\nsecure_mode=yes\nuuid=00000000-0000-0000-0000-00000000000{number}\nupnp_table_name=miniupnpd\n\
             upnp_nat_table_name=miniupnpd\nupnp_forward_chain=miniupnpd\nupnp_nat_chain=prerouting_miniupnpd\n\
             upnp_nat_postrouting_chain=postrouting_miniupnpd\n\
             allow 1024-65535 192.168.{number}.0/24 1024-65535\ndeny 0-65535 0.0.0.0/0 0-65535\n"
        );
        std::fs::write(&file, text).map_err(|error| error.to_string())?;
        let pid = self.folder.path().join(format!("upnp{number}.pid"));
        let path = |path: &Path| path.to_str().map(str::to_owned).ok_or_else(|| "a path that is no text".to_owned());
        self.lab.start(Node::Gateway(side), "miniupnpd", &["-d", "-f", &path(&file)?, "-P", &path(&pid)?])
    }

    /// The ports that the gateway of `side` leads inward, as its rules say.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn mapped(&self, side: Side) -> Outcome<String> {
        self.lab.read(Node::Gateway(side), "nft list table inet miniupnpd")
    }

    /// From now on they live behind these.
    ///
    /// # Errors
    /// A command failed: its words.
    pub fn set(&mut self, ada: Nat, ben: Nat) -> Outcome<()> {
        self.kinds = [ada, ben];
        self.lab.set(Side::A, ada)?;
        self.lab.set(Side::B, ben)
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn setup(&self, person: &Person, more: &str) -> Setup {
        let (number, kind) = if person.name == "ada" { (1, self.kinds[0]) } else { (2, self.kinds[1]) };
        let proxy = match kind {
            Nat::ProxyOnly => format!("--proxy http://192.168.{number}.1:3128"),
            Nat::SocksOnly => format!("--proxy socks5://192.168.{number}.1:1080"),
            _ => String::new(),
        };
        let setup = Setup::new(&person.name, &format!("{MEDIA} {proxy} {more}"));
        setup.with_data(&person.data).with_base(2000).within(person.within.clone())
    }

    /// Ben waits for a call, with `more` arguments, until the service knows it.
    ///
    /// # Errors
    /// He does not come online: the text has his log.
    pub fn listen(&self, more: &str) -> Outcome<Party> {
        let mut ben = Party::listen(&self.setup(&self.ben, more))?;
        ben.wait_for("online as", PATIENCE)?;
        Ok(ben)
    }

    /// Ada calls Ben for `seconds`: the reports of both, and what both have said.
    ///
    /// # Errors
    /// The call did not come about, or did not end well.
    pub fn call(&self, seconds: u32, more: &str) -> Outcome<[Report; 2]> {
        let ben = self.listen(&format!("--once {more}"))?;
        let ada = Party::call(&self.setup(&self.ada, &format!("--for {seconds} {more}")), "@ben")?;
        let ada = ada.finish(Duration::from_secs(u64::from(seconds) + 60))?;
        match ada.ended() {
            Ok(report) => Ok([report, ben.finish(PATIENCE)?.ended()?]),
            Err(text) => Err(format!("{text}\nben:\n{}", ben.log())),
        }
    }
}
