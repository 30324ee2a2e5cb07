//! Whether the kernel killed a process of our cgroup for want of memory: its own counter, read before and after a run.
//!
//! `memory.events` of cgroup v2 and `memory.oom_control` of v1 both have a line `oom_kill N`
//! (kernel documentation, cgroup-v2.rst and cgroup-v1/memory.rst).

use std::fs::{self, File};
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::OnceLock;

/// Either file is shorter, and the kernel gives it in one piece.
const LIMIT: usize = 1024;

/// Kills for want of memory in the cgroup of this process so far; `None` where the kernel does not say.
pub(super) fn oom_kills() -> Option<u64> {
    static FILE: OnceLock<Option<PathBuf>> = OnceLock::new();
    let file = FILE.get_or_init(|| candidates().into_iter().find(|path| path.exists())).as_ref()?;
    let mut text = [0; LIMIT];
    let read = File::open(file).ok()?.read(&mut text).ok()?;
    count(std::str::from_utf8(text.get(..read)?).ok()?)
}

fn candidates() -> Vec<PathBuf> {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    own.lines().filter_map(counter_of).collect()
}

/// One line of cgroups(7), `hierarchy:controllers:path`.
fn counter_of(line: &str) -> Option<PathBuf> {
    let mut fields = line.splitn(3, ':');
    let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
    let path = path.trim_start_matches('/');
    let file = match controllers {
        "" => PathBuf::from("/sys/fs/cgroup").join(path).join("memory.events"),
        list if list.split(',').any(|controller| controller == "memory") => {
            PathBuf::from("/sys/fs/cgroup/memory").join(path).join("memory.oom_control")
        }
        _ => return None,
    };
    Some(file)
}

fn count(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_of_cgroups_are_understood() {
        assert_eq!(counter_of("0::/system.slice/a.service").unwrap(), PathBuf::from("/sys/fs/cgroup/system.slice/a.service/memory.events"));
        assert_eq!(
            counter_of("5:cpu,memory:/system.slice").unwrap(),
            PathBuf::from("/sys/fs/cgroup/memory/system.slice/memory.oom_control")
        );
        assert_eq!(counter_of("5:cpu,cpuacct:/system.slice"), None);
        assert_eq!(count("low 0\nhigh 0\noom 2\noom_kill 3\noom_group_kill 0\n"), Some(3));
        assert_eq!(count("oom_kill_disable 0\nunder_oom 0\noom_kill 7\n"), Some(7));
        assert_eq!(count(""), None);
    }
}
