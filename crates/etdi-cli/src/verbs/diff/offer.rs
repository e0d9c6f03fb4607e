//! What a server offers, as it can be kept in a file: one side of a comparison.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::Read as _;
use std::path::Path;

use etdi::core::change::visible;
use mcp_client::{Client, Error};
use mcp_types::{Caller, Listed};
use serde_json::{Map, Value, json};

use crate::ask::{server_says, while_opening};
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::targets::find;
use crate::verbs::scan::is_server;
use crate::verbs::target::{quoted, shown_path};
use crate::verbs::upstream::{TakeLine, Upstream, Way, failure};

/// Members of one kind by their name: tools and prompts by name, resources by URI, templates by
/// their template.
pub type Named = BTreeMap<String, Map<String, Value>>;

/// All that a server offers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Offer {
    /// Tools, prompts, resources and templates, each by its kind.
    pub kinds: BTreeMap<&'static str, Named>,
    /// The instructions.
    pub instructions: Option<String>,
    /// What the server says that it can do.
    pub capabilities: Map<String, Value>,
    /// Names that stand twice in one listing, with their kind.
    pub twice: Vec<(&'static str, String)>,
    /// Whether the side says nothing of anything but tools.
    pub tools_only: bool,
}

/// Each kind: its word for people, its member in a file and in results, and what names an entry.
pub const KINDS: [(&str, &str, &str); 4] = [
    ("tool", "tools", "name"),
    ("prompt", "prompts", "name"),
    ("resource", "resources", "uri"),
    ("resource template", "resourceTemplates", "uriTemplate"),
];

/// The most bytes of a file that are read.
const MOST: u64 = 64 << 20;

impl Offer {
    /// Reads or asks for one side: a file, a URL, or a program with its arguments between blanks.
    ///
    /// # Errors
    ///
    /// When the file holds no listing, or the server cannot be asked.
    pub async fn of_word(word: &str, output: Output) -> Result<Self, Failure> {
        let path = Path::new(word);
        if word == "-" || (path.is_file() && !is_server(word) && begins_as_json(path)) {
            return Self::of_file(word);
        }
        let is_file_name = !word.contains([' ', ':']) && word.ends_with(".json");
        if is_file_name && find(word, None).is_none() {
            let message = format!("there is no file `{}`", visible(word));
            let next = "etdi diff --help  # `--save FILE` writes one";
            return Err(Failure::usage(message, next));
        }
        let words: Vec<String> = match word.contains("://") || path.exists() {
            true => vec![word.to_owned()],
            false => word.split_whitespace().map(str::to_owned).collect(),
        };
        Self::of_server(&words, output).await
    }

    /// Reads a file, `-` for standard input: what [`Offer::written`] gives, the result of
    /// `tools/list` as it is or in its answer, or the array in it.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or holds none of these.
    pub fn of_file(word: &str) -> Result<Self, Failure> {
        let unfit = |why: String| {
            let message = format!("`{}` holds no listing: {why}", word.escape_debug());
            Failure::usage(message, "etdi diff --help")
        };
        let mut text = String::new();
        let read = match word {
            "-" => std::io::stdin().lock().take(MOST).read_to_string(&mut text),
            path => {
                std::fs::File::open(path).and_then(|file| file.take(MOST).read_to_string(&mut text))
            }
        };
        read.map_err(|error| unfit(error.to_string()))?;
        let mut value: Value =
            serde_json::from_str(&text).map_err(|error| unfit(error.to_string()))?;
        if let Some(result) = value.get_mut("result").filter(|result| result.is_object()) {
            value = result.take();
        }
        if value.is_array() {
            value = json!({ "tools": value });
        }
        let Value::Object(members) = &value else {
            return Err(unfit("it is neither an object nor an array".to_owned()));
        };
        if !KINDS.iter().any(|(_, member, _)| members.contains_key(*member)) {
            return Err(unfit("it has no member `tools`".to_owned()));
        }
        let mut offer = Self { tools_only: !members.contains_key("v"), ..Self::default() };
        for (kind, member, key) in KINDS {
            let entries = match members.get(member) {
                None => &[][..],
                Some(Value::Array(entries)) => entries,
                Some(_) => return Err(unfit(format!("`{member}` is no array"))),
            };
            for entry in entries {
                let entry = entry.as_object().ok_or_else(|| {
                    unfit(format!("`{member}` holds something that is no object"))
                })?;
                offer.add(kind, key, entry.clone()).map_err(unfit)?;
            }
        }
        offer.instructions = members.get("instructions").and_then(Value::as_str).map(str::to_owned);
        if let Some(Value::Object(capabilities)) = members.get("capabilities") {
            offer.capabilities = capabilities.clone();
        }
        Ok(offer)
    }

