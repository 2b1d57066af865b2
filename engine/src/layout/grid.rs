//! Where each tile stands in an area: one remote party large with ourselves in the corner, or a grid.

use super::snapshot::Party;

/// A rectangle in physical pixels, origin top left, y down. Whole numbers once [`arrange`] made it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rect {
    pub x: f32,
    pub y: f32,
    pub width: f32,
    pub height: f32,
}

impl Rect {
    pub const fn new(x: f32, y: f32, width: f32, height: f32) -> Self {
        Self { x, y, width, height }
    }

    pub fn right(&self) -> f32 {
        self.x + self.width
    }

    pub fn bottom(&self) -> f32 {
        self.y + self.height
    }

    pub fn surface(&self) -> f32 {
        self.width * self.height
    }

    /// The largest rectangle of `aspect` (width ÷ height) in the middle of this one, on whole pixels.
    pub fn fitted(&self, aspect: f32) -> Self {
        let width = self.width.min((self.height * aspect).round()).floor().max(0.0);
        let height = self.height.min((self.width / aspect).round()).floor().max(0.0);
        let x = self.x + ((self.width - width) / 2.0).floor();
        let y = self.y + ((self.height - height) / 2.0).floor();
        Self { x, y, width, height }
    }
}

/// What is known about a tile before it stands somewhere.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Width ÷ height of its picture; 16 ÷ 9 where there is none yet.
    pub aspect: f32,
    pub party: Party,
}

/// Spacing and roundness, in physical pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spacing {
    /// Between tiles of a grid, and between the small tile and the edges.
    pub gap: f32,
    pub radius: f32,
}

impl Spacing {
    /// Tiles edge to edge with square corners: what is recorded and measured, pixel for pixel.
    pub const PLAIN: Self = Self { gap: 0.0, radius: 0.0 };

    /// Rounded tiles with air between them, at `scale` physical pixels per point.
    pub fn rounded(scale: f32) -> Self {
        Self { gap: (12.0 * scale).round(), radius: 14.0 * scale }
    }
}

/// Where a tile stands.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Placed {
    pub rect: Rect,
    pub radius: f32,
    /// Stands over another tile: drawn later, with an edge.
    pub above: bool,
}

/// A grid's cells have this shape whatever the pictures have: screens, cameras and encoders agree on it.
const WIDE: f32 = 16.0 / 9.0;
/// The small tile's width as a share of the large tile's: large enough to see oneself, and with any aspect from
/// 1:4 to 4:1 below a quarter of the surface.
const SMALL: f32 = 0.22;

/// Places `tiles` inside `area`, in the order given. No tile leaves the area; none overlaps another, except that
/// beside exactly one remote tile the local one stands in the lower right corner above it, over at most a quarter.
pub fn arrange(area: Rect, tiles: &[Shape], spacing: Spacing) -> Vec<Placed> {
    let area = whole(area);
    let remotes = tiles.iter().filter(|tile| tile.party == Party::Remote).count();
    if remotes == 1 && tiles.len() == 2 {
        return tiles.iter().map(|tile| one_to_one(area, tiles, *tile, spacing)).collect();
    }
    if let [tile] = tiles {
        return vec![large(area, *tile, spacing)];
    }
    grid(area, tiles.len(), spacing)
}

fn one_to_one(area: Rect, tiles: &[Shape], tile: Shape, spacing: Spacing) -> Placed {
    match tile.party {
        Party::Remote => large(area, tile, spacing),
        Party::Local => {
            let remote = tiles.iter().find(|other| other.party == Party::Remote).copied().unwrap_or(tile);
            small(large(area, remote, spacing).rect, tile, spacing)
        }
    }
}

fn large(area: Rect, tile: Shape, spacing: Spacing) -> Placed {
    let rect = area.fitted(sane(tile.aspect));
    Placed { rect, radius: spacing.radius.min(rect.width.min(rect.height) / 2.0), above: false }
}

fn small(under: Rect, tile: Shape, spacing: Spacing) -> Placed {
    let gap = spacing.gap.max((under.width.min(under.height) * 0.02).round());
    let aspect = sane(tile.aspect);
    let box_width = (under.width * SMALL).floor();
    let box_height = (under.height * 2.0 * SMALL).floor();
    let fitted = Rect::new(0.0, 0.0, box_width, box_height).fitted(aspect);
    let x = (under.right() - gap - fitted.width).max(under.x);
    let y = (under.bottom() - gap - fitted.height).max(under.y);
    let rect = Rect { x, y, width: fitted.width, height: fitted.height };
    Placed { rect, radius: (spacing.radius * 0.75).min(rect.width.min(rect.height) / 2.0), above: true }
}

/// The grid whose cells are largest; its last row is centred.
fn grid(area: Rect, count: usize, spacing: Spacing) -> Vec<Placed> {
    let Some((columns, cell)) = (1..=count)
        .map(|columns| (columns, cell_size(area, count, columns, spacing.gap)))
        .max_by(|a, b| a.1.total_cmp(&b.1))
    else {
        return Vec::new();
    };
    let rows = count.div_ceil(columns);
    let (width, height) = (cell.floor().max(0.0), (cell / WIDE).floor().max(0.0));
    // In an area too small for the gaps there are none.
    let gap = if width > 0.0 && height > 0.0 { spacing.gap } else { 0.0 };
    let top = area.y + ((area.height - span(rows, height, gap)) / 2.0).floor().max(0.0);
    (0..count)
        .map(|index| {
            let (row, column) = (index / columns, index % columns);
            let in_row = if row + 1 == rows { count - row * columns } else { columns };
            let left = area.x + ((area.width - span(in_row, width, gap)) / 2.0).floor().max(0.0);
            let x = left + column as f32 * (width + gap);
            let y = top + row as f32 * (height + gap);
            let rect = Rect { x: x.min(area.right()), y: y.min(area.bottom()), width, height };
            Placed { rect, radius: spacing.radius.min(width.min(height) / 2.0), above: false }
        })
        .collect()
}

