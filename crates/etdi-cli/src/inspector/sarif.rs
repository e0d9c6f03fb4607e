//! Findings in SARIF 2.1.0, as code scanning takes them.

use std::fmt::Write;

use etdi_core::analyze::{Code, Finding};
use etdi_core::change::visible;
use etdi_core::digest::Digest;
use etdi_core::event::Severity;
use serde_json::{Value, json};

use super::found::Looked;
use super::region::Region;

/// Collects findings; memory grows with what is found, not with what is looked at.
#[derive(Debug, Default)]
pub struct Sarif {
    results: Vec<Value>,
    /// What could not be looked at.
    notes: Vec<Value>,
    at: Option<String>,
}

impl Sarif {
    /// Findings about what is in no file are put at the beginning of `at`.
    pub fn new(at: Option<String>) -> Self {
        Self { at, ..Self::default() }
    }

    /// Takes in the findings of one definition.
    pub fn add(&mut self, looked: &Looked) {
        for (finding, region) in looked.findings() {
            let result = self.result(looked, finding, region);
            self.results.push(result);
        }
    }

    /// Takes in that something could not be looked at.
    pub fn note(&mut self, message: &str) {
        let text = visible(message);
        self.notes.push(json!({ "level": "error", "message": { "text": text } }));
    }

    /// The document, in one line.
    pub fn document(self) -> String {
        let rules: Vec<Value> = Code::all().map(rule).collect();
        let done = self.notes.is_empty();
        let document = json!({
            "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
            "version": "2.1.0",
            "runs": [{
                "tool": { "driver": {
                    "name": "etdi",
                    "semanticVersion": env!("CARGO_PKG_VERSION"),
                    "rules": rules,
                } },
                "columnKind": "unicodeCodePoints",
                "invocations": [{
                    "executionSuccessful": done, "toolExecutionNotifications": self.notes,
                }],
                "results": self.results,
            }],
        });
        document.to_string()
    }

    fn result(&self, looked: &Looked, finding: &Finding, region: Option<Region>) -> Value {
        let number = Code::all().position(|code| code == finding.code);
        let mut message = finding.what.clone();
        if !finding.evidence.is_empty() {
            message = format!("{message}: {}", finding.evidence);
        }
        let pointer = format!("{}{}", looked.pointer, finding.path);
        let logical = format!("{}{}", looked.title(), finding.path);
        let mut location = json!({
            "logicalLocations": [{
                "name": visible(&looked.analysis.name),
                "fullyQualifiedName": visible(&logical),
                "kind": "member",
                "decoratedName": visible(&pointer),
            }],
        });
        // A file that findings are pinned to says nothing of lines.
        let file = self.at.as_ref().or(looked.file.as_ref());
        if let (Some(file), Some(members)) = (file, location.as_object_mut()) {
            let region = region.filter(|_| self.at.is_none()).map_or_else(
                || json!({ "startLine": 1 }),
                |region| {
                    json!({
                        "startLine": region.line, "startColumn": region.column,
                        "endLine": region.end_line, "endColumn": region.end_column,
                    })
                },
            );
            let place = json!({ "artifactLocation": { "uri": uri(file) }, "region": region });
            members.insert("physicalLocation".to_owned(), place);
        }
        // The same finding after other lines have moved.
        let same = format!("{}\n{logical}\n{}", finding.code.name, finding.evidence);
        let same = Digest::of_bytes(same.as_bytes()).to_string();
        json!({
            "ruleId": finding.code.name,
            "ruleIndex": number.map_or(-1, |number| i64::try_from(number).unwrap_or(-1)),
            "level": level(finding.severity),
            "message": { "text": visible(&message) },
            "locations": [location],
            "partialFingerprints": { "etdiFinding/v1": same },
            "properties": { "risk": looked.analysis.risk, "severity": finding.severity },
        })
    }
}

fn rule(code: &'static Code) -> Value {
    let help = format!("{}\n\n{}", code.why, code.advice);
    let markdown = format!("**Why.** {}\n\n**What to do.** {}", code.why, code.advice);
    json!({
        "id": code.name,
        "name": code.name,
        "shortDescription": { "text": code.title },
        "fullDescription": { "text": code.why },
        "help": { "text": help, "markdown": markdown },
        "defaultConfiguration": { "level": level(code.severity) },
        "properties": {
            "tags": ["security", "mcp", code.family],
            "security-severity": match code.severity {
                Severity::Critical => "9.5",
                Severity::High => "8.0",
                Severity::Medium => "5.5",
                _ => "2.0",
            },
        },
    })
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::High | Severity::Critical => "error",
        Severity::Medium => "warning",
        _ => "note",
    }
}

/// A path as a URI reference (RFC 3986): relative ones stay so.
fn uri(path: &str) -> String {
    let path = path.replace('\\', "/");
    let path = path.strip_prefix("./").unwrap_or(&path);
    let mut uri = match path.starts_with('/') {
        true => "file://".to_owned(),
        false => String::new(),
    };
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_reference() {
        assert_eq!(uri("./a b/ü.json"), "a%20b/%C3%BC.json");
        assert_eq!(uri("/tmp/x#y"), "file:///tmp/x%23y");
        assert_eq!(uri("http:x"), "http%3Ax");
    }
}
