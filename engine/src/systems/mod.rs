//! The schedule as one table: what runs in each step of a tick. Systems are loops; what they decide is decided by
//! plain functions in `media`, `proto` and `net`.

pub mod account;
pub mod capture;
pub mod collect;
pub mod deliver;
pub mod flush;
pub mod playout;
pub mod publish;
pub mod pump;
pub mod record;
pub mod route;
pub mod send;
pub mod session;

use bevy_ecs::schedule::{IntoScheduleConfigs, Schedule, SingleThreadedExecutor};

use crate::world::stage::Stage;

/// The tick. Within a step, what does not depend on each other is not put in order.
pub fn schedule() -> Schedule {
    let mut schedule = Schedule::default();
    schedule.set_executor(SingleThreadedExecutor::new());
    let [collect, route, pump, deliver, session, playout, capture, send, flush, publish, account] = Stage::ALL;
    schedule.configure_sets(
        (collect, route, pump, deliver, session, playout, capture, send, flush, publish, account).chain(),
    );
    schedule.add_systems((
        (collect::take_units, (collect::take_frames, collect::take_presented).chain()).in_set(Stage::Collect),
        route::route_datagrams.in_set(Stage::Route),
        pump::pump_datagrams.in_set(Stage::Pump),
        (deliver::file_packets, deliver::report_delay).chain().in_set(Stage::Deliver),
        (session::note_transport_events, session::share_rate, record::note_situation).chain().in_set(Stage::Session),
        (playout::feed_decoders, playout::keep_lips_together, playout::choose_frames, playout::fill_speaker)
            .chain()
            .in_set(Stage::Playout),
        (capture::take_pictures, capture::take_sound).in_set(Stage::Capture),
        (send::send_sound, send::send_pictures).chain().in_set(Stage::Send),
        (flush::run_timeouts, flush::send_datagrams).chain().in_set(Stage::Flush),
        publish::publish_view.in_set(Stage::Publish),
        (account::gather_due, account::count_tick).chain().in_set(Stage::Account),
    ));
    schedule
}
