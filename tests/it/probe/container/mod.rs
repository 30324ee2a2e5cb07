//! `type = "container"`: against a stand-in that answers as the engines do, and against a real Podman.

use super::*;
use crate::private;
use ros_signal_agent::check::Health;
use ros_signal_agent::plan::Container;
use std::path::PathBuf;

mod answers;
mod podman;

fn container(socket: &Path) -> Container {
    Container { name: "web".to_owned(), socket: Some(socket.to_owned()), without_healthcheck: Health::Passing }
}

async fn look(socket: &Path) -> Observation {
    run(Probe::Container(container(socket))).await
}

/// An answer of an engine, as it was written down.
fn golden(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/container").join(name);
    std::fs::read_to_string(path).unwrap()
}
