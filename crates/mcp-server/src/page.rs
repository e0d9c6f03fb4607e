//! Pages of a listing: opaque cursors over a list that never changes its order.

use std::ops::Range;

/// Cuts a list of `len` entries into pages.
#[derive(Debug, Clone)]
pub(crate) struct Pages {
    len: usize,
    size: usize,
    /// Stands in each cursor, so that a cursor of another list is refused, not misread.
    mark: u64,
}

impl Pages {
    /// Pages of `size` entries (0 for one page) over entries with these names.
    pub(crate) fn new<'n>(names: impl ExactSizeIterator<Item = &'n str>, size: usize) -> Self {
        let len = names.len();
        // FNV-1a: the mark must be the same in each process that serves the same list.
        let mark = names.fold(0xcbf2_9ce4_8422_2325_u64, |mark, name| {
            let bytes = name.bytes().chain([0]);
            bytes.fold(mark, |mark, byte| (mark ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
        });
        Self { len, size: if size == 0 { usize::MAX } else { size }, mark }
    }

    /// The entries of the page at `cursor`, and the cursor of the next; `None` for a bad cursor.
    pub(crate) fn page(&self, cursor: Option<&str>) -> Option<(Range<usize>, Option<String>)> {
        let start = match cursor {
            None => 0,
            Some(cursor) => self.start(cursor)?,
        };
        let end = start.saturating_add(self.size).min(self.len);
        let next = (end < self.len).then(|| format!("{end:x}.{:016x}", self.mark));
        Some((start..end, next))
    }

    fn start(&self, cursor: &str) -> Option<usize> {
        let (start, mark) = cursor.split_once('.')?;
        let start = usize::from_str_radix(start, 16).ok()?;
        let ours = u64::from_str_radix(mark, 16).ok()? == self.mark;
        (ours && start > 0 && start < self.len).then_some(start)
    }
}

#[cfg(test)]
mod tests {
    use super::Pages;

    #[test]
    fn pages_cover_the_list_once() {
        let names = ["a", "b", "c", "d", "e"];
        let pages = Pages::new(names.iter().copied(), 2);
        let (mut seen, mut cursor) = (Vec::new(), None);
        loop {
            let (range, next) = pages.page(cursor.as_deref()).unwrap();
            seen.push(range);
            match next {
                Some(_) => cursor = next,
                None => break,
            }
        }
        assert_eq!(seen, [0..2, 2..4, 4..5]);
        assert_eq!(Pages::new(names.iter().copied(), 0).page(None), Some((0..5, None)));
        assert_eq!(Pages::new([].into_iter(), 3).page(None), Some((0..0, None)));
    }

    #[test]
    fn foreign_cursors_are_refused() {
        let pages = Pages::new(["a", "b", "c"].into_iter(), 1);
        let next = pages.page(None).unwrap().1.unwrap();
        let other = Pages::new(["a", "b", "d"].into_iter(), 1);
        assert!(other.page(Some(&next)).is_none());
        for bad in ["", "1", ".", "0.0", "zz", "ffffffffffffffffffff.0", "-1.0", "99.0"] {
            assert!(pages.page(Some(bad)).is_none(), "{bad}");
        }
    }
}
