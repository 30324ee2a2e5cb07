//! A day in the life of a RAM role. Once with a clock that is handed in, minute by minute, so that all spans are the real ones: six hours
//! of life, new credentials half an hour before the end, renewal a quarter of an hour before it. Once in real time, an hour in a second (`DAY_SPEED`; `.ci/long` takes 100):
//! the role is attached late, its credentials rotate, the metadata service is away, answers with half a document, loses the role; ROS
//! ends credentials early. A signal falls due every half hour. None is lost.

use crate::ros::{STACK, metadata, sandbox, settings};
use ros_sandbox::{Effect, Fault, Sandbox, StackSpec, When};
use ros_signal_agent::clock::Moment;
use ros_signal_agent::credentials::{Cache, Keys};
use ros_signal_agent::plan::{Provider, Transport};
use ros_signal_agent::retry::{Pace, Random, Schedule};
use ros_signal_agent::ros::Client;
use ros_signal_agent::secret::Secret;
use ros_signal_agent::signal::{Answer, Class, SignalRequest, SignalStatus, Target, UniqueId, client_token};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

const ROLE: &str = "meta-data/ram/security-credentials";

/// An hour of that day: a second, unless `DAY_SPEED` says how many times faster than the sun it goes.
fn an_hour() -> Duration {
    let speed = std::env::var("DAY_SPEED").map_or(3600, |speed| speed.parse().unwrap());
    Duration::from_secs(3600) / speed
}

/// Two in an hour.
const SIGNALS: u32 = 48;

/// Sends until it is acknowledged, at the pace of the agent. Says how many attempts that took.
async fn signal(client: Arc<Client>, number: u32, end: Instant) -> u32 {
    let target = Target { region: "cn-hangzhou".into(), stack_id: STACK.into(), resource: "WebReady".into() };
    let unique_id = UniqueId::new(format!("i-{number}")).unwrap();
    let mut random = Random::new(u64::from(number));
    let mut schedule: Option<(Class, Schedule)> = None;
    let (mut series, mut attempts) = (0, 0);
    while Instant::now() < end {
        attempts += 1;
        let status = SignalStatus::Success;
        let client_token = client_token(&target, &unique_id, status, series);
        let request = SignalRequest {
            target: target.clone(),
            transport: Transport::Api,
            status,
            unique_id: unique_id.clone(),
            client_token,
            reason: String::new(),
            report: None,
        };
        let refusal = match client.signal(&request).await {
            Answer::Accepted { .. } => return attempts,
            Answer::Refused(refusal) => refusal,
        };
        series += u32::from(refusal.definite);
        if refusal.class == Class::Immediate {
            continue;
        }
        if schedule.as_ref().is_none_or(|(class, _)| *class != refusal.class) {
            schedule = Some((refusal.class, Schedule::new(Pace::of(refusal.class))));
        }
        let wait = schedule.as_mut().map(|(_, schedule)| schedule.next(random.draw(), refusal.retry_after)).unwrap_or_default();
        tokio::time::sleep(wait).await;
    }
    panic!("signal {number} was not acknowledged after {attempts} attempts");
}

