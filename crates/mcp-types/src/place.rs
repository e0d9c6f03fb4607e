//! From the place where a reader stopped to the path of the member that stands there.

/// One container around a place.
enum Around {
    /// An object, with the text of the member's name once it was read.
    Object(Option<String>),
    /// A list, with the place of the element.
    List(usize),
}

/// The offset in bytes of a line and column as serde_json counts them.
pub(crate) fn offset(text: &str, line: usize, column: usize) -> usize {
    let before: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    before + column
}

/// The path of the value that ends at `offset`, or around it; empty for the whole text.
///
/// The text is JSON at least until there: a reader has come so far.
pub(crate) fn path_at(text: &str, offset: usize) -> String {
    let bytes = text.as_bytes();
    let (mut around, mut at) = (Vec::new(), 0);
    while let Some(byte) = bytes.get(at).filter(|_| at < offset) {
        let end = match byte {
            b'{' => {
                around.push(Around::Object(None));
                at += 1;
                continue;
            }
            b'[' => {
                around.push(Around::List(0));
                at += 1;
                continue;
            }
            b',' => {
                match around.last_mut() {
                    Some(Around::Object(name)) => *name = None,
                    Some(Around::List(index)) => *index += 1,
                    None => {}
                }
                at += 1;
                continue;
            }
            b':' | b' ' | b'\t' | b'\n' | b'\r' => {
                at += 1;
                continue;
            }
            b'}' | b']' => {
                around.pop();
                at + 1
            }
            b'"' => {
                let end = string_end(bytes, at);
                if let Some(Around::Object(name @ None)) = around.last_mut() {
                    let quoted = text.get(at..end).unwrap_or_default();
                    *name =
                        Some(serde_json::from_str(quoted).unwrap_or_else(|_| quoted.to_owned()));
                    at = end;
                    continue;
                }
                end
            }
            _ => {
                let rest = bytes.get(at..).unwrap_or_default();
                let ends =
                    |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r');
                at + rest.iter().position(ends).unwrap_or(rest.len())
            }
        };
        if end >= offset {
            break;
        }
        at = end;
    }
    written(&around)
}

/// Just behind the closing quote of the string that begins at `start`.
fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    at
}

fn written(around: &[Around]) -> String {
    let mut path = String::new();
    for container in around {
        match container {
            Around::Object(Some(name)) if path.is_empty() => path.push_str(name),
            Around::Object(Some(name)) => {
                path.push('.');
                path.push_str(name);
            }
            Around::Object(None) => {}
            Around::List(index) => path.push_str(&format!("[{index}]")),
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_that_of_the_value_that_ends_there() {
        let text = r#"{"a": [1, {"b\"}": true}], "c": {"d": "x,y"}, "e": null}"#;
        let after = |part: &str| text.find(part).unwrap() + part.len();
        for (part, path) in [
            ("1", "a[0]"),
            ("true", "a[1].b\"}"),
            ("true}", "a[1]"),
            ("}]", "a"),
            ("\"x,y\"", "c.d"),
            ("null", "e"),
            ("null}", ""),
        ] {
            assert_eq!(path_at(text, after(part)), path, "after {part}");
        }
        assert_eq!(path_at("[1,\n 2]", offset("[1,\n 2]", 2, 2)), "[1]");
    }
}
