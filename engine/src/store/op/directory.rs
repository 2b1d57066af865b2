//! Operations of the directory.

use crate::proto::service::directory::{Reply, Request};
use crate::store::op::By;

/// What a client asks of the directory, as it is.
#[derive(Clone, Debug)]
pub struct Op {
    pub by: By,
    pub request: Request,
}

#[derive(Clone, Debug)]
pub struct Answer(pub Reply);
