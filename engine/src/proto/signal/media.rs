//! What a side can send and receive, and where: the media part of OFFER and ANSWER.

use std::cmp::Ordering;
use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::base::id::Ssrc;
use crate::proto::keys::Digest;
use crate::proto::text::{List, Text};

/// The version of the signalling that this program speaks.
pub const VERSION: u32 = 1;

/// One side's media parameters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaParameters {
    /// SHA-256 of the DTLS certificate, RFC 8122 §5.
    pub dtls: Digest,
    pub ice: IceCredentials,
    /// What this side sends with.
    pub ssrcs: Ssrcs,
    /// What this side can take part in; `None`: not this medium.
    #[serde(default)]
    pub audio: Option<AudioCapability>,
    #[serde(default)]
    pub video: Option<VideoCapability>,
    pub base_port: u16,
    /// The version this side speaks.
    pub version: u32,
    /// The lowest version of the other side that this side can call with.
    #[serde(default)]
    pub needs: u32,
    /// No candidate but a relay's, from either side.
    #[serde(default)]
    pub relay_only: bool,
    /// Files are taken over the data channel.
    #[serde(default)]
    pub files: bool,
}

/// ICE short-term credentials, RFC 8445 §5.3: 4 to 256 and 22 to 256 characters.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawIce", into = "RawIce")]
pub struct IceCredentials {
    ufrag: String,
    pwd: String,
}

impl IceCredentials {
    /// `None` where a length is not of the RFC or a character not an ice-char (letter, digit, `+`, `/`).
    pub fn new(ufrag: impl Into<String>, pwd: impl Into<String>) -> Option<Self> {
        let (ufrag, pwd) = (ufrag.into(), pwd.into());
        let good = |text: &str, least: usize| {
            (least..=256).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
        };
        (good(&ufrag, 4) && good(&pwd, 22)).then_some(Self { ufrag, pwd })
    }

    pub fn ufrag(&self) -> &str {
        &self.ufrag
    }

    pub fn pwd(&self) -> &str {
        &self.pwd
    }
}

impl fmt::Debug for IceCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IceCredentials({}, …)", self.ufrag)
    }
}

/// The streams a side sends, announced before the first packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ssrcs {
    pub audio: Ssrc,
    pub video: Ssrc,
    /// Retransmissions of video, RFC 4588 §4.
    pub video_rtx: Ssrc,
    /// Pictures of further sources beside the first one, and their retransmissions. An older side has none.
    #[serde(default)]
    pub further: [Option<(Ssrc, Ssrc)>; 2],
    /// Parity of pictures' packets, and probes; a side that announces it reads them as well. An older side does not.
    #[serde(default)]
    pub repair: Option<Ssrc>,
    /// Smaller layers of the first source (simulcast), for who forwards one of them to each that watches.
    #[serde(default)]
    pub layers: [Option<(Ssrc, Ssrc)>; 2],
}

/// Opus at 48 kHz (RFC 7587).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudioCapability {
    /// The frame lengths that can be decoded, in microseconds.
    pub opus_frame_us: List<u32, 8>,
    /// Copies of earlier frames are read (RFC 2198).
    #[serde(default)]
    pub red: bool,
}

/// H.264 constrained baseline, packetization-mode 1 (RFC 6184).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VideoCapability {
    pub h264: bool,
    /// The largest picture that can be decoded, in pixels.
    pub max_width: u32,
    pub max_height: u32,
}

/// Where a side may be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Candidate {
    pub address: SocketAddr,
    pub typ: CandidateKind,
    /// RFC 8445 §5.1.2.
    #[serde(default)]
    pub priority: u32,
    /// Media over TCP (RFC 6544) instead of UDP.
    #[serde(default)]
    pub tcp: bool,
}

/// RFC 8445 §5.1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CandidateKind {
    Host,
    ServerReflexive,
    Relayed,
}

/// What both sides can do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Agreed {
    /// Opus frame lengths in microseconds that both decode, rising; empty: no audio.
    pub opus_frame_us: Vec<u32>,
    /// The largest picture both decode; `None`: no video.
    pub video: Option<(u32, u32)>,
    /// One line per medium that is missing, for the person.
    pub missing: Vec<String>,
    /// One of the two programs is of an older version: a line for the person.
    pub update: Option<String>,
    pub relay_only: bool,
}

/// What a program can do, as it says to others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Abilities {
    pub audio: Option<AudioCapability>,
    pub video: Option<VideoCapability>,
    /// Parity of pictures' packets is read.
    pub repair: bool,
    pub version: u32,
    /// The lowest version of the other side that it can call with.
    pub needs: u32,
}

/// Why there can be no call: a line for the person here, and one for the person there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incompatible {
    pub here: String,
    pub there: String,
}

