//! An audit trail that was touched is found out.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

mod lost;
mod trails;

use super::chain::MAX_LINE;
use super::*;
use crate::event::EventKind;

/// A file of its own for one test, gone with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Self(std::env::temp_dir().join(format!("etdi-audit-{}-{number}", std::process::id())))
    }

    fn open(&self) -> AuditFile {
        AuditFile::open(&self.0, Durability::Written).unwrap()
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.0).unwrap()
    }

    fn verify(&self) -> Result<ChainHead, ChainError> {
        verify_chain(fs::read(&self.0).unwrap().as_slice(), None)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn event(number: u64) -> Event {
    Event::new(EventKind::ToolInvoked).on("s", &format!("tool {number}"))
}

/// A trail of some lines.
fn trail(lines: u64) -> (Scratch, Vec<String>) {
    let scratch = Scratch::new();
    let audit = scratch.open();
    for number in 0..lines {
        audit.record(&event(number), UnixTime(number)).unwrap();
    }
    let lines = scratch.text().lines().map(|line| format!("{line}\n")).collect();
    (scratch, lines)
}

fn verify(text: &str) -> Result<ChainHead, (u64, String)> {
    verify_chain(text.as_bytes(), None).map_err(|error| (error.line, format!("{:?}", error.fault)))
}

/// The first line of a known trail: whoever changes it changes the format.
#[test]
fn pin() {
    let (scratch, lines) = trail(1);
    assert_eq!(
        lines[0],
        concat!(
            r#"{"v":1,"seq":0,"prev":"sha-256:zv2e0xzIMry1uXZXuVKI52O76SsZBCHGF4c1ei9zCtU","#,
            r#""entry":{"at":0,"event":{"kind":"tool_invoked","severity":"medium","server":"s","#,
            r#""tool":"tool 0"}},"digest":"sha-256:hl_oOmKjazgMBBr1SDVPMM5TgqEM5eUGy1etIodjn-I"}"#,
            "\n"
        )
    );
    assert_eq!(fs::metadata(&scratch.0).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_trail_goes_on_after_a_restart() {
    let scratch = Scratch::new();
    for number in 0..3 {
        let audit = scratch.open();
        audit.record(&event(number), UnixTime(number)).unwrap();
        assert_eq!(scratch.verify().unwrap(), audit.head());
    }
    assert_eq!(scratch.verify().unwrap().entries, 3);
    let last: serde_json::Value =
        serde_json::from_str(scratch.text().lines().last().unwrap()).unwrap();
    assert_eq!(serde_json::from_value::<Entry>(last["entry"].clone()).unwrap().event, event(2));
}

#[test]
fn a_changed_byte_anywhere_is_found() {
    let (_scratch, lines) = trail(2);
    let whole = lines.concat().into_bytes();
    for byte in 0..whole.len() {
        for bit in 0..8 {
            let mut flipped = whole.clone();
            flipped[byte] ^= 1 << bit;
            let kept = verify_chain(flipped.as_slice(), None);
            assert!(kept.is_err(), "byte {byte} bit {bit}");
        }
    }
}

#[test]
fn removed_moved_repeated_and_foreign_lines_are_found() {
    let (_scratch, lines) = trail(4);
    let [a, b, c, d] = [0, 1, 2, 3].map(|index| lines[index].as_str());
    let missing = |line, expected, found| {
        Err((line, format!("Missing {{ expected: {expected}, found: {found} }}")))
    };
    let moved = |line, expected, found| {
        Err((line, format!("Moved {{ expected: {expected}, found: {found} }}")))
    };
    assert_eq!(verify(&[a, b, c, d].concat()).map(|head| head.entries), Ok(4));
    assert_eq!(verify(&[b, c, d].concat()), missing(1, 0, 1));
    assert_eq!(verify(&[a, c, d].concat()), missing(2, 1, 2));
    assert_eq!(verify(&[a, c, b, d].concat()), missing(2, 1, 2));
    assert_eq!(verify(&[a, b, b, c].concat()), moved(3, 2, 1));
    assert_eq!(verify(&[a, b, a].concat()), moved(3, 2, 0));

    // A line of the right number from another history.
    let other = {
        let mut head = ChainHead::start();
        let mut lines = Vec::new();
        for number in 0..2 {
            let entry = Entry::new(event(number + 10), UnixTime(9));
            let (line, next) = head.line_of(&serde_json::to_string(&entry).unwrap());
            head = next;
            lines.push(format!("{line}\n"));
        }
        lines
    };
    assert_eq!(verify(&[a, &other[1]].concat()), Err((2, "Forked".into())));
    // Rewritten from there on it is a chain again; the kept head knows better.
    let kept = verify_chain([a, b].concat().as_bytes(), None).unwrap();
    let rewritten = verify_chain(other.concat().as_bytes(), Some(kept)).unwrap_err();
    assert!(matches!(rewritten.fault, ChainFault::Cut(2)));
    let cut = verify_chain(a.as_bytes(), Some(kept)).unwrap_err();
    assert!(matches!(cut.fault, ChainFault::Cut(2)));
    assert!(verify_chain([a, b, c].concat().as_bytes(), Some(kept)).is_ok());
}

#[test]
fn what_is_no_line_is_found() {
    let (_scratch, lines) = trail(1);
    let line = &lines[0];
    for (text, fault) in [
        (line.trim_end().to_owned(), "Torn"),
        (format!("{line}\n"), "Malformed"),
        (line.replace("\"v\":1", "\"v\":2"), "Format(2)"),
        (line.replace("{\"v\":1,", "{ \"v\":1,"), "Malformed"),
        (line.replace("{\"v\":1,", "{\"v\":1,\"x\":0,"), "Malformed"),
        (line.replace("{\"v\":1,", "{\"v\":1,\"v\":1,"), "Malformed"),
        (line.replace("tool 0", "tool 1"), "Changed"),
        (line.replace("\"at\":0", "\"at\": 0"), "Changed"),
        (format!("{}\n", "x".repeat(MAX_LINE + 5)), "Malformed"),
        ("\u{0}\n".to_owned(), "Malformed"),
    ] {
        let found = verify(&text).unwrap_err();
        assert_eq!(found.1, fault, "{text:.80}");
    }
    assert_eq!(verify(""), Ok(ChainHead::start()));
}

/// A crash may leave any part of the last line.
#[test]
fn half_a_line_is_taken_out_and_noted() {
    let (scratch, lines) = trail(2);
    let whole = lines.concat();
    for cut in lines[0].len() + 1..whole.len() {
        fs::write(&scratch.0, &whole.as_bytes()[..cut]).unwrap();
        let audit = scratch.open();
        audit.record(&event(7), UnixTime(7)).unwrap();
        let text = scratch.text();
        assert_eq!(scratch.verify().unwrap().entries, 3, "cut at {cut}");
        let noted = text.lines().nth(1).unwrap();
        assert!(noted.contains("audit_repaired"), "{noted}");
        assert!(noted.contains(&format!("{} bytes", cut - lines[0].len())), "{noted}");
    }
    fs::write(&scratch.0, "{\"v\"").unwrap();
    scratch.open().record(&event(1), UnixTime(1)).unwrap();
    assert_eq!(scratch.verify().unwrap().entries, 2);
}

#[test]
fn nothing_follows_a_damaged_line() {
    let (scratch, lines) = trail(1);
    fs::write(&scratch.0, lines[0].replace("tool 0", "tool 1")).unwrap();
    let error = AuditFile::open(&scratch.0, Durability::Synced).unwrap_err();
    assert!(matches!(&error, AuditError::Damaged { source, .. }
        if matches!(source.fault, ChainFault::Changed)));
    fs::write(&scratch.0, vec![b'x'; 3 * MAX_LINE]).unwrap();
    assert!(matches!(
        AuditFile::open(&scratch.0, Durability::Synced),
        Err(AuditError::Damaged { .. })
    ));
    assert_eq!(fs::metadata(&scratch.0).unwrap().len(), 3 * MAX_LINE as u64);
}

#[test]
fn a_trail_that_is_cut_under_our_feet_is_an_error() {
    let (scratch, lines) = trail(2);
    let audit = scratch.open();
    fs::write(&scratch.0, &lines[0]).unwrap();
    assert!(matches!(audit.record(&event(3), UnixTime(3)), Err(AuditError::Cut { .. })));
}

/// Lines of a file that was taken away are kept by nobody, so nothing may count as noted.
#[test]
fn a_trail_that_was_taken_away_notes_nothing() {
    let scratch = Scratch::new();
    let audit = scratch.open();
    audit.record(&event(1), UnixTime(1)).unwrap();
    let aside = Scratch::new();
    fs::rename(&scratch.0, &aside.0).unwrap();
    assert!(matches!(audit.record(&event(2), UnixTime(2)), Err(AuditError::Cut { .. })));
    fs::write(&scratch.0, "").unwrap();
    assert!(audit.record(&event(2), UnixTime(2)).is_err(), "nor in another of its name");
    fs::rename(&aside.0, &scratch.0).unwrap();
    audit.record(&event(2), UnixTime(2)).unwrap();
    assert_eq!(scratch.verify().unwrap().entries, 3, "one says what is missing");
}

#[test]
fn others_may_not_write_it() {
    let (scratch, _lines) = trail(1);
    fs::set_permissions(&scratch.0, fs::Permissions::from_mode(0o620)).unwrap();
    let error = AuditFile::open(&scratch.0, Durability::Written).unwrap_err();
    assert!(matches!(error, AuditError::Exposed { .. }));
}

#[test]
fn many_threads_and_processes_make_one_chain() {
    let scratch = Scratch::new();
    let shared = scratch.open();
    let write = |audit: &AuditFile| {
        for number in 0..25 {
            while let Err(error) = audit.record(&event(number), UnixTime(number)) {
                assert!(matches!(error, AuditError::Busy), "{error}");
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| write(&shared));
            scope.spawn(|| write(&scratch.open()));
        }
    });
    assert_eq!(scratch.verify().unwrap().entries, 100);
}

#[test]
fn memory_is_bounded() {
    let audit = MemoryAuditor::new(3);
    for number in 0..10 {
        audit.record(&event(number), UnixTime(number)).unwrap();
    }
    let kept: Vec<_> = audit.entries().into_iter().map(|entry| entry.at.seconds()).collect();
    assert_eq!(kept, [7, 8, 9]);
    let none = MemoryAuditor::new(0);
    none.record(&event(1), UnixTime(1)).unwrap();
    assert!(none.entries().is_empty());
}
