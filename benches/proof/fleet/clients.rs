//! Real clients, each with its own connections and credentials, driven by their own cores, against the sandbox on loopback, in real seconds.
//!
//! Nothing is durable here: the ledger answers at once, and the check passes. What is real is the core's schedule, signing, HTTP, and the account
//! of signals that the sandbox keeps.

use crate::stage::report::Report;
use crate::stage::world::{KEY, SECRET, STACK, World};
use ros_sandbox::Switches;
use ros_signal_agent::agent::{Core, Effect, Identity, Input, Turn};
use ros_signal_agent::check::{Health, Observation};
use ros_signal_agent::clock::Moment;
use ros_signal_agent::credentials::Cache;
use ros_signal_agent::instance::Metadata;
use ros_signal_agent::plan::{Instance, Plan, Provider};
use ros_signal_agent::retry::Random;
use ros_signal_agent::ros::Client;
use ros_signal_agent::signal::{Answer, LedgerDocument};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Calls of GetStack that the sandbox permits in a second.
const RATE: u32 = 100;
/// Hosts start within this time: the sandbox takes 1,024 connections at once, and a client keeps one for some seconds.
const START: Duration = Duration::from_secs(20);
const PATIENCE: Duration = Duration::from_secs(180);

pub(crate) fn run(report: &mut Report, agents: usize, plan: impl Fn(&str) -> Arc<Plan>) {
    // Both ends of each connection are in this process.
    let (needed, permitted) = (2 * agents + 200, descriptors());
    if permitted < needed {
        let text = format!(
            "{agents} real clients: left out, for they need {needed} descriptors and {permitted} are permitted; hint: ulimit -n {needed}"
        );
        return report.line(&text);
    }
    let world = World::waiting_for(agents as u32);
    world.sandbox.set_switches(Switches { get_stack_per_second: RATE, ..world.sandbox.switches() });
    let plan = plan(&format!("[ros]\nendpoint = \"{}\"\n", world.sandbox.ros_url()));
    let began = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let acknowledged = runtime.block_on(async {
        let hosts: Vec<_> = (0..agents).map(|host| tokio::spawn(Host::new(host, &plan).live())).collect();
        let mut times = Vec::new();
        for host in hosts {
            times.extend(host.await.unwrap());
        }
        times
    });
    let last = acknowledged.iter().max().map_or(0.0, |at| at.duration_since(began).as_secs_f64());
    let stack = world.sandbox.stack(STACK).unwrap();
    let signals = &stack.resources["WebReady"].signals;
    let doubled = signals.iter().filter(|signal| signal.effective > 1).count();
    let (calls, _) = world.sandbox.requests_seen_and_dropped();
    report.line(&format!(
        "{agents} real clients, hosts within {} s, {RATE} calls of GetStack a second: {} acknowledged, the last after {last:.1} s; {} effective signals at the \
         sandbox, {} lost, {doubled} doubled; the stack is {}; {:.1} calls an agent.",
        START.as_secs(),
        acknowledged.len(),
        stack.effective_signals,
        agents.saturating_sub(signals.len()),
        stack.status,
        calls as f64 / agents as f64
    ));
    report.line("");
}

/// How many descriptors this process may have.
fn descriptors() -> usize {
    let text = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(usize::MAX)
}

struct Host {
    core: Core,
    client: Arc<Client>,
    luck: Random,
    number: usize,
    inlet: mpsc::UnboundedSender<Input>,
    inputs: mpsc::UnboundedReceiver<Input>,
    acknowledged: Option<Instant>,
}

impl Host {
    fn new(number: usize, plan: &Arc<Plan>) -> Self {
        let environment = HashMap::from([
            ("ALIBABA_CLOUD_ACCESS_KEY_ID".to_owned(), KEY.to_owned()),
            ("ALIBABA_CLOUD_ACCESS_KEY_SECRET".to_owned(), SECRET.to_owned()),
        ]);
        let nowhere = Instance { id: None, metadata_url: "http://127.0.0.1:1".parse().unwrap(), allow_plain_metadata: false };
        let metadata = Arc::new(Metadata::new(&nowhere, &environment).unwrap());
        let seed = number as u64;
        let cache = Cache::new(&Provider::Environment, &environment, &metadata, Random::new(seed));
        let client = Arc::new(Client::new(&plan.ros, Arc::new(cache)).unwrap());
        let mut luck = Random::new(seed);
        let turn = turn(&mut luck);
        let core = Core::new(Arc::clone(plan), Arc::from("00000000-0000-4000-8000-000000000000"), LedgerDocument::empty(), turn);
        let (inlet, inputs) = mpsc::unbounded_channel();
        Self { core, client, luck, number, inlet, inputs, acknowledged: None }
    }

    /// Until it is acknowledged; none if that takes too long.
    async fn live(mut self) -> Option<Instant> {
        let end = tokio::time::Instant::now() + PATIENCE;
        tokio::time::sleep(self.luck.up_to(START)).await;
        let mut input = Input::Tick;
        loop {
            if let Input::Answered { answer: Answer::Accepted { .. }, .. } = &input {
                self.acknowledged = Some(Instant::now());
            }
            let turn = turn(&mut self.luck);
            for effect in self.core.step(turn, input) {
                self.perform(effect);
            }
            if self.acknowledged.is_some() {
                return self.acknowledged;
            }
            let wake = self.core.wake().map_or(i64::MAX, |at| at - Moment::now().boot_ms);
            let wake = tokio::time::Instant::now() + Duration::from_millis(wake.clamp(0, 600_000) as u64);
            input = tokio::select! {
                biased;
                next = self.inputs.recv() => next?,
                () = tokio::time::sleep_until(wake.min(end)) => Input::Tick,
            };
            if tokio::time::Instant::now() >= end {
                return None;
            }
        }
    }

    fn perform(&self, effect: Effect) {
        let client = Arc::clone(&self.client);
        match effect {
            Effect::Identify => {
                let region = Some("cn-hangzhou".to_owned());
                let instance_id = format!("i-bp1{:017}", self.number);
                self.answer(Input::Identified(Ok(Identity { instance_id, region, stack_id: None, names: Vec::new() })));
            }
            Effect::Probe { run, .. } => {
                self.answer(Input::Observed { run, observation: Observation::new(Health::Passing, "connected") });
            }
            Effect::Record(document) => self.answer(Input::Recorded { generation: document.generation }),
            Effect::Look { look, target, condition, since } => self.later(async move {
                let (result, shown) = client.look_asking(&target, condition.as_deref(), since).await;
                Input::Looked { look, result, shown }
            }),
            Effect::Learn { learn, target, condition } => {
                self.later(async move { Input::Learned { learn, lesson: client.learn(&target, condition.as_deref()).await } });
            }
            Effect::Watch { watch, target, unless, resources } => {
                self.later(async move { Input::Watched { watch, sight: client.watch(&target, unless.as_ref(), &resources).await } });
            }
            Effect::Send { send, request } => {
                self.later(async move { Input::Answered { send, answer: client.signal(&request).await } });
            }
            // It ends with the acknowledgement, and nothing fails before.
            _ => {}
        }
    }

    fn answer(&self, input: Input) {
        // It is heard for as long as the host lives.
        let _ = self.inlet.send(input);
    }

    fn later(&self, input: impl Future<Output = Input> + Send + 'static) {
        let inlet = self.inlet.clone();
        tokio::spawn(async move {
            let _ = inlet.send(input.await);
        });
    }
}

fn turn(luck: &mut Random) -> Turn {
    Turn { now: Moment::now(), dice: u128::from(luck.draw()) << 64 | u128::from(luck.draw()) }
}
