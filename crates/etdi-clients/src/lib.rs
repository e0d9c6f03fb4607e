//! Where MCP clients keep their servers: reads and edits the configuration of sixteen of them.
//!
//! Each client is a row of [`CLIENTS`]: where its files lie on which system, the way to its servers
//! in them, and how it writes one. A [`Config`] is one such file as it was read; what is changed in
//! it is changed in place, so that comments, order, white space and what nobody here knows keep
//! their bytes. A [`Journal`] writes what was changed: locked, with a copy of what was there, by a
//! rename, and to be taken back.
//!
//! ```no_run
//! use etdi_clients::{Client, Config, Journal, Launch, Places, Program, Scope};
//!
//! # fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let cursor = Client::find("cursor").ok_or("no such client")?;
//! let file = cursor.file(&Places::here("."), Scope::User).ok_or("no home")?;
//! let mut config = Config::open(&file)?;
//! let program = Program { command: "/usr/bin/notes".into(), ..Program::default() };
//! config.put("notes", &Launch::Program(program))?;
//! print!("{}", config.diff());
//! Journal::open("/home/me/.local/share/etdi/clients")?.commit("install", 0, &[config])?;
//! # Ok(()) }
//! ```
//!
//! It starts nothing, asks no network and reads no clock. Which program a name leads to, and whether
//! a server answers, is for whoever uses it.

mod client;
mod config;
mod dialect;
mod expand;
mod format;
mod journal;
mod json;
mod place;
mod secret;
mod toml;
mod tree;
mod yaml;

pub use client::{CLIENTS, Client, ConfigFile, OF_NO_CLIENT, Scope, known};
pub use config::{Config, ConfigError, Server, all_servers};
pub use dialect::{Launch, Program, RemoteServer, Unfit};
pub use expand::Unresolved;
pub use format::{Broken, Edit, EditError, Format, MAX_FILE, difference};
pub use journal::{Journal, Record, Undone, WriteError};
pub use place::{Places, System};
pub use secret::looks_secret;
pub use tree::{Kind, Member, Node, Value, line_of};
