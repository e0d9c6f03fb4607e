//! Regular expressions as they are written (ECMA-262, which JSON Schema names), as far as it matters
//! how they repeat.

/// Which characters are taken: ranges of code points, in their order and apart.
pub(super) type Set = Vec<(u32, u32)>;

/// Whether two sets have a character in common.
pub(super) fn meet(one: &Set, other: &Set) -> bool {
    let (mut one, mut other) = (one.iter().peekable(), other.iter().peekable());
    while let (Some((low, high)), Some((from, to))) = (one.peek(), other.peek()) {
        if high < from {
            one.next();
        } else if to < low {
            other.next();
        } else {
            return true;
        }
    }
    false
}

pub(super) enum Expression {
    Nothing,
    Take(Set),
    Then(Vec<Expression>),
    Either(Vec<Expression>),
    Look(Box<Expression>),
    /// At least so often, and at most.
    Repeat(Box<Expression>, u32, Option<u32>),
}

/// How deep groups go, and how many ranges a set has.
const DEPTH: usize = 48;
const RANGES: usize = 64;

/// No character that is not a code point.
const LAST: u32 = 0x10_ffff;

impl Expression {
    /// Reads one; `None` if it is none, or nested too deep.
    pub(super) fn read(pattern: &str) -> Option<Self> {
        let mut reader = Reader { rest: pattern, depth: 0 };
        let all = reader.either()?;
        reader.rest.is_empty().then_some(all)
    }

    /// Whether something in it is repeated without end.
    pub(super) fn is_endless(&self) -> bool {
        match self {
            Self::Nothing | Self::Take(_) => false,
            Self::Then(parts) | Self::Either(parts) => parts.iter().any(Self::is_endless),
            Self::Look(inner) => inner.is_endless(),
            Self::Repeat(inner, _, most) => most.is_none() || inner.is_endless(),
        }
    }
}

