//! Several doors tried at once: each a little after the one before, so that one that a firewall swallows costs a moment and
//! not a minute (RFC 8305 §5).

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::base::error::{Error, Kind, Result};
use crate::base::time::{self, Duration, Instant};
use crate::net::proxy::{Dial, Tunnel};
use crate::proto::proxy::is_login;

/// Connections under way to addresses in their order.
#[derive(Debug)]
pub struct Race {
    poll: Poll,
    waiting: VecDeque<Dial>,
    trying: Vec<(Tunnel, Dial)>,
    /// What a proxy said.
    refused: Option<Error>,
    next_at: Instant,
    until: Instant,
}

impl Race {
    /// A race by `ways`, over at `until`.
    ///
    /// # Errors
    /// [`Kind::Retry`]: the system gives no event loop.
    pub fn new(ways: Vec<Dial>, now: Instant, until: Instant) -> Result<Self> {
        let poll = Poll::new().map_err(|error| Error::new(Kind::Retry, format!("no event loop: {error}")))?;
        Ok(Self { poll, waiting: ways.into(), trying: Vec::new(), refused: None, next_at: now, until })
    }

    /// The next connection that stands, with the way it took; those under way go on and can be asked for after it.
    /// `None`: there is no further one, the time is over, or `quit` was set.
    pub fn connected(&mut self, quit: &AtomicBool) -> Option<(TcpStream, Dial)> {
        let mut events = Events::with_capacity(32);
        loop {
            let now = time::now();
            if quit.load(Ordering::Relaxed) || now >= self.until {
                return None;
            }
            if let Some(done) = self.take_done() {
                return Some(done);
            }
            if self.trying.is_empty() && self.waiting.is_empty() {
                return None;
            }
            // Where all that were tried have failed there is nothing to wait for.
            if now >= self.next_at || self.trying.is_empty() {
                self.begin(now);
                continue;
            }
            let next = if self.waiting.is_empty() { self.until } else { self.next_at };
            let wait = next.min(self.until).saturating_duration_since(now).min(LOOK);
            // An error is an interruption: the loop looks again.
            let _ = self.poll.poll(&mut events, Some(wait));
        }
    }

    /// What a proxy said that let nothing through.
    pub const fn refused(&self) -> Option<&Error> {
        self.refused.as_ref()
    }

    fn begin(&mut self, now: Instant) {
        self.next_at = now.checked_add(STAGGER).unwrap_or(now);
        let Some(way) = self.waiting.pop_front() else {
            self.next_at = self.until;
            return;
        };
        match Tunnel::open(&way) {
            Ok(mut tunnel) => {
                let interest = Interest::READABLE | Interest::WRITABLE;
                if self.poll.registry().register(tunnel.socket_mut(), Token(0), interest).is_ok() {
                    self.trying.push((tunnel, way));
                }
            }
            Err(error) => self.note(error),
        }
    }

    fn take_done(&mut self) -> Option<(TcpStream, Dial)> {
        let mut at = 0;
        while let Some((tunnel, _)) = self.trying.get_mut(at) {
            match tunnel.advance() {
                Ok(true) => {
                    let (tunnel, way) = self.trying.swap_remove(at);
                    let mut socket = tunnel.into_socket();
                    let _ = self.poll.registry().deregister(&mut socket);
                    return Some((socket, way));
                }
                Ok(false) => at = at.saturating_add(1),
                Err(error) => {
                    let (_, way) = self.trying.swap_remove(at);
                    if way.through.is_some() {
                        self.note(error);
                    }
                }
            }
        }
        None
    }

    fn note(&mut self, error: Error) {
        if is_login(&error) {
            // Behind every door stands the same proxy.
            self.waiting.clear();
            self.trying.clear();
            self.refused = Some(error);
        } else {
            self.refused.get_or_insert(error);
        }
    }
}

/// RFC 8305 §5: "a simple implementation can have a fixed delay … recommended value 250 milliseconds".
const STAGGER: Duration = Duration::from_millis(250);

/// How long an end of the program may go unnoticed.
const LOOK: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    #[test]
    fn a_closed_door_is_passed_over_and_the_next_one_taken() {
        let open = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let shut = closed.local_addr().expect("bound");
        drop(closed);
        let address = open.local_addr().expect("bound");
        let now = time::now();
        let mut race =
            Race::new([shut, address].map(Dial::direct).into(), now, now + Duration::from_secs(20)).expect("a race");
        let quit = AtomicBool::new(false);
        assert_eq!(race.connected(&quit).map(|(_, way)| way.address), Some(address));
        assert!(race.connected(&quit).is_none(), "there is no third one");
    }

    #[test]
    fn nobody_there_and_an_end_of_the_program_are_no_connection() {
        let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let shut = closed.local_addr().expect("bound");
        drop(closed);
        let now = time::now();
        let until = now + Duration::from_secs(20);
        let mut race = Race::new(vec![Dial::direct(shut)], now, until).expect("a race");
        assert!(race.connected(&AtomicBool::new(false)).is_none());
        let mut race = Race::new(vec![Dial::direct(shut)], now, until).expect("a race");
        assert!(race.connected(&AtomicBool::new(true)).is_none());
    }
}
