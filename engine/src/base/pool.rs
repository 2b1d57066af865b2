//! Storage that is used again instead of allocated again.

use std::sync::Arc;

/// Shared values that come back to the pool by themselves: one is free again as soon as nobody else holds it.
#[derive(Debug)]
pub struct ArcPool<T> {
    items: Vec<Arc<T>>,
    bound: usize,
    beyond: u64,
}

impl<T> ArcPool<T> {
    /// A pool that keeps at most `bound` values.
    pub fn new(bound: usize) -> Self {
        Self { items: Vec::with_capacity(bound), bound, beyond: 0 }
    }

    /// A value that only the caller holds, filled by `fill`. An old one is handed to `fill` as it was left;
    /// a new one is made by `make` where none is free. Beyond the bound the value is counted and not kept.
    pub fn take(&mut self, make: impl FnOnce() -> T, fill: impl FnOnce(&mut T)) -> Arc<T> {
        for item in &mut self.items {
            if let Some(value) = Arc::get_mut(item) {
                fill(value);
                return item.clone();
            }
        }
        let mut value = make();
        fill(&mut value);
        let item = Arc::new(value);
        if self.items.len() < self.bound {
            self.items.push(item.clone());
        } else {
            self.beyond += 1;
        }
        item
    }

    /// Looks at every value that nobody else holds: to let go of what it still holds on to.
    pub fn visit_free(&mut self, visit: impl FnMut(&mut T)) {
        self.items.iter_mut().filter_map(Arc::get_mut).for_each(visit);
    }

    /// How many values were made beyond the bound.
    pub const fn beyond(&self) -> u64 {
        self.beyond
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_used_again_once_nobody_holds_it() {
        let mut pool = ArcPool::new(2);
        let first = pool.take(|| vec![0u8; 4], |v| v[0] = 1);
        let address = first.as_ptr();
        let second = pool.take(|| vec![0u8; 4], |v| v[0] = 2);
        assert_ne!(second.as_ptr(), address);
        drop(first);
        let third = pool.take(|| vec![0u8; 4], |v| v[0] = 3);
        assert_eq!(third.as_ptr(), address);
        assert_eq!(pool.beyond(), 0);
        drop(third);
        pool.visit_free(|v| v[0] = 9);
        assert_eq!((second[0], pool.take(Vec::new, |_| {})[0]), (2, 9));
    }
}
