//! How large the tiles are on the screen, told to the engine where that has changed: no more is sent than is seen.

use engine::base::id::TileId;
use engine::handle::Command;

/// What the engine was told.
#[derive(Debug, Default)]
pub struct Looking {
    told: Vec<(TileId, (u16, u16))>,
    hidden: bool,
}

/// A tile that grew or shrank by less than this part says nothing new.
const PART: u16 = 8;

impl Looking {
    /// The window is covered or minimised, or shown again.
    pub fn hide(&mut self, hidden: bool) -> Vec<Command> {
        self.hidden = hidden;
        let told = std::mem::take(&mut self.told);
        // Shown again, the next frame says how large they are.
        told.into_iter().filter(|_| hidden).map(|(tile, _)| Command::Watch(tile, 0, 0)).collect()
    }

    /// These tiles were drawn, so large in pixels.
    pub fn follow(&mut self, drawn: impl IntoIterator<Item = (TileId, (f32, f32))>) -> Vec<Command> {
        if self.hidden {
            return Vec::new();
        }
        let mut commands = Vec::new();
        let mut told = Vec::new();
        for (tile, (width, height)) in drawn {
            // As many as there are: a number too large is the largest.
            let size = (width.round() as u16, height.round() as u16);
            let before = self.told.iter().find(|(other, _)| *other == tile).map(|(_, size)| *size);
            let size = match before {
                Some(before) if is_near(before.0, size.0) && is_near(before.1, size.1) => before,
                _ => {
                    commands.push(Command::Watch(tile, size.0, size.1));
                    size
                }
            };
            told.push((tile, size));
        }
        // What is not there any more is told anew when it is back.
        self.told = told;
        commands
    }
}

const fn is_near(before: u16, after: u16) -> bool {
    // Of no size is hidden, which is something else than small.
    (before == 0) == (after == 0) && before.abs_diff(after) <= before / PART
}

#[cfg(test)]
mod tests {
    use super::*;

    const TILE: TileId = TileId(1);

    #[test]
    fn a_size_is_told_once_and_again_when_it_matters() {
        let mut looking = Looking::default();
        let mut follow = |width, height| looking.follow([(TILE, (width, height))]);
        assert_eq!(follow(800.2, 450.0), [Command::Watch(TILE, 800, 450)]);
        assert_eq!(follow(800.0, 450.0), []);
        assert_eq!(follow(760.0, 428.0), [], "a little smaller");
        assert_eq!(follow(400.0, 225.0), [Command::Watch(TILE, 400, 225)]);
        assert_eq!(follow(0.0, 0.0), [Command::Watch(TILE, 0, 0)]);
        assert_eq!(follow(1.0, 1.0), [Command::Watch(TILE, 1, 1)]);
        assert_eq!(follow(1e9, 225.0), [Command::Watch(TILE, u16::MAX, 225)]);
    }

    #[test]
    fn a_covered_window_hides_all_and_a_new_call_is_told_anew() {
        let mut looking = Looking::default();
        let tiles = [(TILE, (800.0, 450.0)), (TileId(2), (400.0, 225.0))];
        assert_eq!(looking.follow(tiles).len(), 2);
        assert_eq!(looking.hide(true), [Command::Watch(TILE, 0, 0), Command::Watch(TileId(2), 0, 0)]);
        assert_eq!(looking.follow(tiles), []);
        assert_eq!(looking.hide(false), []);
        assert_eq!(looking.follow(tiles).len(), 2);
        assert_eq!(looking.follow([]), [], "the call is over");
        assert_eq!(looking.follow(tiles).len(), 2);
    }
}
