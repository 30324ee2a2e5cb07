//! `rehearse`, the built binary: the real agent against the embedded sandbox.

use crate::private;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// A host to rehearse on, whose temporary directory is looked at afterwards.
struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let bench = Self { dir: private::directory() };
        std::fs::create_dir(bench.tmp()).unwrap();
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn tmp(&self) -> PathBuf {
        self.path("tmp")
    }

    /// Writes a configuration, with state and socket that must never be touched.
    fn configured(text: &str) -> (Self, String) {
        let bench = Self::new();
        let agent = format!("[agent]\nstate_dir = \"{0}/state\"\nsocket = \"{0}/real.sock\"\n", bench.dir.path().display());
        private::write(&bench.path("config.toml"), &format!("{agent}{text}"));
        let file = bench.path("config.toml").display().to_string();
        (bench, file)
    }

    fn start(&self, arguments: &[&str]) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ros-signal-agent"));
        command.arg("rehearse").args(arguments).env("TMPDIR", self.tmp());
        // Real keys that must not be used, and a proxy that must not be asked.
        command.env("ALIBABA_CLOUD_ACCESS_KEY_ID", "realKey").env("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "realSecret");
        command.env("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "true").env("HTTPS_PROXY", "http://127.0.0.1:1");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn run(&self, arguments: &[&str]) -> Told {
        self.told(self.start(arguments))
    }

    /// Waits for the end, after which nothing may be left behind.
    fn told(&self, child: Child) -> Told {
        let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
        let left = |directory: &Path| -> Vec<String> {
            let entries = std::fs::read_dir(directory).unwrap();
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
        };
        assert!(left(&self.tmp()).is_empty(), "left behind: {:?}", left(&self.tmp()));
        assert!(!self.path("state").exists() && !self.path("real.sock").exists(), "the real state is touched");
        Told { code: status.code(), out: String::from_utf8(stdout).unwrap(), err: String::from_utf8(stderr).unwrap() }
    }
}

/// What it said.
#[derive(Debug)]
struct Told {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Told {
    /// Every line is one object, and the last is the outcome.
    fn events(&self) -> (Vec<Value>, Value) {
        let mut events: Vec<Value> = self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let outcome = events.pop().unwrap_or_else(|| panic!("{self:?}"));
        assert_eq!(outcome["event"], "outcome", "{self:?}");
        (events, outcome)
    }

