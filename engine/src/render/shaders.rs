//! The shader, put together from its three files.

const TYPES: &str = include_str!("../../../shaders/types.wgsl");
const YUV: &str = include_str!("../../../shaders/yuv.wgsl");
const TILE: &str = include_str!("../../../shaders/tile.wgsl");

pub fn tile_module(device: &wgpu::Device) -> wgpu::ShaderModule {
    device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some("tile"),
        source: wgpu::ShaderSource::Wgsl([TYPES, YUV, TILE].concat().into()),
    })
}
