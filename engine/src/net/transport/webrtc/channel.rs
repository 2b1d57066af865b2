//! The data channel of a connection (RFC 8831): made when somebody wants it, one for both directions.

use str0m::Rtc;
use str0m::channel::{ChannelConfig, ChannelId};

use super::Webrtc;
use crate::base::foreign;

/// The channel. Only the side that controls opens it: two that did at once would wait for each other's answer.
#[derive(Debug, Default)]
pub(super) struct DataChannel {
    id: Option<ChannelId>,
    is_open: bool,
}

impl DataChannel {
    pub fn open(&mut self, rtc: &mut Rtc) {
        if self.id.is_some() {
            return;
        }
        foreign::call(|| {
            let mut api = rtc.direct_api();
            api.start_sctp(true);
            let config = ChannelConfig { label: LABEL.into(), protocol: LABEL.into(), ..Default::default() };
            self.id = Some(api.create_data_channel(config));
        });
    }

    /// The side that does not control waits for the other one's first packet of it.
    pub fn start(rtc: &mut Rtc, controlling: bool) {
        if !controlling {
            foreign::call(|| rtc.direct_api().start_sctp(false));
        }
    }

    pub fn on_opened(&mut self, id: ChannelId, label: &str) {
        let is_ours = self.id.is_none_or(|known| known == id);
        if label == LABEL && is_ours {
            (self.id, self.is_open) = (Some(id), true);
        }
    }

    pub fn on_closed(&mut self, id: ChannelId) {
        self.is_open &= self.id != Some(id);
    }

    pub fn is_of(&self, id: ChannelId) -> bool {
        self.id == Some(id)
    }

    /// `false`: it takes no more at the moment.
    pub fn send(&self, rtc: &mut Rtc, bytes: &[u8]) -> bool {
        let Some(id) = self.id.filter(|_| self.is_open) else { return false };
        foreign::call(|| rtc.channel(id).is_some_and(|mut channel| matches!(channel.write(true, bytes), Ok(true))))
    }
}

impl Webrtc {
    pub fn open_channel(&mut self) {
        self.channel.open(&mut self.rtc);
        self.written = true;
    }

    pub const fn has_channel(&self) -> bool {
        self.channel.is_open
    }

    pub fn send_message(&mut self, bytes: &[u8]) -> bool {
        self.written = true;
        self.channel.send(&mut self.rtc, bytes)
    }
}

/// What it is for.
const LABEL: &str = "visavis-files";
