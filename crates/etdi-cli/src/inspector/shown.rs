//! Findings for people: the gravest first, nothing in them drives the terminal.

use clap::builder::styling::Style;
use etdi_core::analyze::Code;
use etdi_core::change::visible;
use etdi_core::event::Severity;

use super::found::{Counts, Looked};
use crate::output::style;

/// The report on many definitions, and on what could not be looked at; with `all` also of findings
/// that hardly matter.
pub fn report(looked: &[Looked], missed: &[String], all: bool) -> String {
    let mut counts = Counts::default();
    looked.iter().for_each(|one| counts.add(&one.analysis));
    let mut order: Vec<&Looked> = looked.iter().collect();
    order.sort_by(|one, other| {
        let by_risk = other.analysis.risk.total_cmp(&one.analysis.risk);
        other.gravest().cmp(&one.gravest()).then(by_risk)
    });
    let mut text: String = order.into_iter().filter_map(|one| definition(one, all)).collect();
    let [low, graver @ ..] = counts.findings;
    text.push_str(&format!("{}\n", counts.told()));
    if low > 0 && !all {
        text.push_str("what is low is shown with `--all`\n");
    }
    if graver.iter().sum::<usize>() > 0 {
        text.push_str("why one matters: etdi analyze --explain CODE\n");
    }
    if !missed.is_empty() {
        let warn = style::WARN;
        text.push_str(&format!("\n{warn}not scanned{warn:#}\n"));
        missed.iter().for_each(|line| text.push_str(&format!("  {}\n", visible(line))));
    }
    text
}

/// One definition; `None` where nothing is to be shown of it.
pub fn definition(looked: &Looked, all: bool) -> Option<String> {
    let bold = style::BOLD;
    let shown: Vec<_> =
        looked.findings().filter(|(finding, _)| all || finding.severity > Severity::Low).collect();
    if shown.is_empty() {
        return None;
    }
    let place = match (&looked.file, &looked.regions) {
        (Some(file), Some((region, _))) => format!(", {}:{}", visible(file), region.line),
        (Some(file), None) => format!(", {}", visible(file)),
        _ => String::new(),
    };
    let mut text = format!(
        "{bold}{}{bold:#}  {}, risk {:.2}{place}\n",
        visible(&looked.title()),
        looked.analysis.kind.name(),
        looked.analysis.risk
    );
    for (finding, region) in shown {
        let colour = style_of(finding.severity);
        let at = match (finding.path.as_str(), region) {
            ("", _) => String::new(),
            (path, Some(region)) => format!(" at {} (line {})", visible(path), region.line),
            (path, None) => format!(" at {}", visible(path)),
        };
        let severity = finding.severity.name();
        text.push_str(&format!(
            "  {colour}{severity:<8}{colour:#} {}{at}\n           {}\n",
            finding.code.name,
            visible(&finding.what)
        ));
        if !finding.evidence.is_empty() {
            text.push_str(&format!("           found: {}\n", visible(&finding.evidence)));
        }
        text.push_str(&format!("           do: {}\n", finding.code.advice));
    }
    text.push('\n');
    Some(text)
}

/// One line about one definition.
pub fn line(looked: &Looked) -> String {
    let mut codes: Vec<&str> = Vec::new();
    for (finding, _) in looked.findings() {
        if !codes.contains(&finding.code.name) {
            codes.push(finding.code.name);
        }
    }
    format!("{:.2}  {}  {}", looked.analysis.risk, visible(&looked.title()), codes.join(", "))
}

/// What a code means.
pub fn explained(code: &Code) -> String {
    let (bold, colour) = (style::BOLD, style_of(code.severity));
    format!(
        "{bold}{}{bold:#}  {colour}{}{colour:#}\n{}\n\nwhy it matters\n  {}\n\nwhat to do\n  {}",
        code.name,
        code.severity.name(),
        code.title,
        code.why,
        code.advice
    )
}

fn style_of(severity: Severity) -> Style {
    match severity {
        Severity::Critical | Severity::High => style::BAD,
        Severity::Medium => style::WARN,
        _ => style::DIM,
    }
}
