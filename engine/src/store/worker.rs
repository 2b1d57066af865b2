//! The storage workers: each owns a way to the database, takes operations from a bounded pipe, does many of them in one
//! transaction, and answers after it is on disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use crate::base::error::{Error, Kind, Result};
use crate::base::pipe::{PipeReceiver, PipeSender, Refusal as Refused, Wake, pipe};
use crate::base::time::{self, Duration};
use crate::proto::service::refusal::{Code, Refusal};
use crate::store::op::{Answer, Done, Finished, Op, Ticket, Whose};
use crate::store::postgres::{Health, Postgres};
use crate::store::sql::Answered;
use crate::store::sqlite::Sqlite;

/// The database that the workers work on.
#[derive(Debug)]
pub enum Backend {
    /// One worker, and one that writes the log back.
    Sqlite(Box<Sqlite>),
    /// So many workers, each with a connection of its own; the database's health is seen from outside.
    Postgres(Box<Postgres>, usize),
}

/// What a worker works on.
#[derive(Debug)]
enum Database {
    Sqlite(Box<Sqlite>),
    Postgres(Box<Postgres>),
}

impl Database {
    fn run(&mut self, batch: &[Job], commit_delay: Duration) -> Vec<Answered> {
        match self {
            Self::Sqlite(database) => database.run(batch, commit_delay),
            Self::Postgres(database) => database.run(batch, commit_delay),
        }
    }

    /// Operations of one transaction. Where others work on the same database the larger ones meet more often.
    const fn batch(&self) -> usize {
        match self {
            Self::Sqlite(_) => 512,
            Self::Postgres(_) => 16,
        }
    }
}

type Job = (Ticket, Op);

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
    /// One pipe for each worker.
    jobs: Vec<PipeSender<Job>>,
    done: PipeReceiver<(Ticket, Answered)>,
    commits: Arc<Commits>,
    health: Option<Arc<Health>>,
    workers: Vec<JoinHandle<()>>,
    write_back: Option<JoinHandle<()>>,
}

/// How the worker works.
#[derive(Clone, Copy, Debug, Default)]
pub struct WorkerSettings {
    /// Waits so long before each commit: what a slow disk would do, for measuring.
    pub commit_delay: Duration,
}

impl Store {
    /// Starts the workers on a database.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(backend: Backend, settings: WorkerSettings, wake: &Wake) -> Result<Self> {
        let (done, answers) = pipe(JOBS);
        let commits = Arc::new(Commits::default());
        let mut store =
            Self { jobs: Vec::new(), done: answers, commits, health: None, workers: Vec::new(), write_back: None };
        let mut due = None;
        let databases = match backend {
            Backend::Sqlite(database) => {
                let checkpoints = database.checkpoints()?;
                let (sender, wanted) = pipe(1);
                due = Some(sender);
                let write_back = move || {
                    while wanted.recv().is_some() {
                        checkpoints.run();
                    }
                };
                store.write_back = Some(spawn("write back", write_back)?);
                vec![Database::Sqlite(database)]
            }
            Backend::Postgres(first, workers) => {
                store.health = Some(first.health().clone());
                let others: Vec<_> = (1..workers).map(|_| Box::new(first.another())).collect();
                std::iter::once(first).chain(others).map(Database::Postgres).collect()
            }
        };
        for (number, database) in databases.into_iter().enumerate() {
            let (jobs, to_do) = pipe(JOBS);
            store.jobs.push(jobs);
            let (commits, done, due, wake) = (store.commits.clone(), done.clone(), due.clone(), wake.clone());
            let run = move || work(database, settings, &commits, (&to_do, &done, due.as_ref()), &wake);
            store.workers.push(spawn(&format!("storage {number}"), run)?);
        }
        Ok(store)
    }

    /// Hands an operation over. A refusal where the worker has more to do than it can: nothing was done.
    pub fn submit(&self, ticket: Ticket, op: Op) -> Result<(), Refusal> {
        let gone = || Refusal::new(Code::Busy, "the service is being stopped");
        let worker = match self.jobs.len() {
            0 | 1 => 0,
            // What is about the same room is done in its order, by one of them.
            workers => usize::try_from(op.key() % workers as u64).unwrap_or(0),
        };
        match self.jobs.get(worker).ok_or_else(gone)?.try_send((ticket, op)) {
            Ok(()) => Ok(()),
            Err(Refused::Full(_)) => {
                Err(Refusal::retry_after(Code::Busy, "the service has more to store than it can: try again", 500))
            }
            Err(Refused::Gone(_)) => Err(gone()),
        }
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

    /// How the database is that others have too; `None`: it is this service's own.
    pub fn health(&self) -> Option<&Health> {
        self.health.as_deref()
    }

    /// Operations that wait.
    pub fn waiting(&self) -> usize {
        self.jobs.iter().map(PipeSender::len).sum()
    }

    /// Whether a worker has as much to do as may wait.
    pub fn is_full(&self) -> bool {
        self.jobs.iter().any(PipeSender::is_full)
    }

    /// Operations that were refused because too many waited.
    pub fn refused(&self) -> u64 {
        self.jobs.iter().map(PipeSender::refused).sum()
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.jobs.clear();
        // Their answers are not wanted any more, but what was submitted is still done.
        while self.workers.iter().any(|worker| !worker.is_finished()) {
            let _ = self.done.recv_timeout(Duration::from_millis(20));
        }
        for thread in self.workers.drain(..).chain(self.write_back.take()) {
            let _ = thread.join();
        }
    }
}

fn work(
    mut database: Database,
    settings: WorkerSettings,
    commits: &Commits,
    (jobs, done, due): (&PipeReceiver<Job>, &PipeSender<(Ticket, Answered)>, Option<&PipeSender<()>>),
    wake: &Wake,
) {
    let mut batch = Vec::new();
    let mut since = 0;
    while let Some(job) = jobs.recv() {
        batch.push(job);
        // What came while the last commit waited for the disk shares this one.
        while batch.len() < database.batch()
            && let Some(job) = jobs.try_recv()
        {
            batch.push(job);
        }
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
        since += 1;
        // Where it is still at the last one it is due soon enough.
        if since >= WRITE_BACK && due.is_some_and(|due| due.try_send(()).is_ok()) {
            since = 0;
        }
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(run);
    thread.map_err(|error| Error::new(Kind::Retry, format!("no thread for the storage: {error}")))
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
            Whose::Accounts => put(&mut into.accounts, ticket, Err(refusal)),
            Whose::Directory => put(&mut into.directory, ticket, Err(refusal)),
            Whose::Pals => put(&mut into.pals, ticket, Err(refusal)),
            Whose::Chat => put(&mut into.chat, ticket, Err(refusal)),
            Whose::Messages => put(&mut into.messages, ticket, Err(refusal)),
        },
    }
}

/// Operations that may wait: at 5 ms a commit and a few hundred a commit, some tenths of a second.
const JOBS: usize = 4096;

/// Transactions until the log is written back.
const WRITE_BACK: u32 = 64;
