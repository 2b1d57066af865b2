//! The window's surface: the picture and egui over it, presented; parts of it read back.

use std::sync::Arc;

use egui::{Rect as UiRect, ViewportId, pos2, vec2};
use engine::base::error::{Error, Kind, Result};
use engine::base::time::{Instant, now};
use engine::handle::Command;
use engine::layout::grid::{Rect, Spacing};
use engine::layout::snapshot::ViewSnapshot;
use engine::render::draw::{Counters, Drawn, Renderer, View};
use engine::render::gpu::{GpuContext, instance};
use engine::render::offscreen::Readback;
use winit::event_loop::OwnedDisplayHandle;
use winit::window::Window;

use crate::input;
use crate::ui::tiles::TilePlace;
use crate::ui::{self, UiState, theme};

/// A window one can draw to.
pub struct Screen {
    window: Arc<Window>,
    surface: wgpu::Surface<'static>,
    config: wgpu::SurfaceConfiguration,
    gpu: GpuContext,
    renderer: Renderer,
    painter: egui_wgpu::Renderer,
    input: egui_winit::State,
    readback: Readback,
    readable: bool,
}

/// What became of one frame.
pub struct Frame {
    pub commands: Vec<Command>,
    /// When present returned.
    pub at: Instant,
    pub drawn: Vec<Drawn>,
    /// When egui wants to be drawn again.
    pub repaint_after: std::time::Duration,
    /// The region asked for: its place and RGBA rows without padding.
    pub pixels: Option<([u32; 4], Vec<u8>)>,
}

/// What to read back of a frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Read {
    Nothing,
    Everything,
    /// The upper part of the first tile's picture: this share of its height.
    Strip(f32),
}

impl Screen {
    /// # Errors
    /// `Refused` where there is no graphics device for this window; the text says what to install.
    pub fn new(window: Arc<Window>, display: OwnedDisplayHandle, context: egui::Context) -> Result<Self> {
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
        let side = gpu.device.limits().max_texture_dimension_2d as usize;
        let scale = window.scale_factor() as f32;
        let input = egui_winit::State::new(context, ViewportId::ROOT, &window, Some(scale), window.theme(), Some(side));
        Ok(Self {
            renderer: Renderer::new(&gpu.device, &gpu.queue, config.format),
            painter: egui_wgpu::Renderer::new(&gpu.device, config.format, Default::default()),
            window,
            surface,
            config,
            gpu,
            input,
            readback: Readback::default(),
            readable,
        })
    }

    /// Hands an event to egui; true when the window should be drawn again.
    pub fn handle_event(&mut self, event: &winit::event::WindowEvent) -> bool {
        self.input.on_window_event(&self.window, event).repaint
    }

    pub fn resize(&mut self, width: u32, height: u32) {
        if width > 0 && height > 0 {
            (self.config.width, self.config.height) = (width, height);
            self.surface.configure(&self.gpu.device, &self.config);
        }
    }

    pub fn window(&self) -> &Window {
        &self.window
    }

    pub fn counters(&self) -> Counters {
        self.renderer.counters()
    }

    /// Draws the snapshot and the controls and presents them; `None` where the window cannot be drawn to now.
    ///
    /// # Errors
    /// `Reopen` when the graphics device is lost.
    pub fn draw(&mut self, snapshot: &ViewSnapshot, state: &mut UiState, read: Read) -> Result<Option<Frame>> {
        let Some(texture) = self.acquire() else { return Ok(None) };
        let target = texture.texture.create_view(&Default::default());
        let context = self.input.egui_ctx().clone();
        let scale = egui_winit::pixels_per_point(&context, &self.window);
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        let view = self.view(&context, scale);
        let tiles = if UiState::shows_tiles(&snapshot.phase) { snapshot.tiles.as_slice() } else { &[] };
        let drawn = self.renderer.draw(&mut encoder, &target, tiles, &view).to_vec();
        let places: Vec<TilePlace> = drawn.iter().map(|tile| in_points(tile, scale)).collect();

        let mut commands = Vec::new();
        let output = context.run_ui(self.input.take_egui_input(&self.window), |ui| {
            commands.extend(input::shortcuts(ui, snapshot, state));
            commands.extend(ui::draw(ui, snapshot, &places, state, now()));
        });
        self.input.handle_platform_output(&self.window, output.platform_output);
        let buffers = self.paint(
            &mut encoder,
            &target,
            &context.tessellate(output.shapes, output.pixels_per_point),
            output.textures_delta,
            scale,
        );
        let region = self.region(read, &drawn);
        if let Some(region) = region {
            self.readback.copy(&self.gpu.device, &mut encoder, &texture.texture, region)?;
        }
        let submission = self.gpu.queue.submit(buffers.into_iter().chain([encoder.finish()]));
        self.window.pre_present_notify();
        self.gpu.queue.present(texture);
        let at = now();
        let pixels = region.map(|region| self.take_pixels(region, submission)).transpose()?;
        let repaint_after =
            output.viewport_output.get(&ViewportId::ROOT).map_or(std::time::Duration::MAX, |root| root.repaint_delay);
        Ok(Some(Frame { commands, at, drawn, repaint_after, pixels }))
    }

