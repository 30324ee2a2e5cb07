//! `type = "mount"`: what is mounted on a path, and how.
//!
//! The table is that of the first process, where the agent may read it: the agent's own unit has a mount namespace of its own, in which
//! `PrivateTmp=` and the like hide some mounts and add others. No file system is touched, so a dead file server cannot hang this.

use super::mounts::{self, Mount};
use super::text::one_line;
use super::watch::Changes;
use crate::check::{Health, Observation};
use crate::plan::{self, Name};
use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The table that is looked at first.
pub(super) const OF_THE_HOST: &str = "/proc/1/mountinfo";
const OUR_OWN: &str = "/proc/self/mountinfo";
/// Between two changes that are told, so that a host that mounts all the time (containers) does not keep the agent busy. What comes in
/// between is told afterwards, once.
const BREATH: Duration = Duration::from_millis(200);

/// Makes one observation. Blocks: a table can have many lines.
pub(super) fn look(mount: &plan::Mount) -> Observation {
    look_at(mount, Path::new(OF_THE_HOST), Path::new(OUR_OWN))
}

/// Tells whenever something is mounted, unmounted or mounted otherwise: the table can be polled for that, proc_pid_mountinfo(5).
pub(super) async fn follow(name: Name, changes: Changes) {
    let table = File::open(OF_THE_HOST).or_else(|_| File::open(OUR_OWN));
    #[expect(deprecated, reason = "a File keeps its descriptor, which is all that is asked; the successor is unsafe")]
    let table = table.and_then(|table| AsyncFd::with_interest(table, Interest::PRIORITY));
    if let Ok(table) = table {
        while let Ok(mut ready) = table.ready(Interest::PRIORITY).await {
            ready.clear_ready();
            changes.tell(&name);
            tokio::time::sleep(BREATH).await;
        }
    }
    // Without the table there is nothing to follow: the check is polled.
    std::future::pending::<()>().await;
}

fn look_at(wanted: &plan::Mount, of_the_host: &Path, our_own: &Path) -> Observation {
    let last = |table: &Path| -> io::Result<Option<Mount>> { Ok(mounts::read(table, |mount| mount.point == wanted.path)?.pop()) };
    // With hidepid= or ProtectProc= the first process is not there for us.
    let (found, place) = match last(of_the_host) {
        Ok(found) => (found, ""),
        Err(_) => match last(our_own) {
            Ok(found) => (found, " as the agent's unit sees it (it may not read /proc/1/mountinfo)"),
            Err(error) => return super::proc::unreadable(our_own, &error),
        },
    };
    judge(wanted, found.as_ref(), place)
}

fn judge(wanted: &plan::Mount, found: Option<&Mount>, place: &str) -> Observation {
    let path = wanted.path.display();
    let critical = |message: String| Observation::new(Health::Critical, format!("{message}{place}"));
    let Some(found) = found else {
        return critical(format!("nothing is mounted on {path}"));
    };
    let (kind, source) = (one_line(&found.kind), one_line(&found.source));
    if wanted.fstype.as_ref().is_some_and(|fstype| *fstype != found.kind) {
        return critical(format!("{path} is {kind}, expected {}", wanted.fstype.as_deref().unwrap_or_default()));
    }
    if wanted.source.as_ref().is_some_and(|source| *source != found.source) {
        return critical(format!("{source} is mounted on {path}, expected {}", wanted.source.as_deref().unwrap_or_default()));
    }
    let missing: Vec<&str> = wanted.options.iter().filter(|option| !found.has(option)).map(String::as_str).collect();
    if missing.contains(&"rw") {
        return critical(format!("{path} is mounted read-only, expected rw; a file system turns so after errors, see dmesg"));
    }
    if !missing.is_empty() {
        return critical(format!("{path} is mounted without {}: its options are {}", missing.join(","), one_line(&found.all_options())));
    }
    Observation::new(Health::Passing, format!("{source} ({kind}) is mounted on {path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "21 1 254:1 / / rw,relatime - ext4 /dev/vda1 rw\n\
                         40 21 254:17 / /data rw,noexec - ext4 /dev/vdb1 rw,errors=remount-ro\n\
                         this line is not understood\n\
                         41 21 0:50 / /srv\\040x rw - nfs4 10.0.0.5:/export rw,vers=4.2\n\
                         42 21 254:17 / /data ro,nosuid - xfs /dev/vdc1 rw\n";

    fn wanted(path: &str) -> plan::Mount {
        plan::Mount { path: path.into(), fstype: None, source: None, options: Vec::new() }
    }

    fn seen(wanted: &plan::Mount, table: &str) -> Observation {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("mountinfo");
        std::fs::write(&path, table).unwrap();
        look_at(wanted, &path, Path::new("/no/such/table"))
    }

    #[test]
    fn the_last_mount_on_a_path_counts() {
        let told = seen(&wanted("/data"), TABLE);
        assert_eq!((told.health, told.message.as_str()), (Health::Passing, "/dev/vdc1 (xfs) is mounted on /data"));
        assert_eq!(seen(&wanted("/srv x"), TABLE).message, "10.0.0.5:/export (nfs4) is mounted on /srv x");
        assert_eq!(seen(&wanted("/srv x/"), TABLE).health, Health::Passing, "a slash at the end is no difference");
        assert_eq!(seen(&wanted("/da"), TABLE).message, "nothing is mounted on /da");
    }

    #[test]
    fn what_is_mounted_must_be_what_was_wanted() {
        let kind = plan::Mount { fstype: Some("ext4".to_owned()), ..wanted("/data") };
        assert_eq!(seen(&kind, TABLE).message, "/data is xfs, expected ext4");
        let source = plan::Mount { source: Some("/dev/vdb1".to_owned()), ..wanted("/data") };
        assert_eq!(seen(&source, TABLE).message, "/dev/vdc1 is mounted on /data, expected /dev/vdb1");
        let options = |words: &[&str]| plan::Mount { options: words.iter().map(|word| (*word).to_owned()).collect(), ..wanted("/data") };
        assert_eq!(seen(&options(&["ro", "nosuid"]), TABLE).health, Health::Passing);
        let told = seen(&options(&["nosuid", "rw"]), TABLE);
        assert_eq!(told.message, "/data is mounted read-only, expected rw; a file system turns so after errors, see dmesg");
        let told = seen(&options(&["noexec", "nodev", "nosuid"]), TABLE);
        assert_eq!(told.message, "/data is mounted without noexec,nodev: its options are ro,nosuid,rw");
    }

    #[test]
    fn where_the_first_process_is_hidden_the_agents_own_table_is_read_and_that_is_said() {
        let home = tempfile::tempdir().unwrap();
        let own = home.path().join("mountinfo");
        std::fs::write(&own, TABLE).unwrap();
        let told = look_at(&wanted("/mnt"), Path::new("/no/such/table"), &own);
        assert_eq!(told.message, "nothing is mounted on /mnt as the agent's unit sees it (it may not read /proc/1/mountinfo)");
        assert_eq!(look_at(&wanted("/data"), Path::new("/no/such/table"), &own).health, Health::Passing);
        assert_eq!(look_at(&wanted("/data"), Path::new("/no/a"), Path::new("/no/b")).health, Health::Unknown);
    }

    #[test]
    fn words_of_the_table_cannot_reach_a_terminal() {
        let told = seen(&wanted("/x"), "1 1 0:1 / /x rw - \x1b[2J evil\\012line rw\n");
        assert_eq!(told.message, "evil\\nline (\\x1b[2J) is mounted on /x");
    }
}
