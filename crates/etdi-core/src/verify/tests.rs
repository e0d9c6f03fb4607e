//! Every claim of a statement, changed one at a time; and every binding, missing or wrong.

use super::*;
use crate::attestation::Attestation;
use crate::binding::{Challenge, Measurement, Possession, answer};
use crate::key::{Algorithm, SigningKey};
use crate::trust::TrustAnchors;
use crate::wire::Provenance;
use crate::{jws, manifest};

const NOW: UnixTime = UnixTime(1_767_323_045);
const ACME: &str = "https://acme.example";
const URL: &str = "https://mcp.acme.example/mcp";

struct World {
    key: SigningKey,
    verifier: Verifier,
}

impl World {
    fn new() -> Self {
        let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
        let mut anchors = TrustAnchors::new();
        anchors.trust(ACME.parse().unwrap(), key.verifying_key().clone());
        anchors.trust(ACME.parse().unwrap(), second().verifying_key().clone());
        Self { verifier: Verifier::new(anchors), key }
    }

    fn verify(&self, tool: &RawTool, peer: &Peer) -> Result<Verified<ToolDefinition>, VerifyError> {
        self.verifier.verify(tool, peer, NOW)
    }

    fn refused(&self, tool: &RawTool, peer: &Peer) -> (&'static str, Verdict) {
        let error = self.verify(tool, peer).unwrap_err();
        (error.code(), error.verdict())
    }

    /// A tool with a proof of what `edit` makes of honest claims.
    fn tool_with(&self, statement: &Attestation, edit: impl Fn(&mut serde_json::Value)) -> RawTool {
        let proof = statement.sign(tool(&[]).definition(), &self.key).unwrap();
        let read = jws::Jws::read(&proof, StatementType::Tool).unwrap();
        let mut claims = serde_json::from_str(read.unverified_payload()).unwrap();
        edit(&mut claims);
        let claims = claims.to_string();
        tool(&[&jws::sign(StatementType::Tool, &claims, &self.key).unwrap()])
    }

    fn attested(&self, statement: &Attestation) -> RawTool {
        self.tool_with(statement, |_| ())
    }
}

fn second() -> SigningKey {
    use std::sync::OnceLock;
    static PEM: OnceLock<String> = OnceLock::new();
    let make = || SigningKey::generate(Algorithm::Es256).unwrap().to_pkcs8_pem().to_string();
    SigningKey::from_pkcs8_pem(PEM.get_or_init(make)).unwrap()
}

fn tool(proofs: &[&str]) -> RawTool {
    let proofs = serde_json::to_string(proofs).unwrap();
    RawTool::read(&format!(
        r#"{{"name":"search","description":"Search.","inputSchema":{{"type":"object"}},
            "_meta":{{"dev.etdi/etdi":{{"v":1,"version":"1.2.0","provider":{{"id":"{ACME}"}},
            "attestations":{proofs}}}}}}}"#
    ))
    .unwrap()
}

fn https() -> ServerIdentity {
    ServerIdentity::url(URL).unwrap()
}

fn package() -> ServerIdentity {
    ServerIdentity::package("pkg:cargo/notes").unwrap()
}

fn command() -> Peer {
    Peer::new(ServerIdentity::command(&["notes"]))
}

fn statement(server: ServerIdentity) -> Attestation {
    Attestation::new(ACME.parse().unwrap(), server, NOW)
}

#[test]
fn an_honest_tool_is_verified() {
    let world = World::new();
    let previous = Digest::of_bytes(b"before");
    let tool = world.attested(&statement(https()).previous(previous));
    let verified = world.verify(&tool, &Peer::new(https())).unwrap();
    assert_eq!(verified.name(), "search");
    assert_eq!(verified.issuer().as_str(), ACME);
    assert_eq!(verified.key(), world.key.id());
    assert_eq!(verified.trust(), Trust::Configured);
    assert_eq!(verified.binding(), &Binding::Https);
    assert_eq!(verified.previous(), Some(previous));
    let text = &tool.attestations()[0];
    assert_eq!(verified.attestations(), [Digest::of_bytes(text.as_bytes())]);
}

