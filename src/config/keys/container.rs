//! The keys of `type = "container"`.

use super::Fallback::{Absent, Required, Toml};
use super::{Section, Shape, key};

/// `type = "container"`.
pub(super) static CONTAINER: Section = Section {
    header: "`type = \"container\"`",
    about: "A container of Docker or Podman and its health check, over the engine's Unix socket.",
    keys: &[
        key("name", Shape::Text, Required, "Name or id of the container."),
        key(
            "socket",
            Shape::Path,
            Absent("the first of `/run/docker.sock` and `/run/podman/podman.sock` that exists"),
            "Socket of the engine.",
        ),
        key(
            "without_healthcheck",
            Shape::Word(&["passing", "warning", "critical"]),
            Toml("\"passing\""),
            "What a running container is that has no health check.",
        ),
    ],
};
