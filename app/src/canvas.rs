//! A window's surface: what is drawn to and presented.

use std::sync::Arc;

use engine::base::error::{Error, Kind, Result};
use engine::render::gpu::{GpuContext, instance};
use winit::event_loop::OwnedDisplayHandle;
use winit::window::Window;

/// A window, its surface and the device that draws to it.
pub struct Canvas {
    window: Arc<Window>,
    surface: wgpu::Surface<'static>,
    config: wgpu::SurfaceConfiguration,
    gpu: GpuContext,
    readable: bool,
}

impl Canvas {
    /// # Errors
    /// `Refused` where there is no graphics device for this window; the text says what to install.
    pub fn new(window: Arc<Window>, display: OwnedDisplayHandle) -> Result<Self> {
        let instance = instance(Some(Box::new(display)));
        let surface = instance
            .create_surface(window.clone())
            .map_err(|error| Error::new(Kind::Refused, format!("the window cannot be drawn to: {error}")))?;
        let gpu = GpuContext::open(instance, Some(&surface))?;
        let capabilities = surface.get_capabilities(&gpu.adapter);
        // Pictures and egui's colours are gamma-coded already: an sRGB target would code them twice.
        let format = capabilities.formats.iter().find(|format| !format.is_srgb()).or(capabilities.formats.first());
        let format = *format.ok_or_else(|| Error::new(Kind::Refused, "the window offers no pixel format"))?;
        // The newest picture at the next refresh, else at once (torn), else in a queue of one.
        let modes = [wgpu::PresentMode::Mailbox, wgpu::PresentMode::Immediate];
        let mode = modes.into_iter().find(|mode| capabilities.present_modes.contains(mode));
        let readable = capabilities.usages.contains(wgpu::TextureUsages::COPY_SRC);
        let copy = if readable { wgpu::TextureUsages::COPY_SRC } else { wgpu::TextureUsages::empty() };
        let size = window.inner_size();
        let config = wgpu::SurfaceConfiguration {
            usage: wgpu::TextureUsages::RENDER_ATTACHMENT | copy,
            format,
            color_space: wgpu::SurfaceColorSpace::Auto,
            width: size.width.max(1),
            height: size.height.max(1),
            present_mode: mode.unwrap_or(wgpu::PresentMode::Fifo),
            desired_maximum_frame_latency: 1,
            alpha_mode: wgpu::CompositeAlphaMode::Auto,
            view_formats: Vec::new(),
        };
        surface.configure(&gpu.device, &config);
        tracing::info!(?config.present_mode, ?config.format, "window");
        Ok(Self { window, surface, config, gpu, readable })
    }

    pub fn resize(&mut self, width: u32, height: u32) {
        if width > 0 && height > 0 {
            (self.config.width, self.config.height) = (width, height);
            self.surface.configure(&self.gpu.device, &self.config);
        }
    }

    /// What to draw the next frame to; `None` where the window cannot be drawn to now.
    pub fn acquire(&self) -> Option<wgpu::SurfaceTexture> {
        match self.surface.get_current_texture() {
            wgpu::CurrentSurfaceTexture::Success(texture) | wgpu::CurrentSurfaceTexture::Suboptimal(texture) => {
                Some(texture)
            }
            wgpu::CurrentSurfaceTexture::Outdated | wgpu::CurrentSurfaceTexture::Lost => {
                self.surface.configure(&self.gpu.device, &self.config);
                self.window.request_redraw();
                None
            }
            // Hidden or busy: the next snapshot or event asks again.
            _ => None,
        }
    }

    /// Shows what was drawn, once the device has done it.
    pub fn present(&self, texture: wgpu::SurfaceTexture) {
        self.window.pre_present_notify();
        self.gpu.queue.present(texture);
    }

    pub fn window(&self) -> &Window {
        &self.window
    }

    pub const fn gpu(&self) -> &GpuContext {
        &self.gpu
    }

    pub const fn format(&self) -> wgpu::TextureFormat {
        self.config.format
    }

    /// Width and height in pixels.
    pub const fn size(&self) -> (u32, u32) {
        (self.config.width, self.config.height)
    }

    /// Whether what was drawn can be read back.
    pub const fn is_readable(&self) -> bool {
        self.readable
    }
}
