//! The service's world: what is in it, and the schedule as one table. The roles add their systems to [`Stage::Roles`].
//!
//! | step | what happens | what it leaves behind |
//! |---|---|---|
//! | Accept | connections that wait are taken, within their limits | a [`session::Connection`] each |
//! | Read | TLS, HTTP and WebSocket are read; requests sorted by channel | [`shared::Asked`] |
//! | Collect | what the store has done, and what the other services tell, is taken | [`shared::Collected`], [`bus::Overheard`] |
//! | Roles | each role takes what concerns it: answers, or hands an operation to the store | [`shared::Outbox`], the store's pipe |
//! | Write | answers and pushes go to their connections, hints to the other services | the sockets, the bus |
//! | Account | what is late is closed; who has left is told; counters | the next deadline |

pub mod accept;
pub mod account;
pub mod between;
pub mod bus;
pub mod circles;
pub mod collect;
pub mod figures;
pub mod files;
pub mod read;
pub mod session;
pub mod shared;
pub mod write;

use bevy_ecs::schedule::{IntoScheduleConfigs, Schedule, SingleThreadedExecutor, SystemSet};

/// The steps of a tick, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, SystemSet)]
pub enum Stage {
    Accept,
    Read,
    Collect,
    Roles,
    Write,
    Account,
}

/// A role within [`Stage::Roles`]. Accounts come first: who comes and goes in a tick is known to the others then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, SystemSet)]
pub enum Role {
    Accounts,
    Directory,
    Pals,
    Chat,
    Messages,
    Nettest,
}

/// The tick, without roles.
pub fn schedule() -> Schedule {
    let mut schedule = Schedule::default();
    schedule.set_executor(SingleThreadedExecutor::new());
    schedule.configure_sets(
        (Stage::Accept, Stage::Read, Stage::Collect, Stage::Roles, Stage::Write, Stage::Account).chain(),
    );
    schedule.configure_sets(
        (Role::Accounts, Role::Directory, Role::Pals, Role::Chat, Role::Messages, Role::Nettest)
            .chain()
            .in_set(Stage::Roles),
    );
    schedule.add_systems((
        accept::accept_connections.in_set(Stage::Accept),
        read::read_connections.in_set(Stage::Read),
        (bus::hear_bus, collect::collect_done, files::take_read).chain().in_set(Stage::Collect),
        (bus::tell_bus, figures::answer_figures, write::write_connections).chain().in_set(Stage::Write),
        (account::close_late, account::bury, account::gather_due).chain().in_set(Stage::Account),
    ));
    schedule
}
