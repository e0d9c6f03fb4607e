//! The examples of the RFC, and what follows from them for the way back.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::UriTemplate;

/// The values of RFC 6570, section 1.2 and 3.2.
fn value(name: &str) -> Option<&'static str> {
    let values = [
        ("var", "value"),
        ("hello", "Hello World!"),
        ("path", "/foo/bar"),
        ("empty", ""),
        ("x", "1024"),
        ("y", "768"),
        ("dub", "me/too"),
        ("half", "50%"),
        ("who", "fred"),
        ("base", "http://example.com/home/"),
        ("v", "6"),
    ];
    values.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
}

/// Examples of RFC 6570: level 1, 2 and 3, and section 3.2 as far as it has no modifiers.
const EXAMPLES: &[(&str, &str)] = &[
    ("{var}", "value"),
    ("{hello}", "Hello%20World%21"),
    ("{+var}", "value"),
    ("{+hello}", "Hello%20World!"),
    ("{+path}/here", "/foo/bar/here"),
    ("here?ref={+path}", "here?ref=/foo/bar"),
    ("X{#var}", "X#value"),
    ("X{#hello}", "X#Hello%20World!"),
    ("map?{x,y}", "map?1024,768"),
    ("{x,hello,y}", "1024,Hello%20World%21,768"),
    ("{+x,hello,y}", "1024,Hello%20World!,768"),
    ("{+path,x}/here", "/foo/bar,1024/here"),
    ("{#x,hello,y}", "#1024,Hello%20World!,768"),
    ("{#path,x}/here", "#/foo/bar,1024/here"),
    ("X{.var}", "X.value"),
    ("X{.x,y}", "X.1024.768"),
    ("{/var}", "/value"),
    ("{/var,x}/here", "/value/1024/here"),
    ("{;x,y}", ";x=1024;y=768"),
    ("{;x,y,empty}", ";x=1024;y=768;empty"),
    ("{?x,y}", "?x=1024&y=768"),
    ("{?x,y,empty}", "?x=1024&y=768&empty="),
    ("?fixed=yes{&x}", "?fixed=yes&x=1024"),
    ("{&x,y,empty}", "&x=1024&y=768&empty="),
    ("{half}", "50%25"),
    ("{+half}", "50%25"),
    ("O{empty}X", "OX"),
    ("O{undef}X", "OX"),
    ("?{x,empty}", "?1024,"),
    ("?{x,undef}", "?1024"),
    ("?{undef,y}", "?768"),
    ("{base}index", "http%3A%2F%2Fexample.com%2Fhome%2Findex"),
    ("{+base}index", "http://example.com/home/index"),
    ("O{+empty}X", "OX"),
    ("{+path:6}here", "refused"),
    ("{#half}", "#50%25"),
    ("foo{#empty}", "foo#"),
    ("foo{#undef}", "foo"),
    ("{.who}", ".fred"),
    ("{.half,who}", ".50%25.fred"),
    ("X{.empty}", "X."),
    ("X{.undef}", "X"),
    ("{/who}", "/fred"),
    ("{/half,who}", "/50%25/fred"),
    ("{/who,dub}", "/fred/me%2Ftoo"),
    ("{/var,empty}", "/value/"),
    ("{/var,undef}", "/value"),
    ("{;who}", ";who=fred"),
    ("{;half}", ";half=50%25"),
    ("{;empty}", ";empty"),
    ("{;v,empty,who}", ";v=6;empty;who=fred"),
    ("{;x,y,undef}", ";x=1024;y=768"),
    ("{?who}", "?who=fred"),
    ("{?half}", "?half=50%25"),
    ("{?x,y,undef}", "?x=1024&y=768"),
    ("{&who}", "&who=fred"),
];

#[test]
fn values_are_filled_in() {
    for (template, expected) in EXAMPLES {
        let filled = match UriTemplate::new(*template) {
            Ok(template) => template.expand(value),
            Err(_) => "refused".to_owned(),
        };
        assert_eq!(filled, *expected, "{template}");
    }
}

#[test]
fn what_was_filled_in_is_found() {
    for (text, uri) in EXAMPLES.iter().filter(|(_, uri)| *uri != "refused") {
        let template = UriTemplate::new(*text).unwrap();
        let found = template.matches(uri);
        let found = found.unwrap_or_else(|| panic!("{text} does not match {uri}"));
        assert_eq!(template.expand(|name| found.get(name)), *uri, "{text}: {found:?}");
    }
}

fn found(template: &str, uri: &str) -> String {
    let template = UriTemplate::new(template).unwrap();
    let Some(values) = template.matches(uri) else { return "-".into() };
    let pairs = |values: BTreeMap<String, String>| {
        let pairs = values.into_iter().map(|(name, value)| format!("{name}={value}"));
        pairs.collect::<Vec<_>>().join(" ")
    };
    pairs(values)
}

