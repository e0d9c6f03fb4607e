//! Trails over several files: what goes on, what is signed, what is cut, and a disk that is full.

use std::sync::Arc;

use super::*;
use crate::audit::trail::{archive, archives};
use crate::event::Severity;
use crate::key::{Algorithm, KeyRing, SigningKey};

/// A directory of its own for one test, gone with it.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("etdi-trail-{}-{number}", std::process::id());
        let place = std::env::temp_dir().join(name);
        fs::create_dir_all(&place).unwrap();
        Self(place)
    }

    fn path(&self) -> PathBuf {
        self.0.join("events.jsonl")
    }

    fn open(&self) -> AuditFile {
        AuditFile::options().rotate_at(2_000).open(self.path()).unwrap()
    }

    fn files(&self) -> usize {
        archives(&self.path()).unwrap().len() + 1
    }

    fn verify(&self) -> Result<TrailReport, TrailError> {
        verify_trail(self.path(), None, None)
    }

    fn tools(&self) -> Vec<String> {
        let mut tools = Vec::new();
        let filter = Filter { kinds: vec![EventKind::ToolInvoked], ..Filter::default() };
        read_trail(self.path(), &filter, |_, entry| tools.extend(entry.event.tool)).unwrap();
        tools
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn tools(numbers: std::ops::Range<u64>) -> Vec<String> {
    numbers.map(|number| format!("tool {number}")).collect()
}

fn fill(audit: &AuditFile, numbers: std::ops::Range<u64>) {
    for number in numbers {
        audit.record(&event(number), UnixTime(number)).unwrap();
    }
}

#[test]
fn a_trail_goes_on_in_another_file_and_is_one() {
    let place = Place::new();
    fill(&place.open(), 0..40);
    // Another process finds where it goes on.
    let again = place.open();
    fill(&again, 40..60);
    assert!(place.files() > 3, "{}", place.files());
    let report = place.verify().unwrap();
    assert_eq!((report.first, report.files, report.head), (0, place.files(), again.head()));
    assert_eq!(place.tools(), tools(0..60));
    for (_, path) in archives(&place.path()).unwrap() {
        assert!(fs::metadata(&path).unwrap().len() < 2_600);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let newest = last_entries(place.path(), &Filter::default(), 2).unwrap();
    assert_eq!(newest.len(), 2);
    assert_eq!(newest[1].0 + 1, report.head.entries);
}

#[test]
fn a_missing_swapped_or_cut_file_is_found() {
    let place = Place::new();
    fill(&place.open(), 0..40);
    let kept = place.verify().unwrap().head;
    let files = archives(&place.path()).unwrap();
    let (first, second) = (&files[0].1, &files[1].1);
    let missing = |place: &Place| place.verify().unwrap_err();

    let texts = [fs::read(first).unwrap(), fs::read(second).unwrap()];
    fs::remove_file(second).unwrap();
    assert!(matches!(missing(&place).fault.fault, ChainFault::Missing { .. }));
    fs::remove_file(first).unwrap();
    // What is left begins later, and nothing says why.
    assert!(matches!(missing(&place).fault.fault, ChainFault::Missing { expected: 0, .. }));
    fs::write(first, &texts[1]).unwrap();
    fs::write(second, &texts[0]).unwrap();
    assert!(place.verify().is_err());
    fs::write(first, &texts[0]).unwrap();
    fs::write(second, &texts[1]).unwrap();
    assert!(place.verify().is_ok());

    // The file that is written now: whoever removes it leaves one that says that another follows.
    let newest = fs::read(place.path()).unwrap();
    fs::remove_file(place.path()).unwrap();
    assert!(matches!(missing(&place).fault.fault, ChainFault::Cut(_)));
    // A process that goes on makes a whole chain of it, but not the one that was kept.
    fill(&place.open(), 0..30);
    assert!(place.verify().is_ok());
    assert!(verify_trail(place.path(), None, Some(kept)).is_err());
    fs::write(place.path(), newest).unwrap();
}

#[test]
fn a_crash_anywhere_while_a_file_is_put_aside() {
    let place = Place::new();
    let audit = place.open();
    fill(&audit, 0..3);
    let head = audit.head();
    // The last line says that another follows, and nothing else has happened yet.
    let entry = Entry::new(Event::new(EventKind::AuditRotated), UnixTime(3));
    let (line, end) = head.line_of(&serde_json::to_string(&entry).unwrap());
    let mut text = fs::read_to_string(place.path()).unwrap();
    text.push_str(&line);
    text.push('\n');
    fs::write(place.path(), &text).unwrap();
    assert!(place.verify().is_ok());
    fill(&place.open(), 3..5);
    assert_eq!((place.files(), place.tools()), (2, tools(0..5)));

    // It is put aside, and there is no new file yet, an empty one, or half a line.
    let aside = archive(&place.path(), end.entries);
    assert!(aside.exists());
    for begun in [None, Some(""), Some("{\"v\":1,")] {
        fs::remove_file(place.path()).unwrap();
        if let Some(begun) = begun {
            fs::write(place.path(), begun).unwrap();
            fs::set_permissions(place.path(), fs::Permissions::from_mode(0o600)).unwrap();
        }
        fill(&place.open(), 3..5);
        assert!(place.verify().is_ok());
        assert_eq!(place.tools(), tools(0..5), "{begun:?}");
    }
}

#[test]
fn many_threads_and_processes_go_on_together() {
    let place = Place::new();
    let shared = place.open();
    let write = |audit: &AuditFile| {
        for number in 0..40 {
            while let Err(error) = audit.record(&event(number), UnixTime(number)) {
                assert!(matches!(error, AuditError::Busy), "{error}");
            }
        }
    };
    // One that has looked on from the start, and writes only when the others are done.
    let late = place.open();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| write(&shared));
            scope.spawn(|| write(&place.open()));
        }
    });
    write(&late);
    assert_eq!(place.tools().len(), 200);
    assert!(place.verify().is_ok() && place.files() > 10);
}

