//! Letters that look like others: words of two alphabets, and alphabets that are only a style.

use core::ops::Range;

use unicode_security::confusable_detection::skeleton;

use super::super::Severity;
use super::super::finding::Code;
use super::super::report::Report;
use super::super::subject::Piece;
use super::{REFUSE, code, is_identifier};

pub(super) static MIXED: Code = code(
    "smuggling/mixed-letters",
    Severity::High,
    "words of two alphabets",
    "A Cyrillic or Greek letter that looks like a Latin one hides a word from filters and from search, \
     and not from the model (Unicode Technical Standard 39).",
    REFUSE,
);

pub(super) static LOOKALIKE: Code = code(
    "smuggling/lookalike-word",
    Severity::Medium,
    "a word that looks Latin and is not",
    "All its letters look like Latin ones, in a text that is otherwise Latin.",
    "Compare the word with what it looks like; ask its author to write it in plain letters.",
);

pub(super) static STYLED: Code = code(
    "smuggling/styled-letters",
    Severity::Medium,
    "letters that are only a style",
    "Mathematical, wide or circled letters are other characters than those they show; filters do not \
     know them, models read them.",
    "Ask for the text in plain letters.",
);

pub(super) static STACKED: Code = code(
    "smuggling/stacked-marks",
    Severity::Medium,
    "letters under piles of marks",
    "Many marks on one letter cover what stands around it on a screen.",
    "Ask for the text without them.",
);

/// How many marks a letter has at most in any orthography, and then some.
const MARKS: usize = 5;

pub(super) fn look(piece: &Piece<'_>, report: &mut Report<'_, '_>) {
    let text = piece.text;
    styled(piece, report);
    stacked(piece, report);
    let words: Vec<(Range<usize>, &str)> = words(text).collect();
    let latin_words = words.iter().filter(|(_, word)| word.is_ascii()).count();
    let mut mixed: Vec<&Range<usize>> = Vec::new();
    let mut foreign: Vec<&Range<usize>> = Vec::new();
    for (span, word) in &words {
        match kind(word) {
            Kind::Mixed | Kind::MixedCyrillic => mixed.push(span),
            Kind::Lookalike if latin_words * 2 > words.len() => foreign.push(span),
            _ => {}
        }
    }
    let name = is_identifier(piece);
    if let Some(first) = mixed.first() {
        let quoted =
            text.get(..first.start).is_some_and(|before| before.ends_with(['`', '"', '\'', '“']));
        let risk = match mixed.len() {
            _ if name => 0.9,
            1 if quoted => 0.15,
            1 => 0.5,
            _ => 0.9,
        };
        let shown = mixed.iter().take(5).filter_map(|span| text.get((*span).clone()));
        let shown: Vec<String> = shown.map(folded).collect();
        let what = format!(
            "{} words mix two alphabets and look like: {}",
            mixed.len(),
            report.shown(&shown.join(" "))
        );
        report.at(&MIXED, piece, Some((*first).clone()), risk, what);
    }
    if let Some(first) = foreign.first() {
        let risk = if name { 0.8 } else { 0.3 };
        let word = text.get((*first).clone()).unwrap_or_default();
        let what = format!("a word looks like {} and is not", report.shown(&folded(word)));
        report.at(&LOOKALIKE, piece, Some((*first).clone()), risk, what);
    }
    if !mixed.is_empty() || !foreign.is_empty() {
        let mut plain = String::with_capacity(text.len());
        let mut at = 0;
        let mut odd: Vec<&Range<usize>> = mixed.iter().chain(&foreign).copied().collect();
        odd.sort_by_key(|span| span.start);
        for span in odd {
            plain.push_str(text.get(at..span.start).unwrap_or_default());
            plain.push_str(&folded(text.get(span.clone()).unwrap_or_default()));
            at = span.end;
        }
        plain.push_str(text.get(at..).unwrap_or_default());
        report.unveil(piece, "in letters that look like others", plain);
    }
}

/// Runs of letters and of the marks on them.
fn words(text: &str) -> impl Iterator<Item = (Range<usize>, &str)> {
    let mut rest = text.char_indices().peekable();
    core::iter::from_fn(move || {
        let in_word = |c: char| c.is_alphabetic() || ('\u{300}'..='\u{36f}').contains(&c);
        while rest.next_if(|(_, c)| !in_word(*c)).is_some() {}
        let (start, _) = *rest.peek()?;
        let mut end = start;
        while let Some((at, c)) = rest.next_if(|(_, c)| in_word(*c)) {
            end = at + c.len_utf8();
        }
        Some((start..end, text.get(start..end)?))
    })
}

