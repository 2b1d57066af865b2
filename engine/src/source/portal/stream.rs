//! Pictures as PipeWire brings them, on a thread of their own.

use std::io::Cursor;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;

use pipewire::context::ContextRc;
use pipewire::main_loop::MainLoopRc;
use pipewire::properties::properties;
use pipewire::spa::param::ParamType;
use pipewire::spa::param::format::{FormatProperties, MediaSubtype, MediaType};
use pipewire::spa::param::video::{VideoFormat, VideoInfoRaw};
use pipewire::spa::pod::serialize::PodSerializer;
use pipewire::spa::pod::{Pod, Value, object, property};
use pipewire::spa::utils::{Direction, Fraction, Rectangle, SpaTypes};
use pipewire::stream::{Stream, StreamBox, StreamFlags, StreamState};

use super::super::screen::{Region, from_bgrx};
use crate::base::error::{Error, Kind, Result};
use crate::base::pipe::Latest;
use crate::base::pool::ArcPool;
use crate::base::time::{Duration, now};
use crate::media::scale::Scaler;
use crate::media::video::{CapturedPicture, Picture};

/// What both threads see.
#[derive(Default)]
pub(super) struct Shared {
    pub(super) latest: Latest<CapturedPicture>,
    pub(super) failure: OnceLock<Error>,
    size: Mutex<Option<(u32, u32)>>,
    /// Told with the first size and with a failure.
    told: Condvar,
}

impl Shared {
    /// How large what is shared is, once that is known.
    pub(super) fn size(&self) -> Option<(u32, u32)> {
        *self.size.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same, waited for; `None` where it does not come in time or at all.
    pub(super) fn wait_for_size(&self, patience: Duration) -> Option<(u32, u32)> {
        let size = self.size.lock().unwrap_or_else(PoisonError::into_inner);
        let is_open = |size: &mut Option<(u32, u32)>| size.is_none() && self.failure.get().is_none();
        let (size, _) = self.told.wait_timeout_while(size, patience, is_open).unwrap_or_else(PoisonError::into_inner);
        *size
    }

    fn set_size(&self, size: (u32, u32)) {
        *self.size.lock().unwrap_or_else(PoisonError::into_inner) = Some(size);
        self.told.notify_all();
    }

    fn fail(&self, text: String) {
        // The lock is held so that who waits does not miss it.
        let _size = self.size.lock().unwrap_or_else(PoisonError::into_inner);
        // The first reason is the one to be told.
        let _ = self.failure.set(Error::new(Kind::Reopen, text));
        self.told.notify_all();
    }
}

/// Ends the thread.
pub(super) struct Stopper(pipewire::channel::Sender<()>);

impl Stopper {
    pub(super) fn stop(&self) {
        // A thread that has ended hears nothing.
        let _ = self.0.send(());
    }
}

/// Starts the thread that takes the pictures of stream `node`.
pub(super) fn spawn(remote: OwnedFd, node: u32) -> Result<(Arc<Shared>, Stopper, JoinHandle<()>)> {
    let (sender, stopped) = pipewire::channel::channel();
    let shared = Arc::new(Shared::default());
    let ours = shared.clone();
    let body = move || {
        if let Err(error) = run(remote, node, &ours, stopped) {
            ours.fail(format!("the screen cannot be captured any more: PipeWire: {error}"));
        }
    };
    let thread = std::thread::Builder::new().name("portal".to_owned()).spawn(body);
    let thread = thread.map_err(|error| Error::new(Kind::Retry, format!("cannot start the thread portal: {error}")))?;
    Ok((shared, Stopper(sender), thread))
}

type Failed = Box<dyn std::error::Error>;

fn run(
    remote: OwnedFd,
    node: u32,
    shared: &Arc<Shared>,
    stopped: pipewire::channel::Receiver<()>,
) -> std::result::Result<(), Failed> {
    pipewire::init();
    let main_loop = MainLoopRc::new(None)?;
    let context = ContextRc::new(&main_loop, None)?;
    let core = context.connect_fd_rc(remote, None)?;
    let stream = StreamBox::new(
        &core,
        "visavis",
        properties! {
            *pipewire::keys::MEDIA_TYPE => "Video",
            *pipewire::keys::MEDIA_CATEGORY => "Capture",
            *pipewire::keys::MEDIA_ROLE => "Screen",
        },
    )?;
    let (ending, failing) = (main_loop.clone(), main_loop.clone());
    let _stopped = stopped.attach(main_loop.loop_(), move |()| ending.quit());
    let state = shared.clone();
    let _listener = stream
        .add_local_listener_with_user_data(Taker::new(shared.clone()))
        .state_changed(move |_, _, before, after| match (before, after) {
            (_, StreamState::Error(error)) => {
                state.fail(format!("the desktop shares no more pictures: {error}"));
                failing.quit();
            }
            (StreamState::Streaming | StreamState::Paused, StreamState::Unconnected) => {
                state.fail("the desktop has ended sharing".to_owned());
                failing.quit();
            }
            _ => {}
        })
        .param_changed(|_, taker, id, param| {
            let param = param.filter(|_| id == ParamType::Format.as_raw());
            param.into_iter().for_each(|param| taker.follow(param));
        })
        .process(|stream, taker| taker.take(stream))
        .register()?;
    let wanted = wanted()?;
    let pod = Pod::from_bytes(&wanted).ok_or("no parameters")?;
    stream.connect(Direction::Input, Some(node), StreamFlags::AUTOCONNECT | StreamFlags::MAP_BUFFERS, &mut [pod])?;
    main_loop.run();
    Ok(())
}

/// Eight bits a colour in memory that can be read, of any size and rate.
fn wanted() -> std::result::Result<Vec<u8>, Failed> {
    let all = |side: u32| Rectangle { width: side, height: side };
    let rate = |num: u32| Fraction { num, denom: 1 };
    let object = object!(
        SpaTypes::ObjectParamFormat,
        ParamType::EnumFormat,
        property!(FormatProperties::MediaType, Id, MediaType::Video),
        property!(FormatProperties::MediaSubtype, Id, MediaSubtype::Raw),
        property!(
            FormatProperties::VideoFormat,
            Choice,
            Enum,
            Id,
            VideoFormat::BGRx,
            VideoFormat::BGRx,
            VideoFormat::BGRA,
            VideoFormat::RGBx,
            VideoFormat::RGBA
        ),
        property!(FormatProperties::VideoSize, Choice, Range, Rectangle, all(1024), all(1), all(16_384)),
        property!(FormatProperties::VideoFramerate, Choice, Range, Fraction, rate(30), rate(0), rate(240)),
    );
    let (bytes, _) = PodSerializer::serialize(Cursor::new(Vec::new()), &Value::Object(object))?;
    Ok(bytes.into_inner())
}

/// Makes pictures of buffers.
struct Taker {
    shared: Arc<Shared>,
    format: VideoInfoRaw,
    /// Rows without what stands between them, blue first.
    rows: Vec<u8>,
    whole: Picture,
    scaler: Scaler,
    pool: ArcPool<Picture>,
}

/// As many as a screen of X11 keeps.
const PICTURES: usize = 10;

impl Taker {
    fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            format: VideoInfoRaw::new(),
            rows: Vec::new(),
            whole: Picture::default(),
            scaler: Scaler::default(),
            pool: ArcPool::new(PICTURES),
        }
    }

    fn follow(&mut self, param: &Pod) {
        let mut format = VideoInfoRaw::new();
        if format.parse(param).is_ok() {
            self.format = format;
            let Rectangle { width, height } = format.size();
            let Region { width, height, .. } = Region { x: 0, y: 0, width, height }.even();
            self.shared.set_size((width, height));
        }
    }

    fn take(&mut self, stream: &Stream) {
        // Of several that wait the newest one counts.
        let Some(mut buffer) = std::iter::from_fn(|| stream.dequeue_buffer()).last() else { return };
        let captured = now();
        let Rectangle { width, height } = self.format.size();
        let Region { width, height, .. } = Region { x: 0, y: 0, width, height }.even();
        let Some(data) = buffer.datas_mut().first_mut() else { return };
        let (offset, size, stride) = (data.chunk().offset(), data.chunk().size(), data.chunk().stride());
        let Some(bytes) = data.data().and_then(|bytes| bytes.get(offset as usize..)) else { return };
        let is_red_first = matches!(self.format.format(), VideoFormat::RGBx | VideoFormat::RGBA);
        // A desktop that has nothing new says so by a buffer of no size.
        if size == 0 || !pack(bytes, (width, height), stride, is_red_first, &mut self.rows) {
            return;
        }
        let region = Region { x: 0, y: 0, width, height };
        let (across, down) = region.picture_size();
        let Self { rows, whole, scaler, pool, shared, .. } = self;
        let picture = pool.take(Picture::default, |picture| {
            if (across, down) == (width, height) {
                from_bgrx(rows, width, height, picture);
            } else {
                from_bgrx(rows, width, height, whole);
                picture.resize(across, down);
                scaler.scale(whole, picture);
            }
        });
        shared.latest.put(CapturedPicture { picture, captured });
    }
}

