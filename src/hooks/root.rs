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
//! judged for user id 0), and the request can only choose values: at most `REQUEST_LIMIT` bytes, of the shape of `Request`. Its
//! directory belongs to the agent, so every step into it is taken from a descriptor with O_NOFOLLOW, and the file must be a regular
//! one of the owner of the state directory with one name only. Root writes nothing there but takes the file away; the result goes into
//! a directory that only root can change.

use super::{Call, HookEnd, Occasion};
use crate::plan::{Hook, Name, RunAs};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, fstat, open, openat, renameat, unlinkat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// Where results are, which only root can change.
pub const RESULTS: &str = "/run/ros-signal-agent-hooks";
/// Beneath the state directory.
const REQUESTS: &str = "hook-requests";
/// Two texts of metadata, quoted as JSON, and some more.
const REQUEST_LIMIT: usize = 256 * 1024;
const RESULT_LIMIT: u64 = 64 * 1024;
/// A unit that has not taken the request by then is not there.
const PICK_UP: Duration = Duration::from_secs(10);
/// Beyond the time limit of the run: for TERM, KILL and the result.
const BEYOND: Duration = Duration::from_secs(20);
/// For the file system of the state directory.
const FILES: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What the agent asks. Data only.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    version: u32,
    /// Made up for this request, so that no answer to another is taken for its own.
    run: String,
    id: String,
    attempt: u32,
    occasion: Occasion,
}

/// What root answers: when it begins, and again when it has ended.
#[derive(Debug, Serialize, Deserialize)]
struct Answer {
    run: String,
    id: String,
    attempt: u32,
    /// None: it runs, or was killed while it ran.
    end: Option<HookEnd>,
}

/// A request that root has taken away.
#[derive(Debug)]
pub struct Asked {
    /// What the hook is told.
    pub call: Call,
    run: String,
}

/// What the results say about a run.
enum Sight {
    Ended(HookEnd),
    Begun,
    /// Another run goes on, so the unit cannot begin ours.
    Busy,
    Nothing,
}

/// Asks for a run as root and waits for its end.
pub async fn ask(hook: &Hook, call: &Call, state_dir: &Path, results: &Path) -> HookEnd {
    ask_for(hook, call, state_dir, results, PICK_UP).await
}

async fn ask_for(hook: &Hook, call: &Call, state_dir: &Path, results: &Path, pick_up: Duration) -> HookEnd {
    let longest = hook.timeout + BEYOND;
    if let Some(end) = earlier(call, results, longest).await {
        return end;
    }
    let name = &hook.name;
    let failed = |text: String| HookEnd { succeeded: false, text, output: String::new() };
    let requests = state_dir.join(REQUESTS);
    let request = requests.join(format!("{name}.json"));
    let asked = Asked { call: call.clone(), run: Uuid::new_v4().to_string() };
    let run = asked.run.clone();
    if let Err(error) = apart(move || write_request(&requests, &asked)).await {
        return failed(format!("{}: the request could not be written: {error}", request.display()));
    }
    let (mut taken, mut withdrawn) = (false, false);
    let mut patience = Instant::now() + pick_up;
    let busy_until = Instant::now() + longest;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let now = Instant::now();
        match sight(call, &run, results) {
            Sight::Ended(end) => return end,
            Sight::Begun if !taken => (taken, patience) = (true, now + longest),
            Sight::Busy if now < busy_until => patience = now + pick_up,
            Sight::Begun | Sight::Busy | Sight::Nothing => {}
        }
        if now < patience {
            continue;
        }
        let journal = format!("journalctl -u ros-signal-agent-hook@{name}.service");
        if taken {
            return failed(format!("no result; hint: {journal}"));
        }
        if withdrawn {
            return failed(format!("the request was taken, but nothing was run for it; hint: {journal}"));
        }
        let path = request.clone();
        match apart(move || std::fs::remove_file(path)).await {
            // It was taken this very moment.
            Err(error) if error.kind() == ErrorKind::NotFound => (withdrawn, patience) = (true, now + pick_up),
            Ok(()) | Err(_) => {
                return failed(format!(
                    "no unit has taken {} within {}s; hint: systemctl enable --now ros-signal-agent-hook@{name}.path, else {journal}",
                    request.display(),
                    pick_up.as_secs()
                ));
            }
        }
    }
}

