//! What a page, a terminal or a window leaves out of what it shows.

use core::ops::Range;

use super::super::Severity;
use super::super::finding::Code;
use super::super::report::Report;
use super::super::subject::Piece;
use super::{REFUSE, code};

pub(super) static COMMENT: Code = code(
    "smuggling/comment",
    Severity::High,
    "words in a comment",
    "HTML comments and Markdown reference lines are not rendered; the model reads them.",
    REFUSE,
);

pub(super) static STYLE: Code = code(
    "smuggling/hidden-style",
    Severity::High,
    "text with a style that hides it",
    "What is styled to be invisible is for the model alone.",
    REFUSE,
);

pub(super) static LINK: Code = code(
    "smuggling/image-link",
    Severity::High,
    "an image or link that carries data away",
    "A client that renders Markdown fetches the address, with whatever the model was told to put in it.",
    "Do not approve it; a definition has no need of images with a query.",
);

pub(super) static PUSHED: Code = code(
    "smuggling/pushed-out",
    Severity::High,
    "text that is pushed out of view",
    "Behind many empty lines or a long row of spaces nobody scrolls to it.",
    "Read the text behind the gap.",
);

/// Empty lines and blanks in a row that no layout needs.
const LINES: usize = 12;
const BLANKS: usize = 120;

/// Letters of a comment that says something.
const WORDS: usize = 8;

pub(super) fn look(piece: &Piece<'_>, report: &mut Report<'_, '_>) {
    let text = piece.text;
    let bytes = text.as_bytes();
    if bytes.contains(&b'<') {
        comments(piece, report);
        styles(piece, report);
    }
    if bytes.contains(&b'[') {
        references(piece, report);
        images(piece, report);
    }
    if let Some(span) = gap(text) {
        report.at(&PUSHED, piece, Some(span.clone()), 0.7, {
            let behind = text.get(span.end..).unwrap_or_default().trim();
            format!("behind {} blanks stands: {}", span.len(), report.shown(behind))
        });
    }
}

fn comments(piece: &Piece<'_>, report: &mut Report<'_, '_>) {
    let mut at = 0;
    while let Some(found) = piece.text.get(at..).and_then(|rest| rest.find("<!--")) {
        let start = at + found;
        let inside = piece.text.get(start + 4..).unwrap_or_default();
        let length = inside.find("-->").unwrap_or(inside.len());
        let closed = length < inside.len();
        let inside = inside.get(..length).unwrap_or_default();
        let end = start + 4 + length + if closed { 3 } else { 0 };
        at = end;
        let letters = inside.chars().filter(|c| c.is_alphabetic()).count();
        // Conditional comments are an old way to speak to browsers.
        let says = letters >= WORDS && !inside.trim_start().starts_with("[if");
        if says && (closed || inside.contains(' ')) {
            let risk = if inside.trim().contains(' ') || letters > 16 { 0.6 } else { 0.3 };
            let what = format!("a comment says: {}", report.shown(inside.trim()));
            report.at(&COMMENT, piece, Some(start..end), risk, what);
            report.unveil(piece, "in a comment", inside.to_owned());
        }
    }
}

/// Styles within a tag that show nothing.
const HIDING: [&str; 13] = [
    "display:none",
    "visibility:hidden",
    "font-size:0",
    "font-size:1px",
    "opacity:0",
    "color:white",
    "color:#fff",
    "color:transparent",
    "color:rgba(0,0,0,0)",
    "text-indent:-",
    "left:-",
    "height:0",
    "clip:rect(0",
];

fn styles(piece: &Piece<'_>, report: &mut Report<'_, '_>) {
    let mut at = 0;
    while let Some(found) = piece.text.get(at..).and_then(|rest| rest.find('<')) {
        let start = at + found;
        let rest = piece.text.get(start..).unwrap_or_default();
        let Some(length) = rest.find('>') else { return };
        at = start + length + 1;
        let tag = rest.get(..length).unwrap_or_default();
        if tag.len() > 1024 {
            continue;
        }
        let squeezed: String =
            tag.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_ascii_lowercase()).collect();
        let hides = match squeezed.find("style=") {
            Some(style) => HIDING.iter().find(|one| {
                let style = squeezed.get(style..).unwrap_or_default();
                // `opacity:0.5` shows something.
                style.match_indices(**one).any(|(at, one)| {
                    !one.ends_with('0')
                        || !style.get(at + one.len()..).unwrap_or_default().starts_with('.')
                })
            }),
            None if tag.split_whitespace().skip(1).any(|word| word == "hidden") => Some(&"hidden"),
            None => None,
        };
        if let Some(style) = hides {
            let inside = piece.text.get(at..).unwrap_or_default();
            let inside = inside.split('<').next().unwrap_or_default();
            let what = format!("`{style}` hides: {}", report.shown(inside.trim()));
            report.at(&STYLE, piece, Some(start..at), 0.8, what);
            report.unveil(piece, "in hidden markup", inside.to_owned());
        }
    }
}

