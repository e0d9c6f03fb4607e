//! The clients, as a table: where each keeps its servers, and how it writes one.

use std::cell::Cell;
use std::path::PathBuf;

use crate::dialect::{Dialect, References, Remote};
use crate::format::Format;
use crate::place::{Base, Places, System, matching};

/// A program that uses MCP servers.
#[derive(Debug)]
pub struct Client {
    /// The name by which it is chosen, such as `claude-desktop`.
    pub id: &'static str,
    /// Its name for people.
    pub title: &'static str,
    /// Other names by which it is chosen.
    pub aliases: &'static [&'static str],
    /// How its file is written.
    pub format: Format,
    /// Whether comments in its file are read by the client itself.
    pub comments: bool,
    /// The way to its servers in the file.
    pub key: &'static [&'static str],
    /// Whether it is started from a shell, with the shell's variables and directory; others are started
    /// from the desktop and know neither.
    pub terminal: bool,
    /// Whether servers of single projects lie below `projects` in the file of the user.
    pub has_projects: bool,
    pub(crate) places: &'static [Place],
    pub(crate) dialect: Dialect,
}

/// For whom a file counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Scope {
    /// For the user, everywhere.
    User,
    /// For whoever works in a project's folder.
    Project,
}

impl Scope {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Project => "project",
        }
    }
}

/// A file in which a client keeps servers; it need not be there.
#[derive(Clone, Debug)]
pub struct ConfigFile {
    /// Whose it is.
    pub client: &'static Client,
    /// For whom it counts.
    pub scope: Scope,
    /// Where it is.
    pub path: PathBuf,
}

#[derive(Debug)]
pub(crate) struct Place {
    scope: Scope,
    base: Base,
    path: &'static str,
}

const fn user(base: Base, path: &'static str) -> Place {
    Place { scope: Scope::User, base, path }
}

const fn project(path: &'static str) -> Place {
    Place { scope: Scope::Project, base: Base::Project, path }
}

impl Client {
    /// The client of this name.
    pub fn find(name: &str) -> Option<&'static Self> {
        let name = name.to_ascii_lowercase();
        CLIENTS.iter().find(|one| one.id == name || one.aliases.contains(&name.as_str()))
    }

    /// All its files, there or not, the one to be written first of each scope.
    pub fn files(&'static self, places: &Places) -> Vec<ConfigFile> {
        let mut files = Vec::new();
        for scope in [Scope::User, Scope::Project] {
            for place in self.places.iter().filter(|place| place.scope == scope) {
                let Some(base) = places.base(place.base) else { continue };
                let paths = matching(&base, place.path);
                files.extend(paths.into_iter().map(|path| ConfigFile {
                    client: self,
                    scope,
                    path,
                }));
                if matches!(place.base, Base::Set(_)) {
                    break;
                }
            }
        }
        files
    }

    /// The file of a scope to be written: the first that is there, else the first.
    pub fn file(&'static self, places: &Places, scope: Scope) -> Option<ConfigFile> {
        let mut files: Vec<_> =
            self.files(places).into_iter().filter(|file| file.scope == scope).collect();
        let there = files.iter().position(|file| file.path.exists()).unwrap_or(0);
        (there < files.len()).then(|| files.swap_remove(there))
    }

    /// Whether the client seems to be on this computer: its file, or the folder of it, is there.
    pub fn is_present(&'static self, places: &Places) -> bool {
        self.files(places).iter().filter(|file| file.scope == Scope::User).any(|file| {
            let home = places.home();
            let folder = file.path.parent().filter(|folder| home.as_deref() != Some(folder));
            file.path.exists() || folder.is_some_and(|folder| folder.is_dir())
        })
    }

    /// Whether it can reach servers behind HTTP, and not start programs alone.
    pub fn takes_http(&self) -> bool {
        self.dialect.http.is_some()
    }

    /// How a value that is taken from a variable of its environment is written, if it can be.
    ///
    /// ```
    /// let cursor = etdi_clients::Client::find("cursor").and_then(|one| one.reference("TOKEN"));
    /// assert_eq!(cursor.as_deref(), Some("${env:TOKEN}"));
    /// ```
    pub fn reference(&self, variable: &str) -> Option<String> {
        match self.dialect.references {
            References::None => None,
            // Codex hands variables of its own on by their name, in a member of its own.
            _ if self.format == Format::Toml => None,
            References::Braces | References::Dollar => Some(format!("${{{variable}}}")),
            References::EnvInBraces => Some(format!("${{env:{variable}}}")),
            References::Curly => Some(format!("{{env:{variable}}}")),
        }
    }

    /// A text with its references to variables as `to` writes them; none where it has none, one has a
    /// default, or `to` knows none.
    ///
    /// ```
    /// let find = |id| etdi_clients::Client::find(id).expect("it is known");
    /// let (cursor, claude) = (find("cursor"), find("claude-code"));
    /// let written = cursor.rewritten("Bearer ${env:TOKEN}", claude);
    /// assert_eq!(written.as_deref(), Some("Bearer ${TOKEN}"));
    /// assert_eq!(claude.rewritten("${TOKEN}", find("claude-desktop")), None);
    /// ```
    pub fn rewritten(&self, text: &str, to: &Client) -> Option<String> {
        let can = to.reference("A").is_some() && !text.contains(":-");
        let written = |name: &str| to.reference(name);
        let written = crate::expand::expanded(text, self.dialect.references, &written);
        written.ok().filter(|_| can && self.refers(text))
    }

    /// Whether a text has a reference to a variable, as this client writes it.
    pub fn refers(&self, text: &str) -> bool {
        let met = Cell::new(false);
        let variable = |_: &str| {
            met.set(true);
            Some(String::new())
        };
        // One that only the client knows is none to a variable.
        let _ = crate::expand::expanded(text, self.dialect.references, &variable);
        met.get()
    }

    /// Whether a running client writes the file of this scope anew now and then, so that what is
    /// changed in it meanwhile may be lost.
    pub fn rewrites(&self, scope: Scope) -> bool {
        self.has_projects && scope == Scope::User
    }
}

