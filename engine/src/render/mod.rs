//! Draws a `ViewSnapshot`; never sees the world.
