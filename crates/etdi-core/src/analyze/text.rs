//! What texts say, put together: the score of all utterances, and a finding for each that stands out.

use super::report::Report;
use super::score::{self, Model, Signal, Topic};
use super::subject::{Role, Subject};
use super::utterance::Utterances;
use super::{bias, directive, harvest};

/// From which risk on an utterance is a finding.
const STANDS_OUT: f64 = 0.3;

/// The place and the signals of each utterance.
pub(super) fn signals(subject: &Subject<'_>) -> Vec<(String, u64)> {
    let said = Utterances::new(subject);
    let signals = score::signals(subject, &said);
    let pieces = said.list.iter().map(|one| subject.pieces.get(one.piece));
    let places = pieces.map(|piece| piece.map_or(String::new(), |piece| subject.pointer(piece)));
    places.zip(signals).collect()
}

pub(super) fn look(subject: &Subject<'_>, model: &Model, report: &mut Report<'_, '_>) {
    let said = Utterances::new(subject);
    let mut worst = 0.0_f64;
    let mut bias = 0.0_f64;
    for (one, signals) in said.list.iter().zip(score::signals(subject, &said)) {
        let risk = model.risk(signals);
        worst = worst.max(risk);
        bias = bias.max(bias::score(model, signals));
        let Some(piece) = subject.pieces.get(one.piece) else { continue };
        if risk < STANDS_OUT {
            continue;
        }
        let mut reasons: Vec<(&Signal, f64)> = model.of(signals).collect();
        reasons.sort_by(|(_, one), (_, other)| other.total_cmp(one));
        let asks = matches!(piece.role, Role::ParameterName);
        let code = reasons.iter().find(|(one, _)| one.topic != Topic::Manner).map_or(
            directive::of(Topic::Act),
            |(one, _)| match asks {
                true => harvest::of(one.topic),
                false => bias::of(one.topic).unwrap_or_else(|| directive::of(one.topic)),
            },
        );
        let most = reasons.iter().filter(|(_, weight)| *weight > 0.0).take(3);
        let most: Vec<&str> = most.map(|(one, _)| one.says).collect();
        report.graded(code, piece, one.span.clone(), risk, most.join("; "));
    }
    report.texts(worst, bias);
}
