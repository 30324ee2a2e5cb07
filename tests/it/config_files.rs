//! Which files make the configuration, how they are laid on each other, and who may write them.

use ros_signal_agent::config::{Diagnostic, Environment, Layout, Loaded, Origin, Owner, Owners, Severity, load};
use ros_signal_agent::plan::{Endpoint, Level, Probe};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

const SIGNAL: &str = "[signal.web]\nresource = \"WebReady\"\n";
const CHECK: &str = "[check.homepage]\ntype = \"http\"\nurl = \"http://127.0.0.1/\"\n";
const EXEC: &str = "[check.disk]\ntype = \"exec\"\ncommand = [\"/bin/true\"]\n";

/// A root directory with configuration below it.
struct Host(TempDir);

impl Host {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        let (top, rest) = name.split_once('/').unwrap();
        let top = if top == "usr" { "usr/lib" } else { top };
        self.0.path().join(top).join("ros-signal-agent").join(rest)
    }

    /// Writes `text`; `name` is such as `etc/config.toml` or `run/conf.d/x.toml`.
    fn with(self, name: &str, text: impl AsRef<[u8]>) -> Self {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self
    }

    fn linked(self, name: &str, target: &str) -> Self {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
        self
    }

    fn load_with(&self, owners: &Owners) -> Result<Loaded, Vec<Diagnostic>> {
        load(&Layout::under(self.0.path()), owners, &Environment::default())
    }

    fn load(&self) -> Result<Loaded, Vec<Diagnostic>> {
        self.load_with(&rooted([]))
    }

    fn told(&self) -> String {
        self.load().unwrap_err().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }
}

/// Everything belongs to root, but for these.
fn rooted<const N: usize>(paths: [(PathBuf, Owner); N]) -> Owners {
    Owners::Given { agent: 990, paths: paths.into() }
}

fn origin(loaded: &Loaded, key: &str) -> String {
    let setting = loaded.origins.get(key).unwrap_or_else(|| panic!("{key} is not listed"));
    match &setting.origin {
        Origin::Default => format!("{} default", setting.value),
        Origin::Environment { variable } => format!("{} ${variable}", setting.value),
        Origin::File { path, line } => format!("{} {}:{line}", setting.value, path.file_name().unwrap().to_string_lossy()),
    }
}

#[test]
fn root_reads_no_drop_ins_where_somebody_else_decides_what_is_there() {
    let host = Host::new().with("etc/config.toml", format!("{SIGNAL}{CHECK}"));
    let theirs = host.path("run/conf.d").parent().unwrap().to_owned();
    let shadow = host.path("usr/shadow.toml");
    std::fs::create_dir_all(theirs.join("conf.d")).unwrap();
    std::fs::create_dir_all(shadow.parent().unwrap()).unwrap();
    std::fs::write(&shadow, "root:$6$hash\n").unwrap();
    symlink(&shadow, theirs.join("conf.d/10-shadow.toml")).unwrap();
    let runtime = (theirs.clone(), Owner { uid: 990, mode: 0o750 });
    let of_root = Owners::Given { agent: 0, paths: [runtime.clone()].into() };
    let loaded = host.load_with(&of_root).unwrap();
    let expected = format!(
        "{0}/conf.d: warning: its files are left out: root runs nothing that others can change, and the directory {0} belongs to user 990, \
         neither root nor the agent's own user\nhint: for root write them to /etc/ros-signal-agent/conf.d",
        theirs.display()
    );
    assert_eq!(loaded.warnings.iter().map(ToString::to_string).collect::<Vec<_>>(), [expected]);
    assert_eq!(loaded.files.len(), 1);
    assert!(host.load_with(&rooted([runtime])).is_err(), "the agent itself reads them");
}

#[test]
fn without_any_file_the_agent_idles_with_every_default() {
    let loaded = Host::new().load().unwrap();
    assert!(loaded.plan.signals.is_empty() && loaded.plan.checks.is_empty());
    assert!(loaded.files.is_empty() && loaded.warnings.is_empty());
    assert_eq!(loaded.plan.agent.max_concurrency, 32);
    assert_eq!(loaded.plan.agent.state_dir, Path::new("/var/lib/ros-signal-agent"));
    assert_eq!(loaded.plan.agent.socket, Path::new("/run/ros-signal-agent/control.sock"));
    assert_eq!(loaded.plan.ros.endpoint, Endpoint::Auto);
    assert_eq!(loaded.plan.ros.timeout, Duration::from_secs(10));
    assert_eq!(loaded.plan.instance.metadata_url.as_str(), "http://100.100.100.200/");
    assert_eq!(origin(&loaded, "agent.log"), "\"info\" default");
}

