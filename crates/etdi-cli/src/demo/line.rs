//! One line of the demo: what was done, what came of it, and what shows it.

use serde_json::{Value, json};

use crate::output::style;

/// A line of the demo.
#[derive(Debug)]
pub struct Line {
    part: &'static str,
    name: String,
    tried: String,
    plain: Option<String>,
    stopped_by: Option<String>,
    evidence: Vec<String>,
    data: Value,
    failure: Option<String>,
}

impl Line {
    /// A line that nothing is known of yet.
    pub fn new(part: &'static str, name: impl Into<String>, tried: impl Into<String>) -> Self {
        Self {
            part,
            name: name.into(),
            tried: tried.into(),
            plain: None,
            stopped_by: None,
            evidence: Vec::new(),
            data: Value::Null,
            failure: None,
        }
    }

    /// What came of it at a plain client.
    pub fn plain(&mut self, text: impl Into<String>) {
        self.plain = Some(text.into());
    }

    /// What stopped it.
    pub fn stopped_by(&mut self, text: impl Into<String>) {
        self.stopped_by = Some(text.into());
    }

    /// What shows it.
    pub fn evidence(&mut self, text: impl Into<String>) {
        self.evidence.extend(text.into().lines().map(str::to_owned));
    }

    /// The same for programs.
    pub fn data(&mut self, data: Value) {
        self.data = data;
    }

    /// It did not come out as it must.
    pub fn fail(&mut self, why: impl Into<String>) {
        self.failure.get_or_insert_with(|| why.into());
    }

    /// Whether it came out as it must.
    pub fn holds(&self) -> bool {
        self.failure.is_none()
    }

    /// Whether it is one of an attack.
    pub fn is_attack(&self) -> bool {
        self.part == "attack"
    }

    /// For people.
    pub fn text(&self) -> String {
        let (good, bad, bold, dim) = (style::GOOD, style::BAD, style::BOLD, style::DIM);
        let mark = match (&self.failure, &self.stopped_by) {
            (Some(_), _) => format!("{bad}FAILED {bad:#}"),
            (None, Some(_)) => format!("{good}refused{good:#}"),
            (None, None) => format!("{good}ok     {good:#}"),
        };
        let mut lines = vec![format!("{mark} {bold}{}{bold:#}: {}", self.name, self.tried)];
        if let Some(plain) = &self.plain {
            lines.push(format!("        plain client  {plain}"));
        }
        if let Some(stopped_by) = &self.stopped_by {
            lines.push(format!("        stopped by    {stopped_by}"));
        }
        for (at, evidence) in self.evidence.iter().enumerate() {
            let head = if at == 0 { "evidence" } else { "" };
            lines.push(format!("        {dim}{head:<12}{dim:#}  {evidence}"));
        }
        if let Some(failure) = &self.failure {
            lines.push(format!("        {bad}{failure}{bad:#}"));
        }
        lines.join("\n")
    }

    /// For programs.
    pub fn json(&self) -> Value {
        json!({
            "part": self.part, "name": self.name, "tried": self.tried, "ok": self.holds(),
            "plain_client": self.plain, "stopped_by": self.stopped_by,
            "evidence": self.evidence, "data": self.data, "failure": self.failure,
        })
    }
}
