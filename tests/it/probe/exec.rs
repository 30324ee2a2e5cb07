//! `type = "exec"`: what a child is given and what becomes of what it says.

use super::*;
use ros_signal_agent::check::Health;
use std::os::unix::fs::PermissionsExt;

async fn run_exec(exec: Exec) -> Observation {
    run(Probe::Exec(exec)).await
}

async fn within(exec: Exec, timeout: u64) -> Observation {
    Prober::new().run(job(Probe::Exec(exec), Duration::from_millis(timeout))).await
}

#[tokio::test]
async fn the_first_line_is_the_message_and_all_of_it_the_output() {
    let seen = run_exec(sh("echo disk ok; echo more; echo aside >&2")).await;
    assert_eq!((seen.health, seen.message.as_str()), (Health::Passing, "disk ok"));
    for part in ["disk ok\n", "more\n", "aside\n"] {
        assert!(seen.output.contains(part), "{}", seen.output);
    }
    let seen = run_exec(sh("echo cannot open >&2; exit 3")).await;
    assert_eq!((seen.health, seen.message.as_str(), seen.terminal), (Health::Critical, "cannot open", false));
    assert_eq!(run_exec(sh("exit 4")).await.message, "exit code 4");
}

#[tokio::test]
async fn scenario_25_arguments_reach_the_program_as_they_are_and_no_shell_reads_them() {
    let seen = run_exec(exec(&["/bin/echo", "$(id)", "; rm -rf *", "$PATH", "a  b"])).await;
    assert_eq!(seen.output, "$(id) ; rm -rf * $PATH a  b\n");
}

#[tokio::test]
async fn nagios_codes_and_fatal_codes_are_kept_apart() {
    let mut nagios = sh("echo WARNING - load; exit 1");
    nagios.exit_codes = ExitCodes::Nagios;
    assert_eq!(run_exec(nagios).await.health, Health::Warning);
    let seen = run_exec(sh("echo no such database; exit 78")).await;
    assert_eq!((seen.health, seen.terminal, seen.message.as_str()), (Health::Critical, true, "no such database"));
}

#[tokio::test]
async fn control_characters_and_broken_utf_8_are_made_harmless() {
    let seen = run_exec(sh(r"printf 'a\033]0;x\007\377\n'")).await;
    assert_eq!(seen.message, "a\\x1b]0;x\\x07\u{fffd}");
}

#[tokio::test]
async fn a_flooder_is_cut_and_counted() {
    let seen = run_exec(sh("head -c 5000000 /dev/zero | tr '\\0' x; echo; echo end")).await;
    assert_eq!(seen.health, Health::Passing);
    assert!(seen.output.starts_with("[4995") && seen.output.ends_with("x\nend\n"), "{:.40}", seen.output);
    assert!(seen.output.len() <= 4096 && seen.message.len() <= 512);
}

#[tokio::test]
async fn scenario_28_the_environment_is_scrubbed_and_nothing_of_systemd_or_credentials_passes() {
    let mut asked = exec(&["/usr/bin/env", "-0"]);
    asked.environment = [("NOTIFY_SOCKET", "x"), ("WATCHDOG_USEC", "x"), ("LISTEN_FDS", "1"), ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "x")]
        .into_iter()
        .chain([("CREDENTIALS_DIRECTORY", "x"), ("ROS_SIGNAL_CHECK", "forged"), ("MODE", "deep")])
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let job = Job { check: check(Probe::Exec(asked), PATIENCE), attempt: 7, deadline_unix_ms: Some(1_790_000_000_999) };
    let seen = Prober::new().run(job).await;
    let mut variables: Vec<&str> = seen.output.split("\\x00").filter(|variable| !variable.is_empty()).collect();
    variables.sort_unstable();
    let (run, rest): (Vec<&str>, Vec<&str>) = variables.into_iter().partition(|variable| variable.starts_with("ROS_SIGNAL_RUN="));
    assert_eq!(run.len(), 1);
    assert_eq!(
        rest,
        [
            "LANG=C.UTF-8",
            "MODE=deep",
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "ROS_SIGNAL_ATTEMPT=7",
            "ROS_SIGNAL_CHECK=web",
            "ROS_SIGNAL_DEADLINE=1790000000",
        ]
    );
}

