//! What may come next on a line: a command, a name, an argument, a value.

use std::sync::Arc;
use std::time::Duration;

use etdi::core::change::visible;
use rustyline::completion::{Completer, Pair};
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::Validator;
use rustyline::{Context, Helper};
use tokio::runtime::Handle;

use super::known::{Known, Lists};
use super::line::VERBS;
use super::words::{quoted, split};
use crate::talk::Talk;
use crate::verbs::complete::suggestions;

/// Completes from what the server listed, and asks it for the values of prompts and templates.
pub(super) struct Completing {
    pub(super) known: Known,
    pub(super) talk: Arc<Talk>,
    pub(super) runtime: Handle,
}

impl Helper for Completing {}
impl Highlighter for Completing {}
impl Validator for Completing {}

impl Hinter for Completing {
    type Hint = String;
}

/// How long a server may take to suggest something while somebody waits at the key.
const PATIENCE: Duration = Duration::from_secs(2);

/// The most that is offered at once.
const MOST: usize = 200;

impl Completer for Completing {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let typed = line.get(..position).unwrap_or(line);
        let (start, before, word) = taken_apart(typed);
        let mut found = local(&self.known.lists(), &before, &word);
        if found.is_empty()
            && let Some((name, argument, typed, known)) = asked(&before, &word)
        {
            let asking = suggestions(&self.talk, &name, &argument, &typed, known);
            let asking = async { tokio::time::timeout(PATIENCE, asking).await };
            if let Ok(Ok(suggested)) = self.runtime.block_on(asking) {
                let whole = |value: String| match before.first().map(String::as_str) {
                    Some("get") => format!("{argument}={value}"),
                    _ => value,
                };
                found = suggested.values.into_iter().map(whole).collect();
            }
        }
        found.truncate(MOST);
        let pair = |text: String| {
            let end = if text.ends_with('=') { "" } else { " " };
            Pair {
                display: visible(&text).into_owned(),
                replacement: format!("{}{end}", quoted(&text)),
            }
        };
        // A name that would drive the terminal is not offered.
        let safe = |text: &String| !text.chars().any(char::is_control);
        Ok((start, found.into_iter().filter(safe).map(pair).collect()))
    }
}

/// Where the word that is being typed begins, the words before it, and what there is of it.
fn taken_apart(typed: &str) -> (usize, Vec<String>, String) {
    // A quote that is open belongs to the word.
    let closed = ["", "'", "\""].iter().find_map(|end| split(&format!("{typed}{end}")).ok());
    let mut words = closed.unwrap_or_default();
    let word = match typed.is_empty() || typed.ends_with(char::is_whitespace) {
        true => String::new(),
        false => words.pop().unwrap_or_default(),
    };
    let mut start = typed.len();
    for (at, _) in typed.char_indices().rev() {
        let rest = typed.get(at..).unwrap_or_default();
        let closed = ["", "'", "\""].iter().find_map(|end| split(&format!("{rest}{end}")).ok());
        let boundary = typed
            .get(..at)
            .is_some_and(|head| head.is_empty() || head.ends_with(char::is_whitespace));
        if !word.is_empty() && boundary && closed.is_some_and(|words| words == [word.clone()]) {
            start = at;
            break;
        }
    }
    (start, words, word)
}

/// What is known without asking.
fn local(lists: &Lists, before: &[String], word: &str) -> Vec<String> {
    let starting = |names: Vec<String>| {
        names.into_iter().filter(|name| name.starts_with(word)).collect::<Vec<_>>()
    };
    let unused = |name: &&String| !before.iter().any(|one| one.starts_with(&format!("{name}=")));
    match before.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => starting(VERBS.map(str::to_owned).to_vec()),
        ["call"] => starting(lists.tools.keys().cloned().collect()),
        ["call", tool, ..] => {
            let Some(arguments) = lists.tools.get(*tool) else { return Vec::new() };
            match word.split_once('=') {
                Some((name, _)) => {
                    let values = arguments.get(name).into_iter().flatten();
                    starting(values.map(|value| format!("{name}={value}")).collect())
                }
                None => {
                    starting(arguments.keys().filter(unused).map(|one| format!("{one}=")).collect())
                }
            }
        }
        ["read"] => {
            let uris = lists.resources.iter().chain(&lists.templates);
            starting(uris.cloned().collect())
        }
        ["get"] => starting(lists.prompts.keys().cloned().collect()),
        ["get", prompt, ..] if !word.contains('=') => {
            let arguments = lists.prompts.get(*prompt).into_iter().flatten();
            starting(arguments.filter(unused).map(|one| format!("{one}=")).collect())
        }
        ["complete"] => {
            let names = lists.prompts.keys().chain(&lists.templates);
            starting(names.cloned().collect())
        }
        ["complete", prompt] => {
            starting(lists.prompts.get(*prompt).into_iter().flatten().cloned().collect())
        }
        ["inspect"] => starting(vec!["--schemas".to_owned()]),
        _ => Vec::new(),
    }
}

/// A question to the server: a name, its argument, what was typed of it, what is known.
type Question = (String, String, String, Vec<(String, String)>);

/// What the server is asked for where a value is being typed.
fn asked(before: &[String], word: &str) -> Option<Question> {
    match before {
        [verb, prompt, rest @ ..] if verb == "get" => {
            let (argument, typed) = word.split_once('=')?;
            let known = rest.iter().filter_map(|pair| pair.split_once('='));
            let known = known.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            Some((prompt.clone(), argument.to_owned(), typed.to_owned(), known))
        }
        [verb, name, argument] if verb == "complete" => {
            Some((name.clone(), argument.clone(), word.to_owned(), Vec::new()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn lists() -> Lists {
        let kinds = vec!["big".to_owned(), "small".to_owned()];
        let draw = BTreeMap::from([("kind".to_owned(), kinds), ("text".to_owned(), Vec::new())]);
        Lists {
            tools: BTreeMap::from([
                ("draw".to_owned(), draw),
                ("two words".to_owned(), BTreeMap::new()),
            ]),
            prompts: BTreeMap::from([("review".to_owned(), vec!["language".to_owned()])]),
            resources: vec!["notes://milk".to_owned()],
            templates: vec!["notes://{name}".to_owned()],
        }
    }

    fn completed(line: &str) -> (usize, Vec<String>) {
        let (start, before, word) = taken_apart(line);
        (start, local(&lists(), &before, &word))
    }

    #[test]
    fn what_may_come_next() {
        for (line, start, expected) in [
            ("", 0, &["list", "call", "read", "get", "complete", "inspect", "help", "exit"][..]),
            ("ca", 0, &["call"]),
            ("call ", 5, &["draw", "two words"]),
            ("call d", 5, &["draw"]),
            ("call \"two", 5, &["two words"]),
            ("call draw ", 10, &["kind=", "text="]),
            ("call draw k", 10, &["kind="]),
            ("call draw kind=s", 10, &["kind=small"]),
            ("call draw kind=big ", 19, &["text="]),
            ("read ", 5, &["notes://milk", "notes://{name}"]),
            ("get r", 4, &["review"]),
            ("get review ", 11, &["language="]),
            ("nothing ", 8, &[]),
        ] {
            let (found_start, found) = completed(line);
            assert_eq!(
                (found_start, found.as_slice()),
                (start, &expected.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>()[..]),
                "{line}"
            );
        }
        let words = |line: &str| taken_apart(line);
        let (_, before, word) = words("get review style=x language=ru");
        let question = asked(&before, &word).unwrap();
        let known = vec![("style".to_owned(), "x".to_owned())];
        assert_eq!(question, ("review".into(), "language".into(), "ru".into(), known));
    }
}
