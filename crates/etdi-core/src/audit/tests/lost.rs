//! What could not be written is missing, and the trail and an operator's log say so.

use std::sync::{Arc, Mutex};

use super::*;

/// A trail, and what a log was told of it.
fn told() -> (Scratch, AuditFile, Arc<Mutex<Vec<String>>>) {
    let (scratch, lines) = (Scratch::new(), Arc::new(Mutex::new(Vec::new())));
    let log = lines.clone();
    let tell = move |outage: &AuditOutage<'_>| log.lock().unwrap().push(outage.to_string());
    let audit = AuditFile::options().on_outage(tell).open(&scratch.0).unwrap();
    (scratch, audit, lines)
}

fn entries(scratch: &Scratch) -> Vec<Entry> {
    last_entries(&scratch.0, &Filter::default(), 99).unwrap().into_iter().map(|one| one.1).collect()
}

/// Calls below `strict` go on while the disk is full: nobody may take the trail for whole afterwards.
#[test]
fn what_a_full_disk_swallowed_is_told_in_the_trail_and_in_the_log() {
    let (scratch, audit, log) = told();
    audit.record(&event(0), UnixTime(0)).unwrap();
    audit.fail_after(Some((20, true)));
    for number in 1..4 {
        assert_eq!(
            record(&audit, &event(number), UnixTime(number), AuditMode::On).ok(),
            Some(false)
        );
    }
    assert_eq!(log.lock().unwrap().len(), 1, "{log:?}");
    assert!(
        log.lock().unwrap()[0].starts_with("what happens is not noted: cannot write"),
        "{log:?}"
    );
    audit.fail_after(None);
    audit.record(&event(4), UnixTime(4)).unwrap();
    audit.record(&event(5), UnixTime(5)).unwrap();
    assert_eq!(
        log.lock().unwrap()[1..],
        ["the audit trail is written again, and 3 entries are missing in it"]
    );
    let found = entries(&scratch);
    assert_eq!(found.len(), 4);
    assert_eq!((found[1].event.kind, found[1].lost), (EventKind::AuditLost, Some(3)));
    assert_eq!(found[1].event.detail.as_deref(), Some("3 entries could not be written"));
    assert_eq!((&found[2].event, found[2].lost), (&event(4), None));
    let report = verify_trail(&scratch.0, None, None).unwrap();
    assert_eq!((report.head.entries, report.lost), (4, 3));
    // The line is one of the chain: nobody takes it out.
    let text = scratch.text();
    let others: Vec<_> = text.lines().filter(|line| !line.contains("audit_lost")).collect();
    assert!(verify(&(others.join("\n") + "\n")).is_err());
}

/// A disk that has room now and then must not be filled by what is said of it, nor an outage go by
/// unsaid that follows another at once.
#[test]
fn a_log_is_told_once_a_minute_at_most() {
    let (scratch, audit, log) = told();
    let fails = |at| {
        audit.fail_after(Some((0, true)));
        audit.record(&event(1), UnixTime(at)).unwrap_err();
    };
    for at in 1_000..1_020 {
        fails(at);
        audit.fail_after(None);
        audit.record(&event(2), UnixTime(at)).unwrap();
    }
    assert_eq!(log.lock().unwrap().len(), 2, "{log:?}");
    (1_030..1_060).for_each(fails);
    assert_eq!(log.lock().unwrap().len(), 2);
    fails(1_060);
    assert_eq!(log.lock().unwrap().len(), 3);
    audit.fail_after(None);
    audit.record(&event(2), UnixTime(1_070)).unwrap();
    let lines = log.lock().unwrap().clone();
    assert_eq!(lines[1], "the audit trail is written again, and 1 entry is missing in it");
    assert_eq!(lines[3], "the audit trail is written again, and 50 entries are missing in it");
    assert_eq!(verify_trail(&scratch.0, None, None).unwrap().lost, 20 + 31);
}

/// Also where the file itself is gone for a while.
#[test]
fn what_a_missing_file_swallowed_is_told() {
    let (scratch, audit, log) = told();
    audit.record(&event(0), UnixTime(0)).unwrap();
    let aside = Scratch::new();
    fs::rename(&scratch.0, &aside.0).unwrap();
    audit.record(&event(1), UnixTime(1)).unwrap_err();
    fs::rename(&aside.0, &scratch.0).unwrap();
    audit.record(&event(2), UnixTime(2)).unwrap();
    assert_eq!(verify_trail(&scratch.0, None, None).unwrap().lost, 1);
    assert_eq!(log.lock().unwrap().len(), 2, "{log:?}");
}

/// A line that no reader takes for one would end the trail for good.
#[test]
fn an_event_that_no_line_holds_is_refused() {
    let scratch = Scratch::new();
    let audit = scratch.open();
    let mut long = event(1);
    long.detail = Some("x".repeat(MAX_LINE));
    assert!(matches!(audit.record(&long, UnixTime(1)), Err(AuditError::TooLong { .. })));
    long.detail = None;
    long.scopes = vec!["\"\\😀".repeat(50); 32];
    assert!(audit.record(&long, UnixTime(1)).is_ok());
    audit.record(&event(2), UnixTime(2)).unwrap();
    assert_eq!(verify_trail(&scratch.0, None, None).unwrap().lost, 1);
}
