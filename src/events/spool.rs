//! `type = "spool"`: a directory into which a relay, Cloud Assistant or a script puts files with events.
//!
//! ```text
//! look: which files are complete -> read, bounded -> envelope --> Inlet: the core takes the hint --> remove the file
//!                                                        \-> no event: DIRECTORY/refused/, said in the log
//! ```
//!
//! A file is complete once it was renamed into the directory or closed after writing, which inotify(7) tells (`watch`); it is read at
//! once then. What inotify does not tell (the backlog at the start, file systems of other hosts, names lost when the kernel's queue ran
//! over) a slow look finds: such a file is read when it has not changed between two looks, and what is no JSON then may still be in the
//! middle of being written and is left for a minute. Names that begin with a dot or end in `.tmp` or `.part` are not looked at, and
//! nothing but regular files is opened (`directory`).
//!
//! A file is removed only after the core has taken its hint. One that cannot be removed is remembered, taken in once, and said loudly.
//! All work on files is done on a thread apart, one at a time, so that a dead file server holds up this source and nothing else. While
//! one hangs nothing is begun; a source that leaves the plan meanwhile leaves it behind.
//!
//! Bounds: `BATCH` files are read in one turn, one body in memory at a time; names are known of at most 4,096 files that the kernel told
//! of, which come first, and of 4,096 others that wait; the rest is found when those are gone; 64 refused files are kept.

mod directory;
#[cfg(test)]
mod tests;
mod watch;

use super::envelope::{self, Carrier, Refused};
use super::{Event, Inlet, Trust};
use crate::apart;
use crate::clock::monotonic;
use crate::plan::SpoolSource;
use crate::transport::clean;
use directory::{Directory, LISTED, Print, REFUSED};
use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use watch::Watch;

/// Files that are read in one turn.
const BATCH: usize = 32;
/// Files that could not be taken away and are remembered. Beyond it one is taken in again, which the core knows by its id.
const STUCK: usize = LISTED;
/// Lines of the log about single files, in [`SAYING`].
const SAID: u32 = 20;
const SAYING: Duration = Duration::from_secs(60);
/// After the kernel has told of a name: more come, and one look serves them all.
const GATHER: Duration = Duration::from_millis(10);

/// The times that hold.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// Between two looks where nothing happens.
    look: Duration,
    /// For so long a file that was only found must not have changed.
    settle: Duration,
    /// For so long what is no JSON may still be on its way.
    patience: Duration,
    /// After the directory could not be looked at, and while the loop takes nothing.
    again: Duration,
    /// For so long a look may take before it is said that the directory does not answer.
    answer: Duration,
}

const PACE: Pace = Pace {
    look: Duration::from_secs(30),
    settle: Duration::from_secs(2),
    patience: Duration::from_secs(60),
    again: Duration::from_secs(5),
    answer: Duration::from_secs(10),
};

/// Takes in what is put into the directory, for ever.
pub async fn run(source: SpoolSource, inlet: Inlet) {
    Spool::new(source.directory, inlet, PACE).run().await;
}

struct Spool {
    path: Arc<PathBuf>,
    inlet: Inlet,
    pace: Pace,
    watch: Option<Watch>,
    memory: Memory,
    talk: Talk,
    was_open_to_all: bool,
}

/// What is known of the files; goes with the work onto the thread and comes back.
#[derive(Default)]
struct Memory {
    /// Names that are complete, as the kernel says.
    complete: HashSet<OsString>,
    /// Files that were found, and since when they are as they are, by [`monotonic`].
    seen: HashMap<OsString, (Print, Duration)>,
    /// Files that are done with, but could not be taken away.
    stuck: HashMap<OsString, (Print, Stuck)>,
    /// As inotify(7) numbers the directory.
    watched: Option<i32>,
}

/// Why a file is still there.
#[derive(Clone, Debug)]
struct Stuck {
    end: End,
    error: String,
    hint: String,
}

/// What is still to be done with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The core has its hint.
    Remove,
    /// It is no event.
    SetAside,
    /// It cannot be read; that changes when the file changes.
    Nothing,
}

/// A file that was read.
struct Read {
    name: OsString,
    print: Print,
    what: What,
}

