//! `type = "disk"`: how full a file system is, by statvfs(3), counted as df(1) does.
//!
//! The file system may be that of a dead server, so it is asked on a thread.

use super::measured::{bytes, judged, percent, share};
use super::mounts::{self, Mount};
use crate::check::{Health, Observation};
use crate::plan::{Disk, DiskMeasure};
use rustix::io::Errno;
use std::path::{Path, PathBuf};

/// Makes one observation. Blocks, and may hang.
pub(super) fn look(disk: &Disk) -> Observation {
    match rustix::fs::statvfs(&disk.path) {
        Ok(seen) => judge(disk, &Room::of(&seen), &place(&disk.path)),
        Err(error) => failed(error, &disk.path),
    }
}

/// What there is on a file system.
struct Room {
    /// Bytes in all.
    total: f64,
    /// Bytes that unprivileged users may still write.
    free: f64,
    /// Bytes in use.
    used: f64,
    /// Inodes in all; 0 where they are not counted.
    inodes: f64,
    inodes_free: f64,
}

impl Room {
    fn of(seen: &rustix::fs::StatVfs) -> Self {
        let size = if seen.f_frsize == 0 { seen.f_bsize } else { seen.f_frsize } as f64;
        Self {
            total: seen.f_blocks as f64 * size,
            free: seen.f_bavail as f64 * size,
            used: seen.f_blocks.saturating_sub(seen.f_bfree) as f64 * size,
            inodes: seen.f_files as f64,
            inodes_free: seen.f_ffree as f64,
        }
    }

    /// What unprivileged users have in all is less than the total: some is kept for root.
    fn free_percent(&self) -> f64 {
        if self.free + self.used > 0.0 { share(self.free, self.free + self.used) } else { 100.0 }
    }

    fn inodes_free_percent(&self) -> f64 {
        if self.inodes > 0.0 { share(self.inodes_free, self.inodes) } else { 100.0 }
    }
}

/// Where `path` is mounted, in words. It answers already, so following its links does not hang now.
fn place(path: &Path) -> String {
    let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mount = mounts::of_this_process(|mount| real.starts_with(&mount.point)).unwrap_or_default();
    // Of mounts one in another, the innermost; of those on one point, the last.
    let nearest = mount.into_iter().max_by_key(|mount| mount.point.components().count());
    described(path, nearest)
}

fn described(path: &Path, mount: Option<Mount>) -> String {
    match mount {
        Some(mount) if mount.point == path => format!("{} ({})", path.display(), mount.kind),
        Some(mount) => format!("{} ({}), where {} is", mount.point.display(), mount.kind, path.display()),
        None => path.display().to_string(),
    }
}

fn judge(disk: &Disk, room: &Room, place: &str) -> Observation {
    let limits = &disk.thresholds;
    let (free_percent, inodes_percent) = (room.free_percent(), room.inodes_free_percent());
    let free = || format!("{} of {} are free ({}) on {place}", bytes(room.free), bytes(room.total), percent(free_percent));
    let observation = match disk.measure {
        DiskMeasure::FreePercent => judged(limits, free_percent, free(), percent),
        DiskMeasure::Free => judged(limits, room.free, free(), bytes),
        DiskMeasure::UsedPercent => {
            let used = 100.0 - free_percent;
            judged(
                limits,
                used,
                format!("{} of {} are in use ({}) on {place}", bytes(room.used), bytes(room.total), percent(used)),
                percent,
            )
        }
        DiskMeasure::InodesFreePercent if room.inodes <= 0.0 => {
            judged(limits, 100.0, format!("inodes are not counted on {place}"), percent)
        }
        DiskMeasure::InodesFreePercent => {
            let said = format!("{} of {} inodes are free ({}) on {place}", room.inodes_free, room.inodes, percent(inodes_percent));
            judged(limits, inodes_percent, said, percent)
        }
    };
    observation.reading("free", room.free, "B").reading("free percent", free_percent, "%").reading(
        "inodes free percent",
        inodes_percent,
        "%",
    )
}

