use super::*;
use crate::probe::watch::Changes;
use std::path::Path;

struct Followed {
    inotify: Inotify,
    changes: Changes,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Followed {
    fn new() -> Self {
        Self { inotify: Inotify::default(), changes: Changes::default(), tasks: Vec::new() }
    }

    /// Follows `path`, and waits until it is watched and the first was told of it.
    async fn follow(&mut self, name: &str, path: &Path) {
        self.tasks.push(tokio::spawn(self.inotify.following(&Arc::from(name), vec![path.to_owned()], &self.changes)));
        assert_eq!(self.changed().await, name);
        self.calm().await;
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        locked(&self.inotify.0.table)
    }

    fn members(&self) -> usize {
        self.table().members()
    }

    async fn changed(&self) -> String {
        patient(self.changes.next()).await.to_string()
    }

    /// Whether nobody tells of anything for a while, `changed` so far left out.
    async fn is_silent(&self) -> bool {
        let silence = Duration::from_millis(100);
        tokio::time::timeout(silence, self.changes.next()).await.is_err()
    }

    /// Waits until nobody tells of anything any more.
    async fn calm(&self) {
        patient(async { while !self.is_silent().await {} }).await;
    }
}

async fn patient<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), what).await.expect("waited too long")
}

#[tokio::test]
async fn a_file_that_is_written_replaced_or_deleted_is_noticed_and_its_neighbours_are_not() {
    let root = tempfile::tempdir().unwrap();
    let flag = root.path().join("flag");
    let mut followed = Followed::new();
    followed.follow("flag", &flag).await;
    let temporary = root.path().join("flag.tmp");
    std::fs::write(&temporary, "1").unwrap();
    assert!(followed.is_silent().await, "a neighbour is nothing to it");
    for step in ["write", "append", "rename", "chmod", "delete"] {
        match step {
            "write" => std::fs::write(&flag, "0").unwrap(),
            "append" => std::fs::write(&flag, "0+").unwrap(),
            "rename" => std::fs::rename(&temporary, &flag).unwrap(),
            "chmod" => std::fs::set_permissions(&flag, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap(),
            _ => std::fs::remove_file(&flag).unwrap(),
        }
        assert_eq!(followed.changed().await, "flag", "{step}");
        followed.calm().await;
    }
}

#[tokio::test]
async fn a_file_whose_directories_come_into_being_one_by_one_and_go_again_is_noticed() {
    let root = tempfile::tempdir().unwrap();
    let deep = root.path().join("a/b/c/flag");
    let mut followed = Followed::new();
    followed.follow("flag", &deep).await;
    for _ in 0..3 {
        std::fs::create_dir_all(deep.parent().unwrap()).unwrap();
        followed.changed().await;
        followed.calm().await;
        std::fs::write(&deep, "1").unwrap();
        followed.changed().await;
        followed.calm().await;
        std::fs::remove_dir_all(root.path().join("a")).unwrap();
        followed.changed().await;
        followed.calm().await;
    }
    assert_eq!(followed.table().watched(), 1, "only the nearest directory that there is");
}

#[tokio::test]
async fn a_link_that_is_set_to_another_directory_is_noticed_and_then_the_file_in_there() {
    let root = tempfile::tempdir().unwrap();
    for version in ["v1", "v2"] {
        std::fs::create_dir(root.path().join(version)).unwrap();
        std::fs::write(root.path().join(version).join("app"), version).unwrap();
    }
    std::os::unix::fs::symlink("v1", root.path().join("current")).unwrap();
    let mut followed = Followed::new();
    followed.follow("app", &root.path().join("current/app")).await;
    std::os::unix::fs::symlink("v2", root.path().join("next")).unwrap();
    std::fs::rename(root.path().join("next"), root.path().join("current")).unwrap();
    followed.changed().await;
    followed.calm().await;
    std::fs::write(root.path().join("v1/app"), "old").unwrap();
    assert!(followed.is_silent().await, "nobody looks there any more");
    std::fs::write(root.path().join("v2/app"), "new").unwrap();
    assert_eq!(followed.changed().await, "app");
}

#[tokio::test]
async fn many_checks_share_one_watch_of_a_directory_and_the_last_to_leave_ends_it() {
    let root = tempfile::tempdir().unwrap();
    let mut followed = Followed::new();
    for name in ["one", "two", "three"] {
        followed.follow(name, &root.path().join(name)).await;
    }
    assert_eq!(followed.table().watched(), 1);
    std::fs::write(root.path().join("two"), "").unwrap();
    assert_eq!(followed.changed().await, "two");
    followed.calm().await;
    followed.tasks.iter().for_each(JoinHandle::abort);
    patient(async {
        while followed.members() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(followed.table().watched(), 0);
}

#[tokio::test]
async fn when_the_queue_of_the_kernel_runs_over_everybody_is_told() {
    let root = tempfile::tempdir().unwrap();
    let mut followed = Followed::new();
    followed.follow("quiet", &root.path().join("quiet")).await;
    let limit: usize = std::fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap().trim().parse().unwrap();
    let (one, other) = (root.path().join("one"), root.path().join("other"));
    std::fs::write(&one, "").unwrap();
    // Nothing is read meanwhile: this is the only thread of the runtime, and it does not yield.
    for _ in 0..=limit / 4 {
        std::fs::rename(&one, &other).unwrap();
        std::fs::rename(&other, &one).unwrap();
    }
    assert_eq!(followed.changed().await, "quiet");
    followed.calm().await;
    std::fs::write(root.path().join("quiet"), "").unwrap();
    assert_eq!(followed.changed().await, "quiet", "and goes on to be");
}
