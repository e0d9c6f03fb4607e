//! What a server says of how it wants to be asked: `WWW-Authenticate` (RFC 9110, section 11.6.1).

/// The most bytes of all headers of an answer together, challenges in them, parameters of one.
const MOST_BYTES: usize = 8 << 10;
const MOST_CHALLENGES: usize = 16;
const MOST_PARAMETERS: usize = 32;

/// The most scopes that one challenge or document can name.
const MOST_SCOPES: usize = 100;

/// One challenge, as far as it was written as the grammar wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthChallenge {
    /// Its scheme in lower case, such as `bearer` or `dpop`.
    scheme: String,
    parameters: Vec<(String, String)>,
}

impl AuthChallenge {
    /// Reads all headers of one name. What breaks the grammar ends the reading of that header; a
    /// challenge that says one thing twice is left out, because two readers could understand it
    /// differently.
    ///
    /// ```
    /// use etdi_oauth::AuthChallenge;
    ///
    /// let header = r#"Basic realm="x", Bearer scope="files:read", error="insufficient_scope""#;
    /// let challenges = AuthChallenge::read([header]);
    /// assert_eq!(challenges[1].scheme(), "bearer");
    /// assert_eq!(challenges[1].get("scope"), Some("files:read"));
    /// ```
    pub fn read<'a>(headers: impl IntoIterator<Item = &'a str>) -> Vec<Self> {
        let (mut found, mut left) = (Vec::new(), MOST_BYTES);
        for header in headers {
            let Some(rest) = left.checked_sub(header.len()) else { break };
            left = rest;
            Reader { text: header, at: 0 }.challenges(&mut found);
        }
        found.truncate(MOST_CHALLENGES);
        found.retain(|one| !one.is_ambiguous());
        found
    }

    /// The scheme in lower case.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// A parameter by its name in lower case.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.parameters.iter().find(|(one, _)| one == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The scopes that it wants, `None` where it names none.
    pub fn scopes(&self) -> Option<Vec<String>> {
        self.get("scope").map(|scope| scopes(scope.split(' '))).filter(|scopes| !scopes.is_empty())
    }

    fn is_ambiguous(&self) -> bool {
        let names: std::collections::BTreeSet<_> =
            self.parameters.iter().map(|(name, _)| name).collect();
        names.len() != self.parameters.len()
    }
}

/// Scopes that are written as RFC 6749, section 3.3, says, each once; others are left out.
pub(crate) fn scopes<'a>(texts: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let plain = |byte: u8| (0x21..=0x7e).contains(&byte) && byte != b'"' && byte != b'\\';
    let mut found: Vec<String> = Vec::new();
    for text in texts {
        let fine = !text.is_empty() && text.len() <= 256 && text.bytes().all(plain);
        if fine && found.len() < MOST_SCOPES && !found.iter().any(|one| one == text) {
            found.push(text.to_owned());
        }
    }
    found
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    /// Reads as far as the grammar goes.
    fn challenges(&mut self, found: &mut Vec<AuthChallenge>) {
        let before = found.len();
        loop {
            while self.space() || self.eat(b',') {}
            let word = self.while_(is_token);
            if word.is_empty() || found.len() > MOST_CHALLENGES {
                return;
            }
            let after = self.at;
            while self.space() {}
            if found.len() > before && self.eat(b'=') {
                while self.space() {}
                let (Some(value), Some(challenge)) = (self.value(), found.last_mut()) else {
                    // Half a challenge says something else than the whole.
                    found.pop();
                    return;
                };
                if challenge.parameters.len() >= MOST_PARAMETERS {
                    found.pop();
                    return;
                }
                challenge.parameters.push((word.to_ascii_lowercase(), value));
                continue;
            }
            self.at = after;
            let scheme = word.to_ascii_lowercase();
            found.push(AuthChallenge { scheme, parameters: Vec::new() });
            if self.space() {
                self.token68();
            }
        }
    }

    /// Goes past credentials that are one word, such as those of `Negotiate`.
    fn token68(&mut self) {
        let start = self.at;
        while self.space() {}
        let word = self.while_(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte));
        let fine = !word.is_empty();
        while self.eat(b'=') {}
        while self.space() {}
        if !fine || !matches!(self.peek(), None | Some(b',')) {
            self.at = start;
        }
    }

    fn value(&mut self) -> Option<String> {
        if !self.eat(b'"') {
            let word = self.while_(is_token);
            return (!word.is_empty()).then(|| word.to_owned());
        }
        let mut value = String::new();
        let mut characters = self.text.get(self.at..)?.char_indices();
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => {
                    self.at += at + 1;
                    return Some(value);
                }
                '\\' => value.push(characters.next()?.1),
                _ => value.push(character),
            }
        }
        None
    }

    fn while_(&mut self, fits: impl Fn(u8) -> bool) -> &'a str {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let end = rest.bytes().position(|byte| !fits(byte)).unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn space(&mut self) -> bool {
        self.eat(b' ') || self.eat(b'\t')
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(header: &str) -> Vec<(String, Vec<(String, String)>)> {
        let read = AuthChallenge::read([header]);
        read.into_iter().map(|one| (one.scheme, one.parameters)).collect()
    }

    fn of(scheme: &str, parameters: &[(&str, &str)]) -> (String, Vec<(String, String)>) {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        (scheme.to_owned(), parameters.iter().map(owned).collect())
    }

    #[test]
    fn as_the_grammar_says() {
        assert_eq!(read(""), []);
        assert_eq!(read("Bearer"), [of("bearer", &[])]);
        assert_eq!(
            read(r#"Bearer realm="a, \"b\"",  Error=invalid_token"#),
            [of("bearer", &[("realm", r#"a, "b""#), ("error", "invalid_token")])]
        );
        assert_eq!(
            read(r#"Negotiate abc==, DPoP algs="ES256", Bearer scope = "a b" , Basic"#),
            [
                of("negotiate", &[]),
                of("dpop", &[("algs", "ES256")]),
                of("bearer", &[("scope", "a b")]),
                of("basic", &[]),
            ]
        );
        assert_eq!(read(", ,Bearer a=b,,"), [of("bearer", &[("a", "b")])]);
    }

    #[test]
    fn what_can_be_understood_in_two_ways_is_left_out() {
        assert_eq!(read(r#"Bearer scope="a", scope="b""#), []);
        assert_eq!(read(r#"Basic, Bearer scope="a"#), [of("basic", &[])], "no end");
        assert_eq!(read(r#"Bearer scope="a", error="#), [], "half of it");
        assert_eq!(read(r#"="x""#), []);
        let long = format!("Bearer scope=\"{}\"", "a".repeat(9_000));
        assert_eq!(read(&long), []);
        let many = format!("Bearer {}", (0..40).map(|n| format!("p{n}=1,")).collect::<String>());
        assert_eq!(read(&many), []);
        assert!(read(&"Basic,".repeat(1_000)).len() <= MOST_CHALLENGES);
    }

    #[test]
    fn scopes_are_words() {
        let challenge = &AuthChallenge::read(
            [r#"Bearer scope="a  b a ü\\"#.to_owned() + r#"x c""#].iter().map(String::as_str),
        )[0];
        assert_eq!(challenge.scopes().unwrap(), ["a", "b", "c"]);
        assert_eq!(AuthChallenge::read([r#"Bearer scope="""#])[0].scopes(), None);
    }
}
