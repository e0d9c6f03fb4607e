//! What a decision costs, in microseconds: `cargo run --release -p etdi-policy --features rego --example cost`.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use etdi_core::definition::RawTool;
use etdi_core::flow::{FlowRules, FlowTracker, Label, Origin};
use etdi_core::policy::{Gate, LocalRules, PolicyEngine, Request, Resource, Status};
use etdi_core::time::UnixTime;
use etdi_policy::{CedarEngine, RegoEngine, Source};

const SERVER: &str = "stdio:pkg:cargo/bank";
const SMALL: &str = r#"{"to":"Bob","cents":4200,"note":"for the tickets of last week"}"#;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let tool = RawTool::read(
        r#"{"name":"pay","inputSchema":{"type":"object","required":["to","cents"],"properties":{
            "to":{"type":"string"},"cents":{"type":"integer"},"note":{"type":"string"}}}}"#,
    )?;
    let mut request =
        Request::call(Resource::of(SERVER, tool.definition(), Status::Verified), UnixTime(1));
    request.context.arguments = Some(SMALL);
    request.subject.user = Some("ada");

    let rules: LocalRules = serde_json::from_str(
        r#"{"rules":[{"id":"no-shell","effect":"forbid","tools":["shell*"]},
            {"id":"pay","effect":"permit","tools":["pay"],"users":["ada"]}]}"#,
    )?;
    decide("local rules", Arc::new(rules), &request);
    let small = r#"permit (principal == Etdi::User::"ada",
        action == Etdi::Action::"stdio:pkg:cargo/bank#pay", resource)
        when { context.arguments.cents <= 5000 };"#;
    let others = (0..99).map(|one| {
        format!("forbid (principal == Etdi::User::\"u{one}\", action, resource) when {{ context.hour > 20 }};\n")
    });
    let few = CedarEngine::new([Source::new("a.cedar", small)])?;
    decide("Cedar, 1 policy", Arc::new(few), &request);
    let many =
        CedarEngine::new([Source::new("a.cedar", small.to_owned() + &others.collect::<String>())])?;
    decide("Cedar, 100 policies", Arc::new(many), &request);
    let rego = "package etdi\ndefault allow := false\n
        allow if { input.resource.tool == \"pay\"; input.arguments.cents <= 5000 }";
    decide("Rego, 1 rule", Arc::new(RegoEngine::new([Source::new("a.rego", rego)])?), &request);

    let rules: FlowRules = serde_json::from_str(r#"{"rules":[{"id":"all"}]}"#)?;
    let flows = FlowTracker::new(rules)?;
    let mut state = 1u64;
    let mut words = |count: usize| {
        let words = (0..count).map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            format!("{:x} ", state >> 44)
        });
        words.collect::<String>()
    };
    for server in 0..5 {
        let text = words(4_000);
        let origin = Origin::new(format!("stdio:pkg:cargo/s{server}"), "read");
        flows.observe(Label::new(origin), &text);
    }
    let long = serde_json::json!({ "body": words(680) }).to_string();
    measure("flows, 64 bytes to send", || flows.inspect(SERVER, "pay", SMALL).is_ok());
    measure("flows, 4 KB to send", || flows.inspect(SERVER, "pay", &long).is_ok());
    let text = words(680);
    measure("flows, 4 KB to label", || {
        flows.observe(Label::new(Origin::new("stdio:pkg:cargo/s9", "read")), &text);
        true
    });
    Ok(())
}

fn decide(name: &str, engine: Arc<dyn PolicyEngine>, request: &Request<'_>) {
    let gate = Gate::new(engine);
    measure(name, || futures_executor::block_on(gate.decide(request, None)).is_ok());
}

/// Prints the median of many runs.
fn measure(name: &str, mut run: impl FnMut() -> bool) {
    let mut times: Vec<u128> = (0..5_000)
        .map(|_| {
            let started = Instant::now();
            black_box(run());
            started.elapsed().as_nanos()
        })
        .collect();
    times.sort_unstable();
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    println!("{name:24} {:8.1}", median as f64 / 1_000.0);
}
