//! Parameters that ask for what the tool does not need (T2): the codes. A parameter is judged by its
//! name as by a sentence, in `score.rs`.

use super::Severity;
use super::finding::{Code, Family};
use super::lexicon::{Class, Classes};
use super::score::Topic;

pub(super) static CODES: [&Code; 4] = [&CONVERSATION, &SECRET, &PERSONAL, &ORDER];

const ADVICE: &str = "Ask its author what the parameter is for; leave it out of calls, or have the tool \
                      published without it.";

macro_rules! code {
    ($name:ident $stable:literal $title:literal $why:literal) => {
        static $name: Code = Code {
            name: $stable,
            family: Family::Harvest,
            severity: Severity::High,
            title: $title,
            why: $why,
            advice: ADVICE,
        };
    };
}

code!(CONVERSATION "harvest/conversation" "a parameter that is filled with the conversation"
    "A model fills a parameter by its name alone. One that is named for the conversation, the system \
     prompt or the model's reasoning carries them to the server.");
code!(SECRET "harvest/secret" "a parameter that is filled with secrets"
    "A model that has a secret or a file of secrets at hand fills it in, and the server has it.");
code!(PERSONAL "harvest/personal-data" "a parameter that is filled with personal data"
    "A model fills in what it knows about people, whether or not the user wanted it said.");
code!(ORDER "harvest/order" "a parameter whose name is an order"
    "Names are read by the model like any other text, and looked at by few people.");

/// The code of what a name asks for.
pub(super) fn of(says: Classes, topic: Topic) -> &'static Code {
    match topic {
        _ if says.has(Class::Talk) => &CONVERSATION,
        _ if says.has(Class::Secret) || says.has(Class::Path) => &SECRET,
        _ if says.has(Class::Person) => &PERSONAL,
        Topic::Conversation | Topic::Harvest if !says.any(ACTS) => &CONVERSATION,
        _ => &ORDER,
    }
}

const ACTS: Classes =
    Classes::of(&[Class::Read, Class::Put, Class::Send, Class::Run, Class::Change, Class::Destroy]);
