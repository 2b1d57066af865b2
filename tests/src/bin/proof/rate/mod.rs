//! What pictures do with a path that changes, is narrow, or loses packets: whole engines in virtual time.

mod call;
mod loss;
mod rfc8867;
mod steps;
mod thin;

pub use loss::losses;
pub use rfc8867::rfc8867;
pub use steps::steps;
pub use thin::thin;
