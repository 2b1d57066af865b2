//! The renderer: one description of the picture in, one instanced draw out.

use crate::base::id::TileId;
use crate::layout::grid::{Placed, Rect, Shape, Spacing, arrange};
use crate::layout::snapshot::TileView;
use crate::media::video::Picture;

use super::colour::{ALL, Coefficients, index};
use super::planes::{Planes, shown};
use super::shaders::tile_module;

/// Where and how to draw, beside what.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View {
    /// The target's size in physical pixels.
    pub width: u32,
    pub height: u32,
    /// Where in the target tiles may stand.
    pub area: Rect,
    pub spacing: Spacing,
    /// R'G'B' around the tiles.
    pub background: [f32; 3],
    /// R'G'B' of a tile without a picture, and beside one that does not fill it.
    pub tile: [f32; 3],
}

impl View {
    /// Tiles over the whole target, edge to edge, on black.
    pub const fn plain(width: u32, height: u32) -> Self {
        let area = Rect::new(0.0, 0.0, width as f32, height as f32);
        Self { width, height, area, spacing: Spacing::PLAIN, background: [0.0; 3], tile: [0.08; 3] }
    }
}

/// One drawn tile.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drawn {
    pub id: TileId,
    pub placed: Placed,
    /// Where the picture itself is, inside the tile; `None` where the tile has none.
    pub picture: Option<Rect>,
    pub frame: u64,
    /// This frame was not on this target before: report it as presented.
    pub new: bool,
}

/// What was done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub pictures: u64,
    /// One per picture that has tiles, whatever their number.
    pub draw_calls: u64,
    pub uploads: u64,
    pub uploaded_bytes: u64,
    /// Pictures that found no place in the texture arrays.
    pub refused: u64,
}

/// Draws snapshots to targets of one format.
#[derive(Debug)]
pub struct Renderer {
    device: wgpu::Device,
    queue: wgpu::Queue,
    pipeline: wgpu::RenderPipeline,
    /// For square tiles whose large pictures lie texel on pixel.
    exact: wgpu::RenderPipeline,
    layout: wgpu::BindGroupLayout,
    sampler: wgpu::Sampler,
    frame: wgpu::Buffer,
    instances: wgpu::Buffer,
    bindings: Option<(u64, wgpu::BindGroup)>,
    planes: Planes,
    bytes: Vec<u8>,
    drawn: Vec<Drawn>,
    before: Vec<(TileId, u64)>,
    counters: Counters,
}

/// `Frame` in shaders/types.wgsl: 2 + 2 + 4 floats and two tables of four times four.
const FRAME_BYTES: u64 = (8 + 32) * 4;
/// `Instance` in shaders/types.wgsl: 13 floats and two integers.
const INSTANCE_BYTES: u64 = 15 * 4;

impl Renderer {
    /// A renderer for targets of `format`, which has to be a non-sRGB one: pictures are already gamma-coded.
    pub fn new(device: &wgpu::Device, queue: &wgpu::Queue, format: wgpu::TextureFormat) -> Self {
        let layout = bind_group_layout(device);
        Self {
            pipeline: pipeline(device, &layout, format, false),
            exact: pipeline(device, &layout, format, true),
            layout,
            sampler: device.create_sampler(&wgpu::SamplerDescriptor {
                label: Some("planes"),
                mag_filter: wgpu::FilterMode::Linear,
                min_filter: wgpu::FilterMode::Linear,
                ..Default::default()
            }),
            frame: buffer(device, "frame", FRAME_BYTES, wgpu::BufferUsages::UNIFORM),
            instances: buffer(device, "instances", INSTANCE_BYTES * 4, wgpu::BufferUsages::VERTEX),
            bindings: None,
            planes: Planes::new(device),
            bytes: Vec::new(),
            drawn: Vec::new(),
            before: Vec::new(),
            counters: Counters::default(),
            device: device.clone(),
            queue: queue.clone(),
        }
    }

