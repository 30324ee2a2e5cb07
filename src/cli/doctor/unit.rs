//! The unit of the package: is it there and enabled, do drop-ins blind checks, and may the agent read the journal for its failure report. Where
//! no such unit is installed, the agent runs in another way, and nothing is said. Only files are read, so it works in an image too.

use super::reader::Reader;
use super::step::Step;
use std::io::Read as _;
use std::path::{Path, PathBuf};

const SERVICE: &str = "ros-signal-agent.service";
/// systemd.unit(5), the first one that has a unit is the one that counts.
const DIRECTORIES: [&str; 5] =
    ["/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];
/// Drop-ins larger than this are not drop-ins. What is beyond is not read.
const LIMIT: u64 = 64 * 1024;
/// More drop-ins than anybody has.
const DROP_INS: usize = 32;
/// Directives that hide parts of the host from checks (docs/security.md), and the values with which they do not.
const BLINDING: [&str; 10] = [
    "PrivateTmp",
    "PrivateDevices",
    "PrivateNetwork",
    "PrivateUsers",
    "ProtectProc",
    "ProcSubset",
    "ProtectHome",
    "IPAddressDeny",
    "InaccessiblePaths",
    "RootDirectory",
];
const HARMLESS: [&str; 8] = ["", "no", "false", "0", "off", "default", "all", "read-only"];
/// Groups whose members may read the whole journal (systemd-journald.service(8), "Access control").
const READERS: [&str; 3] = ["systemd-journal", "adm", "wheel"];

pub(super) const UNIT: &str = "agent.unit";
pub(super) const JOURNAL: &str = "agent.journal";

/// Both steps. `lines` are the journal lines of each unit that a report is to have. Blocks.
pub(super) fn look(agent: Option<&Reader>, lines: u32) -> Vec<Step> {
    let mut directories: Vec<PathBuf> = Vec::new();
    // /lib is a link to /usr/lib on most hosts.
    for directory in DIRECTORIES.iter().filter_map(|directory| std::fs::canonicalize(directory).ok()) {
        if !directories.contains(&directory) {
            directories.push(directory);
        }
    }
    let directories: Vec<&Path> = directories.iter().map(PathBuf::as_path).collect();
    let Some(unit) = of_unit(&directories) else { return Vec::new() };
    let groups = std::fs::read_to_string("/etc/group").unwrap_or_default();
    let journal = agent.filter(|_| lines > 0).map(|agent| of_journal(&groups, agent));
    [unit].into_iter().chain(journal).collect()
}

fn of_unit(directories: &[&Path]) -> Option<Step> {
    let file = directories.iter().map(|directory| directory.join(SERVICE)).find(|path| path.symlink_metadata().is_ok())?;
    if std::fs::read_link(&file).is_ok_and(|target| target == Path::new("/dev/null")) {
        let step = Step::warning(UNIT, format!("{SERVICE} is masked")).because("nothing can start the agent, also not the next boot");
        return Some(step.remedy(format!("systemctl unmask {SERVICE}")));
    }
    let below = |directory: &Path, ending: &str| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut found: Vec<PathBuf> = entries.filter(|path| path.to_string_lossy().ends_with(ending)).collect();
        found.sort();
        found
    };
    let wanted =
        directories.iter().flat_map(|directory| below(directory, ".wants")).any(|wants| wants.join(SERVICE).symlink_metadata().is_ok());
    if !wanted {
        let step = Step::warning(UNIT, format!("{} is not enabled", file.display())).because("after a reboot no agent runs");
        return Some(step.remedy("systemctl enable --now ros-signal-agent"));
    }
    let drop_ins: Vec<PathBuf> =
        directories.iter().flat_map(|directory| below(&directory.join(format!("{SERVICE}.d")), ".conf")).take(DROP_INS).collect();
    let blinding: Vec<String> = drop_ins.iter().flat_map(|path| blinding(path)).collect();
    let with = if drop_ins.is_empty() { String::new() } else { format!(", with {} drop-ins", drop_ins.len()) };
    if blinding.is_empty() {
        return Some(Step::ok(UNIT, format!("{} is enabled{with}", file.display())));
    }
    let step = Step::warning(UNIT, format!("{} is enabled, and drop-ins hide parts of the host: {}", file.display(), blinding.join(", ")));
    let step = step.because("checks that look there find nothing, or what only the agent sees");
    Some(step.remedy("docs/security.md says what each directive hides; systemctl cat ros-signal-agent shows the drop-ins"))
}

