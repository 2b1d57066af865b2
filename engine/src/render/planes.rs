//! Planes in texture arrays. A layer of the array is a page; a page holds one picture, or 4, 16 or 64 smaller ones in
//! equal cells, so that a hundred thumbnails do not cost a hundred full-size layers and one binding serves them all.

use crate::base::id::TileId;
use crate::layout::snapshot::TileView;
use crate::media::video::Picture;

/// Page sides are multiples of this, so that an eighth of a page has even sides and chroma cells are whole.
const STEP: u32 = 128;
/// How a page may be divided along each side.
const DIVISIONS: [u32; 4] = [8, 4, 2, 1];

/// Luma (R8) and chroma (RG8, half size) pages, and which tile lives where.
#[derive(Debug)]
pub struct Planes {
    luma: wgpu::Texture,
    chroma: wgpu::Texture,
    page_width: u32,
    page_height: u32,
    pages: Vec<Page>,
    slots: Vec<Slot>,
    interleaved: Vec<u8>,
    generation: u64,
    uploads: u64,
    uploaded_bytes: u64,
    refused: u64,
}

/// Where a tile's picture lies: page and origin in luma texels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub page: u32,
    pub x: u32,
    pub y: u32,
}

#[derive(Debug)]
struct Page {
    division: u32,
    used: u64,
}

#[derive(Debug)]
struct Slot {
    tile: TileId,
    division: u32,
    page: usize,
    cell: u32,
    frame: Option<u64>,
    size: (u32, u32),
    seen: bool,
}

impl Planes {
    pub fn new(device: &wgpu::Device) -> Self {
        let (luma, chroma) = textures(device, STEP, STEP, 1);
        Self {
            luma,
            chroma,
            page_width: STEP,
            page_height: STEP,
            pages: Vec::new(),
            slots: Vec::new(),
            interleaved: Vec::new(),
            generation: 0,
            uploads: 0,
            uploaded_bytes: 0,
            refused: 0,
        }
    }

    /// Gives every picture of `tiles` a place and uploads those whose frame changed. The textures may be others after:
    /// compare [`Planes::generation`].
    pub fn update(&mut self, device: &wgpu::Device, queue: &wgpu::Queue, tiles: &[TileView]) {
        self.forget_missing(tiles);
        self.fit_pages(device, tiles);
        let limit = device.limits().max_texture_array_layers as usize;
        for tile in tiles {
            let Some(picture) = shown(tile) else { continue };
            let Some(division) = self.division_for(picture) else { continue };
            let known = self.slots.iter().any(|slot| slot.tile == tile.id && slot.division == division);
            if !known {
                self.release(tile.id);
                self.assign(tile.id, division, limit);
            }
        }
        // Before any upload: growing throws away what was uploaded.
        let layers = self.luma.depth_or_array_layers();
        if self.pages.len() > layers as usize {
            let layers = (self.pages.len().next_power_of_two()).min(limit) as u32;
            self.recreate(device, self.page_width, self.page_height, layers);
        }
        for tile in tiles {
            if let Some(picture) = shown(tile) {
                self.upload(queue, tile, picture);
            }
        }
    }

    /// Where the picture of `tile` lies; `None` where it has none or did not fit.
    pub fn place(&self, tile: TileId) -> Option<Place> {
        let slot = self.slots.iter().find(|slot| slot.tile == tile)?;
        let (x, y) = self.origin(slot);
        Some(Place { page: slot.page as u32, x, y })
    }

    /// Another number whenever the textures are other ones.
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    pub const fn page_size(&self) -> (u32, u32) {
        (self.page_width, self.page_height)
    }

    pub const fn textures(&self) -> (&wgpu::Texture, &wgpu::Texture) {
        (&self.luma, &self.chroma)
    }

    /// Pictures uploaded, their bytes, and pictures that found no place.
    pub const fn counts(&self) -> (u64, u64, u64) {
        (self.uploads, self.uploaded_bytes, self.refused)
    }

    fn forget_missing(&mut self, tiles: &[TileView]) {
        for slot in &mut self.slots {
            slot.seen = false;
        }
        for tile in tiles.iter().filter(|tile| shown(tile).is_some()) {
            if let Some(slot) = self.slots.iter_mut().find(|slot| slot.tile == tile.id) {
                slot.seen = true;
            }
        }
        while let Some(gone) = self.slots.iter().find(|slot| !slot.seen).map(|slot| slot.tile) {
            self.release(gone);
        }
    }

    /// Pages as large as the largest picture needs. They shrink only when the last picture is gone.
    fn fit_pages(&mut self, device: &wgpu::Device, tiles: &[TileView]) {
        let most = device.limits().max_texture_dimension_2d;
        let pictures = || tiles.iter().filter_map(shown);
        if pictures().next().is_none() {
            if self.page_width > STEP || self.page_height > STEP {
                self.recreate(device, STEP, STEP, 1);
            }
            return;
        }
        let side = |old: u32, needed: Option<u32>| old.max(needed.unwrap_or(STEP).next_multiple_of(STEP));
        let fits = |picture: &&Picture| picture.width <= most && picture.height <= most;
        let width = side(self.page_width, pictures().filter(fits).map(|picture| picture.width).max()).min(most);
        let height = side(self.page_height, pictures().filter(fits).map(|picture| picture.height).max()).min(most);
        if (width, height) != (self.page_width, self.page_height) {
            self.recreate(device, width, height, self.luma.depth_or_array_layers());
            self.slots.clear();
            self.pages.clear();
        }
    }