enum What {
    Events(Vec<Event>),
    NoEvent(Refused),
    Unreadable(io::Error),
}

/// What one look found.
struct Look {
    directory: Directory,
    trust: Trust,
    read: Vec<Read>,
    /// There are more that could be read at once.
    more: bool,
    /// Some must be looked at again soon.
    unsettled: bool,
}

/// How a turn ended.
enum Next {
    /// There is more to do at once.
    More,
    /// After this time, or when the kernel tells of something.
    After(Duration),
    /// After this time, whatever happens.
    Pause(Duration),
}

impl Spool {
    fn new(directory: PathBuf, inlet: Inlet, pace: Pace) -> Self {
        let (path, memory, talk) = (Arc::new(directory), Memory::default(), Talk::default());
        Self { path, inlet, pace, watch: None, memory, talk, was_open_to_all: false }
    }

    async fn run(mut self) {
        match Watch::new() {
            Ok(watch) => self.watch = Some(watch),
            Err(error) => {
                let (name, every) = (self.inlet.name(), self.pace.look);
                tracing::warn!(target: "events", source = &**name, "files are noticed by looks only, every {every:?} ({error}); hint: raise fs.inotify.max_user_instances");
            }
        }
        self.follow().await;
    }

    async fn follow(&mut self) {
        let mut clear_stuck = false;
        loop {
            let next = self.turn(clear_stuck).await;
            clear_stuck = match next {
                Next::More => false,
                Next::After(wait) => !self.told_within(wait).await,
                Next::Pause(wait) => {
                    tokio::time::sleep(wait).await;
                    true
                }
            };
        }
    }

    /// Waits for the kernel to tell of something, `wait` at most. True if it did.
    async fn told_within(&mut self, wait: Duration) -> bool {
        let Some(watch) = &self.watch else {
            tokio::time::sleep(wait).await;
            return false;
        };
        let is_told = tokio::time::timeout(wait, watch.tells(&mut self.memory.complete)).await.is_ok();
        if is_told {
            tokio::time::sleep(GATHER).await;
            watch.drain(&mut self.memory.complete);
        }
        is_told
    }

    async fn turn(&mut self, clear_stuck: bool) -> Next {
        let (memory, look) = {
            let (path, pace, descriptor) = (Arc::clone(&self.path), self.pace, self.watch.as_ref().map(Watch::descriptor));
            let mut memory = std::mem::take(&mut self.memory);
            let work = move || {
                let look = look(&path, &mut memory, pace, descriptor.as_deref(), clear_stuck);
                (memory, look)
            };
            match self.apart(work).await {
                Ok((memory, look)) => (memory, look),
                Err(error) => (Memory::default(), Err(error)),
            }
        };
        self.memory = memory;
        let look = match look {
            Ok(look) => look,
            Err(error) => {
                self.cannot_look(&error);
                return Next::Pause(self.pace.again);
            }
        };
        self.say_trust(look.trust);
        let (ends, is_full) = self.hand_in(look.read, look.trust).await;
        let (more, unsettled) = (look.more, look.unsettled);
        if !ends.is_empty() {
            self.take_away(look.directory, ends).await;
        }
        self.say_health(look.trust);
        match () {
            () if is_full => Next::Pause(self.pace.again),
            () if more => Next::More,
            () if unsettled => Next::After(self.pace.settle),
            () => Next::After(self.pace.look),
        }
    }

    /// Gives the events to the loop. What is to be done with the files then, and whether the loop takes no more now.
    async fn hand_in(&mut self, read: Vec<Read>, trust: Trust) -> (Vec<(OsString, Print, End)>, bool) {
        let mut ends = Vec::new();
        for Read { name, print, what } in read {
            let end = match what {
                What::Events(events) => {
                    for event in events {
                        if self.inlet.give(trust, event).await.is_err() {
                            // Left where they are; the kernel does not tell of them again.
                            return (ends, true);
                        }
                    }
                    End::Remove
                }
                What::NoEvent(why) => {
                    self.inlet.health().refused(why.reason());
                    let (shown, place) = (shown(&name), self.path.join(REFUSED));
                    self.talk.warn(self.inlet.name(), || {
                        format!("{shown} is no event ({why}) and is put into {}; hint: {}", place.display(), why.hint())
                    });
                    End::SetAside
                }
                What::Unreadable(error) => {
                    self.inlet.health().refused("cannot be read");
                    let hint =
                        "let the agent's user read it: mktemp makes files that only their owner may read, so chmod 0644 before the rename";
                    let error = format!("cannot read {}: {error}", shown(&name));
                    self.is_stuck(name, print, End::Nothing, error, hint.to_owned());
                    continue;
                }
            };
            ends.push((name, print, end));
        }
        (ends, false)
    }

