//! Simulcast: the same pictures in three sizes, of which each watcher gets one (RFC 8853 has the idea; each layer is a stream
//! with a source number of its own).

use crate::base::rate::Bitrate;

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

/// At which sizes a source is looked at on the other side: by one watcher, or by those behind a relay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Audience {
    /// `None` before anything was said: then it is looked at as it is. Tiles of no size are none.
    tiles: Option<[(u16, u16); LAYERS]>,
}

impl Audience {
    /// Looked at on tiles of these sizes in pixels, of which the first [`LAYERS`] count; on none of them: by nobody.
    pub fn of(sizes: impl IntoIterator<Item = (u16, u16)>) -> Self {
        let mut tiles = [(0, 0); LAYERS];
        tiles.iter_mut().zip(sizes).for_each(|(tile, size)| *tile = size);
        Self { tiles: Some(tiles) }
    }

    /// Which layers of pictures of size `top` have to be made.
    pub fn layers(&self, top: (u32, u32)) -> [bool; LAYERS] {
        let Some(tiles) = self.tiles else { return std::array::from_fn(|layer| layer == 0) };
        let mut layers = [false; LAYERS];
        for (width, height) in tiles {
            let layer = layer_for((width.into(), height.into()), top);
            layer.and_then(|layer| layers.get_mut(layer)).into_iter().for_each(|wanted| *wanted = true);
        }
        layers
    }

    /// The largest of them; `None` where nobody looks.
    pub fn largest(&self, top: (u32, u32)) -> Option<usize> {
        self.layers(top).iter().position(|wanted| *wanted)
    }

    /// Nobody looks: nothing has to be made.
    pub fn is_empty(&self) -> bool {
        self.tiles.is_some_and(|tiles| tiles.iter().all(|(width, height)| *width == 0 || *height == 0))
    }

    /// What [`Self::of`] was made from, if anything was said.
    pub const fn tiles(&self) -> Option<[(u16, u16); LAYERS]> {
        self.tiles
    }
}

/// Which layer a picture of this width is, of pictures so wide.
pub fn layer_of(width: u32, top: u32) -> usize {
    (0..LAYERS).find(|layer| width.saturating_mul(4) > (top >> layer).saturating_mul(3)).unwrap_or(LAYERS - 1)
}

/// What of `target` each of the layers that are wanted gets. Small pictures need more bits for each pixel.
pub fn split(target: Bitrate, wanted: [bool; LAYERS]) -> [Bitrate; LAYERS] {
    const WEIGHTS: [u64; LAYERS] = [10, 4, 2];
    let weight = |layer: usize| if wanted[layer] { WEIGHTS[layer] } else { 0 };
    let sum = (0..LAYERS).map(weight).sum::<u64>().max(1);
    std::array::from_fn(|layer| Bitrate::from_bps(target.as_bps() * weight(layer) / sum))
}

/// What is made of a picture for a layer below the first one that is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lower {
    pub size: (u32, u32),
    pub rate: Bitrate,
    /// Of what all layers get so much is this one's, in percent.
    pub part: u64,
}

/// How `layer` of pictures of size `top` is made, of which each layer may take what `rates` says; `None` where nobody looks at
/// it, and where the path is so narrow that the `first` layer is as small itself.
pub fn lower(layer: usize, first: usize, top: (u32, u32), rates: &[Bitrate; LAYERS]) -> Option<Lower> {
    let rate = rates.get(layer).copied().filter(|rate| layer > first && *rate > Bitrate::default())?;
    let all: u64 = rates.iter().map(|rate| rate.as_bps()).sum();
    Some(Lower { size: size_of(layer, top), rate, part: rate.as_bps() * 100 / all.max(1) })
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

/// The packets of one track's layers as one watcher gets them: of one layer at a time, numbered without a gap. What a relay
/// has for each that watches; the layers that [`Forward::wanted`] names are what it asks the sender for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Forward {
    switch: Switch,
    from: Option<Began>,
    next: u64,
    /// The newest time that went out.
    newest: Option<u64>,
}

/// Where a layer began to be forwarded.
#[derive(Clone, Copy, Debug)]
struct Began {
    layer: usize,
    /// Its first number, and which one that had on the way out.
    first: u64,
    out: u64,
    /// What is added to its times: the keyframe is often of the same moment as the last picture of the other layer, and two
    /// pictures of one time would be taken for one.
    later: u64,
}

impl Forward {
    /// The watcher wants this layer from now on.
    pub fn ask(&mut self, layer: usize) {
        self.switch.ask(layer);
    }

