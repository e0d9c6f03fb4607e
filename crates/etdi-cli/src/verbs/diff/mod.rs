//! `etdi diff`: what two servers offer, or one at two times, and what of the difference matters.

pub mod judge;
pub mod offer;

use etdi::core::change::visible;
use serde_json::{Value, json};

use self::judge::{Class, Difference, differences};
use self::offer::Offer;
use crate::args::{DiffArguments, FailOn};
use crate::exit::{Exit, Failure};
use crate::output::{Output, Report, style};
use crate::verbs::target::{block_on, shown_path};

const NEXT: &str = "etdi diff --help";

/// Compares, or keeps one side for some other day.
///
/// # Errors
///
/// When there are not two sides and nothing is to be saved, or a side cannot be read or asked.
pub fn run(arguments: &DiffArguments, output: Output) -> Result<Report, Failure> {
    let mut words = arguments.sides.iter();
    let sides = (words.next(), words.next(), arguments.command.as_slice());
    let misused = |message: &str| Err(Failure::usage(message, NEXT));
    block_on(async {
        let (before, after) = match sides {
            (Some(_), Some(_), [_, ..]) => {
                return misused("there are three sides, leave one out or what stands after `--`");
            }
            (Some(before), Some(after), []) => {
                let before = Offer::of_word(before, output).await?;
                (Some(before), Offer::of_word(after, output).await?)
            }
            (Some(before), None, command @ [_, ..]) => {
                let before = Offer::of_word(before, output).await?;
                (Some(before), Offer::of_server(command, output).await?)
            }
            (None, _, command @ [_, ..]) if arguments.save.is_some() => {
                (None, Offer::of_server(command, output).await?)
            }
            (Some(only), None, []) if arguments.save.is_some() => {
                (None, Offer::of_word(only, output).await?)
            }
            _ => return misused("there is nothing to compare with, expected two sides"),
        };
        if let Some(path) = &arguments.save {
            after.save(path)?;
        }
        let Some(before) = before else {
            let saved = arguments.save.as_deref().map(shown_path).unwrap_or_default();
            let text = format!("kept in {saved}\nnext: etdi diff {saved} -- COMMAND");
            return Ok(Report::new(json!({ "saved": saved }), text));
        };
        let found = differences(&before, &after)?;
        Ok(report(&found, arguments.fail_on))
    })
}

fn report(found: &[Difference], fail_on: FailOn) -> Report {
    let worst = found.iter().map(|one| one.class).max();
    let limit = match fail_on {
        FailOn::Compatible => Some(Class::Compatible),
        FailOn::Breaking => Some(Class::Breaking),
        FailOn::Dangerous => Some(Class::Dangerous),
        FailOn::Never => None,
    };
    let fails = limit.is_some_and(|limit| worst.is_some_and(|worst| worst >= limit));
    let count = |class: Class| found.iter().filter(|one| one.class == class).count();
    let [dangerous, breaking, compatible] =
        [Class::Dangerous, Class::Breaking, Class::Compatible].map(count);
    let entries: Vec<Value> = found.iter().map(data).collect();
    let data = json!({
        "dangerous": dangerous, "breaking": breaking, "compatible": compatible,
        "differences": entries,
    });
    let mut lines: Vec<String> = found.iter().map(shown).collect();
    lines.push(match found.is_empty() {
        true => "both offer the same".to_owned(),
        false => format!("{dangerous} dangerous, {breaking} breaking, {compatible} compatible"),
    });
    let exit = if fails { Exit::Refused } else { Exit::Done };
    Report::new(data, lines.join("\n")).ending(exit)
}

fn data(one: &Difference) -> Value {
    json!({
        "class": one.class.name(), "kind": one.kind, "name": one.name, "path": one.path,
        "what": one.what, "before": one.before, "after": one.after,
    })
}

/// A difference for people, on a line or three.
pub fn shown(one: &Difference) -> String {
    let style = match one.class {
        Class::Dangerous => style::BAD,
        Class::Breaking => style::WARN,
        Class::Compatible => style::DIM,
    };
    let class = one.class.name();
    let name = match one.name.is_empty() {
        true => String::new(),
        false => format!(" `{}`", visible(&one.name)),
    };
    let path = match one.path.is_empty() {
        true => String::new(),
        false => format!(" {}", visible(&one.path)),
    };
    let mut text = format!("{style}{class:<10}{style:#} {}{name}{path}: {}", one.kind, one.what);
    // What came or went as a whole is named; its text is in the data.
    if !one.path.is_empty() || one.kind == "instructions" {
        let sides = [("-", &one.before), ("+", &one.after)];
        for (sign, value) in sides.iter().filter_map(|(sign, value)| Some((sign, value.as_ref()?)))
        {
            text.push_str(&format!("\n  {sign} {}", shortened(value)));
        }
    }
    text
}

/// How many characters of a value a line shows.
const LONGEST: usize = 240;

fn shortened(value: &Value) -> String {
    let text = value.to_string();
    let mut short: String = text.chars().take(LONGEST).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    visible(&short).into_owned()
}
