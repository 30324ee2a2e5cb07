//! Of the metrics: stacks that are followed, sources of events, and hooks. What there is none of has no series.

use crate::agent::status::Status;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct StackLabels {
    stack_id: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct StackStatusLabels {
    stack_id: String,
    status: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OutcomeLabels {
    stack_id: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct SourceLabels {
    source: String,
    kind: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RefusedLabels {
    source: String,
    reason: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct HookLabels {
    hook: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RunLabels {
    hook: String,
    outcome: &'static str,
}

pub(super) fn register(registry: &mut Registry, status: &Status) {
    if !status.stacks.is_empty() {
        register_stacks(registry, status);
    }
    if !status.sources.is_empty() {
        register_sources(registry, status);
    }
    if !status.hooks.is_empty() {
        register_hooks(registry, status);
    }
}

fn register_stacks(registry: &mut Registry, status: &Status) {
    let is = Family::<StackStatusLabels, Gauge>::default();
    let watched = Family::<StackLabels, Gauge>::default();
    let looks = Family::<OutcomeLabels, Counter>::default();
    let warnings = Family::<StackLabels, Gauge>::default();
    for stack in &status.stacks {
        let labels = StackLabels { stack_id: stack.stack_id.clone() };
        if let Some(status) = &stack.status {
            is.get_or_create(&StackStatusLabels { stack_id: stack.stack_id.clone(), status: status.clone() }).set(1);
        }
        watched.get_or_create(&labels).set(i64::from(stack.state == "watched" && stack.error.is_none()));
        for (outcome, number) in [("answered", stack.looks.saturating_sub(stack.failed_looks)), ("failed", stack.failed_looks)] {
            looks.get_or_create(&OutcomeLabels { stack_id: stack.stack_id.clone(), outcome }).inc_by(number);
        }
        warnings.get_or_create(&labels).set(i64::try_from(stack.warnings.len()).unwrap_or(i64::MAX));
    }
    registry.register("stack_status", "Status of a stack as it was looked at last: 1 for what it is", is);
    registry.register("stack_watched", "The stack can be looked at, and the last look came back", watched);
    registry.register("stack_looks", "Looks at a stack since the agent started, by outcome", looks);
    registry.register("stack_warnings", "What somebody should know about following a stack", warnings);
}

fn register_sources(registry: &mut Registry, status: &Status) {
    let healthy = Family::<SourceLabels, Gauge>::default();
    let received = Family::<SourceLabels, Counter>::default();
    let refused = Family::<RefusedLabels, Counter>::default();
    for source in &status.sources {
        let labels = SourceLabels { source: source.name.clone(), kind: source.kind.clone() };
        healthy.get_or_create(&labels).set(i64::from(source.healthy));
        received.get_or_create(&labels).inc_by(source.received);
        for (reason, number) in &source.refused {
            refused.get_or_create(&RefusedLabels { source: source.name.clone(), reason: reason.clone() }).inc_by(*number);
        }
    }
    registry.register("source_healthy", "A source of events works, as far as it can be told", healthy);
    registry.register("events_received", "Events that came through a source, repeated ones included", received);
    registry.register("events_refused", "What a source did not take as an event, by reason", refused);
}

fn register_hooks(registry: &mut Registry, status: &Status) {
    let runs = Family::<RunLabels, Counter>::default();
    let queued = Family::<HookLabels, Gauge>::default();
    for hook in &status.hooks {
        for (outcome, number) in [("succeeded", hook.succeeded_runs), ("failed", hook.failed_runs)] {
            runs.get_or_create(&RunLabels { hook: hook.name.clone(), outcome }).inc_by(number);
        }
        queued.get_or_create(&HookLabels { hook: hook.name.clone() }).set(i64::try_from(hook.queued).unwrap_or(i64::MAX));
    }
    registry.register("hook_runs", "Runs of a hook since the agent started, by outcome", runs);
    registry.register("hook_queued", "Occasions for which a hook is still to be run", queued);
}
