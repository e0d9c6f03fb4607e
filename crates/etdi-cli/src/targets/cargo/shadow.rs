//! `--with` and `--with-editable`: a package as it would be with more dependencies, its own files
//! untouched.
//!
//! In the folder where it is built stands a second workspace: links to all that is in the first, but
//! manifests and lock file of its own. What both need alike is compiled once, because the folder for
//! what is on the way is the same; the programs lie apart.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::path::{Component, Path, PathBuf};

use etdi::core::change::visible;
use toml_edit::{DocumentMut, InlineTable, Item, Table, TableLike, Value};

use super::metadata::{Metadata, Package};
use crate::args::BuildArguments;
use crate::exit::Failure;
use crate::verbs::target::shown_path;

const NEXT: &str = "etdi run --help";

/// Where the other workspaces stand, below the folder where the first is built.
const FOLDER: &str = "etdi-with";

/// A workspace that stands for another.
pub(super) struct Shadow {
    manifest: PathBuf,
    built: PathBuf,
    target: PathBuf,
}

impl Shadow {
    /// Makes it, or brings it up to date.
    pub(super) fn make(
        metadata: &Metadata,
        package: &Package,
        how: &BuildArguments,
    ) -> Result<Self, Failure> {
        let added = how.with.iter().map(|text| Added::read(text)).collect::<Result<Vec<_>, _>>()?;
        let editable = how.with_editable.iter().map(|path| Editable::read(path));
        let editable = editable.collect::<Result<Vec<_>, _>>()?;
        let mut hasher = DefaultHasher::new();
        (&package.manifest_path, &how.with, &how.with_editable).hash(&mut hasher);
        let target = metadata.target_directory.clone();
        let place = target.join(FOLDER).join(format!("{:016x}", hasher.finish()));
        let root = &metadata.workspace_root;
        if !package.manifest_path.starts_with(root) {
            let message = "the package is a member of a workspace in another folder, which cannot be \
                           built with more dependencies: add them to its `Cargo.toml`";
            return Err(Failure::usage(message, "cargo add --help"));
        }
        let shadow = Self {
            manifest: place.join("source").join(below(root, &package.manifest_path)),
            built: place.join("built"),
            target,
        };
        let lock = fs::read_to_string(root.join("Cargo.lock")).unwrap_or_default();
        let made = mirror(root, &place.join("source"), metadata, |path, document| {
            if *path == package.manifest_path {
                if let Some(table) = entries(document, "dependencies") {
                    added.iter().for_each(|added| added.put(table));
                    editable.iter().for_each(|editable| editable.put(table));
                }
                // A package by itself is no member of what stands above its folder of builds.
                if *path == root.join("Cargo.toml") && !document.contains_key("workspace") {
                    document.insert("workspace", Item::Table(Table::new()));
                }
            }
            if *path == root.join("Cargo.toml") {
                let needed = editable.iter().filter(|editable| editable.is_registered(&lock));
                needed.for_each(|editable| editable.patch(document));
            }
        });
        made.map_err(|error| {
            let message = format!("{} cannot be made: {error}", shown_path(&place));
            Failure::usage(message, format!("ls -ld {}", shown_path(&metadata.target_directory)))
        })?;
        Ok(shadow)
    }

    /// What Cargo is told to build it.
    pub(super) fn arguments(&self) -> Vec<OsString> {
        let shared = self.target.to_string_lossy();
        let shared = Value::from(shared.as_ref());
        vec![
            "--manifest-path".into(),
            self.manifest.clone().into(),
            "--target-dir".into(),
            self.built.clone().into(),
            "--config".into(),
            format!("build.build-dir={}", shared.to_string().trim()).into(),
        ]
    }
}

/// The way from a folder to what is in it.
fn below<'p>(root: &Path, path: &'p Path) -> &'p Path {
    path.strip_prefix(root).unwrap_or(path)
}

