//! What the scanner is worth on the corpus, held against the model card.
//!
//! The fit of `etdi-core` prints its figures by names; `docs/model-card.md` has a row for each that is
//! promised. A figure that is worse than its row by more than [`MARGIN`] is a fault: either the scanner
//! got worse, or the card says too much.

use std::env;
use std::path::Path;
use std::process::Command;

/// How many points of a hundred a figure may be worse than the card says.
const MARGIN: f64 = 2.0;

/// Runs the cross-validation, prints what it says, and compares.
///
/// # Errors
///
/// The figures that are worse than promised, or that are missing.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let fit = ["run", "--release", "--quiet", "-p", "etdi-core", "--example", "fit"];
    let output = Command::new(&cargo).current_dir(root).args(fit).output();
    let output = output.map_err(|error| format!("the fit cannot run: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    print!("{text}");
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        return Err(format!("the fit ended with {}\n{why}", output.status));
    }
    let path = root.join("docs/model-card.md");
    let card =
        std::fs::read_to_string(&path).map_err(|error| format!("`{}`: {error}", path.display()))?;
    let faults = faults(&card, &text)?;
    match faults.is_empty() {
        true => Ok(()),
        false => Err(format!("worse than docs/model-card.md says:\n{}", faults.join("\n"))),
    }
}

fn faults(card: &str, text: &str) -> Result<Vec<String>, String> {
    let mut faults = Vec::new();
    let rows: Vec<(&str, f64)> = card.lines().filter_map(row).collect();
    if rows.is_empty() {
        return Err("docs/model-card.md promises no figure".to_owned());
    }
    for (name, promised) in rows {
        let measured = text.lines().find_map(|line| {
            let (one, value) = line.strip_prefix("figure ")?.split_once(' ')?;
            (one == name).then(|| value.parse::<f64>().ok()).flatten()
        });
        let Some(measured) = measured else {
            faults.push(format!("`{name}` is not measured"));
            continue;
        };
        let worse = match name.starts_with("recall") {
            true => promised - measured,
            false => measured - promised,
        };
        if worse > MARGIN {
            faults.push(format!("`{name}`: {measured} measured, {promised} promised"));
        }
    }
    Ok(faults)
}

/// A row of the card: `` | `name` | 12.3 | what it is | ``.
fn row(line: &str) -> Option<(&str, f64)> {
    let mut cells = line.strip_prefix("| `")?.split('|').map(str::trim);
    let name = cells.next()?.strip_suffix('`')?;
    Some((name, cells.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_worse_than_promised_is_a_fault() {
        let card = "| figure | % | |\n| `recall-all-1` | 70.0 | all |\n| `alarms-hard` | 3.0 | |\n";
        let with = |recall: f64, alarms: f64| {
            faults(card, &format!("figure recall-all-1 {recall}\nfigure alarms-hard {alarms}\n"))
        };
        assert_eq!(with(70.5, 2.0), Ok(Vec::new()));
        assert_eq!(with(68.5, 4.5), Ok(Vec::new()), "within the margin");
        assert_eq!(with(60.0, 2.0).unwrap().len(), 1);
        assert_eq!(with(70.0, 9.0).unwrap().len(), 1);
        assert_eq!(faults(card, "nothing").unwrap().len(), 2);
        assert!(faults("no rows", "figure recall-all-1 99").is_err());
    }
}
