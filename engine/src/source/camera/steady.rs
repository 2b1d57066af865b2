//! A camera that may go and come back: while it is away there is a picture that says so.

use std::sync::Arc;

use crate::base::error::{Error, Result};
use crate::base::time::{Duration, Instant};
use crate::media::video::{CapturedPicture, Picture};

/// Something that gives pictures and may break off.
pub trait Pictures {
    /// Waits for the next picture.
    ///
    /// # Errors
    /// It is gone: open it again.
    fn capture(&mut self) -> Result<CapturedPicture>;
    fn size(&self) -> (u32, u32);
    /// Pictures per second.
    fn frame_rate(&self) -> f32;
}

/// How often a lost camera is looked for, and the placeholder given.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Pictures of a camera, and a placeholder while it is away.
pub struct Steady<C> {
    open: Box<dyn FnMut() -> Result<C> + Send + Sync>,
    camera: Option<C>,
    size: (u32, u32),
    frame_rate: f32,
    lost: Option<Error>,
    look_at: Option<Instant>,
    placeholder: Option<Arc<Picture>>,
}

impl<C: Pictures> Steady<C> {
    /// Opens the camera with `open`, which is called again when it was lost.
    ///
    /// # Errors
    /// Those of `open`: a camera that was never there is not waited for.
    pub fn new(mut open: impl FnMut() -> Result<C> + Send + Sync + 'static) -> Result<Self> {
        let camera = open()?;
        let (size, frame_rate) = (camera.size(), camera.frame_rate());
        let (open, camera) = (Box::new(open), Some(camera));
        Ok(Self { open, camera, size, frame_rate, lost: None, look_at: None, placeholder: None })
    }

    /// The next picture of the camera, or the placeholder.
    pub fn capture(&mut self, now: Instant) -> CapturedPicture {
        if self.camera.is_none() && self.look_at.is_none_or(|at| at <= now) {
            self.camera = (self.open)().ok();
        }
        match self.camera.as_mut().map(Pictures::capture) {
            Some(Ok(captured)) => {
                (self.lost, self.look_at, self.placeholder) = (None, None, None);
                self.size = (captured.picture.width, captured.picture.height);
                return captured;
            }
            Some(Err(error)) => {
                self.camera = None;
                // The reason it went for is told, not that of the tries since.
                self.lost.get_or_insert(error);
            }
            None => {}
        }
        self.look_at = Some(now + LOOK_EVERY);
        let size = self.size;
        let picture = self.placeholder.get_or_insert_with(|| Arc::new(placeholder(size))).clone();
        CapturedPicture { picture, captured: now }
    }

    /// Why there is no picture of the camera at present.
    pub const fn lost(&self) -> Option<&Error> {
        self.lost.as_ref()
    }

    /// Nothing new comes before this.
    pub const fn not_before(&self) -> Option<Instant> {
        self.look_at
    }

    pub const fn size(&self) -> (u32, u32) {
        self.size
    }

    pub const fn frame_rate(&self) -> f32 {
        self.frame_rate
    }
}

/// A dark picture with the outline of a camera that is struck through.
fn placeholder((width, height): (u32, u32)) -> Picture {
    let mut picture = Picture::new(width.max(1), height.max(1));
    let (w, h) = (width.max(1) as i32, height.max(1) as i32);
    // In units of a sixteenth of the shorter side, from the middle.
    let unit = w.min(h).max(16) / 16;
    for (at, luma) in picture.y.iter_mut().enumerate() {
        let (x, y) = ((at as i32 % w - w / 2) * 16 / unit, (at as i32 / w - h / 2) * 16 / unit);
        let (x, y) = (x as f32 / 16.0, y as f32 / 16.0);
        let body = (-3.0..1.5).contains(&x) && y.abs() < 1.8;
        let inside = (-2.5..1.0).contains(&x) && y.abs() < 1.3;
        let lens = (1.8..3.0).contains(&x) && y.abs() < 0.3 + (x - 1.8) * 0.9;
        let stroke = (x - y).abs() < 0.35 && x.abs() < 3.4;
        *luma = if (body && !inside) || lens || stroke { 150 } else { 40 };
    }
    picture
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Mutex;

    use super::*;
    use crate::base::error::Kind;
    use crate::base::time::now;

    /// Gives so many pictures, and breaks off.
    struct Brief(u32);

    impl Pictures for Brief {
        fn capture(&mut self) -> Result<CapturedPicture> {
            self.0 = self.0.checked_sub(1).ok_or_else(|| Error::new(Kind::Reopen, "it was unplugged"))?;
            let mut picture = Picture::new(64, 48);
            picture.y.fill(200);
            Ok(CapturedPicture { picture: Arc::new(picture), captured: now() })
        }

        fn size(&self) -> (u32, u32) {
            (64, 48)
        }

        fn frame_rate(&self) -> f32 {
            25.0
        }
    }

    /// A camera whose plugs answer in turn: with so many pictures, or not at all.
    fn plugged(answers: &[Option<u32>]) -> Result<Steady<Brief>> {
        let answers = Mutex::new(answers.iter().copied().collect::<VecDeque<_>>());
        Steady::new(move || {
            let answer = answers.lock().expect("one thread").pop_front().flatten();
            answer.map(Brief).ok_or_else(|| Error::new(Kind::Gone, "no camera"))
        })
    }

    #[test]
    fn an_unplugged_camera_shows_a_placeholder_and_comes_back() {
        let mut camera = plugged(&[Some(2), None, None, Some(1), Some(1)]).expect("it is there at first");
        let mut at = now();
        let is_camera = |captured: &CapturedPicture| captured.picture.y[0] == 200;
        let mut seen = Vec::new();
        for _ in 0..6 {
            let captured = camera.capture(at);
            assert_eq!((captured.picture.width, captured.picture.height), (64, 48));
            seen.push((is_camera(&captured), camera.lost().is_some()));
            let again = camera.not_before();
            assert_eq!(again.is_some(), !is_camera(&captured));
            if let Some(again) = again {
                assert!(!is_camera(&camera.capture(at)), "not looked for before its time");
                at = again;
            }
        }
        let (camera, away) = ((true, false), (false, true));
        assert_eq!(seen, [camera, camera, away, away, away, camera]);
    }

    #[test]
    fn a_camera_that_was_never_there_is_an_error_and_its_reason_stays() {
        assert_eq!(plugged(&[None]).err().map(|error| error.kind), Some(Kind::Gone));
        let mut camera = plugged(&[Some(0), None, None]).expect("there");
        let start = now();
        (0..3).for_each(|turn| drop(camera.capture(start + LOOK_EVERY * turn)));
        assert_eq!(camera.lost().map(|error| error.text.as_ref()), Some("it was unplugged"));
    }

    #[test]
    fn a_placeholder_can_be_of_any_size() {
        for size in [(1, 1), (16, 3), (641, 361)] {
            let picture = placeholder(size);
            assert_eq!((picture.width, picture.height), size);
        }
    }
}