/// What a system has no place for is left out: Visual Studio is for Windows.
pub fn known(system: System) -> impl Iterator<Item = &'static Client> {
    let fits = move |client: &&Client| client.id != "visual-studio" || system == System::Windows;
    CLIENTS.iter().filter(fits)
}

const PLAIN: Dialect = Dialect {
    command: "command",
    args: Some("args"),
    env: "env",
    cwd: Some("cwd"),
    stdio: None,
    http: Some(Remote { kind: None, url: "url" }),
    sse: Some(Remote { kind: None, url: "url" }),
    headers: "headers",
    bare_is_sse: false,
    references: References::EnvInBraces,
    always: &[],
    named: false,
};

/// A dialect in which an entry says of what kind it is.
const TYPED: Dialect = Dialect {
    stdio: Some("stdio"),
    http: Some(Remote { kind: Some("http"), url: "url" }),
    sse: Some(Remote { kind: Some("sse"), url: "url" }),
    ..PLAIN
};

const SERVERS: &[&str] = &["mcpServers"];

/// Files of no client, with servers under `mcpServers` as most clients' JSON has them.
pub static OF_NO_CLIENT: &[Client] = &[of_no_client(Format::Toml), of_no_client(Format::Yaml)];

const fn of_no_client(format: Format) -> Client {
    Client {
        id: "file",
        title: "a file",
        aliases: &[],
        format,
        comments: true,
        key: SERVERS,
        terminal: true,
        has_projects: false,
        places: &[],
        dialect: Dialect { references: References::Braces, ..TYPED },
    }
}

