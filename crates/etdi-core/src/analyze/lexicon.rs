//! Words and phrases, by what they do in a sentence. The lists are data in `lexicon/`, a file for each
//! language; one pass over a text finds all of them.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind};

/// What a phrase does. Each class is one bit of a mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Class {
    /// Makes an order: "must", "please".
    Order,
    /// Puts acts in an order: "after each", "first".
    First,
    /// Puts an act before whatever else the model does.
    Before,
    /// Addresses the model.
    Model,
    /// Speaks of the user.
    User,
    Negation,
    /// Tells somebody something.
    Tell,
    /// Keeps something from somebody.
    Hush,
    /// Asks for consent.
    Ask,
    /// Goes without consent.
    Bypass,
    /// Sets other instructions aside.
    Override,
    /// Says what is not so.
    False,
    Read,
    Put,
    Send,
    Run,
    Change,
    Destroy,
    /// A sensitive file.
    Path,
    /// A secret.
    Secret,
    /// What was said in the conversation, to the model or by it.
    Talk,
    /// Personal data.
    Person,
    /// Other tools, or whatever the model does.
    Tools,
    /// All of something, word for word.
    Total,
    /// Why it is said to be necessary.
    Pretext,
    /// Who is said to want it.
    Policy,
    /// Protects the user.
    Protect,
    /// Markup that pretends to be more than text.
    Markup,
    Command,
    /// Somebody who receives a copy.
    Recipient,
    /// An argument that is there to carry things out.
    Shape,
    Prefer,
    Exclusive,
    Disparage,
    Advert,
    /// What somebody does: "reads", "sends". Of the tool it is a description, of the model an order.
    Third,
    /// What may be sensitive, where it is asked for in a way that is.
    Weak,
    /// A parameter's name that is filled with what it is named for.
    Name,
    /// What of a call can be tampered with: recipient, amount, path.
    Target,
    /// Hangs an act on another one: "when you call", "in every".
    Hook,
    /// Sets something aside, and what is set aside: rules, instructions, restrictions.
    Waive,
    Rules,
    /// What attackers call what they do.
    Hostile,
    /// Words that mean something harmless together.
    Mask,
}

const CLASSES: [(&str, Class); 44] = [
    ("order", Class::Order),
    ("first", Class::First),
    ("before", Class::Before),
    ("model", Class::Model),
    ("user", Class::User),
    ("neg", Class::Negation),
    ("tell", Class::Tell),
    ("hush", Class::Hush),
    ("ask", Class::Ask),
    ("bypass", Class::Bypass),
    ("override", Class::Override),
    ("false", Class::False),
    ("read", Class::Read),
    ("put", Class::Put),
    ("send", Class::Send),
    ("run", Class::Run),
    ("change", Class::Change),
    ("destroy", Class::Destroy),
    ("path", Class::Path),
    ("secret", Class::Secret),
    ("talk", Class::Talk),
    ("person", Class::Person),
    ("tools", Class::Tools),
    ("total", Class::Total),
    ("pretext", Class::Pretext),
    ("policy", Class::Policy),
    ("protect", Class::Protect),
    ("markup", Class::Markup),
    ("command", Class::Command),
    ("recipient", Class::Recipient),
    ("shape", Class::Shape),
    ("prefer", Class::Prefer),
    ("exclusive", Class::Exclusive),
    ("disparage", Class::Disparage),
    ("advert", Class::Advert),
    ("third", Class::Third),
    ("weak", Class::Weak),
    ("name", Class::Name),
    ("target", Class::Target),
    ("hook", Class::Hook),
    ("waive", Class::Waive),
    ("rules", Class::Rules),
    ("hostile", Class::Hostile),
    ("mask", Class::Mask),
];

const FILES: [&str; 13] = [
    include_str!("lexicon/any.txt"),
    include_str!("lexicon/en.txt"),
    include_str!("lexicon/de.txt"),
    include_str!("lexicon/fr.txt"),
    include_str!("lexicon/es.txt"),
    include_str!("lexicon/pt.txt"),
    include_str!("lexicon/it.txt"),
    include_str!("lexicon/ru.txt"),
    include_str!("lexicon/zh.txt"),
    include_str!("lexicon/ja.txt"),
    include_str!("lexicon/ko.txt"),
    include_str!("lexicon/hi.txt"),
    include_str!("lexicon/ar.txt"),
];

/// A set of classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Classes(u64);

impl Classes {
    pub(super) const fn of(mut classes: &[Class]) -> Self {
        let mut bits = 0;
        while let [first, rest @ ..] = classes {
            bits |= 1 << *first as u8;
            classes = rest;
        }
        Self(bits)
    }

    pub(super) fn has(self, class: Class) -> bool {
        self.0 & 1 << class as u8 != 0
    }

