//! `etdi new`: what is made builds and passes its own tests, offline.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::Author;
use super::dev::Spoken;

/// Where this workspace is, and with it the SDK.
fn sdk() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap()
}

/// All three at once, with the dependencies that this workspace has built already.
#[test]
fn each_template_builds_and_passes_its_tests() {
    let author = Author::new();
    let sdk_folder = sdk().to_str().unwrap();
    for template in ["stdio", "http", "auth"] {
        let name = format!("my-{template}");
        let (exit, made) =
            author.json(&["new", &name, "--template", template, "--sdk", sdk_folder]);
        assert_eq!(exit, 0, "{made}");
        let files = made["data"]["files"].as_array().unwrap();
        assert!(files.iter().all(|file| {
            !author.read(&format!("{name}/{}", file.as_str().unwrap())).contains("{{")
        }));
    }
    author.write(
        "Cargo.toml",
        "[workspace]\nresolver = \"3\"\nmembers = [\"my-stdio\", \"my-http\", \"my-auth\"]\n",
    );
    std::fs::copy(sdk().join("Cargo.lock"), author.folder().join("Cargo.lock")).unwrap();
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let tests = Command::new(env!("CARGO"))
        .args(["test", "--offline", "--workspace"])
        .env("CARGO_TARGET_DIR", target)
        .current_dir(author.folder())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&tests.stderr);
    assert!(tests.status.success(), "{said}\n{}", String::from_utf8_lossy(&tests.stdout));
    assert!(!said.contains("warning: unused"), "{said}");
    // And it serves.
    let program = target.join("debug/my-stdio");
    let program = program.to_str().unwrap();
    let (exit, called) = author.json(&["call", "--yes", "add", "a=1", "b=2", "--", program]);
    assert_eq!(
        (exit, &called["data"]["result"]["structuredContent"]),
        (0, &json!({ "result": 3.0 }))
    );
    develop(&author, target);
}

/// What `etdi dev` does with it: a text that does not compile changes nothing, the next one does.
fn develop(author: &Author, target: &Path) {
    let mut command = author.command(&["dev", "--package", "my-stdio"]);
    let command = command.env("CARGO_TARGET_DIR", target).env("CARGO_NET_OFFLINE", "true");
    let mut client = Spoken::new(command.env("CARGO", env!("CARGO")));
    assert_eq!(client.tools(), ["add"]);
    let source = author.read("my-stdio/src/lib.rs");
    author.write("my-stdio/src/lib.rs", &format!("{source}\nfn broken( {{"));
    let said = client.says("it does not build; the one before serves on");
    assert!(said.contains("error"), "{said}");
    assert_eq!(client.tools(), ["add"]);
    author.write(
        "my-stdio/src/lib.rs",
        &source.replace("fn add(", "fn sum(").replace("<add>", "<sum>"),
    );
    client.changed();
    assert_eq!(client.tools(), ["sum"]);
}

#[test]
fn nothing_is_written_over_and_no_name_leads_elsewhere() {
    let author = Author::new();
    std::os::unix::fs::symlink(sdk(), author.folder().join("etdi")).unwrap();
    let (exit, made) = author.json(&["new", "notes"]);
    assert_eq!((exit, &made["data"]["template"]), (0, &json!("stdio")));
    let manifest = author.read("notes/Cargo.toml");
    assert!(manifest.contains("path = \"../etdi/crates/mcp-server\""), "{manifest}");
    author.write("notes/src/lib.rs", "// mine");
    let (exit, refused) = author.json(&["new", "notes", "--template", "http"]);
    assert_eq!((exit, &refused["error"]["code"]), (1, &json!("EXISTS")));
    assert_eq!(author.read("notes/src/lib.rs"), "// mine");
    for name in ["../notes2", "Notes", "tokio", "fn"] {
        assert_eq!(author.json(&["new", name]).0, 1, "{name}");
    }
    assert!(!author.folder().join("../notes2").exists());
    assert_eq!(author.json(&["new", "other", "--sdk", "nowhere"]).0, 1);
    assert!(!author.folder().join("other").exists());
}

/// As the README has it: a checkout in `etdi` beside the project.
#[test]
fn a_checkout_beside_it_is_taken() {
    let author = Author::new();
    std::os::unix::fs::symlink(sdk(), author.folder().join("etdi")).unwrap();
    assert_eq!(author.json(&["new", "notes"]).0, 0);
    let manifest = author.read("notes/Cargo.toml");
    let wanted = "mcp-server = { path = \"../etdi/crates/mcp-server\" }";
    assert!(manifest.contains(wanted), "{manifest}");
}

/// Inside another workspace cargo would build neither: whoever types `etdi new` in a checkout is no
/// member of it.
#[test]
fn a_package_below_a_workspace_builds_by_itself() {
    let author = Author::new();
    author.write("Cargo.toml", "[workspace]\nresolver = \"3\"\nmembers = [\"inner/*\"]\n");
    let sdk_folder = sdk().to_str().unwrap();
    for (into, alone) in [(".", true), ("inner", false)] {
        assert_eq!(author.json(&["new", "notes", "--sdk", sdk_folder, "--into", into]).0, 0);
        let manifest = author.read(&format!("{into}/notes/Cargo.toml"));
        assert_eq!(manifest.contains("[workspace]"), alone, "{manifest}");
        let mut asked = Command::new(env!("CARGO"));
        asked.args(["metadata", "--no-deps", "--offline", "--format-version", "1"]);
        let place = author.folder().join(into).join("notes");
        assert!(asked.current_dir(place).output().unwrap().status.success(), "{into}");
    }
}
