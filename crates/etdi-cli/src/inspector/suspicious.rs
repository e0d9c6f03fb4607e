//! What the scanner says where somebody decides on a tool: the guard, and the question before an approval.

use etdi::core::analyze::{Kind, SecurityAnalyzer, Severity, Threshold};
use etdi::core::definition::ToolDefinition;

/// The most findings that a question shows.
const MOST_SHOWN: usize = 5;

/// What the scanner finds in a definition whose risk is above that of one honest tool in two hundred.
pub fn suspicious(definition: &ToolDefinition) -> Vec<String> {
    let analysis = SecurityAnalyzer::new().analyze(Kind::Tool, definition.canonical());
    if analysis.risk <= Threshold::HalfPercent.risk() {
        return Vec::new();
    }
    let grave = analysis.findings.iter().filter(|one| one.severity >= Severity::Medium);
    let mut lines: Vec<String> = grave
        .take(MOST_SHOWN)
        .map(|one| {
            format!("{} at `{}`: {} ({})", one.code.title, one.path, one.what, one.code.name)
        })
        .collect();
    if lines.is_empty() {
        lines.push(format!("the scanner holds it for malicious, risk {:.2}", analysis.risk));
    }
    lines
}
