//! The metadata service, and what it tells of this host.

use super::clock::Heard;
use super::step::Step;
use crate::clock::Moment;
use crate::instance::{Error, Identity, Metadata};
use crate::plan::{Plan, Transport};
use std::time::Duration;
use tokio::time::Instant;

/// What tells an ECS instance without asking anybody (cloud-init looks there too).
const PRODUCT: &str = "/sys/class/dmi/id/product_name";
const ECS: &str = "Alibaba Cloud ECS";
/// Who this host is takes a few look-ups.
const IDENTITY_TIMEOUT: Duration = Duration::from_secs(4);

pub(super) const SERVICE: &str = "metadata.service";
pub(super) const INSTANCE: &str = "identity.instance";
pub(super) const REGION: &str = "identity.region";
pub(super) const ACCOUNT: &str = "identity.account";
pub(super) const STACK: &str = "identity.stack";

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) steps: Vec<Step>,
    pub(super) instance_id: Option<String>,
    pub(super) region: Option<String>,
    pub(super) account: Option<String>,
    pub(super) stack_id: Option<String>,
    pub(super) heard: Option<Heard>,
}

/// Asks the service.
pub(super) async fn look(metadata: &Metadata, plan: &Plan) -> Found {
    let began = Instant::now();
    let sent = Moment::now();
    let asked = metadata.get("meta-data/instance-id").await;
    let (service, heard) = match &asked {
        Ok(document) => {
            let mode = match metadata.is_hardened().await {
                true => "answers in hardened mode (with a token)",
                false => "answers, in plain mode (no token)",
            };
            let heard = document.date_ms.map(|date_ms| Heard::new(date_ms, sent, Moment::now()));
            (Step::ok(SERVICE, mode).took(began.elapsed()), heard)
        }
        Err(error) => (refused(error, plan), None),
    };
    let mut found = Found { heard, instance_id: plan.instance.id.clone(), ..Found::default() };
    if !asked.as_ref().is_err_and(Error::is_unreachable) {
        let identity = tokio::time::timeout(IDENTITY_TIMEOUT, metadata.identity()).await;
        if let Ok(Ok(Identity { instance_id, region, stack_id, account_id })) = identity {
            found = Found { instance_id: Some(instance_id), region, account: account_id, stack_id, ..found };
        }
    }
    found.steps = [vec![service], identity(&found, plan)].concat();
    found
}

fn refused(error: &Error, plan: &Plan) -> Step {
    let is_ecs = std::fs::read_to_string(PRODUCT).is_ok_and(|name| name.trim() == ECS);
    let step = match plan.instance.id {
        // Who this host is, is written down; the role's credentials would be missed, and those tell it themselves.
        Some(_) => Step::warning(SERVICE, error.to_string()),
        None => Step::failed(SERVICE, error.to_string()),
    };
    let step = match (error, is_ecs) {
        (Error::Unreachable { .. }, true) => step.because("this is an ECS instance, so something keeps this user from the service: a firewall of the host, a route, IPAddressDeny= of a unit, or a proxy"),
        (Error::Unreachable { .. }, false) => step.because("this does not look like an ECS instance (the DMI product name is another)"),
        _ => step,
    };
    step.perhaps(error.hint())
}

fn identity(found: &Found, plan: &Plan) -> Vec<Step> {
    let unknown = |name: &'static str, seen: &str, remedy: &str| {
        Step::failed(name, seen).because("the metadata service does not tell it").remedy(remedy)
    };
    let instance = match (&plan.instance.id, &found.instance_id) {
        (Some(id), _) => Step::ok(INSTANCE, format!("{id}, as configured")),
        (None, Some(id)) => Step::ok(INSTANCE, id),
        (None, None) => unknown(
            INSTANCE,
            "the instance id is not known, and under an unknown identity nothing is sent",
            "mend the way to the metadata service; outside of ECS set id under [instance]",
        ),
    };
    // The URL of a handle names its own stack and region; a lifecycle hook has no stack.
    let in_region: Vec<_> = plan.signals.iter().filter(|signal| !super::handle::is_local(signal)).collect();
    let of_stack: Vec<_> = in_region.iter().filter(|signal| !matches!(signal.transport, Transport::LifecycleHook(_))).collect();
    let regions: Vec<&str> = in_region.iter().filter_map(|signal| signal.region.as_deref()).collect();
    let stacks: Vec<&str> = of_stack.iter().filter_map(|signal| signal.stack_id.as_deref()).collect();
    let region = match (regions.as_slice(), &found.region) {
        ([first, ..], _) if regions.len() == in_region.len() => Step::ok(REGION, format!("{first}, as configured")),
        (_, Some(region)) => Step::ok(REGION, region),
        _ if in_region.is_empty() => Step::skipped(REGION, "no [signal.NAME] needs one"),
        (_, None) => {
            unknown(REGION, "the region of the stack is not known", "set region under [stack]; the template knows it as ALIYUN::Region")
        }
    };
    let account = match &found.account {
        Some(account) => Step::ok(ACCOUNT, account),
        None => Step::skipped(ACCOUNT, "the metadata service does not tell the account; it is * in the RAM policy"),
    };
    let stack = match (stacks.as_slice(), &found.stack_id) {
        _ if of_stack.is_empty() => Step::skipped(STACK, "no [signal.NAME] needs one"),
        ([first, ..], _) if stacks.len() == of_stack.len() => Step::ok(STACK, format!("{first}, as configured")),
        (_, Some(stack)) => Step::ok(STACK, format!("{stack}, by the tag acs:ros:stackId")),
        (_, None) => Step::failed(STACK, "the stack is not known")
            .because("no stack_id is configured, and the metadata service does not show the tag acs:ros:stackId (InstanceMetadataTags is disabled by default)")
            .remedy("set stack_id under [stack]; the template knows it as ALIYUN::StackId, and user data can write it"),
    };
    vec![instance, region, account, stack]
}
