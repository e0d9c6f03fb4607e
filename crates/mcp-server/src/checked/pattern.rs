//! Text that a regular expression describes.

use std::any::TypeId;
use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use regex_lite::Regex;
use schemars::Schema;

use super::{Refused, Rule, explain, shown};

/// A regular expression for [`Matches`].
///
/// ```
/// use mcp_server::checked::{Matches, Pattern, Text};
///
/// enum Sku {}
///
/// impl Pattern for Sku {
///     const REGEX: &str = "[A-Z]{2}-[0-9]{4}";
///     const MEANING: &str = "an article number such as AB-1234";
/// }
///
/// assert!(Text::<Matches<Sku>>::new("AB-1234").is_ok());
/// assert!(Text::<Matches<Sku>>::new("AB-1234; rm -rf /").is_err());
/// ```
pub trait Pattern: 'static {
    /// The expression; it must match the whole text, so it needs no `^` and `$`. Stay with what
    /// JSON Schema's dialect knows too. The engine takes time linear in the text.
    const REGEX: &'static str;
    /// What it describes, for people and models.
    const MEANING: &'static str;
    /// Longest text in bytes; a longer one is refused before the expression sees it.
    const MAX: usize = 4096;
}

/// The regular expression of `P` matches the whole text.
#[derive(Debug)]
pub struct Matches<P>(PhantomData<fn() -> P>);

impl<P: Pattern> Rule for Matches<P> {
    type Parsed = ();

    fn check(text: &str) -> Result<(), Refused> {
        if text.len() > P::MAX {
            return Err(Refused::new(format!("the text is too long, give {}", P::MEANING)));
        }
        let regex = compiled::<P>().map_err(|error| {
            Refused::new(format!("the server's own pattern is broken, tell its author: {error}"))
        })?;
        if regex.is_match(text) {
            return Ok(());
        }
        Err(Refused::new(format!("{} is not {}", shown(text), P::MEANING)))
    }

    fn describe(schema: &mut Schema) {
        schema.insert("pattern".into(), anchored(P::REGEX).into());
        schema.insert("maxLength".into(), P::MAX.into());
        explain(schema, P::MEANING);
    }
}

fn anchored(regex: &str) -> String {
    format!("^(?:{regex})$")
}

/// The compiled expressions by their type; there are as many as the program has patterns.
fn compiled<P: Pattern>() -> Result<Arc<Regex>, regex_lite::Error> {
    static KNOWN: LazyLock<RwLock<HashMap<TypeId, Arc<Regex>>>> = LazyLock::new(RwLock::default);
    let id = TypeId::of::<P>();
    if let Some(regex) = KNOWN.read().unwrap_or_else(PoisonError::into_inner).get(&id) {
        return Ok(regex.clone());
    }
    let regex = Arc::new(Regex::new(&anchored(P::REGEX))?);
    KNOWN.write().unwrap_or_else(PoisonError::into_inner).insert(id, regex.clone());
    Ok(regex)
}