/// Has links to all of `root` stand in `shadow`, but for manifests, which `change` may change, and for
/// the lock file.
fn mirror(
    root: &Path,
    shadow: &Path,
    metadata: &Metadata,
    change: impl Fn(&PathBuf, &mut DocumentMut),
) -> io::Result<()> {
    let manifests = metadata.packages.iter().map(|package| package.manifest_path.clone());
    let manifests: BTreeSet<PathBuf> =
        manifests.chain([root.join("Cargo.toml")]).filter(|path| path.starts_with(root)).collect();
    let folders = manifests.iter().filter_map(|path| path.parent());
    let folders: BTreeSet<&Path> = folders
        .flat_map(|folder| folder.ancestors().take_while(|above| above.starts_with(root)))
        .collect();
    for folder in &folders {
        let there = shadow.join(below(root, folder));
        fs::create_dir_all(&there)?;
        for entry in fs::read_dir(&there)?.flatten() {
            if entry.file_type()?.is_symlink() {
                fs::remove_file(entry.path())?;
            }
        }
        for entry in fs::read_dir(folder)?.flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let is_own = manifests.contains(&path) || folders.contains(path.as_path());
            let is_left_out =
                name == "Cargo.lock" || name == ".git" || path == metadata.target_directory;
            if !is_own && !is_left_out {
                link(&path, &there.join(name))?;
            }
        }
    }
    for path in &manifests {
        let text = fs::read_to_string(path)?;
        let mut document: DocumentMut = text.parse().map_err(io::Error::other)?;
        if let Some(folder) = path.parent() {
            lead_back(document.as_table_mut(), folder, root);
        }
        change(path, &mut document);
        let (there, text) = (shadow.join(below(root, path)), document.to_string());
        if fs::read_to_string(&there).ok().as_ref() != Some(&text) {
            fs::write(there, text)?;
        }
    }
    let (lock, there) = (root.join("Cargo.lock"), shadow.join("Cargo.lock"));
    let when = |path: &Path| fs::metadata(path).and_then(|about| about.modified()).ok();
    // What was found for the added ones stays, until the first lock file says otherwise.
    if when(&lock) > when(&there) {
        fs::copy(lock, there)?;
    }
    Ok(())
}

#[cfg(unix)]
fn link(to: &Path, at: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(to, at)
}

#[cfg(not(unix))]
fn link(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::Error::other("it needs symbolic links, which are made on Unix alone"))
}

/// Makes paths that lead out of the workspace lead to the same place from another folder.
fn lead_back(table: &mut Table, folder: &Path, root: &Path) {
    for (_, item) in table.iter_mut() {
        if let Some(item) = item.as_inline_table_mut() {
            for (key, value) in item.iter_mut() {
                let path = value.as_str().filter(|_| key == "path").map(|path| folder.join(path));
                if let Some(path) =
                    path.map(|path| plain(&path)).filter(|path| !path.starts_with(root))
                {
                    *value = path.to_string_lossy().as_ref().into();
                }
            }
        } else if let Some(table) = item.as_table_mut() {
            let path =
                table.get("path").and_then(Item::as_str).map(|path| plain(&folder.join(path)));
            if let Some(path) = path.filter(|path| !path.starts_with(root)) {
                table.insert("path", toml_edit::value(path.to_string_lossy().as_ref()));
            }
            lead_back(table, folder, root);
        }
    }
}

/// A path without `.` and `..`, links not followed, as Cargo reads it.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}

/// The entries of a table of that name, which is made where there is none.
fn entries<'t>(document: &'t mut DocumentMut, name: &str) -> Option<&'t mut dyn TableLike> {
    document.entry(name).or_insert(Item::Table(Table::new())).as_table_like_mut()
}

/// A dependency as a table of its own members, whichever way it was written.
fn spelled_out(item: Option<&Item>) -> InlineTable {
    match item {
        Some(Item::Value(Value::String(version))) => {
            InlineTable::from_iter([("version", version.value().as_str())])
        }
        Some(Item::Value(Value::InlineTable(table))) => table.clone(),
        Some(Item::Table(table)) => table.clone().into_inline_table(),
        _ => InlineTable::new(),
    }
}

/// What says where a dependency comes from.
const SOURCES: [&str; 8] =
    ["version", "path", "git", "branch", "tag", "rev", "registry", "workspace"];