    /// The number and the time (RTP, both extended) with which this packet goes on to the watcher, if it does. `begins`: it is
    /// the first of a keyframe.
    pub fn pass(&mut self, layer: usize, (sequence, time): (u64, u64), begins: bool) -> Option<(u64, u64)> {
        if !self.switch.takes(layer, begins).0 {
            return None;
        }
        let Began { first, out, later, .. } = match self.from {
            Some(from) if from.layer == layer => from,
            _ => {
                let later = self.newest.map_or(0, |newest| newest.saturating_add(1).saturating_sub(time));
                *self.from.insert(Began { layer, first: sequence, out: self.next, later })
            }
        };
        // What is older than the keyframe it was begun with belongs to pictures that were not forwarded.
        let number = out.checked_add(sequence.checked_sub(first)?)?;
        self.next = self.next.max(number.saturating_add(1));
        let time = time.saturating_add(later);
        self.newest = self.newest.max(Some(time));
        Some((number, time))
    }

    /// The layers that have to come.
    pub fn wanted(&self) -> impl Iterator<Item = usize> {
        self.switch.wanted()
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
    fn an_audience_needs_the_layers_of_its_tiles_and_no_others() {
        let top = (1280, 720);
        let table: [(&[(u16, u16)], [bool; LAYERS], Option<usize>); 6] = [
            (&[], [false, false, false], None),
            (&[(0, 0), (200, 0)], [false, false, false], None),
            (&[(1280, 720)], [true, false, false], Some(0)),
            (&[(320, 180), (300, 170)], [false, false, true], Some(2)),
            (&[(320, 180), (1920, 1080)], [true, false, true], Some(0)),
            (&[(200, 100), (640, 360), (65_535, 65_535)], [true, true, true], Some(0)),
        ];
        for (tiles, layers, largest) in table {
            let audience = Audience::of(tiles.iter().copied());
            assert_eq!((audience.layers(top), audience.largest(top)), (layers, largest), "{tiles:?}");
            assert_eq!(audience.is_empty(), largest.is_none());
        }
        let unsaid = Audience::default();
        assert_eq!((unsaid.layers(top), unsaid.is_empty()), ([true, false, false], false));
    }

    #[test]
    fn layers_share_what_there_is_and_a_width_says_which_one_it_is() {
        let kbps = |rates: [Bitrate; LAYERS]| rates.map(|rate| rate.as_bps() / 1000);
        let target = Bitrate::from_kbps(1600);
        assert_eq!(kbps(split(target, [true; LAYERS])), [1000, 400, 200]);
        assert_eq!(kbps(split(target, [true, false, false])), [1600, 0, 0]);
        assert_eq!(kbps(split(target, [false, true, true])), [0, 1066, 533]);
        assert_eq!(kbps(split(target, [false; LAYERS])), [0, 0, 0]);
        for (width, layer) in [(1280, 0), (961, 0), (640, 1), (320, 2), (16, 2), (1920, 0)] {
            assert_eq!(layer_of(width, 1280), layer, "{width}");
        }
    }

    #[test]
    fn a_layer_is_made_where_somebody_looks_at_it_and_the_first_one_is_larger() {
        let rates = [1000, 400, 0].map(Bitrate::from_kbps);
        let made = |first| [1, 2, 7].map(|layer| lower(layer, first, (1280, 720), &rates));
        let half = Lower { size: (640, 360), rate: Bitrate::from_kbps(400), part: 28 };
        assert_eq!(made(0), [Some(half), None, None], "nobody looks at the smallest");
        assert_eq!(made(1), [None, None, None], "the first one is as small");
        assert_eq!(lower(2, 0, (1280, 720), &[Bitrate::default(); LAYERS]), None);
    }

    #[test]
    fn what_is_forwarded_has_numbers_without_a_gap_and_begins_with_keyframes() {
        let mut forward = Forward::default();
        forward.ask(2);
        let pass = |forward: &mut Forward, layer, sequence, begins| {
            // Both layers have the same times; two packets to a picture.
            forward.pass(layer, (sequence, sequence % 100 / 2 * 3000), begins)
        };
        assert_eq!(pass(&mut forward, 2, 500, false), None, "a decoder could do nothing with it");
        let passed = [502, 504, 503].map(|n| pass(&mut forward, 2, n, n == 502));
        assert_eq!(passed, [Some((0, 3000)), Some((2, 6000)), Some((1, 3000))]);
        forward.ask(0);
        // Both come until the keyframe of the new one.
        assert_eq!(pass(&mut forward, 0, 102, false), None);
        assert_eq!(pass(&mut forward, 2, 505, true), Some((3, 6000)));
        assert_eq!(pass(&mut forward, 0, 104, true), Some((4, 6001)), "another picture of the same moment");
        assert_eq!(pass(&mut forward, 2, 506, false), None);
        assert_eq!(pass(&mut forward, 0, 103, false), None, "older than its keyframe");
        assert_eq!(pass(&mut forward, 0, 106, false), Some((6, 9001)));
        assert_eq!(forward.wanted().collect::<Vec<_>>(), [0]);
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