fn half() -> Fault {
    Fault::new(Effect::http(200, r#"{"Code":"Success","AccessKeyId":"STS.1","AccessKeySec"#)).metadata("/latest/meta-data/ram/")
}

/// What goes wrong, and at which hour.
async fn trouble(sandbox: &Sandbox, from: Instant) {
    let span = an_hour();
    let hour = async |hour: f64| tokio::time::sleep_until(from + span.mul_f64(hour)).await;
    let away = |effect, hours: f64| Fault { seconds: Some(span.as_secs_f64() * hours), ..Fault::new(effect).metadata("/latest/") };
    hour(2.0).await;
    sandbox.set_metadata(ROLE, "SandboxRole").unwrap();
    hour(5.0).await;
    sandbox.add_fault(half().times(2)).unwrap();
    hour(8.0).await;
    sandbox.add_fault(away(Effect::Refuse, 2.0)).unwrap();
    hour(11.0).await;
    sandbox.rotate_credentials();
    hour(13.0).await;
    sandbox.expire_credentials();
    hour(15.0).await;
    sandbox.remove_metadata(ROLE);
    hour(16.0).await;
    sandbox.set_metadata(ROLE, "SandboxRole").unwrap();
    hour(18.0).await;
    sandbox.add_fault(away(Effect::reset(When::Before), 1.0)).unwrap();
    hour(20.0).await;
    sandbox.add_fault(away(Effect::http(500, ""), 1.0)).unwrap();
    hour(22.0).await;
    sandbox.add_fault(half().times(3)).unwrap();
    hour(24.0).await;
}

#[tokio::test]
async fn scenario_15_no_signal_is_lost_over_a_day_in_the_life_of_a_ram_role() {
    let (sandbox, hour) = (sandbox().await, an_hour());
    sandbox.put_stack(STACK, StackSpec::waiting_for("WebReady", SIGNALS, 3000.0)).unwrap();
    sandbox.set_credential_lifetime(6 * hour);
    sandbox.remove_metadata(ROLE);
    let none = HashMap::new();
    let cache = Cache::new(&Provider::Auto, &none, &metadata(&sandbox.metadata_url(), &none), Random::new(1));
    let client = Arc::new(Client::new(&settings(&sandbox.ros_url()), Arc::new(cache)).unwrap());
    let midnight = Instant::now();
    // Two renewals a minute can be forced, and a minute here is longer than that day: whoever meets the limit needs one.
    let end = midnight + 24 * hour + Duration::from_secs(100);
    let tasks: Vec<_> = (0..SIGNALS)
        .map(|number| {
            let client = Arc::clone(&client);
            tokio::spawn(async move {
                tokio::time::sleep_until(midnight + hour.mul_f64(f64::from(number) / 2.0)).await;
                signal(client, number, end).await
            })
        })
        .collect();
    trouble(&sandbox, midnight).await;
    let mut attempts = 0;
    for task in tasks {
        attempts += task.await.unwrap();
    }
    let view = sandbox.stack(STACK).unwrap();
    let signals: BTreeSet<_> = view.resources["WebReady"].signals.iter().map(|signal| signal.unique_id.clone()).collect();
    assert_eq!(signals.len(), SIGNALS as usize);
    assert_eq!(view.effective_signals, SIGNALS, "and none counts twice");
    assert!(attempts > SIGNALS, "it was no quiet day");
}

/// With these keys, at the hour that the sandbox has; the first attempt learns that hour.
async fn is_taken(sandbox: &Sandbox, keys: &Keys, number: u32) -> bool {
    let variables = [
        ("ALIBABA_CLOUD_ACCESS_KEY_ID", keys.access_key_id()),
        ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", keys.access_key_secret().expose()),
        ("ALIBABA_CLOUD_SECURITY_TOKEN", keys.security_token().map(Secret::expose).unwrap_or_default()),
    ];
    let environment: HashMap<String, String> = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let cache = Cache::new(&Provider::Environment, &environment, &metadata("http://127.0.0.1:1", &environment), Random::new(1));
    let client = Arc::new(Client::new(&settings(&sandbox.ros_url()), Arc::new(cache)).unwrap());
    signal(client, number, Instant::now() + Duration::from_secs(20)).await <= 2
}

#[tokio::test]
async fn scenario_15_the_keys_in_hand_are_good_in_every_minute_of_a_day_and_the_service_is_asked_seldom() {
    let sandbox = sandbox().await;
    let none = HashMap::new();
    let cache = Cache::new(&Provider::EcsRamRole(None), &none, &metadata(&sandbox.metadata_url(), &none), Random::new(1));
    let (midnight, minute) = (Moment::now(), Duration::from_secs(60));
    let mut ids = BTreeSet::new();
    for now in 0..24 * 60_u32 {
        match now {
            // Half a document, where a renewal is due; away for ten minutes, where the next is; no role for half an hour.
            343 => {
                sandbox.add_fault(half().times(2)).unwrap();
            }
            685 => {
                sandbox.add_fault(Fault::new(Effect::reset(When::Before)).metadata("/latest/")).unwrap();
            }
            695 => sandbox.clear_faults(),
            900 => {
                sandbox.remove_metadata(ROLE);
            }
            930 => sandbox.set_metadata(ROLE, "SandboxRole").unwrap(),
            _ => {}
        }
        let keys = cache.keys(midnight.plus(now * minute), None).await.unwrap();
        ids.insert(keys.access_key_id().to_owned());
        if now % 30 == 0 {
            assert!(is_taken(&sandbox, &keys, now / 30).await, "minute {now}");
        }
        sandbox.advance_clock(minute);
    }
    let asked = sandbox.requests().iter().filter(|seen| seen.path.ends_with("/SandboxRole")).count();
    assert!(ids.len() >= 5 && asked <= 24, "{} keys, asked {asked} times", ids.len());
}
