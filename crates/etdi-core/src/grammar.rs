//! The tables of `tests/grammar`, which the macros run as well.

/// One line of a table.
pub(crate) struct Case<'a> {
    pub(crate) text: &'a str,
    /// `None` where the text is legal.
    pub(crate) reason: Option<&'a str>,
}

pub(crate) fn cases(table: &str) -> impl Iterator<Item = Case<'_>> {
    let lines = table.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| match line.strip_prefix("bad ") {
        Some(rest) => {
            let (text, reason) = rest.rsplit_once(' ').expect(line);
            Case { text, reason: Some(reason) }
        }
        None => Case { text: line.strip_prefix("ok ").expect(line), reason: None },
    })
}
