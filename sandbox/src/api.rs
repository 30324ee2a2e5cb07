//! The ROS API: which operation a request means, whether it may run, what it may be called with, and which answer it gets.

use std::collections::{HashMap, VecDeque};

use ring::digest;
use serde_json::{Map, Value};

use crate::answer::{self, Answer};
use crate::clock::Moment;
use crate::operations;
use crate::refusal::Refusal;
use crate::request::Request;
use crate::signature;
use crate::stack::{SignalStatus, Stack};
use crate::sts;
use crate::switches::Format;
use crate::world::Inner;

/// ClientTokens remembered; beyond that the oldest are forgotten.
const TOKENS_KEPT: usize = 10_000;

/// Parameters of the call itself; the others belong to the operation.
const COMMON: [&str; 11] = [
    "Action",
    "Version",
    "Format",
    "AccessKeyId",
    "SignatureMethod",
    "SignatureVersion",
    "SignatureNonce",
    "SignatureType",
    "Timestamp",
    "Signature",
    "SecurityToken",
];

/// The operations the sandbox knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    SignalResource,
    GetStack,
    GetStackResource,
    ListStackEvents,
    ListStackResources,
    GetTemplate,
}

impl Operation {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "SignalResource" => Self::SignalResource,
            "GetStack" => Self::GetStack,
            "GetStackResource" => Self::GetStackResource,
            "ListStackEvents" => Self::ListStackEvents,
            "ListStackResources" => Self::ListStackResources,
            "GetTemplate" => Self::GetTemplate,
            _ => return None,
        })
    }
}

/// `Version` of ESS, which stands on the same listener.
const ESS_VERSION: &str = "2022-02-22";

/// The version of the API that is asked for.
fn version_of(request: &Request) -> Option<String> {
    request.header("x-acs-version").or_else(|| request.parameter("Version").map(str::to_owned))
}

/// What the record of requests wants to know of an answer.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) verified: bool,
    pub(crate) replayed: bool,
}

/// How earlier calls with a ClientToken ended.
#[derive(Debug, Default)]
pub(crate) struct ClientTokens {
    calls: HashMap<String, Call>,
    order: VecDeque<String>,
}

#[derive(Debug, Clone)]
struct Call {
    /// SHA-256 of the operation's parameters.
    parameters: Vec<u8>,
    request_id: String,
    result: Result<(), Refusal>,
}

impl ClientTokens {
    fn remember(&mut self, token: &str, call: Call) {
        if self.calls.insert(token.to_owned(), call).is_none() {
            self.order.push_back(token.to_owned());
        }
        if self.order.len() > TOKENS_KEPT
            && let Some(oldest) = self.order.pop_front()
        {
            self.calls.remove(&oldest);
        }
    }
}

/// Answers a request. `fault` is what a scripted fault puts in place of the operation, once the signature has passed.
pub(crate) fn answer(inner: &mut Inner, request: &Request, fault: Option<&Scripted>, now: Moment, told: Moment) -> (Answer, Seen) {
    let mut seen = Seen::default();
    let mut call = Answering { request_id: answer::request_id(), seen: &mut seen };
    let format = format_of(request, inner.switches.default_format);
    let action = request.action().unwrap_or_default();
    let result = match &format {
        Ok(_) => call.run(inner, request, fault, now, told),
        Err(refusal) => Err(refusal.clone()),
    };
    let format = format.unwrap_or(inner.switches.default_format);
    let request_id = call.request_id;
    let answer = match result {
        Ok(members) => answer::success(&action, &request_id, members, format),
        Err(refusal) => {
            let host = request.header("host").unwrap_or_default();
            answer::refused(&refusal, &request_id, &host, format)
        }
    };
    (answer, seen)
}

/// A fault in place of an operation.
#[derive(Debug, Clone)]
pub(crate) enum Scripted {
    /// As from the gateway: not remembered under a ClientToken.
    Gateway(Refusal),
    TooEarly,
    StackNotFound,
}

struct Answering<'a> {
    request_id: String,
    seen: &'a mut Seen,
}

