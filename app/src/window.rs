//! The window: winit's loop, from the engine's snapshots to the screen, from keys and clicks to commands.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use engine::base::error::{Error, Kind, Result};
use engine::base::pipe::Refusal;
use engine::base::time::{Duration, Instant, now};
use engine::handle::{Command, Link, Notice, Redraw};
use engine::layout::snapshot::{Presented, ViewSnapshot};
use engine::media::marker::Marker;
use engine::media::report::Report;
use engine::render::offscreen::save_png;
use engine::render::refresh::RefreshWatcher;
use engine::world::shared::LOCAL_TILE;
use winit::application::ApplicationHandler;
use winit::dpi::{LogicalSize, PhysicalSize};
use winit::event::WindowEvent;
use winit::event_loop::{ActiveEventLoop, ControlFlow, EventLoop, EventLoopProxy};
use winit::window::WindowId;

use crate::looking::Looking;
use crate::screen::{Frame, Read, Screen};
use crate::testing::{TestOptions, Testing};
use crate::ui::people::Tab;
use crate::ui::{UiState, theme};

/// Finds a test card's marker: RGBA rows, bytes per row, width and height of the strip.
pub type MarkerReader = fn(&[u8], usize, u32, u32) -> Option<Marker>;

#[derive(Clone, Debug)]
pub struct WindowOptions {
    pub title: String,
    pub own_name: String,
    /// The address field's first content.
    pub address: String,
    /// In points.
    pub width: f64,
    pub height: f64,
    pub theme: egui::ThemePreference,
    /// Pixels per point instead of the system's.
    pub scale: Option<f32>,
    pub show_latency: bool,
    pub show_devices: bool,
    /// Opens the panel of the service's people, at this page.
    pub show_people: Option<Tab>,
    /// What the network test is made with; without it there is none.
    pub network: Option<TestOptions>,
    /// Opens the networking page.
    pub show_network: bool,
    /// People on the same network do not see us.
    pub hidden: bool,
    /// Closes by itself, with [`Command::Quit`].
    pub run_for: Option<Duration>,
    /// Closes as soon as a call has ended.
    pub close_when_ended: bool,
    /// Writes the window as it is then, controls included, to a PNG file.
    pub screenshot: Option<(PathBuf, Duration)>,
    /// Reads the marker out of each newly presented picture of the first tile.
    pub marker_reader: Option<MarkerReader>,
    /// The share of the picture's height, from the top, in which the marker is.
    pub marker_strip: f32,
}

impl Default for WindowOptions {
    fn default() -> Self {
        Self {
            title: "Visavis".to_owned(),
            own_name: String::new(),
            address: String::new(),
            width: 1280.0,
            height: 800.0,
            theme: egui::ThemePreference::System,
            scale: None,
            show_latency: false,
            show_devices: false,
            show_people: None,
            network: None,
            show_network: false,
            hidden: false,
            run_for: None,
            close_when_ended: false,
            screenshot: None,
            marker_reader: None,
            // 80 of 720 rows.
            marker_strip: 1.0 / 9.0,
        }
    }
}

/// What the window did.
#[derive(Clone, Debug, Default)]
pub struct WindowReport {
    /// Frames drawn and presented, whatever they showed.
    pub frames: u64,
    /// Pictures shown for the first time.
    pub presented: u64,
    /// Presented messages that found their ring full.
    pub presented_dropped: u64,
    /// What the last call was like.
    pub ended: Option<Box<Report>>,
}

/// How long a call that is hung up may take to report.
const GRACE: Duration = Duration::from_secs(3);

/// The engine has something new: draw.
#[derive(Clone, Copy, Debug)]
struct Changed;

/// A window before it is shown. The loop has to live on the main thread.
pub struct WindowLoop {
    events: EventLoop<Changed>,
    pending: Arc<AtomicBool>,
}

/// The smallest size at which nothing is cut, in points.
const SMALLEST: (f64, f64) = (640.0, 400.0);

