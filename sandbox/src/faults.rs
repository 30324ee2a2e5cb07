//! Scripted faults: what goes wrong, for which requests, how often and for how long.
//!
//! Faults are tried in the order in which they were added; the first that applies is used, the others wait for a later
//! request. So a list of faults with `times: 1` is a script.

use serde::{Deserialize, Serialize};

use crate::clock::{FURTHEST_SECONDS, Moment, span};
use crate::request::{Request, Service, WireScheme};

/// Faults held at once; one more is refused.
const FAULTS_KEPT: usize = 256;

/// The longest stall, in seconds; also the bound of a stall until cleared.
pub(crate) const LONGEST_STALL_SECONDS: f64 = 3600.0;

/// One scripted fault.
///
/// ```json
/// {"effect": {"kind": "reset", "when": "after"}, "match": {"action": "SignalResource"}, "after": 0, "times": 1}
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// What goes wrong.
    pub effect: Effect,
    /// For which requests. Default: all of ROS.
    #[serde(default, rename = "match")]
    pub matching: Match,
    /// How many matching requests pass unharmed first. Default 0.
    #[serde(default)]
    pub after: u32,
    /// How many requests it harms. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
    /// For how long it lasts, from the moment it is added (a `refuse`: from the moment it begins). Default: until cleared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
}

/// Which requests a fault is for; what is left out matches all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Match {
    /// `ros` (default), `metadata`, `handle` or `smq`.
    pub service: Service,
    /// Only over `http` or only over `https`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheme: Option<WireScheme>,
    /// The operation, such as `SignalResource`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// The HTTP method, such as `PUT`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// How the path begins, such as `/latest/meta-data/ram/`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

impl Default for Match {
    fn default() -> Self {
        Self { service: Service::Ros, scheme: None, action: None, method: None, path: None }
    }
}

/// When a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum When {
    /// When the connection comes in, before a byte is read. Resets only.
    Accept,
    /// When the request has been read and nothing has been done.
    #[default]
    Before,
    /// When all has been done and the answer was about to be sent.
    After,
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Effect {
    /// The listening socket closes: connections are refused. Later the same port listens again.
    Refuse,
    /// The connection is reset (RST).
    Reset {
        /// When.
        #[serde(default)]
        when: When,
    },
    /// Nothing happens for a while.
    Stall {
        /// When.
        #[serde(default)]
        when: When,
        /// For how long; default: until the faults are cleared, an hour at most.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seconds: Option<f64>,
    },
    /// An HTTP answer of any kind.
    Http {
        /// `before` in place of the operation, `after` in place of its answer.
        #[serde(default)]
        when: When,
        /// HTTP status.
        status: u16,
        /// Headers; `content-type` is `text/html` where not given.
        #[serde(default)]
        headers: Vec<(String, String)>,
        /// The body.
        #[serde(default)]
        body: String,
        /// Send the body in pieces of this many bytes. Default: all at once.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        piece: Option<u32>,
        /// Milliseconds before each piece. Default 0.
        #[serde(default)]
        pause_ms: u32,
        /// Close the connection after this many bytes of the body, although more was announced.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cut_after: Option<u32>,
        /// Send the body again and again, for an hour or 4 GiB at most.
        #[serde(default)]
        endless: bool,
    },
    /// An error answer of ROS or its gateway, in the format the request asked for, after the signature passed.
    Error {
        /// Such as `ServiceUnavailable`.
        code: String,
        /// HTTP status.
        status: u16,
        /// Default: a sentence with the code.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
        /// Milliseconds in the header `x-acs-retry-after`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_ms: Option<u64>,
    },
    /// Throttling as ROS does it: HTTP 400. At SMQ: HTTP 503 and, unless another code is given, `QpsLimitExceeded`.
    Throttle {
        /// Default `Throttling.User`.
        #[serde(default = "throttling_user")]
        code: String,
        /// Milliseconds in the header `x-acs-retry-after`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_ms: Option<u64>,
    },
    /// `ResourceNotAvailable`: the host was faster than the handle.
    TooEarly,
    /// `StackNotFound`.
    StackNotFound,
    /// `Forbidden.RAM` with an `AccessDeniedDetail`; at SMQ `AccessDenied`.
    Forbidden,
    /// The temporary credentials that signed the request expire with it: `InvalidSecurityToken.Expired` from here on.
    ExpireCredentials,
    /// The `Date` header of the answer is wrong by this much. (`POST /clock` moves the whole clock.)
    Date {
        /// Seconds added to the true date.
        skew_seconds: i64,
    },
}

/// What is wrong with a fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FaultError(String);

impl Fault {
    /// A fault for every request of ROS, until cleared.
    pub fn new(effect: Effect) -> Self {
        Self { effect, matching: Match::default(), after: 0, times: None, seconds: None }
    }

