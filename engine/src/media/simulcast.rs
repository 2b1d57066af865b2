//! Simulcast: the same pictures in three sizes, of which each watcher gets one (RFC 8853 has the idea; each layer is a stream
//! with a source number of its own).

/// The whole picture, half of it and a quarter of it on each side.
pub const LAYERS: usize = 3;

/// The size of a layer of pictures of size `top`: even, and at least 16 on a side, as encoders want it.
pub fn size_of(layer: usize, (width, height): (u32, u32)) -> (u32, u32) {
    let part = |side: u32| ((side >> layer.min(LAYERS - 1)) & !1).max(16);
    (part(width), part(height))
}

/// The smallest layer that fills a tile of so many pixels on the screen: a picture may be drawn up to a third larger than it
/// is before one sees it. `None` for a tile that is not shown.
pub fn layer_for(tile: (u32, u32), top: (u32, u32)) -> Option<usize> {
    if tile.0 == 0 || tile.1 == 0 {
        return None;
    }
    let fills = |layer: &usize| {
        let (width, height) = size_of(*layer, top);
        // A picture of another shape than the tile stands in it with bars on two sides.
        width * 4 >= tile.0 * 3 || height * 4 >= tile.1 * 3
    };
    Some((0..LAYERS).rev().find(fills).unwrap_or(0))
}

/// How many watch each layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watched([u32; LAYERS]);

impl Watched {
    /// One more watches `layer`. True where a keyframe is needed: each that begins to watch needs one.
    pub fn watch(&mut self, layer: usize) -> bool {
        let count = self.0.get_mut(layer);
        let is_layer = count.is_some();
        count.into_iter().for_each(|count| *count = count.saturating_add(1));
        is_layer
    }

    /// One less does.
    pub fn unwatch(&mut self, layer: usize) {
        self.0.get_mut(layer).into_iter().for_each(|count| *count = count.saturating_sub(1));
    }

    /// Somebody watches `layer`: it has to be encoded, once.
    pub fn is_watched(&self, layer: usize) -> bool {
        self.0.get(layer).is_some_and(|count| *count > 0)
    }
}

/// Which layer's units one watcher's decoder gets. From one layer to another it goes at a keyframe of the other: until that has
/// come the one before goes on, so that the picture neither breaks nor stands still.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Switch {
    shown: Option<usize>,
    next: Option<usize>,
}

impl Switch {
    /// The watcher wants this layer from now on.
    pub fn ask(&mut self, layer: usize) {
        self.next = Some(layer).filter(|next| self.shown != Some(*next));
    }

    /// Whether this unit of `layer` goes to the decoder. The layer that is left is given back with its last unit.
    pub fn takes(&mut self, layer: usize, keyframe: bool) -> (bool, Option<usize>) {
        if keyframe && self.next == Some(layer) {
            self.next = None;
            return (true, self.shown.replace(layer).filter(|before| *before != layer));
        }
        (self.shown == Some(layer), None)
    }

    /// The layers that have to come: two while it goes from one to the other.
    pub fn wanted(&self) -> impl Iterator<Item = usize> {
        self.shown.into_iter().chain(self.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_halve_and_stay_codable() {
        let sizes = |top| [0, 1, 2].map(|layer| size_of(layer, top));
        assert_eq!(sizes((1280, 720)), [(1280, 720), (640, 360), (320, 180)]);
        assert_eq!(sizes((35, 21)), [(34, 20), (16, 16), (16, 16)]);
    }

    #[test]
    fn a_tile_gets_the_smallest_layer_that_fills_it() {
        let top = (1280, 720);
        for (tile, layer) in [
            ((0, 0), None),
            ((1, 1), Some(2)),
            ((320, 180), Some(2)),
            ((420, 236), Some(2)),
            ((480, 270), Some(1)),
            ((853, 480), Some(1)),
            ((1280, 720), Some(0)),
            ((3840, 2160), Some(0)),
            // A narrow column.
            ((300, 1000), Some(2)),
        ] {
            assert_eq!(layer_for(tile, top), layer, "{tile:?}");
        }
    }

    #[test]
    fn a_layer_is_watched_until_its_last_watcher_has_gone() {
        let mut watched = Watched::default();
        assert!(!watched.is_watched(0));
        assert!(watched.watch(1) && watched.watch(1) && !watched.watch(LAYERS));
        watched.unwatch(1);
        assert!(watched.is_watched(1) && !watched.is_watched(0));
        watched.unwatch(1);
        watched.unwatch(1);
        assert!(!watched.is_watched(1));
    }

    #[test]
    fn a_watcher_goes_over_at_a_keyframe_and_keeps_the_old_layer_until_then() {
        let mut switch = Switch::default();
        assert_eq!(switch.takes(0, true), (false, None), "nothing was asked for");
        switch.ask(0);
        assert_eq!(switch.takes(0, false), (false, None));
        assert_eq!(switch.takes(0, true), (true, None));
        switch.ask(2);
        assert_eq!(switch.wanted().collect::<Vec<_>>(), [0, 2]);
        assert_eq!((switch.takes(2, false), switch.takes(0, false)), ((false, None), (true, None)));
        assert_eq!(switch.takes(2, true), (true, Some(0)), "the old one may go");
        assert_eq!((switch.takes(0, false), switch.takes(2, false)), ((false, None), (true, None)));
        // Asked for and taken back before its keyframe came.
        switch.ask(1);
        switch.ask(2);
        assert_eq!(switch.wanted().collect::<Vec<_>>(), [2]);
    }
}
