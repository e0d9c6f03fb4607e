//! Regular expressions that backtrack without end.
//!
//! An expression is made into an automaton without empty steps, one state for each place where a
//! character is taken. It is exponential if a state leads back to itself by the same characters in
//! two ways: by a step that stands twice, as in `(a+)+`, or by states that run apart and meet again, as
//! in `(a|a)*`. The second is looked for in pairs of states, within a budget.

use super::expression::{Expression, Set, meet};

/// What an expression costs whoever backtracks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cost {
    /// Nothing was found.
    Fine,
    /// The time doubles with each character that does not match.
    Exponential,
    /// It is too large or too odd to say.
    Unknown,
}

/// The longest expression, the most states and steps between them.
const LONGEST: usize = 2_048;
const STATES: usize = 160;
const STEPS: usize = 6_000;

/// How much is done for all expressions of a definition: about as many pairs of states are visited.
pub(super) const BUDGET: usize = 200_000;

/// How often a counted repetition is written out, and from where on it counts as endless if what is
/// repeated is endless itself.
const COPIES: u32 = 3;
const MANY: u32 = 10;

/// What an expression costs. What it takes to know is taken from `left`.
pub(super) fn cost(pattern: &str, left: &mut usize) -> Cost {
    if pattern.len() > LONGEST {
        return Cost::Unknown;
    }
    let Some(expression) = Expression::read(pattern) else { return Cost::Unknown };
    let mut machine = Machine::default();
    match machine.build(&expression) {
        Some(_) => machine.cost(left),
        None => Cost::Unknown,
    }
}

#[derive(Default)]
struct Machine {
    states: Vec<Set>,
    steps: Vec<Vec<usize>>,
    count: usize,
    parts: usize,
    /// Steps that stand twice.
    twice: Vec<(usize, usize)>,
}

/// A part of an expression: where it begins and ends, and whether it can be empty.
#[derive(Clone, Default)]
struct Part {
    first: Vec<usize>,
    last: Vec<usize>,
    empty: bool,
}

impl Part {
    fn nothing() -> Self {
        Self { empty: true, ..Self::default() }
    }
}

impl Machine {
    fn build(&mut self, expression: &Expression) -> Option<Part> {
        self.parts += 1;
        if self.parts > STEPS {
            return None;
        }
        match expression {
            Expression::Nothing => Some(Part::nothing()),
            Expression::Take(set) => {
                if self.states.len() >= STATES {
                    return None;
                }
                self.states.push(set.clone());
                self.steps.push(Vec::new());
                let own = vec![self.states.len() - 1];
                Some(Part { first: own.clone(), last: own, empty: false })
            }
            Expression::Then(parts) => {
                let mut all = Part::nothing();
                for part in parts {
                    let part = self.build(part)?;
                    all = self.then(all, part)?;
                }
                Some(all)
            }
            Expression::Either(parts) => {
                let mut all = Part::default();
                for part in parts {
                    let part = self.build(part)?;
                    all.first.extend(part.first);
                    all.last.extend(part.last);
                    all.empty |= part.empty;
                }
                Some(all)
            }
            Expression::Look(inner) => {
                // It takes nothing; what it looks at can be as slow by itself.
                self.build(inner)?;
                Some(Part::nothing())
            }
            Expression::Repeat(inner, least, most) => self.repeat(inner, *least, *most),
        }
    }

    fn repeat(&mut self, inner: &Expression, least: u32, most: Option<u32>) -> Option<Part> {
        let endless = most.is_none_or(|most| most >= MANY && inner.is_endless());
        let mut all = Part::nothing();
        for _ in 0..least.min(COPIES).saturating_sub(u32::from(endless)) {
            let part = self.build(inner)?;
            all = self.then(all, part)?;
        }
        let rest = match most {
            _ if endless => {
                let mut part = self.build(inner)?;
                self.connect(&part.last.clone(), &part.first.clone())?;
                part.empty |= least == 0;
                part
            }
            most => {
                let more = most.unwrap_or_default().saturating_sub(least).min(COPIES);
                let mut rest = Part::nothing();
                for _ in 0..more {
                    let part = self.build(inner)?;
                    rest = self.then(part, rest)?;
                    rest.empty = true;
                }
                rest
            }
        };
        self.then(all, rest)
    }

    fn connect(&mut self, from: &[usize], to: &[usize]) -> Option<()> {
        for state in from {
            for next in to {
                self.count += 1;
                if self.count > STEPS {
                    return None;
                }
                let steps = self.steps.get_mut(*state)?;
                match steps.contains(next) {
                    true => self.twice.push((*state, *next)),
                    false => steps.push(*next),
                }
            }
        }
        Some(())
    }

    fn then(&mut self, one: Part, other: Part) -> Option<Part> {
        self.connect(&one.last, &other.first)?;
        let (mut first, mut last) = (one.first, other.last);
        if one.empty {
            first.extend(&other.first);
        }
        if other.empty {
            last.extend(&one.last);
        }
        Some(Part { first, last, empty: one.empty && other.empty })
    }

