//! Where Verified Permissions is asked, and for how long.

use std::collections::BTreeMap;
use std::time::Duration;

use etdi_core::policy::Obligation;
use serde::Deserialize;

use crate::Problem;

/// Which policy store is asked, where, and how long an answer may take. It is checked when an
/// [`AvpEngine`](super::AvpEngine) is made of it.
///
/// ```
/// use etdi_policy::AvpSettings;
///
/// let settings: AvpSettings = serde_json::from_str(
///     r#"{"policy_store_id": "PSEXAMPLEabcdefg111111", "region": "eu-central-1"}"#,
/// )?;
/// assert_eq!(settings.deadline_ms, 1_000);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct AvpSettings {
    /// The policy store, by its id or alias.
    pub policy_store_id: String,
    /// The region in which the store is, such as `eu-central-1`.
    pub region: String,
    /// The address of the service, `https://` with a host and perhaps a port; without it the
    /// region's own. For FIPS, for a VPC endpoint under its own name, for partitions whose names
    /// are not known here.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// Whether the endpoint may be this computer, by `http://` with its loopback address. For tests
    /// and local stand-ins of the service; off unless it is set.
    #[serde(default)]
    pub loopback: bool,
    /// How long one decision may take in milliseconds, from 1 to 60,000, credentials included.
    /// What is not decided by then is denied. The gate's own deadline counts as well.
    #[serde(default = "deadline_ms")]
    pub deadline_ms: u64,
    /// What must be done where a policy permits, by the id that the store gave it. The service tells
    /// no annotations, so what stands there as `@obligation` asks for nothing until it is said here,
    /// in the same words: `{"SPEXAMPLEabcdefg111111": ["sign"]}`.
    #[serde(default)]
    pub obligations: BTreeMap<String, Vec<String>>,
}

/// Why an engine cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AvpError {
    /// The name of the store is none.
    #[error("`policy_store_id` is no id or alias of a policy store, copy it from the console")]
    PolicyStore,
    /// The name of the region is none.
    #[error("`region` is no region of AWS, write one such as `eu-central-1`")]
    Region,
    /// The region is in a partition whose host names are not known here.
    #[error("the host of the region `{0}` is not known here, set `endpoint`")]
    Partition(String),
    /// The endpoint cannot be asked.
    #[error("`endpoint` cannot be asked: {0}")]
    Endpoint(&'static str),
    /// The deadline is none.
    #[error("`deadline_ms` is not from 1 to 60000")]
    Deadline,
    /// What a policy asks for is nothing, or nothing that can be met.
    #[error(
        "`obligations` of `{policy}` cannot be met: {why}; write words such as `sign` or `alert`"
    )]
    Obligation {
        /// The policy.
        policy: String,
        /// What is wrong.
        why: &'static str,
    },
    /// The file with users, agents and groups is wrong.
    #[error("{0}")]
    Entities(Problem),
}

const fn deadline_ms() -> u64 {
    1_000
}

impl AvpSettings {
    /// A store in a region, asked at the region's own address, one second at most.
    pub fn new(policy_store_id: impl Into<String>, region: impl Into<String>) -> Self {
        Self {
            policy_store_id: policy_store_id.into(),
            region: region.into(),
            endpoint: None,
            loopback: false,
            deadline_ms: deadline_ms(),
            obligations: BTreeMap::new(),
        }
    }

    /// The obligations of each policy. What would never be met, or never be asked for, is refused
    /// here, and not at the first call.
    pub(super) fn checked_obligations(
        &self,
    ) -> Result<BTreeMap<String, Vec<Obligation>>, AvpError> {
        let read = |(policy, words): (&String, &Vec<String>)| {
            let wrong = |why| Err(AvpError::Obligation { policy: policy.clone(), why });
            if !super::answer::is_policy(policy) {
                return wrong("that is no id of a policy");
            }
            let words: Vec<Obligation> = words.iter().filter_map(|one| one.parse().ok()).collect();
            if words.is_empty() {
                return wrong("it is empty");
            }
            match words.iter().any(|one| matches!(one, Obligation::Other(_))) {
                true => wrong("nobody knows how to do it"),
                false => Ok((policy.clone(), words)),
            }
        };
        self.obligations.iter().map(read).collect()
    }

