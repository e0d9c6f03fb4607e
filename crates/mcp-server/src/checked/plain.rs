//! Text of a bounded length.

use schemars::Schema;

use super::{Refused, Rule};

/// At least `MIN` and at most `MAX` characters (Unicode code points, as in JSON Schema).
///
/// ```
/// use mcp_server::checked::{Length, Text};
///
/// assert!(Text::<Length<1, 5>>::new("höher").is_ok());
/// assert!(Text::<Length<1, 5>>::new("").is_err());
/// ```
#[derive(Debug)]
pub enum Length<const MIN: usize, const MAX: usize> {}

impl<const MIN: usize, const MAX: usize> Rule for Length<MIN, MAX> {
    type Parsed = ();

    fn check(text: &str) -> Result<(), Refused> {
        // One look beyond the bound is enough, however long the text is.
        let count = text.chars().take(MAX.saturating_add(1)).count();
        match count {
            count if count < MIN => {
                Err(Refused::new(format!("the text has {count} characters, give at least {MIN}")))
            }
            count if count > MAX => {
                Err(Refused::new(format!("the text is too long, give at most {MAX} characters")))
            }
            _ => Ok(()),
        }
    }

    fn describe(schema: &mut Schema) {
        if MIN > 0 {
            schema.insert("minLength".into(), MIN.into());
        }
        schema.insert("maxLength".into(), MAX.into());
    }
}
