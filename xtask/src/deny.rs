//! What may be depended on: `Cargo.lock` and the licences of what it locks, against `deny.toml`.
//!
//! `cargo deny` reads the same file, and has to be installed and online; this has not. Licences are
//! looked up for what this platform builds, because the others' packages may not be on the machine.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// The crates whose cryptography no default build may have, and where they are optional.
const BEHIND_FEATURES: &[&str] = &["aes", "cbc", "rsa"];
const FEATURES: &[&str] = &["rsa-keys", "python-fork"];
const MANIFEST: &str = "crates/etdi-core/Cargo.toml";

/// Checks the lock, the licences and the two features.
///
/// # Errors
///
/// When a file cannot be read, or cargo cannot tell the licences.
pub(crate) fn check(root: &Path, broken: &mut Vec<String>) -> Result<(), String> {
    let read = |path: &str| {
        fs::read_to_string(root.join(path)).map_err(|error| format!("{path}: {error}"))
    };
    let policy = Policy::read(&read("deny.toml")?);
    policy.check_lock(&locked(&read("Cargo.lock")?), broken);
    policy.check_licences(&licences(root)?, broken);
    check_features(&read(MANIFEST)?, broken);
    Ok(())
}

/// The lists of `deny.toml`; of each entry the texts that stand on its line.
struct Policy(BTreeMap<String, Vec<Vec<String>>>);

/// A package of the lock.
struct Locked {
    name: String,
    version: String,
    source: Option<String>,
    /// As the lock writes them: a name, and a version where there are several.
    dependencies: Vec<String>,
}

impl Policy {
    /// Reads lists of one entry a line; whatever else stands in the file is `cargo deny`'s affair.
    fn read(text: &str) -> Self {
        let (mut lists, mut section, mut list) = (BTreeMap::new(), "", None);
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                section = name;
            } else if let Some(name) = line.strip_suffix(" = [") {
                list = Some(format!("{section}.{name}"));
            } else if line == "]" {
                list = None;
            } else if let Some(list) = &list {
                let entries: &mut Vec<_> = lists.entry(list.clone()).or_default();
                entries.push(quoted(line));
            }
        }
        Self(lists)
    }

    fn list(&self, name: &str) -> impl Iterator<Item = &[String]> {
        self.0.get(name).into_iter().flatten().map(Vec::as_slice)
    }

    fn check_lock(&self, all: &[Locked], broken: &mut Vec<String>) {
        for one in all {
            let Locked { name, version, .. } = one;
            if one.source.as_deref().is_some_and(|source| source != REGISTRY) {
                broken
                    .push(format!("deny Cargo.lock: `{name}` comes from elsewhere than crates.io"));
            }
            let banned = self.list("bans.deny").find(|entry| entry.first() == Some(name));
            let Some([_, wrappers @ ..]) = banned else { continue };
            let uses = |user: &&Locked| {
                user.dependencies.iter().any(|used| used.split(' ').next() == Some(name))
            };
            let users: Vec<&str> = all.iter().filter(uses).map(|user| &*user.name).collect();
            let stranger = users.iter().find(|user| wrappers.iter().all(|one| one != *user));
            if wrappers.is_empty() || stranger.is_some() {
                let by = stranger.or(users.first()).unwrap_or(&"nobody");
                broken.push(format!(
                    "deny Cargo.lock: `{by}` brings `{name}` {version}, which deny.toml does not let it"
                ));
            }
        }
        let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for one in all {
            let skipped = format!("{}@{}", one.name, one.version);
            if !self.list("bans.skip").any(|entry| entry.first() == Some(&skipped)) {
                versions.entry(&one.name).or_default().push(&one.version);
            }
        }
        for (name, several) in versions.iter().filter(|(_, versions)| versions.len() > 1) {
            broken.push(format!(
                "deny Cargo.lock: `{name}` is there as {}: move its users to one, or say in deny.toml why not",
                several.join(" and ")
            ));
        }
        for entry in self.list("bans.skip").filter_map(|entry| entry.first()) {
            let there = |one: &Locked| format!("{}@{}", one.name, one.version) == *entry;
            if !all.iter().any(there) {
                broken.push(format!("deny deny.toml: `{entry}` is not locked any more, remove it"));
            }
        }
    }

    fn check_licences(&self, packages: &[(String, Option<String>)], broken: &mut Vec<String>) {
        for (name, licence) in packages {
            let own = self.list("licenses.exceptions").filter(|entry| entry.first() == Some(name));
            let own = own.flat_map(|entry| entry.iter().skip(1));
            let all = self.list("licenses.allow").filter_map(|entry| entry.first());
            let allowed: Vec<&str> = all.chain(own).map(String::as_str).collect();
            let Some(licence) = licence else {
                broken.push(format!("deny `{name}`: it names no licence, do not depend on it"));
                continue;
            };
            if !permits(licence, &allowed) {
                broken.push(format!("deny `{name}`: its licence `{licence}` is not in deny.toml"));
            }
        }
    }
}

