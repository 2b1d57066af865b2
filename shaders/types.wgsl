// What the processor hands over. Mirrored by `Frame` and `Instance` in engine/src/render/draw.rs.

struct Frame {
    // Size of the target in physical pixels.
    target_size: vec2<f32>,
    // 1 ÷ size of a luma page in texels.
    page_texel: vec2<f32>,
    // What is seen of a tile beside its picture (letterbox, no picture yet), R'G'B'.
    tile_colour: vec4<f32>,
    // For each matrix and range (index = matrix * 2 + range): black level and gain of Y', zero of the chroma.
    levels: array<vec4<f32>, 4>,
    // For each: V to R', U to G', V to G', U to B'.
    chroma: array<vec4<f32>, 4>,
}

struct Instance {
    // x, y, width, height of the tile in physical pixels.
    @location(0) tile: vec4<f32>,
    // x, y, width, height of the picture in physical pixels, inside the tile.
    @location(1) picture: vec4<f32>,
    // x, y, width, height of the picture's cell on its page, in luma texels.
    @location(2) cell: vec4<f32>,
    // Radius of the corners in physical pixels.
    @location(3) radius: f32,
    // The page, or -1 where the tile has no picture.
    @location(4) page: i32,
    // Index into `levels` and `chroma`.
    @location(5) colour: u32,
}

struct Varying {
    @builtin(position) position: vec4<f32>,
    // From the tile's middle, physical pixels.
    @location(0) from_middle: vec2<f32>,
    // On the page, 0 to 1.
    @location(1) page_position: vec2<f32>,
    @location(2) @interpolate(flat) half_size: vec3<f32>,
    // First and last texel middle of the cell: linear filtering must not reach into the neighbour's.
    @location(3) @interpolate(flat) luma_bounds: vec4<f32>,
    @location(4) @interpolate(flat) chroma_bounds: vec4<f32>,
    // The picture's edges on the page; outside them is letterbox.
    @location(5) @interpolate(flat) edges: vec4<f32>,
    @location(6) @interpolate(flat) levels: vec4<f32>,
    @location(7) @interpolate(flat) chroma: vec4<f32>,
    @location(8) @interpolate(flat) page: i32,
}
