//! `etdi guard` between clients and servers of both eras. This program is both ends: it starts itself
//! as the server, and speaks to the guard line by line, so that every byte is seen.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by a panic"
)]

mod client;
mod gone;
mod rules;
mod server;
#[path = "../terminal/mod.rs"]
mod terminal;
mod through;
mod trust;
mod way;

/// A test by its name.
type Test = (&'static str, fn());

fn main() {
    let words: Vec<String> = std::env::args().collect();
    if words.get(1).is_some_and(|word| word == server::SERVE) {
        return server::run(&words[2..]);
    }
    if words.iter().any(|word| word == "--list") {
        return;
    }
    let wanted = words.get(1).filter(|word| !word.starts_with('-'));
    let mut failed = Vec::new();
    let own = [way::TESTS, trust::TESTS, rules::TESTS, through::TESTS, gone::TESTS];
    for (name, test) in own.into_iter().flatten() {
        if wanted.is_some_and(|wanted| !name.contains(wanted.as_str())) {
            continue;
        }
        match std::panic::catch_unwind(test) {
            Ok(()) => println!("test {name} ... ok"),
            Err(_) => {
                println!("test {name} ... FAILED");
                failed.push(*name);
            }
        }
    }
    assert!(failed.is_empty(), "failed: {failed:?}");
}
