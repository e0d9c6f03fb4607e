//! `etdi get`: the messages of a prompt.

use std::collections::BTreeMap;

use etdi::core::change::visible;
use mcp_types::{Prompt, RawText, Role};
use serde_json::{Value, json};

use crate::args::GetArguments;
use crate::arguments::{nearest, text_of};
use crate::ask::{Asker, Grants};
use crate::exit::Failure;
use crate::home::Home;
use crate::output::{Output, Report, style};
use crate::talk::Talk;
use crate::talk::answers::Answers;
use crate::talk::shown::Shown;
use crate::verbs::target::{Opening, block_on, shown_target};

/// Gets a prompt.
///
/// # Errors
///
/// When the server cannot be used or has no such prompt, an argument is unknown or missing, or a
/// file cannot be saved.
pub fn run(arguments: &GetArguments, home: &Home, output: Output) -> Result<Report, Failure> {
    block_on(async {
        let grants = Grants::all(Asker::Nobody);
        let opening = Opening::to_look(&arguments.target, home, output, grants);
        let answers = Answers::at_terminal(output);
        let talk = Talk::open(opening, answers, None, arguments.save.clone()).await?;
        let got = over(&talk, &arguments.prompt, &arguments.pairs).await;
        talk.close().await;
        got
    })
}

/// Gets a prompt in an open session.
///
/// # Errors
///
/// As [`run`].
pub async fn over(talk: &Talk, name: &str, pairs: &[String]) -> Result<Report, Failure> {
    let prompts = talk.prompts().await?;
    let Some(prompt) = prompts.iter().find(|prompt| prompt.name == name) else {
        let names = prompts.iter().map(|prompt| prompt.name.as_str());
        return Err(talk.missing("prompt", name, names, "NO_SUCH_PROMPT"));
    };
    let next = format!("etdi inspect {}", shown_target(&talk.target));
    let given = given(prompt, pairs, &next)?;
    talk.output.progress(&format!("getting {}", visible(name)));
    let got = talk.client.get_prompt(name, given).await;
    let result = got.map_err(|error| talk.failure(error, ""))?;
    let mut shown = Shown::new(talk.save.as_deref());
    let bold = style::BOLD;
    for message in &result.messages {
        let who = match message.role {
            Role::Assistant => "assistant",
            _ => "user",
        };
        shown.line(format!("{bold}{who}:{bold:#}"));
        shown.block(&message.content)?;
    }
    let (text, saved) = shown.finish();
    let data = RawText::of(&result).ok().and_then(|text| text.parse::<Value>().ok());
    Ok(Report::new(json!({ "prompt": name, "result": data, "saved": saved }), text))
}

/// The arguments, which are texts all.
fn given(
    prompt: &Prompt,
    pairs: &[String],
    next: &str,
) -> Result<BTreeMap<String, String>, Failure> {
    let wrong = |message: String| Failure::usage(message, next);
    let known = || prompt.arguments.iter().flatten();
    let name = visible(&prompt.name);
    let mut given = BTreeMap::new();
    for pair in pairs {
        let Some((key, text)) = pair.split_once('=') else {
            return Err(wrong(format!("`{}` is no argument, write `key=value`", visible(pair))));
        };
        if !known().any(|argument| argument.name == key) {
            let hint = match nearest(key, known().map(|argument| argument.name.as_str())) {
                Some(near) => format!(", did you mean `{}`?", visible(near)),
                None => {
                    let names: Vec<_> =
                        known().map(|argument| format!("`{}`", visible(&argument.name))).collect();
                    match names.is_empty() {
                        true => ", it takes none".to_owned(),
                        false => format!(", it takes {}", names.join(", ")),
                    }
                }
            };
            return Err(wrong(format!("`{name}` takes no argument `{}`{hint}", visible(key))));
        }
        if given.insert(key.to_owned(), text_of(text, next)?).is_some() {
            return Err(wrong(format!("argument `{key}` is given twice, leave one out")));
        }
    }
    let missing = known().find(|one| one.required == Some(true) && !given.contains_key(&one.name));
    match missing {
        Some(missing) => {
            let missing = visible(&missing.name);
            Err(wrong(format!("`{name}` needs `{missing}`: write `{missing}=…`")))
        }
        None => Ok(given),
    }
}

#[cfg(test)]
mod tests {
    use mcp_types::PromptArgument;

    use super::*;

    #[test]
    fn arguments_are_those_that_the_prompt_has() {
        let mut prompt = Prompt::new("review");
        let mut language = PromptArgument::new("language");
        language.required = Some(true);
        prompt.arguments = Some(vec![language, PromptArgument::new("style")]);
        let read = |pairs: &[&str]| {
            let pairs: Vec<String> = pairs.iter().map(|pair| (*pair).to_owned()).collect();
            given(&prompt, &pairs, "etdi inspect").map_err(|failure| failure.message)
        };
        assert_eq!(read(&["language=rust"]).unwrap()["language"], "rust");
        for (pairs, message) in [
            (&["style=x"][..], "`review` needs `language`: write `language=…`"),
            (&["langauge=x"], "`review` takes no argument `langauge`, did you mean `language`?"),
            (&["zzz=x"], "`review` takes no argument `zzz`, it takes `language`, `style`"),
            (&["language"], "`language` is no argument, write `key=value`"),
            (&["style=a", "style=b"], "argument `style` is given twice, leave one out"),
        ] {
            assert_eq!(read(pairs).unwrap_err(), message);
        }
    }
}
