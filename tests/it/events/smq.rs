//! The source `queue` from end to end: the sandbox drives the stack, its EventBridge puts events into its SMQ, the agent looks, and the
//! status shows it. What the sandbox cannot be told to do wrong is in `queue.rs`.

use super::queue_gc::program;
use super::queue_own::{queue, start};
use crate::host::{Host, INSTANCE, KEY, SECRET, STACK};
use crate::private;
use ros_sandbox::{Change, Config, Effect, EventRequest, EventTarget, Fault, RequestRecord, Scheme, SmqSignature, Switches};
use ros_signal_agent::events::queue::Stacks;
use serde_json::{Value, json};
use std::time::Duration;

/// The stack is followed, and no signal is due, which would make the agent look often by itself.
const FOLLOW: &str = "[hook.never]\non = [\"stack.delete_failed\"]\ncommand = [\"/bin/false\"]\n";
const TOPIC: &str = "ros-events";
const DAY: Duration = Duration::from_secs(86_400);

/// A host beside a stack that is complete, so that nothing but a hint makes the agent look within minutes.
async fn host(switches: Switches) -> Host {
    let host = Host::with(Config { switches, ..Config::new(KEY, ros_sandbox::Secret::new(SECRET)) }, "").await;
    host.sandbox.make_topic(TOPIC).unwrap();
    let stack = json!({"status": "CREATE_COMPLETE", "resources": {}, "notification_urls": ["eventbridge"]});
    host.sandbox.put_stack(STACK, serde_json::from_value(stack).unwrap()).unwrap();
    host
}

/// A source at the sandbox's SMQ; account and region are those of the metadata service.
fn source(host: &Host, keys: &str) -> String {
    format!("[source.smq]\ntype = \"queue\"\nendpoint = \"{}\"\n{keys}", host.sandbox.smq_url())
}

fn own(host: &Host) -> String {
    source(host, &format!("topic = \"{TOPIC}\"\n"))
}

