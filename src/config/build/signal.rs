//! `[signal.NAME]`.

use super::agent::{Stack, stack};
use super::check::Draft;
use super::graph::{self, Selection};
use super::transport::{HOOK_RESOURCE, transport};
use crate::config::forms::{self, Written};
use crate::config::fragment::{Entry, Value};
use crate::config::keys;
use crate::config::reader::{Notes, Parsed, Problem, Reader, shorten, text};
use crate::config::source::Place;
use crate::config::times::times;
use crate::plan::{
    Confirm, HandleMode, Level, Name, NameSource, OnDeadline, OnDegraded, Plan, Resignal, Signal, Transport, UniqueIdStrategy,
};
use crate::signal::{FIRST_ROUND, IdError, Target, UniqueId, unique_id, with_name};
use humantime::format_duration;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// The longest `Timeout` of a WaitCondition (ROS reference, ALIYUN::ROS::WaitCondition: 1 to 43200 seconds).
const LONGEST_WAIT: Duration = Duration::from_secs(43_200);

/// The longest that heartbeats can prolong a lifecycle action (ESS, RecordLifecycleActionHeartbeat: 6 hours).
const LONGEST_HOLD: Duration = Duration::from_secs(21_600);

/// Made-up values that stand for what is known only on the host, as long as real ones are.
const SAMPLE_INSTANCE: &str = "i-bp1a2b3c4d5e6f7g8h9i";
const SAMPLE_STACK: &str = "4a6c9851-3b0f-4f5f-b4ca-a14bf6910000";
const SAMPLE_REGION: &str = "cn-wulanchabu";

/// Most signals.
const SIGNALS_LIMIT: usize = 256;

/// Where the parts of a signal stand that are judged with the whole plan.
pub(super) struct Places {
    header: Place,
    deadline: Place,
    unique_id: Place,
}

/// All signals, in order of name.
pub(super) fn signals(
    signals: Option<&Entry>,
    defaults: &Stack,
    drafts: &[Draft],
    no_checks_needed: bool,
    notes: &mut Notes,
) -> Vec<(Arc<Signal>, Places)> {
    let Some((entry, table)) =
        signals.and_then(|entry| super::table("signal.NAME", &entry.value, entry.key, notes).map(|table| (entry, table)))
    else {
        return Vec::new();
    };
    if table.0.len() > SIGNALS_LIMIT {
        notes.misfit(entry.key, format!("{} signals, at most {SIGNALS_LIMIT} are possible", table.0.len()), None);
        return Vec::new();
    }
    let mut built: Vec<(Arc<Signal>, Places)> = Vec::new();
    for (name, entry) in &table.0 {
        let Some((signal, places)) = signal(name, entry, defaults, drafts, no_checks_needed, notes) else {
            continue;
        };
        if let Some((twin, _)) = built.iter().find(|(other, _)| same_effect(other, &signal)) {
            let message = format!("signals `{}` and `{name}` tell the same resource `{}` under the same id", twin.name, signal.resource);
            let hint = "ROS would count them as one; name another resource, or leave `unique_id` out".to_owned();
            notes.misfit(places.unique_id, message, Some(hint));
        }
        if let Some((twin, _)) = built.iter().find(|(other, _)| same_hook(other, &signal)) {
            let message = format!("signals `{}` and `{name}` answer the same lifecycle hook", twin.name);
            let hint = "leave one of them out, or name another hook in each: hook = \"ash-...\"".to_owned();
            notes.misfit(places.header, message, Some(hint));
        }
        built.push((Arc::new(signal), places));
    }
    built
}

