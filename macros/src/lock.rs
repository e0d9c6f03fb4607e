//! What `etdi.lock` and `etdi.manifest.jws` beside the user's `Cargo.toml` say about a tool.
//!
//! Public files both; no key is ever read here. The lock is a small part of TOML, read line by line:
//! `tests/grammar/lock.txt` of the workspace holds the cases, which `etdi-core` runs as well.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// What is locked about one tool.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Locked {
    pub(crate) version: String,
    pub(crate) digest: String,
    /// The lists, sorted; one that is not there is no list at all.
    pub(crate) lists: BTreeMap<String, Vec<String>>,
    pub(crate) max_call_depth: Option<u32>,
    pub(crate) require_request_signing: bool,
}

/// The files beside the `Cargo.toml` of the crate that is compiled.
#[derive(Default)]
pub(crate) struct Files {
    /// The path and the text of the lock.
    pub(crate) lock: Option<(String, String)>,
    /// The path of the manifest.
    pub(crate) manifest: Option<String>,
}

impl Files {
    /// Those that are there and can be read.
    pub(crate) fn find() -> Self {
        let Some(directory) = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from) else {
            return Self::default();
        };
        let path = |name| directory.join(name).to_str().map(str::to_owned);
        let lock = path("etdi.lock");
        let lock = lock.and_then(|path| Some((std::fs::read_to_string(&path).ok()?, path)));
        let manifest = path("etdi.manifest.jws").filter(|path| PathBuf::from(path).is_file());
        Self { lock: lock.map(|(text, path)| (path, text)), manifest }
    }
}

/// What a lock says about a tool; what is wrong with the lock, with the number of the line.
pub(crate) fn find(text: &str, tool: &str) -> Result<Option<Locked>, String> {
    let mut found = None;
    let mut current: Option<(String, Locked)> = None;
    let mut take = |current: &mut Option<(String, Locked)>| {
        if let Some((_, locked)) = current.take().filter(|(name, _)| name == tool) {
            found = Some(locked);
        }
    };
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if line == "[[tool]]" {
            take(&mut current);
            current = Some(Default::default());
            continue;
        }
        let read = line.split_once('=').and_then(|(key, value)| {
            let (key, value) = (key.trim(), item(value.trim())?);
            match &mut current {
                None => (key == "format" && value == Item::Number(1)).then_some(()),
                Some((name, locked)) => locked.set(name, key, value),
            }
        });
        read.ok_or_else(|| format!("line {} is not what `etdi lock` writes", index + 1))?;
    }
    take(&mut current);
    Ok(found)
}

impl Locked {
    fn set(&mut self, name: &mut String, key: &str, value: Item) -> Option<()> {
        match (key, value) {
            ("name", Item::Text(text)) => *name = text,
            ("version", Item::Text(text)) => self.version = text,
            ("digest", Item::Text(text)) => self.digest = text,
            ("id" | "schema", Item::Text(_)) => {}
            ("max_call_depth", Item::Number(number)) => self.max_call_depth = Some(number),
            ("require_request_signing", Item::True) => self.require_request_signing = true,
            ("require_approval_for_chains", Item::True) => {}
            (
                "permissions" | "optional" | "scopes" | "allowed_callers" | "allowed_callees"
                | "blocked_callers" | "blocked_callees",
                Item::List(mut list),
            ) => {
                list.sort();
                self.lists.insert(key.to_owned(), list);
            }
            _ => return None,
        }
        Some(())
    }
}

#[derive(PartialEq)]
enum Item {
    Text(String),
    List(Vec<String>),
    Number(u32),
    True,
}

fn item(text: &str) -> Option<Item> {
    if text == "true" {
        return Some(Item::True);
    }
    if text.starts_with('"') {
        let (value, rest) = quoted(text)?;
        return rest.is_empty().then_some(Item::Text(value));
    }
    let Some(mut rest) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) else {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        return text.parse().ok().filter(|_| digits).map(Item::Number);
    };
    let mut list = Vec::new();
    while !rest.is_empty() {
        let (value, after) = quoted(rest)?;
        list.push(value);
        rest = match after.strip_prefix(", ") {
            Some(next) if !next.is_empty() => next,
            None if after.is_empty() => after,
            _ => return None,
        };
    }
    Some(Item::List(list))
}

