//! The checks of tokens, proofs, keys and logins, taken out one at a time: the tests of `etdi-oauth`
//! must notice each.

use std::path::Path;
use std::process::Command;

use super::Step;

/// Each is noticed by the test of this name.
pub(super) const STEPS: &[Step] = &[
    Step {
        name: "the signature of a token",
        file: "../../etdi-oauth/src/verify/jwt.rs",
        find: "match crypto::verify(&key.key, token.signed, token.signature) {",
        replace: "match crypto::verify(&key.key, token.signed, token.signature) || true {",
        noticed_by: "verify::id_token::tests::signatures_are_the_issuers",
    },
    Step {
        name: "for whom a token is meant",
        file: "../../etdi-oauth/src/verify/claims.rs",
        find: "if !audiences.iter().any(meant) {",
        replace: "if !audiences.iter().any(meant) && false {",
        noticed_by: "embedded::tests::verified::a_server_takes_tokens_that_are_meant_for_it",
    },
    Step {
        name: "the signature of a proof (DPoP)",
        file: "../../etdi-oauth/src/resource/dpop.rs",
        find: "if !crypto::verify(&key, signed, signature) {",
        replace: "if false {",
        noticed_by: "resource::tests::bound_to_a_key::a_proof_counts_for_its_request_its_token_now_and_once",
    },
    Step {
        name: "for which token a proof is (DPoP)",
        file: "../../etdi-oauth/src/resource/dpop.rs",
        find: "if claim(\"ath\") != Some(&*URL_SAFE_NO_PAD.encode(hash.as_bytes())) {",
        replace: "if false {",
        noticed_by: "resource::tests::bound_to_a_key::a_proof_counts_for_its_request_its_token_now_and_once",
    },
    Step {
        name: "a proof that was used before (DPoP)",
        file: "../../etdi-oauth/src/resource/dpop.rs",
        find: "Taken::Before => Err(NoProof::Invalid(\"the proof was used before\")),",
        replace: "Taken::Before => Ok(key),",
        noticed_by: "resource::tests::bound_to_a_key::a_proof_counts_for_its_request_its_token_now_and_once",
    },
    Step {
        name: "the key that a token is bound to (DPoP)",
        file: "../../etdi-oauth/src/resource/admit.rs",
        find: "if key != holder || self.proofs.required && key.is_none() {",
        replace: "if self.proofs.required && key.is_none() {",
        noticed_by: "resource::tests::a_token_that_does_not_count_is_refused_each_time",
    },
    Step {
        name: "a token that its issuer takes for none (introspection)",
        file: "../../etdi-oauth/src/verify/introspect.rs",
        find: "Ok(Answer { active: false }) => return Err(TokenRefusal::Inactive),",
        replace: "Ok(Answer { active: false }) => {}",
        noticed_by: "verify::tests::introspected::it_is_asked_once_in_a_while_about_each_token",
    },
    Step {
        name: "a refresh token in the place of an access token (introspection)",
        file: "../../etdi-oauth/src/verify/introspect.rs",
        find: "&& ![\"bearer\", \"dpop\", \"access_token\"]",
        replace: "&& false && ![\"bearer\", \"dpop\", \"access_token\"]",
        noticed_by: "verify::tests::introspected::answers_that_are_for_somebody_else_or_nobody_are_refused",
    },
    Step {
        name: "an API key that was revoked",
        file: "../../etdi-oauth/src/api_key.rs",
        find: "if let Some(at) = key.revoked {",
        replace: "if let Some(at) = key.revoked.filter(|_| false) {",
        noticed_by: "api_key::tests::a_key_counts_until_it_ends_or_is_revoked",
    },
    Step {
        name: "an API key that has ended",
        file: "../../etdi-oauth/src/api_key.rs",
        find: "key.expires.filter(|at| *at <= now)",
        replace: "key.expires.filter(|at| false && *at <= now)",
        noticed_by: "api_key::tests::a_key_counts_until_it_ends_or_is_revoked",
    },
    Step {
        name: "the secret of a client (embedded)",
        file: "../../etdi-oauth/src/embedded/authenticate.rs",
        find: "match shared.seal.same(digest, &sha256(&secret)) {",
        replace: "match shared.seal.same(digest, &sha256(&secret)) || true {",
        noticed_by: "embedded::tests::clients::secrets_that_are_wrong_missing_or_shown_twice",
    },
    Step {
        name: "the verifier of a code (embedded)",
        file: "../../etdi-oauth/src/embedded/token.rs",
        find: "if !self.shared.seal.same(&sha256(verifier), &grant.challenge) {",
        replace: "if false {",
        noticed_by: "embedded::tests::attacks::the_verifier_of_another_challenge",
    },
    Step {
        name: "a credential that was spent (embedded)",
        file: "../../etdi-oauth/src/embedded/token.rs",
        find: "if held.spent {",
        replace: "if false {",
        noticed_by: "embedded::tests::attacks::a_used_code_ends_its_grant_whatever_comes_with_it",
    },
    Step {
        name: "a credential of another client (embedded)",
        file: "../../etdi-oauth/src/embedded/token.rs",
        find: "if held.grant.client != self.client.id {",
        replace: "if false {",
        noticed_by: "embedded::tests::attacks::the_code_of_another_client",
    },
    Step {
        name: "where a user is sent back (embedded)",
        file: "../../etdi-oauth/src/embedded/authorize.rs",
        find: "(Some(uri), _) if client.allows(uri) => uri.to_owned(),",
        replace: "(Some(uri), _) => uri.to_owned(),",
        noticed_by: "embedded::tests::attacks::nobody_is_sent_where_the_client_did_not_register",
    },
    Step {
        name: "who was shown the page of consent (embedded)",
        file: "../../etdi-oauth/src/embedded/state.rs",
        find: "if !fresh || !self.seal.same(&self.ticket(&visit, cookie, until), seal) {",
        replace: "if !fresh {",
        noticed_by: "embedded::tests::attacks::consent_counts_for_the_browser_and_the_request_that_it_was_shown_for",
    },
];

/// Runs the tests of the copy; gives those that fail.
pub(super) fn tests(root: &Path, copy: &Path) -> Result<Vec<String>, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["test", "--quiet", "-p", "etdi-oauth", "--all-features", "--lib"])
        .current_dir(copy)
        .env("CARGO_TARGET_DIR", root.join("target/long/build"))
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .env("RUSTFLAGS", "-A warnings")
        .output()
        .map_err(|error| format!("cargo cannot run: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let failed = failures(&said);
    match (failed.is_empty() == output.status.success(), said.contains("test result: ")) {
        (true, true) => Ok(failed),
        _ => Err(format!(
            "the tests of the copy ended with {}: {}",
            output.status,
            crate::process::clip(&String::from_utf8_lossy(&output.stderr))
        )),
    }
}

/// The names in the list of failures with which a run of tests ends.
fn failures(said: &str) -> Vec<String> {
    let list = said.rsplit_once("\nfailures:\n").map_or("", |(_, list)| list);
    let names = list.lines().take_while(|line| !line.starts_with("test result"));
    names.map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::failures;

    #[test]
    fn failures_are_read_from_the_end() {
        let said = "\nrunning 3 tests\n.F.\nfailures:\n\n---- a::b stdout ----\nfailures:\n\n\n\
                    failures:\n    a::b\n    c\n\ntest result: FAILED. 1 passed; 2 failed\n\n";
        assert_eq!(failures(said), ["a::b", "c"]);
        assert_eq!(failures("running 1 test\n.\ntest result: ok. 1 passed\n").len(), 0);
    }
}