    fn acquire(&mut self) -> Option<wgpu::SurfaceTexture> {
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

    fn view(&self, context: &egui::Context, scale: f32) -> View {
        let colours = theme::palette(context.theme() == egui::Theme::Dark);
        let size = vec2(self.config.width as f32, self.config.height as f32);
        let area = ui::video_area(UiRect::from_min_size(pos2(0.0, 0.0), size / scale));
        View {
            width: self.config.width,
            height: self.config.height,
            area: Rect::new(area.left() * scale, area.top() * scale, area.width() * scale, area.height() * scale),
            spacing: Spacing::rounded(scale),
            background: rgb(colours.background),
            tile: rgb(colours.tile),
        }
    }

    fn paint(
        &mut self,
        encoder: &mut wgpu::CommandEncoder,
        target: &wgpu::TextureView,
        shapes: &[egui::ClippedPrimitive],
        mut textures: egui::TexturesDelta,
        scale: f32,
    ) -> Vec<wgpu::CommandBuffer> {
        let (device, queue) = (&self.gpu.device, &self.gpu.queue);
        for (id, deltas) in textures.set.drain() {
            for delta in &deltas {
                self.painter.update_texture(device, queue, id, delta);
            }
        }
        let size = egui_wgpu::ScreenDescriptor {
            size_in_pixels: [self.config.width, self.config.height],
            pixels_per_point: scale,
        };
        let buffers = self.painter.update_buffers(device, queue, encoder, shapes, &size);
        let pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
            label: Some("controls"),
            color_attachments: &[Some(wgpu::RenderPassColorAttachment {
                view: target,
                depth_slice: None,
                resolve_target: None,
                ops: wgpu::Operations { load: wgpu::LoadOp::Load, store: wgpu::StoreOp::Store },
            })],
            ..Default::default()
        });
        self.painter.render(&mut pass.forget_lifetime(), shapes, &size);
        for id in textures.free.drain() {
            self.painter.free_texture(&id);
        }
        buffers
    }

    fn region(&self, read: Read, drawn: &[Drawn]) -> Option<[u32; 4]> {
        if !self.readable {
            return None;
        }
        match read {
            Read::Nothing => None,
            Read::Everything => Some([0, 0, self.config.width, self.config.height]),
            Read::Strip(share) => {
                let tile = drawn.iter().find(|tile| tile.new && !tile.placed.above)?;
                let picture = tile.picture?;
                let height = (picture.height * share).floor();
                let region = [picture.x, picture.y, picture.width, height].map(|number| number as u32);
                (region[2] > 0 && region[3] > 0).then_some(region)
            }
        }
    }

    fn take_pixels(&mut self, region: [u32; 4], submission: wgpu::SubmissionIndex) -> Result<([u32; 4], Vec<u8>)> {
        let mut pixels = Vec::new();
        self.readback.take(&self.gpu.device, submission, &mut pixels)?;
        if matches!(self.config.format, wgpu::TextureFormat::Bgra8Unorm | wgpu::TextureFormat::Bgra8UnormSrgb) {
            pixels.as_chunks_mut::<4>().0.iter_mut().for_each(|pixel| pixel.swap(0, 2));
        }
        Ok((region, pixels))
    }
}

fn in_points(tile: &Drawn, scale: f32) -> TilePlace {
    let rect = tile.placed.rect;
    let rect = UiRect::from_min_size(pos2(rect.x / scale, rect.y / scale), vec2(rect.width, rect.height) / scale);
    TilePlace { rect, radius: tile.placed.radius / scale, has_picture: tile.picture.is_some() }
}

fn rgb(colour: egui::Color32) -> [f32; 3] {
    [colour.r(), colour.g(), colour.b()].map(|part| f32::from(part) / 255.0)
}
