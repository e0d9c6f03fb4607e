//! How likely a definition is malicious by what it says: signals that people understand, each with a
//! weight, added up; and beside them the words that it uses, in a sentence (`wording.rs`) and in all of
//! it (`whole.rs`), and how much of a sentence stands apart from the rest (`apart.rs`).
//!
//! Each utterance is judged by itself and together with the next in the same text; the worst is the
//! definition's. The weights are fitted by `cargo run --release -p etdi-core --example fit` on
//! `tests/corpus` and stand in `weights.txt`.

use std::sync::Arc;

use super::apart::{self, Common};
use super::lexicon::{Class, Classes};
use super::subject::{Kind, Role, Subject};
use super::utterance::{Utterance, Utterances};
use super::whole::{self, Whole};
use super::wording::{self, Wording};

/// What a signal speaks for: the code of a finding that it is the strongest reason of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Topic {
    /// It tells how something is said, not what about.
    Manner,
    Secret,
    Conversation,
    Personal,
    Tools,
    Recipient,
    Concealed,
    Consent,
    Override,
    False,
    Act,
    Markup,
    Harvest,
    Prefer,
    Exclusive,
    Disparage,
    Advert,
}

/// A signal: its name in the table of weights, what it says to people, and what its weight is held to be
/// before any definition was seen, whose sign it has to keep.
pub(super) struct Signal {
    pub(super) name: &'static str,
    pub(super) says: &'static str,
    pub(super) topic: Topic,
    pub(super) prior: i8,
}

macro_rules! signals {
    ($($name:ident $topic:ident $prior:literal $says:literal;)*) => {
        #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
        #[derive(Clone, Copy)]
        #[repr(u8)]
        enum S { $($name),* }
        /// All signals, in the order of their bits.
        pub(super) static SIGNALS: &[Signal] = &[
            $(Signal { name: stringify!($name), says: $says, topic: Topic::$topic, prior: $prior }),*
        ];
    };
}

signals! {
    order Manner 1 "it orders";
    model Manner 1 "it addresses the model";
    before Tools 1 "it wants to come before whatever else is done";
    before_acts Act 2 "it orders acts around every other call";
    path Secret 1 "it names a sensitive file";
    path_moved Secret 3 "a sensitive file is to be read or passed on";
    secret Secret 1 "it names secrets";
    secret_moved Secret 2 "secrets are to be read or passed on";
    talk Conversation 1 "it names the conversation or the model's instructions";
    talk_moved Conversation 2 "the conversation or the model's instructions are to be passed on";
    person Personal 1 "it names personal data";
    person_moved Personal 1 "personal data are to be read or passed on";
    whole Manner 1 "it wants all of it";
    concealed Concealed 1 "the user is not to know";
    concealed_act Concealed 2 "something is to be done that the user is not to know";
    bypass Consent 1 "nobody is to be asked";
    bypass_act Consent 2 "something is to be done without asking";
    overrides Override 6 "it sets other instructions aside";
    untrue False 1 "it wants something said that is not so";
    untrue_user False 1 "the user is to be told what is not so";
    tools Tools 1 "it speaks of other tools";
    tools_order Tools 1 "it says what other tools have to do";
    other Tools 0 "it names what looks like another tool";
    stranger Tools 1 "it names a tool that has nothing to do with this one";
    stranger_order Tools 1 "it says how a tool that has nothing to do with this one is used";
    other_model Tools 1 "it tells the model to use another tool";
    other_loot Tools 1 "another tool is to get what is sensitive";
    own_loot Secret 1 "a parameter is to carry what is sensitive";
    email Recipient 1 "it names an address of mail";
    sent_away Recipient 2 "something is to be sent to an address";
    template Recipient 2 "an address is to be filled with data";
    number Recipient 1 "it names a foreign host by its number";
    command Act 1 "it holds a command";
    command_run Act 1 "a command is to be run";
    destroy Act 0 "something is to be destroyed, paid or opened";
    hooked Tools 1 "it hangs an act on the use of other tools";
    hostile Act 3 "it calls itself what attackers call it";
    tampered Tools 2 "what another call does is to be changed";
    urged Manner 1 "it is urgent about what the model has to do";
    prefer_over Prefer 1 "it wants to be preferred to other tools";
    pretext Manner 1 "it says why that is necessary";
    pretext_loot Secret 1 "it says why what is sensitive is necessary";
    policy_loot Secret 1 "an authority is said to want what is sensitive";
    markup Markup 1 "markup pretends to be more than text";
    markup_act Markup 2 "markup holds orders";
    tag Markup 1 "it has a tag that no page has";
    protects Manner -1 "it protects the user";
    weak Personal 1 "it wants what may be sensitive";
    business Manner -1 "it is the tool's own business";
    value_act Act 2 "a value gives orders";
    value_loot Secret 1 "a value names what is sensitive";
    aside_act Act 2 "a place that is not shown gives orders";
    output_act Act 1 "a result is described by orders";
    result_act Act 1 "a result gives orders";
    name_talk Harvest 2 "a parameter asks for the conversation or the model's instructions";
    name_loot Harvest 1 "a parameter is named by what is sensitive";
    name_act Harvest 1 "a parameter's name is an order";
    name_sigil Harvest 1 "a parameter's name is made to be filled without being asked";
    asks_all Harvest 2 "a parameter asks for all that is known";
    prefer Prefer 1 "it wants to be preferred";
    exclusive Exclusive 1 "it wants to be the only one";
    disparage Disparage 1 "it speaks ill of others";
    advert Advert 1 "it advertises";
    terse Manner -1 "it has few words";
}

