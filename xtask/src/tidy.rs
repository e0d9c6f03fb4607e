//! `cargo xtask tidy`: the invariants of ARCHITECTURE.md, as rules over the source text.

use std::fs;
use std::path::{Path, PathBuf};

/// Checks every tracked Rust file and manifest of the workspace.
///
/// # Errors
///
/// All broken rules, a line each, with the file and what to do.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    let mut broken = Vec::new();
    let files = rust_files(root)?;
    for file in &files {
        check_file(file, &mut broken);
    }
    check_manifests(root, &mut broken)?;
    crate::deny::check(root, &mut broken)?;
    let model = fs::read_to_string(root.join(THREAT_MODEL))
        .map_err(|error| format!("{THREAT_MODEL}: {error}"))?;
    check_threats(&files, &model, &mut broken);
    match broken.as_slice() {
        [] => {
            println!("tidy: {} files, no rule is broken", files.len());
            Ok(())
        }
        broken => Err(format!("tidy: {} broken rules\n{}", broken.len(), broken.join("\n"))),
    }
}

/// A file's path from the root, with `/`, and its text.
struct SourceFile {
    path: String,
    text: String,
}

impl SourceFile {
    fn under(&self, places: &[&str]) -> bool {
        places.iter().any(|place| self.path.starts_with(place))
    }

    fn is_test(&self) -> bool {
        self.path.contains("/tests/") || self.path.ends_with("tests.rs")
    }

    /// Lines of code outside comments and outside the unit tests at the end of the file.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let code = self.text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
        code.lines()
            .enumerate()
            .map(|(at, line)| (at + 1, line))
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
    }
}

/// One rule: words that may stand only in some places.
struct Fence {
    rule: &'static str,
    words: &'static [&'static str],
    /// Where the rule looks.
    inside: &'static [&'static str],
    /// Where the words are allowed all the same.
    except: &'static [&'static str],
    advice: &'static str,
}

const PURE: &[&str] = &[
    "crates/mcp-types/src/",
    "crates/mcp-server/src/",
    "crates/mcp-client/src/",
    "crates/etdi-core/src/",
    "crates/mcp-transport/src/proto/",
    "macros/src/",
];

const FENCES: &[Fence] = &[
    Fence {
        rule: "I1",
        words: &["Era::", "version::Era", "wire::MODERN", "wire::LEGACY"],
        inside: &["crates/"],
        except: &[
            "crates/mcp-types/src/version.rs",
            "crates/mcp-types/src/error.rs",
            "crates/mcp-types/src/wire/",
            "crates/mcp-types/src/generated/",
            "crates/mcp-transport/",
            "crates/etdi-cli/src/",
        ],
        advice: "ask the context for a capability; the era is known at the transport's edge only",
    },
    Fence {
        rule: "I1",
        words: &[
            "\"2024-11-05\"",
            "\"2025-03-26\"",
            "\"2025-06-18\"",
            "\"2025-11-25\"",
            "\"2026-07-28\"",
        ],
        inside: &["crates/", "macros/"],
        except: &["crates/mcp-types/src/version.rs"],
        advice: "name the revision through `ProtocolVersion`",
    },
    Fence {
        rule: "I2",
        words: &[
            "tokio::net",
            "tokio::process",
            "tokio::time",
            "tokio::spawn",
            "tokio::task",
            "std::net::Tcp",
            "std::net::Udp",
            "std::net::ToSocketAddrs",
            "std::os::unix::net",
            "std::process::Command",
            "thread::spawn",
            "hyper::",
            "axum::",
        ],
        inside: PURE,
        except: &[],
        advice: "sockets, processes, timers and tasks belong to mcp-transport; reach them through `Runtime`",
    },
    Fence {
        rule: "I3",
        words: &["SystemTime::now", "Instant::now"],
        inside: &[
            "crates/mcp-types/src/",
            "crates/mcp-transport/src/proto/",
            "crates/etdi-core/src/",
        ],
        except: &[],
        advice: "take `now` as an argument, or a clock when the layer is built",
    },
    Fence {
        rule: "I4",
        words: &["etdi", "Etdi", "ETDI"],
        inside: &["crates/mcp-server/src/", "crates/mcp-client/src/"],
        except: &[],
        advice: "ETDI is layers; server and client meet it at `_meta` only",
    },
    Fence {
        rule: "I5",
        words: &["Verified { value", "Approved { value"],
        inside: &["crates/"],
        except: &["crates/etdi-core/src/verify.rs", "crates/etdi-core/src/approval/review.rs"],
        advice: "only the check itself makes this value; call it",
    },
    Fence {
        rule: "hot path",
        words: &["#[serde(untagged", "#[serde(tag", "#[serde(flatten", "serde_json::Value"],
        inside: &["crates/mcp-types/src/", "crates/mcp-transport/src/"],
        except: &[],
        advice: "read with a written-out visitor, keep what is not read as `RawText`",
    },
];

