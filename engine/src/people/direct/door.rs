//! The recipient's end: a listening port, and a thread for each connection.

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token, Waker};

use super::talk::Talk;
use crate::base::error::{Error, Kind, Result};
use crate::base::pipe::{PipeSender, Wake};
use crate::base::time::{self, Duration};
use crate::net::bucket::Buckets;
use crate::net::tls::TlsIdentity;
use crate::people::session::Inner;
use crate::people::tokens::wall;
use crate::proto::direct::{Answer, Head, Hello, Parts, read, written};
use crate::proto::frame::FrameKind;
use crate::proto::keys::PublicKey;
use crate::proto::quick::Quick;
use crate::proto::service::names::{Person, Seq};
use crate::proto::signal::body::Line;
use crate::store::identity::Identity;
use crate::store::login::Logins;
use crate::store::mailbox::{Kept, Mailbox, Received};

/// Who may write, by account key.
pub type Writers = Arc<Mutex<HashMap<PublicKey, Person>>>;

/// The open door. Dropping it closes it and joins its threads.
pub struct Door {
    quit: Arc<AtomicBool>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

/// What each connection needs.
struct Desk {
    data: PathBuf,
    identity: Identity,
    tls: TlsIdentity,
    logins: Logins,
    writers: Writers,
    /// One after another, so that each has a number of its own.
    keeping: Mutex<()>,
    inner: PipeSender<Inner>,
    wake: Wake,
}

impl Door {
    /// Listens on `port`.
    ///
    /// # Errors
    /// [`Kind::Refused`]: another program has the port; a line for the person.
    pub fn open(
        port: u16,
        data: PathBuf,
        name: &str,
        writers: Writers,
        inner: PipeSender<Inner>,
        wake: Wake,
    ) -> Result<Self> {
        let failed = |error: std::io::Error| {
            let text = format!("pals cannot leave messages here directly, TCP port {port} is taken: {error}");
            Error::new(Kind::Refused, text)
        };
        let identity = Identity::load_or_create(&data, name)?;
        let tls = TlsIdentity::new(identity.device())?;
        let logins = Logins::new(&data);
        let desk = Arc::new(Desk { data, identity, tls, logins, writers, keeping: Mutex::new(()), inner, wake });
        // Both families on one socket where the system has IPv6.
        let listener = TcpListener::bind(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port));
        let any = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port);
        let mut listener = listener.or_else(|_| TcpListener::bind(any)).map_err(failed)?;
        let poll = Poll::new().map_err(failed)?;
        let waker = Waker::new(poll.registry(), WAKER).map_err(failed)?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE).map_err(failed)?;
        let quit = Arc::new(AtomicBool::new(false));
        let until = quit.clone();
        let run = move || Listening::new(poll, listener, desk, until).run();
        let thread = std::thread::Builder::new().name("message door".into()).spawn(run).map_err(failed)?;
        Ok(Self { quit, waker, thread: Some(thread) })
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.quit.store(true, Ordering::Relaxed);
        let _ = self.waker.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Listening {
    poll: Poll,
    listener: TcpListener,
    desk: Arc<Desk>,
    quit: Arc<AtomicBool>,
    buckets: Buckets,
    /// Each with its socket, to end it by.
    running: Vec<(JoinHandle<()>, TcpStream)>,
}

impl Listening {
    fn new(poll: Poll, listener: TcpListener, desk: Arc<Desk>, quit: Arc<AtomicBool>) -> Self {
        Self { poll, listener, desk, quit, buckets: Buckets::default(), running: Vec::new() }
    }

    fn run(mut self) {
        let mut events = Events::with_capacity(4);
        while !self.quit.load(Ordering::Relaxed) {
            if let Err(error) = self.poll.poll(&mut events, None)
                && error.kind() != std::io::ErrorKind::Interrupted
            {
                break;
            }
            while let Ok((socket, from)) = self.listener.accept() {
                self.take(socket.into(), from);
            }
        }
        for (thread, socket) in self.running.drain(..) {
            let _ = socket.shutdown(Shutdown::Both);
            let _ = thread.join();
        }
    }

