//! A directory, a task that reads it, and somebody in the place of the core.

use super::*;
use crate::events::{Delivered, Health, SourceView, Taken};
use rustix::fs::{CWD, Mode};
use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, symlink};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

const EVENT: &str = include_str!("../../../tests/fixtures/events/samples/ros.StackStateChange.UpdateComplete.json");

/// Looks by time are quick.
const QUICK: Pace = Pace {
    look: Duration::from_millis(50),
    settle: Duration::from_millis(20),
    patience: Duration::from_millis(60),
    again: Duration::from_millis(20),
    answer: Duration::from_millis(20),
};
/// Looks by time do not come in a test's life: the kernel tells.
const TOLD: Pace = Pace { look: Duration::from_secs(3600), settle: Duration::from_secs(3600), ..QUICK };

struct World {
    root: tempfile::TempDir,
    health: Health,
    arrivals: mpsc::Receiver<Delivered>,
    sender: mpsc::Sender<Delivered>,
    task: Option<JoinHandle<()>>,
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl World {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("spool")).unwrap();
        std::fs::set_permissions(root.path().join("spool"), Permissions::from_mode(0o755)).unwrap();
        let (sender, arrivals) = mpsc::channel(8);
        Self { root, health: Health::new("drop", "spool"), arrivals, sender, task: None }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join("spool").join(name)
    }

    fn spool(&self, pace: Pace) -> Spool {
        Spool::new(self.root.path().join("spool"), Inlet::new(Arc::from("drop"), self.sender.clone(), self.health.clone()), pace)
    }

    fn start(&mut self, pace: Pace) {
        self.task = Some(tokio::spawn(self.spool(pace).run()));
    }

    /// As on a file system of another host.
    fn start_untold(&mut self) {
        let mut spool = self.spool(QUICK);
        self.task = Some(tokio::spawn(async move { spool.follow().await }));
    }

    /// Puts a file in as everybody should.
    fn put(&self, name: &str, text: &str) {
        std::fs::write(self.path(&format!(".{name}")), text).unwrap();
        std::fs::rename(self.path(&format!(".{name}")), self.path(name)).unwrap();
    }

    async fn arrives(&mut self) -> Delivered {
        tokio::time::timeout(Duration::from_secs(30), self.arrivals.recv()).await.expect("nothing arrives").unwrap()
    }

    async fn is_taken(&mut self) -> Event {
        let delivered = self.arrives().await;
        delivered.taken.send(Taken::Look).unwrap();
        delivered.arrival.event
    }

    async fn until(&self, what: impl Fn(&SourceView) -> bool) -> SourceView {
        let wait = async {
            loop {
                let view = self.health.view();
                if what(&view) {
                    return view;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), wait).await.unwrap_or_else(|_| panic!("it stays at {:?}", self.health.view()))
    }

    async fn gone(&self, name: &str) {
        self.until(|_| !self.path(name).exists()).await;
    }
}

#[tokio::test]
async fn a_file_that_is_renamed_in_or_closed_is_taken_at_once_and_removed() {
    let mut world = World::new();
    world.start(TOLD);
    let view = world.until(|view| view.healthy).await;
    assert_eq!(view.detail, format!("reads {}", world.root.path().join("spool").display()));
    world.put("a.json", EVENT);
    assert_eq!(world.is_taken().await.kind, "ros:StackStateChange:UpdateComplete");
    world.gone("a.json").await;
    std::fs::write(world.path("b"), EVENT).unwrap();
    world.is_taken().await;
    world.gone("b").await;
    assert_eq!(world.health.view().received, 2);
}

#[tokio::test]
async fn a_file_stays_until_the_core_has_taken_its_hint() {
    let mut world = World::new();
    world.start(TOLD);
    world.until(|view| view.healthy).await;
    world.put("a.json", EVENT);
    let delivered = world.arrives().await;
    assert!(world.path("a.json").exists());
    assert_eq!(delivered.arrival.trust, Trust::Guarded);
    drop(delivered.taken);
    let mut again = World::new();
    std::mem::swap(&mut again.root, &mut world.root);
    assert!(again.path("a.json").exists(), "whoever stops has not taken it");
    again.start(QUICK);
    again.is_taken().await;
    again.gone("a.json").await;
}

#[tokio::test]
async fn what_waits_at_the_start_and_what_the_kernel_does_not_tell_is_found_by_looks() {
    let mut world = World::new();
    for number in 0..(BATCH + 8) {
        world.put(&format!("{number}.json"), &EVENT.replace("238dbcdc", &number.to_string()));
    }
    world.start_untold();
    let mut ids = HashSet::new();
    for _ in 0..(BATCH + 8) {
        ids.insert(world.is_taken().await.id);
    }
    assert_eq!(ids.len(), BATCH + 8);
    let view = world.until(|view| view.healthy && view.detail.contains("every 50ms")).await;
    assert_eq!(view.refused.len(), 0);
    world.put("late", EVENT);
    world.is_taken().await;
    world.gone("late").await;
}

