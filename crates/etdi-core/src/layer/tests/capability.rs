//! What follows from what a server says of ETDI in its capabilities.

use super::calls::recording;
use super::*;
use crate::wire::{ALL_CALLS, Capability};

/// The honest server, which says this of itself.
fn saying(world: &World, edit: impl Fn(&mut Capability)) -> GuardService<SignService<Server>> {
    let mut capability = Capability::of_server();
    edit(&mut capability);
    let signed = world.signer().capability(capability).layer(world.server.clone());
    GuardLayer::new(notes(), || NOW).layer(signed)
}

fn discover<S: ExchangeService>(client: &mut Client<S>) -> Result<ServerResult, ErrorObject> {
    client.send(ClientRequest::Discover(RequestParams::new()))
}

#[test]
fn another_format_is_no_etdi_and_is_said_to_be() {
    let world = World::new([tool("search", Some(SEARCH))]);
    let later = saying(&world, |capability| {
        capability.v = 2;
        capability.profiles.push(wire::RESULT_PROFILE.to_owned());
    });
    let mut client = world.connect(Policy::strict(), later);
    discover(&mut client).unwrap();
    discover(&mut client).unwrap();
    assert_eq!(client.layer.capability(), PeerCapability::OtherFormat(2));
    let noted = world.audit.entries();
    let said = noted.iter().filter_map(|one| one.event.detail.as_deref());
    assert_eq!(said.filter(|text| text.contains("speaks format 2 of ETDI")).count(), 1);
    // What it proves in that format proves nothing here.
    assert_eq!(client.refused("search").1, Some("POSSESSION_MISSING"));
    let mut client = world.connect(Policy::strict(), saying(&world, |_| ()));
    assert_eq!(client.call("search").unwrap(), "search");
}

#[test]
fn what_is_required_and_missing_is_refused() {
    let world = World::new([tool("search", Some(SEARCH))]);
    let list = || ClientRequest::ListTools(PaginatedRequestParams::new());
    let require = |layer: VerifyLayer| layer.require_extension(true);
    // The attack: a server without ETDI is one more server, whose tools a person may approve.
    let mut client = world.connect(Policy::basic(), world.server.clone());
    assert!(discover(&mut client).is_ok() && client.call("search").is_ok());
    for greeted in [true, false] {
        let mut client = world.connect_with(Policy::basic(), world.server.clone(), require);
        if greeted {
            assert_eq!(code(&discover(&mut client).unwrap_err()), "EXTENSION_REQUIRED");
        }
        assert_eq!(code(&client.send(list()).unwrap_err()), "EXTENSION_REQUIRED");
        assert_eq!(code(&client.call("search").unwrap_err()), "EXTENSION_REQUIRED");
    }
    let later = saying(&world, |capability| capability.v = 2);
    let mut client = world.connect_with(Policy::basic(), later, require);
    let refused = client.send(list()).unwrap_err();
    assert!(refused.message.contains("format 2 of ETDI, and 1 is required"), "{refused}");
    let mut client = world.connect_with(Policy::basic(), saying(&world, |_| ()), require);
    assert!(client.send(list()).is_ok());
}

#[test]
fn a_call_is_signed_as_the_server_takes_it() {
    let world = World::new([tool("search", Some(SEARCH)), tool("pay", Some(PAY))]);
    // The caller has a key for ES256.
    let mut client = world.connect(
        Policy::enhanced(),
        saying(&world, |capability| capability.algs = vec!["EdDSA".to_owned()]),
    );
    discover(&mut client).unwrap();
    let refused = client.call("pay").unwrap_err();
    assert_eq!((code(&refused).as_str(), refused.origin), ("SIGNATURE_REQUIRED", Origin::Refused));
    assert!(refused.message.contains("signed with ES256"), "{refused}");
    assert_eq!(world.server.calls(), 0);
    assert_eq!(client.call("search").unwrap(), "search", "what is not signed goes through");

    for (call, is_signed) in [(wire::PER_TOOL, false), (ALL_CALLS, true)] {
        let says = saying(&world, |capability| capability.call = Some(call.to_owned()));
        let (server, seen) = recording(says);
        let mut client = world.connect(Policy::enhanced(), server);
        discover(&mut client).unwrap();
        client.call("search").unwrap();
        let meta = &seen.lock().unwrap()[0].context.meta;
        assert_eq!(meta.get(wire::CALL).is_some(), is_signed, "{call}");
    }
}

#[test]
fn each_side_says_what_it_accepts() {
    let names = |capability: Capability| capability.algs.join(" ");
    assert_eq!(names(Capability::of_server()), "EdDSA ES256 RS256 PS256");
    assert_eq!(names(Capability::of_client(&[])), "EdDSA ES256");
    assert_eq!(names(Capability::of_client(&[Algorithm::Es256])), "ES256");
    let silent: Capability = serde_json::from_str(r#"{"v":1}"#).unwrap();
    assert!(silent.accepts(Algorithm::Rs256) && !silent.required);
    assert!(!serde_json::to_string(&Capability::of_server()).unwrap().contains("required\":false"));
}
