use super::*;
use crate::base::time::{Duration, now};

/// Doubles; notes how many are at work at once, and whether anybody else is at work on the same one.
struct Double {
    at_work: Arc<Mutex<(usize, usize)>>,
    busy: AtomicBool,
    last: u32,
}

impl Double {
    fn new(at_work: &Arc<Mutex<(usize, usize)>>) -> Self {
        Self { at_work: at_work.clone(), busy: AtomicBool::new(false), last: 0 }
    }
}

impl Job for Double {
    type In = u32;
    type Out = u32;

    fn run(&mut self, item: u32, _: Clock) -> Result<Option<u32>> {
        assert_ne!(item, 13, "the test's panic");
        assert!(!self.busy.swap(true, Ordering::SeqCst), "two threads at one job");
        assert!(item >= self.last, "out of order");
        self.last = item;
        {
            let mut counts = lock(&self.at_work);
            counts.0 += 1;
            counts.1 = counts.1.max(counts.0);
        }
        // So that others have a chance to be at work at the same time.
        (0..200).for_each(|_| std::thread::yield_now());
        lock(&self.at_work).0 -= 1;
        self.busy.store(false, Ordering::SeqCst);
        Ok(item.is_multiple_of(2).then_some(item * 2))
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
fn fifty_jobs_keep_their_order_on_two_threads() {
    const EACH: u32 = 40;
    let at_work = Arc::default();
    let pool = Pool::with_threads("test-pool", 2);
    let jobs: Vec<_> = (0..50).map(|_| pool.add(4, Double::new(&at_work), Wake::none())).collect();
    let mut sent = vec![0; jobs.len()];
    let mut made = vec![Vec::new(); jobs.len()];
    wait_until(|| {
        for ((job, sent), made) in jobs.iter().zip(&mut sent).zip(&mut made) {
            while *sent < EACH && job.submit(100 + *sent).is_ok() {
                *sent += 1;
            }
            made.extend(std::iter::from_fn(|| job.poll()));
        }
        made.iter().all(|made| made.len() == EACH as usize / 2)
    });
    let expected: Vec<u32> = (100..100 + EACH).step_by(2).map(|item| item * 2).collect();
    assert!(made.iter().all(|made| *made == expected));
    assert!(jobs.iter().all(|job| !job.is_gone()));
    assert!(pool.threads() <= 2);
    assert!(lock(&at_work).1 <= 2, "{} at once", lock(&at_work).1);
}

#[test]
fn without_work_there_is_no_thread_and_one_job_needs_one() {
    let pool = Pool::with_threads("test-lazy", 4);
    let job = pool.add(2, Double::new(&Arc::default()), Wake::none());
    let idle = pool.add(2, Double::new(&Arc::default()), Wake::none());
    assert_eq!((pool.threads(), idle.poll()), (0, None));
    for item in [2, 4, 6] {
        assert_eq!(job.submit(item), Ok(()));
        let mut made = None;
        wait_until(|| {
            made = job.poll();
            made.is_some()
        });
        assert_eq!(made, Some(item * 2));
    }
    assert_eq!(pool.threads(), 1);
}

#[test]
fn a_panic_ends_its_own_job_and_no_other() {
    let pool = Pool::with_threads("test-panic", 1);
    let [one, other] = [(); 2].map(|()| pool.add(4, Double::new(&Arc::default()), Wake::none()));
    assert_eq!(one.submit(13), Ok(()));
    wait_until(|| one.is_gone());
    assert_eq!(one.submit(2), Err(Refusal::Gone(2)));
    assert_eq!(other.submit(2), Ok(()));
    wait_until(|| other.poll() == Some(4));
}

#[test]
fn a_job_whose_results_nobody_takes_rests_and_holds_up_nobody() {
    let pool = Pool::with_threads("test-rest", 1);
    let [stuck, other] = [(); 2].map(|()| pool.add(1, Double::new(&Arc::default()), Wake::none()));
    // The out-pipe holds two, the in-pipe one.
    let mut taken = 0;
    wait_until(|| match stuck.submit(2) {
        Ok(()) => {
            taken += 1;
            false
        }
        Err(_) => taken == 3,
    });
    assert_eq!(other.submit(4), Ok(()));
    wait_until(|| other.poll() == Some(8));
    // It goes on when somebody does.
    let mut made = 0;
    wait_until(|| {
        made += usize::from(stuck.poll() == Some(4));
        made == 3
    });
}

#[test]
fn a_pool_that_is_dropped_ends_its_threads_and_its_jobs_say_so() {
    let pool = Pool::with_threads("test-drop", 2);
    let job = pool.add(4, Double::new(&Arc::default()), Wake::none());
    (1..5).for_each(|item| job.submit(item * 2).expect("room"));
    drop(pool);
    // What was queued is not done; what comes later has nobody to do it.
    wait_until(|| job.submit(20).is_err());
    let task = Arc::downgrade(&job.task);
    drop(job);
    assert!(task.upgrade().is_none(), "nobody holds it any more");
}
