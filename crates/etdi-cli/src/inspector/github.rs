//! Findings as annotations of a workflow on GitHub.

use etdi_core::change::visible;
use etdi_core::event::Severity;

use super::found::Looked;

/// A line for each finding: a workflow command, in which nothing of a definition can be another one.
pub fn annotations(looked: &Looked, at: Option<&str>) -> String {
    let mut text = String::new();
    for (finding, region) in looked.findings() {
        let command = match finding.severity {
            Severity::High | Severity::Critical => "error",
            Severity::Medium => "warning",
            _ => "notice",
        };
        let mut properties = Vec::new();
        if let Some(file) = at.or(looked.file.as_deref()) {
            properties.push(format!("file={}", property(file)));
        }
        if let Some(region) = region.filter(|_| at.is_none()) {
            properties.push(format!("line={},col={}", region.line, region.column));
            properties.push(format!("endLine={}", region.end_line));
        }
        let title = format!("{}: {}", finding.code.name, looked.title());
        properties.push(format!("title={}", property(&visible(&title))));
        let place = format!("{}{}", looked.pointer, finding.path);
        let message = format!("{} (at {}). {}", finding.what, place, finding.code.advice);
        let message = escaped(&visible(&message));
        text.push_str(&format!("::{command} {}::{message}\n", properties.join(",")));
    }
    text
}

/// A line for what could not be looked at.
pub fn missed(what: &str) -> String {
    format!("::error title=not looked at::{}\n", escaped(&visible(what)))
}

fn escaped(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    escaped(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use etdi_core::analyze::SecurityAnalyzer;

    /// The attack: a tool whose name ends the annotation and gives the runner a command of its own.
    #[test]
    fn a_name_is_no_command() {
        let text = r#"{"name":"a::error::\n::set-output name=x::y%0A,line=9","name":"b\n::stop-commands::x"}"#;
        let analysis = SecurityAnalyzer::new().analyze_tool(text);
        assert!(!analysis.findings.is_empty());
        let looked = Looked {
            file: Some("a,b:c%.json".to_owned()),
            server: None,
            pointer: String::new(),
            regions: None,
            analysis,
        };
        let lines = annotations(&looked, None);
        assert_eq!(lines.lines().count(), looked.analysis.findings.len());
        for line in lines.lines() {
            let (head, _) =
                line.split_once("::").map(|(_, rest)| rest.split_once("::").unwrap()).unwrap();
            assert!(head.contains("file=a%2Cb%3Ac%25.json,title="), "{head}");
            assert_eq!(head.matches(',').count(), 1, "{head}");
        }
    }
}
