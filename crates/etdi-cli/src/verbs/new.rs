//! `etdi new`: a package that builds and passes its tests.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use etdi::core::change::visible;
use serde_json::json;

use crate::args::{NewArguments, Template};
use crate::exit::Failure;
use crate::output::Report;
use crate::verbs::target::{quoted, shown_path};

const NEXT: &str = "etdi new --help";

/// Names the SDK where `--sdk` does not.
const VARIABLE: &str = "ETDI_SDK";

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
    let named = arguments.sdk.clone();
    let named = named.or_else(|| std::env::var_os(VARIABLE).map(PathBuf::from));
    let named = named.filter(|named| !named.as_os_str().is_empty());
    let sdk = Sdk::find(named.as_deref(), &folder, built_from())?;
    let files = files(arguments.template);
    let filled = files.iter().map(|(path, text)| (*path, filled(text, name, &sdk)));
    let mut filled: Vec<_> = filled.collect();
    filled.extend(sdk.lock().map(|text| ("Cargo.lock", text)));
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
    let above = workspace_above(&folder);
    let alone = above.as_deref().is_some_and(|_| stand_alone(&folder));
    let paths: Vec<&str> = filled.iter().map(|(path, _)| *path).collect();
    let data = json!({
        "name": name, "folder": folder.display().to_string(),
        "template": arguments.template.name(), "sdk": sdk.shown(), "files": paths,
    });
    let mut text = format!(
        "made `{}` from the template `{}`, with the SDK {}\n  {}\n\n\
         next: cd {} && cargo test\nthen: etdi dev",
        folder.display(),
        arguments.template.name(),
        sdk.shown(),
        paths.join("  "),
        shown_path(&folder),
    );
    if let Some(workspace) = above.filter(|_| alone) {
        text.push_str(&format!(
            "\nnote: it is no member of the workspace `{}`; to make it one, name it among the `members` \
             there and take the empty `[workspace]` out of its `Cargo.toml`",
            workspace.display(),
        ));
    }
    Ok(Report::new(data, text))
}

/// Makes the package its own workspace, where the one above does not count it among its members: cargo
/// would build it neither way. Gives whether it did.
fn stand_alone(folder: &Path) -> bool {
    let manifest = folder.join("Cargo.toml");
    let mut asked = Command::new("cargo");
    asked.args(["locate-project", "--workspace", "--offline", "--manifest-path"]).arg(&manifest);
    let is_member = asked.stdin(Stdio::null()).output().is_ok_and(|said| said.status.success());
    let Ok(text) = fs::read_to_string(&manifest) else { return false };
    !is_member && fs::write(&manifest, format!("{text}\n[workspace]\n")).is_ok()
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

/// Where the packages of the SDK come from, as the manifest says it. Never a version: they are not
/// published, and whoever has their names on a registry is somebody else.
enum Sdk {
    /// A checkout: how the manifest names it, and where it is.
    Folder(PathBuf, PathBuf),
    /// A repository: its URL, and the revision after `#`.
    Git(String, Option<String>),
}

impl Sdk {
    /// What `--sdk` or `ETDI_SDK` names, else the checkout beside the project, else the one that this
    /// program was built from.
    fn find(named: Option<&Path>, folder: &Path, built: Option<PathBuf>) -> Result<Self, Failure> {
        if let Some(named) = named {
            return Self::named(named);
        }
        // Where the README has it.
        let beside = folder.parent().map(|parent| parent.join("etdi"));
        if let Some(beside) = beside.filter(|beside| is_sdk(beside)) {
            return Ok(Self::Folder(Path::new("..").join("etdi"), beside));
        }
        if let Some(built) = built {
            return Ok(Self::Folder(built.clone(), built));
        }
        Err(Failure::usage(
            "there is no checkout of the SDK beside the project, and its packages are on no registry: \
             those of their names there are others'; name a checkout, or the URL of its repository",
            "etdi new my-server --sdk ../etdi",
        ))
    }

    fn named(named: &Path) -> Result<Self, Failure> {
        let text = named.to_string_lossy();
        if let Some((scheme, _)) = text.split_once("://") {
            let scheme = scheme.strip_prefix("git+").unwrap_or(scheme);
            let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\\');
            if !matches!(scheme, "https" | "ssh" | "file") || !text.chars().all(plain) {
                let message = format!(
                    "`{}` is no URL of a repository that can be trusted on its way: it begins with \
                     `https://`, `ssh://` or `file://`",
                    visible(&text)
                );
                return Err(Failure::usage(message, NEXT));
            }
            let url = text.strip_prefix("git+").unwrap_or(&text);
            let (url, revision) = match url.split_once('#') {
                Some((url, revision)) => (url, Some(revision.to_owned())),
                None => (url, None),
            };
            return Ok(Self::Git(url.to_owned(), revision));
        }
        if !is_sdk(named) {
            let message = format!(
                "`{}` holds no SDK: there is no `crates/mcp-server/Cargo.toml` in it",
                named.display()
            );
            return Err(Failure::usage(message, NEXT));
        }
        let whole = named.canonicalize().map_err(|error| {
            Failure::usage(format!("`{}` cannot be read: {error}", named.display()), NEXT)
        })?;
        Ok(Self::Folder(whole.clone(), whole))
    }

    fn shown(&self) -> String {
        match self {
            Self::Folder(path, _) => format!("in `{}`", path.display()),
            Self::Git(url, _) => format!("of `{url}`"),
        }
    }

    /// The versions of other packages that the SDK was tested with, where it is at hand: with them a
    /// build needs nothing that is not here already.
    fn lock(&self) -> Option<String> {
        match self {
            Self::Folder(_, place) => fs::read_to_string(place.join("Cargo.lock")).ok(),
            Self::Git(..) => None,
        }
    }

    /// How a manifest says that it needs `package`.
    fn dependency(&self, package: &str, features: &[&str]) -> String {
        let from = match self {
            Self::Folder(path, _) => {
                let path = path.join("crates").join(package);
                let path = path.to_string_lossy().replace('\\', "\\\\").replace('"', "\\\"");
                format!("path = \"{path}\"")
            }
            Self::Git(url, None) => format!("git = \"{url}\""),
            Self::Git(url, Some(revision)) => format!("git = \"{url}\", rev = \"{revision}\""),
        };
        match features.is_empty() {
            true => format!("{{ {from} }}"),
            false => {
                let features: Vec<_> = features.iter().map(|one| format!("\"{one}\"")).collect();
                format!("{{ {from}, features = [{}] }}", features.join(", "))
            }
        }
    }
}

fn is_sdk(path: &Path) -> bool {
    path.join("crates/mcp-server/Cargo.toml").is_file()
}

/// The checkout that this program was built from, if it is still there and nobody else can have put
/// something else in its place.
fn built_from() -> Option<PathBuf> {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2)?;
    (is_sdk(place) && is_ours(place)).then(|| place.to_owned())
}

