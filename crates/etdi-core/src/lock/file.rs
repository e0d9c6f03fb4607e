//! The text of `etdi.lock`: lines of a small part of TOML.

use core::fmt;
use std::collections::BTreeMap;

use super::{Lock, LockedTool};
use crate::digest::Digest;
use crate::permission::Scope;
use crate::version::Version;
use crate::wire::{CallConstraints, RequestSigning};

/// The most bytes of a lock.
const MAX_LENGTH: usize = 16 << 20;

const HEAD: &str = "# What each tool promised under its version. Written by `etdi lock`, checked in, \
                    not edited.\nformat = 1\n";

impl fmt::Display for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HEAD)?;
        for (name, tool) in &self.tools {
            write!(f, "\n[[tool]]\nname = {}\n", Quoted(name))?;
            write_tool(f, tool)?;
        }
        Ok(())
    }
}

fn write_tool(f: &mut fmt::Formatter<'_>, tool: &LockedTool) -> fmt::Result {
    if let Some(id) = &tool.id {
        writeln!(f, "id = {}", Quoted(id))?;
    }
    writeln!(f, "version = \"{}\"", tool.version)?;
    writeln!(f, "digest = \"{}\"", tool.digest)?;
    writeln!(f, "schema = \"{}\"", tool.schema)?;
    let words = |scopes: &[Scope]| scopes.iter().map(Scope::to_string).collect::<Vec<_>>();
    let mut list = |key: &str, values: Option<&[String]>| match values {
        None => Ok(()),
        Some(values) => {
            write!(f, "{key} = [")?;
            for (index, value) in values.iter().enumerate() {
                let comma = if index == 0 { "" } else { ", " };
                write!(f, "{comma}{}", Quoted(value))?;
            }
            f.write_str("]\n")
        }
    };
    let call = &tool.call;
    list("permissions", Some(&words(&tool.permissions)))?;
    list("optional", Some(words(&tool.optional).as_slice()).filter(|list| !list.is_empty()))?;
    list("scopes", Some(tool.scopes.as_slice()).filter(|list| !list.is_empty()))?;
    list("allowed_callers", call.allowed_callers.as_deref())?;
    list("allowed_callees", call.allowed_callees.as_deref())?;
    list("blocked_callers", call.blocked_callers.as_deref())?;
    list("blocked_callees", call.blocked_callees.as_deref())?;
    if let Some(depth) = call.max_depth {
        writeln!(f, "max_call_depth = {depth}")?;
    }
    if call.require_approval_for_chains {
        f.write_str("require_approval_for_chains = true\n")?;
    }
    if tool.request_signing == RequestSigning::Required {
        f.write_str("require_request_signing = true\n")?;
    }
    Ok(())
}

/// A basic string of TOML.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                ' '..='~' => write!(f, "{c}")?,
                c if (c as u32) <= 0xFFFF => write!(f, "\\u{:04X}", c as u32)?,
                c => write!(f, "\\U{:08X}", c as u32)?,
            }
        }
        f.write_str("\"")
    }
}

/// A lock that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[error("line {line} of the lock: {what}; restore it, or write it anew with `etdi lock`")]
pub struct LockError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: String,
}

#[derive(Clone, Debug, PartialEq)]
enum Item {
    Text(String),
    List(Vec<String>),
    Number(u32),
    True,
}

pub(super) fn read(text: &str) -> Result<Lock, LockError> {
    if text.len() > MAX_LENGTH {
        return Err(LockError { line: 1, what: "it is longer than 16 MiB".to_owned() });
    }
    let mut lock = Lock::default();
    let mut format = false;
    let mut open: Option<(usize, BTreeMap<String, Item>)> = None;
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        let fail = |what: &str| LockError { line: number, what: what.to_owned() };
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if line == "[[tool]]" {
            if let Some((line, members)) = open.replace((number, BTreeMap::new())) {
                add(&mut lock, line, members)?;
            }
            continue;
        }
        let (key, value) = line.split_once('=').ok_or_else(|| fail("expected `key = value`"))?;
        let (key, value) = (key.trim(), item(value.trim()).ok_or_else(|| fail("no such value"))?);
        match &mut open {
            None if key == "format" && value == Item::Number(1) => format = true,
            None => return Err(fail("expected `format = 1` and then `[[tool]]`")),
            Some((_, members)) => {
                if members.insert(key.to_owned(), value).is_some() {
                    return Err(fail("the key is there twice"));
                }
            }
        }
    }
    if let Some((line, members)) = open {
        add(&mut lock, line, members)?;
    }
    match format {
        true => Ok(lock),
        false => Err(LockError { line: 1, what: "it has no `format = 1`".to_owned() }),
    }
}

