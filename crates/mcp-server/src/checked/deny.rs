//! Text that holds none of some words.

use std::marker::PhantomData;

use schemars::Schema;

use super::{Refused, Rule, explain};

/// Words for [`Deny`].
pub trait DenyList: 'static {
    /// Texts that may not occur. One that starts or ends with a letter or digit must stand as a whole
    /// word there; letters are compared without regard to their case (ASCII).
    const WORDS: &'static [&'static str];
}

/// None of the words of `L` occurs.
///
/// A second fence, not the first: parameters stop SQL injection (`WHERE name = ?1`), a word list
/// only stops those who did not think of another spelling, and it refuses honest text too.
///
/// ```
/// use mcp_server::checked::{Deny, DenyList, Text};
///
/// enum Sql {}
///
/// impl DenyList for Sql {
///     const WORDS: &'static [&'static str] = &["drop", "delete", "--", ";"];
/// }
///
/// assert!(Text::<Deny<Sql>>::new("x'; DROP TABLE notes").is_err());
/// assert!(Text::<Deny<Sql>>::new("a dropped stitch").is_ok());
/// ```
#[derive(Debug)]
pub struct Deny<L>(PhantomData<fn() -> L>);

impl<L: DenyList> Rule for Deny<L> {
    type Parsed = ();

    fn check(text: &str) -> Result<(), Refused> {
        match L::WORDS.iter().find(|word| occurs(word, text)) {
            Some(word) => Err(Refused::new(format!("`{word}` may not occur in the text"))),
            None => Ok(()),
        }
    }

    fn describe(schema: &mut Schema) {
        let words: Vec<_> = L::WORDS.iter().map(|word| format!("`{word}`")).collect();
        explain(schema, &format!("none of {} may occur", words.join(", ")));
    }
}

fn occurs(word: &str, text: &str) -> bool {
    let (word, text) = (word.to_ascii_lowercase(), text.to_ascii_lowercase());
    let (first, last) = (word.chars().next(), word.chars().next_back());
    let joined = |one: Option<char>, two: Option<char>| {
        let part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        part(one) && part(two)
    };
    !word.is_empty()
        && text.match_indices(&word).any(|(at, found)| {
            let before = text.get(..at).and_then(|text| text.chars().next_back());
            let after = text.get(at + found.len()..).and_then(|text| text.chars().next());
            !joined(before, first) && !joined(last, after)
        })
}
