//! The least of a smooth sum, by steps that remember how its slope has changed (L-BFGS; Nocedal 1980).

use std::collections::VecDeque;

use etdi_core::analyze::Model;

use super::learn::logistic;

/// A sentence as numbers: the places of its signals and of its words among the weights.
pub(crate) struct Row {
    pub(crate) signals: Vec<u32>,
    pub(crate) words: Vec<u32>,
    /// What each word counts for.
    pub(crate) share: f64,
    /// The numbers for what stands apart, and the place of the first among the weights.
    pub(crate) apart: [f64; 3],
    pub(crate) first: usize,
    pub(crate) malicious: bool,
    pub(crate) weight: f64,
}

impl Row {
    /// What it comes to as a definition is judged: what harmless words take off, and what is spoken of
    /// elsewhere, has floors.
    pub(crate) fn score(&self, weights: &[f64]) -> f64 {
        let of = |list: &[u32]| list.iter().map(|at| weights[*at as usize]).sum::<f64>();
        let three = self.three(weights);
        let apart = Model::apart(self.apart, [three[0], three[1], three[2]]);
        of(&self.signals) + (self.share * of(&self.words)).max(Model::reckoned(-1e9, 1)) + apart
    }

    fn three<'a>(&self, weights: &'a [f64]) -> &'a [f64] {
        &weights[self.first..self.first + 3]
    }
}

const STEPS: usize = 80;
const MEMORY: usize = 8;

/// Fits logistic regression: moves the weights, but for those that are held, and gives the constant.
/// Weights are held to where `priors` has them, and those beyond to nought. From the constant of an earlier
/// fit on with the floors of the score, without which the sum has one least value.
pub(crate) fn minimum(
    rows: &[Row],
    weights: &mut [f64],
    priors: &[f64],
    held: &[bool],
    from: Option<f64>,
) -> f64 {
    let floors = from.is_some();
    let size = weights.len();
    // The constant is the last.
    let mut at: Vec<f64> = weights.to_vec();
    at.push(from.unwrap_or(-3.0));
    let (mut loss, mut slope) = slope_at(rows, &at, priors, held, floors);
    let mut past: VecDeque<(Vec<f64>, Vec<f64>, f64)> = VecDeque::new();
    for _ in 0..STEPS {
        let way = direction(&slope, &past);
        let falls = dot(&way, &slope);
        let mut step =
            if past.is_empty() { 1.0 / dot(&slope, &slope).sqrt().max(1.0) } else { 1.0 };
        let (mut next, mut found) = (at.clone(), (loss, slope.clone()));
        for _ in 0..20 {
            next = at.iter().zip(&way).map(|(at, way)| at + step * way).collect();
            found = slope_at(rows, &next, priors, held, floors);
            if found.0 <= loss + 1e-4 * step * falls {
                break;
            }
            step /= 2.0;
        }
        let moved: Vec<f64> = next.iter().zip(&at).map(|(next, at)| next - at).collect();
        let turned: Vec<f64> = found.1.iter().zip(&slope).map(|(next, at)| next - at).collect();
        let curved = dot(&moved, &turned);
        let better = loss - found.0;
        (at, loss, slope) = (next, found.0, found.1);
        if curved > 1e-12 {
            past.push_back((moved, turned, curved));
        }
        if past.len() > MEMORY {
            past.pop_front();
        }
        if better < 1e-5 * loss {
            break;
        }
    }
    weights.copy_from_slice(&at[..size]);
    at[size]
}

/// The sum and its slope.
fn slope_at(
    rows: &[Row],
    at: &[f64],
    priors: &[f64],
    held: &[bool],
    floors: bool,
) -> (f64, Vec<f64>) {
    let (least, few) = (Model::apart([-1e9; 3], [1.0; 3]), Model::reckoned(-1e9, 1));
    let size = held.len();
    let mut slope: Vec<f64> = at.to_vec();
    slope.iter_mut().zip(priors).for_each(|(slope, prior)| *slope -= prior);
    slope[size] = 0.0;
    let mut loss = slope.iter().map(|away| away * away / 2.0).sum::<f64>();
    for row in rows {
        let of = |list: &[u32]| list.iter().map(|one| at[*one as usize]).sum::<f64>();
        let (mut words, mut apart) = (row.share * of(&row.words), dot(&row.apart, row.three(at)));
        let (flat_words, flat_apart) = (floors && words < few, floors && apart < least);
        words = if flat_words { few } else { words };
        apart = if flat_apart { least } else { apart };
        let sum = at[size] + of(&row.signals) + words + apart;
        let towards = if row.malicious { -sum } else { sum };
        loss += row.weight * (towards.max(0.0) + (-towards.abs()).exp().ln_1p());
        let error = row.weight * (logistic(sum) - f64::from(u8::from(row.malicious)));
        slope[size] += error;
        row.signals.iter().for_each(|signal| slope[*signal as usize] += error);
        if !flat_words {
            row.words.iter().for_each(|word| slope[*word as usize] += error * row.share);
        }
        if flat_apart {
            continue;
        }
        (0..3).for_each(|at| slope[row.first + at] += error * row.apart[at]);
    }
    slope.iter_mut().zip(held).filter(|(_, held)| **held).for_each(|(slope, _)| *slope = 0.0);
    (loss, slope)
}

/// Where to go, from the slope here and how it changed before.
fn direction(slope: &[f64], past: &VecDeque<(Vec<f64>, Vec<f64>, f64)>) -> Vec<f64> {
    let mut way: Vec<f64> = slope.iter().map(|slope| -slope).collect();
    let mut parts = Vec::new();
    for (moved, turned, curved) in past.iter().rev() {
        let part = dot(moved, &way) / curved;
        parts.push(part);
        way.iter_mut().zip(turned).for_each(|(way, turned)| *way -= part * turned);
    }
    if let Some((_, turned, curved)) = past.back() {
        let scale = curved / dot(turned, turned);
        way.iter_mut().for_each(|way| *way *= scale);
    }
    for ((moved, turned, curved), part) in past.iter().zip(parts.into_iter().rev()) {
        let rest = part - dot(turned, &way) / curved;
        way.iter_mut().zip(moved).for_each(|(way, moved)| *way += rest * moved);
    }
    way
}

fn dot(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).map(|(one, other)| one * other).sum()
}