impl WindowLoop {
    /// # Errors
    /// `Refused` where there is no display.
    pub fn new() -> Result<Self> {
        let events = EventLoop::with_user_event().build().map_err(|error| {
            Error::new(Kind::Refused, format!("no display: {error}; use --headless to run without one"))
        })?;
        Ok(Self { events, pending: Arc::default() })
    }

    /// What the engine calls after it published a snapshot or a notice. Calls before the window drew are one call.
    pub fn redraw_hook(&self) -> Redraw {
        let (proxy, pending): (EventLoopProxy<Changed>, _) = (self.events.create_proxy(), self.pending.clone());
        Arc::new(move || {
            if !pending.swap(true, Ordering::AcqRel) {
                // The loop is gone when the window was closed: nobody is left to draw for.
                let _ = proxy.send_event(Changed);
            }
        })
    }

    /// Shows the window until it is closed.
    ///
    /// # Errors
    /// `Refused` where there is no graphics device or the screenshot cannot be written; `Reopen` when the device was lost.
    pub fn run(self, link: Link, options: WindowOptions) -> Result<WindowReport> {
        let context = egui::Context::default();
        theme::install(&context);
        context.set_theme(options.theme);
        let mut state = UiState::default();
        state.address.clone_from(&options.address);
        state.own_name.clone_from(&options.own_name);
        state.latency_open = options.show_latency;
        state.devices_open = options.show_devices;
        state.people.open = options.show_people.is_some();
        state.people.tab = options.show_people.unwrap_or_default();
        state.network.open = options.show_network;
        state.network.fields.hidden = options.hidden;
        let redraw = self.redraw_hook();
        let mut app = App {
            link,
            context,
            state,
            screen: None,
            refresh: None,
            snapshot: Arc::default(),
            started: now(),
            repaint_at: None,
            shot: options.screenshot.clone(),
            pending: self.pending,
            report: WindowReport::default(),
            leaving: false,
            looking: Looking::default(),
            testing: Testing::default(),
            redraw,
            hidden: false,
            failure: None,
            options,
        };
        let ran = self.events.run_app(&mut app);
        if let Some(error) = app.failure {
            return Err(error);
        }
        ran.map_err(|error| Error::new(Kind::Gone, format!("the window ended: {error}")))?;
        Ok(app.report)
    }
}

struct App {
    link: Link,
    options: WindowOptions,
    context: egui::Context,
    state: UiState,
    screen: Option<Screen>,
    /// When the screen that the window is on is refreshed, where that can be known.
    refresh: Option<RefreshWatcher>,
    snapshot: Arc<ViewSnapshot>,
    started: Instant,
    repaint_at: Option<Instant>,
    shot: Option<(PathBuf, Duration)>,
    pending: Arc<AtomicBool>,
    report: WindowReport,
    /// Hung up on the way out: the report is still awaited.
    leaving: bool,
    looking: Looking,
    testing: Testing,
    redraw: Redraw,
    /// Nobody sees the window.
    hidden: bool,
    failure: Option<Error>,
}

impl ApplicationHandler<Changed> for App {
    fn resumed(&mut self, event_loop: &ActiveEventLoop) {
        if self.screen.is_none() {
            match self.open(event_loop) {
                Ok(screen) => {
                    self.refresh = screen.x11_window().and_then(|window| RefreshWatcher::open(None, window));
                    self.screen = Some(screen);
                }
                Err(error) => self.fail(event_loop, error),
            }
        }
    }

    fn user_event(&mut self, _: &ActiveEventLoop, _: Changed) {
        // Cleared before the snapshot is taken: one published in between asks again.
        self.pending.store(false, Ordering::Release);
        self.request_redraw();
    }

