//! `type = "file"` with real files, links, sockets, devices and accounts.

use super::*;
use ros_signal_agent::check::{Health, Thresholds};
use ros_signal_agent::plan::{Account, File, FileMeasure, FileType, Present};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

pub(super) fn file(path: &Path, present: Present) -> Probe {
    Probe::File(File { path: path.to_owned(), present: Some(Box::new(present)) })
}

fn nothing(path: &Path) -> Probe {
    Probe::File(File { path: path.to_owned(), present: None })
}

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { dir: crate::private::directory() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn with(self, name: &str, text: &str) -> Self {
        std::fs::write(self.path(name), text).unwrap();
        std::fs::set_permissions(self.path(name), PermissionsExt::from_mode(0o644)).unwrap();
        self
    }

    /// What a check of the file `name` says, the directory left out.
    async fn says(&self, name: &str, present: Present) -> (Health, String) {
        self.told(&run(file(&self.path(name), present)).await)
    }

    fn told(&self, seen: &Observation) -> (Health, String) {
        assert!(!seen.terminal);
        (seen.health, seen.message.replace(&format!("{}/", self.dir.path().display()), ""))
    }
}

fn critical(message: &str) -> (Health, String) {
    (Health::Critical, message.to_owned())
}

#[tokio::test]
async fn a_path_alone_asks_whether_it_is_there() {
    let place = Place::new().with("app.conf", "12345");
    let seen = run(file(&place.path("app.conf"), Present::default())).await;
    assert_eq!(seen.health, Health::Passing, "{}", seen.message);
    assert!(seen.message.contains("app.conf is a regular file, 5 bytes, modified 0s ago"), "{}", seen.message);
    assert_eq!((seen.readings[0].label.as_str(), seen.readings[0].value, seen.readings[0].unit.as_str()), ("size", 5.0, "B"));
    assert_eq!((seen.readings[1].label.as_str(), seen.readings[1].unit.as_str()), ("age", "s"));
    assert_eq!(place.says("missing", Present::default()).await, critical("missing does not exist"));
    let through = place.says("app.conf/deeper", Present::default()).await;
    assert_eq!(through, critical("app.conf/deeper does not exist: a part of the path is no directory"));
}

#[tokio::test]
async fn links_are_followed_and_a_link_to_nowhere_is_told_as_one() {
    let place = Place::new().with("app.conf", "x");
    symlink("app.conf", place.path("link")).unwrap();
    symlink("gone", place.path("dangling")).unwrap();
    symlink("circle", place.path("circle")).unwrap();
    let a = |file_type| Present { file_type: Some(file_type), ..Present::default() };
    assert_eq!(place.says("link", a(FileType::File)).await.0, Health::Passing);
    assert_eq!(place.says("link", a(FileType::Symlink)).await.0, Health::Passing);
    assert_eq!(place.says("app.conf", a(FileType::Symlink)).await, critical("app.conf is a regular file, expected a symbolic link"));
    assert_eq!(place.says("dangling", Present::default()).await, critical("dangling is a symbolic link to gone, which does not exist"));
    assert_eq!(place.says("dangling", a(FileType::Symlink)).await.0, Health::Passing);
    assert_eq!(place.says("circle", Present::default()).await, critical("circle cannot be reached: its symbolic links lead in a circle"));
}

#[tokio::test]
async fn what_must_not_be_there_passes_only_while_nothing_is_not_even_a_link_to_nowhere() {
    let place = Place::new().with("maintenance", "");
    symlink("gone", place.path("dangling")).unwrap();
    assert_eq!(place.told(&run(nothing(&place.path("other"))).await), (Health::Passing, "other does not exist, as it should be".into()));
    assert_eq!(place.told(&run(nothing(&place.path("maintenance/x"))).await).0, Health::Passing);
    let seen = place.told(&run(nothing(&place.path("maintenance"))).await);
    assert_eq!(seen, critical("maintenance exists (a regular file), but must not"));
    let seen = place.told(&run(nothing(&place.path("dangling"))).await);
    assert_eq!(seen, critical("dangling exists (a symbolic link), but must not"));
}

#[tokio::test]
async fn every_difference_is_said_exactly_and_all_at_once() {
    let place = Place::new().with("app.conf", "12345");
    std::fs::set_permissions(place.path("app.conf"), PermissionsExt::from_mode(0o600)).unwrap();
    let mode = Present { mode: Some(0o644), ..Present::default() };
    assert_eq!(place.says("app.conf", mode.clone()).await, critical("app.conf has mode 0600, expected 0644"));
    let all = Present { file_type: Some(FileType::Directory), min_size: Some(10), max_age: Some(Duration::from_secs(60)), ..mode };
    let message = "app.conf is a regular file, expected a directory; has mode 0600, expected 0644; has 5 bytes, expected at least 10";
    assert_eq!(place.says("app.conf", all).await, critical(message));
    let large = Present { max_size: Some(4), ..Present::default() };
    assert_eq!(place.says("app.conf", large).await, critical("app.conf has 5 bytes, expected at most 4"));
    let exact = Present { mode: Some(0o600), min_size: Some(5), max_size: Some(5), ..Present::default() };
    assert_eq!(place.says("app.conf", exact).await.0, Health::Passing);
}