    /// Clears `target` and draws `tiles` into it, by commands added to `encoder`. Uploads what changed.
    /// Answers where each tile stands, in the order of `tiles`.
    pub fn draw(
        &mut self,
        encoder: &mut wgpu::CommandEncoder,
        target: &wgpu::TextureView,
        tiles: &[TileView],
        view: &View,
    ) -> &[Drawn] {
        self.planes.update(&self.device, &self.queue, tiles);
        self.place(tiles, view);
        let count = self.write_instances(tiles);
        self.write_frame(view);
        self.bind();
        let [r, g, b] = view.background.map(f64::from);
        let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
            label: Some("tiles"),
            color_attachments: &[Some(wgpu::RenderPassColorAttachment {
                view: target,
                depth_slice: None,
                resolve_target: None,
                ops: wgpu::Operations {
                    load: wgpu::LoadOp::Clear(wgpu::Color { r, g, b, a: 1.0 }),
                    store: wgpu::StoreOp::Store,
                },
            })],
            ..Default::default()
        });
        self.counters.pictures += 1;
        if let (Some((_, bindings)), 1..) = (&self.bindings, count) {
            pass.set_pipeline(if self.is_exact(tiles) { &self.exact } else { &self.pipeline });
            pass.set_bind_group(0, bindings, &[]);
            pass.set_vertex_buffer(0, self.instances.slice(..));
            pass.draw(0..4, 0..count);
            self.counters.draw_calls += 1;
        }
        &self.drawn
    }

    /// Where each tile stands since the last [`Renderer::draw`].
    pub fn drawn(&self) -> &[Drawn] {
        &self.drawn
    }

    pub fn counters(&self) -> Counters {
        let (uploads, uploaded_bytes, refused) = self.planes.counts();
        Counters { uploads, uploaded_bytes, refused, ..self.counters }
    }

    fn place(&mut self, tiles: &[TileView], view: &View) {
        self.before.clear();
        self.before.extend(self.drawn.iter().filter(|tile| tile.picture.is_some()).map(|tile| (tile.id, tile.frame)));
        self.drawn.clear();
        for (tile, placed) in tiles.iter().zip(place_tiles(tiles, view.area, view.spacing)) {
            let picture = shown(tile)
                .filter(|_| self.planes.place(tile.id).is_some())
                .map(|picture| placed.rect.fitted(picture.width as f32 / picture.height as f32));
            let new = picture.is_some() && !self.before.contains(&(tile.id, tile.frame));
            self.drawn.push(Drawn { id: tile.id, placed, picture, frame: tile.frame, new });
        }
    }

    /// Whether every tile is square and every large picture has the size it is shown at. A small tile above another is
    /// scaled down by nearest texels then, which hardly differs at that size.
    fn is_exact(&self, tiles: &[TileView]) -> bool {
        tiles.iter().zip(&self.drawn).all(|(tile, drawn)| {
            let same = |picture: &Picture, rect: Rect| {
                picture.width as f32 == rect.width && picture.height as f32 == rect.height
            };
            let scaled = shown(tile).zip(drawn.picture).is_some_and(|(picture, rect)| !same(picture, rect));
            drawn.placed.radius <= 0.0 && (drawn.placed.above || !scaled)
        })
    }

    /// Fills the instance buffer, tiles that stand above others last. Answers their number.
    fn write_instances(&mut self, tiles: &[TileView]) -> u32 {
        self.bytes.clear();
        let pairs = || tiles.iter().zip(&self.drawn);
        let below = pairs().filter(|(_, drawn)| !drawn.placed.above);
        for (tile, drawn) in below.chain(pairs().filter(|(_, drawn)| drawn.placed.above)) {
            let rect = drawn.placed.rect;
            let picture = drawn.picture.unwrap_or(rect);
            let place = drawn.picture.and_then(|_| self.planes.place(tile.id));
            let (cell, page, colour) = match (shown(tile), place) {
                (Some(picture), Some(place)) => (
                    [place.x as f32, place.y as f32, picture.width as f32, picture.height as f32],
                    place.page as i32,
                    index(picture.colour),
                ),
                _ => ([0.0; 4], -1, 0),
            };
            put(&mut self.bytes, &[rect.x, rect.y, rect.width, rect.height]);
            put(&mut self.bytes, &[picture.x, picture.y, picture.width, picture.height]);
            put(&mut self.bytes, &cell);
            put(&mut self.bytes, &[drawn.placed.radius]);
            self.bytes.extend_from_slice(&page.to_ne_bytes());
            self.bytes.extend_from_slice(&colour.to_ne_bytes());
        }
        let needed = self.bytes.len() as u64;
        if self.instances.size() < needed {
            let size = needed.next_power_of_two();
            self.instances = buffer(&self.device, "instances", size, wgpu::BufferUsages::VERTEX);
        }
        if needed > 0 {
            self.queue.write_buffer(&self.instances, 0, &self.bytes);
        }
        (needed / INSTANCE_BYTES) as u32
    }

    fn write_frame(&mut self, view: &View) {
        let (width, height) = self.planes.page_size();
        let [r, g, b] = view.tile;
        let tables = ALL.map(Coefficients::of);
        self.bytes.clear();
        put(&mut self.bytes, &[view.width as f32, view.height as f32, 1.0 / width as f32, 1.0 / height as f32]);
        put(&mut self.bytes, &[r, g, b, 1.0]);
        tables.iter().for_each(|table| put(&mut self.bytes, &table.levels));
        tables.iter().for_each(|table| put(&mut self.bytes, &table.chroma));
        self.queue.write_buffer(&self.frame, 0, &self.bytes);
    }

    fn bind(&mut self) {
        let generation = self.planes.generation();
        if self.bindings.as_ref().is_some_and(|(bound, _)| *bound == generation) {
            return;
        }
        let array =
            wgpu::TextureViewDescriptor { dimension: Some(wgpu::TextureViewDimension::D2Array), ..Default::default() };
        let (luma, chroma) = self.planes.textures();
        let (luma, chroma) = (luma.create_view(&array), chroma.create_view(&array));
        let bindings = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("tiles"),
            layout: &self.layout,
            entries: &[
                wgpu::BindGroupEntry { binding: 0, resource: self.frame.as_entire_binding() },
                wgpu::BindGroupEntry { binding: 1, resource: wgpu::BindingResource::TextureView(&luma) },
                wgpu::BindGroupEntry { binding: 2, resource: wgpu::BindingResource::TextureView(&chroma) },
                wgpu::BindGroupEntry { binding: 3, resource: wgpu::BindingResource::Sampler(&self.sampler) },
            ],
        });
        self.bindings = Some((generation, bindings));
    }
}

