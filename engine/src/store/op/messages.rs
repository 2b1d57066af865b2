//! Operations on sealed messages.

use crate::base::id::AccountId;
use crate::proto::keys::{Digest, PublicKey};
use crate::proto::service::messages::{BlobId, Message, Reply, Request};
use crate::proto::service::names::{Millis, Seq};
use crate::store::op::By;

#[derive(Clone, Debug)]
pub enum Op {
    /// As the client asks it. `device` is the one that asks.
    Ask { by: By, device: PublicKey, request: Box<Request> },
    /// Whose token it is, before an upload is written: `blob` names it from then on.
    Upload { access: Digest, at: Millis, blob: BlobId, bytes: Vec<u8> },
    /// The upload was written.
    Keep { account: AccountId, blob: BlobId, size: u32, at: Millis },
    /// Whether the holder of the token may have an upload.
    Fetch { access: Digest, at: Millis, blob: BlobId },
    /// Uploads that belong to no message and are older than `before`: forgotten, and named so that they are removed.
    Sweep { before: Millis },
}

#[derive(Clone, Debug)]
pub enum Answer {
    Reply(Reply),
    Sent {
        reply: Reply,
        to: AccountId,
        message: Option<Box<Message>>,
    },
    Read {
        account: AccountId,
        seq: Seq,
    },
    /// The message is gone, and its upload with it.
    Deleted {
        blob: Option<BlobId>,
    },
    MayUpload {
        account: AccountId,
        blob: BlobId,
        bytes: Vec<u8>,
    },
    Kept(BlobId),
    MayFetch(BlobId),
    Swept(Vec<BlobId>),
}
