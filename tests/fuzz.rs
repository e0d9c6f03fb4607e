//! The fuzz targets over their seeds, whole and damaged, so that neither can rot.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on says so by a panic"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use fuzz_targets::TARGETS;

#[test]
fn every_target_takes_its_seeds_and_what_is_left_of_them() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds");
    for (name, target) in TARGETS {
        let folder =
            fs::read_dir(seeds.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let files: BTreeSet<_> = folder.map(|file| file.unwrap().path()).collect();
        assert!(!files.is_empty(), "{name} has no seeds");
        for file in files {
            // Captured, and shown when one of them is a finding.
            println!("{}", file.display());
            let seed = fs::read(&file).unwrap();
            target(&seed);
            let step = seed.len() / 64 + 1;
            for at in (0..seed.len()).step_by(step) {
                target(&seed[..at]);
                for byte in [b'"', b'{', b'\\', b'\n', 0, 0xff] {
                    let mut damaged = seed.clone();
                    damaged[at] = byte;
                    target(&damaged);
                }
            }
        }
    }
}

#[test]
fn every_target_has_a_binary() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    let manifest = fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
    let binaries = fs::read_dir(fuzz.join("fuzz_targets")).unwrap().count();
    assert_eq!(binaries, TARGETS.len());
    for (name, _) in TARGETS {
        let binary = fs::read_to_string(fuzz.join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(binary.contains(&format!("fuzz_targets::{name}(data)")), "{name}");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
    }
}