#[test]
fn values_are_found() {
    for (template, uri, expected) in [
        ("users://{id}/profile", "users://42/profile", "id=42"),
        ("users://{id}/profile", "users://a%2Fb/profile", "id=a/b"),
        ("users://{id}/profile", "users://4/2/profile", "-"),
        ("users://{id}/profile", "users://42/profiles", "-"),
        ("users://{id}/profile", "users:///profile", ""),
        ("users://{id}/profile", "users://%ff/profile", "-"),
        ("users://{id}/profile", "users://%4/profile", "-"),
        ("users://{id}/profile", "users://é/profile", "-"),
        ("file:///{+path}", "file:///a/b.txt", "path=a/b.txt"),
        ("file:///{+path}", "file:///", ""),
        ("file:///{+path}{?rev,lang}", "file:///a?lang=de&rev=1", "lang=de path=a rev=1"),
        ("file:///{+path}{?rev}", "file:///a?other=1", "-"),
        ("file:///{+path}{?rev}", "file:///a?rev=1&rev=2", "-"),
        ("file:///{+path}{#part}", "file:///a/b#c", "part=c path=a/b"),
        ("x:{a}{b}", "x:12", "a=12"),
        ("x:{a}-{b}", "x:1-2-3", "a=1-2 b=3"),
        ("x:{a,b,c}", "x:1,2", "a=1 b=2"),
        ("x:{a,b}", "x:1,2,3", "-"),
        ("x:{+a,b}", "x:1,2,3", "a=1 b=2,3"),
        ("x:a{/b,c}{.d}", "x:a/1/2.gz", "b=1 c=2.gz"),
        ("x:a{/b}/z", "x:a/1/z", "b=1"),
        ("x:a{/b}/z", "x:a/z", ""),
        ("x:y{?q}", "x:y?q=", "q="),
        ("x:y{?q}", "x:y?q=a+b%26c", "q=a+b&c"),
        ("x:y{?q}", "x:y?", "-"),
        ("x:é/{a}", "x:%C3%A9/1", "a=1"),
        ("x:y", "x:y", ""),
        ("x:y", "x:yy", "-"),
    ] {
        assert_eq!(found(template, uri), expected, "{template} {uri}");
    }
}

proptest! {
    /// Where no value keeps characters that structure a URI, what was found gives an equivalent URI.
    #[test]
    fn what_was_found_is_found_again(uri in "x:[a%2F/,.;?&=_]{0,24}") {
        for text in ["x:{a}", "x:{a,b}", "x:a{/b,c}", "x:{a}{.b}/a", "x:{a}{;b,c}", "x:{a}{?b,c}"] {
            let template = UriTemplate::new(text).unwrap();
            if let Some(values) = template.matches(&uri) {
                let filled = template.expand(|name| values.get(name));
                prop_assert_eq!(template.matches(&filled), Some(values), "{} {}", text, filled);
            }
        }
    }

    /// Whatever comes, the answer comes too.
    #[test]
    fn no_text_is_too_strange(template in "\\PC{0,32}", uri in "\\PC{0,64}") {
        if let Ok(template) = UriTemplate::new(template) {
            let _ = template.matches(&uri);
        }
    }
}

/// Each of these takes years where a matcher goes back over its own steps.
#[test]
fn no_uri_takes_long() {
    let template = UriTemplate::new("x:{a}{b}{c}{d}{e}{f}{g}{h}{+i}{+j}{+k}!").unwrap();
    let uri = format!("x:{}", "a".repeat(8000));
    assert_eq!(template.matches(&uri), None);
    assert_eq!(template.matches(&format!("{uri}!")).map(|values| values.len()), Some(1));
    assert_eq!(
        UriTemplate::new("x:{a}").unwrap().matches(&format!("x:{}", "a".repeat(9000))),
        None
    );
}

#[test]
fn what_is_no_template_is_refused() {
    for (text, reason) in [
        ("x:{a", "a `{` is not closed, add the `}`"),
        ("x:a}", "`}` cannot stand in a URI, percent-encode it"),
        ("x:a b", "` ` cannot stand in a URI, percent-encode it"),
        ("x:{}", "`{}` names no variable"),
        ("x:{a,,b}", "a variable has no name"),
        ("x:{a}{b,a}", "the variable `a` is there twice, rename one"),
        ("x:{a-b}", "`a-b` is no name of a variable, use letters, digits, `_` and `.`"),
        ("x:{=a}", "the operator `=` is reserved and means nothing yet"),
        (
            "x:{/a*}",
            "`a*` has a modifier, which a URI cannot be matched with; write `{+name}` for a value \
             that may hold slashes",
        ),
    ] {
        let error = UriTemplate::new(text).unwrap_err().to_string();
        assert_eq!(error, format!("`{text}` is no URI template: {reason}"));
    }
}
