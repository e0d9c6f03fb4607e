//! `--with` and `--with-editable`: a dependency for one run, and a package that nobody touched.

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

use super::ETDI;
use super::dev::Spoken;
use super::fresh::Newcomer;

/// A package whose server needs a crate that its manifest does not name.
struct Project(Newcomer);

impl Project {
    fn new(uses: &str) -> Self {
        let mut newcomer = Newcomer::new();
        newcomer.place.push("notes");
        let project = Self(newcomer);
        project.write("Cargo.toml", MANIFEST);
        let main = format!(
            "fn main() {{\n    {uses}\n    let server = std::process::Command::new({ETDI:?})\
             .args([\"__demo-server\", \"weather\"]).status().unwrap();\n    \
             std::process::exit(server.code().unwrap())\n}}\n"
        );
        project.write("src/main.rs", &main);
        project
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.0.place.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn command(&self, line: &str) -> Command {
        let mut command = self.0.command(line);
        command.env("CARGO_TARGET_DIR", self.0.place.join("target"));
        command
    }

    fn run(&self, line: &str) -> (i32, String) {
        let Output { status, stdout, stderr } = self.command(line).output().unwrap();
        let said = [stdout, stderr].map(|text| String::from_utf8(text).unwrap()).concat();
        (status.code().unwrap(), said)
    }

    /// The program that a client was told to start.
    fn installed(&self) -> PathBuf {
        let config: Value = serde_json::from_str(&self.0.read(".cursor/mcp.json")).unwrap();
        config["mcpServers"]["notes"]["command"].as_str().unwrap().into()
    }
}

const MANIFEST: &str =
    "[package]\nname = \"notes\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[dependencies]\n";

const LOCAL: &str = "pub const NUMBER: u32 = 7;\n";

#[test]
fn a_crate_is_there_for_one_run_and_the_package_stays_as_it_is() {
    let project = Project::new("let _ = itoa::Buffer::new();");
    let (exit, said) = project.run("etdi install cursor .");
    assert_eq!(exit, 4, "{said}");
    let (exit, said) = project.run("etdi install cursor --with itoa@1 .");
    assert_eq!(exit, 0, "{said}");
    assert!(said.contains("notes works, 1 tool: weather_today"), "{said}");
    assert_eq!(std::fs::read_to_string(project.0.place.join("Cargo.toml")).unwrap(), MANIFEST);
    assert!(!std::fs::read_to_string(project.0.place.join("Cargo.lock")).unwrap().contains("itoa"));
    // What the next build of the package makes is another program.
    let program = project.installed();
    assert!(program.is_file() && program != project.0.place.join("target/debug/notes"));

    for line in ["run --with itoa -- true", "install cursor --with itoa https://a.example/mcp"] {
        let (exit, said) = project.run(&format!("etdi {line}"));
        assert!(exit == 1 && said.contains("`--with` is for a package"), "{line}: {said}");
    }
    let (exit, said) = project.run("etdi run --with ../itoa .");
    assert!(exit == 1 && said.contains("names no crate"), "{said}");
    let (exit, said) = project.run("etdi run --with-editable ../nowhere .");
    assert!(exit == 1 && said.contains("holds no crate"), "{said}");
}

#[test]
fn a_crate_in_a_folder_is_taken_as_it_is_and_watched() {
    let project = Project::new("let _ = itoa::NUMBER;");
    let local = "[package]\nname = \"itoa\"\nversion = \"1.0.0\"\nedition = \"2024\"\n";
    project.write("../local/Cargo.toml", local);
    project.write("../local/src/lib.rs", LOCAL);
    // A path that leads out of the package leads to the same place.
    let other = MANIFEST.to_owned() + "other = { path = \"../other\" }\n";
    project.write("Cargo.toml", &other);
    project.write("../other/Cargo.toml", &local.replace("itoa", "other"));
    project.write("../other/src/lib.rs", "");
    let mut client =
        Spoken::new(&mut project.command("etdi dev --with-editable ../local --with cfg-if ."));
    assert_eq!(client.tools(), ["weather_today"]);
    project.write("../local/src/lib.rs", &LOCAL.replace('7', "8"));
    client.changed();
    project.write("../local/src/lib.rs", "");
    let said = client.says("the one before serves on");
    assert!(said.contains("cannot find value `NUMBER`"), "{said}");
    assert_eq!(std::fs::read_to_string(project.0.place.join("Cargo.toml")).unwrap(), other);
}
