//! Against a file that Python's `cryptography` wrote, and through to the question.

use core::pin::pin;
use core::task::{Context, Poll, Waker};
use std::sync::Arc;

use super::*;
use crate::approval::{ApprovalStore, Approvals, MemoryStore, NoApprover};
use crate::audit::MemoryAuditor;
use crate::level::Policy;

const FORK_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const NAME: &str = "e33637ee6376db00.approval";
const TOKEN: &str = "gAAAAABpVzWlAAECAwQFBgcICQoLDA0OD5CusMx1Zf26_iLNx61aC0W0baTVLHtsdic9qJJfSQaoewfoZVdtoyNSD0YfnSo_SLH6kf7J9M7UZQ1MkwexOMPzzYJbx6tYhf8NfO6s7fwVD6AYYODeR9H_8JBChONzsN8TJDSg2FhDrgl783Lbflg73qVOseeRQZzPTPrm-AAaSBTJhl1Vl93HDRWpPISCHm-TSSF5ub-Z1GGm35upNy1pBt5jwBl2ResoUEz5G1AW4-kjqKfXCx8wJMvuP8bimxAy1C6To3ea_vyf0QLRHTnvg-8x6wrbmBxhroGiyRYhJtjzqhUJxW4FAS1qRGiqVU-v_SSxFEGjRj4AaM5Vymwc6MatZhgj1wUIZKVX8Z0gBVFgZvXEV_UD4UwJ67q4KgOdQfK-9cEua3iMjlADoIBNTeBArvJKyWCqyHL7UXL5d_mMH57HdfOXd4oJQKdTQud3vGh2XdittDd7aVEQNjYnZmrRcYEHytFNL6GdVcCDiiJTRoVfxIU9ZVbDnxzhHA==";
const NOW: UnixTime = UnixTime(1_767_323_045);

fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("nothing here waits"),
    }
}

#[test]
fn reads_what_the_fork_wrote() {
    let read = ForkApproval::open(NAME, TOKEN.as_bytes(), FORK_KEY).unwrap();
    assert_eq!(read.tool_id, "get_weather");
    assert_eq!(read.file_name(), NAME);
    assert_eq!(read.approval_date, "2026-11-21T02:08:01.284110");
    assert_eq!(read.permissions[0].scope, "weather:read");
    let hash = "0429f73596c3710cb2ed7e36afbcca8d0f6288e1182951563577fc531a3cd9be";
    assert_eq!(read.definition_hash.as_deref(), Some(hash));

    let wrong = FORK_KEY.replace("AAEC", "AAED");
    let refused = ForkApproval::open(NAME, TOKEN.as_bytes(), &wrong);
    assert!(matches!(refused, Err(ForkError::WrongKey { .. })));
    assert!(ForkApproval::open(NAME, b"gAAAAA", FORK_KEY).is_err());
    assert!(ForkApproval::open(NAME, TOKEN.as_bytes(), "").is_err());
    // The fork would take it for the approval of whatever tool hashes to that name.
    let other = "0000000000000000.approval";
    let refused = ForkApproval::open(other, TOKEN.as_bytes(), FORK_KEY);
    assert!(matches!(refused, Err(ForkError::Misplaced { .. })));
}

#[test]
fn a_directory_is_read_with_its_faults() {
    let directory = std::env::temp_dir().join(format!("etdi-fork-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    assert!(matches!(ForkApprovals::read(&directory), Err(ForkError::Io { .. })));
    std::fs::write(directory.join(".key"), FORK_KEY).unwrap();
    std::fs::write(directory.join(NAME), TOKEN).unwrap();
    std::fs::write(directory.join("0000000000000000.approval"), TOKEN).unwrap();
    std::fs::write(directory.join("notes.txt"), "x").unwrap();
    let found = ForkApprovals::read(&directory).unwrap();
    std::fs::remove_dir_all(&directory).unwrap();
    assert_eq!((found.approvals.len(), found.faults.len()), (1, 1));
}

#[test]
fn an_imported_record_asks_again_and_shows_what_was_approved() {
    let record = ForkApproval::open(NAME, TOKEN.as_bytes(), FORK_KEY).unwrap();
    let approval = record.to_record("stdio:weather", "ada", NOW).unwrap();
    let store = Arc::new(MemoryStore::new());
    now(store.put(approval.clone(), None)).unwrap();
    let auditor = Arc::new(MemoryAuditor::default());
    for policy in [Policy::basic(), Policy::enhanced()] {
        let approvals =
            Approvals::new(policy, store.clone(), Arc::new(NoApprover), auditor.clone());
        // Even the very definition that was made for the record.
        let text = r#"{"name":"get_weather","description":"x","inputSchema":{"type":"object"}}"#;
        for text in [text, &approval.definition] {
            let tool = RawTool::read(text).unwrap();
            let facts = Facts::new("stdio:weather", tool.definition(), &Standing::Unsigned);
            let refusal = now(approvals.check(&facts, NOW)).unwrap_err();
            assert_eq!((refusal.reason, refusal.alarm), (Reason::NotApproved, false));
            assert!(refusal.can_be_approved);
            assert_eq!(refusal.previous, Some(approval.digest));
        }
    }
}

/// The design documents spell the same record in camel case, and permissions in short.
#[test]
fn a_record_of_the_design_documents_is_read() {
    let text = r#"{"toolId":"get_weather","providerId":"acme","approvedVersion":"1.0.0",
        "permissions":["weather:read",{"scope":"net:send"}],"approvalDate":"2025-05-29T10:00:00Z",
        "expiryDate":"2026-05-29T10:00:00Z","definitionHash":"00","providerPublicKeyId":"k1"}"#;
    let read: ForkApproval = serde_json::from_str(text).unwrap();
    assert_eq!((&*read.tool_id, &*read.approved_version), ("get_weather", "1.0.0"));
    assert_eq!(read.provider_public_key_id.as_deref(), Some("k1"));
    assert_eq!(read.expiry_date.as_deref(), Some("2026-05-29T10:00:00Z"));
    let scopes: Vec<&str> = read.permissions.iter().map(|one| one.scope.as_str()).collect();
    assert_eq!(scopes, ["tool:weather:read", "net:send"]);
    assert!(read.permissions[0].required && !read.permissions[1].required);
    assert_eq!(read.permissions[0].description, "Permission for tool:weather:read");
    let record = read.to_record("stdio:weather", "ada", NOW).unwrap();
    assert_eq!(record.reason, Reason::Imported);
    assert!(serde_json::from_str::<ForkApproval>(&text.replace("toolId", "tool")).is_err());
    let none = text.replace("weather:read", "weather");
    assert!(serde_json::from_str::<ForkApproval>(&none).is_err(), "no scope of ours");
}