/// Reference lines of Markdown that refer to nothing: `[//]: # (text)`.
fn references(piece: &Piece<'_>, report: &mut Report<'_, '_>) {
    let mut start = 0;
    for line in piece.text.split_inclusive('\n') {
        let end = start + line.len();
        let words = line.trim();
        let body = words.strip_prefix('[').and_then(|rest| rest.split_once("]: "));
        if let Some((_, body)) = body
            && (body.starts_with("# ") || body.starts_with("<> "))
        {
            let inside = body.trim_start_matches(['#', '<', '>', ' ', '(', '"', '\'']);
            let inside = inside.trim_end_matches([')', '"', '\'']);
            if inside.chars().filter(|c| c.is_alphabetic()).count() >= WORDS {
                let what = format!("a reference line says: {}", report.shown(inside));
                report.at(&COMMENT, piece, Some(start..end), 0.7, what);
                report.unveil(piece, "in a reference line", inside.to_owned());
            }
        }
        start = end;
    }
}

/// Images whose address has a place to put data in, and links that show another host than theirs.
fn images(piece: &Piece<'_>, report: &mut Report<'_, '_>) {
    let text = piece.text;
    let mut at = 0;
    while let Some(found) = text.get(at..).and_then(|rest| rest.find("](")) {
        let middle = at + found;
        at = middle + 2;
        let remote = |rest: &str| rest.starts_with("http://") || rest.starts_with("https://");
        if !text.get(at..).is_some_and(remote) {
            continue;
        }
        let target = window(text, at, at + WINDOW);
        let target = target.split([')', '\n']).next().unwrap_or_default();
        let before = window(text, middle.saturating_sub(WINDOW), middle);
        let label = before.rsplit('[').next().unwrap_or_default();
        let open = middle - label.len().min(middle);
        let open = open.saturating_sub(usize::from(label.len() < before.len()));
        let image = text.get(..open).is_some_and(|before| before.ends_with('!'));
        let span = open.saturating_sub(usize::from(image))..at + target.len();
        let placeholder = target.contains(['{', '<', '$', '[']) || target.ends_with('=');
        if image && target.contains('?') {
            let risk = if placeholder { 0.8 } else { 0.5 };
            report.at(&LINK, piece, Some(span), risk, "an image is fetched with a query");
        } else if target.contains('?') && placeholder && target.contains('=') {
            report.at(&LINK, piece, Some(span), 0.3, "a link has a place for data in its query");
        } else if let (Some(shown), Some(real)) = (host(label), host(target))
            && shown.trim_start_matches("www.") != real.trim_start_matches("www.")
        {
            let what =
                format!("a link shows {} and leads to {}", report.shown(shown), report.shown(real));
            report.at(&LINK, piece, Some(span), 0.5, what);
        }
    }
}

/// The longest label and address of a link that are looked at.
const WINDOW: usize = 2_048;

/// A part of a text, wherever its characters begin and end.
fn window(text: &str, mut start: usize, end: usize) -> &str {
    let mut end = end.min(text.len());
    while !text.is_char_boundary(start) {
        start += 1;
    }
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(start..end).unwrap_or_default()
}

fn host(address: &str) -> Option<&str> {
    let rest = address.trim().split_once("://")?.1;
    let host = rest.split(['/', '?', '#', ' ', ':']).next()?;
    host.contains('.').then_some(host)
}

/// The first gap that hides what stands behind it.
fn gap(text: &str) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let mut start = 0;
    while let Some(found) = bytes.get(start..)?.iter().position(|byte| b" \t\n\r".contains(byte)) {
        let begin = start + found;
        let rest = bytes.get(begin..)?;
        let length = rest.iter().position(|byte| !b" \t\n\r".contains(byte))?;
        let gap = rest.get(..length)?;
        start = begin + length;
        let lines = gap.iter().filter(|byte| **byte == b'\n').count();
        let longest = gap.split(|byte| *byte == b'\n').map(<[u8]>::len).max().unwrap_or_default();
        if begin > 0 && (lines > LINES || longest > BLANKS) {
            return Some(begin..start);
        }
    }
    None
}
