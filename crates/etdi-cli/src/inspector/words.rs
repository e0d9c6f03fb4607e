//! A command line in one word, taken apart as a shell would, without anything being replaced.

/// The words of a command line: apart by blanks, together in quotes, any character after `\`.
/// `None` where a quote does not end.
pub fn words(line: &str) -> Option<Vec<String>> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut characters = line.chars();
    while let Some(one) = characters.next() {
        match (quote, one) {
            (Some(end), one) if one == end => quote = None,
            (Some('\''), one) => word.get_or_insert_default().push(one),
            (_, '\\') => word.get_or_insert_default().push(characters.next()?),
            (Some(_), one) => word.get_or_insert_default().push(one),
            (None, '\'' | '"') => {
                quote = Some(one);
                word.get_or_insert_default();
            }
            (None, one) if one.is_whitespace() => words.extend(word.take()),
            (None, one) => word.get_or_insert_default().push(one),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn a_line_is_taken_apart() {
        for (line, expected) in [
            ("npx -y  server", &["npx", "-y", "server"][..]),
            (r#"'a b'c "d\"e" f\ g ''"#, &["a bc", "d\"e", "f g", ""]),
            ("  ", &[]),
            ("$HOME `x`", &["$HOME", "`x`"]),
        ] {
            assert_eq!(words(line).unwrap(), expected, "{line}");
        }
        assert!(words("'a").is_none() && words("a\\").is_none());
    }
}
