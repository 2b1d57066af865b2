//! `visavis nettest`.

use std::time::Duration;

use anyhow::Result;
use crossbeam_channel::Receiver;
use engine::net::nettest::Told;
use engine::proto::nettest::Step;
use engine::proto::nettest::report::{line, text};
use visavis_app::testing::{TestOptions, keep, whole};

use crate::args::Options;

/// Tests the network, a line for each step as it is done. True when the test ran to its end, whatever it found.
pub fn run(show_address: bool, options: &Options, interrupted: &Receiver<()>) -> Result<bool> {
    let data = crate::data_folder(options)?;
    let proxies = crate::network::proxies(options, &data)?;
    let test = TestOptions { data: data.clone(), service: options.service.clone(), proxies };
    if test.service().is_none() {
        eprintln!("No service is known: only what needs no other end is tested. Say one with --service LINK.");
    }
    let running = test.start(crate::network::base(options, &data), false, std::sync::Arc::new(|| ()))?;
    loop {
        if interrupted.try_recv().is_ok() {
            eprintln!("cancelled");
            return Ok(false);
        }
        match running.poll() {
            None => std::thread::sleep(LOOK),
            Some(Told::Done(step, found)) => {
                if !options.json {
                    say(step, line(step, &found, show_address));
                }
            }
            Some(Told::Over(found, verdict)) => {
                let path = keep(&data, &found, &verdict, show_address)?;
                if options.json {
                    println!("{}", serde_json::to_string_pretty(&whole(&found, &verdict, show_address))?);
                } else {
                    // The steps were said; what they come to was not.
                    let whole = text(&found, &verdict, show_address);
                    println!(
                        "\n{}\nWritten to {}",
                        whole.split_once("\n\n").map_or("", |(_, rest)| rest),
                        path.display()
                    );
                }
                return Ok(true);
            }
        }
    }
}

fn say(step: Step, figure: Option<String>) {
    println!("{step:<17} {}", figure.as_deref().unwrap_or("not measured"));
}

const LOOK: Duration = Duration::from_millis(20);
