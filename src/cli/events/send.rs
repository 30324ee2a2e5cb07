//! `events send`: a test event to this host's own source, and what the agent makes of it.
//!
//! ```text
//! follow /events -> sign -> POST to the listener, or a file into the spool -> the line with the id of the event (5 s at the longest)
//! ```
//!
//! The listener is asked at the address where it listens, whatever the name in its URL leads to. Its certificate is not judged: what is
//! sent is no secret but for the token, and who holds the agent's port is asked first by its control socket.

use super::kinds;
use super::sign::{self, Headers};
use crate::agent::status::Status;
use crate::cli::agent::{ANSWER, Agent, Lines, decoded};
use crate::cli::arguments::{Global, SendArguments, SendTo};
use crate::cli::failure::Failure;
use crate::cli::output::{Output, notice};
use crate::cli::{Exit, block_on};
use crate::clock::{Moment, rfc3339};
use crate::events::Line;
use crate::events::signature::test_headers;
use crate::plan::{HttpSource, Listen, Plan, SecretPlace, Source, SourceKind, SpoolSource, TlsOptions};
use crate::secret::Secret;
use crate::{tls, transport};
use anyhow::Context as _;
use reqwest::Url;
use serde::{Deserialize, Serialize};
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

/// For the agent to say what it made of the event.
const PATIENCE: Duration = Duration::from_secs(5);
/// Of the listener.
const ANSWER_LIMIT: usize = 4096;

/// What came of it.
#[derive(Debug, Serialize)]
struct Sent<'a> {
    source: &'a str,
    to: String,
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'a str,
    stack_id: &'a str,
    status: Option<&'a str>,
    /// Of the listener.
    #[serde(skip_serializing_if = "Option::is_none")]
    http_status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<String>,
    /// What the agent told about it; none: nothing within the time.
    line: Option<Line>,
}

#[derive(Deserialize)]
struct TestSecret {
    secret: String,
}

pub(super) fn run(global: &Global, arguments: &SendArguments, out: &mut Output) -> anyhow::Result<Exit> {
    let loaded = global.load()?;
    let plan = &loaded.plan;
    let source = source(plan, arguments)?;
    let agent = global.agent_of(Ok(&loaded))?;
    block_on(async {
        let status: Status = agent.get("/status", ANSWER).await?;
        refuse_stopped(&source.name, &status)?;
        let stack_id = stack(arguments, plan, &status)?;
        let kind = kinds::full(&arguments.kind);
        let told = arguments.status.clone().or_else(|| kinds::status(kind));
        let region = region(plan, &status);
        let id = uuid::Uuid::new_v4().to_string();
        let body = body(kind, &id, &stack_id, &region, told.as_deref())?;
        let mut lines = agent.lines(super::follow::FOLLOW, ANSWER).await?;
        let mut sent = Sent {
            source: &source.name,
            to: String::new(),
            kind,
            id: &id,
            stack_id: &stack_id,
            status: told.as_deref(),
            http_status: None,
            answer: None,
            line: None,
        };
        match &source.kind {
            SourceKind::Http(http) => {
                let (to, request) = request(http, arguments)?;
                let at_ms = Moment::now().wall_ms;
                let headers = signed(&agent, http, arguments, at_ms, &body).await?;
                let (status, answer) = post(request, headers, body, &to).await?;
                (sent.to, sent.http_status, sent.answer) = (to, Some(status), Some(answer));
            }
            SourceKind::Spool(spool) => sent.to = drop_into(spool, &id, &body)?.display().to_string(),
            SourceKind::Queue(_) | SourceKind::Callback(_) => return Err(cannot(source).into()),
        }
        let taken = sent.http_status.is_none_or(|status| (200..300).contains(&status));
        if taken {
            sent.line = tokio::time::timeout(PATIENCE, about(&id, &mut lines)).await.ok().flatten();
        }
        show(&sent, taken, arguments.json, out)
    })
}

