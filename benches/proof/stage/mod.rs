//! What all parts need: the agent as a process, the sandbox, what the kernel knows of a process, a child that is measured, and the report.

pub(crate) mod child;
pub(crate) mod picture;
pub(crate) mod process;
pub(crate) mod report;
pub(crate) mod world;

use std::path::PathBuf;
use std::time::Duration;

/// A number from the environment.
pub(crate) fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[expect(clippy::disallowed_methods, reason = "a measurement takes its time")]
pub(crate) fn wait(span: Duration) {
    std::thread::sleep(span);
}

/// The program that is measured.
pub(crate) fn agent() -> String {
    std::env::var("AGENT").unwrap_or_else(|_| env!("CARGO_BIN_EXE_ros-signal-agent").to_owned())
}

/// The middle of some figures, and the one that a share of them does not exceed.
#[derive(Clone, Debug)]
pub(crate) struct Spread(Vec<f64>);

impl Spread {
    pub(crate) fn of(mut figures: Vec<f64>) -> Self {
        figures.sort_by(f64::total_cmp);
        Self(figures)
    }

    /// The figure that `share` (0 to 1) of them do not exceed.
    pub(crate) fn at(&self, share: f64) -> f64 {
        let last = self.0.len().saturating_sub(1);
        self.0.get((last as f64 * share).round() as usize).copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn median(&self) -> f64 {
        self.at(0.5)
    }

    /// All of them, from the least.
    pub(crate) fn all(&self) -> &[f64] {
        &self.0
    }
}

/// Where a program is; an error if it is not installed.
pub(crate) fn program(name: &str) -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file());
    found.ok_or_else(|| format!("{name} is not installed"))
}
