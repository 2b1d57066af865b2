//! Draws a [`ViewSnapshot`](crate::layout::snapshot::ViewSnapshot): all tiles in one instanced draw, from planes
//! in texture arrays. Sees the snapshot, never the world. The same renderer draws to a window and offscreen.

pub mod colour;
pub mod draw;
pub mod gpu;
pub mod offscreen;
mod planes;
pub mod refresh;
mod shaders;

#[cfg(test)]
mod tests;
