//! The reader itself: one pass over the bytes, a path only when something is wrong.

use super::error::Segment;
use super::{Document, IjsonError, Limits, Node, Number, Problem, Range, Slot, Text, utf16_order};

/// Boxed, so that what is passed up from each value stays small.
type Read<T> = Result<T, Box<IjsonError>>;

pub(super) fn read(text: &str, limits: Limits) -> Result<Document<'_>, IjsonError> {
    // Ranges hold 32 bits.
    let most = (u32::MAX / 2) as usize;
    if text.len() > limits.bytes.min(most) {
        return Err(IjsonError::new(Problem::TooLong));
    }
    let depth = limits.depth.min(Limits::MAX_DEPTH);
    let document = Document { text, unescaped: String::new(), slots: Vec::new(), root: Node::Null };
    let mut reader =
        Reader { text, at: 0, depth, values: limits.values, document, open: Vec::new() };
    // A guess that fits definitions: a value every sixteen bytes.
    reader.document.slots.reserve((text.len() / 16).min(limits.values));
    reader.document.root = reader.value().map_err(|error| *error)?;
    match reader.next_token() {
        None => Ok(reader.document),
        Some(_) => Err(*reader.syntax()),
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// Levels and values that may still come.
    depth: usize,
    values: usize,
    document: Document<'a>,
    /// The children of all containers that are not closed yet, innermost last.
    open: Vec<Slot>,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The first byte that is no white space.
    fn next_token(&mut self) -> Option<u8> {
        while let Some(byte) = self.peek() {
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(byte);
            }
            self.at += 1;
        }
        None
    }

    #[cold]
    fn fail<T>(&self, problem: Problem) -> Read<T> {
        Err(Box::new(IjsonError::new(problem)))
    }

    #[cold]
    fn syntax(&self) -> Box<IjsonError> {
        Box::new(IjsonError::new(Problem::Syntax { offset: self.at }))
    }

    fn value(&mut self) -> Read<Node> {
        match self.values.checked_sub(1) {
            Some(left) => self.values = left,
            None => return self.fail(Problem::TooMany),
        }
        match self.next_token() {
            Some(b'"') => self.string().map(Node::String),
            Some(b'{') => self.nested(Self::object),
            Some(b'[') => self.nested(Self::array),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Node::Bool(true)),
            Some(b'f') => self.word("false", Node::Bool(false)),
            Some(b'n') => self.word("null", Node::Null),
            _ => Err(self.syntax()),
        }
    }

    fn word(&mut self, word: &str, value: Node) -> Read<Node> {
        match self.text.get(self.at..).is_some_and(|rest| rest.starts_with(word)) {
            true => {
                self.at += word.len();
                Ok(value)
            }
            false => Err(self.syntax()),
        }
    }

    fn nested(&mut self, read: fn(&mut Self, usize) -> Read<Node>) -> Read<Node> {
        match self.depth.checked_sub(1) {
            Some(left) => self.depth = left,
            None => return self.fail(Problem::TooDeep),
        }
        self.at += 1;
        let node = read(self, self.open.len())?;
        self.depth += 1;
        Ok(node)
    }

    /// Moves the children from `base` on to their place in the document.
    fn close(&mut self, base: usize) -> Range {
        let children = self.open.get(base..).unwrap_or_default();
        let range = Range::new(self.document.slots.len(), children.len());
        self.document.slots.extend_from_slice(children);
        self.open.truncate(base);
        range
    }

    fn array(&mut self, base: usize) -> Read<Node> {
        if self.next_token() == Some(b']') {
            self.at += 1;
            return Ok(Node::Array(self.close(base)));
        }
        let name = Text { range: Range::new(0, 0), plain: true };
        loop {
            let index = self.open.len() - base;
            let node = self.value().map_err(|error| error.within(Segment::Element(index)))?;
            self.open.push(Slot { name, node });
            match self.next_token() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(Node::Array(self.close(base)));
                }
                _ => return Err(self.syntax()),
            }
        }
    }

    fn object(&mut self, base: usize) -> Read<Node> {
        if self.next_token() == Some(b'}') {
            self.at += 1;
            return Ok(Node::Object(self.close(base)));
        }
        let mut sorted = true;
        loop {
            if self.next_token() != Some(b'"') {
                return Err(self.syntax());
            }
            let name = self.string()?;
            if self.next_token() != Some(b':') {
                return Err(self.syntax());
            }
            self.at += 1;
            let last = self.open.get(base..).and_then(<[Slot]>::last);
            if let Some(last) = last.filter(|_| sorted) {
                sorted = utf16_order(self.bytes(last.name), self.bytes(name)).is_lt();
            }
            let node = self.value().map_err(|error| error.within(self.named(name)))?;
            self.open.push(Slot { name, node });
            match self.next_token() {
                Some(b',') => self.at += 1,
                Some(b'}') => break,
                _ => return Err(self.syntax()),
            }
        }
        self.at += 1;
        if !sorted {
            self.sort(base)?;
        }
        Ok(Node::Object(self.close(base)))
    }

    /// Brings the members from `base` on into order, which also shows two of the same name.
    fn sort(&mut self, base: usize) -> Read<()> {
        let mut open = std::mem::take(&mut self.open);
        let members = open.get_mut(base..).unwrap_or_default();
        members.sort_by(|left, right| utf16_order(self.bytes(left.name), self.bytes(right.name)));
        let twice = members.windows(2).find_map(|pair| match pair {
            [left, right] if self.bytes(left.name) == self.bytes(right.name) => Some(left.name),
            _ => None,
        });
        self.open = open;
        match twice {
            None => Ok(()),
            Some(name) => {
                Err(Box::new(IjsonError::new(Problem::DuplicateMember)).within(self.named(name)))
            }
        }
    }

    fn bytes(&self, text: Text) -> &[u8] {
        let source = if text.plain { self.text } else { &self.document.unescaped };
        source.as_bytes().get(text.range.within()).unwrap_or_default()
    }

    fn named(&self, name: Text) -> Segment {
        Segment::Member(String::from_utf8_lossy(self.bytes(name)).into_owned())
    }

    fn number(&mut self) -> Read<Node> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        let literal = self.text.get(start..self.at).unwrap_or_default();
        match Number::read(literal) {
            Ok(number) => Ok(Node::Number(number)),
            Err(problem) => self.fail(problem),
        }
    }

    fn digits(&mut self) -> Read<()> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start { Err(self.syntax()) } else { Ok(()) }
    }

    /// Reads a string whose opening quote is next.
    fn string(&mut self) -> Read<Text> {
        self.at += 1;
        let start = self.at;
        let run = self.plain_run()?;
        if self.peek() == Some(b'"') {
            self.at += 1;
            return Ok(Text { range: Range::new(start, run.len()), plain: true });
        }
        let start = self.document.unescaped.len();
        self.document.unescaped.push_str(run);
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    self.at += 1;
                    let character = self.escape()?;
                    self.document.unescaped.push(character);
                }
                _ => {
                    let run = self.plain_run()?;
                    self.document.unescaped.push_str(run);
                }
            }
        }
        self.at += 1;
        let length = self.document.unescaped.len() - start;
        Ok(Text { range: Range::new(start, length), plain: false })
    }

    /// Characters up to a quote or a backslash, one of which then is next.
    fn plain_run(&mut self) -> Read<&'a str> {
        let start = self.at;
        let (length, ascii) = plain_length(self.text.as_bytes().get(start..).unwrap_or_default());
        self.at += length;
        if !matches!(self.peek(), Some(b'"' | b'\\')) {
            return Err(self.syntax());
        }
        let run = self.text.get(start..self.at).ok_or_else(|| self.syntax())?;
        // All of them begin with a byte from EF on.
        let suspect = !ascii && run.bytes().any(|byte| byte >= 0xEF);
        if suspect && run.chars().any(is_noncharacter) {
            return self.fail(Problem::Noncharacter);
        }
        Ok(run)
    }

    /// The character of an escape whose backslash is behind us.
    fn escape(&mut self) -> Read<char> {
        let byte = self.peek().ok_or_else(|| self.syntax())?;
        let character = match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode_escape(),
            _ => return Err(self.syntax()),
        };
        self.at += 1;
        Ok(character)
    }

    fn unicode_escape(&mut self) -> Read<char> {
        let first = self.code_unit()?;
        let code = match first {
            0xD800..=0xDBFF => {
                if self.text.as_bytes().get(self.at..self.at + 2) != Some(br"\u") {
                    return self.fail(Problem::LoneSurrogate);
                }
                self.at += 1;
                match self.code_unit()? {
                    second @ 0xDC00..=0xDFFF => {
                        0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00)
                    }
                    _ => return self.fail(Problem::LoneSurrogate),
                }
            }
            code => code,
        };
        match char::from_u32(code) {
            None => self.fail(Problem::LoneSurrogate),
            Some(character) if is_noncharacter(character) => self.fail(Problem::Noncharacter),
            Some(character) => Ok(character),
        }
    }

    /// Four hexadecimal digits behind the `u` that is next.
    fn code_unit(&mut self) -> Read<u32> {
        self.at += 1;
        let digits = self.text.as_bytes().get(self.at..self.at + 4).ok_or_else(|| self.syntax())?;
        let unit = digits.iter().try_fold(0, |unit, digit| {
            char::from(*digit).to_digit(16).map(|digit| unit * 16 + digit)
        });
        let unit = unit.ok_or_else(|| self.syntax())?;
        self.at += 4;
        Ok(unit)
    }
}

