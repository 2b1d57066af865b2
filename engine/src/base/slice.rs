//! A part of shared bytes.

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

/// Some bytes of a shared block: parts are taken without copying and without allocating.
#[derive(Clone, PartialEq, Eq)]
pub struct SharedSlice {
    block: Arc<[u8]>,
    range: Range<usize>,
}

impl SharedSlice {
    /// A part of these bytes; nothing of them where `range` lies outside.
    pub fn part(&self, range: Range<usize>) -> Self {
        let start = self.range.start.saturating_add(range.start).min(self.range.end);
        let end = self.range.start.saturating_add(range.end).clamp(start, self.range.end);
        Self { block: self.block.clone(), range: start..end }
    }
}

impl Deref for SharedSlice {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.block.get(self.range.clone()).unwrap_or_default()
    }
}

impl From<Arc<[u8]>> for SharedSlice {
    fn from(block: Arc<[u8]>) -> Self {
        let range = 0..block.len();
        Self { block, range }
    }
}

impl From<&[u8]> for SharedSlice {
    fn from(bytes: &[u8]) -> Self {
        Arc::<[u8]>::from(bytes).into()
    }
}

impl fmt::Debug for SharedSlice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_parts_stay_within() {
        let whole = SharedSlice::from(&[0, 1, 2, 3, 4, 5][..]);
        let part = whole.part(1..5);
        assert_eq!(*part, [1, 2, 3, 4]);
        assert_eq!(*part.part(1..3), [2, 3]);
        assert_eq!(*part.part(2..99), [3, 4]);
        assert!(part.part(7..9).is_empty());
    }
}
