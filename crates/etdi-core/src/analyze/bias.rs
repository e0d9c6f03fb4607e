//! Text that wants a tool to be preferred to others (T7). It has a score of its own beside the risk: a
//! boast is not an attack, but who lets a model choose between tools wants to know of it.

use super::Severity;
use super::finding::{Code, Family};
use super::score::{Model, Topic};

pub(super) static CODES: [&Code; 4] = [&PREFERENCE, &EXCLUSIVE, &DISPARAGE, &ADVERT];

macro_rules! code {
    ($name:ident $stable:literal $title:literal $why:literal) => {
        static $name: Code = Code {
            name: $stable,
            family: Family::Bias,
            severity: Severity::Medium,
            title: $title,
            why: $why,
            advice: "Show the model a description without the sentence, or choose between tools \
                     yourself.",
        };
    };
}

code!(PREFERENCE "bias/preference" "wants to be preferred"
    "A model chooses between tools by their descriptions, and takes praise for a fact.");
code!(EXCLUSIVE "bias/exclusive" "wants to be the only one"
    "It keeps the model from tools that the user has chosen to connect.");
code!(DISPARAGE "bias/disparagement" "speaks ill of other tools"
    "What a server says of its competitors is no evidence, and the model takes it for some.");
code!(ADVERT "bias/advertising" "advertises"
    "The model would say to the user what somebody pays for.");

/// The code of a topic, if it is one of preference.
pub(super) fn of(topic: Topic) -> Option<&'static Code> {
    Some(match topic {
        Topic::Prefer => &PREFERENCE,
        Topic::Exclusive => &EXCLUSIVE,
        Topic::Disparage => &DISPARAGE,
        Topic::Advert => &ADVERT,
        _ => return None,
    })
}

/// How much an utterance wants to be preferred, 0 to 1.
pub(super) fn score(model: &Model, signals: u64) -> f64 {
    let kinds = model.of(signals).filter(|(one, _)| of(one.topic).is_some());
    let (many, sum) = kinds.fold((0, 0.0), |(many, sum), (_, weight)| (many + 1, sum + weight));
    match many {
        0 => 0.0,
        _ => 1.0 / (1.0 + (1.0_f64 - sum - f64::from(many) / 2.0).exp()),
    }
}
