//! What the model reads and a person does not see (T16).
//!
//! `characters.rs` knows what does not show, `letters.rs` letters that look like others, `encoded.rs`
//! texts in another form, `markup.rs` what a page or a terminal would leave out. Each hands what it
//! brings to light back to the analyzer, which looks at it as at any other text.

mod characters;
mod encoded;
mod letters;
mod markup;
#[cfg(test)]
mod tests;

use super::Severity;
use super::finding::{Code, Family};
use super::report::Report;
use super::subject::{Piece, Role, Subject};

pub(super) static CODES: [&Code; 20] = [
    &characters::TAGS,
    &characters::SELECTORS,
    &characters::ZERO_WIDTH,
    &characters::BIDI,
    &characters::TERMINAL,
    &characters::CONTROL,
    &characters::PRIVATE,
    &characters::FILLER,
    &characters::SOFT_HYPHEN,
    &characters::SPACES,
    &letters::MIXED,
    &letters::LOOKALIKE,
    &letters::STYLED,
    &letters::STACKED,
    &encoded::ENCODED,
    &encoded::ESCAPED,
    &markup::COMMENT,
    &markup::STYLE,
    &markup::LINK,
    &markup::PUSHED,
];

pub(super) fn look(subject: &Subject<'_>, report: &mut Report<'_, '_>) {
    let rotates = |piece: &Piece<'_>| {
        ["rot13", "ROT13", "rot-13", "rot_13"].iter().any(|one| piece.text.contains(one))
    };
    if subject.of_roles(&[Role::Name, Role::Description]).any(rotates) {
        for piece in subject.of_roles(&[Role::Description]) {
            report.unveil(piece, "in letters thirteen places on", encoded::rotated(piece.text));
        }
    }
    for piece in &subject.pieces {
        if piece.role == Role::Statement {
            continue;
        }
        let bytes = piece.text.as_bytes();
        let odd = |byte: &u8| !byte.is_ascii() || byte.is_ascii_control();
        if bytes.iter().any(odd) {
            characters::look(piece, report);
        }
        if !piece.text.is_ascii() {
            letters::look(piece, report);
        }
        encoded::look(piece, report);
        markup::look(piece, report);
    }
}

/// Whether a piece is a word for programs, where no hidden character has any business.
fn is_identifier(piece: &Piece<'_>) -> bool {
    matches!(
        piece.role,
        Role::Name | Role::ParameterName | Role::Key | Role::Uri | Role::Keyword | Role::Value
    )
}

/// A code of this family.
const fn code(
    name: &'static str,
    severity: Severity,
    title: &'static str,
    why: &'static str,
    advice: &'static str,
) -> Code {
    Code { name, family: Family::Smuggling, severity, title, why, advice }
}

/// What to do where there is no honest use.
const REFUSE: &str = "Do not approve it; look at what stands there and ask its author why.";