    fn recreate(&mut self, device: &wgpu::Device, width: u32, height: u32, layers: u32) {
        (self.luma, self.chroma) = textures(device, width, height, layers);
        (self.page_width, self.page_height) = (width, height);
        self.generation += 1;
        for slot in &mut self.slots {
            slot.frame = None;
        }
    }

    fn division_for(&self, picture: &Picture) -> Option<u32> {
        let fits = |division: &u32| {
            picture.width <= self.page_width / division && picture.height <= self.page_height / division
        };
        DIVISIONS.into_iter().find(fits)
    }

    fn assign(&mut self, tile: TileId, division: u32, limit: usize) {
        let cells = division * division;
        let full = if cells == 64 { u64::MAX } else { (1 << cells) - 1 };
        let free = |page: &Page| page.used == 0 || (page.division == division && page.used != full);
        let page = match self.pages.iter().position(free) {
            Some(page) => page,
            None if self.pages.len() < limit => {
                self.pages.push(Page { division, used: 0 });
                self.pages.len() - 1
            }
            None => {
                self.refused += 1;
                return;
            }
        };
        let place = &mut self.pages[page];
        place.division = division;
        let cell = place.used.trailing_ones();
        place.used |= 1 << cell;
        self.slots.push(Slot { tile, division, page, cell, frame: None, size: (0, 0), seen: true });
    }

    fn release(&mut self, tile: TileId) {
        if let Some(index) = self.slots.iter().position(|slot| slot.tile == tile) {
            let slot = self.slots.swap_remove(index);
            self.pages[slot.page].used &= !(1 << slot.cell);
        }
    }

    fn origin(&self, slot: &Slot) -> (u32, u32) {
        let (column, row) = (slot.cell % slot.division, slot.cell / slot.division);
        (column * (self.page_width / slot.division), row * (self.page_height / slot.division))
    }

    fn upload(&mut self, queue: &wgpu::Queue, tile: &TileView, picture: &Picture) {
        let size = (picture.width, picture.height);
        let Some(index) = self.slots.iter().position(|slot| slot.tile == tile.id) else { return };
        let slot = &self.slots[index];
        if slot.frame == Some(tile.frame) && slot.size == size {
            return;
        }
        let ((x, y), page) = (self.origin(slot), slot.page as u32);
        // Two planes of one byte become one of two: half the texture reads for chroma.
        self.interleaved.resize(picture.u.len() * 2, 0);
        for ((pair, u), v) in self.interleaved.as_chunks_mut::<2>().0.iter_mut().zip(&picture.u).zip(&picture.v) {
            *pair = [*u, *v];
        }
        let (chroma_width, chroma_height) = picture.chroma_size();
        write(queue, &self.luma, (x, y, page), (picture.width, picture.height), 1, &picture.y);
        write(queue, &self.chroma, (x / 2, y / 2, page), (chroma_width, chroma_height), 2, &self.interleaved);
        let slot = &mut self.slots[index];
        (slot.frame, slot.size) = (Some(tile.frame), size);
        self.uploads += 1;
        self.uploaded_bytes += (picture.y.len() + self.interleaved.len()) as u64;
    }
}

/// The tile's picture if it has one whose planes are of the promised size.
pub fn shown(tile: &TileView) -> Option<&Picture> {
    let picture = tile.picture.as_deref()?;
    let (chroma_width, chroma_height) = picture.chroma_size();
    let (luma, chroma) =
        (picture.width as usize * picture.height as usize, chroma_width as usize * chroma_height as usize);
    let whole = luma > 0 && picture.y.len() == luma && picture.u.len() == chroma && picture.v.len() == chroma;
    whole.then_some(picture)
}

fn write(
    queue: &wgpu::Queue,
    texture: &wgpu::Texture,
    (x, y, z): (u32, u32, u32),
    (width, height): (u32, u32),
    texel_bytes: u32,
    data: &[u8],
) {
    queue.write_texture(
        wgpu::TexelCopyTextureInfo {
            texture,
            mip_level: 0,
            origin: wgpu::Origin3d { x, y, z },
            aspect: wgpu::TextureAspect::All,
        },
        data,
        wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(width * texel_bytes), rows_per_image: None },
        wgpu::Extent3d { width, height, depth_or_array_layers: 1 },
    );
}

fn textures(device: &wgpu::Device, width: u32, height: u32, layers: u32) -> (wgpu::Texture, wgpu::Texture) {
    let texture = |label, width, height, format| {
        device.create_texture(&wgpu::TextureDescriptor {
            label: Some(label),
            size: wgpu::Extent3d { width, height, depth_or_array_layers: layers },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format,
            usage: wgpu::TextureUsages::TEXTURE_BINDING | wgpu::TextureUsages::COPY_DST,
            view_formats: &[],
        })
    };
    (
        texture("luma pages", width, height, wgpu::TextureFormat::R8Unorm),
        texture("chroma pages", width / 2, height / 2, wgpu::TextureFormat::Rg8Unorm),
    )
}
