//! Runs a hook, and logs what it printed.

use crate::hooks::{Call, HookEnd, root};
use crate::plan::{Hook, RunAs};
use crate::probe::Prober;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Runs `hook` as the user that it asks for.
pub(super) async fn perform(prober: Arc<Prober>, hook: Arc<Hook>, call: Call, state_dir: PathBuf) -> HookEnd {
    let end = match hook.run_as {
        RunAs::Agent => crate::hooks::run(&prober, &hook, &call).await,
        RunAs::Root => root::ask(&hook, &call, &state_dir, Path::new(root::RESULTS)).await,
    };
    for line in end.output.lines().filter(|line| !line.trim().is_empty()) {
        tracing::info!(target: "hook", hook = &*hook.name, "{line}");
    }
    end
}
