//! One party: the program as a process of its own, with its own data, ports and temporary files.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use engine::base::time::now;
use engine::media::report::Report;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::Outcome;
use crate::ports::free_base;

/// Names another program than the one that was built together with the tests.
const PROGRAM: &str = "VISAVIS_BIN";

/// How a party is started.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    pub name: String,
    /// What follows the verb, besides name, data, base port and report.
    pub args: Vec<String>,
    pub env: Vec<(String, String)>,
    /// Where its identity lives; a folder of its own where `None`.
    pub data: Option<PathBuf>,
    /// Its base port; a free one where `None`.
    pub base: Option<u16>,
    /// What stands before the program: the machine it runs on, where that is not this one.
    pub within: Vec<String>,
}

/// A running party. Dropping it kills it.
pub struct Party {
    name: String,
    base: u16,
    child: Child,
    folder: TempDir,
    log: Arc<Log>,
    readers: Vec<JoinHandle<()>>,
}

/// How a party ended.
#[derive(Debug)]
pub struct Finished {
    /// `None` where a signal ended it.
    pub code: Option<i32>,
    pub report: Option<Report>,
    /// All that it said on the standard error.
    pub log: String,
}

impl Setup {
    /// A party called `name` with `args` in one line, at white space.
    pub fn new(name: &str, args: &str) -> Self {
        Self { name: name.into(), args: args.split_whitespace().map(Into::into).collect(), ..Default::default() }
    }

    pub fn with_data(mut self, data: &Path) -> Self {
        self.data = Some(data.to_owned());
        self
    }

    pub fn with_base(mut self, base: u16) -> Self {
        self.base = Some(base);
        self
    }

    pub fn within(mut self, within: Vec<String>) -> Self {
        self.within = within;
        self
    }

    pub fn with_env(mut self, env: &[(String, String)]) -> Self {
        self.env.extend_from_slice(env);
        self
    }
}

impl Party {
    /// Starts one who waits for calls, and waits until it does.
    ///
    /// # Errors
    /// It did not begin to listen within 20 s; the text has its log.
    pub fn listen(setup: &Setup) -> Outcome<Self> {
        let mut party = Self::start(setup, &["listen", "--auto-answer"])?;
        party.wait_for("listening on port", Duration::from_secs(20))?;
        Ok(party)
    }

    /// Starts one who calls `target`.
    pub fn call(setup: &Setup, target: &str) -> Outcome<Self> {
        Self::start(setup, &["call", target])
    }

    /// Starts one who calls `other`.
    pub fn call_to(setup: &Setup, other: &Self) -> Outcome<Self> {
        Self::call(setup, &format!("127.0.0.1:{}", other.base))
    }