#[test]
fn the_oldest_files_go_only_with_a_line_that_says_so() {
    let place = Place::new();
    let bounded =
        || AuditFile::options().rotate_at(2_000).keep_files(2).open(place.path()).unwrap();
    let stale = bounded();
    fill(&bounded(), 0..80);
    assert_eq!(place.files(), 3);
    let report = place.verify().unwrap();
    assert!(report.first > 0);
    // A process that still has a file open that is long gone finds the newest.
    stale.record(&event(80), UnixTime(80)).unwrap();
    assert!(place.verify().is_ok());
    assert_eq!(place.tools().last(), tools(80..81).last());
    // One more than that is too much.
    fs::remove_file(&archives(&place.path()).unwrap()[0].1).unwrap();
    let fault = place.verify().unwrap_err().fault.fault;
    assert!(matches!(fault, ChainFault::Missing { expected: 0, .. }), "{fault:?}");
}

#[test]
fn a_signed_trail_cannot_be_written_anew() {
    let key = Arc::new(SigningKey::generate(Algorithm::EdDsa).unwrap());
    let mut keys = KeyRing::new();
    keys.insert(key.verifying_key().clone());
    let write = |place: &Place, signer: &Arc<SigningKey>, numbers: std::ops::Range<u64>| {
        let options = AuditFile::options().rotate_at(4_000).sign(signer.clone(), 10);
        fill(&options.open(place.path()).unwrap(), numbers);
    };
    let place = Place::new();
    write(&place, &key, 0..35);
    let report = verify_trail(place.path(), Some(&keys), None).unwrap();
    assert!(report.checkpoints >= 3 && report.unsigned() <= 11, "{report:?}");
    let audit = place.open();
    let signed = audit.checkpoint(&*key, UnixTime(9)).unwrap();
    let report = verify_trail(place.path(), Some(&keys), None).unwrap();
    assert_eq!((report.signed, report.unsigned()), (Some(signed), 1));

    // Whoever writes it anew without the key: with another key, or without any.
    let forged = Place::new();
    write(&forged, &Arc::new(SigningKey::generate(Algorithm::EdDsa).unwrap()), 0..35);
    let error = verify_trail(forged.path(), Some(&keys), None).unwrap_err();
    assert!(error.to_string().contains("is not known here"), "{error}");
    assert!(verify_trail(forged.path(), None, None).is_ok(), "a chain alone cannot tell");
    let plain = Place::new();
    fill(&plain.open(), 0..35);
    let report = verify_trail(plain.path(), Some(&keys), None).unwrap();
    assert_eq!((report.checkpoints, report.unsigned()), (0, report.head.entries));

    // A checkpoint of another trail of the same key.
    let other = Place::new();
    write(&other, &key, 1..36);
    let of = |place: &Place| {
        let filter = Filter { kinds: vec![EventKind::AuditCheckpoint], ..Filter::default() };
        last_entries(place.path(), &filter, 1).unwrap().remove(0).1
    };
    let mixed = Place::new();
    let mut head = ChainHead::start();
    let mut text = String::new();
    for entry in [Entry::new(event(0), UnixTime(0)), of(&other)] {
        let (line, next) = head.line_of(&serde_json::to_string(&entry).unwrap());
        text.push_str(&format!("{line}\n"));
        head = next;
    }
    fs::write(mixed.path(), text).unwrap();
    let error = verify_trail(mixed.path(), Some(&keys), None).unwrap_err();
    assert!(error.to_string().contains("another trail"), "{error}");
}

