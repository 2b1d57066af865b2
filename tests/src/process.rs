//! What a running process holds, as the system says.

use std::fs;

use crate::Outcome;

/// Threads, open files and memory of a process at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    pub threads: usize,
    /// Sockets among the open files.
    pub sockets: usize,
    /// Open files, sockets included.
    pub files: usize,
    /// Resident bytes.
    pub resident: u64,
}

impl Holdings {
    /// What process `pid` holds now.
    ///
    /// # Errors
    /// The process is gone.
    pub fn of(pid: u32) -> Outcome<Self> {
        let gone = |error: std::io::Error| format!("process {pid}: {error}");
        let status = fs::read_to_string(format!("/proc/{pid}/status")).map_err(gone)?;
        let number = |key: &str| {
            let line = status.lines().find(|line| line.starts_with(key))?;
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        };
        let mut holdings = Self {
            threads: number("Threads:").unwrap_or(0) as usize,
            resident: number("VmRSS:").unwrap_or(0) * 1024,
            ..Default::default()
        };
        for entry in fs::read_dir(format!("/proc/{pid}/fd")).map_err(gone)?.flatten() {
            holdings.files += 1;
            // A file may be closed between listing and looking.
            let is_socket = fs::read_link(entry.path()).is_ok_and(|to| to.to_string_lossy().starts_with("socket:"));
            holdings.sockets += usize::from(is_socket);
        }
        Ok(holdings)
    }

    /// What is left over against `before`, memory apart; `None` where nothing is.
    pub fn left_over(&self, before: &Self) -> Option<String> {
        let pairs = [
            ("threads", before.threads, self.threads),
            ("sockets", before.sockets, self.sockets),
            ("files", before.files, self.files),
        ];
        let more: Vec<String> = pairs
            .iter()
            .filter(|(_, before, after)| after > before)
            .map(|(what, before, after)| format!("{what} {before} → {after}"))
            .collect();
        (!more.is_empty()).then(|| more.join(", "))
    }

    /// Megabytes that `self` holds more than `before`.
    pub fn grown_mb(&self, before: &Self) -> f64 {
        (self.resident as f64 - before.resident as f64) / 1e6
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_socket_is_seen() {
        let me = std::process::id();
        let before = Holdings::of(me).expect("this process");
        let held: Vec<_> = (0..64).map(|_| std::net::UdpSocket::bind(("127.0.0.1", 0)).expect("a port")).collect();
        let after = Holdings::of(me).expect("this process");
        // Other tests of this process open and close a few at the same time.
        assert!(after.sockets >= before.sockets + 32, "{before:?} {after:?}");
        assert!(after.left_over(&before).is_some_and(|text| text.contains("sockets")));
        assert_eq!(before.left_over(&before), None);
        drop(held);
    }
}
