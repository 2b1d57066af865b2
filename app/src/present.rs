//! Presents without a window: the same renderer, an offscreen target, and the pixels read back for the marker.

use std::path::Path;
use std::sync::Arc;

use engine::base::error::Result;
use engine::base::time::now;
use engine::layout::snapshot::{Party, Presented, ViewSnapshot};
use engine::media::marker::{self, Marker};
use engine::render::draw::Drawn;
use engine::render::gpu::GpuContext;
use engine::render::offscreen::Offscreen;

/// A graphics processor draws the picture as it came.
const SIZE: (u32, u32) = (1280, 720);

/// Where the main processor draws, each pixel costs the call its time: the marker can still be read at this size.
const SOFTWARE_SIZE: (u32, u32) = (320, 180);

/// What a screenshot is drawn at.
const SHOT: (u32, u32) = (1280, 720);

/// An offscreen screen for the remote tile.
pub struct Presenter {
    gpu: Arc<GpuContext>,
    target: Offscreen,
    rgba: Vec<u8>,
    /// The whole picture as last described, for the screenshot.
    last: Arc<ViewSnapshot>,
}

impl Presenter {
    /// # Errors
    /// No graphics adapter: a line for the person.
    pub fn new(gpu: Arc<GpuContext>) -> Result<Self> {
        let software = gpu.adapter.get_info().device_type == wgpu::DeviceType::Cpu;
        let (width, height) = if software { SOFTWARE_SIZE } else { SIZE };
        let target = Offscreen::new(gpu.clone(), width, height)?;
        Ok(Self { gpu, target, rgba: Vec::new(), last: Arc::default() })
    }

    /// Draws `snapshot`'s remote tile. A picture that was not drawn before, with the moment at which it was drawn.
    ///
    /// # Errors
    /// The graphics device is lost.
    pub fn present(&mut self, snapshot: Arc<ViewSnapshot>) -> Result<Option<Presented>> {
        let mut remote = ViewSnapshot { tiles: snapshot.tiles.clone(), ..Default::default() };
        remote.tiles.retain(|tile| tile.party == Party::Remote && tile.picture.is_some());
        self.last = snapshot;
        if remote.tiles.is_empty() {
            return Ok(None);
        }
        let drawn = self.target.render(&remote).iter().find(|tile| tile.new).copied();
        let Some(drawn) = drawn else { return Ok(None) };
        let marker = self.read_marker(&drawn)?;
        // Reading back waits until it is drawn.
        Ok(Some(Presented { tile: drawn.id, frame: drawn.frame, at: now(), marker, refresh: None }))
    }

    /// The marker lies in the upper third of the card, wherever the card lies on the screen.
    fn read_marker(&mut self, drawn: &Drawn) -> Result<Option<Marker>> {
        let Some(place) = drawn.picture else { return Ok(None) };
        let [x, y, width, height] = [place.x, place.y, place.width, place.height].map(|n| n.max(0.0) as u32);
        self.target.read_region([x, y, width, height * 5 / 16], &mut self.rgba)?;
        // The reader wants the whole card; rows below the strip are not looked at.
        self.rgba.resize(width as usize * height as usize * 4, 0);
        Ok(marker::read_rgba(&self.rgba, width as usize * 4, width, height))
    }

    /// Writes the whole picture, all tiles, as PNG.
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut shot = Offscreen::new(self.gpu.clone(), SHOT.0, SHOT.1)?;
        shot.render(&self.last);
        shot.save_png(path)
    }
}