    fn start(setup: &Setup, verb: &[&str]) -> Outcome<Self> {
        let program = program()?;
        let folder = tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}"))?;
        let temporary = folder.path().join("tmp");
        fs::create_dir(&temporary).map_err(|error| format!("no temporary folder: {error}"))?;
        let base = setup.base.unwrap_or_else(free_base);
        let mut child = command(&setup.within, &program)
            .args(verb)
            .args(["--headless", "--lan", "off", "--name", &setup.name, "--base-port", &base.to_string()])
            .arg("--data")
            .arg(setup.data.clone().unwrap_or_else(|| folder.path().join("data")))
            .arg("--report")
            .arg(folder.path().join("report.json"))
            .args(&setup.args)
            .envs(setup.env.iter().map(|(key, value)| (key, value)))
            .env("TMPDIR", &temporary)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}", program.display()))?;
        let log = Arc::new(Log::default());
        let (out, err) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
        let readers = vec![read_lines(err, log.clone()), drain(out)];
        Ok(Self { name: setup.name.clone(), base, child, folder, log, readers })
    }

    /// Waits for a line of its standard error that contains `text`; returns the line. Lines said before count.
    ///
    /// # Errors
    /// It ended or `patience` ran out before: the text has its log.
    pub fn wait_for(&mut self, text: &str, patience: Duration) -> Outcome<String> {
        self.wait_for_nth(text, 1, patience)
    }

    /// As [`Party::wait_for`], for the `nth` such line.
    pub fn wait_for_nth(&mut self, text: &str, nth: usize, patience: Duration) -> Outcome<String> {
        let until = now() + patience;
        let mut said = self.log.lock();
        loop {
            if let Some(line) = said.lines.iter().filter(|line| line.contains(text)).nth(nth - 1) {
                return Ok(line.clone());
            }
            let left = until.saturating_duration_since(now());
            if said.is_over || left.is_zero() {
                let what = if said.is_over { "ended" } else { "is late" };
                return Err(format!("{} {what}, never said {text:?} ({nth})\n{}", self.name, said.lines.join("\n")));
            }
            said = self.log.changed.wait_timeout(said, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// `patience` ran out: the text has its log.
    pub fn finish(mut self, patience: Duration) -> Outcome<Finished> {
        let until = now() + patience;
        let mut said = self.log.lock();
        while !said.is_over {
            let left = until.saturating_duration_since(now());
            if left.is_zero() {
                return Err(format!("{} does not end\n{}", self.name, said.lines.join("\n")));
            }
            said = self.log.changed.wait_timeout(said, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(said);
        // The standard error is closed: it is ending.
        let status = self.child.wait().map_err(|error| format!("{}: {error}", self.name))?;
        let report = match fs::read(self.folder.path().join("report.json")) {
            Ok(json) => {
                Some(serde_json::from_slice(&json).map_err(|error| format!("{}'s report: {error}", self.name))?)
            }
            Err(_) => None,
        };
        Ok(Finished { code: status.code(), report, log: self.log() })
    }

    /// Asks it to end, as a system that shuts down does.
    pub fn terminate(&self) -> Outcome<()> {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).map_err(|error| format!("{}: {error}", self.name))
    }

    /// Stops the process, or lets it go on: as a machine that sleeps, whose clock goes on.
    ///
    /// # Errors
    /// It is gone.
    pub fn sleep(&self, sleeps: bool) -> Outcome<()> {
        let pid = Pid::from_child(&self.child);
        let signal = if sleeps { Signal::STOP } else { Signal::CONT };
        kill_process(pid, signal).map_err(|error| format!("{}: {error}", self.name))
    }

    /// Ends it as nobody can prepare for.
    pub fn kill(&mut self) -> Outcome<()> {
        self.child.kill().map_err(|error| format!("{}: {error}", self.name))
    }

    pub fn log(&self) -> String {
        self.log.lock().lines.join("\n")
    }

    pub const fn base(&self) -> u16 {
        self.base
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How many files it has left in its temporary folder.
    pub fn temporary_files(&self) -> usize {
        fs::read_dir(self.folder.path().join("tmp")).map_or(0, Iterator::count)
    }
}

impl Drop for Party {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        if std::thread::panicking() {
            println!("---- {} said:\n{}", self.name, self.log());
        }
    }
}

impl Finished {
    /// The report of a call that went well.
    ///
    /// # Errors
    /// It ended otherwise: the text has its log.
    pub fn ended(self) -> Outcome<Report> {
        match (self.code, self.report) {
            (Some(0), Some(report)) if report.outcome == "ended" => Ok(report),
            (code, report) => {
                let said = report.map(|report| format!("{}: {}", report.outcome, report.reason));
                Err(format!("exit status {code:?}, {said:?}\n{}", self.log))
            }
        }
    }
}

/// Both parties of a call of `seconds`, `args` for both: the reports of who called and who was called.
///
/// # Errors
/// One of the two did not end well.
pub fn whole_call(seconds: f64, args: &str) -> Outcome<[Report; 2]> {
    let patience = Duration::from_secs_f64(seconds + 40.0);
    let callee = Party::listen(&Setup::new("Ben", &format!("--once {args}")))?;
    let caller = Party::call_to(&Setup::new("Ada", &format!("--for {seconds} {args}")), &callee)?;
    let caller = caller.finish(patience)?.ended()?;
    let callee = callee.finish(Duration::from_secs(10))?.ended()?;
    Ok([caller, callee])
}

/// What a process has said so far.
#[derive(Default)]
struct Log {
    said: Mutex<Said>,
    changed: Condvar,
}

#[derive(Default)]
struct Said {
    lines: Vec<String>,
    is_over: bool,
}

impl Log {
    /// A reader that panicked has left whole lines behind.
    fn lock(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read_lines(from: impl Read + Send + 'static, log: Arc<Log>) -> JoinHandle<()> {
    let read = move || {
        for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
            log.lock().lines.push(String::from_utf8_lossy(&line).into_owned());
            log.changed.notify_all();
        }
        log.lock().is_over = true;
        log.changed.notify_all();
    };
    std::thread::Builder::new().name("party's log".into()).spawn(read).expect("a thread")
}

/// A pipe that nobody reads holds its writer up.
fn drain(mut from: impl Read + Send + 'static) -> JoinHandle<()> {
    let read = move || {
        let _ = std::io::copy(&mut from, &mut std::io::sink());
    };
    std::thread::Builder::new().name("party's output".into()).spawn(read).expect("a thread")
}

/// `program`, started by what stands before it.
pub fn command(within: &[String], program: &Path) -> Command {
    match within.split_first() {
        None => Command::new(program),
        Some((first, rest)) => {
            let mut command = Command::new(first);
            command.args(rest).arg(program);
            command
        }
    }
}

/// The program that was built together with this test.
pub fn program() -> Outcome<PathBuf> {
    if let Some(named) = env::var_os(PROGRAM) {
        return Ok(named.into());
    }
    let own = env::current_exe().map_err(|error| format!("where am I: {error}"))?;
    let file = format!("visavis{}", env::consts::EXE_SUFFIX);
    // Tests lie in target/PROFILE/deps, programs in target/PROFILE.
    let found = own.ancestors().skip(1).take(2).map(|folder| folder.join(&file)).find(|path| path.is_file());
    found.ok_or_else(|| "the program is not built: cargo build --workspace".to_owned())
}