    /// Only for this operation.
    #[must_use]
    pub fn action(mut self, action: &str) -> Self {
        self.matching.action = Some(action.to_owned());
        self
    }

    /// For the metadata service, for paths that begin so.
    #[must_use]
    pub fn metadata(mut self, path: &str) -> Self {
        self.matching.service = Service::Metadata;
        self.matching.path = Some(path.to_owned());
        self
    }

    /// For the service behind the URLs of handles.
    #[must_use]
    pub fn handle(mut self) -> Self {
        self.matching.service = Service::Handle;
        self
    }

    /// For SMQ; perhaps with [`Fault::action`], such as `ReceiveMessage`.
    #[must_use]
    pub fn smq(mut self) -> Self {
        self.matching.service = Service::Smq;
        self
    }

    /// Harms this many requests.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self { times: Some(times), ..self }
    }

    /// Lets this many matching requests pass first.
    #[must_use]
    pub fn after(self, after: u32) -> Self {
        Self { after, ..self }
    }

    /// Lasts this long.
    #[must_use]
    pub fn seconds(self, seconds: f64) -> Self {
        Self { seconds: Some(seconds), ..self }
    }

    fn check(&self) -> Result<(), FaultError> {
        let wrong = |text: &str| Err(FaultError(text.to_owned()));
        if self.seconds.is_some_and(|seconds| span(seconds).is_none()) {
            return wrong("seconds must be a number from 0 to ten years");
        }
        if self.times == Some(0) {
            return wrong("times must be 1 or more");
        }
        let at_accept = self.effect.when() == When::Accept;
        let narrow = self.matching.action.is_some() || self.matching.path.is_some() || self.matching.method.is_some();
        match &self.effect {
            Effect::Refuse if self.times.is_some() => {
                wrong("a closed port cannot count: refuse takes seconds, or lasts until cleared; to count, reset with \"when\": \"accept\"")
            }
            Effect::Reset { .. } if at_accept && narrow => {
                wrong("a reset at accept has seen no request: it cannot match action, method or path")
            }
            Effect::Stall { .. } | Effect::Http { .. } if at_accept => wrong("when must be before or after; only a reset can be at accept"),
            Effect::Stall { seconds: Some(seconds), .. } if !(0.0..=LONGEST_STALL_SECONDS).contains(seconds) => {
                wrong("seconds of a stall must be 0 to 3600")
            }
            Effect::Http { status, .. } | Effect::Error { status, .. } if !(200..=599).contains(status) => {
                wrong("status must be 200 to 599")
            }
            Effect::Http { piece: Some(0), .. } => wrong("piece must be 1 or more"),
            Effect::Http { endless: true, body, .. } if body.is_empty() => wrong("an endless body needs a body to repeat"),
            Effect::Http { headers, .. } if !headers.iter().all(|(name, value)| is_header(name, value)) => {
                wrong("headers must be pairs of a valid name and value, content-length and transfer-encoding excepted")
            }
            Effect::Date { skew_seconds } if skew_seconds.abs() > FURTHEST_SECONDS => wrong("skew_seconds must be within ten years"),
            Effect::Error { .. } | Effect::Throttle { .. } | Effect::Forbidden | Effect::ExpireCredentials
                if self.matching.service == Service::Smq =>
            {
                Ok(())
            }
            Effect::Error { .. }
            | Effect::Throttle { .. }
            | Effect::TooEarly
            | Effect::StackNotFound
            | Effect::Forbidden
            | Effect::ExpireCredentials
                if self.matching.service != Service::Ros =>
            {
                wrong("this kind is an answer of ROS; for the metadata service use http, stall, reset or refuse")
            }
            _ => Ok(()),
        }
    }
}

impl Effect {
    /// `Reset` before or after processing.
    pub fn reset(when: When) -> Self {
        Self::Reset { when }
    }

    /// A stall before or after processing, for `seconds` or until cleared.
    pub fn stall(when: When, seconds: Option<f64>) -> Self {
        Self::Stall { when, seconds }
    }

    /// An answer in place of the operation.
    pub fn http(status: u16, body: &str) -> Self {
        Self::Http {
            when: When::Before,
            status,
            headers: Vec::new(),
            body: body.to_owned(),
            piece: None,
            pause_ms: 0,
            cut_after: None,
            endless: false,
        }
    }

    /// An error answer of ROS.
    pub fn error(status: u16, code: &str) -> Self {
        Self::Error { code: code.to_owned(), status, message: None, retry_after_ms: None }
    }

    /// Throttling with HTTP 400, perhaps with `x-acs-retry-after`.
    pub fn throttle(retry_after_ms: Option<u64>) -> Self {
        Self::Throttle { code: throttling_user(), retry_after_ms }
    }

