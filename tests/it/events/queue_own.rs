//! The queue that the agent makes for itself.

use super::queue_server::{ACCOUNT, REGION, Server};
use crate::host::{Host, INSTANCE, KEY, SECRET};
use ros_signal_agent::config::{Environment, Layout, Owners, load};
use ros_signal_agent::events::queue::{Stacks, run};
use ros_signal_agent::events::{Health, Inlet, Surroundings};
use ros_signal_agent::plan::{Plan, SourceKind};
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

pub(super) fn own(server: &Server) -> String {
    format!(
        "[source.fleet]\ntype = \"queue\"\ntopic = \"ros-events\"\naccount = \"{ACCOUNT}\"\nregion = \"{REGION}\"\nendpoint = \"{}\"\n",
        server.url
    )
}

pub(super) async fn server() -> Server {
    Server::start(KEY, SECRET, &[]).await
}

pub(super) fn queue() -> String {
    format!("ros-signal-agent-{INSTANCE}")
}

fn plan(host: &Host) -> Plan {
    load(&Layout::file(host.config()), &Owners::system(), &Environment::default()).unwrap().plan
}

/// The task of the source alone, and through what it is told how the stacks are.
pub(super) fn start(host: &Host) -> (JoinHandle<()>, watch::Sender<Stacks>, watch::Sender<Surroundings>) {
    let plan = plan(host);
    let surroundings = watch::Sender::new(Surroundings::new(&plan, &Host::environment()).unwrap());
    let stacks = watch::Sender::new(Stacks::Unknown);
    let (around, told) = (surroundings.subscribe(), stacks.subscribe());
    let task = tokio::spawn(async move {
        let source = &plan.sources[0];
        let SourceKind::Queue(settings) = &source.kind else { panic!("another source") };
        let (sender, _receiver) = mpsc::channel(8);
        let inlet = Inlet::new(Arc::clone(&source.name), sender, Health::new(&source.name, "queue"));
        run(settings, &inlet, around, told).await;
    });
    (task, stacks, surroundings)
}

#[tokio::test(flavor = "current_thread")]
async fn the_agent_makes_its_queue_and_subscribes_it_and_a_restart_finds_both() {
    let server = server().await;
    let host =
        Host::new(&format!("[signal.web]\nresource = \"WebReady\"\n[check.app]\ntype = \"ttl\"\nttl = \"1h\"\n{}", own(&server))).await;
    let agent = host.start();
    server.until("it reads", |inner| inner.asked.iter().any(|(action, _)| action == "Receive")).await;
    let endpoint = format!("acs:mns:{REGION}:{ACCOUNT}:queues/{}", queue());
    let subscriptions = server.with(|inner| inner.subscriptions.clone());
    assert_eq!(subscriptions, [(("ros-events".to_owned(), queue()), endpoint)].into());
    agent.stop().await.unwrap();
    let before = server.with(|inner| inner.queues[&queue()].attributes.clone());
    let reads = server.count("Receive");
    let agent = host.start();
    server.until("it reads again", |inner| inner.asked.iter().filter(|(action, _)| action == "Receive").count() > reads).await;
    let after = server.with(|inner| inner.queues[&queue()].attributes.clone());
    assert_ne!(before, after, "a restart is a sign of life: an attribute is another one");
    agent.stop().await.unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn queue_and_subscription_are_taken_away_when_the_stack_is_gone_and_a_restart_in_between_goes_on_with_it() {
    let server = server().await;
    let host = Host::new(&own(&server)).await;
    let (task, stacks, _surroundings) = start(&host);
    stacks.send_replace(Stacks::Here);
    server.until("it reads", |inner| inner.asked.iter().any(|(action, _)| action == "Receive")).await;
    server.fault("Unsubscribe", 503, "InternalError", 1);
    stacks.send_replace(Stacks::Gone);
    server.until("it has tried", |inner| inner.asked.iter().any(|(action, _)| action == "Unsubscribe")).await;
    task.abort();
    let made = server.count("CreateQueue");
    let (task, stacks, _surroundings) = start(&host);
    stacks.send_replace(Stacks::Gone);
    server.until("both are gone", |inner| inner.queues.is_empty() && inner.subscriptions.is_empty()).await;
    assert_eq!(server.count("CreateQueue"), made, "nothing is made only to be taken away");
    task.abort();
}

#[tokio::test(flavor = "current_thread")]
async fn a_source_that_leaves_the_configuration_takes_its_queue_with_it() {
    let server = server().await;
    let signal = "[signal.web]\nresource = \"WebReady\"\n[check.app]\ntype = \"ttl\"\nttl = \"1h\"\n";
    let host = Host::new(&format!("{signal}{}", own(&server))).await;
    let agent = host.start();
    server.until("it reads", |inner| inner.asked.iter().any(|(action, _)| action == "Receive")).await;
    host.configure(signal);
    assert_eq!(host.ask("POST", "/reload", "").await.0, 200);
    server.until("both are gone", |inner| inner.queues.is_empty() && inner.subscriptions.is_empty()).await;
    agent.stop().await.unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn a_topic_that_is_not_there_is_said() {
    let server = server().await;
    server.with(|inner| inner.topics.clear());
    let signal = "[signal.web]\nresource = \"WebReady\"\n[check.app]\ntype = \"ttl\"\nttl = \"1h\"\n";
    let host = Host::new(&format!("{signal}{}", own(&server))).await;
    let agent = host.start();
    let told = format!("make the topic, or write its name as `topic`: account {ACCOUNT}, region {REGION}");
    let wait = async {
        loop {
            if let Some((200, body)) = host.ask_if_there("GET", "/status").await
                && body.contains(&told)
            {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), wait).await.expect("it is said");
    agent.stop().await.unwrap();
}