#[test]
fn each_claim_counts() {
    use serde_json::json;
    let world = World::new();
    let peer = Peer::new(https());
    let other = Digest::of_bytes(b"other").to_string();
    for (member, value, code) in [
        ("iss", json!("https://evil.example"), "ISSUER_UNTRUSTED"),
        ("iss", json!(null), "ATTESTATION_MALFORMED"),
        ("sub", json!(format!("{URL}#other")), "WRONG_TOOL"),
        ("sub", json!("https://evil.example/mcp#search"), "WRONG_SERVER"),
        ("sub", json!("stdio:pkg:cargo/notes#search"), "WRONG_SERVER"),
        ("sub", json!(URL), "ATTESTATION_MALFORMED"),
        ("sub", json!("notes#search"), "ATTESTATION_MALFORMED"),
        ("aud", json!("https://acme.example"), "WRONG_AUDIENCE"),
        ("aud", json!(["etdi:definition"]), "ATTESTATION_MALFORMED"),
        ("dig", json!(other), "DIGEST_MISMATCH"),
        ("dig", json!("sha-256:"), "ATTESTATION_MALFORMED"),
        ("ver", json!("1.2.1"), "VERSION_MISMATCH"),
        ("nbf", json!(NOW.0 + 31), "ATTESTATION_NOT_YET_VALID"),
        ("nbf", json!(NOW.0.to_string()), "ATTESTATION_MALFORMED"),
        ("exp", json!(NOW.0 - 30), "ATTESTATION_EXPIRED"),
        ("exp", json!((NOW.0 + 60).to_string()), "ATTESTATION_MALFORMED"),
        ("exp", json!(1e300), "ATTESTATION_MALFORMED"),
        ("exp", json!(-1), "ATTESTATION_MALFORMED"),
    ] {
        let tool = world.tool_with(&statement(https()), |claims| claims[member] = value.clone());
        let (refused, _) = world.refused(&tool, &peer);
        assert_eq!(refused, code, "{member} {value}");
        let verified = world.verifier.verify(&tool, &peer, NOW);
        assert_eq!(verified.unwrap_err().code(), code, "the memory of signatures changes nothing");
    }
    for member in ["iss", "sub", "aud", "iat", "nbf", "exp", "jti", "dig", "ver"] {
        let tool = world.tool_with(&statement(https()), |claims| {
            claims.as_object_mut().unwrap().remove(member);
        });
        assert_eq!(world.refused(&tool, &peer).0, "ATTESTATION_MALFORMED", "{member}");
    }
    // Within the skew of clocks.
    for (member, value) in [("nbf", NOW.0 + 30), ("exp", NOW.0 - 29)] {
        let tool = world.tool_with(&statement(https()), |claims| claims[member] = json!(value));
        assert!(world.verify(&tool, &peer).is_ok(), "{member}");
    }
}

#[test]
fn unsigned_unknown_and_wrong_are_three_things() {
    let world = World::new();
    let peer = Peer::new(https());
    assert_eq!(world.refused(&tool(&[]), &peer), ("UNSIGNED", Verdict::Unsigned));

    let stranger = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let unknown = statement(https()).sign(tool(&[]).definition(), &stranger).unwrap();
    let good = statement(https()).sign(tool(&[]).definition(), &world.key).unwrap();
    let again = statement(https()).sign(tool(&[]).definition(), &second()).unwrap();
    let (head, signature) = good.rsplit_once('.').unwrap();
    let wrong = format!("{head}.{}", signature.chars().rev().collect::<String>());
    let wrong = if wrong == good { format!("{wrong}A") } else { wrong };

    assert_eq!(world.refused(&tool(&[&unknown]), &peer), ("KEY_UNKNOWN", Verdict::Unverifiable));
    assert!(world.verify(&tool(&[&unknown, &good]), &peer).is_ok(), "others may co-sign");
    let both = world.verify(&tool(&[&good, &again]), &peer).unwrap();
    assert_eq!(both.attestations().len(), 2);
    // Reversing may leave bits that no byte has; both are wrong.
    for proofs in [&[wrong.as_str()][..], &[&good, &wrong], &[&unknown, &wrong], &[&good, ""]] {
        assert_eq!(world.refused(&tool(proofs), &peer).1, Verdict::Wrong, "{proofs:?}");
    }
    let nobody = Verifier::with_all([]);
    assert_eq!(nobody.verify(&tool(&[&good]), &peer, NOW).unwrap_err().code(), "NOBODY_TRUSTED");
}

