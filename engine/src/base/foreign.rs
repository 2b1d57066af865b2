//! Work inside libraries that allocate as they please: transports and codecs. What the engine does in a steady tick
//! allocates nothing; whoever counts that asks here whose code it is that runs.

use std::cell::Cell;

thread_local! {
    /// Without a destructor and made when compiled, so that an allocator may ask at any time.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// Runs `work`, which is a library's.
pub fn call<T>(work: impl FnOnce() -> T) -> T {
    let _inside = Inside::enter();
    work()
}

/// Whether this thread is inside of such work.
pub fn is_inside() -> bool {
    DEPTH.with(Cell::get) > 0
}

/// Left by a panic as well: a fault in a library is caught further up, and the engine goes on.
struct Inside;

impl Inside {
    fn enter() -> Self {
        DEPTH.with(|depth| depth.set(depth.get() + 1));
        Self
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        DEPTH.with(|depth| depth.set(depth.get() - 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_inside_of_work_is_inside_and_a_panic_leaves_it() {
        assert!(!is_inside());
        assert!(call(|| call(is_inside) && is_inside()));
        assert!(!is_inside());
        assert!(std::panic::catch_unwind(|| call(|| panic!("the test's"))).is_err());
        assert!(!is_inside());
    }
}