#[test]
fn the_smallest_useful_file_has_the_documented_defaults() {
    let loaded = Host::new().with("etc/config.toml", format!("{SIGNAL}{CHECK}")).load().unwrap();
    assert_eq!(loaded.warnings, []);
    let signal = loaded.plan.signal("web").unwrap();
    assert_eq!((signal.deadline, signal.margin), (Duration::from_secs(900), Duration::from_secs(30)));
    assert_eq!(signal.min_healthy_time, Duration::from_secs(5));
    assert_eq!(signal.give_up, Duration::from_secs(12 * 3600));
    assert_eq!(signal.checks.iter().map(|name| &**name).collect::<Vec<_>>(), ["homepage"]);
    let check = loaded.plan.check("homepage").unwrap();
    assert_eq!(
        (check.interval, check.start_interval, check.timeout),
        (Duration::from_secs(10), Duration::from_secs(1), Duration::from_secs(5))
    );
    assert_eq!((check.success_threshold, check.failure_threshold, check.level), (1, 3, Level::Required));
    let Probe::Http(http) = &check.probe else { panic!("an http check") };
    assert_eq!(http.expect_status.0, [(200, 399)]);
    assert!(http.tls.verify && !http.follow_redirects);
}

#[test]
fn a_file_named_by_a_person_must_exist() {
    let diagnostics = load(&Layout::file("/nonexistent/agent.toml"), &rooted([]), &Environment::default()).unwrap_err();
    assert_eq!(
        diagnostics[0].to_string(),
        "/nonexistent/agent.toml: error: there is no such file\nhint: give the path of a configuration file"
    );
}

#[test]
fn drop_ins_are_laid_on_the_main_file_in_order_of_file_name() {
    let host = Host::new()
        .with("etc/config.toml", format!("{SIGNAL}deadline = \"5m\"\n{CHECK}interval = \"20s\"\ntimeout = \"2s\"\n"))
        .with("etc/conf.d/20-b.toml", "[check.homepage]\ninterval = \"40s\"\n")
        .with("usr/conf.d/30-c.toml", "[check.homepage]\ntimeout = \"3s\"\n")
        .with("run/conf.d/10-a.toml", "[check.homepage]\ninterval = \"30s\"\nlevel = \"required\"\n");
    let loaded = host.load().unwrap();
    let check = loaded.plan.check("homepage").unwrap();
    assert_eq!(check.interval, Duration::from_secs(40), "20-b comes after 10-a");
    assert_eq!(check.timeout, Duration::from_secs(3), "a name that sorts last wins even from /usr/lib");
    assert_eq!(origin(&loaded, "check.homepage.interval"), "\"40s\" 20-b.toml:2");
    assert_eq!(origin(&loaded, "check.homepage.timeout"), "\"3s\" 30-c.toml:2");
    assert_eq!(origin(&loaded, "check.homepage.url"), "\"http://127.0.0.1/\" config.toml:6");
    assert_eq!(origin(&loaded, "signal.web.deadline"), "\"5m\" config.toml:3");
    assert_eq!(origin(&loaded, "signal.web.margin"), "\"30s\" default");
    let names: Vec<_> = loaded.files.iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect();
    assert_eq!(names, ["config.toml", "10-a.toml", "20-b.toml", "30-c.toml"]);
}

#[test]
fn of_drop_ins_with_the_same_name_only_the_one_in_etc_counts_then_run_then_usr() {
    let text = |level: &str| format!("[agent]\nlog = \"{level}\"\n");
    let host = Host::new().with("usr/conf.d/x.toml", "[agent]\nmax_exec = 1\nlog = \"error\"\n");
    assert_eq!(host.load().unwrap().plan.agent.log, "error");
    let host = host.with("run/conf.d/x.toml", text("warn"));
    assert_eq!(host.load().unwrap().plan.agent.log, "warn");
    let host = host.with("etc/conf.d/x.toml", text("debug"));
    let plan = host.load().unwrap().plan;
    assert_eq!(plan.agent.log, "debug");
    assert_eq!(plan.agent.max_exec, 4, "the overridden file does not count at all");
}

