//! The control interface: JSON over HTTP. Every route, with examples, is in the README.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::answer::Answer;
use crate::clock::{FURTHEST_SECONDS, rfc3339, span};
use crate::ess::{ScalingError, ScalingGroupSpec, Transition};
use crate::events::EventRequest;
use crate::faults::Fault;
use crate::request::Request;
use crate::stack::change::{Change, ChangeError};
use crate::stack::spec::StackSpec;
use crate::target::EventTarget;
use crate::world::World;

/// Something is wrong with what was asked.
struct Wrong {
    status: u16,
    message: String,
}

type Result<T> = std::result::Result<T, Wrong>;

/// `POST /clock`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClockChange {
    skew_seconds: Option<i64>,
    advance_seconds: Option<f64>,
}

/// `POST /credentials`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CredentialChange {
    lifetime_seconds: Option<u32>,
    oidc_token: Option<String>,
    #[serde(default)]
    rotate: bool,
    #[serde(default)]
    expire: bool,
}

/// `POST /stacks/ID/available`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Available {
    resource: String,
}

/// `POST /scaling-groups/ID/scale-out` and `scale-in`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scaled {
    instances: Vec<String>,
}

/// Answers a request to the control interface.
pub(crate) fn answer(world: &World, request: &Request) -> Answer {
    world.advance();
    match route(world, request) {
        Ok(value) => Answer::json(200, &value),
        Err(wrong) => Answer::json(wrong.status, &json!({"error": wrong.message})),
    }
}

fn route(world: &World, request: &Request) -> Result<Value> {
    let path = request.path.trim_matches('/');
    let (room, rest) = path.split_once('/').unwrap_or((path, ""));
    match (request.method.as_str(), room, rest) {
        ("PUT" | "GET" | "POST" | "DELETE", "stacks", _) => stacks(world, request, rest),
        ("PUT" | "GET" | "POST", "scaling-groups", _) => scaling_groups(world, request, rest),
        ("GET" | "PUT" | "POST" | "DELETE", "queues", _) => queues(world, request, rest),
        ("GET" | "PUT" | "POST", "topics", _) => topics(world, request, rest),
        ("POST", "faults", "") => {
            let fault: Fault = body(request)?;
            let now = world.clock.now();
            let id = world.lock().faults.add(fault, now).map_err(wrong)?;
            world.ring();
            Ok(json!({"id": id}))
        }
        ("GET", "faults", "") => Ok(json!({"faults": world.lock().faults.list()})),
        ("DELETE", "faults", "") => {
            world.lock().faults.clear();
            world.ring();
            Ok(json!({}))
        }
        ("GET", "requests", "") => {
            let inner = world.lock();
            let records = inner.records.all();
            Ok(json!({"seen": inner.records.seen(), "dropped": inner.records.dropped(), "requests": records}))
        }
        ("GET", "events", "") => {
            let inner = world.lock();
            Ok(json!({"emitted": inner.bridge.emitted(), "events": inner.bridge.events()}))
        }
        ("POST", "events", "") => {
            let wanted: EventRequest = body(request)?;
            Ok(json!({"number": world.emit(&wanted)}))
        }
        ("PUT" | "GET" | "DELETE", "event-targets", name) => event_targets(world, request, name),
        ("GET", "switches", "") => Ok(json!(world.lock().switches)),
        ("PUT", "switches", "") => put_switches(world, request),
        ("GET", "clock", "") => Ok(clock(world)),
        ("POST", "clock", "") => post_clock(world, request),
        ("POST", "credentials", "") => post_credentials(world, request),
        ("GET", "metadata", "") => Ok(json!(world.lock().metadata.values())),
        ("PUT", "metadata", path) if !path.is_empty() => {
            let text = std::str::from_utf8(&request.body).map_err(|_| bad("a metadata value must be UTF-8"))?;
            // A JSON string stands for its text; anything else is the value as it is.
            let value = serde_json::from_str::<String>(text).unwrap_or_else(|_| text.to_owned());
            world.lock().metadata.set(path, value).map_err(wrong)?;
            Ok(json!({}))
        }
        ("DELETE", "metadata", path) if !path.is_empty() => {
            if world.lock().metadata.remove(path) {
                Ok(json!({}))
            } else {
                Err(not_found(format!("no metadata value at '{path}'")))
            }
        }
        ("DELETE", "metadata-tokens", "") => {
            world.lock().metadata.forget_tokens();
            Ok(json!({}))
        }
        _ => Err(not_found(format!(
            "no {} /{path} here; routes: /stacks/ID, /stacks/ID/available, /stacks/ID/operations, /scaling-groups/ID, /scaling-groups/ID/scale-out, /scaling-groups/ID/scale-in, /events, /event-targets/NAME, /queues/NAME, /queues/NAME/messages, /topics/NAME, /topics/NAME/messages, /faults, /requests, /switches, /clock, /credentials, /metadata/PATH, /metadata-tokens",
            request.method
        ))),
    }
}