    fn window_event(&mut self, event_loop: &ActiveEventLoop, _: WindowId, event: WindowEvent) {
        let Some(screen) = &mut self.screen else { return };
        let repaint = screen.handle_event(&event);
        match event {
            WindowEvent::CloseRequested => return self.quit(event_loop),
            WindowEvent::Resized(size) => {
                screen.resize(size.width, size.height);
                self.hide(event_loop, size.width == 0 || size.height == 0);
            }
            WindowEvent::Occluded(hidden) => self.hide(event_loop, hidden),
            WindowEvent::RedrawRequested => return self.redraw(event_loop),
            WindowEvent::DroppedFile(path) => self.send(event_loop, Command::SendFile(path)),
            _ => {}
        }
        if repaint {
            self.request_redraw();
        }
    }

    fn about_to_wait(&mut self, event_loop: &ActiveEventLoop) {
        let at = now();
        let mut end = self.options.run_for.map(|time| self.started + time);
        if end.is_some_and(|end| at >= end) && !self.leaving {
            // The call's report comes with its end; a program that waits for nobody closes after the grace.
            self.leaving = true;
            self.send(event_loop, Command::HangUp);
        }
        if self.leaving {
            end = end.map(|end| end + GRACE);
            if end.is_some_and(|end| at >= end) {
                return self.quit(event_loop);
            }
        }
        let shot = self.shot.as_ref().map(|(_, after)| self.started + *after);
        if [shot, self.repaint_at].into_iter().flatten().any(|due| at >= due) {
            self.repaint_at = None;
            self.request_redraw();
        }
        // A shot that is due is taken at the next redraw, which is asked for already.
        let next = [end, shot.filter(|due| *due > at), self.repaint_at].into_iter().flatten().min();
        event_loop.set_control_flow(next.map_or(ControlFlow::Wait, ControlFlow::WaitUntil));
    }
}

impl App {
    fn open(&self, event_loop: &ActiveEventLoop) -> Result<Screen> {
        let options = &self.options;
        let attributes = winit::window::Window::default_attributes().with_title(&options.title);
        let attributes = match options.scale {
            Some(scale) => {
                let pixels = |points: f64| (points * f64::from(scale)).round() as u32;
                attributes
                    .with_inner_size(PhysicalSize::new(pixels(options.width), pixels(options.height)))
                    .with_min_inner_size(PhysicalSize::new(pixels(SMALLEST.0), pixels(SMALLEST.1)))
            }
            None => attributes
                .with_inner_size(LogicalSize::new(options.width, options.height))
                .with_min_inner_size(LogicalSize::new(SMALLEST.0, SMALLEST.1)),
        };
        let window = event_loop
            .create_window(attributes)
            .map_err(|error| Error::new(Kind::Refused, format!("the window could not be opened: {error}")))?;
        if let Some(scale) = options.scale {
            self.context.set_zoom_factor(scale / window.scale_factor() as f32);
        }
        let screen = Screen::new(Arc::new(window), event_loop.owned_display_handle(), self.context.clone())?;
        screen.window().request_redraw();
        Ok(screen)
    }

    fn redraw(&mut self, event_loop: &ActiveEventLoop) {
        while let Some(notice) = self.link.notices.try_recv() {
            if let Notice::Ended { report, .. } = &notice {
                self.report.ended = Some(report.clone());
                self.leaving |= self.options.close_when_ended;
            }
            self.state.notice(notice);
        }
        if self.leaving && self.report.ended.is_some() {
            return self.quit(event_loop);
        }
        if let Some(snapshot) = self.link.view.take() {
            self.snapshot = snapshot;
        }
        if let Some(view) = self.link.people.take() {
            self.state.people.view = view;
        }
        if let Some(neighbours) = self.link.neighbours.take() {
            self.state.people.neighbours = neighbours;
        }
        if let Some(options) = &self.options.network {
            self.testing.follow(options, &mut self.state.network, &self.redraw);
        }
        let Some(screen) = &mut self.screen else { return };
        let due = self.shot.as_ref().is_some_and(|(_, after)| now() >= self.started + *after);
        let read = match self.options.marker_reader {
            _ if due => Read::Everything,
            Some(_) => Read::Strip(self.options.marker_strip),
            None => Read::Nothing,
        };
        match screen.draw(&self.snapshot, &mut self.state, read) {
            Ok(Some(frame)) => self.after(event_loop, frame, due),
            Ok(None) => {}
            Err(error) => self.fail(event_loop, error),
        }
    }