#[test]
fn a_child_has_no_descriptor_of_the_agent_and_reads_nothing() {
    // Whoever runs the tests may have left descriptors open to us on purpose; they are none of ours.
    let given = inheritable();
    runtime().block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _connection = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let _file = std::fs::File::open("/proc/self/stat").unwrap();
        // What points into /proc is the directory that ls itself has open.
        let seen = run_exec(sh("ls -l /proc/self/fd | sed -n '/-> .proc/d; s/.* \\([0-9]*\\) -> .*/\\1/p'")).await;
        let mut open: Vec<&str> = seen.output.lines().filter(|number| !given.contains(&(*number).to_owned())).collect();
        open.sort_unstable();
        assert_eq!(open, ["0", "1", "2"]);
        assert_eq!(run_exec(sh("read x && echo got; readlink /proc/self/fd/0")).await.message, "/dev/null");
    });
}

/// Descriptors beyond the first three that are not closed on exec.
fn inheritable() -> Vec<String> {
    let numbers = std::fs::read_dir("/proc/self/fd").unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let stays = |number: &String| {
        let info = read(&Path::new("/proc/self/fdinfo").join(number));
        let flags = info.lines().find_map(|line| u32::from_str_radix(line.strip_prefix("flags:")?.trim(), 8).ok());
        // O_CLOEXEC, fcntl.h.
        flags.is_some_and(|flags| flags & 0o2_000_000 == 0)
    };
    numbers.filter(stays).filter(|number| !["0", "1", "2"].contains(&number.as_str())).collect()
}

#[tokio::test]
async fn a_child_starts_in_its_directory_and_in_a_group_of_its_own() {
    let mut asked = sh("pwd; cut -d' ' -f5 /proc/self/stat; echo $$");
    asked.working_directory = "/usr".into();
    let seen = run_exec(asked).await;
    let lines: Vec<&str> = seen.output.lines().collect();
    assert_eq!(lines[0], "/usr");
    assert_eq!(lines[1], lines[2]);
}

#[tokio::test]
async fn a_command_that_cannot_be_started_is_unknown_and_says_why() {
    let home = tempfile::tempdir().unwrap();
    let script = |name: &str, text: &str, mode: u32| {
        let path = home.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let why = async |command: &str| {
        let seen = run_exec(exec(&[command])).await;
        assert_eq!(seen.health, Health::Unknown);
        seen.message.replace(home.path().to_str().unwrap(), "")
    };
    assert_eq!(why("/no/such/program").await, "cannot start /no/such/program: there is no such program");
    let path = script("a", "#!/no/interpreter\n", 0o755);
    assert_eq!(why(&path).await, "cannot start /a: the interpreter of its #! line does not exist");
    let path = script("b", "#!/bin/sh\n", 0o644);
    assert_eq!(why(&path).await, "cannot start /b: the agent's user may not execute it, or / may not be entered");
    let path = script("c", "\u{1}\u{2}", 0o755);
    assert_eq!(why(&path).await, "cannot start /c: it is no program and has no #! line");
    let mut lost = exec(&["/bin/true"]);
    lost.working_directory = "/no/such/directory".into();
    assert_eq!(run_exec(lost).await.message, "cannot start /bin/true: the working directory /no/such/directory does not exist");
}

#[tokio::test]
async fn a_program_that_is_just_being_written_is_tried_again() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("check");
    std::fs::copy("/bin/true", &path).unwrap();
    let writer = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
    let busy = exec(&[path.to_str().unwrap()]);
    let seen = run_exec(busy.clone()).await;
    assert_eq!(seen.health, Health::Unknown);
    assert!(seen.message.contains("Text file busy"), "{}", seen.message);
    let (_, seen) = tokio::join!(
        async {
            tokio::task::yield_now().await;
            drop(writer);
        },
        run_exec(busy)
    );
    assert_eq!(seen.health, Health::Passing);
}

