//! Where files lie: on which system, by which variables, in which project.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// An operating system, as far as places go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum System {
    /// Linux and what is like it.
    Linux,
    /// macOS.
    Mac,
    /// Windows.
    Windows,
}

impl System {
    /// The one that this program was built for.
    pub fn here() -> Self {
        match () {
            () if cfg!(target_os = "macos") => Self::Mac,
            () if cfg!(windows) => Self::Windows,
            () => Self::Linux,
        }
    }
}

/// What the variables of an environment hold.
type Variables = Box<dyn Fn(&str) -> Option<OsString> + Send + Sync>;

/// Where a user's files are: the system, the variables that move them, and the project's folder.
pub struct Places {
    system: System,
    variable: Variables,
    project: PathBuf,
}

impl Places {
    /// The places of this process, with its own environment.
    pub fn here(project: impl Into<PathBuf>) -> Self {
        Self::new(System::here(), project, |name| std::env::var_os(name))
    }

    /// The places of another system or environment.
    pub fn new(
        system: System,
        project: impl Into<PathBuf>,
        variable: impl Fn(&str) -> Option<OsString> + Send + Sync + 'static,
    ) -> Self {
        Self { system, variable: Box::new(variable), project: project.into() }
    }

    /// The system.
    pub fn system(&self) -> System {
        self.system
    }

    /// The project's folder.
    pub fn project(&self) -> &Path {
        &self.project
    }

    fn set(&self, name: &str) -> Option<PathBuf> {
        (self.variable)(name).filter(|value| !value.is_empty()).map(PathBuf::from)
    }

    /// The user's own folder.
    pub fn home(&self) -> Option<PathBuf> {
        match self.system {
            System::Windows => self.set("USERPROFILE").or_else(|| self.set("HOME")),
            _ => self.set("HOME"),
        }
    }

    /// Where a base leads, if it does here.
    pub(crate) fn base(&self, base: Base) -> Option<PathBuf> {
        // The XDG specification has relative paths ignored.
        let xdg = || self.set("XDG_CONFIG_HOME").filter(|path| path.is_absolute());
        let config = || xdg().or_else(|| Some(self.home()?.join(".config")));
        let roaming = || self.set("APPDATA").or_else(|| Some(self.home()?.join("AppData/Roaming")));
        match base {
            Base::Home => self.home(),
            Base::Project => Some(self.project.clone()),
            Base::Config => config(),
            Base::Support => match self.system {
                System::Linux => config(),
                System::Mac => Some(self.home()?.join("Library/Application Support")),
                System::Windows => roaming(),
            },
            Base::Roaming => roaming().filter(|_| self.system == System::Windows),
            Base::LocalData => self
                .set("LOCALAPPDATA")
                .or_else(|| Some(self.home()?.join("AppData/Local")))
                .filter(|_| self.system == System::Windows),
            Base::Set(name) => self.set(name),
        }
    }
}

/// What a place is relative to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Base {
    /// The user's folder.
    Home,
    /// The project's folder.
    Project,
    /// `$XDG_CONFIG_HOME`, else `~/.config`.
    Config,
    /// Where applications of the desktop keep their files.
    Support,
    /// `%APPDATA%`; on Windows alone.
    Roaming,
    /// `%LOCALAPPDATA%`; on Windows alone.
    LocalData,
    /// What a variable says. Where it is set, the places after it do not count.
    Set(&'static str),
}

/// The paths of a pattern in which one part may hold a `*`; the pattern itself where none does.
pub(crate) fn matching(base: &Path, pattern: &str) -> Vec<PathBuf> {
    let Some((before, after)) = pattern.split_once('*') else { return vec![base.join(pattern)] };
    let (folder, begins) = before.rsplit_once('/').unwrap_or(("", before));
    let (ends, rest) = after.split_once('/').unwrap_or((after, ""));
    let Ok(entries) = std::fs::read_dir(base.join(folder)) else { return Vec::new() };
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.len() >= begins.len() + ends.len())
        .filter(|name| name.starts_with(begins) && name.ends_with(ends))
        .collect();
    names.sort();
    names.into_iter().map(|name| base.join(folder).join(name).join(rest)).collect()
}
