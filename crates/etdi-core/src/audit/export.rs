//! Entries of a trail as what other programs collect: JSON lines, CSV, CEF, OTLP logs.
//!
//! ```
//! use etdi_core::audit::Entry;
//! use etdi_core::audit::export::{Exporter, Format};
//! use etdi_core::event::{Event, EventKind};
//! use etdi_core::time::UnixTime;
//!
//! let entry = Entry::new(Event::new(EventKind::ToolApproved).on("s", "t"), UnixTime(1));
//! let mut exporter = Exporter::new(Format::Cef, Vec::new())?;
//! exporter.entry(0, &entry)?;
//! let text = String::from_utf8(exporter.finish()?)?;
//! assert!(text.starts_with("CEF:0|etdi|etdi-core|"), "{text}");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::io::{self, Write};

use serde::Serialize;
use serde_json::{Value, json};

use super::Entry;
use crate::event::{Event, Severity};

/// The form in which entries are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// One JSON object a line: `seq`, `at` and the members of the event.
    JsonLines,
    /// Comma-separated values (RFC 4180) with a head. A value that a spreadsheet would take for a
    /// formula gets an apostrophe before it.
    Csv,
    /// ArcSight's Common Event Format, one event a line.
    Cef,
    /// One request of OpenTelemetry's log protocol in JSON (`POST /v1/logs` of a collector).
    Otlp,
}

/// Writes entries in one form, each as it comes.
#[derive(Debug)]
pub struct Exporter<W> {
    format: Format,
    out: W,
    written: u64,
}

impl<W: Write> Exporter<W> {
    /// Begins, with the head where the form has one.
    ///
    /// # Errors
    ///
    /// When `out` cannot be written.
    pub fn new(format: Format, mut out: W) -> io::Result<Self> {
        match format {
            Format::JsonLines | Format::Cef => {}
            Format::Csv => write!(out, "seq,at,{}\r\n", COLUMNS.join(","))?,
            Format::Otlp => {
                let resource = json!({ "attributes": [attribute("service.name", json!("etdi"))] });
                let scope = json!({ "name": "etdi-core", "version": VERSION });
                write!(
                    out,
                    r#"{{"resourceLogs":[{{"resource":{resource},"scopeLogs":[{{"scope":{scope},"logRecords":["#
                )?;
            }
        }
        Ok(Self { format, out, written: 0 })
    }

    /// Writes one entry with its number.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn entry(&mut self, number: u64, entry: &Entry) -> io::Result<()> {
        match self.format {
            Format::JsonLines => {
                let line = Line { seq: number, at: entry.at.to_string(), event: &entry.event };
                serde_json::to_writer(&mut self.out, &line)?;
                writeln!(self.out)?;
            }
            Format::Csv => {
                let fields = fields(&entry.event)?;
                write!(self.out, "{number},{}", entry.at)?;
                for column in COLUMNS {
                    let value = fields.get(column).map(text).unwrap_or_default();
                    write!(self.out, ",{}", csv(&value))?;
                }
                write!(self.out, "\r\n")?;
            }
            Format::Cef => writeln!(self.out, "{}", cef(number, entry)?)?,
            Format::Otlp => {
                if self.written > 0 {
                    write!(self.out, ",")?;
                }
                serde_json::to_writer(&mut self.out, &otlp(number, entry)?)?;
            }
        }
        self.written += 1;
        Ok(())
    }

    /// Ends, and gives back where it was written to.
    ///
    /// # Errors
    ///
    /// When the end cannot be written.
    pub fn finish(mut self) -> io::Result<W> {
        if self.format == Format::Otlp {
            writeln!(self.out, "]}}]}}]}}")?;
        }
        self.out.flush()?;
        Ok(self.out)
    }
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

#[derive(Serialize)]
struct Line<'a> {
    seq: u64,
    at: String,
    #[serde(flatten)]
    event: &'a Event,
}

/// The columns of the table: the members of an event.
const COLUMNS: [&str; 26] = [
    "kind",
    "severity",
    "server",
    "tool",
    "version",
    "issuer",
    "kid",
    "digest",
    "previous",
    "reason",
    "gravity",
    "level",
    "approver",
    "generation",
    "correlation",
    "source",
    "threat",
    "provider",
    "token_id",
    "scopes",
    "session",
    "user",
    "caller",
    "callee",
    "depth",
    "detail",
];

