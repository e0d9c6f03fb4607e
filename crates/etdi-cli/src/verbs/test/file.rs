//! The file of `etdi test`: which server, which steps, and what is expected of each.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::exit::Failure;
use crate::verbs::target::shown_path;

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestFile {
    /// The command that starts the server, or its URL alone.
    #[serde(default)]
    pub server: Vec<String>,
    /// How long a step may take, in milliseconds, before it counts as not answered.
    #[serde(default = "half_a_minute")]
    pub timeout_ms: u64,
    /// What is asked, in order, over one connection.
    pub steps: Vec<Step>,
}

fn half_a_minute() -> u64 {
    30_000
}

/// One step.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// What the step is called in reports.
    #[serde(default)]
    name: Option<String>,
    /// The tool that is called.
    #[serde(default)]
    tool: Option<String>,
    /// The prompt that is asked for.
    #[serde(default)]
    prompt: Option<String>,
    /// The URI of the resource that is read.
    #[serde(default)]
    resource: Option<String>,
    /// The arguments of the tool or prompt.
    #[serde(default)]
    pub arguments: Map<String, Value>,
    /// What has to hold.
    #[serde(default)]
    pub expect: Expect,
}

/// What is asked in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked<'a> {
    /// A tool is called.
    Tool(&'a str),
    /// A prompt is asked for.
    Prompt(&'a str),
    /// A resource is read.
    Resource(&'a str),
}

/// What has to hold for the answer. What is left out is not looked at, but for errors, of which a
/// step that expects none has none.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// Whether the tool reports an error; `false` if it is left out.
    #[serde(default)]
    pub is_error: bool,
    /// What the text of the error that the server answers contains, where it is to refuse.
    #[serde(default)]
    pub refused: Option<String>,
    /// What the text of the answer contains: one text, or several.
    #[serde(default)]
    pub text_contains: Texts,
    /// What the text of the answer does not contain.
    #[serde(default)]
    pub text_lacks: Texts,
    /// What the text of the answer is.
    #[serde(default)]
    pub text: Option<String>,
    /// Values in the structured content of a tool, each by its JSON pointer (RFC 6901); in the whole
    /// result of a prompt or resource.
    #[serde(default)]
    pub structured: BTreeMap<String, Value>,
    /// How long the step may take, in milliseconds.
    #[serde(default)]
    pub max_ms: Option<u64>,
}

/// One text or several.
#[derive(Debug, Default, Deserialize)]
#[serde(untagged)]
pub enum Texts {
    /// None.
    #[default]
    None,
    /// One.
    One(String),
    /// Several.
    Several(Vec<String>),
}

impl Texts {
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let texts = match self {
            Self::None => &[][..],
            Self::One(text) => std::slice::from_ref(text),
            Self::Several(texts) => texts,
        };
        texts.iter().map(String::as_str)
    }
}

/// The most bytes of the file that are read.
const MOST: u64 = 16 << 20;

impl TestFile {
    /// Reads the file.
    ///
    /// # Errors
    ///
    /// When it cannot be read, has a member that means nothing, or a step that asks for nothing or
    /// for more than one thing.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let unfit = |why: String| {
            let message = format!("`{}` holds no steps: {why}", path.display());
            Failure::usage(message, "etdi test --help").with_code("TEST_FILE")
        };
        let mut text = String::new();
        let read =
            std::fs::File::open(path).and_then(|file| file.take(MOST).read_to_string(&mut text));
        read.map_err(|error| {
            let message = format!("`{}` cannot be read: {error}", path.display());
            Failure::usage(message, format!("ls -l {}", shown_path(path)))
        })?;
        let file: Self = serde_json::from_str(&text).map_err(|error| unfit(error.to_string()))?;
        if file.steps.is_empty() {
            return Err(unfit("`steps` is empty".to_owned()));
        }
        for (at, step) in file.steps.iter().enumerate() {
            let wrong = |why: &str| Err(unfit(format!("step {} {why}", at + 1)));
            let asked = [&step.tool, &step.prompt, &step.resource];
            if asked.iter().filter(|asked| asked.is_some()).count() != 1 {
                return wrong("needs one of `tool`, `prompt` and `resource`");
            }
            if step.resource.is_some() && !step.arguments.is_empty() {
                return wrong("reads a resource, which takes no `arguments`");
            }
            if step.prompt.is_some() && !step.arguments.values().all(Value::is_string) {
                return wrong("asks for a prompt, whose `arguments` are texts");
            }
            let pointer = |pointer: &String| pointer.is_empty() || pointer.starts_with('/');
            if !step.expect.structured.keys().all(pointer) {
                return wrong("has a JSON pointer in `structured` that does not begin with `/`");
            }
        }
        Ok(file)
    }

    /// How long a step may take.
    pub fn patience(&self) -> Duration {
        Duration::from_millis(self.timeout_ms.max(1))
    }
}

impl Step {
    /// What is asked.
    pub fn asked(&self) -> Option<Asked<'_>> {
        let tool = self.tool.as_deref().map(Asked::Tool);
        let prompt = self.prompt.as_deref().map(Asked::Prompt);
        tool.or(prompt).or(self.resource.as_deref().map(Asked::Resource))
    }

    /// What the step is called: its name, else what it asks for.
    pub fn shown(&self) -> &str {
        let named = [&self.name, &self.tool, &self.prompt, &self.resource];
        named.into_iter().find_map(Option::as_deref).unwrap_or_default()
    }
}
