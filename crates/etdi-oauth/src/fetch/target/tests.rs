//! The spellings by which a URL leads inside, or means two things.

use super::*;

/// Each is refused from its text alone, before anything is resolved or connected to.
const REFUSED: &[&str] = &[
    // This computer, as an address and in what other readers take for one.
    "https://127.0.0.1/",
    "https://127.0.0.1",
    "https://127.0.0.1:443/",
    "https://127.0.0.1:8443/jwks",
    "https://127.1/",
    "https://127.0.1/",
    "https://127.255.255.254/",
    "https://0/",
    "https://0.0.0.0/",
    "https://0.0.0.0:80/",
    "https://0x7f000001/",
    "https://0X7F000001/",
    "https://0x7f.0.0.1/",
    "https://0x7f.1/",
    "https://0x7f.0x0.0x0.0x1/",
    "https://2130706433/",
    "https://02130706433/",
    "https://017700000001/",
    "https://0177.0.0.1/",
    "https://0177.0.0.01/",
    "https://0177.1/",
    "https://00000177.0.0.1/",
    "https://127.000.000.001/",
    "https://127.0.0.1./",
    "https://127.0.0.1../",
    "https://4294967295/",
    "https://4294967296/",
    "https://0x100000000/",
    "https://256.256.256.256/",
    "https://127.0.0.256/",
    "https://127.0.0.1.1/",
    "https://%31%32%37.0.0.1/",
    "https://127%2e0%2e0%2e1/",
    "https://①②⑦.⓪.⓪.①/",
    "https://１２７.０.０.１/",
    "https://127。0。0。1/",
    "https://127．0．0．1/",
    "https://127｡0｡0｡1/",
    "https://𝟏𝟐𝟕.𝟎.𝟎.𝟏/",
    "https://[::1]/",
    "https://[::1]:8443/",
    "https://[0:0:0:0:0:0:0:1]/",
    "https://[0000:0000:0000:0000:0000:0000:0000:0001]/",
    "https://[::0001]/",
    "https://[0::1]/",
    "https://[::]/",
    "https://[::127.0.0.1]/",
    "https://[::7f00:1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[::FFFF:7F00:1]/",
    "https://[0:0:0:0:0:ffff:127.0.0.1]/",
    "https://[::ffff:0:127.0.0.1]/",
    "https://[::1%25lo]/",
    "https://[::1%lo]/",
    "https://[::1%251]/",
    "https://[::1",
    "https://::1/",
    "https://::1:443/",
    "https://[127.0.0.1]/",
    "https://[[::1]]/",
    // Networks inside, with their own spellings.
    "https://10.0.0.1/",
    "https://10.1/",
    "https://0xa000001/",
    "https://012.0.0.1/",
    "https://167772161/",
    "https://172.16.0.1/",
    "https://172.31.255.255/",
    "https://2886729729/",
    "https://192.168.0.1/",
    "https://192.168.1/",
    "https://0xc0a80001/",
    "https://0300.0250.0.1/",
    "https://3232235521/",
    "https://100.64.0.1/",
    "https://100.127.255.254/",
    "https://[fc00::1]/",
    "https://[fd00::1]/",
    "https://[fd12:3456:789a::1]/",
    "https://[::ffff:10.0.0.1]/",
    "https://[::ffff:a00:1]/",
    "https://[::ffff:192.168.0.1]/",
    "https://[64:ff9b::10.0.0.1]/",
    "https://[64:ff9b::a00:1]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[64:ff9b:1::a00:1]/",
    "https://[2002:a00:1::]/",
    "https://[2002:7f00:1::1]/",
    "https://[2002:c0a8:1::1]/",
    "https://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/",
    "https://[2001::1]/",
    "https://[fd00::5efe:10.0.0.1]/",
    "https://[2a00::5efe:a00:1]/",
    "https://[2a00::200:5efe:a00:1]/",
    // Metadata services.
    "https://169.254.169.254/latest/meta-data/",
    "http://169.254.169.254/latest/meta-data/",
    "https://0xa9fea9fe/",
    "https://0xa9.0xfe.0xa9.0xfe/",
    "https://0251.0376.0251.0376/",
    "https://025177524776/",
    "https://2852039166/",
    "https://169.254.43518/",
    "https://169.16689662/",
    "https://0xa9.254.0251.254/",
    "https://[::ffff:169.254.169.254]/",
    "https://[::ffff:a9fe:a9fe]/",
    "https://[64:ff9b::a9fe:a9fe]/",
    "https://[2002:a9fe:a9fe::]/",
    "https://[fd00:ec2::254]/",
    "https://[fd20:ce::254]/",
    "https://[fe80::a9fe:a9fe]/",
    "https://100.100.100.200/",
    "https://168.63.129.16/",
    "https://192.0.0.192/",
    "https://169.254.170.2/",
    "https://169.254.1.1/",
    "https://[fe80::1]/",
    "https://[fe80::1%25eth0]/",
    "https://[fe80::1%eth0]/",
    "https://[febf::1]/",
    // What is no host at all.
    "https://224.0.0.1/",
    "https://239.255.255.250/",
    "https://255.255.255.255/",
    "https://240.0.0.1/",
    "https://198.18.0.1/",
    "https://192.0.2.1/",
    "https://198.51.100.1/",
    "https://203.0.113.1/",
    "https://192.88.99.1/",
    "https://[ff02::1]/",
    "https://[ff05::1:3]/",
    "https://[2001:db8::1]/",
    "https://[3fff::1]/",
    "https://[100::1]/",
    "https://[5f00::1]/",
    "https://[fec0::1]/",
    "https://[4000::1]/",
    // Users, and hosts that hide behind them.
    "https://user@acme.example/",
    "https://user:secret@acme.example/",
    "https://@acme.example/",
    "https://:@acme.example/",
    "https://acme.example@127.0.0.1/",
    "https://acme.example:443@169.254.169.254/",
    "https://acme.example%40127.0.0.1/",
    "https://acme.example\\@127.0.0.1/",
    "https://127.0.0.1\\@acme.example/",
    "https://acme.example#@127.0.0.1/",
    "https://acme.example/#fragment",
    // Schemes.
    "http://acme.example/",
    "http://localhost/",
    "HTTPS://acme.example/",
    "https:acme.example/",
    "https:/acme.example/",
    "https:///acme.example/",
    "https:\\\\acme.example\\",
    "//acme.example/",
    "/jwks",
    "ftp://acme.example/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:70/_",
    "dict://127.0.0.1:11211/",
    "data:application/json,{}",
    "javascript:0",
    "ws://acme.example/",
    "jar:https://acme.example/!/",
    "",
    // Names in another spelling than their plain one.
    "https://Acme.example/",
    "https://acme.example./",
    "https://acme.example../",
    "https://.acme.example/",
    "https://acme..example/",
    "https://acme.example:443/",
    "https://acme.example:0/",
    "https://acme.example:00443/",
    "https://acme.example:65536/",
    "https://acme.example:/",
    "https://acme.example:-1/",
    "https://acme.example:80 80/",
    "https://ácme.example/",
    "https://аcme.example/",
    "https://acme。example/",
    "https://acme.example%2f.evil.example/",
    "https://acme.example%00.evil.example/",
    "https://acme.exa\u{ad}mple/",
    "https://acme.exam\u{200d}ple/",
    "https://acme .example/",
    "https://acme_.example/",
    "https://-acme.example/",
    "https://acme-.example/",
    " https://acme.example/",
    "https://acme.example/ ",
    "https://acme.example/\t",
    "ht\ntps://acme.example/",
    "https://acme.example/\r\nHost: evil",
    "https://acme.example/a b",
    "https://acme.example/../x",
    "https://acme.example/%2e%2e/x",
    "https://acme.example/a\\b",
    "https://acme.example?x",
    "https:// /",
    "https://",
    "https://?",
    "https://[",
    "https://[]/",
    "https://%/",
    "https://%zz/",
    "https://*.acme.example/",
    "https://xn--/",
    "https://xn--a/",
];

