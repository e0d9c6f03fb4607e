//! One shape for what stands in JSON, TOML and YAML: values, and values with the place where they stand.

use std::ops::Range;

/// A value of a configuration file. Members keep their order; equality does not look at it.
#[derive(Clone, Debug)]
pub enum Value {
    /// Nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number as it is written.
    Number(String),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Value>),
    /// Named members, in order.
    Map(Vec<(String, Value)>),
}

impl Value {
    /// A text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A list of texts.
    pub fn texts<S: AsRef<str>>(texts: &[S]) -> Self {
        Self::List(texts.iter().map(|text| Self::text(text.as_ref())).collect())
    }

    /// A map of texts.
    pub fn pairs(pairs: &[(String, String)]) -> Self {
        Self::Map(pairs.iter().map(|(name, value)| (name.clone(), Self::text(value))).collect())
    }

    /// The member of this name; the last one, as most readers of JSON have it.
    pub fn get(&self, name: &str) -> Option<&Self> {
        self.members().iter().rev().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// The members; none for what is no map.
    pub fn members(&self) -> &[(String, Self)] {
        match self {
            Self::Map(members) => members,
            _ => &[],
        }
    }

    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A text, a number or a truth value as text.
    pub fn scalar(&self) -> Option<String> {
        match self {
            Self::Text(text) | Self::Number(text) => Some(text.clone()),
            Self::Bool(is) => Some(is.to_string()),
            _ => None,
        }
    }

    /// The same for `serde_json`. A number that JSON cannot hold becomes a text.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match self {
            Self::Null => Json::Null,
            Self::Bool(is) => Json::Bool(*is),
            Self::Number(text) => text
                .parse::<serde_json::Number>()
                .map_or_else(|_| text.clone().into(), Json::Number),
            Self::Text(text) => Json::String(text.clone()),
            Self::List(values) => values.iter().map(Self::to_json).collect(),
            Self::Map(members) => {
                members.iter().map(|(name, value)| (name.clone(), value.to_json())).collect()
            }
        }
    }

    /// Sets the member at a path of names; maps are made on the way. What is no map on the way is
    /// replaced.
    pub fn set(&mut self, path: &[String], value: Self) {
        let Some((name, rest)) = path.split_first() else {
            *self = value;
            return;
        };
        if !matches!(self, Self::Map(_)) {
            *self = Self::Map(Vec::new());
        }
        let Self::Map(members) = self else { return };
        match members.iter_mut().rev().find(|(key, _)| key == name) {
            Some((_, member)) => member.set(rest, value),
            None => {
                let mut member = Self::Map(Vec::new());
                member.set(rest, value);
                members.push((name.clone(), member));
            }
        }
    }

    /// Takes the member at a path of names out, if it is there.
    pub fn remove(&mut self, path: &[String]) -> Option<Self> {
        let (name, rest) = path.split_first()?;
        let Self::Map(members) = self else { return None };
        let at = members.iter().rposition(|(key, _)| key == name)?;
        match rest.is_empty() {
            true => Some(members.remove(at).1),
            false => members.get_mut(at)?.1.remove(rest),
        }
    }

    /// The value at a path of names.
    pub fn at(&self, path: &[String]) -> Option<&Self> {
        path.iter().try_fold(self, |value, name| value.get(name))
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.to_json() == other.to_json()
    }
}

/// A value, and where it stands in its text.
#[derive(Clone, Debug)]
pub struct Node {
    /// The bytes of the text that it takes. Empty for what has no place of its own, such as a TOML
    /// table that is only named by its children.
    pub span: Range<usize>,
    /// What it is.
    pub kind: Kind,
}

/// What a [`Node`] is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// A text, a number, a truth value or nothing.
    Scalar(Value),
    /// A list.
    List(Vec<Node>),
    /// Named members.
    Map(Vec<Member>),
}

/// A named member of a map.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// The bytes of its name, quotes included.
    pub name_span: Range<usize>,
    /// Its value.
    pub node: Node,
}

impl Node {
    /// The value without its place.
    pub fn value(&self) -> Value {
        match &self.kind {
            Kind::Scalar(value) => value.clone(),
            Kind::List(nodes) => Value::List(nodes.iter().map(Self::value).collect()),
            Kind::Map(members) => {
                Value::Map(members.iter().map(|one| (one.name.clone(), one.node.value())).collect())
            }
        }
    }

    /// The members; none for what is no map.
    pub fn members(&self) -> &[Member] {
        match &self.kind {
            Kind::Map(members) => members,
            _ => &[],
        }
    }

    /// The last member of this name.
    pub fn member(&self, name: &str) -> Option<&Member> {
        self.members().iter().rev().find(|member| member.name == name)
    }

    /// The member at a path of names.
    pub fn at(&self, path: &[String]) -> Option<&Member> {
        let (last, way) = path.split_last()?;
        let parent = way.iter().try_fold(self, |node, name| Some(&node.member(name)?.node))?;
        parent.member(last)
    }
}

/// The line of a byte, counted from 1.
pub fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}
