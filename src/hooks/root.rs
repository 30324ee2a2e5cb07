//! `run_as = "root"`: the agent asks through a file, a unit of systemd answers through another.
//!
//! ```text
//! agent (its user)                                      root
//! STATE_DIR/hook-requests/NAME.json --path unit--> ros-signal-agent hook run NAME: takes the request away, reads it as data,
//!                                                  runs the command of the root-owned configuration
//! reads the result            <------------------  /run/ros-signal-agent-hooks/NAME.json
//! ```
//!
//! The agent's user may be hostile. So what root runs stands in files that only root can change (the owners of the configuration are
//! judged for user id 0), and the request can only choose values: at most [`REQUEST_LIMIT`] bytes, of the shape of [`Request`]. Its
//! directory belongs to the agent, so every step into it is taken from a descriptor with O_NOFOLLOW, and the file must be a regular
//! one of the owner of the state directory with one name only. Root writes nothing there but takes the file away; the result goes into
//! a directory that only root can change.

use super::{Call, HookEnd, Occasion};
use crate::plan::{Hook, Name, RunAs};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, fstat, open, openat, renameat, unlinkat};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;

/// Where results are, which only root can change.
pub const RESULTS: &str = "/run/ros-signal-agent-hooks";
/// Beneath the state directory.
const REQUESTS: &str = "hook-requests";
/// Two texts of metadata, quoted as JSON, and some more.
const REQUEST_LIMIT: u64 = 256 * 1024;
const RESULT_LIMIT: u64 = 64 * 1024;
/// A unit that has not taken the request by then is not there.
const PICK_UP: Duration = Duration::from_secs(10);
/// Beyond the time limit of the run: for TERM, KILL and the result.
const BEYOND: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What the agent asks. Data only.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    version: u32,
    id: String,
    attempt: u32,
    occasion: Occasion,
}

/// What root answers.
#[derive(Debug, Serialize, Deserialize)]
struct Answer {
    id: String,
    attempt: u32,
    succeeded: bool,
    text: String,
    output: String,
}

/// Asks for a run as root and waits for its end.
pub async fn ask(hook: &Hook, call: &Call, state_dir: &Path, results: &Path) -> HookEnd {
    let failed = |text: String| HookEnd { succeeded: false, text, output: String::new() };
    let requests = state_dir.join(REQUESTS);
    let request = requests.join(format!("{}.json", hook.name));
    if let Err(error) = write_request(&requests, call) {
        return failed(format!("{}: the request could not be written: {error}", request.display()));
    }
    let begun = Instant::now();
    let mut picked_up = None;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if let Some(answer) = answer_to(call, results) {
            return HookEnd { succeeded: answer.succeeded, text: answer.text, output: answer.output };
        }
        match picked_up {
            None if !request.exists() => picked_up = Some(Instant::now()),
            None if begun.elapsed() > PICK_UP => {
                let _ = std::fs::remove_file(&request);
                let name = &hook.name;
                return failed(format!(
                    "no unit has taken {} within 10s; hint: systemctl enable --now ros-signal-agent-hook@{name}.path",
                    request.display()
                ));
            }
            Some(at) if at.elapsed() > hook.timeout + BEYOND => {
                let name = &hook.name;
                return failed(format!("no result; hint: journalctl -u ros-signal-agent-hook@{name}.service"));
            }
            None | Some(_) => {}
        }
    }
}

/// Whole or not at all: beside it first, then renamed.
fn write_request(requests: &Path, call: &Call) -> std::io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
    std::fs::DirBuilder::new().mode(0o700).recursive(true).create(requests)?;
    let request = Request { version: 1, id: call.id.clone(), attempt: call.attempt, occasion: call.occasion.clone() };
    let (new, path) = (requests.join(format!("{}.new", call.hook)), requests.join(format!("{}.json", call.hook)));
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(&serde_json::to_vec(&request)?)?;
    std::fs::rename(new, path)
}

/// The answer to this very request.
fn answer_to(call: &Call, results: &Path) -> Option<Answer> {
    let file = File::open(results.join(format!("{}.json", call.hook))).ok()?;
    let mut text = Vec::new();
    file.take(RESULT_LIMIT).read_to_end(&mut text).ok()?;
    let answer: Answer = serde_json::from_slice(&text).ok()?;
    (answer.id == call.id && answer.attempt == call.attempt).then_some(answer)
}