/// Every client that is known, in the order in which they are shown.
pub static CLIENTS: &[Client] = &[
    Client {
        id: "claude-desktop",
        title: "Claude Desktop",
        aliases: &["claude"],
        format: Format::Json,
        comments: false,
        key: SERVERS,
        terminal: false,
        has_projects: false,
        places: &[
            user(
                Base::LocalData,
                "Packages/Claude_*/LocalCache/Roaming/Claude/claude_desktop_config.json",
            ),
            user(Base::Support, "Claude/claude_desktop_config.json"),
        ],
        dialect: Dialect { http: None, sse: None, references: References::None, ..PLAIN },
    },
    Client {
        id: "claude-code",
        title: "Claude Code",
        aliases: &[],
        format: Format::Json,
        comments: false,
        key: SERVERS,
        terminal: true,
        has_projects: true,
        places: &[
            user(Base::Set("CLAUDE_CONFIG_DIR"), ".claude.json"),
            user(Base::Home, ".claude.json"),
            project(".mcp.json"),
        ],
        dialect: Dialect { references: References::Braces, ..TYPED },
    },
    Client {
        id: "cursor",
        title: "Cursor",
        aliases: &[],
        format: Format::Json,
        comments: true,
        key: SERVERS,
        terminal: false,
        has_projects: false,
        places: &[user(Base::Home, ".cursor/mcp.json"), project(".cursor/mcp.json")],
        dialect: PLAIN,
    },
    Client {
        id: "vscode",
        title: "VS Code",
        aliases: &["vs-code", "code"],
        format: Format::Json,
        comments: true,
        key: &["servers"],
        terminal: false,
        has_projects: false,
        places: &[
            user(Base::Set("VSCODE_PORTABLE"), "user-data/User/mcp.json"),
            user(Base::Support, "Code/User/mcp.json"),
            user(Base::Support, "Code/User/profiles/*/mcp.json"),
            user(Base::Support, "Code - Insiders/User/mcp.json"),
            project(".vscode/mcp.json"),
        ],
        dialect: TYPED,
    },
    Client {
        id: "visual-studio",
        title: "Visual Studio",
        aliases: &["visualstudio"],
        format: Format::Json,
        comments: true,
        key: &["servers"],
        terminal: false,
        has_projects: false,
        places: &[user(Base::Home, ".mcp.json"), project(".mcp.json")],
        dialect: TYPED,
    },
    Client {
        id: "windsurf",
        title: "Windsurf",
        aliases: &[],
        format: Format::Json,
        comments: false,
        key: SERVERS,
        terminal: false,
        has_projects: false,
        places: &[user(Base::Home, ".codeium/windsurf/mcp_config.json")],
        dialect: Dialect {
            http: Some(Remote { kind: None, url: "serverUrl" }),
            sse: Some(Remote { kind: None, url: "serverUrl" }),
            ..PLAIN
        },
    },
    Client {
        id: "zed",
        title: "Zed",
        aliases: &[],
        format: Format::Json,
        comments: true,
        key: &["context_servers"],
        terminal: false,
        has_projects: false,
        places: &[
            user(Base::Roaming, "Zed/settings.json"),
            user(Base::Config, "zed/settings.json"),
            project(".zed/settings.json"),
        ],
        dialect: Dialect { sse: None, cwd: None, references: References::None, ..PLAIN },
    },
    Client {
        id: "gemini",
        title: "Gemini CLI",
        aliases: &["gemini-cli"],
        format: Format::Json,
        comments: true,
        key: SERVERS,
        terminal: true,
        has_projects: false,
        places: &[
            user(Base::Set("GEMINI_CLI_HOME"), ".gemini/settings.json"),
            user(Base::Home, ".gemini/settings.json"),
            project(".gemini/settings.json"),
        ],
        dialect: Dialect {
            http: Some(Remote { kind: None, url: "httpUrl" }),
            bare_is_sse: true,
            references: References::Dollar,
            ..PLAIN
        },
    },
    Client {
        id: "antigravity",
        title: "Antigravity",
        aliases: &[],
        format: Format::Json,
        comments: false,
        key: SERVERS,
        terminal: false,
        has_projects: false,
        places: &[user(Base::Home, ".gemini/antigravity/mcp_config.json")],
        dialect: Dialect {
            http: Some(Remote { kind: None, url: "serverUrl" }),
            sse: None,
            references: References::None,
            ..PLAIN
        },
    },
    Client {
        id: "codex",
        title: "Codex",
        aliases: &[],
        format: Format::Toml,
        comments: true,
        key: &["mcp_servers"],
        terminal: true,
        has_projects: false,
        places: &[
            user(Base::Set("CODEX_HOME"), "config.toml"),
            user(Base::Home, ".codex/config.toml"),
            project(".codex/config.toml"),
        ],
        dialect: Dialect {
            sse: None,
            headers: "http_headers",
            references: References::Braces,
            ..PLAIN
        },
    },
    Client {
        id: "copilot",
        title: "Copilot CLI",
        aliases: &["copilot-cli"],
        format: Format::Json,
        comments: false,
        key: SERVERS,
        terminal: true,
        has_projects: false,
        places: &[
            user(Base::Set("COPILOT_HOME"), "mcp-config.json"),
            user(Base::Home, ".copilot/mcp-config.json"),
        ],
        dialect: Dialect {
            stdio: Some("local"),
            references: References::Braces,
            always: &[("tools", "[\"*\"]")],
            ..TYPED
        },
    },
    Client {
        id: "cline",
        title: "Cline",
        aliases: &[],
        format: Format::Json,
        comments: false,
        key: SERVERS,
        terminal: false,
        has_projects: false,
        places: &[user(
            Base::Support,
            "Code/User/globalStorage/saoudrizwan.claude-dev/settings/cline_mcp_settings.json",
        )],
        dialect: Dialect {
            http: Some(Remote { kind: Some("streamableHttp"), url: "url" }),
            sse: Some(Remote { kind: Some("sse"), url: "url" }),
            bare_is_sse: true,
            references: References::None,
            ..PLAIN
        },
    },
    Client {
        id: "roo",
        title: "Roo Code",
        aliases: &["roo-code"],
        format: Format::Json,
        comments: false,
        key: SERVERS,
        terminal: false,
        has_projects: false,
        places: &[
            user(
                Base::Support,
                "Code/User/globalStorage/rooveterinaryinc.roo-cline/settings/mcp_settings.json",
            ),
            project(".roo/mcp.json"),
        ],
        dialect: Dialect {
            http: Some(Remote { kind: Some("streamable-http"), url: "url" }),
            sse: Some(Remote { kind: Some("sse"), url: "url" }),
            bare_is_sse: true,
            ..PLAIN
        },
    },
    Client {
        id: "opencode",
        title: "OpenCode",
        aliases: &[],
        format: Format::Json,
        comments: true,
        key: &["mcp"],
        terminal: true,
        has_projects: false,
        places: &[
            user(Base::Set("OPENCODE_CONFIG"), ""),
            user(Base::Config, "opencode/opencode.json"),
            user(Base::Config, "opencode/opencode.jsonc"),
            project("opencode.json"),
            project("opencode.jsonc"),
        ],
        dialect: Dialect {
            args: None,
            env: "environment",
            cwd: None,
            stdio: Some("local"),
            http: Some(Remote { kind: Some("remote"), url: "url" }),
            sse: Some(Remote { kind: Some("remote"), url: "url" }),
            references: References::Curly,
            always: &[("enabled", "true")],
            ..PLAIN
        },
    },
    Client {
        id: "goose",
        title: "Goose",
        aliases: &[],
        format: Format::Yaml,
        comments: true,
        key: &["extensions"],
        terminal: true,
        has_projects: false,
        places: &[
            user(Base::Roaming, "Block/goose/config/config.yaml"),
            user(Base::Config, "goose/config.yaml"),
        ],
        dialect: Dialect {
            command: "cmd",
            env: "envs",
            cwd: None,
            stdio: Some("stdio"),
            http: Some(Remote { kind: Some("streamable_http"), url: "uri" }),
            sse: Some(Remote { kind: Some("sse"), url: "uri" }),
            references: References::None,
            always: &[("description", "\"\""), ("enabled", "true"), ("timeout", "300")],
            named: true,
            ..PLAIN
        },
    },
    Client {
        id: "lmstudio",
        title: "LM Studio",
        aliases: &["lm-studio"],
        format: Format::Json,
        comments: false,
        key: SERVERS,
        terminal: false,
        has_projects: false,
        places: &[
            user(Base::Home, ".lmstudio/mcp.json"),
            user(Base::Home, ".cache/lm-studio/mcp.json"),
        ],
        dialect: Dialect { sse: None, references: References::None, ..PLAIN },
    },
];
