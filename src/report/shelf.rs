//! The last reports, kept in the state directory: `report-N.txt`, mode 0600, the newest with the highest N. For people first:
//!
//! ```text
//! ros-signal-agent failure report
//! signal: web
//! instance: i-bp1a2b3c4d5e6f7g8h9i
//! at: 2026-01-02T03:04:05Z
//!
//! FAILURE report of signal web (WebReady): ...
//! ```
//!
//! Written whole (temporary file, fsync, rename). The last [`REPORTS`] of the instance are kept, and as many of others: a cloned image does
//! not show the reports of its original as its own, but a person can look at them.

use super::View;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Reports of one instance that are kept.
pub const REPORTS: usize = 8;
/// Entries of the directory that are looked at; one with more is not ours.
const ENTRIES: usize = 1024;
const FIRST_LINE: &str = "ros-signal-agent failure report";
const TEMPORARY: &str = "report.tmp";
/// Longest head, in bytes.
const HEAD: usize = 1024;

/// A report as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filed {
    /// The signal.
    pub signal: String,
    /// Whose it is.
    pub instance_id: String,
    /// When, RFC 3339.
    pub at: String,
    /// The whole.
    pub text: String,
}

impl Filed {
    fn document(&self) -> String {
        let Self { signal, instance_id, at, text } = self;
        format!("{FIRST_LINE}\nsignal: {signal}\ninstance: {instance_id}\nat: {at}\n\n{text}")
    }

    pub(super) fn understood(document: &str) -> Option<Self> {
        let (head, text) = document.split_once("\n\n")?;
        let mut lines = head.lines();
        (lines.next()? == FIRST_LINE).then_some(())?;
        let mut value = |name: &str| Some(lines.next()?.strip_prefix(name)?.strip_prefix(": ")?.to_owned());
        Some(Self { signal: value("signal")?, instance_id: value("instance")?, at: value("at")?, text: text.to_owned() })
    }

    /// As others see it.
    pub fn view(self) -> View {
        View { signal: self.signal, instance_id: Some(self.instance_id), at: self.at, failure: true, text: self.text }
    }
}

/// The reports of one state directory. All of it blocks.
#[derive(Clone, Debug)]
pub struct Shelf {
    dir: PathBuf,
}

impl Shelf {
    /// Those in `state_dir`.
    pub fn new(state_dir: &Path) -> Self {
        Self { dir: state_dir.to_owned() }
    }

    /// Whether a file of this name in the state directory is one of ours.
    pub fn is_ours(name: &str) -> bool {
        name == TEMPORARY || number(name).is_some()
    }

    /// Keeps one more, and forgets those that are too many.
    ///
    /// # Errors
    /// If it cannot be written; nothing is left of it then.
    pub fn keep(&self, report: &Filed) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
        let numbers = self.numbers();
        let next = numbers.first().map_or(1, |newest| newest.saturating_add(1));
        let temporary = self.dir.join(TEMPORARY);
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let written = self.write(&temporary, report.document().as_bytes()).and_then(|()| fs::rename(&temporary, self.path(next)));
        if let Err(error) = written {
            let _ = fs::remove_file(&temporary);
            return Err(io::Error::new(error.kind(), format!("{}: {error}", self.path(next).display())));
        }
        // Some file systems do not sync directories; nothing more can be done there.
        let _ = File::open(&self.dir).and_then(|dir| dir.sync_all());
        self.forget(&numbers, &report.instance_id);
        Ok(())
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    /// One was added for `instance`.
    fn forget(&self, before: &[u64], instance: &str) {
        let (mut own, mut others) = (1, 0);
        for number in before {
            let is_own = self.read(*number).is_some_and(|report| report.instance_id == instance);
            let count = if is_own { &mut own } else { &mut others };
            *count += 1;
            if *count > REPORTS {
                let _ = fs::remove_file(self.path(*number));
            }
        }
    }

    /// The newest of `signal`, or of any, that belongs to `instance`, or to anybody.
    pub fn last(&self, instance: Option<&str>, signal: Option<&str>) -> Option<Filed> {
        let fits = |report: &Filed| {
            instance.is_none_or(|instance| report.instance_id == instance) && signal.is_none_or(|signal| report.signal == signal)
        };
        self.numbers().into_iter().filter_map(|number| self.read(number)).find(fits)
    }

    /// Newest first.
    fn numbers(&self) -> Vec<u64> {
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten().take(ENTRIES);
        let mut numbers: Vec<u64> = entries.filter_map(|entry| number(entry.file_name().to_str()?)).collect();
        numbers.sort_unstable_by(|a, b| b.cmp(a));
        numbers
    }

    fn path(&self, number: u64) -> PathBuf {
        self.dir.join(format!("report-{number}.txt"))
    }

    fn read(&self, number: u64) -> Option<Filed> {
        let mut options = OpenOptions::new();
        // Neither a link nor a FIFO put in the way.
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        let file = options.read(true).custom_flags(i32::try_from(flags.bits()).unwrap_or(0)).open(self.path(number)).ok()?;
        let mut bytes = Vec::new();
        file.take((super::KEPT + HEAD) as u64).read_to_end(&mut bytes).ok()?;
        Filed::understood(&String::from_utf8_lossy(&bytes))
    }
}

fn number(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("report-")?.strip_suffix(".txt")?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn report(instance: &str, signal: &str, text: &str) -> Filed {
        Filed { signal: signal.into(), instance_id: instance.into(), at: "2026-01-02T03:04:05Z".into(), text: text.into() }
    }

    #[test]
    fn scenario_30_the_newest_report_of_a_signal_is_found_and_no_other_user_may_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(&dir.path().join("state"));
        assert_eq!(shelf.last(None, None), None);
        for (signal, text) in [("web", "one\n\ntwo\n"), ("db", "three\n"), ("web", "four\n")] {
            shelf.keep(&report("i-1", signal, text)).unwrap();
        }
        assert_eq!(shelf.last(Some("i-1"), Some("db")), Some(report("i-1", "db", "three\n")));
        assert_eq!(shelf.last(Some("i-1"), None).unwrap().text, "four\n");
        let file = dir.path().join("state/report-1.txt");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(fs::read_to_string(&file).unwrap().starts_with("ros-signal-agent failure report\nsignal: web\ninstance: i-1\n"));
    }

    #[test]
    fn scenario_12_reports_belong_to_an_instance_and_their_number_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(dir.path());
        shelf.keep(&report("i-original", "web", "of the original\n")).unwrap();
        assert_eq!(shelf.last(Some("i-clone"), Some("web")), None);
        for count in 0..20 {
            shelf.keep(&report("i-clone", "web", &format!("{count}\n"))).unwrap();
        }
        assert_eq!(shelf.last(Some("i-clone"), None).unwrap().text, "19\n");
        assert_eq!(shelf.last(Some("i-original"), None).unwrap().text, "of the original\n");
        assert_eq!(shelf.numbers().len(), REPORTS + 1);
    }

    #[test]
    fn what_is_not_a_report_or_not_a_file_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(dir.path());
        shelf.keep(&report("i-1", "web", "good\n")).unwrap();
        fs::write(dir.path().join("report-7.txt"), "nonsense").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("report-8.txt")).unwrap();
        fs::create_dir(dir.path().join("report-9.txt")).unwrap();
        fs::write(dir.path().join("report-x.txt"), "").unwrap();
        assert_eq!(shelf.last(None, None).unwrap().text, "good\n");
    }
}
