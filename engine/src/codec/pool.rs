//! Threads bounded by the machine's cores, on which many jobs take turns: one item after another, those of each job in their
//! order. Fifty decoders are fifty tasks on a few threads, not fifty threads.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::worker::{Clock, Job};
use crate::base::error::{Error, Kind, Result};
use crate::base::pipe::{PipeReceiver, PipeSender, Refusal, Wake, pipe};

/// More threads than this gain nothing: fifty pictures of a room are less work than that.
const MOST: usize = 8;

/// The threads. They start as work comes, and are joined when this is dropped: what is not done by then is not done.
#[derive(Debug)]
pub struct Pool(Arc<Shared>);

struct Shared {
    name: &'static str,
    bound: usize,
    queue: Mutex<Queue>,
    ready: Condvar,
}

#[derive(Default)]
struct Queue {
    /// Tasks with something to do, each at most once: there are never more than tasks.
    turns: VecDeque<Arc<dyn Turn>>,
    threads: Vec<JoinHandle<()>>,
    sleeping: usize,
    /// A thread was woken or started and has not looked yet: it calls the next one itself where there is more to do. One item
    /// wakes one thread at most, and a burst of fifty as many as are of use.
    calling: bool,
    closed: bool,
}

/// A task whose turn it is.
trait Turn: Send + Sync {
    /// Works on one item. True where it is to have another turn.
    fn turn(&self) -> bool;
}

/// The engine's end of a job in a pool. When it is dropped nothing more is begun.
pub struct Pooled<J: Job> {
    task: Arc<Task<J>>,
    pool: Arc<Shared>,
    items: PipeSender<J::In>,
    results: PipeReceiver<J::Out>,
}

struct Task<J: Job> {
    /// Gone after an error or a panic. Only the thread whose turn it is locks it: nobody ever waits.
    job: Mutex<Option<J>>,
    items: PipeReceiver<J::In>,
    results: PipeSender<J::Out>,
    /// It stands in the queue, or is being worked on.
    queued: AtomicBool,
    /// Nothing more is wanted.
    closed: AtomicBool,
    gone: AtomicBool,
    wake: Wake,
}

impl Pool {
    /// At most as many threads called `name` as there are cores.
    pub fn new(name: &'static str) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self::with_threads(name, cores.min(MOST))
    }

    /// At most `bound` threads.
    pub fn with_threads(name: &'static str, bound: usize) -> Self {
        let queue = Mutex::new(Queue::default());
        Self(Arc::new(Shared { name, bound: bound.max(1), queue, ready: Condvar::new() }))
    }

    /// Adds `job` with an in-pipe of `bound` items. `wake` is called after each.
    pub fn add<J: Job>(&self, bound: usize, job: J, wake: Wake) -> Pooled<J> {
        let (to, items) = pipe(bound);
        // Twice the in-pipe, as with a thread of its own: where it is full the task rests, and the in-pipe fills.
        let (results, from) = pipe(bound * 2);
        let task = Task {
            job: Mutex::new(Some(job)),
            items,
            results,
            queued: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            wake,
        };
        Pooled { task: Arc::new(task), pool: self.0.clone(), items: to, results: from }
    }

    /// How many threads there are so far.
    pub fn threads(&self) -> usize {
        lock(&self.0.queue).threads.len()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let mut queue = lock(&self.0.queue);
        queue.closed = true;
        let (threads, turns) = (std::mem::take(&mut queue.threads), std::mem::take(&mut queue.turns));
        drop(queue);
        self.0.ready.notify_all();
        drop(turns);
        for thread in threads {
            // Jobs' panics are caught; there is nothing to learn from the result.
            let _ = thread.join();
        }
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("name", &self.name).field("bound", &self.bound).finish_non_exhaustive()
    }
}

impl<J: Job> Pooled<J> {
    /// Hands an item over. `Full`: the task is behind. `Gone`: it has ended, or the system gives no thread.
    pub fn submit(&self, item: J::In) -> Result<(), Refusal<J::In>> {
        if self.is_gone() {
            return Err(Refusal::Gone(item));
        }
        self.items.try_send(item)?;
        self.call();
        Ok(())
    }

    /// The next result, in the order of the items.
    pub fn poll(&self) -> Option<J::Out> {
        let result = self.results.try_recv();
        // It may have rested because nobody took what it made.
        if result.is_some() && self.task.is_able() {
            self.call();
        }
        result
    }

    /// True when the in-pipe is full: the next submit would be refused.
    pub fn is_full(&self) -> bool {
        self.items.is_full()
    }