/// Where `tiles` stand in `area`: what [`Renderer::draw`] does, for those who draw over it.
pub fn place_tiles(tiles: &[TileView], area: Rect, spacing: Spacing) -> Vec<Placed> {
    let shapes: Vec<Shape> = tiles
        .iter()
        .map(|tile| {
            let aspect = shown(tile).map_or(16.0 / 9.0, |picture| picture.width as f32 / picture.height as f32);
            Shape { aspect, party: tile.party }
        })
        .collect();
    arrange(area, &shapes, spacing)
}

fn put(bytes: &mut Vec<u8>, numbers: &[f32]) {
    for number in numbers {
        bytes.extend_from_slice(&number.to_ne_bytes());
    }
}

fn buffer(device: &wgpu::Device, label: &'static str, size: u64, usage: wgpu::BufferUsages) -> wgpu::Buffer {
    device.create_buffer(&wgpu::BufferDescriptor {
        label: Some(label),
        size,
        usage: usage | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    })
}

fn bind_group_layout(device: &wgpu::Device) -> wgpu::BindGroupLayout {
    let entry = |binding, visibility, ty| wgpu::BindGroupLayoutEntry { binding, visibility, ty, count: None };
    let pages = wgpu::BindingType::Texture {
        sample_type: wgpu::TextureSampleType::Float { filterable: true },
        view_dimension: wgpu::TextureViewDimension::D2Array,
        multisampled: false,
    };
    let uniform = wgpu::BindingType::Buffer {
        ty: wgpu::BufferBindingType::Uniform,
        has_dynamic_offset: false,
        min_binding_size: None,
    };
    device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
        label: Some("tiles"),
        entries: &[
            entry(0, wgpu::ShaderStages::VERTEX_FRAGMENT, uniform),
            entry(1, wgpu::ShaderStages::FRAGMENT, pages),
            entry(2, wgpu::ShaderStages::FRAGMENT, pages),
            entry(3, wgpu::ShaderStages::FRAGMENT, wgpu::BindingType::Sampler(wgpu::SamplerBindingType::Filtering)),
        ],
    })
}

fn pipeline(
    device: &wgpu::Device,
    layout: &wgpu::BindGroupLayout,
    format: wgpu::TextureFormat,
    exact: bool,
) -> wgpu::RenderPipeline {
    let module = tile_module(device);
    let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: Some("tiles"),
        bind_group_layouts: &[Some(layout)],
        ..Default::default()
    });
    let instance = wgpu::VertexBufferLayout {
        array_stride: INSTANCE_BYTES,
        step_mode: wgpu::VertexStepMode::Instance,
        attributes: &wgpu::vertex_attr_array![
            0 => Float32x4, 1 => Float32x4, 2 => Float32x4, 3 => Float32, 4 => Sint32, 5 => Uint32
        ],
    };
    device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
        label: Some("tiles"),
        layout: Some(&layout),
        vertex: wgpu::VertexState {
            module: &module,
            entry_point: Some("vertex"),
            compilation_options: Default::default(),
            buffers: &[Some(instance)],
        },
        primitive: wgpu::PrimitiveState { topology: wgpu::PrimitiveTopology::TriangleStrip, ..Default::default() },
        depth_stencil: None,
        multisample: Default::default(),
        fragment: Some(wgpu::FragmentState {
            module: &module,
            entry_point: Some("fragment"),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: &[("exact", f64::from(u8::from(exact)))],
                ..Default::default()
            },
            targets: &[Some(wgpu::ColorTargetState {
                format,
                blend: (!exact).then_some(wgpu::BlendState::ALPHA_BLENDING),
                write_mask: wgpu::ColorWrites::ALL,
            })],
        }),
        multiview_mask: None,
        cache: None,
    })
}
