//! A request as it came in: decoded once, read by everything that answers it.

use hyper::body::Bytes;
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};

/// Which service of the sandbox was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// The ROS API, over HTTP or TLS.
    Ros,
    /// The ECS metadata service.
    Metadata,
    /// The service behind the URLs of handles.
    Handle,
    /// The Simple Message Queue service.
    Smq,
    /// The control interface of the sandbox; never faulty, never recorded.
    #[serde(skip)]
    Control,
}

/// How the request travelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WireScheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
}

#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) service: Service,
    pub(crate) wire: WireScheme,
    pub(crate) method: String,
    /// Path and query as they were sent.
    pub(crate) target: String,
    pub(crate) path: String,
    /// Decoded parameters of the query, in their order.
    pub(crate) query: Vec<(String, String)>,
    /// Decoded parameters of a form body, in their order.
    pub(crate) form: Vec<(String, String)>,
    /// Header names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
}

impl Request {
    pub(crate) fn new(
        service: Service,
        wire: WireScheme,
        method: String,
        target: &str,
        headers: Vec<(String, String)>,
        body: Bytes,
    ) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let is_form = headers
            .iter()
            .any(|(name, value)| name == "content-type" && value.to_ascii_lowercase().starts_with("application/x-www-form-urlencoded"));
        let form = if is_form { decode(&String::from_utf8_lossy(&body)) } else { Vec::new() };
        Self { service, wire, method, target: target.to_owned(), path: path.to_owned(), query: decode(query), form, headers, body }
    }

    /// A header's value; several of one name are trimmed, sorted and joined, as the V3 page says.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let found = self.headers.iter().filter(|(other, _)| other == name);
        let mut values: Vec<&str> = found.map(|(_, value)| value.trim()).collect();
        values.sort_unstable();
        (!values.is_empty()).then(|| values.join(","))
    }

    /// All parameters, those of the query first.
    pub(crate) fn parameters(&self) -> impl Iterator<Item = &(String, String)> {
        self.query.iter().chain(&self.form)
    }

    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// The operation asked for: a header under ACS3, a parameter otherwise; of SMQ what method and path mean.
    pub(crate) fn action(&self) -> Option<String> {
        if self.service == Service::Smq {
            return crate::smq::action(self).map(str::to_owned);
        }
        self.header("x-acs-action").or_else(|| self.parameter("Action").map(str::to_owned))
    }
}

fn decode(query: &str) -> Vec<(String, String)> {
    let parts = query.split('&').filter(|part| !part.is_empty());
    parts.map(|part| part.split_once('=').unwrap_or((part, ""))).map(|(k, v)| (unescape(k), unescape(v))).collect()
}

fn unescape(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}
