//! `type = "container"`.

use crate::check::Health;
use std::path::PathBuf;

/// A container of Docker or Podman.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// `name`: its name or id.
    pub name: String,
    /// `socket` of the engine; none: the first of the usual places where there is one.
    pub socket: Option<PathBuf>,
    /// `without_healthcheck`: what a running container without a health check is.
    pub without_healthcheck: Health,
}
