//! The harness of the whole-call tests: real processes, their reports, and what is done to them.

pub mod attack;
pub mod capture;
pub mod delay;
pub mod display;
pub mod firewalls;
pub mod fuzz;
pub mod hostile;
pub mod judged;
pub mod malformed;
pub mod mirror;
pub mod multicast;
pub mod mutated;
pub mod namespaces;
pub mod netns;
pub mod party;
pub mod ports;
pub mod probe;
pub mod process;
pub mod rogue;
pub mod room;
pub mod samples;
pub mod service;
pub mod skip;
pub mod speech;
pub mod talk;
pub mod text;

/// What a step of a test gives: a failure is one text for the person who reads the test's output.
pub type Outcome<T> = Result<T, String>;