fn signal(
    name: &str,
    entry: &Entry,
    defaults: &Stack,
    drafts: &[Draft],
    no_checks_needed: bool,
    notes: &mut Notes,
) -> Option<(Signal, Places)> {
    let valid = forms::name(name).map_err(|problem| notes.error(entry.key, problem.message, problem.hint)).ok();
    let table = super::table(&format!("signal.{}", shorten(name)), &entry.value, entry.key, notes)?;
    let mut reader = Reader::new(&[&keys::SIGNAL], table, &["signal", name], entry.key, notes);
    reader.refuse_unknown(&[]);
    let reader = &mut reader;
    let transport = transport(reader);
    let resource = resource(reader, transport.as_ref());
    let condition = reader.optional("condition", |value| forms::identifier(value, 255, "-_."));
    let selected = reader.optional("checks", |value| forms::names(value, Some("tag:")));
    let deadline = reader.duration("deadline");
    let margin = reader.duration("margin");
    let min_healthy_time = reader.duration("min_healthy_time");
    let on_deadline = reader.word("on_deadline", on_deadline);
    let on_degraded = reader.word("on_degraded", on_degraded);
    let degraded_grace = reader.duration("degraded_grace");
    let fail_fast = reader.flag("fail_fast");
    let give_up = reader.duration("give_up");
    let strategy = reader.value("unique_id", strategy);
    let own = stack(reader);
    let mode = reader.optional_word("mode", handle_mode);
    let count = reader.optional_integer("count");
    let confirm = reader.word("confirm", confirm);
    let resignal = reader.word("resignal", |word| match word {
        "never" => Some(Resignal::Never),
        "on_update" => Some(Resignal::OnUpdate),
        _ => None,
    });
    judge_updates(reader, resignal);
    judge_deadline(reader, deadline, margin);
    judge_hook(reader, transport.as_ref(), deadline);
    judge_integers(reader, strategy.as_ref(), mode.flatten(), count.flatten());
    let (selection, known) = checks(reader, selected.as_ref().and_then(Option::as_deref), drafts);
    if selected.is_some() && known && !no_checks_needed {
        demand_required_check(reader, &selection.checks, drafts);
    }
    let places = Places { header: reader.header(), deadline: reader.place("deadline"), unique_id: reader.place("unique_id") };
    let signal = Signal {
        name: valid?,
        resource: resource?,
        transport: transport?,
        condition: condition?,
        stack_id: own.stack_id.or_else(|| defaults.stack_id.clone()),
        region: own.region.or_else(|| defaults.region.clone()),
        checks: selection.checks.iter().map(|check| Name::from(check.as_str())).collect(),
        members: selection.members.iter().map(|check| Name::from(check.as_str())).collect(),
        deadline: deadline?,
        deadline_given: reader.has("deadline"),
        margin: margin?,
        min_healthy_time: min_healthy_time?,
        on_deadline: on_deadline?,
        on_degraded: on_degraded?,
        degraded_grace: degraded_grace?,
        fail_fast: fail_fast?,
        give_up: give_up?,
        unique_id: strategy?,
        confirm: confirm?,
        mode: mode?,
        count: count?,
        resignal: resignal?,
    };
    judge_unique_id(reader, &signal);
    Some((signal, places))
}

/// `resource`, which only a lifecycle hook can do without.
fn resource(reader: &mut Reader<'_>, transport: Option<&Transport>) -> Option<String> {
    let written = reader.optional("resource", |value| forms::identifier(value, 255, "-_."))?;
    match (written, transport) {
        (Some(_), Some(Transport::LifecycleHook(_))) => {
            let place = reader.place("resource");
            let hint = "a lifecycle hook belongs to a scaling group and not to a stack: leave `resource` out";
            reader.notes.misfit(place, "`resource` does not go with `transport = \"lifecycle-hook\"`", Some(hint.to_owned()));
            None
        }
        (Some(resource), _) => Some(resource),
        (None, Some(Transport::LifecycleHook(_))) => Some(HOOK_RESOURCE.to_owned()),
        // What is wrong with the transport was said, and whether it wants a resource is not known.
        (None, None) => None,
        (None, Some(_)) => {
            reader.demand("resource");
            None
        }
    }
}

fn confirm(word: &str) -> Option<Confirm> {
    match word {
        "auto" => Some(Confirm::Auto),
        "on" => Some(Confirm::On),
        "off" => Some(Confirm::Off),
        _ => None,
    }
}

