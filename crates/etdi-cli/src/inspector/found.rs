//! What was looked at, what was found, and whether that is too much.

use std::str::FromStr;

use etdi_core::analyze::{Analysis, Finding};
use etdi_core::event::Severity;
use serde_json::{Map, Value, json};

use super::region::Region;

/// One definition that was looked at.
#[derive(Debug)]
pub struct Looked {
    /// The file that it stands in.
    pub file: Option<String>,
    /// The server that it is of.
    pub server: Option<String>,
    /// Where it stands in the file, or in what the server lists: a JSON pointer.
    pub pointer: String,
    /// Where in the file that is, and where each finding stands.
    pub regions: Option<(Region, Vec<Region>)>,
    /// What was found.
    pub analysis: Analysis,
}

impl Looked {
    /// The gravest of its findings.
    pub fn gravest(&self) -> Option<Severity> {
        self.analysis.findings.iter().map(|finding| finding.severity).max()
    }

    /// Its name, with that of its server.
    pub fn title(&self) -> String {
        let name = match self.analysis.name.is_empty() {
            true => "(without a name)",
            false => &self.analysis.name,
        };
        match &self.server {
            Some(server) => format!("{server}#{name}"),
            None => name.to_owned(),
        }
    }

    /// Each finding with where it stands in the file.
    pub fn findings(&self) -> impl Iterator<Item = (&Finding, Option<Region>)> {
        let regions = self.regions.as_ref().map(|(_, regions)| regions.as_slice());
        let region = move |number: usize| regions.and_then(|regions| regions.get(number)).copied();
        let findings = self.analysis.findings.iter().enumerate();
        findings.map(move |(number, finding)| (finding, region(number)))
    }

    /// For programs: the analysis, and where it stands.
    pub fn data(&self) -> Value {
        let mut data = match serde_json::to_value(&self.analysis) {
            Ok(Value::Object(members)) => members,
            _ => Map::new(),
        };
        let mut put = |name: &str, value: Value| data.insert(name.to_owned(), value);
        if let Some(file) = &self.file {
            put("file", json!(file));
        }
        if let Some(server) = &self.server {
            put("server", json!(server));
        }
        if let Some((region, _)) = &self.regions {
            put("line", json!(region.line));
        }
        put("pointer", json!(self.pointer));
        Value::Object(data)
    }
}

/// When findings make a command fail.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum FailOn {
    /// Never.
    #[default]
    Never,
    /// When one is at least this grave.
    Severity(Severity),
    /// When a definition's risk is at least this.
    Risk(f64),
}

impl FailOn {
    /// Whether one definition is too much.
    pub fn is_met(self, analysis: &Analysis) -> bool {
        match self {
            Self::Never => false,
            Self::Severity(least) => analysis.findings.iter().any(|one| one.severity >= least),
            Self::Risk(least) => analysis.risk >= least,
        }
    }
}

impl FromStr for FailOn {
    type Err = String;

    /// Reads `never`, a severity, or a risk from 0 to 1.
    fn from_str(text: &str) -> Result<Self, String> {
        if text == "never" {
            return Ok(Self::Never);
        }
        if let Ok(severity) = serde_json::from_value(json!(text)) {
            return Ok(Self::Severity(severity));
        }
        match text.parse::<f64>() {
            Ok(risk) if (0.0..=1.0).contains(&risk) => Ok(Self::Risk(risk)),
            _ => Err("write low, medium, high, critical, a risk from 0 to 1, or never".to_owned()),
        }
    }
}

/// How many findings of each severity there are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Definitions.
    pub definitions: usize,
    /// Findings, from low to critical.
    pub findings: [usize; 4],
}

/// The severities from low to critical.
pub const SEVERITIES: [Severity; 4] =
    [Severity::Low, Severity::Medium, Severity::High, Severity::Critical];

impl Counts {
    /// Counts one definition.
    pub fn add(&mut self, analysis: &Analysis) {
        self.definitions += 1;
        for finding in &analysis.findings {
            for (severity, count) in SEVERITIES.iter().zip(&mut self.findings) {
                *count += usize::from(finding.severity == *severity);
            }
        }
    }

    /// For programs.
    pub fn data(&self) -> Value {
        let mut data = Map::from_iter([("definitions".to_owned(), json!(self.definitions))]);
        for (severity, count) in SEVERITIES.iter().zip(self.findings) {
            data.insert(severity.name().to_owned(), json!(count));
        }
        Value::Object(data)
    }

    /// For people.
    pub fn told(&self) -> String {
        let counted = SEVERITIES.iter().zip(self.findings).rev().filter(|(_, count)| *count > 0);
        let counts: Vec<_> =
            counted.map(|(severity, count)| format!("{count} {}", severity.name())).collect();
        let definitions = match self.definitions {
            1 => "1 definition".to_owned(),
            count => format!("{count} definitions"),
        };
        match counts.is_empty() {
            true => format!("{definitions}, nothing found"),
            false => format!("{definitions}: {}", counts.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_a_severity_or_a_risk() {
        assert_eq!("high".parse(), Ok(FailOn::Severity(Severity::High)));
        assert_eq!("0.5".parse(), Ok(FailOn::Risk(0.5)));
        assert_eq!("never".parse(), Ok(FailOn::Never));
        for text in ["", "HIGH", "1.5", "-0.1", "NaN", "inf"] {
            assert!(text.parse::<FailOn>().is_err(), "{text}");
        }
    }
}
