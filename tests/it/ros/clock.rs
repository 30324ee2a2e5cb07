//! Wrong clocks: measured, corrected for signing, never blamed on the key.

use super::log::Log;
use super::scripted::{Server, http};
use super::*;
use ros_signal_agent::clock::Moment;
use ros_signal_agent::plan;
use ros_signal_agent::signal::Class;

#[tokio::test]
async fn scenario_14_a_clock_that_is_off_by_hours_is_corrected_in_one_retry() {
    for hours in [-7_i64, 5, 24 * 365] {
        for scheme in [SignatureScheme::Acs3HmacSha256, SignatureScheme::HmacSha1] {
            let sandbox = sandbox().await;
            sandbox.set_skew_seconds(hours * 3600);
            let client = Client::new(&Ros { signature: scheme, ..settings(&sandbox.ros_url()) }, credentials(None)).unwrap();
            assert_eq!(client.skew_ms(), None);
            let refused = refusal(client.signal(&success()).await);
            assert_eq!((refused.code.as_deref(), refused.class), (Some("InvalidTimeStamp.Expired"), Class::Immediate), "{refused:?}");
            assert!(refused.hint.unwrap().contains(if hours > 0 { "slow by" } else { "fast by" }));
            receipt(client.signal(&request(SignalStatus::Success, 1)).await);
            let skew = client.skew_ms().unwrap();
            assert!((skew - hours * 3_600_000).abs() < 3_000, "{skew}");
        }
    }
}

#[tokio::test]
async fn scenario_14_people_are_told_once_of_a_wrong_clock() {
    let sandbox = sandbox().await;
    let log = Log::default();
    let guard = log.listen();
    let client = client(&sandbox.ros_url());
    let ask = async |skew: i64| {
        sandbox.set_skew_seconds(skew);
        for _ in 0..3 {
            client.look(&target(), None).await;
        }
    };
    ask(0).await;
    ask(7200).await;
    ask(-200).await;
    ask(0).await;
    drop(guard);
    let log = log.text();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("the clock of ROS")).collect();
    let [ahead, behind, right] = lines.as_slice() else { panic!("{log}") };
    let rest = "this host's; requests are signed with the corrected time; hint: check NTP (timedatectl)";
    let told = |line: &str, off: &str| line.ends_with(&format!("WARN ros: the clock of ROS is {off} {rest}"));
    assert!(told(ahead, "2h 0m ahead of"), "{ahead}");
    // The Date of an answer is up to a second old.
    assert!(["3m 19s", "3m 20s", "3m 21s"].iter().any(|off| told(behind, &format!("{off} behind"))), "{behind}");
    assert!(right.contains("INFO ros: the clock of ROS agrees with this host's again"), "{right}");
}

#[tokio::test]
async fn scenario_14_a_time_error_that_the_date_does_not_explain_is_not_hurried() {
    let body = r#"{"RequestId":"R-1","Code":"InvalidTimeStamp.Expired","Message":"m"}"#;
    let server = Server::start(move |_, _| http(400, &[], body)).await;
    let refused = refusal(client(&server.url).signal(&success()).await);
    assert_eq!(refused.class, Class::Transient);
    assert!(refused.hint.unwrap().contains("no usable Date"));
}

#[tokio::test]
async fn an_answer_that_is_not_of_ros_does_not_set_the_clock() {
    let server = Server::start(|_, _| http(200, &["Date: Fri, 02 Jan 2026 03:04:05 GMT"], "<html>")).await;
    let client = client(&server.url);
    refusal(client.signal(&success()).await);
    assert_eq!(client.skew_ms(), None);
}

#[tokio::test]
async fn scenario_14_the_clock_of_sts_is_not_called_that_of_ros() {
    let (sandbox, directory) = (sandbox().await, tempfile::tempdir().unwrap());
    sandbox.set_skew_seconds(7200);
    let file = directory.path().join("config.json");
    let profile = format!(
        r#"{{"current":"p","profiles":[{{"name":"p","mode":"RamRoleArn","access_key_id":"{KEY_ID}","access_key_secret":"{KEY_SECRET}","ram_role_arn":"acs:ram::1:role/R"}}]}}"#
    );
    std::fs::write(&file, profile).unwrap();
    let none = HashMap::new();
    let sts = plan::Sts { endpoint: Some(sandbox.ros_url().parse().unwrap()), region: None, vpc: None };
    let provider = Provider::CliProfile(plan::Profile { name: None, file: Some(file), sts });
    let cache = Cache::new(&provider, &none, &metadata("http://127.0.0.1:1", &none), Random::new(1));
    let log = Log::default();
    let guard = log.listen();
    cache.keys(Moment::now(), None).await.unwrap();
    drop(guard);
    let log = log.text();
    assert!(log.contains("the clock of STS is 2h 0m ahead of this host's") && !log.contains("the clock of ROS"), "{log}");
}