/// For root: takes the request for `hook` away and says what it asks.
///
/// # Errors
/// Why it is refused. It is taken away nevertheless, so that it does not start the unit again.
pub fn take_request(hook: &Hook, state_dir: &Path) -> Result<Call, String> {
    if hook.run_as != RunAs::Root {
        return Err(format!("hook {} has not run_as = \"root\"", hook.name));
    }
    let path = state_dir.join(REQUESTS).join(format!("{}.json", hook.name));
    let said = |error: rustix::io::Errno| format!("{}: {error}", path.display());
    let directory = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let state = open(state_dir, directory, Mode::empty()).map_err(said)?;
    let owner = fstat(&state).map_err(said)?.st_uid;
    let requests = openat(&state, REQUESTS, directory, Mode::empty()).map_err(said)?;
    let name = format!("{}.json", hook.name);
    // Opened first and then taken away: what was opened is what is judged. A FIFO does not hold us up.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let opened = openat(&requests, name.as_str(), flags, Mode::empty());
    unlinkat(&requests, name.as_str(), AtFlags::empty()).map_err(said)?;
    let text = read_request(opened.map_err(said)?, owner).map_err(|why| format!("{}: {why}", path.display()))?;
    // What the file says is not repeated: the journal is not for its writer to fill.
    let malformed = |_| format!("{}: it is no request of this program", path.display());
    let request: Request = serde_json::from_slice(&text).map_err(malformed)?;
    let is_id = request.id.len() <= 64 && request.id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if request.version != 1 || !is_id {
        return Err(format!("{}: it is no request of this program", path.display()));
    }
    Ok(Call { hook: Name::clone(&hook.name), id: request.id, attempt: request.attempt, test: false, occasion: request.occasion })
}

fn read_request(file: OwnedFd, owner: u32) -> Result<Vec<u8>, String> {
    let stat = fstat(&file).map_err(|error| error.to_string())?;
    if stat.st_uid != owner {
        return Err(format!("it belongs to user id {}, not to the agent's, {owner}", stat.st_uid));
    }
    // Its one name was taken away before: what has a name still is a hard link to something else.
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || stat.st_nlink > 0 {
        return Err("it is not a regular file of one name".to_owned());
    }
    let mut text = Vec::new();
    File::from(file).take(REQUEST_LIMIT + 1).read_to_end(&mut text).map_err(|error| error.to_string())?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > REQUEST_LIMIT {
        return Err(format!("it is longer than {} KiB", REQUEST_LIMIT / 1024));
    }
    Ok(text)
}

