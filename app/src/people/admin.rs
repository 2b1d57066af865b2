//! What those who run a service do with reports: the part of `visavis account` that is theirs.

use anyhow::Result;
use clap::Subcommand;
use engine::people::command::{Outcome, Wanted};
use engine::proto::service::account::Report;
use engine::proto::service::names::AccountName;

use super::{Console, columns, date, name, unexpected};

#[derive(Clone, Debug, Subcommand)]
pub enum Admin {
    /// As one who runs the service: what was reported and is not dealt with, oldest first
    Reports {
        /// Only what came after this number
        #[arg(long, default_value_t = 0)]
        after: u64,
    },
    /// As one who runs the service: a report was dealt with
    CloseReport { number: u64 },
    /// As one who runs the service: somebody can log in no more
    Suspend {
        #[arg(id = "account", value_name = "NAME", value_parser = name)]
        name: AccountName,
        /// They can again
        #[arg(long)]
        off: bool,
    },
}

/// Does it.
pub fn run(what: &Admin, console: &mut Console) -> Result<()> {
    match what {
        Admin::Reports { after } => {
            let mut reports: Vec<Report> = Vec::new();
            let mut after = *after;
            // A page is a hundred; a thousand are more than anybody deals with in a day.
            while reports.len() < 1000 {
                let outcome = console.ask(Wanted::Reports { after })?;
                let Outcome::Reports(page) = outcome else { return Err(unexpected(&outcome)) };
                let Some(last) = page.last() else { break };
                after = last.number;
                reports.extend(page);
            }
            console.print(&reports, |reports| {
                for Report { number, at, by, about, text } in reports {
                    println!("{number:>5}  {}", columns(&[&about.name, &date(*at), &format!("by {}", by.name)]));
                    text.lines().for_each(|line| println!("       {line}"));
                }
                if reports.is_empty() {
                    println!("nothing is reported");
                }
            })
        }
        Admin::CloseReport { number } => {
            console.ask(Wanted::CloseReport { number: *number })?;
            console.print_done(&format!("report {number} is dealt with"))
        }
        Admin::Suspend { name, off } => {
            console.ask(Wanted::Suspend { name: name.clone(), suspended: !off })?;
            let said = if *off { "can log in again" } else { "can log in no more" };
            console.print_done(&format!("{name} {said}"))
        }
    }
}
