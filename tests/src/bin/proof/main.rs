//! `proof [NAME…]`: the long measurements. Runs them (all, or those named), prints one row for each figure, and
//! exits with status 1 when one is not what it must be.

mod contract;
mod devices;
mod endurance;
mod jitter;
mod lab;
mod media;
mod opus;
mod probe;
mod replay;
mod rival;
mod sound;
mod table;
mod voice;

use std::process::ExitCode;

use visavis_tests::Outcome;

use crate::table::Table;

type Proof = fn(&mut Table) -> Outcome<()>;

/// In the order of what a person asks first.
const PROOFS: [(&str, Proof); 23] = [
    ("call", media::call),
    ("screen", media::screen),
    ("setup", media::setup),
    ("cost", media::cost),
    ("cells", media::cells),
    ("sound", sound::through_devices),
    ("losses", contract::losses),
    ("contract", contract::contract),
    ("creep", contract::creep),
    ("drift", contract::drift),
    ("voice", voice::processing),
    ("devices", devices::devices),
    ("jitter", jitter::against_neteq),
    ("opus", opus::malformed),
    ("rival", rival::against_chromium),
    ("probe", probe::known),
    ("speed", lab::speed),
    ("compare", lab::compare),
    ("replay", replay::replay),
    ("attack", endurance::attack),
    ("kill", endurance::kill),
    ("hundred", endurance::hundred),
    ("size", media::size),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(unknown) = arguments.iter().find(|name| PROOFS.iter().all(|(known, _)| known != name)) {
        let known: Vec<&str> = PROOFS.iter().map(|(name, _)| *name).collect();
        eprintln!("no proof named {unknown}; there are: {}", known.join(", "));
        return ExitCode::from(2);
    }
    let mut table = Table::new();
    for (name, proof) in PROOFS {
        if arguments.is_empty() || arguments.iter().any(|wanted| wanted == name) {
            table.title(name);
            if let Err(error) = proof(&mut table) {
                table.failed(&error);
            }
        }
    }
    if table.finish() { ExitCode::SUCCESS } else { ExitCode::from(1) }
}
