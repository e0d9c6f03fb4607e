//! `etdi new`: a package that builds and passes its tests.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::args::{NewArguments, Template};
use crate::exit::Failure;
use crate::output::Report;
use crate::verbs::target::{quoted, shown_path};

const NEXT: &str = "etdi new --help";

/// The files of a template: where they go, and what they say before their places are filled in.
type Files = &'static [(&'static str, &'static str)];

/// Makes the folder and everything in it.
///
/// # Errors
///
/// When the name is no name of a package, there is something under it already, the folder of the SDK
/// is none, or the system refuses to write.
pub fn run(arguments: &NewArguments) -> Result<Report, Failure> {
    let name = &arguments.name;
    if let Some(why) = unfit(name) {
        let message = format!("`{}` cannot be the name of the package: {why}", name.escape_debug());
        return Err(Failure::usage(message, "etdi new my-server"));
    }
    let folder = arguments.into.join(name);
    let sdk = Sdk::find(arguments, &folder)?;
    let files = files(arguments.template);
    let filled = files.iter().map(|(path, text)| (*path, filled(text, name, &sdk)));
    let filled: Vec<_> = filled.collect();
    make(&folder, &filled).map_err(|error| {
        let shown = folder.display();
        match error.kind() {
            io::ErrorKind::AlreadyExists => Failure::usage(
                format!("there is `{shown}` already, and nothing is written over"),
                format!("etdi new {}-2", quoted(name)),
            )
            .with_code("EXISTS"),
            _ => Failure::usage(format!("`{shown}` cannot be made: {error}"), NEXT),
        }
    })?;
    let paths: Vec<&str> = filled.iter().map(|(path, _)| *path).collect();
    let data = json!({
        "name": name, "folder": folder.display().to_string(),
        "template": arguments.template.name(), "sdk": sdk.shown(), "files": paths,
    });
    let mut text = format!(
        "made `{}` from the template `{}`, with the SDK {}\n  {}\n\nnext: cd {} && cargo test",
        folder.display(),
        arguments.template.name(),
        sdk.shown(),
        paths.join("  "),
        shown_path(&folder),
    );
    if let Some(workspace) = workspace_above(&folder) {
        text.push_str(&format!(
            "\nnote: `{}` is a workspace; add `{}` to its `members`",
            workspace.display(),
            name
        ));
    }
    Ok(Report::new(data, text))
}

/// Why a text cannot name a package; `None` when it can.
fn unfit(name: &str) -> Option<&'static str> {
    let mut letters = name.chars();
    if !letters.next().is_some_and(|first| first.is_ascii_lowercase()) {
        return Some("it begins with a small letter");
    }
    if !letters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_')) {
        return Some("it has small letters, digits, `-` and `_`");
    }
    if name.len() > 64 {
        return Some("it has at most 64 characters");
    }
    if TAKEN.contains(&name.replace('-', "_").as_str()) {
        return Some("the language, cargo or a crate that it needs has the name");
    }
    None
}

/// Words of the language, names that cargo does not give, and the crates that a template uses.
const TAKEN: [&str; 67] = [
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "build",
    "const",
    "continue",
    "core",
    "crate",
    "debug",
    "deps",
    "do",
    "dyn",
    "else",
    "enum",
    "etdi_core",
    "etdi_oauth",
    "examples",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "incremental",
    "let",
    "loop",
    "macro",
    "match",
    "mcp_client",
    "mcp_server",
    "mcp_transport",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "proc_macro",
    "pub",
    "ref",
    "release",
    "return",
    "self",
    "serde_json",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "tokio",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "while",
];

/// The folder that the packages of the SDK come from, as it is written into the manifest. Never a version:
/// they are not published, and whoever has their names on a registry is somebody else.
struct Sdk(PathBuf);

impl Sdk {
    fn find(arguments: &NewArguments, folder: &Path) -> Result<Self, Failure> {
        let is_sdk = |path: &Path| path.join("crates/mcp-server/Cargo.toml").is_file();
        let Some(named) = &arguments.sdk else {
            // Where the README has it: a checkout beside the project.
            let beside = folder.join("../etdi");
            let there = folder.parent().is_some_and(|parent| is_sdk(&parent.join("etdi")));
            return match there {
                true => Ok(Self(shortened(&beside))),
                false => Err(Failure::usage(
                    "there is no checkout of the SDK beside the project, and its packages are on no \
                     registry: those of their names there are others'",
                    "etdi new my-server --sdk ../etdi",
                )),
            };
        };
        if !is_sdk(named) {
            let message = format!(
                "`{}` holds no SDK: there is no `crates/mcp-server/Cargo.toml` in it",
                named.display()
            );
            return Err(Failure::usage(message, "etdi new my-server --sdk ../etdi"));
        }
        let whole = named.canonicalize().map_err(|error| {
            Failure::usage(format!("`{}` cannot be read: {error}", named.display()), NEXT)
        })?;
        Ok(Self(whole))
    }