#[tokio::test]
async fn scenario_20_a_timeout_is_critical_even_if_the_child_ends_well_on_term() {
    let seen = within(sh("echo waiting; trap 'exit 0' TERM; while :; do sleep 0.01; done"), 150).await;
    assert_eq!(seen.health, Health::Critical);
    assert_eq!(seen.message, "timed out after 150ms while running /bin/sh");
    assert!(seen.output.starts_with("waiting\n"), "{}", seen.output);
}

#[tokio::test]
async fn scenario_32_death_by_signal_is_named() {
    assert_eq!(run_exec(sh("kill -SEGV $$")).await.message, "killed by SIGSEGV");
    assert!(run_exec(sh("kill -KILL $$")).await.message.starts_with("killed by SIGKILL, not by the agent"));
}

#[tokio::test]
async fn a_child_that_closes_its_output_and_goes_on_is_waited_for() {
    let seen = run_exec(sh("exec >&- 2>&-; sleep 0.1; exit 5")).await;
    assert_eq!(seen.message, "exit code 5");
}

#[tokio::test]
async fn a_grandchild_that_holds_the_output_stalls_nothing_and_is_killed() {
    let home = tempfile::tempdir().unwrap();
    let note = home.path().join("pid");
    let seen = run_exec(sh(&format!("sleep 1000 & echo $! > {}; echo done", note.display()))).await;
    assert_eq!((seen.health, seen.message.as_str()), (Health::Passing, "done"));
    assert!(seen.took < Duration::from_secs(10));
    let pid = read(&note);
    until("the grandchild is dead", || !alive(&pid)).await;
}

#[tokio::test]
async fn scenario_19_who_ignores_term_is_killed_with_the_whole_group() {
    let home = tempfile::tempdir().unwrap();
    let note = home.path().join("pid");
    let mut stubborn = sh(&format!("trap '' TERM; sleep 1000 & echo $! > {}; sleep 1000", note.display()));
    stubborn.kill_grace = Duration::from_millis(50);
    let seen = within(stubborn, 200).await;
    assert_eq!(seen.health, Health::Critical);
    assert_eq!(seen.message, "timed out after 200ms while running /bin/sh; it did not end on SIGTERM and was killed");
    let pid = read(&note);
    until("the grandchild is dead", || !alive(&pid)).await;
}

#[tokio::test]
async fn a_dropped_run_kills_the_group() {
    let home = tempfile::tempdir().unwrap();
    let note = home.path().join("pid");
    let prober = Prober::new();
    {
        let run = prober.run(job(Probe::Exec(sh(&format!("echo $$ > {}; trap '' TERM; sleep 1000", note.display()))), PATIENCE));
        tokio::pin!(run);
        tokio::select! {
            seen = &mut run => panic!("ended by itself: {seen:?}"),
            () = until("the child runs", || read(&note).ends_with('\n')) => {}
        }
    }
    let pid = read(&note);
    until("the child is dead", || !alive(&pid)).await;
    prober.shutdown().await;
    assert!(!Path::new(&format!("/proc/{}", pid.trim())).exists(), "the child was not reaped");
}

#[tokio::test]
async fn shutdown_kills_and_reaps_all_groups_and_refuses_new_runs() {
    let home = tempfile::tempdir().unwrap();
    let prober = Arc::new(Prober::new());
    let notes: Vec<_> = (0..4).map(|number| home.path().join(number.to_string())).collect();
    let runs: Vec<_> = notes
        .iter()
        .map(|note| {
            let (prober, script) = (Arc::clone(&prober), format!("echo $$ > {}; trap '' TERM; sleep 1000", note.display()));
            tokio::spawn(async move { prober.run(job(Probe::Exec(sh(&script)), PATIENCE)).await })
        })
        .collect();
    until("all children run", || notes.iter().all(|note| read(note).ends_with('\n'))).await;
    prober.shutdown().await;
    for note in notes {
        assert!(!Path::new(&format!("/proc/{}", read(&note).trim())).exists());
    }
    for run in runs {
        assert_eq!(run.await.unwrap().health, Health::Unknown);
    }
    assert_eq!(prober.run(job(Probe::Exec(sh("true")), PATIENCE)).await.message, "the agent is stopping");
}
