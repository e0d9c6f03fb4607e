//! Settings of the environment, or of a file `.env`.

use std::collections::HashMap;
use std::io::ErrorKind;

use anyhow::Context as _;

/// Names and values.
#[derive(Clone, Default)]
pub struct Settings(HashMap<String, String>);

impl Settings {
    /// Reads `.env` here, where there is one: lines of `NAME=value`; what stands in the environment
    /// wins.
    ///
    /// # Errors
    ///
    /// When there is a file that cannot be read.
    pub fn read() -> anyhow::Result<Self> {
        let text = match std::fs::read_to_string(".env") {
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            read => read.context("cannot read `.env`")?,
        };
        let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
        let pairs = lines.filter_map(|line| line.split_once('='));
        let mut all: HashMap<String, String> = pairs
            .map(|(name, value)| {
                (name.trim().to_owned(), value.trim().trim_matches('"').to_owned())
            })
            .collect();
        all.extend(std::env::vars());
        Ok(Self(all))
    }

    /// The same settings with another value under a name.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    /// The value of a name.
    ///
    /// # Errors
    ///
    /// When there is none, or it is empty.
    pub fn get(&self, name: &str) -> anyhow::Result<&str> {
        let value = self.maybe(name);
        value.with_context(|| format!("say `{name}` in the environment, or in a file `.env`"))
    }

    /// The value of a name, if it has one that is not empty.
    pub fn maybe(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Values may be secrets.
        f.debug_set().entries(self.0.keys()).finish()
    }
}
