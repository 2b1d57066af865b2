//! How fast to send. Folder by the way of a figure: the receiver's [`report`], what of its delay is a queue ([`trend`]), how
//! much the path carries ([`control`]), what of that is whose ([`share`]), what pictures are made for it ([`plan`]), and the
//! [`queue`] in front of the transport that holds to it. Pure functions over data; time comes in.

pub mod arrivals;
pub mod control;
pub mod keyframes;
pub mod plan;
pub mod probe;
pub mod queue;
pub mod report;
pub mod share;
pub mod spread;
pub mod trend;

pub use control::{Allowed, RateControl};
pub use keyframes::KeyframeRequests;
pub use plan::{Lossy, PicturePlan, PictureSource};
pub use queue::UnitQueue;
pub use report::{DelayMeter, DelayReport};