    async fn take_away(&mut self, directory: Directory, ends: Vec<(OsString, Print, End)>) {
        let work = move || {
            let end = |(name, print, end): (OsString, Print, End)| {
                let done = finish(&directory, &name, &print, end);
                done.err().map(|error| (name, print, end, error))
            };
            ends.into_iter().filter_map(end).collect::<Vec<_>>()
        };
        // If there is no thread, the files are taken in again: the core knows them by their ids.
        for (name, print, end, error) in self.apart(work).await.unwrap_or_default() {
            let path = self.path.display();
            let hint = format!(
                "let the agent's user write in {path}; a unit that confines it needs ReadWritePaths={path}. The file is not taken in again before it changes"
            );
            let doing = if end == End::Remove { "remove" } else { "set aside" };
            let error = format!("cannot {doing} {}: {error}", shown(&name));
            self.is_stuck(name, print, end, error, hint);
        }
    }

    fn is_stuck(&mut self, name: OsString, print: Print, end: End, error: String, hint: String) {
        self.talk.warn(self.inlet.name(), || format!("{error}; hint: {hint}"));
        if self.memory.stuck.len() < STUCK {
            self.memory.stuck.insert(name, (print, Stuck { end, error, hint }));
        }
    }

    /// Does `work` on a thread, and waits for it however long that takes: a second thread would hang as well.
    async fn apart<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        let mut told = apart::begin("spool", work)?;
        if let Ok(done) = tokio::time::timeout(self.pace.answer, &mut told).await {
            return done.map_err(io::Error::other);
        }
        let (path, seconds) = (self.path.display(), self.pace.answer.as_secs());
        self.fails(
            &format!("{path} does not answer within {seconds}s"),
            "usually a dead file server; events from here wait until it is back",
        );
        told.await.map_err(io::Error::other)
    }

    fn cannot_look(&self, error: &io::Error) {
        let path = self.path.display();
        let make = format!("make it: install -d -o ros-signal-agent -m 0750 {path}");
        let (what, hint) = match error.kind() {
            io::ErrorKind::NotFound => (format!("{path} does not exist"), make),
            io::ErrorKind::NotADirectory => (format!("{path} is not a directory"), make),
            io::ErrorKind::PermissionDenied => {
                (format!("no permission to look into {path}"), "let the agent's user read and write it".to_owned())
            }
            _ => (format!("cannot look into {path}: {error}"), "it is tried again".to_owned()),
        };
        self.fails(&what, &hint);
    }

    fn fails(&self, error: &str, hint: &str) {
        if self.inlet.health().fails(error, Some(hint)) {
            tracing::warn!(target: "events", source = &**self.inlet.name(), "{error}; hint: {hint}");
        }
    }

    fn say_trust(&mut self, trust: Trust) {
        let is_open_to_all = trust == Trust::Unsigned;
        if is_open_to_all && !self.was_open_to_all {
            let path = self.path.display();
            tracing::warn!(target: "events", source = &**self.inlet.name(), "everybody may write into {path}, so its events run no hooks; hint: chmod o-w {path}");
        }
        self.was_open_to_all = is_open_to_all;
    }

    fn say_health(&self, trust: Trust) {
        if let Some((_, stuck)) = self.memory.stuck.values().next() {
            let others = match self.memory.stuck.len() {
                1 => String::new(),
                count => format!(" ({count} files in all)"),
            };
            // It was said in the log.
            self.inlet.health().fails(&format!("{}{others}", stuck.error), Some(&stuck.hint));
            return;
        }
        let mut detail = format!("reads {}", self.path.display());
        if self.watch.is_none() || self.memory.watched.is_none() {
            detail.push_str(&format!(", every {:?}", self.pace.look));
        }
        if trust == Trust::Unsigned {
            detail.push_str("; everybody may write there, so its events run no hooks");
        }
        self.inlet.health().works(&detail);
    }
}

