//! The look that follows a stack: GetStack, and GetStackResource of a few resources where the stack has moved.

use super::Client;
use super::client::mended;
use super::operations;
use crate::hooks::StackFacts;
use crate::rpc::{Body, host_name};
use crate::signal::{Class, Refusal, Target};
use crate::stack::sight::{Mark, Seen, SeenResource, Sight};
use crate::transport::clean;
use std::time::Duration;

/// For one look with all its questions.
const LOOK_TIMEOUT: Duration = Duration::from_secs(20);

impl Client {
    /// How the stack is, and `resources` of it unless it still shows `unless`.
    pub async fn watch(&self, target: &Target, unless: Option<&Mark>, resources: &[String]) -> Sight {
        match tokio::time::timeout(LOOK_TIMEOUT, self.watch_unbounded(target, unless, resources)).await {
            Ok(Ok(sight)) => sight,
            Ok(Err(refusal)) if refusal.class == Class::Permission => Sight::Denied(refusal.explained()),
            Ok(Err(refusal)) => Sight::Failed { retry_after: refusal.retry_after, why: refusal.explained() },
            Err(_) => Sight::Failed { why: format!("no answer about the stack within {}s", LOOK_TIMEOUT.as_secs()), retry_after: None },
        }
    }

    async fn watch_unbounded(&self, target: &Target, unless: Option<&Mark>, resources: &[String]) -> Result<Sight, Refusal> {
        let body = match mended(|| self.attempt(target, operations::get_stack(target))).await {
            Ok(body) => body,
            Err(refusal) if refusal.code.as_deref() == Some("StackNotFound") => {
                return Ok(Sight::Missing { host: self.host(target) });
            }
            Err(refusal) => return Err(refusal),
        };
        self.remember(target);
        let facts = facts(target, &body);
        let mut seen = Seen { host: self.host(target), notifies_eventbridge: notifies(&body), facts, resources: Vec::new() };
        let mark = Mark { status: seen.facts.status.clone(), updated: seen.facts.updated.clone() };
        if unless != Some(&mark) {
            for logical_id in resources {
                seen.resources.push(self.resource(target, logical_id).await?);
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
        Ok(SeenResource {
            logical_id: logical_id.to_owned(),
            status: body.member("Status").map(clean),
            updated: time(&body),
            metadata: body.member("Metadata").map(str::to_owned),
            metadata_digest: None,
        })
    }

    fn host(&self, target: &Target) -> String {
        self.endpoint(&target.region).map(|url| host_name(&url)).unwrap_or_default()
    }
}

fn facts(target: &Target, body: &Body) -> StackFacts {
    StackFacts {
        region: target.region.clone(),
        stack_id: target.stack_id.clone(),
        name: body.member("StackName").map(clean),
        status: body.member("Status").map(clean).unwrap_or_default(),
        reason: body.member("StatusReason").map(clean),
        updated: time(body),
    }
}

/// Tables and samples of the pages differ in the names (ROS reference, section 6).
fn time(body: &Body) -> Option<String> {
    ["UpdateTime", "UpdatedTime", "CreateTime", "CreationTime"].into_iter().find_map(|name| body.member(name)).map(clean)
}

/// Whether `eventbridge` is among the `NotificationURLs`.
fn notifies(body: &Body) -> Option<bool> {
    let urls: Vec<String> = serde_json::from_str(body.member("NotificationURLs")?).ok()?;
    Some(urls.iter().any(|url| url.eq_ignore_ascii_case("eventbridge")))
}
