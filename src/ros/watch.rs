//! The look that follows a stack: GetStack, and GetStackResource of a few resources where the stack has moved.

use super::Client;
use super::client::{mended, status, updated};
use super::operations;
use crate::hooks::StackFacts;
use crate::rpc::{Body, hex, host_name};
use crate::signal::{Class, Refusal, Target};
use crate::stack::sight::{Mark, Seen, SeenResource, Sight};
use crate::transport::clean;
use ring::digest::{SHA256, digest};
use std::time::Duration;

/// For one look with all its questions.
const LOOK_TIMEOUT: Duration = Duration::from_secs(20);

/// The longest `Metadata` whose text is kept, in bytes; of a longer one only the digest is.
const METADATA_LIMIT: usize = 16 * 1024;

/// The longest reason of a status that is kept, in characters.
const REASON_LIMIT: usize = 1024;

impl Client {
    /// How the stack is, and `resources` of it unless it still shows `unless`.
    pub async fn watch(&self, target: &Target, unless: Option<&Mark>, resources: &[String]) -> Sight {
        match tokio::time::timeout(LOOK_TIMEOUT, self.watch_unbounded(target, unless, resources)).await {
            Ok(Ok(sight)) => sight,
            Ok(Err(refusal)) if refusal.class == Class::Permission => Sight::Denied(refusal.explained()),
            Ok(Err(refusal)) => Sight::Failed { retry_after: refusal.retry_after, class: refusal.class, why: refusal.explained() },
            Err(_) => {
                let why = format!("no answer about the stack within {}s", LOOK_TIMEOUT.as_secs());
                Sight::Failed { why, class: Class::Transient, retry_after: None }
            }
        }
    }

    async fn watch_unbounded(&self, target: &Target, unless: Option<&Mark>, resources: &[String]) -> Result<Sight, Refusal> {
        let body = match mended(|| self.attempt(target, operations::get_stack(target))).await {
            Ok(body) => body,
            Err(refusal) if refusal.code.as_deref() == Some("StackNotFound") => {
                // What looks before a send know of it is the same.
                self.is_gone(target);
                return Ok(Sight::Missing { host: self.host(target) });
            }
            Err(refusal) => return Err(refusal),
        };
        self.remember(target);
        let facts = facts(target, &body)?;
        let mut seen = Seen { host: self.host(target), notifies_eventbridge: notifies(&body), facts, ..Seen::default() };
        drop(body);
        let mark = Mark { status: seen.facts.status.clone(), updated: seen.facts.updated.clone() };
        if unless != Some(&mark) {
            for logical_id in resources {
                match self.resource(target, logical_id).await {
                    Ok(resource) => seen.resources.push(resource),
                    // The stack alone is worth seeing.
                    Err(refusal) if refusal.class == Class::Permission => {
                        seen.resources_denied = Some(refusal.explained());
                        break;
                    }
                    // So are the other resources.
                    Err(refusal) if refusal.class == Class::Permanent && refusal.code.as_deref() != Some("StackNotFound") => {
                        seen.resources_denied = Some(refusal.explained());
                    }
                    Err(refusal) => return Err(refusal),
                }
            }
        }
        Ok(Sight::Seen(Box::new(seen)))
    }

    async fn resource(&self, target: &Target, logical_id: &str) -> Result<SeenResource, Refusal> {
        let body = match mended(|| self.attempt(target, operations::get_stack_resource(target, logical_id))).await {
            Ok(body) => body,
            Err(refusal) if matches!(refusal.code.as_deref(), Some("ResourceNotFound" | "ResourceNotAvailable")) => {
                return Ok(SeenResource { logical_id: logical_id.to_owned(), ..SeenResource::default() });
            }
            Err(refusal) => return Err(refusal),
        };
        let metadata = body.member("Metadata").filter(|text| !matches!(*text, "" | "null"));
        Ok(SeenResource {
            logical_id: logical_id.to_owned(),
            status: Some(status(&body)?),
            updated: updated(&body),
            metadata: metadata.filter(|text| text.len() <= METADATA_LIMIT).map(str::to_owned),
            metadata_digest: metadata.map(sha256),
        })
    }

    fn host(&self, target: &Target) -> String {
        self.endpoint(&target.region).map(|url| host_name(&url)).unwrap_or_default()
    }
}

fn sha256(text: &str) -> String {
    hex(digest(&SHA256, text.as_bytes()).as_ref())
}

pub(super) fn facts(target: &Target, body: &Body) -> Result<StackFacts, Refusal> {
    let text = |name| body.member(name).filter(|text| !matches!(*text, "" | "null")).map(clean);
    Ok(StackFacts {
        region: target.region.clone(),
        stack_id: target.stack_id.clone(),
        name: text("StackName"),
        status: status(body)?,
        reason: text("StatusReason").map(|reason| reason.chars().take(REASON_LIMIT).collect()),
        updated: updated(body),
    })
}

/// Whether `eventbridge` is among the `NotificationURLs`: a list as the page has it, a list in a text, or one address.
pub(super) fn notifies(body: &Body) -> Option<bool> {
    let is_it = |url: &str| url.trim().eq_ignore_ascii_case("eventbridge");
    let text = body.member("NotificationURLs")?;
    match serde_json::from_str(text) {
        Ok(serde_json::Value::Array(urls)) => Some(urls.iter().any(|url| url.as_str().is_some_and(is_it))),
        Ok(serde_json::Value::Object(nested)) => {
            // Lists of the old XML style: {"NotificationURL": [...]}.
            let urls = nested.values().next()?.as_array()?;
            Some(urls.iter().any(|url| url.as_str().is_some_and(is_it)))
        }
        Ok(serde_json::Value::String(url)) => Some(is_it(&url)),
        Ok(_) => None,
        Err(_) => Some(text.split(',').any(is_it)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(urls: &str) -> Option<bool> {
        notifies(&Body::parse(format!(r#"{{"RequestId":"R-1"{urls}}}"#).as_bytes()).unwrap())
    }

    #[test]
    fn eventbridge_is_found_in_every_form_of_notification_urls() {
        for with in
            [r#"["eventbridge"]"#, r#"["https://a.test/x","EventBridge"]"#, r#"{"NotificationURL":["eventbridge"]}"#, r#""eventbridge""#]
        {
            assert_eq!(told(&format!(r#","NotificationURLs":{with}"#)), Some(true), "{with}");
        }
        for without in ["[]", r#"["https://a.test/eventbridge"]"#, r#""""#] {
            assert_eq!(told(&format!(r#","NotificationURLs":{without}"#)), Some(false), "{without}");
        }
        assert_eq!((told(""), told(r#","NotificationURLs":null"#), told(r#","NotificationURLs":7"#)), (None, None, None));
    }

    #[test]
    fn the_digest_of_metadata_is_sha_256() {
        assert_eq!(sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
