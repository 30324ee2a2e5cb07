//! Commands that need the configuration alone: `plan`, `config`, and what a broken configuration does to the others.

use super::{configured, program};
use serde_json::Value;

const EXAMPLE: &str = r#"
[stack]
stack_id = "4a6c9851-3b0f-4f5f-b4ca-a14bf6910000"
region = "cn-hangzhou"

[signal.web]
resource = "WebReady"
deadline = "10m"

[check.database]
type = "tcp"
address = "127.0.0.1:6379"
initial_delay = "2s"

[check.homepage]
type = "http"
url = "http://127.0.0.1:8080/healthz"
headers = { Authorization = "Bearer hunter2", "X-Dotted.Name" = "x", Accept = "text/plain" }
depends_on = ["database"]
start_period = "20s"

[check.batch]
type = "ttl"
ttl = "1m"
level = "wanted"
"#;

#[tokio::test]
async fn the_plan_shows_each_value_with_its_place_and_the_time_to_a_verdict() {
    let (dir, config) = configured(EXAMPLE);
    let ended = program(&["--config", &config, "plan"]).await;
    assert!(!ended.out.contains("hunter2"));
    insta::assert_snapshot!(ended.golden(dir.path()));
}

#[tokio::test]
async fn the_plan_as_json_has_files_settings_times_and_warnings() {
    let (_dir, config) = configured(EXAMPLE);
    let ended = program(&["--config", &config, "plan", "--json"]).await;
    let plan: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(plan["files"][0], config.as_str());
    let deadline = plan["settings"].as_array().unwrap().iter().find(|setting| setting["key"] == "signal.web.deadline").unwrap();
    assert_eq!((&deadline["value"], &deadline["origin"]["line"]), (&Value::from("\"10m\""), &Value::from(8)));
    let web = &plan["signals"][0];
    assert_eq!((web["name"].as_str(), web["best_ms"].as_i64()), (Some("web"), Some(7_000)));
    assert!(web["worst_ms"].as_i64().unwrap() > web["best_ms"].as_i64().unwrap());
    assert_eq!(web["checks"].as_array().unwrap().len(), 2, "the wanted check holds nothing up");
    assert!(plan["warnings"].is_array());
}

#[tokio::test]
async fn sources_and_hooks_are_shown_with_the_place_of_each_value() {
    let text = "[source.relay]\ntype = \"http\"\nlisten = \"127.0.0.1:8480\"\nurl = \"https://agent.example.com/\"\n\
                [hook.apply]\non = [\"stack.updated\"]\ncommand = [\"/usr/bin/true\"]\n";
    let (_dir, config) = configured(&format!("{text}{EXAMPLE}"));
    let plan: Value = serde_json::from_str(&program(&["--config", &config, "plan", "--json"]).await.out).unwrap();
    let line = |key: &str| {
        let found = plan["settings"].as_array().unwrap().iter().find(|setting| setting["key"] == key);
        found.unwrap_or_else(|| panic!("no {key}"))["origin"]["line"].as_u64()
    };
    assert_eq!([line("source.relay.listen"), line("hook.apply.on"), line("hook.apply.retries")], [Some(3), Some(6), None]);
    let shown = program(&["--config", &config, "config", "show"]).await.out;
    assert!(shown.contains("relay.listen = \"127.0.0.1:8480\" # ") && shown.contains("apply.on = [\"stack.updated\"] # "), "{shown}");
}

#[tokio::test]
async fn the_plan_says_in_words_what_ranges_mean() {
    let (_dir, config) = configured(
        "[signal.web]\nresource = \"WebReady\"\n[check.disk]\ntype = \"disk\"\npath = \"/\"\n[check.load]\ntype = \"load\"\ncrit = \"~:8\"\n[check.memory]\ntype = \"memory\"\nmeasure = \"available\"\ncrit = \"512MiB:\"\n",
    );
    let ended = program(&["--config", &config, "plan"]).await;
    let told = "\nwhen checks alert\n  disk: room that is free: warning below 20%, critical below 10%\n  load: load5: critical above 8\n  \
                memory: memory available: critical below 512 MiB\n\n";
    assert!(ended.out.contains(told), "{}", ended.out);
}

