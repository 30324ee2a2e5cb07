//! A signal sent from this process, without an agent and without a file.
//!
//! The ids are those the agent would use, so that both together still are one signal at ROS. That is why `unique_id = "random"` is
//! refused: nothing here would remember it. Attempts follow the same schedule as the agent's, by class of refusal, and a new
//! ClientToken is made after each definite rejection only. What the command line and the configuration say is not asked of anybody.

use super::{Patience, Report, Wanted, unacknowledged};
use crate::agent::MANUAL;
use crate::cli::failure::Failure;
use crate::cli::{Exit, output, settings};
use crate::config::Loaded;
use crate::credentials::Cache;
use crate::handle::{self, Document};
use crate::instance::{self, Metadata};
use crate::plan::{HandleSource, Plan, Signal, Transport, UniqueIdStrategy};
use crate::process;
use crate::retry::{Pace, Random, Schedule};
use crate::ros::Client;
use crate::rpc::Reach;
use crate::signal::{Answer, Class, FIRST_ROUND, Place, Refusal, SignalRequest, Target, UniqueId, client_token, unique_id, with_name};
use anyhow::Context as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// Retries at once after a mended cause; then it goes slowly. As in the agent.
const IMMEDIATE_LIMIT: u32 = 3;
/// The last attempt begins this long before the time is up, if a longer wait was due.
const LAST_CHANCE: Duration = Duration::from_secs(2);
/// How long an instance id is waited for where another name of the host will do.
const HOST_PATIENCE: Duration = Duration::from_secs(10);
/// Stands for an instance id that does not enter the UniqueId.
const NOT_ASKED: &str = "";

/// What the command line says instead of configuration and metadata.
pub(super) struct Overrides {
    stack_id: Option<String>,
    region: Option<String>,
    unique_id: Option<UniqueId>,
}

impl Overrides {
    pub(super) fn new(stack_id: Option<String>, region: Option<String>, unique_id: Option<String>) -> Result<Self, Failure> {
        let unique_id = unique_id.map(UniqueId::new).transpose().map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
        Ok(Self { stack_id, region, unique_id })
    }
}

/// Sends until ROS acknowledges, or `end`.
///
/// # Errors
/// If it was not acknowledged, or something on this host keeps it from being sent.
pub(super) async fn send(loaded: &Loaded, wanted: &Wanted, overrides: Overrides, end: Instant) -> anyhow::Result<Report> {
    let way = match planned(&loaded.plan, &wanted.resource).map(|signal| &signal.transport) {
        Some(Transport::Handle(source)) => Way::Handle(source.clone()),
        _ => Way::Api,
    };
    send_by(way, loaded, wanted, overrides, end).await
}

/// The same, in a way that does not come from the configuration.
///
/// # Errors
/// As for [`send`].
pub(super) async fn send_by(way: Way, loaded: &Loaded, wanted: &Wanted, overrides: Overrides, end: Instant) -> anyhow::Result<Report> {
    process::harden().context("the process cannot be hardened")?;
    let plan = &loaded.plan;
    let environment = settings::environment();
    let metadata = Arc::new(Metadata::new(&plan.instance, &environment)?);
    let mut random = Random::from_kernel();
    let reach = Reach::new(plan, &metadata).calling_itself(&environment);
    let reach = match way {
        Way::Api => reach,
        // ROS is asked only where the URL is missing or spent.
        Way::Handle(_) | Way::File(_) | Way::Given(_) => reach.with_certificates_when_needed(),
    };
    let handles = handle::Client::reaching(&plan.ros, &reach, &environment).map_err(anyhow::Error::msg)?;
    let own = way.document(&handles)?;
    let place = own.as_ref().map(|document| document.place().clone());
    let (target, unique_id) = Asking { loaded, metadata: &metadata, end, patience: wanted.patience, random: &mut random }
        .resolve(wanted, overrides, place.as_ref(), &way)
        .await?;
    let cache = Cache::reaching(&plan.credentials.provider, &environment, &metadata, Random::new(random.draw()), &reach);
    let client = Client::reaching(&plan.ros, &reach, None, Arc::new(cache))?;
    deliver(&Sender { way, client, handles }, own, wanted, target, unique_id, Course::new(end, random)).await
}