/// A string at the start of `text`, and what stands behind it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut rest = text.strip_prefix('"')?;
    loop {
        let next = rest.chars().next()?;
        rest = rest.get(next.len_utf8()..)?;
        let digits = match next {
            '"' => return Some((value, rest)),
            ' '..='~' if next != '\\' => {
                value.push(next);
                continue;
            }
            '\\' => match rest.chars().next()? {
                plain @ ('"' | '\\') => {
                    value.push(plain);
                    rest = rest.get(1..)?;
                    continue;
                }
                'u' => 4,
                'U' => 8,
                _ => return None,
            },
            _ => return None,
        };
        let code = rest.get(1..=digits)?;
        let hexadecimal = code.bytes().all(|byte| byte.is_ascii_hexdigit());
        value.push(char::from_u32(u32::from_str_radix(code, 16).ok().filter(|_| hexadecimal)?)?);
        rest = rest.get(1 + digits..)?;
    }
}

/// Whether a version comes after, is, or comes before another (Semantic Versioning 2.0.0, without
/// build metadata), both of which are versions.
pub(crate) fn compare(left: &str, right: &str) -> core::cmp::Ordering {
    use core::cmp::Ordering;
    let split = |text: &str| {
        let text = text.split('+').next().unwrap_or_default().to_owned();
        match text.split_once('-') {
            Some((core, pre)) => (numbers(core), Some(pre.to_owned())),
            None => (numbers(&text), None),
        }
    };
    let ((left, left_pre), (right, right_pre)) = (split(left), split(right));
    left.cmp(&right).then_with(|| match (left_pre, right_pre) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (Some(left), Some(right)) => identifiers(&left).cmp(&identifiers(&right)),
    })
}

/// The first of the three numbers.
pub(crate) fn major(version: &str) -> u64 {
    numbers(version).first().copied().unwrap_or_default()
}

fn numbers(text: &str) -> Vec<u64> {
    text.split('.').map(|part| part.parse().unwrap_or_default()).collect()
}

/// Numbers come before words; derived orders do just that.
fn identifiers(text: &str) -> Vec<Identifier> {
    let identifier = |part: &str| match part.parse::<u64>() {
        Ok(number) if part.bytes().all(|byte| byte.is_ascii_digit()) => Identifier::Number(number),
        _ => Identifier::Word(part.to_owned()),
    };
    text.split('.').map(identifier).collect()
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Identifier {
    Number(u64),
    Word(String),
}

#[cfg(test)]
mod tests {
    use core::cmp::Ordering::{Equal, Greater, Less};

    use super::*;

    /// etdi-core reads the same table.
    #[test]
    fn the_table_of_cases() {
        let table = include_str!("../../tests/grammar/lock.txt");
        let mut count = 0;
        for line in table.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (text, legal) = match line.strip_prefix("bad ") {
                Some(rest) => (rest.strip_suffix(" line").unwrap(), false),
                None => (line.strip_prefix("ok ").unwrap(), true),
            };
            let lock = format!("format = 1\n[[tool]]\nname = \"t\"\n{text}\n");
            assert_eq!(find(&lock, "t").is_ok(), legal, "{line}");
            count += 1;
        }
        assert!(count > 20);
    }

    #[test]
    fn the_tool_is_found_by_its_name() {
        let lock = "format = 1\n\n[[tool]]\nname = \"a\"\nversion = \"1.0.0\"\n\n[[tool]]\n\
                    name = \"b\"\nversion = \"2.0.0\"\nallowed_callees = [\"z\", \"\\u00FC\"]\n";
        assert_eq!(find(lock, "a").unwrap().unwrap().version, "1.0.0");
        let b = find(lock, "b").unwrap().unwrap();
        assert_eq!(b.lists["allowed_callees"], ["z", "ü"]);
        assert_eq!(find(lock, "c").unwrap(), None);
        assert_eq!(find("x", "c").unwrap_err(), "line 1 is not what `etdi lock` writes");
    }

    #[test]
    fn versions_are_ordered() {
        for (left, right, expected) in [
            ("1.0.0", "1.0.0", Equal),
            ("1.0.0+a", "1.0.0+b", Equal),
            ("1.9.0", "1.10.0", Less),
            ("2.0.0", "1.99.99", Greater),
            ("1.0.0-rc.1", "1.0.0", Less),
            ("1.0.0-rc.2", "1.0.0-rc.10", Less),
            ("1.0.0-1", "1.0.0-a", Less),
            ("1.0.0-a", "1.0.0-a.0", Less),
        ] {
            assert_eq!(compare(left, right), expected, "{left} {right}");
        }
    }
}
