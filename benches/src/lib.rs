//! What a call costs, in counts that repeat exactly: allocations and instructions.
//!
//! ```console
//! cargo run --release -p benches --bin gates
//! ```
//!
//! prints each figure beside its limit and fails when one is over. Allocations are counted by an
//! instrumented global allocator, instructions by callgrind (`valgrind` must be installed). Each
//! figure is a difference between a long and a short run of the same process, so that start-up
//! does not count.

pub mod callgrind;
pub mod child;
pub mod decode;
pub mod web;

/// One measured figure and the most that it may be.
#[derive(Debug, Clone)]
pub struct Figure {
    /// What was measured.
    pub name: String,
    /// The count, per call.
    pub count: f64,
    /// The most that it may be.
    pub limit: f64,
}

impl Figure {
    /// Whether the figure is within its limit.
    pub fn holds(&self) -> bool {
        self.count <= self.limit
    }
}

impl std::fmt::Display for Figure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let verdict = if self.holds() { "ok  " } else { "OVER" };
        write!(f, "{verdict} {:<58} {:>10.2}  (limit {})", self.name, self.count, self.limit)
    }
}