/// Whether an SPDX expression can be met with these licences.
fn permits(expression: &str, allowed: &[&str]) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    any_of(&mut rest, allowed) == Some(true) && rest.is_empty()
}

fn any_of(rest: &mut &[&str], allowed: &[&str]) -> Option<bool> {
    let mut permitted = all_of(rest, allowed)?;
    while let [word, more @ ..] = *rest
        && *word == "OR"
    {
        *rest = more;
        permitted |= all_of(rest, allowed)?;
    }
    Some(permitted)
}

fn all_of(rest: &mut &[&str], allowed: &[&str]) -> Option<bool> {
    let mut permitted = one_of(rest, allowed)?;
    while let [word, more @ ..] = *rest
        && *word == "AND"
    {
        *rest = more;
        permitted &= one_of(rest, allowed)?;
    }
    Some(permitted)
}

fn one_of(rest: &mut &[&str], allowed: &[&str]) -> Option<bool> {
    match *rest {
        ["(", more @ ..] => {
            *rest = more;
            let inner = any_of(rest, allowed)?;
            let [")", more @ ..] = *rest else { return None };
            *rest = more;
            Some(inner)
        }
        [name, "WITH", exception, more @ ..] => {
            *rest = more;
            Some(allowed.contains(&format!("{name} WITH {exception}").as_str()))
        }
        [name, more @ ..] if !["AND", "OR", "WITH", ")"].contains(name) => {
            *rest = more;
            Some(allowed.contains(name))
        }
        _ => None,
    }
}

/// RustCrypto stays out of whatever does not ask for one of the two features.
fn check_features(manifest: &str, broken: &mut Vec<String>) {
    for line in manifest.lines().map(str::trim) {
        let name = line.split([' ', '.', '=']).next().unwrap_or_default();
        if BEHIND_FEATURES.contains(&name) && !line.contains("optional = true") {
            broken.push(format!("deny {MANIFEST}: `{name}` is not optional, ring is for all"));
        }
        let brings = BEHIND_FEATURES.iter().any(|one| line.contains(&format!("\"dep:{one}\"")));
        if brings && !FEATURES.contains(&name) {
            broken.push(format!("deny {MANIFEST}: the feature `{name}` brings RustCrypto"));
        }
    }
}

fn locked(text: &str) -> Vec<Locked> {
    let packages = text.split("[[package]]").skip(1).map(|block| {
        let value = |key: &str| {
            let line = block.lines().find_map(|line| line.strip_prefix(&format!("{key} = ")));
            line.map(|value| value.trim_matches('"').to_owned())
        };
        let listed = block.split_once("dependencies = [").map_or("", |(_, rest)| rest);
        let listed = listed.split(']').next().unwrap_or_default();
        Locked {
            name: value("name").unwrap_or_default(),
            version: value("version").unwrap_or_default(),
            source: value("source"),
            dependencies: quoted(listed),
        }
    });
    packages.collect()
}

