//! Members of a file that are what they must be, or an error with the line where they are not.

use std::path::{Path, PathBuf};

use etdi::core::change::visible;
use etdi_clients::{Config, Kind, Member, Value};

use super::file::kind;
use crate::arguments::nearest;
use crate::exit::Failure;
use crate::verbs::target::shown_path;

/// A file that is read.
pub(super) struct Reader<'c> {
    config: &'c Config,
    path: &'c Path,
}

impl<'c> Reader<'c> {
    pub(super) fn new(config: &'c Config, path: &'c Path) -> Self {
        Self { config, path }
    }

    pub(super) fn line(&self, at: usize) -> usize {
        self.config.line(at)
    }

    /// What is wrong at a byte.
    pub(super) fn fail(&self, at: usize, why: &str) -> Failure {
        self.fail_at(self.line(at), why)
    }

    /// What is wrong in a line.
    pub(super) fn fail_at(&self, line: usize, why: &str) -> Failure {
        let path = shown_path(self.path);
        let message = format!("line {line} of {path}: {why}");
        let next = format!("cat {path}");
        Failure::usage(message, next).with_code("GATEWAY_FILE")
    }

    /// A file or folder that is named there: what is not absolute lies beside the file.
    pub(super) fn beside(&self, name: &str) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(name)
    }

    /// The members of a table, all of which are known.
    pub(super) fn table<'t>(
        &'t self,
        member: &'t Member,
        place: &str,
        known: &[&str],
    ) -> Result<Table<'t>, Failure> {
        let at = member.name_span.start;
        if !matches!(member.node.kind, Kind::Map(_)) {
            let is = kind(&member.node.kind);
            return Err(self.fail(at, &format!("`{place}` must be a table, and is {is}")));
        }
        for one in member.node.members() {
            if !known.contains(&one.name.as_str()) {
                let hint = match nearest(&one.name, known.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("it takes {}", known.join(", ")),
                };
                let why = format!("`{place}` takes no `{}`: {hint}", visible(&one.name));
                return Err(self.fail(one.name_span.start, &why));
            }
        }
        Ok(Table { of: Some((self, member)), place: place.to_owned() })
    }
}

/// A table of a file; without one all members are absent.
#[derive(Default)]
pub(super) struct Table<'t> {
    of: Option<(&'t Reader<'t>, &'t Member)>,
    place: String,
}

impl<'t> Table<'t> {
    /// A member that is there, and is not nothing.
    pub(super) fn get(&self, name: &str) -> Option<&'t Member> {
        let (_, table) = self.of?;
        let member = table.node.member(name)?;
        Some(member).filter(|one| !matches!(one.node.kind, Kind::Scalar(Value::Null)))
    }

    /// What is wrong with a member: what it must be.
    pub(super) fn wrong(&self, name: &str, must: &str) -> Failure {
        let why = format!("`{}.{name}` must be {must}", self.place);
        match (self.of, self.get(name)) {
            (Some((reader, _)), Some(member)) => {
                let is = kind(&member.node.kind);
                let value = match &member.node.kind {
                    Kind::Scalar(value) => value.scalar().unwrap_or_default(),
                    _ => String::new(),
                };
                let shown: String = value.chars().take(64).collect();
                let is = match shown.is_empty() {
                    true => is.to_owned(),
                    false => format!("`{}`", visible(&shown)),
                };
                reader.fail(member.name_span.start, &format!("{why}, and is {is}"))
            }
            _ => Failure::usage(why, "etdi gateway --help"),
        }
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<String>, Failure> {
        let Some(member) = self.get(name) else { return Ok(None) };
        match &member.node.kind {
            Kind::Scalar(Value::Text(text)) if !text.is_empty() => Ok(Some(text.clone())),
            _ => Err(self.wrong(name, "a text")),
        }
    }

    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, Failure> {
        let Some(member) = self.get(name) else { return Ok(None) };
        match member.node.kind {
            Kind::Scalar(Value::Bool(flag)) => Ok(Some(flag)),
            _ => Err(self.wrong(name, "true or false")),
        }
    }

    pub(super) fn number(&self, name: &str) -> Result<Option<u32>, Failure> {
        let Some(member) = self.get(name) else { return Ok(None) };
        let number = match &member.node.kind {
            Kind::Scalar(Value::Number(number)) => number.parse().ok(),
            _ => None,
        };
        number.map(Some).ok_or_else(|| self.wrong(name, "a whole number up to 4294967295"))
    }

    /// A list of texts; one text is a list of one.
    pub(super) fn texts(&self, name: &str) -> Result<Vec<String>, Failure> {
        let Some(member) = self.get(name) else { return Ok(Vec::new()) };
        let texts = match &member.node.kind {
            Kind::Scalar(Value::Text(text)) => Some(vec![text.clone()]),
            Kind::List(nodes) => nodes
                .iter()
                .map(|node| match &node.kind {
                    Kind::Scalar(Value::Text(text)) => Some(text.clone()),
                    _ => None,
                })
                .collect(),
            _ => None,
        };
        texts.ok_or_else(|| self.wrong(name, "a list of texts"))
    }
}
