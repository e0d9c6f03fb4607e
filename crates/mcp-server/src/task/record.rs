//! What is kept of a task: enough to show it, and to enter its tool again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use mcp_types::tasks::{
    CancelledTask, CompletedTask, CreateTaskResult, DetailedTask, FailedTask, InputRequiredTask,
    TaskStatus, WorkingTask,
};
use mcp_types::version::ProtocolVersion;
use mcp_types::{ErrorObject, InputRequest, Members, Meta, RawText, RequestContext};
use serde::{Deserialize, Serialize};

use super::store::KeptTask;

/// A task, as its body in a store reads.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) tool: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) arguments: Option<RawText>,
    caller: Envelope,
    /// Whether a layer took part in calls of other tools.
    #[serde(default)]
    pub(super) layered: bool,
    /// Milliseconds since 1970.
    pub(super) created: u64,
    pub(super) updated: u64,
    /// Milliseconds from `created`.
    pub(super) ttl: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) message: Option<String>,
    /// What the tool finds when it is entered: the answers of the last round.
    #[serde(default)]
    pub(super) answers: Members,
    /// What the tool wanted back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) state: Option<String>,
    /// All keys under which the client was ever asked.
    #[serde(default)]
    pub(super) used: BTreeSet<String>,
    /// How many times the task was begun anew because its worker fell silent.
    #[serde(default)]
    pub(super) restarts: u32,
    pub(super) phase: Phase,
}

/// How a task stands.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Phase {
    /// A run of a process works on it.
    Working {
        /// Which one, and which of its runs: one that the task was taken from, or that only has to put its
        /// end down, is another than the one that works now, though both may be of one process.
        runner: String,
        /// Until when it is believed to be alive (milliseconds since 1970).
        lease: u64,
    },
    /// It waits for the client.
    InputRequired {
        /// What is open, by the key that the client sees.
        open: BTreeMap<String, Question>,
    },
    /// It has its result.
    Completed(RawText),
    /// It ended with an error of the protocol.
    Failed(ErrorObject),
    /// It was stopped by the client.
    Cancelled,
}

/// One question to the client.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Question {
    /// The key by which the tool knows it.
    pub(super) key: String,
    pub(super) request: InputRequest,
}

/// Who called, as far as the message itself said.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Envelope {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    info: Option<RawText>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    capabilities: Option<RawText>,
    #[serde(default)]
    meta: Meta,
}

impl Record {
    /// A task that begins at `now` with what the request brought.
    pub(super) fn begin(
        tool: String,
        arguments: Option<RawText>,
        request: &RequestContext,
        (now, ttl): (u64, u64),
        phase: Phase,
    ) -> Self {
        let caller = Envelope {
            version: request.protocol_version().map(|version| version.as_str().to_owned()),
            info: request.client_info().and_then(|info| RawText::of(&info).ok()),
            capabilities: request.declared().cloned(),
            meta: request.meta.clone(),
        };
        Self {
            tool,
            arguments,
            caller,
            layered: request.caller().is_some(),
            created: now,
            updated: now,
            ttl,
            message: None,
            answers: request.input_responses.clone().unwrap_or_default(),
            state: request.request_state.clone(),
            used: BTreeSet::new(),
            restarts: 0,
            phase,
        }
    }

