//! The running agent, asked over its control socket. Every answer is bounded in size and time.

use crate::control::Problem;
use crate::transport;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Method, StatusCode, header};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::VecDeque;
use std::error::Error as StdError;
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::Instant;

/// How long the agent may take to answer what it knows, where no time was asked for.
pub(super) const ANSWER: Duration = Duration::from_secs(10);
/// What an answer is given beyond the end of the time that was asked for, so that an agent that keeps the time is heard.
const GRACE: Duration = Duration::from_millis(500);
/// A status has at most 4 KiB of output for each check.
const BODY_LIMIT: usize = 16 * 1024 * 1024;
/// One line about an event is far shorter.
const LINE_LIMIT: usize = 1024 * 1024;

/// Why the agent did not do it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// Nobody listens.
    #[error("no agent answers at {}: {cause}\nhint: {hint}", socket.display())]
    Absent { socket: PathBuf, cause: String, hint: String },
    /// The socket is not for this user.
    #[error("the agent's socket {} is not open to this user\nhint: ask as root, or as a member of the group ros-signal-agent", socket.display())]
    Closed { socket: PathBuf },
    /// The agent says no.
    #[error("{}{}", problem.error, problem.hint.as_ref().map(|hint| format!("\nhint: {hint}")).unwrap_or_default())]
    Refused { status: StatusCode, problem: Problem },
    /// It took the connection and says nothing, as a process that is stopped or hangs.
    #[error("the agent at {} does not answer", socket.display())]
    Silent { socket: PathBuf },
    /// Something else.
    #[error("the agent at {} did not answer as expected: {cause}", socket.display())]
    Broken { socket: PathBuf, cause: String },
}

impl Trouble {
    /// The agent is being stopped or restarted, so that asking again makes sense for one who waits anyway.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Absent { .. } | Self::Silent { .. } | Self::Broken { .. } => true,
            Self::Closed { .. } => false,
            Self::Refused { status, .. } => *status == StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// How the socket was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It was named, on the command line or by the configuration.
    Named,
    /// The configuration cannot be used for this reason, so what can be read of it was believed, or else the default.
    Despite(String),
}

/// The agent behind a socket.
pub(super) struct Agent {
    http: reqwest::Client,
    socket: PathBuf,
    found: Found,
}

impl Agent {
    /// The agent behind `socket`. Asks nothing yet.
    pub(super) fn at(socket: PathBuf, found: Found) -> anyhow::Result<Self> {
        let http = transport::unencrypted_builder()?.unix_socket(socket.clone()).build()?;
        Ok(Self { http, socket, found })
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str, within: Duration) -> Result<T, Trouble> {
        self.ask(Method::GET, path, None, within).await
    }