/// A file's name in a message.
fn shown(name: &OsString) -> String {
    clean(&name.to_string_lossy())
}

/// Looks into the directory and reads what is complete. Blocks.
fn look(path: &Path, memory: &mut Memory, pace: Pace, inotify: Option<&OwnedFd>, clear_stuck: bool) -> io::Result<Look> {
    // Before the list is made, so that nothing comes between.
    memory.watched = inotify.and_then(|descriptor| watch::add(descriptor, path, memory.watched));
    let directory = Directory::open(path)?;
    let trust = if directory.is_open_to_all()? { Trust::Unsigned } else { Trust::Guarded };
    let files = directory.files(&memory.complete)?;
    let now = monotonic();
    let mut seen = HashMap::with_capacity(files.len());
    let mut stuck = HashMap::new();
    let mut look = Look { directory, trust, read: Vec::new(), more: false, unsettled: false };
    let mut complete = HashSet::new();
    for (name, print) in files {
        if let Some((_, known)) = memory.stuck.remove(&name).filter(|(before, _)| *before == print) {
            let is_done = clear_stuck && known.end != End::Nothing && finish(&look.directory, &name, &print, known.end).is_ok();
            if !is_done {
                stuck.insert(name, (print, known));
            }
            continue;
        }
        let since = memory.seen.get(&name).filter(|(before, _)| *before == print).map_or(now, |(_, since)| *since);
        seen.insert(name.clone(), (print, since));
        let (is_told, unchanged) = (memory.complete.contains(&name), now.saturating_sub(since));
        if !is_told && unchanged < pace.settle {
            look.unsettled = true;
            continue;
        }
        if look.read.len() >= BATCH {
            look.more = true;
            if is_told {
                complete.insert(name);
            }
            continue;
        }
        let Some(what) = read(&look.directory, &name, &print) else {
            look.unsettled = true;
            continue;
        };
        let may_grow = match what {
            What::NoEvent(Refused::Empty) => true,
            What::NoEvent(Refused::NotJson) => !is_told,
            _ => false,
        };
        if may_grow && unchanged < pace.patience {
            look.unsettled = true;
            continue;
        }
        look.read.push(Read { name, print, what });
    }
    (memory.seen, memory.stuck, memory.complete) = (seen, stuck, complete);
    Ok(look)
}

/// What stands in a file; none: it has changed since the look, or is gone.
fn read(directory: &Directory, name: &OsString, print: &Print) -> Option<What> {
    if print.is_larger_than(envelope::LIMIT) {
        return Some(What::NoEvent(Refused::TooLarge));
    }
    let body = match directory.read(name, print, envelope::LIMIT) {
        Ok(body) => body?,
        Err(error) => return Some(What::Unreadable(error)),
    };
    let delivery = format!("{} {}", name.to_string_lossy(), print.modified());
    Some(envelope::read(&body, Carrier::File, &delivery).map_or_else(What::NoEvent, What::Events))
}

fn finish(directory: &Directory, name: &OsString, print: &Print, end: End) -> io::Result<()> {
    match end {
        End::Remove => directory.remove(name, print),
        End::SetAside => directory.set_aside(name, print),
        End::Nothing => Ok(()),
    }
}

/// What is said of single files, bounded.
#[derive(Default)]
struct Talk {
    since: Option<Duration>,
    said: u32,
}

impl Talk {
    fn warn(&mut self, source: &str, message: impl FnOnce() -> String) {
        let now = monotonic();
        if self.since.is_none_or(|since| now.saturating_sub(since) >= SAYING) {
            (self.since, self.said) = (Some(now), 0);
        }
        self.said = self.said.saturating_add(1);
        if self.said <= SAID {
            tracing::warn!(target: "events", source, "{}", message());
        } else if self.said == SAID + 1 {
            tracing::warn!(target: "events", source, "more of the same is not said for {}s; the status counts it", SAYING.as_secs());
        }
    }
}
