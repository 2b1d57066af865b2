//! A job on a named thread of its own, in a pool, or inline for virtual time; the engine's end is the same for all.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use super::pool::Pooled;
use crate::base::error::{Error, Kind, Result};
use crate::base::foreign;
use crate::base::pipe::{PipeReceiver, PipeSender, Refusal, Wake, pipe};
use crate::base::thread;
use crate::base::time::{Duration, Instant, now};

/// How the work is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Work {
    /// On threads of their own, as long as it takes.
    #[default]
    Threads,
    /// Inside the tick, in virtual time: encoding and decoding a picture take so long.
    Inline { encode: Duration, decode: Duration },
}

/// What a worker does with each item.
pub trait Job: Send + 'static {
    type In: Send + 'static;
    type Out: Send + 'static;

    /// Does the work on one item; `clock` gives the stamps. An error ends the worker.
    ///
    /// # Errors
    /// The job cannot go on: its handle says [`Worker::is_gone`] from then on.
    fn run(&mut self, item: Self::In, clock: Clock) -> Result<Option<Self::Out>>;

    /// What the next item takes of virtual time beyond what every item takes.
    fn extra(&self) -> Duration {
        Duration::ZERO
    }
}

/// Where a job's stamps come from.
#[derive(Clone, Copy, Debug)]
pub enum Clock {
    /// The monotonic clock, on a worker's thread.
    Real,
    /// One instant of virtual time: the work takes none.
    At(Instant),
}

impl Clock {
    pub fn now(self) -> Instant {
        match self {
            Self::Real => now(),
            Self::At(at) => at,
        }
    }
}

/// The engine's end of a job.
#[derive(Debug)]
pub enum Worker<J: Job> {
    Thread(Thread<J::In, J::Out>),
    /// On the threads of a pool, in turns with others.
    Pooled(Pooled<J>),
    Inline(Inline<J>),
    /// A thread that starts with the first item: of what may never be used there is none.
    Asleep(Box<Asleep<J>>),
}

/// What a thread is started with.
#[derive(Debug)]
pub struct Asleep<J> {
    name: &'static str,
    bound: usize,
    job: Option<J>,
    wake: Wake,
}

/// A job that is done inside [`Worker::submit`] and takes a stated time: for virtual time.
#[derive(Debug)]
pub struct Inline<J: Job> {
    job: Option<J>,
    /// As long as each item takes.
    takes: Duration,
    /// So many may wait beside the one that is worked on.
    bound: usize,
    /// What was made, and when it is ready.
    out: VecDeque<(Instant, J::Out)>,
    busy_until: Option<Instant>,
}