    fn cost(&self, left: &mut usize) -> Cost {
        let Some(rest) = left.checked_sub(self.states.len() * self.count / 4) else {
            return Cost::Unknown;
        };
        *left = rest;
        let reach = self.reach();
        let leads =
            |from: usize, to: usize| reach.get(from).is_some_and(|row| row.get(to) == Some(&true));
        if self.twice.iter().any(|(from, to)| leads(*to, *from)) {
            return Cost::Exponential;
        }
        let all = self.states.len();
        let mut seen = vec![false; all * all];
        for start in (0..all).filter(|state| leads(*state, *state)) {
            let mut open = vec![(start, start)];
            while let Some((one, other)) = open.pop() {
                for next in self.steps.get(one).into_iter().flatten() {
                    for beside in self.steps.get(other).into_iter().flatten() {
                        match left.checked_sub(1) {
                            Some(rest) => *left = rest,
                            None => return Cost::Unknown,
                        }
                        let sets = (self.states.get(*next), self.states.get(*beside));
                        let (Some(set), Some(other_set)) = sets else { continue };
                        let returns = leads(*next, start) && leads(*beside, start);
                        if !returns || !meet(set, other_set) {
                            continue;
                        }
                        if next == beside {
                            if one != other {
                                return Cost::Exponential;
                            }
                            continue;
                        }
                        if let Some(seen) = seen.get_mut(next * all + beside)
                            && !*seen
                        {
                            *seen = true;
                            open.push((*next, *beside));
                        }
                    }
                }
            }
        }
        Cost::Fine
    }

    /// Which state leads to which, in one step or more.
    fn reach(&self) -> Vec<Vec<bool>> {
        let all = self.states.len();
        let mut reach = vec![vec![false; all]; all];
        for (start, row) in reach.iter_mut().enumerate() {
            let mut open = vec![start];
            while let Some(at) = open.pop() {
                for next in self.steps.get(at).into_iter().flatten() {
                    if let Some(seen) = row.get_mut(*next)
                        && !*seen
                    {
                        *seen = true;
                        open.push(*next);
                    }
                }
            }
        }
        reach
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_backtracks_without_end_is_known() {
        for pattern in [
            "(a+)+$",
            "(a*)*b",
            "(a|a)*b",
            "(a|aa)+$",
            "^(([a-z0-9]+)+\\.)+$",
            "^(([A-Z]{2})?([0-9]|[0-9]{2})*)*[A-Z]?$",
            "^((\\w+)(\\s*(=|==|!=|in)\\s*)?(\\(?(\\w+,?\\s*)+\\)?)?,?\\s*)+$",
            "^(\\d+[-/. ]?)*(\\d+[-/. ]?)*$",
            "^((\\d{1,4}|[A-Z]{1,3})[ /]?)+(\\d+)+/\\d\\d$",
            "^((🙂|🙃|😀)+)+!?$",
            "^(\\[\\[([^\\]|]+(\\|[^\\]|]*)*)*\\]\\]\\s*)*$",
            "(.*a){20}",
            "(?:x(?=(b+)+$))y",
            "([a-zA-Z0-9._%+-]+)*@",
            "(\\w|\\d)*z",
            "^(?:(?:\\w|\\d)+-?)+$",
        ] {
            assert_eq!(cost(pattern, &mut BUDGET.clone()), Cost::Exponential, "{pattern}");
        }
    }

    #[test]
    fn what_is_in_use_is_fine() {
        for pattern in [
            "^[A-Z][A-Z0-9_]+-\\d+(?:-\\d+)*$",
            "^(?!\\.)(?!.*\\.\\.)([A-Za-z0-9_'+\\-\\.]*)[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9\\-]*\\.)+[A-Za-z]{2,}$",
            "^[a-zA-Z0-9._]+(?:[-._a-zA-Z0-9]*)$",
            "^(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\\.)+[a-z0-9][a-z0-9-]{0,61}[a-z0-9]$",
            "^I?\\d+[:|-]\\d+(?:;\\d+[:|-]\\d+)*$",
            "^(?!.*(?:^|,)(team|scim),(?:.*,)?\\1(?:$|,))(team|scim)(,(team|scim))*$",
            "^arn:aws:iam::\\d{12}:role/[\\w+=,.@/-]{1,200}$",
            "^(\\S+ ){5}\\S.*$",
            "^m(/\\d+'?){1,6}$",
            "(\\s|\\S)*z",
            "^[ACGTUNacgtun\\s]{10,100000}$",
            "^(0|[1-9]\\d*)\\.(0|[1-9]\\d*)(-[0-9A-Za-z-]+(\\.[0-9A-Za-z-]+)*)?$",
            "^\\p{L}+(?:[ '-]\\p{L}+)*$",
            "^https?:\\/\\/",
            "",
            "^#(?:[0-9a-f]{3}){1,2}$",
        ] {
            assert_eq!(cost(pattern, &mut BUDGET.clone()), Cost::Fine, "{pattern}");
        }
    }

    #[test]
    fn no_expression_takes_long() {
        for pattern in [
            "(".repeat(4_000),
            format!("{}a{}", "(".repeat(900), ")*".repeat(900)),
            "(a|b|c|d|e|f|g)*".repeat(100),
            "[a-z]?".repeat(300),
            format!("({})*", "a?".repeat(150)),
            "a{1000}{1000}{1000}".to_owned(),
            format!("{}^{}", "(".repeat(40), "){3}".repeat(40)),
            "[".repeat(2_000),
            "\\".to_owned(),
            "(?<".to_owned(),
            "a{99999999999999999999}".to_owned(),
        ] {
            let _ = cost(&pattern, &mut BUDGET.clone());
        }
    }
}