    /// Whoever comes too often, or when there are many, finds the connection closed.
    fn take(&mut self, socket: TcpStream, from: SocketAddr) {
        self.running.retain(|(thread, _)| !thread.is_finished());
        let may_come = self.buckets.take(from.ip(), MOST_A_MINUTE, time::now());
        if !may_come || self.running.len() >= MOST || socket.set_nonblocking(false).is_err() {
            return;
        }
        let Ok(other) = socket.try_clone() else { return };
        let desk = self.desk.clone();
        let serve = move || {
            // Whoever broke it off, or is none of ours, has nothing to be told.
            let _ = desk.serve(socket);
        };
        if let Ok(thread) = std::thread::Builder::new().name("message".into()).stack_size(STACK).spawn(serve) {
            self.running.push((thread, other));
        }
    }
}

impl Desk {
    fn serve(&self, socket: TcpStream) -> Result<()> {
        let mut talk = Talk::new(socket, self.tls.accept()?, GREETING);
        let device = talk.shake()?;
        let account = talk.next(FrameKind::Hello, |body| read::<Hello>(body)?.account(&device))?;
        let writer = self.writers.lock().unwrap_or_else(PoisonError::into_inner).get(&account).cloned();
        // Whoever is no pal learns nothing but that a program is here.
        let Some(from) = writer else { return Ok(()) };
        let pair = self.logins.sealing_pair()?;
        let sealing = Some(pair.signed(self.identity.device()));
        talk.send(&written(FrameKind::Hello, &Hello { devices: self.identity.devices().clone(), sealing })?)?;
        talk.allow(DELIVERY);
        let head: Head = talk.next(FrameKind::Head, read)?;
        let mut parts = Parts::new(&head)?;
        let bytes = loop {
            if let Some(whole) = talk.next(FrameKind::Part, |part| parts.push(part))? {
                break whole;
            }
        };
        let opened = pair.open(&head.sealed).and_then(|key| key.decrypt(bytes));
        let opened = opened.and_then(|bytes| Quick::open(&bytes, &self.identity.account()));
        let kept = opened.and_then(|opened| match opened.from == account && opened.key == head.key {
            true => self.keep(from, head.key, &opened.quick),
            false => Err(Error::new(Kind::Refused, "the message was signed by somebody else")),
        });
        let why = kept.as_ref().map_or_else(|error| Line::cut(&error.text), |()| Line::default());
        talk.send(&written(FrameKind::Answer, &Answer { kept: kept.is_ok(), why })?)?;
        talk.close();
        Ok(())
    }

    /// On disk, once, whichever way it came first.
    fn keep(&self, from: Person, key: crate::proto::service::names::Key, quick: &Quick) -> Result<()> {
        let login = self.logins.load()?.filter(|login| login.person.key == self.identity.account());
        let login = login.ok_or_else(|| Error::new(Kind::Gone, "nobody is logged in there"))?;
        let mailbox = Mailbox::new(&self.data, &login.person.key);
        let _one = self.keeping.lock().unwrap_or_else(PoisonError::into_inner);
        let seq = mailbox.next_direct();
        let received =
            Received { seq, at: wall(), from, key, read: false, message: Kept::default(), trouble: String::new() };
        if mailbox.receive(received, quick)? {
            self.tell(&mailbox, seq);
        }
        Ok(())
    }

    fn tell(&self, mailbox: &Mailbox, seq: Seq) {
        if let Some(kept) = mailbox.inbox().into_iter().find(|one| one.seq == seq) {
            // A session that has no room for it looks at the inbox later.
            let _ = self.inner.try_send(Inner::Arrived(Box::new(kept)));
            self.wake.wake();
        }
    }
}

const WAKER: Token = Token(0);
const LISTENER: Token = Token(1);

/// The limits of DESIGN.md section 13: two a second; and so many at once.
const MOST_A_MINUTE: u32 = 120;
const MOST: usize = 32;

/// TLS within ten seconds, and who one is.
const GREETING: Duration = Duration::from_secs(10);
const DELIVERY: Duration = Duration::from_secs(40);

/// Frames are on the heap.
const STACK: usize = 256 * 1024;
