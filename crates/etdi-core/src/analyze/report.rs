//! What is found while one definition is looked at, and how it adds up.

use core::ops::Range;

use super::finding::{Code, Finding};
use super::subject::{Piece, Subject};
use super::{Analysis, Severity};
use crate::change::visible;

/// The most findings of one definition, and of one code in it.
const MOST: usize = 64;
const MOST_OF_ONE: usize = 8;

/// The most characters of a piece of evidence.
const EVIDENCE: usize = 160;

/// Collects findings. What is found beyond the bounds is not kept; the gravest of its code is.
pub(super) struct Report<'s, 'a> {
    subject: &'s Subject<'a>,
    findings: Vec<Finding>,
}

impl<'s, 'a> Report<'s, 'a> {
    pub(super) fn new(subject: &'s Subject<'a>) -> Self {
        Self { subject, findings: Vec::new() }
    }

    /// Something in a piece: the bytes that show it, how likely it alone makes the definition
    /// malicious, and a sentence about it.
    pub(super) fn at(
        &mut self,
        code: &'static Code,
        piece: &Piece<'_>,
        span: Option<Range<usize>>,
        risk: f64,
        what: impl Into<String>,
    ) {
        let shown = span.clone().and_then(|span| piece.text.get(span)).unwrap_or(piece.text);
        let evidence = cut(shown);
        let path = self.subject.pointer(piece);
        self.add(Finding {
            code,
            severity: code.severity,
            path,
            span,
            evidence,
            what: what.into(),
            risk,
        });
    }

    /// Something of the whole, or at a place that is no text.
    pub(super) fn of(
        &mut self,
        code: &'static Code,
        path: &str,
        risk: f64,
        what: impl Into<String>,
    ) {
        self.add(Finding {
            code,
            severity: code.severity,
            path: path.to_owned(),
            span: None,
            evidence: String::new(),
            what: what.into(),
            risk,
        });
    }

    fn add(&mut self, finding: Finding) {
        let alike = self.findings.iter().filter(|one| one.code == finding.code).count();
        if alike < MOST_OF_ONE && self.findings.len() < MOST {
            self.findings.push(finding);
            return;
        }
        let least = self.findings.iter_mut().filter(|one| one.code == finding.code);
        let least = least.min_by(|one, other| one.risk.total_cmp(&other.risk));
        if let Some(least) = least
            && least.risk < finding.risk
        {
            *least = finding;
        }
    }

    /// All of it. Findings of several codes are taken as independent; several of one code count once.
    pub(super) fn done(mut self) -> Analysis {
        self.findings.sort_by(|one, other| {
            (other.severity.cmp(&one.severity))
                .then(other.risk.total_cmp(&one.risk))
                .then_with(|| one.path.cmp(&other.path))
        });
        let mut harmless = 1.0;
        for (at, finding) in self.findings.iter().enumerate() {
            let rest = self.findings.iter().take(at);
            let most = self.findings.iter().filter(|one| one.code == finding.code);
            if !rest.into_iter().any(|one| one.code == finding.code) {
                harmless *= 1.0 - most.map(|one| one.risk).fold(0.0, f64::max);
            }
        }
        let grave = self.findings.iter().filter(|one| one.severity >= Severity::Medium);
        Analysis {
            name: self.subject.name.to_owned(),
            kind: self.subject.kind,
            risk: 1.0 - harmless,
            vulnerabilities: grave.map(|one| one.what.clone()).collect(),
            findings: self.findings,
        }
    }
}

fn cut(text: &str) -> String {
    let mut characters = text.chars();
    let start: String = characters.by_ref().take(EVIDENCE).collect();
    let mut shown = visible(&start).into_owned();
    if characters.next().is_some() {
        shown.push('…');
    }
    shown
}
