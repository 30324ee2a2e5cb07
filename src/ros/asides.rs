//! Questions beside the main way: what the template says, and what became of a signal that was acknowledged. Neither holds up a send.

use super::client::{Client, mended};
use super::operations;
use crate::rpc::{Body, Operation};
use crate::signal::{Class, Refusal, SignalStatus, Target, UniqueId};
use crate::stack::confirm::{self, Condition, Shown, Sighting};
use crate::stack::template::{Parameters, Template};
use crate::stack::{Lesson, template};
use crate::transport;
use serde::Deserialize;
use std::time::Duration;

/// All requests of one question together: nobody waits for it.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(30);

/// Parameters of a stack that are kept; ROS takes 200 in a template.
const PARAMETERS_LIMIT: usize = 256;

/// One of GetStack's `Parameters`.
#[derive(Deserialize)]
struct Parameter {
    #[serde(rename = "ParameterKey")]
    key: String,
    #[serde(rename = "ParameterValue")]
    value: Option<String>,
}

/// One of GetStackResource's `ResourceAttributes`.
#[derive(Deserialize)]
struct Attribute {
    #[serde(rename = "ResourceAttributeKey")]
    key: String,
    #[serde(rename = "ResourceAttributeValue")]
    value: Option<serde_json::Value>,
}

impl Client {
    /// What the template of the stack says of the target's resource and of its condition.
    pub async fn learn(&self, target: &Target, condition: Option<&str>) -> Lesson {
        match tokio::time::timeout(QUESTION_TIMEOUT, self.learn_unbounded(target, condition)).await {
            Ok(Ok(lesson)) => lesson,
            Ok(Err(refusal)) if refusal.class == Class::Permission => Lesson::Denied(refusal.explained()),
            Ok(Err(refusal)) => Lesson::Failed { retry_after: refusal.retry_after, class: refusal.class, why: refusal.explained() },
            Err(_) => Lesson::Failed {
                why: format!("no answer within {}s", QUESTION_TIMEOUT.as_secs()),
                class: Class::Transient,
                retry_after: None,
            },
        }
    }

    async fn learn_unbounded(&self, target: &Target, condition: Option<&str>) -> Result<Lesson, Refusal> {
        let body = mended(|| self.attempt(target, operations::get_template(target))).await?;
        let Some(text) = body.member("TemplateBody").map(str::to_owned) else {
            return Ok(Lesson::Unreadable("the answer of GetTemplate has no TemplateBody".to_owned()));
        };
        drop(body);
        let template = match parsed(text).await {
            Ok(template) => template,
            Err(why) => return Ok(Lesson::Unreadable(transport::clean(&why))),
        };
        let (mut facts, asked) = template.facts(&target.resource, condition, &Parameters::new());
        if !asked.is_empty() {
            facts = template.facts(&target.resource, condition, &self.parameters(target).await?).0;
        }
        let left_ms = match (&facts.condition, facts.timeout_s) {
            (Some(condition), Some(timeout)) => self.left_ms(target, condition, timeout.saturating_mul(1000)).await?,
            _ => None,
        };
        Ok(Lesson::Learned { facts, left_ms })
    }

    /// The parameters that the stack was made with. Those that are hidden (`NoEcho`) have asterisks, which are no number.
    async fn parameters(&self, target: &Target) -> Result<Parameters, Refusal> {
        let body = mended(|| self.attempt(target, operations::get_stack(target))).await?;
        let given: Vec<Parameter> = body.member("Parameters").and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        Ok(given.into_iter().take(PARAMETERS_LIMIT).filter_map(|parameter| Some((parameter.key, parameter.value?))).collect())
    }

    /// How much of its Timeout a condition has left. One that has not begun has all of it; none if it cannot be known.
    async fn left_ms(&self, target: &Target, condition: &str, timeout_ms: i64) -> Result<Option<i64>, Refusal> {
        let body = match mended(|| self.attempt(target, operations::get_stack_resource(target, condition))).await {
            Ok(body) => body,
            Err(refusal) if is_not_there(&refusal) => return Ok(Some(timeout_ms)),
            // The facts are worth having without it.
            Err(refusal) if refusal.class == Class::Permission => return Ok(None),
            Err(refusal) => return Err(refusal),
        };
        let member = |names: [&str; 2]| names.into_iter().find_map(|name| body.member(name)).and_then(ros_time_ms);
        let began = match body.member("Status").unwrap_or_default() {
            "INIT_COMPLETE" => return Ok(Some(timeout_ms)),
            "CREATE_IN_PROGRESS" => member(["CreateTime", "CreationTime"]),
            "UPDATE_IN_PROGRESS" => member(["UpdateTime", "UpdatedTime"]),
            _ => None,
        };
        Ok(began.map(|began| timeout_ms.saturating_sub(self.server_ms().saturating_sub(began).max(0))))
    }

