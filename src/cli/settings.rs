//! From the global options to what the commands need: layout, configuration, socket, logging.

use super::agent::{Agent, Found};
use super::arguments::Global;
use super::failure::{Failure, Invalid};
use super::{Exit, output};
use crate::config::{self, Environment, Layout, Loaded, Owners};
use crate::logging::{self, LogHandle};
use std::collections::HashMap;

impl Global {
    /// Where configuration is looked for.
    pub(super) fn layout(&self) -> Layout {
        match (&self.config, &self.root) {
            (Some(file), _) => Layout::file(file),
            (None, Some(root)) => Layout::under(root),
            (None, None) => Layout::system(),
        }
    }

    /// Below a directory that is not there is no configuration, which would look like an agent that idles.
    ///
    /// # Errors
    /// If `--root` names no directory.
    pub(super) fn refuse_absent_root(&self) -> Result<(), Failure> {
        match self.root.as_deref().filter(|root| !root.is_dir()) {
            Some(root) => Err(Failure::new(Exit::Usage, format!("--root {}: there is no such directory", root.display()))),
            None => Ok(()),
        }
    }

    /// The configuration as the agent finds it, to be looked at.
    ///
    /// # Errors
    /// [`Invalid`], with everything that is wrong.
    pub(super) fn load(&self) -> anyhow::Result<Loaded> {
        let (layout, environment) = (self.layout(), Environment::of_process());
        let owners = config::owners_for_agent(&layout, &environment);
        config::load(&layout, &owners, &environment).map_err(|errors| Invalid(errors).into())
    }

    /// The configuration for this process to run its checks: files of the agent's user are not for root to execute.
    ///
    /// # Errors
    /// [`Invalid`], with everything that is wrong.
    pub(super) fn load_to_run(&self) -> anyhow::Result<Loaded> {
        config::load(&self.layout(), &Owners::system(), &Environment::of_process()).map_err(|errors| Invalid(errors).into())
    }

    /// The running agent. A configuration that is broken, or that this user may not read, must not keep anybody from asking it, so what
    /// can be read of it says where the socket is, or else the default stands in.
    pub(super) fn agent(&self) -> anyhow::Result<Agent> {
        match &self.socket {
            Some(socket) => Agent::at(socket.clone(), Found::Named),
            None => self.agent_of(self.load().as_ref()),
        }
    }

    /// The same with a configuration that was loaded already, if it could be.
    pub(super) fn agent_of(&self, loaded: Result<&Loaded, &anyhow::Error>) -> anyhow::Result<Agent> {
        match (&self.socket, loaded) {
            (Some(socket), _) => Agent::at(socket.clone(), Found::Named),
            (None, Ok(loaded)) => Agent::at(loaded.plan.agent.socket.clone(), Found::Named),
            (None, Err(error)) => {
                let socket = config::socket(&self.layout()).unwrap_or_else(|| Environment::of_process().socket());
                Agent::at(socket, Found::Despite(first_of(error)))
            }
        }
    }

    /// The filter that was asked for, if one was.
    pub(super) fn filter(&self) -> Option<&str> {
        match (&self.log, self.verbose) {
            (Some(filter), _) => Some(filter),
            (None, 0) => None,
            (None, 1) => Some("debug"),
            (None, _) => Some("trace"),
        }
    }

    /// Sets up logging, `default` being the filter when none was asked for.
    ///
    /// # Errors
    /// If the filter is not understood.
    pub(super) fn log_to_stderr(&self, default: &str) -> anyhow::Result<LogHandle> {
        logging::init(self.log_format.into(), self.filter().unwrap_or(default)).map_err(|error| match error {
            logging::Error::Filter { .. } => Failure::new(Exit::Usage, error.to_string()).into(),
            logging::Error::Twice => error.into(),
        })
    }
}

/// The first thing that is wrong, on one line.
fn first_of(error: &anyhow::Error) -> String {
    let diagnostic = error.downcast_ref::<Invalid>().and_then(|Invalid(diagnostics)| diagnostics.first());
    let text = diagnostic.map_or_else(|| error.to_string(), ToString::to_string);
    text.lines().next().unwrap_or_default().to_owned()
}

/// Shows warnings about the configuration.
pub(super) fn warn(warnings: &[config::Diagnostic]) {
    for warning in warnings {
        output::notice(&format!("{warning}\n"));
    }
}

/// The environment of this process, for credentials. What is not UTF-8 cannot be a setting of ours.
pub(super) fn environment() -> HashMap<String, String> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))).collect()
}
