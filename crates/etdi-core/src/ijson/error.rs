//! Why a text is not I-JSON, and where.

use core::fmt;

/// Why a text is not I-JSON: the problem, and the member in which it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IjsonError {
    problem: Problem,
    /// From the inside out, as the reader unwinds.
    segments: Vec<Segment>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    Member(String),
    Element(usize),
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// The text is no JSON, from the given byte on.
    Syntax {
        /// Where reading stopped.
        offset: usize,
    },
    /// Two members of one object have the same name.
    DuplicateMember,
    /// A `\u` escape stands for half a character.
    LoneSurrogate,
    /// A string or name holds a code point that is set aside and is no character.
    Noncharacter,
    /// An integer beyond ±(2^53-1).
    IntegerTooLarge,
    /// A number whose digits are not those of any double.
    NotRoundTrip,
    /// More bytes than the limit.
    TooLong,
    /// Deeper than the limit.
    TooDeep,
    /// More values than the limit.
    TooMany,
}

impl Problem {
    /// A stable word for programs.
    pub fn code(self) -> &'static str {
        match self {
            Self::Syntax { .. } => "syntax",
            Self::DuplicateMember => "duplicate_member",
            Self::LoneSurrogate => "lone_surrogate",
            Self::Noncharacter => "noncharacter",
            Self::IntegerTooLarge => "integer_too_large",
            Self::NotRoundTrip => "not_round_trip",
            Self::TooLong => "too_long",
            Self::TooDeep => "too_deep",
            Self::TooMany => "too_many",
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax { offset } => {
                write!(f, "not valid JSON at byte {offset}, send a text as RFC 8259 defines it")
            }
            Self::DuplicateMember => f.write_str("named twice in one object, send the member once"),
            Self::LoneSurrogate => {
                f.write_str("half of a surrogate pair, send both halves or leave the escape out")
            }
            Self::Noncharacter => f.write_str("a code point that is no character, leave it out"),
            Self::IntegerTooLarge => f.write_str(
                "an integer beyond 2^53-1, which readers round differently, send a string",
            ),
            Self::NotRoundTrip => f.write_str(
                "a number that a double does not hold exactly, write fewer digits or send a string",
            ),
            Self::TooLong => f.write_str("longer than the limit, send less"),
            Self::TooDeep => f.write_str("nested deeper than the limit, flatten it"),
            Self::TooMany => f.write_str("more values than the limit, send fewer"),
        }
    }
}

impl IjsonError {
    pub(super) fn new(problem: Problem) -> Self {
        Self { problem, segments: Vec::new() }
    }

    #[cold]
    pub(super) fn within(mut self: Box<Self>, segment: Segment) -> Box<Self> {
        self.segments.push(segment);
        self
    }

    /// What is wrong.
    pub fn problem(&self) -> Problem {
        self.problem
    }

    /// A stable word for programs, that of the [`Problem`].
    pub fn code(&self) -> &'static str {
        self.problem.code()
    }

    /// The member, such as `inputSchema.properties.limit.maximum` or `icons[0].src`; empty for
    /// the whole text. Names that are no plain words are quoted and escaped, long ones are cut.
    pub fn path(&self) -> String {
        let mut path = String::new();
        for segment in self.segments.iter().rev() {
            match segment {
                Segment::Element(index) => path.push_str(&format!("[{index}]")),
                Segment::Member(name) if is_word(name) => {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.push_str(name);
                }
                Segment::Member(name) => {
                    let shown: String = name.chars().take(64).collect();
                    path.push_str(&format!("[\"{}\"]", shown.escape_default()));
                }
            }
        }
        path
    }
}

fn is_word(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '$');
    !name.is_empty() && name.len() <= 64 && name.chars().all(plain)
}

impl fmt::Display for IjsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path() {
            path if path.is_empty() => write!(f, "{}", self.problem),
            path => write!(f, "`{path}`: {}", self.problem),
        }
    }
}

impl std::error::Error for IjsonError {}
