//! From a URI back to the values.
//!
//! The template becomes a row of steps in which a step leads to itself or to a later one. Which
//! steps can finish from which byte on is found from the end backwards, once for each pair; then one
//! walk forwards takes the longest way. No text makes it go back.

use std::collections::BTreeMap;

use super::{Operator, Part, is_reserved, is_unreserved};

/// One step of the way through a URI.
enum Step<'t> {
    /// Exactly this text.
    Text(&'t str),
    /// As many bytes as fit, for a variable or a named expression.
    Run { takes: Takes, what: Value<'t> },
    /// Go on, or leave out this many steps.
    Maybe(usize),
}

/// What a run may hold.
#[derive(Clone, Copy)]
struct Takes {
    reserved: bool,
    /// Only a sign in front, such as the `/` of `{/x}`, tells an empty value from an absent one.
    or_nothing: bool,
    /// Bytes that belong to what comes behind.
    less: [Option<u8>; 3],
}

/// What a run is the value of.
enum Value<'t> {
    Variable(&'t str),
    /// `name=value` pairs of an expression, still in one piece.
    Pairs(Operator, &'t [String]),
}

pub(super) fn find(parts: &[Part], uri: &str) -> Option<BTreeMap<String, String>> {
    // What most URIs fail.
    if let Some(Part::Literal(start)) = parts.first()
        && !uri.starts_with(start.as_str())
    {
        return None;
    }
    let steps = steps(parts);
    let bytes = uri.as_bytes();
    let finishes = finishes(&steps, bytes);
    let can = |step: usize, at: usize| finishes.can(step, at);
    if !can(0, 0) {
        return None;
    }
    let (mut at, mut index, mut values) = (0, 0, BTreeMap::new());
    while let Some(step) = steps.get(index) {
        match step {
            Step::Text(text) => at += text.len(),
            Step::Maybe(skipped) => {
                if !can(index + 1, at) {
                    index += skipped;
                }
            }
            Step::Run { takes, what } => {
                let fits = bytes.get(at..)?.iter().take_while(|byte| takes.fits(**byte)).count();
                let least = at + usize::from(!takes.or_nothing);
                let end = (least..=at + fits).rev().find(|end| can(index + 1, *end))?;
                let raw = uri.get(at..end)?;
                match what {
                    Value::Variable(name) => {
                        values.insert((*name).to_owned(), decode(raw)?);
                    }
                    Value::Pairs(operator, names) => pairs(raw, *operator, names, &mut values)?,
                }
                at = end;
            }
        }
        index += 1;
    }
    Some(values)
}

/// The template as steps.
fn steps(parts: &[Part]) -> Vec<Step<'_>> {
    let mut steps = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        let (operator, names) = match part {
            Part::Literal(text) => {
                steps.push(Step::Text(text));
                continue;
            }
            Part::Expression { operator, names } => (*operator, names.as_slice()),
        };
        // A path that may hold anything still ends where the query begins.
        let later = |wanted: Operator| {
            let mut behind = parts.iter().skip(index + 1);
            behind.any(
                |part| matches!(part, Part::Expression { operator, .. } if *operator == wanted),
            )
        };
        let ends_at = |byte: u8, wanted: Operator| {
            (operator == Operator::Reserved && later(wanted)).then_some(byte)
        };
        let (query, fragment) = (ends_at(b'?', Operator::Query), ends_at(b'#', Operator::Fragment));
        if operator.is_named() {
            let less = match operator {
                Operator::Parameter => [Some(b'/'), Some(b'?'), Some(b'#')],
                _ => [Some(b'#'), None, None],
            };
            let takes = Takes { reserved: true, or_nothing: false, less };
            let what = Value::Pairs(operator, names);
            steps.extend([Step::Maybe(2), Step::Text(operator.first()), Step::Run { takes, what }]);
            continue;
        }
        // Each further value is there only if the one before it is, so the options nest.
        let each = if operator.first().is_empty() { 2 } else { 3 };
        let mut left = names.len();
        for (place, name) in names.iter().enumerate() {
            steps.push(Step::Maybe(inside(each, left, place)));
            let sign = if place == 0 { operator.first() } else { separator(operator) };
            if !sign.is_empty() {
                steps.push(Step::Text(sign));
            }
            let is_last = place + 1 == names.len();
            let between = (!is_last).then(|| u8::try_from(operator.between()).ok()).flatten();
            let takes = Takes {
                reserved: operator.keeps_reserved(),
                or_nothing: !sign.is_empty(),
                less: [between, query, fragment],
            };
            steps.push(Step::Run { takes, what: Value::Variable(name) });
            left -= 1;
        }
    }
    steps
}