    /// Asks a server for everything that it lists.
    ///
    /// # Errors
    ///
    /// When it cannot be reached, or does not answer as a server does.
    pub async fn of_server(words: &[String], output: Output) -> Result<Self, Failure> {
        output.progress(&format!("listing what {} offers", visible(&words.join(" "))));
        let on_stderr: Option<TakeLine> = Some(Box::new(server_says));
        let upstream = Upstream::reach(words, Way { on_stderr, ..Way::default() }, output)?;
        let listed = while_opening(Self::ask(&Client::new(upstream.caller()))).await;
        upstream.close().await;
        match listed {
            Ok(Ok(offer)) => Ok(offer),
            Ok(Err(why)) => {
                let shown: Vec<_> = words.iter().map(|word| quoted(word)).collect();
                let next = format!("etdi doctor -- {}", shown.join(" "));
                Err(Failure::new(Exit::ProtocolViolation, why, next))
            }
            Err(error) => Err(failure(&error, words)),
        }
    }

    /// Asks a client's server for everything that it lists; the inner error is an entry without a name.
    ///
    /// # Errors
    ///
    /// As the client's listings.
    pub async fn ask(client: &Client<Caller>) -> Result<Result<Self, String>, Error> {
        let about = client.discover().await?;
        let can = &about.capabilities;
        let mut offer = Self { instructions: about.instructions.clone(), ..Self::default() };
        if let Ok(Value::Object(capabilities)) = serde_json::to_value(can) {
            offer.capabilities = capabilities;
        }
        let mut entries: Vec<(usize, Value)> = Vec::new();
        if can.tools.is_some() {
            entries.extend(values(0, &client.all_tools().await?));
        }
        if can.prompts.is_some() {
            entries.extend(values(1, &client.all_prompts().await?));
        }
        if can.resources.is_some() {
            entries.extend(values(2, &client.all_resources().await?));
            entries.extend(values(3, &client.all_resource_templates().await?));
        }
        for (at, entry) in entries {
            let (Some((kind, _, key)), Value::Object(entry)) = (KINDS.get(at), entry) else {
                continue;
            };
            if let Err(why) = offer.add(kind, key, entry) {
                return Ok(Err(why));
            }
        }
        Ok(Ok(offer))
    }

    fn add(
        &mut self,
        kind: &'static str,
        key: &'static str,
        entry: Map<String, Value>,
    ) -> Result<(), String> {
        let Some(name) = entry.get(key).and_then(Value::as_str).map(str::to_owned) else {
            return Err(format!("a {kind} has no `{key}`"));
        };
        match self.kinds.entry(kind).or_default().entry(name) {
            Entry::Vacant(place) => drop(place.insert(entry)),
            // What a model sees first is what it believes; the second is told by itself.
            Entry::Occupied(known) => self.twice.push((kind, known.key().clone())),
        }
        Ok(())
    }

    /// The entries of one kind.
    pub fn named(&self, kind: &str) -> &Named {
        static NONE: Named = Named::new();
        self.kinds.get(kind).unwrap_or(&NONE)
    }

    /// The text of a file that keeps it.
    pub fn written(&self) -> String {
        let mut members = Map::new();
        members.insert("v".to_owned(), 1.into());
        members.insert("capabilities".to_owned(), Value::Object(self.capabilities.clone()));
        if let Some(instructions) = &self.instructions {
            members.insert("instructions".to_owned(), instructions.clone().into());
        }
        for (kind, member, _) in KINDS {
            let entries = self.named(kind).values().cloned().map(Value::Object).collect();
            members.insert(member.to_owned(), Value::Array(entries));
        }
        let text = serde_json::to_string_pretty(&members).unwrap_or_default();
        text + "\n"
    }

    /// Keeps it in a file.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), Failure> {
        std::fs::write(path, self.written()).map_err(|error| {
            let message = format!("`{}` cannot be written: {error}", path.display());
            Failure::usage(message, format!("ls -ld {}", shown_path(path)))
        })
    }
}

fn values<T>(at: usize, listed: &[std::sync::Arc<Listed<T>>]) -> Vec<(usize, Value)> {
    listed.iter().filter_map(|entry| Some((at, entry.text().parse().ok()?))).collect()
}

/// Whether a file is a listing rather than a program: its first letter that is no blank says so.
fn begins_as_json(path: &Path) -> bool {
    let mut start = [0; 256];
    let read = std::fs::File::open(path).and_then(|mut file| file.read(&mut start));
    let start = start.get(..read.unwrap_or_default()).unwrap_or_default();
    start.iter().find(|byte| !byte.is_ascii_whitespace()).is_some_and(|byte| b"{[".contains(byte))
}
