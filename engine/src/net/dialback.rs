//! Calls back whoever asked for it, so that they learn which of their ports can be reached: a few bytes to the address that
//! the request came from, on a thread of its own.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::base::error::{Error, Kind, Result};
use crate::base::pipe::{PipeReceiver, PipeSender, pipe};
use crate::base::time::{self, Duration};
use crate::proto::nettest::service::Dial;

/// The thread. Dropping it ends it; what is under way is not waited for longer than a moment.
#[derive(Debug)]
pub struct Dialler {
    jobs: Option<PipeSender<Job>>,
    quit: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Clone, Copy, Debug)]
struct Job {
    to: IpAddr,
    dial: Dial,
}

impl Dialler {
    /// # Errors
    /// [`Kind::Retry`]: no thread can be started.
    pub fn start() -> Result<Self> {
        let (jobs, waiting) = pipe(MOST_WAITING);
        let quit = Arc::new(AtomicBool::new(false));
        let stop = quit.clone();
        let thread = std::thread::Builder::new()
            .name("dial back".into())
            .spawn(move || work(&waiting, &stop))
            .map_err(|error| Error::new(Kind::Retry, format!("nobody can be called back: {error}")))?;
        Ok(Self { jobs: Some(jobs), quit, thread: Some(thread) })
    }

    /// Calls `to` back, soon. `false`: too many wait; the one who asked asks again.
    pub fn dial(&self, to: IpAddr, dial: Dial) -> bool {
        self.jobs.as_ref().is_some_and(|jobs| jobs.try_send(Job { to: to.to_canonical(), dial }).is_ok())
    }
}

impl Drop for Dialler {
    fn drop(&mut self) {
        self.quit.store(true, Ordering::Relaxed);
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn work(waiting: &PipeReceiver<Job>, quit: &AtomicBool) {
    while let Some(first) = waiting.recv() {
        let mut batch = vec![first];
        while batch.len() < MOST_AT_ONCE
            && let Some(next) = waiting.try_recv()
        {
            batch.push(next);
        }
        // Without an event loop nobody is called; the one who asked sees no port reached and may ask again.
        let _ = call(&batch, quit);
    }
}

fn call(batch: &[Job], quit: &AtomicBool) -> std::io::Result<()> {
    let mut poll = Poll::new()?;
    let mut open: Vec<(TcpStream, Job, u16)> = Vec::new();
    for job in batch {
        for port in job.dial.tcp_ports() {
            let Ok(mut socket) = TcpStream::connect(SocketAddr::new(job.to, port)) else { continue };
            poll.registry().register(&mut socket, Token(open.len()), Interest::WRITABLE)?;
            open.push((socket, *job, port));
        }
    }
    let (mut events, start) = (Events::with_capacity(128), time::now());
    let after = |wait: Duration| start.checked_add(wait).unwrap_or(start);
    let (until, mut datagrams) = (after(PATIENCE), DATAGRAMS.into_iter().map(after).peekable());
    while !quit.load(Ordering::Relaxed) && (!open.is_empty() || datagrams.peek().is_some()) {
        let now = time::now();
        if now >= until {
            break;
        }
        if datagrams.next_if(|at| *at <= now).is_some() {
            batch.iter().for_each(|job| send(*job));
        }
        open.retain_mut(|(socket, job, port)| match (socket.take_error(), socket.peer_addr()) {
            (Ok(None), Ok(_)) => {
                // Thirty bytes into an empty socket: they fit, or the other side has gone.
                let _ = socket.write_all(job.dial.token(*port).as_bytes());
                let _ = socket.shutdown(Shutdown::Write);
                false
            }
            (Ok(None), Err(_)) => true,
            _ => false,
        });
        let next = datagrams.peek().copied().unwrap_or(until).min(until);
        let wait = next.saturating_duration_since(now).min(LOOK);
        // An error is an interruption: the loop looks again.
        let _ = poll.poll(&mut events, Some(wait));
    }
    Ok(())
}

/// From a socket that has sent them nothing before: their router knows no way back to it but by a rule.
fn send(job: Job) {
    let any: IpAddr = if job.to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    if let Ok(socket) = UdpSocket::bind((any, 0)) {
        let _ = socket.send_to(job.dial.token(job.dial.base).as_bytes(), (job.to, job.dial.base));
    }
}

/// Jobs of one turn, three sockets each.
const MOST_AT_ONCE: usize = 32;
const MOST_WAITING: usize = 256;

/// A TCP handshake around the world with one lost packet.
const PATIENCE: Duration = Duration::from_millis(2000);

/// One may be lost.
const DATAGRAMS: [Duration; 3] = [Duration::ZERO, Duration::from_millis(150), Duration::from_millis(400)];

const LOOK: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn the_ports_are_called_with_the_cookie_and_a_closed_one_holds_nobody_up() {
        let (first, datagrams, base) = loop {
            let first = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
            let base = first.local_addr().expect("bound").port();
            if let Ok(datagrams) = UdpSocket::bind((Ipv4Addr::LOCALHOST, base)) {
                break (first, datagrams, base);
            }
        };
        let dial = Dial { base, cookie: 0xfeed };
        let dialler = Dialler::start().expect("a thread");
        assert!(dialler.dial(Ipv4Addr::LOCALHOST.into(), dial));
        let (mut socket, _) = first.accept().expect("called");
        let mut said = String::new();
        socket.read_to_string(&mut said).expect("read");
        assert_eq!(said, dial.token(base));
        datagrams.set_read_timeout(Some(Duration::from_secs(20))).expect("a limit");
        let mut buffer = [0; 64];
        let (length, _) = datagrams.recv_from(&mut buffer).expect("sent");
        assert_eq!(&buffer[..length], dial.token(base).as_bytes());
    }
}
