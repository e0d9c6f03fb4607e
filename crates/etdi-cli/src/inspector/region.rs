//! Where in a file something stands, by line and column.

use etdi_core::analyze::Analysis;

use super::read::{Item, locate};

/// A part of a file: lines and columns from 1, columns in Unicode characters, the end behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// The line in which it begins.
    pub line: usize,
    /// The column in which it begins.
    pub column: usize,
    /// The line in which it ends.
    pub end_line: usize,
    /// The column behind its last character.
    pub end_column: usize,
}

impl Region {
    /// The beginning of a line, where nothing finer is known.
    pub fn at_line(line: usize) -> Self {
        Self { line, column: 1, end_line: line, end_column: 1 }
    }
}

/// Where the lines of a text begin.
pub struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
    /// The number of its first line.
    first: usize,
}

/// In a longer definition its beginning is told rather than the place in it.
const SEARCHED: usize = 256 << 10;

impl<'t> Lines<'t> {
    /// The lines of a text, of which the first has this number.
    pub fn new(text: &'t str, first: usize) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let starts = std::iter::once(0).chain(ends.map(|(at, _)| at + 1)).collect();
        Self { text, starts, first }
    }

    /// Where a definition stands, and behind it where each of its findings does.
    pub fn regions(&self, item: &Item<'_>, analysis: &Analysis) -> (Region, Vec<Region>) {
        let all = self.region(item.offset, item.offset.saturating_add(item.text.len()));
        let whole = self.text.get(item.offset..).unwrap_or_default();
        let own = match item.text {
            std::borrow::Cow::Borrowed(text) => text,
            // Put together from what stands beside a listing: the object that it stands in.
            std::borrow::Cow::Owned(_) => whole,
        };
        let of = |path: &str| {
            let found = locate(own, path).filter(|_| own.len() <= SEARCHED)?;
            let from = (found.as_ptr() as usize).checked_sub(self.text.as_ptr() as usize)?;
            Some(self.region(from, from.saturating_add(found.len())))
        };
        let regions = analysis.findings.iter().map(|finding| of(&finding.path).unwrap_or(all));
        (all, regions.collect())
    }

    fn region(&self, from: usize, to: usize) -> Region {
        let (line, column) = self.place(from);
        let (end_line, end_column) = self.place(to.min(self.text.len()));
        Region { line, column, end_line, end_column }
    }

    fn place(&self, offset: usize) -> (usize, usize) {
        let line = self.starts.partition_point(|start| *start <= offset).saturating_sub(1);
        let start = self.starts.get(line).copied().unwrap_or_default();
        let before = self.text.get(start..offset).unwrap_or_default();
        (self.first + line, before.chars().count() + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::super::read::items;
    use super::*;
    use etdi_core::analyze::SecurityAnalyzer;

    #[test]
    fn findings_stand_where_their_text_does() {
        let text = "{\"tools\": [\n  {\"name\": \"é\",\n   \"name\": \"pay\"}]}\n";
        let items = items(text);
        let analysis = SecurityAnalyzer::new().analyze_tool(&items[0].text);
        let (all, found) = Lines::new(text, 1).regions(&items[0], &analysis);
        assert_eq!((all.line, all.column, all.end_line, all.end_column), (2, 3, 3, 18));
        assert_eq!(found.len(), analysis.findings.len());
        let lines = Lines::new(text, 7);
        let at = text.find("é").unwrap();
        assert_eq!(lines.place(at + "é".len()), (8, 14));
    }
}
