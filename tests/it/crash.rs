//! The built binary against the sandbox, killed with SIGKILL at random moments: the stack sees exactly one effective signal every time.
//!
//! `KILLS` sets the number of kills (default 24; the long run takes 200), `SEED` the first seed; a failure prints its own.

use crate::host::{INSTANCE, KEY, SECRET};
use ros_sandbox::{AfterCompletion, Config, Effect, Fault, Sandbox, StackSpec, Switches, When};
use ros_signal_agent::retry::Random;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};

/// Histories that run side by side.
const SIDE_BY_SIDE: u64 = 6;
/// From the start of the agent to its receipt it takes about this long; kills fall into it.
const SPAN: Duration = Duration::from_millis(900);

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[tokio::test(flavor = "current_thread")]
async fn scenario_7_kill_9_at_random_moments_leaves_exactly_one_effective_signal() {
    let kills = number("KILLS", 24);
    let first = number("SEED", 1);
    let mut histories = tokio::task::JoinSet::new();
    for seed in first..first + kills {
        if histories.len() as u64 >= SIDE_BY_SIDE {
            histories.join_next().await.unwrap().unwrap();
        }
        histories.spawn(history(seed));
    }
    while let Some(ended) = histories.join_next().await {
        ended.unwrap();
    }
}

/// One stack, one agent that is killed once or twice, and what came of it.
async fn history(seed: u64) {
    let mut random = Random::new(seed);
    let mut config = Config::new(KEY, ros_sandbox::Secret::new(SECRET));
    let mut coin = || random.draw().is_multiple_of(2);
    // Whatever the service does where its documents are silent.
    config.switches = Switches {
        warning_counts: coin(),
        tokens_replay_errors: coin(),
        data_readable_in_progress: coin(),
        after_completion: if coin() { AfterCompletion::Store } else { AfterCompletion::Refuse },
        condition_accepts_signals: coin(),
        deleted_stack_visible: coin(),
        evaluation_interval_ms: if coin() { 0 } else { 300 },
        permit_get_stack: coin(),
        require_metadata_token: coin(),
        ..Switches::default()
    };
    let sandbox = Sandbox::start(config).await.unwrap();
    let stack = format!("4a6c9851-3b0f-4f5f-b4ca-{seed:012}");
    sandbox.put_stack(&stack, StackSpec::waiting_for("WebReady", 1, 900.0)).unwrap();
    sandbox.set_metadata("meta-data/instance-id", INSTANCE).unwrap();
    sandbox.set_metadata("meta-data/region-id", "cn-hangzhou").unwrap();
    for fault in faults(&mut random) {
        sandbox.add_fault(fault).unwrap();
    }
    let service = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    // A random id is counted twice if it is ever sent before it is durable, or forgotten.
    let id = if seed.is_multiple_of(2) { "random" } else { "derived" };
    let text = format!(
        "[stack]\nstack_id = \"{stack}\"\n[ros]\nendpoint = \"{}\"\ntimeout = \"1s\"\n[instance]\nmetadata_url = \"{}\"\n\
         [credentials]\nprovider = \"environment\"\n[agent]\nstate_dir = \"{}\"\nsocket = \"{}\"\n\
         [signal.web]\nresource = \"WebReady\"\nmin_healthy_time = \"200ms\"\nunique_id = \"{id}\"\n\
         [check.port]\ntype = \"tcp\"\naddress = \"{}\"\nstart_interval = \"100ms\"\n",
        sandbox.ros_url(),
        sandbox.metadata_url(),
        path("state").display(),
        path("control.sock").display(),
        service.local_addr().unwrap(),
    );
    std::fs::write(path("config.toml"), text).unwrap();

    for _ in 0..=random.draw() % 2 {
        let mut agent = start(&path("config.toml"));
        let moment = random.up_to(SPAN);
        if let Ok(ended) = tokio::time::timeout(moment, agent.wait()).await {
            // The lock of the one before may live a moment longer in a child that was just being started.
            assert_eq!(ended.unwrap().code(), Some(1), "seed {seed}: it ended by itself");
            continue;
        }
        agent.kill().await.unwrap();
    }
    let mut agent = start(&path("config.toml"));
    let settled = tokio::time::timeout(Duration::from_secs(60), settled(&sandbox, &stack, &mut agent, &path("config.toml"))).await;
    let view = sandbox.stack(&stack).unwrap();
    assert!(settled.is_ok(), "seed {seed}: the stack is not complete: {view:#?}");
    agent.kill().await.unwrap();
    assert_eq!(view.status.to_string(), "CREATE_COMPLETE", "seed {seed}");
    assert_eq!(view.effective_signals, 1, "seed {seed}: {view:#?}");
    assert_eq!(view.resources["WebReady"].signals.len(), 1, "seed {seed}: {view:#?}");
    sandbox.stop().await;
}

/// Until the stack is complete; an agent that could not have the lock yet is started again.
async fn settled(sandbox: &Sandbox, stack: &str, agent: &mut Child, config: &std::path::Path) {
    let mut timeline = sandbox.subscribe();
    while sandbox.stack(stack).unwrap().status.to_string() == "CREATE_IN_PROGRESS" {
        tokio::select! {
            _ = timeline.recv() => {}
            ended = agent.wait() => {
                assert_eq!(ended.unwrap().code(), Some(1));
                *agent = start(config);
            }
        }
    }
}

fn faults(random: &mut Random) -> Vec<Fault> {
    let on_signal = |effect: Effect| Fault::new(effect).action("SignalResource").times(1);
    match random.draw() % 6 {
        0 => vec![on_signal(Effect::reset(When::After))],
        1 => vec![on_signal(Effect::reset(When::Before)), on_signal(Effect::reset(When::After))],
        2 => vec![on_signal(Effect::error(500, "InternalError"))],
        3 => vec![on_signal(Effect::throttle(None)), on_signal(Effect::reset(When::After))],
        4 => vec![on_signal(Effect::stall(When::After, None))],
        _ => Vec::new(),
    }
}

fn start(config: &std::path::Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_ros-signal-agent"))
        .args(["--config", config.to_str().unwrap(), "run"])
        .env("ALIBABA_CLOUD_ACCESS_KEY_ID", KEY)
        .env("ALIBABA_CLOUD_ACCESS_KEY_SECRET", SECRET)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}
