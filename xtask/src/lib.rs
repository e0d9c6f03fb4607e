//! Chores of the workspace: code generation, tidy, ci.
