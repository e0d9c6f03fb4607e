//! The four kinds of text that a form can ask for.

/// An address as mail programs take them: something, `@`, a domain (RFC 5321, section 4.1.2, less
/// its quoted forms).
pub(super) fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let word = |text: &str| {
        !text.is_empty()
            && text.chars().all(|c| !c.is_whitespace() && !c.is_control())
            && !text.contains(['@', '<', '>', '(', ')', ',', ';', ':', '"', '\\', '[', ']'])
    };
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_alphanumeric() || c == '-')
    };
    local.len() <= 64
        && word(local)
        && !local.starts_with('.')
        && !local.ends_with('.')
        && domain.len() <= 255
        && domain.split('.').all(label)
}

/// A scheme, a colon, and something that needs no escaping (RFC 3986, section 3).
pub(super) fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let begins = scheme.starts_with(|c: char| c.is_ascii_alphabetic());
    let named = scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    let plain = |c: char| c.is_ascii_graphic() && !"\"<>\\^`{|}".contains(c);
    begins && named && !rest.is_empty() && rest.chars().all(plain)
}

/// `2026-07-28` (RFC 3339, section 5.6).
pub(super) fn is_date(text: &str) -> bool {
    let mut parts = text.split('-');
    let (year, month, day) = (parts.next(), parts.next(), parts.next());
    if parts.next().is_some() {
        return false;
    }
    let (Some(year), Some(month), Some(day)) = (digits(year, 4), digits(month, 2), digits(day, 2))
    else {
        return false;
    };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return false,
    };
    (1..=days).contains(&day)
}

/// `2026-07-28T12:00:00.5+02:00` (RFC 3339, section 5.6).
pub(super) fn is_date_time(text: &str) -> bool {
    let Some((date, time)) = text.split_once(['T', 't']) else { return false };
    let (time, zone) = match time.strip_suffix(['Z', 'z']) {
        Some(time) => (time, "+00:00"),
        None => match time.rfind(['+', '-']).and_then(|at| time.split_at_checked(at)) {
            Some((time, zone)) => (time, zone),
            None => return false,
        },
    };
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let fraction_fits = !fraction.is_empty() && fraction.bytes().all(|b| b.is_ascii_digit());
    is_date(date)
        && clock(time, &[23, 59, 60])
        && fraction_fits
        && zone.get(1..).is_some_and(|zone| clock(zone, &[23, 59]))
}

fn clock(text: &str, most: &[u32]) -> bool {
    let mut parts = text.split(':');
    let fits = most.iter().all(|most| digits(parts.next(), 2).is_some_and(|given| given <= *most));
    fits && parts.next().is_none()
}

fn digits(text: Option<&str>, count: usize) -> Option<u32> {
    let text = text.filter(|text| text.len() == count && text.bytes().all(|b| b.is_ascii_digit()));
    text?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_told_apart() {
        for (text, fits) in [
            ("ada@example.com", true),
            ("a.b+c@x.y-z.org", true),
            ("ada@localhost", true),
            ("jürgen@bücher.example", true),
            ("ada", false),
            ("@example.com", false),
            ("ada@", false),
            ("a b@example.com", false),
            ("ada@example..com", false),
            ("ada@-x.com", false),
            ("a@b@c", false),
            ("ada@x.com\r\nbcc:eve@x.com", false),
        ] {
            assert_eq!(is_email(text), fits, "{text}");
        }
        for (text, fits) in [
            ("https://example.com/a?b#c", true),
            ("mailto:ada@example.com", true),
            ("urn:isbn:1", true),
            ("example.com", false),
            ("//example.com", false),
            ("1http://x", false),
            ("https://a b", false),
            ("https:", false),
        ] {
            assert_eq!(is_uri(text), fits, "{text}");
        }
        for (text, fits) in [
            ("2026-07-28", true),
            ("2024-02-29", true),
            ("2026-02-29", false),
            ("1900-02-29", false),
            ("2000-02-29", true),
            ("2026-7-28", false),
            ("2026-13-01", false),
            ("2026-00-01", false),
            ("2026-01-00", false),
            ("2026-04-31", false),
            ("2026-01-01-01", false),
            ("28.07.2026", false),
        ] {
            assert_eq!(is_date(text), fits, "{text}");
        }
        for (text, fits) in [
            ("2026-07-28T12:00:00Z", true),
            ("2026-07-28t12:00:00.25z", true),
            ("2026-12-31T23:59:60+02:00", true),
            ("2026-07-28T12:00:00-11:30", true),
            ("2026-07-28T12:00:00", false),
            ("2026-07-28 12:00:00Z", false),
            ("2026-07-28T24:00:00Z", false),
            ("2026-07-28T12:00Z", false),
            ("2026-07-28T12:00:00.Z", false),
            ("2026-07-28T12:00:00+2", false),
        ] {
            assert_eq!(is_date_time(text), fits, "{text}");
        }
    }
}
