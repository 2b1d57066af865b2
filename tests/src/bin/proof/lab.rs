//! The latency lab: how fast its time passes, and whether its comparison can be trusted.

use std::path::Path;
use std::process::{Command, Output};

use engine::base::time::now;
use visavis_tests::Outcome;
use visavis_tests::party::program;

use crate::table::Table;

/// Twelve calls of five seconds on a path with jitter and loss: what a person would run to see whether a change made
/// things worse.
const RUN: &str = "--profile home --media 360p30 --for 5 --repeat 12";

/// How fast virtual time passes.
pub fn speed(table: &mut Table) -> Outcome<()> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let timed = |args: &str| -> Outcome<f64> {
        let begun = now();
        bench(folder.path(), args, 0)?;
        Ok((now() - begun).as_secs_f64())
    };
    let model = timed("--profile home --media 720p30 --repeat 1 --for 600")?;
    table.at_most("ten minutes of home, 720p30, with models of the codecs", Some(model), 20.0, "s");
    let real = timed("--real --profile home --media 720p30 --repeat 1 --for 60")?;
    table.at_most("real encryption and codecs, of real time", Some(real / 0.6), 30.0, "%");
    Ok(())
}

/// Three milliseconds more on the path must be seen, and nothing must not.
pub fn compare(table: &mut Table) -> Outcome<()> {
    const SEEDS: u32 = 100;
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let (mut seen, mut quiet) = (0, 0);
    for seed in 0..SEEDS {
        let (first, other) = (seed * 1000 + 1, seed * 1000 + 501);
        bench(folder.path(), &format!("{RUN} --seed {first} --out old"), 0)?;
        bench(folder.path(), &format!("{RUN} --seed {first} --plant network=3 --out slow"), 0)?;
        bench(folder.path(), &format!("{RUN} --seed {other} --out same"), 0)?;
        seen += u32::from(bench(folder.path(), "compare old slow", 1).is_ok());
        quiet += u32::from(bench(folder.path(), "compare old same", 0).is_ok());
    }
    table.at_least("3 ms more seen as worse, of 100 seeds", Some(f64::from(seen)), 95.0, "");
    table.at_least("other seeds seen as no worse, of 100", Some(f64::from(quiet)), 95.0, "");
    Ok(())
}

/// Runs `visavis bench`; its output where it ended with `code`.
fn bench(folder: &Path, args: &str, code: i32) -> Outcome<Output> {
    let mut command = Command::new(program()?);
    command.arg("bench").args(args.split_whitespace()).current_dir(folder);
    let output = command.output().map_err(|error| error.to_string())?;
    if output.status.code() == Some(code) {
        return Ok(output);
    }
    Err(format!("visavis bench {args}: {}{}", output.status, String::from_utf8_lossy(&output.stderr)))
}