/// How many steps the option of the value at `place` leaves out, when `left` values are left.
fn inside(first: usize, left: usize, place: usize) -> usize {
    let own = if place == 0 { first - 1 } else { 2 };
    own + 3 * (left - 1)
}

fn separator(operator: Operator) -> &'static str {
    match operator.between() {
        '.' => ".",
        '/' => "/",
        _ => ",",
    }
}

/// From which byte on which step can finish.
struct Finishes {
    width: usize,
    can: Vec<bool>,
}

impl Finishes {
    fn can(&self, step: usize, at: usize) -> bool {
        at < self.width && self.can.get(step * self.width + at).copied().unwrap_or(false)
    }
}

fn finishes(steps: &[Step<'_>], uri: &[u8]) -> Finishes {
    let width = uri.len() + 1;
    let mut finishes = Finishes { width, can: vec![false; width * (steps.len() + 1)] };
    if let Some(end) = finishes.can.last_mut() {
        *end = true;
    }
    for (index, step) in steps.iter().enumerate().rev() {
        for at in (0..width).rev() {
            let rest = uri.get(at..).unwrap_or_default();
            let can = match step {
                Step::Text(text) => {
                    rest.starts_with(text.as_bytes()) && finishes.can(index + 1, at + text.len())
                }
                Step::Maybe(skipped) => {
                    finishes.can(index + 1, at) || finishes.can(index + 1 + skipped, at)
                }
                Step::Run { takes, .. } => {
                    let ends = |at: usize| finishes.can(index + 1, at);
                    (takes.or_nothing && ends(at))
                        || (rest.first().is_some_and(|byte| takes.fits(*byte))
                            && (ends(at + 1) || finishes.can(index, at + 1)))
                }
            };
            if let Some(place) = finishes.can.get_mut(index * width + at) {
                *place = can;
            }
        }
    }
    finishes
}

impl Takes {
    fn fits(self, byte: u8) -> bool {
        let class = is_unreserved(byte) || byte == b'%' || (self.reserved && is_reserved(byte));
        class && !self.less.contains(&Some(byte))
    }
}

/// The pairs of a query, in any order, each at most once.
fn pairs(
    raw: &str,
    operator: Operator,
    names: &[String],
    values: &mut BTreeMap<String, String>,
) -> Option<()> {
    for pair in raw.split(operator.between()) {
        let (name, value) = match pair.split_once('=') {
            Some((name, value)) => (name, value),
            None => (pair, ""),
        };
        let known = names.iter().find(|known| *known == name)?;
        if values.insert(known.clone(), decode(value)?).is_some() {
            return None;
        }
    }
    Some(())
}

/// The text behind percent-encoded bytes; `None` when they are not UTF-8.
fn decode(raw: &str) -> Option<String> {
    if !raw.contains('%') {
        return Some(raw.to_owned());
    }
    let mut out = Vec::with_capacity(raw.len());
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        let byte = match byte {
            b'%' => hex(bytes.next()?)? * 16 + hex(bytes.next()?)?,
            byte => byte,
        };
        out.push(byte);
    }
    String::from_utf8(out).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}