fn stacks(world: &World, request: &Request, rest: &str) -> Result<Value> {
    let (id, below) = rest.split_once('/').unwrap_or((rest, ""));
    let missing = || not_found(format!("no stack '{id}'; make it with PUT /stacks/{id}"));
    match (request.method.as_str(), below) {
        ("GET", "") if id.is_empty() => {
            let inner = world.lock();
            let stacks: Vec<Value> = inner.stacks.values().map(|stack| json!(stack.view())).collect();
            Ok(json!({"stacks": stacks}))
        }
        ("GET", "") => world.lock().stacks.get(id).map(|stack| json!(stack.view())).ok_or_else(missing),
        ("PUT", "") => {
            let spec: StackSpec = body(request)?;
            world.put_stack(id, &spec).map_err(wrong)?;
            world.lock().stacks.get(id).map(|stack| json!(stack.view())).ok_or_else(missing)
        }
        ("DELETE", "") => world.lock().stacks.remove(id).map(|_| json!({})).ok_or_else(missing),
        ("POST", "operations") => {
            let change: Change = body(request)?;
            world.change_stack(id, &change).map_err(|error| match error {
                ChangeError::NoStack(_) => missing(),
                error => wrong(error),
            })?;
            world.lock().stacks.get(id).map(|stack| json!(stack.view())).ok_or_else(missing)
        }
        ("POST", "available") => {
            let told: Available = body(request)?;
            if world.make_available(id, &told.resource) {
                Ok(json!({}))
            } else {
                Err(not_found(format!("no handle '{}' in stack '{id}'", told.resource)))
            }
        }
        _ => Err(not_found(format!("no {} /stacks/{rest} here", request.method))),
    }
}

fn event_targets(world: &World, request: &Request, name: &str) -> Result<Value> {
    let missing = || not_found(format!("no event target '{name}'; set it with PUT /event-targets/{name}"));
    match request.method.as_str() {
        "GET" if name.is_empty() => Ok(json!({"targets": world.lock().bridge.views()})),
        "PUT" => {
            let target: EventTarget = body(request)?;
            world.lock().bridge.set(name, target).map_err(wrong)?;
            Ok(json!({}))
        }
        "DELETE" if world.lock().bridge.remove(name) => Ok(json!({})),
        "GET" => world.lock().bridge.view(name).map(|view| json!(view)).ok_or_else(missing),
        _ => Err(missing()),
    }
}

fn scaling_groups(world: &World, request: &Request, rest: &str) -> Result<Value> {
    let (id, below) = rest.split_once('/').unwrap_or((rest, ""));
    let view =
        || world.lock().ess.view(id).map(|view| json!(view)).ok_or_else(|| not_found(ScalingError::Unknown(id.to_owned()).to_string()));
    let transition = match (request.method.as_str(), below) {
        ("GET", "") => return view(),
        ("PUT", "") => {
            let spec: ScalingGroupSpec = body(request)?;
            world.lock().ess.put(id, &spec).map_err(wrong)?;
            return view();
        }
        ("POST", "scale-out") => Transition::ScaleOut,
        ("POST", "scale-in") => Transition::ScaleIn,
        _ => return Err(not_found(format!("no {} /scaling-groups/{rest} here", request.method))),
    };
    let told: Scaled = body(request)?;
    let activity = world.scale(id, transition, &told.instances).map_err(wrong)?;
    Ok(json!({"activity": activity}))
}

/// The body of a request to put a message is the body of the message.
fn message(request: &Request) -> Result<&str> {
    std::str::from_utf8(&request.body).map_err(|_| bad("a message must be UTF-8"))
}

