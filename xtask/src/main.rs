//! Chores of the workspace, in Rust: `cargo xtask` lists them. Add no dependency lightly.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use programs::Profile::{Debug, Release};

mod cases;
mod ci;
mod codegen;
mod conformance;
mod corpus;
mod deny;
mod figures;
mod interop;
mod long;
mod process;
mod programs;
mod recall;
mod tidy;
mod tools;

const USAGE: &str = "\
cargo xtask schema --from DIR   describe the published schemas in DIR (kept in xtask/schema)
cargo xtask codegen [--check]   generate crates/mcp-types/src/generated from the descriptions
cargo xtask tidy                keep the invariants of ARCHITECTURE.md
cargo xtask ci                  every check that needs nothing but the compiler
cargo xtask ci --long           the same, and what `long` does
cargo xtask long                the demo and the tests of logins with each verification step taken out,
                                and `long cases`, `long beside` and `long nodes`
cargo xtask long NAME           the former alone, with the steps of that name
cargo xtask long cases          property tests with 100,000 cases, ten million numbers
cargo xtask long beside         an application with jsonwebtoken's own cryptography on
cargo xtask long nodes          three nodes on Redis: 10,000 signed calls at all of them, and one that dies
                                during a thousand calls, tasks and streams
cargo xtask long fuzz [SECONDS] each fuzz target for a minute
cargo xtask corpus              whether the corpus is fit to measure on, and what the scanner is worth
cargo xtask interop             others' clients and servers against ours
cargo xtask conformance [PART]  the official suite, both roles and revisions, against the baseline
                                both with `--debug` first: on programs as the tests build them
cargo xtask figures             crates, size, allocations and instructions, as gates";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let root = root();
    let done = match words.as_slice() {
        ["schema", "--from", folder] => codegen::schema(&root, Path::new(folder)),
        ["codegen"] => codegen::run(&root, false),
        ["codegen", "--check"] => codegen::run(&root, true),
        ["tidy"] => tidy::run(&root),
        ["ci"] => ci::run(&root),
        ["ci", "--long"] => ci::run(&root).and_then(|()| long(&root)),
        ["long"] => long(&root),
        ["long", "cases"] => cases::run(&root),
        ["long", "beside"] => long::beside::run(&root),
        ["long", "nodes"] => cases::nodes(&root),
        ["long", "fuzz"] => cases::fuzz(&root, 60),
        ["long", "fuzz", seconds] => match seconds.parse() {
            Ok(seconds) => cases::fuzz(&root, seconds),
            Err(_) => Err(USAGE.to_owned()),
        },
        ["long", only] => long::run(&root, only),
        ["corpus"] => corpus::run(&root).and_then(|()| recall::run(&root)),
        ["interop"] => interop::run(&root, Release),
        ["interop", "--debug"] => interop::run(&root, Debug),
        ["conformance"] => conformance::run(&root, Release, ""),
        ["conformance", "--debug"] => conformance::run(&root, Debug, ""),
        ["conformance", "--debug", only] => conformance::run(&root, Debug, only),
        ["conformance", only] => conformance::run(&root, Release, only),
        ["figures"] => figures::run(&root),
        _ => Err(USAGE.to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// All that takes long and needs nothing but the compiler, and Redis for the nodes.
fn long(root: &Path) -> Result<(), String> {
    long::run(root, "")?;
    cases::run(root)?;
    long::beside::run(root)?;
    cases::nodes(root)
}

/// The workspace's root folder, which holds this package's.
fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_owned()
}