/// A round for each update opens only while the condition waits.
fn judge_updates(reader: &mut Reader<'_>, resignal: Option<Resignal>) {
    if resignal != Some(Resignal::OnUpdate) {
        return;
    }
    let place = reader.place("resignal");
    if !reader.has("condition") {
        let hint = "name the ALIYUN::ROS::WaitCondition that waits for this signal: condition = \"...\"".to_owned();
        reader.notes.misfit(place, "`resignal = \"on_update\"` needs the key `condition`", Some(hint));
    }
    if reader.written("transport").is_some_and(|value| text(value).is_ok_and(|word| word == "lifecycle-hook")) {
        let hint = "a scaling group holds an instance once; leave `resignal` out".to_owned();
        reader.notes.misfit(place, "`resignal = \"on_update\"` is for signals to a stack", Some(hint));
    }
}

fn handle_mode(word: &str) -> Option<HandleMode> {
    match word {
        "Full" => Some(HandleMode::Full),
        "Increment" => Some(HandleMode::Increment),
        _ => None,
    }
}

fn on_deadline(word: &str) -> Option<OnDeadline> {
    match word {
        "failure" => Some(OnDeadline::Failure),
        "warning" => Some(OnDeadline::Warning),
        "none" => Some(OnDeadline::None),
        _ => None,
    }
}

fn on_degraded(word: &str) -> Option<OnDegraded> {
    match word {
        "success" => Some(OnDegraded::Success),
        "warning" => Some(OnDegraded::Warning),
        "wait" => Some(OnDegraded::Wait),
        _ => None,
    }
}

/// `unique_id`, except for its length, which depends on the signal.
fn strategy(value: &Value) -> Parsed<UniqueIdStrategy> {
    let text = text(value)?;
    match text {
        "derived" => return Ok(UniqueIdStrategy::Derived),
        "instance" => return Ok(UniqueIdStrategy::Instance),
        "random" => return Ok(UniqueIdStrategy::Random),
        _ => {}
    }
    if let Some(number) = text.strip_prefix("integer:") {
        let source = [NameSource::InstanceName, NameSource::Hostname].into_iter().find(|source| source.word() == number);
        if let Some(source) = source {
            return Ok(UniqueIdStrategy::IntegerOf(source));
        }
        let hint = "write \"integer:1\", or \"integer:instance-name\" or \"integer:hostname\" for the number at the end of that name";
        let number = number.parse().map(UniqueIdStrategy::Integer);
        return number.map_err(|_| Problem::new("must have a number, `instance-name` or `hostname` after `integer:`").hint(hint).into());
    }
    if !text.contains('{') {
        let problem = Problem::new("is neither a known strategy nor a template").hint_nearest(text, ["derived", "instance", "random"]);
        let hint = "write \"derived\", \"instance\", \"random\", \"integer:N\" or a template such as \"{instance_id}-{signal}\"";
        return Err(if problem.hint.is_some() { problem } else { problem.hint(hint) }.into());
    }
    Ok(UniqueIdStrategy::Template(text.to_owned()))
}

fn judge_deadline(reader: &mut Reader<'_>, deadline: Option<Duration>, margin: Option<Duration>) {
    let (Some(deadline), Some(margin)) = (deadline, margin) else {
        return;
    };
    let place = reader.place(if reader.has("margin") { "margin" } else { "deadline" });
    if margin > deadline {
        let message = format!("`margin` ({}) is longer than `deadline` ({})", format_duration(margin), format_duration(deadline));
        reader.notes.misfit(place, message, Some("the margin is the part of the deadline that is kept for sending".to_owned()));
    }
    if deadline > LONGEST_WAIT {
        let place = reader.place("deadline");
        let hint = "the `Timeout` of an ALIYUN::ROS::WaitCondition is at most 43200 seconds".to_owned();
        reader.notes.warn(place, "`deadline` is longer than any stack waits", Some(hint));
    }
}

