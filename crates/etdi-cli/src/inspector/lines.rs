//! JSON lines, one after the other: thousands in one process, in memory that does not grow.

use std::io::{self, BufRead, Read};

use etdi_core::analyze::{Analysis, Kind, SecurityAnalyzer};

use super::found::Looked;
use super::read::{Item, items_of_line};
use super::region::{Lines, Region};

/// The longest line that is looked into: a definition and what stands around it.
pub const MOST: usize = SecurityAnalyzer::MAX_BYTES + (64 << 10);

/// Looks into each line that is not blank and hands on what was found, with whether the input has
/// nothing more for now. A line that is no object is looked upon as a definition that cannot be read.
///
/// # Errors
///
/// What reading or `take` fails with; nothing is read after that.
pub fn each_line<R: Read>(
    mut input: io::BufReader<R>,
    analyzer: &SecurityAnalyzer,
    file: Option<&str>,
    regions: bool,
    mut take: impl FnMut(Looked, bool) -> io::Result<()>,
) -> io::Result<()> {
    let (mut line, mut number) = (Vec::new(), 0);
    loop {
        line.clear();
        let count = input.by_ref().take(MOST as u64 + 1).read_until(b'\n', &mut line)?;
        if count == 0 {
            return Ok(());
        }
        number += 1;
        let too_long = line.len() > MOST && line.last() != Some(&b'\n');
        if too_long {
            skip_line(&mut input)?;
        }
        let text = std::str::from_utf8(&line);
        if text.is_ok_and(|text| text.trim().is_empty()) {
            continue;
        }
        let mut looked = match text {
            _ if too_long => none(analyzer, &format!("it has more than {MOST} bytes")),
            Err(_) => none(analyzer, "it is not UTF-8"),
            Ok(text) => one(analyzer, text, number, regions),
        };
        looked.file = file.map(str::to_owned);
        if looked.regions.is_none() && regions {
            let region = Region::at_line(number);
            looked.regions = Some((region, vec![region; looked.analysis.findings.len()]));
        }
        take(looked, input.buffer().is_empty())?;
    }
}

fn skip_line(input: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffer = input.fill_buf()?;
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let (count, done) = match end {
            Some(end) => (end + 1, true),
            None => (buffer.len(), buffer.is_empty()),
        };
        input.consume(count);
        if done {
            return Ok(());
        }
    }
}

fn none(analyzer: &SecurityAnalyzer, why: &str) -> Looked {
    whole(analyzer.unreadable(Kind::Tool, why))
}

fn whole(analysis: Analysis) -> Looked {
    let analysis = certain(analysis);
    Looked { file: None, server: None, pointer: String::new(), regions: None, analysis }
}

/// The analysis with the whole risk where nothing could be looked at.
pub fn certain(mut analysis: Analysis) -> Analysis {
    if analysis.findings.iter().any(|finding| finding.code.name == "schema/unreadable") {
        (analysis.risk, analysis.evident) = (1.0, 1.0);
    }
    analysis
}

/// One line: what it defines, or all of it together where a line has several.
fn one(analyzer: &SecurityAnalyzer, line: &str, number: usize, regions: bool) -> Looked {
    let text = line.trim().trim_start_matches('\u{feff}');
    let Some(items) = items_of_line(text) else {
        return none(analyzer, "a line has to hold one object");
    };
    let index = regions.then(|| Lines::new(text, number));
    let mut all: Option<Looked> = None;
    let several = items.len() > 1;
    for item in &items {
        let mut looked = looked(item, analysis(analyzer, item), index.as_ref());
        if several {
            for finding in &mut looked.analysis.findings {
                finding.path = format!("{}{}", item.pointer, finding.path);
            }
            looked.pointer = String::new();
        }
        match &mut all {
            None => all = Some(looked),
            Some(all) => add(all, looked),
        }
    }
    all.unwrap_or_else(|| none(analyzer, "a line has to hold one object"))
}

/// Looks into one definition.
pub fn analysis(analyzer: &SecurityAnalyzer, item: &Item<'_>) -> Analysis {
    if let Some(why) = item.unfit() {
        return certain(analyzer.unreadable(item.kind.unwrap_or(Kind::Tool), why));
    }
    match item.kind {
        Some(kind) => analyzer.analyze(kind, &item.text),
        None => analyzer.analyze_tool(&item.text),
    }
}

/// One definition with what was found in it, and where that stands if there are lines to name.
pub fn looked(item: &Item<'_>, analysis: Analysis, lines: Option<&Lines<'_>>) -> Looked {
    let mut looked = whole(analysis);
    looked.pointer.clone_from(&item.pointer);
    looked.regions = lines.map(|lines| lines.regions(item, &looked.analysis));
    looked
}

/// Puts what was found in another definition of the same line to that of the first.
fn add(all: &mut Looked, other: Looked) {
    all.analysis.evident = all.analysis.evident.max(other.analysis.evident);
    if other.analysis.risk > all.analysis.risk {
        all.analysis.risk = other.analysis.risk;
        all.analysis.name = other.analysis.name;
        all.analysis.kind = other.analysis.kind;
    }
    all.analysis.findings.extend(other.analysis.findings);
    all.analysis.vulnerabilities.extend(other.analysis.vulnerabilities);
    if let (Some((_, all)), Some((_, other))) = (&mut all.regions, other.regions) {
        all.extend(other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &[u8]) -> Vec<(String, f64, usize)> {
        let mut found = Vec::new();
        let take = |one: Looked, _| {
            let codes = one.analysis.findings.len();
            found.push((one.analysis.name, one.analysis.risk, codes));
            Ok(())
        };
        each_line(io::BufReader::new(text), &SecurityAnalyzer::new(), None, false, take).unwrap();
        found
    }

    #[test]
    fn each_line_gives_one() {
        let text = b"{\"name\":\"a\"}\n\n {\"tool\":{\"name\":\"b\"}}\r\n[]\n\xff\nno\n{\"tools\":[{\"name\":\"c\"},{\"name\":\"d\",\"name\":\"e\"}]}";
        let found = found(text);
        let names: Vec<_> = found.iter().map(|(name, ..)| name.as_str()).collect();
        assert_eq!(names, ["a", "b", "", "", "", "e"]);
        for (_, risk, findings) in &found[2..5] {
            assert_eq!((*risk, *findings), (1.0, 1));
        }
    }

    #[test]
    fn a_huge_line_is_one_and_the_next_is_read() {
        let mut text = b"{\"name\":\"a\",\"description\":\"".to_vec();
        text.resize(text.len() + 3 * MOST, b'x');
        text.extend_from_slice(b"\"}\n{\"name\":\"b\"}\n");
        let found = found(&text);
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].1, found[1].0.as_str()), (1.0, "b"));
    }
}
