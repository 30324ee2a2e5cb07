//! The URLs of handles: is the document there, what does it tell, can its service be reached. Nothing is posted, and of the URL only host
//! and port are shown and used: what is asked is the health page of the host, without the query that makes the URL a secret.

use super::apart::apart;
use super::clock::Heard;
use super::endpoint;
use super::stack::Aimed;
use super::step::{Step, Verdict};
use crate::clock::{Moment, rfc3339};
use crate::handle::{self, Document};
use crate::plan::{HandleSource, Plan, Ros, Signal, Transport};
use crate::ros::Client;
use crate::rpc::{self, Reach};
use crate::signal::Target;
use reqwest::Url;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

const READ_TIMEOUT: Duration = Duration::from_secs(3);
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
const HEALTH_TIMEOUT: Duration = Duration::from_secs(3);
/// What the service answers health probes at, by public bootstrap scripts; it is not documented.
const HEALTH: &str = "/health-check";

pub(super) const DOCUMENT: &str = "handle.document";
pub(super) const SERVICE: &str = "handle.service";

/// The document of one signal, or why there is none.
pub(super) struct Read {
    pub(super) signal: Arc<Signal>,
    pub(super) found: Result<Document, String>,
}

/// Whether its document lies on this host.
pub(super) fn is_local(signal: &Signal) -> bool {
    matches!(signal.transport, Transport::Handle(HandleSource::File(_) | HandleSource::SystemdCredential(_)))
}

/// Reads the documents that lie on this host.
pub(super) async fn read(plan: &Plan, environment: &HashMap<String, String>) -> Vec<Read> {
    let client = handle::Client::new(&plan.ros, environment).map(Arc::new);
    let mut documents = Vec::new();
    for signal in plan.signals.iter().filter(|signal| is_local(signal)) {
        let Transport::Handle(source) = signal.transport.clone() else { continue };
        let found = match client.clone() {
            Ok(client) => apart(READ_TIMEOUT, move || client.read(&source)).await,
            Err(why) => Err(why),
        };
        let found = match found {
            Ok(Ok(Some(document))) => Ok(document),
            Ok(Ok(None)) => continue,
            Ok(Err(why)) | Err(why) => Err(why),
        };
        documents.push(Read { signal: Arc::clone(signal), found });
    }
    documents
}

/// Asks the stack for the documents of signals that name none.
pub(super) async fn fetch(client: &Client, aimed: &[Aimed]) -> Vec<Read> {
    let mut documents = Vec::new();
    for (signal, place) in aimed.iter().filter(|(signal, _)| signal.transport == Transport::Handle(HandleSource::Stack)) {
        let (Some(region), Some(stack_id)) = (place.region.clone(), place.stack_id.clone()) else { continue };
        let target = Target { region, stack_id, resource: signal.resource.clone() };
        let found = match tokio::time::timeout(FETCH_TIMEOUT, client.handle_attributes(&target)).await {
            Err(_) => Err(format!("no answer within {}s", FETCH_TIMEOUT.as_secs())),
            Ok(Err(refusal)) => Err(refusal.hint.map_or(refusal.message.clone(), |hint| format!("{}; hint: {hint}", refusal.message))),
            Ok(Ok(attributes)) => Document::of_attributes(&attributes).map_err(|invalid| invalid.to_string()),
        };
        documents.push(Read { signal: Arc::clone(signal), found });
    }
    documents
}

/// What the documents tell beside the configuration. `stack_id` is that of the instance's tag; `replaces`: credentials are there with
/// which the stack can be asked for another URL.
pub(super) fn judge(documents: &[Read], stack_id: Option<&str>, heard: Option<Heard>, replaces: bool) -> Vec<Step> {
    let now = Moment::now();
    let now_ms = heard.map_or(now.wall_ms, |heard| heard.wall_ms(now));
    let one = |read: &Read| match &read.found {
        Ok(document) => told(&read.signal, document, stack_id, now_ms, replaces),
        Err(why) => missing(&read.signal, why),
    };
    documents.iter().map(|read| one(read).about(&*read.signal.name)).collect()
}

fn source(signal: &Signal) -> String {
    match &signal.transport {
        Transport::Handle(HandleSource::File(path)) => path.display().to_string(),
        Transport::Handle(HandleSource::SystemdCredential(name)) => format!("the systemd credential {name}"),
        _ => "the attributes of the handle".to_owned(),
    }
}

/// How to get a document that is right.
fn renewed(signal: &Signal) -> String {
    let attribute = format!("Fn::GetAtt: [{}, CurlCli]", signal.resource);
    match &signal.transport {
        Transport::Handle(HandleSource::Stack) => format!("is {} an ALIYUN::ROS::WaitConditionHandle?", signal.resource),
        _ => format!("let user data write {attribute} of the template into {}; handle.md tells how", source(signal)),
    }
}

fn missing(signal: &Signal, why: &str) -> Step {
    let (why, hint) = why.split_once("; hint: ").map_or((why, None), |(why, hint)| (why, Some(hint)));
    let unset = why.contains("$CREDENTIALS_DIRECTORY is not set");
    if unset {
        return Step::warning(DOCUMENT, why)
            .because("this is about the environment of this shell; an agent that is a unit has that of its unit")
            .perhaps(hint);
    }
    let remedy = [Some(renewed(signal)), hint.map(str::to_owned)].into_iter().flatten().collect::<Vec<_>>().join("; ");
    Step::failed(DOCUMENT, why).because("the signal waits until there is a document that can be read").remedy(remedy)
}

