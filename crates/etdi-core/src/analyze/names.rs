//! Names that are taken for others (T6).

use unicode_security::RestrictionLevelDetection;
use unicode_security::restriction_level::RestrictionLevel;

use super::Severity;
use super::finding::{Code, Family};
use super::known::{Known, KnownTool, LONGEST, Origin};
use super::report::Report;
use super::subject::{Kind, Piece, Role, Subject};
use super::words;

pub(super) static CODES: [&Code; 9] =
    [&INVALID, &SCRIPT, &LOOKALIKE, &TWIN, &TYPO, &COMBINED, &SAME, &NAMESPACE, &DUPLICATE];

static INVALID: Code = code(
    "names/invalid",
    Severity::Low,
    "a name that the specification does not allow",
    "Tool names have 1 to 128 of the letters A-Z and a-z, digits, `_`, `-` and `.`; what clients make of \
     others differs, and two tools may become one.",
    "Have its author rename it.",
);

static SCRIPT: Code = code(
    "names/mixed-script",
    Severity::High,
    "a name of letters that do not belong together",
    "It is below the level `Moderately Restrictive` of Unicode Technical Standard 39: letters of scripts \
     that are taken for one another, or such as no name has.",
    "Do not approve it under this name.",
);

static LOOKALIKE: Code = code(
    "names/lookalike",
    Severity::High,
    "a name that looks like another tool's",
    "Letters and digits that look alike make it pass for a tool that is known.",
    "Do not approve it; use the tool that it looks like.",
);

static TWIN: Code = code(
    "names/twin",
    Severity::Medium,
    "a name that differs in case or signs alone",
    "Models and people do not tell `read_file` from `read-file` or `Read_File`.",
    "Approve one of the two, or give their servers names that are shown with them.",
);

static TYPO: Code = code(
    "names/typosquat",
    Severity::Medium,
    "a name that is one slip away from another tool's",
    "A letter more, less, other or swapped: whoever means the known tool may call this one.",
    "Make sure which of the two is meant before you approve it.",
);

static COMBINED: Code = code(
    "names/combined",
    Severity::Medium,
    "another tool's name with an assurance",
    "Words such as `official` or `secure` behind the name of a known tool ask to be preferred to it.",
    "Ask who publishes it; the name proves nothing.",
);

static SAME: Code = code(
    "names/same",
    Severity::Medium,
    "the name of another server's tool",
    "Clients that do not show the server call the one or the other.",
    "Use a client that names tools by their server, or approve one of the two.",
);

static NAMESPACE: Code = code(
    "names/namespace",
    Severity::Medium,
    "a name that pretends to be of another server",
    "Clients put the server before the tool, as in `mcp__server__tool`; a tool that is called like that \
     passes for one of that server.",
    "Do not approve it under this name.",
);

static DUPLICATE: Code = code(
    "names/duplicate",
    Severity::High,
    "two tools of one listing with one name",
    "Which of the two definitions was approved and which is called is up to each client.",
    "Do not use either; have the server's author name them apart.",
);

const fn code(
    name: &'static str,
    severity: Severity,
    title: &'static str,
    why: &'static str,
    advice: &'static str,
) -> Code {
    Code { name, family: Family::Names, severity, title, why, advice }
}

pub(super) fn look(
    subject: &Subject<'_>,
    known: &Known,
    origin: &Origin<'_>,
    report: &mut Report<'_, '_>,
) {
    let Some(piece) = subject.pieces.iter().find(|piece| piece.role == Role::Name) else { return };
    let name = piece.text;
    let tool = subject.kind == Kind::Tool;
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    if tool && (name.len() > LONGEST || !name.chars().all(allowed)) {
        let risk = if name.chars().any(char::is_control) { 0.5 } else { 0.08 };
        report.at(
            &INVALID,
            piece,
            None,
            risk,
            "its name has letters or a length that no tool name has",
        );
    }
    if !name.is_ascii() && name.len() <= LONGEST {
        script(piece, report);
    }
    if tool {
        namespace(piece, known, origin, report);
        if name.len() <= LONGEST {
            imitation(piece, report);
            against(piece, known, origin, report);
        }
    }
}

