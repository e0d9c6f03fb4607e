//! `etdi audit`: check the audit trail, look into it, and hand it on.

mod chains;

use std::io::Write;
use std::path::{Path, PathBuf};

use etdi::core::audit::export::{Exporter, Format};
use etdi::core::audit::{
    AuditFile, ChainHead, Entry, Filter, TrailError, last_entries, read_trail, verify_trail,
};
use etdi::core::event::EventKind;
use etdi::core::key::KeyRing;
use serde_json::{Value, json};

use crate::args::{AuditCommand, AuditFilter, ExportFormat};
use crate::exit::{Exit, Failure};
use crate::home::Home;
use crate::output::{Report, table};
use crate::verbs::keys;
use crate::verbs::target::{audit, quoted, read_keys, shown_path};

/// Runs one command on the audit trail.
///
/// # Errors
///
/// When the trail does not hold, or cannot be read or written.
pub fn run(command: &AuditCommand, home: &Home) -> Result<Report, Failure> {
    let place = |file: &Option<PathBuf>| {
        let own = || home.path().join("audit").join("events.jsonl");
        let path = file.clone().unwrap_or_else(own);
        match path.try_exists() {
            Ok(false) => {
                let message = format!("there is no audit trail `{}`", path.display());
                Err(Failure::new(Exit::Refused, message, "etdi list -- ./my-server")
                    .with_code("AUDIT_FAILED"))
            }
            _ => Ok(path),
        }
    };
    match command {
        AuditCommand::Verify { file, keys, head, signed_within } => {
            let keys = keys.as_deref().map(read_keys).transpose()?;
            let kept = head.as_deref().map(head_of).transpose()?;
            verify(&place(file)?, keys.as_ref(), kept, *signed_within)
        }
        AuditCommand::Tail { file, count, filter } => show(&place(file)?, &wanted(filter)?, *count),
        AuditCommand::Query { file, limit, filter } => {
            show(&place(file)?, &wanted(filter)?, *limit)
        }
        AuditCommand::Export { file, format, out, filter } => {
            export(&place(file)?, &wanted(filter)?, *format, out.as_deref())
        }
        AuditCommand::Chains(arguments) => chains::run(&place(&arguments.file)?, arguments),
        AuditCommand::Checkpoint { key } => checkpoint(home, key),
    }
}

/// A damaged or missing trail.
fn broken(error: &TrailError) -> Failure {
    let source = std::error::Error::source(&error.fault).map(|source| format!(": {source}"));
    let message = format!("{error}{}", source.unwrap_or_default());
    let next = format!("ls -l {}", shown_path(&error.path));
    Failure::new(Exit::Refused, message, next).with_code("AUDIT_FAILED")
}

fn head_of(text: &str) -> Result<ChainHead, Failure> {
    let head = text.split_once(':').and_then(|(entries, digest)| {
        let value = json!({ "entries": entries.parse::<u64>().ok()?, "digest": digest });
        serde_json::from_value(value).ok()
    });
    head.ok_or_else(|| {
        let message = format!("`{}` is no end of a trail, write COUNT:DIGEST", text.escape_debug());
        Failure::usage(message, "etdi audit verify")
    })
}

fn verify(
    path: &Path,
    keys: Option<&KeyRing>,
    kept: Option<ChainHead>,
    signed_within: Option<u64>,
) -> Result<Report, Failure> {
    let report = verify_trail(path, keys, kept).map_err(|error| broken(&error))?;
    let head = format!("{}:{}", report.head.entries, report.head.digest);
    let data = json!({
        "entries": report.head.entries, "first": report.first, "files": report.files,
        "head": head, "checkpoints": report.checkpoints, "unsigned": report.unsigned(),
        "lost": report.lost, "keys_checked": keys.is_some(),
    });
    // A trail that somebody wrote anew has no checkpoint of a key that they do not have.
    let allowed = signed_within.or_else(|| keys.map(|_| report.head.entries.saturating_sub(1)));
    if let Some(allowed) = allowed.filter(|allowed| report.unsigned() > *allowed) {
        let message = format!(
            "the last {} entries are signed by no checkpoint, at most {allowed} may be",
            report.unsigned()
        );
        let failure = Failure::new(Exit::Refused, message, "etdi audit checkpoint");
        return Err(failure.with_code("AUDIT_UNSIGNED").with_details(data, ""));
    }
    let mut text = format!(
        "{} entries in {} file{} hold\nhead         {head}\ncheckpoints  {}, {} entries after the last",
        report.head.entries - report.first,
        report.files,
        if report.files == 1 { "" } else { "s" },
        report.checkpoints,
        report.unsigned(),
    );
    if report.first > 0 {
        text.push_str(&format!("\nremoved      {} older entries, as a line says", report.first));
    }
    if report.lost > 0 {
        text.push_str(&format!(
            "\nmissing      {}, which could not be written, as lines say: etdi audit query --kind audit_lost",
            report.lost
        ));
    }
    if keys.is_none() && report.checkpoints > 0 {
        text.push_str(
            "\nthe signatures of checkpoints were not checked, name their keys with `--keys`",
        );
    }
    text.push_str(&format!(
        "\n\nkeep the head elsewhere, and check against it: etdi audit verify --head {}",
        quoted(&head)
    ));
    Ok(Report::new(data, text))
}

