//! The storage worker: one thread that owns the database, takes operations from a bounded pipe, does many of them in one
//! transaction, and answers after it is on disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use crate::base::error::{Error, Kind, Result};
use crate::base::pipe::{PipeReceiver, PipeSender, Refusal as Refused, Wake, pipe};
use crate::base::time::{self, Duration};
use crate::proto::service::refusal::{Code, Refusal};
use crate::store::op::{Answer, Done, Finished, Op, Ticket};
use crate::store::sqlite::{Answered, Sqlite};

/// A thing to do for the worker.
#[derive(Debug)]
enum Job {
    Do(Ticket, Op),
    /// Copies the whole database to a file while it is used.
    Backup(std::path::PathBuf, PipeSender<Result<()>>),
}

/// How long transactions took until they were on disk.
#[derive(Debug, Default)]
pub struct Commits {
    count: AtomicU64,
    micros: AtomicU64,
    longest_micros: AtomicU64,
}

impl Commits {
    fn note(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.count.fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(micros, Ordering::Relaxed);
        self.longest_micros.fetch_max(micros, Ordering::Relaxed);
    }

    /// How many there were, the time of all of them together, and of the longest one.
    pub fn told(&self) -> (u64, Duration, Duration) {
        let micros = |of: &AtomicU64| Duration::from_micros(of.load(Ordering::Relaxed));
        (self.count.load(Ordering::Relaxed), micros(&self.micros), micros(&self.longest_micros))
    }
}

/// The end of the store that the service holds. Dropping it ends the worker after all that was submitted.
#[derive(Debug)]
pub struct Store {
    jobs: Option<PipeSender<Job>>,
    done: PipeReceiver<(Ticket, Answered)>,
    commits: Arc<Commits>,
    thread: Option<JoinHandle<()>>,
}

/// How the worker works.
#[derive(Clone, Copy, Debug, Default)]
pub struct WorkerSettings {
    /// Waits so long before each commit: what a slow disk would do, for measuring.
    pub commit_delay: Duration,
}

impl Store {
    /// Starts the worker on `database`.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(database: Sqlite, settings: WorkerSettings, wake: Wake) -> Result<Self> {
        let (jobs, to_do) = pipe(JOBS);
        let (done, answers) = pipe(JOBS);
        let commits = Arc::new(Commits::default());
        let thread = std::thread::Builder::new()
            .name("storage".into())
            .spawn({
                let commits = commits.clone();
                move || work(database, settings, &commits, (&to_do, &done), &wake)
            })
            .map_err(|error| Error::new(Kind::Retry, format!("no thread for the storage: {error}")))?;
        Ok(Self { jobs: Some(jobs), done: answers, commits, thread: Some(thread) })
    }

    /// Hands an operation over. A refusal where the worker has more to do than it can: nothing was done.
    pub fn submit(&self, ticket: Ticket, op: Op) -> Result<(), Refusal> {
        let gone = || Refusal::new(Code::Busy, "the service is being stopped");
        let jobs = self.jobs.as_ref().ok_or_else(gone)?;
        match jobs.try_send(Job::Do(ticket, op)) {
            Ok(()) => Ok(()),
            Err(Refused::Full(_)) => {
                Err(Refusal::retry_after(Code::Busy, "the service has more to store than it can: try again", 500))
            }
            Err(Refused::Gone(_)) => Err(gone()),
        }
    }

    /// Copies the database, as it is at one moment, to `to`, while it is used. Waits until it is done.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn backup(&self, to: &std::path::Path) -> Result<()> {
        let gone = || Error::new(Kind::Gone, "the storage has ended");
        let (told, outcome) = pipe(1);
        let jobs = self.jobs.as_ref().ok_or_else(gone)?;
        jobs.send(Job::Backup(to.to_owned(), told)).map_err(|_| gone())?;
        outcome.recv().ok_or_else(gone)?
    }

    /// Takes what has been done since.
    pub fn collect(&self, into: &mut Finished) {
        while let Some((ticket, answered)) = self.done.try_recv() {
            file(ticket, answered, into);
        }
    }

    /// How long the disk takes.
    pub fn commits(&self) -> &Commits {
        &self.commits
    }

    /// Operations that wait.
    pub fn waiting(&self) -> usize {
        self.jobs.as_ref().map_or(0, PipeSender::len)
    }

    /// How many may wait.
    pub const fn room(&self) -> usize {
        JOBS
    }

    /// Operations that were refused because too many waited.
    pub fn refused(&self) -> u64 {
        self.jobs.as_ref().map_or(0, PipeSender::refused)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.jobs = None;
        // Its answers are not wanted any more, but what was submitted is still done.
        while self.thread.as_ref().is_some_and(|thread| !thread.is_finished()) {
            let _ = self.done.recv_timeout(Duration::from_millis(20));
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn work(
    mut database: Sqlite,
    settings: WorkerSettings,
    commits: &Commits,
    (jobs, done): (&PipeReceiver<Job>, &PipeSender<(Ticket, Answered)>),
    wake: &Wake,
) {
    let mut batch = Vec::new();
    while let Some(job) = jobs.recv() {
        let mut next = Some(job);
        let mut backup = None;
        // What came while the last commit waited for the disk shares this one.
        while let Some(job) = next {
            match job {
                Job::Do(ticket, op) => batch.push((ticket, op)),
                Job::Backup(to, told) => {
                    backup = Some((to, told));
                    break;
                }
            }
            next = if batch.len() < BATCH { jobs.try_recv() } else { None };
        }
        if !batch.is_empty() {
            let begun = time::now();
            let answers = database.run(&batch, settings.commit_delay);
            commits.note(time::now().saturating_duration_since(begun));
            for ((ticket, _), answered) in batch.drain(..).zip(answers) {
                // The service takes answers in every tick and never waits for this thread: there is room soon.
                if done.send((ticket, answered)).is_err() {
                    return;
                }
            }
            wake.wake();
        }
        if let Some((to, told)) = backup {
            let _ = told.try_send(database.backup(&to));
        }
    }
}

fn file(ticket: Ticket, answered: Answered, into: &mut Finished) {
    fn put<T>(list: &mut Vec<Done<T>>, ticket: Ticket, answer: Result<T, Refusal>) {
        list.push(Done { ticket, answer });
    }
    match answered {
        Answered::Well(Answer::Accounts(answer)) => put(&mut into.accounts, ticket, Ok(answer)),
        Answered::Well(Answer::Directory(answer)) => put(&mut into.directory, ticket, Ok(answer)),
        Answered::Well(Answer::Pals(answer)) => put(&mut into.pals, ticket, Ok(answer)),
        Answered::Well(Answer::Chat(answer)) => put(&mut into.chat, ticket, Ok(answer)),
        Answered::Well(Answer::Messages(answer)) => put(&mut into.messages, ticket, Ok(answer)),
        Answered::Refused(whose, refusal) => match whose {
            super::sqlite::Whose::Accounts => put(&mut into.accounts, ticket, Err(refusal)),
            super::sqlite::Whose::Directory => put(&mut into.directory, ticket, Err(refusal)),
            super::sqlite::Whose::Pals => put(&mut into.pals, ticket, Err(refusal)),
            super::sqlite::Whose::Chat => put(&mut into.chat, ticket, Err(refusal)),
            super::sqlite::Whose::Messages => put(&mut into.messages, ticket, Err(refusal)),
        },
    }
}

/// Operations that may wait: at 5 ms a commit and a few hundred a commit, some tenths of a second.
const JOBS: usize = 4096;

/// Operations of one transaction.
const BATCH: usize = 512;
