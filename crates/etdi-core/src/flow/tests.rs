//! What is recognised, what is refused, and that memory has a bound.

use super::*;
use crate::policy::Pattern;

const A: &str = "stdio:pkg:cargo/mail";
const B: &str = "https://web.example/mcp";

const SECRET: &str = "Dear Ada, the acquisition of Northwind closes on Friday for ninety million; \
    please keep this between us until the announcement. Your code is ZX81-4410-QQ7.";

fn rules(json: &str) -> FlowRules {
    serde_json::from_str(json).unwrap()
}

fn tracker(json: &str) -> FlowTracker {
    FlowTracker::new(rules(json)).unwrap()
}

fn mail_stays() -> FlowTracker {
    let flows = tracker(
        r#"{"rules":[{"id":"mail-stays","from":{"servers":["stdio:pkg:cargo/mail"]},
            "reason":"mail is private"}]}"#,
    );
    flows.observe(flows.label(Origin::new(A, "read_mail")), SECRET);
    flows
}

fn send(flows: &FlowTracker, text: &str) -> Result<Findings, Box<FlowDenied>> {
    flows.inspect(B, "post", &serde_json::json!({ "to": "x", "body": text }).to_string())
}

#[test]
fn a_text_is_known_again_however_it_is_dressed() {
    let flows = mail_stays();
    let piece = "acquisition of Northwind closes on Friday";
    for text in [
        SECRET.to_owned(),
        format!("News! The {piece}, they say."),
        piece.to_uppercase(),
        piece.replace(' ', "\n\n- "),
        piece.replace('o', "o\u{200b}"),
        piece.replace(' ', "%20"),
        // Base64, hexadecimal digits, JSON in a string.
        "YWNxdWlzaXRpb24gb2YgTm9ydGh3aW5kIGNsb3NlcyBvbiBGcmlkYXk=".to_owned(),
        "prefix/YWNxdWlzaXRpb24gb2YgTm9ydGh3aW5kIGNsb3NlcyBvbiBGcmlkYXk".to_owned(),
        piece.bytes().map(|byte| format!("{byte:02x}")).collect(),
        piece.replace(' ', r"\u0020"),
        // A short secret among other words.
        "q=ZX81-4410-QQ7&v=1".to_owned(),
        "zx81 4410 qq7".to_owned(),
    ] {
        let denied = send(&flows, &text).unwrap_err();
        assert_eq!(denied.rule, "mail-stays", "{text}");
        let Why::Text(found) = &denied.why else { panic!("{denied:?}") };
        assert_eq!(found.label.origin, Origin::new(A, "read_mail"));
    }
    for text in [
        "What is the weather like in Oslo on Friday?",
        "Dear Ada, please keep",
        "2026-11-21T10:00:00Z",
        // Nobody can find these by comparing; `On::Seen` is for them.
        "Northwind is being bought at the end of the week for 9e7.",
    ] {
        assert!(send(&flows, text).is_ok(), "{text}");
    }
}

#[test]
fn a_person_is_told_what_from_where_to_where_and_by_which_rule() {
    let denied = send(&mail_stays(), "fyi: The Acquisition of Northwind closes on Friday. Bye.");
    let denied = denied.unwrap_err();
    let Why::Text(found) = &denied.why else { panic!("{denied:?}") };
    // How much of it is kept depends on the tracker's random base; all of it is 39.
    let common = "theacquisitionofnorthwindclosesonfriday".len();
    assert!((text::PIECE..=common).contains(&found.length), "{denied}");
    assert_eq!(
        denied.to_string(),
        format!(
            "the flow rule `mail-stays` does not let text from `read_mail` of `stdio:pkg:cargo/mail` go \
             to `post` of `https://web.example/mcp`: the argument `body` has at least {} letters \
             and digits of it (mail is private)",
            found.length
        )
    );
    assert!(
        "the acquisition of northwind closes on friday"
            .contains(found.excerpt.to_lowercase().trim_matches(['.', ' ']))
    );
    let event = serde_json::to_string(&denied.event()).unwrap();
    assert!(!event.to_lowercase().contains("northwind"), "{event}");
}

