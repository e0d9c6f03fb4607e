//! Which addresses are on the public internet, and which lead inside.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What kind of place an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Anywhere on the internet.
    Public,
    /// This computer.
    Loopback,
    /// A network of one's own: RFC 1918, RFC 4193 and RFC 6598.
    Private,
    /// Nothing that a document can be fetched from, or the metadata service of a cloud.
    Special(&'static str),
}

/// Where an address leads. One in which another hides (mapped, NAT64, 6to4, Teredo) is special
/// itself: whether it works, and where it leads, is up to the network.
pub(super) fn place(address: IpAddr) -> Place {
    match address {
        IpAddr::V4(address) => place_v4(address),
        IpAddr::V6(address) => place_v6(address),
    }
}

/// A network, and what is in it (RFC 6890 and the registries of IANA).
type Network<A> = (A, u32, Place);

const V4: &[Network<[u8; 4]>] = &[
    ([0, 0, 0, 0], 8, Place::Special("it is no address of a host")),
    ([10, 0, 0, 0], 8, Place::Private),
    // The metadata service of Alibaba's cloud lies among the addresses of carriers.
    ([100, 100, 100, 200], 32, METADATA),
    ([100, 64, 0, 0], 10, Place::Private),
    ([127, 0, 0, 0], 8, Place::Loopback),
    ([169, 254, 0, 0], 16, LINK_LOCAL),
    ([172, 16, 0, 0], 12, Place::Private),
    ([192, 0, 0, 0], 24, Place::Special("it is reserved for protocols")),
    ([192, 0, 2, 0], 24, DOCUMENTATION),
    ([192, 31, 196, 0], 24, ANYCAST),
    ([192, 52, 193, 0], 24, ANYCAST),
    ([192, 88, 99, 0], 24, Place::Special("it is a relay of 6to4")),
    ([192, 168, 0, 0], 16, Place::Private),
    ([192, 175, 48, 0], 24, ANYCAST),
    ([198, 18, 0, 0], 15, Place::Special("it is for benchmarks")),
    ([198, 51, 100, 0], 24, DOCUMENTATION),
    ([203, 0, 113, 0], 24, DOCUMENTATION),
    // Public by its number, and Azure's own service behind it.
    ([168, 63, 129, 16], 32, METADATA),
    ([224, 0, 0, 0], 4, MULTICAST),
    ([240, 0, 0, 0], 4, Place::Special("it is reserved, or a broadcast")),
];

