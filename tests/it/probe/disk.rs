//! `type = "disk"`, against real file systems; those that must be full are small ones that the test mounts.

use super::*;
use crate::mounted::{Hung, Mounted};
use ros_signal_agent::check::{Health, Thresholds};
use ros_signal_agent::plan::{Disk, DiskMeasure};

fn disk(path: &Path, measure: DiskMeasure, crit: &str) -> Probe {
    Probe::Disk(Disk { path: path.to_owned(), measure, thresholds: Thresholds { warn: None, crit: Some(crit.parse().unwrap()) } })
}

#[tokio::test]
async fn the_free_percent_is_that_of_df() {
    let seen = run(disk(Path::new("/"), DiskMeasure::FreePercent, "0:100")).await;
    assert_eq!(seen.health, Health::Passing, "{}", seen.message);
    assert!(seen.message.contains(" are free (") && seen.message.contains("%) on / ("), "{}", seen.message);
    let df = std::process::Command::new("df").args(["--output=pcent", "/"]).output().unwrap();
    let used: f64 = String::from_utf8_lossy(&df.stdout).lines().nth(1).unwrap().trim().trim_end_matches('%').parse().unwrap();
    let free = seen.readings.iter().find(|reading| reading.label == "free percent").unwrap().value;
    // df rounds up, and others write meanwhile.
    assert!((100.0 - used - free).abs() < 2.0, "df says {used}% are used, the check {free}% are free");
}

#[tokio::test]
async fn a_path_that_does_not_exist_is_critical() {
    let seen = run(disk(Path::new("/no/such/directory"), DiskMeasure::FreePercent, "10:")).await;
    assert_eq!((seen.health, seen.message.as_str()), (Health::Critical, "/no/such/directory does not exist; is its file system mounted?"));
}

#[tokio::test]
async fn a_full_file_system_is_critical_and_one_that_was_cleared_passes() {
    let Some(mounted) = Mounted::tmpfs("size=1m,nr_inodes=100") else { return };
    let probe = || disk(mounted.path(), DiskMeasure::FreePercent, "10:");
    assert_eq!(run(probe()).await.health, Health::Passing);
    let file = mounted.path().join("log");
    let error = std::fs::write(&file, vec![b'x'; 2 << 20]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    let full = run(probe()).await;
    assert_eq!(full.health, Health::Critical);
    let place = mounted.path().display();
    assert_eq!(full.message, format!("0 B of 1 MiB are free (0%) on {place} (tmpfs), critical below 10%"));
    std::fs::remove_file(file).unwrap();
    assert_eq!(run(probe()).await.health, Health::Passing);
}

#[tokio::test]
async fn a_file_system_without_inodes_left_is_critical_though_it_has_room() {
    let Some(mounted) = Mounted::tmpfs("size=1m,nr_inodes=20") else { return };
    let inner = mounted.path().join("spool");
    std::fs::create_dir(&inner).unwrap();
    let made = (0..40).take_while(|number| std::fs::write(inner.join(number.to_string()), "").is_ok()).count();
    assert!(made < 20, "{made} files were made");
    let seen = run(disk(&inner, DiskMeasure::InodesFreePercent, "10:")).await;
    assert_eq!(seen.health, Health::Critical);
    let said =
        format!("0 of 20 inodes are free (0%) on {} (tmpfs), where {} is, critical below 10%", mounted.path().display(), inner.display());
    assert_eq!(seen.message, said);
    assert_eq!(run(disk(&inner, DiskMeasure::FreePercent, "10:")).await.health, Health::Passing);
}

#[tokio::test]
async fn scenario_20_a_file_system_that_hangs_holds_up_nothing_but_its_own_check() {
    let Some(mut hung) = Hung::mount() else { return };
    let prober = Prober::new();
    let path = hung.path().to_owned();
    let asking = |timeout: Duration| prober.run(job(disk(&path, DiskMeasure::FreePercent, "10:"), timeout));
    let waiting = asking(Duration::from_millis(300));
    let other = async {
        let began = tokio::time::Instant::now();
        let seen =
            prober.run(Job { check: named("other", disk(Path::new("/"), DiskMeasure::Free, "0:")), attempt: 1, deadline_unix_ms: None });
        (seen.await.health, began.elapsed())
    };
    let (late, (health, took)) = tokio::join!(waiting, other);
    let said = format!("timed out after 300ms looking at {}; usually a dead file server", path.display());
    assert_eq!((late.health, late.message), (Health::Critical, said));
    assert_eq!(health, Health::Passing);
    assert!(took < Duration::from_millis(300), "{took:?}");
    // The table of mounts is read without touching it.
    let mount = ros_signal_agent::plan::Mount { path: path.clone(), fstype: Some("fuse".to_owned()), source: None, options: Vec::new() };
    assert_eq!(run(Probe::Mount(mount)).await.health, Health::Passing);
    hung.die();
    let gone = asking(PATIENCE).await;
    assert_eq!(
        (gone.health, gone.message),
        (Health::Critical, format!("{} has lost the program behind it, mount it again", path.display()))
    );
}

fn named(name: &str, probe: Probe) -> Arc<Check> {
    Arc::new(Check { name: Arc::from(name), ..Check::clone(&check(probe, PATIENCE)) })
}
