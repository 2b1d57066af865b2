//! Photos are painted anew: what is kept is pixels that this program wrote, without whatever else was in the file.

use std::thread::JoinHandle;

use bevy_ecs::entity::Entity;
use bevy_ecs::resource::Resource;
use bevy_ecs::system::{Res, ResMut};

use crate::base::error::{Error, Kind, Result};
use crate::base::id::AccountId;
use crate::base::pipe::{PipeReceiver, PipeSender, Wake, pipe};
use crate::codec::photo::repaint;
use crate::proto::hex;
use crate::proto::keys::random;
use crate::proto::service::refusal::{Code, Refusal};
use crate::service::shared::{Outbox, Storage};
use crate::store::blob::Blobs;
use crate::store::op::Op as StoreOp;
use crate::store::op::accounts::Op;

/// The largest file that is taken.
pub const LARGEST_PHOTO: usize = 2 * 1024 * 1024;

/// Who sent a photo, and whose it is to be.
type Job = (Entity, AccountId, Vec<u8>);
type Painted = (Entity, AccountId, Result<String, Refusal>);

/// The thread that paints. Dropping it ends the thread.
#[derive(Resource, Debug)]
pub struct Painters {
    jobs: Option<PipeSender<Job>>,
    done: PipeReceiver<Painted>,
    thread: Option<JoinHandle<()>>,
}

impl Painters {
    pub fn start(blobs: Blobs, wake: &Wake) -> Result<Self> {
        let (jobs, to_do) = pipe::<Job>(QUEUE);
        let (done, painted) = pipe(QUEUE + 1);
        let wake = wake.clone();
        let thread = std::thread::Builder::new()
            .name("photos".into())
            .spawn(move || {
                while let Some((from, account, bytes)) = to_do.recv() {
                    let none = || Refusal::new(Code::Malformed, "that is no JPEG, PNG or WebP of at most 8192 by 8192");
                    let kept = repaint(&bytes, SIDE).ok_or_else(none).and_then(|painted| keep(&blobs, &painted));
                    if done.send((from, account, kept)).is_err() {
                        return;
                    }
                    wake.wake();
                }
            })
            .map_err(|error| Error::new(Kind::Retry, format!("no thread for photos: {error}")))?;
        Ok(Self { jobs: Some(jobs), done: painted, thread: Some(thread) })
    }

    /// A refusal where too many wait.
    pub fn submit(&self, from: Entity, account: AccountId, bytes: Vec<u8>) -> Result<(), Refusal> {
        let busy = || Refusal::retry_after(Code::Busy, "too many photos at once: try again", 2000);
        self.jobs.as_ref().ok_or_else(busy)?.try_send((from, account, bytes)).map_err(|_| busy())
    }
}

impl Drop for Painters {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Has it noted whose photo was painted.
pub fn take_painted(painters: Res<Painters>, storage: Res<Storage>, mut outbox: ResMut<Outbox>) {
    while let Some((from, account, kept)) = painters.done.try_recv() {
        let noted = kept
            .and_then(|photo| storage.submit(from, 0, StoreOp::Accounts(Box::new(Op::SetPhoto { account, photo }))));
        if let Err(refusal) = noted {
            outbox.refuse_http(from, &refusal);
        }
    }
}

fn keep(blobs: &Blobs, bytes: &[u8]) -> Result<String, Refusal> {
    let full = |_| Refusal::new(Code::Full, "the service cannot keep the photo: try again later");
    let name = hex::text(&random::<24>().map_err(full)?);
    blobs.put(&name, bytes).map_err(full)?;
    Ok(name)
}

/// A face on a page.
const SIDE: u32 = 512;

/// Photos that may wait, 2 MiB each.
const QUEUE: usize = 8;
