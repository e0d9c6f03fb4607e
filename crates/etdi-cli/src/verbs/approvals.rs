//! `etdi approvals`: what the user accepted, and where it is kept.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use etdi::config::place::{ApprovalPlace, Taken, revocations_as_they_are};
use etdi::core::approval::{
    Approval, ApprovalStore, Approvals, Granted, NoApprover, Reason, StoreError, Withdrawn,
};
use etdi::core::change::visible;
use etdi::core::level::Policy;
use etdi::core::time::UnixTime;
use etdi::system_time;
use etdi_core::legacy::ForkApprovals;
use etdi_core::secret::{Protection, ProtectionError, ProtectionKind, SecretStore};
use etdi_core::store::{Bundle, FileStore};
use serde_json::json;

use crate::args::{ApprovalsCommand, Source, Which};
use crate::ask::user;
use crate::exit::{Exit, Failure};
use crate::home::{Home, write_private};
use crate::keyring;
use crate::locked::{self, failed, unfit};
use crate::output::{Output, Report, table};
use crate::passphrase;
use crate::unattended::{self, Act};
use crate::verbs::target::{audit, block_on, quoted, shown_path};

/// Runs one of the commands on approvals.
///
/// # Errors
///
/// When they cannot be read or written, or there is none of that name.
pub fn run(command: &ApprovalsCommand, home: &Home, output: Output) -> Result<Report, Failure> {
    match command {
        ApprovalsCommand::List => list(&locked::approvals(home)?),
        ApprovalsCommand::Show(which) => show(which, &locked::approvals(home)?),
        ApprovalsCommand::Revoke { which, note } => {
            let mut withdrawn = Withdrawn::new(system_time(), user());
            withdrawn.note.clone_from(note);
            change(which, home, Change::Withdraw(withdrawn))
        }
        ApprovalsCommand::Remove(which) => {
            let all = listed(&locked::approvals(home)?)?;
            let names: Vec<_> = all.iter().filter(|one| chosen(which, one)).map(named).collect();
            if !names.is_empty() {
                let text = format!(
                    "\n{}\nwhat is forgotten is seen for the first time again, whatever became of it since",
                    names.join("\n")
                );
                let (what, ask) = ("to forget an approval", "forget it?");
                unattended::agreed_to(home, output, Act { what, text, ask, next: list_them() })?;
            }
            change(which, home, Change::Remove)
        }
        ApprovalsCommand::Undo(which) => change(which, home, Change::Undo),
        ApprovalsCommand::Export { file, plain } => export(file, *plain, home, output),
        ApprovalsCommand::Import { path, from, server, plain } => match (from, server) {
            (Source::PythonFork, Some(server)) => import_fork(path, server, home),
            _ => import(path, *plain, home, output),
        },
        ApprovalsCommand::Encrypt { keyring, key_file } => match (keyring, key_file) {
            (true, _) => encrypt(home, By::Keyring, output),
            (false, true) => encrypt(home, By::KeyFile, output),
            (false, false) => encrypt(home, By::Passphrase, output),
        },
        ApprovalsCommand::RotateKey => {
            locked::approvals(home)?.rotate_key().map_err(failed)?;
            Ok(Report::new(json!({ "rotated": true }), "everything is encrypted with a new key"))
        }
        ApprovalsCommand::Unattended { approve } => unattended::run(*approve, home, output),
        ApprovalsCommand::AcceptRestored => {
            // What nobody sealed may be another's: to seal it is an act of its own.
            locked::place(home)?.refuse_clear().map_err(unfit)?;
            let text = "\nan old store knows nothing of what was withdrawn, refused or revoked since, and one \
                        that was removed takes every server for a new one";
            act(home, output, "to take a store as it is", text, "take it?", "accept-restored")?;
            let store = locked::open(home, Taken::AsItIs)?;
            let count = listed(&store)?.len();
            let directory = home.directory("revocations")?;
            let revoked =
                revocations_as_they_are(&directory, &locked::state(home)?).map_err(unfit)?;
            let text = format!(
                "the store is taken as it is, with {count} approvals, and {revoked} entries of what was \
                 revoked; look at them"
            );
            Ok(Report::new(json!({ "approvals": count, "revoked": revoked }), text))
        }
        ApprovalsCommand::SetClock => {
            let now = system_time();
            let text = format!(
                "\nthe present is {now}: what ends by time is held against that from now on"
            );
            act(home, output, "to set the clock of the store", &text, "set it?", "set-clock")?;
            locked::approvals(home)?.set_clock(now).map_err(failed)?;
            let text = format!("the store takes {now} for the present");
            Ok(Report::new(json!({ "now": now }), text))
        }
    }
}