impl Answering<'_> {
    fn run(
        &mut self,
        inner: &mut Inner,
        request: &Request,
        fault: Option<&Scripted>,
        now: Moment,
        told: Moment,
    ) -> Result<Map<String, Value>, Refusal> {
        if request.path != "/" || !matches!(request.method.as_str(), "GET" | "POST") {
            return Err(Refusal::bad_request("UnsupportedHTTPMethod", "This http method is not supported: GET and POST of / are."));
        }
        let version = version_of(request);
        if version.as_deref() == Some(sts::VERSION) {
            return sts::run(inner, request, fault, (now, told), self.seen);
        }
        let claim = signature::claim(request)?;
        inner.gate.judge(request, &claim, now, told)?;
        self.seen.verified = true;
        let action = request.action().ok_or_else(|| Refusal::missing_parameter("Action"))?;
        if version.as_deref() == Some(ESS_VERSION) {
            return self.scaling(inner, request, &action, fault, now);
        }
        let operation = Operation::parse(&action)
            .ok_or_else(|| Refusal::not_found("InvalidApi.NotFound", "Specified api is not found, please check your url and method."))?;
        if version.as_deref() != Some("2019-09-10") {
            return Err(Refusal::bad_request("NoSuchVersion", "The specified version does not exist, 2019-09-10 does."));
        }
        let permitted = match operation {
            Operation::SignalResource => inner.switches.permit_signal_resource,
            Operation::GetTemplate => inner.switches.permit_get_template,
            _ => inner.switches.permit_get_stack,
        };
        if !permitted {
            return Err(Refusal::denied(&action));
        }
        if let Some(Scripted::Gateway(refusal)) = fault {
            return Err(refusal.clone());
        }
        let rate = inner.switches.get_stack_per_second;
        if operation == Operation::GetStack && !inner.get_stack.take(rate, now) {
            let retry_after_ms = Some(u64::from(inner.switches.throttle_retry_after_ms)).filter(|ms| *ms > 0);
            let refusal = Refusal::bad_request("Throttling.User", "Request was denied due to user flow control.");
            return Err(Refusal { retry_after_ms, ..refusal });
        }
        if operation == Operation::SignalResource {
            return self.signal_resource(inner, request, fault, now).map(|()| Map::new());
        }
        let stack = find_stack(inner, request, fault)?;
        match operation {
            Operation::GetStack => operations::get_stack(stack, request),
            Operation::GetStackResource => operations::get_stack_resource(inner, stack, request, fault, now),
            Operation::GetTemplate => operations::get_template(stack, request),
            Operation::ListStackEvents => operations::list_stack_events(stack, request),
            Operation::ListStackResources | Operation::SignalResource => Ok(operations::list_stack_resources(stack)),
        }
    }

    /// An operation of ESS.
    fn scaling(
        &mut self,
        inner: &mut Inner,
        request: &Request,
        action: &str,
        fault: Option<&Scripted>,
        now: Moment,
    ) -> Result<Map<String, Value>, Refusal> {
        let reads = match action {
            "DescribeScalingInstances" | "DescribeScalingActivities" | "DescribeLifecycleActions" => true,
            "CompleteLifecycleAction" | "RecordLifecycleActionHeartbeat" => false,
            _ => return Err(Refusal::not_found("InvalidApi.NotFound", "Specified api is not found, please check your url and method.")),
        };
        let switches = inner.switches;
        let permitted = if reads { switches.permit_ess_describe } else { switches.permit_ess_lifecycle };
        if !permitted {
            let denied_action = Some(format!("ess:{action}"));
            return Err(Refusal { denied_action, ..Refusal::denied(action) });
        }
        if let Some(Scripted::Gateway(refusal)) = fault {
            return Err(refusal.clone());
        }
        match action {
            "CompleteLifecycleAction" => self.once(inner, request, |inner| inner.ess.complete(request)).map(|()| Map::new()),
            "RecordLifecycleActionHeartbeat" => inner.ess.heartbeat(request, now, &switches).map(|()| Map::new()),
            _ => inner.ess.describe(action, request, &switches),
        }
    }

    /// SignalResource, once per ClientToken.
    fn signal_resource(&mut self, inner: &mut Inner, request: &Request, fault: Option<&Scripted>, now: Moment) -> Result<(), Refusal> {
        let wanted = SignalResource::read(request)?;
        self.once(inner, request, |inner| wanted.run(inner, request, fault, now))
    }

    /// An operation that is done once per ClientToken.
    fn once(&mut self, inner: &mut Inner, request: &Request, run: impl FnOnce(&mut Inner) -> Result<(), Refusal>) -> Result<(), Refusal> {
        let Some(token) = client_token(request)? else {
            return run(inner);
        };
        let parameters = fingerprint(request);
        if let Some(earlier) = inner.client_tokens.calls.get(token) {
            if earlier.parameters != parameters {
                let message = "The request uses the same client token as a previous, but non-identical request.";
                return Err(Refusal::bad_request("InvalidIdempotenceParameter", message));
            }
            self.seen.replayed = true;
            self.request_id.clone_from(&earlier.request_id);
            return earlier.result.clone();
        }
        let result = run(inner);
        if result.is_ok() || inner.switches.tokens_replay_errors {
            let call = Call { parameters, request_id: self.request_id.clone(), result: result.clone() };
            inner.client_tokens.remember(token, call);
        }
        result
    }
}