#[test]
fn a_statement_of_another_kind_is_refused() {
    let world = World::new();
    let peer = Peer::new(https());
    let list = manifest::sign(&statement(https()), [tool(&[]).definition()], &world.key).unwrap();
    assert_eq!(world.refused(&tool(&[&list]), &peer).0, "ATTESTATION_MALFORMED");
    let proof = statement(https()).sign(tool(&[]).definition(), &world.key).unwrap();
    assert!(world.verifier.verify_manifest(&proof, &peer, NOW).is_err());
    assert!(world.verifier.verify_manifest(&list, &peer, NOW).is_ok());
    // Not even after it was remembered as valid under its own kind.
    assert_eq!(world.refused(&tool(&[&list]), &peer).0, "ATTESTATION_MALFORMED");
}

#[test]
fn plain_http_and_bare_commands_bind_nothing() {
    let world = World::new();
    let private = ServerIdentity::url("http://10.0.0.1/mcp").unwrap();
    for (server, peer) in [
        (private.clone(), Peer::new(private)),
        (package(), Peer::new(package())),
        (package(), command()),
        (ServerIdentity::command(&["notes"]), command()),
    ] {
        let tool = world.attested(&statement(server));
        assert_eq!(world.refused(&tool, &peer), ("BINDING_MISSING", Verdict::Unverifiable));
    }
    let elsewhere = world.attested(&statement(ServerIdentity::command(&["other"])));
    assert_eq!(world.refused(&elsewhere, &command()).0, "WRONG_SERVER");
    let elsewhere = world.attested(&statement(https()));
    assert_eq!(world.refused(&elsewhere, &command()).0, "WRONG_SERVER");
}

/// A program that was started is not what stands behind a URL, although it is called so.
#[test]
fn a_started_program_is_no_https_server() {
    let world = World::new();
    let digest = Digest::of_bytes(b"evil");
    let started = Peer::new(https()).measured(Measurement::new("./evil", digest, Vec::new()));
    let copied = world.attested(&statement(https()));
    assert_eq!(world.verify(&copied, &Peer::new(https())).unwrap().binding(), &Binding::Https);
    let missing = ("BINDING_MISSING", Verdict::Unverifiable);
    assert_eq!(world.refused(&copied, &started), missing);
    // Not even if the publisher lists the program.
    let provenance = Provenance { bin: vec![digest], ..Provenance::default() };
    let listed = world.attested(&statement(https()).provenance(provenance));
    assert_eq!(world.refused(&listed, &started), missing);
}

