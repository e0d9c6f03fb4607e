//! The walk over two definitions, and the collector of differences.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fmt::Write;

use serde_json::{Map, Value};

use super::visible::{has_hidden, visible};
use super::{Change, ChangeKind, Changes, Gravity, MAX_CHANGES, block, schema};

type Object = Map<String, Value>;

/// Compares two whole tools.
pub(super) fn definitions(before: &Object, after: &Object) -> Changes {
    let mut walk = Walk::default();
    for key in keys(before, after) {
        let (old, new) = (before.get(key), after.get(key));
        if old == new {
            continue;
        }
        let compare = |walk: &mut Walk| match key {
            "name" => walk.push(ChangeKind::NameChanged, old, new, Gravity::Alarm),
            "title" | "description" => walk.text(old, new),
            "inputSchema" => schema::whole(walk, schema::Side::Input, old, new),
            "outputSchema" => schema::whole(walk, schema::Side::Output, old, new),
            "annotations" => annotations(walk, old, new),
            "icons" => {
                let gravity = if new.is_none() { Gravity::Notable } else { Gravity::Powerful };
                walk.push(ChangeKind::IconsChanged, old, new, gravity);
            }
            "_meta" => block::meta(walk, old, new),
            _ => walk.member(ChangeKind::MemberChanged, old, new),
        };
        walk.inside(key, |walk| match (key, old, new) {
            // Much of it is outside the digest.
            ("_meta", Some(_), Some(_)) => compare(walk),
            _ => walk.noting(ChangeKind::MemberChanged, old, new, compare),
        });
    }
    block::version(&mut walk, before, after);
    walk.finish()
}

/// All keys of two objects, each once, in order.
pub(super) fn keys<'a>(before: &'a Object, after: &'a Object) -> BTreeSet<&'a str> {
    before.keys().chain(after.keys()).map(String::as_str).collect()
}

/// What has been found, and where the walk stands.
#[derive(Default)]
pub(super) struct Walk {
    path: Vec<Segment>,
    found: Changes,
}

enum Segment {
    Key(String),
    Index(usize),
}

impl Walk {
    /// Adds to what was found elsewhere.
    pub(super) fn onward(found: Changes) -> Self {
        Self { path: Vec::new(), found }
    }

    /// Runs `step` one member deeper.
    pub(super) fn inside(&mut self, key: &str, step: impl FnOnce(&mut Self)) {
        self.path.push(Segment::Key(key.to_owned()));
        step(self);
        self.path.pop();
    }

    /// Runs `step` one element deeper.
    pub(super) fn at(&mut self, index: usize, step: impl FnOnce(&mut Self)) {
        self.path.push(Segment::Index(index));
        step(self);
        self.path.pop();
    }