fn queues(world: &World, request: &Request, rest: &str) -> Result<Value> {
    let (name, below) = rest.split_once('/').unwrap_or((rest, ""));
    let now = world.clock.now();
    let missing = || not_found(format!("no queue '{name}'; make it with PUT /queues/{name}"));
    let view = || world.lock().smq.queue_view(name, now).map(|view| json!(view)).ok_or_else(missing);
    match (request.method.as_str(), below) {
        ("GET", "") if name.is_empty() => Ok(json!({"queues": world.lock().smq.queue_views(now)})),
        ("GET", "") => view(),
        ("PUT", "") => {
            world.lock().smq.make_queue(name, now).map_err(wrong)?;
            view()
        }
        ("DELETE", "") => {
            let removed = world.lock().smq.remove_queue(name);
            world.ring();
            if removed { Ok(json!({})) } else { Err(missing()) }
        }
        ("POST", "messages") => {
            view()?;
            Ok(json!({"id": world.put_message(name, message(request)?).map_err(wrong)?}))
        }
        _ => Err(not_found(format!("no {} /queues/{rest} here", request.method))),
    }
}

fn topics(world: &World, request: &Request, rest: &str) -> Result<Value> {
    let (name, below) = rest.split_once('/').unwrap_or((rest, ""));
    let views = || world.lock().smq.topic_views();
    let missing = || not_found(format!("no topic '{name}'; make it with PUT /topics/{name}"));
    let view = || views().into_iter().find(|topic| topic.name == name).map(|view| json!(view)).ok_or_else(missing);
    match (request.method.as_str(), below) {
        ("GET", "") if name.is_empty() => Ok(json!({"topics": views()})),
        ("GET", "") => view(),
        ("PUT", "") => {
            world.lock().smq.make_topic(name, world.clock.now()).map_err(wrong)?;
            view()
        }
        ("POST", "messages") => {
            view()?;
            Ok(json!({"id": world.publish_message(name, message(request)?).map_err(wrong)?}))
        }
        _ => Err(not_found(format!("no {} /topics/{rest} here", request.method))),
    }
}

/// Switches that are not named keep their setting.
fn put_switches(world: &World, request: &Request) -> Result<Value> {
    let changes: Map<String, Value> = body(request)?;
    let mut inner = world.lock();
    let mut all = json!(inner.switches);
    if let Some(all) = all.as_object_mut() {
        all.extend(changes);
    }
    inner.switches = serde_json::from_value(all).map_err(|error| bad(format!("bad switches: {error}")))?;
    Ok(json!(inner.switches))
}

fn clock(world: &World) -> Value {
    json!({
        "now": rfc3339(world.clock.now()),
        "told": rfc3339(world.clock.told()),
        "skew_seconds": world.clock.skew_seconds(),
    })
}

fn post_clock(world: &World, request: &Request) -> Result<Value> {
    let change: ClockChange = body(request)?;
    if change.skew_seconds.is_some_and(|seconds| !(-FURTHEST_SECONDS..=FURTHEST_SECONDS).contains(&seconds)) {
        return Err(bad("skew_seconds must be within ten years"));
    }
    let advance = change.advance_seconds.map(|seconds| span(seconds).ok_or_else(|| bad("advance_seconds must be 0 to ten years")));
    if let Some(advance) = advance.transpose()? {
        world.clock.advance(advance);
    }
    if let Some(seconds) = change.skew_seconds {
        world.clock.set_skew(seconds);
    }
    world.advance();
    world.ring();
    Ok(clock(world))
}

fn post_credentials(world: &World, request: &Request) -> Result<Value> {
    let change: CredentialChange = body(request)?;
    let now = world.clock.now();
    let mut inner = world.lock();
    if let Some(seconds) = change.lifetime_seconds {
        inner.gate.lifetime = time::Duration::seconds(i64::from(seconds));
    }
    if let Some(token) = change.oidc_token {
        inner.sts.oidc_token = Some(token.into());
    }
    if change.expire {
        inner.gate.expire_all(now);
    }
    if change.rotate {
        inner.gate.rotate(now);
    }
    Ok(json!({}))
}

/// Reads a JSON body; says where and what is wrong with it.
fn body<T: DeserializeOwned>(request: &Request) -> Result<T> {
    let bytes: &[u8] = if request.body.is_empty() { b"{}" } else { &request.body };
    // serde would take a list for a structure.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(bad("bad body: it must be a JSON object"));
    }
    serde_json::from_slice(bytes).map_err(|error| bad(format!("bad body: {error}")))
}

fn bad(message: impl Into<String>) -> Wrong {
    Wrong { status: 400, message: message.into() }
}

fn wrong(error: impl std::error::Error) -> Wrong {
    bad(error.to_string())
}

fn not_found(message: String) -> Wrong {
    Wrong { status: 404, message }
}