/// How it is sent from here.
pub(super) enum Way {
    Api,
    /// Through the URL of the handle of a signal of the configuration.
    Handle(HandleSource),
    /// Through the URL in a file of the command line, which is read anew for each attempt.
    File(PathBuf),
    /// Through a URL that was read already.
    Given(Box<Document>),
}

impl Way {
    /// What is known of the handle's URL on this host.
    fn document(&self, handles: &handle::Client) -> Result<Option<Document>, Failure> {
        let read = match self {
            Self::Api => Ok(None),
            Self::Handle(source) => handles.read(source),
            Self::File(path) => handles.read(&HandleSource::File(path.clone())),
            Self::Given(document) => Ok(Some((**document).clone())),
        };
        read.map_err(|why| Failure::new(Exit::Failure, why))
    }

    /// Nothing of the configuration is needed, and perhaps there is none.
    fn stands_alone(&self) -> bool {
        matches!(self, Self::File(_) | Self::Given(_))
    }
}

/// What attempts are made with.
struct Sender {
    way: Way,
    client: Client,
    handles: handle::Client,
}

impl Sender {
    async fn attempt(&self, request: &SignalRequest, own: Option<&Document>, data: Option<&serde_json::Value>) -> Answer {
        if matches!(self.way, Way::Api) {
            return self.client.signal(request).await;
        }
        let mut message = handle::Message::of(request);
        message.data = data.cloned();
        // Whoever wrote the file may have replaced it; half written it is not better than before.
        let now = self.way.document(&self.handles).ok().flatten();
        self.handles.send(&request.target, &message, now.or_else(|| own.cloned()), &self.client).await
    }
}

/// Finds out whom to tell, and under which id.
struct Asking<'a> {
    loaded: &'a Loaded,
    metadata: &'a Metadata,
    end: Instant,
    patience: Patience,
    random: &'a mut Random,
}

