//! What texts say, put together: the score of all utterances, and a finding for each that stands out.

use super::apart::beginning;
use super::report::Report;
use super::score::{self, Model, Signal, Threshold, Topic};
use super::subject::{Piece, Role, Subject};
use super::utterance::{Utterance, Utterances, normalized};
use super::wording::{self, OFFSET, hash};
use super::{bias, directive, harvest};

/// From which risk on an utterance is a finding.
const STANDS_OUT: f64 = 0.25;

/// From which sum on the words are named among the reasons, and what nothing else speaks of.
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
    /// Its signals, a bit for each of [`Model::names`], the first the lowest.
    pub signals: u64,
    /// Its words and pairs of neighbours, each once, in order.
    pub features: Vec<String>,
    /// What it is about: the beginnings of its longer words, in order.
    pub topics: Vec<String>,
    /// Those that nothing else in the definition has.
    pub apart: Vec<String>,
    /// Those that it and the next have, and nothing else, where the two are judged together.
    pub apart_with_next: Vec<String>,
    /// Whether it is a name, whose words count for the definition as a whole, and by itself for nothing.
    pub name: bool,
    /// How many words these are, repeated ones counted.
    pub words: usize,
    /// Whether the next one stands in the same text: the two are judged together as well.
    pub followed: bool,
}

/// Everything that is said, in the order in which it stands.
pub(super) fn said(subject: &Subject<'_>, model: &Model) -> Vec<Said> {
    let said = Utterances::new(subject);
    let signals = score::signals(subject, &said);
    let mut list: Vec<Said> = Vec::with_capacity(said.list.len());
    let topics = said.topics(&model.common);
    for (at, (one, (signals, _))) in said.list.iter().zip(signals).enumerate() {
        let Some(piece) = subject.pieces.get(one.piece) else { continue };
        let text = text_of(one, piece);
        let spoken = normalized(text, one.name);
        let features = wording::features(&spoken);
        let single = features.iter().filter(|one| !one.contains(' '));
        let mut about: Vec<String> =
            single.filter_map(|one| beginning(one)).map(str::to_owned).collect();
        about.dedup();
        let apart = |to: usize| {
            let mine = about.iter().filter(|one| topics.is_apart(hash(OFFSET, one), at, to));
            mine.cloned().collect::<Vec<String>>()
        };
        let (alone, with_next) = (apart(at), apart(at + usize::from(said.follows(at))));
        list.push(Said {
            path: subject.pointer(piece),
            at: one.span.start,
            text: text.to_owned(),
            signals,
            apart: alone,
            apart_with_next: with_next,
            topics: about,
            features: features.into_iter().collect(),
            name: one.name,
            words: wording::count(&spoken),
            followed: said.follows(at),
        });
    }
    // What only the second of two has stands apart from all but the first.
    for at in 1..list.len() {
        if let [.., one, next] = list.get_mut(..=at).unwrap_or_default()
            && one.followed
        {
            one.apart_with_next.extend(next.apart.iter().cloned());
        }
    }
    list
}

/// An utterance as it stands.
fn text_of<'a>(one: &Utterance, piece: &Piece<'a>) -> &'a str {
    piece.text.get(one.span.clone()).unwrap_or(piece.text)
}