/// Asks before an act whose command is what a person may type.
fn act(
    home: &Home,
    output: Output,
    what: &str,
    text: &str,
    ask: &'static str,
    verb: &str,
) -> Result<(), Failure> {
    let (text, next) = (text.to_owned(), format!("etdi approvals {verb}"));
    unattended::agreed_to(home, output, Act { what, text, ask, next })
}

/// An approval in a line.
fn named(approval: &Approval) -> String {
    format!("{} of {}", visible(&approval.key.tool), visible(&approval.key.server))
}

fn listed(store: &FileStore) -> Result<Vec<Approval>, Failure> {
    block_on(async { Ok(store.list().await.map_err(failed)?.approvals) })
}

fn list(store: &FileStore) -> Result<Report, Failure> {
    let listing = block_on(async { store.list().await.map_err(failed) })?;
    let now = system_time();
    let faults: Vec<_> = listing.faults.iter().map(ToString::to_string).collect();
    let rows = listing.approvals.iter().map(|one| {
        [
            visible(&one.key.tool).into_owned(),
            one.version.as_deref().map(visible).unwrap_or_default().into_owned(),
            server(one),
            issuer(one),
            state(one, now),
        ]
    });
    let rows: Vec<_> = rows.collect();
    let mut text = match rows.is_empty() {
        true => "no approvals yet, make one with `etdi approve -- COMMAND`".to_owned(),
        false => table(["tool", "version", "server", "signed by", "approved"], rows),
    };
    for fault in &faults {
        text.push_str(&format!("\nnot approved: {fault}"));
    }
    let encrypted = store.is_encrypted();
    let data = json!({ "approvals": listing.approvals, "faults": faults, "encrypted": encrypted });
    Ok(Report::new(data, text))
}

/// The server by its name, and below it the command where that is only a digest of it.
fn server(approval: &Approval) -> String {
    let name = visible(&approval.key.server);
    let Some(words) = command(approval).map(shown) else { return name.into_owned() };
    let mut cut: String = words.chars().take(MOST_OF_A_COMMAND).collect();
    if words.chars().count() > MOST_OF_A_COMMAND {
        cut.push('…');
    }
    format!("{cut}\n{name}")
}

/// So much of a command line is shown in a table.
const MOST_OF_A_COMMAND: usize = 80;

fn issuer(approval: &Approval) -> String {
    let nobody = || "nobody, pinned".to_owned();
    approval.key.issuer.as_deref().map_or_else(nobody, |issuer| visible(issuer).into_owned())
}

/// Whether it counts, in a few words.
fn state(approval: &Approval, now: UnixTime) -> String {
    if approval.reason == Reason::Imported {
        return "imported, asks again".to_owned();
    }
    match (&approval.withdrawn, approval.is_expired(now), approval.expires_at) {
        (Some(withdrawn), ..) => format!("withdrawn {}", withdrawn.at),
        (None, true, Some(end)) => format!("expired {end}"),
        (None, false, Some(end)) => format!("{}, until {end}", approval.approved_at),
        (None, ..) => approval.approved_at.to_string(),
    }
}

