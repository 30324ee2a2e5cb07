//! From a plan for the real world to one for the sandbox: what reaches outside is redirected, everything else stays as it is.

use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::plan::{Endpoint, HandleSource, Plan, Provider, Signal, Transport};
use anyhow::Context as _;
use ros_sandbox::{HookSpec, ResourceSpec, Sandbox, ScalingGroupSpec, StackSpec};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The stack of signals that name none; the sandbox's metadata service shows it as the instance's tag.
pub(super) const STACK_ID: &str = "4a6c9851-3b0f-4f5f-b4ca-a14bf6910000";

/// The scaling group and the hook of signals that name none.
const GROUP_ID: &str = "asg-rehearsal";
const HOOK_ID: &str = "ash-rehearsal";

/// The region of the sandbox's metadata service.
const REGION: &str = "cn-hangzhou";

/// The longest a ROS WaitCondition waits (its Timeout: 1 to 43200 seconds).
const LONGEST_TIMEOUT: u64 = 43_200;

/// Where everything goes that would reach outside.
#[derive(Debug, Serialize)]
pub(super) struct Redirected {
    /// ROS, over TLS.
    pub(super) ros: String,
    /// The authority of its certificate.
    pub(super) ca_file: PathBuf,
    /// The metadata service.
    pub(super) metadata: String,
    /// Where the keys come from.
    pub(super) credentials: &'static str,
    /// The ledger's directory.
    pub(super) state_dir: PathBuf,
    /// The control socket.
    pub(super) socket: PathBuf,
}

impl Redirected {
    /// To `sandbox`, and to files in `place`.
    pub(super) fn new(sandbox: &Sandbox, place: &Path) -> Self {
        Self {
            ros: sandbox.ros_tls_url(),
            ca_file: sandbox.ca_file().to_owned(),
            metadata: sandbox.metadata_url(),
            credentials: "throw-away keys of a RAM role",
            state_dir: place.join("state"),
            socket: place.join("control.sock"),
        }
    }

    /// Changes the plan so.
    pub(super) fn apply(&self, plan: &mut Plan) -> anyhow::Result<()> {
        plan.ros.endpoint = Endpoint::Url(self.ros.parse().context("the sandbox's URL")?);
        plan.ros.proxy = None;
        plan.ess.endpoint = plan.ros.endpoint.clone();
        plan.ros.ca_file = Some(self.ca_file.clone());
        plan.instance.metadata_url = self.metadata.parse().context("the sandbox's URL")?;
        plan.credentials.provider = Provider::EcsRamRole(None);
        for signal in plan.signals.iter_mut().filter(|signal| matches!(signal.transport, Transport::Handle(_))) {
            // The URL of a real handle is not for rehearsals; the sandbox tells one of its own.
            *signal = Arc::new(Signal { transport: Transport::Handle(HandleSource::Stack), ..(**signal).clone() });
        }
        plan.agent.state_dir.clone_from(&self.state_dir);
        plan.agent.socket.clone_from(&self.socket);
        Ok(())
    }
}

/// Takes out of the plan what would do something outside, and says in words what would have been done: the stand-in for ROS tells nobody of events,
/// and hooks change hosts.
pub(super) fn leave_out(plan: &mut Plan) -> Vec<String> {
    let sources = std::mem::take(&mut plan.sources).into_iter();
    let sources = sources.map(|source| format!("source {}: events of type {} would be taken, not here", source.name, source.kind.word()));
    let hooks = std::mem::take(&mut plan.hooks).into_iter();
    let hooks = hooks.map(|hook| format!("hook {}: would run {}, not here", hook.name, hook.command.first().map_or("", String::as_str)));
    sources.chain(hooks).collect()
}

/// Gives every signal a deadline of at most `deadline`; a margin that would take more than half of it becomes that half.
pub(super) fn shorten(plan: &mut Plan, deadline: Duration) {
    for signal in &mut plan.signals {
        let deadline = signal.deadline.min(deadline);
        let margin = signal.margin.min(deadline / 2);
        *signal = Arc::new(Signal { deadline, deadline_given: true, margin, ..(**signal).clone() });
    }
}

/// A stack that waits for all of its signals, for each stack of the plan.
///
/// # Errors
/// If no template could look so.
pub(super) fn stacks(plan: &Plan) -> Result<BTreeMap<String, StackSpec>, Failure> {
    let mut stacks: BTreeMap<String, Vec<&Signal>> = BTreeMap::new();
    for signal in plan.signals.iter().filter(|signal| !matches!(signal.transport, Transport::LifecycleHook(_))) {
        stacks.entry(signal.stack_id.clone().unwrap_or_else(|| STACK_ID.to_owned())).or_default().push(signal);
    }
    stacks.into_iter().map(|(id, signals)| Ok((id, stack(&signals)?))).collect()
}