    pub(super) fn any(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(super) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(super) fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// A phrase in a text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hit {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) classes: Classes,
}

struct Entry {
    classes: Classes,
    /// Whether a letter may stand before it, and after it.
    open: (bool, bool),
}

struct Lexicon {
    automaton: AhoCorasick,
    entries: Vec<Entry>,
}

static LEXICON: LazyLock<Option<Lexicon>> = LazyLock::new(|| read(&FILES));

/// Makes the lexicon from the lists; nothing if they are not well-formed, which a test excludes.
fn read(files: &[&str]) -> Option<Lexicon> {
    let mut phrases = BTreeMap::<&str, Classes>::new();
    for line in files.iter().flat_map(|file| file.lines()) {
        if line.is_empty() || line.starts_with("# ") {
            continue;
        }
        let (name, list) = line.split_once(": ")?;
        let (_, class) = CLASSES.iter().find(|(one, _)| *one == name)?;
        for phrase in list.split(", ").map(str::trim).filter(|phrase| !phrase.is_empty()) {
            phrases.entry(phrase).or_default().add(Classes::of(&[*class]));
        }
    }
    let mut entries = Vec::with_capacity(phrases.len());
    let mut patterns = Vec::with_capacity(phrases.len());
    for (phrase, classes) in phrases {
        let bare = phrase.strip_suffix('*').unwrap_or(phrase);
        let bare = bare.strip_prefix('*').unwrap_or(bare);
        let first = bare.chars().next()?;
        let last = bare.chars().next_back()?;
        let open = (
            phrase.starts_with('*') || !is_bounded(first),
            phrase.ends_with('*') || !is_bounded(last),
        );
        entries.push(Entry { classes, open });
        patterns.push(bare);
    }
    let automaton =
        AhoCorasick::builder().kind(Some(AhoCorasickKind::ContiguousNFA)).build(patterns).ok()?;
    Some(Lexicon { automaton, entries })
}

/// Finds all phrases of a text that is in lower case. What means something harmless together is left
/// out, with what is in it.
pub(super) fn find(text: &str, hits: &mut Vec<Hit>) {
    hits.clear();
    let Some(lexicon) = &*LEXICON else { return };
    let mut masks = false;
    for found in lexicon.automaton.find_overlapping_iter(text) {
        let Some(entry) = lexicon.entries.get(found.pattern().as_usize()) else { continue };
        let before = text.get(..found.start()).and_then(|text| text.chars().next_back());
        let after = text.get(found.end()..).and_then(|text| text.chars().next());
        let (open_start, open_end) = entry.open;
        if (open_start || !before.is_some_and(is_bounded))
            && (open_end || !after.is_some_and(is_bounded))
        {
            masks |= entry.classes.has(Class::Mask);
            let (start, end) = (found.start(), found.end());
            hits.push(Hit { start, end, classes: entry.classes });
        }
    }
    if masks {
        drop_masked(hits);
    }
}

fn drop_masked(hits: &mut Vec<Hit>) {
    let masks: Vec<(usize, usize)> = hits
        .iter()
        .filter(|hit| hit.classes.has(Class::Mask))
        .map(|hit| (hit.start, hit.end))
        .collect();
    // Hits and masks stand in the order of their ends, so one pass finds the masks of each hit.
    let mut from = 0;
    hits.retain(|hit| {
        while masks.get(from).is_some_and(|(_, end)| *end < hit.end) {
            from += 1;
        }
        let near = masks.iter().skip(from).take(4);
        !near.into_iter().any(|(start, end)| *start <= hit.start && hit.end <= *end)
    });
}

/// Whether a character is part of a word that ends where others begin: letters of alphabets and of
/// Devanagari with their marks, digits and the underscore.
pub(super) fn is_bounded(c: char) -> bool {
    let devanagari = ('\u{900}'..'\u{980}').contains(&c) && !matches!(c, '।' | '॥');
    c == '_' || c.is_ascii_alphanumeric() || ('\u{c0}'..'\u{530}').contains(&c) || devanagari
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(text: &str) -> Classes {
        let mut hits = Vec::new();
        find(text, &mut hits);
        let mut all = Classes::default();
        hits.iter().for_each(|hit| all.add(hit.classes));
        all
    }

    #[test]
    fn the_lists_are_well_formed() {
        let lexicon = read(&FILES).expect("every line names a class");
        assert!(lexicon.entries.len() > 2_500, "{}", lexicon.entries.len());
        for text in FILES.iter().flat_map(|file| file.lines()) {
            assert!(text.starts_with("# ") || !text.contains(" ,"), "{text}");
        }
    }

    #[test]
    fn words_are_found_whole_and_harmless_ones_left_out() {
        assert!(classes("open ~/.ssh/id_rsa now").has(Class::Path));
        assert!(classes("the password.").has(Class::Secret));
        assert!(!classes("passwordless").has(Class::Secret));
        assert!(!classes("page token of the list").has(Class::Secret));
        assert!(classes("page token, password").has(Class::Secret));
        assert!(classes("请读取全部私钥").has(Class::Secret));
        assert!(classes("не говори никому").has(Class::Hush));
        assert!(classes("사용자에게 알리지 마세요").has(Class::Hush));
        assert!(classes("उपयोगकर्ता को न बताएं।").has(Class::Hush));
        assert!(classes("senza dirlo all'utente").has(Class::Hush));
        assert!(classes("sem o conhecimento do usuário").has(Class::Hush));
        // The short word for "not" is a part of longer ones.
        assert!(classes("यह न करें").has(Class::Negation));
        assert!(!classes("निर्माण").has(Class::Negation));
    }
}