    /// What became of an acknowledged signal. Looks at the condition where one is known, and at the stack.
    pub async fn confirm(&self, target: &Target, condition: Option<&str>, unique_id: &UniqueId, said: SignalStatus) -> Sighting {
        match tokio::time::timeout(QUESTION_TIMEOUT, self.confirm_unbounded(target, condition, unique_id, said)).await {
            Ok(Ok(sighting)) => sighting,
            Ok(Err(refusal)) if refusal.class == Class::Permission => Sighting::Denied(refusal.explained()),
            Ok(Err(refusal)) => Sighting::Missed { retry_after: refusal.retry_after, class: refusal.class, why: refusal.explained() },
            Err(_) => Sighting::Missed {
                why: format!("no answer within {}s", QUESTION_TIMEOUT.as_secs()),
                class: Class::Transient,
                retry_after: None,
            },
        }
    }

    async fn confirm_unbounded(
        &self,
        target: &Target,
        condition: Option<&str>,
        unique_id: &UniqueId,
        said: SignalStatus,
    ) -> Result<Sighting, Refusal> {
        let stack = match mended(|| self.attempt(target, operations::get_stack(target))).await {
            Ok(body) => {
                self.remember(target);
                body
            }
            Err(refusal) if refusal.code.as_deref() == Some("StackNotFound") && self.is_gone(target) => {
                return Ok(Sighting::RolledBack("the stack was deleted".to_owned()));
            }
            Err(refusal) => return Err(refusal),
        };
        let (status, reason) = shown(&stack);
        let of_stack = Shown { status: &status, reason: reason.as_deref() };
        let Some(name) = condition else { return Ok(confirm::judge(said, of_stack, None)) };
        let body = match mended(|| self.attempt(target, operations::get_data(target, name))).await {
            Ok(body) => body,
            // It is not there yet, or not any more: the stack tells which.
            Err(refusal) if is_not_there(&refusal) => {
                let waits = of_stack.status.ends_with("_IN_PROGRESS") && !of_stack.status.contains("ROLLBACK");
                let not_yet = || Sighting::Waiting(format!("{name} is not there yet"));
                return Ok(if waits { not_yet() } else { confirm::judge(said, of_stack, None) });
            }
            Err(refusal) => return Err(refusal),
        };
        let attributes: Vec<Attribute> =
            body.member("ResourceAttributes").and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let text = |key: &str| {
            let attribute = attributes.iter().find(|attribute| attribute.key == key)?;
            match attribute.value.as_ref()? {
                serde_json::Value::String(text) => Some(text.clone()),
                serde_json::Value::Null => None,
                other => Some(other.to_string()),
            }
        };
        let (data, errors) = (text("Data"), text("ErrorData"));
        let has_it = confirm::holds(&[data.as_deref(), errors.as_deref()], unique_id.as_str());
        let (status, reason) = shown(&body);
        let condition = Condition { name, shown: Shown { status: &status, reason: reason.as_deref() }, has_it };
        Ok(confirm::judge(said, of_stack, Some(condition)))
    }
}

/// Off the loop's thread: half a megabyte takes a while.
#[expect(
    clippy::disallowed_methods,
    reason = "computing that ends soon, one at a time: it cannot hold up the look-up of names that shares the pool"
)]
async fn parsed(text: String) -> Result<Template, String> {
    let parsing = tokio::task::spawn_blocking(move || template::Template::parse(&text));
    parsing.await.unwrap_or_else(|_| Err("reading it was cut short".to_owned()))
}

/// The stack has no such resource, not yet or not any more.
fn is_not_there(refusal: &Refusal) -> bool {
    matches!(refusal.code.as_deref(), Some("ResourceNotFound" | "ResourceNotAvailable"))
}

/// `Status` and `StatusReason`, fit for messages.
pub(super) fn shown(body: &Body) -> (String, Option<String>) {
    (transport::clean(body.member("Status").unwrap_or_default()), body.member("StatusReason").map(transport::clean))
}

/// `2019-08-01T05:16:31`, in UTC, with or without a Z.
pub(super) fn ros_time_ms(text: &str) -> Option<i64> {
    let format = time::macros::format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]");
    let time = time::PrimitiveDateTime::parse(text.trim_end_matches('Z'), format).ok()?;
    time.assume_utc().unix_timestamp().checked_mul(1000)
}

impl Operation {
    /// The most of its answer that is read, in bytes. A template has up to 512 KiB, and more as a JSON text with its line feeds and quotation
    /// marks escaped.
    pub(crate) fn answer_limit(&self) -> Option<usize> {
        (self.action == "GetTemplate").then_some(1024 * 1024)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_ros_are_utc_with_and_without_their_letter() {
        assert_eq!(ros_time_ms("2019-08-01T05:16:31"), Some(1_564_636_591_000));
        assert_eq!(ros_time_ms("2019-08-01T05:16:31Z"), Some(1_564_636_591_000));
        for wrong in ["", "2019-08-01", "2019-13-01T00:00:00", "yesterday", "2019-08-01T05:16:31+08:00"] {
            assert_eq!(ros_time_ms(wrong), None, "{wrong}");
        }
    }
}