    /// The lines say this, in this order.
    fn says(&self, parts: &[&str]) {
        let mut lines = self.out.lines();
        for part in parts {
            assert!(lines.any(|line| line.contains(part)), "nothing says {part:?} in its turn: {self:#?}");
        }
    }
}

fn quick(port: u16) -> String {
    format!(
        "[signal.web]\nresource = \"WebReady\"\nmin_healthy_time = \"100ms\"\n\
         [check.port]\ntype = \"tcp\"\naddress = \"127.0.0.1:{port}\"\nstart_interval = \"100ms\"\n"
    )
}

/// A port on which somebody listens.
fn open_port() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

fn closed_port() -> u16 {
    open_port().1
}

#[test]
fn the_built_in_example_becomes_healthy_and_its_stack_complete() {
    let told = Bench::new().run(&["--json"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    let (events, outcome) = told.events();
    assert_eq!(outcome["outcome"], "completed");
    assert_eq!(outcome["stacks"][0]["status"], "CREATE_COMPLETE");
    assert_eq!(outcome["stacks"][0]["effective_signals"], 1);
    assert_eq!(outcome["agent"]["signals"][0]["state"], "acknowledged");
    assert!(outcome["elapsed_ms"].as_u64().unwrap() >= 7_000, "two seconds of 503, five of min_healthy_time: {outcome}");
    assert_eq!((&events[0]["event"], &events[0]["example"]), (&Value::from("start"), &Value::from(true)));
    let has = |what: &dyn Fn(&Value) -> bool| events.iter().any(what);
    let said = |event: &Value, part: &str| event["event"] == "agent" && event["text"].as_str().unwrap().contains(part);
    assert!(has(&|event| said(event, "check homepage: critical: HTTP 503")), "{told:?}");
    assert!(has(&|event| said(event, "check homepage: initial -> passing")), "{told:?}");
    assert!(has(&|event| said(event, "verdict SUCCESS")), "{told:?}");
    let signals: Vec<&Value> = events.iter().filter(|event| event["action"] == "SignalResource").collect();
    assert_eq!(signals.len(), 1, "{told:?}");
    assert_eq!((signals[0]["status"].as_u64(), signals[0]["scheme"].as_str()), (Some(200), Some("https")));
    assert!(has(&|event| event["event"] == "stack" && event["status"] == "CREATE_COMPLETE" && event["resource"].is_null()), "{told:?}");
}

#[test]
fn sources_are_not_begun_and_hooks_not_run_but_it_is_said_what_they_would_do() {
    let (_listener, port) = open_port();
    let (taken, listens) = open_port();
    let program = Bench::new();
    let (bench, file) = Bench::configured(&format!(
        "{}[source.relay]\ntype = \"http\"\nlisten = \"127.0.0.1:{listens}\"\nurl = \"https://agent.example.com/\"\n\
         [hook.apply]\non = [\"verdict.success\", \"stack.created\"]\ncommand = [\"/usr/bin/touch\", \"{}\"]\n",
        quick(port).replace("[check.port]", "resignal = \"on_update\"\ncondition = \"Wait\"\n[check.port]"),
        program.path("touched").display()
    ));
    let told = bench.run(&["--config", &file]);
    assert_eq!(told.code, Some(0), "{told:?}");
    told.says(&[
        "source relay: events of type http would be taken, not here",
        "hook apply: would run /usr/bin/touch",
        "outcome: the stack completed",
    ]);
    assert!(!program.path("touched").exists());
    drop(taken);
}

#[test]
fn a_lifecycle_hook_is_rehearsed_with_a_group_that_holds_the_instance() {
    let (_listener, port) = open_port();
    let hook = "[signal.scaling]\ntransport = \"lifecycle-hook\"\nmin_healthy_time = \"100ms\"\n";
    for (text, stacks) in
        [(quick(port), 1), (quick(port).replace("[signal.web]\nresource = \"WebReady\"\nmin_healthy_time = \"100ms\"\n", ""), 0)]
    {
        let (bench, file) = Bench::configured(&format!("{hook}{text}"));
        let told = bench.run(&["--config", &file, "--json"]);
        assert_eq!(told.code, Some(0), "{told:?}");
        let (events, outcome) = told.events();
        assert_eq!((outcome["outcome"].as_str(), outcome["stacks"].as_array().unwrap().len()), (Some("completed"), stacks));
        assert_eq!(outcome["agent"]["signals"][0]["state"], "acknowledged");
        assert!(events.iter().any(|event| event["action"] == "CompleteLifecycleAction" && event["status"] == 200), "{told:?}");
    }
}

#[test]
fn a_configuration_is_rehearsed_as_a_story_and_the_host_is_not_touched() {
    let (_listener, port) = open_port();
    let (bench, file) = Bench::configured(&quick(port));
    let told = bench.run(&["--config", &file]);
    assert_eq!((told.code, told.err.as_str()), (Some(0), ""), "{told:?}");
    told.says(&[
        &format!("rehearsing {file}"),
        "redirected: ROS to https://127.0.0.1:",
        "waits 900 s for 1 signal at WebReady",
        "stack CREATE_IN_PROGRESS",
        "check port: initial -> passing",
        "verdict SUCCESS",
        "ros: SignalResource WebReady SUCCESS unique id",
        "WebReady has received SUCCESS",
        "stack CREATE_COMPLETE",
        "acknowledged by ROS",
        "outcome: the stack completed",
        "signal web: SUCCESS acknowledged",
    ]);
    assert!(!told.out.contains('\u{1b}'), "no colour outside a terminal");
    assert!(!told.out.contains("realKey"), "{told:?}");
}

#[test]
fn a_check_that_never_passes_fails_the_stack_before_its_deadline() {
    let (bench, file) = Bench::configured(&quick(closed_port()));
    let told = bench.run(&["--config", &file, "--deadline", "2s"]);
    assert_eq!(told.code, Some(1), "{told:?}");
    told.says(&[
        "waits 2 s for 1 signal",
        "check port: critical: connection refused",
        "FAILURE report of signal web",
        "verdict FAILURE: deadline 2s (less margin 1s) reached",
        "SignalResource WebReady FAILURE",
        "stack CREATE_FAILED",
        "outcome: the stack failed",
        "signal web: FAILURE acknowledged",
    ]);
    assert!(told.err.contains("error: the stack failed"), "{told:?}");
}

#[test]
fn the_failure_report_does_not_disturb_programs() {
    let (bench, file) = Bench::configured(&quick(closed_port()));
    let told = bench.run(&["--config", &file, "--deadline", "1s", "--json"]);
    assert_eq!(told.code, Some(1), "{told:?}");
    assert_eq!(told.events().1["outcome"], "failed");
}

#[test]
fn when_the_time_is_up_it_says_how_far_it_came() {
    let (bench, file) = Bench::configured(&quick(closed_port()));
    let told = bench.run(&["--config", &file, "--timeout", "500ms", "--json"]);
    assert_eq!(told.code, Some(124), "{told:?}");
    let (_, outcome) = told.events();
    assert_eq!(outcome["outcome"], "timed_out");
    assert_eq!(outcome["stacks"][0]["status"], "CREATE_IN_PROGRESS");
    assert_eq!(outcome["agent"]["signals"][0]["state"], "pending");
}

#[test]
fn an_invalid_configuration_is_refused_as_by_the_other_commands() {
    let (bench, file) = Bench::configured("[signal.web]\nresorce = \"WebReady\"\n");
    let told = bench.run(&["--config", &file]);
    assert_eq!((told.code, told.out.as_str()), (Some(78), ""), "{told:?}");
    assert!(told.err.contains("resorce") && told.err.contains("did you mean"), "{told:?}");
    let (bench, file) = Bench::configured("");
    let told = bench.run(&["--config", &file]);
    assert_eq!(told.code, Some(78), "{told:?}");
    assert!(told.err.contains("nothing to rehearse"), "{told:?}");
}

#[test]
fn every_signal_of_every_stack_is_waited_for() {
    let (_listener, port) = open_port();
    let more = "[signal.db]\nresource = \"DbReady\"\ncondition = \"DbWait\"\nmin_healthy_time = \"100ms\"\n\
                [signal.far]\nresource = \"FarReady\"\nstack_id = \"0d2c1a90-6a5e-4a1e-9a54-3f0f00000000\"\nregion = \"cn-beijing\"\n\
                min_healthy_time = \"600ms\"\n";
    let (bench, file) = Bench::configured(&format!("{}{more}", quick(port)));
    let told = bench.run(&["--config", &file, "--json"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    let (_, outcome) = told.events();
    let stacks = outcome["stacks"].as_array().unwrap();
    let signals: Vec<u64> = stacks.iter().map(|stack| stack["effective_signals"].as_u64().unwrap()).collect();
    assert_eq!(signals, [1, 2], "{outcome}");
    assert_eq!(stacks[1]["resources"]["DbWait"]["status"], "CREATE_COMPLETE");
}

#[test]
fn a_lost_answer_leaves_one_effective_signal() {
    let (_listener, port) = open_port();
    let (bench, file) = Bench::configured(&quick(port));
    let told = bench.run(&["--config", &file, "--fault", "lost", "--json"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    let (events, outcome) = told.events();
    assert_eq!(outcome["stacks"][0]["effective_signals"], 1);
    assert!(events.iter().any(|event| event["fault"] == "reset" && event["status"].is_null()), "{told:?}");
    assert!(events.iter().any(|event| event["text"].as_str().is_some_and(|text| text.contains("attempt 1 not acknowledged"))), "{told:?}");
}

#[test]
fn a_signal_ends_it_with_its_children_and_directories() {
    let (bench, file) = Bench::configured("");
    let written = bench.path("pid");
    let text = format!(
        "\n[signal.web]\nresource = \"WebReady\"\n[check.job]\ntype = \"exec\"\ntimeout = \"1m\"\n\
         command = [\"/bin/sh\", \"-c\", \"echo $$ > {}; exec sleep 1000\"]\n",
        written.display()
    );
    std::fs::write(&file, std::fs::read_to_string(&file).unwrap() + &text).unwrap();
    let mut child = bench.start(&["--config", &file, "--json"]);
    let job: i32 = loop {
        assert_eq!(child.try_wait().unwrap(), None, "it runs until it is told to end");
        match std::fs::read_to_string(&written) {
            Ok(text) if text.ends_with('\n') => break text.trim().parse().unwrap(),
            _ => std::thread::yield_now(),
        }
    };
    let pid = |id: i32| Pid::from_raw(id).unwrap();
    kill_process(pid(i32::try_from(child.id()).unwrap()), Signal::TERM).unwrap();
    let told = bench.told(child);
    assert_eq!(told.code, Some(1), "{told:?}");
    assert_eq!(told.events().1["outcome"], "interrupted");
    assert_eq!(test_kill_process(pid(job)), Err(rustix::io::Errno::SRCH), "the check's child is gone");
}

#[test]
fn a_reader_that_has_gone_ends_it() {
    let bench = Bench::new();
    let mut child = bench.start(&[]);
    drop(child.stdout.take());
    assert_eq!(bench.told(child).code, Some(1));
}

#[test]
fn the_example_is_a_configuration_to_start_from() {
    let bench = Bench::new();
    let told = bench.run(&["--print-example"]);
    assert_eq!(told.code, Some(0));
    let file = bench.path("example.toml");
    std::fs::write(&file, &told.out).unwrap();
    let checked = Command::new(env!("CARGO_BIN_EXE_ros-signal-agent")).args(["config", "check", "--config"]).arg(&file).output().unwrap();
    let said = String::from_utf8(checked.stdout).unwrap();
    assert!(said.starts_with("ok: 1 signal, 2 checks, 1 file, 0 warnings"), "{said}");
}