/// The scaling groups whose hooks the plan answers, by id; each is to hold this instance.
pub(super) fn groups(plan: &Plan) -> BTreeMap<String, ScalingGroupSpec> {
    let mut groups: BTreeMap<String, ScalingGroupSpec> = BTreeMap::new();
    for signal in &plan.signals {
        let Transport::LifecycleHook(hook) = &signal.transport else { continue };
        let group = groups.entry(hook.scaling_group.clone().unwrap_or_else(|| GROUP_ID.to_owned()));
        let group = group.or_insert_with(|| ScalingGroupSpec::with_hooks([]));
        group.region = signal.region.clone().unwrap_or_else(|| REGION.to_owned());
        group.hooks.push(HookSpec::scale_out(hook.hook.as_deref().unwrap_or(HOOK_ID)));
    }
    groups
}

fn stack(signals: &[&Signal]) -> Result<StackSpec, Failure> {
    let mut conditions: BTreeMap<String, (&Signal, u32, u64)> = BTreeMap::new();
    let mut spec = StackSpec::default();
    for signal in signals {
        let region = signal.region.as_deref().unwrap_or(REGION);
        if spec.region.get_or_insert_with(|| region.to_owned()) != region {
            return Err(impossible(format!("signal {}: its stack is in another region for another signal", signal.name)));
        }
        spec = spec.resource(&signal.resource, ResourceSpec::handle());
        let name = signal.condition.clone().unwrap_or_else(|| format!("Wait-{}", signal.resource));
        let (first, count, timeout) = conditions.entry(name.clone()).or_insert((signal, 0, 0));
        if first.resource != signal.resource {
            let text =
                format!("signals {} and {} name the condition {name} for two handles, and a condition has one", first.name, signal.name);
            return Err(impossible(text));
        }
        *count = count.saturating_add(1);
        *timeout = (*timeout).max(seconds(signal.deadline));
    }
    for (name, (signal, count, timeout)) in conditions {
        if signals.iter().any(|other| other.resource == name) {
            return Err(impossible(format!("signal {}: its condition {name} is the name of a handle too", signal.name)));
        }
        let timeout = Duration::from_secs(timeout).as_secs_f64();
        spec = spec.resource(&name, ResourceSpec::condition(&signal.resource, count, timeout));
    }
    Ok(spec)
}

/// Whole seconds, rounded up, as a template has them.
fn seconds(deadline: Duration) -> u64 {
    let up = u64::from(deadline.subsec_nanos() > 0);
    deadline.as_secs().saturating_add(up).clamp(1, LONGEST_TIMEOUT)
}

fn impossible(message: String) -> Failure {
    Failure::new(Exit::Configuration, message).hint("no template looks like this, so there is no stack to rehearse with")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing;

    fn signal(name: &str, resource: &str) -> Signal {
        testing::signal(name, resource, &[])
    }

    fn resources(signals: Vec<Signal>) -> Vec<String> {
        let stacks = stacks(&testing::plan(signals, Vec::new())).unwrap();
        stacks
            .iter()
            .flat_map(|(id, spec)| spec.resources.iter().flatten().map(move |(name, resource)| format!("{} {name} {resource:?}", id.len())))
            .collect()
    }

    #[test]
    fn each_resource_has_a_handle_and_a_condition_that_waits_until_the_deadline() {
        let named = Signal { condition: Some("Named".to_owned()), deadline: Duration::from_millis(1_500), ..signal("web", "WebReady") };
        insta::assert_snapshot!(resources(vec![named, signal("db", "DbReady")]).join("\n"), @r#"
        36 DbReady Handle { mode: Full, count: -1, too_early_for: 0.0, too_early: false }
        36 Named Condition { handle: "WebReady", count: 1, timeout: 2.0 }
        36 Wait-DbReady Condition { handle: "DbReady", count: 1, timeout: 900.0 }
        36 WebReady Handle { mode: Full, count: -1, too_early_for: 0.0, too_early: false }
        "#);
    }

    #[test]
    fn two_signals_for_one_resource_are_both_waited_for() {
        let found = resources(vec![signal("a", "Ready"), signal("b", "Ready")]);
        assert!(found.iter().any(|line| line.contains("Wait-Ready") && line.contains("count: 2")), "{found:?}");
    }

    #[test]
    fn what_no_template_can_say_is_refused() {
        let condition = |name, resource| Signal { condition: Some("C".to_owned()), ..signal(name, resource) };
        let elsewhere = Signal { region: Some("cn-beijing".to_owned()), ..signal("b", "B") };
        let clash = Signal { condition: Some("B".to_owned()), ..signal("a", "A") };
        for signals in [vec![condition("a", "A"), condition("b", "B")], vec![signal("a", "A"), elsewhere], vec![clash, signal("b", "B")]] {
            assert!(stacks(&testing::plan(signals, Vec::new())).is_err());
        }
    }

    #[test]
    fn a_shorter_deadline_keeps_time_for_deciding() {
        let mut plan = testing::plan(vec![signal("web", "WebReady")], Vec::new());
        shorten(&mut plan, Duration::from_secs(3600));
        assert_eq!(plan.signals[0].deadline, Duration::from_secs(900), "it is never lengthened");
        shorten(&mut plan, Duration::from_secs(20));
        assert_eq!((plan.signals[0].deadline, plan.signals[0].margin), (Duration::from_secs(20), Duration::from_secs(10)));
    }
}