/// The number of signals: one bit of a mask each.
pub(super) const COUNT: usize = SIGNALS.len();
const _: () = assert!(COUNT <= 64);

const ACTS: Classes =
    Classes::of(&[Class::Read, Class::Put, Class::Send, Class::Run, Class::Change, Class::Destroy]);
const MOVES: Classes = Classes::of(&[Class::Read, Class::Put, Class::Send]);
const LOOT: Classes = Classes::of(&[Class::Path, Class::Secret, Class::Talk, Class::Person]);
const COMPETES: Classes =
    Classes::of(&[Class::Prefer, Class::Exclusive, Class::Disparage, Class::Advert]);

/// The signals of all utterances, a mask each: of the utterance alone, and together with the next one
/// of its text.
pub(super) fn signals(subject: &Subject<'_>, said: &Utterances) -> Vec<(u64, u64)> {
    let list = &said.list;
    let near = |at: usize, one: &Utterance| {
        let beside = list.get(at).filter(|beside| beside.piece == one.piece);
        beside.map_or(Classes::default(), |beside| beside.says)
    };
    let alone: Vec<u64> = list
        .iter()
        .enumerate()
        .map(|(at, one)| {
            let mut wide = one.says;
            wide.add(near(at + 1, one));
            if at > 0 {
                wide.add(near(at - 1, one));
            }
            of(subject, said.business, one, wide)
        })
        .collect();
    alone
        .iter()
        .enumerate()
        .map(|(at, one)| match said.follows(at) {
            true => (*one, one | alone.get(at + 1).copied().unwrap_or(0)),
            false => (*one, *one),
        })
        .collect()
}