    fn shown(&self) -> String {
        format!("in `{}`", self.0.display())
    }

    /// How a manifest says that it needs `package`.
    fn dependency(&self, package: &str, features: &[&str]) -> String {
        let path = self.0.join("crates").join(package);
        let path = path.to_string_lossy().replace('\\', "\\\\").replace('"', "\\\"");
        let from = format!("path = \"{path}\"");
        match features.is_empty() {
            true => format!("{{ {from} }}"),
            false => {
                let features: Vec<_> = features.iter().map(|one| format!("\"{one}\"")).collect();
                format!("{{ {from}, features = [{}] }}", features.join(", "))
            }
        }
    }
}

/// `A/B/../etdi` as the manifest in `A/B` says it: `../etdi`.
fn shortened(beside: &Path) -> PathBuf {
    let name = beside.file_name().unwrap_or_default();
    Path::new("..").join(name)
}

/// A template with its places filled in: the names, and how each package of the SDK is needed.
fn filled(text: &str, name: &str, sdk: &Sdk) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, place)) = rest.split_once("{{") {
        let Some((place, after)) = place.split_once("}}") else { break };
        out.push_str(before);
        match place {
            "name" => out.push_str(name),
            "crate" => out.push_str(&name.replace('-', "_")),
            package => {
                let (package, features) = package.split_once(" features=").unwrap_or((package, ""));
                let features: Vec<&str> =
                    features.split(',').filter(|one| !one.is_empty()).collect();
                out.push_str(&sdk.dependency(package, &features));
            }
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Writes the files into a folder that is made for them; takes it away again when that fails.
fn make(folder: &Path, files: &[(&str, String)]) -> io::Result<()> {
    if let Some(parent) = folder.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::create_dir(folder)?;
    let written = files.iter().try_for_each(|(path, text)| {
        let path = folder.join(path);
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::write(path, text)
    });
    if written.is_err() {
        // What is left of it is in nobody's way but our own.
        let _ = fs::remove_dir_all(folder);
    }
    written
}

/// The workspace into which cargo would reckon the folder.
fn workspace_above(folder: &Path) -> Option<PathBuf> {
    let folder = folder.canonicalize().ok()?;
    let above = folder.ancestors().skip(1).map(|above| above.join("Cargo.toml"));
    let mut above = above.filter(|path| path.is_file());
    above.find(|path| fs::read_to_string(path).is_ok_and(|text| text.contains("[workspace]")))
}

fn files(template: Template) -> Files {
    match template {
        Template::Stdio => &[
            ("Cargo.toml", include_str!("../../templates/stdio/manifest.toml")),
            ("README.md", include_str!("../../templates/stdio/README.md")),
            (".gitignore", include_str!("../../templates/common/gitignore")),
            ("steps.json", include_str!("../../templates/common/steps.json")),
            ("src/lib.rs", include_str!("../../templates/common/lib.rs")),
            ("src/main.rs", include_str!("../../templates/stdio/main.rs")),
            ("tests/server.rs", include_str!("../../templates/common/tests.rs")),
        ],
        Template::Http => &[
            ("Cargo.toml", include_str!("../../templates/http/manifest.toml")),
            ("README.md", include_str!("../../templates/http/README.md")),
            (".gitignore", include_str!("../../templates/common/gitignore")),
            ("steps.json", include_str!("../../templates/http/steps.json")),
            ("src/lib.rs", include_str!("../../templates/common/lib.rs")),
            ("src/main.rs", include_str!("../../templates/http/main.rs")),
            ("tests/server.rs", include_str!("../../templates/common/tests.rs")),
        ],
        Template::Auth => &[
            ("Cargo.toml", include_str!("../../templates/auth/manifest.toml")),
            ("README.md", include_str!("../../templates/auth/README.md")),
            (".gitignore", include_str!("../../templates/common/gitignore")),
            ("src/lib.rs", include_str!("../../templates/auth/lib.rs")),
            ("src/main.rs", include_str!("../../templates/auth/main.rs")),
            ("tests/server.rs", include_str!("../../templates/auth/tests.rs")),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_cargo_or_the_language_has_are_refused() {
        for name in ["", "Notes", "1st", "a b", "notes/..", "..", "self", "mcp-server", "test", "é"]
        {
            assert!(unfit(name).is_some(), "{name}");
        }
        assert!(unfit(&"a".repeat(65)).is_some());
        for name in ["notes", "my-server", "n2_x"] {
            assert_eq!(unfit(name), None);
        }
    }

    #[test]
    fn a_dependency_says_where_it_comes_from() {
        let text = "{{name}} {{crate}} {{mcp-server}} {{mcp-transport features=stdio}}{";
        let folder = filled(text, "a-b", &Sdk(PathBuf::from("../etdi")));
        let wanted = "a-b a_b { path = \"../etdi/crates/mcp-server\" } \
                      { path = \"../etdi/crates/mcp-transport\", features = [\"stdio\"] }{";
        assert_eq!(folder, wanted);
    }
}
