//! `cargo xtask schema` and `cargo xtask codegen`: the model, from the published schemas.
//!
//! `schema --from DIR` reads `<revision>/schema.json` and keeps our own description of each in
//! `xtask/schema`, without any of its text. `codegen` starts from those alone: description →
//! [`overlay`], the table of our decisions → [`emit`] → `crates/mcp-types/src/generated`.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub(crate) mod describe;
mod docs;
mod emit;
mod methods;
mod overlay;
mod tasks;

use describe::Description;

/// What is described, newest protocol revision first.
pub(crate) const SCHEMAS: &[&str] =
    &["2026-07-28", "2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05", "ext-tasks"];

/// Describes the published schemas in `from`.
///
/// # Errors
///
/// What cannot be read, described or written.
pub(crate) fn schema(root: &Path, from: &Path) -> Result<(), String> {
    for name in SCHEMAS {
        let text = read(&from.join(name).join("schema.json"))?;
        let description = Description::of_schema(&text).map_err(|e| format!("{name}: {e}"))?;
        write(&kept(root, name), &description.to_text()?)?;
        println!("schema: {name}: {} definitions", description.definitions.len());
    }
    Ok(())
}

/// Generates; with `check`, only says what is stale.
///
/// # Errors
///
/// The stale files, an entry of the overlay that matches nothing, or what cannot be written.
pub(crate) fn run(root: &Path, check: bool) -> Result<(), String> {
    let modern = description(root, "2026-07-28")?;
    let legacy = description(root, "2025-11-25")?;
    let extension = description(root, "ext-tasks")?;
    let files = [
        ("mod.rs", emit::module()),
        ("model.rs", emit::model(&modern)?),
        ("legacy.rs", emit::legacy(&legacy, &modern)?),
        ("methods.rs", methods::emit(&modern, &legacy)?),
        ("tasks.rs", emit::tasks_extension(&extension)?),
    ];
    let folder = root.join("crates/mcp-types/src/generated");
    let mut stale = Vec::new();
    for (name, text) in files {
        let (path, text) = (folder.join(name), formatted(&text)?);
        if fs::read_to_string(&path).is_ok_and(|old| old == text) {
            continue;
        }
        match check {
            true => stale.push(format!("{} is stale, run `cargo xtask codegen`", path.display())),
            false => write(&path, &text)?,
        }
    }
    match stale.as_slice() {
        [] => Ok(()),
        stale => Err(stale.join("\n")),
    }
}

/// The kept description of a revision.
///
/// # Errors
///
/// When there is none, or it is not one.
pub(crate) fn description(root: &Path, name: &str) -> Result<Description, String> {
    let path = kept(root, name);
    Description::from_text(&read(&path)?).map_err(|e| format!("{}: {e}", path.display()))
}

fn kept(root: &Path, name: &str) -> PathBuf {
    root.join("xtask/schema").join(format!("{name}.json"))
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    }
    fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()))
}

/// `text` as the pinned compiler's formatter writes it.
fn formatted(text: &str) -> Result<String, String> {
    let mut child = Command::new("rustfmt")
        .args(["--edition", "2024", "--config", "max_width=100,use_small_heuristics=Max"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| format!("rustfmt cannot run: {e}"))?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(indented(text).as_bytes()).map_err(|e| e.to_string())?;
    }
    let output = child.wait_with_output().map_err(|e| e.to_string())?;
    if !output.status.success() {
        return Err("rustfmt refused the generated text".to_owned());
    }
    String::from_utf8(output.stdout).map_err(|e| e.to_string())
}

/// `text` with each line indented by the braces around it; the formatter leaves macros alone.
fn indented(text: &str) -> String {
    let (mut depth, mut all) = (0_usize, String::new());
    for line in text.lines().map(str::trim) {
        let is_comment = line.starts_with("//");
        let count = |brace| if is_comment { 0 } else { line.matches(brace).count() };
        let (opened, closed) = (count('{'), count('}'));
        let before = depth.saturating_sub(usize::from(line.starts_with('}')));
        if !line.is_empty() {
            all += &"    ".repeat(before);
        }
        all += line;
        all.push('\n');
        depth = (depth + opened).saturating_sub(closed);
    }
    all
}

/// `cacheScope` as `CacheScope`.
pub(crate) fn pascal(name: &str) -> String {
    name.split(['-', '_', ' ', '/', '$'])
        .filter_map(|word| {
            let mut letters = word.chars();
            Some(letters.next()?.to_uppercase().collect::<String>() + letters.as_str())
        })
        .collect()
}

/// `cacheScope` as `cache_scope`, with `r#` where that is a keyword.
pub(crate) fn snake(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.trim_start_matches(['_', '$']).chars() {
        if letter.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    match snake.as_str() {
        "type" | "ref" | "enum" | "const" => format!("r#{snake}"),
        _ => snake,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> &'static Path {
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
    }

    #[test]
    fn generated_code_is_fresh() {
        run(root(), true).unwrap();
    }

    #[test]
    fn descriptions_are_those_of_the_published_schemas() {
        let Some(from) = std::env::var_os("MCP_SCHEMA_DIR") else { return };
        for name in SCHEMAS {
            let text = read(&Path::new(&from).join(name).join("schema.json")).unwrap();
            let published = Description::of_schema(&text).unwrap();
            assert!(published == description(root(), name).unwrap(), "{name} differs");
        }
    }
}