fn of(subject: &Subject<'_>, business: Classes, one: &Utterance, wide: Classes) -> u64 {
    let Some(piece) = subject.pieces.get(one.piece) else { return 0 };
    if piece.role == Role::Name {
        return 0;
    }
    let mut mask = 0_u64;
    let mut set = |signal: S, on: bool| mask |= u64::from(on) << signal as u8;
    let (says, mut marks) = (one.says, one.marks);
    // What a server says of itself is about its own tools.
    marks.stranger &= subject.kind != Kind::Server;
    let has = |class| says.has(class);
    let denied = |class| one.denies.has(class);

    let order = has(Class::Order);
    let model = has(Class::Model);
    let hush = has(Class::Hush);
    // How a description begins is what the tool does, whatever the verb.
    let describes =
        one.opens && !(model || order || hush || has(Class::Before) || has(Class::Path));
    let act = !describes && (says.any(ACTS) || model && has(Class::Third));
    let moves = !describes && (says.any(MOVES) || model && has(Class::Third));
    let loot = says.any(LOOT);
    let name = matches!(piece.role, Role::ParameterName | Role::Key);
    let value = matches!(piece.role, Role::Value | Role::Pattern);
    let aside = matches!(piece.role, Role::Other | Role::Title | Role::Uri);
    let long = one.words >= 4;
    let told = denied(Class::Tell) && has(Class::User);
    let concealed = !name && (hush || told);
    let bypass = has(Class::Bypass) || denied(Class::Ask) && (has(Class::User) || model);
    let foreign = marks.email || marks.url || marks.number;
    let other = marks.other;
    let commanding = (order || model || has(Class::Before)) && act;
    // What nobody is to do with a secret is no wish for it.
    let banned = one.denies.any(ACTS) && !says.any(ACTS) && !(hush || told || bypass);
    let secret = has(Class::Secret) && !banned;
    // To come before an act with a question to the user is what one wishes for.
    let asks = has(Class::Protect) && has(Class::User) && !(concealed || bypass || moves && loot);
    let business = says.and(LOOT).any(business);
    let urged = model || order || concealed || has(Class::Before) || wide.has(Class::Hush);
    let plain = name && PLAIN.iter().any(|end| piece.text.ends_with(end));
    let weak = has(Class::Weak) && urged && moves;

    set(S::order, order && !name && !asks);
    set(S::model, model && !name && (act || order || concealed || loot));
    set(S::before, has(Class::Before) && !name && !asks);
    set(S::before_acts, has(Class::Before) && (moves || loot || has(Class::Tools)));
    set(S::path, has(Class::Path) && !banned);
    set(S::path_moved, has(Class::Path) && moves);
    set(S::secret, secret && !name);
    set(S::secret_moved, secret && moves && !name);
    set(S::talk, has(Class::Talk) && !name);
    set(S::talk_moved, has(Class::Talk) && moves && !name);
    set(S::person, has(Class::Person) && !name);
    set(S::person_moved, has(Class::Person) && moves && !name);
    set(S::whole, has(Class::Total) && loot && !banned);
    set(S::concealed, concealed);
    set(
        S::concealed_act,
        (concealed || wide.has(Class::Hush)) && act && (loot || model || other || foreign),
    );
    set(S::bypass, bypass && !name);
    set(
        S::bypass_act,
        bypass && act && (model || other || has(Class::Destroy) || has(Class::Send)),
    );
    set(S::overrides, has(Class::Override) || has(Class::Waive) && has(Class::Rules));
    set(S::hostile, has(Class::Hostile) && !name);
    set(S::untrue, has(Class::False) && !name);
    set(S::untrue_user, has(Class::False) && (has(Class::User) || model));
    set(S::tools, has(Class::Tools) && !name);
    set(S::tools_order, has(Class::Tools) && order && act && !name);
    set(S::other, other);
    set(S::stranger, marks.stranger);
    set(
        S::stranger_order,
        marks.stranger && (order || model || has(Class::Change) || has(Class::First) || moves),
    );
    set(S::other_model, other && model && act);
    set(S::other_loot, other && loot && (act || marks.sink));
    set(S::own_loot, marks.own && (loot || weak));
    set(S::email, marks.email && !value);
    set(
        S::sent_away,
        foreign
            && (has(Class::Send) || has(Class::Recipient))
            && (act && (order || model || loot || has(Class::Recipient))),
    );
    set(S::template, marks.template && (loot || has(Class::User) || aside));
    set(S::number, marks.number);
    set(S::command, has(Class::Command) && !name);
    set(
        S::command_run,
        has(Class::Command) && (has(Class::Run) || order || model || has(Class::First)),
    );
    set(S::destroy, has(Class::Destroy) && (order || has(Class::First)) && !name);
    set(S::pretext, has(Class::Pretext) && urged && !name);
    set(S::pretext_loot, wide.has(Class::Pretext) && loot && moves);
    set(S::policy_loot, wide.has(Class::Policy) && loot && moves);
    set(S::markup, has(Class::Markup));
    set(S::markup_act, (has(Class::Markup) || marks.tag) && (act || order));
    set(S::tag, marks.tag);
    set(S::protects, has(Class::Protect));
    set(S::weak, weak);
    set(S::business, loot && business);
    set(S::value_act, value && long && (commanding || has(Class::First) && act || other && act));
    set(S::value_loot, value && loot && (act || model || has(Class::Path)));
    set(S::aside_act, aside && long && (commanding || has(Class::First) && act || other && act));
    set(S::output_act, piece.output && (model || has(Class::User) || other) && act);
    set(
        S::result_act,
        subject.kind == Kind::Result && (commanding || other && act || loot && moves),
    );
    set(S::name_talk, name && !plain && !piece.output && (has(Class::Name) || has(Class::Talk)));
    set(
        S::name_loot,
        name && !plain
            && !piece.output
            && (loot || has(Class::Weak))
            && (one.words >= 3 || has(Class::Total)),
    );
    set(S::name_act, name && act && (loot && one.words >= 3 || one.words >= 5));
    set(S::name_sigil, piece.role == Role::ParameterName && is_sigil(piece.text));
    set(
        S::asks_all,
        piece.role == Role::ParameterText && !piece.output && has(Class::Total) && has(Class::Talk),
    );
    set(
        S::tampered,
        !describes
            && has(Class::Change)
            && has(Class::Target)
            && (has(Class::Tools) || other || has(Class::User) || hush || foreign),
    );
    set(
        S::hooked,
        !describes && has(Class::Hook) && (marks.stranger || has(Class::Tools)) && (act || loot),
    );
    set(S::urged, order && act && !asks && (has(Class::Before) || has(Class::Tools) || model));
    set(
        S::prefer_over,
        (has(Class::Prefer) || has(Class::Exclusive))
            && (has(Class::Tools) || has(Class::Disparage) || other)
            && !name,
    );
    set(S::prefer, has(Class::Prefer) && !name);
    set(S::exclusive, has(Class::Exclusive) && !name);
    set(
        S::disparage,
        has(Class::Disparage)
            && (has(Class::Tools)
                || other
                || says.any(Classes::of(&[Class::Prefer, Class::Exclusive]))),
    );
    set(
        S::advert,
        has(Class::Advert)
            && (model || order || says.any(COMPETES.without(Classes::of(&[Class::Advert])))),
    );
    set(S::terse, one.words < 4);
    mask
}