pub(super) fn look(subject: &Subject<'_>, model: &Model, report: &mut Report<'_, '_>) {
    let said = Utterances::new(subject);
    let signals = score::signals(subject, &said);
    let (mut worst, mut evident, mut bias) = (0.0_f64, 0.0_f64, 0.0_f64);
    // What two sentences give away together stands where the graver of them is, once.
    let mut graver: Vec<Grave> = vec![Grave::default(); signals.len()];
    let whole = model.whole.sum(said.list.iter().map(|one| &one.spoken));
    let topics = said.topics(&model.common);
    let length = Model::length(said.words());
    let judged = |at: usize, signals: u64, one: &Utterance, next: Option<&Utterance>| {
        let next = next.map(|next| &next.spoken);
        let (words, apart) = match one.name {
            true => (0.0, 0.0),
            false => (
                model.wording.sum(&one.spoken, next),
                model.wording.apart(topics.numbers(at, &one.spoken, next)),
            ),
        };
        let risk = model.risk(signals, words + apart + length);
        Grave { risk, signals, words, apart }
    };
    let alone: Vec<Grave> = (said.list.iter().zip(&signals).enumerate())
        .map(|(at, (one, (alone, _)))| judged(at, *alone, one, None))
        .collect();
    for (at, (one, (own, (_, both)))) in
        said.list.iter().zip(alone.iter().zip(&signals)).enumerate()
    {
        bias = bias.max(bias::score(model, *both));
        let next = said.list.get(at + 1).filter(|_| said.follows(at));
        let pair = next.map(|next| judged(at, *both, one, Some(next)));
        // What two say together stands at the graver of them.
        let later = alone.get(at + 1).is_some_and(|next| next.risk > own.risk);
        let pair = pair.map(|pair| (pair, at + usize::from(later)));
        for (grave, at) in [Some((*own, at)), pair].into_iter().flatten() {
            let sum = grave.words + grave.apart + length + whole;
            worst = worst.max(model.risk(grave.signals, sum));
            // What is shown is judged by itself: the rest makes it neither better nor worse.
            evident = evident.max(grave.risk);
            if grave.risk >= STANDS_OUT
                && let Some(place) = graver.get_mut(at)
                && place.risk < grave.risk
            {
                *place = grave;
            }
        }
    }
    for (at, (one, grave)) in said.list.iter().zip(graver).enumerate() {
        let Some(piece) = subject.pieces.get(one.piece) else { continue };
        if grave.risk >= STANDS_OUT {
            let text = normalized(text_of(one, piece), one.name);
            let strange = match grave.apart >= WORDS_TELL {
                true => topics.strangers(at, &text),
                false => Vec::new(),
            };
            found(model, report, (one, piece, &text), grave, &strange);
        }
    }
    let suspected = worst >= Threshold::OnePercent.risk();
    if suspected && evident < Threshold::OnePercent.evident() {
        report.of(&directive::WORDING, "", worst, AS_A_WHOLE);
    }
    report.texts(worst, evident, bias);
}

/// The risk of an utterance, its signals, and what its words add and what stands apart.
#[derive(Clone, Copy, Default)]
struct Grave {
    risk: f64,
    signals: u64,
    words: f64,
    apart: f64,
}

/// One utterance that stands out: the code of its strongest reason, and the reasons.
fn found(
    model: &Model,
    report: &mut Report<'_, '_>,
    (one, piece, text): (&Utterance, &Piece<'_>, &str),
    Grave { risk, signals, words, .. }: Grave,
    strange: &[String],
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
        let heavy = model.wording.reasons(text);
        let heavy: Vec<String> = heavy.iter().map(|words| report.shown(words)).collect();
        most.push(match heavy.is_empty() {
            // Those of its neighbours weigh.
            true => "it and what follows it are worded as attacks are".to_owned(),
            false => format!("attacks are worded like it, most of all {}", heavy.join(", ")),
        });
    }
    if !strange.is_empty() {
        let strange: Vec<String> = strange.iter().map(|word| report.shown(word)).collect();
        most.push(format!(
            "it speaks of {}, which nothing else in this definition does",
            strange.join(", ")
        ));
    }
    if most.is_empty() {
        // A name is never free of suspicion, which is no reason.
        if risk < Threshold::OnePercent.evident() {
            return;
        }
        most.push("it is about something else than the rest, and much is said in it".to_owned());
    }
    let what = match piece.parameter {
        Some(parameter) => format!("of {}: {}", report.shown(parameter), most.join("; ")),
        None => most.join("; "),
    };
    report.graded(code, piece, one.span.clone(), risk, what);
}

#[cfg(test)]
mod tests;
