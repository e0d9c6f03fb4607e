//! `etdi completions` and `etdi man`: made of the command line itself, so that they are never behind.

use std::path::Path;

use clap::CommandFactory;
use serde_json::json;

use crate::args::Arguments;
use crate::exit::Failure;
use crate::output::Report;
use crate::verbs::target::shown_path;

/// What completes the words of `etdi` in a shell.
///
/// # Errors
///
/// None; the signature is that of a verb.
pub fn completions(shell: clap_complete::Shell) -> Result<Report, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "etdi", &mut text);
    let text = String::from_utf8_lossy(&text).into_owned();
    Ok(Report::new(json!({ "shell": shell.to_string(), "script": text }), text))
}

/// The manual page, or a page for each command in a directory.
///
/// # Errors
///
/// When it cannot be written.
pub fn man(out: Option<&Path>) -> Result<Report, Failure> {
    let unwritten = |error: std::io::Error| {
        let place = out.unwrap_or(Path::new("."));
        let message = format!("the manual cannot be written: {error}");
        Failure::usage(message, format!("ls -ld {}", shown_path(place)))
    };
    let Some(directory) = out else {
        let mut page = Vec::new();
        let manual = clap_mangen::Man::new(Arguments::command());
        manual.render(&mut page).map_err(unwritten)?;
        let page = String::from_utf8_lossy(&page).into_owned();
        return Ok(Report::new(json!({ "page": page }), page));
    };
    std::fs::create_dir_all(directory).map_err(unwritten)?;
    clap_mangen::generate_to(Arguments::command(), directory).map_err(unwritten)?;
    let text = format!("the pages are in {}", shown_path(directory));
    Ok(Report::new(json!({ "directory": directory }), text))
}
