//! Parameters of a query or form, each of which stands there once.

use url::form_urlencoded;

use super::refusal::Refusal;

/// Parameters. Their values may be secrets, so they are not shown.
#[derive(Clone, Default)]
pub struct Form(Vec<(String, String)>);

const MOST: usize = 64;
const LONGEST: usize = 16 << 10;

impl Form {
    /// Reads `application/x-www-form-urlencoded`. An empty value counts as an absent one (RFC 6749,
    /// section 3.1).
    ///
    /// # Errors
    ///
    /// When a parameter stands there twice, or there are too many, or they are too long.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        Self::within(bytes, LONGEST)
    }

    /// The same with another bound for each value.
    pub(super) fn within(bytes: &[u8], longest: usize) -> Result<Self, Refusal> {
        let mut form: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(bytes) {
            if form.len() >= MOST || name.len() > 256 || value.len() > longest {
                return Err(Refusal::TooLarge);
            }
            if form.iter().any(|(known, _)| *known == name) {
                return Err(match &*name {
                    // RFC 8707 lets it stand there again; a token here is for one resource.
                    "resource" => Refusal::Target,
                    _ => Refusal::Repeated,
                });
            }
            form.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self(form))
    }

    /// A parameter that is there and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    pub(super) fn need(&self, name: &'static str) -> Result<&str, Refusal> {
        self.get(name).ok_or(Refusal::Missing(name))
    }
}

impl std::fmt::Debug for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}