    pub(super) fn deadline(&self) -> Result<Duration, AvpError> {
        match self.deadline_ms {
            1..=60_000 => Ok(Duration::from_millis(self.deadline_ms)),
            _ => Err(AvpError::Deadline),
        }
    }

    /// Checks all texts that become part of a request's head.
    pub(super) fn checked_endpoint(&self) -> Result<Endpoint, AvpError> {
        let store = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'/');
        let id = &self.policy_store_id;
        if !(1..=200).contains(&id.len()) || !id.bytes().all(store) {
            return Err(AvpError::PolicyStore);
        }
        if !is_region(&self.region) {
            return Err(AvpError::Region);
        }
        match &self.endpoint {
            Some(url) => Endpoint::parse(url, self.loopback).map_err(AvpError::Endpoint),
            None => Endpoint::of_region(&self.region),
        }
    }
}

/// A checked address of the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) url: String,
    /// Host and port, as the header `Host` has them.
    pub(super) authority: String,
    /// The host alone.
    pub(super) host: String,
}

impl Endpoint {
    fn of_region(region: &str) -> Result<Self, AvpError> {
        if ["us-iso", "eu-iso", "eusc-"].iter().any(|one| region.starts_with(one)) {
            return Err(AvpError::Partition(region.to_owned()));
        }
        let suffix = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        let host = format!("verifiedpermissions.{region}.{suffix}");
        Ok(Self { url: format!("https://{host}/"), authority: host.clone(), host })
    }

    fn parse(url: &str, loopback: bool) -> Result<Self, &'static str> {
        let (secure, rest) = match url.split_once("://") {
            Some(("https", rest)) => (true, rest),
            Some(("http", rest)) => (false, rest),
            _ => return Err("it begins with neither `https://` nor `http://`"),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        };
        let own = loopback && matches!(host, "127.0.0.1" | "localhost");
        if !secure && !own {
            return Err("it is not `https://`");
        }
        let label = |label: &str| {
            let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
            let ends = label.starts_with('-') || label.ends_with('-');
            (1..=63).contains(&label.len()) && label.bytes().all(plain) && !ends
        };
        if host.len() > 253 || !host.split('.').all(label) {
            return Err("its host is no plain name in lower case");
        }
        if let Some(port) = port {
            let number = port.parse::<u16>().ok().filter(|number| *number != 0);
            // Written in one way only, since it is part of what is signed.
            if number.is_none_or(|number| number.to_string() != port) {
                return Err("its port is none");
            }
            if port == if secure { "443" } else { "80" } {
                return Err("its port is the usual one, leave it out");
            }
        }
        let scheme = if secure { "https" } else { "http" };
        Ok(Self {
            url: format!("{scheme}://{authority}/"),
            authority: authority.to_owned(),
            host: host.to_owned(),
        })
    }
}