const TAKEN: &[&str] = &[
    "https://acme.example",
    "https://acme.example/",
    "https://acme.example:8443/jwks.json",
    "https://acme.example/a/b?x=1&y=2",
    "https://a",
    "https://xn--cme-5na.example/",
    "https://1.1.1.1/",
    "https://[2606:4700:4700::1111]/",
    "https://localhost/",
    "https://1password.example/",
];

#[test]
fn spellings_that_are_refused() {
    let rules = Rules::default();
    assert!(REFUSED.len() >= 150, "{}", REFUSED.len());
    for text in REFUSED {
        assert!(Target::parse(text, &rules).is_err(), "{text:?}");
    }
    for text in TAKEN {
        assert!(Target::parse(text, &rules).is_ok(), "{text:?}");
    }
    // A private name is not a private address that is spelled out.
    let mut rules = Rules::default();
    rules.private_hosts.insert("10.0.0.1".to_owned());
    assert!(Target::parse("https://10.0.0.1/", &rules).is_err());
}

#[test]
fn loopback_is_a_setting_and_opens_nothing_else() {
    let rules = Rules { loopback: true, ..Rules::default() };
    let inside = |text: &str| text.starts_with("https://127.") || text.starts_with("https://[::1]");
    for text in REFUSED.iter().filter(|text| !inside(text)) {
        // A name is judged by what it resolves to.
        let named = text.starts_with("http://") && text.ends_with(['e', 't', '/']);
        if let Ok(target) = Target::parse(text, &rules) {
            assert!(named && matches!(target.host, Named::Name(_)), "{text:?}");
            let public = "1.1.1.1".parse().unwrap();
            assert!(target.check(public, &rules).is_err(), "{text:?}: HTTP to others");
        }
    }
    for text in ["http://127.0.0.1:8000/jwks", "https://127.0.0.1/", "http://[::1]:1/"] {
        assert!(Target::parse(text, &rules).is_ok(), "{text:?}");
    }
}

