//! AWS Signature Version 4: what proves to AWS whose request it is, and that nobody changed it.

use std::fmt::Write as _;

use etdi_core::secret::Secret;
use etdi_core::time::UnixTime;
use ring::{digest, hmac};

use super::AwsCredentials;

/// A request to the root of a service, as far as its signature covers it.
pub(super) struct Signed<'a> {
    pub(super) method: &'a str,
    /// Names in lower case, each once, and values. `x-amz-date` is [`moment`].
    pub(super) headers: &'a [(&'a str, &'a str)],
    pub(super) body: &'a [u8],
}

/// For where and when a signature counts.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) region: &'a str,
    pub(super) service: &'a str,
    /// As [`moment`] writes it.
    pub(super) moment: &'a str,
}

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// A time as AWS writes it, `20150830T123600Z`; `None` beyond the year 9999.
pub(super) fn moment(now: UnixTime) -> Option<String> {
    let text: String = now.to_string().chars().filter(|one| !matches!(one, '-' | ':')).collect();
    (text.len() == 16).then_some(text)
}

/// The value of the header `Authorization`.
pub(super) fn authorization(
    request: &Signed<'_>,
    scope: Scope<'_>,
    credentials: &AwsCredentials,
) -> String {
    let mut headers: Vec<_> = request.headers.iter().collect();
    headers.sort();
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let mut canonical = format!("{}\n/\n\n", request.method);
    for (name, value) in headers {
        // Runs of spaces count as one, whatever a proxy makes of them.
        let words: Vec<&str> = value.split(' ').filter(|word| !word.is_empty()).collect();
        _ = writeln!(canonical, "{name}:{}", words.join(" "));
    }
    _ = write!(canonical, "\n{names}\n{}", hash(request.body));

    let Scope { region, service, moment } = scope;
    let day = moment.split('T').next().unwrap_or_default();
    let within = format!("{day}/{region}/{service}/aws4_request");
    let text = format!("{ALGORITHM}\n{moment}\n{within}\n{}", hash(canonical.as_bytes()));
    let key = [day, region, service, "aws4_request"]
        .iter()
        .fold(first_key(credentials.secret()), |key, part| {
            hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&key, part.as_bytes()).as_ref())
        });
    let signature = hex(hmac::sign(&key, text.as_bytes()).as_ref());
    let id = credentials.access_key_id();
    format!("{ALGORITHM} Credential={id}/{within}, SignedHeaders={names}, Signature={signature}")
}

fn first_key(secret: &Secret) -> hmac::Key {
    const PREFIX: &[u8] = b"AWS4";
    // Of its full size at once, so that no half of it is left where it grew.
    let mut key = Vec::with_capacity(PREFIX.len() + secret.len());
    key.extend_from_slice(PREFIX);
    key.extend_from_slice(secret.reveal());
    let key = Secret::new(key);
    hmac::Key::new(hmac::HMAC_SHA256, key.reveal())
}

fn hash(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: &str = "20150830T123600Z";

    /// The token of AWS's own examples.
    const TOKEN: &str = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";

    type Headers = &'static [(&'static str, &'static str)];

    /// Of AWS's test suite: method, headers beside host and date, body, signed headers, signature.
    const SUITE: [(&str, &str, Headers, &str, &str, &str); 7] = [
        (
            "get-vanilla",
            "GET",
            &[],
            "",
            "host;x-amz-date",
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        ),
        (
            "post-vanilla",
            "POST",
            &[],
            "",
            "host;x-amz-date",
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
        ),
        (
            "post-header-key-sort",
            "POST",
            &[("my-header1", "value1")],
            "",
            "host;my-header1;x-amz-date",
            "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c",
        ),
        (
            "post-header-value-case",
            "POST",
            &[("my-header1", "VALUE1")],
            "",
            "host;my-header1;x-amz-date",
            "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
        ),
        (
            "get-header-value-trim",
            "GET",
            &[("my-header1", " value1"), ("my-header2", " \"a   b   c\"")],
            "",
            "host;my-header1;my-header2;x-amz-date",
            "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
        ),
        (
            "post-x-www-form-urlencoded",
            "POST",
            &[("content-type", "application/x-www-form-urlencoded")],
            "Param1=value1",
            "content-type;host;x-amz-date",
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        ),
        (
            "post-sts-header-before",
            "POST",
            &[("x-amz-security-token", TOKEN)],
            "",
            "host;x-amz-date;x-amz-security-token",
            "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
        ),
    ];

    #[test]
    fn the_test_suite_of_aws() {
        let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
        let credentials = AwsCredentials::new("AKIDEXAMPLE", secret).unwrap();
        let scope = Scope { region: "us-east-1", service: "service", moment: AT };
        for (name, method, own, body, names, signature) in SUITE {
            // Out of order: the order of the names is the signer's affair.
            let mut headers = own.to_vec();
            headers.extend([("x-amz-date", AT), ("host", "example.amazonaws.com")]);
            let signed = Signed { method, headers: &headers, body: body.as_bytes() };
            assert_eq!(
                authorization(&signed, scope, &credentials),
                format!(
                    "AWS4-HMAC-SHA256 \
                     Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
                     SignedHeaders={names}, Signature={signature}"
                ),
                "{name}"
            );
        }
    }

    #[test]
    fn a_moment_is_written_without_marks() {
        assert_eq!(moment(UnixTime(1_440_938_160)).as_deref(), Some(AT));
        assert_eq!(moment(UnixTime(0)).as_deref(), Some("19700101T000000Z"));
        assert_eq!(moment(UnixTime(253_402_300_800)), None, "the year 10000");
    }
}