    fn hide(&mut self, event_loop: &ActiveEventLoop, hidden: bool) {
        if std::mem::replace(&mut self.hidden, hidden) != hidden {
            self.looking.hide(hidden).into_iter().for_each(|command| self.send(event_loop, command));
        }
    }

    fn after(&mut self, event_loop: &ActiveEventLoop, frame: Frame, shot_due: bool) {
        self.report.frames += 1;
        self.repaint_at =
            frame.at.checked_add(frame.repaint_after).filter(|_| frame.repaint_after < Duration::from_secs(3600));
        self.tell_presented(&frame, shot_due);
        let remote = frame.drawn.iter().filter(|tile| tile.id != LOCAL_TILE);
        let sizes = remote.map(|tile| (tile.id, (tile.placed.rect.width, tile.placed.rect.height)));
        self.looking.follow(sizes).into_iter().for_each(|command| self.send(event_loop, command));
        if shot_due && let Some((path, _)) = self.shot.take() {
            let saved = match &frame.pixels {
                Some(([_, _, width, height], rgba)) => save_png(&path, *width, *height, rgba),
                None => Err(Error::new(Kind::Refused, "this window's pixels cannot be read for a screenshot")),
            };
            if let Err(error) = saved {
                return self.fail(event_loop, error);
            }
        }
        for command in frame.commands {
            if command == Command::Quit {
                return self.quit(event_loop);
            }
            self.send(event_loop, command);
        }
    }

    fn tell_presented(&mut self, frame: &Frame, shot: bool) {
        let strip = frame.pixels.as_ref().filter(|_| !shot).zip(self.options.marker_reader);
        // The strip is of the first new tile that is not above another: the same choice as where it was read.
        let read_tile = frame.drawn.iter().find(|tile| tile.new && !tile.placed.above).map(|tile| tile.id);
        // Asked at each frame, so that it is known once a picture comes.
        let refresh = self.refresh.as_mut().and_then(|refresh| refresh.after(frame.at));
        for tile in frame.drawn.iter().filter(|tile| tile.new) {
            let marker = strip
                .filter(|_| Some(tile.id) == read_tile)
                .and_then(|(([_, _, width, height], rgba), read)| read(rgba, *width as usize * 4, *width, *height));
            let told = Presented { tile: tile.id, frame: tile.frame, at: frame.at, marker, refresh };
            self.report.presented += 1;
            // A full ring: the engine is behind by hundreds of pictures; this one is counted and not told.
            if self.link.presented.try_send(told).is_err() {
                self.report.presented_dropped += 1;
            }
        }
    }

    fn send(&mut self, event_loop: &ActiveEventLoop, command: Command) {
        match self.link.commands.try_send(command) {
            Ok(()) => self.link.wake.wake(),
            Err(Refusal::Full(_)) => self.state.toast("Busy: that was not done. Try again in a moment.".to_owned()),
            Err(Refusal::Gone(_)) => event_loop.exit(),
        }
    }

    fn quit(&mut self, event_loop: &ActiveEventLoop) {
        // A full pipe or a gone engine: it ends all the same, because the link is dropped with the window.
        if self.link.commands.try_send(Command::Quit).is_ok() {
            self.link.wake.wake();
        }
        event_loop.exit();
    }

    fn fail(&mut self, event_loop: &ActiveEventLoop, error: Error) {
        self.failure = Some(error);
        self.quit(event_loop);
    }

    fn request_redraw(&self) {
        if let Some(screen) = &self.screen {
            screen.window().request_redraw();
        }
    }
}