    /// True when the job has ended by an error or a panic, or there is no thread for it.
    pub fn is_gone(&self) -> bool {
        self.task.gone.load(Ordering::Acquire)
    }

    /// Gives the task a turn, unless it waits for one already.
    fn call(&self) {
        if !self.task.queued.swap(true, Ordering::SeqCst) && self.pool.push(self.task.clone()).is_err() {
            self.task.gone.store(true, Ordering::Release);
        }
    }
}

impl<J: Job> Drop for Pooled<J> {
    fn drop(&mut self) {
        self.task.closed.store(true, Ordering::Release);
    }
}

impl<J: Job> std::fmt::Debug for Pooled<J> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pooled").field("pool", &self.pool.name).finish_non_exhaustive()
    }
}

impl<J: Job> Task<J> {
    /// There is an item, and room for what comes of it. Nobody else takes items or sends results while it is its turn.
    fn is_able(&self) -> bool {
        !self.items.is_empty() && !self.results.is_full()
    }

    /// False where the job has ended.
    fn work(&self, item: J::In) -> bool {
        let mut place = lock(&self.job);
        let Some(job) = place.as_mut() else { return false };
        // A job that panicked is not used again; what it holds is only dropped.
        match catch_unwind(AssertUnwindSafe(|| job.run(item, Clock::Real))) {
            Ok(Ok(result)) => {
                // There is room: it was looked for.
                result.into_iter().for_each(|result| drop(self.results.try_send(result)));
                return true;
            }
            Ok(Err(error)) => tracing::error!(%error, "a codec worker ends"),
            Err(_) => tracing::error!("a codec worker panicked"),
        }
        *place = None;
        false
    }
}

impl<J: Job> Turn for Task<J> {
    fn turn(&self) -> bool {
        if self.closed.load(Ordering::Acquire) {
            return false;
        }
        let item = if self.is_able() { self.items.try_recv() } else { None };
        if let Some(item) = item {
            let goes_on = self.work(item);
            if !goes_on {
                self.gone.store(true, Ordering::Release);
            }
            // Also without a result: the job may have set a flag that the engine looks at.
            self.wake.wake();
            if !goes_on {
                return false;
            }
        }
        if self.is_able() {
            return true;
        }
        self.queued.store(false, Ordering::SeqCst);
        // What came between the look and this.
        self.is_able() && !self.queued.swap(true, Ordering::SeqCst)
    }
}

impl Shared {
    /// # Errors
    /// There is no thread and none to be had (`Retry`), or the pool is gone (`Gone`).
    fn push(self: &Arc<Self>, turn: Arc<dyn Turn>) -> Result<()> {
        let mut queue = lock(&self.queue);
        if queue.closed {
            return Err(Error::new(Kind::Gone, "the codecs' threads have ended"));
        }
        queue.turns.push_back(turn);
        self.call(&mut queue)
    }

    /// Wakes or starts a thread, where one is of use and none is on its way already.
    fn call(self: &Arc<Self>, queue: &mut Queue) -> Result<()> {
        if queue.calling || queue.turns.is_empty() || queue.closed {
            return Ok(());
        }
        if queue.sleeping > 0 {
            queue.calling = true;
            self.ready.notify_one();
            return Ok(());
        }
        if queue.threads.len() == self.bound {
            return Ok(());
        }
        let ours = self.clone();
        match std::thread::Builder::new().name(self.name.to_owned()).spawn(move || ours.work()) {
            Ok(thread) => {
                queue.threads.push(thread);
                queue.calling = true;
            }
            // Those there are do it all.
            Err(_) if !queue.threads.is_empty() => {}
            Err(error) => {
                queue.turns.clear();
                let text = format!("cannot start the thread {}: {error}", self.name);
                return Err(Error::new(Kind::Retry, text));
            }
        }
        Ok(())
    }

    /// What each thread does.
    fn work(self: &Arc<Self>) {
        let mut queue = lock(&self.queue);
        queue.calling = false;
        while !queue.closed {
            let Some(turn) = queue.turns.pop_front() else {
                queue.sleeping += 1;
                queue = self.ready.wait(queue).unwrap_or_else(PoisonError::into_inner);
                queue.sleeping -= 1;
                queue.calling = false;
                continue;
            };
            // Where another thread cannot be had this one does it all.
            let _ = self.call(&mut queue);
            drop(queue);
            let again = turn.turn();
            // The last one that holds a task frees it, which takes a while.
            let turn = again.then_some(turn);
            queue = lock(&self.queue);
            queue.turns.extend(turn);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
