//! Each rule: what it takes, what it refuses, what it tells the model.

use super::*;

fn refusal<R: Rule>(text: &str) -> String {
    match Text::<R>::new(text) {
        Ok(_) => panic!("{text:?} was taken"),
        Err(refused) => refused.to_string(),
    }
}

#[test]
fn paths_stay_below() {
    for path in ["a", "a/b.txt", "..a/b..", "a b/ü.md", "...", ".hidden"] {
        assert!(RelativePath::new(path).is_ok(), "{path}");
    }
    for path in [
        "",
        "/",
        "/etc/passwd",
        "..",
        "../x",
        "a/..",
        "a/../../x",
        "./a",
        "a//b",
        "a/",
        "C:x",
        "c:\\x",
        "a\\..\\b",
        "a\0b",
        "a\nb",
        "file:x",
        "\\\\host\\share",
    ] {
        let reason = refusal::<InRoot>(path);
        assert!(reason.contains("relative to the folder"), "{reason}");
    }
    assert!(RelativePath::new("a".repeat(1025)).is_err());
}

#[test]
fn lengths_are_characters() {
    assert!(Text::<Length<2, 3>>::new("üü").is_ok());
    assert_eq!(refusal::<Length<2, 3>>("ü"), "the text has 1 characters, give at least 2");
    assert!(refusal::<Length<2, 3>>("üüüü").contains("at most 3"));
}

#[test]
fn a_call_says_why_and_the_schema_says_what() {
    #[derive(serde::Deserialize, schemars::JsonSchema, Debug)]
    struct Arguments {
        #[allow(dead_code)]
        path: RelativePath,
    }
    let error = serde_json::from_str::<Arguments>(r#"{"path":"../x"}"#).unwrap_err().to_string();
    assert!(error.contains("leads out of the folder"), "{error}");
    let schema = serde_json::to_string(&schemars::schema_for!(Arguments)).unwrap();
    assert!(schema.contains("maxLength") && schema.contains("without `..`"), "{schema}");
}

#[test]
fn rules_join() {
    enum Sql {}
    impl DenyList for Sql {
        const WORDS: &'static [&'static str] = &["drop", "--"];
    }
    type Both = (Length<1, 20>, Deny<Sql>);
    assert!(Text::<Both>::new("raindrop").is_ok());
    assert!(Text::<Both>::new("drop_it").is_ok());
    assert!(refusal::<Both>("Drop it").contains("`drop`"));
    assert!(refusal::<Both>("a -- b").contains("`--`"));
    assert!(refusal::<Both>(&"x".repeat(21)).contains("at most 20"));
}

#[cfg(feature = "pattern")]
#[test]
fn a_pattern_must_match_whole() {
    enum Word {}
    impl Pattern for Word {
        const REGEX: &'static str = "[a-z]+|[0-9]+";
        const MEANING: &'static str = "a word or a number";
    }
    assert!(Text::<Matches<Word>>::new("abc").is_ok());
    for text in ["abc1", "1abc", "abc\n", "", "a b"] {
        assert!(refusal::<Matches<Word>>(text).ends_with("is not a word or a number"), "{text}");
    }
    enum Broken {}
    impl Pattern for Broken {
        const REGEX: &'static str = "(";
        const MEANING: &'static str = "nothing";
    }
    assert!(refusal::<Matches<Broken>>("x").contains("tell its author"));
}

