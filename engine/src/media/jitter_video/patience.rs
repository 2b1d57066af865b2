//! How long what is missing is waited for, by the round trip: a retransmission where it comes in time, else a keyframe.

use crate::base::time::Duration;

/// The least time of undecodable units before a keyframe is asked for, and between two requests.
pub const LEAST_PATIENCE: Duration = Duration::from_millis(300);
/// And so many round trips: the first retransmission may be lost as well.
const PATIENT_TRIPS: u32 = 5;
/// Longer nobody waits for a picture.
const LONGEST_PATIENCE: Duration = Duration::from_millis(700);

/// How long a gap waits for its retransmission: the request and its four repetitions (RTT + 5 ms apart), each there and back. A
/// keyframe has six times the packets of another picture, and as many of them are lost: it is hardly ever quicker. At least
/// 120 ms for the sender's pacing, at most what a person waits for.
pub fn retransmission_wait(round_trip: Option<Duration>) -> Duration {
    let round_trip = round_trip.unwrap_or(Duration::from_millis(100));
    (round_trip * 6 + Duration::from_millis(60)).clamp(Duration::from_millis(120), Duration::from_millis(800))
}

/// How long a gap waits for its retransmission where it is only of units that nothing refers to: while that comes before the
/// next two pictures do, or before its picture is due, `shown` after it could have been there. Else going on without it costs
/// one picture, and waiting would hold up all that follow.
pub fn discardable_wait(round_trip: Option<Duration>, shown: Duration) -> Duration {
    const IN_TIME: Duration = Duration::from_millis(40);
    /// Reordering without loss is over by then.
    const REORDERING: Duration = Duration::from_millis(15);
    match round_trip {
        Some(trip) if trip + REORDERING <= shown.max(IN_TIME + REORDERING) => trip + REORDERING,
        _ => REORDERING,
    }
}

/// So long nothing may be decodable before a keyframe is asked for.
pub fn keyframe_patience(round_trip: Option<Duration>) -> Duration {
    LEAST_PATIENCE.max(round_trip.unwrap_or_default() * PATIENT_TRIPS).min(LONGEST_PATIENCE)
}
