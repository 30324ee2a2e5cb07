//! Made-up tables of processes.

use super::*;
use crate::check::Thresholds;
use crate::plan::Pattern;
use tempfile::TempDir;

/// A directory like `/proc` with a first process, and beside it a list of users.
struct Made(TempDir);

impl Made {
    fn new() -> Self {
        let made = Self(tempfile::tempdir().unwrap());
        std::fs::write(made.0.path().join("passwd"), "root:x:0:0::/root:/bin/sh\nbroken\nwww-data:x:33:33::/:/bin/false\n").unwrap();
        made.process(1, "systemd", 'S', b"/sbin/init\0", 0);
        made
    }

    fn process(&self, pid: u32, comm: &str, state: char, cmdline: &[u8], uid: u32) {
        let home = self.0.path().join(pid.to_string());
        std::fs::create_dir(&home).unwrap();
        std::fs::write(home.join("stat"), format!("{pid} ({comm}) {state} 1 1 0 0 -1 4194560")).unwrap();
        std::fs::write(home.join("cmdline"), cmdline).unwrap();
        std::fs::write(home.join("status"), format!("Name:\t{comm}\nState:\t{state}\nUid:\t7\t{uid}\t7\t7\n")).unwrap();
    }

    fn look(&self, process: &Process) -> Observation {
        look_at(process, &Table::at(self.0.path().to_owned(), 4242), &self.0.path().join("passwd"))
    }

    fn count(&self, process: &Process) -> f64 {
        let seen = self.look(process);
        assert_ne!(seen.health, Health::Unknown, "{}", seen.message);
        seen.readings[0].value
    }
}

fn any() -> Process {
    let thresholds = Thresholds { warn: None, crit: Some("1:".parse().unwrap()) };
    Process { name: None, cmdline: None, pid_file: None, user: None, thresholds }
}

fn named(name: &str) -> Process {
    Process { name: Some(name.to_owned()), ..any() }
}

fn like(pattern: &str) -> Process {
    Process { cmdline: Some(Pattern(regex_lite::Regex::new(pattern).unwrap())), ..any() }
}

fn of(user: User) -> Process {
    Process { user: Some(user), ..any() }
}

#[test]
fn a_name_is_that_of_the_process_or_of_its_program() {
    let made = Made::new();
    made.process(10, "nginx", 'S', b"nginx: master process /usr/sbin/nginx\0", 0);
    made.process(11, "nginx", 'S', b"nginx: worker process\0", 33);
    made.process(12, "MainThread", 'S', b"/opt/shop/bin/shopd\0--port\x0080\0", 33);
    made.process(13, "bash", 'S', b"-bash\0", 0);
    made.process(14, "kworker/0:1", 'I', b"", 0);
    assert_eq!(
        ["nginx", "shopd", "MainThread", "bash", "kworker/0:1", "ngin", "80"].map(|name| made.count(&named(name))),
        [2.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0]
    );
    let told = made.look(&named("nginx"));
    assert_eq!((told.health, told.message.as_str()), (Health::Passing, "2 processes named nginx run"));
    let told = made.look(&named("mysqld"));
    assert_eq!((told.health, told.message.as_str()), (Health::Critical, "no process named mysqld runs, critical below 1"));
}

#[test]
fn names_that_the_kernel_has_cut_are_known_and_told_apart() {
    let made = Made::new();
    // Renamed, so that the arguments tell nothing.
    made.process(10, "shop-worker-ren", 'S', b"/bin/sh\0", 0);
    assert_eq!(made.count(&named("shop-worker-renamed")), 1.0);
    assert_eq!(made.count(&named("shop-worker-ren")), 1.0);
    // A script and a program with the same first 15 letters.
    made.process(11, "nightly-backup-", 'S', b"/usr/bin/python3\0/opt/nightly-backup-users\0", 0);
    made.process(12, "nightly-backup-", 'S', b"/opt/nightly-backup-files\0--now\0", 0);
    assert_eq!(made.count(&named("nightly-backup-users")), 1.0);
    assert_eq!(made.count(&named("nightly-backup-files")), 1.0);
    assert_eq!(made.count(&named("nightly-backup-mails")), 0.0);
}

#[test]
fn zombies_and_the_agent_itself_are_not_counted() {
    let made = Made::new();
    made.process(10, "worker", 'Z', b"", 0);
    made.process(11, "long-named-work", 'Z', b"", 0);
    made.process(4242, "worker", 'S', b"worker\0", 0);
    assert_eq!(
        made.look(&named("long-named-worker")).message,
        "no process named long-named-worker runs; 1 zombie is not counted, critical below 1"
    );
    assert_eq!(made.look(&named("worker")).message, "no process named worker runs; 1 zombie is not counted, critical below 1");
}