/// The texts in quotation marks.
fn quoted(text: &str) -> Vec<String> {
    text.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The licences of all packages that others wrote, as cargo finds them on this machine.
fn licences(root: &Path) -> Result<Vec<(String, Option<String>)>, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let run = |arguments: &[&str]| {
        let output = Command::new(&cargo).current_dir(root).args(arguments).output();
        let output = output.map_err(|error| format!("cargo cannot run: {error}"))?;
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            false => Err(format!(
                "cargo cannot tell the licences, run `cargo fetch` once: {}",
                String::from_utf8_lossy(&output.stderr)
            )),
        }
    };
    let about = run(&["-vV"])?;
    let host = about.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default();
    let metadata = ["metadata", "--offline", "--locked", "--all-features", "--format-version", "1"];
    let text = run(&[&metadata[..], &["--filter-platform", host]].concat())?;
    let found: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let packages = found.get("packages").and_then(Value::as_array);
    let packages = packages.ok_or("`cargo metadata` names no packages")?;
    let others = packages.iter().filter(|one| one.get("source").is_some_and(|it| !it.is_null()));
    let text = |one: &Value, key: &str| one.get(key).and_then(Value::as_str).map(str::to_owned);
    Ok(others.map(|one| (text(one, "name").unwrap_or_default(), text(one, "license"))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = r#"
[licenses]
allow = [
    "MIT",
    "Apache-2.0 WITH LLVM-exception",
]
exceptions = [
    { crate = "roots", allow = ["CDLA-Permissive-2.0"] },
]
[bans]
deny = [
    # A comment with "openssl" in it.
    { crate = "rsa", wrappers = ["etdi-core"] },
    "native-tls",
]
skip = [
    "syn@2.0.0",
]
"#;

    fn package(name: &str, version: &str, source: &str, dependencies: &str) -> String {
        format!(
            "[[package]]\nname = \"{name}\"\nversion = \"{version}\"\nsource = \"{source}\"\n\
             dependencies = [\n{dependencies}]\n\n"
        )
    }

    #[test]
    fn what_the_lock_may_not_have_is_found() {
        let (policy, syn) = (Policy::read(POLICY), package("syn", "2.0.0", REGISTRY, ""));
        let one = |name: &str, dependencies: &str| package(name, "1.0.0", REGISTRY, dependencies);
        for (lock, fault) in [
            (String::new(), ""),
            (one("syn", ""), ""),
            (one("rsa", "") + &one("etdi-core", " \"rsa\",\n"), ""),
            (one("rsa", "") + &one("etdi", " \"rsa 1.0.0\",\n"), "`etdi` brings `rsa`"),
            (one("native-tls", "") + &one("x", " \"native-tls\",\n"), "`x` brings `native-tls`"),
            (one("native-tls", ""), "brings `native-tls`"),
            (one("a", "") + &package("a", "2.0.0", REGISTRY, ""), "1.0.0 and 2.0.0"),
            (package("a", "1.0.0", "git+https://a.example", ""), "elsewhere"),
        ] {
            let mut broken = Vec::new();
            policy.check_lock(&locked(&(syn.clone() + &lock)), &mut broken);
            assert_eq!(broken.len(), usize::from(!fault.is_empty()), "{lock} {broken:?}");
            assert!(broken.iter().all(|line| line.contains(fault)), "{broken:?}");
        }
        let mut broken = Vec::new();
        policy.check_lock(&[], &mut broken);
        assert!(broken.concat().contains("not locked any more"), "{broken:?}");
    }

    #[test]
    fn a_licence_that_nobody_allowed_is_found() {
        let policy = Policy::read(POLICY);
        for (name, licence, permitted) in [
            ("x", Some("MIT"), true),
            ("x", Some("MIT/Apache-2.0"), true),
            ("x", Some("Apache-2.0 OR MIT"), true),
            ("x", Some("Apache-2.0 WITH LLVM-exception"), true),
            ("x", Some("MIT AND (ISC OR MIT)"), true),
            ("x", Some("MIT AND ISC"), false),
            ("x", Some("(MIT OR ISC) AND GPL-3.0"), false),
            ("x", Some("GPL-3.0"), false),
            ("x", Some("Apache-2.0"), false),
            ("x", Some("MIT OR"), false),
            ("x", Some(""), false),
            ("x", None, false),
            ("x", Some("CDLA-Permissive-2.0"), false),
            ("roots", Some("CDLA-Permissive-2.0"), true),
        ] {
            let mut broken = Vec::new();
            policy.check_licences(&[(name.into(), licence.map(Into::into))], &mut broken);
            assert_eq!(broken.is_empty(), permitted, "{name} {licence:?}");
        }
    }

    #[test]
    fn rustcrypto_outside_its_features_is_found() {
        for (line, fault) in [
            ("rsa = { workspace = true, optional = true }", false),
            ("rsa.workspace = true", true),
            ("rsa-keys = [\"dep:rsa\"]", false),
            ("default = [\"dep:rsa\"]", true),
        ] {
            let mut broken = Vec::new();
            check_features(line, &mut broken);
            assert_eq!(!broken.is_empty(), fault, "{line}");
        }
    }
}