/// Whether a folder and all above it can be changed by this user and the administrator alone.
#[cfg(unix)]
fn is_ours(place: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let us = rustix::process::geteuid().as_raw();
    let closed = |path: &Path| {
        // Where everybody may write, the sticky bit keeps folders to their owners.
        fs::symlink_metadata(path).is_ok_and(|about| {
            (about.uid() == us || about.uid() == 0) && (about.mode() & 0o1002 != 0o0002)
        })
    };
    place.ancestors().all(closed)
}

#[cfg(not(unix))]
fn is_ours(_: &Path) -> bool {
    false
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
        let beside = PathBuf::from("../etdi");
        let folder = filled(text, "a-b", &Sdk::Folder(beside.clone(), beside));
        let wanted = "a-b a_b { path = \"../etdi/crates/mcp-server\" } \
                      { path = \"../etdi/crates/mcp-transport\", features = [\"stdio\"] }{";
        assert_eq!(folder, wanted);
    }

    #[test]
    fn a_repository_is_named_by_a_url_that_nobody_can_change_on_the_way() {
        let sdk = |text: &str| Sdk::find(Some(Path::new(text)), Path::new("a/b"), None);
        for (named, wanted) in [
            ("https://git.example/etdi", r#"{ git = "https://git.example/etdi" }"#),
            (
                "git+ssh://git@git.example/etdi#0a1b",
                r#"{ git = "ssh://git@git.example/etdi", rev = "0a1b" }"#,
            ),
        ] {
            assert_eq!(sdk(named).ok().unwrap().dependency("mcp-server", &[]), wanted);
        }
        for named in ["http://git.example/etdi", "https://git.example/\"", "/nowhere/etdi"] {
            assert!(sdk(named).is_err(), "{named}");
        }
        let none = Sdk::find(None, Path::new("/nowhere/notes"), None).err().unwrap();
        assert!(none.message.contains("on no registry"), "{}", none.message);
        let built = Some(PathBuf::from("/src/etdi"));
        let built = Sdk::find(None, Path::new("/nowhere/notes"), built).ok().unwrap();
        assert_eq!(built.shown(), "in `/src/etdi`");
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_that_anybody_may_fill_is_not_taken_unasked() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("etdi");
        fs::create_dir(&inner).unwrap();
        assert!(is_ours(&inner));
        for path in [folder.path(), &inner] {
            let mode = |mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
            mode(0o777);
            assert!(!is_ours(&inner));
            mode(0o755);
        }
    }
}
