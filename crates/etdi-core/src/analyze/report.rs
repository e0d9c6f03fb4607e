//! What is found while one definition is looked at, and how it adds up.

use core::ops::Range;
use std::collections::BTreeMap;

use super::finding::{Code, Family, Finding};
use super::legacy::LegacyScore;
use super::score::Threshold;
use super::subject::{Piece, Subject};
use super::{Analysis, Severity};
use crate::change::visible;

/// The most findings of one definition, and of one code in it.
const MOST: usize = 64;
const MOST_OF_ONE: usize = 8;

/// The most characters of a piece of evidence.
const EVIDENCE: usize = 160;

/// The most texts that are brought to light in one definition, and their bytes in all.
const UNVEILED: usize = 16;
const UNVEILED_BYTES: usize = 1 << 16;

/// A text that stood in a piece in another form, to be looked at as what it says.
pub(super) struct Unveiled {
    path: String,
    how: &'static str,
    pub(super) text: String,
}

/// Collects findings. What is found beyond the bounds is not kept; the gravest of its code is.
pub(super) struct Report<'s, 'a> {
    subject: &'s Subject<'a>,
    findings: Vec<Finding>,
    /// The gravest of each family, also of those that were not kept.
    worst: BTreeMap<Family, f64>,
    unveiled: Vec<Unveiled>,
    /// What the texts make likely, whether or not it is a finding, and how much they advertise.
    texts: f64,
    /// The same of their sentences alone, one by one.
    evident: f64,
    bias: f64,
    /// What the Python tool would have said, of a tool.
    pub(super) legacy: Option<LegacyScore>,
}

impl<'s, 'a> Report<'s, 'a> {
    pub(super) fn new(subject: &'s Subject<'a>) -> Self {
        let (findings, worst, unveiled) = (Vec::new(), BTreeMap::new(), Vec::new());
        let (texts, evident, bias) = (0.0, 0.0, 0.0);
        Self { subject, findings, worst, unveiled, texts, evident, bias, legacy: None }
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

    /// A sentence, as grave as its risk makes it, which is what it shows by itself.
    pub(super) fn graded(
        &mut self,
        code: &'static Code,
        piece: &Piece<'_>,
        span: Range<usize>,
        risk: f64,
        what: String,
    ) {
        let severity = match risk {
            risk if risk >= Threshold::HalfPercent.evident() => code.severity,
            risk if risk >= Threshold::OnePercent.evident() => code.severity.min(Severity::Medium),
            _ => Severity::Low,
        };
        let evidence = cut(piece.text.get(span.clone()).unwrap_or(piece.text).trim());
        let path = self.subject.pointer(piece);
        self.add(Finding { code, severity, path, span: Some(span), evidence, what, risk });
    }

    /// What all texts together make likely, what their gravest sentence does by itself, and how much
    /// they want to be preferred.
    pub(super) fn texts(&mut self, risk: f64, evident: f64, bias: f64) {
        (self.texts, self.bias) = (self.texts.max(risk), self.bias.max(bias));
        self.evident = self.evident.max(evident);
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

    /// A text for people, as evidence is shown.
    pub(super) fn shown(&self, text: &str) -> String {
        format!("`{}`", cut(text))
    }

    /// A text that a piece holds in another form, which is to be looked at as well.
    /// Says whether it will be.
    pub(super) fn unveil(&mut self, piece: &Piece<'_>, how: &'static str, text: String) -> bool {
        let bytes: usize = self.unveiled.iter().map(|one| one.text.len()).sum();
        let room = self.unveiled.len() < UNVEILED && bytes + text.len() <= UNVEILED_BYTES;
        if room && text.len() > 3 && text != piece.text {
            let path = self.subject.pointer(piece);
            self.unveiled.push(Unveiled { path, how, text });
        }
        room
    }

    pub(super) fn take_unveiled(&mut self) -> Vec<Unveiled> {
        core::mem::take(&mut self.unveiled)
    }

    /// What was found in a text that was brought to light.
    pub(super) fn found_in(&mut self, unveiled: &Unveiled, inner: Report<'_, '_>) {
        self.texts(inner.texts, inner.evident, inner.bias);
        inner.worst.into_iter().for_each(|(family, risk)| self.worst(family, risk));
        for finding in inner.findings {
            let what = format!("{} ({})", finding.what, unveiled.how);
            self.add(Finding { path: unveiled.path.clone(), span: None, what, ..finding });
        }
    }

    fn worst(&mut self, family: Family, risk: f64) {
        let worst = self.worst.entry(family).or_default();
        *worst = worst.max(risk.clamp(0.0, 1.0));
    }

    fn add(&mut self, finding: Finding) {
        self.worst(finding.code.family, finding.risk);
        let alike = self.findings.iter().filter(|one| one.code == finding.code).count();
        if alike < MOST_OF_ONE && self.findings.len() < MOST {
            self.findings.push(finding);
            return;
        }
        let graver = |one: &Finding, other: &Finding| {
            one.severity.cmp(&other.severity).then(one.risk.total_cmp(&other.risk))
        };
        // Where nothing is alike the least of all makes room, so that nothing grave drowns in trifles.
        let full = alike < MOST_OF_ONE;
        let least = self.findings.iter_mut().filter(|one| full || one.code == finding.code);
        if let Some(least) = least.min_by(|one, other| graver(one, other))
            && graver(least, &finding).is_lt()
        {
            *least = finding;
        }
    }

    /// All of it. Families are taken as independent; of one family the gravest finding counts, and the
    /// three that read texts have one score together.
    pub(super) fn done(mut self) -> Analysis {
        self.findings.sort_by(|one, other| {
            (other.severity.cmp(&one.severity))
                .then(other.risk.total_cmp(&one.risk))
                .then_with(|| one.path.cmp(&other.path))
        });
        let worst = self.worst.iter().filter(|(family, _)| !family.reads_texts());
        let others = worst.fold(1.0, |harmless, (_, risk)| harmless * (1.0 - risk));
        let grave = self.findings.iter().filter(|one| one.severity >= Severity::Medium);
        Analysis {
            name: self.subject.name.to_owned(),
            kind: self.subject.kind,
            risk: 1.0 - (1.0 - self.texts) * others,
            evident: 1.0 - (1.0 - self.evident) * others,
            bias: self.bias,
            security_score: self.legacy.as_ref().map(|legacy| legacy.score),
            legacy: self.legacy,
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

#[cfg(test)]
mod tests {
    use super::super::subject::Kind;
    use super::super::tree::Node;
    use super::*;

    #[test]
    fn trifles_leave_room_for_what_is_grave() {
        let subject = Subject::new(Kind::Tool, &Node::Null);
        let mut report = Report::new(&subject);
        let grave = Code::named("signing/other-definition").unwrap();
        assert_eq!(grave.severity, Severity::High);
        for code in Code::all().filter(|code| code.severity < Severity::High).take(8) {
            (0..MOST_OF_ONE).for_each(|_| report.of(code, "", 0.01, ""));
        }
        report.of(grave, "", 0.9, "");
        let analysis = report.done();
        assert_eq!((analysis.findings.len(), analysis.findings[0].code), (MOST, grave));
        assert!(analysis.risk >= 0.9);
    }
}