#[test]
fn a_link_to_dev_null_masks_a_drop_in_even_a_broken_one() {
    let host = Host::new().with("usr/conf.d/x.toml", "this is broken").linked("etc/conf.d/x.toml", "/dev/null");
    assert!(host.load().unwrap().files.is_empty());
    let host = Host::new().linked("etc/config.toml", "/dev/null");
    assert!(host.load().unwrap().files.is_empty(), "a masked main file is none");
}

#[test]
fn an_empty_drop_in_overrides_with_nothing() {
    let host = Host::new().with("usr/conf.d/x.toml", "[agent]\nlog = \"debug\"\n").with("etc/conf.d/x.toml", "");
    assert_eq!(host.load().unwrap().plan.agent.log, "info");
}

#[test]
fn hidden_files_and_other_endings_are_left_alone() {
    let host =
        Host::new().with("etc/conf.d/.x.toml", "broken").with("etc/conf.d/x.toml.rpmsave", "broken").with("etc/conf.d/README", "broken");
    assert!(host.load().unwrap().files.is_empty());
}

#[test]
fn tables_merge_by_key_and_arrays_replace() {
    let host = Host::new()
        .with("etc/config.toml", format!("{SIGNAL}{CHECK}tags = [\"a\", \"b\"]\nheaders = {{ Accept = \"x\", X-One = \"1\" }}\n"))
        .with("etc/conf.d/x.toml", "[check.homepage]\ntags = [\"c\"]\nheaders = { Accept = \"y\" }\n");
    let loaded = host.load().unwrap();
    let check = loaded.plan.check("homepage").unwrap();
    assert_eq!(check.tags, ["c"]);
    let Probe::Http(http) = &check.probe else { panic!("an http check") };
    assert_eq!(http.headers, [("Accept".to_owned(), "y".to_owned()), ("X-One".to_owned(), "1".to_owned())]);
    assert_eq!(origin(&loaded, "check.homepage.headers.Accept"), "\"[hidden]\" x.toml:3");
    assert_eq!(origin(&loaded, "check.homepage.headers.X-One"), "\"[hidden]\" config.toml:7");
}

#[test]
fn a_drop_in_removes_a_check_with_enabled_false_whatever_else_is_wrong_with_it() {
    let host = Host::new()
        .with("etc/config.toml", format!("{SIGNAL}{CHECK}[check.old]\ntype = \"http\"\nurl = \"nonsense\"\n"))
        .with("etc/conf.d/x.toml", "[check.old]\nenabled = false\n[check.never-there]\nenabled = false\n");
    let loaded = host.load().unwrap();
    assert_eq!(loaded.plan.checks.len(), 1);
    assert_eq!(loaded.plan.signal("web").unwrap().checks.len(), 1);
}

#[test]
fn an_overridden_mistake_is_none_any_more() {
    let host = Host::new()
        .with("etc/config.toml", format!("{SIGNAL}{CHECK}interval = \"soon\"\n"))
        .with("etc/conf.d/x.toml", "[check.homepage]\ninterval = \"20s\"\n");
    assert_eq!(host.load().unwrap().plan.check("homepage").unwrap().interval, Duration::from_secs(20));
}

#[test]
fn errors_of_all_files_come_at_once_in_order_of_the_files() {
    let host = Host::new()
        .with("etc/config.toml", format!("{SIGNAL}{CHECK}intervall = \"10s\"\n"))
        .with("etc/conf.d/b.toml", "[agent]\nlog = 3\n")
        .with("usr/conf.d/a.toml", "[ros\n")
        .with("run/conf.d/c.toml", b"[agent]\n# \xff\n");
    let diagnostics = host.load().unwrap_err();
    let lines: Vec<_> = diagnostics
        .iter()
        .map(|diagnostic| {
            let first = diagnostic.to_string().lines().next().unwrap().to_owned();
            first.replace(&host.0.path().display().to_string(), "")
        })
        .collect();
    assert_eq!(
        lines,
        [
            "/run/ros-signal-agent/conf.d/c.toml: error: not UTF-8 at line 2, column 3",
            "/etc/ros-signal-agent/config.toml:6:1: error: unknown key `intervall` in `[check.homepage]`",
            "/usr/lib/ros-signal-agent/conf.d/a.toml:1:5: error: unclosed table, expected `]`",
            "/etc/ros-signal-agent/conf.d/b.toml:2:7: error: `log` must be a string, not an integer",
        ]
    );
}