/// What a scaling group can wait at most.
fn judge_hook(reader: &mut Reader<'_>, transport: Option<&Transport>, deadline: Option<Duration>) {
    let (Some(Transport::LifecycleHook(_)), Some(deadline)) = (transport, deadline) else { return };
    if deadline > LONGEST_HOLD {
        let place = reader.place("deadline");
        let hint = "a lifecycle hook can be kept waiting for 6 hours in all".to_owned();
        reader.notes.warn(place, "`deadline` is longer than any lifecycle hook waits", Some(hint));
    }
}

/// The integer rule of handles with `Mode: Full` and an effective `Count`.
fn judge_integers(reader: &mut Reader<'_>, strategy: Option<&UniqueIdStrategy>, mode: Option<HandleMode>, count: Option<i64>) {
    let (Some(strategy), HandleMode::Full, Some(count @ 0..)) = (strategy, mode.unwrap_or(HandleMode::Full), count) else {
        return;
    };
    let place = reader.place(if reader.has("unique_id") { "unique_id" } else { "count" });
    match strategy {
        UniqueIdStrategy::Integer(number) => {
            if u64::try_from(count).is_ok_and(|count| *number > count) {
                let message = format!("id {number} is greater than the handle's count of {count}");
                reader.notes.warn(place, message, Some("ROS deletes such signals before an update of the stack".to_owned()));
            }
        }
        UniqueIdStrategy::IntegerOf(_) => {}
        _ => {
            let message = "a handle with mode \"Full\" and a count of 0 or more takes integer ids only";
            let hint = "write unique_id = \"integer:N\" with another N on each host, or \"integer:instance-name\"; any other id makes the next stack update fail";
            reader.notes.misfit(place, message, Some(hint.to_owned()));
        }
    }
}

/// The checks that the signal needs, in the order in which they can run, and whether all that it names are known.
fn checks(reader: &mut Reader<'_>, selected: Option<&[Written<String>]>, drafts: &[Draft]) -> (Selection, bool) {
    let Some(selected) = selected else {
        let all: Vec<_> = drafts.iter().filter(|draft| draft.enabled).map(|draft| draft.name.clone()).collect();
        return (graph::select(&[], &all, drafts), true);
    };
    let (mut named, mut tagged) = (Vec::new(), Vec::new());
    let mut known = true;
    for item in selected {
        let Some(tag) = item.what.strip_prefix("tag:") else {
            known &= graph::is_known(&item.what, item.place, drafts, reader.notes);
            named.push(item.what.clone());
            continue;
        };
        let found: Vec<_> = drafts.iter().filter(|draft| draft.tags.iter().any(|other| other == tag)).collect();
        if found.is_empty() {
            known = false;
            let tags = drafts.iter().flat_map(|draft| &draft.tags).map(String::as_str);
            let hint = keys::nearest(tag, tags).map(|near| format!("did you mean `tag:{near}`?"));
            reader.notes.misfit(item.place, format!("no check has the tag `{tag}`"), hint);
        }
        tagged.extend(found.into_iter().map(|draft| draft.name.clone()));
    }
    (graph::select(&named, &tagged, drafts), known)
}

fn demand_required_check(reader: &mut Reader<'_>, checks: &[String], drafts: &[Draft]) {
    // A check whose level could not be read has its own error.
    let may_be_required = |draft: &Draft| draft.enabled && draft.level != Some(Level::Wanted);
    if drafts.iter().any(|draft| checks.contains(&draft.name) && may_be_required(draft)) {
        return;
    }
    let place = reader.place("checks");
    let title = reader.title();
    let hint = "it would say SUCCESS although nothing was looked at; if that is meant, write allow_no_checks = true in `[agent]`";
    reader.notes.misfit(place, format!("`{title}` has no required check"), Some(hint.to_owned()));
}

