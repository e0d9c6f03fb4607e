//! What the scanner says where somebody decides on a tool: the guard, and the question before an approval.

use etdi::core::analyze::{Finding, Kind, SecurityAnalyzer, Severity, Threshold};
use etdi::core::definition::ToolDefinition;

/// The most findings that a question shows.
const MOST_SHOWN: usize = 5;

/// What the scanner calls critical in a definition, which nobody approves unread.
pub fn critical(definition: &ToolDefinition) -> Vec<String> {
    let analysis = SecurityAnalyzer::new().analyze(Kind::Tool, definition.canonical());
    let grave = analysis.findings.iter().filter(|one| one.severity >= Severity::Critical);
    grave.take(MOST_SHOWN).map(line).collect()
}

/// What the scanner finds in a definition whose risk, by what can be pointed at in it, is above that of one
/// honest tool in two hundred.
pub fn suspicious(definition: &ToolDefinition) -> Vec<String> {
    let analysis = SecurityAnalyzer::new().analyze(Kind::Tool, definition.canonical());
    if analysis.evident <= Threshold::HalfPercent.evident() {
        return Vec::new();
    }
    let grave = analysis.findings.iter().filter(|one| one.severity >= Severity::Medium);
    let mut lines: Vec<String> = grave.take(MOST_SHOWN).map(line).collect();
    if let Some(gravest) = analysis.findings.first() {
        lines.push(format!("what to do: {}", gravest.code.advice));
    }
    if lines.is_empty() {
        lines.push(format!("the scanner holds it for malicious, risk {:.2}", analysis.evident));
    }
    lines
}

/// What the scanner finds that holds nothing back, and that whoever decides is shown as `etdi scan` shows
/// it: findings from `medium` on of a definition that is not [`suspicious`].
pub fn noted(definition: &ToolDefinition) -> Vec<String> {
    let analysis = SecurityAnalyzer::new().analyze(Kind::Tool, definition.canonical());
    if analysis.evident > Threshold::HalfPercent.evident() {
        return Vec::new();
    }
    let noted = analysis.findings.iter().filter(|one| one.severity >= Severity::Medium);
    noted.take(MOST_SHOWN).map(line).collect()
}

fn line(one: &Finding) -> String {
    let found = match one.evidence.is_empty() {
        true => String::new(),
        false => format!(", in `{}`", one.evidence),
    };
    let code = one.code;
    format!("{} at `{}`: {}{found} ({})", code.title, one.path, one.what, code.name)
}
