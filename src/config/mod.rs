//! Turns configuration files into a [`Plan`], or into all that is wrong with them.
//!
//! The way of a value: [`layout`](Layout) finds and reads files; `fragment` parses each into a tree in which everything knows its
//! place, and merges the trees; `reader` and `build` read the merged tree as [`keys`] describes it. All problems of all files are
//! gathered before anything is refused, each a [`Diagnostic`].
//!
//! Files, directories and owners are looked at here and nowhere else; the environment is an argument.

mod build;
mod diagnostic;
mod duration;
mod forms;
mod fragment;
pub mod keys;
mod layout;
mod matching;
mod network;
mod origins;
mod owners;
mod reader;
mod reference;
mod schema;
mod secrecy;
mod size;
mod source;
mod times;

pub use diagnostic::{Diagnostic, Position, Severity};
pub use layout::{FILE_LIMIT, FILES_LIMIT, Layout};
pub use origins::{Origin, Origins, Setting};
pub use owners::{Owner, Owners};
pub use reference::reference;
pub use schema::schema;
pub(crate) use secrecy::is_secret_name;
pub(crate) use times::{Running, running};
pub use times::{Times, times, times_of};

use crate::plan::Plan;
use fragment::{Data, Table};
use reader::Notes;
use std::path::PathBuf;

/// Most diagnostics of each kind that are kept: nobody reads more, and a wrong file may have one per byte.
const LIMIT: usize = 200;

/// The environment variable that names the host of ROS, as for Terraform's provider.
pub const ROS_ENDPOINT: &str = "ROS_ENDPOINT";

/// What the environment of the process says: directories of the service manager, and the host of ROS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// `$STATE_DIRECTORY`.
    pub state_directory: Option<PathBuf>,
    /// `$RUNTIME_DIRECTORY`.
    pub runtime_directory: Option<PathBuf>,
    /// `$ROS_ENDPOINT`; an empty one is none.
    pub ros_endpoint: Option<String>,
}

impl Environment {
    /// That of this process. A list of directories (systemd.exec(5): separated by colons) stands for its first.
    pub fn of_process() -> Self {
        let first = |name: &str| {
            let value = std::env::var_os(name)?;
            std::env::split_paths(&value).next().filter(|path| path.is_absolute())
        };
        // What is not UTF-8 is no URL, and is refused as one.
        let ros_endpoint = std::env::var_os(ROS_ENDPOINT).map(|value| value.to_string_lossy().into_owned());
        Self {
            state_directory: first("STATE_DIRECTORY"),
            runtime_directory: first("RUNTIME_DIRECTORY"),
            ros_endpoint: ros_endpoint.filter(|value| !value.is_empty()),
        }
    }

    fn state_dir(&self) -> PathBuf {
        self.state_directory.clone().unwrap_or_else(|| PathBuf::from("/var/lib/ros-signal-agent"))
    }

    /// Where the control socket is unless the configuration says otherwise.
    pub fn socket(&self) -> PathBuf {
        self.runtime_directory.clone().unwrap_or_else(|| PathBuf::from("/run/ros-signal-agent")).join("control.sock")
    }
}

/// A configuration that can be used.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What the agent runs.
    pub plan: Plan,
    /// Every effective key, its value and where it was written.
    pub origins: Origins,
    /// What somebody should look at.
    pub warnings: Vec<Diagnostic>,
    /// The files that were read, lowest precedence first.
    pub files: Vec<PathBuf>,
}

/// Loads the configuration of `layout`. No file at all is a plan without signals: the agent idles.
///
/// # Errors
/// Everything that is wrong, in order of files and lines, then the warnings. At least one is an error.
pub fn load(layout: &Layout, owners: &Owners, environment: &Environment) -> Result<Loaded, Vec<Diagnostic>> {
    let mut diagnostics = Vec::new();
    let mut sources = layout.read(owners, &mut diagnostics);
    let mut root = Table::default();
    let mut broken = Vec::new();
    for file in 0..sources.0.len() {
        let before = diagnostics.len();
        let table = fragment::parse(&mut sources, file, &mut diagnostics);
        let lines = diagnostics.iter().skip(before).filter_map(|error| error.position.as_ref());
        let source = sources.get(file);
        broken.extend(lines.filter_map(|position| Some((file, source?.in_doubt(position.line)))));
        fragment::merge(&mut root, table);
    }
    let incomplete = !diagnostics.is_empty();
    let mut notes = Notes { sources, diagnostics, refused: incomplete, incomplete, origins: Origins::default(), broken };
    let plan = build::plan(&root, owners, environment, &mut notes);
    let Notes { sources, mut diagnostics, origins, .. } = notes;
    diagnostics.extend(layout.left_out(owners));
    let files: Vec<PathBuf> = sources.0.iter().map(|source| source.path.clone()).collect();
    let rank = |diagnostic: &Diagnostic| files.iter().position(|path| *path == diagnostic.path);
    diagnostics.sort_by_cached_key(|diagnostic| {
        let (line, column) = diagnostic.position.as_ref().map_or((0, 0), |position| (position.line, position.column));
        (diagnostic.severity, rank(diagnostic), line, column, diagnostic.message.clone())
    });
    diagnostics.dedup();
    match plan {
        Some(plan) => Ok(Loaded { plan, origins, warnings: diagnostics, files }),
        None if diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error) => Err(diagnostics),
        None => {
            // A value was dropped without its reason: a mistake of this program, told as such rather than run.
            let place = files.first().cloned().unwrap_or_else(|| layout.main.clone());
            diagnostics.insert(0, Diagnostic::of_file(place, "the configuration could not be understood", None));
            Err(diagnostics)
        }
    }
}

/// `agent.socket`, if it can be read, of a configuration that may be wrong elsewhere: for those who ask an agent that runs already.
pub fn socket(layout: &Layout) -> Option<PathBuf> {
    path_of_agent(layout, "socket")
}

/// `agent.state_dir`, or what stands in for it, of a configuration that may be wrong elsewhere.
pub fn state_dir(layout: &Layout, environment: &Environment) -> PathBuf {
    path_of_agent(layout, "state_dir").unwrap_or_else(|| environment.state_dir())
}

/// For whom root judges owners who does not run what is configured: for the agent's own user, known by the state directory, which the
/// agent owns. Anybody else, and root where there is no such directory, judges for itself.
pub fn owners_for_agent(layout: &Layout, environment: &Environment) -> Owners {
    if !rustix::process::geteuid().is_root() {
        return Owners::system();
    }
    Owners::of_owner(&state_dir(layout, environment)).unwrap_or_else(Owners::system)
}

/// A path of `[agent]`, if it can be read.
fn path_of_agent(layout: &Layout, key: &str) -> Option<PathBuf> {
    let mut unheard = Vec::new();
    let mut sources = layout.read(&Owners::system(), &mut unheard);
    let mut root = Table::default();
    for file in 0..sources.0.len() {
        let before = unheard.len();
        let mut table = fragment::parse(&mut sources, file, &mut unheard);
        if let Some(source) = sources.get(file).filter(|_| unheard.len() > before) {
            fragment::complete(&mut table, "agent", &source.text);
        }
        fragment::merge(&mut root, table);
    }
    let Data::Table(agent) = &root.0.get("agent")?.value.data else { return None };
    forms::path(&agent.0.get(key)?.value).ok()
}

/// A commented file with every key and its default.
pub fn default_file() -> &'static str {
    include_str!("../../packaging/config.toml")
}
