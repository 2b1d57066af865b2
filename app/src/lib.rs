//! The window of Visavis: the picture, and the controls over it.

pub mod input;
pub mod screen;
pub mod ui;
pub mod window;
