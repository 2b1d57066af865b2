// Y'CbCr to R'G'B', ITU-R BT.601-7 §2.5 and BT.709-6 §3. The numbers come from engine/src/render/colour.rs.

fn to_rgb(y: f32, uv: vec2<f32>, levels: vec4<f32>, chroma: vec4<f32>) -> vec3<f32> {
    let luma = (y - levels.x) * levels.y;
    let c = uv - vec2<f32>(levels.z, levels.z);
    return vec3<f32>(
        luma + chroma.x * c.y,
        luma + chroma.y * c.x + chroma.z * c.y,
        luma + chroma.w * c.x,
    );
}