#[test]
fn the_executable_binds() {
    let world = World::new();
    let digest = |text: &str| Digest::of_bytes(text.as_bytes());
    let provenance = Provenance {
        bin: vec![digest("for linux"), digest("for windows")],
        scripts: vec![digest("script")],
        ..Provenance::default()
    };
    let tool = world.attested(&statement(package()).provenance(provenance));
    let started = |program: &str, files: &[(&str, &str)]| {
        let arguments = files.iter().map(|(argument, _)| (*argument).to_owned());
        let argv = std::iter::once("notes".to_owned()).chain(arguments).collect();
        let mut measurement = Measurement::new("/usr/bin/notes", digest(program), argv);
        for (argument, content) in files {
            measurement.files.insert((*argument).to_owned(), digest(content));
        }
        command().measured(measurement)
    };
    let verified = world.verify(&tool, &started("for windows", &[("a.py", "script")])).unwrap();
    assert_eq!(verified.binding(), &Binding::Executable(digest("for windows")));

    let mismatch = ("EXECUTABLE_MISMATCH", Verdict::Unverifiable);
    assert_eq!(world.refused(&tool, &started("another", &[])), mismatch);
    assert_eq!(world.refused(&tool, &started("script", &[])), mismatch);
    assert_eq!(world.refused(&tool, &started("for linux", &[("a.py", "changed")])), mismatch);
    assert_eq!(world.refused(&tool, &command()).0, "BINDING_MISSING");
    // An interpreter runs whatever it is given: code on its command line, a module, a directory.
    let missing = ("SCRIPT_MISSING", Verdict::Unverifiable);
    assert_eq!(world.refused(&tool, &started("for linux", &[])), missing);
    for arguments in [["-c", "evil"], ["-c", "a.py"], ["evil_directory", "a.py"], ["-mx=a.py", "-"]]
    {
        let mut peer = started("for linux", &[("a.py", "script"), ("-mx=a.py", "script")]);
        let argv = &mut peer.measurement.as_mut().unwrap().argv;
        argv.splice(1.., arguments.map(str::to_owned));
        assert_eq!(world.refused(&tool, &peer), missing, "{arguments:?}");
    }
    // A program says nothing about a server that is reached by HTTP.
    let private = ServerIdentity::url("http://10.0.0.1/mcp").unwrap();
    let provenance = Provenance { bin: vec![digest("for linux")], ..Provenance::default() };
    let remote = world.attested(&statement(private.clone()).provenance(provenance));
    let mut peer = started("for linux", &[]);
    peer.identity = private;
    assert_eq!(world.refused(&remote, &peer).0, "BINDING_MISSING");
}

#[test]
fn the_instance_key_binds() {
    let world = World::new();
    let instance = SigningKey::generate(Algorithm::Es256).unwrap();
    let other = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let fleet = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let named = statement(package()).instance_key(instance.id()).instance_key(fleet.id());
    let tool = world.attested(&named);
    let challenge = Challenge::new().unwrap();
    let shown = |key: &SigningKey, server: &ServerIdentity| {
        let text = answer(challenge.nonce(), server, None, key, NOW).unwrap();
        command().possessing(Possession::check(&text, &challenge, NOW).unwrap())
    };
    for key in [&instance, &fleet] {
        let verified = world.verify(&tool, &shown(key, &package())).unwrap();
        assert_eq!(verified.binding(), &Binding::Possession(key.id()));
    }
    // The copy: same listing, another process behind it.
    assert_eq!(world.refused(&tool, &command()), ("POSSESSION_MISSING", Verdict::Unverifiable));
    assert_eq!(world.refused(&tool, &shown(&other, &package())).0, "POSSESSION_OF_OTHER_KEY");
    let elsewhere = ServerIdentity::package("pkg:cargo/other").unwrap();
    assert_eq!(world.refused(&tool, &shown(&instance, &elsewhere)).0, "POSSESSION_INVALID");
    // Named keys count over HTTPS and beside a listed program as well.
    let tool = world.attested(&statement(https()).instance_key(instance.id()));
    assert_eq!(world.refused(&tool, &Peer::new(https())).0, "POSSESSION_MISSING");
    // An empty list names nobody.
    let tool = world.tool_with(&named, |claims| claims["cnf"] = serde_json::json!({"jkt": []}));
    assert_eq!(world.refused(&tool, &shown(&instance, &package())).0, "POSSESSION_OF_OTHER_KEY");
}