/// How names end that are of a reference or a switch, not of the thing itself.
const PLAIN: [&str; 14] = [
    "_id", "_ids", "Id", "Ids", "ID", "_uuid", "_name", "_names", "Name", "_type", "_count",
    "_enabled", "_url", "_limit",
];

/// Names that begin as no argument's name does: `__x`, `$x`, `<x>`, `%X%`, `@x`, `~x`.
fn is_sigil(name: &str) -> bool {
    let rest = name.strip_prefix("$").unwrap_or(name);
    name.starts_with("__")
        || name.starts_with(['<', '%', '~', '#', '{'])
        || name.starts_with('@') && name.len() > 1
        || rest.len() < name.len() && rest.len() > 6
}

/// The weights of the signals.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    weights: Vec<f64>,
    constant: f64,
    pub(super) wording: Arc<Wording>,
    pub(super) whole: Arc<Whole>,
    pub(super) common: Arc<Common>,
}

/// What a length takes off, from the shortest on that counts, in words.
const LENGTH: f64 = -0.25;
const SHORT: usize = 20;

const WEIGHTS: &str = include_str!("weights.txt");
const WORDING: &str = include_str!("wording.txt");
const WHOLE: &str = include_str!("whole.txt");

impl Default for Model {
    /// The weights of this release.
    fn default() -> Self {
        static RELEASED: std::sync::LazyLock<Model> =
            std::sync::LazyLock::new(|| Model::read(WEIGHTS).reading(WORDING, WHOLE));
        RELEASED.clone()
    }
}