#[tokio::test]
async fn sockets_fifos_directories_and_devices_are_told_apart_and_never_read() {
    let place = Place::new();
    let _socket = std::os::unix::net::UnixListener::bind(place.path("socket")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, place.path("fifo"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    std::fs::create_dir(place.path("directory")).unwrap();
    let kinds = [("socket", FileType::Socket), ("fifo", FileType::Fifo), ("directory", FileType::Directory), ("/dev/null", FileType::Char)];
    for (name, file_type) in kinds {
        let seen = place.says(name, Present { file_type: Some(file_type), ..Present::default() }).await;
        assert_eq!(seen.0, Health::Passing, "{}", seen.1);
        let seen = place.says(name, Present { contents: Some(pattern("x")), sha256: Some([0; 32]), ..Present::default() }).await;
        let trouble = "is no regular file, so its contents are not read";
        assert_eq!(seen, critical(&format!("{name} {trouble}; {trouble}")));
    }
}

#[tokio::test]
async fn contents_are_matched_on_the_first_mebibyte_and_never_shown() {
    let place = Place::new().with("app.conf", "user=joe\npassword=hunter2\n");
    let contents = |text: &str| Present { contents: Some(pattern(text)), ..Present::default() };
    assert_eq!(place.says("app.conf", contents("(?m)^user=joe$")).await.0, Health::Passing);
    let seen = place.says("app.conf", contents("(?m)^user=root$")).await;
    assert_eq!(seen, critical("app.conf has contents that do not match /(?m)^user=root$/"));
    let place = place.with("large", &format!("{}end", "x".repeat(1024 * 1024 - 1)));
    assert_eq!(place.says("large", contents("xe$")).await.0, Health::Passing, "the first MiB ends there");
    assert_eq!(place.says("large", contents("end")).await.0, Health::Critical);
    std::fs::write(place.path("binary"), b"\xff\x00ready\xfe").unwrap();
    assert_eq!(place.says("binary", contents("ready")).await.0, Health::Passing);
}

#[tokio::test]
async fn the_sha256_is_that_of_sha256sum() {
    let place = Place::new().with("hello", "hello\n").with("empty", "").with("large", &"0123456789".repeat(300_000));
    for name in ["hello", "empty", "large"] {
        let said = std::process::Command::new("sha256sum").arg(place.path(name)).output().unwrap().stdout;
        let said = String::from_utf8(said).unwrap();
        let mut digest = [0; 32];
        for (at, byte) in digest.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&said[2 * at..2 * at + 2], 16).unwrap();
        }
        assert_eq!(place.says(name, Present { sha256: Some(digest), ..Present::default() }).await.0, Health::Passing, "{name}");
        digest[31] ^= 1;
        assert_eq!(place.says(name, Present { sha256: Some(digest), ..Present::default() }).await.0, Health::Critical, "{name}");
    }
    let wrong = place.says("hello", Present { sha256: Some([0xab; 32]), ..Present::default() }).await;
    assert_eq!(wrong, critical("hello has the sha256 5891b5b522d5df08..., expected abababababababab..."));
}

#[tokio::test]
async fn ages_are_those_of_the_last_modification_and_a_future_one_points_at_the_clock() {
    let place = Place::new().with("backup", "x");
    let set = |offset: i64| {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
        let at = rustix::fs::Timespec { tv_sec: now.tv_sec + offset, tv_nsec: 0 };
        let times = rustix::fs::Timestamps { last_access: at, last_modification: at };
        rustix::fs::utimensat(rustix::fs::CWD, place.path("backup"), &times, rustix::fs::AtFlags::empty()).unwrap();
    };
    let age = |min: Option<u64>, max: Option<u64>| Present {
        min_age: min.map(Duration::from_secs),
        max_age: max.map(Duration::from_secs),
        ..Present::default()
    };
    set(-7200);
    assert_eq!(place.says("backup", age(Some(3600), Some(10_800))).await.0, Health::Passing);
    let (health, message) = place.says("backup", age(None, Some(3600))).await;
    assert!(health == Health::Critical && message.starts_with("backup was modified 2h"), "{message}");
    assert!(message.ends_with("ago, expected at most 1h ago"), "{message}");
    let (_, message) = place.says("backup", age(Some(10_800), None)).await;
    assert!(message.ends_with("ago, expected at least 3h ago"), "{message}");
    let judged = |warn: &str, crit: &str| {
        let thresholds = Thresholds { warn: warn.parse().ok(), crit: crit.parse().ok() };
        Present { measure: Some((FileMeasure::Age, thresholds)), ..Present::default() }
    };
    assert_eq!(place.says("backup", judged("~:8000", "~:9000")).await.0, Health::Passing);
    let (health, message) = place.says("backup", judged("~:3600", "~:9000")).await;
    assert!(health == Health::Warning && message.starts_with("backup was modified 2h"), "{message}");
    assert!(message.ends_with("ago, warning above 3600s"), "{message}");
    set(3600);
    let (health, message) = place.says("backup", age(Some(1), None)).await;
    assert!(health == Health::Critical && message.contains("in the future; is the clock of this host right?"), "{message}");
    let sized = Thresholds { warn: None, crit: "10:".parse().ok() };
    let seen = place.says("backup", Present { measure: Some((FileMeasure::Size, sized)), ..Present::default() }).await;
    assert_eq!(seen, critical("backup has 1 bytes, critical below 10 bytes"));
}

