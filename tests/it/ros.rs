//! The client of ROS, against the sandbox and against servers that do what no ROS does.

mod answers;
mod asides;
mod clock;
pub(crate) mod endpoints;
pub(crate) mod log;
mod look;
pub(crate) mod proxy;
mod refusals;
pub(crate) mod scripted;
mod secrets;
mod signing;
mod watch;

use reqwest::Url;
use ros_sandbox::{Config, Sandbox, Secret, StackSpec};
use ros_signal_agent::credentials::Cache;
use ros_signal_agent::instance::Metadata;
use ros_signal_agent::plan::{Endpoint, Home, Instance, Network, Provider, Ros, SignatureScheme, Transport};
use ros_signal_agent::retry::Random;
use ros_signal_agent::ros::Client;
use ros_signal_agent::signal::{Answer, Refusal, SignalRequest, SignalStatus, Target, UniqueId, client_token};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

pub(crate) const KEY_ID: &str = "testAccessKeyId";
pub(crate) const KEY_SECRET: &str = "madeUpSecret0123456789";
pub(crate) const TOKEN: &str = "madeUpToken+abc/DEF==~tok*en%20 x";
pub(crate) const STACK: &str = "4a6c9851-3b0f-4f5f-b4ca-a14bf6910000";

pub(crate) fn settings(url: &str) -> Ros {
    Ros {
        endpoint: Endpoint::Url(Url::parse(url).unwrap()),
        home: Home::Auto,
        network: Network::Auto,
        proxy: None,
        signature: SignatureScheme::Acs3HmacSha256,
        ca_file: None,
        timeout: Duration::from_secs(5),
        poll: true,
    }
}

pub(crate) fn metadata(url: &str, environment: &HashMap<String, String>) -> Arc<Metadata> {
    let settings = Instance { id: None, metadata_url: Url::parse(url).unwrap(), allow_plain_metadata: false };
    Arc::new(Metadata::new(&settings, environment).unwrap())
}

/// Credentials in environment variables.
pub(crate) fn environment(token: Option<&str>) -> HashMap<String, String> {
    let mut variables = HashMap::from([
        ("ALIBABA_CLOUD_ACCESS_KEY_ID".to_owned(), KEY_ID.to_owned()),
        ("ALIBABA_CLOUD_ACCESS_KEY_SECRET".to_owned(), KEY_SECRET.to_owned()),
    ]);
    variables.extend(token.map(|token| ("ALIBABA_CLOUD_SECURITY_TOKEN".to_owned(), token.to_owned())));
    variables
}

pub(crate) fn credentials(token: Option<&str>) -> Arc<Cache> {
    let environment = environment(token);
    let nowhere = metadata("http://127.0.0.1:1", &environment);
    Arc::new(Cache::new(&Provider::Environment, &environment, &nowhere, Random::new(1)))
}

pub(crate) fn client(url: &str) -> Client {
    Client::new(&settings(url), credentials(None)).unwrap()
}

pub(crate) fn target() -> Target {
    Target { region: "cn-hangzhou".into(), stack_id: STACK.into(), resource: "WebReady".into() }
}

pub(crate) fn request(status: SignalStatus, series: u32) -> SignalRequest {
    let unique_id = UniqueId::new("i-bp1a2b3c4d5e6f7g8h9i").unwrap();
    let client_token = client_token(&target(), &unique_id, status, series);
    SignalRequest { target: target(), transport: Transport::Api, status, unique_id, client_token, reason: String::new(), report: None }
}

pub(crate) fn success() -> SignalRequest {
    request(SignalStatus::Success, 0)
}

/// A client with the temporary credentials of the sandbox's RAM role.
fn client_of_role(sandbox: &Sandbox) -> Client {
    let none = HashMap::new();
    let cache = Cache::new(&Provider::EcsRamRole(None), &none, &metadata(&sandbox.metadata_url(), &none), Random::new(1));
    Client::new(&settings(&sandbox.ros_url()), Arc::new(cache)).unwrap()
}

pub(crate) async fn sandbox() -> Sandbox {
    start(None).await
}

pub(crate) async fn start(token: Option<&str>) -> Sandbox {
    let mut config = Config::new(KEY_ID, Secret::from(KEY_SECRET));
    config.security_token = token.map(Secret::from);
    let sandbox = Sandbox::start(config).await.unwrap();
    sandbox.put_stack(STACK, StackSpec::waiting_for("WebReady", 1, 300.0)).unwrap();
    sandbox
}

#[track_caller]
pub(crate) fn refusal(answer: Answer) -> Refusal {
    match answer {
        Answer::Refused(refusal) => refusal,
        Answer::Accepted { request_id } => panic!("acknowledged as {request_id}"),
    }
}

#[track_caller]
pub(crate) fn receipt(answer: Answer) -> String {
    match answer {
        Answer::Accepted { request_id } => request_id,
        Answer::Refused(refusal) => panic!("{refusal:?}"),
    }
}