#[cfg(feature = "url")]
#[test]
fn urls_lead_where_the_policy_says() {
    enum Public {}
    impl WebPolicy for Public {}
    for url in [
        "https://example.com",
        "https://example.com:8443/a?b#c",
        "https://1.1.1.1/",
        "https://[2606:4700::1111]/",
    ] {
        assert!(Text::<Web<Public>>::new(url).is_ok(), "{url}");
    }
    for url in [
        "http://example.com",
        "javascript:alert(1)",
        "file:///etc/passwd",
        "example.com",
        "",
        "https://user@example.com",
        "https://:p@example.com",
        "https://localhost",
        "https://LOCALHOST.",
        "https://127.0.0.1",
        "https://2130706433",
        "https://0x7f.1",
        "https://0177.0.0.1",
        "https://10.0.0.1",
        "https://169.254.169.254/latest",
        "https://[::1]",
        "https://[::ffff:10.0.0.1]",
        "https://[fd00::1]",
        "https://[64:ff9b::7f00:1]",
        "https://[2002:7f00:1::]",
        "https://100.64.0.1",
        "https://0.0.0.0",
        "https://255.255.255.255",
        "https://metadata.google.internal",
        "https://printer.local",
        "https://router",
        "data:text/html,x",
    ] {
        assert!(Text::<Web<Public>>::new(url).is_err(), "{url}");
    }
    enum Hosts {}
    impl WebPolicy for Hosts {
        const HOSTS: &'static [&'static str] = &["*.example.com", "docs.rs"];
        const PORTS: &'static [u16] = &[443];
    }
    for url in
        ["https://a.example.com", "https://a.b.example.com", "https://docs.rs", "https://DOCS.rs./"]
    {
        assert!(Text::<Web<Hosts>>::new(url).is_ok(), "{url}");
    }
    for url in [
        "https://example.com",
        "https://evilexample.com",
        "https://.example.com",
        "https://docs.rs:444",
        "https://docs.rs.evil.com",
    ] {
        assert!(Text::<Web<Hosts>>::new(url).is_err(), "{url}");
    }
}

#[cfg(feature = "glob")]
#[test]
fn globs_are_read_and_stay_below() {
    let glob = Text::<GlobPattern>::new("a/*.{md,txt}").unwrap();
    assert!(glob.parsed().is_match("a/b.md") && !glob.parsed().is_match("a/b/c.md"));
    for text in ["", "/a", "../*", "a/../b", "{..,a}/b", "[", "{a", "a\\b", "c:*"] {
        assert!(refusal::<GlobPattern>(text).contains("such as `**/*.md`"), "{text}");
    }
}

#[cfg(all(feature = "files", unix))]
#[test]
fn no_link_leads_out_of_a_folder() {
    use std::os::unix::fs::symlink;
    let place = tempfile::tempdir().unwrap();
    let (root, secret) = (place.path().join("root"), place.path().join("secret"));
    std::fs::create_dir(&root).unwrap();
    std::fs::write(&secret, "secret").unwrap();
    std::fs::write(root.join("note"), "a note").unwrap();
    symlink(&secret, root.join("out")).unwrap();
    symlink(place.path(), root.join("up")).unwrap();
    symlink("note", root.join("inner")).unwrap();
    let folder = Folder::open(&root).unwrap();
    let path = |text: &str| RelativePath::new(text).unwrap();

    assert_eq!(folder.read_text(&path("note"), 100).unwrap(), "a note");
    assert_eq!(folder.read_text(&path("inner"), 100).unwrap(), "a note");
    // What a joined path gives away:
    assert_eq!(std::fs::read_to_string(root.join(path("out").as_str())).unwrap(), "secret");
    for out in ["out", "up/secret"] {
        let error = folder.read(&path(out), 100).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied, "{error}");
        assert!(folder.write(&path(out), b"x").is_err());
    }
    assert_eq!(std::fs::read_to_string(&secret).unwrap(), "secret");
    assert_eq!(folder.read(&path("note"), 3).unwrap_err().kind(), std::io::ErrorKind::FileTooLarge);
    assert!(folder.read(&path("gone"), 3).is_err());
    folder.write(&path("new"), b"1").unwrap();
    let names: Vec<_> = folder.entries(None, 100).unwrap().into_iter().map(|e| e.name).collect();
    assert_eq!(names, ["inner", "new", "note", "out", "up"]);
}
