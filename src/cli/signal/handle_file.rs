//! `signal --handle-file`: what templates do with `ros-notify`, with the same words, and until it is acknowledged.
//!
//! In a template `Fn::Replace` puts the handle's CurlCli in the place of the word `ros-notify`, and the script runs it with
//! `-d '{"status": "SUCCESS"}'`: one attempt, an exit code of 0 whatever the service answers, and the URL on a command line. Here the URL
//! stays in a file. Keys are understood in any case, for the documents of ROS write both `status` and `Status`; they are sent in lower
//! case. What says no status is a SUCCESS, as at ROS.

use super::direct::{self, Overrides, Way};
use super::{Patience, Report, Wanted};
use crate::cli::arguments::{Global, SignalArguments};
use crate::cli::failure::Failure;
use crate::cli::{Exit, block_on, output};
use crate::credentials::read_secret;
use crate::handle::Document;
use crate::signal::{SignalStatus, Target};
use anyhow::Context as _;
use serde_json::Value;
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;
use zeroize::Zeroizing;

/// The most that is read of standard input, in bytes.
const INPUT_LIMIT: u64 = 64 * 1024;

/// What the words after `-d` mean.
#[derive(Debug, Default, PartialEq)]
struct Said {
    status: Option<SignalStatus>,
    id: Option<String>,
    reason: Option<String>,
    data: Option<Value>,
    /// Keys that mean nothing.
    unknown: Vec<String>,
}

/// Sends it.
///
/// # Errors
/// If the command line or the file is wrong, or the signal was not acknowledged in time.
pub(super) fn run(global: &Global, arguments: SignalArguments) -> anyhow::Result<Report> {
    let path = arguments.handle_file.context("--handle-file is needed")?;
    if path == Path::new("-") && arguments.data.as_deref() == Some("@-") {
        return Err(Failure::new(Exit::Usage, "standard input cannot be both the document of --handle-file and the body of -d").into());
    }
    refuse_url(&path)?;
    let said = arguments.data.as_deref().map(spoken).transpose()?.unwrap_or_default();
    for key in &said.unknown {
        output::notice(&format!("-d: `{key}` means nothing to ROS and is left out"));
    }
    let status = match (arguments.status, arguments.exit_code) {
        (Some(word), _) => word.into(),
        (None, Some(0)) => SignalStatus::Success,
        (None, Some(_)) => SignalStatus::Failure,
        (None, None) => said.status.unwrap_or(SignalStatus::Success),
    };
    let reason = arguments.reason.or(said.reason).or_else(|| arguments.exit_code.map(|code| format!("exit code {code}")));
    let way = if path == Path::new("-") {
        Way::Given(Box::new(parsed(&standard_input()?, "standard input")?))
    } else {
        Way::File(absolute(&path)?)
    };
    let resource = match (arguments.resource, way.resource()?) {
        (Some(resource), _) => resource,
        (None, found) => found.unwrap_or_else(|| Target::UNNAMED.to_owned()),
    };
    let wanted = Wanted {
        resource,
        status,
        reason: reason.unwrap_or_default(),
        data: said.data,
        timeout: arguments.timeout.min(Duration::from_secs(365 * 24 * 3600)),
        patience: if arguments.no_wait { Patience::Once } else { Patience::UntilAcknowledged },
    };
    let overrides = Overrides::new(arguments.stack_id, arguments.region, arguments.unique_id.or(said.id))?;
    let loaded = global.load()?;
    global.log_to_stderr("warn")?;
    block_on(async {
        let end = Instant::now() + wanted.timeout;
        direct::send_by(way, &loaded, &wanted, overrides, end).await
    })
}

/// The URL in the place of its file, as somebody writes it who knows `ros-notify`. It is a secret: messages must not repeat it.
fn refuse_url(path: &Path) -> anyhow::Result<()> {
    if !path.to_string_lossy().contains("://") {
        return Ok(());
    }
    let hint =
        "every user of this host sees command lines: write the URL into a file, or hand it over on standard input with --handle-file -";
    Err(Failure::new(Exit::Usage, "--handle-file: it names a file, and this is a URL").hint(hint).into())
}

fn absolute(path: &Path) -> anyhow::Result<std::path::PathBuf> {
    std::path::absolute(path).with_context(|| format!("--handle-file {}", path.display()))
}

impl Way {
    /// The handle that the URL names.
    fn resource(&self) -> anyhow::Result<Option<String>> {
        let document = match self {
            Self::File(path) => read(path)?,
            Self::Given(document) => (**document).clone(),
            Self::Api | Self::Handle(_) => return Ok(None),
        };
        Ok(document.place().resource.clone())
    }
}