/// Where the event goes.
fn source<'a>(plan: &'a Plan, arguments: &SendArguments) -> Result<&'a Source, Failure> {
    let usage = |message: String, hint: &str| Failure::new(Exit::Usage, message).hint(hint);
    let can = |source: &Source, to: SendTo| match source.kind {
        SourceKind::Http(_) => to == SendTo::Http,
        SourceKind::Spool(_) => to == SendTo::Spool,
        SourceKind::Queue(_) | SourceKind::Callback(_) => false,
    };
    if plan.sources.is_empty() {
        let hint = "add [source.NAME] with type = \"http\" or \"spool\" and reload; polling needs none (docs/events.md)";
        return Err(Failure::new(Exit::Failure, "there is no source of events in the configuration").hint(hint));
    }
    let names = || plan.sources.iter().map(|source| format!("{} ({})", source.name, source.kind.word())).collect::<Vec<_>>().join(", ");
    if let Some(name) = &arguments.source {
        let Some(source) = plan.sources.iter().find(|source| *source.name == **name) else {
            return Err(usage(format!("no source is called {name:?}"), &format!("there are: {}", names())));
        };
        return match arguments.to.is_none_or(|to| can(source, to)) {
            true => Ok(source),
            false => Err(usage(format!("source {name} is of type {}", source.kind.word()), "leave out --to")),
        };
    }
    let wanted = match arguments.to {
        Some(to) => vec![to],
        None => vec![SendTo::Http, SendTo::Spool],
    };
    for to in wanted {
        let mut fitting = plan.sources.iter().filter(|source| can(source, to));
        match (fitting.next(), fitting.next()) {
            (Some(source), None) => return Ok(source),
            (Some(_), Some(_)) => {
                let fitting: Vec<_> = plan.sources.iter().filter(|source| can(source, to)).map(|source| &*source.name).collect();
                let hint = format!("choose with --source, of: {}", fitting.join(", "));
                return Err(usage(format!("there are several sources of type {} to send to", word(to)), &hint));
            }
            (None, _) => {}
        }
    }
    match plan.sources.first() {
        Some(source) if arguments.to.is_none() => Err(cannot(source)),
        _ => Err(usage(format!("there is no such source: {}", names()), "leave out --to, or add a source of that type")),
    }
}

fn word(to: SendTo) -> &'static str {
    match to {
        SendTo::Http => "http",
        SendTo::Spool => "spool",
    }
}

/// Nothing can be sent there from here.
fn cannot(source: &Source) -> Failure {
    let hint = match source.kind {
        SourceKind::Queue(_) => "put a message with the event into the queue, from the console of SMQ; or add a source of type \"spool\"",
        _ => "post the callback of a stack to its secret path with curl (docs/eventbridge.md); or add a source of type \"spool\"",
    };
    Failure::new(Exit::Failure, format!("source {} is of type {}: nothing can be sent to it from here", source.name, source.kind.word()))
        .hint(hint)
}

/// A source that the running agent does not have takes nothing.
fn refuse_stopped(name: &str, status: &Status) -> Result<(), Failure> {
    let Some(view) = status.sources.iter().find(|view| view.name == name) else {
        let message = format!("the running agent has no source {name}");
        return Err(Failure::new(Exit::Failure, message).hint("the configuration was changed since: ros-signal-agent reload"));
    };
    match &view.error {
        Some(error) if !view.healthy => {
            let failure = Failure::new(Exit::Failure, format!("source {name} does not work: {error}"));
            Err(view.hint.iter().fold(failure, |failure, hint| failure.hint(hint)))
        }
        _ => Ok(()),
    }
}

/// The stack that the event is about.
fn stack(arguments: &SendArguments, plan: &Plan, status: &Status) -> Result<String, Failure> {
    let followed = status.stacks.first().map(|stack| stack.stack_id.clone());
    let signalled = || status.signals.iter().find_map(|signal| signal.stack_id.clone());
    let found = arguments.stack.clone().or(followed).or_else(signalled).or_else(|| plan.stack.stack_id.clone());
    found
        .ok_or_else(|| Failure::new(Exit::Usage, "the agent knows no stack that the event could be about").hint("name one with --stack ID"))
}

fn region(plan: &Plan, status: &Status) -> String {
    let followed = status.stacks.first().map(|stack| stack.region.clone()).filter(|region| !region.is_empty());
    followed.or_else(|| plan.stack.region.clone()).unwrap_or_else(|| "cn-hangzhou".to_owned())
}

/// A CloudEvent as EventBridge writes it.
fn body(kind: &str, id: &str, stack_id: &str, region: &str, status: Option<&str>) -> anyhow::Result<String> {
    let time = rfc3339(Moment::now().wall_ms);
    let event = serde_json::json!({
        "id": id,
        "source": "acs.ros",
        "specversion": "1.0",
        "type": kind,
        "datacontenttype": "application/json; charset=utf-8",
        "subject": format!("acs:ros:{region}:0:stack/{stack_id}"),
        "time": time,
        "data": { "Status": status, "StackName": "test event", "StackId": stack_id, "Outputs": [] },
        "aliyunregionid": region,
        "aliyuneventbusname": "default",
        "aliyunpublishtime": time,
    });
    Ok(serde_json::to_string(&event)?)
}

/// The request without its signature, and where it goes in words.
fn request(source: &HttpSource, arguments: &SendArguments) -> anyhow::Result<(String, reqwest::RequestBuilder)> {
    let url = Url::parse(&source.url).context("url of the source")?;
    let address = match (&source.listen, arguments.address) {
        (_, Some(address)) => address,
        (Listen::Address(address), None) => reachable(*address),
        (Listen::Systemd(name), None) => {
            let failure =
                Failure::new(Exit::Usage, format!("the listener's socket {name} comes from systemd, so its address is not known here"));
            return Err(failure.hint("say it with --address HOST:PORT, as ListenStream= of the socket unit has it").into());
        }
    };
    let scheme = if source.tls.is_some() { "https" } else { "http" };
    let host = url.host_str().unwrap_or("localhost");
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    let to = format!("{scheme}://{address}{}{query}", url.path());
    let options = TlsOptions { verify: false, ca_file: None, client: None, server_name: None };
    let client = tls::plain_builder(tls::client_config(&options, None)?).timeout(PATIENCE).build()?;
    let named = match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    };
    let request = client.post(&to).header("host", named).header("content-type", "application/cloudevents+json; charset=utf-8");
    Ok((format!("{scheme}://{address}{}", url.path()), request))
}

