//! Characters that do not show, and what they spell.

use core::ops::Range;

use super::super::Severity;
use super::super::finding::Code;
use super::super::report::Report;
use super::super::subject::Piece;
use super::{REFUSE, code, is_identifier};

pub(super) static TAGS: Code = code(
    "smuggling/tags",
    Severity::Critical,
    "text in tag characters",
    "Tag characters (U+E0000 to U+E007F) repeat ASCII without showing anything; models read them. Only \
     the flags of three regions have an honest use for them.",
    REFUSE,
);

pub(super) static SELECTORS: Code = code(
    "smuggling/variation-selectors",
    Severity::Critical,
    "bytes in variation selectors",
    "A variation selector changes how the character before it looks. Several of them, or one behind a \
     letter that has no variants, carry bytes that nobody sees.",
    REFUSE,
);

pub(super) static ZERO_WIDTH: Code = code(
    "smuggling/zero-width",
    Severity::High,
    "characters without width",
    "Joiners, zero-width spaces and invisible operators outside the scripts that need them split words \
     that a filter looks for, or spell a message in bits.",
    "Ask for the text without them; approve it only if nothing is spelled by them.",
);

pub(super) static BIDI: Code = code(
    "smuggling/bidi",
    Severity::High,
    "text shown in another order than it is read",
    "Bidirectional overrides and isolates make a person read other words than the model gets \
     (Unicode Technical Report 36, section 2.2).",
    REFUSE,
);

pub(super) static TERMINAL: Code = code(
    "smuggling/terminal",
    Severity::Critical,
    "terminal control",
    "Escape sequences and their C1 forms erase, hide or overwrite what a terminal shows of a text that \
     the model reads whole.",
    REFUSE,
);

pub(super) static CONTROL: Code = code(
    "smuggling/control",
    Severity::Low,
    "an unusual control character",
    "Programs disagree on what form feeds, separators and the like show.",
    "Ask for the text without them.",
);

pub(super) static PRIVATE: Code = code(
    "smuggling/private-use",
    Severity::Medium,
    "characters that mean nothing in public",
    "Private use, annotations and non-characters show as nothing or as a box, and mean what two parties \
     agreed on.",
    "Ask for the text without them.",
);

pub(super) static FILLER: Code = code(
    "smuggling/filler",
    Severity::High,
    "letters that are blank",
    "Fillers count as letters and show nothing: names look equal that are not, and bits can be spelled.",
    REFUSE,
);

pub(super) static SOFT_HYPHEN: Code = code(
    "smuggling/soft-hyphen",
    Severity::Medium,
    "soft hyphens",
    "A soft hyphen shows only at the end of a line; within a word it hides the word from filters.",
    "Ask for the text without them.",
);

pub(super) static SPACES: Code = code(
    "smuggling/spaces",
    Severity::Medium,
    "a pattern of unusual spaces",
    "Spaces of different widths in a row carry bits.",
    "Ask for the text with plain spaces.",
);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Tag,
    Selector,
    ZeroWidth,
    Override,
    Embedding,
    Mark,
    Terminal,
    Control,
    Private,
    Filler,
    SoftHyphen,
    Space,
}

fn class(c: char) -> Option<Class> {
    Some(match c {
        ' '..='~' | '\n' | '\r' | '\t' => return None,
        '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}' => Class::Control,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' => Class::Terminal,
        '\u{ad}' => Class::SoftHyphen,
        '\u{34f}'
        | '\u{115f}'
        | '\u{1160}'
        | '\u{17b4}'
        | '\u{17b5}'
        | '\u{2800}'
        | '\u{3164}'
        | '\u{ffa0}'
        | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' => Class::Filler,
        '\u{61c}' | '\u{200e}' | '\u{200f}' => Class::Mark,
        '\u{180b}'..='\u{180d}' | '\u{180f}' | '\u{fe00}'..='\u{fe0f}' => Class::Selector,
        '\u{180e}' | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2065}' | '\u{feff}' => {
            Class::ZeroWidth
        }
        '\u{206a}'..='\u{206f}' => Class::ZeroWidth,
        '\u{202d}' | '\u{202e}' => Class::Override,
        '\u{202a}'..='\u{202c}' | '\u{2066}'..='\u{2069}' => Class::Embedding,
        '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{205f}' => Class::Space,
        '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..='\u{fffb}' | '\u{fdd0}'..='\u{fdef}' => {
            Class::Private
        }
        '\u{e0100}'..='\u{e01ef}' => Class::Selector,
        '\u{e0000}'..='\u{e0fff}' => Class::Tag,
        '\u{f0000}'.. => Class::Private,
        c if u32::from(c) & 0xfffe == 0xfffe => Class::Private,
        _ => return None,
    })
}