#[test]
fn answers_to_challenges() {
    let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let challenge = Challenge::new().unwrap();
    let text = answer(challenge.nonce(), &package(), None, &key, NOW).unwrap();
    assert_eq!(Possession::check(&text, &challenge, NOW).unwrap().key(), key.id());

    let why = |text: &str, challenge: &Challenge, now| {
        Possession::check(text, challenge, now).unwrap_err().to_string()
    };
    assert!(why(&text, &Challenge::new().unwrap(), NOW).contains("another challenge"));
    assert!(why(&text, &challenge, NOW.plus(301)).contains("clocks"));
    assert!(why(&text, &challenge, NOW.minus(301)).contains("clocks"));
    // Another key brought along, or the same statement signed by another.
    let read = jws::Jws::read(&text, StatementType::Possession).unwrap();
    let mallory = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let resigned =
        jws::sign(StatementType::Possession, read.unverified_payload(), &mallory).unwrap();
    assert!(why(&resigned, &challenge, NOW).contains("signature"));
    let own = mallory.verifying_key().to_jwk();
    let claims = read.unverified_payload().replace(&key.verifying_key().to_jwk(), &own);
    assert!(
        Possession::check(
            &jws::sign(StatementType::Possession, &claims, &mallory).unwrap(),
            &challenge,
            NOW
        )
        .is_err()
    );
    // A nonce that could be mistaken for something else is not signed.
    for nonce in ["", "a b", "{\"x\":1}", "a.b.c", &"a".repeat(129)] {
        assert!(answer(nonce, &package(), None, &key, NOW).is_err(), "{nonce}");
    }
}

