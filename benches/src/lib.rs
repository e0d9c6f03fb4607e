//! Counts of instructions and allocations, as gates.
