//! A schema as a graph: subschemas, which of them apply at one place and which further in, and where
//! references lead. What it would come to written out is counted, never written out.

use std::borrow::Cow;
use std::collections::HashMap;

use super::super::tree::Node;

/// The most references that are followed.
pub(super) const REFERENCES: usize = 1_000;

/// One subschema.
pub(super) struct Subschema<'a> {
    pub(super) node: &'a Node<'a>,
    parent: usize,
    step: Cow<'a, str>,
    /// What applies to the same value.
    here: Vec<usize>,
    /// What applies to parts of the value.
    within: Vec<usize>,
}

/// The subschemas that can be reached from a schema, the schema itself first.
pub(super) struct Graph<'a> {
    pub(super) all: Vec<Subschema<'a>>,
    /// References that lead out of the schema, by the subschema that has them.
    pub(super) external: Vec<(usize, &'a str)>,
    /// References that lead nowhere.
    pub(super) dangling: Vec<(usize, &'a str)>,
    pub(super) references: usize,
    known: HashMap<*const Node<'a>, usize>,
}

/// Keywords with one schema, several, or one for each name; and whether they apply further in.
const ONE: [(&str, bool); 13] = [
    ("not", false),
    ("if", false),
    ("then", false),
    ("else", false),
    ("items", true),
    ("additionalItems", true),
    ("unevaluatedItems", true),
    ("contains", true),
    ("additionalProperties", true),
    ("unevaluatedProperties", true),
    ("propertyNames", true),
    ("contentSchema", true),
    ("extends", false),
];
const SEVERAL: [(&str, bool); 5] =
    [("allOf", false), ("anyOf", false), ("oneOf", false), ("prefixItems", true), ("items", true)];
const NAMED: [(&str, bool); 4] = [
    ("properties", true),
    ("patternProperties", true),
    ("dependentSchemas", false),
    ("dependencies", false),
];

impl<'a> Graph<'a> {
    pub(super) fn new(root: &'a Node<'a>) -> Self {
        let mut graph = Self {
            all: Vec::new(),
            external: Vec::new(),
            dangling: Vec::new(),
            references: 0,
            known: HashMap::new(),
        };
        let anchors = anchors(root);
        graph.add(root, 0, Cow::Borrowed(""));
        let mut at = 0;
        while let Some(node) = graph.all.get(at).map(|one| one.node) {
            graph.open(at, node, root, &anchors);
            at += 1;
        }
        graph
    }

    /// The place of a subschema, below the schema itself.
    pub(super) fn path(&self, mut at: usize) -> String {
        let mut steps = Vec::new();
        while let Some(one) = self.all.get(at).filter(|_| at != 0) {
            steps.push(&*one.step);
            at = one.parent;
        }
        steps.into_iter().rev().collect()
    }

    fn add(&mut self, node: &'a Node<'a>, parent: usize, step: Cow<'a, str>) -> usize {
        let next = self.all.len();
        let at = *self.known.entry(core::ptr::from_ref(node)).or_insert(next);
        if at == next {
            self.all.push(Subschema { node, parent, step, here: Vec::new(), within: Vec::new() });
        }
        at
    }

    fn link(&mut self, from: usize, to: usize, within: bool) {
        if let Some(one) = self.all.get_mut(from) {
            if within { one.within.push(to) } else { one.here.push(to) }
        }
    }

    fn open(
        &mut self,
        at: usize,
        node: &'a Node<'a>,
        root: &'a Node<'a>,
        anchors: &HashMap<&'a str, &'a Node<'a>>,
    ) {
        for (name, value) in node.members() {
            let name: &str = name;
            let step = |rest: &str| Cow::Owned(format!("/{name}{rest}"));
            if let Some((_, within)) = ONE.iter().find(|(one, _)| *one == name)
                && matches!(value, Node::Members(_))
            {
                let to = self.add(value, at, step(""));
                self.link(at, to, *within);
            }
            if let Some((_, within)) = SEVERAL.iter().find(|(one, _)| *one == name) {
                for (number, value) in value.list().iter().enumerate() {
                    let to = self.add(value, at, step(&format!("/{number}")));
                    self.link(at, to, *within);
                }
            }
            let named = NAMED.iter().find(|(one, _)| *one == name);
            if named.is_some() || matches!(name, "$defs" | "definitions") {
                for (key, value) in value.members() {
                    let key = key.replace('~', "~0").replace('/', "~1");
                    let to = self.add(value, at, step(&format!("/{key}")));
                    if let Some((_, within)) = named {
                        self.link(at, to, *within);
                    }
                }
            }
            if let ("$ref" | "$dynamicRef" | "$recursiveRef", Some(target)) = (name, value.text()) {
                self.references += 1;
                if self.references > REFERENCES {
                    continue;
                }
                let local = target.strip_prefix('#');
                let found = match local {
                    Some(local) if local.is_empty() || local.starts_with('/') => {
                        follow(root, local)
                    }
                    Some(local) => anchors.get(local).copied(),
                    None => anchors.get(target).copied(),
                };
                if local.is_none() && found.is_none() {
                    self.external.push((at, target));
                    continue;
                }
                let local = local.unwrap_or_default();
                match found {
                    Some(target) => {
                        let to = self.add(target, 0, Cow::Owned(local.to_owned()));
                        self.link(at, to, false);
                    }
                    None => self.dangling.push((at, target)),
                }
            }
        }
    }

    /// A subschema that applies to a value because it applies to the same value.
    pub(super) fn endless(&self) -> Option<usize> {
        let mut left: Vec<usize> = vec![0; self.all.len()];
        for to in self.all.iter().flat_map(|one| &one.here) {
            if let Some(count) = left.get_mut(*to) {
                *count += 1;
            }
        }
        let mut open: Vec<usize> =
            left.iter().enumerate().filter_map(|(at, count)| (*count == 0).then_some(at)).collect();
        while let Some(at) = open.pop() {
            for to in self.all.get(at).into_iter().flat_map(|one| &one.here) {
                if let Some(count) = left.get_mut(*to) {
                    *count -= 1;
                    if *count == 0 {
                        open.push(*to);
                    }
                }
            }
        }
        let round = |at: &usize| left.get(*at).is_some_and(|count| *count > 0);
        let mut left = (0..self.all.len()).filter(round);
        // What only follows a circle is left as well; what leads on within it is on one.
        left.find(|at| self.all.get(*at).is_some_and(|one| one.here.iter().any(round)))
    }

    /// How many subschemas there would be if each reference were replaced by what it leads to, what
    /// leads back to where it stands left out; and how many lead back.
    pub(super) fn written_out(&self) -> (u64, usize) {
        let mut totals: Vec<Option<u64>> = vec![None; self.all.len()];
        let mut under_way = vec![false; self.all.len()];
        let mut back = 0;
        let mut open: Vec<(usize, bool)> = vec![(0, false)];
        while let Some((at, done)) = open.pop() {
            let Some(one) = self.all.get(at) else { continue };
            let next = || one.here.iter().chain(&one.within);
            if done {
                let of = |to: &usize| totals.get(*to).copied().flatten().unwrap_or_default();
                let total = next().map(of).fold(1, u64::saturating_add);
                if let (Some(slot), Some(under_way)) = (totals.get_mut(at), under_way.get_mut(at)) {
                    *slot = Some(total);
                    *under_way = false;
                }
                continue;
            }
            let known = totals.get(at).is_some_and(Option::is_some);
            if known || under_way.get(at) == Some(&true) {
                continue;
            }
            if let Some(under_way) = under_way.get_mut(at) {
                *under_way = true;
            }
            open.push((at, true));
            for to in next() {
                match under_way.get(*to) {
                    Some(true) => back += 1,
                    _ => open.push((*to, false)),
                }
            }
        }
        (totals.first().copied().flatten().unwrap_or_default(), back)
    }
}

/// The value that a JSON pointer in a fragment leads to.
fn follow<'a>(root: &'a Node<'a>, pointer: &str) -> Option<&'a Node<'a>> {
    let mut node = root;
    for step in pointer.split('/').skip(1) {
        let step = percent(step).replace("~1", "/").replace("~0", "~");
        node = match node {
            Node::List(list) => list.get(step.parse::<usize>().ok()?)?,
            node => node.get(&step)?,
        };
    }
    Some(node)
}

fn percent(step: &str) -> String {
    let mut parts = step.split('%');
    let mut out = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        match part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                out.extend(part.as_bytes().iter().skip(2));
            }
            None => {
                out.push(b'%');
                out.extend(part.as_bytes());
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The places that have a name of their own.
fn anchors<'a>(root: &'a Node<'a>) -> HashMap<&'a str, &'a Node<'a>> {
    let mut anchors = HashMap::new();
    let mut open = vec![root];
    while let Some(node) = open.pop() {
        for (name, value) in node.members() {
            if let ("$anchor" | "$dynamicAnchor" | "$id" | "id", Some(text)) =
                (&**name, value.text())
            {
                let plain = if name.ends_with("id") { text.strip_prefix('#') } else { None };
                anchors.entry(plain.unwrap_or(text)).or_insert(node);
            }
            open.push(value);
        }
        open.extend(node.list());
    }
    anchors
}
