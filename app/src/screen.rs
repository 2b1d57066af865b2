//! The window's surface: the picture and egui over it, presented; parts of it read back.

use std::sync::Arc;

use egui::{Rect as UiRect, ViewportId, pos2, vec2};
use engine::base::error::Result;
use engine::base::time::{Instant, now};
use engine::handle::Command;
use engine::layout::grid::{Rect, Spacing};
use engine::layout::snapshot::ViewSnapshot;
use engine::render::draw::{Counters, Drawn, Renderer, View};
use engine::render::offscreen::Readback;
use winit::event_loop::OwnedDisplayHandle;
use winit::raw_window_handle::{HasWindowHandle, RawWindowHandle};
use winit::window::Window;

use crate::canvas::Canvas;
use crate::input;
use crate::ui::tiles::TilePlace;
use crate::ui::{self, UiState, theme};

/// A window one can draw to.
pub struct Screen {
    canvas: Canvas,
    renderer: Renderer,
    painter: egui_wgpu::Renderer,
    input: egui_winit::State,
    readback: Readback,
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
        let canvas = Canvas::new(window.clone(), display)?;
        let gpu = canvas.gpu();
        let side = gpu.device.limits().max_texture_dimension_2d as usize;
        let scale = window.scale_factor() as f32;
        let input = egui_winit::State::new(context, ViewportId::ROOT, &window, Some(scale), window.theme(), Some(side));
        Ok(Self {
            renderer: Renderer::new(&gpu.device, &gpu.queue, canvas.format()),
            painter: egui_wgpu::Renderer::new(&gpu.device, canvas.format(), Default::default()),
            canvas,
            input,
            readback: Readback::default(),
        })
    }

    /// Hands an event to egui; true when the window should be drawn again.
    pub fn handle_event(&mut self, event: &winit::event::WindowEvent) -> bool {
        self.input.on_window_event(self.canvas.window(), event).repaint
    }

    pub fn resize(&mut self, width: u32, height: u32) {
        self.canvas.resize(width, height);
    }

    pub fn window(&self) -> &Window {
        self.canvas.window()
    }

    /// The window's number on its X11 display; `None` where it is on another kind of display.
    pub fn x11_window(&self) -> Option<u32> {
        match self.canvas.window().window_handle().ok()?.as_raw() {
            RawWindowHandle::Xlib(handle) => u32::try_from(handle.window).ok(),
            RawWindowHandle::Xcb(handle) => Some(handle.window.get()),
            _ => None,
        }
    }

    pub fn counters(&self) -> Counters {
        self.renderer.counters()
    }

    /// Draws the snapshot and the controls and presents them; `None` where the window cannot be drawn to now.
    ///
    /// # Errors
    /// `Reopen` when the graphics device is lost.
    pub fn draw(&mut self, snapshot: &ViewSnapshot, state: &mut UiState, read: Read) -> Result<Option<Frame>> {
        let Some(texture) = self.canvas.acquire() else { return Ok(None) };
        let target = texture.texture.create_view(&Default::default());
        let context = self.input.egui_ctx().clone();
        let scale = egui_winit::pixels_per_point(&context, self.canvas.window());
        let mut encoder = self.canvas.gpu().device.create_command_encoder(&Default::default());
        let view = self.view(&context, scale);
        let tiles = if UiState::shows_tiles(&snapshot.phase) { snapshot.tiles.as_slice() } else { &[] };
        let drawn = self.renderer.draw(&mut encoder, &target, tiles, &view).to_vec();
        let places: Vec<TilePlace> = drawn.iter().map(|tile| in_points(tile, scale)).collect();

        let mut commands = Vec::new();
        let output = context.run_ui(self.input.take_egui_input(self.canvas.window()), |ui| {
            commands.extend(input::shortcuts(ui, snapshot, state));
            commands.extend(ui::draw(ui, snapshot, &places, state, now()));
        });
        self.input.handle_platform_output(self.canvas.window(), output.platform_output);
        let buffers = self.paint(
            &mut encoder,
            &target,
            &context.tessellate(output.shapes, output.pixels_per_point),
            output.textures_delta,
            scale,
        );
        let region = self.region(read, &drawn);
        if let Some(region) = region {
            self.readback.copy(&self.canvas.gpu().device, &mut encoder, &texture.texture, region)?;
        }
        let submission = self.canvas.gpu().queue.submit(buffers.into_iter().chain([encoder.finish()]));
        self.canvas.present(texture);
        let at = now();
        let pixels = region.map(|region| self.take_pixels(region, submission)).transpose()?;
        let repaint_after =
            output.viewport_output.get(&ViewportId::ROOT).map_or(std::time::Duration::MAX, |root| root.repaint_delay);
        Ok(Some(Frame { commands, at, drawn, repaint_after, pixels }))
    }

    fn view(&self, context: &egui::Context, scale: f32) -> View {
        let colours = theme::palette(context.theme() == egui::Theme::Dark);
        let (width, height) = self.canvas.size();
        let size = vec2(width as f32, height as f32);
        let area = ui::video_area(UiRect::from_min_size(pos2(0.0, 0.0), size / scale));
        View {
            width,
            height,
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
        let (device, queue) = (&self.canvas.gpu().device, &self.canvas.gpu().queue);
        for (id, deltas) in textures.set.drain() {
            for delta in &deltas {
                self.painter.update_texture(device, queue, id, delta);
            }
        }
        let size = egui_wgpu::ScreenDescriptor { size_in_pixels: self.canvas.size().into(), pixels_per_point: scale };
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
        if !self.canvas.is_readable() {
            return None;
        }
        match read {
            Read::Nothing => None,
            Read::Everything => {
                let (width, height) = self.canvas.size();
                Some([0, 0, width, height])
            }
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
        self.readback.take(&self.canvas.gpu().device, submission, &mut pixels)?;
        if matches!(self.canvas.format(), wgpu::TextureFormat::Bgra8Unorm | wgpu::TextureFormat::Bgra8UnormSrgb) {
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
