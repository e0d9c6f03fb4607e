//! Text that tells the model what to do (T1, T2, T12): the codes. What is an order and to whom is
//! judged in `utterance.rs` and `score.rs`.

use super::Severity;
use super::finding::{Code, Family};
use super::score::Topic;

pub(super) static CODES: [&Code; 12] = [
    &SECRET,
    &CONVERSATION,
    &PERSONAL,
    &OTHER_TOOL,
    &RECIPIENT,
    &CONCEALED,
    &CONSENT,
    &OVERRIDE,
    &UNTRUE,
    &ACT,
    &MARKUP,
    &WORDING,
];

const ADVICE: &str = "Do not approve it unless its author explains the sentence; a definition has to \
                      describe what the tool does, not what the model has to do besides.";

macro_rules! code {
    ($name:ident $stable:literal $severity:ident $title:literal $why:literal) => {
        static $name: Code = Code {
            name: $stable,
            family: Family::Directive,
            severity: Severity::$severity,
            title: $title,
            why: $why,
            advice: ADVICE,
        };
    };
}

code!(SECRET "directive/secret" Critical "asks for secrets or sensitive files"
    "A model that follows it reads keys, passwords or files that the tool has no use for, and hands \
     them to the server as an argument.");
code!(CONVERSATION "directive/conversation" High "asks for the conversation"
    "What the user and other servers said, and the host's own instructions, would leave through this \
     tool.");
code!(PERSONAL "directive/personal-data" High "asks for personal data"
    "Data of people would leave through this tool without anybody having asked for it.");
code!(OTHER_TOOL "directive/other-tool" High "says what to do with other tools"
    "A definition is read with all others, so that one server can change how the tools of another are \
     used, without its own ever being called.");
code!(RECIPIENT "directive/recipient" High "wants something sent to somebody"
    "Who receives a copy was chosen by the author of the definition, not by the user.");
code!(CONCEALED "directive/concealed" Critical "keeps something from the user"
    "An honest definition has no reason to hide from the user what is done for them.");
code!(CONSENT "directive/without-consent" High "goes without the user's consent"
    "The question that the host would ask is the last thing between a wrong call and its harm.");
code!(OVERRIDE "directive/overrides" High "sets other instructions aside"
    "It claims a rank that a definition does not have: above the user and the host.");
code!(UNTRUE "directive/untrue" High "wants something said that is not so"
    "The user would decide by what the model says, and it would not be what the tool found.");
code!(ACT "directive/act" High "gives the model orders"
    "A definition that orders acts is followed by many models even when the tool is never called.");
code!(MARKUP "directive/markup" High "markup that pretends to be more than text"
    "Tags and marks of chat templates make a model take text of a server for the words of its host.");

/// What no sentence shows, so that nothing is to be refused for it.
pub(super) static WORDING: Code = Code {
    name: "directive/wording",
    family: Family::Directive,
    severity: Severity::Low,
    title: "worded as a whole like malicious definitions",
    why: "Its risk is above that of nearly all published tools, by all of its words together and by no \
          sentence that could be shown. Definitions that were made up for an attack are worded so, and \
          some of small honest servers.",
    advice: "Read it once from its first line to its last; where nothing is asked for that the tool has no \
             use for, there is nothing else to do.",
};

/// The code of a topic.
pub(super) fn of(topic: Topic) -> &'static Code {
    match topic {
        Topic::Secret | Topic::Harvest => &SECRET,
        Topic::Conversation => &CONVERSATION,
        Topic::Personal => &PERSONAL,
        Topic::Tools => &OTHER_TOOL,
        Topic::Recipient => &RECIPIENT,
        Topic::Concealed => &CONCEALED,
        Topic::Consent => &CONSENT,
        Topic::Override => &OVERRIDE,
        Topic::False => &UNTRUE,
        Topic::Markup => &MARKUP,
        _ => &ACT,
    }
}