/// For root: leaves the result in `results`, readable for the group of the state directory.
///
/// # Errors
/// If it cannot be written.
pub fn leave_result(call: &Call, end: &HookEnd, state_dir: &Path, results: &Path) -> std::io::Result<()> {
    let group = fstat(open(state_dir, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?)?.st_gid;
    let directory = open(results, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    let answer =
        Answer { id: call.id.clone(), attempt: call.attempt, succeeded: end.succeeded, text: end.text.clone(), output: end.output.clone() };
    let (new, name) = (format!("{}.new", call.hook), format!("{}.json", call.hook));
    // Left by a run that was killed.
    let _ = unlinkat(&directory, new.as_str(), AtFlags::empty());
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(openat(&directory, new.as_str(), flags, Mode::from_raw_mode(0o640))?);
    std::os::unix::fs::fchown(&file, None, Some(group))?;
    file.write_all(&serde_json::to_vec(&answer)?)?;
    Ok(renameat(&directory, new.as_str(), &directory, name.as_str())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hooks::StackFacts;
    use crate::plan::{Transition, testing};
    use std::os::unix::fs::symlink;

    fn hook() -> Hook {
        Hook { run_as: RunAs::Root, ..testing::hook("apply", Vec::new()) }
    }

    fn call() -> Call {
        let stack = StackFacts { status: "$(reboot)".into(), ..StackFacts::default() };
        let occasion = Occasion::Stack { transition: Transition::Updated, stack, previous: None };
        Call { hook: "apply".into(), id: "bb06f354-e235".into(), attempt: 2, test: false, occasion }
    }

    #[tokio::test]
    async fn what_the_agent_asks_is_what_root_reads_and_what_root_answers_is_what_the_agent_gets() {
        let (state, results) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let root = async {
            let taken = loop {
                match take_request(&hook(), state.path()) {
                    Ok(taken) => break taken,
                    Err(_) => tokio::task::yield_now().await,
                }
            };
            assert_eq!((taken.id.as_str(), taken.attempt, &taken.occasion), ("bb06f354-e235", 2, &call().occasion));
            let end = HookEnd { succeeded: true, text: "exit status 0".to_owned(), output: "done".to_owned() };
            leave_result(&taken, &end, state.path(), results.path()).unwrap();
        };
        let hook = hook();
        let asked = call();
        let (end, ()) = tokio::join!(ask(&hook, &asked, state.path(), results.path()), root);
        assert_eq!((end.succeeded, end.output.as_str()), (true, "done"));
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_unit_the_hook_fails_with_what_to_do() {
        let (state, results) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let end = ask(&hook(), &call(), state.path(), results.path()).await;
        assert!(!end.succeeded && end.text.ends_with("hint: systemctl enable --now ros-signal-agent-hook@apply.path"), "{}", end.text);
        assert_eq!(std::fs::read_dir(state.path().join(REQUESTS)).unwrap().count(), 0, "it is taken back");
    }

    #[test]
    fn scenario_25_requests_that_are_no_plain_file_of_the_agent_are_refused_and_taken_away() {
        let state = tempfile::tempdir().unwrap();
        let requests = state.path().join(REQUESTS);
        std::fs::create_dir(&requests).unwrap();
        let path = requests.join("apply.json");
        let refused = |why: &str| {
            let said = take_request(&hook(), state.path()).unwrap_err();
            assert!(said.contains(why), "{said}");
            assert!(path.symlink_metadata().is_err(), "taken away: {why}");
        };
        let secret = state.path().join("secret");
        std::fs::write(&secret, "keep").unwrap();
        symlink(&secret, &path).unwrap();
        refused("apply.json: ");
        assert_eq!(std::fs::read_to_string(&secret).unwrap(), "keep");
        std::fs::hard_link(&secret, &path).unwrap();
        refused("not a regular file of one name");
        rustix::fs::mknodat(rustix::fs::CWD, &path, FileType::Fifo, Mode::RWXU, 0).unwrap();
        refused("not a regular file");
        std::fs::write(&path, vec![b' '; 300 * 1024]).unwrap();
        refused("longer than 256 KiB");
        std::fs::write(&path, r#"{"version":1,"id":"a","attempt":1,"command":["/bin/sh"],"occasion":{}}"#).unwrap();
        refused("no request of this program");
        write_request(&requests, &Call { id: "../../etc".to_owned(), ..call() }).unwrap();
        refused("no request of this program");
        write_request(&requests, &call()).unwrap();
        let unprivileged = take_request(&testing::hook("apply", Vec::new()), state.path());
        assert_eq!(unprivileged.unwrap_err(), "hook apply has not run_as = \"root\"");
        assert!(take_request(&hook(), state.path()).is_ok());
    }

    #[test]
    fn scenario_25_a_directory_that_is_a_link_is_not_entered_and_a_file_of_somebody_else_is_not_read() {
        let (state, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        write_request(elsewhere.path(), &call()).unwrap();
        symlink(elsewhere.path(), state.path().join(REQUESTS)).unwrap();
        take_request(&hook(), state.path()).unwrap_err();
        assert!(elsewhere.path().join("apply.json").exists());
        let file = File::open(elsewhere.path().join("apply.json")).unwrap();
        let owner = fstat(&file).unwrap().st_uid;
        assert!(read_request(file.into(), owner + 1).unwrap_err().contains("not to the agent's"));
    }

    #[test]
    fn scenario_25_a_link_where_the_result_goes_is_replaced_and_not_followed() {
        let (state, results) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let secret = state.path().join("secret");
        std::fs::write(&secret, "keep").unwrap();
        symlink(&secret, results.path().join("apply.new")).unwrap();
        symlink(&secret, results.path().join("apply.json")).unwrap();
        let end = HookEnd { succeeded: true, text: String::new(), output: String::new() };
        leave_result(&call(), &end, state.path(), results.path()).unwrap();
        assert_eq!(std::fs::read_to_string(&secret).unwrap(), "keep");
        assert!(answer_to(&call(), results.path()).is_some());
    }
}
