//! Two people at home, who are pals by the service of a third machine, and what a call between them comes to.

use std::path::Path;
use std::time::Duration;

use engine::media::report::Report;
use tempfile::TempDir;

use super::{Lab, Nat, Node, SERVER, Side};
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
        let args = format!("--host-name {SERVER} {more}");
        let host = Host::start_within(&lab.within(Node::Server), &data, &args)?;
        let link = host.said()["link"].as_str().ok_or("no link")?.to_owned();
        let person = |name: &str, side| Person::new(name, folder.path(), &link).within(lab.within(Node::Client(side)));
        let (ada, ben) = (person("ada", Side::A), person("ben", Side::B));
        ada.register()?;
        ben.register()?;
        ada.run(&["pals", "add", "ben"])?;
        ben.run(&["pals", "accept", "ada"])?;
        Ok(Self { lab, ada, ben, host, folder })
    }

    /// From now on they live behind these.
    ///
    /// # Errors
    /// A command failed: its words.
    pub fn set(&self, ada: Nat, ben: Nat) -> Outcome<()> {
        self.lab.set(Side::A, ada)?;
        self.lab.set(Side::B, ben)
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn setup(&self, person: &Person, more: &str) -> Setup {
        let setup = Setup::new(&person.name, &format!("{MEDIA} {more}"));
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
