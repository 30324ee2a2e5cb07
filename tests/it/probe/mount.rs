//! `type = "mount"`, against mounts that the test makes.

use super::*;
use crate::mounted::Mounted;
use ros_signal_agent::check::Health;
use ros_signal_agent::plan::Mount;

fn mount(path: &Path, options: &[&str]) -> Mount {
    let options = options.iter().map(|option| (*option).to_owned()).collect();
    Mount { path: path.to_owned(), fstype: Some("tmpfs".to_owned()), source: Some("shop".to_owned()), options }
}

#[tokio::test]
async fn every_machine_has_a_root_and_nothing_on_a_path_that_is_not_there() {
    let any = |path: &str| Probe::Mount(Mount { path: path.into(), fstype: None, source: None, options: Vec::new() });
    let root = run(any("/")).await;
    assert_eq!(root.health, Health::Passing, "{}", root.message);
    let none = run(any("/no/such/place")).await;
    assert_eq!((none.health, none.message.as_str()), (Health::Critical, "nothing is mounted on /no/such/place"));
}

#[tokio::test]
async fn a_mount_is_seen_with_its_options_and_its_end() {
    let Some(mounted) = Mounted::tmpfs("size=1m,noexec,nosuid") else { return };
    let path = mounted.path().canonicalize().unwrap();
    let good = run(Probe::Mount(mount(&path, &["rw", "noexec", "nosuid", "dev"]))).await;
    assert_eq!((good.health, good.message), (Health::Passing, format!("shop (tmpfs) is mounted on {}", path.display())));
    assert_eq!(run(Probe::Mount(mount(&path, &["exec"]))).await.health, Health::Critical);
    let remounted = std::process::Command::new("mount").args(["-o", "remount,ro"]).arg(&path).status().unwrap();
    assert!(remounted.success());
    let read_only = run(Probe::Mount(mount(&path, &["rw"]))).await;
    assert!(read_only.message.contains(" is mounted read-only, expected rw; "), "{}", read_only.message);
    drop(mounted);
    let gone = run(Probe::Mount(mount(&path, &[]))).await;
    assert_eq!((gone.health, gone.message), (Health::Critical, format!("nothing is mounted on {}", path.display())));
}

#[tokio::test]
async fn a_mount_and_its_end_are_told_at_once() {
    let prober = Prober::new();
    let any = Mount { path: "/mnt".into(), fstype: None, source: None, options: Vec::new() };
    prober.follow(&[check(Probe::Mount(any), PATIENCE)]);
    // The task that follows has begun when it has been polled once.
    tokio::task::yield_now().await;
    let changed = || async {
        let began = tokio::time::Instant::now();
        let name = tokio::time::timeout(PATIENCE, prober.changed()).await.expect("a change is told");
        assert_eq!(&*name, "web");
        began.elapsed()
    };
    let Some(mounted) = Mounted::tmpfs("size=1m") else { return };
    let first = changed().await;
    drop(mounted);
    let second = changed().await;
    // The second waits for the breath between two changes at most; mounting itself is done when it is waited for.
    assert!(first < Duration::from_secs(1) && second < Duration::from_secs(2), "{first:?}, {second:?}");
}