/// What `local` and `remote` have in common. `name` is what the other side is called.
///
/// # Errors
/// There can be no call.
pub fn agree(local: &MediaParameters, remote: &MediaParameters, name: &str) -> Result<Agreed, Incompatible> {
    if remote.needs > local.version {
        let here = format!("{name} needs a newer version of this program: update it here");
        return Err(Incompatible { here, there: "it is too old for yours: ask them to update it".into() });
    }
    if local.needs > remote.version {
        let here = format!("{name} uses a version that is too old for this one: ask {name} to update");
        return Err(Incompatible { here, there: "it needs a newer version of yours: update yours".into() });
    }
    let mut missing = Vec::new();
    let mut opus_frame_us = Vec::new();
    match (&local.audio, &remote.audio) {
        (Some(ours), Some(theirs)) => {
            opus_frame_us.extend(ours.opus_frame_us.iter().filter(|us| theirs.opus_frame_us.contains(us)));
            opus_frame_us.sort_unstable();
            opus_frame_us.dedup();
            if opus_frame_us.is_empty() {
                missing.push(format!("no audio: {name} and this program share no Opus frame length"));
            }
        }
        (_, None) => missing.push(format!("no audio from {name}")),
        (None, _) => missing.push("no audio from this side".into()),
    }
    let video = match (&local.video, &remote.video) {
        (Some(ours), Some(theirs)) if ours.h264 && theirs.h264 => {
            let size = (ours.max_width.min(theirs.max_width), ours.max_height.min(theirs.max_height));
            // Below one macroblock there is no picture (H.264 §6.3).
            (size.0 >= 16 && size.1 >= 16).then_some(size)
        }
        _ => None,
    };
    if video.is_none() {
        missing.push(match &remote.video {
            None => format!("no video from {name}"),
            Some(theirs) if !theirs.h264 => format!("no video: {name} cannot receive H.264"),
            Some(_) => "no video from this side".into(),
        });
    }
    if opus_frame_us.is_empty() && video.is_none() {
        let here = format!("{name} and this program have no medium in common: {}", missing.join("; "));
        return Err(Incompatible { here, there: "the two have no medium in common".into() });
    }
    let update = match remote.version.cmp(&local.version) {
        Ordering::Less => {
            Some(format!("{name} uses an older version of this program: some things work once it is updated"))
        }
        Ordering::Equal => None,
        Ordering::Greater => Some(format!("{name} uses a newer version of this program: there is an update")),
    };
    Ok(Agreed { opus_frame_us, video, missing, update, relay_only: local.relay_only || remote.relay_only })
}

#[derive(Serialize, Deserialize)]
struct RawIce {
    ufrag: Text<256>,
    pwd: Text<256>,
}

impl TryFrom<RawIce> for IceCredentials {
    type Error = &'static str;

    fn try_from(raw: RawIce) -> Result<Self, &'static str> {
        Self::new(raw.ufrag.to_string(), raw.pwd.to_string()).ok_or("ICE credentials not of RFC 8445 §5.3")
    }
}

impl From<IceCredentials> for RawIce {
    fn from(ice: IceCredentials) -> Self {
        Self { ufrag: Text::cut(&ice.ufrag), pwd: Text::cut(&ice.pwd) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters() -> MediaParameters {
        MediaParameters {
            dtls: Digest([7; 32]),
            ice: IceCredentials::new("ufra", "a-password-that-is-long".replace('-', "+")).expect("good"),
            ssrcs: Ssrcs {
                audio: Ssrc(1),
                video: Ssrc(2),
                video_rtx: Ssrc(3),
                further: [None; 2],
                repair: None,
                layers: [None; 2],
            },
            audio: Some(AudioCapability { opus_frame_us: List::cut(vec![20_000, 5_000, 10_000]), red: true }),
            video: Some(VideoCapability { h264: true, max_width: 1920, max_height: 1080 }),
            base_port: 2000,
            version: 2,
            needs: 1,
            relay_only: false,
            files: true,
        }
    }

    #[test]
    fn what_both_can_do_is_the_smaller_of_each() {
        let mut other = parameters();
        other.audio = Some(AudioCapability { opus_frame_us: List::cut(vec![40_000, 10_000, 20_000]), red: true });
        other.video = Some(VideoCapability { h264: true, max_width: 1280, max_height: 1088 });
        let agreed = agree(&parameters(), &other, "Bob").expect("common");
        assert_eq!(agreed.opus_frame_us, [10_000, 20_000]);
        assert_eq!(agreed.video, Some((1280, 1080)));
        assert!(agreed.missing.is_empty());
    }

    #[test]
    fn a_missing_medium_is_named_and_no_medium_is_no_call() {
        let mut other = parameters();
        other.audio = None;
        let agreed = agree(&parameters(), &other, "Bob").expect("video");
        assert_eq!(agreed.missing, ["no audio from Bob"]);
        other.video = None;
        assert!(agree(&parameters(), &other, "Bob").expect_err("nothing").here.contains("no medium in common"));
    }

    #[test]
    fn a_version_too_far_apart_is_said_to_the_person() {
        let mut other = parameters();
        other.needs = 3;
        assert!(agree(&parameters(), &other, "Bob").expect_err("newer").here.contains("update it here"));
        other.needs = 0;
        other.version = 0;
        assert!(agree(&parameters(), &other, "Bob").expect_err("older").here.contains("ask Bob"));
    }

    #[test]
    fn ice_credentials_of_wrong_length_or_letters_are_refused() {
        assert!(IceCredentials::new("abc", "0123456789012345678901").is_none());
        assert!(IceCredentials::new("abcd", "012345678901234567890").is_none());
        assert!(IceCredentials::new("ab\ncd", "0123456789012345678901").is_none());
        assert!(IceCredentials::new("abcd", "0123456789012345678901").is_some());
    }
}