#[test]
fn cut_over_several_arguments_it_is_one_text_again() {
    let flows = mail_stays();
    let arguments = r#"{"a":["the acquisi","tion of Northw"],"b":"ind closes on Friday"}"#;
    assert!(flows.inspect(B, "post", arguments).is_err());
    let name = r#"{"the acquisition of Northwind closes on Friday":1}"#;
    assert!(flows.inspect(B, "post", name).is_err(), "a member's name is text too");
    assert!(flows.inspect(B, "post", r#"{"pin":12345678901}"#).is_ok());
    flows.observe(Label::new(Origin::new(A, "pin")), "account 12345678901");
    assert!(flows.inspect(B, "post", r#"{"pin":12345678901}"#).is_err(), "a number as well");
}

#[test]
fn every_piece_of_the_length_that_is_promised_is_found() {
    every_piece_is_found(&mail_stays());
}

fn every_piece_is_found(flows: &FlowTracker) {
    let letters: String = SECRET.chars().filter(|one| one.is_alphanumeric()).collect();
    for start in 0..letters.len() - text::CERTAIN {
        let piece = &letters[start..start + text::CERTAIN];
        assert!(send(flows, &format!("x {piece} y")).is_err(), "{piece}");
    }
}

#[test]
fn what_the_destination_said_or_was_told_is_no_flow() {
    let flows = mail_stays();
    assert!(flows.inspect(A, "reply", &serde_json::json!({ "t": SECRET }).to_string()).is_ok());
    // B has the text already.
    flows.observe(Label::new(Origin::new(B, "search")), SECRET);
    assert!(send(&flows, SECRET).is_ok());

    // What A only says back is not A's: the user typed it.
    let flows = tracker(r#"{"rules":[{"id":"all"}]}"#);
    let typed = "find the minutes of the board meeting in October, number AB-123456";
    let answer =
        format!("Nothing found for: {typed}. Bergen closed its archive late in the spring.");
    flows.keep(Label::new(Origin::new(A, "find")), [answer.as_str()], typed);
    send(&flows, typed).unwrap();
    assert!(send(&flows, "Bergen closed its archive late in the spring.").is_err());
}

#[test]
fn labels_and_ends_decide_to_what_a_rule_applies() {
    let flows = tracker(
        r#"{"labels":[
            {"servers":["stdio:pkg:cargo/mail"],"sources":["list_*"],"confidentiality":"public"},
            {"servers":["stdio:pkg:cargo/mail"],"integrity":"trusted","confidentiality":"secret"}],
          "rules":[{"id":"secrets","from":{"confidentiality":"private"},
            "to":{"servers":["https://*"],"except":["https://ours.example/*"]}}]}"#,
    );
    let public = "There are fourteen folders in this mailbox, of which three are shared.";
    flows.observe(flows.label(Origin::new(A, "list_folders")), public);
    flows.observe(flows.label(Origin::new(A, "read_mail")), SECRET);
    assert!(send(&flows, public).is_ok());
    assert_eq!(
        send(&flows, public).unwrap().texts()[0].label.confidentiality,
        Confidentiality::Public
    );
    assert!(send(&flows, SECRET).is_err());
    let json = serde_json::json!({ "t": SECRET }).to_string();
    let found = flows.inspect("https://ours.example/mcp", "archive", &json).unwrap();
    assert_eq!(found.texts()[0].label.integrity, Integrity::Trusted);
    // The same text from a public source does not become public.
    flows.observe(flows.label(Origin::new(A, "list_all")), SECRET);
    assert!(send(&flows, SECRET).is_err());
}

#[test]
fn a_rule_about_having_seen_holds_against_a_paraphrase() {
    let flows = tracker(
        r#"{"rules":[{"id":"no-web-after-mail","on":"seen",
            "from":{"servers":["stdio:pkg:cargo/mail"],"integrity":"untrusted"}}]}"#,
    );
    let paraphrase = "Northwind is being bought at the end of the week.";
    assert!(send(&flows, paraphrase).is_ok());
    flows.observe(flows.label(Origin::new(A, "read_mail")), SECRET);
    let denied = send(&flows, paraphrase).unwrap_err();
    assert!(matches!(denied.why, Why::Seen(_)), "{denied}");
    flows.forget();
    assert!(send(&flows, paraphrase).is_ok(), "another conversation");
}

