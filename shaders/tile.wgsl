// Every tile of the picture, one instance each.

@group(0) @binding(0) var<uniform> frame: Frame;
@group(0) @binding(1) var luma_pages: texture_2d_array<f32>;
@group(0) @binding(2) var chroma_pages: texture_2d_array<f32>;
@group(0) @binding(3) var smooth_sampler: sampler;

@vertex
fn vertex(@builtin(vertex_index) corner: u32, tile: Instance) -> Varying {
    let unit = vec2<f32>(f32(corner & 1u), f32(corner >> 1u));
    let at = tile.tile.xy + unit * tile.tile.zw;
    let clip = at / frame.target_size * 2.0 - 1.0;
    let first = tile.cell.xy * frame.page_texel;
    let size = tile.cell.zw * frame.page_texel;
    let last = first + size;
    let half_texel = 0.5 * frame.page_texel;

    var out: Varying;
    out.position = vec4<f32>(clip.x, -clip.y, 0.0, 1.0);
    out.from_middle = (unit - 0.5) * tile.tile.zw;
    out.page_position = first + (at - tile.picture.xy) / max(tile.picture.zw, vec2<f32>(1.0)) * size;
    out.half_size = vec3<f32>(tile.tile.zw * 0.5, tile.radius);
    out.luma_bounds = vec4<f32>(first + half_texel, last - half_texel);
    // A chroma texel is two luma texels wide.
    out.chroma_bounds = vec4<f32>(first + 2.0 * half_texel, max(first, last - 2.0 * half_texel));
    out.edges = vec4<f32>(first, last);
    out.levels = frame.levels[tile.colour];
    out.chroma = frame.chroma[tile.colour];
    out.page = tile.page;
    return out;
}

// Every picture lies texel on pixel in a square tile: nothing to filter, nothing to blend. On a processor that plays
// the graphics card this is several times faster.
override exact: bool = false;

@fragment
fn fragment(in: Varying) -> @location(0) vec4<f32> {
    let page = max(in.page, 0);
    let at = in.page_position;
    let inside = in.page >= 0 && all(at >= in.edges.xy) && all(at <= in.edges.zw);
    if exact {
        let texel = vec2<i32>(clamp(at, in.luma_bounds.xy, in.luma_bounds.zw) / frame.page_texel);
        let y = textureLoad(luma_pages, texel, page, 0).r;
        let uv = textureLoad(chroma_pages, texel / 2, page, 0).rg;
        return vec4<f32>(select(frame.tile_colour.rgb, to_rgb(y, uv, in.levels, in.chroma), inside), 1.0);
    }
    let luma_at = clamp(at, in.luma_bounds.xy, in.luma_bounds.zw);
    let chroma_at = clamp(at, in.chroma_bounds.xy, in.chroma_bounds.zw);
    let y = textureSampleLevel(luma_pages, smooth_sampler, luma_at, page, 0.0).r;
    let uv = textureSampleLevel(chroma_pages, smooth_sampler, chroma_at, page, 0.0).rg;
    let colour = select(frame.tile_colour.rgb, to_rgb(y, uv, in.levels, in.chroma), inside);

    // Distance to the rounded rectangle: negative inside. Half a pixel to both sides of the edge is blended.
    let corner = abs(in.from_middle) - in.half_size.xy + in.half_size.z;
    let distance = length(max(corner, vec2<f32>(0.0))) + min(max(corner.x, corner.y), 0.0) - in.half_size.z;
    // A square tile lies on whole pixels and covers them fully.
    let cover = select(clamp(0.5 - distance, 0.0, 1.0), 1.0, in.half_size.z <= 0.0);
    return vec4<f32>(colour, cover);
}
