//! Interpreters and packages, as `tests/interop` pins them, in a folder under `target`.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use crate::process::finish;

/// Interpreters and packages, installed.
pub(crate) struct Tools {
    sources: PathBuf,
    pub(crate) cache: PathBuf,
    node: PathBuf,
    python: PathBuf,
}

impl Tools {
    pub(crate) fn install(sources: &Path, cache: &Path) -> Result<Tools, String> {
        let python = install_python(sources, cache)?;
        let node = install_node(&sources.join("node"), &cache.join("node"))?;
        let files = cache.join("files");
        write(&files.join("greeting.txt"), b"hello from a file\n")?;
        // The published file server compares resolved paths.
        let cache = cache
            .canonicalize()
            .map_err(|error| format!("cannot resolve `{}`: {error}", cache.display()))?;
        Ok(Tools { sources: sources.to_owned(), cache, node, python })
    }

    /// A program of ours on Python.
    pub(crate) fn python_program(&self, name: &str) -> Vec<PathBuf> {
        vec![self.python.clone(), self.sources.join("python").join(name)]
    }

    /// A program of ours on node; it lies beside `node_modules`, where imports are looked up.
    pub(crate) fn node_program(&self, name: &str) -> Vec<PathBuf> {
        vec![self.node.clone(), self.cache.join("node").join(name)]
    }

    /// The Inspector's command line.
    pub(crate) fn inspector(&self) -> Vec<PathBuf> {
        let entry =
            "node/node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js";
        vec![self.node.clone(), self.cache.join(entry), "--cli".into()]
    }

    /// A server of the protocol's own project, with one argument.
    pub(crate) fn published(&self, name: &str, argument: &OsStr) -> Vec<PathBuf> {
        let entry = format!("node/node_modules/@modelcontextprotocol/{name}/dist/index.js");
        vec![self.node.clone(), self.cache.join(entry), argument.into()]
    }
}

fn install_python(sources: &Path, cache: &Path) -> Result<PathBuf, String> {
    let (venv, lock) = (cache.join("venv"), sources.join("python/requirements.txt"));
    let (python, stamp) = (venv.join("bin/python"), cache.join("venv/requirements.txt"));
    if !same(&lock, &stamp) {
        println!("installing the Python packages of {}", sources.display());
        if venv.exists() {
            fs::remove_dir_all(&venv)
                .map_err(|error| format!("cannot remove `{}`: {error}", venv.display()))?;
        }
        finish(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
        // `--no-deps`: the list is complete, so nothing that it does not name can come along.
        finish(
            Command::new(&python)
                .args(["-m", "pip", "install", "--quiet", "--no-deps", "-r"])
                .arg(&lock),
        )?;
        copy(&lock, &stamp)?;
    }
    Ok(python)
}

/// Installs the npm packages that the folder `from` pins into `to`, beside a copy of its files; gives
/// the node that runs them.
pub(crate) fn install_node(from: &Path, to: &Path) -> Result<PathBuf, String> {
    let stamp = to.join("installed.json");
    for entry in
        fs::read_dir(from).map_err(|error| format!("cannot read `{}`: {error}", from.display()))?
    {
        let path = entry.map_err(|error| error.to_string())?.path();
        if let Some(name) = path.file_name().filter(|_| path.is_file()) {
            copy(&path, &to.join(name))?;
        }
    }
    if !same(&from.join("package-lock.json"), &stamp) {
        println!("installing the npm packages of {}", from.display());
        // No package's install script runs here.
        let npm = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
        finish(Command::new("npm").current_dir(to).args(npm))?;
        copy(&from.join("package-lock.json"), &stamp)?;
    }
    // The Inspector needs a newer node than many machines have; the lock file brings one.
    let system = match env::consts::OS {
        "macos" => "darwin",
        other => other,
    };
    let machine = match env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        other => other,
    };
    let brought = to.join(format!("node_modules/node-{system}-{machine}/bin/node"));
    Ok(if brought.exists() { brought } else { "node".into() })
}

fn same(one: &Path, other: &Path) -> bool {
    matches!((fs::read(one), fs::read(other)), (Ok(one), Ok(other)) if one == other)
}

pub(crate) fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let bytes =
        fs::read(from).map_err(|error| format!("cannot read `{}`: {error}", from.display()))?;
    write(to, &bytes)
}

pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)
            .map_err(|error| format!("cannot create `{}`: {error}", folder.display()))?;
    }
    fs::write(path, bytes).map_err(|error| format!("cannot write `{}`: {error}", path.display()))
}
