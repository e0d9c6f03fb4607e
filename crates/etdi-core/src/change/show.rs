//! Differences for people: old and new, the gravest first, nothing hidden.

use core::fmt;

use serde_json::Value;

use super::{Change, Changes, Gravity};
use crate::safe::SafeText;

/// Around a difference in a long text this many characters that both sides share are shown.
const CONTEXT: usize = 32;
/// The most characters that are shown of an old value. A new one is shown whole: the model reads
/// it whole.
const WIDTH: usize = 2_000;

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, change) in self.list.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{change}")?;
        }
        if self.omitted > 0 {
            write!(f, "\n… and {} more", self.omitted)?;
        }
        Ok(())
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.gravity {
            Gravity::Cosmetic => ".",
            Gravity::Notable => "*",
            Gravity::Powerful => "!",
            Gravity::Alarm => "!!",
        };
        // A path has been escaped when it was made.
        write!(f, "{mark:>2} {}: {}", self.path, self.kind.describe())?;
        let (before, after) = (shown(self.before.as_ref()), shown(self.after.as_ref()));
        let (start, end) = match (&before, &after) {
            (Some(old), Some(new)) => shared(old, new),
            _ => (0, 0),
        };
        for (sign, text, width) in [('-', &before, WIDTH), ('+', &after, usize::MAX)] {
            if let Some(text) = text {
                write!(f, "\n     {sign} ")?;
                excerpt(f, text, start, end, width)?;
            }
        }
        Ok(())
    }
}

fn shown(value: Option<&Value>) -> Option<Vec<char>> {
    let text = value?.to_string();
    Some(SafeText::of(&text).as_str().chars().collect())
}

/// How many characters at the start and at the end can be left out, because both texts share them.
fn shared(old: &[char], new: &[char]) -> (usize, usize) {
    let start = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let rest = old.len().min(new.len()) - start;
    let end = old.iter().rev().zip(new.iter().rev()).take(rest).take_while(|(a, b)| a == b).count();
    let spare = |count: usize| {
        let left_out = count.saturating_sub(CONTEXT);
        // Leaving out less than a line is not worth the dots.
        if left_out < CONTEXT { 0 } else { left_out }
    };
    (spare(start), spare(end))
}

fn excerpt(
    f: &mut fmt::Formatter<'_>,
    text: &[char],
    start: usize,
    end: usize,
    width: usize,
) -> fmt::Result {
    let middle = text.get(start..text.len() - end).unwrap_or(text);
    if start > 0 {
        write!(f, "…")?;
    }
    for c in middle.iter().take(width) {
        write!(f, "{c}")?;
    }
    if middle.len() > width {
        write!(f, "… ({} more characters)", middle.len() - width)
    } else if end > 0 {
        write!(f, "…")
    } else {
        Ok(())
    }
}
