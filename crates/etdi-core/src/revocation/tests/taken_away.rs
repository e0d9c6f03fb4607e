//! What was revoked on a host stays so when its file is taken away, cut or written anew.

use std::fs;

use super::super::known::FILE;
use super::*;
use crate::store::{Anchor, FileAnchor};

struct Place(std::path::PathBuf);

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Place {
    fn new() -> Self {
        Self(std::env::temp_dir().join(crate::random::id().unwrap()))
    }

    fn directory(&self) -> std::path::PathBuf {
        self.0.join("revocations")
    }

    fn mark(&self) -> Arc<FileAnchor> {
        Arc::new(FileAnchor::open(self.0.join("state"), "revocations").unwrap())
    }

    fn open(&self) -> Result<Revocations, RevocationError> {
        Revocations::open_marked(&self.directory(), self.mark())
    }

    fn write(&self, text: &str) {
        fs::write(self.directory().join(FILE), text).unwrap();
    }
}

fn revoke(revocations: &Revocations, what: &str) {
    revocations.revoke(Revoked::Statement(what.to_owned()), Some("slip".into()), NOW).unwrap();
}

#[test]
fn what_was_revoked_is_not_taken_back_by_taking_it_away() {
    let place = Place::new();
    assert!(place.open().is_ok(), "nothing was revoked yet");
    assert_eq!(place.mark().read().unwrap(), None);
    let revocations = place.open().unwrap();
    revoke(&revocations, "a");
    revoke(&revocations, "b");
    let whole = fs::read_to_string(place.directory().join(FILE)).unwrap();
    assert_eq!(place.open().unwrap().revoked_here().len(), 2);

    let one =
        whole.replace(r#"{"jti":"b","at":1767323045,"reason":"slip"}"#, "").replace(",]", "]");
    assert_ne!(one, whole);
    for text in [r#"{"v":1}"#, &one, &whole.replace(r#""jti":"b""#, r#""jti":"c""#)] {
        place.write(text);
        let refused = place.open().unwrap_err();
        assert!(
            matches!(refused, RevocationError::TakenAway { count: 2, .. }),
            "{text}: {refused}"
        );
        // Nor does whoever has it open still make it pass for whole.
        assert_eq!(revocations.revoked_here().len(), 2);
    }
    fs::remove_dir_all(place.directory()).unwrap();
    let refused = place.open().unwrap_err().to_string();
    assert!(refused.contains("2 in all") && refused.contains("revocations.anchor"), "{refused}");

    // Why it was revoked may be said otherwise, and more may be.
    fs::create_dir_all(place.directory()).unwrap();
    place.open().unwrap_err();
    let said = whole.replace("slip", "stolen");
    fs::write(place.directory().join(FILE), said).unwrap();
    use std::os::unix::fs::PermissionsExt;
    let only_mine = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode));
    only_mine(&place.directory(), 0o700).unwrap();
    only_mine(&place.directory().join(FILE), 0o600).unwrap();
    assert_eq!(place.open().unwrap().revoked_here().len(), 2);

    place.write(r#"{"v":1}"#);
    assert_eq!(Revocations::take_as_it_is(&place.directory(), &*place.mark()).unwrap(), 0);
    assert!(place.open().unwrap().revoked_here().is_empty());
}

/// What was revoked before there were marks is marked by whoever opens it next; what was marked by one
/// process and not by the other is no fault.
#[test]
fn marks_follow_what_several_processes_revoke() {
    let place = Place::new();
    revoke(&Revocations::open(&place.directory()).unwrap(), "old");
    let (one, other) = (place.open().unwrap(), place.open().unwrap());
    let marked = place.mark().read().unwrap().unwrap();
    assert!(marked.starts_with("etdi-revocations 1 1 sha-256:"), "{marked}");
    for (by, what) in [(&one, "a"), (&other, "b"), (&one, "c"), (&other, "d")] {
        revoke(by, what);
        assert!(place.open().is_ok());
    }
    assert_eq!(place.open().unwrap().revoked_here().len(), 5);
    // A crash before the mark: there is more than it says.
    let mark = place.mark();
    mark.write(&marked).unwrap();
    assert_eq!(place.open().unwrap().revoked_here().len(), 5);
    assert!(mark.read().unwrap().unwrap().starts_with("etdi-revocations 1 5 "));
    // A mark that nobody made.
    for text in ["", "etdi-revocations 1 0", "etdi-revocations 1 05 sha-256:x"] {
        mark.write(text).unwrap();
        assert!(place.open().is_err(), "{text}");
    }
}

/// A process that goes on while the file is taken away writes all that it knows, and nothing less.
#[test]
fn whoever_runs_while_it_is_taken_away_puts_it_back() {
    let place = Place::new();
    let running = place.open().unwrap();
    revoke(&running, "a");
    let late = place.open().unwrap();
    revoke(&running, "b");
    fs::remove_file(place.directory().join(FILE)).unwrap();
    // This one has not heard of `b`.
    let refused = late.revoke(Revoked::Statement("c".into()), None, NOW).unwrap_err();
    assert!(matches!(refused, RevocationError::TakenAway { count: 2, .. }), "{refused}");
    assert!(!place.directory().join(FILE).exists());
    revoke(&running, "c");
    assert_eq!(place.open().unwrap().revoked_here().len(), 3);
}
