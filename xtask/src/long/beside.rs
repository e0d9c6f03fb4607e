//! `cargo xtask long beside`: an application that has `jsonwebtoken`'s own cryptography on
//! (`rust_crypto`), in a package outside the workspace.
//!
//! The crates which that brings are banned here, and a feature that one package turns on is on for all
//! of a workspace: so it cannot be one of our tests. cargo fetches the crates; nothing of ours keeps
//! them.

use std::path::Path;
use std::process::Command;

use crate::process::{capture, finish};
use crate::tools::{copy, write};

/// Who comes first: the application by its own choice, by decoding a token, or we.
const CASES: [&str; 3] = ["chosen", "decoded", "ours"];

/// Builds it and runs each case, a process each.
///
/// # Errors
///
/// When it cannot be built, or what a case says.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    let package = root.join("target/long/beside");
    let manifest = HEAD.replace("ROOT", &root.display().to_string());
    write(&package.join("Cargo.toml"), manifest.as_bytes())?;
    write(&package.join("src/main.rs"), PROGRAM.as_bytes())?;
    // The versions that we test with; cargo adds what the feature brings.
    copy(&root.join("Cargo.lock"), &package.join("Cargo.lock"))?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let build = root.join("target/long/build");
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet"]).current_dir(&package).env("CARGO_TARGET_DIR", &build);
    finish(command.env("CARGO_PROFILE_DEV_DEBUG", "0"))?;
    for case in CASES {
        let ended = capture(&[build.join("debug/beside"), case.into()], &package)?;
        if ended.code != Some(0) || ended.stdout.trim() != "ok" {
            return Err(format!("long: beside `rust_crypto`, {case}: {}", ended.stderr));
        }
        println!("long: beside `rust_crypto`, {case}: ok");
    }
    Ok(())
}

const HEAD: &str = r#"[package]
name = "beside"
version = "1.0.0"
edition = "2024"
publish = false

[dependencies]
etdi-oauth = { path = "ROOT/crates/etdi-oauth" }
jsonwebtoken = { version = "11", features = ["rust_crypto"] }
serde_json = "1"

[workspace]
"#;

const PROGRAM: &str = r#"//! An application with its own cryptography on, and a token of its own.

use etdi_oauth::crypto::{PROVIDER, install};
use jsonwebtoken::crypto::rust_crypto;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};

fn round() {
    let claims = serde_json::json!({ "exp": 4_000_000_000_u64 });
    let secret = b"a secret of the application itself";
    let header = Header::new(Algorithm::HS256);
    let token = encode(&header, &claims, &EncodingKey::from_secret(secret)).expect("a token");
    let (key, lax) = (DecodingKey::from_secret(secret), Validation::new(Algorithm::HS256));
    decode::<serde_json::Value>(&token, &key, &lax).expect("it counts");
}

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("chosen") => {
            rust_crypto::DEFAULT_PROVIDER.install_default().expect("it is the first");
            install().expect("the application's choice is as good");
        }
        Some("decoded") => {
            round();
            install().expect("what was there by itself is as good");
        }
        _ => {
            install().expect("ours");
            assert!(PROVIDER.install_default().is_err(), "it is there already");
            assert!(rust_crypto::DEFAULT_PROVIDER.install_default().is_err(), "and stays");
        }
    }
    round();
    println!("ok");
}
"#;
