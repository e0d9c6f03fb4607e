//! `WWW-Authenticate` as RFC 6750, section 3, and RFC 9728, section 5.1, write it.

use http::HeaderValue;

/// What every challenge of one server says.
#[derive(Clone, Debug)]
pub(super) struct Challenge {
    metadata_url: String,
}

impl Challenge {
    pub(super) fn new(metadata_url: String) -> Self {
        Self { metadata_url }
    }

    pub(super) fn metadata_url(&self) -> &str {
        &self.metadata_url
    }

    /// The scopes that are wanted, and what went wrong: a code and what it means.
    pub(super) fn write(&self, scopes: &[String], error: Option<(&str, &str)>) -> HeaderValue {
        let mut text = format!("Bearer resource_metadata=\"{}\"", self.metadata_url);
        if !scopes.is_empty() {
            text.push_str(", scope=\"");
            // One that cannot stand here is one that no token can have.
            let scopes: Vec<&str> =
                scopes.iter().map(String::as_str).filter(|one| is_scope(one)).collect();
            text.push_str(&scopes.join(" "));
            text.push('"');
        }
        if let Some((code, what)) = error {
            let what: String = what.chars().filter(|&one| is_plain(one)).collect();
            text.push_str(&format!(", error=\"{code}\", error_description=\"{what}\""));
        }
        HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("Bearer"))
    }
}

impl Challenge {
    /// What a proof of possession has to be (RFC 9449, section 7.1), and what went wrong.
    pub(super) fn of_proofs(&self, algorithms: &[&str], (code, what): (&str, &str)) -> HeaderValue {
        let what: String = what.chars().filter(|&one| is_plain(one)).collect();
        let text = format!(
            "DPoP resource_metadata=\"{}\", algs=\"{}\", error=\"{code}\", \
             error_description=\"{what}\"",
            self.metadata_url,
            algorithms.join(" ")
        );
        HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("DPoP"))
    }
}

/// Whether a text is one scope (RFC 6749, section 3.3).
pub(super) fn is_scope(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|one| is_plain(one) && one != ' ')
}

fn is_plain(one: char) -> bool {
    matches!(one, ' '..='~') && one != '"' && one != '\\'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_gets_out_of_its_quotes() {
        let challenge = Challenge::new("https://a.example/.well-known/x".to_owned());
        let scopes = ["a".to_owned(), "b\" , c=\"d".to_owned(), "e:f".to_owned()];
        let written = challenge.write(&scopes, Some(("invalid_token", "it \"is\"\r\n bad")));
        let expected = "Bearer resource_metadata=\"https://a.example/.well-known/x\", \
                        scope=\"a e:f\", error=\"invalid_token\", error_description=\"it is bad\"";
        assert_eq!(written, expected);
        let plain = "Bearer resource_metadata=\"https://a.example/.well-known/x\"";
        assert_eq!(challenge.write(&[], None), plain);
    }
}