/// A disk that gets full in the middle of a line, at each of its bytes: the event is refused, the
/// message says what to do, and what is there stays a chain, whether the half can be taken back
/// at once or is found by the next process.
#[test]
fn a_full_disk_at_every_byte() {
    let line = {
        let place = Place::new();
        fill(&place.open(), 0..2);
        fs::read_to_string(place.path()).unwrap().lines().nth(1).unwrap().len() + 1
    };
    for back in [true, false] {
        for bytes in 0..line {
            let place = Place::new();
            let audit = place.open();
            fill(&audit, 0..1);
            audit.fail_after(Some((bytes, back)));
            let error = audit.record(&event(1), UnixTime(1)).unwrap_err();
            let message = error.to_string();
            assert!(message.contains("make room on its disk"), "{message}");
            if back {
                assert!(place.verify().is_ok(), "{bytes}");
            }
            audit.fail_after(None);
            let next = if bytes % 2 == 0 { &audit } else { &place.open() };
            next.record(&event(2), UnixTime(2)).unwrap();
            assert!(place.verify().is_ok(), "{bytes}");
            assert_eq!(place.tools(), ["tool 0", "tool 2"], "{bytes}");
        }
    }
}

/// The same while a file is finished: nothing is noted, and nothing is lost.
#[test]
fn a_full_disk_while_a_file_is_finished() {
    for bytes in 0..220 {
        let place = Place::new();
        let audit = place.open();
        let mut number = 0;
        while fs::metadata(place.path()).unwrap().len() < 2_000 {
            fill(&audit, number..number + 1);
            number += 1;
        }
        audit.fail_after(Some((bytes, bytes % 3 == 0)));
        assert!(audit.record(&event(99), UnixTime(99)).is_err());
        audit.fail_after(None);
        audit.record(&event(number), UnixTime(number)).unwrap();
        assert_eq!(place.tools(), tools(0..number + 1), "{bytes}");
        assert!(place.verify().is_ok(), "{bytes}");
    }
}

#[test]
fn a_filter_admits_what_it_says() {
    let place = Place::new();
    let audit = place.open();
    for (number, severity) in [Severity::Low, Severity::High].into_iter().enumerate() {
        let event = event(number as u64).severity(severity).correlated(&format!("c{number}"));
        audit.record(&event, UnixTime(number as u64)).unwrap();
    }
    let numbers = |filter: Filter| -> Vec<u64> {
        let entries = last_entries(place.path(), &filter, 9).unwrap();
        entries.into_iter().map(|(number, _)| number).collect()
    };
    let base = Filter::default;
    let text = |text: &str| Some(text.to_owned());
    for (filter, expected) in [
        (base(), vec![0, 1]),
        (Filter { severity: Some(Severity::High), ..base() }, vec![1]),
        (Filter { tool: text("tool 0"), ..base() }, vec![0]),
        (Filter { server: text("t"), ..base() }, vec![]),
        (Filter { correlation: text("c1"), ..base() }, vec![1]),
        (Filter { reason: text("UNSIGNED"), ..base() }, vec![]),
        (Filter { since: Some(UnixTime(1)), ..base() }, vec![1]),
        (Filter { until: Some(UnixTime(1)), ..base() }, vec![0]),
        (Filter { kinds: vec![EventKind::ToolRefused], ..base() }, vec![]),
    ] {
        assert_eq!(numbers(filter.clone()), expected, "{filter:?}");
    }
}