struct Reader<'p> {
    rest: &'p str,
    depth: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let mut rest = self.rest.chars();
        let c = rest.next()?;
        self.rest = rest.as_str();
        Some(c)
    }

    fn takes(&mut self, start: &str) -> bool {
        let rest = self.rest.strip_prefix(start);
        if let Some(rest) = rest {
            self.rest = rest;
        }
        rest.is_some()
    }

    fn either(&mut self) -> Option<Expression> {
        self.depth += 1;
        if self.depth > DEPTH {
            return None;
        }
        let mut all = vec![self.then()?];
        while self.takes("|") {
            all.push(self.then()?);
        }
        self.depth -= 1;
        match all.len() {
            1 => all.pop(),
            _ => Some(Expression::Either(all)),
        }
    }

    fn then(&mut self) -> Option<Expression> {
        let mut all = Vec::new();
        while let Some(c) = self.peek() {
            if matches!(c, '|' | ')') {
                break;
            }
            let one = self.one()?;
            let one = self.repeated(one)?;
            all.push(one);
        }
        Some(Expression::Then(all))
    }

    fn one(&mut self) -> Option<Expression> {
        Some(match self.next()? {
            '^' | '$' => Expression::Nothing,
            '.' => Expression::Take(vec![(0, 9), (11, 12), (14, 0x2027), (0x202a, LAST)]),
            '(' => return self.group(),
            '[' => Expression::Take(self.class()?),
            '\\' => return self.escape(),
            '*' | '+' | '?' => return None,
            c => Expression::Take(vec![(u32::from(c), u32::from(c))]),
        })
    }

    fn group(&mut self) -> Option<Expression> {
        let looks = ["?=", "?!", "?<=", "?<!"].iter().any(|look| self.takes(look));
        if !looks && (self.takes("?<") || self.takes("?P<")) {
            self.rest = self.rest.split_once('>')?.1;
        } else if !looks && self.takes("?") {
            // Flags, as in `(?i:`, or none.
            self.rest = self.rest.trim_start_matches(|c: char| c.is_ascii_lowercase() || c == '-');
            if self.takes(")") {
                return Some(Expression::Nothing);
            }
            if !self.takes(":") && !self.takes(">") {
                return None;
            }
        }
        let inner = self.either()?;
        if !self.takes(")") {
            return None;
        }
        Some(if looks { Expression::Look(Box::new(inner)) } else { inner })
    }

    fn repeated(&mut self, mut one: Expression) -> Option<Expression> {
        let mut times = 0;
        loop {
            let (least, most) = match self.peek() {
                Some('*') => (0, None),
                Some('+') => (1, None),
                Some('?') => (0, Some(1)),
                Some('{') => match self.counts() {
                    Some(counts) => counts,
                    None => return Some(one),
                },
                _ => return Some(one),
            };
            if self.peek() != Some('}') {
                self.next();
            } else {
                self.takes("}");
            }
            // Lazy and possessive forms take the same.
            let _ = self.takes("?") || self.takes("+");
            times += 1;
            if times > 3 {
                return None;
            }
            one = Expression::Repeat(Box::new(one), least, most);
        }
    }

    /// `{2}`, `{2,}`, `{2,3}` up to the brace that closes it; anything else is a brace.
    fn counts(&mut self) -> Option<(u32, Option<u32>)> {
        let (inside, rest) = self.rest.strip_prefix('{')?.split_once('}')?;
        let number = |text: &str| text.parse::<u32>().ok();
        let counts = match inside.split_once(',') {
            None => (number(inside)?, Some(number(inside)?)),
            Some((least, "")) => (number(least)?, None),
            Some((least, most)) => (number(least)?, Some(number(most)?)),
        };
        // The brace stays, so that every repetition ends in one character.
        let taken = self.rest.len() - rest.len() - 1;
        self.rest = self.rest.get(taken..)?;
        Some(counts)
    }

    fn escape(&mut self) -> Option<Expression> {
        Some(match self.next()? {
            'b' | 'B' | 'A' | 'z' | 'Z' | 'G' => Expression::Nothing,
            // What a group has taken is taken once more; how long it is nobody knows.
            '1'..='9' => Expression::Nothing,
            'k' => {
                self.rest = self.rest.strip_prefix('<')?.split_once('>')?.1;
                Expression::Nothing
            }
            c => Expression::Take(self.escaped(c)),
        })
    }

    /// The characters of an escape after its first letter.
    fn escaped(&mut self, c: char) -> Set {
        const WORD: [(u32, u32); 4] = [(48, 57), (65, 90), (95, 95), (97, 122)];
        const SPACE: [(u32, u32); 5] =
            [(9, 13), (32, 32), (160, 160), (0x2000, 0x200a), (0x2028, 0x2029)];
        let one = |c: u32| vec![(c, c)];
        match c {
            'd' => vec![(48, 57)],
            'D' => inverse(&[(48, 57)]),
            'w' => WORD.to_vec(),
            'W' => inverse(&WORD),
            's' => SPACE.to_vec(),
            'S' => inverse(&SPACE),
            'p' | 'P' => {
                let name = self.rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
                let letters = name.is_some_and(|(name, _)| name.starts_with(['L', 'A']));
                if let Some((_, rest)) = name {
                    self.rest = rest;
                }
                // Letters for the most part; signs and spaces are the others.
                match letters == (c == 'p') {
                    true => vec![(65, 90), (97, 122), (0xaa, LAST)],
                    false => vec![(0, 64), (91, 96), (123, 0xa9)],
                }
            }
            'n' => one(10),
            'r' => one(13),
            't' => one(9),
            'f' => one(12),
            'v' => one(11),
            '0' => one(0),
            'x' => self.number(2),
            'u' => match self.rest.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
                Some((digits, rest)) => {
                    self.rest = rest;
                    one(u32::from_str_radix(digits, 16).unwrap_or_default())
                }
                None => self.number(4),
            },
            'c' => one(self.next().map_or(0, |c| u32::from(c) & 31)),
            c => one(u32::from(c)),
        }
    }

    fn number(&mut self, digits: usize) -> Set {
        let number = self.rest.get(..digits).and_then(|text| u32::from_str_radix(text, 16).ok());
        if number.is_some() {
            self.rest = self.rest.get(digits..).unwrap_or_default();
        }
        let number = number.unwrap_or_default();
        vec![(number, number)]
    }

    /// A class up to its closing bracket.
    fn class(&mut self) -> Option<Set> {
        let inverted = self.takes("^");
        let mut set = Set::new();
        loop {
            if set.len() > RANGES {
                return None;
            }
            let from = match self.next()? {
                ']' => break,
                '\\' => match self.next()? {
                    'b' => vec![(8, 8)],
                    c => self.escaped(c),
                },
                c => vec![(u32::from(c), u32::from(c))],
            };
            let ranges = self.rest.starts_with('-') && !self.rest.starts_with("-]");
            let [(low, high)] = *from else {
                set.extend(from);
                continue;
            };
            if !ranges || low != high {
                set.push((low, high));
                continue;
            }
            self.next();
            let to = match self.next()? {
                '\\' => {
                    let c = self.next()?;
                    self.escaped(c)
                }
                c => vec![(u32::from(c), u32::from(c))],
            };
            match *to {
                [(end, last)] if end == last && end >= low => set.push((low, end)),
                _ => set.extend([(low, low), (45, 45)].into_iter().chain(to)),
            }
        }
        let rest = inverse(&set);
        Some(if inverted { rest } else { inverse(&rest) })
    }
}

/// All characters but these.
fn inverse(set: &[(u32, u32)]) -> Set {
    let mut sorted = set.to_vec();
    sorted.sort_unstable();
    let (mut all, mut at) = (Set::new(), 0);
    for (low, high) in sorted {
        if low > at {
            all.push((at, low - 1));
        }
        at = at.max(high + 1);
    }
    if at <= LAST {
        all.push((at, LAST));
    }
    all
}