/// Two or more words and a number, such as `us-gov-east-1`: all that can become part of a host.
fn is_region(text: &str) -> bool {
    let mut parts = text.rsplit('-');
    let number = parts.next().unwrap_or_default();
    let digits = (1..=2).contains(&number.len()) && number.bytes().all(|one| one.is_ascii_digit());
    let word = |part: &str| !part.is_empty() && part.bytes().all(|one| one.is_ascii_lowercase());
    let words: Vec<&str> = parts.collect();
    text.len() <= 32 && digits && words.len() >= 2 && words.into_iter().all(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(edit: impl FnOnce(&mut AvpSettings)) -> Result<Endpoint, AvpError> {
        let mut settings = AvpSettings::new("PSEXAMPLEabcdefg111111", "eu-central-1");
        edit(&mut settings);
        settings.checked_endpoint()
    }

    #[test]
    fn the_host_is_made_of_a_region_that_can_be_one() {
        for (region, host) in [
            ("us-east-1", "verifiedpermissions.us-east-1.amazonaws.com"),
            ("us-gov-west-1", "verifiedpermissions.us-gov-west-1.amazonaws.com"),
            ("ap-southeast-12", "verifiedpermissions.ap-southeast-12.amazonaws.com"),
            ("cn-north-1", "verifiedpermissions.cn-north-1.amazonaws.com.cn"),
        ] {
            let endpoint = checked(|settings| settings.region = region.to_owned()).unwrap();
            assert_eq!((endpoint.host.as_str(), &endpoint.authority), (host, &endpoint.host));
            assert_eq!(endpoint.url, format!("https://{host}/"));
        }
        for region in [
            "",
            "us-east",
            "us-1",
            "US-EAST-1",
            "us-east-1.evil.example",
            "us-east-1/",
            "evil.example#-a-1",
            "us@evil-east-1",
            "us--1",
            "us-east-100",
            "us-east-1\n",
        ] {
            let found = checked(|settings| settings.region = region.to_owned());
            assert_eq!(found, Err(AvpError::Region), "{region:?}");
        }
        let unknown = checked(|settings| settings.region = "us-iso-east-1".to_owned());
        assert_eq!(unknown, Err(AvpError::Partition("us-iso-east-1".to_owned())));
    }

    #[test]
    fn an_endpoint_is_a_plain_host_by_https() {
        let of = |url: &str, loopback| {
            checked(|settings| {
                settings.endpoint = Some(url.to_owned());
                settings.loopback = loopback;
            })
        };
        let found = of("https://avp.corp.example:8443", false).unwrap();
        assert_eq!(found.url, "https://avp.corp.example:8443/");
        assert_eq!(
            (&*found.authority, &*found.host),
            ("avp.corp.example:8443", "avp.corp.example")
        );
        assert!(of("http://127.0.0.1:8080/", true).is_ok());
        for (url, loopback) in [
            ("http://127.0.0.1:8080/", false),
            ("http://avp.corp.example/", true),
            ("http://127.0.0.1.evil.example/", true),
            ("https://user@avp.corp.example/", false),
            ("https://avp.corp.example/path", false),
            ("https://avp.corp.example/?q", false),
            ("https://avp.corp.example#f", false),
            ("https://AVP.corp.example/", false),
            ("https://avp.corp.example:443/", false),
            ("https://avp.corp.example:0443/", false),
            ("https://avp.corp.example:0/", false),
            ("https://avp.corp.example:+1/", false),
            ("https://avp.corp.example./", false),
            ("https://", false),
            ("ftp://avp.corp.example/", false),
            ("avp.corp.example", false),
        ] {
            assert!(matches!(of(url, loopback), Err(AvpError::Endpoint(_))), "{url}");
        }
    }

    #[test]
    fn an_obligation_is_one_that_can_be_met() {
        let of = |policy: &str, words: &[&str]| {
            let mut settings = AvpSettings::new("a", "us-east-1");
            let words = words.iter().map(|one| (*one).to_owned()).collect();
            settings.obligations.insert(policy.to_owned(), words);
            settings.checked_obligations()
        };
        let found = of("SPone-1", &["sign", "alert"]).unwrap();
        assert_eq!(found["SPone-1"], [Obligation::Sign, Obligation::Alert]);
        for (policy, words) in [
            ("SPone-1", &[][..]),
            ("SPone-1", &["sing"]),
            ("SPone-1", &["sign alert"]),
            ("SPone-1", &[""]),
            ("", &["sign"]),
            ("SP one", &["sign"]),
        ] {
            let refused = of(policy, words);
            assert!(matches!(refused, Err(AvpError::Obligation { .. })), "{policy} {words:?}");
        }
    }

    #[test]
    fn a_store_and_a_deadline_have_their_bounds() {
        for id in ["", "a b", "a\"b", "a.b", &"a".repeat(201)] {
            let found = checked(|settings| settings.policy_store_id = id.to_owned());
            assert_eq!(found, Err(AvpError::PolicyStore), "{id:?}");
        }
        for (deadline_ms, fits) in [(0, false), (1, true), (60_000, true), (60_001, false)] {
            let settings = AvpSettings { deadline_ms, ..AvpSettings::new("a", "us-east-1") };
            assert_eq!(settings.deadline().is_ok(), fits, "{deadline_ms}");
        }
        let misspelled = r#"{"policy_store_id":"a","region":"us-east-1","dead_line":1}"#;
        assert!(serde_json::from_str::<AvpSettings>(misspelled).is_err());
    }
}
