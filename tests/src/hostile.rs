//! Calls among people who mean harm: what is told to both sides before and while they talk, and what became of the call.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use engine::media::report::Report;

use crate::Outcome;
use crate::attack::{Attacker, Flooded};
use crate::namespaces::pair::Pair;
use crate::namespaces::{Nat, Node, SERVER, Side};
use crate::party::{Finished, Party, Setup};
use crate::process::Holdings;
use crate::rogue::{Guise, Rogues};

const SOON: Duration = Duration::from_secs(30);
const MEDIA: &str = "--video testcard --mic chirp --speaker none --max-bitrate 600000";

fn at(port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)
}

fn both(caller: Party, callee: Party) -> Outcome<[Report; 2]> {
    let ends: [Finished; 2] = [caller.finish(SOON)?, callee.finish(SOON)?];
    for end in &ends {
        if end.log.contains("panicked") {
            return Err(end.log.clone());
        }
    }
    let [caller, callee] = ends;
    Ok([caller.ended()?, callee.ended()?])
}

/// A call that is flooded with checks nobody has the password for, `rate` a second for `time`.
///
/// # Errors
/// The call did not come about, did not end well, or something panicked.
pub fn flooded(rate: u32, time: Duration) -> Outcome<(Flooded, [Report; 2])> {
    let mut callee = Party::listen(&Setup::new("Ben", &format!("--once {MEDIA}")))?;
    let mut caller = Party::call_to(&Setup::new("Ada", MEDIA), &callee)?;
    for party in [&mut caller, &mut callee] {
        party.wait_for("in call with", SOON)?;
    }
    let flooded = Attacker::new(4).flood(rate, time, at(callee.base()), at(caller.base()))?;
    caller.terminate()?;
    Ok((flooded, both(caller, callee)?))
}

/// A call of `seconds` whose both ends are greeted all the time, in the other's name too, from before it begins. How many
/// greetings there were.
///
/// # Errors
/// The call did not come about, did not end well, or something panicked.
pub fn greeted(seconds: u32, seed: u64) -> Outcome<(u64, [Report; 2])> {
    let callee = Party::listen(&Setup::new("Ben", &format!("--once {MEDIA}")))?;
    let caller_port = crate::ports::free_base();
    let ends = [at(callee.base()), at(caller_port)];
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let greeting = scope.spawn(|| Attacker::new(seed).greet_until(ends, &is_over));
        let call = || {
            let setup = Setup::new("Ada", &format!("{MEDIA} --for {seconds}")).with_base(caller_port);
            both(Party::call_to(&setup, &callee)?, callee)
        };
        let reports = call();
        is_over.store(true, Ordering::Relaxed);
        let begun = greeting.join().map_err(|_| "the attacker panicked".to_owned())??;
        Ok((begun, reports?))
    })
}

/// A call between two homes whose service names servers that answer nothing right, and whose caller has such a router: how
/// many questions they were asked, the reports, and how much the caller grew in megabytes.
///
/// # Errors
/// The call did not come about, did not end well, or something panicked.
pub fn misled(seconds: u32, seed: u64) -> Outcome<(u64, [Report; 2], f64)> {
    let servers =
        format!("--turn turn:{SERVER}:4478 --turn turn:{SERVER}:4479?transport=tcp --turn stun:{SERVER}:4480");
    let mut pair = Pair::new(&servers)?;
    // Nobody honest says how one is seen from outside.
    pair.set(Nat::None, Nat::None)?;
    let mut rogues = Rogues::default();
    let gateway = Node::Gateway(Side::A);
    let places = [
        (Node::Server, Guise::Relay, 4478),
        (Node::Server, Guise::RelayStream, 4479),
        (Node::Server, Guise::Relay, 4480),
        (gateway, Guise::Mapper, 5351),
        (gateway, Guise::Search, 1900),
        (gateway, Guise::Description, 5555),
    ];
    for (number, (node, guise, port)) in (0..).zip(places) {
        pair.lab.pretend(&mut rogues, node, guise, port, seed * 16 + number)?;
    }
    let callee = pair.listen("--once")?;
    let mut caller = Party::call(&pair.setup(&pair.ada, &format!("--for {seconds}")), "@ben")?;
    caller.wait_for("in call with", SOON)?;
    let before = Holdings::of(caller.pid())?;
    std::thread::sleep(Duration::from_secs(u64::from(seconds).saturating_sub(2)));
    let grown = Holdings::of(caller.pid())?.grown_mb(&before);
    Ok((rogues.asked(), both(caller, callee)?, grown))
}