/// How many bytes stand before the first quote, backslash or control character, and whether all
/// of them are ASCII. Looks at eight bytes at a time, since strings are most of a definition.
pub(crate) fn plain_length(bytes: &[u8]) -> (usize, bool) {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES * 0x80;
    let mut length = 0;
    let mut high = 0;
    let (words, tail) = bytes.as_chunks::<8>();
    for word in words {
        let word = u64::from_le_bytes(*word);
        let zero_in = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
        // The lowest bit that is set is exact: a borrow comes from a byte that is found itself.
        let found = word.wrapping_sub(ONES * 0x20) & !word & HIGH
            | zero_in(word ^ (ONES * u64::from(b'"')))
            | zero_in(word ^ (ONES * u64::from(b'\\')));
        if found != 0 {
            let place = found.trailing_zeros();
            high |= word & HIGH & (1_u64 << place).wrapping_sub(1);
            return (length + place as usize / 8, high == 0);
        }
        high |= word & HIGH;
        length += 8;
    }
    let stop = tail.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
    let rest = tail.get(..stop.unwrap_or(tail.len())).unwrap_or_default();
    (length + rest.len(), high == 0 && rest.is_ascii())
}

/// U+FDD0 to U+FDEF, and the last two code points of each plane.
fn is_noncharacter(character: char) -> bool {
    let code = u32::from(character);
    (0xFDD0..=0xFDEF).contains(&code) || code & 0xFFFE == 0xFFFE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> (String, &'static str) {
        let error = read(text, Limits::DEFINITION).expect_err(text);
        (error.path(), error.code())
    }

    #[test]
    fn refuses_what_readers_understand_differently() {
        for (text, path, code) in [
            (r#"{"a":1,"a":1}"#, "a", "duplicate_member"),
            (
                r#"{"b":0,"a":{"x":[{},{"é":1,"\u00e9":2}]}}"#,
                r#"a.x[1]["\u{e9}"]"#,
                "duplicate_member",
            ),
            (r#"{"":1,"":2}"#, r#"[""]"#, "duplicate_member"),
            (r#"{"a":"\ud800"}"#, "a", "lone_surrogate"),
            (r#"{"a":"\ud800x"}"#, "a", "lone_surrogate"),
            (r#"{"a":"\ud800\u0041"}"#, "a", "lone_surrogate"),
            (r#"["\udc00"]"#, "[0]", "lone_surrogate"),
            (r#"{"\ud800":1}"#, "", "lone_surrogate"),
            (r#"{"a":"\ufffe"}"#, "a", "noncharacter"),
            (r#"{"a":"\udbff\udfff"}"#, "a", "noncharacter"),
            ("{\"a\":\"\u{fdd0}\"}", "a", "noncharacter"),
            (r#"{"a":{"b":[9007199254740993]}}"#, "a.b[0]", "integer_too_large"),
            (r#"{"a":1e400}"#, "a", "not_round_trip"),
        ] {
            assert_eq!(refused(text), (path.to_owned(), code), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_json() {
        for text in [
            "",
            " ",
            "{",
            "}",
            "[",
            "[1",
            "[1,",
            "[1,]",
            "{,}",
            r#"{"a"}"#,
            r#"{"a":}"#,
            r#"{"a":1,}"#,
            r#"{a:1}"#,
            r#"{'a':1}"#,
            "01",
            "-",
            "+1",
            ".5",
            "1.",
            "1e",
            "1e+",
            "0x1",
            "NaN",
            "-Infinity",
            "tru",
            "nul",
            "True",
            r#"""#,
            r#""\x""#,
            r#""\u12""#,
            r#""\u12g4""#,
            r#""\"#,
            r#""\u"#,
            "\"\t\"",
            "\"\u{0}\"",
            "1 2",
            "[] []",
            "\u{feff}1",
            "/**/1",
            "[1\u{a0}]",
            "1\u{c}",
        ] {
            assert_eq!(refused(text).1, "syntax", "{text:?}");
        }
    }

    #[test]
    fn limits_hold() {
        let limits = Limits { bytes: 40, depth: 3, values: 5 };
        assert!(read("[[[1]],2]", limits).is_ok());
        for (text, problem) in [
            ("[[[[1]]]]".to_owned(), Problem::TooDeep),
            ("[1,2,3,4,5]".to_owned(), Problem::TooMany),
            (" ".repeat(41), Problem::TooLong),
        ] {
            assert_eq!(read(&text, limits).unwrap_err().problem(), problem);
        }
        let unlimited = Limits { bytes: usize::MAX, depth: usize::MAX, values: usize::MAX };
        let deep = "[".repeat(1 << 20);
        assert_eq!(read(&deep, unlimited).unwrap_err().problem(), Problem::TooDeep);
        let most = format!("{}{}", "[".repeat(127), "]".repeat(127));
        assert!(read(&most, unlimited).is_ok());
    }

    #[test]
    fn eight_bytes_at_a_time_are_as_good_as_one() {
        let slow = |bytes: &[u8]| {
            let stop = bytes.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
            let plain = &bytes[..stop.unwrap_or(bytes.len())];
            (plain.len(), plain.is_ascii())
        };
        let odd =
            [0, 1, 0x1f, 0x20, 0x21, b'"', 0x23, b'\\', 0x5d, 0x7f, 0x80, 0x9f, 0xa2, 0xdc, 0xff];
        for length in 0..20 {
            for at in 0..length {
                for first in odd {
                    for second in odd {
                        let mut bytes = vec![b'a'; length];
                        bytes[at] = first;
                        bytes[(at + 1) % length] = second;
                        assert_eq!(plain_length(&bytes), slow(&bytes), "{bytes:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn escapes_mean_their_characters() {
        let text = r#""\"\\\/\b\f\n\r\t\u0041\u20AC\ud83d\ude00é""#;
        let value = read(text, Limits::DEFINITION).unwrap();
        assert_eq!(value.root().as_str(), Some("\"\\/\u{8}\u{c}\n\r\tA€😀é"));
    }

    #[test]
    fn a_long_name_is_cut_in_messages() {
        let text = format!("{{\"{}\":1e999}}", "x\u{1b}".replace('\u{1b}', "\\u001b").repeat(1000));
        let error = read(&text, Limits::DEFINITION).unwrap_err();
        assert!(error.to_string().len() < 1000);
        assert!(!error.to_string().contains('\u{1b}'));
    }
}