fn chosen(which: &Which, approval: &Approval) -> bool {
    approval.key.tool == which.tool
        && which.server.as_ref().is_none_or(|server| {
            approval.key.server == *server
                || command(approval)
                    .is_some_and(|words| words.join(" ") == *server || shown(words) == *server)
        })
}

/// The command of a server that has no other name.
fn command(approval: &Approval) -> Option<&[String]> {
    let argv = approval.pin.as_ref()?.argv.as_slice();
    (approval.key.server.starts_with("stdio:command:") && !argv.is_empty()).then_some(argv)
}

/// A command as it can be typed.
fn shown(words: &[String]) -> String {
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

/// That several servers have a tool of this name, and which.
fn several(which: &Which, verb: &str, servers: &BTreeSet<String>) -> Failure {
    let name = visible(&which.tool);
    let names: Vec<_> = servers.iter().map(|server| visible(server).into_owned()).collect();
    let message = format!(
        "{} servers have an approval of a tool `{name}`, say which with `--server`, or `--all`: {}",
        names.len(),
        names.join(", ")
    );
    let first = names.first().map_or("", String::as_str);
    let next = format!("etdi approvals {verb} {} --server {}", quoted(&which.tool), quoted(first));
    Failure::usage(message, next).with_code("SEVERAL_SERVERS")
}

fn list_them() -> String {
    "etdi approvals list".to_owned()
}

fn none(what: &str, which: &Which) -> Failure {
    let message = format!("there is no {what} of a tool `{}`", visible(&which.tool));
    Failure::usage(message, list_them())
}

fn show(which: &Which, store: &FileStore) -> Result<Report, Failure> {
    let now = system_time();
    let found: Vec<_> =
        listed(store)?.into_iter().filter(|approval| chosen(which, approval)).collect();
    if found.is_empty() {
        return Err(none("approval", which));
    }
    let text: Vec<String> = found.iter().map(|approval| described(approval, now)).collect();
    Ok(Report::new(json!({ "approvals": found }), text.join("\n\n")))
}

/// All of an approval, in the exact characters that were approved.
fn described(approval: &Approval, now: UnixTime) -> String {
    let mut lines = Vec::new();
    let mut line = |name: &str, value: &str| lines.push(format!("{name:<12} {}", visible(value)));
    line("tool", &approval.key.tool);
    line("server", &approval.key.server);
    line("signed by", &issuer(approval));
    if let Some(by) = &approval.signed_by {
        line("key", &by.kid.to_string());
    }
    line("version", approval.version.as_deref().unwrap_or("none"));
    line("digest", &approval.digest.to_string());
    let counts = approval.withdrawn.is_none() && !approval.is_expired(now);
    let approved = if counts && approval.reason != Reason::Imported { "approved " } else { "" };
    line("state", &format!("{approved}{}", state(approval, now)));
    line("granted", &granted(&approval.granted));
    line("approved by", &approval.approver);
    line("at level", approval.level.name());
    line("because", approval.reason.describe());
    if let Some(note) = &approval.note {
        line("note", note);
    }
    if let Some(withdrawn) = &approval.withdrawn {
        line("withdrawn by", &withdrawn.by);
        if let Some(note) = &withdrawn.note {
            line("why", note);
        }
    }
    if let Some(carried) = &approval.carried {
        let from = carried.from.version.as_deref().unwrap_or("none");
        let until = carried.undo_until;
        line("carried over", &format!("from version {from}, can be undone until {until}"));
    }
    if let Some(pin) = &approval.pin {
        line("program", &format!("{} ({})", pin.executable, pin.digest));
        for (name, digest) in &pin.files {
            line("is given", &format!("{name} ({digest})"));
        }
        line("command", &pin.argv.join(" "));
    }
    line("definition", &approval.definition);
    lines.join("\n")
}

fn granted(granted: &Granted) -> String {
    match granted {
        Granted::All => "all that it declares".to_owned(),
        Granted::Only(scopes) if scopes.is_empty() => "nothing".to_owned(),
        Granted::Only(scopes) => scopes.iter().map(String::as_str).collect::<Vec<_>>().join(", "),
        _ => "nobody was asked".to_owned(),
    }
}

/// What is done to an approval.
enum Change {
    Withdraw(Withdrawn),
    Remove,
    Undo,
}

fn change(which: &Which, home: &Home, change: Change) -> Result<Report, Failure> {
    let store = locked::approvals(home)?;
    let keys = listed(&store)?.into_iter().filter(|one| chosen(which, one)).map(|one| one.key);
    let keys: Vec<_> = keys.collect();
    let servers: BTreeSet<String> = keys.iter().map(|key| key.server.clone()).collect();
    if servers.len() > 1 && !which.all {
        let verb = match &change {
            Change::Withdraw(_) => "revoke",
            Change::Remove => "remove",
            Change::Undo => "undo",
        };
        return Err(several(which, verb, &servers));
    }
    let (store, audit) = (Arc::new(store), Arc::new(audit(home)?));
    let approvals = Approvals::new(Policy::default(), store, Arc::new(NoApprover), audit);
    let done = block_on(async {
        let mut done = Vec::new();
        for key in keys {
            let changed = match &change {
                Change::Withdraw(withdrawn) => approvals.withdraw(&key, withdrawn.clone()).await,
                Change::Remove => approvals.remove(&key, system_time()).await,
                Change::Undo => approvals.undo(&key, system_time()).await,
            };
            if changed.map_err(failed)? {
                done.push(key);
            }
        }
        Ok(done)
    })?;
    let (what, did) = match change {
        Change::Withdraw(_) => ("approval that counts", "withdrew the approval of"),
        Change::Remove => ("approval", "removed the approval of"),
        Change::Undo => ("carried over update", "took back an update of"),
    };
    if done.is_empty() {
        return Err(none(what, which));
    }
    let lines =
        done.iter().map(|key| format!("{did} {} of {}", visible(&key.tool), visible(&key.server)));
    let text = lines.collect::<Vec<_>>().join("\n");
    Ok(Report::new(json!({ "changed": done }), text))
}

fn export(file: &Path, plain: bool, home: &Home, output: Output) -> Result<Report, Failure> {
    let bundle = locked::beside_a_file(home)?.export(system_time()).map_err(failed)?;
    let protection = match plain {
        true => None,
        false => Some(passphrase::wanted(passphrase::PASSPHRASE)?),
    };
    let bytes = bundle.to_bytes(protection.as_ref()).map_err(failed)?;
    write_private(file, &bytes).map_err(|error| {
        let message = format!("cannot write `{}`: {error}", file.display());
        Failure::usage(message, format!("ls -l {}", shown_path(file)))
    })?;
    if plain {
        output
            .warn("the file is not encrypted: whoever changes it decides what an import approves");
    }
    let count = bundle.approvals.len();
    let data = json!({ "file": file, "approvals": count, "encrypted": !plain });
    Ok(Report::new(data, format!("wrote {count} approvals into `{}`", file.display())))
}

fn import(file: &Path, plain: bool, home: &Home, output: Output) -> Result<Report, Failure> {
    let bytes = std::fs::read(file).map_err(|error| {
        let message = format!("cannot read `{}`: {error}", file.display());
        Failure::usage(message, format!("ls -l {}", shown_path(file)))
    })?;
    // Before the store: one that is not there yet must not be made under a passphrase that opens nothing.
    let sealed = match Bundle::is_sealed(&bytes) {
        true => Some(unsealed(&bytes, file, home)?),
        false => None,
    };
    let store = locked::beside_a_file(home)?;
    let bundle = match sealed {
        Some(bundle) => bundle,
        // Anybody could have put it in place of the one that was exported.
        None if store.is_encrypted() && !plain => {
            let message = format!("`{}` is not encrypted, and the store is", file.display());
            let next = format!("ls -l {}", shown_path(file));
            return Err(Failure::new(Exit::Refused, message, next).with_code("NOT_ENCRYPTED"));
        }
        None => Bundle::from_bytes(&bytes, None).map_err(failed)?,
    };
    let names: Vec<_> = bundle.approvals.iter().map(named).collect();
    let text = format!(
        "\n{}\nwhat is taken in counts as approved here, unread: whoever could write the file, or has its key, \
         says what",
        names.join("\n")
    );
    let (what, ask) = ("to take approvals in", "take them in?");
    let next = format!("etdi approvals import {}", shown_path(file));
    unattended::agreed_to(home, output, Act { what, text, ask, next })?;
    let imported = store.import(&bundle).map_err(failed)?;
    let data = json!({ "added": imported.added, "kept": imported.kept });
    let text = format!(
        "took {} approvals in, and left out {} that are here already",
        imported.added, imported.kept
    );
    Ok(Report::new(data, text))
}

/// What a sealed file holds.
///
/// # Errors
///
/// When nothing opens it, which says nothing about the store.
fn unsealed(bytes: &[u8], file: &Path, home: &Home) -> Result<Bundle, Failure> {
    let protection = opens(bytes, home)?;
    Bundle::from_bytes(bytes, Some(&protection)).map_err(|error| match error {
        StoreError::Protection(ProtectionError::WrongKey { offered }) => {
            let message = format!(
                "`{}` is not opened by {offered}: give what it was exported with; your own store is untouched",
                file.display()
            );
            let next = format!("etdi approvals import {}", shown_path(file));
            Failure::new(Exit::Refused, message, next).with_code("STORE_FAILED")
        }
        error => failed(error),
    })
}

/// What opens a sealed file: for one of the daily backups what protects the store.
fn opens(bytes: &[u8], home: &Home) -> Result<Protection, Failure> {
    match Bundle::from_bytes(bytes, None) {
        Err(StoreError::Encrypted { by: ProtectionKind::Keyring, .. }) => keyring::protection(),
        Err(StoreError::Encrypted { by: by @ ProtectionKind::HostKey, .. }) => {
            match passphrase::chosen()?.filter(|chosen| chosen.kind() == by) {
                Some(chosen) => Ok(chosen),
                None => locked::place(home)?.own(by).map_err(unfit),
            }
        }
        _ => passphrase::needed("the file"),
    }
}

fn import_fork(directory: &Path, server: &str, home: &Home) -> Result<Report, Failure> {
    let server = crate::verbs::target::server_name(server)
        .map_or_else(|_| server.to_owned(), |name| name.to_string());
    let found = ForkApprovals::read(directory).map_err(|error| {
        let why = std::error::Error::source(&error).map(|source| format!(": {source}"));
        let message = format!("{error}{}", why.unwrap_or_default());
        Failure::usage(message, format!("ls -la {}", shown_path(directory)))
    })?;
    let store = locked::approvals(home)?;
    let (mut added, mut kept) = (Vec::new(), 0_usize);
    let mut faults: Vec<String> = found.faults.iter().map(ToString::to_string).collect();
    block_on(async {
        for record in &found.approvals {
            let approval = match record.to_record(&server, &user(), system_time()) {
                Ok(approval) => approval,
                Err(error) => {
                    faults.push(error.to_string());
                    continue;
                }
            };
            match store.put(approval, None).await {
                Ok(_) => added.push(record.tool_id.clone()),
                Err(StoreError::Conflict { .. }) => kept += 1,
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(())
    })?;
    let mut lines = vec![format!(
        "took {} records in, and left out {kept} of tools that are approved here; each asks again, \
         because the fork's approvals name no server",
        added.len()
    )];
    lines.extend(faults.iter().map(|fault| format!("not taken: {fault}")));
    let data = json!({ "added": added, "kept": kept, "faults": faults, "server": server });
    Ok(Report::new(data, lines.join("\n")))
}

/// What is to protect the store.
#[derive(Clone, Copy)]
enum By {
    Passphrase,
    Keyring,
    KeyFile,
}

/// What a passphrase does to programs that nobody can ask.
const LOCKED_OUT: &str = "a guard that a client starts asks nobody for a passphrase and refuses to start, unless \
                          its entry sets `ETDI_PASSPHRASE_FD` or `ETDI_PASSPHRASE`: for guards, \
                          `etdi approvals encrypt --keyring` or `--key-file`";

fn encrypt(home: &Home, by: By, output: Output) -> Result<Report, Failure> {
    if matches!(by, By::Passphrase) {
        output.warn(LOCKED_OUT);
    }
    let place = locked::place(home)?;
    let wanted = |variable| match by {
        By::Keyring => keyring::protection(),
        By::KeyFile => place.by_key_file().map_err(unfit),
        By::Passphrase => passphrase::wanted(variable),
    };
    let directory = place.directory();
    let Some(present) = place.sealed_by().map_err(unfit)? else {
        // Being told to, by a person, is what it takes to believe what lies there in the clear.
        let taken = match place.refuse_clear() {
            Ok(()) => Taken::Checked,
            Err(_) => {
                let text = "\nwhat lies in the store in the clear counts as approved from then on, whoever \
                            wrote it";
                act(home, output, "to seal what lies in the clear", text, "seal it?", "encrypt")?;
                Taken::AsItIs
            }
        };
        let wanted = wanted(passphrase::PASSPHRASE)?;
        let sealed = place.seal(Some(wanted), taken).map_err(unfit)?;
        let store = sealed.options(taken).open(directory).map_err(failed)?;
        let count = listed(&store)?.len();
        let text = format!(
            "encrypted {count} approvals; whoever could write them before may have made some, so \
             look at them with `etdi approvals list`"
        );
        let data = json!({ "encrypted": true, "changed": false, "approvals": count });
        return Ok(Report::new(data, text));
    };
    let (present, is_chosen) = locked::present(&place, present)?;
    let variable = if is_chosen { passphrase::NEW_PASSPHRASE } else { passphrase::PASSPHRASE };
    let wanted = wanted(variable)?;
    // First, because what is cut off after it is finished when this is run again.
    let secrets = protect_secrets(home, &present.protection, &wanted, output)?;
    place.protect(&present, wanted.clone()).map_err(unfit)?;
    let count = listed(&locked_by(&place, &wanted)?)?.len();
    let data =
        json!({ "encrypted": true, "changed": true, "approvals": count, "secrets": secrets });
    Ok(Report::new(data, format!("the store is protected by {}", wanted.kind())))
}

/// Protects the keys of programs, which lie beside the approvals under the same protection. Says whether
/// they are protected so now; `None` where there are none.
fn protect_secrets(
    home: &Home,
    present: &Protection,
    wanted: &Protection,
    output: Output,
) -> Result<Option<bool>, Failure> {
    let path = home.path().join("secrets");
    if !path.exists() {
        return Ok(None);
    }
    match SecretStore::open(&path, present.clone()) {
        Ok(secrets) => {
            secrets.protect(wanted.clone()).map_err(failed)?;
            Ok(Some(true))
        }
        Err(_) if SecretStore::open(&path, wanted.clone()).is_ok() => Ok(Some(true)),
        Err(error) => {
            output.warn(&format!(
                "`{}` does not open with what protected the approvals, and is left as it is: {error}",
                path.display()
            ));
            Ok(Some(false))
        }
    }
}

fn locked_by(place: &ApprovalPlace, protection: &Protection) -> Result<FileStore, Failure> {
    let sealed = place.seal(Some(protection.clone()), Taken::Checked).map_err(unfit)?;
    sealed.options(Taken::Checked).open(place.directory()).map_err(failed)
}