#[test]
fn arguments_and_users_are_matched_too() {
    let made = Made::new();
    made.process(10, "java", 'S', b"java\0-jar\0/opt/shop.jar\0", 33);
    made.process(11, "java", 'S', b"java\0-jar\0/opt/mail.jar\0", 0);
    assert_eq!(made.count(&like(r"^java -jar /opt/\w+\.jar$")), 2.0);
    assert_eq!(made.count(&Process { user: Some(User::Name("www-data".to_owned())), ..like("shop") }), 1.0);
    assert_eq!(made.count(&Process { user: Some(User::Id(0)), ..like("shop") }), 0.0);
    assert_eq!(made.count(&of(User::Id(33))), 1.0);
    let both = Process { user: Some(User::Name("root".to_owned())), cmdline: like("shop").cmdline, ..named("java") };
    let told = made.look(&both).message;
    assert_eq!(told, "no process named java with a command line like /shop/ of user root runs, critical below 1");
    let nobody = made.look(&of(User::Name("ghost".to_owned())));
    assert_eq!(nobody.health, Health::Unknown);
    assert!(nobody.message.starts_with("no user ghost in "), "{}", nobody.message);
}

#[test]
fn strange_names_and_broken_files_are_no_trouble() {
    let made = Made::new();
    made.process(10, "a) Z (b", 'S', b"\xff\xfe\0", 0);
    for (pid, stat) in [(11, ""), (12, "12"), (13, "13 (x"), (14, "14 x) S"), (15, "15 (x)"), (16, ") (")] {
        made.process(pid, "x", 'S', b"", 0);
        std::fs::write(made.0.path().join(format!("{pid}/stat")), stat).unwrap();
    }
    std::fs::create_dir(made.0.path().join("99999999999999999999")).unwrap();
    std::fs::create_dir(made.0.path().join("017")).unwrap();
    assert_eq!(made.count(&named("a) Z (b")), 1.0);
    assert_eq!(made.count(&named("x")), 0.0);
}

#[test]
fn of_endless_arguments_the_first_64_kib_are_matched() {
    let made = Made::new();
    let mut cmdline = vec![b'x'; 1 << 20];
    cmdline.extend(b"needle\0");
    made.process(10, "big", 'S', &cmdline, 0);
    assert_eq!(made.count(&like("^xxx")), 1.0);
    assert_eq!(made.count(&like("needle")), 0.0);
}

#[test]
fn where_others_are_hidden_nothing_is_known() {
    let made = Made::new();
    std::fs::remove_dir_all(made.0.path().join("1")).unwrap();
    let told = made.look(&named("nginx"));
    assert_eq!(told.health, Health::Unknown);
    assert!(told.message.starts_with("/proc hides processes of other users ("), "{}", told.message);
}

#[test]
fn a_pid_file_is_about_its_process_and_no_other() {
    let made = Made::new();
    made.process(10, "nginx", 'S', b"nginx: master\0", 0);
    made.process(11, "nginx", 'Z', b"", 0);
    let file = made.0.path().join("nginx.pid");
    let look = |text: &str, process: Process| {
        std::fs::write(&file, text).unwrap();
        let told = made.look(&Process { pid_file: Some(file.clone()), ..process });
        (told.health, told.message.replace(&file.display().to_string(), "FILE"))
    };
    let critical = |message: &str| (Health::Critical, message.to_owned());
    assert_eq!(look("10\n/usr/sbin\n", any()), (Health::Passing, "process 10 of FILE runs: nginx".to_owned()));
    assert_eq!(look(" 10 ", named("nginx")).0, Health::Passing);
    assert_eq!(look("10", named("mysqld")), critical("process 10 of FILE is nginx, not one named mysqld: the file is stale"));
    assert_eq!(look("11", any()), critical("process 11 of FILE, nginx, has ended and is a zombie"));
    assert_eq!(look("77", any()), critical("no process has the number 77 of FILE: the service has ended without removing it"));
    for text in ["", "ten", "-1", "0", "99999999999", "10 11"] {
        let (health, message) = look(text, any());
        assert_eq!(health, Health::Critical, "{text}");
        assert!(message.ends_with(" and no number of a process"), "{message}");
    }
    std::fs::remove_file(&file).unwrap();
    let told = made.look(&Process { pid_file: Some(file.clone()), ..any() });
    assert!(told.message.ends_with("nginx.pid does not exist; is the service up?"), "{}", told.message);
}

#[test]
fn a_pipe_in_place_of_a_pid_file_is_not_waited_for() {
    let made = Made::new();
    let pipe = made.0.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
    let told = made.look(&Process { pid_file: Some(pipe), ..any() });
    assert_eq!(told.health, Health::Critical, "{}", told.message);
}
