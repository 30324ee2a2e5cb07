//! `type = "container"`: what Docker or Podman says of a container, over the engine's Unix socket.
//!
//! The API is Docker's Engine API, without a version in the path so that the engine takes its own; Podman answers it too. Each look asks
//! for one container (`GET /containers/NAME/json`), at most 1 MiB of it. Changes are heard on `GET /events`.

mod engine;
mod follow;
#[cfg(fuzzing)]
pub(super) mod fuzzing;
mod inspect;

use super::progress::Progress;
use crate::check::Observation;
use crate::plan::Container;

pub(super) use follow::follow;

/// Makes one observation. The caller keeps the time.
pub(super) async fn look(container: &Container, progress: &Progress) -> Observation {
    match engine::inspect(container, progress).await {
        Ok(answer) => inspect::judge(container, &answer),
        Err(trouble) => trouble,
    }
}