/// Characters of one class that stand in a row.
struct Run<'t> {
    class: Class,
    text: &'t str,
    span: Range<usize>,
    count: usize,
    before: Option<char>,
    after: Option<char>,
}

fn runs(text: &str) -> Vec<Run<'_>> {
    let mut runs: Vec<Run<'_>> = Vec::new();
    let mut before = None;
    for (at, c) in text.char_indices() {
        let end = at + c.len_utf8();
        match (class(c), runs.last_mut()) {
            (Some(class), Some(run)) if run.class == class && run.span.end == at => {
                run.span.end = end;
                run.count += 1;
                run.text = text.get(run.span.clone()).unwrap_or_default();
            }
            (Some(class), _) => runs.push(Run {
                class,
                text: text.get(at..end).unwrap_or_default(),
                span: at..end,
                count: 1,
                before,
                after: None,
            }),
            (None, Some(run)) if run.span.end == at => run.after = Some(c),
            (None, _) => {}
        }
        before = Some(c);
    }
    runs
}

pub(super) fn look(piece: &Piece<'_>, report: &mut Report<'_, '_>) {
    let runs = runs(piece.text);
    if runs.is_empty() {
        return;
    }
    let right_to_left = piece.text.chars().any(is_right_to_left);
    let of = |classes: &[Class]| -> Vec<&Run<'_>> {
        let within = runs.iter().filter(|run| classes.contains(&run.class));
        within.filter(|run| !is_honest(run, piece)).collect()
    };
    tags(&of(&[Class::Tag]), piece, report);
    selectors(&of(&[Class::Selector]), piece, report);
    zero_width(&of(&[Class::ZeroWidth]), piece, report);
    bidi(&of(&[Class::Override, Class::Embedding, Class::Mark]), right_to_left, piece, report);
    let name = is_identifier(piece);
    let mut rest = |class, code, light: f64, heavy: f64, what: &str| {
        let found = of(&[class]);
        let Some(first) = found.iter().max_by_key(|run| run.count) else { return };
        let count: usize = found.iter().map(|run| run.count).sum();
        let annotates =
            found.iter().any(|run| run.text.starts_with(['\u{fff9}', '\u{fffa}', '\u{fffb}']));
        let risk = if name || annotates || first.count > 2 || count > 8 { heavy } else { light };
        let what = format!("{count} {what}");
        report.at(code, piece, Some(first.span.clone()), risk, what);
    };
    rest(Class::Terminal, &TERMINAL, 0.9, 0.95, "characters that control a terminal");
    rest(Class::Control, &CONTROL, 0.02, 0.3, "unusual control characters");
    rest(Class::Private, &PRIVATE, 0.3, 0.7, "characters of private use or without meaning");
    rest(Class::Filler, &FILLER, 0.6, 0.9, "letters that are blank");
    rest(Class::SoftHyphen, &SOFT_HYPHEN, 0.1, 0.8, "soft hyphens");
    spaces(&of(&[Class::Space]), piece, report);
    let split = |class| matches!(class, Class::ZeroWidth | Class::SoftHyphen | Class::Filler);
    if runs.iter().any(|run| split(run.class) && !is_honest(run, piece)) {
        let shown = piece.text.chars().filter(|c| !class(*c).is_some_and(split));
        report.unveil(piece, "without its invisible characters", shown.collect());
    }
}

/// Uses that scripts and emoji have for what does not show.
fn is_honest(run: &Run<'_>, piece: &Piece<'_>) -> bool {
    let before = run.before.unwrap_or(' ');
    let after = run.after.unwrap_or(' ');
    let among =
        |range: core::ops::RangeInclusive<char>| range.contains(&before) || range.contains(&after);
    match run.class {
        Class::Tag => before == '\u{1f3f4}' && is_region(run.text),
        Class::Selector if run.count == 1 => match run.text.chars().next() {
            Some('\u{180b}'..='\u{180f}') => ('\u{1800}'..='\u{18af}').contains(&before),
            Some('\u{fe0e}' | '\u{fe0f}') => {
                !before.is_ascii() && class(before).is_none() && !before.is_alphabetic()
                    || is_han(before)
                    || matches!(before, '0'..='9' | '#' | '*') && after == '\u{20e3}'
                    // Signs such as the arrow or the letter m in a circle are letters to Unicode.
                    || ('\u{2100}'..='\u{32ff}').contains(&before)
            }
            Some('\u{fe00}'..='\u{fe0d}') => {
                is_han(before) || ('\u{2200}'..='\u{2aff}').contains(&before)
            }
            _ => is_han(before),
        },
        Class::ZeroWidth if run.count == 1 => match run.text.chars().next() {
            Some('\u{200d}') => is_joining(before) || is_pictograph(before) && is_pictograph(after),
            Some('\u{200c}') => is_joining(before) || is_joining(after),
            Some('\u{200b}') => is_unspaced(before) && is_unspaced(after),
            _ => false,
        },
        Class::Filler => match run.text.chars().next() {
            Some('\u{2800}') => among('\u{2801}'..='\u{28ff}') && run.count < 3,
            Some('\u{115f}' | '\u{1160}') => among('\u{1100}'..='\u{11ff}') && run.count == 1,
            Some('\u{17b4}' | '\u{17b5}') => among('\u{1780}'..='\u{17ff}') && run.count == 1,
            Some('\u{34f}') => among('\u{300}'..='\u{36f}') && run.count == 1,
            _ => false,
        },
        Class::Space => run.count == 1 && !is_identifier(piece),
        _ => false,
    }
}

