//! The engine: where its socket is, and requests to it.

use crate::check::{Health, Observation};
use crate::plan::{Container, TlsOptions};
use crate::probe::failure;
use crate::probe::progress::{Doing, Progress};
use crate::probe::text::quoted;
use crate::tls;
use reqwest::{Response, Url};
use serde::Deserialize;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Where the engines listen: Docker, and Podman of root.
const USUAL: [&str; 2] = ["/run/docker.sock", "/run/podman/podman.sock"];
/// What is read of an answer. The description of a container has some KiB; its labels and environment can make it large.
const BODY_LIMIT: usize = 1024 * 1024;

/// How the engines say that something failed.
#[derive(Deserialize)]
struct Refusal {
    message: String,
}

/// The description of the container, as JSON. Errors are observations.
pub(super) async fn inspect(container: &Container, progress: &Progress) -> Result<Vec<u8>, Observation> {
    let socket = socket(container)?;
    let place = socket.display().to_string();
    progress.now(Doing::WaitingForAnswer(place.clone()));
    let url = format!("http://engine/containers/{}/json", container.name);
    let url = url.parse().map_err(|_| unknown(format!("{} cannot be asked for: it does not fit into a URL", quoted(&container.name))))?;
    let mut response = get(&socket, url).await?;
    progress.now(Doing::ReadingAnswer(place.clone()));
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| failure::of_request(&error, &place))? {
        if body.len() + chunk.len() > BODY_LIMIT {
            return Err(unknown(format!("{place} says more than 1 MiB about container {}", container.name)));
        }
        body.extend_from_slice(&chunk);
    }
    let refusal = |body: &[u8]| serde_json::from_slice(body).ok().map(|refusal: Refusal| refusal.message);
    match (response.status().as_u16(), refusal(&body)) {
        (200, _) => Ok(body),
        (404, Some(_)) => Err(Observation::new(Health::Critical, format!("there is no container {} at {place}", container.name))),
        (status, Some(message)) => Err(unknown(format!("{place} answered HTTP {status}: {}", quoted(&message)))),
        (status, None) => Err(unknown(format!("{place} answered HTTP {status}, not as Docker or Podman do"))),
    }
}

/// The stream of what happens to the container. Errors are observations, though nobody reads them: the next look says it.
pub(super) async fn events(container: &Container) -> Result<Response, Observation> {
    let filters = serde_json::json!({ "type": ["container"], "container": [container.name] }).to_string();
    let url = Url::parse_with_params("http://engine/events", [("filters", filters)]);
    let url = url.map_err(|error| unknown(format!("the events cannot be asked for: {error}")))?;
    let response = get(&socket(container)?, url).await?;
    match response.status().as_u16() {
        200 => Ok(response),
        status => Err(unknown(format!("the engine answered HTTP {status}"))),
    }
}

/// The socket to ask.
fn socket(container: &Container) -> Result<PathBuf, Observation> {
    container.socket.clone().map_or_else(|| first_of(USUAL.map(Path::new)), Ok)
}

/// The first that exists. The usual places are on a file system in memory, so looking there does not block.
fn first_of(usual: [&Path; 2]) -> Result<PathBuf, Observation> {
    let mut hidden = None;
    for path in usual {
        match path.symlink_metadata() {
            Ok(_) => return Ok(path.to_owned()),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => hidden = Some(path),
            Err(_) => {}
        }
    }
    let [docker, podman] = usual.map(Path::display);
    let message = format!("neither {docker} nor {podman} exists; is the engine running? (Podman: podman.socket)");
    Err(hidden.map_or_else(|| Observation::new(Health::Critical, message), denied))
}

/// Each request has a connection of its own, so that an engine that accepts no more of them shows.
async fn get(socket: &Path, url: Url) -> Result<Response, Observation> {
    let options = TlsOptions { verify: true, ca_file: None, client: None, server_name: None };
    let config = tls::client_config(&options, None).map_err(|error| unknown(format!("no HTTP client can be made: {error}")))?;
    let client = tls::plain_builder(config).pool_max_idle_per_host(0).unix_socket(socket).build();
    let client = client.map_err(|error| unknown(format!("no HTTP client can be made: {}", error.without_url())))?;
    client.get(url).send().await.map_err(|error| trouble(&error, socket))
}

fn trouble(error: &reqwest::Error, socket: &Path) -> Observation {
    let place = socket.display();
    match failure::find::<io::Error>(error).map(io::Error::kind) {
        Some(ErrorKind::PermissionDenied) => denied(socket),
        Some(ErrorKind::NotFound) => Observation::new(Health::Critical, format!("socket {place} does not exist; is the engine running?")),
        Some(ErrorKind::ConnectionRefused) => {
            Observation::new(Health::Critical, format!("connection refused by {place}: the engine does not run"))
        }
        _ => failure::of_request(error, &place.to_string()),
    }
}

fn denied(socket: &Path) -> Observation {
    unknown(format!(
        "no permission to connect to {}: give the agent's unit the socket's group (SupplementaryGroups=docker in a drop-in); whoever may \
         connect can become root",
        socket.display()
    ))
}

fn unknown(message: String) -> Observation {
    Observation::new(Health::Unknown, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_socket_of_its_own_the_first_usual_one_that_exists_is_asked() {
        let home = tempfile::tempdir().unwrap();
        let [docker, podman] = ["docker.sock", "podman.sock"].map(|name| home.path().join(name));
        let found = || first_of([&docker, &podman]);
        let nothing = found().unwrap_err();
        let message =
            format!("neither {} nor {} exists; is the engine running? (Podman: podman.socket)", docker.display(), podman.display());
        assert_eq!((nothing.health, nothing.message), (Health::Critical, message));
        std::fs::write(&podman, "").unwrap();
        assert_eq!(found().unwrap(), podman);
        std::fs::write(&docker, "").unwrap();
        assert_eq!(found().unwrap(), docker);
        let own = Container { name: "web".to_owned(), socket: Some("/run/own.sock".into()), without_healthcheck: Health::Passing };
        assert_eq!(socket(&own).unwrap(), Path::new("/run/own.sock"));
    }
}
