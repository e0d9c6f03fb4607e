//! Whose requests AWS takes these for.

use std::{env, fmt};

use etdi_core::secret::Secret;
use mcp_types::BoxFuture;

/// Gives the credentials by which requests to AWS are signed. Object safe.
///
/// It is asked before each request, so that credentials with an end can be renewed; whoever renews
/// them over a network keeps the last ones until shortly before. The time that it takes counts
/// against the engine's deadline.
pub trait CredentialSource: Send + Sync {
    /// The credentials for a request that is made now.
    ///
    /// # Errors
    ///
    /// When there are none; nothing is asked of AWS then, and the call is denied.
    fn credentials(&self) -> BoxFuture<'_, Result<AwsCredentials, CredentialError>>;
}

/// An access key of AWS, with the token of a session where it is a temporary one.
///
/// Secret and token are cleared from memory when they are dropped, and are not printed. Copies
/// that are made on the way to the network, such as a header with the token, are beyond that.
///
/// ```
/// use etdi_policy::AwsCredentials;
///
/// let key = AwsCredentials::new("AKIDEXAMPLE", "wJalrXUtnFEMI")?.session("IQoJb3Jp")?;
/// assert_eq!(format!("{key:?}"), "AwsCredentials(\"AKIDEXAMPLE\")");
/// // A line end that came along from a file would sign as somebody else.
/// assert!(AwsCredentials::new("AKIDEXAMPLE", "wJalrXUtnFEMI\n").is_err());
/// # Ok::<(), etdi_policy::CredentialError>(())
/// ```
#[derive(Clone)]
pub struct AwsCredentials {
    access_key_id: String,
    secret: Secret,
    session: Option<Secret>,
}

/// Why there are no credentials. Nothing of a secret is in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialError {
    /// A variable of the environment is not set.
    #[error("the variable `{0}` is not set, set it or give the credentials otherwise")]
    Missing(&'static str),
    /// A part is not what AWS hands out.
    #[error("the {0} is empty, too long or has characters that none has, copy it again")]
    Malformed(&'static str),
    /// A source elsewhere has none.
    #[error("the source of credentials has none: {0}")]
    Unavailable(String),
}

/// The most bytes of a session token; AWS sets no bound, headers have one.
const MAX_TOKEN: usize = 8 << 10;

impl AwsCredentials {
    /// A key that lasts.
    ///
    /// # Errors
    ///
    /// [`CredentialError::Malformed`] when a part is not printable ASCII, or of a size that no key
    /// has.
    pub fn new(
        access_key_id: impl Into<String>,
        secret: impl Into<Secret>,
    ) -> Result<Self, CredentialError> {
        let (access_key_id, secret) = (access_key_id.into(), secret.into());
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if !(1..=128).contains(&access_key_id.len()) || !access_key_id.bytes().all(word) {
            return Err(CredentialError::Malformed("access key id"));
        }
        let secret = printable(secret, 256, "secret access key")?;
        Ok(Self { access_key_id, secret, session: None })
    }

    /// A temporary key, with the token of its session.
    ///
    /// # Errors
    ///
    /// [`CredentialError::Malformed`] when the token is not printable ASCII, or over 8 KiB.
    pub fn session(mut self, token: impl Into<Secret>) -> Result<Self, CredentialError> {
        self.session = Some(printable(token.into(), MAX_TOKEN, "session token")?);
        Ok(self)
    }

    /// The name of the key, which is no secret.
    pub fn access_key_id(&self) -> &str {
        &self.access_key_id
    }

    pub(super) fn secret(&self) -> &Secret {
        &self.secret
    }

    pub(super) fn token(&self) -> Option<&str> {
        self.session.as_ref()?.reveal_text()
    }
}

/// The same ones for every request.
impl CredentialSource for AwsCredentials {
    fn credentials(&self) -> BoxFuture<'_, Result<AwsCredentials, CredentialError>> {
        Box::pin(std::future::ready(Ok(self.clone())))
    }
}

impl fmt::Debug for AwsCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AwsCredentials").field(&self.access_key_id).finish()
    }
}

/// Takes them from the variables `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and, if it is set,
/// `AWS_SESSION_TOKEN`, as they are when they are needed.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct EnvironmentCredentials;

impl CredentialSource for EnvironmentCredentials {
    fn credentials(&self) -> BoxFuture<'_, Result<AwsCredentials, CredentialError>> {
        Box::pin(std::future::ready(from_variables(|name| env::var(name).ok())))
    }
}

fn from_variables(
    read: impl Fn(&'static str) -> Option<String>,
) -> Result<AwsCredentials, CredentialError> {
    let set = |name| read(name).filter(|value| !value.is_empty());
    let required = |name| set(name).ok_or(CredentialError::Missing(name));
    let key = AwsCredentials::new(
        required("AWS_ACCESS_KEY_ID")?,
        Secret::from(required("AWS_SECRET_ACCESS_KEY")?),
    )?;
    match set("AWS_SESSION_TOKEN") {
        Some(token) => key.session(Secret::from(token)),
        None => Ok(key),
    }
}

fn printable(secret: Secret, most: usize, what: &'static str) -> Result<Secret, CredentialError> {
    let fits = (1..=most).contains(&secret.len());
    match fits && secret.reveal().iter().all(u8::is_ascii_graphic) {
        true => Ok(secret),
        false => Err(CredentialError::Malformed(what)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Result<AwsCredentials, CredentialError> {
        from_variables(|name| {
            let found = variables.iter().find(|(one, _)| *one == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_environment_has_all_of_a_key_or_there_is_none() {
        let (id, secret) = (("AWS_ACCESS_KEY_ID", "AKID"), ("AWS_SECRET_ACCESS_KEY", "s3cr3t"));
        assert_eq!(of(&[id, secret]).unwrap().token(), None);
        let session = of(&[id, secret, ("AWS_SESSION_TOKEN", "t0k3n")]).unwrap();
        assert_eq!((session.access_key_id(), session.token()), ("AKID", Some("t0k3n")));
        let missing = |name| Some(CredentialError::Missing(name));
        assert_eq!(of(&[id]).err(), missing("AWS_SECRET_ACCESS_KEY"));
        assert_eq!(of(&[secret]).err(), missing("AWS_ACCESS_KEY_ID"));
        let empty = ("AWS_SECRET_ACCESS_KEY", "");
        assert_eq!(of(&[id, empty]).err(), missing("AWS_SECRET_ACCESS_KEY"));
    }

    #[test]
    fn no_secret_is_printed_and_what_could_split_a_header_is_none() {
        let key = AwsCredentials::new("AKID", "s3cr3t").unwrap().session("t0k3n").unwrap();
        let shown = format!("{key:?} {:#?}", Some(&key));
        assert!(!shown.contains("s3cr3t") && !shown.contains("t0k3n"), "{shown}");
        for id in ["", "AKID/20150830", "AK ID", "AKID\n", "A\u{e9}"] {
            assert!(AwsCredentials::new(id, "s3cr3t").is_err(), "{id:?}");
        }
        for secret in ["", "s3cr3t\n", "s3 cr3t", "s\u{e9}cret"] {
            let error = AwsCredentials::new("AKID", secret).unwrap_err();
            assert!(secret.is_empty() || !error.to_string().contains(secret), "{error}");
        }
        assert!(key.clone().session("t\r\nx-other: 1").is_err());
        assert!(key.session("t".repeat(MAX_TOKEN + 1)).is_err());
    }
}