/// A crate of the registry: `CRATE[/FEATURE,…][@VERSION]`.
#[derive(Debug)]
struct Added {
    name: String,
    features: Vec<String>,
    version: Option<String>,
}

impl Added {
    fn read(text: &str) -> Result<Self, Failure> {
        let (named, version) = match text.split_once('@') {
            Some((named, version)) => (named, Some(version.to_owned())),
            None => (text, None),
        };
        let (name, features) = named.split_once('/').unwrap_or((named, ""));
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        let is_name =
            |name: &str| !name.is_empty() && !name.starts_with('-') && name.chars().all(plain);
        let features: Vec<String> =
            features.split(',').filter(|one| !one.is_empty()).map(ToOwned::to_owned).collect();
        let is_version = version.as_deref().is_none_or(|version| {
            let fits = |c: char| c.is_ascii_alphanumeric() || " .,-+*^~=<>".contains(c);
            !version.is_empty() && version.chars().all(fits)
        });
        if !is_name(name) || !is_version {
            let message = format!(
                "`{}` names no crate: write `CRATE` or `CRATE@VERSION`, and `CRATE/FEATURE` for one with a \
                 feature",
                visible(text)
            );
            return Err(Failure::usage(message, NEXT));
        }
        Ok(Self { name: name.to_owned(), features, version })
    }

    /// Puts it among the dependencies; what is there already stays as far as nothing else is said.
    fn put(&self, dependencies: &mut dyn TableLike) {
        let mut written = spelled_out(dependencies.get(&self.name));
        if self.version.is_some() || written.is_empty() {
            SOURCES.iter().for_each(|key| _ = written.remove(key));
            written.insert("version", self.version.as_deref().unwrap_or("*").into());
        }
        if !self.features.is_empty() {
            let before = written.get("features").and_then(Value::as_array).cloned();
            let mut features = before.unwrap_or_default();
            features.extend(&self.features);
            written.insert("features", features.into());
        }
        written.fmt();
        dependencies.insert(&self.name, Item::Value(written.into()));
    }
}

/// A crate in a folder, as it is there.
#[derive(Debug)]
struct Editable {
    name: String,
    folder: String,
}

impl Editable {
    fn read(path: &Path) -> Result<Self, Failure> {
        let unfit = |why: String| {
            let message = format!("{} holds no crate: {why}", shown_path(path));
            Failure::usage(message, format!("ls {}", shown_path(path)))
        };
        let folder = path.canonicalize().map_err(|error| unfit(error.to_string()))?;
        let text = fs::read_to_string(folder.join("Cargo.toml"));
        let text = text.map_err(|error| unfit(format!("`Cargo.toml`: {error}")))?;
        let document: DocumentMut =
            text.parse().map_err(|error: toml_edit::TomlError| unfit(error.to_string()))?;
        let name = document.get("package").and_then(|package| package.get("name")?.as_str());
        let name = name.ok_or_else(|| unfit("its `Cargo.toml` names no package".to_owned()))?;
        Ok(Self { name: name.to_owned(), folder: folder.to_string_lossy().into_owned() })
    }

    /// Puts it in the place of the dependency of its name, or beside the others.
    fn put(&self, dependencies: &mut dyn TableLike) {
        let names_it = |(_, item): &(&str, &Item)| {
            item.get("package").and_then(Item::as_str) == Some(self.name.as_str())
        };
        let renamed = dependencies.iter().find(names_it).map(|(key, _)| key.to_owned());
        let key = renamed.unwrap_or_else(|| self.name.clone());
        let mut written = spelled_out(dependencies.get(&key));
        SOURCES.iter().for_each(|key| _ = written.remove(key));
        written.insert("path", self.folder.as_str().into());
        written.fmt();
        dependencies.insert(&key, Item::Value(written.into()));
    }

    /// Whether something else needs it from a registry.
    fn is_registered(&self, lock: &str) -> bool {
        let Ok(lock) = lock.parse::<DocumentMut>() else { return false };
        let packages = lock.get("package").and_then(Item::as_array_of_tables);
        packages.into_iter().flatten().any(|package| {
            let text = |key| package.get(key).and_then(Item::as_str);
            text("name") == Some(self.name.as_str())
                && text("source").is_some_and(|source| source.starts_with("registry+"))
        })
    }

