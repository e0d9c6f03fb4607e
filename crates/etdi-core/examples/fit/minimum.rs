//! The least of a smooth sum, by steps that remember how its slope has changed (L-BFGS; Nocedal 1980).

use std::collections::VecDeque;

use super::learn::logistic;

/// A sentence as numbers: the places of its signals and of its words among the weights.
pub(crate) struct Row {
    pub(crate) signals: Vec<u32>,
    pub(crate) words: Vec<u32>,
    /// What each word counts for.
    pub(crate) share: f64,
    pub(crate) malicious: bool,
    pub(crate) weight: f64,
}

impl Row {
    pub(crate) fn sum(&self, weights: &[f64]) -> f64 {
        let of = |list: &[u32]| list.iter().map(|at| weights[*at as usize]).sum::<f64>();
        of(&self.signals) + self.share * of(&self.words)
    }
}

const STEPS: usize = 80;
const MEMORY: usize = 8;

/// Fits logistic regression: moves the weights, but for those that are held, and gives the constant.
/// Weights are held to where `priors` has them, and those beyond to nought.
pub(crate) fn minimum(rows: &[Row], weights: &mut [f64], priors: &[f64], held: &[bool]) -> f64 {
    let size = weights.len();
    // The constant is the last.
    let mut at: Vec<f64> = weights.to_vec();
    at.push(-3.0);
    let (mut loss, mut slope) = slope_at(rows, &at, priors, held);
    let mut past: VecDeque<(Vec<f64>, Vec<f64>, f64)> = VecDeque::new();
    for _ in 0..STEPS {
        let way = direction(&slope, &past);
        let falls = dot(&way, &slope);
        let mut step =
            if past.is_empty() { 1.0 / dot(&slope, &slope).sqrt().max(1.0) } else { 1.0 };
        let (mut next, mut found) = (at.clone(), (loss, slope.clone()));
        for _ in 0..20 {
            next = at.iter().zip(&way).map(|(at, way)| at + step * way).collect();
            found = slope_at(rows, &next, priors, held);
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
fn slope_at(rows: &[Row], at: &[f64], priors: &[f64], held: &[bool]) -> (f64, Vec<f64>) {
    let size = held.len();
    let mut slope: Vec<f64> = at.to_vec();
    slope.iter_mut().zip(priors).for_each(|(slope, prior)| *slope -= prior);
    slope[size] = 0.0;
    let mut loss = slope.iter().map(|away| away * away / 2.0).sum::<f64>();
    for row in rows {
        let sum = at[size] + row.sum(at);
        let towards = if row.malicious { -sum } else { sum };
        loss += row.weight * (towards.max(0.0) + (-towards.abs()).exp().ln_1p());
        let error = row.weight * (logistic(sum) - f64::from(u8::from(row.malicious)));
        slope[size] += error;
        row.signals.iter().for_each(|signal| slope[*signal as usize] += error);
        row.words.iter().for_each(|word| slope[*word as usize] += error * row.share);
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