enum Kind {
    /// Letters of one alphabet, or of several that nobody takes for one another.
    Plain,
    /// Latin letters, and others that look Latin.
    Mixed,
    /// Cyrillic letters, and Latin ones that look Cyrillic.
    MixedCyrillic,
    /// No Latin letter, and all look Latin.
    Lookalike,
}

fn kind(word: &str) -> Kind {
    if word.is_ascii() {
        return Kind::Plain;
    }
    let (mut latin, mut like_cyrillic, mut other, mut like_latin) =
        (0usize, 0usize, 0usize, 0usize);
    for c in word.chars() {
        if is_latin(c) {
            latin += 1;
            like_cyrillic += usize::from(cyrillic(c).is_some());
        } else if is_rival(c) {
            other += 1;
            like_latin += usize::from(latin_look(c).is_some());
        } else {
            return Kind::Plain;
        }
    }
    match () {
        () if other == 0 => Kind::Plain,
        () if latin == 0 && other > 2 && like_latin == other => Kind::Lookalike,
        // A sign and a letter, such as a unit.
        () if latin == 0 || latin + other < 3 || is_inflected(word) => Kind::Plain,
        () if like_latin == other => Kind::Mixed,
        () if like_cyrillic == latin => Kind::MixedCyrillic,
        () => Kind::Plain,
    }
}

/// Whether it is an abbreviation in capitals with an ending of another alphabet.
fn is_inflected(word: &str) -> bool {
    let ending = word.trim_start_matches(|c: char| c.is_ascii_uppercase());
    word.len() - ending.len() > 1 && ending.chars().all(|c| !is_latin(c) && c.is_lowercase())
}

fn is_latin(c: char) -> bool {
    matches!(c, 'a'..='z' | 'A'..='Z' | '\u{aa}' | '\u{ba}' | '\u{c0}'..='\u{24f}'
        | '\u{1e00}'..='\u{1eff}' | '\u{300}'..='\u{36f}')
}

/// Alphabets with letters that look Latin.
fn is_rival(c: char) -> bool {
    matches!(c, '\u{250}'..='\u{2af}' | '\u{370}'..='\u{58f}' | '\u{13a0}'..='\u{13ff}'
        | '\u{1c80}'..='\u{1c8f}' | '\u{1d00}'..='\u{1dbf}' | '\u{1f00}'..='\u{1fff}'
        | '\u{2c80}'..='\u{2cff}' | '\u{2de0}'..='\u{2dff}' | '\u{a4d0}'..='\u{a4ff}'
        | '\u{a640}'..='\u{a69f}' | '\u{ab70}'..='\u{abbf}')
}

/// The Cyrillic letter that a Latin one looks like.
fn cyrillic(c: char) -> Option<char> {
    let latin = "aceopxyijsABCEHIKMOPTXYSJk";
    let at = latin.chars().position(|one| one == c)?;
    "асеорхуіјѕАВСЕНІКМОРТХУЅЈк".chars().nth(at)
}

/// The Latin letter that a letter looks like.
fn latin_look(c: char) -> Option<char> {
    // The table of Unicode takes these for other letters still.
    match c {
        'К' | 'Κ' => return Some('K'),
        'М' | 'Μ' => return Some('M'),
        'ѕ' => return Some('s'),
        _ => {}
    }
    let mut buffer = [0; 4];
    let is_mark = |c: &char| ('\u{300}'..='\u{36f}').contains(c);
    let mut seen = skeleton(c.encode_utf8(&mut buffer)).filter(|c| !is_mark(c));
    let first = seen.next()?;
    (first.is_ascii_alphabetic() && seen.next().is_none()).then_some(first)
}

/// The word in the letters that it pretends to have.
fn folded(word: &str) -> String {
    match kind(word) {
        Kind::Mixed | Kind::Lookalike => word.chars().map(|c| look_of(c).unwrap_or(c)).collect(),
        Kind::MixedCyrillic => word.chars().map(|c| cyrillic(c).unwrap_or(c)).collect(),
        Kind::Plain => word.to_owned(),
    }
}