    /// Posts `body` as JSON.
    pub(super) async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize, within: Duration) -> Result<T, Trouble> {
        let body = serde_json::to_vec(body).map_err(|error| self.broken(error.to_string()))?;
        self.ask(Method::POST, path, Some(body), within).await
    }

    async fn ask<T: DeserializeOwned>(&self, method: Method, path: &str, body: Option<Vec<u8>>, within: Duration) -> Result<T, Trouble> {
        let answer = self.answer(method, path, body);
        tokio::time::timeout(within, answer).await.unwrap_or_else(|_| Err(Trouble::Silent { socket: self.socket.clone() }))
    }

    async fn answer<T: DeserializeOwned>(&self, method: Method, path: &str, body: Option<Vec<u8>>) -> Result<T, Trouble> {
        // What is asked for, `--json` gives on as it is; the commands that tell it in words mind the terminal.
        let as_it_is = method == Method::GET;
        let response = self.response(method, path, body).await?;
        let body = transport::read_body(response, BODY_LIMIT, "the agent").await.map_err(|trouble| self.broken(trouble.message))?;
        let read = if as_it_is { serde_json::from_slice(&body) } else { decoded(&body) };
        read.map_err(|error| self.broken(format!("{error}; are agent and command of one version?")))
    }

    /// The head of a good answer; what is not one is an error.
    async fn response(&self, method: Method, path: &str, body: Option<Vec<u8>>) -> Result<reqwest::Response, Trouble> {
        // The host name goes nowhere: the socket decides who is asked.
        let mut request = self.http.request(method, format!("http://localhost{path}"));
        if let Some(body) = body {
            request = request.header(header::CONTENT_TYPE, "application/json").body(body);
        }
        let response = request.send().await.map_err(|error| self.trouble(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = transport::read_body(response, BODY_LIMIT, "the agent").await.map_err(|trouble| self.broken(trouble.message))?;
        match decoded(&body) {
            Ok(problem) => Err(Trouble::Refused { status, problem }),
            Err(_) => Err(self.broken(format!("HTTP {}", status.as_u16()))),
        }
    }

    /// An answer that is read line by line, for as long as it goes on.
    pub(super) async fn lines(&self, path: &str, within: Duration) -> Result<Lines, Trouble> {
        let answer = tokio::time::timeout(within, self.response(Method::GET, path, None)).await;
        let response = answer.unwrap_or_else(|_| Err(Trouble::Silent { socket: self.socket.clone() }))?;
        Ok(Lines { response, pending: VecDeque::new() })
    }

    fn trouble(&self, error: &reqwest::Error) -> Trouble {
        match io_kind(error) {
            Some(io::ErrorKind::PermissionDenied) => Trouble::Closed { socket: self.socket.clone() },
            Some(io::ErrorKind::NotFound) => self.absent("there is no such socket".to_owned()),
            Some(io::ErrorKind::ConnectionRefused) => self.absent("connection refused".to_owned()),
            _ if error.is_connect() => self.absent(transport::describe(error, "the agent").message),
            _ => self.broken(transport::describe(error, "the agent").message),
        }
    }

    fn absent(&self, cause: String) -> Trouble {
        let hint = match &self.found {
            Found::Named => "systemctl status ros-signal-agent, or name its socket with --socket".to_owned(),
            Found::Despite(why) => {
                format!("the configuration cannot be used: {why}\nhint: mend it, or name the agent's socket with --socket")
            }
        };
        Trouble::Absent { socket: self.socket.clone(), cause, hint }
    }

    fn broken(&self, cause: String) -> Trouble {
        Trouble::Broken { socket: self.socket.clone(), cause }
    }
}

/// The lines of an answer.
pub(super) struct Lines {
    response: reqwest::Response,
    /// What was read and not handed out yet.
    pending: VecDeque<u8>,
}

impl Lines {
    /// The next one, without its line break. None: the answer has ended, or the agent has.
    pub(super) async fn next(&mut self) -> Option<Vec<u8>> {
        let mut searched = 0;
        loop {
            if let Some(at) = self.pending.iter().skip(searched).position(|byte| *byte == b'\n') {
                let mut line: Vec<u8> = self.pending.drain(..=searched + at).collect();
                line.pop();
                return Some(line);
            }
            searched = self.pending.len();
            if searched > LINE_LIMIT {
                return None;
            }
            // A connection that breaks is an agent that has ended.
            self.pending.extend(self.response.chunk().await.ok()??);
        }
    }
}

/// JSON of the agent. Its texts are shown to root, and may be those of somebody who has become the agent's user and sits at the socket in its
/// place: nothing in them may speak to the terminal.
pub(super) fn decoded<T: DeserializeOwned>(text: &[u8]) -> serde_json::Result<T> {
    serde_json::from_value(harmless(serde_json::from_slice(text)?))
}

fn harmless(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(harmless_text(&text)),
        Value::Array(items) => items.into_iter().map(harmless).collect(),
        Value::Object(members) => members.into_iter().map(|(name, value)| (harmless_text(&name), harmless(value))).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
    }
}

/// Lines stay lines.
pub(super) fn harmless_text(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { ' ' } else { c }).collect()
}

fn io_kind(error: &reqwest::Error) -> Option<io::ErrorKind> {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    for _ in 0..16 {
        let error = cause?;
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return Some(io.kind());
        }
        cause = error.source();
    }
    None
}

/// How long an answer may take where all is to be done by `end`.
pub(super) fn until(end: Instant) -> Duration {
    end.saturating_duration_since(Instant::now()).saturating_add(GRACE)
}

/// `text` for the query of a path.
pub(super) fn quoted(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_answers_in_the_place_of_the_agent_does_not_speak_to_the_terminal_of_root() {
        let text = r#"{"done": "a\u001b]0;b\u0007\n\tc", "\u001bname": [{"x": "\u009b2J\u007f"}, 18446744073709551615]}"#;
        let value: Value = decoded(text.as_bytes()).unwrap();
        assert_eq!(value, serde_json::json!({"done": "a ]0;b \n\tc", " name": [{"x": " 2J "}, u64::MAX]}));
    }
}
