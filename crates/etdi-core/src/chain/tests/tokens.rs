//! Call tokens between servers.

use futures_executor::block_on;
use mcp_types::RawText;

use super::super::token::{Minter, Peers, TokenCheck};
use super::*;
use crate::identity::ServerIdentity;
use crate::jws::{self, Jws};
use crate::key::{Algorithm, KeyId, SigningKey};
use crate::request::{Call, MemoryReplayStore};
use crate::wire::StatementType;

/// Servers that call each other with tokens.
struct Net {
    servers: Vec<(ServerIdentity, Arc<SigningKey>)>,
    peers: Peers,
    replay: MemoryReplayStore,
    strangers: MemoryReplayStore,
}

impl Net {
    fn new() -> Self {
        let (mut servers, mut peers) = (Vec::new(), Peers::new());
        for name in ["a", "b", "c"] {
            let identity = ServerIdentity::package(&format!("pkg:cargo/{name}")).unwrap();
            let key = Arc::new(SigningKey::generate(Algorithm::EdDsa).unwrap());
            peers.trust(&identity, key.verifying_key().clone());
            servers.push((identity, key));
        }
        Self {
            servers,
            peers,
            replay: MemoryReplayStore::new(100),
            strangers: MemoryReplayStore::new(100),
        }
    }

    fn member(&self, server: usize, tool: &str, scopes: &[&str]) -> Member {
        self.declaring(server, tool, scopes, CallConstraints::default())
    }

    fn declaring(
        &self,
        server: usize,
        tool: &str,
        scopes: &[&str],
        call: CallConstraints,
    ) -> Member {
        let scopes = scopes.iter().map(|scope| scope.parse().unwrap()).collect();
        let server = self.servers[server].0.to_string();
        Member::new(&server, tool, Digest::of_bytes(tool.as_bytes()), call, scopes)
    }

    /// A tool that runs on a server.
    fn run(
        &self,
        server: usize,
        caller: Option<&Frame>,
        member: &Member,
    ) -> Result<Frame, ChainError> {
        let (identity, key) = &self.servers[server];
        let frame = CallStack::new(CallStackPolicy::enhanced()).enter(caller, member, "", NOW)?;
        Ok(frame.minting(Some(&Arc::new(Minter::new(identity.clone(), key.clone())))))
    }

    fn token(&self, frame: &Frame, to: usize, tool: &str) -> RawText {
        frame.token(&self.call(to, tool), None, NOW).unwrap().unwrap()
    }

    fn arrives(&self, token: &RawText, at: usize, tool: &str) -> Result<Frame, ChainError> {
        self.arrives_at(token, at, tool, NOW)
    }

    fn arrives_at(
        &self,
        token: &RawText,
        at: usize,
        tool: &str,
        now: UnixTime,
    ) -> Result<Frame, ChainError> {
        self.comes_with(token, &self.call(at, tool), None, now)
    }

