//! `External`: a program that prints credentials. It is run like the program of an exec check, for a minute at most.

use super::source::Refused;
use super::{Found, document};
use crate::probe::errand;
use crate::secret::Secret;
use std::time::Duration;

/// What the SDKs allow.
const LIMIT: Duration = Duration::from_secs(60);

/// The most that is taken from its standard output.
const OUTPUT_LIMIT: usize = 64 * 1024;

/// Temporary credentials without an end are asked for again after this.
const ASK_AGAIN: Duration = Duration::from_secs(15 * 60);

/// Runs `command`, which is split as a shell does it, but runs without one.
pub(super) async fn find(command: &Secret, source: &str) -> Result<Found, Refused> {
    let words = shlex::split(command.expose()).filter(|words| !words.is_empty());
    let words = words.ok_or_else(|| Refused::new("process_command is empty, or a quote in it is not closed"))?;
    let hint = "run the command by hand as the agent's user, with `env -i`: it gets PATH and LANG only";
    let printed =
        errand::run(words, LIMIT, OUTPUT_LIMIT).await.map_err(|why| Refused::new(format!("process_command: {why}")).hinting(hint))?;
    let text = std::str::from_utf8(&printed).map_err(|_| Refused::new("process_command: what it printed is not text"))?;
    let (keys, expires_ms) =
        document::external(text, source).map_err(|why| Refused::new(format!("process_command: {why}")).hinting(hint))?;
    let ask_again = keys.security_token().map(|_| ASK_AGAIN);
    Ok(Found { keys, expires_ms, source_ms: None, ask_again })
}