/// The members of an event that are there.
fn fields(event: &Event) -> io::Result<serde_json::Map<String, Value>> {
    match serde_json::to_value(event)? {
        Value::Object(fields) => Ok(fields),
        _ => Ok(serde_json::Map::new()),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().map(text).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

fn csv(value: &str) -> String {
    let formula = value.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let mark = if formula { "'" } else { "" };
    match value.contains([',', '"', '\r', '\n']) {
        true => format!("\"{mark}{}\"", value.replace('"', "\"\"")),
        false => format!("{mark}{value}"),
    }
}

/// The severity from 0 to 10.
fn cef_severity(severity: Severity) -> u8 {
    match severity {
        Severity::Low => 2,
        Severity::Medium => 5,
        Severity::High => 8,
        Severity::Critical => 10,
    }
}

fn cef(number: u64, entry: &Entry) -> io::Result<String> {
    let event = &entry.event;
    let escaped = |text: &str| {
        text.replace('\\', "\\\\").replace('=', "\\=").replace('\n', "\\n").replace('\r', "\\r")
    };
    let name = event.kind.name();
    let mut line = format!(
        "CEF:0|etdi|etdi-core|{VERSION}|{name}|{}|{}|rt={} externalId={number}",
        name.replace('_', " "),
        cef_severity(event.severity),
        u128::from(entry.at.0) * 1_000,
    );
    for (field, value) in fields(event)? {
        if field != "kind" && field != "severity" {
            line.push_str(&format!(" etdi{}={}", capitalised(&field), escaped(&text(&value))));
        }
    }
    Ok(line)
}

fn capitalised(field: &str) -> String {
    field
        .split('_')
        .map(|word| {
            let mut letters = word.chars();
            letters.next().map_or_else(String::new, |first| {
                first.to_uppercase().chain(letters).collect::<String>()
            })
        })
        .collect()
}

fn attribute(key: &str, value: Value) -> Value {
    let value = match value {
        Value::Bool(value) => json!({ "boolValue": value }),
        Value::Number(value) => json!({ "intValue": value.to_string() }),
        other => json!({ "stringValue": text(&other) }),
    };
    json!({ "key": key, "value": value })
}

/// The number that OpenTelemetry gives a severity.
fn otlp_severity(severity: Severity) -> (u8, &'static str) {
    match severity {
        Severity::Low => (9, "INFO"),
        Severity::Medium => (13, "WARN"),
        Severity::High => (17, "ERROR"),
        Severity::Critical => (21, "FATAL"),
    }
}

fn otlp(number: u64, entry: &Entry) -> io::Result<Value> {
    let event = &entry.event;
    let (severity, name) = otlp_severity(event.severity);
    let mut attributes = vec![attribute("etdi.seq", json!(number))];
    for (field, value) in fields(event)? {
        attributes.push(attribute(&format!("etdi.{field}"), value));
    }
    let nanoseconds = (u128::from(entry.at.0) * 1_000_000_000).to_string();
    let mut record = json!({
        "timeUnixNano": nanoseconds, "observedTimeUnixNano": nanoseconds,
        "severityNumber": severity, "severityText": name,
        "eventName": format!("etdi.{}", event.kind),
        "body": { "stringValue": event.kind.name() },
        "attributes": attributes,
    });
    // The correlation of a traced exchange is its trace.
    let trace = event
        .correlation
        .as_deref()
        .filter(|id| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if let (Some(trace), Some(record)) = (trace, record.as_object_mut()) {
        record.insert("traceId".to_owned(), json!(trace));
    }
    Ok(record)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventKind;
    use crate::time::UnixTime;

    fn export(format: Format) -> String {
        let mut exporter = Exporter::new(format, Vec::new()).unwrap();
        let trace = "0af7651916cd43dd8448eb211c80319c";
        let event =
            Event::new(EventKind::ToolRefused).on("https://a.example/mcp", "=1+1|a,\"b\"=c");
        exporter.entry(7, &Entry::new(event.correlated(trace), UnixTime(1_767_323_045))).unwrap();
        let event = Event::new(EventKind::SecurityViolation).severity(Severity::Critical);
        exporter.entry(8, &Entry::new(event, UnixTime(1_767_323_046))).unwrap();
        String::from_utf8(exporter.finish().unwrap()).unwrap()
    }

    #[test]
    fn json_lines() {
        let text = export(Format::JsonLines);
        let lines: Vec<Value> =
            text.lines().map(|one| serde_json::from_str(one).unwrap()).collect();
        assert_eq!(lines[0]["seq"], 7);
        assert_eq!(lines[0]["at"], "2026-01-02T03:04:05Z");
        assert_eq!(lines[1]["kind"], "security_violation");
    }

    #[test]
    fn a_table_holds_no_formula_and_no_stray_line() {
        let text = export(Format::Csv);
        let lines: Vec<&str> = text.split("\r\n").collect();
        assert_eq!(lines.len(), 4, "{text}");
        assert!(lines[0].starts_with("seq,at,kind,severity,server,tool"));
        let expected = r#"7,2026-01-02T03:04:05Z,tool_refused,medium,https://a.example/mcp,"'=1+1|a,""b""=c","#;
        assert!(lines[1].starts_with(expected), "{}", lines[1]);
        assert_eq!(lines[2].split(',').count(), lines[0].split(',').count());
        // Every member of an event has a column.
        for field in fields(&Event::new(EventKind::Error).token("p", "t", ["s"])).unwrap().keys() {
            assert!(COLUMNS.contains(&field.as_str()), "{field}");
        }
    }

    #[test]
    fn common_event_format() {
        let text = export(Format::Cef);
        let line = text.lines().next().unwrap();
        let head = format!("CEF:0|etdi|etdi-core|{VERSION}|tool_refused|tool refused|5|");
        assert!(line.starts_with(&head), "{line}");
        assert!(line.contains("rt=1767323045000 externalId=7"), "{line}");
        assert!(line.contains(r#" etdiTool=\=1+1|a,"b"\=c"#), "{line}");
        assert!(text.lines().nth(1).unwrap().contains("|10|"));
    }

    #[test]
    fn open_telemetry() {
        let request: Value = serde_json::from_str(&export(Format::Otlp)).unwrap();
        let records = &request["resourceLogs"][0]["scopeLogs"][0]["logRecords"];
        assert_eq!(records[0]["timeUnixNano"], "1767323045000000000");
        assert_eq!(records[0]["traceId"], "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(records[0]["eventName"], "etdi.tool_refused");
        assert_eq!(records[1]["severityNumber"], 21);
        assert_eq!(records[0]["attributes"][0]["value"]["intValue"], "7");
        let empty = Exporter::new(Format::Otlp, Vec::new()).unwrap();
        let text = String::from_utf8(empty.finish().unwrap()).unwrap();
        assert!(serde_json::from_str::<Value>(&text).is_ok(), "{text}");
    }
}