fn check_file(file: &SourceFile, broken: &mut Vec<String>) {
    let path = &file.path;
    if !file.text.starts_with("//!") && !file.path.contains("/ui/") {
        broken.push(format!("I9 {path}: begin with a doc line (`//! …`) that says what it is"));
    }
    let lines = file.text.lines().count();
    let generated = file.path.contains("/generated/");
    if lines > 900 && !generated && !file.is_test() {
        broken.push(format!("I9 {path}: {lines} lines, split it by notion (900 at most)"));
    }
    if generated && !file.text.contains("cargo xtask codegen") {
        broken.push(format!("I6 {path}: a generated file names the command that makes it"));
    }
    if file.is_test() {
        return;
    }
    for fence in FENCES.iter().filter(|fence| file.under(fence.inside) && !file.under(fence.except))
    {
        for (at, line) in file.code() {
            if let Some(word) = fence.words.iter().find(|word| line.contains(*word)) {
                broken.push(format!("{} {path}:{at}: `{word}`: {}", fence.rule, fence.advice));
            }
        }
    }
}

const THREAT_MODEL: &str = "docs/threat-model.md";
const ATTACKS: &str = "tests/attacks/";
const THREATS: std::ops::RangeInclusive<u32> = 1..=36;

/// Each threat has a row, which names the attacks that show it, or says `no attack` and why.
fn check_threats(files: &[SourceFile], model: &str, broken: &mut Vec<String>) {
    for number in THREATS {
        let threat = format!("T{number}");
        let mut fault =
            |why: String| broken.push(format!("threats {THREAT_MODEL}: {threat} {why}"));
        let Some(row) = model.lines().find(|line| line.starts_with(&format!("| {threat} |")))
        else {
            fault("has no row: say what stands, and which attack shows it".to_owned());
            continue;
        };
        let shown = row.trim_end_matches([' ', '|']).rsplit('|').next().unwrap_or_default().trim();
        if shown.starts_with("no attack") {
            continue;
        }
        let names = shown.split('`').filter(|name| name.ends_with(".rs")).collect::<Vec<_>>();
        if names.is_empty() {
            fault(
                "names no file of tests/attacks: name one, or say `no attack` and why".to_owned(),
            );
        }
        for name in names {
            match files.iter().find(|file| file.path == format!("{ATTACKS}{name}")) {
                None => fault(format!("names `{name}`, which is not in {ATTACKS}")),
                Some(file) if cited(&file.text).all(|cited| cited != threat) => {
                    fault(format!("names `{name}`, whose first line does not begin with it"));
                }
                Some(_) => {}
            }
        }
    }
}

/// The threats that a file of attacks begins with: `//! T8, T9: …`.
fn cited(text: &str) -> impl Iterator<Item = &str> {
    let first = text.strip_prefix("//! ").and_then(|rest| rest.split_once(':'));
    first.map_or("", |(threats, _)| threats).split(", ")
}

/// Which crates of the workspace each crate may depend on.
const ARROWS: &[(&str, &[&str])] = &[
    ("macros", &[]),
    ("crates/mcp-types", &[]),
    ("crates/mcp-transport", &["mcp-types"]),
    ("crates/mcp-server", &["mcp-types", "mcp-macros"]),
    ("crates/mcp-client", &["mcp-types"]),
    ("crates/etdi-core", &["mcp-types"]),
    ("crates/mcp-redis", &["mcp-types", "etdi-core", "etdi-oauth", "mcp-server", "mcp-transport"]),
    ("crates/etdi-oauth", &["mcp-types", "etdi-core", "mcp-transport"]),
    ("crates/etdi-policy", &["mcp-types", "etdi-core", "etdi-oauth"]),
    (
        "crates/etdi",
        &["mcp-types", "etdi-core", "etdi-oauth", "mcp-client", "mcp-server", "mcp-transport"],
    ),
    ("crates/etdi-clients", &[]),
    ("xtask", &[]),
];

const OURS: &[&str] = &[
    "mcp-types",
    "mcp-macros",
    "mcp-transport",
    "mcp-server",
    "mcp-client",
    "mcp-redis",
    "etdi-core",
    "etdi-oauth",
    "etdi-policy",
    "etdi-clients",
    "etdi",
];

