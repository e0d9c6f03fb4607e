//! `etdi test`: calls as a file says, and what is expected of their answers.

pub mod file;
pub mod report;
pub mod take;

use std::io::Write as _;

use self::file::TestFile;
use crate::args::TestArguments;
use crate::exit::{Exit, Failure};
use crate::output::{Output, Report};
use crate::verbs::target::{block_on, quoted, shown_path};

/// Takes the steps of a file and reports; ends with the exit code of a tool's error when something is
/// not as expected.
///
/// # Errors
///
/// When the file cannot be used, the server cannot be reached, or a report cannot be written.
pub fn run(arguments: &TestArguments, output: Output) -> Result<Report, Failure> {
    let file = TestFile::read(&arguments.file)?;
    let words = match arguments.command.is_empty() {
        true => &file.server,
        false => &arguments.command,
    };
    if words.is_empty() {
        let message =
            format!("`{}` names no server, and none comes after `--`", arguments.file.display());
        let next = format!("etdi test {} -- ./my-server", shown_path(&arguments.file));
        return Err(Failure::usage(message, next));
    }
    let mut again = format!("etdi test {} --revisions handshake", shown_path(&arguments.file));
    if !arguments.command.is_empty() {
        let server = words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
        again = format!("{again} -- {server}");
    }
    let runs = block_on(take::all(&file, (words, &again), arguments.revisions, output))?;
    if let Some(path) = &arguments.junit {
        std::fs::write(path, report::junit(&arguments.file, &runs)).map_err(|error| {
            let message = format!("`{}` cannot be written: {error}", path.display());
            Failure::usage(message, format!("ls -ld {}", shown_path(path)))
        })?;
    }
    let on_github = std::env::var("GITHUB_ACTIONS").is_ok_and(|value| value == "true");
    if arguments.github || on_github {
        let mut stderr = std::io::stderr();
        for line in report::github(&arguments.file, &runs) {
            // Nobody is harmed when a remark does not get out.
            let _ = writeln!(stderr, "{line}");
        }
    }
    let exit = if report::failed(&runs) == 0 { Exit::Done } else { Exit::ToolError };
    Ok(Report::new(report::data(&runs), report::text(&runs)).ending(exit))
}
