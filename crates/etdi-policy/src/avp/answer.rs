//! What Verified Permissions answers, and when that counts.

use etdi_core::ijson::{Document, Limits, Value};
use etdi_core::policy::Decision;

/// The most bytes of an answer.
pub(super) const MAX_ANSWER: usize = 256 << 10;

/// Why an answer does not count. Texts of the service are not in it: they can quote arguments.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unclear {
    #[error("it answered with status {0}, expected 200")]
    Status(u16),
    #[error("it answered with status {0} (`{1}`), expected 200")]
    Refused(u16, String),
    #[error("its answer is not strict JSON")]
    Json,
    #[error("its answer has no list `{0}` of the expected form")]
    Shape(&'static str),
    #[error("its decision is neither `ALLOW` nor `DENY`")]
    Decision,
    #[error("{0} of its policies could not be evaluated, and one of them may forbid")]
    Failed(usize),
    #[error("it allows and names no policy")]
    Nameless,
}

/// The decision in an answer.
pub(super) fn read(status: u16, body: &[u8]) -> Result<Decision, Unclear> {
    let text = core::str::from_utf8(body).unwrap_or_default();
    // With one meaning only: a decision that stands there twice could mean either.
    let document = Document::parse(text, Limits::STATEMENT);
    if status != 200 {
        let kind = document.as_ref().ok().and_then(|document| exception(document.root()));
        return Err(match kind {
            Some(kind) => Unclear::Refused(status, kind.to_owned()),
            None => Unclear::Status(status),
        });
    }
    let document = document.map_err(|_| Unclear::Json)?;
    let answer = document.root();
    let list = |name| answer.get(name).and_then(Value::as_array).ok_or(Unclear::Shape(name));
    let errors = list("errors")?.count();
    let policies = list("determiningPolicies")?.map(|one| policy(one));
    let policies: Vec<&str> =
        policies.collect::<Option<_>>().ok_or(Unclear::Shape("determiningPolicies"))?;
    let decision = answer.get("decision").and_then(Value::as_str);
    // Cedar leaves out a policy that fails. If it was one that forbids, all that is left permits.
    if errors > 0 {
        return Err(Unclear::Failed(errors));
    }
    match decision {
        Some("ALLOW") if policies.is_empty() => Err(Unclear::Nameless),
        Some("ALLOW") => Ok(Decision::permit(policies)),
        Some("DENY") => Ok(Decision::deny(policies)),
        _ => Err(Unclear::Decision),
    }
}

fn policy(one: Value<'_>) -> Option<&str> {
    one.get("policyId")?.as_str().filter(|id| is_policy(id))
}

/// Whether the service can have given this id to a policy.
pub(super) fn is_policy(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'/');
    (1..=200).contains(&id.len()) && id.bytes().all(plain)
}

/// The name of an exception, such as `AccessDeniedException`, without the namespace before it.
fn exception(answer: Value<'_>) -> Option<&str> {
    let kind = answer.get("__type")?.as_str()?;
    let name = kind.rsplit('#').next()?;
    let plain =
        (1..=64).contains(&name.len()) && name.bytes().all(|one| one.is_ascii_alphanumeric());
    plain.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_allow_allows() {
        let allow =
            r#"{"decision":"ALLOW","determiningPolicies":[{"policyId":"SPone-1"}],"errors":[]}"#;
        assert_eq!(read(200, allow.as_bytes()), Ok(Decision::permit(["SPone-1"])));
        let deny = r#"{"decision":"DENY","determiningPolicies":[],"errors":[]}"#;
        assert_eq!(read(200, deny.as_bytes()), Ok(Decision::deny([""; 0])));
        let replaced = |from: &str, to: &str| allow.replace(from, to);
        for (text, expected) in [
            (String::new(), Unclear::Json),
            ("ALLOW".to_owned(), Unclear::Json),
            (allow[..allow.len() - 1].to_owned(), Unclear::Json),
            (format!("{allow}{allow}"), Unclear::Json),
            (replaced("{\"dec", "{\"decision\":\"DENY\",\"dec"), Unclear::Json),
            ("[]".to_owned(), Unclear::Shape("errors")),
            (replaced(",\"errors\":[]", ""), Unclear::Shape("errors")),
            (replaced("\"errors\":[]", "\"errors\":null"), Unclear::Shape("errors")),
            (replaced("\"errors\":[]", "\"errors\":[{}]"), Unclear::Failed(1)),
            (replaced("[{\"policyId\":\"SPone-1\"}]", "[]"), Unclear::Nameless),
            (replaced("determiningPolicies", "policies"), Unclear::Shape("determiningPolicies")),
            (replaced("policyId", "id"), Unclear::Shape("determiningPolicies")),
            (replaced("SPone-1", "a\\nb"), Unclear::Shape("determiningPolicies")),
            (replaced("ALLOW", "Allow"), Unclear::Decision),
            (replaced("ALLOW", "ALLOW "), Unclear::Decision),
            (replaced("ALLOW", "ABSTAIN"), Unclear::Decision),
            (replaced("\"ALLOW\"", "true"), Unclear::Decision),
            (replaced("\"decision\":\"ALLOW\",", ""), Unclear::Decision),
        ] {
            assert_eq!(read(200, text.as_bytes()), Err(expected), "{text}");
        }
        for status in [0, 199, 201, 204, 206, 302, 400, 500] {
            assert_eq!(read(status, allow.as_bytes()), Err(Unclear::Status(status)));
        }
        assert_eq!(read(200, b"\xff"), Err(Unclear::Json));
    }

    #[test]
    fn a_refusal_is_told_by_its_name_and_not_by_its_text() {
        let body = br#"{"__type":"com.amazonaws.verifiedpermissions#ValidationException",
            "message":"the value 42 Elm Street"}"#;
        let refused = read(400, body).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "it answered with status 400 (`ValidationException`), expected 200"
        );
        let odd = read(400, br#"{"__type":"a b\n<script>"}"#).unwrap_err();
        assert_eq!(odd, Unclear::Status(400));
    }
}