fn wanted(filter: &AuditFilter) -> Result<Filter, Failure> {
    let mut kinds = Vec::new();
    for kind in &filter.kind {
        kinds.push(kind.parse::<EventKind>().map_err(|error| {
            let names: Vec<_> = EventKind::ALL.iter().map(|kind| kind.name()).collect();
            let near = names.iter().max_by(|left, right| {
                let near = |name: &str| strsim::jaro_winkler(name, kind);
                near(left).total_cmp(&near(right))
            });
            let next =
                near.map_or_else(String::new, |near| format!("etdi audit query --kind {near}"));
            Failure::usage(format!("`{}`: {error}", kind.escape_debug()), next)
        })?);
    }
    let severity = filter.severity.as_ref().map(|severity| {
        serde_json::from_value(Value::from(severity.to_lowercase())).map_err(|_| {
            let message = format!(
                "`{}` is no severity, write low, medium, high or critical",
                severity.escape_debug()
            );
            Failure::usage(message, "etdi audit query --severity high")
        })
    });
    let mut wanted = Filter::default();
    wanted.kinds = kinds;
    wanted.severity = severity.transpose()?;
    wanted.server.clone_from(&filter.server);
    wanted.tool.clone_from(&filter.tool);
    wanted.correlation.clone_from(&filter.correlation);
    wanted.reason.clone_from(&filter.reason);
    wanted.since = filter.since.as_deref().map(moment).transpose()?;
    wanted.until = filter.until.as_deref().map(moment).transpose()?;
    Ok(wanted)
}

/// Seconds since 1970, or `30m`, `12h`, `7d` ago.
fn moment(text: &str) -> Result<etdi::core::time::UnixTime, Failure> {
    let unit = |unit: u64| {
        let count = text.get(..text.len().saturating_sub(1))?.parse::<u64>().ok()?;
        Some(etdi::system_time().minus(count.saturating_mul(unit)))
    };
    let moment = match text.chars().last() {
        Some('s') => unit(1),
        Some('m') => unit(60),
        Some('h') => unit(3_600),
        Some('d') => unit(86_400),
        _ => text.parse().ok().map(etdi::core::time::UnixTime),
    };
    moment.ok_or_else(|| {
        let message = format!(
            "`{}` is no time, write seconds since 1970 or such as 12h",
            text.escape_debug()
        );
        Failure::usage(message, "etdi audit query --since 24h")
    })
}

fn data(number: u64, entry: &Entry) -> Value {
    json!({ "seq": number, "at": entry.at.to_string(), "event": entry.event })
}

fn show(path: &Path, filter: &Filter, count: usize) -> Result<Report, Failure> {
    let entries = last_entries(path, filter, count).map_err(|error| broken(&error))?;
    let list: Vec<Value> = entries.iter().map(|(number, entry)| data(*number, entry)).collect();
    let rows = entries.iter().map(|(number, entry)| {
        let event = &entry.event;
        let why = event.reason.map(|reason| reason.code().to_owned()).or(event.detail.clone());
        [
            number.to_string(),
            entry.at.to_string(),
            event.kind.name().to_owned(),
            event.tool.clone().unwrap_or_default(),
            event.server.clone().unwrap_or_default(),
            event.user.clone().unwrap_or_default(),
            why.unwrap_or_default(),
        ]
    });
    let text = match entries.is_empty() {
        true => "no entry is like that".to_owned(),
        false => table(["#", "at", "event", "tool", "server", "by", "why"], rows.collect()),
    };
    Ok(Report::new(json!({ "entries": list }), text))
}

fn export(
    path: &Path,
    filter: &Filter,
    format: ExportFormat,
    out: Option<&Path>,
) -> Result<Report, Failure> {
    let format = match format {
        ExportFormat::Jsonl => Format::JsonLines,
        ExportFormat::Csv => Format::Csv,
        ExportFormat::Cef => Format::Cef,
        ExportFormat::Otlp => Format::Otlp,
    };
    let unwritten = |error: std::io::Error| {
        Failure::usage(format!("the export cannot be written: {error}"), "df -h .")
    };
    let (to, shown): (Box<dyn Write>, _) = match out {
        Some(out) => {
            let file = std::fs::File::create_new(out).map_err(|error| {
                let message = format!("cannot make `{}`: {error}", out.display());
                Failure::usage(message, format!("ls -l {}", shown_path(out)))
            })?;
            (Box::new(std::io::BufWriter::new(file)), shown_path(out))
        }
        None => {
            (Box::new(std::io::BufWriter::new(std::io::stdout())), "standard output".to_owned())
        }
    };
    let mut exporter = Exporter::new(format, to).map_err(unwritten)?;
    let (mut count, mut failed) = (0_u64, None);
    read_trail(path, filter, |number, entry| {
        if failed.is_none() {
            count += 1;
            failed = exporter.entry(number, &entry).err();
        }
    })
    .map_err(|error| broken(&error))?;
    if let Some(error) = failed {
        return Err(unwritten(error));
    }
    exporter.finish().map_err(unwritten)?;
    let text = out.map_or_else(String::new, |_| format!("{count} entries written to {shown}"));
    Ok(Report::new(json!({ "entries": count, "to": shown }), text))
}

fn checkpoint(home: &Home, name: &str) -> Result<Report, Failure> {
    let trail: AuditFile = audit(home)?;
    let key = keys::load(home, name)?;
    let signed = trail.checkpoint(&key, etdi::system_time()).map_err(|error| {
        Failure::new(Exit::Refused, error.to_string(), "etdi audit verify")
            .with_code("AUDIT_FAILED")
    })?;
    let head = format!("{}:{}", signed.entries, signed.digest);
    let data = json!({ "signed": head, "key": key.id() });
    Ok(Report::new(
        data,
        format!("signed {} entries with key {}\nhead {head}", signed.entries, key.id()),
    ))
}
