//! Bounded crossings between threads. Every one has a name, a bound, and counts what it refuses.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_channel::{Receiver, Sender, TryRecvError, TrySendError};

/// Wakes the engine's poll. Cloned into every thread that hands something over; a spent one (tests, virtual
/// time) does nothing.
#[derive(Clone, Debug, Default)]
pub struct Wake(Option<Arc<Waking>>);

#[derive(Debug)]
struct Waking {
    waker: mio::Waker,
    /// It was called and has not heard yet: another call would say nothing new.
    called: AtomicBool,
}

impl Wake {
    pub fn new(waker: mio::Waker) -> Self {
        Self(Some(Arc::new(Waking { waker, called: AtomicBool::new(false) })))
    }

    /// Wakes nobody: for engines driven by an argument instead of a clock.
    pub const fn none() -> Self {
        Self(None)
    }

    pub fn wake(&self) {
        if let Some(waking) = self.0.as_ref().filter(|waking| !waking.called.swap(true, Ordering::SeqCst)) {
            // A failed wake means the poll is gone: the engine has ended and nobody waits.
            let _ = waking.waker.wake();
        }
    }

    /// The engine is about to look at everything: what is handed over from now on calls again. Fifty decoders that are ready
    /// within a cell so cost one system call, not fifty.
    pub fn heard(&self) {
        if let Some(waking) = &self.0 {
            waking.called.store(false, Ordering::SeqCst);
        }
    }
}

/// The sending end of a bounded pipe.
#[derive(Debug)]
pub struct PipeSender<T> {
    channel: Sender<T>,
    refused: Arc<AtomicU64>,
}

impl<T> Clone for PipeSender<T> {
    fn clone(&self) -> Self {
        Self { channel: self.channel.clone(), refused: self.refused.clone() }
    }
}

/// The receiving end of a bounded pipe.
#[derive(Debug)]
pub struct PipeReceiver<T> {
    channel: Receiver<T>,
    refused: Arc<AtomicU64>,
}

/// Why an item was not taken; the item comes back.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal<T> {
    Full(T),
    Gone(T),
}

/// A pipe of `bound` items.
pub fn pipe<T>(bound: usize) -> (PipeSender<T>, PipeReceiver<T>) {
    let (sender, receiver) = crossbeam_channel::bounded(bound);
    let refused = Arc::new(AtomicU64::new(0));
    (PipeSender { channel: sender, refused: refused.clone() }, PipeReceiver { channel: receiver, refused })
}

impl<T> PipeSender<T> {
    /// Hands `item` over without waiting. When full, counts it and gives it back: the caller's policy decides.
    pub fn try_send(&self, item: T) -> Result<(), Refusal<T>> {
        self.channel.try_send(item).map_err(|error| match error {
            TrySendError::Full(item) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                Refusal::Full(item)
            }
            TrySendError::Disconnected(item) => Refusal::Gone(item),
        })
    }

    /// Hands `item` over, waiting for room. Only worker threads wait; the engine never does.
    pub fn send(&self, item: T) -> Result<(), Refusal<T>> {
        self.channel.send(item).map_err(|error| Refusal::Gone(error.0))
    }

    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    pub fn is_full(&self) -> bool {
        self.channel.is_full()
    }

    pub fn len(&self) -> usize {
        self.channel.len()
    }

    pub fn is_empty(&self) -> bool {
        self.channel.is_empty()
    }
}

impl<T> PipeReceiver<T> {
    /// The next item if there is one.
    pub fn try_recv(&self) -> Option<T> {
        self.channel.try_recv().ok()
    }

    /// Waits for the next item; `None` when all senders are gone.
    pub fn recv(&self) -> Option<T> {
        self.channel.recv().ok()
    }

    /// Waits at most `time`; `None` when nothing came or all senders are gone.
    pub fn recv_timeout(&self, time: std::time::Duration) -> Option<T> {
        self.channel.recv_timeout(time).ok()
    }

    /// True when every sender is gone and nothing is left.
    pub fn is_gone(&self) -> bool {
        self.channel.is_empty() && matches!(self.channel.try_recv(), Err(TryRecvError::Disconnected))
    }

    pub fn is_empty(&self) -> bool {
        self.channel.is_empty()
    }

    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

/// A slot that holds only the newest item: putting replaces what nobody took.
#[derive(Debug)]
pub struct Latest<T> {
    slot: Mutex<Option<T>>,
    replaced: AtomicU64,
}

impl<T> Default for Latest<T> {
    fn default() -> Self {
        Self { slot: Mutex::new(None), replaced: AtomicU64::new(0) }
    }
}

impl<T> Latest<T> {
    /// Puts `item`; the one it replaces comes back so that its storage can be used again.
    pub fn put(&self, item: T) -> Option<T> {
        let old = self.slot.lock().unwrap_or_else(PoisonError::into_inner).replace(item);
        if old.is_some() {
            self.replaced.fetch_add(1, Ordering::Relaxed);
        }
        old
    }

    pub fn take(&self) -> Option<T> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub fn replaced(&self) -> u64 {
        self.replaced.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_pipe_gives_the_item_back_and_counts_it() {
        let (sender, receiver) = pipe(1);
        assert_eq!(sender.try_send(1), Ok(()));
        assert_eq!(sender.try_send(2), Err(Refusal::Full(2)));
        assert_eq!(sender.refused(), 1);
        assert_eq!(receiver.try_recv(), Some(1));
        drop(receiver);
        assert_eq!(sender.try_send(3), Err(Refusal::Gone(3)));
    }

    #[test]
    fn latest_keeps_only_the_newest() {
        let slot = Latest::default();
        assert_eq!(slot.put(1), None);
        assert_eq!(slot.put(2), Some(1));
        assert_eq!(slot.take(), Some(2));
        assert_eq!(slot.replaced(), 1);
    }
}