/// What became of a run under the same id that an agent before this one has asked for: one that goes on is waited for, and one that has
/// succeeded since is not asked for again.
async fn earlier(call: &Call, results: &Path, longest: Duration) -> Option<HookEnd> {
    let until = Instant::now() + longest;
    loop {
        let answer = read_answer(call, results).filter(|answer| answer.id == call.id && answer.attempt < call.attempt)?;
        match answer.end {
            Some(end) => return end.succeeded.then_some(end),
            None if Instant::now() >= until => return None,
            None => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}

fn sight(call: &Call, run: &str, results: &Path) -> Sight {
    match read_answer(call, results) {
        Some(Answer { run: of, end: Some(end), .. }) if of == run => Sight::Ended(end),
        Some(Answer { run: of, end: None, .. }) if of == run => Sight::Begun,
        Some(Answer { end: None, .. }) => Sight::Busy,
        Some(_) | None => Sight::Nothing,
    }
}

/// Touches the state directory on a thread of its own: it may be on a dead file server.
async fn apart(work: impl FnOnce() -> io::Result<()> + Send + 'static) -> io::Result<()> {
    let slow = |_| io::Error::new(ErrorKind::TimedOut, "the file system does not answer");
    let done = crate::apart::begin("hook request", work)?;
    let done = tokio::time::timeout(FILES, done).await.map_err(slow)?;
    done.map_err(|_| io::Error::other("the thread has ended"))?
}

/// Whole or not at all: beside it first, then renamed.
fn write_request(requests: &Path, asked: &Asked) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
    let call = &asked.call;
    let request =
        Request { version: 1, run: asked.run.clone(), id: call.id.clone(), attempt: call.attempt, occasion: call.occasion.clone() };
    let text = serde_json::to_vec(&request)?;
    if text.len() > REQUEST_LIMIT {
        return Err(io::Error::other(format!("it has more than {} KiB", REQUEST_LIMIT / 1024)));
    }
    std::fs::DirBuilder::new().mode(0o700).recursive(true).create(requests)?;
    let (new, path) = (requests.join(format!("{}.new", call.hook)), requests.join(format!("{}.json", call.hook)));
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(&text)?;
    std::fs::rename(new, path)
}

/// The newest answer for this hook. Nothing beneath /run waits for a server.
fn read_answer(call: &Call, results: &Path) -> Option<Answer> {
    let file = File::open(results.join(format!("{}.json", call.hook))).ok()?;
    let mut text = Vec::new();
    file.take(RESULT_LIMIT).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

/// For root: takes the request for `hook` away and says what it asks.
///
/// # Errors
/// Why it is refused. It is taken away nevertheless, so that it does not start the unit again.
pub fn take_request(hook: &Hook, state_dir: &Path) -> Result<Asked, String> {
    if hook.run_as != RunAs::Root {
        return Err(format!("hook {} has not run_as = \"root\"", hook.name));
    }
    let path = state_dir.join(REQUESTS).join(format!("{}.json", hook.name));
    let said = |error: Errno| format!("{}: {error}", path.display());
    let directory = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let state = open(state_dir, directory, Mode::empty()).map_err(said)?;
    let owner = fstat(&state).map_err(said)?.st_uid;
    let requests = openat(&state, REQUESTS, directory, Mode::empty()).map_err(said)?;
    let name = format!("{}.json", hook.name);
    // Opened first and then taken away: what was opened is what is judged. A FIFO does not hold us up.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let opened = openat(&requests, name.as_str(), flags, Mode::empty());
    if let Err(Errno::NOENT) = opened {
        // What is written this moment is for the next run: taken away unread, it would be lost.
        return Err(format!("{}: there is no request", path.display()));
    }
    take_away(&requests, &name).map_err(said)?;
    let text = read_request(opened.map_err(said)?, owner).map_err(|why| format!("{}: {why}", path.display()))?;
    // What the file says is not repeated: the journal is not for its writer to fill.
    let malformed = |_| format!("{}: it is no request of this program", path.display());
    let request: Request = serde_json::from_slice(&text).map_err(malformed)?;
    let is_id = |id: &str| id.len() <= 64 && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if request.version != 1 || !is_id(&request.id) || !is_id(&request.run) {
        return Err(format!("{}: it is no request of this program", path.display()));
    }
    let Request { run, id, attempt, occasion, .. } = request;
    Ok(Asked { call: Call { hook: Name::clone(&hook.name), id, attempt, test: false, occasion }, run })
}

/// Whatever has this name: what stays would start the unit again and again.
fn take_away(requests: &OwnedFd, name: &str) -> rustix::io::Result<()> {
    match unlinkat(requests, name, AtFlags::empty()) {
        Err(Errno::ISDIR) => unlinkat(requests, name, AtFlags::REMOVEDIR),
        done => done,
    }
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
    File::from(file).take(REQUEST_LIMIT as u64 + 1).read_to_end(&mut text).map_err(|error| error.to_string())?;
    if text.len() > REQUEST_LIMIT {
        return Err(format!("it is longer than {} KiB", REQUEST_LIMIT / 1024));
    }
    Ok(text)
}

/// For root: says in `results` that the run begins, or how it has `end`ed; readable for the group of the state directory.
///
/// # Errors
/// If it cannot be written.
pub fn answer(asked: &Asked, end: Option<&HookEnd>, state_dir: &Path, results: &Path) -> io::Result<()> {
    let group = fstat(open(state_dir, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?)?.st_gid;
    let directory = open(results, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    let call = &asked.call;
    let answer = Answer { run: asked.run.clone(), id: call.id.clone(), attempt: call.attempt, end: end.cloned() };
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

    fn asked(call: Call) -> Asked {
        Asked { call, run: "run-1".to_owned() }
    }

    fn end(text: &str) -> HookEnd {
        HookEnd { succeeded: text == "exit status 0", text: text.to_owned(), output: "done".to_owned() }
    }

    /// As the unit does: waits for a request and takes it.
    async fn take(state: &Path) -> Asked {
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            match take_request(&hook(), state) {
                Ok(taken) => return taken,
                Err(why) => assert!(Instant::now() < until, "{why}"),
            }
            tokio::task::yield_now().await;
        }
    }

    const SOON: Duration = Duration::from_millis(500);

    #[tokio::test]
    async fn what_the_agent_asks_is_what_root_reads_and_what_root_answers_is_what_the_agent_gets() {
        let (state, results) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let root = async {
            let taken = take(state.path()).await;
            assert_eq!((taken.call.id.as_str(), taken.call.attempt, &taken.call.occasion), ("bb06f354-e235", 2, &call().occasion));
            answer(&taken, None, state.path(), results.path()).unwrap();
            // Longer than the wait for the unit: that it was taken is known.
            tokio::time::sleep(2 * SOON).await;
            answer(&taken, Some(&end("exit status 0")), state.path(), results.path()).unwrap();
        };
        let hook = hook();
        let called = call();
        let (ended, ()) = tokio::join!(ask_for(&hook, &called, state.path(), results.path(), SOON), root);
        assert_eq!(ended, end("exit status 0"));
    }

    #[tokio::test]
    async fn without_a_unit_the_hook_fails_with_what_to_do() {
        let (state, results) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let ended = ask_for(&hook(), &call(), state.path(), results.path(), SOON).await;
        let hint = "hint: systemctl enable --now ros-signal-agent-hook@apply.path, else journalctl -u ros-signal-agent-hook@apply.service";
        assert!(!ended.succeeded && ended.text.ends_with(hint), "{}", ended.text);
        assert_eq!(std::fs::read_dir(state.path().join(REQUESTS)).unwrap().count(), 0, "it is taken back");
    }

    /// The state of the agent may have been thrown away: then the same id begins anew with attempt 1.
    #[tokio::test]
    async fn scenario_25_an_answer_to_another_request_is_no_answer_even_under_the_same_id_and_attempt() {
        let (state, results) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        answer(&asked(call()), Some(&end("exit status 0")), state.path(), results.path()).unwrap();
        let ended = ask_for(&hook(), &call(), state.path(), results.path(), SOON).await;
        assert!(ended.text.starts_with("no unit has taken "), "{}", ended.text);
    }

    #[tokio::test]
    async fn scenario_31_a_run_that_an_agent_before_has_asked_for_is_waited_for_and_not_asked_for_again_if_it_succeeds() {
        let (state, results) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let before = asked(Call { attempt: 1, ..call() });
        answer(&before, None, state.path(), results.path()).unwrap();
        let root = async {
            tokio::time::sleep(2 * SOON).await;
            assert!(!state.path().join(REQUESTS).exists(), "nothing is asked while it runs");
            answer(&before, Some(&end("exit status 0")), state.path(), results.path()).unwrap();
        };
        let (hook, called) = (hook(), call());
        let (ended, ()) = tokio::join!(ask_for(&hook, &called, state.path(), results.path(), SOON), root);
        assert_eq!(ended, end("exit status 0"));
        answer(&before, Some(&end("exit status 1")), state.path(), results.path()).unwrap();
        let root = async {
            let taken = take(state.path()).await;
            answer(&taken, Some(&end("exit status 3")), state.path(), results.path()).unwrap();
        };
        let (ended, ()) = tokio::join!(ask_for(&hook, &called, state.path(), results.path(), SOON), root);
        assert_eq!(ended, end("exit status 3"), "one that failed is repeated");
    }

    #[tokio::test]
    async fn a_unit_that_is_busy_with_another_run_is_waited_for() {
        let (state, results) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let other = asked(Call { id: "other".to_owned(), ..call() });
        answer(&other, None, state.path(), results.path()).unwrap();
        let root = async {
            tokio::time::sleep(3 * SOON).await;
            answer(&other, Some(&end("exit status 0")), state.path(), results.path()).unwrap();
            let taken = take(state.path()).await;
            answer(&taken, Some(&end("exit status 4")), state.path(), results.path()).unwrap();
        };
        let (hook, called) = (hook(), call());
        let (ended, ()) = tokio::join!(ask_for(&hook, &called, state.path(), results.path(), SOON), root);
        assert_eq!(ended, end("exit status 4"));
    }

    #[tokio::test]
    async fn a_request_that_root_would_refuse_for_its_length_is_not_written() {
        let (state, results) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let occasion =
            Occasion::Stack { transition: Transition::Updated, stack: StackFacts::default(), previous: Some("x".repeat(300_000)) };
        let ended = ask_for(&hook(), &Call { occasion, ..call() }, state.path(), results.path(), SOON).await;
        assert!(ended.text.ends_with("the request could not be written: it has more than 256 KiB"), "{}", ended.text);
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
        write_request(&requests, &asked(Call { id: "../../etc".to_owned(), ..call() })).unwrap();
        refused("no request of this program");
        std::fs::create_dir(&path).unwrap();
        refused("not a regular file");
        write_request(&requests, &asked(call())).unwrap();
        let unprivileged = take_request(&testing::hook("apply", Vec::new()), state.path());
        assert_eq!(unprivileged.unwrap_err(), "hook apply has not run_as = \"root\"");
        assert!(take_request(&hook(), state.path()).is_ok());
    }

    #[test]
    fn scenario_25_a_directory_that_is_a_link_is_not_entered_and_a_file_of_somebody_else_is_not_read() {
        let (state, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        write_request(elsewhere.path(), &asked(call())).unwrap();
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
        answer(&asked(call()), Some(&end("exit status 0")), state.path(), results.path()).unwrap();
        assert_eq!(std::fs::read_to_string(&secret).unwrap(), "keep");
        assert!(matches!(sight(&call(), "run-1", results.path()), Sight::Ended(_)));
    }
}
