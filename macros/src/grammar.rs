//! The grammars of names, permissions and versions, as compile errors.
//!
//! `tests/grammar/*.txt` of the workspace holds the cases; `etdi-core` runs the same ones.

/// Which rule a text breaks: a stable word, and what to do.
pub(crate) type Broken = (&'static str, &'static str);

/// A permission: two to eight segments of `a-z0-9_.-` joined by `:`, the last may be `*`.
pub(crate) fn permission(text: &str) -> Result<(), Broken> {
    if text.is_empty() {
        return Err(("empty", "write at least two segments such as `notes:read`"));
    }
    if text.len() > 128 {
        return Err(("too_long", "use at most 128 characters"));
    }
    let of_segments = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '_' | '.' | '-' | ':' | '*');
    if let Some(wrong) = text.chars().find(|c| !of_segments(*c)) {
        return Err(match wrong.is_ascii_uppercase() {
            true => ("uppercase", "write it in lower case"),
            false => ("character", "use only `a-z`, `0-9`, `_`, `.`, `-` and `:`"),
        });
    }
    let (before, last) = text.rsplit_once(':').unwrap_or(("", text));
    // The first segment that is wrong decides, so that two crates name the same reason.
    for segment in text.contains(':').then(|| before.split(':')).into_iter().flatten() {
        if segment.is_empty() {
            return Err(("empty_segment", "write something on both sides of each `:`"));
        }
        if segment.contains('*') {
            return Err(("star_not_last", "`*` can only be the whole last segment"));
        }
    }
    match last {
        "" => Err(("empty_segment", "write something on both sides of each `:`")),
        last if last != "*" && last.contains('*') => {
            Err(("star_not_last", "`*` can only be the whole last segment"))
        }
        _ => match text.split(':').count() {
            1 => Err(("one_segment", "write at least two segments such as `notes:read`")),
            2..=8 => Ok(()),
            _ => Err(("too_many_segments", "use at most 8 segments")),
        },
    }
}

/// A version: Semantic Versioning 2.0.0, at most 64 characters.
pub(crate) fn version(text: &str) -> Result<(), Broken> {
    if text.is_empty() {
        return Err(("empty", "write three numbers such as `1.0.0`"));
    }
    if text.len() > 64 {
        return Err(("too_long", "use at most 64 characters"));
    }
    let (rest, build) = match text.split_once('+') {
        Some((rest, build)) => (rest, Some(build)),
        None => (text, None),
    };
    let (numbers, pre) = match rest.split_once('-') {
        // A sign is no pre-release: `-1.2.3` has no number before it.
        Some(("", _)) => return Err(("number", "write three numbers such as `1.0.0`")),
        Some((numbers, pre)) => (numbers, Some(pre)),
        None => (rest, None),
    };
    let parts: Vec<_> = numbers.split('.').collect();
    if parts.len() != 3 || parts.contains(&"") {
        return Err(("parts", "write three numbers such as `1.0.0`"));
    }
    for part in parts {
        let digits = part.bytes().all(|byte| byte.is_ascii_digit());
        if digits && part.len() > 1 && part.starts_with('0') {
            return Err(("leading_zero", "leave the leading zero out"));
        }
        if !digits || part.parse::<u64>().is_err() {
            return Err(("number", "write three numbers such as `1.0.0`"));
        }
    }
    identifiers(pre, true)?;
    identifiers(build, false)
}

fn identifiers(part: Option<&str>, no_leading_zero: bool) -> Result<(), Broken> {
    for identifier in part.iter().flat_map(|part| part.split('.')) {
        let legal = identifier.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if identifier.is_empty() || !legal {
            return Err(("identifier", "write identifiers of `0-9A-Za-z-` such as `-rc.1`"));
        }
        let number = identifier.bytes().all(|byte| byte.is_ascii_digit());
        if no_leading_zero && number && identifier.len() > 1 && identifier.starts_with('0') {
            return Err(("leading_zero", "leave the leading zero out"));
        }
    }
    Ok(())
}

/// A tool's name: 1 to 128 of `A-Za-z0-9_.-` (specification, "Tool names").
pub(crate) fn tool_name(name: &str) -> Result<(), &'static str> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    match name {
        "" => Err("give it at least one character"),
        name if !name.bytes().all(allowed) => Err("use only A-Z, a-z, 0-9, `_`, `.` and `-`"),
        name if name.len() > 128 => Err("use at most 128 characters"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(table: &str, check: fn(&str) -> Result<(), Broken>) {
        let lines = table.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let mut count = 0;
        for line in lines {
            let (text, expected) = match line.strip_prefix("bad ") {
                Some(rest) => {
                    rest.rsplit_once(' ').map(|(text, reason)| (text, Err(reason))).unwrap()
                }
                None => (line.strip_prefix("ok ").unwrap(), Ok(())),
            };
            assert_eq!(check(text).map_err(|(reason, _)| reason), expected, "{line}");
            count += 1;
        }
        assert!(count > 20);
    }

    #[test]
    fn permissions() {
        run(include_str!("../../tests/grammar/permission.txt"), permission);
    }

    #[test]
    fn versions() {
        run(include_str!("../../tests/grammar/semver.txt"), version);
    }
}