    /// Has all others that need it take it too.
    fn patch(&self, document: &mut DocumentMut) {
        let Some(patches) = entries(document, "patch") else { return };
        if !patches.contains_key("crates-io") {
            patches.insert("crates-io", Item::Table(Table::new()));
        }
        let registry = patches.get_mut("crates-io").and_then(Item::as_table_like_mut);
        if let Some(registry) = registry {
            let path = InlineTable::from_iter([("path", self.folder.as_str())]);
            registry.insert(&self.name, Item::Value(path.into()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A manifest with dependencies as they are with more.
    fn with(dependencies: &str, added: &[&str]) -> String {
        let mut document: DocumentMut = format!("[dependencies]\n{dependencies}").parse().unwrap();
        let table = entries(&mut document, "dependencies").unwrap();
        added.iter().for_each(|text| Added::read(text).unwrap().put(table));
        document.to_string().replace("[dependencies]\n", "")
    }

    #[test]
    fn a_dependency_is_added_or_changed() {
        for (before, added, after) in [
            ("", "itoa", r#"itoa = { version = "*" }"#),
            ("", "itoa@1.0", r#"itoa = { version = "1.0" }"#),
            ("", "serde/derive,rc@1", r#"serde = { version = "1", features = ["derive", "rc"] }"#),
            ("itoa = \"1\"", "itoa", r#"itoa = { version = "1" }"#),
            ("itoa = { path = \"../itoa\" }", "itoa@2", r#"itoa = { version = "2" }"#),
            (
                "serde = { version = \"1\", features = [\"rc\"] }",
                "serde/derive",
                r#"serde = { version = "1", features = ["rc", "derive"] }"#,
            ),
        ] {
            assert_eq!(with(before, &[added]).trim(), after, "{added}");
        }
        for text in ["", "@1", "a b", "a@", "a@1\"", "--config", "../a"] {
            assert!(Added::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_crate_in_a_folder_takes_the_place_of_the_one_of_its_name() {
        let crate_here = Editable { name: "itoa".to_owned(), folder: "/src/itoa".to_owned() };
        for (before, after) in [
            ("", r#"itoa = { path = "/src/itoa" }"#),
            (
                r#"itoa = { version = "1", features = ["no-panic"] }"#,
                r#"itoa = { features = ["no-panic"], path = "/src/itoa" }"#,
            ),
            (
                r#"numbers = { package = "itoa", git = "https://a.example/itoa" }"#,
                r#"numbers = { package = "itoa", path = "/src/itoa" }"#,
            ),
        ] {
            let mut document: DocumentMut = format!("[dependencies]\n{before}").parse().unwrap();
            crate_here.put(entries(&mut document, "dependencies").unwrap());
            assert!(document.to_string().contains(after), "{document}");
        }
        let lock = "[[package]]\nname = \"itoa\"\nversion = \"1.0.0\"\n";
        assert!(!crate_here.is_registered(lock));
        let lock =
            format!("{lock}source = \"registry+https://github.com/rust-lang/crates.io-index\"\n");
        assert!(crate_here.is_registered(&lock));
    }

    #[test]
    fn paths_lead_to_the_same_place_from_another_folder() {
        let text = "[lib]\npath = \"src/lib.rs\"\n[dependencies]\na = { path = \"../../etdi/a\" }\n\
                    b = { path = \"../b\" }\n[dependencies.c]\npath = \"../../c\"\n\
                    [patch.crates-io]\nd = { path = \"../../d\" }\n";
        let mut document: DocumentMut = text.parse().unwrap();
        lead_back(document.as_table_mut(), Path::new("/w/one"), Path::new("/w"));
        let text = document.to_string();
        for kept in ["\"src/lib.rs\"", "\"../b\"", "\"/etdi/a\"", "\"/c\"", "\"/d\""] {
            assert!(text.contains(kept), "{kept}: {text}");
        }
    }
}
