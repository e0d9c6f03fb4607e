//! The client against servers in the same program, real ones and scripted ones.

mod calls;
mod input;
mod listing;
mod script;
mod subscription;