/// A second definition of one name in a listing.
pub(super) fn duplicate(subject: &Subject<'_>, report: &mut Report<'_, '_>) {
    if let Some(piece) = subject.pieces.iter().find(|piece| piece.role == Role::Name) {
        let what = "the same listing has a tool of this name already";
        report.at(&DUPLICATE, piece, None, 0.6, what);
    }
}

fn script(piece: &Piece<'_>, report: &mut Report<'_, '_>) {
    let words = piece.text.split(|c: char| c.is_ascii() && !c.is_ascii_alphanumeric());
    for word in words.filter(|word| !word.is_ascii()) {
        let level = word.detect_restriction_level();
        if level > RestrictionLevel::ModeratelyRestrictive {
            let span = piece.text.find(word).map(|at| at..at + word.len());
            let what = format!("{} mixes scripts or has letters of no name", report.shown(word));
            report.at(&SCRIPT, piece, span, 0.5, what);
        }
    }
}

fn namespace(piece: &Piece<'_>, known: &Known, origin: &Origin<'_>, report: &mut Report<'_, '_>) {
    let name = piece.text;
    let lower = name.to_ascii_lowercase();
    if lower.strip_prefix("mcp__").is_some_and(|rest| rest.contains("__")) {
        return report.at(
            &NAMESPACE,
            piece,
            Some(0..5),
            0.6,
            "its name has the form of another server's tool",
        );
    }
    let prefixed = known.servers(origin).find(|(server, _)| {
        let rest = lower.strip_prefix(server).filter(|_| server.len() > 2);
        rest.is_some_and(|rest| rest.starts_with("__") || rest.starts_with(['.', ':', '/']))
    });
    if let Some((_, tool)) = prefixed {
        let what = format!("its name begins with the server {}", report.shown(&tool.server));
        report.at(&NAMESPACE, piece, None, 0.5, what);
    }
}

/// Words that are worth imitating, of names that everybody knows.
const WORTH: [&str; 64] = [
    "airtable",
    "alipay",
    "amazon",
    "anthropic",
    "arxiv",
    "asana",
    "atlassian",
    "azure",
    "bigquery",
    "binance",
    "bitbucket",
    "chrome",
    "cloudflare",
    "coinbase",
    "confluence",
    "database",
    "discord",
    "docker",
    "docusign",
    "dropbox",
    "elasticsearch",
    "execute",
    "file",
    "files",
    "filesystem",
    "firebase",
    "github",
    "gitlab",
    "gmail",
    "google",
    "hubspot",
    "issue",
    "jira",
    "kubectl",
    "kubernetes",
    "linear",
    "metamask",
    "microsoft",
    "mongodb",
    "notion",
    "okta",
    "onedrive",
    "openai",
    "outlook",
    "paypal",
    "playwright",
    "postgres",
    "postgresql",
    "salesforce",
    "search",
    "sentry",
    "servicenow",
    "sharepoint",
    "slack",
    "spotify",
    "sql",
    "stripe",
    "supabase",
    "telegram",
    "terraform",
    "trello",
    "twilio",
    "whatsapp",
    "wolfram",
];

/// Words that a name imitates, whether or not a tool of that name is known.
fn imitation(piece: &Piece<'_>, report: &mut Report<'_, '_>) {
    let apart = |c: char| !c.is_alphanumeric();
    for word in piece.text.split(apart).filter(|word| word.len() > 2) {
        let lower = word.to_lowercase();
        if WORTH.contains(&&*lower) {
            continue;
        }
        let looks = crate::approval::looks(word);
        let digits = word.bytes().any(|byte| b"01".contains(&byte)) || !word.is_ascii();
        let like = WORTH.iter().find(|one| {
            let same = || looks.iter().any(|look| crate::approval::looks(one).contains(look));
            digits && one.len().abs_diff(word.len()) <= 4 && same()
                || one.len() > 5 && slip(&lower, one).is_some_and(|slip| slip >= Slip::Lookalike)
        });
        if let Some(like) = like {
            let what = format!("{} looks like `{like}`", report.shown(word));
            report.at(&LOOKALIKE, piece, None, 0.6, what);
        }
    }
}

/// Assurances behind a name.
const ASSURANCES: [&str; 14] = [
    "official", "secure", "safe", "trusted", "verified", "original", "pro", "premium", "plus",
    "new", "fixed", "real", "better", "improved",
];

