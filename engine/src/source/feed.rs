//! The kinds of sources behind one face.

use super::SourceSpec;
use super::camera::Camera;
use super::file::FileSource;
#[cfg(all(feature = "wayland", target_os = "linux"))]
use super::portal::Portal;
use super::screen::{Region, Screen};
use super::testcard::TestCard;
#[cfg(not(all(feature = "wayland", target_os = "linux")))]
use crate::base::error::Kind;
use crate::base::error::{Error, Result};
use crate::base::time::{Duration, Instant};
use crate::media::video::CapturedPicture;

/// The kinds of sources.
#[derive(Debug)]
pub(super) enum Feed {
    TestCard(Box<TestCard>),
    File(Box<FileSource>),
    Screen(Box<Screen>),
    #[cfg(all(feature = "wayland", target_os = "linux"))]
    Portal(Box<Portal>),
    Camera(Box<Camera>),
}

impl Feed {
    /// The feed and its rate, which is the file's or the camera's where there is one.
    pub(super) fn open(spec: SourceSpec) -> Result<(Self, f32)> {
        let (feed, frame_rate) = match spec {
            SourceSpec::TestCard { width, height, frame_rate } => {
                (Self::TestCard(Box::new(TestCard::new(width, height, frame_rate))), frame_rate)
            }
            SourceSpec::File(path) => {
                let file = FileSource::open(&path)?;
                let frame_rate = file.frame_rate();
                (Self::File(Box::new(file)), frame_rate)
            }
            SourceSpec::Screen { part, frame_rate } => (Self::Screen(Box::new(Screen::open(&part)?)), frame_rate),
            #[cfg(all(feature = "wayland", target_os = "linux"))]
            SourceSpec::Portal { frame_rate } => (Self::Portal(Box::new(Portal::open()?)), frame_rate),
            #[cfg(not(all(feature = "wayland", target_os = "linux")))]
            SourceSpec::Portal { .. } => {
                let text = "this build cannot ask a Wayland desktop: it was made without the feature wayland";
                return Err(Error::new(Kind::Refused, text));
            }
            SourceSpec::Camera(number) => {
                let camera = Camera::open(number)?;
                let frame_rate = camera.frame_rate();
                (Self::Camera(Box::new(camera)), frame_rate)
            }
        };
        // A rate outside of this is a broken file or a slip of the hand, and would spin or never draw.
        Ok((feed, frame_rate.clamp(1.0, 120.0)))
    }

    /// The next picture; `None` where it is the same as the one before.
    pub(super) fn capture(&mut self, at: Instant) -> Result<Option<CapturedPicture>> {
        match self {
            Self::TestCard(card) => Ok(Some(card.draw(at))),
            Self::File(file) => file.next(at).map(Some),
            Self::Screen(screen) => screen.capture(at),
            #[cfg(all(feature = "wayland", target_os = "linux"))]
            Self::Portal(portal) => portal.capture(at),
            Self::Camera(camera) => Ok(Some(camera.capture(at))),
        }
    }

    /// What is wrong with it at present, and is waited for.
    pub(super) const fn trouble(&self) -> Option<&Error> {
        match self {
            Self::Camera(camera) => camera.lost(),
            _ => None,
        }
    }

    /// There is nothing new before this.
    pub(super) const fn not_before(&self) -> Option<Instant> {
        match self {
            Self::Camera(camera) => camera.not_before(),
            _ => None,
        }
    }

    /// How long after the picture that was captured last the next one is to come, where the source says so itself.
    pub(super) fn step(&self) -> Option<Duration> {
        match self {
            Self::File(file) => file.step(),
            _ => None,
        }
    }

    pub(super) fn size(&self) -> (u32, u32) {
        match self {
            Self::TestCard(card) => card.size(),
            Self::File(file) => file.size(),
            Self::Screen(screen) => screen.size(),
            #[cfg(all(feature = "wayland", target_os = "linux"))]
            Self::Portal(portal) => portal.size(),
            Self::Camera(camera) => camera.size(),
        }
    }

    pub(super) fn region(&self) -> Option<Region> {
        match self {
            Self::Screen(screen) => Some(screen.region()),
            #[cfg(all(feature = "wayland", target_os = "linux"))]
            Self::Portal(portal) => Some(portal.region()),
            _ => None,
        }
    }

    /// A camera has a clock of its own: capturing waits for its next picture. Waiting before that as well would let a
    /// picture grow old.
    pub(super) const fn keeps_own_pace(&self) -> bool {
        matches!(self, Self::Camera(_))
    }
}