impl Asking<'_> {
    async fn resolve(
        &mut self,
        wanted: &Wanted,
        overrides: Overrides,
        place: Option<&Place>,
        way: &Way,
    ) -> anyhow::Result<(Target, UniqueId)> {
        let loaded = self.loaded;
        let planned = planned(&loaded.plan, &wanted.resource);
        if let Some(place) = place {
            return self.resolve_handle(wanted, overrides, planned, place, way).await;
        }
        if let Some(signal) = planned
            && matches!(signal.transport, Transport::LifecycleHook(_))
        {
            let message = format!("signal {} answers a lifecycle hook, which only the running agent can do", signal.name);
            return Err(Failure::new(Exit::Failure, message)
                .hint("start the agent, and leave --direct, --stack-id, --region and --unique-id out")
                .into());
        }
        // Like the agent: a resource that no signal names goes where the first signal goes.
        let near = planned.or(loaded.plan.signals.first().map(AsRef::as_ref));
        let stack_id = overrides.stack_id.or_else(|| near?.stack_id.clone()).or_else(|| of_stack(loaded, "stack_id"));
        let region = overrides.region.or_else(|| near?.region.clone()).or_else(|| of_stack(loaded, "region"));
        let metadata = self.metadata;
        let region = match region {
            Some(region) => region,
            None => self.ask("the region", "--region", async || metadata.region().await).await?,
        };
        let stack_id = match stack_id {
            Some(stack_id) => stack_id,
            None => self.ask("the stack", "--stack-id", async || metadata.stack_id().await).await?,
        };
        let resource = planned.map_or(&wanted.resource, |signal| &signal.resource).clone();
        let target = Target { region, stack_id, resource };
        let unique_id = match overrides.unique_id {
            Some(id) => id,
            None => self.derive(planned, wanted, &target).await?,
        };
        Ok((target, unique_id))
    }

    /// Whom the URL of a handle tells: as in the agent.
    async fn resolve_handle(
        &mut self,
        wanted: &Wanted,
        overrides: Overrides,
        planned: Option<&Signal>,
        place: &Place,
        way: &Way,
    ) -> anyhow::Result<(Target, UniqueId)> {
        let loaded = self.loaded;
        let configured = |key: &str, own: fn(&Signal) -> Option<String>| planned.and_then(own).or_else(|| of_stack(loaded, key));
        let unnamed = || Target::UNNAMED.to_owned();
        let stack_id = overrides.stack_id.or_else(|| configured("stack_id", |signal| signal.stack_id.clone())).or(place.stack_id.clone());
        let resource = planned.map_or(&wanted.resource, |signal| &signal.resource).clone();
        let mut target = Target { region: unnamed(), stack_id: stack_id.unwrap_or_else(unnamed), resource };
        let unique_id = match (overrides.unique_id, planned) {
            (Some(id), _) => id,
            (None, None) if way.stands_alone() => {
                let host = self.host().await;
                // One host may say several things, each with its own data, to a condition that counts them: at ROS they are several signals.
                let data = wanted.data.as_ref().map(ToString::to_string);
                let round = data.as_deref().unwrap_or(FIRST_ROUND);
                unique_id(&UniqueIdStrategy::Derived, &host, &format!("{MANUAL}{}", target.resource), round, &target, Uuid::nil())?
            }
            (None, planned) => self.derive(planned, wanted, &target).await?,
        };
        let region = overrides.region.or_else(|| configured("region", |signal| signal.region.clone())).or(place.region.clone());
        target.region = match region {
            Some(region) => region,
            // Only for a header and for asking the stack.
            None => self.metadata.region().await.unwrap_or_else(|_| unnamed()),
        };
        Ok((target, unique_id))
    }

    /// The instance id; on a host where nobody tells it, what else is its own.
    async fn host(&mut self) -> String {
        let mut schedule = Schedule::new(Pace::of(Class::Transient));
        let end = self.end.min(Instant::now() + HOST_PATIENCE);
        loop {
            match self.metadata.instance_id().await {
                Ok(id) => return id,
                Err(error) => {
                    let wait = schedule.next(self.random.draw(), None);
                    if !error.is_unreachable() || self.patience == Patience::Once || Instant::now() + wait >= end {
                        let host = machine();
                        output::notice(&format!("the instance id is not known, so the signal's id is made of {host}: {error}"));
                        return host;
                    }
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }

    async fn derive(&mut self, planned: Option<&Signal>, wanted: &Wanted, target: &Target) -> anyhow::Result<UniqueId> {
        let strategy = planned.map_or(&UniqueIdStrategy::Derived, |signal| &signal.unique_id);
        let name = planned.map_or_else(|| format!("{MANUAL}{}", wanted.resource), |signal| signal.name.to_string());
        let needs_instance = match strategy {
            UniqueIdStrategy::Derived | UniqueIdStrategy::Instance => true,
            UniqueIdStrategy::Template(template) => template.contains("{instance_id}"),
            UniqueIdStrategy::Integer(_) | UniqueIdStrategy::IntegerOf(_) => false,
            UniqueIdStrategy::Random => {
                let failure =
                    Failure::new(Exit::Failure, format!("signal {name} has unique_id = \"random\", which only an agent can remember"));
                return Err(failure.hint("send it through the running agent, or give --unique-id").into());
            }
        };
        let metadata = self.metadata;
        let instance_id = match needs_instance {
            true => self.ask("the instance id", "--unique-id", async || metadata.instance_id().await).await?,
            false => NOT_ASKED.to_owned(),
        };
        let host_name = match strategy {
            UniqueIdStrategy::IntegerOf(source) => {
                Some(self.ask("the name of this host", "--unique-id", async || metadata.name(*source).await).await?)
            }
            _ => None,
        };
        let strategy = with_name(strategy, |_| host_name.clone()).map_err(|error| {
            Failure::new(Exit::Failure, format!("signal {name}: {error}")).hint("give the host such a name in the template, or --unique-id")
        })?;
        Ok(unique_id(&strategy, &instance_id, &name, FIRST_ROUND, target, Uuid::nil())?)
    }

    /// Asks the metadata service until it answers, because a boot script may be faster than the network.
    async fn ask(
        &mut self,
        what: &str,
        option: &str,
        look_up: impl AsyncFn() -> Result<String, instance::Error>,
    ) -> anyhow::Result<String> {
        let mut schedule = Schedule::new(Pace::of(Class::Transient));
        loop {
            let error = match look_up().await {
                Ok(text) => return Ok(text),
                Err(error) => error,
            };
            let wait = schedule.next(self.random.draw(), None);
            let late = self.patience == Patience::Once || Instant::now() + wait >= self.end;
            if !error.is_unreachable() || late {
                let exit = if error.is_unreachable() { Exit::Unacknowledged } else { Exit::Failure };
                let hint = error.hint().map_or_else(|| format!("give {option}"), |hint| format!("give {option}; {hint}"));
                return Err(Failure::new(exit, format!("{what} is not known: {error}")).hint(hint).into());
            }
            output::notice(&format!("{what} is not known yet, again in {}: {error}", output::span(wait)));
            tokio::time::sleep(wait).await;
        }
    }
}

/// Machine id and name of this host. Both are its own on hosts that cloud-init has set up.
fn machine() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let id = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
    let id: String = id.chars().filter(char::is_ascii_hexdigit).take(32).collect();
    format!("machine {id} {name}")
}

/// The signal of the configuration that is meant, by resource or by name. As in the agent.
fn planned<'a>(plan: &'a Plan, resource: &str) -> Option<&'a Signal> {
    plan.signals.iter().find(|signal| signal.resource == resource || *signal.name == *resource).map(AsRef::as_ref)
}

