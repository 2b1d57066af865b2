//! Hashing of passwords (Argon2id, RFC 9106) on threads of its own, from a bounded queue: it takes tens of milliseconds
//! and megabytes on purpose.

use std::thread::JoinHandle;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use aws_lc_rs::constant_time::verify_slices_are_equal;

use crate::base::error::{Error, Kind, Result};
use crate::base::pipe::{PipeReceiver, PipeSender, Wake, pipe};
use crate::proto::hex;
use crate::proto::keys::random;
use crate::proto::service::account::Secret;
use crate::proto::service::refusal::{Code, Refusal};
use crate::store::op::accounts::PasswordHash;

/// Work for a hasher. `T` comes back with the outcome.
#[derive(Debug)]
pub enum Work {
    Hash(Secret),
    /// `None`: nobody has that name; it takes as long.
    Verify(Secret, Option<PasswordHash>),
    /// The old one against its hash, then the new one's hash.
    Replace {
        old: Secret,
        seen: PasswordHash,
        new: Secret,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Hashed(PasswordHash),
    Right,
    Wrong,
}

/// The hashers. Dropping them ends their threads.
#[derive(Debug)]
pub struct Passwords<T> {
    jobs: Option<PipeSender<(Work, T)>>,
    done: PipeReceiver<(Outcome, T)>,
    threads: Vec<JoinHandle<()>>,
}

impl<T: Send + 'static> Passwords<T> {
    /// Starts `threads` of them.
    pub fn start(threads: usize, wake: &Wake) -> Result<Self> {
        let (jobs, to_do) = pipe(QUEUE);
        // As many outcomes as there can be at once: a hasher never waits.
        let (done, outcomes) = pipe(QUEUE.saturating_add(threads));
        let to_do = std::sync::Arc::new(to_do);
        let start = |number: usize| {
            let (to_do, done, wake) = (to_do.clone(), done.clone(), wake.clone());
            std::thread::Builder::new()
                .name(format!("password {number}"))
                .spawn(move || {
                    // The same memory for each: what is taken and given back each time stays in the C library's heap.
                    let mut memory = Vec::new();
                    while let Some((work, whose)) = to_do.recv() {
                        let outcome = perform(&work, &mut memory);
                        if done.send((outcome, whose)).is_err() {
                            return;
                        }
                        wake.wake();
                    }
                })
                .map_err(|error| Error::new(Kind::Retry, format!("no thread for passwords: {error}")))
        };
        let threads = (0..threads.max(1)).map(start).collect::<Result<Vec<_>>>()?;
        Ok(Self { jobs: Some(jobs), done: outcomes, threads })
    }

    /// A refusal where too much waits already.
    pub fn submit(&self, work: Work, whose: T) -> Result<(), Refusal> {
        let busy = || Refusal::retry_after(Code::Busy, "too many log in at once: try again", 1000);
        self.jobs.as_ref().ok_or_else(busy)?.try_send((work, whose)).map_err(|_| busy())
    }

    pub fn poll(&self) -> Option<(Outcome, T)> {
        self.done.try_recv()
    }
}

impl<T> Drop for Passwords<T> {
    fn drop(&mut self) {
        self.jobs = None;
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

fn perform(work: &Work, memory: &mut Vec<Block>) -> Outcome {
    match work {
        Work::Hash(secret) => hash(secret, memory).map_or(Outcome::Wrong, Outcome::Hashed),
        Work::Verify(secret, Some(seen)) if verify(secret, seen, memory) => Outcome::Right,
        Work::Verify(_, Some(_)) => Outcome::Wrong,
        Work::Verify(secret, None) => {
            let _ = hash(secret, memory);
            Outcome::Wrong
        }
        Work::Replace { old, seen, new } if verify(old, seen, memory) => {
            hash(new, memory).map_or(Outcome::Wrong, Outcome::Hashed)
        }
        Work::Replace { .. } => Outcome::Wrong,
    }
}

/// `None` where the system gives no randomness.
fn hash(secret: &Secret, memory: &mut Vec<Block>) -> Option<PasswordHash> {
    let salt: [u8; 16] = random().ok()?;
    let out = derive(secret, &salt, MEMORY, PASSES, memory)?;
    Some(PasswordHash(format!("argon2id${MEMORY}${PASSES}${}${}", hex::text(&salt), hex::text(&out))))
}

fn verify(secret: &Secret, seen: &PasswordHash, work: &mut Vec<Block>) -> bool {
    let parts: Vec<&str> = seen.0.split('$').collect();
    let ["argon2id", memory, passes, salt, expected] = parts[..] else { return false };
    let (Ok(memory), Ok(passes)) = (memory.parse(), passes.parse()) else { return false };
    let (Some(salt), Some(expected)) = (hex::parse::<16>(salt), hex::parse::<32>(expected)) else { return false };
    let derived = derive(secret, &salt, memory, passes, work);
    derived.is_some_and(|out| verify_slices_are_equal(&out, &expected).is_ok())
}

fn derive(secret: &Secret, salt: &[u8; 16], kib: u32, passes: u32, memory: &mut Vec<Block>) -> Option<[u8; 32]> {
    let params = Params::new(kib, passes, 1, Some(32)).ok()?;
    if memory.len() < params.block_count() {
        memory.resize(params.block_count(), Block::default());
    }
    let mut out = [0; 32];
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon2.hash_password_into_with_memory(secret.expose().as_bytes(), salt, &mut out, memory).ok()?;
    Some(out)
}

/// KiB and passes: what OWASP's cheat sheet on password storage asks for at least.
const MEMORY: u32 = 19 * 1024;
const PASSES: u32 = 2;

/// Passwords that may wait: at 20 ms each and two hashers, well below a second.
const QUEUE: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_right_against_its_own_hash_only() {
        let secret = Secret::new("correct horse");
        let mut memory = Vec::new();
        let seen = hash(&secret, &mut memory).expect("hashed");
        assert!(verify(&secret, &seen, &mut memory) && !verify(&Secret::new("correct hors"), &seen, &mut memory));
        assert_ne!(hash(&secret, &mut memory), Some(seen.clone()), "each has its own salt");
        assert!(!seen.0.contains("horse"));
        for broken in ["", "argon2id", "argon2id$1$1$$", &seen.0[..seen.0.len() - 1]] {
            assert!(!verify(&secret, &PasswordHash(broken.to_owned()), &mut memory));
        }
    }

    #[test]
    fn what_is_submitted_comes_back_with_whose_it_is() {
        let passwords = Passwords::start(1, &Wake::none()).expect("threads");
        passwords.submit(Work::Hash(Secret::new("a")), 7u32).expect("room");
        let outcome = loop {
            match passwords.poll() {
                Some(outcome) => break outcome,
                None => std::thread::yield_now(),
            }
        };
        assert!(matches!(outcome, (Outcome::Hashed(_), 7)));
    }
}
