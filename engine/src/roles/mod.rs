//! Roles: what a program does with the engine. Each installs its systems; they never import each other.

pub mod client;
