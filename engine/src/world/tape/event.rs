//! What a transport says besides packets, as it stands in a recording.

use super::note::EventNote;
use crate::base::rate::Bitrate;
use crate::base::time::Duration;
use crate::net::transport::TransportEvent;

impl EventNote {
    pub(super) fn of(event: &TransportEvent) -> Self {
        match event {
            TransportEvent::Connected => Self::Connected,
            TransportEvent::Disconnected => Self::Disconnected,
            TransportEvent::KeyframeRequest => Self::KeyframeRequest,
            TransportEvent::FurtherKeyframeRequest(number) => Self::FurtherKeyframeRequest(*number),
            TransportEvent::Estimate(rate) => Self::Estimate(rate.as_bps()),
            TransportEvent::Figures { round_trip, loss_out, local, remote } => Self::Figures {
                round_trip: round_trip.map(|time| time.as_nanos() as u64),
                loss_out: *loss_out,
                local: *local,
                remote: *remote,
            },
            TransportEvent::Feedback(bytes) => Self::Feedback(bytes.to_vec()),
            TransportEvent::Closed(text) => Self::Closed(text.clone()),
        }
    }

    pub(super) fn event(&self) -> TransportEvent {
        match self {
            Self::Connected => TransportEvent::Connected,
            Self::Disconnected => TransportEvent::Disconnected,
            Self::KeyframeRequest => TransportEvent::KeyframeRequest,
            Self::FurtherKeyframeRequest(number) => TransportEvent::FurtherKeyframeRequest(*number),
            Self::Estimate(bps) => TransportEvent::Estimate(Bitrate::from_bps(*bps)),
            Self::Figures { round_trip, loss_out, local, remote } => TransportEvent::Figures {
                round_trip: round_trip.map(Duration::from_nanos),
                loss_out: *loss_out,
                local: *local,
                remote: *remote,
            },
            Self::Feedback(bytes) => TransportEvent::Feedback(bytes.as_slice().into()),
            Self::Closed(text) => TransportEvent::Closed(text.clone()),
        }
    }
}