/// The name against those that are known.
fn against(piece: &Piece<'_>, known: &Known, origin: &Origin<'_>, report: &mut Report<'_, '_>) {
    let name = piece.text;
    let foreign = |tool: &&KnownTool| !origin.is_of(tool);
    if let Some(tool) = known.named(name).find(foreign) {
        let what = format!("{} has a tool of this name", report.shown(&tool.server));
        report.at(&SAME, piece, None, 0.05, what);
        return;
    }
    if let Some(tool) = known.looking_like(name).into_iter().find(foreign) {
        let plain = |name: &str| -> String {
            name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
        };
        let what =
            format!("it passes for {} of {}", report.shown(&tool.name), report.shown(&tool.server));
        if plain(name) == plain(&tool.name) {
            let risk = if is_orderly(name) { 0.35 } else { 0.7 };
            report.at(&TWIN, piece, None, risk, what);
        } else {
            report.at(&LOOKALIKE, piece, None, 0.9, what);
        }
        return;
    }
    let own = words::split_plain(name);
    let combined =
        own.split_last().filter(|(last, rest)| ASSURANCES.contains(&&***last) && rest.len() > 1);
    if combined.is_some() {
        let start = name.len() - own.last().map_or(0, String::len);
        let stem = name.get(..start).unwrap_or_default().trim_end_matches(['_', '-', '.']);
        let found = known.looking_like(stem).into_iter().find(foreign);
        if let Some(tool) = found {
            let what = format!("it adds an assurance to the name of {}", report.shown(&tool.name));
            return report.at(&COMBINED, piece, Some(start..name.len()), 0.6, what);
        }
    }
    let mut best: Option<(f64, &KnownTool)> = None;
    for tool in known.near(name).filter(foreign) {
        let risk = slipped(&own, &words::split_plain(&tool.name));
        if best.is_none_or(|(other, _)| risk > other) && risk > 0.0 {
            best = Some((risk, tool));
        }
    }
    if let Some((risk, tool)) = best {
        let what = format!(
            "it is one slip from {} of {}",
            report.shown(&tool.name),
            report.shown(&tool.server)
        );
        report.at(&TYPO, piece, None, risk, what);
    }
}

