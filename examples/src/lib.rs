//! Programs that a reader can run.