/// `PrivateTmp=yes in /etc/systemd/system/ros-signal-agent.service.d/local.conf`
fn blinding(path: &Path) -> Vec<String> {
    let mut text = String::new();
    // What cannot be read cannot be judged.
    let _ = std::fs::File::open(path).and_then(|file| file.take(LIMIT).read_to_string(&mut text));
    let directives = text.lines().filter_map(|line| line.trim().split_once('='));
    let hides = |(key, value): &(&str, &str)| {
        let value = value.trim().to_ascii_lowercase();
        BLINDING.contains(&key.trim()) && !HARMLESS.contains(&value.as_str())
    };
    directives.filter(hides).map(|(key, value)| format!("{}={} in {}", key.trim(), value.trim(), path.display())).collect()
}

fn of_journal(groups: &str, agent: &Reader) -> Step {
    // group(5): name, password, number, members.
    let number = |name: &str| -> Option<u32> {
        let line = groups.lines().find(|line| line.split(':').next() == Some(name))?;
        line.split(':').nth(2)?.parse().ok()
    };
    let readers: Vec<u32> = READERS.iter().filter_map(|name| number(name)).collect();
    if agent.uid == 0 || agent.gids.iter().any(|gid| readers.contains(gid)) {
        return Step::ok(JOURNAL, "the agent may read the journal of other units");
    }
    Step::warning(JOURNAL, format!("{} is not in the group systemd-journal", agent.known_by))
        .because("the failure report has no journal lines of other units")
        .remedy("usermod -aG systemd-journal ros-signal-agent && systemctl restart ros-signal-agent")
}

#[cfg(test)]
mod tests {
    use super::super::step::Verdict;
    use super::*;

    fn told(step: Option<Step>) -> (Verdict, String) {
        let step = step.unwrap();
        (step.verdict(), step.seen().to_owned())
    }

    #[test]
    fn a_unit_is_missing_installed_enabled_or_masked() {
        let home = tempfile::tempdir().unwrap();
        let (etc, lib) = (home.path().join("etc"), home.path().join("lib"));
        let wants = etc.join("multi-user.target.wants");
        std::fs::create_dir_all(&wants).unwrap();
        std::fs::create_dir_all(&lib).unwrap();
        let directories = [etc.as_path(), lib.as_path()];
        assert_eq!(of_unit(&directories), None, "no package, nothing to say");

        let file = lib.join(SERVICE);
        std::fs::write(&file, "[Service]\nPrivateTmp=no\n").unwrap();
        assert_eq!(told(of_unit(&directories)), (Verdict::Warning, format!("{} is not enabled", file.display())));

        std::os::unix::fs::symlink(&file, wants.join(SERVICE)).unwrap();
        assert_eq!(told(of_unit(&directories)), (Verdict::Ok, format!("{} is enabled", file.display())));

        std::os::unix::fs::symlink("/dev/null", etc.join(SERVICE)).unwrap();
        assert_eq!(told(of_unit(&directories)), (Verdict::Warning, format!("{SERVICE} is masked")));
    }

    #[test]
    fn a_drop_in_that_hides_parts_of_the_host_is_named() {
        let home = tempfile::tempdir().unwrap();
        let (wants, drop_ins) = (home.path().join("multi-user.target.wants"), home.path().join(format!("{SERVICE}.d")));
        std::fs::create_dir_all(&wants).unwrap();
        std::fs::create_dir_all(&drop_ins).unwrap();
        std::fs::write(home.path().join(SERVICE), "").unwrap();
        std::fs::write(wants.join(SERVICE), "").unwrap();
        std::fs::write(drop_ins.join("docker.conf"), "[Service]\nSupplementaryGroups=docker\nProtectHome=read-only\n").unwrap();
        let directories = [home.path()];
        assert!(told(of_unit(&directories)).1.ends_with("is enabled, with 1 drop-ins"));

        std::fs::write(drop_ins.join("hard.conf"), "[Service]\n PrivateTmp = yes\n#ProtectProc=invisible\nIPAddressDeny=any\n").unwrap();
        let (verdict, seen) = told(of_unit(&directories));
        assert_eq!(verdict, Verdict::Warning);
        assert!(seen.contains("PrivateTmp=yes in ") && seen.contains("IPAddressDeny=any in ") && !seen.contains("ProtectProc"), "{seen}");
    }

    #[test]
    fn an_agent_outside_of_the_groups_of_the_journal_is_told_so() {
        let groups = "root:x:0:\nadm:x:4:\nsystemd-journal:x:101:ros-signal-agent\n";
        let agent = |uid, gids: &[u32]| Reader { uid, gids: gids.to_vec(), known_by: "the user of the running agent (pid 7)".to_owned() };
        for member in [agent(990, &[990, 101]), agent(990, &[4]), agent(0, &[0])] {
            assert_eq!(of_journal(groups, &member).verdict(), Verdict::Ok);
        }
        let step = of_journal(groups, &agent(990, &[990]));
        assert_eq!(
            (step.verdict(), step.seen()),
            (Verdict::Warning, "the user of the running agent (pid 7) is not in the group systemd-journal")
        );
    }
}
