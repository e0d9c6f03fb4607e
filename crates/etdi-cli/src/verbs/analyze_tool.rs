//! `etdi analyze-tool`: one tool, from a file or found on the servers by its name.

use std::io::Write;

use etdi_core::analyze::{Kind, SecurityAnalyzer};
use etdi_core::change::visible;
use serde_json::{Value, json};

use crate::args::{AnalyzeToolArguments, ToolFormat};
use crate::exit::{Exit, Failure};
use crate::home::Home;
use crate::inspector::found::Looked;
use crate::inspector::shown;
use crate::output::{Output, Report};
use crate::verbs::{analyze, scan};

const NEXT: &str = "etdi analyze-tool --help";

/// Looks into a tool.
///
/// # Errors
///
/// When there is no such tool, or the file or the servers cannot be read.
pub fn run(
    arguments: &AnalyzeToolArguments,
    home: &Home,
    output: Output,
) -> Result<Report, Failure> {
    let looked = match &arguments.tool_id {
        Some(id) => on_servers(id, arguments, home, output)?,
        None => in_file(arguments)?,
    };
    let data = told(&looked);
    let text = match arguments.format {
        ToolFormat::Json => data.to_string(),
        ToolFormat::Text => shown_to_people(&looked),
    };
    let refused = looked.iter().any(|one| arguments.fail_on.is_met(&one.analysis));
    let exit = if refused { Exit::Refused } else { Exit::Done };
    let Some(file) = &arguments.output else {
        return Ok(Report::new(data, text).ending(exit));
    };
    let written = std::fs::File::create_new(file)
        .and_then(|mut out| writeln!(out, "{}", anstream::adapter::strip_str(&text)));
    written.map_err(|error| {
        Failure::usage(format!("cannot write `{}`: {error}", file.display()), NEXT)
    })?;
    Ok(Report::new(data, format!("written to {}", file.display())).ending(exit))
}

/// Whoever asks by the verb of ETDI expects its statements.
fn analyzer() -> SecurityAnalyzer {
    SecurityAnalyzer::new().at(etdi::system_time()).expecting_etdi()
}

fn in_file(arguments: &AnalyzeToolArguments) -> Result<Vec<Looked>, Failure> {
    let [file] = arguments.from.as_slice() else {
        let message = "name one file, or the tool by `--tool-id` and where to look for it";
        return Err(Failure::usage(message, NEXT));
    };
    let looked = analyze::looked_at(file, &analyzer())?;
    match looked.is_empty() {
        true => Err(Failure::usage(format!("`{}` defines nothing", visible(file)), NEXT)),
        false => Ok(looked),
    }
}

fn on_servers(
    id: &str,
    arguments: &AnalyzeToolArguments,
    home: &Home,
    output: Output,
) -> Result<Vec<Looked>, Failure> {
    let servers = scan::named_or_configured(&arguments.from, &arguments.command, output)?;
    let asked = scan::asked(servers, arguments.timeout, home, output)?;
    let (mut tools, _) = scan::look_into(&asked, &analyzer());
    tools.retain(|one| one.analysis.kind == Kind::Tool);
    let names: Vec<String> = tools.iter().map(|one| one.analysis.name.clone()).collect();
    tools.retain(|one| one.analysis.name == id || one.title() == id);
    for one in &asked {
        if let Err(why) = &one.listed {
            output.warn(&format!("`{}` was not asked: {}", visible(&one.server.name), why.message));
        }
    }
    if !tools.is_empty() {
        return Ok(tools);
    }
    let reached = asked.iter().filter(|one| one.listed.is_ok()).count();
    let near = names.iter().max_by(|one, other| {
        let near = |name: &str| strsim::jaro_winkler(name, id);
        near(one).total_cmp(&near(other))
    });
    let hint =
        near.map_or_else(String::new, |near| format!(", the nearest is `{}`", visible(near)));
    let message = format!(
        "no tool `{}` is listed by the {reached} of {} servers that were asked{hint}",
        visible(id),
        asked.len()
    );
    let failure = Failure::usage(message, "etdi scan --help").with_code("NO_SUCH_TOOL");
    match asked.iter().find_map(|one| one.listed.as_ref().err()) {
        Some(why) if reached == 0 => Err(Failure { exit: why.exit, ..failure }),
        _ => Err(failure),
    }
}

/// The first one's analysis, and where all were found.
fn told(looked: &[Looked]) -> Value {
    let all: Vec<Value> = looked.iter().map(Looked::data).collect();
    let mut first = all.first().cloned().unwrap_or_default();
    if let (Some(members), true) = (first.as_object_mut(), all.len() > 1) {
        members.insert("definitions".to_owned(), json!(all));
    }
    first
}

fn shown_to_people(looked: &[Looked]) -> String {
    let mut text = String::new();
    for one in looked {
        text.push_str(&match shown::definition(one, true) {
            Some(shown) => shown,
            None => format!("{}: nothing found\n", visible(&one.title())),
        });
        let data = one.data();
        if let Some(score) = data.get("security_score") {
            text.push_str(&format!(
                "score by the rules of the Python tool, for what is declared: {score} of 100\n"
            ));
        }
    }
    text
}
