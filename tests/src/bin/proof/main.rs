//! `proof [--html FILE] [NAME…]`: the long measurements. Runs them (all, or those named), prints one row for each figure, and
//! exits with status 1 when one is not what it must be. With `--html` all of it is also written as one page.

mod contract;
mod devices;
mod endurance;
mod files;
mod guard;
mod jitter;
mod lab;
mod list;
mod media;
mod nettest;
mod networks;
mod opus;
mod page;
mod probe;
mod rate;
mod replay;
mod rival;
mod screens;
mod service;
mod sound;
mod table;
mod video;
mod voice;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use visavis_tests::Outcome;

use crate::list::PROOFS;
use crate::table::Table;

fn main() -> ExitCode {
    let (names, html) = match arguments(std::env::args().skip(1)) {
        Ok(wanted) => wanted,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    let mut table = Table::new();
    let write = |table: &Table| html.as_ref().is_none_or(|path| report(write_page(path, table)));
    // What cannot be written is better known before an hour of measuring.
    if !write(&table) {
        return ExitCode::from(2);
    }
    let mut is_written = true;
    for proof in PROOFS.iter().filter(|proof| names.is_empty() || names.iter().any(|name| name == proof.name)) {
        table.title(proof.name);
        if let Err(error) = (proof.run)(&mut table) {
            table.failed(&error);
        }
        // One that is stopped leaves what it has measured.
        is_written = write(&table);
    }
    if table.finish() && is_written { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

/// The proofs that are named, and where the page goes.
fn arguments(arguments: impl Iterator<Item = String>) -> Outcome<(Vec<String>, Option<PathBuf>)> {
    let (mut names, mut html, mut arguments) = (Vec::new(), None, arguments);
    while let Some(argument) = arguments.next() {
        if argument == "--html" {
            html = Some(arguments.next().ok_or("--html needs the name of a file")?.into());
        } else if PROOFS.iter().any(|proof| proof.name == argument) {
            names.push(argument);
        } else {
            let known: Vec<&str> = PROOFS.iter().map(|proof| proof.name).collect();
            return Err(format!("no proof named {argument}; there are: {}", known.join(", ")));
        }
    }
    Ok((names, html))
}

fn write_page(path: &Path, table: &Table) -> Outcome<()> {
    let page = page::page(table, &PROOFS);
    std::fs::write(path, page).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

fn report(written: Outcome<()>) -> bool {
    if let Err(error) = &written {
        eprintln!("{error}");
    }
    written.is_ok()
}
