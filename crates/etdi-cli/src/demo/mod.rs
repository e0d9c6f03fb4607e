//! `etdi demo`: a signed server verified, approved and called, and the attacks on it refused.
//!
//! Nothing is simulated. Every server is a process of this program, talked to over its standard
//! streams: the honest one is the source of `examples/signed_notes`, the attackers send texts that
//! were written down to the bytes ([`raw`]). Each attack first meets a client without ETDI, where
//! it has to succeed, and then the ETDI client, which has to refuse it for exactly the reason that
//! is named. A line that comes out in any other way fails the demo.

pub mod attacks;
pub mod line;
pub mod listing;
pub mod meet;
pub mod raw;
pub mod servers;
pub mod story;
pub mod world;

use std::time::Instant;

use serde_json::json;

use crate::args::DemoArguments;
use crate::ask::Asker;
use crate::exit::{Exit, Failure};
use crate::output::{Output, Report, style};

/// Runs the demo.
///
/// # Errors
///
/// When the demo cannot be set up; a line that does not hold is part of the report.
pub fn run(arguments: &DemoArguments, output: Output) -> Result<Report, Failure> {
    let started = Instant::now();
    let asker = match (arguments.yes, output.can_ask()) {
        (false, true) => Asker::Terminal,
        (yes, _) => {
            if !yes && !output.is_json() {
                output.warn("no terminal to ask on, so the demo answers its questions with yes");
            }
            Asker::Yes
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| broken(&error))?;
    let lines = runtime.block_on(story::tell(asker, output)).map_err(|error| broken(&*error))?;

    let failed = lines.iter().filter(|line| !line.holds()).count();
    let refused = lines.iter().filter(|line| line.is_attack() && line.holds()).count();
    let attacks = lines.iter().filter(|line| line.is_attack()).count();
    let seconds = started.elapsed().as_secs_f64();
    let data = json!({
        "lines": lines.iter().map(line::Line::json).collect::<Vec<_>>(),
        "attacks": attacks, "refused": refused, "failed": failed, "seconds": seconds,
    });
    let (good, bad) = (style::GOOD, style::BAD);
    if failed > 0 {
        let text =
            format!("\n{bad}{failed} of {} lines do not hold{bad:#}, {seconds:.1} s", lines.len());
        return Ok(Report::new(data, text).ending(Exit::Usage));
    }
    let text = format!(
        "\n{good}every honest step worked, {refused} of {attacks} attacks were refused{good:#}, {seconds:.1} s"
    );
    Ok(Report::new(data, text))
}

fn broken(error: &dyn std::error::Error) -> Failure {
    Failure::usage(format!("the demo cannot go on: {error}"), "etdi demo --yes --json")
        .with_code("demo_failed")
}