#[test]
fn addresses_of_names() {
    let loopback = Rules { loopback: true, ..Rules::default() };
    let mut private = Rules::default();
    private.private_hosts.insert("idp.corp.example".to_owned());
    let plain = Rules::default();
    for (url, address, rules, allowed) in [
        ("https://acme.example/", "1.1.1.1", &plain, true),
        ("https://acme.example/", "127.0.0.1", &plain, false),
        ("https://acme.example/", "::1", &plain, false),
        ("https://acme.example/", "::ffff:1.1.1.1", &plain, false),
        ("https://acme.example/", "10.0.0.1", &plain, false),
        ("https://acme.example/", "169.254.169.254", &plain, false),
        ("https://localhost/", "127.0.0.1", &plain, false),
        ("http://localhost:8000/", "127.0.0.1", &loopback, true),
        ("http://localhost:8000/", "1.1.1.1", &loopback, false),
        ("http://localhost:8000/", "10.0.0.1", &loopback, false),
        ("https://acme.example/", "10.0.0.1", &loopback, false),
        ("https://idp.corp.example/", "10.0.0.1", &private, true),
        ("https://idp.corp.example/", "fd00::1", &private, true),
        ("https://idp.corp.example/", "127.0.0.1", &private, false),
        ("https://idp.corp.example/", "169.254.169.254", &private, false),
        ("https://idp.corp.example/", "fd00:ec2::254", &private, false),
        ("https://other.corp.example/", "10.0.0.1", &private, false),
    ] {
        let target = Target::parse(url, rules).unwrap();
        let address = address.parse().unwrap();
        assert_eq!(target.check(address, rules).is_ok(), allowed, "{url} {address}");
    }
}

#[test]
fn redirects_stay_at_home() {
    let rules = Rules::default();
    let from = Target::parse("https://acme.example/a/b?x=1", &rules).unwrap();
    for (location, path) in [
        ("/jwks", Some("/jwks")),
        ("jwks", Some("/a/jwks")),
        ("https://acme.example/c", Some("/c")),
        ("https://acme.example:443/c", Some("/c")),
        ("?y=2", Some("/a/b?y=2")),
        ("../../../c", Some("/c")),
        ("http://acme.example/c", None),
        ("https://acme.example:8443/c", None),
        ("https://www.acme.example/c", None),
        ("//evil.example/c", None),
        ("\\\\evil.example/c", None),
        ("https://user@acme.example/c", None),
        ("https://169.254.169.254/", None),
        ("file:///etc/passwd", None),
        ("https://acme.example@evil.example/", None),
        ("//2130706433/", None),
        ("https://", None),
    ] {
        let to = from.redirected(location, &rules).ok().map(|to| to.path());
        assert_eq!(to.as_deref(), path, "{location}");
    }
}