#[tokio::test]
async fn ranges_that_nobody_means_are_doubted() {
    let told = async |kind: &str, limits: &str| {
        let (_dir, config) = configured(&format!("[signal.web]\nresource = \"WebReady\"\n[check.it]\ntype = \"{kind}\"\n{limits}\n"));
        let ended = program(&["--config", &config, "config", "check"]).await;
        assert_eq!(ended.code, 0, "{}", ended.err);
        ended.err
    };
    let more = told("disk", "path = \"/\"\nwarn = \"10\"").await;
    assert!(more.contains("`warn` alerts when there is more (room that is free: below 0 or above 10), not the other way round"), "{more}");
    assert!(more.contains("hint: \"10:\" alerts below 10"), "{more}");
    let less = told("load", "crit = \"8:\"").await;
    assert!(less.contains("`crit` alerts when there is less (load5: below 8), not the other way round"), "{less}");
    let hidden = told("load", "warn = \"10\"\ncrit = \"5\"").await;
    assert!(hidden.contains("`warn` never shows, because `crit` alerts wherever it does"), "{hidden}");
    for (kind, limits) in [
        ("disk", "path = \"/\""),
        ("load", "warn = \"5\"\ncrit = \"10\""),
        ("memory", "warn = \"10:90\""),
        ("process", "name = \"x\"\ncrit = \"0\""),
        ("certificate", "file = \"/x.pem\"\nwarn = \"~:\"\ncrit = \"1:\""),
    ] {
        assert_eq!(told(kind, limits).await, "", "{kind} {limits}");
    }
}