/// What makes two requests the same: the parameters of the operation, whatever their order and way of travelling.
fn fingerprint(request: &Request) -> Vec<u8> {
    let own = |name: &str| name != "ClientToken" && !COMMON.contains(&name);
    let mut parameters: Vec<&(String, String)> = request.parameters().filter(|(name, _)| own(name)).collect();
    parameters.sort();
    digest::digest(&digest::SHA256, serde_json::json!(parameters).to_string().as_bytes()).as_ref().to_vec()
}

/// The parameters of SignalResource, checked by the rules of its page.
struct SignalResource<'a> {
    resource: &'a str,
    unique_id: &'a str,
    status: SignalStatus,
}

impl<'a> SignalResource<'a> {
    fn read(request: &'a Request) -> Result<Self, Refusal> {
        required(request, "RegionId")?;
        required(request, "StackId")?;
        let resource = required(request, "LogicalResourceId")?;
        let status = match required(request, "Status")? {
            "SUCCESS" => SignalStatus::Success,
            "WARNING" => SignalStatus::Warning,
            "FAILURE" => SignalStatus::Failure,
            _ => {
                return Err(Refusal::invalid_parameter("Status", "it must be SUCCESS, FAILURE or WARNING"));
            }
        };
        let unique_id = required(request, "UniqueId")?;
        if unique_id.chars().count() > 64 {
            return Err(Refusal::invalid_parameter("UniqueId", "it must have 1 to 64 characters"));
        }
        Ok(Self { resource, unique_id, status })
    }

    fn run(&self, inner: &mut Inner, request: &Request, fault: Option<&Scripted>, now: Moment) -> Result<(), Refusal> {
        let id = find_stack(inner, request, fault)?.id.clone();
        if matches!(fault, Some(Scripted::TooEarly)) {
            return Err(Refusal::resource_not_available(self.resource));
        }
        let switches = inner.switches;
        let stack = inner.stacks.get_mut(&id).ok_or_else(|| Refusal::stack_not_found(&id))?;
        stack.advance(now, &switches);
        stack.signal(self.resource, self.unique_id, self.status, now, &switches)
    }
}

fn find_stack<'a>(inner: &'a Inner, request: &Request, fault: Option<&Scripted>) -> Result<&'a Stack, Refusal> {
    let region = required(request, "RegionId")?;
    let id = required(request, "StackId")?;
    let by_name = || inner.stacks.values().find(|stack| inner.switches.stack_by_name && stack.name == id);
    let stack = inner.stacks.get(id).or_else(by_name);
    let gone = |stack: &Stack| stack.status == crate::stack::status::Status::DELETE_COMPLETE && !inner.switches.deleted_stack_visible;
    match stack {
        Some(stack) if stack.region == region && !gone(stack) && !matches!(fault, Some(Scripted::StackNotFound)) => Ok(stack),
        _ => Err(Refusal::stack_not_found(id)),
    }
}

/// A parameter that must be there and not be empty.
pub(crate) fn required<'a>(request: &'a Request, name: &str) -> Result<&'a str, Refusal> {
    match request.parameter(name) {
        None | Some("") => Err(Refusal::missing_parameter(name)),
        Some(value) => Ok(value),
    }
}

fn client_token(request: &Request) -> Result<Option<&str>, Refusal> {
    let Some(token) = request.parameter("ClientToken") else {
        return Ok(None);
    };
    let charset = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if token.is_empty() || token.len() > 64 || !token.chars().all(charset) {
        return Err(Refusal::invalid_parameter("ClientToken", "it must have 1 to 64 letters, digits, '-' or '_'"));
    }
    Ok(Some(token))
}

fn format_of(request: &Request, default: Format) -> Result<Format, Refusal> {
    if let Some(format) = request.parameter("Format") {
        return match format.to_ascii_lowercase().as_str() {
            "json" => Ok(Format::Json),
            "xml" => Ok(Format::Xml),
            _ => Err(Refusal::bad_request("InvalidParameter.Format", "Specified Format must be JSON or XML.")),
        };
    }
    let accept = request.header("accept").unwrap_or_default().to_ascii_lowercase();
    if accept.contains("json") {
        Ok(Format::Json)
    } else if accept.contains("xml") {
        Ok(Format::Xml)
    } else {
        Ok(default)
    }
}
