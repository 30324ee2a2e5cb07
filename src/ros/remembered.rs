//! The host that served last, kept over restarts in `endpoint` of the state directory: one line, the host's URL.
//!
//! It is a hint and nothing else. It only chooses *among* the hosts that the configuration allows, so whatever stands in the file no
//! other host is asked; a lost, broken or foreign file, one that came with a cloned image, and one from the time of another account
//! cost one attempt at the wrong host. So nothing in it needs a check of whose it is, nor to be synced.
//!
//! It is read once, when the agent starts. It is written by a short-lived thread, one at most: while a disk hangs the latest host waits
//! in memory and older ones are forgotten.

use reqwest::Url;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Name of the file in the state directory.
const FILE: &str = "endpoint";

/// The longest content that is looked at: a scheme, a host name of 253 characters and a port.
const LIMIT: u64 = 512;

/// What is remembered. Clones share it.
#[derive(Clone, Debug)]
pub struct Remembered(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    /// Whoever only looks must leave no trace.
    read_only: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The host that served last.
    host: Option<Url>,
    /// What the file holds, as far as is known.
    written: Option<Url>,
    /// A thread is writing.
    writing: bool,
}

impl Remembered {
    /// Reads what an earlier run has left in `directory`. Nothing that can be wrong with it is an error.
    pub fn in_directory(directory: &Path) -> Self {
        Self::read(directory, false)
    }

    /// The same, for somebody who only looks: the file is never written.
    pub fn to_look_at(directory: &Path) -> Self {
        Self::read(directory, true)
    }

    fn read(directory: &Path, read_only: bool) -> Self {
        let path = directory.join(FILE);
        let host = match read(&path) {
            Ok(host) => host,
            Err(error) => {
                tracing::debug!(target: "ros", path = %path.display(), %error, "no host is remembered");
                None
            }
        };
        let state = State { written: host.clone(), host, writing: false };
        Self(Arc::new(Shared { path, read_only, state: Mutex::new(state) }))
    }

    /// The host that served last.
    pub fn host(&self) -> Option<Url> {
        self.0.lock().host.clone()
    }

    /// `host` has served. Returns at once.
    pub fn served(&self, host: &Url) {
        let mut state = self.0.lock();
        if state.host.as_ref() == Some(host) && (state.writing || state.written.as_ref() == Some(host)) {
            return;
        }
        state.host = Some(host.clone());
        if state.writing || self.0.read_only {
            return;
        }
        let shared = Arc::clone(&self.0);
        let started = std::thread::Builder::new().name("endpoint".to_owned()).spawn(move || shared.write_latest());
        // Without a thread it is not written: it is a hint.
        state.writing = started.is_ok();
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // Nothing in there can be left half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes until the file holds the latest. A write that fails is not tried again before another host serves.
    fn write_latest(&self) {
        loop {
            let host = {
                let mut state = self.lock();
                match state.host.clone().filter(|host| state.written.as_ref() != Some(host)) {
                    Some(host) => host,
                    None => {
                        state.writing = false;
                        return;
                    }
                }
            };
            if let Err(error) = replace(&self.path, &host) {
                tracing::debug!(target: "ros", path = %self.path.display(), %error, "the host that served cannot be remembered");
            }
            self.lock().written = Some(host);
        }
    }
}

/// The host in the file; none if there is no file.
fn read(path: &Path) -> io::Result<Option<Url>> {
    use rustix::fs::{Mode, OFlags};
    // Not blocking, because opening a pipe would wait for its writer.
    let file = match rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOFOLLOW, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut text = String::new();
    file.take(LIMIT + 1).read_to_string(&mut text)?;
    let url = Url::parse(text.trim()).ok().filter(|_| text.len() as u64 <= LIMIT);
    url.map(Some).ok_or_else(|| io::Error::other("it does not hold a host"))
}

/// By rename, so that a reader sees the old or the new host.
fn replace(path: &Path, host: &Url) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let temporary = path.with_extension("new");
    // What a crash has left.
    let _ = std::fs::remove_file(&temporary);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    writeln!(file, "{host}")?;
    std::fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn settle(remembered: &Remembered) {
        while remembered.0.lock().writing {
            std::thread::yield_now();
        }
    }

    #[test]
    fn the_host_that_served_is_known_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let remembered = Remembered::in_directory(directory.path());
        assert_eq!(remembered.host(), None);
        remembered.served(&url("https://ros.aliyuncs.com"));
        remembered.served(&url("https://ros-intl.aliyuncs.com"));
        assert_eq!(remembered.host(), Some(url("https://ros-intl.aliyuncs.com")));
        settle(&remembered);
        assert_eq!(Remembered::in_directory(directory.path()).host(), Some(url("https://ros-intl.aliyuncs.com")));
    }

    #[test]
    fn whoever_only_looks_leaves_the_file_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let remembered = Remembered::to_look_at(directory.path());
        remembered.served(&url("https://ros.aliyuncs.com"));
        settle(&remembered);
        assert!(!directory.path().join(FILE).exists());
    }

    #[test]
    fn whatever_stands_in_the_file_is_no_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE);
        let endless = format!("https://{}", "x".repeat(1000));
        for content in [&b""[..], b"\xff\xfe", b"nonsense", b"{\"host\":1}", endless.as_bytes()] {
            std::fs::write(&path, content).unwrap();
            assert_eq!(Remembered::in_directory(directory.path()).host(), None, "{}", String::from_utf8_lossy(content));
        }
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        let remembered = Remembered::in_directory(directory.path());
        assert_eq!(remembered.host(), None);
        remembered.served(&url("https://ros.aliyuncs.com"));
        settle(&remembered);
        assert_eq!(remembered.host(), Some(url("https://ros.aliyuncs.com")), "a file that cannot be written costs nothing in this run");
        std::fs::remove_dir(&path).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
        assert_eq!(Remembered::in_directory(directory.path()).host(), None, "nor does a pipe that nobody writes to");
    }
}