#[tokio::test]
async fn the_configuration_that_is_shown_is_a_configuration_that_says_the_same() {
    let (_dir, config) = configured(&EXAMPLE.replace("Authorization = \"Bearer hunter2\", ", ""));
    let first = program(&["--config", &config, "config", "show"]).await;
    assert_eq!(first.code, 0, "{}", first.err);
    let (_dir, again) = configured(&first.out);
    let second = program(&["--config", &again, "config", "show"]).await;
    assert_eq!(second.code, 0, "{}\n{}", second.err, first.out);
    let values = |text: &str| text.lines().map(|line| line.split(" # ").next().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(values(&first.out), values(&second.out));
    assert!(first.out.contains("deadline = \"10m\" # "), "{}", first.out);
}

/// A good configuration with a secret in the four places that may hold one, in the many ways of writing them.
const SECRETS: &str = r#"
[signal.web]
resource = "WebReady"

[check.redis]
type = "tcp"
address = "127.0.0.1:1"
send = "AUTH hunter2"

[check.homepage]
type = "http"
url = "http://127.0.0.1:1/"
headers = { X-Foo = "hunter2" }
body = "hunter2"

[check.other]
type = "http"
url = "http://127.0.0.1:1/"
headers.X-Bar = "hunter2"
body = """
hunter2
"""

[check.other.headers]
X-Api-Key = "hunter2"

[check.job]
type = "exec"
command = ["/bin/true"]
environment = { PW = "hunter2", DB_PASSWORD = "hunter2" }

[check.job2]
type = "exec"
command = ["/bin/true"]
environment.PW = "hunter2"
"#;

#[tokio::test]
async fn what_is_sent_and_handed_to_children_is_shown_by_no_command() {
    let text = SECRETS.replace("headers.X-Bar = \"hunter2\"\n", "");
    let (_dir, config) = configured(&text);
    // Everybody can read it, so that there are warnings, each with its line.
    std::fs::set_permissions(&config, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    for command in [&["config", "show"][..], &["config", "check"], &["plan"], &["plan", "--json"], &["check"], &["check", "--json"]] {
        let ended = program(&[&["--config", &config][..], command].concat()).await;
        assert!(ended.code < 64, "{command:?}: {}", ended.err);
        assert!(!format!("{}{}", ended.out, ended.err).contains("hunter2"), "{command:?}: {}{}", ended.out, ended.err);
    }
    let told = program(&["--config", &config, "config", "check"]).await;
    for name in ["send", "body", "X-Api-Key", "DB_PASSWORD"] {
        assert!(told.err.contains(&format!("`{name}` may hold a secret")), "{name}: {}", told.err);
    }
    let shown = program(&["--config", &config, "config", "show"]).await;
    assert!(shown.out.contains("headers.X-Foo = \"[hidden]\""), "{}", shown.out);
}

#[tokio::test]
async fn a_mistake_near_a_secret_does_not_show_it() {
    let lines = SECRETS.lines().filter(|line| line.contains("hunter2")).count();
    for broken in 0..lines {
        for mistake in ["", "]", "= 5", "\"", " }"] {
            let mut count = 0;
            let text: Vec<String> = SECRETS
                .lines()
                .map(|line| {
                    count += usize::from(line.contains("hunter2"));
                    if line.contains("hunter2") && count == broken + 1 { format!("{line}{mistake}") } else { line.to_owned() }
                })
                .collect();
            let (_dir, config) = configured(&text.join("\n"));
            let ended = program(&["--config", &config, "config", "check"]).await;
            assert_eq!(ended.code, 78, "{}", ended.out);
            assert!(!ended.err.contains("hunter2"), "line {broken} with {mistake}: {}", ended.err);
        }
    }
    for (right, wrong) in [
        ("send =", "sned ="),
        ("headers =", "header ="),
        ("environment =", "enviroment ="),
        ("send =", "send :"),
        ("[check.other.headers]", "check.other.headers]"),
        ("[check.other.headers]", "[check.other.headers"),
    ] {
        let (_dir, config) = configured(&SECRETS.replace("X-Api-Key", "X-Plain").replace(right, wrong));
        let ended = program(&["--config", &config, "config", "check"]).await;
        assert_eq!(ended.code, 78, "{}", ended.out);
        assert!(!ended.err.contains("hunter2"), "{wrong}: {}", ended.err);
    }
}

#[tokio::test]
async fn a_valid_configuration_is_counted() {
    let (_dir, config) = configured(EXAMPLE);
    let ended = program(&["--config", &config, "config", "check"]).await;
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert!(ended.out.starts_with("ok: 1 signal, 3 checks, 1 file, "), "{}", ended.out);
}

#[tokio::test]
async fn no_configuration_is_an_agent_that_idles() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().to_str().unwrap();
    let ended = program(&["--root", root, "config", "check"]).await;
    assert_eq!((ended.code, ended.out.as_str()), (0, "ok: 0 signals, so the agent would idle, 0 checks, 0 files, 0 warnings\n"));
}

#[tokio::test]
async fn the_configuration_is_checked_and_shown_as_json() {
    let (_dir, config) = configured(EXAMPLE);
    let ended = program(&["--config", &config, "config", "check", "--json"]).await;
    let said: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!((ended.code, &said["ok"], &said["files"][0]), (0, &Value::from(true), &Value::from(config.as_str())));
    let ended = program(&["--config", &config, "config", "show", "--json"]).await;
    let said: Value = serde_json::from_str(&ended.out).unwrap();
    let resource = said["settings"].as_array().unwrap().iter().find(|setting| setting["key"] == "signal.web.resource").unwrap();
    assert_eq!((ended.code, &resource["value"]), (0, &Value::from("\"WebReady\"")));
    let (_dir, config) = configured("[signal.web]\nresorce = \"WebReady\"\n");
    let ended = program(&["--config", &config, "config", "check", "--json"]).await;
    let said: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!((ended.code, &said["ok"]), (78, &Value::from(false)));
    let told = said["diagnostics"].as_array().unwrap().iter().find(|told| told["line"] == 2).unwrap();
    assert_eq!(told["message"], "unknown key `resorce` in `[signal.web]`");
    assert!(ended.err.contains("error: unknown key `resorce`"), "{}", ended.err);
}

/// Only root can give files to another user.
#[tokio::test]
async fn root_judges_files_of_the_agents_user_as_the_agent_does_but_runs_nothing_of_theirs() {
    if !super::is_root() {
        return;
    }
    let state = tempfile::tempdir().unwrap();
    let text = format!(
        "[agent]\nstate_dir = \"{}\"\n[signal.web]\nresource = \"R\"\n[check.a]\ntype = \"exec\"\ncommand = [\"/bin/true\"]\n",
        state.path().display()
    );
    let (_dir, config) = configured(&text);
    std::os::unix::fs::chown(&config, Some(12345), None).unwrap();
    let code = async |command: &[&str]| program(&[&["--config", config.as_str()][..], command].concat()).await.code;
    assert_eq!(code(&["config", "check"]).await, 78, "root owns the state directory");
    std::os::unix::fs::chown(state.path(), Some(12345), None).unwrap();
    assert_eq!(code(&["config", "check"]).await, 0);
    assert_eq!(code(&["plan"]).await, 0);
    assert_eq!(code(&["check"]).await, 78);
    assert_eq!(code(&["run"]).await, 78);
    assert_eq!(code(&["rehearse"]).await, 78);
    std::os::unix::fs::chown(state.path(), Some(12346), None).unwrap();
    assert_eq!(code(&["config", "check"]).await, 78);
}

/// A doctor or a reset of root's uses credentials and asks servers, a rehearsal runs checks.
#[tokio::test]
async fn no_command_of_roots_follows_drop_ins_that_the_agents_user_can_write() {
    if !super::is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (state, run) = (dir.path().join("var/lib/ros-signal-agent"), dir.path().join("run/ros-signal-agent"));
    std::fs::create_dir_all(&state).unwrap();
    std::fs::create_dir_all(run.join("conf.d")).unwrap();
    std::fs::write(run.join("conf.d/10-mine.toml"), "[ros]\nendpoint = \"http://127.0.0.1:1\"\n").unwrap();
    for path in [&state, &run] {
        std::os::unix::fs::chown(path, Some(12345), None).unwrap();
    }
    let ended = program(&["--root", dir.path().to_str().unwrap(), "config", "show"]).await;
    assert!(ended.code == 0 && !ended.out.contains("127.0.0.1:1"), "{}", ended.out);
    let ended = program(&["--root", dir.path().to_str().unwrap(), "config", "check"]).await;
    assert!(format!("{}{}", ended.out, ended.err).contains("its files are left out: "), "{}{}", ended.out, ended.err);
}

#[tokio::test]
async fn an_empty_device_is_an_empty_configuration() {
    let ended = program(&["--config", "/dev/null", "config", "check"]).await;
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert!(ended.out.starts_with("ok: 0 signals, so the agent would idle"), "{}", ended.out);
}

#[tokio::test]
async fn everything_that_is_wrong_is_said_at_once_with_exit_code_78() {
    let (dir, config) = configured("[signal.web]\nresorce = \"WebReady\"\n[check.a]\ntype = \"tcp\"\naddress = \"127.0.0.1\"\n");
    let told = program(&["--config", &config, "config", "check"]).await;
    insta::assert_snapshot!(told.golden(dir.path()));
    for command in [&["run"][..], &["plan"], &["check"], &["config", "show"]] {
        let ended = program(&[&["--config", &config][..], command].concat()).await;
        assert_eq!((ended.code, &ended.err), (78, &told.err), "{command:?}");
    }
}

#[tokio::test]
async fn drop_ins_below_a_root_are_read_in_the_manner_of_systemd() {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in [
        ("etc/ros-signal-agent/config.toml", "[stack]\nregion = \"cn-hangzhou\"\n"),
        ("usr/lib/ros-signal-agent/conf.d/10-a.toml", "[stack]\nregion = \"cn-beijing\"\n"),
        ("etc/ros-signal-agent/conf.d/20-b.toml", "[agent]\nmax_exec = 2\n"),
    ] {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let ended = program(&["--root", dir.path().to_str().unwrap(), "config", "show"]).await;
    assert!(ended.out.contains("region = \"cn-beijing\" # "), "{}", ended.out);
    assert!(ended.out.contains("max_exec = 2 # "), "{}", ended.out);
}

#[tokio::test]
async fn a_reader_that_has_gone_is_no_error() {
    use tokio::io::AsyncReadExt as _;
    let mut child = tokio::process::Command::new(env!("CARGO_BIN_EXE_ros-signal-agent"))
        .args(["config", "default"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).await.unwrap();
    assert!(child.wait().await.unwrap().success());
    assert_eq!(said, "");
}