/// Whether signs and capitals follow one of the usual styles.
fn is_orderly(name: &str) -> bool {
    let kinds = ['_', '-', '.'].into_iter().filter(|sign| name.contains(*sign)).count();
    let ends = name.starts_with(['_', '-', '.']) || name.ends_with(['_', '-', '.']);
    let twice = ["__", "--", "..", "_-", "-_"].iter().any(|twice| name.contains(twice));
    let mixed =
        kinds == 1 && name.chars().any(char::is_uppercase) && name.chars().any(char::is_lowercase);
    kinds < 2 && !ends && !twice && !mixed
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Slip {
    /// Two of the following, in a long word.
    Two,
    /// Another letter, one more or one less.
    Letter,
    /// Neighbours swapped, a letter twice, a letter for one that looks like it.
    Lookalike,
}

/// How likely a name that differs from another in one word is a slip on purpose.
fn slipped(own: &[String], other: &[String]) -> f64 {
    if own.len() != other.len() {
        return 0.0;
    }
    let mut differing = own.iter().zip(other).filter(|(one, other)| one != other);
    let (Some((one, other)), None) = (differing.next(), differing.next()) else { return 0.0 };
    match slip(one, other) {
        Some(Slip::Lookalike) if one.len() > 3 => 0.7,
        Some(Slip::Letter) if one.len() > 6 => 0.5,
        Some(Slip::Letter) if one.len() > 4 => 0.15,
        Some(Slip::Two) => 0.3,
        _ => 0.0,
    }
}

/// The slip between two words of lower case, if it is one.
fn slip(one: &str, other: &str) -> Option<Slip> {
    let stem = |word: &str| word.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned();
    let plural = |one: &str, other: &str| {
        one.strip_prefix(other)
            .is_some_and(|rest| matches!(rest, "s" | "es" | "d" | "ed" | "r" | "er"))
    };
    if stem(one) == stem(other) || plural(one, other) || plural(other, one) {
        return None;
    }
    let (a, b): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let start = a.iter().zip(&b).take_while(|(one, other)| one == other).count();
    let rest = |word: &[char]| word.len() - start;
    let (left, right) = (a.get(start..)?, b.get(start..)?);
    let end =
        left.iter().rev().zip(right.iter().rev()).take_while(|(one, other)| one == other).count();
    let left = left.get(..rest(&a) - end)?;
    let right = right.get(..rest(&b) - end)?;
    let before = start.checked_sub(1).and_then(|at| a.get(at));
    let repeats = |c: &char| before == Some(c);
    const PAIRS: [(char, char); 8] = [
        ('i', 'l'),
        ('i', 'j'),
        ('o', 'q'),
        ('u', 'v'),
        ('v', 'y'),
        ('g', 'q'),
        ('c', 'e'),
        ('n', 'm'),
    ];
    match (left, right) {
        ([], [c]) | ([c], []) => Some(if repeats(c) { Slip::Lookalike } else { Slip::Letter }),
        ([x], [y]) => {
            let alike = |one, other| PAIRS.contains(&(one, other)) || PAIRS.contains(&(other, one));
            Some(if alike(*x, *y) { Slip::Lookalike } else { Slip::Letter })
        }
        ([x, y], [z, w]) if x == w && y == z => Some(Slip::Lookalike),
        (['r', 'n'], ['m']) | (['m'], ['r', 'n']) | (['v', 'v'], ['w']) | (['w'], ['v', 'v']) => {
            Some(Slip::Lookalike)
        }
        _ if a.len().min(b.len()) > 8 && strsim::osa_distance(one, other) == 2 => Some(Slip::Two),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{KnownTool, SecurityAnalyzer};

    /// The findings of this family for a name, where another is known.
    fn found(name: &str, known: &str) -> Vec<(&'static str, f64)> {
        let text = format!(r#"{{"name":"{name}","inputSchema":{{}}}}"#);
        let analyzer = SecurityAnalyzer::new().knowing([KnownTool::new(known, "other")]);
        let found = analyzer.analyze_tool(&text).findings.into_iter();
        let ours = found.filter(|one| one.code.name.starts_with("names/"));
        ours.map(|one| (one.code.name, one.risk)).collect()
    }

    #[test]
    fn names_that_are_taken_for_others_are_found() {
        for (name, known, code) in [
            ("read_flle", "read_file", "names/typosquat"),
            ("arxiv_seacrh", "arxiv_search", "names/typosquat"),
            ("jira_create_isssue", "jira_create_issue", "names/typosquat"),
            ("slack_post_massage", "slack_post_message", "names/typosquat"),
            ("fetch_documnetaton", "fetch_documentation", "names/typosquat"),
            ("noti0n_create_page", "notion_create_page", "names/lookalike"),
            ("exesute_query", "execute_query", "names/typosquat"),
            ("git-commit", "git_commit", "names/twin"),
            ("Bash", "bash", "names/twin"),
            ("salesforce_query_", "salesforce_query", "names/twin"),
            ("google_maps_official", "google_maps", "names/combined"),
            ("read_file", "read_file", "names/same"),
            ("other__read_file", "read_file", "names/namespace"),
            ("mcp__github__search", "read_file", "names/namespace"),
            ("réad_file", "read_file", "names/lookalike"),
            ("d\u{43e}cker_run", "read_file", "names/lookalike"),
            ("read file", "list_files", "names/invalid"),
        ] {
            let found = found(name, known);
            assert!(found.iter().any(|(one, _)| *one == code), "{name}: {found:?}");
        }
    }

    #[test]
    fn honest_neighbours_are_no_risk() {
        for (name, known) in [
            ("get_user", "get_users"),
            ("get_user", "set_user"),
            ("list_issues", "list_files"),
            ("sha1", "sha256"),
            ("search_v2", "search_v1"),
            ("post_message", "host_message"),
            ("web3_call", "web_call"),
            ("new_page", "page"),
            ("files_search", "files"),
            ("execute_sql", "execute"),
        ] {
            let found = found(name, known);
            assert!(found.iter().all(|(_, risk)| *risk < 0.1), "{name} {known}: {found:?}");
        }
    }
}
