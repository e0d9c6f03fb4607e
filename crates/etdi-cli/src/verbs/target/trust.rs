//! How strict a session is and whom it trusts: what the user says, the settings, and the guard before an
//! entry, which loosens nothing.

use std::path::Path;

use etdi::config::EtdiClientConfig;
use etdi::core::change::visible;
use etdi::core::trust::TrustAnchors;

use super::{quoted, read_keys, unfit};
use crate::args::{GuardArguments, Target};
use crate::exit::Failure;
use crate::home::Home;
use crate::output::Output;
use crate::verbs::keys;

/// Warns of whom the guard before an entry trusts, whether or not that is taken from it: the entry is
/// what is looked at.
pub(super) fn said_of_trust(
    typed: &Target,
    guard: &Target,
    entry: Option<&str>,
    trusting: bool,
    output: Output,
) {
    let place =
        entry.map_or("the guard before it".to_owned(), |entry| format!("`{}`", visible(entry)));
    let mut said: Vec<(String, String)> = Vec::new();
    if typed.trust.is_empty() {
        let of = |source: &String| match source.split_once('=') {
            Some((origin, file)) => format!("trusts `{}` for `{}`", visible(file), visible(origin)),
            None => format!("trusts `{}`", visible(source)),
        };
        let option = |source: &String| format!("--trust {}", quoted(source));
        said.extend(guard.trust.iter().map(|source| (of(source), option(source))));
    }
    if guard.online && !typed.online {
        said.push(("trusts what is published online".to_owned(), "--online".to_owned()));
    }
    for (what, option) in said {
        output.warn(&match trusting {
            true => format!("{what} because {place} says so"),
            false => format!("{place} {what}, which does not count here: give `{option}` yourself"),
        });
    }
}

/// The settings that the environment names, under what the options say. Of a file's settings those
/// about checks and timing hold here; approvals, keys and the audit trail are the command's own.
/// A guard before the server makes them stricter, and never less so.
pub(super) fn settings(
    target: &Target,
    guard: Option<&GuardArguments>,
) -> Result<EtdiClientConfig, Failure> {
    let mut settings = EtdiClientConfig::load().map_err(|error| unfit(&error))?;
    if let Some(level) = target.level {
        (settings.security_level, settings.policy) = (level, None);
    }
    let asked = guard.and_then(|guard| guard.target.level);
    if let Some(level) = asked.filter(|level| *level > settings.policy().level) {
        (settings.security_level, settings.policy) = (level, None);
    }
    Ok(settings)
}

/// Whom the user trusts: `trust.json`, the user's own keys, and what `--trust` names.
pub(super) fn anchors(target: &Target, home: &Home) -> Result<TrustAnchors, Failure> {
    let mut anchors = keys::anchors(home)?;
    for key in keys::own(home)? {
        anchors.trust_key(key);
    }
    for source in &target.trust {
        let (origin, file) = match source.split_once('=') {
            Some((origin, file)) => (Some(origin), file),
            None => (None, source.as_str()),
        };
        for key in read_keys(Path::new(file))?.iter() {
            match origin {
                None => anchors.trust_key(key.clone()),
                Some(origin) => {
                    let provider = origin.parse().map_err(|error| {
                        let message = format!("`{}`: {error}", origin.escape_debug());
                        Failure::usage(message, "etdi verify --help")
                    })?;
                    anchors.trust(provider, key.clone())
                }
            };
        }
    }
    Ok(anchors)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use etdi::core::level::SecurityLevel;

    use super::*;
    use crate::args::{Arguments, Command};
    use crate::targets::guarded::asked_for;

    #[test]
    fn the_guard_of_an_entry_makes_nothing_less_strict() {
        let told = |level: &str| {
            let words = ["etdi", "guard", "--level", level, "--online", "--", "/x"];
            match Arguments::try_parse_from(words).unwrap().command {
                Command::Guard(arguments) => arguments,
                _ => panic!("a guard"),
            }
        };
        for (typed, entry, level) in [
            ("strict", "basic", SecurityLevel::Strict),
            ("basic", "strict", SecurityLevel::Strict),
            ("basic", "basic", SecurityLevel::Basic),
        ] {
            let (typed, entry) = (told(typed).target, told(entry));
            let full = asked_for(&typed, &entry.target, false);
            let settings = settings(&full, Some(&entry)).unwrap();
            assert_eq!(settings.policy().level, level);
        }
        let (entry, nothing) = (told("basic"), told("basic").target);
        let nothing = Target { level: None, online: false, ..nothing };
        let usual = settings(&nothing, None).unwrap().policy().level;
        let full = asked_for(&nothing, &entry.target, false);
        assert_eq!(settings(&full, Some(&entry)).unwrap().policy().level, usual);
        assert!(usual > SecurityLevel::Basic, "else nothing is shown");
        assert!(!full.online && asked_for(&nothing, &entry.target, true).online);
    }
}