/// The width of a 16:9 cell when `count` of them stand in `columns`; negative where the gaps alone do not fit.
fn cell_size(area: Rect, count: usize, columns: usize, gap: f32) -> f32 {
    let rows = count.div_ceil(columns);
    let width = (area.width - gap * (columns - 1) as f32) / columns as f32;
    let height = (area.height - gap * (rows - 1) as f32) / rows as f32;
    width.min(height * WIDE)
}

fn span(cells: usize, size: f32, gap: f32) -> f32 {
    cells as f32 * size + cells.saturating_sub(1) as f32 * gap
}

/// Pictures narrower than 1:4 or wider than 4:1 are letterboxed inside their tile instead.
fn sane(aspect: f32) -> f32 {
    if aspect.is_finite() { aspect.clamp(0.25, 4.0) } else { WIDE }
}

fn whole(area: Rect) -> Rect {
    let (x, y) = (area.x.ceil(), area.y.ceil());
    Rect { x, y, width: (area.right().floor() - x).max(0.0), height: (area.bottom().floor() - y).max(0.0) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Strategy, any, prop_assert, proptest};

    use super::*;

    const REMOTE: Shape = Shape { aspect: WIDE, party: Party::Remote };
    const LOCAL: Shape = Shape { aspect: WIDE, party: Party::Local };

    fn inside(inner: Rect, outer: Rect) -> bool {
        inner.x >= outer.x && inner.y >= outer.y && inner.right() <= outer.right() && inner.bottom() <= outer.bottom()
    }

    fn overlap(a: Rect, b: Rect) -> bool {
        a.x < b.right()
            && b.x < a.right()
            && a.y < b.bottom()
            && b.y < a.bottom()
            && a.surface() > 0.0
            && b.surface() > 0.0
    }

    fn area() -> impl Strategy<Value = Rect> {
        (0u16..200, 0u16..200, 0u16..4000, 0u16..3000)
            .prop_map(|(x, y, w, h)| Rect::new(f32::from(x), f32::from(y), f32::from(w), f32::from(h)))
    }

    #[test]
    fn a_picture_of_the_areas_shape_fills_it_pixel_for_pixel() {
        let area = Rect::new(0.0, 0.0, 1280.0, 720.0);
        assert_eq!(arrange(area, &[REMOTE, LOCAL], Spacing::PLAIN)[0].rect, area);
        let area = Rect::new(0.0, 0.0, 640.0, 360.0);
        assert_eq!(arrange(area, &[REMOTE], Spacing::PLAIN)[0].rect, area);
    }

    #[test]
    fn a_portrait_picture_stands_in_the_middle() {
        let tile = Shape { aspect: 0.5, party: Party::Remote };
        let placed = arrange(Rect::new(0.0, 0.0, 800.0, 400.0), &[tile], Spacing::PLAIN);
        assert_eq!(placed[0].rect, Rect::new(300.0, 0.0, 200.0, 400.0));
    }

    #[test]
    fn four_tiles_stand_two_by_two_and_three_have_a_centred_last_row() {
        let area = Rect::new(0.0, 0.0, 1280.0, 720.0);
        let four = arrange(area, &[REMOTE, REMOTE, REMOTE, LOCAL], Spacing::PLAIN);
        assert_eq!(four[3].rect, Rect::new(640.0, 360.0, 640.0, 360.0));
        let three = arrange(area, &[REMOTE, REMOTE, LOCAL], Spacing::PLAIN);
        assert_eq!(three[2].rect, Rect::new(320.0, 360.0, 640.0, 360.0));
    }

    proptest! {
        #[test]
        fn a_grid_stays_inside_and_does_not_overlap(area in area(), count in 2usize..=100, gap in 0u8..30) {
            let spacing = Spacing { gap: f32::from(gap), radius: 14.0 };
            let placed = arrange(area, &vec![REMOTE; count], spacing);
            prop_assert!(placed.len() == count);
            for (index, tile) in placed.iter().enumerate() {
                prop_assert!(inside(tile.rect, area), "{:?} leaves {area:?}", tile.rect);
                prop_assert!(tile.radius * 2.0 <= tile.rect.width.min(tile.rect.height));
                for other in &placed[index + 1..] {
                    prop_assert!(!overlap(tile.rect, other.rect), "{:?} and {:?}", tile.rect, other.rect);
                }
            }
        }

        #[test]
        fn ourselves_cover_at_most_a_quarter(area in area(), far in any::<f32>(), near in any::<f32>(), gap in 0u8..30) {
            let spacing = Spacing { gap: f32::from(gap), radius: 14.0 };
            let tiles = [Shape { aspect: far, ..REMOTE }, Shape { aspect: near, ..LOCAL }];
            let placed = arrange(area, &tiles, spacing);
            let (remote, local) = (placed[0], placed[1]);
            prop_assert!(inside(remote.rect, area));
            prop_assert!(inside(local.rect, remote.rect), "{:?} leaves {:?}", local.rect, remote.rect);
            prop_assert!(local.rect.surface() * 4.0 <= remote.rect.surface());
            prop_assert!(local.above && !remote.above);
        }
    }
}