#[tokio::test]
async fn owners_are_compared_by_name_and_by_number_and_a_missing_account_is_our_trouble() {
    let place = Place::new().with("app.conf", "x");
    let uid = rustix::process::getuid().as_raw();
    let owner = |account| Present { owner: Some(account), ..Present::default() };
    assert_eq!(place.says("app.conf", owner(Account::Id(uid))).await.0, Health::Passing);
    let (health, message) = place.says("app.conf", owner(Account::Name("no-such-user".into()))).await;
    assert_eq!(health, Health::Unknown);
    assert!(message.contains("it is not in /etc/passwd; give the number"), "{message}");
    let seen =
        run(file(Path::new("/etc/passwd"), Present { group: Some(Account::Name("root".into())), ..owner(Account::Name("root".into())) }))
            .await;
    assert_eq!(seen.health, Health::Passing, "{}", seen.message);
    let seen = run(file(Path::new("/etc/passwd"), owner(Account::Name("daemon".into())))).await;
    assert_eq!((seen.health, seen.message.as_str()), (Health::Critical, "/etc/passwd belongs to user root, expected daemon"));
}

#[tokio::test]
async fn a_name_that_would_play_with_the_terminal_is_shown_harmlessly() {
    let place = Place::new();
    let (_, message) = place.says("a\x1b[2J", Present::default()).await;
    assert_eq!(message, "a\\x1b[2J does not exist");
}

#[tokio::test]
async fn on_a_full_file_system_a_half_written_file_does_not_pass_for_a_whole_one() {
    let Some(full) = Tmpfs::mounted() else { return };
    let whole = "0123456789".repeat(10_000);
    let path = full.path().join("app.bin");
    assert!(std::fs::write(&path, &whole).is_err(), "64 KiB do not hold it");
    let sum = {
        let beside = Place::new().with("whole", &whole);
        let said = std::process::Command::new("sha256sum").arg(beside.path("whole")).output().unwrap().stdout;
        let said = String::from_utf8(said).unwrap();
        let mut digest = [0; 32];
        for (at, byte) in digest.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&said[2 * at..2 * at + 2], 16).unwrap();
        }
        digest
    };
    let wanted = || Present { min_size: Some(100_000), sha256: Some(sum), ..Present::default() };
    let seen = run(file(&path, wanted())).await;
    assert_eq!(seen.health, Health::Critical);
    assert!(seen.message.contains("bytes, expected at least 100000; has the sha256 "), "{}", seen.message);
    let seen = run(file(&path, Present { contents: Some(pattern("^0123456789")), ..Present::default() })).await;
    assert_eq!(seen.health, Health::Passing, "what is there can be read: {}", seen.message);
    full.grow();
    std::fs::write(&path, &whole).unwrap();
    let seen = run(file(&path, wanted())).await;
    assert_eq!(seen.health, Health::Passing, "{}", seen.message);
}

/// A small file system in memory, until it is dropped. None: this needs root, which was said.
struct Tmpfs(tempfile::TempDir);

impl Tmpfs {
    fn mounted() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: only root can mount");
            return None;
        }
        let dir = crate::private::directory();
        let mounted = std::process::Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "none"]).arg(dir.path()).status();
        if !mounted.is_ok_and(|status| status.success()) {
            assert!(!std::env::var("ROS_SIGNAL_AGENT_PEERS").is_ok_and(|word| word == "required"), "root cannot mount a tmpfs");
            eprintln!("skipped: a tmpfs cannot be mounted here");
            return None;
        }
        Some(Self(dir))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn grow(&self) {
        let grown = std::process::Command::new("mount").args(["-o", "remount,size=1m"]).arg(self.path()).status();
        assert!(grown.unwrap().success());
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(self.path()).status();
    }
}
