//! Blobs are read and removed by threads of their own: a disk or a server far away holds up nobody else.

use std::thread::JoinHandle;

use bevy_ecs::entity::Entity;
use bevy_ecs::resource::Resource;
use bevy_ecs::system::{Res, ResMut};
use crossbeam_channel::Sender;

use crate::base::error::{Error, Kind, Result};
use crate::base::pipe::{PipeReceiver, Wake, pipe};
use crate::base::time::Duration;
use crate::net::web::connection::Response;
use crate::proto::service::refusal::{Code, Refusal};
use crate::service::shared::Outbox;
use crate::store::blob::Blobs;

/// What is asked for over HTTP.
#[derive(Debug)]
pub struct Wanted {
    pub from: Entity,
    pub name: String,
    pub content_type: &'static str,
    /// What is said where there is none.
    pub none: &'static str,
}

#[derive(Debug)]
enum Job {
    Read(Wanted),
    Remove(String),
}

type Done = (Entity, Result<Response, Refusal>);

/// The threads. Dropping it ends them after what was submitted.
#[derive(Resource, Debug)]
pub struct Files {
    /// All threads take from it.
    jobs: Option<Sender<Job>>,
    done: PipeReceiver<Done>,
    threads: Vec<JoinHandle<()>>,
}

impl Files {
    /// # Errors
    /// The system gives no threads.
    pub fn start(blobs: &Blobs, wake: &Wake) -> Result<Self> {
        let (jobs, to_do) = crossbeam_channel::bounded::<Job>(QUEUE);
        let (done, answers) = pipe(QUEUE + THREADS);
        let mut files = Self { jobs: Some(jobs), done: answers, threads: Vec::new() };
        for number in 0..THREADS {
            let (to_do, done, blobs, wake) = (to_do.clone(), done.clone(), blobs.clone(), wake.clone());
            let run = move || {
                while let Ok(job) = to_do.recv() {
                    let answer = match job {
                        Job::Remove(name) => {
                            blobs.remove(&name);
                            continue;
                        }
                        Job::Read(Wanted { from, name, content_type, none }) => {
                            (from, read(&blobs, &name, content_type, none))
                        }
                    };
                    if done.send(answer).is_err() {
                        return;
                    }
                    wake.wake();
                }
            };
            let thread = std::thread::Builder::new().name(format!("blobs {number}")).spawn(run);
            let failed = |error| Error::new(Kind::Retry, format!("no thread for blobs: {error}"));
            files.threads.push(thread.map_err(failed)?);
        }
        Ok(files)
    }

    /// Answers whoever asked with a blob. A refusal where too many wait.
    pub fn read(&self, wanted: Wanted) -> Result<(), Refusal> {
        let busy = || Refusal::retry_after(Code::Busy, "too many downloads at once: try again", 1000);
        self.jobs.as_ref().ok_or_else(busy)?.try_send(Job::Read(wanted)).map_err(|_| busy())
    }

    /// Removes a blob. Where too much waits it stays, which costs its room and nothing else.
    pub fn remove(&self, name: &str) {
        if let Some(jobs) = &self.jobs
            && !name.is_empty()
            && jobs.try_send(Job::Remove(name.to_owned())).is_err()
        {
            tracing::warn!(target: "storage", "a blob was not removed: too much waits");
        }
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        self.jobs = None;
        while self.threads.iter().any(|thread| !thread.is_finished()) {
            // Nobody wants the answers any more.
            let _ = self.done.recv_timeout(Duration::from_millis(20));
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

pub fn take_read(files: Res<Files>, mut outbox: ResMut<Outbox>) {
    while let Some((from, answer)) = files.done.try_recv() {
        match answer {
            Ok(response) => outbox.answer(from, response),
            Err(refusal) => outbox.refuse_http(from, &refusal),
        }
    }
}

fn read(blobs: &Blobs, name: &str, content_type: &'static str, none: &'static str) -> Result<Response, Refusal> {
    match blobs.read(name) {
        Ok(Some(bytes)) => Ok(Response { content_type, ..Response::json(200, bytes) }),
        Ok(None) => Err(Refusal::new(Code::NotFound, none)),
        Err(error) => {
            tracing::error!(target: "storage", "a blob cannot be read: {error}");
            Err(Refusal::retry_after(Code::Busy, "the service cannot read it at the moment: try again", 1000))
        }
    }
}

/// Reads at once: of a disk one is as fast as two; of a server far away several are.
const THREADS: usize = 4;

/// Reads and removals that may wait.
const QUEUE: usize = 256;