#[test]
fn what_a_half_understood_file_may_have_said_is_not_missed() {
    let host = Host::new().with("etc/config.toml", "[signal.web]\nresource = \"WebReady\nchecks = [\"homepage\"]\n");
    let told = host.told();
    assert!(told.contains("invalid basic string"), "{told}");
    assert!(!told.contains("required check") && !told.contains("there is no check"), "{told}");
}

#[test]
fn files_that_are_too_large_or_too_many_or_no_files_are_refused() {
    let host = Host::new().with("etc/config.toml", "#".repeat(1024 * 1024 + 1));
    assert!(host.told().contains("larger than 1 MiB"));
    let host = Host::new().with("etc/conf.d/dir.toml/file", "");
    assert!(host.told().contains("not a regular file"));
    let host = (0..257).fold(Host::new(), |host, number| host.with(&format!("etc/conf.d/{number}.toml"), ""));
    assert!(host.told().contains("257 drop-ins, at most 256 are read"));
}

#[test]
fn a_very_long_line_is_not_shown() {
    let host = Host::new().with("etc/config.toml", format!("[agent]\nlog = [{}]\n", "\"x\",".repeat(5000)));
    assert!(host.told().ends_with(":2:7: error: `log` must be a string, not an array\n[a line of 20008 bytes]\n      ^^^^^^^^^^^^^^^^^"));
}

#[test]
fn a_pipe_in_place_of_a_file_does_not_hold_up_the_start() {
    let host = Host::new().with("etc/conf.d/x", "");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, host.path("etc/conf.d/x.toml"), rustix::fs::FileType::Fifo, mode, 0).unwrap();
    assert!(host.told().contains("not a regular file"));
}

#[test]
fn exec_checks_come_only_from_files_that_root_or_the_agent_alone_can_change() {
    let host = Host::new().with("etc/config.toml", SIGNAL).with("etc/conf.d/exec.toml", EXEC);
    let file = host.path("etc/conf.d/exec.toml");
    let directory = host.path("etc/conf.d");
    let refused = |path: &Path, uid: u32, mode: u32| {
        let owners = rooted([(path.to_owned(), Owner { uid, mode })]);
        host.load_with(&owners).err().map(|diagnostics| diagnostics[0].message.clone())
    };
    assert_eq!(refused(&file, 0, 0o644), None);
    assert_eq!(refused(&file, 990, 0o640), None, "the agent's own user");
    let why = refused(&file, 1000, 0o644).unwrap();
    assert!(why.contains("belongs to user 1000, neither root nor the agent's own user"), "{why}");
    let why = refused(&file, 0, 0o664).unwrap();
    assert!(why.contains("can be changed by group or others (mode 0664)"), "{why}");
    assert!(refused(&file, 0, 0o646).is_some());
    let why = refused(&directory, 0, 0o777).unwrap();
    assert!(why.contains("the directory") && why.contains("conf.d"), "{why}");
    assert_eq!(refused(&directory, 0, 0o1777), None, "in a sticky directory only the owner can replace the file");
    assert!(refused(&directory, 1000, 0o755).is_some(), "the owner of the directory can replace the file");
}

#[test]
fn no_number_of_warnings_lets_a_refusal_be_forgotten() {
    let many: String = (0..300).map(|n| format!("[check.a{n}]\ntype = \"http\"\nurl = \"http://localhost/\"\nbody = \"x\"\n")).collect();
    let host = Host::new().with("etc/config.toml", format!("{SIGNAL}{many}{EXEC}"));
    assert_eq!(host.load().unwrap().warnings.len(), 200, "more than anybody reads");
    let owners = rooted([(host.path("etc/config.toml"), Owner { uid: 1000, mode: 0o644 })]);
    assert!(host.load_with(&owners).unwrap_err()[0].message.contains("belongs to user 1000"));
}

