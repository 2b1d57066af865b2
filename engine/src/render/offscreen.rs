//! The same picture without a window: for reports, screenshots and reading markers out of presented pixels.

use std::path::Path;
use std::sync::Arc;

use crate::base::error::{Error, Kind, Result};
use crate::layout::snapshot::ViewSnapshot;

use super::draw::{Counters, Drawn, Renderer, View};
use super::gpu::GpuContext;

/// RGBA, one byte each, not sRGB: pictures arrive gamma-coded and leave so.
pub const FORMAT: wgpu::TextureFormat = wgpu::TextureFormat::Rgba8Unorm;

/// A target of fixed size that is nowhere on a screen.
#[derive(Debug)]
pub struct Offscreen {
    gpu: Arc<GpuContext>,
    renderer: Renderer,
    target: wgpu::Texture,
    view: wgpu::TextureView,
    readback: Readback,
}

impl Offscreen {
    /// # Errors
    /// `Refused` where the device cannot have a target of that size.
    pub fn new(gpu: Arc<GpuContext>, width: u32, height: u32) -> Result<Self> {
        let most = gpu.device.limits().max_texture_dimension_2d;
        if width == 0 || height == 0 || width > most || height > most {
            let text = format!("a picture of {width}×{height} cannot be drawn here: 1 to {most} pixels a side");
            return Err(Error::new(Kind::Refused, text));
        }
        let target = gpu.device.create_texture(&wgpu::TextureDescriptor {
            label: Some("offscreen"),
            size: wgpu::Extent3d { width, height, depth_or_array_layers: 1 },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: FORMAT,
            usage: wgpu::TextureUsages::RENDER_ATTACHMENT | wgpu::TextureUsages::COPY_SRC,
            view_formats: &[],
        });
        Ok(Self {
            renderer: Renderer::new(&gpu.device, &gpu.queue, FORMAT),
            view: target.create_view(&Default::default()),
            readback: Readback::default(),
            target,
            gpu,
        })
    }

    /// Draws `snapshot` edge to edge ([`View::plain`]); the drawing may still be going on when this returns.
    pub fn render(&mut self, snapshot: &ViewSnapshot) -> &[Drawn] {
        let view = View::plain(self.target.width(), self.target.height());
        self.render_as(snapshot, &view)
    }

    /// Draws `snapshot` as `view` says.
    pub fn render_as(&mut self, snapshot: &ViewSnapshot, view: &View) -> &[Drawn] {
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        self.renderer.draw(&mut encoder, &self.view, &snapshot.tiles, view);
        self.gpu.queue.submit([encoder.finish()]);
        self.renderer.drawn()
    }

    /// The pixels of `x, y, width, height` into `rgba`: rows top-down without padding. Waits until they are drawn; copies
    /// only what is asked for.
    ///
    /// # Errors
    /// `Refused` for a region outside the target, `Reopen` when the device is lost.
    pub fn read_region(&mut self, region: [u32; 4], rgba: &mut Vec<u8>) -> Result<()> {
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        self.readback.copy(&self.gpu.device, &mut encoder, &self.target, region)?;
        let submission = self.gpu.queue.submit([encoder.finish()]);
        self.readback.take(&self.gpu.device, submission, rgba)
    }

    /// All pixels, rows top-down without padding.
    ///
    /// # Errors
    /// `Reopen` when the device is lost.
    pub fn read_rgba(&mut self) -> Result<Vec<u8>> {
        let mut rgba = Vec::new();
        self.read_region([0, 0, self.target.width(), self.target.height()], &mut rgba)?;
        Ok(rgba)
    }

    /// Writes what was drawn last to a PNG file.
    ///
    /// # Errors
    /// As [`Offscreen::read_rgba`]; `Refused` when the file cannot be written.
    pub fn save_png(&mut self, path: &Path) -> Result<()> {
        let rgba = self.read_rgba()?;
        save_png(path, self.target.width(), self.target.height(), &rgba)
    }

    pub fn size(&self) -> (u32, u32) {
        (self.target.width(), self.target.height())
    }