fn read(path: &Path) -> anyhow::Result<Document> {
    let what = || format!("handle file {}", path.display());
    let hint = "write the handle's attribute CurlCli or URL into it, where who runs this may read it";
    let text = read_secret(path, false).map_err(|why| Failure::new(Exit::Failure, format!("{}: {why}", what())).hint(hint))?;
    parsed(&text, &what())
}

fn standard_input() -> anyhow::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    std::io::stdin().lock().take(INPUT_LIMIT).read_to_string(&mut text).context("standard input")?;
    Ok(text)
}

fn parsed(text: &str, what: &str) -> anyhow::Result<Document> {
    Document::parse(text).map_err(|invalid| Failure::new(Exit::Failure, format!("{what}: {invalid}")).hint(invalid.hint()).into())
}

/// What stands after `-d`, or in the file that `@` names there, or on standard input (`@-`), as with curl.
fn spoken(text: &str) -> anyhow::Result<Said> {
    let hint = "write -d '{\"status\": \"SUCCESS\"}' or '{\"status\": \"FAILURE\"}', quoted for the shell, or -d @FILE";
    let usage = |why: String| Failure::new(Exit::Usage, format!("-d: {why}")).hint(hint);
    let text = match text.strip_prefix('@') {
        Some("-") => standard_input()?.to_string(),
        Some(path) => read_secret(Path::new(path), false).map_err(|why| usage(format!("{path}: {why}")))?.to_string(),
        None => text.to_owned(),
    };
    Ok(understood(&text).map_err(usage)?)
}

fn understood(text: &str) -> Result<Said, String> {
    let object = match serde_json::from_str(text) {
        Ok(Value::Object(object)) => object,
        Ok(_) => return Err("it is not a JSON object".to_owned()),
        Err(error) => return Err(format!("it is not JSON (line {}, column {})", error.line(), error.column())),
    };
    let mut said = Said::default();
    let mut seen: Vec<String> = Vec::new();
    for (key, value) in object {
        let name = key.to_ascii_lowercase();
        if seen.contains(&name) {
            return Err(format!("`{name}` stands there twice"));
        }
        match name.as_str() {
            "status" => said.status = Some(status(&value)?),
            "id" | "uniqueid" => said.id = Some(text_of(&name, value)?),
            "reason" => said.reason = Some(text_of(&name, value)?),
            "data" => said.data = Some(value).filter(|value| !value.is_null()),
            _ => said.unknown.push(crate::transport::clean(&key)),
        }
        seen.push(name);
    }
    Ok(said)
}

fn status(value: &Value) -> Result<SignalStatus, String> {
    match value.as_str().map(|word| word.trim().to_ascii_uppercase()).as_deref() {
        Some("SUCCESS") => Ok(SignalStatus::Success),
        Some("FAILURE") => Ok(SignalStatus::Failure),
        Some("WARNING") => Ok(SignalStatus::Warning),
        _ => Err("`status` is none of SUCCESS, FAILURE and WARNING".to_owned()),
    }
}

/// Ids are numbers in some templates.
fn text_of(name: &str, value: Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        _ => Err(format!("`{name}` is not a text")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_understood_as_people_write_them() {
        let status = |text: &str| understood(text).unwrap().status;
        for text in [r#"{"status": "SUCCESS"}"#, r#"{"Status" : " SUCCESS "}"#, r#"{"STATUS":"success"}"#] {
            assert_eq!(status(text), Some(SignalStatus::Success), "{text}");
        }
        assert_eq!(status(r#"{"Status":"FAILURE"}"#), Some(SignalStatus::Failure));
        let said = understood(r#"{"Data" : ["a", "b"], "status": "WARNING", "Id": 2, "reason": "why", "more": 1}"#).unwrap();
        assert_eq!((said.id.as_deref(), said.reason.as_deref()), (Some("2"), Some("why")));
        assert_eq!((said.data, said.unknown), (Some(serde_json::json!(["a", "b"])), vec!["more".to_owned()]));
        assert_eq!(understood("{}").unwrap(), Said::default(), "which is a SUCCESS");
    }

    #[test]
    fn what_is_not_understood_is_said_without_quoting_it() {
        for text in ["", "hunter2", "[\"hunter2\"]", r#"{"status": "hunter2"}"#, r#"{"status": 1}"#, r#"{"id": {"x": "hunter2"}}"#] {
            let why = understood(text).unwrap_err();
            assert!(!why.contains("hunter2"), "{why}");
        }
        assert!(understood(r#"{"status": "SUCCESS", "Status": "FAILURE"}"#).unwrap_err().contains("twice"));
    }
}