/// The tags of England, Scotland and Wales behind a black flag, the only ones in use.
fn is_region(tags: &str) -> bool {
    let spelled: String = tags.chars().filter_map(tag).collect();
    matches!(&*spelled, "gbeng" | "gbsct" | "gbwls") && tags.ends_with('\u{e007f}')
}

fn tag(c: char) -> Option<char> {
    match u32::from(c) {
        code @ 0xe0020..=0xe007e => char::from_u32(code - 0xe0000),
        _ => None,
    }
}

fn is_han(c: char) -> bool {
    matches!(c, '\u{3001}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{3ffff}')
}

/// Scripts whose letters join, or whose marks do.
fn is_joining(c: char) -> bool {
    matches!(c, '\u{600}'..='\u{8ff}' | '\u{900}'..='\u{dff}' | '\u{f00}'..='\u{109f}'
        | '\u{1780}'..='\u{18af}' | '\u{1b00}'..='\u{1bff}' | '\u{a8e0}'..='\u{a8ff}'
        | '\u{fb50}'..='\u{fdcf}' | '\u{fe70}'..='\u{fefc}' | '\u{10a00}'..='\u{10fff}'
        | '\u{11000}'..='\u{11fff}')
}

/// Scripts that write no spaces between words.
fn is_unspaced(c: char) -> bool {
    matches!(c, '\u{e00}'..='\u{eff}' | '\u{f00}'..='\u{109f}' | '\u{1780}'..='\u{17ff}'
        | '\u{19e0}'..='\u{1aff}')
}

fn is_pictograph(c: char) -> bool {
    matches!(c, '\u{2190}'..='\u{2bff}' | '\u{1f000}'..='\u{1faff}' | '\u{fe0f}' | '\u{e007f}')
}

fn is_right_to_left(c: char) -> bool {
    matches!(c, '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{fefc}'
        | '\u{10800}'..='\u{10fff}' | '\u{1e800}'..='\u{1efff}')
}

