//! Definitions that a scanner looks into.

use std::sync::LazyLock;
use std::time::Instant;

use etdi_core::analyze::{Kind, KnownTool, SecurityAnalyzer};

static ANALYZER: LazyLock<SecurityAnalyzer> = LazyLock::new(|| {
    let known = ["read_file", "send_email", "search"].map(|name| KnownTool::new(name, "other"));
    SecurityAnalyzer::new().knowing(known).expecting_etdi()
});

/// The longest that one definition may take where speed can be told: the limits are for the worst
/// case, most take less than a thousandth of it.
const SECONDS: f64 = 2.0;

/// The rest of `data` is a definition, the first byte says of what.
pub fn analyze(data: &[u8]) {
    let Some((kind, text)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let kind = match kind % 6 {
        0 => Kind::Tool,
        1 => Kind::Prompt,
        2 => Kind::Template,
        3 => Kind::Server,
        4 => Kind::Result,
        _ => Kind::Resource,
    };
    let start = Instant::now();
    let analysis = ANALYZER.analyze(kind, text);
    // A test of the workspace runs unoptimized on a busy machine.
    assert!(!cfg!(feature = "libfuzzer") || start.elapsed().as_secs_f64() < SECONDS);
    assert!((0.0..=1.0).contains(&analysis.risk));
    assert!(analysis.findings.len() <= 64);
    for finding in &analysis.findings {
        assert!((0.0..=1.0).contains(&finding.risk));
        assert!(!finding.evidence.chars().chain(finding.what.chars()).any(char::is_control));
    }
    assert_eq!(analysis, ANALYZER.analyze(kind, text));
}