fn told(signal: &Signal, document: &Document, tag: Option<&str>, now_ms: i64, replaces: bool) -> Step {
    let place = document.place();
    let unnamed = || "not told".to_owned();
    let until = place.expires.map(|seconds| seconds.saturating_mul(1000));
    let seen = format!(
        "{}: handle {}, stack {}, region {}, {}",
        source(signal),
        place.resource.clone().unwrap_or_else(unnamed),
        place.stack_id.clone().unwrap_or_else(unnamed),
        place.region.clone().unwrap_or_else(unnamed),
        until.map_or_else(|| "no end told".to_owned(), |until| format!("until {}", rfc3339(until)))
    );
    if let Some(named) = place.resource.as_ref().filter(|named| **named != signal.resource) {
        return Step::failed(DOCUMENT, seen)
            .because(format!("the URL is that of {named}, and resource in [signal.{}] says {}", signal.name, signal.resource))
            .remedy(format!("{}; or write resource = {named:?}", renewed(signal)));
    }
    if let (Some(named), Some(configured)) = (&place.stack_id, &signal.stack_id)
        && named != configured
    {
        return Step::failed(DOCUMENT, seen)
            .because(format!("the URL is of another stack than stack_id, {configured}"))
            .remedy(format!("{}; leave stack_id out, the URL names the stack", renewed(signal)));
    }
    if until.is_some_and(|until| until <= now_ms) {
        let step = if replaces { Step::warning(DOCUMENT, seen) } else { Step::failed(DOCUMENT, seen) };
        let cause = match replaces {
            true => "the URL has expired; the agent asks the stack for another one, which needs ros:GetStackResource",
            false => "the URL has expired, and there are no credentials with which the stack could be asked for another one",
        };
        return step.because(cause).remedy(renewed(signal));
    }
    match (&place.stack_id, tag) {
        (Some(named), Some(tag)) if named != tag => Step::warning(DOCUMENT, seen)
            .because(format!("the tag acs:ros:stackId of this instance says {tag}: the document may have come with an image"))
            .remedy(renewed(signal)),
        _ => Step::ok(DOCUMENT, seen),
    }
}

/// Each service of the documents, once: can it be connected to, and does it say that it is well.
pub(super) async fn reach(documents: &[Read], settings: &Ros) -> Vec<Step> {
    let mut services: Vec<Url> = Vec::new();
    for url in documents.iter().filter_map(|read| read.found.as_ref().ok()?.service()) {
        if !services.contains(&url) {
            services.push(url);
        }
    }
    let mut steps = Vec::new();
    for url in &services {
        steps.push(service(url, settings).await.about(rpc::host_name(url)));
    }
    for read in documents.iter().filter(|read| read.found.is_err()) {
        steps.push(Step::depends(SERVICE, DOCUMENT).about(&*read.signal.name));
    }
    steps
}

async fn service(url: &Url, settings: &Ros) -> Step {
    let began = Instant::now();
    let (step, addresses) = endpoint::names(url).await;
    if step.verdict() == Verdict::Failed {
        return step.named(SERVICE);
    }
    let (step, stream) = endpoint::connections(&addresses, url).await;
    if stream.is_none() {
        return step.named(SERVICE).remedy(
            "the service is beside the metadata service, for instances inside a VPC only, and no proxy leads there: look at routes and the firewall of this host",
        );
    }
    let connected = step.seen().to_owned();
    match health(url, settings).await {
        Ok(status @ 200..=299) => Step::ok(SERVICE, format!("{connected}, {HEALTH} says HTTP {status}")).took(began.elapsed()),
        // The page is not documented: that it is not there says nothing.
        Ok(status) => Step::ok(SERVICE, format!("{connected}, answers (HTTP {status} at {HEALTH})")).took(began.elapsed()),
        Err(why) => Step::warning(SERVICE, format!("{connected}, but {why}"))
            .because("something takes the connection and does not answer a question for its health")
            .remedy("is there a firewall or proxy in between? signals are tried nevertheless"),
    }
}

async fn health(url: &Url, settings: &Ros) -> Result<u16, String> {
    let mut url = url.clone();
    url.set_path(HEALTH);
    let plain = url.scheme() == "http";
    // As for signals: the service is on the host's own link, where no proxy is.
    let reach = Reach::of(&Ros { proxy: None, ..settings.clone() });
    let http = apart(HEALTH_TIMEOUT, move || rpc::http_client(plain, &reach)).await?.map_err(|error| error.to_string())?;
    let host = rpc::host_name(&url);
    let client = http.client().map_err(|trouble| trouble.message)?;
    let asked = tokio::time::timeout(HEALTH_TIMEOUT, client.get(url).send()).await;
    match asked {
        Ok(Ok(response)) => Ok(response.status().as_u16()),
        Ok(Err(error)) => Err(crate::transport::describe(&error, &host).message),
        Err(_) => Err(format!("no answer within {}s", HEALTH_TIMEOUT.as_secs())),
    }
}