/// From this host: who listens everywhere is asked on loopback.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { IpAddr::V6(Ipv6Addr::LOCALHOST) });
    }
    address
}

async fn signed(agent: &Agent, source: &HttpSource, arguments: &SendArguments, at_ms: i64, body: &str) -> anyhow::Result<Headers> {
    if let (Some(key), Some(certificate_url)) = (&arguments.key, &arguments.certificate_url) {
        let token = source.token.as_ref().and_then(token);
        return sign::as_eventbridge(key, certificate_url, token.as_ref(), at_ms, &source.url, body);
    }
    let TestSecret { secret } =
        agent.get("/events/test-secret", ANSWER).await.context("the agent's secret for test events cannot be had")?;
    Ok(test_headers(Secret::new(secret).expose(), &source.url, body.as_bytes(), at_ms))
}

/// The token of the source, where it can be read.
fn token(place: &SecretPlace) -> Option<Secret> {
    let why = match place {
        SecretPlace::File(path) => match crate::credentials::read_secret(path, false) {
            Ok(token) => return Some(Secret::new(token.trim())),
            Err(why) => format!("{}: {why}", path.display()),
        },
        SecretPlace::SystemdCredential(name) => format!("the systemd credential {name} is for the agent's unit alone"),
    };
    notice(&format!("the event goes without its token: {why}"));
    None
}

/// What the listener answered.
async fn post(request: reqwest::RequestBuilder, headers: Headers, body: String, to: &str) -> anyhow::Result<(u16, String)> {
    let host = Url::parse(to).ok().and_then(|url| Some(format!("{}:{}", url.host_str()?, url.port_or_known_default()?)));
    let host = host.unwrap_or_else(|| "the listener".to_owned());
    let fail = |trouble: transport::Trouble| {
        Failure::new(Exit::Failure, trouble.message).hint("ros-signal-agent status shows the sources, doctor looks at their listeners")
    };
    let request = headers.into_iter().fold(request.body(body), |request, (name, value)| request.header(name, value));
    let response = request.send().await.map_err(|error| fail(transport::describe(&error, &host)))?;
    let status = response.status().as_u16();
    let answer = transport::read_body(response, ANSWER_LIMIT, &host).await.map_err(fail)?;
    Ok((status, transport::clean(&String::from_utf8_lossy(&answer))))
}

/// Writes the event under a dot name, which nobody reads, and gives it its own name when it is whole.
fn drop_into(spool: &SpoolSource, id: &str, body: &str) -> anyhow::Result<std::path::PathBuf> {
    let written = |path: &Path| {
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o644).open(path)?;
        file.write_all(body.as_bytes())
    };
    let hidden = spool.directory.join(format!(".test-{id}.json"));
    let path = spool.directory.join(format!("test-{id}.json"));
    if let Err(error) = written(&hidden).and_then(|()| std::fs::rename(&hidden, &path)) {
        let _ = std::fs::remove_file(&hidden);
        let message = format!("cannot write into the spool {}: {error}", spool.directory.display());
        return Err(Failure::new(Exit::Failure, message).hint("write as root, or as a user who may write there (docs/spool.md)").into());
    }
    Ok(path)
}

/// The line that says what was made of the event.
async fn about(id: &str, lines: &mut Lines) -> Option<Line> {
    loop {
        let Ok(line) = decoded::<Line>(&lines.next().await?) else { continue };
        if line.event.as_ref().is_some_and(|event| event.id == id) {
            return Some(line);
        }
    }
}

fn show(sent: &Sent<'_>, taken: bool, json: bool, out: &mut Output) -> anyhow::Result<Exit> {
    if json {
        out.json(sent)?;
    } else {
        out.line(format!("{} {} to {} at {}", sent.kind, sent.id, sent.source, sent.to))?;
        if let Some(status) = sent.http_status {
            let answer = sent.answer.as_deref().filter(|answer| !answer.is_empty()).map(|answer| format!(": {answer}")).unwrap_or_default();
            out.line(format!("the listener answered HTTP {status}{answer}"))?;
        }
        if let Some(line) = &sent.line {
            out.line(super::follow::told(line, out.paint))?;
        }
    }
    if !taken {
        return Err(Failure::new(Exit::Failure, "the listener did not take the event")
            .hint("ros-signal-agent status counts what the source refused, by reason")
            .into());
    }
    if sent.line.is_none() {
        return Err(Failure::new(Exit::TimedOut, format!("the agent has said nothing about the event within {}s", PATIENCE.as_secs()))
            .hint("ros-signal-agent events --last, and the log of the agent")
            .into());
    }
    Ok(Exit::Ok)
}