impl Model {
    /// The names of the signals, each a bit of [`Said::signals`], the lowest first.
    ///
    /// [`Said::signals`]: super::Said::signals
    pub fn names() -> impl Iterator<Item = &'static str> {
        SIGNALS.iter().map(|signal| signal.name)
    }

    /// What each weight is held to be before a fit; it keeps the sign, and is free where that is 0.
    pub fn priors() -> impl Iterator<Item = f64> {
        SIGNALS.iter().map(|signal| f64::from(signal.prior))
    }

    /// From a constant and a weight for each signal; weights that are missing are nought.
    pub fn new(constant: f64, weights: &[f64]) -> Self {
        let mut weights = weights.to_vec();
        weights.resize(COUNT, 0.0);
        let (wording, whole) = (Arc::default(), Arc::default());
        Self { weights, constant, wording, whole, common: Common::released() }
    }

    /// With weights of words and pairs of words, as [`Said::features`] has them, in place of those that it
    /// had.
    ///
    /// [`Said::features`]: super::Said::features
    #[must_use]
    pub fn wording<'a>(self, weights: impl IntoIterator<Item = (&'a str, f64)>) -> Self {
        Self { wording: Arc::new(Wording::new(weights)), ..self }
    }

    /// With weights of words and pairs in a definition as a whole, and what is added before any.
    #[must_use]
    pub fn whole<'a>(
        self,
        constant: f64,
        weights: impl IntoIterator<Item = (&'a str, f64)>,
    ) -> Self {
        Self { whole: Arc::new(Whole::new(constant, weights)), ..self }
    }

    /// With how much words tell that published tools have, by the beginning of each
    /// ([`Said::topics`]): the natural logarithm of one in how many tools has it.
    ///
    /// [`Said::topics`]: super::Said::topics
    #[must_use]
    pub fn common<'a>(self, words: impl IntoIterator<Item = (&'a str, f64)>) -> Self {
        Self { common: Arc::new(Common::new(words)), ..self }
    }

    /// What a text of so many words takes off each of its sentences: the more there are the likelier the
    /// worst of them looks bad by chance.
    pub fn length(words: usize) -> f64 {
        LENGTH * (words.max(SHORT) as f64 / SHORT as f64).ln()
    }

    /// With tables of words, of a sentence and of a definition as a whole: a weight and a word or pair a
    /// line, and in the second the constant with `=`; other lines are passed over.
    #[must_use]
    pub fn reading(self, words: &str, whole: &str) -> Self {
        let (wording, whole) = (Arc::new(Wording::read(words)), Arc::new(Whole::read(whole)));
        Self { wording, whole, ..self }
    }

    /// What so many known words add in a definition as a whole that weigh so much together: a fit has to
    /// reckon as the score does.
    pub fn reckoned_whole(constant: f64, sum: f64, known: usize) -> f64 {
        whole::reckoned(constant, sum, known)
    }

    /// What the weights of words count for in a text of so many, and the least that they all add: a fit
    /// has to reckon as the score does.
    pub fn reckoned(sum: f64, words: usize) -> f64 {
        wording::floored(sum * wording::share(words))
    }

    /// The names of the numbers for what stands apart, among the weights of words.
    pub const APART: [&'static str; 3] = apart::NUMBERS;

    /// The numbers of a text with so many topics that tell so much together, of which so much stands
    /// apart, as [`Model::APART`] names them.
    pub fn numbers(topics: usize, tells: f64, apart: f64) -> [f64; 3] {
        apart::numbers(topics, tells, apart)
    }

    /// What these numbers add by these weights.
    pub fn apart(numbers: [f64; 3], weights: [f64; 3]) -> f64 {
        apart::sum(numbers, weights)
    }

    /// Whether so many known ones of all topics of a definition are enough for one to stand apart.
    pub fn is_known(known: usize, topics: usize) -> bool {
        apart::is_known(known, topics)
    }

    /// What is added before any signal.
    pub fn constant(&self) -> f64 {
        self.constant
    }

    /// What each signal adds.
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// From a table: a name and a number a line; what is unknown is passed over.
    pub fn read(table: &str) -> Self {
        let mut model = Self::new(-5.0, &[]);
        for line in table.lines() {
            let mut words = line.split_whitespace();
            let (Some(name), Some(Ok(value))) = (words.next(), words.next().map(str::parse)) else {
                continue;
            };
            if name == "constant" {
                model.constant = value;
            }
            let at = SIGNALS.iter().position(|signal| signal.name == name);
            if let Some(weight) = at.and_then(|at| model.weights.get_mut(at)) {
                *weight = value;
            }
        }
        model
    }

    /// How likely it is malicious to say what has these signals and whose words add so much, 0 to 1.
    pub fn risk(&self, signals: u64, words: f64) -> f64 {
        let sum: f64 = self.of(signals).map(|(_, weight)| weight).sum();
        1.0 / (1.0 + (-(self.constant + sum + words)).exp())
    }

    /// The signals that are there, with their weights.
    pub(super) fn of(&self, signals: u64) -> impl Iterator<Item = (&'static Signal, f64)> {
        let weighted = SIGNALS.iter().zip(&self.weights).enumerate();
        weighted
            .filter(move |(at, _)| signals & 1 << at != 0)
            .map(|(_, (one, weight))| (one, *weight))
    }
}

/// From which risk on a definition is worth a look, by how many honest ones that costs.
///
/// Of [`Analysis::risk`] and of [`Analysis::evident`] alike; where something is refused the second is to be
/// asked. The rates were measured on tools of published servers whose authors the weights had not seen; see
/// `docs/model-card.md`.
///
/// [`Analysis::risk`]: super::Analysis::risk
/// [`Analysis::evident`]: super::Analysis::evident
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Threshold {
    /// One honest tool in a hundred lies above.
    OnePercent,
    /// One in two hundred.
    HalfPercent,
}

impl Threshold {
    /// The risk, 0 to 1.
    pub const fn risk(self) -> f64 {
        match self {
            Self::OnePercent => 0.68,
            Self::HalfPercent => 0.77,
        }
    }

    /// The risk by what can be pointed at, 0 to 1.
    pub const fn evident(self) -> f64 {
        match self {
            Self::OnePercent => 0.82,
            Self::HalfPercent => 0.86,
        }
    }
}