    pub fn counters(&self) -> Counters {
        self.renderer.counters()
    }
}

/// Writes RGBA rows to a PNG file.
///
/// # Errors
/// `Refused` when the file cannot be written; `Malformed` when `rgba` is not `width × height × 4` bytes.
pub fn save_png(path: &Path, width: u32, height: u32, rgba: &[u8]) -> Result<()> {
    if rgba.len() as u64 != u64::from(width) * u64::from(height) * 4 {
        return Err(Error::new(Kind::Malformed, "the picture's bytes are not of its size"));
    }
    image::save_buffer_with_format(path, rgba, width, height, image::ColorType::Rgba8, image::ImageFormat::Png)
        .map_err(|error| Error::new(Kind::Refused, format!("{} was not written: {error}", path.display())))
}

/// Copies parts of a texture back to memory, through one buffer that is kept.
#[derive(Debug, Default)]
pub struct Readback {
    buffer: Option<wgpu::Buffer>,
    width: u32,
    height: u32,
    stride: u32,
}

impl Readback {
    /// Adds the copy of `region` (x, y, width, height) of `texture`, four bytes per pixel, to `encoder`.
    ///
    /// # Errors
    /// `Refused` for an empty region or one outside the texture.
    pub fn copy(
        &mut self,
        device: &wgpu::Device,
        encoder: &mut wgpu::CommandEncoder,
        texture: &wgpu::Texture,
        [x, y, width, height]: [u32; 4],
    ) -> Result<()> {
        let ends =
            |start: u32, length: u32, end: u32| length > 0 && start.checked_add(length).is_some_and(|at| at <= end);
        if !ends(x, width, texture.width()) || !ends(y, height, texture.height()) {
            return Err(Error::new(Kind::Refused, "the region to read lies outside the picture"));
        }
        self.stride = (width * 4).next_multiple_of(wgpu::COPY_BYTES_PER_ROW_ALIGNMENT);
        (self.width, self.height) = (width, height);
        let size = u64::from(self.stride) * u64::from(height);
        let buffer = match self.buffer.take() {
            Some(buffer) if buffer.size() >= size => buffer,
            _ => device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("readback"),
                size,
                usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            }),
        };
        encoder.copy_texture_to_buffer(
            wgpu::TexelCopyTextureInfo {
                texture,
                mip_level: 0,
                origin: wgpu::Origin3d { x, y, z: 0 },
                aspect: wgpu::TextureAspect::All,
            },
            wgpu::TexelCopyBufferInfo {
                buffer: &buffer,
                layout: wgpu::TexelCopyBufferLayout {
                    offset: 0,
                    bytes_per_row: Some(self.stride),
                    rows_per_image: None,
                },
            },
            wgpu::Extent3d { width, height, depth_or_array_layers: 1 },
        );
        self.buffer = Some(buffer);
        Ok(())
    }

    /// Waits for `submission`, which holds the copy, and puts the rows into `pixels` without padding.
    ///
    /// # Errors
    /// `Reopen` when the device is lost.
    pub fn take(
        &mut self,
        device: &wgpu::Device,
        submission: wgpu::SubmissionIndex,
        pixels: &mut Vec<u8>,
    ) -> Result<()> {
        let lost = || Error::new(Kind::Reopen, "the graphics device was lost while reading pixels back");
        let buffer = self.buffer.as_ref().ok_or_else(lost)?;
        let slice = buffer.slice(..u64::from(self.stride) * u64::from(self.height));
        slice.map_async(wgpu::MapMode::Read, |_| ());
        device.poll(wgpu::PollType::Wait { submission_index: Some(submission), timeout: None }).map_err(|_| lost())?;
        pixels.clear();
        {
            let rows = slice.get_mapped_range().map_err(|_| lost())?;
            for row in rows.chunks(self.stride as usize) {
                pixels.extend_from_slice(&row[..self.width as usize * 4]);
            }
        }
        buffer.unmap();
        Ok(())
    }
}
