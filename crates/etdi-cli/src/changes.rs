//! Differences between two definitions of a tool, as a person reads them.

use etdi::core::change::{Change, Changes, visible};

/// What the marks before the differences mean.
pub const LEGEND: &str =
    "!! no honest publisher does this, ! look closely, * less than before, . harmless";

/// The differences, line by line, the gravest first.
pub fn lines(changes: &Changes) -> Vec<String> {
    let mut lines: Vec<String> = changes.iter().flat_map(shown).collect();
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