#[tokio::test]
async fn nothing_but_regular_files_with_ordinary_names_is_touched() {
    let mut world = World::new();
    for name in [".hidden", "a.tmp", "a.part"] {
        std::fs::write(world.path(name), EVENT).unwrap();
    }
    std::fs::write(world.root.path().join("elsewhere"), EVENT).unwrap();
    symlink(world.root.path().join("elsewhere"), world.path("link")).unwrap();
    std::fs::create_dir(world.path("directory")).unwrap();
    rustix::fs::mkfifoat(CWD, world.path("fifo"), Mode::RUSR | Mode::WUSR).unwrap();
    world.start(QUICK);
    world.put("z.json", EVENT);
    world.is_taken().await;
    world.gone("z.json").await;
    world.put("zz.json", EVENT);
    world.is_taken().await;
    for name in [".hidden", "a.tmp", "a.part", "link", "directory", "fifo"] {
        assert!(std::fs::symlink_metadata(world.path(name)).is_ok(), "{name}");
    }
    assert_eq!(world.health.view().received, 2);
}

#[tokio::test]
async fn a_file_that_is_no_event_is_set_aside_and_counted() {
    let mut world = World::new();
    world.start(QUICK);
    world.until(|view| view.healthy).await;
    world.put("README", "read me");
    world.put("other", &EVENT.replace("acs.ros\",\n", "acs.oss\",\n"));
    world.put("large", &"x".repeat(envelope::LIMIT + 1));
    for name in ["README", "other", "large"] {
        world.gone(name).await;
        assert!(world.path("refused").join(name).exists(), "{name}");
    }
    world.put("README", "again");
    world.gone("README").await;
    assert_eq!(std::fs::read_dir(world.path("refused")).unwrap().count(), 4, "none takes another's place");
    let view = world.until(|view| view.refused.values().sum::<u64>() == 4).await;
    assert_eq!(view.refused["neither JSON nor base64 of JSON"], 2);
    assert_eq!(view.refused["not a ROS event"], 1);
    assert_eq!(view.refused["larger than 512 KiB"], 1);
    assert!(world.arrivals.try_recv().is_err());
}

#[tokio::test]
async fn a_bounded_number_of_refused_files_is_kept() {
    let mut world = World::new();
    world.start(QUICK);
    for number in 0..80 {
        world.put(&format!("{number}"), "no event");
    }
    world.until(|view| view.refused.values().sum::<u64>() == 80).await;
    world.gone("79").await;
    assert_eq!(std::fs::read_dir(world.path("refused")).unwrap().count(), 64);
}

#[tokio::test]
async fn a_file_in_the_middle_of_being_written_is_waited_for() {
    let mut world = World::new();
    std::fs::write(world.path("slow"), &EVENT[..200]).unwrap();
    let mut pace = QUICK;
    pace.patience = Duration::from_secs(3600);
    let mut spool = world.spool(pace);
    world.task = Some(tokio::spawn(async move { spool.follow().await }));
    // A file beside it goes the whole way, so the slow one has been looked at too.
    world.put("beside", EVENT);
    world.is_taken().await;
    world.gone("beside").await;
    assert_eq!(world.health.view().refused.len(), 0);
    std::fs::write(world.path("slow"), EVENT).unwrap();
    world.is_taken().await;
    world.gone("slow").await;
}

#[tokio::test]
async fn what_cannot_be_taken_away_is_said_and_not_taken_in_again_and_goes_once_it_can() {
    let mut world = World::new();
    std::fs::write(world.path(".in-the-way"), "").unwrap();
    std::fs::rename(world.path(".in-the-way"), world.path("refused")).unwrap();
    symlink("elsewhere", world.root.path().join("spare")).unwrap();
    // What is called `refused` is a link, so nothing can be put into it.
    std::fs::remove_file(world.path("refused")).unwrap();
    std::fs::rename(world.root.path().join("spare"), world.path("refused")).unwrap();
    world.start(QUICK);
    world.put("README", "read me");
    let view = world.until(|view| view.error.is_some()).await;
    assert!(view.error.as_ref().unwrap().starts_with("cannot set aside README: "), "{view:?}");
    assert!(view.hint.as_ref().unwrap().contains("ReadWritePaths="), "{view:?}");
    for number in 0..3 {
        world.put(&format!("{number}"), EVENT);
        world.is_taken().await;
        world.gone(&format!("{number}")).await;
    }
    assert_eq!(world.health.view().refused.values().sum::<u64>(), 1, "once");
    std::fs::remove_file(world.path("refused")).unwrap();
    world.gone("README").await;
    world.until(|view| view.healthy).await;
}