fn failed(error: Errno, path: &Path) -> Observation {
    let shown = path.display();
    let critical = |message| Observation::new(Health::Critical, message);
    match error {
        Errno::NOENT | Errno::NOTDIR => critical(format!("{shown} does not exist; is its file system mounted?")),
        Errno::STALE => critical(format!("{shown} is stale: its file server does not know it any more, mount it again")),
        Errno::NOTCONN => critical(format!("{shown} has lost the program behind it, mount it again")),
        Errno::IO | Errno::NXIO | Errno::NODEV | Errno::TIMEDOUT | Errno::HOSTDOWN => {
            critical(format!("the file system of {shown} does not answer: {error}; see dmesg"))
        }
        Errno::ACCESS => {
            Observation::new(Health::Unknown, format!("the agent's user may not look into {}: {error}", parent(path).display()))
        }
        other => Observation::new(Health::Unknown, format!("cannot ask the file system of {shown}: {other}")),
    }
}

fn parent(path: &Path) -> PathBuf {
    path.parent().unwrap_or(path).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Thresholds;

    fn disk(measure: DiskMeasure, crit: &str) -> Disk {
        Disk { path: "/srv/shop".into(), measure, thresholds: Thresholds { warn: None, crit: Some(crit.parse().unwrap()) } }
    }

    /// 100 GiB, of which 5 are kept for root and 20 can be written.
    fn room() -> Room {
        let gib = 1024.0 * 1024.0 * 1024.0;
        Room { total: 100.0 * gib, free: 20.0 * gib, used: 75.0 * gib, inodes: 1000.0, inodes_free: 40.0 }
    }

    #[test]
    fn what_is_kept_for_root_is_not_free_as_with_df() {
        let told = judge(&disk(DiskMeasure::FreePercent, "25:"), &room(), "/srv (ext4)");
        assert_eq!(told.health, Health::Critical);
        assert_eq!(told.message, "20 GiB of 100 GiB are free (21.05%) on /srv (ext4), critical below 25%");
        let used = judge(&disk(DiskMeasure::UsedPercent, "90"), &room(), "/srv (ext4)");
        assert_eq!(used.message, "75 GiB of 100 GiB are in use (78.95%) on /srv (ext4)");
        let bytes = judge(&disk(DiskMeasure::Free, "32212254720:"), &room(), "/srv (ext4)");
        assert_eq!(bytes.message, "20 GiB of 100 GiB are free (21.05%) on /srv (ext4), critical below 30 GiB");
    }

    #[test]
    fn inodes_are_judged_where_there_are_any() {
        let told = judge(&disk(DiskMeasure::InodesFreePercent, "5:"), &room(), "/srv (ext4)");
        assert_eq!(told.message, "40 of 1000 inodes are free (4%) on /srv (ext4), critical below 5%");
        let uncounted = Room { inodes: 0.0, inodes_free: 0.0, ..room() };
        let told = judge(&disk(DiskMeasure::InodesFreePercent, "5:"), &uncounted, "/srv (btrfs)");
        assert_eq!((told.health, told.message.as_str()), (Health::Passing, "inodes are not counted on /srv (btrfs)"));
    }

    #[test]
    fn a_file_system_without_blocks_is_not_full() {
        let none = Room { total: 0.0, free: 0.0, used: 0.0, inodes: 0.0, inodes_free: 0.0 };
        assert_eq!(judge(&disk(DiskMeasure::FreePercent, "10:"), &none, "/proc (proc)").health, Health::Passing);
    }

    #[test]
    fn each_way_to_fail_says_whose_fault_it_is() {
        let path = Path::new("/srv/shop");
        let told = |error| failed(error, path);
        assert_eq!(told(Errno::NOENT).message, "/srv/shop does not exist; is its file system mounted?");
        assert_eq!(told(Errno::ACCESS).health, Health::Unknown);
        assert!([Errno::STALE, Errno::NOTCONN, Errno::IO].into_iter().all(|error| told(error).health == Health::Critical));
    }
}