/// A job on its thread. Dropping it closes both pipes, so that the thread ends after the item it works on, and joins.
#[derive(Debug)]
pub struct Thread<I, O> {
    /// Both are there until the drop.
    pipes: Option<(PipeSender<I>, PipeReceiver<O>)>,
    gone: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl<J: Job> Worker<J> {
    /// Starts a thread called `name` with an in-pipe of `bound` items. `wake` is called after each result.
    ///
    /// # Errors
    /// The system gives no thread (`Kind::Retry`).
    pub fn spawn(name: &str, bound: usize, mut job: J, wake: Wake) -> Result<Self> {
        let (to, items) = pipe::<J::In>(bound);
        // Twice the in-pipe: the worker waits (and the in-pipe fills, which is the sender's signal) only when the
        // engine has not collected for a long time.
        let (results, from) = pipe::<J::Out>(bound * 2);
        let gone = Arc::new(AtomicBool::new(false));
        let ended = gone.clone();
        let body = move || {
            thread::prefer();
            while let Some(item) = items.recv() {
                // A job that panicked is not used again; what it holds is only dropped.
                let result = catch_unwind(AssertUnwindSafe(|| job.run(item, Clock::Real)));
                match result {
                    Ok(Ok(None)) => {}
                    Ok(Ok(Some(out))) => {
                        if results.send(out).is_err() {
                            break;
                        }
                    }
                    Ok(Err(error)) => {
                        tracing::error!(%error, "a codec worker ends");
                        break;
                    }
                    Err(_) => {
                        tracing::error!("a codec worker panicked");
                        break;
                    }
                }
                // Also without a result: the job may have set a flag that the engine looks at.
                wake.wake();
            }
            ended.store(true, Ordering::Release);
            wake.wake();
        };
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(body)
            .map_err(|error| Error::new(Kind::Retry, format!("cannot start the thread {name}: {error}")))?;
        Ok(Self::Thread(Thread { pipes: Some((to, from)), gone, thread: Some(thread) }))
    }

    /// The same, but the thread starts with the first item.
    pub fn asleep(name: &'static str, bound: usize, job: J, wake: Wake) -> Self {
        Self::Asleep(Box::new(Asleep { name, bound, job: Some(job), wake }))
    }

    /// The same job without a thread: it is done inside [`Self::submit`], and each item takes `takes` of virtual time.
    pub const fn inline(job: J, takes: Duration) -> Self {
        Self::inline_bounded(usize::MAX, job, takes)
    }

    /// The same, which refuses what comes while `bound` items wait behind the one that is worked on.
    pub const fn inline_bounded(bound: usize, job: J, takes: Duration) -> Self {
        Self::Inline(Inline { job: Some(job), takes, bound, out: VecDeque::new(), busy_until: None })
    }

    /// Hands an item over. Inline the work is done here; its result is ready when the time it takes is over.
    pub fn submit(&mut self, item: J::In, now: Instant) -> Result<(), Refusal<J::In>> {
        if let Self::Asleep(asleep) = self
            && let Some(job) = asleep.job.take()
            && let Ok(started) = Self::spawn(asleep.name, asleep.bound, job, asleep.wake.clone())
        {
            *self = started;
        }
        match self {
            Self::Thread(Thread { pipes: Some((to, _)), .. }) => to.try_send(item),
            Self::Pooled(pooled) => pooled.submit(item),
            Self::Inline(Inline { job: Some(_), bound, out, .. })
                if out.iter().filter(|(ready, _)| *ready > now).count() > *bound =>
            {
                Err(Refusal::Full(item))
            }
            Self::Inline(Inline { job: Some(running), takes, out, busy_until, .. }) => {
                let ready = busy_until.map_or(now, |busy| busy.max(now)) + *takes + running.extra();
                *busy_until = Some(ready);
                match foreign::call(|| running.run(item, Clock::At(ready))) {
                    Ok(result) => out.extend(result.map(|result| (ready, result))),
                    Err(_) => {
                        if let Self::Inline(inline) = self {
                            inline.job = None;
                        }
                    }
                }
                Ok(())
            }
            _ => Err(Refusal::Gone(item)),
        }
    }

    /// The next result that is ready at `now`, in the order of the items.
    pub fn poll(&mut self, now: Instant) -> Option<J::Out> {
        match self {
            Self::Thread(thread) => thread.pipes.as_ref()?.1.try_recv(),
            Self::Pooled(pooled) => pooled.poll(),
            Self::Inline(inline) => inline.out.pop_front_if(|(ready, _)| *ready <= now).map(|(_, result)| result),
            Self::Asleep(_) => None,
        }
    }

    /// When the next result is ready; `None` where a thread's wake says so.
    pub fn next_due(&self) -> Option<Instant> {
        match self {
            Self::Thread(_) | Self::Pooled(_) | Self::Asleep(_) => None,
            Self::Inline(inline) => inline.out.front().map(|(ready, _)| *ready),
        }
    }

    /// True when the in-pipe is full: the next submit would be refused.
    pub fn is_full(&self) -> bool {
        match self {
            Self::Thread(thread) => thread.pipes.as_ref().is_some_and(|(to, _)| to.is_full()),
            Self::Pooled(pooled) => pooled.is_full(),
            Self::Inline(_) | Self::Asleep(_) => false,
        }
    }

    /// True when the job has ended by an error or a panic.
    pub fn is_gone(&self) -> bool {
        match self {
            Self::Thread(thread) => thread.gone.load(Ordering::Acquire),
            Self::Pooled(pooled) => pooled.is_gone(),
            Self::Inline(inline) => inline.job.is_none(),
            Self::Asleep(asleep) => asleep.job.is_none(),
        }
    }
}

impl<I, O> Drop for Thread<I, O> {
    fn drop(&mut self) {
        self.pipes = None;
        if let Some(thread) = self.thread.take() {
            // The body catches panics; there is nothing to learn from the result.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Half;

    impl Job for Half {
        type In = u32;
        type Out = u32;

        fn run(&mut self, item: u32, _: Clock) -> Result<Option<u32>> {
            assert_ne!(item, 13, "the test's panic");
            Ok(item.is_multiple_of(2).then_some(item / 2))
        }
    }

    fn wait_until(mut condition: impl FnMut() -> bool) {
        let deadline = now() + Duration::from_secs(20);
        while !condition() {
            assert!(now() < deadline, "waited too long");
            std::thread::yield_now();
        }
    }

    #[test]
    fn results_come_back_in_order() {
        let mut worker = Worker::spawn("test-half", 4, Half, Wake::none()).expect("a thread");
        (0..4).for_each(|item| worker.submit(item, now()).expect("room"));
        let mut results = Vec::new();
        wait_until(|| {
            results.extend(worker.poll(now()));
            results.len() == 2
        });
        assert_eq!(results, [0, 1]);
    }

    #[test]
    fn inline_work_takes_its_time_one_item_after_another() {
        let start = now();
        let ms = Duration::from_millis;
        let mut worker = Worker::inline(Half, ms(3));
        worker.submit(2, start).expect("room");
        worker.submit(4, start + ms(1)).expect("room");
        assert_eq!((worker.poll(start + ms(2)), worker.next_due()), (None, Some(start + ms(3))));
        assert_eq!((worker.poll(start + ms(3)), worker.next_due()), (Some(1), Some(start + ms(6))));
        assert_eq!((worker.poll(start + ms(6)), worker.next_due()), (Some(2), None));
    }

    #[test]
    fn a_panic_ends_the_worker_and_nothing_else() {
        let mut worker = Worker::spawn("test-panic", 4, Half, Wake::none()).expect("a thread");
        worker.submit(13, now()).expect("room");
        wait_until(|| worker.is_gone());
        wait_until(|| worker.submit(2, now()) == Err(Refusal::Gone(2)));
    }

    #[test]
    fn dropping_does_not_wait_for_results_that_nobody_collects() {
        let mut worker = Worker::spawn("test-drop", 1, Half, Wake::none()).expect("a thread");
        // The out-pipe holds two: the worker is stuck on the third and the in-pipe fills.
        wait_until(|| worker.submit(2, now()) == Err(Refusal::Full(2)));
        drop(worker);
    }
}