/// Waits until the status is so.
async fn status(host: &Host, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    let wait = async {
        loop {
            if let Some((200, body)) = host.ask_if_there("GET", "/status").await {
                last = serde_json::from_str(&body).unwrap();
                if is_so(&last) {
                    return;
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    if tokio::time::timeout(Duration::from_secs(50), wait).await.is_err() {
        panic!("never: {what}: {:#} {:#} {:#?}", last["sources"], last["stacks"], host.sandbox.queues());
    }
    last
}

/// Waits until the sandbox is so.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(50), wait).await.is_ok(), "never: {what}");
}

fn asked(host: &Host, action: &str) -> Vec<RequestRecord> {
    host.sandbox.requests().into_iter().filter(|request| request.action.as_deref() == Some(action)).collect()
}

/// Says something about the stack, so that it is looked at now, and waits for that look.
async fn first_look(host: &Host) {
    host.sandbox.emit(EventRequest::new("ros:StackStateChange:CreateComplete", STACK));
    let seen = status(host, "the first look", |status| status["stacks"][0]["looks"] == 1).await;
    assert!(seen["stacks"][0]["next_look_ms"].as_i64().unwrap() > 60_000, "{seen:#}");
}

fn update() -> Change {
    Change::update().seconds(0.0)
}

async fn a_change_is_seen(base64: bool, signature: &str, target: &str) {
    let taken = if signature == "v4" { SmqSignature::V4 } else { SmqSignature::V2 };
    let host = host(Switches { smq_signature: taken, ..Switches::default() }).await;
    let topic = target == "topic";
    let keys = if topic { format!("topic = \"{TOPIC}\"\n") } else { "queue = \"q\"\n".to_owned() };
    let source = source(&host, &format!("{keys}signature = \"{signature}\"\n"));
    // The role of the instance, whose keys come and go.
    let usual = host.usual().replace("provider = \"environment\"", "provider = \"ecs-ram-role\"");
    private::write(&host.config(), &format!("{usual}{FOLLOW}{source}"));
    let name = if topic { queue() } else { "q".to_owned() };
    if !topic {
        host.sandbox.make_queue("q").unwrap();
    }
    let to = if topic { EventTarget::topic(TOPIC) } else { EventTarget::queue("q") };
    host.sandbox.target("smq", EventTarget { base64, duplicates: 2, ..to }).unwrap();
    let agent = host.start_in([].into());
    until("it reads", || !asked(&host, "BatchReceiveMessage").is_empty()).await;
    first_look(&host).await;
    // Its keys end while it waits at the queue.
    host.sandbox.expire_credentials();
    host.sandbox.rotate_credentials();
    host.sandbox.change(STACK, update()).unwrap();
    let what = format!("{target} {signature} base64 {base64}");
    let seen = status(&host, &what, |status| status["stacks"][0]["status"] == "UPDATE_COMPLETE").await;
    assert_eq!(seen["stacks"][0]["looks"], 2, "{what}: six messages about two events make two looks");
    assert!(host.sandbox.requests().iter().any(|request| request.code.as_deref() == Some("SecurityTokenExpired")), "{what}");
    // What could not be deleted with the old keys comes back when its visibility ends.
    for _ in 0..8 {
        host.sandbox.advance_clock(Duration::from_secs(61));
        let empty = async {
            while !host.sandbox.queue(&name).unwrap().messages.is_empty() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(Duration::from_secs(5), empty).await.is_ok() {
            break;
        }
    }
    assert!(host.sandbox.queued(&name).is_empty(), "{what}");
    let seen = status(&host, "it is well", |status| status["sources"][0]["received"].as_u64() >= Some(6)).await;
    assert_eq!(seen["sources"][0]["refused"], json!({}), "{what}");
    assert_eq!(seen["stacks"][0]["looks"], 2, "{what}: what came again makes no look");
    let scheme = if signature == "v4" { Scheme::Mns4HmacSha256 } else { Scheme::MnsHmacSha1 };
    assert!(asked(&host, "BatchReceiveMessage").iter().all(|request| request.signature == Some(scheme)));
    agent.stop().await.unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn a_change_of_the_stack_comes_through_a_queue_or_a_topic_in_every_form_while_the_roles_keys_end() {
    tokio::join!(
        a_change_is_seen(false, "v2", "queue"),
        a_change_is_seen(true, "v4", "queue"),
        a_change_is_seen(true, "v2", "topic"),
        a_change_is_seen(false, "v4", "topic"),
    );
}

#[tokio::test(flavor = "current_thread")]
async fn what_a_topic_wraps_for_a_queue_of_somebodys_own_is_read_in_xml_and_json_too() {
    for format in ["XML", "JSON"] {
        let host = host(Switches::default()).await;
        let agent = {
            host.configure(&format!("{FOLLOW}{}", own(&host)));
            host.start()
        };
        let subscribed = || host.sandbox.topics()[0].subscriptions.get(&queue()).cloned();
        until("it is subscribed", || subscribed().is_some()).await;
        assert_eq!(subscribed().unwrap().1, "SIMPLIFIED");
        agent.stop().await.unwrap();
        // Somebody has made the subscription before, in another format: the agent leaves it and reads what comes.
        let sandbox = &host.sandbox;
        assert!(sandbox.set_subscription_format(TOPIC, &queue(), format));
        sandbox.target("topic", EventTarget { base64: format == "XML", ..EventTarget::topic(TOPIC) }).unwrap();
        let agent = host.start();
        sandbox.change(STACK, update()).unwrap();
        let seen = status(&host, format, |status| status["sources"][0]["received"] == 1).await;
        assert_eq!((&seen["sources"][0]["refused"], &subscribed().unwrap().1), (&json!({}), &format.to_owned()));
        agent.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "current_thread")]
async fn scenario_4_throttling_a_missing_right_and_a_queue_that_is_gone_are_said_and_outlasted() {
    let host = host(Switches::default()).await;
    let sandbox = &host.sandbox;
    sandbox.target("topic", EventTarget::topic(TOPIC)).unwrap();
    sandbox.add_fault(Fault::new(Effect::throttle(None)).smq().action("BatchReceiveMessage").times(1)).unwrap();
    host.configure(&format!("{FOLLOW}{}wait = \"1s\"\n", own(&host)));
    let agent = host.start();
    status(&host, "throttling is said", |status| {
        status["sources"][0]["error"].as_str().is_some_and(|error| error.starts_with("QpsLimitExceeded"))
    })
    .await;
    status(&host, "throttling is over", |status| status["sources"][0]["healthy"] == true).await;
    first_look(&host).await;
    // Its own queue is deleted under it: made again, and events come.
    assert!(sandbox.remove_queue(&queue()));
    until("the queue is there again", || sandbox.queue(&queue()).is_some()).await;
    status(&host, "it reads again", |status| status["sources"][0]["healthy"] == true).await;
    sandbox.change(STACK, update()).unwrap();
    status(&host, "events come", |status| status["stacks"][0]["status"] == "UPDATE_COMPLETE").await;
    sandbox.set_switches(Switches { permit_smq_receive: false, ..sandbox.switches() });
    let view = status(&host, "the right is missing", |status| status["sources"][0]["hint"].is_string()).await["sources"][0].clone();
    let grant = format!("grant mns:BatchReceiveMessage on acs:mns:cn-hangzhou:{}:/queues/{}/messages", account(&host), queue());
    assert!(view["hint"].as_str().unwrap().starts_with(&grant), "{view}");
    assert_eq!(view["healthy"], false);
    agent.stop().await.unwrap();
}

/// As the metadata service of the sandbox tells it.
fn account(host: &Host) -> String {
    let (endpoint, _) = host.sandbox.topics()[0].subscriptions[&queue()].clone();
    endpoint.split(':').nth(3).unwrap().to_owned()
}

#[tokio::test(flavor = "current_thread")]
async fn an_owner_that_may_not_show_that_it_lives_reads_all_the_same() {
    let host = host(Switches { permit_smq_list: false, ..Switches::default() }).await;
    host.configure(&format!("{FOLLOW}{}wait = \"1s\"\n", own(&host)));
    for times in 1..=2 {
        let agent = host.start();
        let reads = || asked(&host, "BatchReceiveMessage").len();
        until("it reads", || reads() >= times * 2).await;
        agent.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "current_thread")]
async fn queue_and_subscription_go_with_the_stack_also_when_it_is_deleted_while_the_agent_is_down_and_do_not_come_back() {
    let host = host(Switches { deleted_stack_visible: true, smq_deleting_twice_fails: true, ..Switches::default() }).await;
    let sandbox = &host.sandbox;
    sandbox.target("topic", EventTarget::topic(TOPIC)).unwrap();
    host.configure(&format!("{FOLLOW}{}", own(&host)));
    let agent = host.start();
    until("it reads", || !asked(&host, "BatchReceiveMessage").is_empty()).await;
    first_look(&host).await;
    agent.stop().await.unwrap();
    assert!(sandbox.queue(&queue()).is_some(), "a restart is not the end");
    sandbox.change(STACK, Change::delete().seconds(0.0)).unwrap();
    until("the stack is gone", || sandbox.stack(STACK).is_none_or(|stack| stack.status.to_string() == "DELETE_COMPLETE")).await;
    let nothing_left = || sandbox.queue(&queue()).is_none() && sandbox.topics()[0].subscriptions.is_empty();
    let agent = host.start();
    until("both are taken away", nothing_left).await;
    status(&host, "it is said", |status| {
        status["sources"][0]["detail"].as_str().is_some_and(|detail| detail.starts_with("the stack was deleted"))
    })
    .await;
    agent.stop().await.unwrap();
    let made = asked(&host, "CreateQueue").len();
    let agent = host.start();
    status(&host, "it knows", |status| {
        status["sources"][0]["detail"].as_str().is_some_and(|detail| detail.starts_with("the stack was deleted"))
    })
    .await;
    assert!(nothing_left() && asked(&host, "CreateQueue").len() == made, "nothing is made for a stack that is gone");
    agent.stop().await.unwrap();
}

/// Makes the queue of another instance of the fleet, as its agent does.
async fn lives(host: &Host, instance: &str) {
    let usual = host.usual().replace("[instance]\n", &format!("[instance]\nid = \"{instance}\"\n"));
    private::write(&host.config(), &format!("{usual}{}", own(host)));
    let (task, stacks, _surroundings) = start(host);
    stacks.send_replace(Stacks::Here);
    let reads =
        || asked(host, "BatchReceiveMessage").iter().filter(|request| request.path.ends_with(&format!("{instance}/messages"))).count();
    let before = reads();
    until("it reads", || reads() > before).await;
    task.abort();
}

fn queues(host: &Host) -> Vec<String> {
    host.sandbox.queues().into_iter().map(|queue| queue.name).collect()
}

#[tokio::test(flavor = "current_thread")]
async fn gc_removes_those_of_dead_instances_only_by_the_time_of_the_service_and_reset_its_own() {
    let host = host(Switches::default()).await;
    let sandbox = &host.sandbox;
    sandbox.make_queue("ros-signal-agent-other.fleet").unwrap_or_default();
    sandbox.make_queue("orders").unwrap();
    for instance in [INSTANCE, "i-dead", "i-asleep", "i-living"] {
        lives(&host, instance).await;
    }
    sandbox.advance_clock(DAY * 3);
    lives(&host, "i-asleep").await;
    sandbox.advance_clock(DAY * 5);
    lives(&host, "i-living").await;
    host.configure(&own(&host));
    // This host's clock is eight days off by now: the first answer tells.
    let (code, out, err) = program(&host, &["events", "gc"]).await;
    assert_eq!((code, out.ends_with("1 queue removed\n")), (0, true), "{out}{err}");
    let of = |instance: &str| format!("ros-signal-agent-{instance}");
    let left = [of("i-asleep"), queue(), of("i-living")];
    assert!(left.iter().all(|name| queues(&host).contains(name)) && !queues(&host).contains(&of("i-dead")), "{:?}", queues(&host));
    let subscriptions: Vec<String> = sandbox.topics()[0].subscriptions.keys().cloned().collect();
    assert_eq!(subscriptions, left);
    let (code, out, err) = program(&host, &["reset"]).await;
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(!queues(&host).contains(&queue()) && !sandbox.topics()[0].subscriptions.contains_key(&queue()));
    assert!(queues(&host).contains(&of("i-living")) && queues(&host).contains(&"orders".to_owned()), "{:?}", queues(&host));
}

#[tokio::test(flavor = "current_thread")]
async fn sources_of_every_kind_at_once_each_deliver_and_what_all_of_them_say_makes_one_look() {
    let host = host(Switches::default()).await;
    let sandbox = &host.sandbox;
    let (spool, secret, certificate) = (host.path("spool"), host.path("path"), host.path("eventbridge.pem"));
    std::fs::create_dir(&spool).unwrap();
    private::write(&secret, "of-callbacks-nobody-knows");
    private::write(&certificate, sandbox.event_certificate());
    // The URL of a target is part of what is signed, so the port is chosen before.
    let listen = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{listen}/events");
    sandbox.make_queue("q").unwrap();
    host.configure(&format!(
        "{FOLLOW}{}[source.drop]\ntype = \"spool\"\ndirectory = \"{}\"\n\
         [source.eb]\ntype = \"http\"\nlisten = \"{listen}\"\nurl = \"{url}\"\ncertificate_file = \"{}\"\n\
         [source.back]\ntype = \"callback\"\nlisten = \"127.0.0.1:0\"\npath_file = \"{}\"\n",
        source(&host, "queue = \"q\"\nwait = \"1s\"\n"),
        spool.display(),
        certificate.display(),
        secret.display()
    ));
    for (name, target) in [("q", EventTarget::queue("q")), ("drop", EventTarget::spool(&spool)), ("eb", EventTarget::http(&url))] {
        sandbox.target(name, target).unwrap();
    }
    let agent = host.start();
    let all =
        |status: &Value, is: &dyn Fn(&Value) -> bool| status["sources"].as_array().is_some_and(|all| all.len() == 4 && all.iter().all(is));
    let seen = status(&host, "all are well", |status| all(status, &|source| source["healthy"] == true)).await;
    let back = seen["sources"].as_array().unwrap().iter().find(|source| source["name"] == "back").unwrap();
    let address = back["detail"].as_str().unwrap().trim_start_matches("listens on ").split([',', ' ']).next().unwrap().to_owned();
    let signature = ros_sandbox::Signature::None;
    let direct = EventTarget { signature, ..EventTarget::http(&format!("http://{address}/of-callbacks-nobody-knows")) };
    sandbox.target("back", direct).unwrap();
    first_look(&host).await;
    sandbox.change(STACK, update()).unwrap();
    let seen = status(&host, "each delivers", |status| {
        all(status, &|source| source["received"] == 2) && status["stacks"][0]["status"] == "UPDATE_COMPLETE"
    })
    .await;
    assert_eq!(seen["stacks"][0]["looks"], 2, "eight deliveries of two events: {seen:#}");
    agent.stop().await.unwrap();
}