fn add(lock: &mut Lock, line: usize, members: BTreeMap<String, Item>) -> Result<(), LockError> {
    let fail = |what: String| LockError { line, what };
    let mut members = Members { members, line };
    let name = members.text("name")?.ok_or_else(|| fail("the tool has no `name`".to_owned()))?;
    let mut needed =
        |key: &str| members.text(key)?.ok_or_else(|| fail(format!("`{name}` has no `{key}`")));
    let version: Version =
        needed("version")?.parse().map_err(|error| fail(format!("`version`: {error}")))?;
    let digest: Digest =
        needed("digest")?.parse().map_err(|error| fail(format!("`digest`: {error}")))?;
    let schema: Digest =
        needed("schema")?.parse().map_err(|error| fail(format!("`schema`: {error}")))?;
    let signed = members.flag("require_request_signing")?;
    let tool = LockedTool {
        id: members.text("id")?,
        version,
        digest,
        schema,
        permissions: members.scopes("permissions")?,
        optional: members.scopes("optional")?,
        scopes: members.list("scopes")?.unwrap_or_default(),
        call: CallConstraints {
            max_depth: members.number("max_call_depth")?,
            allowed_callers: members.list("allowed_callers")?,
            allowed_callees: members.list("allowed_callees")?,
            blocked_callers: members.list("blocked_callers")?,
            blocked_callees: members.list("blocked_callees")?,
            require_approval_for_chains: members.flag("require_approval_for_chains")?,
        },
        request_signing: if signed { RequestSigning::Required } else { RequestSigning::Optional },
    };
    if let Some(key) = members.members.keys().next() {
        return Err(fail(format!("`{}` is not known", key.escape_debug())));
    }
    match lock.tools.insert(name.clone(), tool) {
        None => Ok(()),
        Some(_) => Err(fail(format!("`{}` is there twice", name.escape_debug()))),
    }
}

/// The members of one tool, taken one by one.
struct Members {
    members: BTreeMap<String, Item>,
    line: usize,
}

impl Members {
    fn take<T>(
        &mut self,
        key: &str,
        read: impl FnOnce(Item) -> Option<T>,
    ) -> Result<Option<T>, LockError> {
        let Some(item) = self.members.remove(key) else { return Ok(None) };
        let what = format!("`{key}` has a value of another kind");
        read(item).map(Some).ok_or(LockError { line: self.line, what })
    }

    fn text(&mut self, key: &str) -> Result<Option<String>, LockError> {
        self.take(key, |item| if let Item::Text(text) = item { Some(text) } else { None })
    }

    fn list(&mut self, key: &str) -> Result<Option<Vec<String>>, LockError> {
        self.take(key, |item| if let Item::List(list) = item { Some(list) } else { None })
    }

    fn number(&mut self, key: &str) -> Result<Option<u32>, LockError> {
        self.take(key, |item| if let Item::Number(number) = item { Some(number) } else { None })
    }

    fn flag(&mut self, key: &str) -> Result<bool, LockError> {
        let flag = self.take(key, |item| (item == Item::True).then_some(()))?;
        Ok(flag.is_some())
    }

    fn scopes(&mut self, key: &str) -> Result<Vec<Scope>, LockError> {
        let scopes = self.list(key)?.unwrap_or_default();
        let line = self.line;
        let scope = |text: String| {
            text.parse().map_err(|error| LockError { line, what: format!("`{text}`: {error}") })
        };
        scopes.into_iter().map(scope).collect()
    }
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
    let mut chars = text.strip_prefix('"')?.chars();
    loop {
        match chars.next()? {
            '"' => return Some((value, chars.as_str())),
            '\\' => {
                let digits = match chars.next()? {
                    plain @ ('"' | '\\') => {
                        value.push(plain);
                        continue;
                    }
                    'u' => 4,
                    'U' => 8,
                    _ => return None,
                };
                let (code, rest) = chars.as_str().split_at_checked(digits)?;
                let hexadecimal = code.bytes().all(|byte| byte.is_ascii_hexdigit());
                let code = u32::from_str_radix(code, 16).ok().filter(|_| hexadecimal)?;
                value.push(char::from_u32(code)?);
                chars = rest.chars();
            }
            plain @ ' '..='~' => value.push(plain),
            _ => return None,
        }
    }
}