#[test]
fn a_part_of_an_exec_check_in_an_untrusted_file_is_refused_where_it_stands() {
    let host = Host::new()
        .with("etc/config.toml", format!("{SIGNAL}{EXEC}"))
        .with("run/conf.d/x.toml", "[check.disk]\ncommand = [\"/tmp/evil\"]\n");
    let owners = rooted([(host.path("run/conf.d/x.toml"), Owner { uid: 1000, mode: 0o644 })]);
    let diagnostics = host.load_with(&owners).unwrap_err();
    assert_eq!(diagnostics.len(), 1);
    assert!(diagnostics[0].path.ends_with("run/ros-signal-agent/conf.d/x.toml"));
    assert_eq!(diagnostics[0].position.as_ref().unwrap().line, 2);
}

#[test]
fn checks_of_other_types_may_come_from_anybodys_file() {
    let host = Host::new().with("etc/config.toml", format!("{SIGNAL}{CHECK}"));
    let owners = rooted([(host.path("etc/config.toml"), Owner { uid: 1000, mode: 0o666 })]);
    assert!(host.load_with(&owners).is_ok());
}

#[test]
fn behind_a_link_the_directory_of_the_target_counts_too() {
    let host = Host::new().with("etc/config.toml", SIGNAL).with("opt/exec", EXEC);
    let target = host.path("opt/exec").canonicalize().unwrap();
    let host = host.linked("etc/conf.d/exec.toml", target.to_str().unwrap());
    assert!(host.load().is_ok());
    let owners = rooted([(target.parent().unwrap().to_owned(), Owner { uid: 0, mode: 0o777 })]);
    assert!(host.load_with(&owners).is_err());
}

#[test]
fn the_real_file_system_is_asked_for_real_owners() {
    use std::os::unix::fs::PermissionsExt;
    let host = Host::new().with("etc/config.toml", format!("{SIGNAL}{EXEC}"));
    let set = |mode| std::fs::set_permissions(host.path("etc/config.toml"), std::fs::Permissions::from_mode(mode)).unwrap();
    std::fs::set_permissions(host.path("etc/config.toml").parent().unwrap(), std::fs::Permissions::from_mode(0o755)).unwrap();
    set(0o600);
    assert!(host.load_with(&Owners::system()).is_ok());
    set(0o666);
    assert!(host.load_with(&Owners::system()).is_err());
}

/// What is warned of in a configuration that is taken.
fn warnings_of(text: &str) -> Vec<String> {
    let loaded = Host::new().with("etc/config.toml", format!("{SIGNAL}{CHECK}{text}")).load().unwrap();
    loaded.warnings.iter().map(|warning| format!("{}; {}", warning.message, warning.hint.as_deref().unwrap_or_default())).collect()
}

#[test]
fn keys_of_a_hook_that_its_occasions_leave_without_a_use_are_warned_of() {
    let hook = |on: &str| {
        format!("[hook.a]\non = [{on}]\ncommand = [\"/bin/true\"]\nchecks = [\"homepage\"]\nsignals = [\"web\"]\nresource = \"Server\"\n")
    };
    let warnings = warnings_of(&hook("\"stack.updated\""));
    assert_eq!(warnings.len(), 3, "{warnings:?}");
    assert!(warnings[0].starts_with("`checks` changes nothing: it is for `check.*`"), "{warnings:?}");
    assert_eq!(warnings_of(&hook("\"check.critical\", \"verdict.failure\", \"metadata.changed\"")), Vec::<String>::new());
}

#[test]
fn a_type_of_events_that_ros_does_not_send_is_warned_of_with_the_one_that_was_meant() {
    let hook = |on: &str| format!("[hook.a]\non = [{on}]\ncommand = [\"/bin/true\"]\n");
    let warnings = warnings_of(&hook("\"ros:StackStateChange:UpdatComplete\", \"stack:updated*\""));
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].ends_with("did you mean \"ros:StackStateChange:UpdateComplete\"?"), "{warnings:?}");
    assert_eq!(warnings_of(&hook("\"ros:StackStateChange:UpdateComplete\", \"ros:CloudMonitor:*\"")), Vec::<String>::new());
}