fn look_of(c: char) -> Option<char> {
    is_rival(c).then(|| latin_look(c)).flatten()
}

fn styled(piece: &Piece<'_>, report: &mut Report<'_, '_>) {
    let text = piece.text;
    // Wide letters belong to scripts that are wide themselves.
    let wide = |c: char| ('\u{ff21}'..='\u{ff5a}').contains(&c);
    let eastern = |c: char| matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}');
    let has_east = text.chars().any(eastern);
    let counted = |c: &char| plain(*c).is_some() && !(has_east && wide(*c));
    let count = text.chars().filter(counted).count();
    if count < 4 {
        return;
    }
    let first = text.char_indices().find(|(_, c)| counted(c));
    let last = text.char_indices().rev().find(|(_, c)| counted(c));
    let (Some((start, _)), Some((end, c))) = (first, last) else { return };
    let span = start..end + c.len_utf8();
    let spelled: String = text.chars().map(|c| plain(c).unwrap_or(c)).collect();
    let risk = match count {
        _ if is_identifier(piece) => 0.8,
        4..8 => 0.4,
        _ => 0.7,
    };
    let shown: String =
        text.get(span.clone()).unwrap_or_default().chars().map(|c| plain(c).unwrap_or(c)).collect();
    let what = format!("{count} styled letters say: {}", report.shown(&shown));
    report.at(&STYLED, piece, Some(span), risk, what);
    report.unveil(piece, "in styled letters", spelled);
}

/// The ASCII letter of a letter that is it in another style.
fn plain(c: char) -> Option<char> {
    let code = u32::from(c);
    let letter = |offset: u32| {
        char::from_u32(u32::from(if offset < 26 { b'A' } else { b'a' }) + offset % 26)
    };
    match code {
        0x1d400..=0x1d6a3 => letter((code - 0x1d400) % 52),
        0x1d7ce..=0x1d7ff => char::from_u32(u32::from(b'0') + (code - 0x1d7ce) % 10),
        0xff21..=0xff3a | 0xff41..=0xff5a => char::from_u32(code - 0xfee0),
        0x24b6..=0x24cf => letter(code - 0x24b6),
        0x24d0..=0x24e9 => letter(code - 0x24d0 + 26),
        0x249c..=0x24b5 => letter(code - 0x249c + 26),
        0x1f110..=0x1f129 => letter(code - 0x1f110),
        0x1f130..=0x1f149 => letter(code - 0x1f130),
        0x1f150..=0x1f169 => letter(code - 0x1f150),
        0x1f170..=0x1f189 => letter(code - 0x1f170),
        // Letters of the mathematical alphabets that have had another place before.
        0x210a | 0x2113 | 0x212f | 0x2134 => Some(match code {
            0x210a => 'g',
            0x2113 => 'l',
            0x212f => 'e',
            _ => 'o',
        }),
        0x2102 | 0x212d => Some('C'),
        0x210b..=0x210d => Some('H'),
        0x2110 | 0x2111 => Some('I'),
        0x2112 => Some('L'),
        0x2115 => Some('N'),
        0x2119 => Some('P'),
        0x211a => Some('Q'),
        0x211b..=0x211d => Some('R'),
        0x2124 | 0x2128 => Some('Z'),
        0x212c => Some('B'),
        0x2130 => Some('E'),
        0x2131 => Some('F'),
        0x2133 => Some('M'),
        _ => None,
    }
}

fn stacked(piece: &Piece<'_>, report: &mut Report<'_, '_>) {
    let (mut marks, mut start) = (0, 0);
    for (at, c) in piece.text.char_indices() {
        match c {
            '\u{300}'..='\u{36f}'
            | '\u{1ab0}'..='\u{1aff}'
            | '\u{1dc0}'..='\u{1dff}'
            | '\u{20d0}'..='\u{20ff}'
            | '\u{fe20}'..='\u{fe2f}' => {
                if marks == 0 {
                    start = at;
                }
                marks += 1;
            }
            _ => marks = 0,
        }
        if marks > MARKS {
            let span = start..at + c.len_utf8();
            return report.at(&STACKED, piece, Some(span), 0.5, "many marks on one letter");
        }
    }
}
