//! What texts say, put together: the score of all utterances, and a finding for each that stands out.

use std::collections::BTreeSet;

use super::report::Report;
use super::score::{self, Model, Signal, Threshold, Topic};
use super::subject::{Piece, Role, Subject};
use super::utterance::{Utterance, Utterances, normalized};
use super::{bias, directive, harvest, wording};

/// From which risk on an utterance is a finding.
const STANDS_OUT: f64 = 0.25;

/// From which sum on the words are named among the reasons.
const WORDS_TELL: f64 = 0.7;

/// What is said where the words of a definition together are all that speaks against it.
const AS_A_WHOLE: &str = "no sentence of it is enough by itself, but its words together are such as malicious \
                          definitions have";

/// One sentence of a definition, as the score sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Said {
    /// Where: a JSON pointer (RFC 6901).
    pub path: String,
    /// At which byte of the string there it begins.
    pub at: usize,
    /// The sentence as it stands there.
    pub text: String,
    /// Its signals with those of the next one, a bit for each of [`Model::names`], the first the lowest.
    pub signals: u64,
    /// Its words and pairs of neighbours with those of the next one, each once, in order.
    pub features: Vec<String>,
    /// Whether it is a name, whose words count for the definition as a whole, and by itself for nothing.
    pub name: bool,
    /// How many words these are, repeated ones counted.
    pub words: usize,
}

/// Everything that is said, in the order in which it stands.
pub(super) fn said(subject: &Subject<'_>) -> Vec<Said> {
    let said = Utterances::new(subject);
    let signals = score::signals(subject, &said);
    let texts: Vec<(&str, String)> = said.list.iter().map(|one| text_of(subject, one)).collect();
    let mut list = Vec::with_capacity(texts.len());
    for (at, ((one, (text, spoken)), (_, signals))) in
        said.list.iter().zip(&texts).zip(signals).enumerate()
    {
        let Some(piece) = subject.pieces.get(one.piece) else { continue };
        let mut features = BTreeSet::new();
        let mut words = 0;
        let next = texts.get(at + 1).filter(|_| said.follows(at));
        for spoken in [Some(spoken), next.map(|(_, spoken)| spoken)].into_iter().flatten() {
            features.append(&mut wording::features(spoken));
            words += wording::count(spoken);
        }
        let (path, text) = (subject.pointer(piece), (*text).to_owned());
        let features = features.into_iter().collect();
        let at = one.span.start;
        list.push(Said { path, at, text, signals, features, words, name: one.name });
    }
    list
}

/// An utterance as it stands, and as its words are read.
fn text_of<'a>(subject: &Subject<'a>, one: &Utterance) -> (&'a str, String) {
    let Some(piece) = subject.pieces.get(one.piece) else { return ("", String::new()) };
    let text = text_of_piece(one, piece);
    (text, normalized(text, one.name))
}

fn text_of_piece<'a>(one: &Utterance, piece: &Piece<'a>) -> &'a str {
    piece.text.get(one.span.clone()).unwrap_or(piece.text)
}

pub(super) fn look(subject: &Subject<'_>, model: &Model, report: &mut Report<'_, '_>) {
    let said = Utterances::new(subject);
    let signals = score::signals(subject, &said);
    let (mut worst, mut evident, mut bias) = (0.0_f64, 0.0_f64, 0.0_f64);
    // What two sentences give away together stands where the graver of them is, once.
    let mut graver: Vec<Grave> = vec![(0.0, 0, 0.0); signals.len()];
    let whole = model.whole.sum(said.list.iter().map(|one| &one.spoken));
    let words_of = |one: &Utterance, next: Option<&Utterance>| match one.name {
        true => 0.0,
        false => model.wording.sum(&one.spoken, next.map(|next| &next.spoken)),
    };
    let risk_alone = |at: usize| {
        let one = said.list.get(at).zip(signals.get(at));
        one.map_or(0.0, |(one, (alone, _))| model.risk(*alone, words_of(one, None)))
    };
    for (at, (one, (_, both))) in said.list.iter().zip(&signals).enumerate() {
        let next = said.list.get(at + 1).filter(|_| said.follows(at));
        let words = words_of(one, next);
        worst = worst.max(model.risk(*both, words + whole));
        bias = bias.max(bias::score(model, *both));
        // What is shown is judged by itself: the rest makes it neither better nor worse.
        let risk = model.risk(*both, words);
        evident = evident.max(risk);
        if risk < STANDS_OUT {
            continue;
        }
        let later = next.is_some() && risk_alone(at + 1) > risk_alone(at);
        let place = graver.get_mut(at + usize::from(later));
        if let Some(place) = place
            && place.0 < risk
        {
            *place = (risk, *both, words);
        }
    }
    for (one, grave) in said.list.iter().zip(graver) {
        let Some(piece) = subject.pieces.get(one.piece) else { continue };
        if grave.0 >= STANDS_OUT {
            found(model, report, (one, piece), grave);
        }
    }
    let suspected = worst >= Threshold::OnePercent.risk();
    if suspected && evident < Threshold::OnePercent.evident() {
        report.of(&directive::WORDING, "", worst, AS_A_WHOLE);
    }
    report.texts(worst, evident, bias);
}

/// The risk of an utterance, its signals, and what its words add.
type Grave = (f64, u64, f64);

/// One utterance that stands out: the code of its strongest reason, and the reasons.
fn found(
    model: &Model,
    report: &mut Report<'_, '_>,
    (one, piece): (&Utterance, &Piece<'_>),
    (risk, signals, words): Grave,
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
    let mut most: Vec<String> = most.map(|(one, _)| one.says.to_owned()).collect();
    if words >= WORDS_TELL {
        let text = text_of_piece(one, piece);
        let heavy = model.wording.reasons(&normalized(text, one.name));
        let heavy: Vec<String> = heavy.iter().map(|words| report.shown(words)).collect();
        most.push(match heavy.is_empty() {
            // Those of its neighbours weigh.
            true => "it and what follows it are worded as attacks are".to_owned(),
            false => format!("attacks are worded like it, most of all {}", heavy.join(", ")),
        });
    }
    let what = match piece.parameter {
        Some(parameter) => format!("of {}: {}", report.shown(parameter), most.join("; ")),
        None => most.join("; "),
    };
    report.graded(code, piece, one.span.clone(), risk, what);
}

#[cfg(test)]
mod tests;