/// Of all that is not in 2000::/3 only the first two lead to hosts.
const V6: &[Network<[u16; 8]>] = &[
    ([0, 0, 0, 0, 0, 0, 0, 1], 128, Place::Loopback),
    ([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254], 128, METADATA),
    ([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254], 128, METADATA),
    ([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, Place::Private),
    ([0, 0, 0, 0, 0, 0xffff, 0, 0], 96, Place::Special("an IPv4 address is mapped into it")),
    ([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 32, Place::Special("it is translated by NAT64")),
    ([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, LINK_LOCAL),
    ([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, Place::Special("it is of a site")),
    ([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, MULTICAST),
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 32, Place::Special("it is a tunnel of Teredo")),
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, Place::Special("it is reserved for protocols")),
    ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, DOCUMENTATION),
    ([0x2002, 0, 0, 0, 0, 0, 0, 0], 16, Place::Special("it is a tunnel of 6to4")),
    ([0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0], 48, ANYCAST),
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, DOCUMENTATION),
    ([0x2000, 0, 0, 0, 0, 0, 0, 0], 3, Place::Public),
];

const METADATA: Place = Place::Special("it is the metadata service of a cloud");
const LINK_LOCAL: Place = Place::Special("it is of the local link");
const MULTICAST: Place = Place::Special("it is a multicast group");
const DOCUMENTATION: Place = Place::Special("it is for examples in documents");
const ANYCAST: Place = Place::Special("it is of a service of the network");

fn place_v4(address: Ipv4Addr) -> Place {
    let bits = address.to_bits();
    let within = |(network, prefix, _): &&Network<[u8; 4]>| {
        let differs = bits ^ u32::from_be_bytes(*network);
        differs.leading_zeros() >= *prefix
    };
    V4.iter().find(within).map_or(Place::Public, |(_, _, place)| *place)
}

fn place_v6(address: Ipv6Addr) -> Place {
    let within = |(network, prefix, _): &&Network<[u16; 8]>| {
        let differs = address.to_bits() ^ Ipv6Addr::from(*network).to_bits();
        differs.leading_zeros() >= *prefix
    };
    let nowhere = Place::Special("it is in no network that is in use");
    let place = V6.iter().find(within).map_or(nowhere, |(_, _, place)| *place);
    let [.., fifth, sixth, _, _] = address.segments();
    // ISATAP (RFC 5214): the last four bytes are an IPv4 address inside.
    let isatap = fifth & 0xfdff == 0 && sixth == 0x5efe;
    match place {
        Place::Public | Place::Private if isatap => Place::Special("it is a tunnel of ISATAP"),
        place => place,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Place {
        place(text.parse().expect(text))
    }

    #[test]
    fn the_edges_of_each_network() {
        for (first, last, before, behind) in [
            ("10.0.0.0", "10.255.255.255", "9.255.255.255", "11.0.0.0"),
            ("100.64.0.0", "100.127.255.255", "100.63.255.255", "100.128.0.0"),
            ("127.0.0.0", "127.255.255.255", "126.255.255.255", "128.0.0.0"),
            ("169.254.0.0", "169.254.255.255", "169.253.255.255", "169.255.0.0"),
            ("172.16.0.0", "172.31.255.255", "172.15.255.255", "172.32.0.0"),
            ("192.168.0.0", "192.168.255.255", "192.167.255.255", "192.169.0.0"),
            ("198.18.0.0", "198.19.255.255", "198.17.255.255", "198.20.0.0"),
            ("203.0.113.0", "203.0.113.255", "203.0.112.255", "203.0.114.0"),
            ("224.0.0.0", "255.255.255.255", "223.255.255.255", "8.8.8.8"),
            ("2001:db8::", "2001:db8:ffff:ffff::", "2001:db7::1", "2001:db9::1"),
            ("2002::", "2002:ffff::1", "2001:ffff::1", "2003::1"),
            ("2001::", "2001:1ff:ffff::1", "2000::1", "2001:200::1"),
            ("3fff::", "3fff:fff:ffff::1", "3ffe::1", "3fff:1000::1"),
            ("fc00::", "fdff:ffff::1", "2a00::1", "2a00::1"),
            ("fe80::", "febf::1", "2a00::1", "2a00::1"),
        ] {
            for inside in [first, last] {
                assert_ne!(of(inside), Place::Public, "{inside}");
            }
            for outside in [before, behind] {
                assert_eq!(of(outside), Place::Public, "{outside}");
            }
        }
    }

    #[test]
    fn what_hides_another_address_is_special() {
        for text in [
            "::ffff:8.8.8.8",
            "::ffff:127.0.0.1",
            "::8.8.8.8",
            "::127.0.0.1",
            "::ffff:0:127.0.0.1",
            "64:ff9b::8.8.8.8",
            "64:ff9b::7f00:1",
            "64:ff9b:1::a00:1",
            "2002:7f00:1::",
            "2002:808:808::",
            "2001:0:808:808::f5ff:fffe",
            "2a00::5efe:127.0.0.1",
            "2a00::200:5efe:10.0.0.1",
            "fd00::5efe:10.0.0.1",
            "fd00:ec2::254",
            "169.254.169.254",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "::",
            "100::1",
            "5f00::1",
            "fec0::1",
            "ff02::1",
            "4000::1",
        ] {
            assert!(matches!(of(text), Place::Special(_)), "{text} {:?}", of(text));
        }
        assert_eq!((of("::1"), of("127.8.9.1")), (Place::Loopback, Place::Loopback));
        assert_eq!((of("fd00::1"), of("100.64.0.1")), (Place::Private, Place::Private));
        assert_eq!((of("2606:4700::1"), of("1.1.1.1")), (Place::Public, Place::Public));
    }
}