    fn call<'a>(&'a self, at: usize, tool: &'a str) -> Call<'a> {
        let call = Call::new(&self.servers[at].0, tool, Digest::of_bytes(tool.as_bytes()));
        call.arguments(Some(r#"{"q":1}"#))
    }

    fn comes_with(
        &self,
        token: &RawText,
        call: &Call<'_>,
        signer: Option<KeyId>,
        now: UnixTime,
    ) -> Result<Frame, ChainError> {
        let check = TokenCheck {
            call,
            signer,
            peers: &self.peers,
            replay: &self.replay,
            strangers: &self.strangers,
            now,
            again: false,
        };
        block_on(check.frame(token))
    }

    /// A token whose newest claims were changed, signed by a key.
    fn edited(&self, token: &RawText, key: &SigningKey, edit: impl Fn(&mut Value)) -> RawText {
        let mut texts: Vec<String> = token.parse().unwrap();
        let text = texts.pop().unwrap();
        let read = Jws::read(&text, StatementType::Chain).unwrap();
        let mut claims: Value = serde_json::from_str(read.unverified_payload()).unwrap();
        claims["iss"] = json!(format!("etdi:key:{}", key.id()));
        claims["jwk"] = serde_json::from_str(&key.verifying_key().to_jwk()).unwrap();
        edit(&mut claims);
        texts.push(jws::sign(StatementType::Chain, &claims.to_string(), key).unwrap());
        RawText::of(&texts).unwrap()
    }
}

fn why(checked: Result<Frame, ChainError>) -> String {
    checked.unwrap_err().to_string()
}

#[test]
fn a_token_carries_the_chain_to_the_next_server_once() {
    let net = Net::new();
    let plan = net.run(0, None, &net.member(0, "plan", &["n:*"])).unwrap();
    let token = net.token(&plan, 1, "search");
    assert!(why(net.arrives(&token, 2, "search")).contains("another server"));
    assert!(why(net.arrives(&token, 1, "other")).contains("another tool"));
    assert!(why(net.arrives_at(&token, 1, "search", NOW.plus(91))).contains("too old"));
    assert!(why(net.arrives_at(&token, 1, "search", NOW.minus(31))).contains("from the future"));
    let from = net.arrives(&token, 1, "search").unwrap();
    assert!(why(net.arrives(&token, 1, "search")).contains("used before"));
    assert_eq!((from.tool(), from.depth(), from.budget()), ("plan", 1, 9));

    // There it is called by `plan`, with what that may do at most.
    let search = net.run(1, Some(&from), &net.member(1, "search", &["n:read"])).unwrap();
    assert_eq!((search.depth(), search.budget()), (2, 8));
    let pays = net.run(1, Some(&from), &net.member(1, "pay", &["money:send"]));
    assert_eq!(pays.unwrap_err().kind(), ViolationKind::PrivilegeEscalation);

    // And from there on, both tokens together.
    let next = net.token(&search, 2, "log");
    let at_c = net.arrives(&next, 2, "log").unwrap();
    let chain: Vec<_> =
        at_c.frames().map(|frame| (frame.tool(), frame.member().server())).collect();
    assert_eq!(chain, [("search", "stdio:pkg:cargo/b"), ("plan", "stdio:pkg:cargo/a")]);
    assert_eq!((at_c.depth(), at_c.budget()), (2, 8));
    // A tool does not come back to itself over other servers.
    let back = net.token(&search, 0, "plan");
    assert_eq!(
        net.arrives(&back, 0, "plan").unwrap_err().kind(),
        ViolationKind::CircularDependency
    );
}

#[test]
fn a_name_is_proven_by_a_peer_alone() {
    let net = Net::new();
    let only = CallConstraints {
        allowed_callers: names(&["stdio:pkg:cargo/a#plan"]),
        ..Default::default()
    };
    let callee = net.declaring(1, "search", &[], only);
    let plan = net.run(0, None, &net.member(0, "plan", &[])).unwrap();
    let honest = net.arrives(&net.token(&plan, 1, "search"), 1, "search").unwrap();
    assert!(net.run(1, Some(&honest), &callee).is_ok());
    // Whoever says to be that server with another key is known by that key.
    let mallory = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let forged = net.edited(&net.token(&plan, 1, "search"), &mallory, |_| ());
    let stranger = net.arrives(&forged, 1, "search").unwrap();
    assert_eq!(
        net.run(1, Some(&stranger), &callee).unwrap_err().kind(),
        ViolationKind::UnauthorizedChain
    );
    assert!(stranger.member().server().starts_with("etdi:key:"));
    // Nor do policies take it for a tool of this server, whose name anybody can write.
    let rule = r#"{"id":"a","effect":"permit","called_by":["plan"]}"#;
    let rule: crate::policy::LocalRule = serde_json::from_str(rule).unwrap();
    let applies = |caller: &Frame, own: usize| {
        let resource = crate::policy::Resource::new("stdio:pkg:cargo/b", "search");
        let own = net.servers[own].0.to_string();
        let request = crate::policy::Request::call(resource, NOW).called_by(Some(caller), &own);
        rule.applies(&request)
    };
    assert!(applies(&plan, 0));
    assert!(!applies(&honest, 1) && !applies(&stranger, 1));
    // Nor does one peer speak for another.
    let b = &net.servers[1].1;
    let forged = net.edited(&net.token(&plan, 1, "search"), b, |_| ());
    assert!(why(net.arrives(&forged, 1, "search")).contains("that of another server"));
}

#[test]
fn nothing_is_widened_on_the_way() {
    let net = Net::new();
    let deep = CallConstraints { max_depth: Some(3), ..CallConstraints::default() };
    let plan = net.run(0, None, &net.declaring(0, "plan", &["n:read"], deep)).unwrap();
    let from = net.arrives(&net.token(&plan, 1, "search"), 1, "search").unwrap();
    let search = net.run(1, Some(&from), &net.member(1, "search", &["n:read"])).unwrap();
    let honest = net.token(&search, 2, "log");
    assert_eq!(net.arrives(&honest, 2, "log").unwrap().budget(), 1);
    let b = &*net.servers[1].1;
    let ancestor = |server: &str, tool: &str| {
        let dig = Digest::of_bytes(tool.as_bytes());
        json!({"srv": server, "tool": tool, "dig": dig})
    };
    type Edit = Box<dyn Fn(&mut Value)>;
    let edits: [(&str, Edit); 9] = [
        ("more calls", Box::new(|claims| claims["bud"] = json!(2))),
        ("more permissions", Box::new(|claims| claims["per"] = json!(["n:*"]))),
        ("less deep", Box::new(|claims| claims["dep"] = json!(1))),
        ("deeper than all", Box::new(|claims| claims["bud"] = json!(u32::MAX))),
        (
            "without the first",
            Box::new(move |claims| {
                (claims["anc"], claims["dep"]) =
                    (json!([ancestor("stdio:pkg:cargo/b", "search")]), json!(1));
            }),
        ),
        (
            "another first",
            Box::new(move |claims| {
                claims["anc"][0] = ancestor("stdio:pkg:cargo/a", "harmless");
            }),
        ),
        (
            "another tool than was called",
            Box::new(move |claims| {
                claims["anc"][1] = ancestor("stdio:pkg:cargo/b", "other");
            }),
        ),
        (
            "signed for another",
            Box::new(move |claims| {
                claims["anc"][1] = ancestor("stdio:pkg:cargo/a", "search");
            }),
        ),
        ("not going on", Box::new(|claims| claims["prt"] = Value::Null)),
    ];
    for (what, edit) in edits {
        let wide = net.edited(&net.token(&search, 2, "log"), b, edit);
        assert!(net.arrives(&wide, 2, "log").is_err(), "{what}");
    }
    // The same claims again are fine, so it was the change that was refused.
    let same = net.edited(&net.token(&search, 2, "log"), b, |_| ());
    assert!(net.arrives(&same, 2, "log").is_ok());

    let cut = |from: usize, to: usize| {
        let texts: Vec<String> = net.token(&search, 2, "log").parse().unwrap();
        RawText::of(&texts[from..to]).unwrap()
    };
    assert!(net.arrives(&cut(1, 2), 2, "log").is_err(), "without the older");
    assert!(net.arrives(&cut(0, 1), 2, "log").is_err(), "without the newest");
    assert!(net.arrives(&cut(0, 0), 2, "log").is_err());
    let many = RawText::of(&vec!["a.b.c"; 11]).unwrap();
    assert!(net.arrives(&many, 2, "log").is_err());
    let text = honest.get();
    let bent = RawText::new(format!("{}A\"]", &text[..text.len() - 3])).unwrap();
    assert!(net.arrives(&bent, 2, "log").is_err(), "a signature that was changed");
}

/// Anybody can make a key, and tokens with it: that must refuse nobody else's calls.
#[test]
fn tokens_of_strangers_take_no_room_of_calls() {
    let net = Net { replay: MemoryReplayStore::new(1), ..Net::new() };
    let plan = net.run(0, None, &net.member(0, "plan", &[])).unwrap();
    for _ in 0..5 {
        let mallory = SigningKey::generate(Algorithm::EdDsa).unwrap();
        let own = net.edited(&net.token(&plan, 1, "search"), &mallory, |_| ());
        assert!(net.arrives(&own, 1, "search").is_ok());
        assert!(why(net.arrives(&own, 1, "search")).contains("used before"));
    }
    assert!(net.arrives(&net.token(&plan, 1, "search"), 1, "search").is_ok());
}

#[test]
fn a_server_without_a_key_makes_no_tokens() {
    let frame = enter(&basic(), None, &plain("a")).unwrap();
    let server = ServerIdentity::package("pkg:cargo/b").unwrap();
    let call = Call::new(&server, "t", Digest::of_bytes(b""));
    assert!(frame.token(&call, None, NOW).unwrap().is_none());
}

/// Without this whoever sees a token on its way uses it with arguments of its own.
#[test]
fn a_token_is_for_one_call() {
    let net = Net::new();
    let plan = net.run(0, None, &net.member(0, "plan", &[])).unwrap();
    let call = || net.call(1, "search");
    let token = net.token(&plan, 1, "search");
    let comes = |call: &Call<'_>| net.comes_with(&token, call, None, NOW);
    let other = Some(r#"{"q":2}"#);
    assert!(why(comes(&call().arguments(other))).contains("other arguments"));
    assert!(why(comes(&call().arguments(None))).contains("other arguments"));
    assert!(why(comes(&call().inputs(None, Some("state")))).contains("other input responses"));
    assert!(comes(&call()).is_ok());
    let answered = call().inputs(None, Some("state"));
    let token = plan.token(&answered, None, NOW).unwrap().unwrap();
    assert!(net.comes_with(&token, &call(), None, NOW).is_err());
    assert!(net.comes_with(&token, &answered, None, NOW).is_ok());
    // One that says nothing of arguments is none.
    let a = &*net.servers[0].1;
    let older = net.edited(&net.token(&plan, 1, "search"), a, |claims| {
        claims.as_object_mut().unwrap().remove("adg");
    });
    assert!(why(net.arrives(&older, 1, "search")).contains("a claim is missing"));
}

/// Without this it also counts for a call that somebody else makes with the same arguments.
#[test]
fn a_token_of_a_signed_call_is_for_the_key_that_signs() {
    let net = Net::new();
    let plan = net.run(0, None, &net.member(0, "plan", &[])).unwrap();
    let [own, other] = [1, 2].map(|_| SigningKey::generate(Algorithm::EdDsa).unwrap().id());
    let call = net.call(1, "search");
    let token = plan.token(&call, Some(own), NOW).unwrap().unwrap();
    for signer in [None, Some(other)] {
        assert!(why(net.comes_with(&token, &call, signer, NOW)).contains("certain key"));
    }
    assert!(net.comes_with(&token, &call, Some(own), NOW).is_ok());
    let a = &*net.servers[0].1;
    let nobody = net.edited(&net.token(&plan, 1, "search"), a, |claims| {
        claims["cnf"] = json!({"jkt": []});
    });
    assert!(net.comes_with(&nobody, &call, Some(own), NOW).is_err());
}

#[test]
fn each_claim_of_a_token_counts() {
    let net = Net::new();
    let plan = net.run(0, None, &net.member(0, "plan", &["n:*"])).unwrap();
    let from = net.arrives(&net.token(&plan, 1, "search"), 1, "search").unwrap();
    let search = net.run(1, Some(&from), &net.member(1, "search", &["n:read"])).unwrap();
    let other = Digest::of_bytes(b"other").to_string();
    for (member, value, found) in [
        ("iss", json!("etdi:key:other"), "another than its key"),
        ("iss", json!(""), "another than its key"),
        ("dep", json!(0), "its depth"),
        ("dep", json!(2), "its depth"),
        ("bud", json!(10), "its depth"),
        ("anc", json!([]), "its depth"),
        ("prt", json!(other), "is missing"),
        ("jti", json!(""), "`jti`"),
        ("jti", json!("x".repeat(129)), "`jti`"),
        ("exp", json!(NOW.0 + 61), "for too long"),
        ("aud", json!("stdio:pkg:cargo/c"), "another server"),
        ("tdg", json!(other), "another tool or definition"),
        ("adg", json!(other), "other arguments"),
        ("mdg", json!(other), "other input responses"),
    ] {
        let token = net.edited(&net.token(&plan, 1, "search"), &net.servers[0].1, |claims| {
            claims[member] = value.clone();
        });
        let why = why(net.arrives(&token, 1, "search"));
        assert!(why.contains(found), "{member} {value}: {why}");
    }
    // A token that is older than the one before it was not made with that at hand.
    let old = |seconds: u64| {
        net.edited(&net.token(&search, 2, "log"), &net.servers[1].1, |claims| {
            (claims["iat"], claims["exp"]) = (json!(NOW.0 - seconds), json!(NOW.0));
        })
    };
    assert!(why(net.arrives(&old(31), 2, "log")).contains("older than the one before"));
    assert!(net.arrives(&old(30), 2, "log").is_ok(), "as far as clocks may be apart");
}