/// Copies rows of four bytes a pixel out of memory that the desktop writes again; false where they are cut short.
fn pack(bytes: &[u8], (width, height): (u32, u32), stride: i32, is_red_first: bool, rows: &mut Vec<u8>) -> bool {
    let length = width as usize * 4;
    let Ok(stride) = usize::try_from(stride) else { return false };
    if length == 0 || height == 0 || stride < length || bytes.len() < stride * (height as usize - 1) + length {
        return false;
    }
    rows.clear();
    bytes.chunks(stride).take(height as usize).for_each(|row| rows.extend_from_slice(&row[..length]));
    if is_red_first {
        rows.as_chunks_mut::<4>().0.iter_mut().for_each(|pixel| pixel.swap(0, 2));
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_packed_blue_first_and_short_ones_are_refused() {
        let bytes = [1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 11, 12, 13, 14, 15, 16, 17, 18];
        let mut rows = Vec::new();
        assert!(pack(&bytes, (2, 2), 10, false, &mut rows));
        assert_eq!(rows, [1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 13, 14, 15, 16, 17, 18]);
        assert!(pack(&bytes, (2, 1), 10, true, &mut rows));
        assert_eq!(rows, [3, 2, 1, 4, 7, 6, 5, 8]);
        for (size, stride) in [((2, 3), 10), ((2, 2), 12), ((3, 1), 10), ((2, 1), -10), ((0, 1), 10), ((2, 0), 10)] {
            assert!(!pack(&bytes, size, stride, false, &mut rows), "{size:?} {stride}");
        }
    }

    #[test]
    fn what_is_wanted_can_be_said() {
        let bytes = wanted().expect("said");
        assert!(Pod::from_bytes(&bytes).is_some());
    }
}