/// A key of `[stack]`, which a configuration may have without any signal.
fn of_stack(loaded: &Loaded, key: &str) -> Option<String> {
    let setting = loaded.origins.get(&format!("stack.{key}"))?;
    let value: toml::Table = format!("value = {}", setting.value).parse().ok()?;
    value.get("value")?.as_str().map(str::to_owned)
}

/// Where a delivery stands between two attempts.
struct Course {
    end: Instant,
    random: Random,
    schedule: Option<(Class, Schedule)>,
    at_once: u32,
    /// Definite rejections so far.
    series: u32,
}

async fn deliver(
    sender: &Sender,
    own: Option<Document>,
    wanted: &Wanted,
    target: Target,
    unique_id: UniqueId,
    mut course: Course,
) -> anyhow::Result<Report> {
    let end = course.end;
    let via = if matches!(sender.way, Way::Api) { "direct" } else { "handle" };
    let mut attempts: u32 = 0;
    loop {
        attempts = attempts.saturating_add(1);
        let client_token = client_token(&target, &unique_id, wanted.status, course.series);
        let request = SignalRequest {
            target: target.clone(),
            transport: Transport::Api,
            status: wanted.status,
            unique_id: unique_id.clone(),
            client_token,
            reason: wanted.reason.clone(),
            report: None,
        };
        let refusal = match tokio::time::timeout_at(end, sender.attempt(&request, own.as_ref(), wanted.data.as_ref())).await {
            Ok(Answer::Accepted { request_id }) => {
                let detail = format!("acknowledged at attempt {attempts}");
                let resource = target.resource;
                let (unique_id, request_id) = (Some(unique_id.to_string()), Some(request_id));
                let state = "acknowledged".to_owned();
                return Ok(Report { via, resource, status: wanted.status, state, unique_id, request_id, attempts, detail });
            }
            Ok(Answer::Refused(refusal)) => refusal,
            Err(_) => return Err(unacknowledged(wanted, "no answer before the time was up").into()),
        };
        if is_ours(&refusal) {
            return Err(hinted(Failure::new(Exit::Failure, refusal.message), refusal.hint).into());
        }
        let Some(wait) = course.after(&refusal).filter(|_| wanted.patience == Patience::UntilAcknowledged) else {
            return Err(hinted(unacknowledged(wanted, &refusal.message), refusal.hint).into());
        };
        let hint = refusal.hint.map(|hint| format!("; hint: {hint}")).unwrap_or_default();
        output::notice(&format!("attempt {attempts} not acknowledged, again in {}: {}{hint}", output::span(wait), refusal.message));
        tokio::time::sleep(wait).await;
    }
}

