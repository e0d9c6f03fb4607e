//! What is said when the cluster is started.

use std::ffi::OsString;

use anyhow::{Context as _, bail};

pub(crate) const USAGE: &str = "usage: cluster [--each-request] [--nodes N] [--node PROGRAM] \
                                [--redis URL] [--port N | ADDRESS]\n       \
                                cluster measure [ROUNDS]";

pub(crate) struct Arguments {
    pub(crate) address: String,
    /// How many processes serve.
    pub(crate) nodes: usize,
    /// Whether each request goes to the next node, and not each connection.
    pub(crate) each_request: bool,
    /// A Redis that is there already.
    pub(crate) redis: Option<String>,
    /// What each node is, started with `--node`, in place of this program.
    pub(crate) program: Option<OsString>,
}

impl Arguments {
    pub(crate) fn read(words: impl IntoIterator<Item = String>) -> anyhow::Result<Self> {
        let mut read = Self {
            address: "127.0.0.1:8000".to_owned(),
            nodes: 3,
            each_request: false,
            redis: None,
            program: None,
        };
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--each-request" => read.each_request = true,
                "--nodes" => {
                    let count = words.next().context(USAGE)?.parse();
                    let count = count.ok().filter(|count| (1..=64).contains(count));
                    read.nodes = count.context("`--nodes` needs a number from 1 to 64")?;
                }
                "--redis" => read.redis = Some(words.next().context(USAGE)?),
                "--node" => read.program = Some(words.next().context(USAGE)?.into()),
                "--port" => read.address = format!("127.0.0.1:{}", words.next().context(USAGE)?),
                option if option.starts_with('-') => bail!(USAGE),
                address if address.contains(':') => address.clone_into(&mut read.address),
                _ => bail!(USAGE),
            }
        }
        Ok(read)
    }
}
