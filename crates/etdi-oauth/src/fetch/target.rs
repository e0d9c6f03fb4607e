//! A URL in its one spelling: what two readers could understand differently is refused.

use std::net::IpAddr;

use url::{Host, Url};

use super::Rules;
use super::address::{Place, place};

/// The longest URL.
const MAX_LENGTH: usize = 2_048;

/// A URL that may be fetched, as far as its text says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    url: Url,
    pub(super) secure: bool,
    pub(super) host: Named,
    pub(super) port: u16,
}

/// What the URL names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// A name that has to be resolved.
    Name(String),
    /// An address.
    Address(IpAddr),
}

impl Target {
    /// Reads a URL.
    ///
    /// # Errors
    ///
    /// The rule that forbids it, in words.
    pub(super) fn parse(text: &str, rules: &Rules) -> Result<Self, String> {
        if text.len() > MAX_LENGTH {
            return Err("it is longer than 2048 bytes".to_owned());
        }
        let url = Url::parse(text).map_err(|error| format!("it is no URL: {error}"))?;
        // Whatever another reader could take for something else is not written as it was read:
        // octal and hexadecimal addresses, percent signs, other alphabets, back slashes, dots.
        let read = url.as_str();
        if read != text && read.strip_suffix('/') != Some(text) {
            return Err(format!("it is not in its plain spelling, which is `{read}`"));
        }
        let secure = match url.scheme() {
            "https" => true,
            "http" if rules.loopback => false,
            "http" => return Err("it is not HTTPS".to_owned()),
            _ => return Err("its scheme is neither `https` nor `http`".to_owned()),
        };
        // An empty user leaves no trace but this.
        let authority = text.split('/').nth(2).unwrap_or_default();
        if authority.contains('@') || !url.username().is_empty() || url.password().is_some() {
            return Err("it names a user".to_owned());
        }
        if url.fragment().is_some() {
            return Err("it has a fragment".to_owned());
        }
        let host = match url.host() {
            Some(Host::Domain(name)) => Named::Name(checked_name(name)?.to_owned()),
            Some(Host::Ipv4(address)) => Named::Address(address.into()),
            Some(Host::Ipv6(address)) => Named::Address(address.into()),
            None => return Err("it names no host".to_owned()),
        };
        let port = url.port_or_known_default().filter(|port| *port != 0);
        let port = port.ok_or("its port is none")?;
        let target = Self { url, secure, host, port };
        if let Named::Address(address) = &target.host {
            target.check(*address, rules)?;
        }
        Ok(target)
    }

    /// Whether the rules let an address stand for this host.
    ///
    /// # Errors
    ///
    /// The rule that forbids it, in words.
    pub(super) fn check(&self, address: IpAddr, rules: &Rules) -> Result<(), String> {
        let named = |name: &str| rules.private_hosts.contains(name);
        let (allowed, why) = match (place(address), &self.host) {
            (Place::Public, _) => (self.secure, "it is not HTTPS"),
            (Place::Loopback, _) => (rules.loopback, "it is this computer"),
            (Place::Private, Named::Name(name)) => {
                (self.secure && named(name), "it is of a private network")
            }
            (Place::Private, Named::Address(_)) => (false, "it is of a private network"),
            (Place::Special(why), _) => (false, why),
        };
        match allowed {
            true => Ok(()),
            false => Err(format!("{address}: {why}")),
        }
    }

    /// The host as it stands in the URL.
    pub(super) fn authority(&self) -> &str {
        let url = self.url.as_str();
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        rest.split(['/', '?']).next().unwrap_or_default()
    }

    /// Path and query, as a request line has them.
    pub(super) fn path(&self) -> String {
        match self.url.query() {
            Some(query) => format!("{}?{query}", self.url.path()),
            None => self.url.path().to_owned(),
        }
    }

    /// The target of a redirect, which stays at this origin.
    ///
    /// # Errors
    ///
    /// The rule that forbids it, in words.
    pub(super) fn redirected(&self, location: &str, rules: &Rules) -> Result<Self, String> {
        let to =
            self.url.join(location).map_err(|error| format!("its redirect is none: {error}"))?;
        let to = Self::parse(to.as_str(), rules)?;
        let origin = |target: &Self| (target.secure, target.host.clone(), target.port);
        match origin(&to) == origin(self) {
            true => Ok(to),
            false => Err(format!("it redirects to another origin, `{}`", to.authority())),
        }
    }
}

/// A name of the domain name system, plain and without a dot at its end.
fn checked_name(name: &str) -> Result<&str, String> {
    let label = |label: &str| {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let ends = label.starts_with('-') || label.ends_with('-');
        !label.is_empty() && label.len() <= 63 && label.bytes().all(plain) && !ends
    };
    match name.len() <= 253 && name.split('.').all(label) {
        true => Ok(name),
        false => Err("its host is no plain name, write it without a dot at its end".to_owned()),
    }
}

#[cfg(test)]
mod tests;
