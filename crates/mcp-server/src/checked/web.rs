//! A URL under a policy.

use std::marker::PhantomData;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use schemars::Schema;
use url::{Host, Url};

use super::{Refused, Rule, explain, shown};

/// Which URLs a tool takes; the defaults are `https` to public hosts on any port.
///
/// ```
/// use mcp_server::checked::{Text, Web, WebPolicy};
///
/// enum Docs {}
///
/// impl WebPolicy for Docs {
///     const HOSTS: &'static [&'static str] = &["docs.rs", "*.rust-lang.org"];
/// }
///
/// assert!(Text::<Web<Docs>>::new("https://doc.rust-lang.org/std/").is_ok());
/// assert!(Text::<Web<Docs>>::new("https://docs.rs.evil.example/").is_err());
/// assert!(Text::<Web<Docs>>::new("https://docs.rs@evil.example/").is_err());
/// ```
pub trait WebPolicy: 'static {
    /// Schemes, in lower case.
    const SCHEMES: &'static [&'static str] = &["https"];
    /// Hosts; `*.` in front stands for any number of labels. Empty: any.
    const HOSTS: &'static [&'static str] = &[];
    /// Ports; empty: any.
    const PORTS: &'static [u16] = &[];
    /// Whether loopback, private, link-local and other addresses that are not on the public internet
    /// may stand in the URL, and names such as `localhost`.
    const PRIVATE: bool = false;
}

/// An absolute URL that `P` allows, without user and password, of at most 2,048 bytes.
///
/// The name in a public URL may still *resolve* to a private address: whoever fetches it must check
/// the address that it connects to, and must not follow redirects without checking again.
#[derive(Debug)]
pub struct Web<P>(PhantomData<fn() -> P>);

const LONGEST: usize = 2048;

impl<P: WebPolicy> Rule for Web<P> {
    type Parsed = Url;

    fn check(text: &str) -> Result<Url, Refused> {
        let refuse =
            |reason: String| Err(Refused::new(format!("the URL {} {reason}", shown(text))));
        if text.len() > LONGEST {
            return refuse(format!("is too long, give at most {LONGEST} bytes"));
        }
        let url = match Url::parse(text) {
            Ok(url) => url,
            Err(error) => return refuse(format!("cannot be read: {error}")),
        };
        if !P::SCHEMES.contains(&url.scheme()) {
            return refuse(format!("must start with {}", listed(P::SCHEMES, "://")));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return refuse("names a user or a password, leave them out".into());
        }
        let Some(host) = url.host() else {
            return refuse("names no host".into());
        };
        if !P::HOSTS.is_empty() && !P::HOSTS.iter().any(|allowed| covers(allowed, &host)) {
            return refuse(format!("must name one of the hosts {}", listed(P::HOSTS, "")));
        }
        if !P::PRIVATE && is_private(&host) {
            return refuse("leads to an address that is not on the public internet".into());
        }
        let port = url.port_or_known_default();
        if !P::PORTS.is_empty() && !port.is_some_and(|port| P::PORTS.contains(&port)) {
            return refuse(format!("must use one of the ports {:?}", P::PORTS));
        }
        Ok(url)
    }

    fn describe(schema: &mut Schema) {
        schema.insert("format".into(), "uri".into());
        schema.insert("maxLength".into(), LONGEST.into());
        let mut rule = format!("starts with {}", listed(P::SCHEMES, "://"));
        if !P::HOSTS.is_empty() {
            rule = format!("{rule}, host one of {}", listed(P::HOSTS, ""));
        }
        explain(schema, &format!("a URL: {rule}"));
    }
}

fn listed(names: &[&str], after: &str) -> String {
    let all: Vec<_> = names.iter().map(|name| format!("`{name}{after}`")).collect();
    all.join(", ")
}

fn covers(allowed: &str, host: &Host<&str>) -> bool {
    match (allowed.strip_prefix("*."), host) {
        (Some(parent), Host::Domain(name)) => name
            .trim_end_matches('.')
            .strip_suffix(parent)
            .is_some_and(|label| label.len() > 1 && label.ends_with('.')),
        (None, Host::Domain(name)) => name.trim_end_matches('.').eq_ignore_ascii_case(allowed),
        (None, address) => address.to_string() == allowed,
        (Some(_), _) => false,
    }
}

/// Whether the host names no public address.
fn is_private(host: &Host<&str>) -> bool {
    match *host {
        Host::Ipv4(address) => is_private_address(IpAddr::V4(address)),
        Host::Ipv6(address) => is_private_address(IpAddr::V6(address)),
        Host::Domain(name) => {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            let inner = ["localhost", "local", "internal", "home.arpa", "lan", "intranet", "corp"];
            !name.contains('.')
                || inner.iter().any(|end| name.strip_suffix(end).is_some_and(|l| l.ends_with('.')))
        }
    }
}

/// Addresses that the registries of special purposes keep off the public internet.
fn is_private_address(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => v4(address),
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(mapped) => v4(mapped),
            None => v6(address),
        },
    }
}

fn v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || a == 0
        || a >= 224
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (18..20).contains(&b))
}

fn v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    // Only 2000::/3 is routed; in it stand documentation, Teredo and 6to4, which carry IPv4 addresses.
    (a & 0xe000) != 0x2000
        || (a == 0x2001 && (b < 0x0200 || b == 0x0db8))
        || a == 0x2002
        || a == 0x3fff
}
