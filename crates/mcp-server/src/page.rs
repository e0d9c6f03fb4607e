//! Pages of a listing: opaque cursors that survive changes of the list.

/// How listings of one kind are cut into pages.
#[derive(Debug, Clone)]
pub(crate) struct Pages {
    /// Entries on a page.
    pub(crate) size: usize,
    /// Stands in each cursor, so that a cursor of another list is refused, not misread.
    mark: u64,
}

impl Pages {
    /// Pages of `size` entries (0 for one page) over a list that starts with these names.
    pub(crate) fn new<'n>(names: impl Iterator<Item = &'n str>, size: usize) -> Self {
        // FNV-1a: the mark must be the same in each process that serves the same list.
        let mark = names.fold(0xcbf2_9ce4_8422_2325_u64, |mark, name| {
            let bytes = name.bytes().chain([0]);
            bytes.fold(mark, |mark, byte| (mark ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
        });
        Self { size: if size == 0 { usize::MAX } else { size }, mark }
    }

    /// The cursor of the page that starts at the entry of this place.
    pub(crate) fn cursor(&self, place: u64) -> String {
        format!("{place:x}.{:016x}", self.mark)
    }

    /// The place at which the page of `cursor` starts; `None` for a cursor that is not ours, which
    /// one of a place that was never given away (`places` or more) cannot be.
    pub(crate) fn start(&self, cursor: &str, places: u64) -> Option<u64> {
        let (start, mark) = cursor.split_once('.')?;
        let start = u64::from_str_radix(start, 16).ok()?;
        let ours = u64::from_str_radix(mark, 16).ok()? == self.mark;
        (ours && start > 0 && start < places).then_some(start)
    }
}

#[cfg(test)]
mod tests {
    use super::Pages;

    #[test]
    fn foreign_cursors_are_refused() {
        let pages = Pages::new(["a", "b", "c"].into_iter(), 1);
        let next = pages.cursor(1);
        assert_eq!(pages.start(&next, 3), Some(1));
        let other = Pages::new(["a", "b", "d"].into_iter(), 1);
        assert_eq!(other.start(&next, 3), None);
        for bad in ["", "1", ".", "0.0", "zz", "ffffffffffffffffffff.0", "-1.0", "99.0"] {
            assert_eq!(pages.start(bad, 3), None, "{bad}");
        }
        assert_eq!(pages.start(&pages.cursor(3), 3), None);
    }
}