    fn when(&self) -> When {
        match self {
            Self::Reset { when } | Self::Stall { when, .. } | Self::Http { when, .. } => *when,
            _ => When::Before,
        }
    }
}

fn throttling_user() -> String {
    "Throttling.User".to_owned()
}

fn is_header(name: &str, value: &str) -> bool {
    let framing = ["content-length", "transfer-encoding"].iter().any(|framing| name.eq_ignore_ascii_case(framing));
    !framing && hyper::header::HeaderName::try_from(name).is_ok() && hyper::header::HeaderValue::try_from(value).is_ok()
}

/// The faults in force.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    active: Vec<Active>,
    last_id: u64,
}

/// A fault and how far it has come.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Active {
    pub(crate) id: u64,
    pub(crate) fault: Fault,
    /// Requests that matched while it was in force.
    pub(crate) matched: u32,
    /// Requests it harmed.
    pub(crate) used: u32,
    #[serde(skip)]
    begun: Option<Moment>,
}

impl Active {
    fn over(&self, now: Moment) -> bool {
        let ended = match (self.fault.seconds.and_then(span), self.begun) {
            (Some(length), Some(begun)) => now >= begun + length,
            _ => false,
        };
        ended || self.fault.times.is_some_and(|times| self.used >= times)
    }

    fn matches(&self, service: Service, wire: WireScheme, request: Option<&Request>) -> bool {
        let matching = &self.fault.matching;
        if matching.service != service || matching.scheme.is_some_and(|scheme| scheme != wire) {
            return false;
        }
        let Some(request) = request else { return true };
        matching.action.as_ref().is_none_or(|action| request.action().as_ref() == Some(action))
            && matching.method.as_ref().is_none_or(|method| method.eq_ignore_ascii_case(&request.method))
            && matching.path.as_ref().is_none_or(|path| request.path.starts_with(path))
    }
}

impl Faults {
    pub(crate) fn add(&mut self, fault: Fault, now: Moment) -> Result<u64, FaultError> {
        fault.check()?;
        if self.active.len() >= FAULTS_KEPT {
            self.active.retain(|active| !active.over(now));
        }
        if self.active.len() >= FAULTS_KEPT {
            return Err(FaultError(format!("no more than {FAULTS_KEPT} faults at once; clear some with DELETE /faults")));
        }
        self.last_id += 1;
        let begins_later = fault.effect == Effect::Refuse && fault.after > 0;
        let begun = (!begins_later).then_some(now);
        self.active.push(Active { id: self.last_id, fault, matched: 0, used: 0, begun });
        Ok(self.last_id)
    }

    pub(crate) fn clear(&mut self) {
        self.active.clear();
    }

    pub(crate) fn list(&self) -> &[Active] {
        &self.active
    }

    pub(crate) fn exists(&self, id: u64) -> bool {
        self.active.iter().any(|active| active.id == id)
    }

    /// The fault that strikes this request, if one does.
    pub(crate) fn strike(&mut self, request: &Request, now: Moment) -> Option<(u64, Effect)> {
        self.pick(request.service, request.wire, Some(request), now)
    }

    /// Whether a connection is reset before a byte of it is read.
    pub(crate) fn strike_connection(&mut self, service: Service, wire: WireScheme, now: Moment) -> bool {
        self.pick(service, wire, None, now).is_some()
    }

    fn pick(&mut self, service: Service, wire: WireScheme, request: Option<&Request>, now: Moment) -> Option<(u64, Effect)> {
        for active in &mut self.active {
            let at_accept = active.fault.effect.when() == When::Accept;
            if at_accept != request.is_none() || active.over(now) || !active.matches(service, wire, request) {
                continue;
            }
            active.matched = active.matched.saturating_add(1);
            if active.fault.effect == Effect::Refuse {
                if active.begun.is_none() && active.matched >= active.fault.after {
                    active.begun = Some(now);
                }
                continue;
            }
            if active.matched > active.fault.after {
                active.used = active.used.saturating_add(1);
                return Some((active.id, active.fault.effect.clone()));
            }
        }
        None
    }

    /// Whether this listener has its port closed now, and until when if that is known.
    pub(crate) fn refusing(&self, service: Service, wire: WireScheme, now: Moment) -> Option<Option<Moment>> {
        let refusals = self.active.iter().filter(|active| {
            active.fault.effect == Effect::Refuse && active.begun.is_some() && !active.over(now) && active.matches(service, wire, None)
        });
        refusals.map(|active| Some(active.begun? + span(active.fault.seconds?)?)).reduce(|one, other| Some(one?.max(other?)))
    }
}
