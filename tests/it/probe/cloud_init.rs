//! `type = "cloud-init"` with the files as cloud-init writes them: links in /run to what it keeps in /var/lib.

use super::*;
use ros_signal_agent::check::Health;
use ros_signal_agent::plan::CloudInit;
use std::os::unix::fs::symlink;

/// A host with its own /etc, /proc, /run, /usr and /var.
struct Root(tempfile::TempDir);

impl Root {
    fn bare() -> Self {
        Self(crate::private::directory())
    }

    fn installed() -> Self {
        Self::bare().with("usr/bin/cloud-init", "#!/usr/bin/python3\n")
    }

    fn with(self, path: &str, text: &str) -> Self {
        self.write(path, text);
        self
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Writes as cloud-init does: whole, in /var/lib, with a link in /run.
    fn report(&self, name: &str, v1: &str) {
        let kept = self.0.path().join("var/lib/cloud/data");
        self.write("var/lib/cloud/data/.new", &format!("{{\n \"v1\": {v1}\n}}"));
        std::fs::rename(kept.join(".new"), kept.join(name)).unwrap();
        let run = self.0.path().join("run/cloud-init");
        std::fs::create_dir_all(&run).unwrap();
        if !run.join(name).is_symlink() {
            symlink(format!("../../var/lib/cloud/data/{name}"), run.join(name)).unwrap();
        }
    }

    fn asks(&self) -> CloudInit {
        CloudInit {
            run_dir: self.0.path().join("run/cloud-init"),
            degraded: Health::Warning,
            disabled: Health::Passing,
            not_installed: Health::Critical,
            root: self.0.path().to_owned(),
        }
    }

    async fn says(&self) -> (Health, bool, String) {
        self.says_to(self.asks()).await
    }

    async fn says_to(&self, asks: CloudInit) -> (Health, bool, String) {
        let seen = run(Probe::CloudInit(asks)).await;
        (seen.health, seen.terminal, seen.message.replace(&format!("{}", self.0.path().display()), ""))
    }
}

fn said(health: Health, message: &str) -> (Health, bool, String) {
    (health, false, message.to_owned())
}

const IDLE: &str = r#"{"errors": [], "finished": null, "recoverable_errors": {}, "start": null}"#;

fn status(stage: &str, local: &str, init: &str) -> String {
    format!(
        r#"{{"datasource": null, "init-local": {local}, "init": {init}, "modules-config": {IDLE}, "modules-final": {IDLE}, "stage": {stage}}}"#
    )
}

#[tokio::test]
async fn a_boot_is_followed_from_nothing_to_done() {
    let root = Root::installed();
    let not_begun = "cloud-init has not begun: there is no status.json in /run/cloud-init";
    assert_eq!(root.says().await, said(Health::Critical, not_begun));
    let began = r#"{"errors": [], "finished": null, "start": 1790000000.25}"#;
    root.report("status.json", &status("\"init-local\"", began, IDLE));
    let running = "cloud-init is running: in stage init-local since 2026-09-21T14:13:20Z";
    assert_eq!(root.says().await, said(Health::Critical, running));
    let ended = r#"{"errors": [], "finished": 1790000001.5, "start": 1790000000.25}"#;
    root.report("status.json", &status("null", ended, IDLE));
    let between = "cloud-init is running: between stages since 2026-09-21T14:13:21Z, init-local is done";
    assert_eq!(root.says().await, said(Health::Critical, between));
    root.report("status.json", &status("null", ended, ended));
    root.report("result.json", r#"{"datasource": "DataSourceAliYun", "errors": []}"#);
    assert_eq!(root.says().await, said(Health::Passing, "cloud-init is done (DataSourceAliYun)"));
}

#[tokio::test]
async fn an_error_is_terminal_once_cloud_init_has_ended_and_told_before() {
    let root = Root::installed();
    let failed = r#"{"errors": ["('scripts_user', RuntimeError('Runparts: 1 failures'))", "second"], "finished": 5, "start": 1}"#;
    root.report("status.json", &status("\"modules-final\"", failed, IDLE));
    let (health, terminal, message) = root.says().await;
    assert_eq!((health, terminal), (Health::Critical, false));
    assert!(message.ends_with("it has failed already: \"('scripts_user', RuntimeError('Runparts: 1 failures'))\" and 1 more"), "{message}");
    root.report("result.json", r#"{"datasource": "DataSourceNoCloud [seed=/dev/sr0]", "errors": ["('scripts_user', ...)", "second"]}"#);
    let (health, terminal, message) = root.says().await;
    assert_eq!((health, terminal), (Health::Critical, true));
    let expected =
        "cloud-init failed (DataSourceNoCloud [seed=/dev/sr0]): \"('scripts_user', ...)\" and 1 more; see cloud-init status --long";
    assert_eq!(message, expected);
    let seen = run(Probe::CloudInit(root.asks())).await;
    assert_eq!((seen.readings[0].label.as_str(), seen.readings[0].value), ("errors", 2.0));
}

#[tokio::test]
async fn recoverable_errors_mean_what_the_configuration_says() {
    let root = Root::installed();
    let warned = r#"{"errors": [], "finished": 5, "start": 1, "recoverable_errors": {"WARNING": ["bad schema", "other"], "DEPRECATED": ["old key"]}}"#;
    root.report("status.json", &status("null", warned, IDLE));
    root.report("result.json", r#"{"datasource": "DataSourceAliYun", "errors": [], "recoverable_errors": {}}"#);
    let message = "cloud-init is done (DataSourceAliYun), but degraded: \"old key\" and 2 more";
    assert_eq!(root.says().await, said(Health::Warning, message));
    let passing = CloudInit { degraded: Health::Passing, ..root.asks() };
    assert_eq!(root.says_to(passing).await, said(Health::Passing, message));
    let critical = CloudInit { degraded: Health::Critical, ..root.asks() };
    assert_eq!(root.says_to(critical).await, (Health::Critical, true, message.to_owned()));
}

/// As version 25.1.4 of Debian 13 left it.
const STATUS_OF_25_1: &str = r#"{
  "datasource": "DataSourceNoCloud [seed=/var/lib/cloud/seed/nocloud]",
  "init": {
   "errors": [],
   "finished": 19058.78,
   "recoverable_errors": {
    "WARNING": [
     "Could not print networks: missing 'ip' and 'ifconfig' commands",
     "Could not print routes: missing 'ip' and 'netstat' commands"
    ]
   },
   "start": 19058.64
  },
  "init-local": {
   "errors": [],
   "finished": 19057.94,
   "recoverable_errors": {},
   "start": 19057.78
  },
  "modules-config": {
   "errors": [],
   "finished": 19059.61,
   "recoverable_errors": {},
   "start": 19059.55
  },
  "modules-final": {
   "errors": [],
   "finished": 19060.61,
   "recoverable_errors": {},
   "start": 19060.45
  },
  "stage": null
 }"#;

#[tokio::test]
async fn versions_that_count_from_boot_are_understood() {
    let root = Root::installed();
    let waiting = STATUS_OF_25_1.replace("19060.61", "null").replace("\"stage\": null", "\"stage\": \"modules-final\"");
    root.report("status.json", &waiting);
    let running = "cloud-init is running: in stage modules-final since 5h 17m 40s after boot";
    assert_eq!(root.says().await, said(Health::Critical, running));
    root.report("status.json", STATUS_OF_25_1);
    let ending = "cloud-init is running: between stages since 5h 17m 41s after boot, modules-final is done";
    assert_eq!(root.says().await, said(Health::Critical, ending));
    root.report("result.json", r#"{"datasource": "DataSourceNoCloud [seed=/var/lib/cloud/seed/nocloud]", "errors": []}"#);
    let message = "cloud-init is done (DataSourceNoCloud [seed=/var/lib/cloud/seed/nocloud]), but degraded: \
                   \"Could not print networks: missing 'ip' and 'ifconfig' commands\" and 1 more";
    assert_eq!(root.says().await, said(Health::Warning, message));
}

#[tokio::test]
async fn each_mark_that_disables_it_is_named_and_what_ran_in_this_boot_counts_before_them() {
    for (mark, text, shown) in [
        ("etc/cloud/cloud-init.disabled", "", "/etc/cloud/cloud-init.disabled"),
        ("run/cloud-init/disabled", "", "/run/cloud-init/disabled"),
        ("proc/cmdline", "ro quiet cloud-init=disabled\n", "cloud-init=disabled on the kernel's command line"),
    ] {
        let root = Root::installed().with(mark, text);
        let message = format!("cloud-init is disabled by {shown}");
        assert_eq!(root.says().await, said(Health::Passing, &message));
        let critical = CloudInit { disabled: Health::Critical, ..root.asks() };
        assert_eq!(root.says_to(critical).await, said(Health::Critical, &message));
    }
    let forced = Root::installed().with("etc/cloud/cloud-init.disabled", "").with("proc/cmdline", "cloud-init=enabled");
    assert_eq!(forced.says().await.0, Health::Critical);
    let later = Root::installed().with("etc/cloud/cloud-init.disabled", "");
    later.report("result.json", r#"{"datasource": "DataSourceAliYun", "errors": []}"#);
    assert_eq!(later.says().await, said(Health::Passing, "cloud-init is done (DataSourceAliYun)"));
}

#[tokio::test]
async fn a_host_without_cloud_init_is_what_the_configuration_says() {
    let root = Root::bare();
    assert_eq!(root.says().await, said(Health::Critical, "cloud-init is not installed"));
    let passing = CloudInit { not_installed: Health::Passing, ..root.asks() };
    assert_eq!(root.says_to(passing).await.0, Health::Passing);
    let removed = Root::bare().with("etc/cloud/cloud.cfg", "users: [default]\n").with("var/lib/cloud/data/instance-id", "i-1\n");
    assert_eq!(removed.says().await, said(Health::Critical, "cloud-init is not installed"), "packages that are not purged leave these");
}

#[tokio::test]
async fn files_that_cloud_init_did_not_write_are_our_trouble_and_bounded() {
    let root = Root::installed();
    root.write("run/cloud-init/status.json", "{\"v1\": {");
    let (health, _, message) = root.says().await;
    assert!(health == Health::Unknown && message.starts_with("/run/cloud-init/status.json is not understood: EOF"), "{message}");
    root.write("run/cloud-init/status.json", &" ".repeat(1024 * 1024 + 1));
    assert_eq!(root.says().await, said(Health::Unknown, "/run/cloud-init/status.json has more than 1 MiB"));
    root.write("run/cloud-init/status.json", &"[".repeat(1024 * 1024));
    assert_eq!(root.says().await.0, Health::Unknown);
    std::fs::remove_file(root.0.path().join("run/cloud-init/status.json")).unwrap();
    let fifo = root.0.path().join("run/cloud-init/result.json");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let message = "/run/cloud-init/result.json cannot be read: it is no regular file";
    assert_eq!(root.says().await, said(Health::Unknown, message));
}

#[tokio::test]
async fn words_of_others_are_shown_harmlessly() {
    let root = Root::installed();
    root.report("result.json", "{\"datasource\": \"\\u001b[2J\", \"errors\": [\"\\u001b[31m\\nred\"]}");
    let (_, _, message) = root.says().await;
    assert_eq!(message, "cloud-init failed (\\x1b[2J): \"\\x1b[31m\\nred\"; see cloud-init status --long");
}

#[tokio::test]
async fn the_end_of_cloud_init_is_told_although_its_files_are_links() {
    let root = Root::installed();
    let prober = Prober::new();
    let check = check(Probe::CloudInit(root.asks()), PATIENCE);
    prober.follow(std::slice::from_ref(&check));
    let told = || tokio::time::timeout(PATIENCE, prober.changed());
    told().await.expect("newly followed");
    let look = || prober.run(Job { check: Arc::clone(&check), attempt: 1, deadline_unix_ms: None });
    let reports = [
        ("status.json", status("\"init-local\"", IDLE, IDLE), "in stage init-local"),
        ("status.json", status("\"init\"", IDLE, IDLE), "in stage init"),
        ("result.json", r#"{"datasource": "X", "errors": []}"#.to_owned(), "done (X)"),
    ];
    for (name, v1, expected) in reports {
        root.report(name, &v1);
        while !look().await.message.contains(expected) {
            told().await.expect(expected);
        }
    }
}
