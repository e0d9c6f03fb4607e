//! A line taken apart into words: quotes keep what is between them together.

/// The words of a line.
///
/// Both kinds of quotes keep spaces, a backslash keeps the character after it, except between single
/// quotes. Nothing else means anything.
///
/// # Errors
///
/// When a quote is not closed.
pub fn split(line: &str) -> Result<Vec<String>, String> {
    let (mut words, mut word) = (Vec::new(), None::<String>);
    let mut quote = None;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (Some(open), _) if letter == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => {
                let next = letters.next().ok_or("a backslash is the last character")?;
                word.get_or_insert_default().push(next);
            }
            (None, letter) if letter.is_whitespace() => words.extend(word.take()),
            (_, letter) => word.get_or_insert_default().push(letter),
        }
    }
    if let Some(open) = quote {
        return Err(format!("a quote is not closed, add {open}"));
    }
    words.extend(word);
    Ok(words)
}

/// A word as it is typed so that [`split`] gives it back.
pub(super) fn quoted(word: &str) -> String {
    let plain = |c: char| !c.is_whitespace() && !matches!(c, '"' | '\'' | '\\');
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\"")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_keep_words_together() {
        for (line, words) in [
            ("", &[][..]),
            ("  a  b ", &["a", "b"]),
            (r#"call x text="a b" y='c "d"'"#, &["call", "x", "text=a b", r#"y=c "d""#]),
            (r#"a\ b "c\"d" '' "#, &["a b", "c\"d", ""]),
            (r#"call x {"a":1}"#, &["call", "x", "{a:1}"]),
            (r#"call x '{"a":1}'"#, &["call", "x", r#"{"a":1}"#]),
        ] {
            assert_eq!(split(line).unwrap(), words, "{line}");
        }
        assert!(split("a 'b").is_err() && split("a\\").is_err());
        for word in ["a", "a b", "", r#"x"y\z'"#] {
            assert_eq!(split(&quoted(word)).unwrap(), [word]);
        }
    }
}
