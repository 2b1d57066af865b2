//! Uploads: checked by the store, written to the disk by a thread of their own, then noted.

use std::thread::JoinHandle;

use bevy_ecs::entity::Entity;
use bevy_ecs::resource::Resource;
use bevy_ecs::system::{Local, Res, ResMut};

use crate::base::error::{Error, Kind, Result};
use crate::base::id::AccountId;
use crate::base::pipe::{PipeReceiver, PipeSender, Wake, pipe};
use crate::base::time::{Duration, Instant};
use crate::net::web::connection::WebRequest;
use crate::proto::hex;
use crate::proto::http::Method;
use crate::proto::keys::{Digest, random};
use crate::proto::service::messages::{BLOB_PATH, BlobId};
use crate::proto::service::names::Millis;
use crate::proto::service::refusal::{Code, Refusal};
use crate::proto::text::Text;
use crate::service::shared::{Asked, Now, Outbox, Storage};
use crate::store::blob::Blobs;
use crate::store::op::Op as StoreOp;
use crate::store::op::messages::Op;

struct Job {
    from: Entity,
    account: AccountId,
    blob: BlobId,
    bytes: Vec<u8>,
}

struct Written {
    from: Entity,
    account: AccountId,
    blob: BlobId,
    /// `None`: it could not be written.
    size: Option<u32>,
}

/// The thread that writes. Dropping it ends the thread after what was submitted.
#[derive(Resource)]
pub struct Writer {
    jobs: Option<PipeSender<Job>>,
    done: PipeReceiver<Written>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub fn start(blobs: Blobs, wake: &Wake) -> Result<Self> {
        let (jobs, to_do) = pipe::<Job>(QUEUE);
        let (done, written) = pipe(QUEUE + 1);
        let wake = wake.clone();
        let thread = std::thread::Builder::new()
            .name("uploads".into())
            .spawn(move || {
                while let Some(Job { from, account, blob, bytes }) = to_do.recv() {
                    let size = blobs.put(&blob, &bytes).ok().and_then(|()| u32::try_from(bytes.len()).ok());
                    if done.send(Written { from, account, blob, size }).is_err() {
                        return;
                    }
                    wake.wake();
                }
            })
            .map_err(|error| Error::new(Kind::Retry, format!("no thread for uploads: {error}")))?;
        Ok(Self { jobs: Some(jobs), done: written, thread: Some(thread) })
    }

    /// A refusal where too many wait.
    pub fn submit(&self, from: Entity, account: AccountId, blob: BlobId, bytes: Vec<u8>) -> Result<(), Refusal> {
        let busy = || Refusal::retry_after(Code::Busy, "too many uploads at once: try again", 2000);
        let job = Job { from, account, blob, bytes };
        self.jobs.as_ref().ok_or_else(busy)?.try_send(job).map_err(|_| busy())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

pub fn take_written(writer: Res<Writer>, storage: Res<Storage>, mut outbox: ResMut<Outbox>, now: Res<Now>) {
    while let Some(Written { from, account, blob, size }) = writer.done.try_recv() {
        let full = || Refusal::new(Code::Full, "the service cannot keep the message: try again later");
        let noted = size.ok_or_else(full).and_then(|size| {
            let op = Op::Keep { account, blob, size, at: now.wall() };
            storage.submit(from, 0, StoreOp::Messages(Box::new(op)))
        });
        if let Err(refusal) = noted {
            outbox.refuse_http(from, &refusal);
        }
    }
}

pub fn take_requests(mut asked: ResMut<Asked>, storage: Res<Storage>, mut outbox: ResMut<Outbox>, now: Res<Now>) {
    for (from, request) in asked.blobs.drain(..) {
        let taken =
            operation(*request, now.wall()).and_then(|op| storage.submit(from, 0, StoreOp::Messages(Box::new(op))));
        if let Err(refusal) = taken {
            outbox.refuse_http(from, &refusal);
        }
    }
}

fn operation(request: WebRequest, at: Millis) -> Result<Op, Refusal> {
    let token = request.head.bearer.as_deref().filter(|token| !token.is_empty());
    let token = token.ok_or_else(|| Refusal::new(Code::Unauthorized, "log in first"))?;
    let access = Digest::of(token.as_bytes());
    let not_found = || Refusal::new(Code::NotFound, "there is no such message");
    match (request.head.method, request.head.path.strip_prefix(BLOB_PATH)) {
        (Method::Post, Some("")) if !request.body.is_empty() => {
            let name: [u8; 24] =
                random().map_err(|_| Refusal::new(Code::Busy, "the service's system gives no randomness"))?;
            Ok(Op::Upload { access, at, blob: Text::cut(&hex::text(&name)), bytes: request.body })
        }
        (Method::Get, Some(rest)) => {
            let blob = rest.strip_prefix('/').filter(|blob| blob.len() <= 64).ok_or_else(not_found)?;
            Ok(Op::Fetch { access, at, blob: Text::cut(blob) })
        }
        _ => Err(not_found()),
    }
}

/// Has uploads that came to no message forgotten, an hour apart.
pub fn sweep(mut swept: Local<Option<Instant>>, storage: Res<Storage>, now: Res<Now>) {
    const HOUR: Duration = Duration::from_secs(3600);
    const DAY_MS: u64 = 24 * 3600 * 1000;
    if swept.is_none_or(|swept| now.0 >= swept + HOUR) {
        *swept = Some(now.0);
        let before = Millis(now.wall().0.saturating_sub(DAY_MS));
        storage.note(StoreOp::Messages(Box::new(Op::Sweep { before })));
    }
}

/// Uploads that may wait, 4 MiB each.
const QUEUE: usize = 8;