#[test]
fn what_never_happens_without_looks_at_the_stack_is_warned_of() {
    let text = "[ros]\npoll = false\n[hook.a]\non = [\"stack.updated\"]\ncommand = [\"/bin/true\"]\n[source.a]\ntype = \"spool\"\n\
                directory = \"/var/spool/events\"\n[signal.other]\nresource = \"OtherReady\"\ncondition = \"OtherWait\"\nresignal = \"on_update\"\n";
    let warnings = warnings_of(text);
    assert_eq!(warnings.len(), 3, "{warnings:?}");
    assert!(warnings.iter().all(|warning| warning.starts_with("with `poll = false` ")), "{warnings:?}");
    assert_eq!(warnings_of(&text.replace("false", "true")), Vec::<String>::new());
}

#[test]
fn a_secret_in_a_file_that_everybody_can_read_is_a_warning() {
    let text = format!("{SIGNAL}{CHECK}headers = {{ X-Api-Key = \"hunter2\", Accept = \"x\" }}\nbody = \"hunter2\"\n");
    let host = Host::new().with("etc/config.toml", text);
    let warnings = host.load().unwrap().warnings;
    let messages: Vec<_> = warnings.iter().map(|warning| warning.message.as_str()).collect();
    assert_eq!(
        messages,
        ["`X-Api-Key` may hold a secret, and everybody can read this file", "`body` may hold a secret, and everybody can read this file"]
    );
    assert!(warnings.iter().all(|warning| warning.severity == Severity::Warning));
    let owners = rooted([(host.path("etc/config.toml"), Owner { uid: 0, mode: 0o640 })]);
    assert_eq!(host.load_with(&owners).unwrap().warnings, []);
}

#[test]
fn the_list_of_effective_values_hides_secrets() {
    let text = format!(
        "{SIGNAL}{CHECK}headers = {{ Authorization = \"Bearer hunter2\" }}\nbody = \"hunter2\"\n\
         [check.x]\ntype = \"exec\"\ncommand = [\"/bin/x\", \"--password\", \"hunter2\", \"-v\"]\nenvironment = {{ DB_PASSWORD = \"hunter2\" }}\n"
    );
    let loaded = Host::new().with("etc/config.toml", text).load().unwrap();
    let listed: Vec<_> = loaded.origins.iter().map(|setting| format!("{} = {}", setting.key, setting.value)).collect();
    let listed = listed.join("\n");
    assert!(!listed.contains("hunter2"), "{listed}");
    assert!(listed.contains("check.homepage.headers.Authorization = \"[hidden]\""), "{listed}");
    assert!(listed.contains("check.x.command = [\"/bin/x\", \"--password\", \"[hidden]\", \"-v\"]"), "{listed}");
}

#[test]
fn a_name_with_a_dot_is_quoted_in_the_list() {
    let loaded = Host::new().with("etc/config.toml", format!("[signal.\"a.b\"]\nresource = \"R\"\n{CHECK}")).load().unwrap();
    assert_eq!(origin(&loaded, "signal.\"a.b\".resource"), "\"R\" config.toml:2");
}

#[test]
fn the_service_manager_says_where_state_and_socket_are() {
    let environment = Environment {
        state_directory: Some("/var/lib/private/x".into()),
        runtime_directory: Some("/run/x".into()),
        ..Environment::default()
    };
    let root = TempDir::new().unwrap();
    let plan = load(&Layout::under(root.path()), &rooted([]), &environment).unwrap().plan;
    assert_eq!(plan.agent.state_dir, Path::new("/var/lib/private/x"));
    assert_eq!(plan.agent.socket, Path::new("/run/x/control.sock"));
}

#[test]
fn diagnostics_are_readable_by_programs() {
    let diagnostics = Host::new().with("etc/config.toml", "[agent]\nlogg = 1\n").load().unwrap_err();
    let json = serde_json::to_value(&diagnostics).unwrap();
    assert_eq!(json[0]["severity"], "error");
    assert_eq!((json[0]["line"].as_u64(), json[0]["column"].as_u64()), (Some(2), Some(1)));
    assert_eq!(json[0]["hint"], "did you mean `log`?");
}
