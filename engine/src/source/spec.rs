//! What a person asks for as a source, and the words for it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::screen::Part;

/// What to open.
#[derive(Clone, Debug, PartialEq)]
pub enum SourceSpec {
    TestCard {
        width: u32,
        height: u32,
        /// Pictures per second.
        frame_rate: f32,
    },
    /// A Y4M or MP4 file at its own rate, or a raw H.264 file at 30 pictures per second, over and over.
    File(PathBuf),
    Screen {
        part: Part,
        /// Pictures per second.
        frame_rate: f32,
    },
    /// What the person chooses in a dialogue of a Wayland desktop.
    Portal {
        /// Pictures per second.
        frame_rate: f32,
    },
    /// Counted from 0, at its own rate.
    Camera(u32),
}

impl SourceSpec {
    /// The card that stands in for a camera: 720p30.
    pub const TEST_CARD: Self = Self::TestCard { width: 1280, height: 720, frame_rate: 30.0 };

    /// Screens and windows, on which mostly nothing changes.
    pub const fn is_screen(&self) -> bool {
        matches!(self, Self::Screen { .. } | Self::Portal { .. })
    }
}

/// Pictures per second of a screen in a call.
const SCREEN_RATE: f32 = 30.0;

/// `testcard`, `screen`, `screen:N`, `window:TITLE`, `portal`, `camera`, `camera:N`, `file:PATH`. The error says so.
impl FromStr for SourceSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse::<u32>().map_err(|_| format!("{text:?} is no number of a {KINDS}"));
        let screen = |part| Self::Screen { part, frame_rate: SCREEN_RATE };
        match text.split_once(':').map_or((text, None), |(kind, which)| (kind, Some(which))) {
            ("testcard", None) => Ok(Self::TEST_CARD),
            ("screen", which) => Ok(screen(Part::Monitor(which.map(number).transpose()?))),
            ("window", Some(which)) if !which.is_empty() => Ok(screen(Part::Window(which.to_owned()))),
            ("portal", None) => Ok(Self::Portal { frame_rate: SCREEN_RATE }),
            ("camera", which) => Ok(Self::Camera(which.map_or(Ok(0), number)?)),
            ("file", Some(path)) => Ok(Self::File(path.into())),
            _ => Err(format!(
                "no picture named {text:?}: there are camera[:N], screen[:N], window:TITLE, portal, testcard and \
                 file:PATH"
            )),
        }
    }
}

const KINDS: &str = "camera or a screen";

impl fmt::Display for SourceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TestCard { .. } => write!(f, "testcard"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Screen { part: Part::Monitor(None), .. } => write!(f, "screen"),
            Self::Screen { part: Part::Monitor(Some(number)), .. } => write!(f, "screen:{number}"),
            Self::Screen { part: Part::Window(which), .. } => write!(f, "window:{which}"),
            Self::Portal { .. } => write!(f, "portal"),
            Self::Camera(number) => write!(f, "camera:{number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_named_as_it_was_asked_for() {
        for name in [
            "testcard",
            "screen",
            "screen:1",
            "window:A: b",
            "window:0x1f",
            "portal",
            "camera:0",
            "camera:12",
            "file:a:b.y4m",
        ] {
            let spec: SourceSpec = name.parse().expect(name);
            assert_eq!(spec.to_string(), name);
        }
        assert_eq!("camera".parse(), Ok(SourceSpec::Camera(0)));
    }

    #[test]
    fn what_is_no_source_is_said_with_what_there_is() {
        for name in
            ["", "tv", "file", "window", "window:", "testcard:1", "screen:", "camera:x", "camera:-1", "portal:1"]
        {
            let error = name.parse::<SourceSpec>().expect_err(name);
            assert!(error.contains("camera") && error.contains("screen"), "{error}");
        }
    }
}