#[test]
fn a_manifest_vouches_for_what_it_names() {
    let world = World::new();
    let peer = Peer::new(https());
    let text = manifest::sign(&statement(https()), [tool(&[]).definition()], &world.key).unwrap();
    let list = world.verifier.verify_manifest(&text, &peer, NOW).unwrap();
    let verified = world.verifier.verify_listed(&tool(&[]), &list, &peer, NOW).unwrap();
    assert_eq!(verified.issuer().as_str(), ACME);

    let read = |text: &str| RawTool::read(text).unwrap();
    let injected = read(r#"{"name":"shell","inputSchema":{}}"#);
    let changed = read(r#"{"name":"search","inputSchema":{}}"#);
    let code =
        |tool: &RawTool| world.verifier.verify_listed(tool, &list, &peer, NOW).unwrap_err().code();
    assert_eq!(code(&injected), "NOT_IN_MANIFEST");
    assert_eq!(code(&changed), "DIGEST_MISMATCH");

    let elsewhere = Peer::new(ServerIdentity::url("https://evil.example/mcp").unwrap());
    let code =
        |peer: &Peer, now| world.verifier.verify_manifest(&text, peer, now).unwrap_err().code();
    assert_eq!(code(&elsewhere, NOW), "WRONG_SERVER");
    assert_eq!(code(&peer, NOW.plus(400 * 86_400)), "ATTESTATION_EXPIRED");
}

/// Whoever proves to hold the key says which list it will show, so that no other is put there.
#[test]
fn a_proof_of_possession_is_about_its_manifest() {
    let world = World::new();
    let text = manifest::sign(&statement(https()), [tool(&[]).definition()], &world.key).unwrap();
    let digest = world.verifier.verify_manifest(&text, &Peer::new(https()), NOW).unwrap().digest();
    let challenge = Challenge::new().unwrap();
    let shown = |digest: Option<Digest>| {
        let proof = answer(challenge.nonce(), &https(), digest, &world.key, NOW).unwrap();
        let possession = Possession::check(&proof, &challenge, NOW).unwrap();
        let peer = Peer::new(https()).possessing(possession);
        world.verifier.verify_manifest(&text, &peer, NOW).map(|_| ()).map_err(|error| error.code())
    };
    assert_eq!(shown(Some(digest)), Ok(()));
    assert_eq!(shown(None), Ok(()), "it has none to name");
    assert_eq!(shown(Some(Digest::of_bytes(b"another list"))), Err("POSSESSION_INVALID"));
}

#[test]
fn signing_refuses_what_could_not_be_verified() {
    let world = World::new();
    let other = Attestation::new("https://other.example".parse().unwrap(), https(), NOW);
    assert!(other.sign(tool(&[]).definition(), &world.key).is_err());
    assert!(manifest::sign(&other, [tool(&[]).definition()], &world.key).is_err());
    let twice = [tool(&[]), tool(&[])];
    let definitions = twice.iter().map(RawTool::definition);
    assert!(manifest::sign(&statement(https()), definitions, &world.key).is_err());
}

/// What a publisher says of source and interface comes with the tool, by whichever statement.
#[test]
fn claims_come_with_the_tool_as_claims() {
    use crate::wire::Contract;
    let world = World::new();
    let provenance = Provenance {
        src: Some("git+https://git.example/acme/notes@0a1b".into()),
        slsa: Some("https://acme.example/a.intoto.jsonl".into()),
        ..Provenance::default()
    };
    let contract = Contract::of("openapi", b"openapi: 3.1.0").at("https://acme.example/api.yaml");
    let statement = statement(https()).provenance(provenance).contract(contract.clone());
    let check = |claimed: &[Claimed]| {
        let [one] = claimed else { panic!("{claimed:?}") };
        assert_eq!(one.by.as_str(), ACME);
        assert_eq!(one.source.as_deref(), Some("git+https://git.example/acme/notes@0a1b"));
        assert_eq!(one.slsa.as_deref(), Some("https://acme.example/a.intoto.jsonl"));
        assert_eq!(one.contract.as_ref(), Some(&contract));
        assert_eq!(one.lines().count(), 3);
    };
    let peer = Peer::new(https());
    check(world.verify(&world.attested(&statement), &peer).unwrap().claimed());

    let plain = tool(&[]);
    let listed = manifest::sign(&statement, [plain.definition()], &world.key).unwrap();
    let shown = world.verifier.verify_manifest(&listed, &peer, NOW).unwrap();
    check(shown.claimed());
    check(world.verifier.verify_listed(&plain, &shown, &peer, NOW).unwrap().claimed());
    // What both kinds of statement claim is told once.
    for statement in [&self::statement(https()), &statement] {
        let both = world.attested(statement);
        check(world.verifier.verify_listed(&both, &shown, &peer, NOW).unwrap().claimed());
    }

    assert!(contract.matches(b"openapi: 3.1.0"));
    assert!(!contract.matches(b"openapi: 3.1.0 "));
    let nothing = world.attested(&self::statement(https()));
    assert!(world.verify(&nothing, &peer).unwrap().claimed().is_empty());
    // Nobody has to keep what is endless.
    let endless = world.tool_with(&self::statement(https()), |claims| {
        claims["prov"] = serde_json::json!({ "src": "x".repeat(2_049) });
    });
    assert_eq!(world.refused(&endless, &peer), ("ATTESTATION_MALFORMED", Verdict::Wrong));
}

/// F30: what is remembered, for how long, and how often that was of use.
#[test]
fn the_memory_of_signatures_is_counted() {
    let world = World::new();
    let verifier = world.verifier.clone().remember_for(60);
    let tool = world.attested(&statement(https()));
    let (peer, at) = (Peer::new(https()), |seconds| NOW.plus(seconds));
    for seconds in [0, 1, 2] {
        verifier.verify(&tool, &peer, at(seconds)).unwrap();
    }
    let stats = verifier.statistics(at(2));
    assert_eq!((stats.cached, stats.expired, stats.hits, stats.misses), (1, 0, 2, 1));
    assert_eq!((stats.ttl, stats.verifiers, stats.capacity > 0), (Some(60), 1, true));
    assert_eq!(verifier.statistics(at(61)).expired, 1);
    verifier.verify(&tool, &peer, at(61)).unwrap();
    assert_eq!((verifier.statistics(at(61)).expired, verifier.statistics(at(61)).misses), (0, 2));
}