#[tokio::test]
async fn a_directory_into_which_everybody_may_write_gives_no_more_than_a_reason_to_look() {
    let mut world = World::new();
    std::fs::set_permissions(world.path(""), Permissions::from_mode(0o1777)).unwrap();
    world.start(QUICK);
    world.put("a.json", EVENT);
    let delivered = world.arrives().await;
    assert_eq!(delivered.arrival.trust, Trust::Unsigned);
    delivered.taken.send(Taken::Look).unwrap();
    let view = world.until(|view| view.healthy).await;
    assert!(view.detail.ends_with("everybody may write there, so its events run no hooks"), "{}", view.detail);
}

#[tokio::test]
async fn a_directory_that_is_missing_is_said_with_what_to_do_and_tried_again() {
    let mut world = World::new();
    std::fs::remove_dir(world.path("")).unwrap();
    world.start(QUICK);
    let view = world.until(|view| view.error.is_some()).await;
    assert!(view.error.unwrap().ends_with("/spool does not exist"));
    assert!(view.hint.unwrap().starts_with("make it: install -d "));
    std::fs::create_dir(world.path("")).unwrap();
    std::fs::set_permissions(world.path(""), Permissions::from_mode(0o755)).unwrap();
    world.until(|view| view.healthy).await;
    world.put("a.json", EVENT);
    world.is_taken().await;
    std::fs::rename(world.path(""), world.root.path().join("old")).unwrap();
    std::fs::create_dir(world.path("")).unwrap();
    std::fs::set_permissions(world.path(""), Permissions::from_mode(0o755)).unwrap();
    world.put("b.json", EVENT);
    world.is_taken().await;
    world.gone("b.json").await;
}

#[tokio::test]
async fn events_that_find_no_room_stay_in_their_files() {
    let mut world = World::new();
    let (narrow, mut arrivals) = mpsc::channel(1);
    world.sender = narrow.clone();
    let room = narrow.reserve().await.unwrap();
    world.start(QUICK);
    world.put("a.json", EVENT);
    world.until(|view| view.received >= 2).await;
    assert!(world.path("a.json").exists());
    drop(room);
    arrivals.recv().await.unwrap().taken.send(Taken::Look).unwrap();
    world.gone("a.json").await;
}

#[tokio::test]
async fn scenario_20_a_dead_file_server_is_said_and_waited_for_with_one_thread() {
    let world = World::new();
    let spool = world.spool(QUICK);
    let (let_go, held) = std::sync::mpsc::channel::<()>();
    let work = spool.apart(move || held.recv().is_ok());
    let watching = async {
        let view = world.until(|view| view.error.is_some()).await;
        assert!(view.error.unwrap().contains("does not answer within"));
        let_go.send(()).unwrap();
    };
    assert!(tokio::join!(work, watching).0.unwrap());
}

#[test]
fn what_the_kernel_tells_of_is_found_among_any_number_of_files_and_comes_first() {
    let world = World::new();
    for number in 0..(3 * LISTED) {
        std::fs::write(world.path(&number.to_string()), "").unwrap();
    }
    let directory = Directory::open(&world.path("")).unwrap();
    let told: HashSet<OsString> = (0..40).map(|number| (number * 307).to_string().into()).collect();
    let files = directory.files(&told).unwrap();
    assert_eq!(files.len(), LISTED + told.len());
    let first: HashSet<OsString> = files.iter().take(told.len()).map(|(name, _)| name.clone()).collect();
    assert_eq!(first, told);
    let names: HashSet<&OsString> = files.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), files.len(), "none twice");
}

#[tokio::test]
async fn two_names_of_one_file_that_stays_are_each_taken_in_once() {
    let mut world = World::new();
    symlink("elsewhere", world.path("refused")).unwrap();
    std::fs::write(world.path("one"), "no event").unwrap();
    std::fs::hard_link(world.path("one"), world.path("two")).unwrap();
    world.start(QUICK);
    world.until(|view| view.refused.values().sum::<u64>() == 2 && view.error.is_some()).await;
    for number in 0..3 {
        world.put(&format!("{number}"), EVENT);
        world.is_taken().await;
        world.gone(&format!("{number}")).await;
    }
    assert_eq!(world.health.view().refused.values().sum::<u64>(), 2);
}

#[tokio::test]
async fn names_with_control_characters_and_lines_of_their_own_stay_one_line_in_what_is_said() {
    let mut world = World::new();
    symlink("elsewhere", world.path("refused")).unwrap();
    world.start(QUICK);
    world.put("a\n\u{1b}[31mERROR all is lost", "no event");
    let error = world.until(|view| view.error.is_some()).await.error.unwrap();
    assert!(!error.chars().any(char::is_control), "{error:?}");
}
