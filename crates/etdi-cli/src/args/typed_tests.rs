//! What documents, help and errors say to type can be typed.

use std::path::{Path, PathBuf};

use clap::CommandFactory as _;

use super::*;
use crate::shell::words::split;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// The files of a folder, and of those in it, that end so.
fn files(folder: &Path, end: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let below = |path: PathBuf| match path.is_dir() {
        true => files(&path, end),
        false => vec![path],
    };
    entries.flat_map(below).filter(|path| path.to_string_lossy().ends_with(end)).collect()
}

/// Whether a line can be typed; why not otherwise. What a shell does with it is cut off.
fn typed(line: &str) -> Result<(), String> {
    let line = line.split(" #").next().unwrap_or_default();
    let ends = [" && ", " | ", " > ", " >> ", " < ", " &"];
    let line = ends.iter().fold(line, |line, end| line.split(end).next().unwrap_or_default());
    let words = split(line)?;
    match Arguments::try_parse_from(words) {
        Ok(_) => Ok(()),
        Err(error) if !error.use_stderr() => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

#[track_caller]
fn all_can_be_typed(lines: Vec<(String, String)>, least: usize) {
    assert!(lines.len() >= least, "only {} lines are found", lines.len());
    let wrong = lines.iter().filter_map(|(place, line)| Some((place, line, typed(line).err()?)));
    let wrong: Vec<String> =
        wrong.map(|(place, line, why)| format!("{place}: {line}\n{why}")).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_the_documents_type_can_be_typed() {
    let mut documents = files(&root().join("docs"), ".md");
    documents.push(root().join("README.md"));
    let mut lines = Vec::new();
    for path in documents {
        let text = read(&path).replace("\\\n", " ");
        let typed = text.lines().filter_map(|line| line.trim().strip_prefix("$ "));
        let typed = typed.filter(|line| line.starts_with("etdi "));
        lines.extend(typed.map(|line| (path.display().to_string(), line.to_owned())));
    }
    all_can_be_typed(lines, 30);
}

#[test]
fn each_command_is_in_the_readme_and_shows_examples_that_can_be_typed() {
    fn below(command: &clap::Command, lines: &mut Vec<(String, String)>) {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let examples = help.lines().map(str::trim).filter(|line| line.starts_with("etdi "));
        let name = command.get_name().to_owned();
        lines.extend(examples.map(|line| (name.clone(), line.to_owned())));
        command.get_subcommands().for_each(|command| below(command, lines));
    }
    let (command, readme) = (Arguments::command(), read(&root().join("README.md")));
    let shown = command.get_subcommands().filter(|command| !command.is_hide_set());
    let names = shown.map(|command| command.get_name().to_owned());
    let missing: Vec<String> = names
        .filter(|name| {
            !readme.contains(&format!("`{name}`")) && !readme.contains(&format!("etdi {name}"))
        })
        .collect();
    assert!(missing.is_empty(), "the README does not name {missing:?}");
    let mut lines = Vec::new();
    below(&command, &mut lines);
    all_can_be_typed(lines, 30);
}

/// What is to be tried after an error, as far as it stands in the source as a whole.
#[test]
fn what_an_error_says_to_try_can_be_typed() {
    let mut lines = Vec::new();
    for path in files(&root().join("crates/etdi-cli/src"), ".rs") {
        let text = read(&path);
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for literal in code.split("\"etdi ").skip(1) {
            let literal = literal.split('"').next().unwrap_or_default();
            let is_whole = !literal.contains(['{', '\\', '…', '`', ':', ',']);
            if is_whole && !literal.trim().is_empty() {
                lines.push((path.display().to_string(), format!("etdi {literal}")));
            }
        }
    }
    all_can_be_typed(lines, 60);
}