fn sample_id(signal: &Signal) -> Result<UniqueId, IdError> {
    let region = signal.region.clone().unwrap_or_else(|| SAMPLE_REGION.to_owned());
    let target = match &signal.transport {
        Transport::LifecycleHook(hook) => Target::of_scaling_group(region, hook.scaling_group.as_deref(), &signal.resource),
        _ => {
            let stack_id = signal.stack_id.clone().unwrap_or_else(|| SAMPLE_STACK.to_owned());
            Target { region, stack_id, resource: signal.resource.clone() }
        }
    };
    let strategy = with_name(&signal.unique_id, |source| Some(sample_name(source).to_owned()))?;
    unique_id(&strategy, SAMPLE_INSTANCE, &signal.name, FIRST_ROUND, &target, Uuid::nil())
}

/// Two names that give two numbers.
fn sample_name(source: NameSource) -> &'static str {
    match source {
        NameSource::InstanceName => "web-001",
        NameSource::Hostname => "host-002",
    }
}

fn judge_unique_id(reader: &mut Reader<'_>, signal: &Signal) {
    let place = reader.place("unique_id");
    if let Err(error) = sample_id(signal) {
        let hint = match &error {
            IdError::Placeholder(word) => {
                let known = ["instance_id", "signal", "resource", "stack_id", "region"];
                keys::nearest(word, known).map(|near| format!("did you mean {{{near}}}?"))
            }
            IdError::Length(..) => Some("this is the id as an instance would have it; leave a part out".to_owned()),
            IdError::Control(_) | IdError::Unclosed(_) | IdError::NoNumber { .. } | IdError::NoName(_) => None,
        };
        reader.notes.misfit(place, error.to_string(), hint);
        return;
    }
    if let UniqueIdStrategy::Template(template) = &signal.unique_id
        && !template.contains("{instance_id}")
    {
        let hint = "put {instance_id} into it, unless the stack has one host only".to_owned();
        reader.notes.warn(place, "`unique_id` is the same on every host, so ROS counts all hosts once", Some(hint));
    }
}

/// Whether the same lifecycle action may be found for both: the first answer would be that of the other one too.
fn same_hook(a: &Signal, b: &Signal) -> bool {
    let (Transport::LifecycleHook(hook), Transport::LifecycleHook(other)) = (&a.transport, &b.transport) else { return false };
    let may_be_one = |a: &Option<String>, b: &Option<String>| a.is_none() || b.is_none() || a == b;
    may_be_one(&hook.hook, &other.hook) && may_be_one(&hook.scaling_group, &other.scaling_group) && may_be_one(&a.region, &b.region)
}

/// Whether ROS would take the two for one. Ids that are derived or random never meet.
fn same_effect(a: &Signal, b: &Signal) -> bool {
    let fresh = |signal: &Signal| matches!(signal.unique_id, UniqueIdStrategy::Derived | UniqueIdStrategy::Random);
    let hooks = |signal: &Signal| matches!(signal.transport, Transport::LifecycleHook(_));
    if hooks(a) || hooks(b) || fresh(a) || fresh(b) || a.resource != b.resource || a.stack_id != b.stack_id || a.region != b.region {
        return false;
    }
    matches!((sample_id(a), sample_id(b)), (Ok(a), Ok(b)) if a == b)
}

/// Compares the times to a verdict with the deadline.
pub(super) fn judge_times(plan: &Plan, signal: &Signal, places: &Places, notes: &mut Notes) {
    let times = times(plan, signal);
    let limit = signal.deadline.saturating_sub(signal.margin);
    let place = if places.deadline == Place::Default { places.header } else { places.deadline };
    let shown = |time: Duration| format_duration(Duration::from_secs_f64((time.as_secs_f64() * 10.0).round() / 10.0)).to_string();
    let wall = format!("deadline - margin ({} - {})", format_duration(signal.deadline), format_duration(signal.margin));
    let hint = "lengthen `deadline`, or shorten delays, start periods, thresholds or `min_healthy_time`".to_owned();
    if times.best > limit {
        let message = format!("signal `{}` can never say SUCCESS: it takes {} at best, beyond {wall}", signal.name, shown(times.best));
        notes.misfit(place, message, Some(hint));
    } else if times.worst > limit {
        let message = format!("signal `{}` may take {} to say SUCCESS, beyond {wall}", signal.name, shown(times.worst));
        notes.warn(place, message, Some(hint));
    }
}
