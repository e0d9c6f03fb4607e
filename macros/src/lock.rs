//! What `etdi.lock` and `etdi.manifest.jws` beside the user's `Cargo.toml` say about a tool.
//!
//! Public files both; no key is ever read here. The lock is a small part of TOML, read line by line:
//! `tests/grammar/lock.txt` of the workspace holds the cases, which `etdi-core` runs as well.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What is locked about one tool.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Locked {
    pub(crate) version: String,
    pub(crate) digest: String,
    /// The lists, sorted; one that is not there is no list at all.
    pub(crate) lists: BTreeMap<String, Vec<String>>,
    pub(crate) max_call_depth: Option<u32>,
    pub(crate) require_request_signing: bool,
    pub(crate) require_approval_for_chains: bool,
}

/// The files beside the `Cargo.toml` of the crate that is compiled.
#[derive(Default)]
pub(crate) struct Files {
    /// The path and the text of the lock.
    pub(crate) lock: Option<(String, String)>,
    /// The path of the manifest.
    pub(crate) manifest: Option<String>,
    /// What is there and cannot be read, with what to do. It is never taken for nothing.
    pub(crate) faults: Vec<String>,
}

impl Files {
    /// Those that are there.
    pub(crate) fn find() -> Self {
        match std::env::var_os("CARGO_MANIFEST_DIR") {
            Some(directory) => Self::inside(Path::new(&directory)),
            None => Self::default(),
        }
    }

    fn inside(directory: &Path) -> Self {
        let mut faults = Vec::new();
        let mut read = |name: &str, again: &str| match text(&directory.join(name)) {
            Ok(found) => found,
            Err(why) => {
                faults.push(format!(
                    "`{name}` is there and cannot be read: {why}; restore it, or remove it and \
                     make it anew with `{again}`"
                ));
                None
            }
        };
        let lock = read("etdi.lock", "etdi lock");
        let manifest = read("etdi.manifest.jws", "etdi sign").map(|(path, _)| path);
        Self { lock, manifest, faults }
    }
}

/// The path of a file and what it says; none when nothing of that name is there.
fn text(path: &Path) -> Result<Option<(String, String)>, String> {
    // A link that leads nowhere is there.
    match path.symlink_metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        _ => {}
    }
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let path = path.to_str().ok_or("the name of its directory is no text")?;
    Ok(Some((path.to_owned(), text)))
}

/// What a lock says about a tool; what is wrong with the lock, with the number of the line.
pub(crate) fn find(text: &str, tool: &str) -> Result<Option<Locked>, String> {
    let mut found = None;
    let mut format = false;
    let mut current: Option<(String, Locked)> = None;
    let mut keys = BTreeSet::new();
    let mut take = |current: &mut Option<(String, Locked)>| {
        let Some((_, locked)) = current.take().filter(|(name, _)| name == tool) else {
            return Ok(());
        };
        match found.replace(locked) {
            None => Ok(()),
            Some(_) => Err(format!("`{tool}` is there twice")),
        }
    };
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if line == "[[tool]]" {
            take(&mut current)?;
            current = Some(Default::default());
            keys.clear();
            continue;
        }
        let read = line.split_once('=').and_then(|(key, value)| {
            let (key, value) = (key.trim(), item(value.trim())?);
            match &mut current {
                None => {
                    format |= key == "format" && value == Item::Number(1);
                    format.then_some(())
                }
                Some((name, locked)) => {
                    let first = keys.insert(key.to_owned());
                    locked.set(name, key, value).filter(|()| first)
                }
            }
        });
        read.ok_or_else(|| format!("line {} is not what `etdi lock` writes", index + 1))?;
    }
    take(&mut current)?;
    match format {
        true => Ok(found),
        false => Err("it has no `format = 1`".to_owned()),
    }
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
            ("require_approval_for_chains", Item::True) => self.require_approval_for_chains = true,
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

    #[test]
    fn what_is_there_and_cannot_be_read_is_not_nothing() {
        let directory = std::env::temp_dir().join(format!("etdi-macros-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let lock = directory.join("etdi.lock");
        let faults = || Files::inside(&directory).faults;
        assert!(faults().is_empty());
        std::fs::write(&lock, "format = 1\n").unwrap();
        std::fs::write(directory.join("etdi.manifest.jws"), "a.b.c").unwrap();
        let found = Files::inside(&directory);
        assert!(found.faults.is_empty() && found.lock.is_some() && found.manifest.is_some());

        std::fs::write(&lock, [0xff]).unwrap();
        let found = Files::inside(&directory);
        assert!(found.lock.is_none());
        assert!(found.faults[0].starts_with("`etdi.lock` is there and cannot be read: "));
        assert!(found.faults[0].ends_with("make it anew with `etdi lock`"));
        std::fs::remove_file(&lock).unwrap();
        std::fs::create_dir(&lock).unwrap();
        assert_eq!(faults().len(), 1);
        std::fs::remove_dir(&lock).unwrap();
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(directory.join("nowhere"), &lock).unwrap();
            assert_eq!(faults().len(), 1);
            std::fs::remove_file(&lock).unwrap();
        }
        std::fs::write(directory.join("etdi.manifest.jws"), [0xff]).unwrap();
        assert!(faults()[0].starts_with("`etdi.manifest.jws` is there"));
        std::fs::remove_dir_all(&directory).unwrap();
    }

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
        // A lock that was cut off, or put together by hand, does not count as one without the tool.
        assert_eq!(find("", "c").unwrap_err(), "it has no `format = 1`");
        assert_eq!(find(&lock[12..], "a").unwrap_err(), "it has no `format = 1`");
        let twice = lock.replace("\"b\"", "\"a\"");
        assert_eq!(find(&twice, "a").unwrap_err(), "`a` is there twice");
        let twice = lock.replace("name = \"b\"", "name = \"b\"\nname = \"c\"");
        assert_eq!(find(&twice, "c").unwrap_err(), "line 9 is not what `etdi lock` writes");
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