fn tags(found: &[&Run<'_>], piece: &Piece<'_>, report: &mut Report<'_, '_>) {
    let Some(first) = found.first() else { return };
    let spelled: Vec<String> =
        found.iter().map(|run| run.text.chars().filter_map(tag).collect()).collect();
    let spelled = spelled.join(" ");
    let count: usize = found.iter().map(|run| run.count).sum();
    let what = match spelled.trim().is_empty() {
        true => format!("{count} tag characters that spell nothing"),
        false => format!("{count} tag characters say: {}", report.shown(&spelled)),
    };
    report.at(&TAGS, piece, Some(first.span.clone()), 0.97, what);
    report.unveil(piece, "in tag characters", spelled);
}

fn selectors(found: &[&Run<'_>], piece: &Piece<'_>, report: &mut Report<'_, '_>) {
    let Some(first) = found.iter().max_by_key(|run| run.count) else { return };
    let count: usize = found.iter().map(|run| run.count).sum();
    let byte = |c: char| match u32::from(c) {
        code @ 0xfe00..=0xfe0f => u8::try_from(code - 0xfe00).ok(),
        code @ 0xe0100..=0xe01ef => u8::try_from(code - 0xe0100 + 16).ok(),
        _ => None,
    };
    let all = found.iter().flat_map(|run| run.text.chars());
    let bytes: Vec<u8> = all.filter_map(byte).collect();
    let shifted = bytes.iter().map(|byte| byte.wrapping_sub(16)).collect();
    let spelled = [bytes, shifted].into_iter().find_map(readable);
    // One alone may be a slip of whoever copied an emoji.
    let risk = if count > 1 || is_identifier(piece) { 0.95 } else { 0.3 };
    let what = match &spelled {
        Some(text) => format!("{count} variation selectors say: {}", report.shown(text)),
        None => format!("{count} variation selectors where none belongs"),
    };
    report.at(&SELECTORS, piece, Some(first.span.clone()), risk, what);
    report.unveil(piece, "in variation selectors", spelled.unwrap_or_default());
}

fn zero_width(found: &[&Run<'_>], piece: &Piece<'_>, report: &mut Report<'_, '_>) {
    let Some(longest) = found.iter().max_by_key(|run| run.count) else { return };
    let count: usize = found.iter().map(|run| run.count).sum();
    let start = found.iter().all(|run| run.span.start == 0 && run.text == "\u{feff}");
    let risk = match () {
        () if start => 0.05,
        () if is_identifier(piece) => 0.9,
        () if longest.count > 3 || count > 8 => 0.95,
        () if longest.count > 1 || count > 2 => 0.7,
        () => 0.3,
    };
    let all: Vec<char> = found.iter().flat_map(|run| run.text.chars()).collect();
    let spelled = bits(&all);
    let what = match &spelled {
        Some(text) => format!("{count} characters without width say: {}", report.shown(text)),
        None => format!("{count} characters without width"),
    };
    report.at(&ZERO_WIDTH, piece, Some(longest.span.clone()), risk, what);
    report.unveil(piece, "in characters without width", spelled.unwrap_or_default());
}

/// What two kinds of characters say as bits of bytes, either way round.
fn bits(all: &[char]) -> Option<String> {
    let first = *all.first()?;
    let second = *all.iter().find(|c| **c != first)?;
    if all.len() < 16 || all.iter().any(|c| *c != first && *c != second) {
        return None;
    }
    let read = |one: char| {
        let byte =
            |eight: &[char]| eight.iter().fold(0u8, |byte, c| byte << 1 | u8::from(*c == one));
        let text = readable(all.chunks_exact(8).map(byte).collect())?;
        // The same letter again and again is a pattern, not a message.
        let mut letters: Vec<char> = text.chars().collect();
        letters.sort_unstable();
        letters.dedup();
        (letters.len() > 2).then_some(text)
    };
    read(second).or_else(|| read(first))
}

/// Bytes as a text, if they are one.
fn readable(bytes: Vec<u8>) -> Option<String> {
    let text = String::from_utf8(bytes).ok()?;
    let plain = text.chars().filter(|c| !c.is_control() || c.is_whitespace()).count();
    (!text.is_empty() && plain == text.chars().count()).then_some(text)
}

fn bidi(found: &[&Run<'_>], right_to_left: bool, piece: &Piece<'_>, report: &mut Report<'_, '_>) {
    let name = is_identifier(piece);
    let has = |class| found.iter().any(|run| run.class == class);
    let first = found.iter().max_by_key(|run| match run.class {
        Class::Override => 2,
        Class::Embedding => 1,
        _ => 0,
    });
    let Some(first) = first else { return };
    let marks: usize = found.iter().map(|run| run.count).sum();
    let (risk, what) = match () {
        () if has(Class::Override) => (0.92, "an override makes letters run the other way"),
        () if has(Class::Embedding) && right_to_left && is_balanced(piece.text) && !name => return,
        () if has(Class::Embedding) && right_to_left => (0.5, "isolates that nothing closes"),
        () if has(Class::Embedding) => {
            (0.8, "isolates or embeddings without any right-to-left text")
        }
        () if right_to_left && !name => return,
        () if name || marks > 2 => (0.7, "direction marks without any right-to-left text"),
        () => (0.2, "a direction mark without any right-to-left text"),
    };
    report.at(&BIDI, piece, Some(first.span.clone()), risk, what);
    let inside = piece.text.get(first.span.end..).unwrap_or_default();
    let ends = |c: char| matches!(class(c), Some(Class::Embedding | Class::Override));
    let inside: String = inside.split(ends).next().unwrap_or_default().chars().rev().collect();
    report.unveil(piece, "as it is shown", inside);
}

fn is_balanced(text: &str) -> bool {
    let (mut embeddings, mut isolates) = (0i32, 0i32);
    for c in text.chars() {
        match c {
            '\u{202a}' | '\u{202b}' => embeddings += 1,
            '\u{202c}' => embeddings -= 1,
            '\u{2066}'..='\u{2068}' => isolates += 1,
            '\u{2069}' => isolates -= 1,
            _ => {}
        }
        if embeddings < 0 || isolates < 0 {
            return false;
        }
    }
    embeddings == 0 && isolates == 0
}

fn spaces(found: &[&Run<'_>], piece: &Piece<'_>, report: &mut Report<'_, '_>) {
    let Some(longest) = found.iter().max_by_key(|run| run.count) else { return };
    let kinds = |run: &Run<'_>| run.text.chars().any(|c| !run.text.starts_with(c));
    let risk = match () {
        () if is_identifier(piece) => 0.6,
        () if longest.count > 7 || longest.count > 3 && kinds(longest) => 0.7,
        () => 0.02,
    };
    let what = format!("{} unusual spaces in a row", longest.count);
    report.at(&SPACES, piece, Some(longest.span.clone()), risk, what);
}
