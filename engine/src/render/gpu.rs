//! The graphics device.

use std::sync::{Arc, OnceLock};

use crate::base::error::{Error, Kind, Result};

/// An open graphics device. Clones are the same device.
#[derive(Clone, Debug)]
pub struct GpuContext {
    pub instance: wgpu::Instance,
    pub adapter: wgpu::Adapter,
    pub device: wgpu::Device,
    pub queue: wgpu::Queue,
}

impl GpuContext {
    /// A device without a window: a graphics card where there is one, else a software Vulkan. One per process, opened
    /// when first asked for: drivers keep memory of their own for each device that was ever opened.
    ///
    /// # Errors
    /// `Refused` where the machine has neither; the text says what to install.
    pub fn headless() -> Result<Arc<Self>> {
        static SHARED: OnceLock<Result<Arc<GpuContext>>> = OnceLock::new();
        SHARED.get_or_init(|| Self::open(instance(None), None).map(Arc::new)).clone()
    }

    /// Opens the device that can present to `surface`, or any where there is no surface.
    ///
    /// # Errors
    /// As [`GpuContext::headless`].
    pub fn open(instance: wgpu::Instance, surface: Option<&wgpu::Surface<'_>>) -> Result<Self> {
        let adapter = pollster::block_on(instance.request_adapter(&wgpu::RequestAdapterOptions {
            power_preference: wgpu::PowerPreference::LowPower,
            compatible_surface: surface,
            ..Default::default()
        }))
        .map_err(|error| {
            tracing::debug!(%error, "no adapter");
            Error::new(Kind::Refused, "no graphics adapter: install mesa-vulkan-drivers or the graphics card's driver")
        })?;
        let (device, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor {
            label: Some("visavis"),
            // A wall of screens is wider than the portable default; what the adapter has is what we may use.
            required_limits: adapter.limits(),
            // Staging memory is what grows; fewer and smaller blocks instead of a card's worth of them.
            memory_hints: wgpu::MemoryHints::MemoryUsage,
            ..Default::default()
        }))
        .map_err(|error| Error::new(Kind::Refused, format!("the graphics device could not be opened: {error}")))?;
        // Without a handler wgpu ends the process.
        device.on_uncaptured_error(Arc::new(|error| tracing::error!(%error, "graphics")));
        let info = adapter.get_info();
        tracing::info!(name = %info.name, backend = ?info.backend, "graphics device");
        Ok(Self { instance, adapter, device, queue })
    }
}

/// An instance for windows of `display`, or for none. The environment (`WGPU_BACKEND`) may choose the backend.
pub fn instance(display: Option<Box<dyn wgpu::wgt::WgpuHasDisplayHandle>>) -> wgpu::Instance {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    // Without a display OpenGL has nothing to offer that Vulkan has not, and its loader complains on the terminal.
    if display.is_none() {
        descriptor.backends = wgpu::Backends::PRIMARY;
    }
    descriptor.display = display;
    descriptor.backends = descriptor.backends.with_env();
    // The validation layers cost milliseconds per frame on software Vulkan; wgpu validates by itself anyway.
    descriptor.flags = wgpu::InstanceFlags::empty().with_env();
    wgpu::Instance::new(descriptor)
}