fn check_manifests(root: &Path, broken: &mut Vec<String>) -> Result<(), String> {
    for (place, allowed) in ARROWS {
        let path = root.join(place).join("Cargo.toml");
        let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let mut section = "";
        for line in text.lines().map(str::trim) {
            if line.starts_with('[') {
                section = line;
            } else if section == "[dependencies]" || section.ends_with(".dependencies]") {
                let name = line.split(['.', ' ', '=']).next().unwrap_or_default();
                if OURS.contains(&name) && !allowed.contains(&name) {
                    broken.push(format!(
                        "walls {place}/Cargo.toml: `{name}` is behind a wall, see ARCHITECTURE.md"
                    ));
                }
            }
        }
    }
    Ok(())
}

fn rust_files(root: &Path) -> Result<Vec<SourceFile>, String> {
    let mut files = Vec::new();
    for place in ["crates", "macros", "examples", "tests", "benches", "xtask"] {
        walk(root, &root.join(place), &mut files)?;
    }
    files.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(files)
}

fn walk(root: &Path, folder: &Path, files: &mut Vec<SourceFile>) -> Result<(), String> {
    let failed = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    for entry in fs::read_dir(folder).map_err(|e| failed(folder, e))? {
        let path: PathBuf = entry.map_err(|e| failed(folder, e))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() && !["target", "node_modules", ".git"].contains(&name) {
            walk(root, &path, files)?;
        } else if name.ends_with(".rs") {
            let text = fs::read_to_string(&path).map_err(|e| failed(&path, e))?;
            let path =
                path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
            files.push(SourceFile { path, text });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(path: &str, text: &str) -> Vec<String> {
        let mut broken = Vec::new();
        check_file(&SourceFile { path: path.into(), text: text.into() }, &mut broken);
        broken
    }

    #[test]
    fn a_broken_rule_is_found_with_its_line() {
        let found = broken("crates/etdi-core/src/x.rs", "//! X.\nlet now = SystemTime::now();\n");
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("I3 crates/etdi-core/src/x.rs:2"), "{found:?}");
        assert_eq!(broken("crates/mcp-server/src/x.rs", "fn f() {}\n").len(), 1, "no doc line");
        assert!(broken("crates/mcp-server/src/x.rs", "//! X.\n// about etdi\n").is_empty());
        assert!(broken("crates/etdi-core/src/x.rs", "//! X.\nuse std::net::IpAddr;\n").is_empty());
        assert_eq!(
            broken("crates/etdi-core/src/x.rs", "//! X.\nuse std::net::TcpStream;\n").len(),
            1
        );
        assert_eq!(
            broken("crates/etdi/src/x.rs", "//! X.\nlet v = Approved { value, by };\n").len(),
            1
        );
        assert_eq!(broken("crates/mcp-client/src/x.rs", "//! X.\nuse etdi_core;\n").len(), 1);
    }

    #[test]
    fn a_threat_without_an_attack_is_found() {
        let rows = |third: &str| {
            let row = |number| match number {
                3 => third.to_owned(),
                _ => format!("| T{number} | x | y | `a.rs` |\n"),
            };
            THREATS.map(row).collect::<String>()
        };
        let all: Vec<_> = THREATS.map(|number| format!("T{number}")).collect();
        let text = format!("//! {}: attacks.\n", all.join(", "));
        let files = [
            SourceFile { path: "tests/attacks/a.rs".into(), text },
            SourceFile { path: "tests/attacks/b.rs".into(), text: "//! T2: no T3.\n".into() },
        ];
        for (third, fault) in [
            ("| T3 | x | y | `a.rs` |\n", ""),
            ("| T3 | x | y | no attack: z |\n", ""),
            ("", "T3 has no row"),
            ("| T3 | x | y | |\n", "T3 names no file"),
            ("| T3 | x | y | `c.rs` |\n", "T3 names `c.rs`, which is not"),
            ("| T3 | x | y | `a.rs`, `b.rs` |\n", "T3 names `b.rs`, whose first line"),
        ] {
            let mut broken = Vec::new();
            check_threats(&files, &rows(third), &mut broken);
            assert_eq!(broken.len(), usize::from(!fault.is_empty()), "{third} {broken:?}");
            assert!(broken.iter().all(|line| line.contains(fault)), "{broken:?}");
        }
    }

    #[test]
    fn the_workspace_keeps_its_rules() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        if let Err(broken) = run(root) {
            panic!("{broken}");
        }
    }
}
