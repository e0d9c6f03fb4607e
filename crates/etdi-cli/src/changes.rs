//! Differences between two definitions of a tool, as a person reads them.

use etdi::core::change::{Change, Changes, visible};

/// What the marks before the differences mean.
pub const LEGEND: &str =
    "!! no honest publisher does this, ! look closely, * less than before, . harmless";

/// The part of [`LEGEND`] about the marks that stand before these differences.
pub fn legend(changes: &Changes) -> String {
    let lines = lines(changes);
    let stands = |mark: &str| {
        let mut marks = lines.iter().filter(|line| !line.starts_with("     "));
        marks.any(|line| line.trim_start().split(' ').next() == Some(mark)) || changes.omitted() > 0
    };
    let parts = LEGEND.split(", ").filter(|part| part.split(' ').next().is_some_and(stands));
    parts.collect::<Vec<_>>().join(", ")
}

/// The differences, line by line, the gravest first. That a tool kept its version is none where it
/// never had one.
pub fn lines(changes: &Changes) -> Vec<String> {
    let told = changes.iter().filter(|change| !change.is_without_version());
    let mut lines: Vec<String> = told.flat_map(shown).collect();
    if changes.omitted() > 0 {
        lines.push(format!("… and {} more", changes.omitted()));
    }
    lines
}

fn shown(change: &Change) -> Vec<String> {
    let text = change.to_string();
    let mut lines = text.lines().map(str::to_owned);
    match &change.before {
        // Old and new beside each other would look like a change.
        Some(kept) if change.before == change.after => {
            let what = if change.path.ends_with(".version") { "version kept" } else { "kept" };
            let kept = kept.as_str().map_or_else(|| kept.to_string(), str::to_owned);
            let kept = format!("     {what}: {}", visible(&kept));
            lines.next().into_iter().chain([kept]).collect()
        }
        _ => lines.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(description: &str, version: &str) -> String {
        format!(
            r#"{{"_meta":{{"dev.etdi/etdi":{{"v":1,"version":"{version}"}}}},"description":"{description}","inputSchema":{{"type":"object"}},"name":"t"}}"#
        )
    }

    #[test]
    fn a_version_that_stayed_is_no_difference() {
        let changes = Changes::between(&tool("Old.", "1.2.0"), &tool("New.", "1.2.0")).unwrap();
        let lines = lines(&changes);
        assert!(lines.iter().any(|line| line == "     version kept: 1.2.0"), "{lines:#?}");
        assert!(!lines.iter().any(|line| line.contains("- \"1.2.0\"")), "{lines:#?}");
        assert!(lines.iter().any(|line| line == "     + \"New.\""), "{lines:#?}");
    }

    #[test]
    fn a_version_that_rose_is_one() {
        let changes = Changes::between(&tool("Old.", "1.2.0"), &tool("Old.", "1.3.0")).unwrap();
        let text = lines(&changes).join("\n");
        assert!(text.contains("- \"1.2.0\"\n     + \"1.3.0\""), "{text}");
    }

    /// Nobody who signs nothing is told that no honest publisher edits a text.
    #[test]
    fn a_tool_without_a_version_did_not_keep_it() {
        let bare =
            |text: &str| format!(r#"{{"description":"{text}","inputSchema":{{}},"name":"t"}}"#);
        let changes = Changes::between(&bare("Old."), &bare("New.")).unwrap();
        let text = lines(&changes).join("\n");
        assert!(!text.contains("version") && text.contains("description: text changed"), "{text}");
        assert_eq!(legend(&changes), "! look closely");
        let kept = Changes::between(&tool("Old.", "1.2.0"), &tool("New.", "1.2.0")).unwrap();
        assert!(legend(&kept).starts_with("!! no honest publisher does this, "));
    }

    /// Every mark that can stand before a difference is explained.
    #[test]
    fn the_legend_names_every_mark() {
        let pairs = [("Old.", "1.2.0", "New.", "1.2.0"), ("Old.", "1.2.0", "Old.", "1.3.0")];
        for (old, was, new, is) in pairs {
            let changes = Changes::between(&tool(old, was), &tool(new, is)).unwrap();
            for line in lines(&changes).iter().filter(|line| !line.starts_with("     ")) {
                let mark = line.trim_start().split(' ').next().unwrap();
                assert!(
                    LEGEND.split(", ").any(|part| part.starts_with(&format!("{mark} "))),
                    "{line}"
                );
            }
        }
    }
}
