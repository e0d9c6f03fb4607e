//! Building a cargo package: which program comes of it.

use std::path::PathBuf;
use std::process::Stdio;

use serde_json::Value;
use tokio::process::Command;

use crate::args::DevArguments;

/// How the package is built.
#[derive(Clone, Debug)]
pub struct Package {
    folder: PathBuf,
    only: Vec<String>,
}

impl Package {
    /// The package that the arguments name.
    pub fn of(arguments: &DevArguments) -> Self {
        let only = match (&arguments.bin, &arguments.example) {
            (Some(bin), _) => vec!["--bin".to_owned(), bin.clone()],
            (None, Some(example)) => vec!["--example".to_owned(), example.clone()],
            (None, None) => vec!["--bins".to_owned()],
        };
        Self { folder: arguments.package.clone(), only }
    }

    /// Builds it, and gives the program. What the compiler says goes to standard error.
    ///
    /// # Errors
    ///
    /// Why there is none, as a sentence.
    pub async fn build(&self) -> Result<PathBuf, String> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.args(["build", "--message-format=json-render-diagnostics"]).args(&self.only);
        command.current_dir(&self.folder).stdin(Stdio::null()).stderr(Stdio::inherit());
        // One build does not outlive the command.
        command.stdout(Stdio::piped()).kill_on_drop(true);
        let unstarted = |error: std::io::Error| format!("cargo cannot be started: {error}");
        // `output` would take standard error for itself.
        let building = command.spawn().map_err(unstarted)?;
        let built = building.wait_with_output().await.map_err(unstarted)?;
        if !built.status.success() {
            return Err("it does not build".to_owned());
        }
        programs(&String::from_utf8_lossy(&built.stdout))
    }
}

/// The one program of a build, from what cargo says of it.
fn programs(said: &str) -> Result<PathBuf, String> {
    let messages = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let program = |message: Value| {
        let kinds = message.pointer("/target/kind")?.as_array()?.clone();
        let is_program = kinds.iter().any(|kind| *kind == "bin" || *kind == "example");
        let path = message.get("executable")?.as_str()?;
        is_program.then(|| PathBuf::from(path))
    };
    let found: Vec<PathBuf> = messages.filter_map(program).collect();
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err("the package has no program, name one by `--bin` or `--example`".to_owned()),
        several => {
            let names: Vec<_> =
                several.iter().filter_map(|path| path.file_stem()?.to_str()).collect();
            Err(format!(
                "the package has several programs, name one by `--bin`: {}",
                names.join(", ")
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_the_one_that_can_be_run() {
        let line = |kind: &str, program: &str| {
            format!(
                "{{\"reason\":\"compiler-artifact\",\"target\":{{\"kind\":[\"{kind}\"]}},\"executable\":{program}}}\n"
            )
        };
        let library = line("lib", "null");
        let script = line("custom-build", "\"/t/build-script-build\"");
        let one = format!("{library}{script}not json\n{}", line("bin", "\"/t/notes\""));
        assert_eq!(programs(&one), Ok(PathBuf::from("/t/notes")));
        assert!(programs(&library).unwrap_err().contains("--example"));
        let two = format!("{one}{}", line("bin", "\"/t/other\""));
        assert!(programs(&two).unwrap_err().ends_with("notes, other"));
    }
}