/// Nothing was sent, and nothing would be: a parameter breaks the rules of ROS.
fn is_ours(refusal: &Refusal) -> bool {
    refusal.class == Class::Permanent && refusal.code.is_none() && refusal.request_id.is_none() && !refusal.definite
}

fn hinted(failure: Failure, hint: Option<String>) -> Failure {
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

impl Course {
    fn new(end: Instant, random: Random) -> Self {
        Self { end, random, schedule: None, at_once: 0, series: 0 }
    }

    /// How long to wait before the next attempt; none if there is no time for one.
    fn after(&mut self, refusal: &Refusal) -> Option<Duration> {
        self.series = self.series.saturating_add(u32::from(refusal.definite));
        let immediate = refusal.class == Class::Immediate;
        let at_once = immediate && self.at_once < IMMEDIATE_LIMIT;
        self.at_once = if immediate { self.at_once.saturating_add(1) } else { 0 };
        let wait = match (at_once, immediate) {
            (true, _) => refusal.retry_after.unwrap_or_default(),
            (false, true) => self.scheduled(Class::Permanent, refusal.retry_after),
            (false, false) => self.scheduled(refusal.class, refusal.retry_after),
        };
        let left = self.end.saturating_duration_since(Instant::now());
        if wait < left {
            return Some(wait);
        }
        // A long wait is cut short for one last attempt, unless the server asked for it.
        let last = left.checked_sub(LAST_CHANCE).filter(|last| !last.is_zero())?;
        refusal.retry_after.is_none_or(|asked| asked <= last).then_some(last)
    }

    fn scheduled(&mut self, class: Class, asked: Option<Duration>) -> Duration {
        if self.schedule.as_ref().is_none_or(|(current, _)| *current != class) {
            self.schedule = None;
        }
        let (_, schedule) = self.schedule.get_or_insert_with(|| (class, Schedule::new(Pace::of(class))));
        schedule.next(self.random.draw(), asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn course(left: Duration) -> Course {
        Course { end: Instant::now() + left, random: Random::new(7), schedule: None, at_once: 0, series: 0 }
    }

    fn refusal(class: Class, definite: bool, retry_after: Option<Duration>) -> Refusal {
        Refusal { class, definite, code: Some("X".into()), message: "no".into(), request_id: None, retry_after, hint: None }
    }

    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn only_a_definite_rejection_begins_a_new_series() {
        let mut course = course(MINUTE);
        course.after(&refusal(Class::Transient, false, None));
        assert_eq!(course.series, 0);
        course.after(&refusal(Class::Throttled, true, None));
        assert_eq!(course.series, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_mended_cause_is_tried_at_once_but_not_for_ever() {
        let mut course = course(60 * MINUTE);
        let waits: Vec<_> = (0..4).map(|_| course.after(&refusal(Class::Immediate, false, None)).unwrap()).collect();
        assert_eq!(waits.get(..3), Some([Duration::ZERO; 3].as_slice()));
        assert!(waits[3] >= Duration::from_secs(30), "{waits:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_beyond_the_end_becomes_one_last_attempt() {
        let mut course = course(Duration::from_secs(20));
        assert_eq!(course.after(&refusal(Class::Permission, true, None)), Some(Duration::from_secs(18)));
        tokio::time::advance(Duration::from_secs(18)).await;
        assert_eq!(course.after(&refusal(Class::Permission, true, None)), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_asks_for_more_time_than_there_is_is_not_disturbed() {
        assert_eq!(course(Duration::from_secs(20)).after(&refusal(Class::Throttled, true, Some(MINUTE))), None);
    }
}