#[test]
fn a_canary_is_known_again() {
    let flows = tracker(r#"{"rules":[{"id":"all"}]}"#);
    let canary = flows.plant(Origin::new(A, "vault")).unwrap();
    assert!(send(&flows, "nothing").is_ok());
    let denied = send(&flows, &format!("https://x.example/?q={}", canary.to_uppercase()));
    assert!(denied.unwrap_err().to_string().contains("`vault`"));
    assert_ne!(canary, flows.plant(Origin::new(A, "vault")).unwrap());
}

#[test]
fn nobody_pushes_out_what_another_said_and_what_is_lost_is_not_thought_absent() {
    let limits = FlowLimits { hashes: 1_000, observed: 50_000, inspected: 10_000 };
    let noise = |seed: u64| {
        let mut state = seed;
        let words = (0..2_000).map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            format!("{:x}", state >> 40)
        });
        words.collect::<Vec<_>>().join(" ")
    };
    let rules = rules(r#"{"rules":[{"id":"all"}]}"#);
    let flows = FlowTracker::with_limits(rules.clone(), limits).unwrap();
    flows.observe(Label::new(Origin::new(A, "read")), SECRET);
    for seed in 0..20 {
        flows.observe(Label::new(Origin::new("stdio:pkg:cargo/flood", "say")), &noise(seed));
    }
    let denied = flows.inspect(B, "post", &serde_json::json!({ "t": SECRET }).to_string());
    assert!(matches!(denied.unwrap_err().why, Why::Text(_) | Why::Lost(_)));

    let flows = FlowTracker::with_limits(rules.clone(), limits).unwrap();
    flows.observe(Label::new(Origin::new(A, "read")), SECRET);
    for seed in 0..20 {
        flows.observe(Label::new(Origin::new(A, "read")), &noise(seed));
    }
    let denied = send(&flows, "nothing of it").unwrap_err();
    assert!(matches!(denied.why, Why::Lost(_)), "{denied}");

    let flows = FlowTracker::with_limits(rules.clone(), limits).unwrap();
    flows.observe(Label::new(Origin::new(A, "read")), &"long ".repeat(20_000));
    assert!(matches!(send(&flows, "nothing").unwrap_err().why, Why::Lost(_)));

    let flows = FlowTracker::with_limits(rules, limits).unwrap();
    assert!(send(&flows, &"x".repeat(20_000)).is_ok(), "nothing came in");
    flows.observe(Label::new(Origin::new(A, "read")), "hello");
    assert!(matches!(send(&flows, &"x".repeat(20_000)).unwrap_err().why, Why::TooBig { .. }));
    assert!(matches!(flows.inspect(B, "post", "{\"a\":").unwrap_err().why, Why::Unreadable));
}

#[test]
fn groups_of_digits_are_one_number() {
    let flows = tracker(r#"{"rules":[{"id":"all"}]}"#);
    flows.observe(
        Label::new(Origin::new(A, "card")),
        "Card 4111 1111 1111 1234, IBAN DE89 3704 0044 0532 0130 00, write to ada@acme.example",
    );
    for text in ["4111111111111234", "DE89370400440532013000", "mailto:ada@acme.example"] {
        assert!(send(&flows, text).is_err(), "{text}");
    }
}

#[test]
fn letters_of_other_scripts_count_by_their_bytes() {
    let flows = tracker(r#"{"rules":[{"id":"all"}]}"#);
    flows.observe(
        Label::new(Origin::new(A, "read")),
        "北風公司的收購將於週五完成，請保密到公告為止。",
    );
    assert!(send(&flows, "聽說北風公司的收購將於週五完成").is_err());
    assert!(send(&flows, "天氣很好").is_ok());
}

#[test]
fn a_rule_with_a_member_that_nobody_knows_is_no_rule() {
    for typo in [
        r#"{"rules":[{"id":"a","form":{}}]}"#,
        r#"{"rules":[{"id":"a","from":{"server":["x"]}}]}"#,
        r#"{"rule":[]}"#,
    ] {
        assert!(serde_json::from_str::<FlowRules>(typo).is_err(), "{typo}");
    }
    let end = End { servers: Some(vec![Pattern::from("x*")]), ..End::default() };
    assert_eq!(end, End::servers(["x*"]));
}

/// The sieve before the hashes of the servers is made anew as they grow; nothing falls through it.
#[test]
fn what_was_said_first_is_found_after_much_else_was_said() {
    let flows = mail_stays();
    let mut state = 1u64;
    for server in 0..4 {
        let words = (0..3_000).map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            format!("{:x} ", state >> 40)
        });
        let words: String = words.collect();
        let origin = Origin::new(format!("stdio:pkg:cargo/s{server}"), "read");
        flows.observe(flows.label(origin), &words);
    }
    every_piece_is_found(&flows);
    assert!(send(&flows, "q=ZX81-4410-QQ7&v=1").is_err(), "a token too");
    assert!(send(&flows, "What is the weather like in Oslo on Friday?").is_ok());
    flows.forget();
    assert!(send(&flows, SECRET).is_ok());
}