    /// Reads what [`Record::kept`] wrote.
    pub(super) fn read(task: &KeptTask) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(&task.body)
    }

    /// The task as a store keeps it. One that did not end in time is kept for `grace` more, so that
    /// the client can be told.
    pub(super) fn kept(&self, owner: &str, grace: u64) -> Result<KeptTask, serde_json::Error> {
        let grace = if self.is_over() { 0 } else { grace };
        let end = self.end().saturating_add(grace);
        Ok(KeptTask::new(owner, Some(end), serde_json::to_vec(self)?))
    }

    /// Whether it is worked on by the worker of `other`, which has given no sign of life since.
    pub(super) fn has_worker_of(&self, other: &Self) -> bool {
        match (&self.phase, &other.phase) {
            (Phase::Working { runner, lease }, Phase::Working { runner: other, lease: found }) => {
                (runner, lease) == (other, found)
            }
            _ => false,
        }
    }

    /// When the time that the client was told is over.
    pub(super) fn end(&self) -> u64 {
        self.created.saturating_add(self.ttl)
    }

    /// Whether it should have ended by `now`.
    pub(super) fn is_overdue(&self, now: u64) -> bool {
        !self.is_over() && self.end() <= now
    }

    /// Why a task that is overdue failed.
    pub(super) fn overdue(&self) -> ErrorObject {
        let seconds = Duration::from_millis(self.ttl).as_secs_f64();
        ErrorObject::internal(format!("the task did not end within the {seconds} s that it had"))
    }

    /// The envelope with which the tool is entered.
    pub(super) fn context(&self) -> RequestContext {
        let mut context = RequestContext::default();
        let version = self.caller.version.as_deref().and_then(ProtocolVersion::parse);
        let (info, capabilities) = (self.caller.info.clone(), self.caller.capabilities.clone());
        context.set_client(version.unwrap_or(ProtocolVersion::NEWEST), info, capabilities);
        context.meta = self.caller.meta.clone();
        context.input_responses = (!self.answers.is_empty()).then(|| self.answers.clone());
        context.request_state = self.state.clone();
        context
    }

    /// Whether the task is over.
    pub(super) fn is_over(&self) -> bool {
        !matches!(self.phase, Phase::Working { .. } | Phase::InputRequired { .. })
    }

    /// Asks the client `questions`. A key that was used before gets a number behind it: the client
    /// may have put the earlier question away for good (Tasks extension, "Task Update Requests").
    pub(super) fn ask(&mut self, questions: BTreeMap<String, InputRequest>, state: Option<String>) {
        let mut open = BTreeMap::new();
        for (key, request) in questions {
            let mut shown = key.clone();
            for number in 2_u32.. {
                if self.used.insert(shown.clone()) {
                    break;
                }
                shown = format!("{key}-{number}");
            }
            open.insert(shown, Question { key, request });
        }
        (self.answers, self.state) = (Members::new(), state);
        self.phase = Phase::InputRequired { open };
    }

    /// The task as the client is told of it first.
    pub(super) fn created(&self, id: &str, poll_interval: u64) -> CreateTaskResult {
        let ttl = Some(number(self.ttl));
        let (created, updated) = (date(self.created), date(self.updated));
        let mut task = CreateTaskResult::new(created, updated, TaskStatus::Working, id, ttl);
        task.poll_interval_ms = Some(number(poll_interval));
        task
    }

    /// The task with all that its status brings along; `message` goes before the record's own.
    pub(super) fn shown(
        &self,
        id: &str,
        poll_interval: u64,
        message: Option<String>,
        extra: Members,
    ) -> DetailedTask {
        let (created, updated) = (date(self.created), date(self.updated));
        let (ttl, poll) = (Some(number(self.ttl)), Some(number(poll_interval)));
        let message = message.or_else(|| self.message.clone());
        macro_rules! shown {
            ($variant:ident, $task:expr) => {{
                let mut task = $task;
                (task.status_message, task.poll_interval_ms, task.extra) = (message, poll, extra);
                DetailedTask::$variant(task)
            }};
        }
        match &self.phase {
            Phase::Working { .. } => shown!(Working, WorkingTask::new(created, updated, id, ttl)),
            Phase::InputRequired { open } => {
                let open = open.iter().map(|(key, asked)| (key.clone(), asked.request.clone()));
                let open = open.collect();
                shown!(InputRequired, InputRequiredTask::new(created, open, updated, id, ttl))
            }
            Phase::Completed(result) => {
                let result = result.clone();
                shown!(Completed, CompletedTask::new(created, updated, result, id, ttl))
            }
            Phase::Failed(error) => {
                shown!(Failed, FailedTask::new(created, error.clone(), updated, id, ttl))
            }
            Phase::Cancelled => shown!(Cancelled, CancelledTask::new(created, updated, id, ttl)),
        }
    }
}

/// The time as the protocol writes it (RFC 3339).
pub(super) fn date(milliseconds: u64) -> String {
    // The last second of the year 9999 is the last that the format has.
    let time = Duration::from_millis(milliseconds.min(253_402_300_799_000));
    humantime::format_rfc3339_millis(SystemTime::UNIX_EPOCH + time).to_string()
}

fn number(value: u64) -> i64 {
    // Readers keep numbers as doubles, which are exact up to here.
    i64::try_from(value.min((1 << 53) - 1)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use mcp_types::ListRootsRequestParams;

    use super::*;

    #[test]
    fn no_key_is_shown_for_two_questions() {
        let phase = Phase::Cancelled;
        let request = RequestContext::default();
        let mut record = Record::begin("tool".into(), None, &request, (0, 0), phase);
        let mut ask = |keys: &[&str]| {
            let question = InputRequest::ListRoots(ListRootsRequestParams::new());
            let questions = keys.iter().map(|key| ((*key).to_owned(), question.clone()));
            record.ask(questions.collect(), None);
            let Phase::InputRequired { open } = &record.phase else { unreachable!() };
            open.iter().map(|(shown, asked)| format!("{shown}={}", asked.key)).collect::<Vec<_>>()
        };
        assert_eq!(ask(&["a", "a-2"]), ["a=a", "a-2=a-2"]);
        assert_eq!(ask(&["a", "b"]), ["a-3=a", "b=b"]);
        assert_eq!(ask(&["a"]), ["a-4=a"]);
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let mut request = RequestContext::default();
        let info = RawText::new(r#"{"name":"x","version":"1"}"#).unwrap();
        let declared = RawText::new(r#"{"roots":{},"later":[1]}"#).unwrap();
        request.set_client(ProtocolVersion::NEWEST, Some(info), Some(declared.clone()));
        request.meta.insert("dev.example/x", RawText::new("[1,2]").unwrap());
        let arguments = Some(RawText::new(r#"{"a": 1.0e3}"#).unwrap());
        let phase = Phase::Working { runner: "r".into(), lease: 7 };
        let record = Record::begin("tool".into(), arguments, &request, (5, 10), phase);
        let kept = record.kept("owner", 3).unwrap();
        assert_eq!(kept.expires_at, Some(18));
        let read = Record::read(&kept).unwrap();
        assert_eq!(read.arguments.as_ref().unwrap().get(), r#"{"a": 1.0e3}"#);
        let context = read.context();
        assert_eq!(context.declared(), Some(&declared));
        assert_eq!(context.meta.get("dev.example/x").unwrap().get(), "[1,2]");
        assert_eq!(context.client_info().unwrap().name, "x");
        assert_eq!(serde_json::to_string(&read).unwrap(), serde_json::to_string(&record).unwrap());
    }

    #[test]
    fn the_far_end_of_time_has_a_date() {
        assert_eq!(date(u64::MAX), "9999-12-31T23:59:59.000Z");
        assert_eq!(date(951_782_400_001), "2000-02-29T00:00:00.001Z");
        assert_eq!(number(u64::MAX), (1 << 53) - 1);
    }
}