    /// Runs `step`; what it says nothing about is another way to write the same, such as `{}` in
    /// the place of nothing. The digest is another one all the same.
    pub(super) fn noting(
        &mut self,
        kind: ChangeKind,
        before: Option<&Value>,
        after: Option<&Value>,
        step: impl FnOnce(&mut Self),
    ) {
        let noted = |walk: &Self| walk.found.list.len() + walk.found.omitted;
        let earlier = noted(self);
        step(self);
        if noted(self) == earlier {
            self.push(kind, before, after, Gravity::Cosmetic);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.list.is_empty()
    }

    /// Notes a difference. Hidden characters in the new value, or in the name of what appeared,
    /// make it an alarm.
    pub(super) fn push(
        &mut self,
        kind: ChangeKind,
        before: Option<&Value>,
        after: Option<&Value>,
        gravity: Gravity,
    ) {
        let hidden_name = match self.path.last() {
            Some(Segment::Key(key)) => before.is_none() && has_hidden(key),
            _ => false,
        };
        let hidden = hidden_name || after.is_some_and(hides);
        let gravity = if hidden { Gravity::Alarm } else { gravity };
        self.found.gravity = self.found.gravity.max(Some(gravity));
        if self.found.list.len() >= MAX_CHANGES {
            self.found.omitted += 1;
            return;
        }
        self.found.list.push(Change {
            path: self.path(),
            kind,
            before: before.cloned(),
            after: after.cloned(),
            gravity,
        });
    }

    /// A member whose meaning is not known. One that goes may have been what kept something out,
    /// so it is asked about like one that comes.
    pub(super) fn member(
        &mut self,
        kind: ChangeKind,
        before: Option<&Value>,
        after: Option<&Value>,
    ) {
        self.push(kind, before, after, Gravity::Powerful);
    }

    /// A text that the model or the user reads.
    pub(super) fn text(&mut self, before: Option<&Value>, after: Option<&Value>) {
        let gravity = match (before, after) {
            (_, None) => Gravity::Notable,
            (Some(Value::String(old)), Some(Value::String(new))) if same_words(old, new) => {
                Gravity::Cosmetic
            }
            _ => Gravity::Powerful,
        };
        self.push(ChangeKind::TextChanged, before, after, gravity);
    }

    fn path(&self) -> String {
        let mut path = String::new();
        for segment in &self.path {
            // Writing to a string cannot fail.
            let _ = match segment {
                Segment::Index(index) => write!(path, "[{index}]"),
                Segment::Key(key) if !is_plain(key) => {
                    let quoted = Value::String(key.clone()).to_string();
                    write!(path, "[{}]", visible(&quoted))
                }
                Segment::Key(key) if path.is_empty() => write!(path, "{key}"),
                Segment::Key(key) => write!(path, ".{key}"),
            };
        }
        path
    }

    pub(super) fn finish(mut self) -> Changes {
        // A stable sort: within one gravity the order of the definition stays.
        self.found.list.sort_by_key(|change| Reverse(change.gravity));
        self.found
    }
}

/// The hints of the specification and what a missing one means.
const HINTS: [(&str, bool); 4] = [
    ("readOnlyHint", false),
    ("destructiveHint", true),
    ("idempotentHint", false),
    ("openWorldHint", true),
];

/// A hint may widen what the tool does (`readOnlyHint` true to false) or lull the host into asking
/// less (false to true), so each flip is powerful, except a tool that gives up being idempotent.
fn annotations(walk: &mut Walk, before: Option<&Value>, after: Option<&Value>) {
    let empty = Object::new();
    let (Some(old), Some(new)) = (object_or(before, &empty), object_or(after, &empty)) else {
        return walk.member(ChangeKind::AnnotationChanged, before, after);
    };
    for name in keys(old, new) {
        let (old, new) = (old.get(name), new.get(name));
        if old == new {
            continue;
        }
        let hint = HINTS.iter().find(|(hint, _)| *hint == name);
        walk.inside(name, |walk| match hint {
            None if name == "title" => walk.text(old, new),
            None => walk.member(ChangeKind::AnnotationChanged, old, new),
            Some((_, default)) => {
                let is = |value: Option<&Value>| value.map_or(Some(*default), Value::as_bool);
                let gravity = match (is(old), is(new)) {
                    (Some(old), Some(new)) if old == new => Gravity::Cosmetic,
                    (Some(true), Some(false)) if name == "idempotentHint" => Gravity::Notable,
                    _ => Gravity::Powerful,
                };
                walk.push(ChangeKind::AnnotationChanged, old, new, gravity);
            }
        });
    }
}

/// The object, `empty` where there is no value, and `None` for a value that is no object.
pub(super) fn object_or<'a>(value: Option<&'a Value>, empty: &'a Object) -> Option<&'a Object> {
    match value {
        None => Some(empty),
        Some(value) => value.as_object(),
    }
}

fn same_words(before: &str, after: &str) -> bool {
    let words = |text: &str| -> Vec<String> {
        text.split([' ', '\n', '\r', '\t'])
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect()
    };
    words(before) == words(after)
}

fn hides(value: &Value) -> bool {
    match value {
        Value::String(text) => has_hidden(text),
        Value::Array(elements) => elements.iter().any(hides),
        Value::Object(members) => {
            members.iter().any(|(key, value)| has_hidden(key) || hides(value))
        }
        _ => false,
    }
}

fn is_plain(key: &str) -> bool {
    !key.is_empty()
        && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '$'))
}
