//! What the program has beside the engine: its window with the picture and the controls over it, and its measuring rigs.

pub mod canvas;
pub mod input;
#[cfg(unix)]
pub mod jack;
pub mod looking;
pub mod page;
pub mod probe;
#[cfg(unix)]
pub mod pulse;
pub mod screen;
pub mod testing;
pub mod ui;
pub mod window;
