//! The window that shows the markers.

use std::sync::Arc;

use crossbeam_channel::Receiver;
use engine::base::error::{Error, Kind, Result};
use engine::base::id::TileId;
use engine::base::time::{Duration, Instant, WallTime, now};
use engine::layout::snapshot::{Party, Quality, TileView};
use engine::media::marker::Marker;
use engine::media::video::Picture;
use engine::render::draw::{Renderer, View};
use engine::source::testcard::TestCard;
use winit::application::ApplicationHandler;
use winit::dpi::PhysicalSize;
use winit::event::{ElementState, WindowEvent};
use winit::event_loop::{ActiveEventLoop, ControlFlow, EventLoop};
use winit::keyboard::{Key, NamedKey};
use winit::window::{Fullscreen, Window, WindowId};

use super::places::{Area, Seen};
use super::video::{Plan, Shared};
use crate::canvas::Canvas;

/// The card's and the window's size at first. A copy of a quarter of it can still be read.
const SIZE: (u32, u32) = (960, 540);
/// Cards a second, as many as most screens can show.
const CARDS: f32 = 60.0;
/// How often somebody is told how far it is.
const TELL: Duration = Duration::from_millis(200);

/// Shows cards until the plan is over. `needs_place`: it has to be known where the window is.
pub(super) fn show(
    plan: &Plan,
    shared: &Shared,
    needs_place: bool,
    stop: &Receiver<()>,
    progress: impl FnMut(&Seen),
) -> Result<()> {
    let events = EventLoop::new().map_err(|error| {
        Error::new(Kind::Refused, format!("no display: {error}; the probe shows its markers in a window"))
    })?;
    let begun = now();
    let card = TestCard::new(SIZE.0, SIZE.1, CARDS);
    let (next, counter, told) = (begun, 0, begun);
    let mut app =
        App { plan, shared, needs_place, stop, progress, card, shown: None, begun, next, counter, told, failure: None };
    let ran = events.run_app(&mut app);
    match app.failure {
        Some(error) => Err(error),
        None => ran.map_err(|error| Error::new(Kind::Gone, format!("the window ended: {error}"))),
    }
}

struct App<'a, P> {
    plan: &'a Plan,
    shared: &'a Shared,
    needs_place: bool,
    stop: &'a Receiver<()>,
    progress: P,
    card: TestCard,
    shown: Option<Shown>,
    begun: Instant,
    /// When the next card is due.
    next: Instant,
    counter: u32,
    told: Instant,
    failure: Option<Error>,
}

struct Shown {
    canvas: Canvas,
    renderer: Renderer,
}

impl<P: FnMut(&Seen)> ApplicationHandler for App<'_, P> {
    fn resumed(&mut self, event_loop: &ActiveEventLoop) {
        if self.shown.is_none() {
            match open(event_loop) {
                Ok(shown) => self.shown = Some(shown),
                Err(error) => self.fail(event_loop, error),
            }
            self.begun = now();
        }
    }

    fn window_event(&mut self, event_loop: &ActiveEventLoop, _: WindowId, event: WindowEvent) {
        let Some(shown) = &mut self.shown else { return };
        match event {
            WindowEvent::CloseRequested => event_loop.exit(),
            WindowEvent::Resized(size) => shown.canvas.resize(size.width, size.height),
            WindowEvent::KeyboardInput { event, .. } if event.state == ElementState::Pressed => {
                match event.logical_key.as_ref() {
                    Key::Named(NamedKey::Escape) => event_loop.exit(),
                    Key::Character("f" | "F") => {
                        let window = shown.canvas.window();
                        let full = window.fullscreen().is_none().then_some(Fullscreen::Borderless(None));
                        window.set_fullscreen(full);
                    }
                    _ => {}
                }
            }
            WindowEvent::RedrawRequested => self.paint(event_loop),
            _ => {}
        }
    }

    fn about_to_wait(&mut self, event_loop: &ActiveEventLoop) {
        let at = now();
        let mut over = at >= self.begun + self.plan.patience || self.stop.try_recv().is_ok();
        {
            let state = self.shared.lock();
            over |= state.failure.is_some() || state.seen.most() >= self.plan.count;
            if at >= self.told + TELL {
                self.told = at;
                (self.progress)(&state.seen);
            }
        }
        if over {
            return event_loop.exit();
        }
        if at >= self.next {
            // Cards that a stall has passed are left out.
            self.next = (self.next + Duration::from_secs_f32(1.0 / CARDS)).max(at);
            if let Some(shown) = &self.shown {
                shown.canvas.window().request_redraw();
            }
        }
        event_loop.set_control_flow(ControlFlow::WaitUntil(self.next));
    }
}

impl<P> App<'_, P> {
    /// A new card each time, painted after the wait for the window's surface: waiting is no part of what is measured.
    fn paint(&mut self, event_loop: &ActiveEventLoop) {
        let Some(shown) = &mut self.shown else { return };
        let window = shown.canvas.window();
        let size = window.inner_size();
        let place = match window.inner_position() {
            Ok(place) => {
                Area { x: place.x as f32, y: place.y as f32, width: size.width as f32, height: size.height as f32 }
            }
            Err(_) if !self.needs_place => Area::default(),
            Err(_) => {
                let text = "this desktop does not tell where the probe's window is: its screen cannot be measured";
                return self.fail(event_loop, Error::new(Kind::Refused, text));
            }
        };
        let Some(texture) = shown.canvas.acquire() else { return };
        let at = now();
        let card = self.card.draw(at);
        {
            let mut state = self.shared.lock();
            state.window = place;
            state.painted.push(Marker { counter: self.counter, drawn: WallTime::of(at) });
        }
        self.counter = self.counter.wrapping_add(1);
        let target = texture.texture.create_view(&Default::default());
        let gpu = shown.canvas.gpu();
        let mut encoder = gpu.device.create_command_encoder(&Default::default());
        let (width, height) = shown.canvas.size();
        shown.renderer.draw(&mut encoder, &target, &[tile(card.picture, self.counter)], &View::plain(width, height));
        gpu.queue.submit([encoder.finish()]);
        shown.canvas.present(texture);
    }

    fn fail(&mut self, event_loop: &ActiveEventLoop, error: Error) {
        self.failure = Some(error);
        event_loop.exit();
    }
}

fn open(event_loop: &ActiveEventLoop) -> Result<Shown> {
    let attributes = Window::default_attributes()
        .with_title("Visavis probe – F: full screen, Esc: end")
        .with_inner_size(PhysicalSize::new(SIZE.0, SIZE.1));
    let window = event_loop
        .create_window(attributes)
        .map_err(|error| Error::new(Kind::Refused, format!("the window could not be opened: {error}")))?;
    let canvas = Canvas::new(Arc::new(window), event_loop.owned_display_handle())?;
    let renderer = Renderer::new(&canvas.gpu().device, &canvas.gpu().queue, canvas.format());
    canvas.window().request_redraw();
    Ok(Shown { canvas, renderer })
}

/// The card as the one tile of a picture.
fn tile(picture: Arc<Picture>, number: u32) -> TileView {
    TileView {
        id: TileId(1),
        name: String::new(),
        party: Party::Local,
        picture: Some(picture),
        frame: u64::from(number),
        unit: None,
        quality: Quality::Unknown,
        muted: false,
        camera_off: false,
        stands_still: false,
        too_narrow: false,
        level: 0.0,
        volume: 100,
        hushed: false,
    }
}
