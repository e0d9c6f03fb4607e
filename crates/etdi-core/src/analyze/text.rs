//! What texts say, put together: the score of all utterances, and a finding for each that stands out.

use super::report::Report;
use super::score::{self, Model, Signal, Topic};
use super::subject::{Piece, Role, Subject};
use super::utterance::{Utterance, Utterances};
use super::{bias, directive, harvest};

/// From which risk on an utterance is a finding.
const STANDS_OUT: f64 = 0.3;

/// One sentence of a definition, as the score sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Said {
    /// Where: a JSON pointer (RFC 6901).
    pub path: String,
    /// The sentence as it stands there.
    pub text: String,
    /// Its signals, a bit for each of [`Model::names`], the first the lowest.
    pub signals: u64,
}

/// Everything that is said, in the order in which it stands.
pub(super) fn said(subject: &Subject<'_>) -> Vec<Said> {
    let said = Utterances::new(subject);
    let signals = score::signals(subject, &said);
    let pieces = said.list.iter().filter_map(|one| Some((one, subject.pieces.get(one.piece)?)));
    pieces
        .zip(signals)
        .map(|((one, piece), (_, signals))| Said {
            path: subject.pointer(piece),
            text: piece.text.get(one.span.clone()).unwrap_or(piece.text).to_owned(),
            signals,
        })
        .collect()
}

pub(super) fn look(subject: &Subject<'_>, model: &Model, report: &mut Report<'_, '_>) {
    let said = Utterances::new(subject);
    let signals = score::signals(subject, &said);
    let mut worst = 0.0_f64;
    let mut bias = 0.0_f64;
    // What two sentences give away together stands where the graver of them is, once.
    let mut graver: Vec<(f64, u64)> = vec![(0.0, 0); signals.len()];
    for (at, (alone, both)) in signals.iter().enumerate() {
        let risk = model.risk(*both);
        worst = worst.max(risk);
        bias = bias.max(bias::score(model, *both));
        let next = signals.get(at + 1).filter(|_| alone != both);
        let later = next.is_some_and(|(next, _)| model.risk(*next) > model.risk(*alone));
        let place = graver.get_mut(at + usize::from(later));
        if let Some(place) = place
            && place.0 < risk
        {
            *place = (risk, *both);
        }
    }
    for (one, (risk, signals)) in said.list.iter().zip(graver) {
        let Some(piece) = subject.pieces.get(one.piece) else { continue };
        if risk < STANDS_OUT {
            continue;
        }
        found(model, report, (one, piece), risk, signals);
    }
    report.texts(worst, bias);
}

/// One utterance that stands out: the code of its strongest reason, and the reasons.
fn found(
    model: &Model,
    report: &mut Report<'_, '_>,
    (one, piece): (&Utterance, &Piece<'_>),
    risk: f64,
    signals: u64,
) {
    let mut reasons: Vec<(&Signal, f64)> = model.of(signals).collect();
    reasons.sort_by(|(_, one), (_, other)| other.total_cmp(one));
    let asks = matches!(piece.role, Role::ParameterName);
    let code = reasons.iter().find(|(one, _)| one.topic != Topic::Manner).map_or(
        directive::of(Topic::Act),
        |(signal, _)| match asks {
            true => harvest::of(one.says, signal.topic),
            false => bias::of(signal.topic).unwrap_or_else(|| directive::of(signal.topic)),
        },
    );
    let most = reasons.iter().filter(|(_, weight)| *weight > 0.0).take(3);
    let most: Vec<&str> = most.map(|(one, _)| one.says).collect();
    let what = match piece.parameter {
        Some(parameter) => format!("of {}: {}", report.shown(parameter), most.join("; ")),
        None => most.join("; "),
    };
    report.graded(code, piece, one.span.clone(), risk, what);
}

#[cfg(test)]
mod tests;
