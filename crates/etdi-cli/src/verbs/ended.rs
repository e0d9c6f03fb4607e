//! How a server ended, or why it is none: said once, in words.

use etdi::Error;
use etdi::core::change::visible;
use mcp_client::Error as ClientError;
use serde_json::json;

use crate::args::Target;
use crate::exit::Failure;
use crate::verbs::target::shown_target;

/// What the transport says of a stream that ended.
const CLOSED: &str = "the server closed the connection";
/// What it says of how the program behind it ended.
const STATUS: &str = "it ended with ";
/// What it says before the last lines of the program's standard error.
const WORDS: &str = "its last words were:\n";
/// Our own refusal of a request that only clients send, come back.
const ECHO: &str = "the method `initialize` is not served here";

/// How a program ended, taken apart.
#[derive(Debug, PartialEq, Eq)]
struct Ending<'t> {
    status: &'t str,
    words: Vec<&'t str>,
}

impl<'t> Ending<'t> {
    fn read(message: &'t str) -> Option<Self> {
        let rest = message.strip_prefix(CLOSED)?;
        let (status, words) = rest.split_once(WORDS).unwrap_or((rest, ""));
        let status = status.split_once(STATUS).map_or("exit status: 0", |(_, status)| status);
        let words = words.lines().map(str::trim_start).collect();
        Some(Self { status: status.trim_end_matches("; "), words })
    }
}

/// Retells a failure of a server that had not answered yet.
pub fn before_it_answered(failure: Failure, error: &Error, target: &Target) -> Failure {
    told(failure, error, target, " before it answered")
}

/// Retells a failure that a server's end, or its silence, is the cause of.
pub fn retold(failure: Failure, error: &Error, target: &Target) -> Failure {
    told(failure, error, target, "")
}

/// An error of a client in one line, for whoever has read the last words of the server already; `who` it
/// is, as it stands in a sentence.
pub fn plainly(error: &ClientError, who: &str) -> String {
    match error {
        ClientError::Connection(error) => match Ending::read(&error.message) {
            Some(Ending { status, .. }) => format!("{who} ended ({status})"),
            None => visible(&error.message).into_owned(),
        },
        ClientError::Timeout(error) | ClientError::Refused(error) => {
            visible(&error.message).into_owned()
        }
        error => visible(&error.to_string()).into_owned(),
    }
}

/// The same for whoever has not.
pub fn plainly_with_words(error: &ClientError, who: &str) -> String {
    let plain = plainly(error, who);
    match error {
        ClientError::Connection(error) => match Ending::read(&error.message) {
            Some(Ending { words, .. }) if !words.is_empty() => {
                format!("{plain}; its last words: {}", visible(&words.join(" | ")))
            }
            _ => plain,
        },
        _ => plain,
    }
}

fn told(mut failure: Failure, error: &Error, target: &Target, when: &str) -> Failure {
    let program = target.command.first().map_or("the server", String::as_str);
    let program = visible(program);
    match error {
        Error::Client(ClientError::Connection(error)) => {
            let Some(Ending { status, words }) = Ending::read(&error.message) else {
                return failure;
            };
            let doubt = match status == "exit status: 0" && !when.is_empty() {
                true => "; is it an MCP server?",
                false => "",
            };
            failure.message = format!("`{program}` ended{when} ({status}){doubt}");
            // People have read them as they came.
            failure.with_details(json!({ "status": status, "last_words": words }), "")
        }
        Error::Client(ClientError::Timeout(error)) => {
            failure.message = format!("`{program}`: {}", error.message);
            failure
        }
        Error::Client(ClientError::Protocol(text)) if text.contains(ECHO) => {
            failure.message =
                format!("`{program}` sends our own requests back: it is not an MCP server");
            failure.next = format!("etdi doctor {}", shown_target(target));
            failure
        }
        _ => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ending_is_taken_apart() {
        let read =
            |text: &str| Ending::read(text).map(|one| (one.status.to_owned(), one.words.join("|")));
        let some = |status: &str, words: &str| Some((status.to_owned(), words.to_owned()));
        assert_eq!(read(CLOSED), some("exit status: 0", ""));
        assert_eq!(
            read(
                "the server closed the connection: it ended with exit status: 3; its last words were:\n  oh\n  no"
            ),
            some("exit status: 3", "oh|no")
        );
        assert_eq!(
            read("the server closed the connection: its last words were:\n  oh"),
            some("exit status: 0", "oh")
        );
        assert_eq!(read("something else"), None);
    }
}
