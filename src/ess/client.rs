//! The client of ESS. Each call makes one attempt at its purpose and returns; the core decides when to try again.
//!
//! The token of a lifecycle action reaches nobody on the instance by itself (ESS sends it to a queue). So it is looked for: where this
//! instance stands in its group, which activity added it, and which of that activity's lifecycle actions names it and is pending.

use super::action::{self, Action, Actions, Found};
use super::hosts::{self, Hosts};
use super::operations;
use crate::credentials;
use crate::plan::{Endpoint, LifecycleHook, Plan};
use crate::rpc::{Body, Caller, ClientError, Failed, Invalid, Operation, Reach, http_client, unsent};
use crate::signal::{Answer, Beat, Class, Refusal, SignalRequest};
use crate::stack::Look;
use reqwest::Url;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A search takes at most this, all its questions together.
const LOOK_TIMEOUT: Duration = Duration::from_secs(10);

/// Pages of activities in progress that are read; the newest come first.
const ACTIVITY_PAGES: u32 = 5;

/// Pages of lifecycle actions that are read of one activity.
const ACTION_PAGES: u32 = 20;

/// Questions of one search: the rate of the API is shared by the whole account.
const QUESTIONS: u32 = 60;

/// Regions, actions and refused tokens that are remembered; the oldest go first, which costs a question more.
const KEPT: usize = 16;

/// The action is over, or never was (CompleteLifecycleAction and RecordLifecycleActionHeartbeat pages, HTTP 400).
const NOT_PENDING: &str = "LifecycleHookIdAndLifecycleActionToken.Invalid";

/// No more heartbeats: 20 of them, or 6 hours (RecordLifecycleActionHeartbeat page).
const EXHAUSTED: [&str; 2] = ["LifecycleAction.RecordTimesExceeded", "LifecycleAction.TimeExceeded"];

/// Why there can be no client.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not usable as an endpoint.
    #[error("{0}")]
    Endpoint(String),
    /// Certificates, or the HTTP client.
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// A client of ESS.
#[derive(Debug)]
pub struct Client {
    caller: Caller,
    timeout: Duration,
    endpoint: Endpoint,
    learned: Mutex<Learned>,
}

/// What the answers have taught.
#[derive(Debug, Default)]
struct Learned {
    hosts: Vec<Hosts>,
    pending: Vec<(LifecycleHook, Action)>,
    /// Hooks of whose actions ESS has refused the token: what the configuration says of them is no longer believed.
    doubted: Vec<LifecycleHook>,
}

/// Whose action is meant.
#[derive(Clone, Copy, Debug)]
struct Wanted<'a> {
    region: &'a str,
    hook: &'a LifecycleHook,
    instance_id: &'a str,
}

impl Client {
    /// A client that asks the hosts that `[ess]`, else the environment says, and signs as `[ros]` says. Reads certificates, does nothing else.
    ///
    /// # Errors
    /// If the endpoint is not encrypted (but on loopback), or certificates cannot be read.
    pub fn new(
        plan: &Plan,
        reach: &Reach,
        environment: &HashMap<String, String>,
        credentials: Arc<credentials::Cache>,
    ) -> Result<Self, Error> {
        let endpoint = hosts::settle(&plan.ess.endpoint, environment).map_err(Error::Endpoint)?;
        let plain = matches!(&endpoint, Endpoint::Url(url) if url.scheme() == "http");
        let caller = Caller::new(http_client(plain, reach)?, plan.ros.signature, credentials);
        Ok(Self { caller, timeout: plan.ros.timeout, endpoint, learned: Mutex::default() })
    }

    /// Tells the account number, for the ARNs in hints. The first one stays.
    pub fn know_account(&self, account_id: &str) {
        self.caller.know_account(account_id);
    }

    /// Every host that attempts in `region` may ask, in the order in which they are tried.
    pub fn hosts(&self, region: &str) -> Vec<Url> {
        Hosts::new(&self.endpoint, region).all().to_vec()
    }

    /// Server time minus system time in milliseconds, once it was measured.
    pub fn skew_ms(&self) -> Option<i64> {
        self.caller.skew_ms()
    }

    /// Whether a lifecycle action of the hook waits for this instance.
    pub async fn look(&self, region: &str, hook: &LifecycleHook, instance_id: &str) -> Look {
        match self.find(Wanted { region, hook, instance_id }).await {
            Ok(Found::Pending(_)) => Look::Waiting,
            Ok(Found::Over(why)) => Look::NobodyWaits(why),
            Ok(Found::NotYet(why)) => Look::NotYet(why),
            Ok(Found::Several(why)) => Look::NotNow(why),
            Err(refusal) if refusal.class == Class::Permission => Look::Denied(refusal.explained()),
            Err(refusal) => Look::Failed { class: refusal.class, retry_after: refusal.retry_after, why: refusal.explained() },
        }
    }

    /// One attempt at CompleteLifecycleAction.
    pub async fn complete(&self, request: &SignalRequest, hook: &LifecycleHook, instance_id: &str) -> Answer {
        let wanted = Wanted { region: &request.target.region, hook, instance_id };
        let action = match self.known_or_found(wanted).await {
            Ok(Found::Pending(action)) => action,
            // Nothing was sent; the look before the next attempt tells whether anybody waits at all.
            Ok(Found::Over(why) | Found::NotYet(why) | Found::Several(why)) => {
                return Answer::Refused(unsent(Class::TooEarly, why, None));
            }
            Err(refusal) => return Answer::Refused(refusal),
        };
        let result = operations::result(request.status, hook.on_failure);
        if action.others > 0 {
            let (others, hook) = (action.others, &action.hook);
            tracing::warn!(target: "ess", "the lifecycle action of hook {hook} holds {others} more instances: {result} holds for them too");
        }
        let operation = operations::complete_lifecycle_action(wanted.region, &action, result, &request.client_token);
        match self.attempt(wanted.region, operation).await {
            Ok(body) => {
                self.forget(hook);
                Answer::Accepted { request_id: body.request_id }
            }
            Err(refusal) => Answer::Refused(self.judged(wanted, refusal)),
        }
    }

    /// One attempt at RecordLifecycleActionHeartbeat: the hook is to wait `covers` from now.
    pub async fn heartbeat(&self, region: &str, hook: &LifecycleHook, instance_id: &str, covers: Duration) -> Beat {
        let wanted = Wanted { region, hook, instance_id };
        let action = match self.known_or_found(wanted).await {
            Ok(Found::Pending(action)) => action,
            Ok(Found::NotYet(why) | Found::Several(why)) => return Beat::NotYet(why),
            Ok(Found::Over(why)) => return Beat::Over(why),
            Err(refusal) => return Beat::Failed(refusal),
        };
        let operation = operations::record_lifecycle_action_heartbeat(region, &action, covers);
        match self.attempt(region, operation).await {
            Ok(_) => Beat::Recorded,
            Err(refusal) if refusal.code.as_deref().is_some_and(|code| EXHAUSTED.contains(&code)) => Beat::Exhausted(refusal.message),
            Err(refusal) if refusal.code.as_deref() == Some(NOT_PENDING) => Beat::NotYet(self.judged(wanted, refusal).message),
            Err(refusal) => Beat::Failed(refusal),
        }
    }

    /// A refusal of the token means that the action is looked for before the next attempt, which shows whether anybody waits.
    fn judged(&self, wanted: Wanted<'_>, refusal: Refusal) -> Refusal {
        if refusal.code.as_deref() != Some(NOT_PENDING) {
            return refusal;
        }
        self.forget(wanted.hook);
        let mut learned = self.learned();
        learned.doubted.retain(|doubted| doubted != wanted.hook);
        keep(&mut learned.doubted, wanted.hook.clone());
        Refusal { class: Class::TooEarly, ..refusal }
    }

    async fn known_or_found(&self, wanted: Wanted<'_>) -> Result<Found, Refusal> {
        let known = self.learned().pending.iter().find(|(hook, _)| hook == wanted.hook).map(|(_, action)| action.clone());
        match known {
            Some(action) => Ok(Found::Pending(action)),
            None => self.find(wanted).await,
        }
    }

    /// Looks for the action, and remembers it.
    async fn find(&self, wanted: Wanted<'_>) -> Result<Found, Refusal> {
        if let Some(action) = self.given(wanted.hook) {
            return Ok(Found::Pending(action));
        }
        self.forget(wanted.hook);
        let search = Search { client: self, wanted, questions: 0 };
        let found = match tokio::time::timeout(LOOK_TIMEOUT, search.run()).await {
            Ok(found) => found?,
            Err(_) => {
                let message = format!("no answer about the lifecycle action within {}s", LOOK_TIMEOUT.as_secs());
                return Err(unsent(Class::Transient, message, None));
            }
        };
        let found = match found {
            Found::NotYet(why) if self.is_doubted(wanted.hook) => {
                Found::Over(format!("ESS does not take the token of the lifecycle action any more, and {why}"))
            }
            found => found,
        };
        if let Found::Pending(action) = &found {
            let mut learned = self.learned();
            keep(&mut learned.pending, (wanted.hook.clone(), action.clone()));
        }
        Ok(found)
    }

    /// The action as the configuration names it, unless ESS has refused it.
    fn given(&self, hook: &LifecycleHook) -> Option<Action> {
        let (Some(id), Some(token)) = (&hook.hook, &hook.action_token) else { return None };
        (!self.is_doubted(hook)).then(|| Action { hook: id.clone(), token: token.clone(), group: hook.scaling_group.clone(), others: 0 })
    }

    /// ESS has refused a token of this hook.
    fn is_doubted(&self, hook: &LifecycleHook) -> bool {
        self.learned().doubted.contains(hook)
    }

    fn forget(&self, hook: &LifecycleHook) {
        self.learned().pending.retain(|(known, _)| known != hook);
    }

    /// One attempt at the region's host of the moment, and what can be mended afterwards.
    async fn attempt(&self, region: &str, operation: Result<Operation, Invalid>) -> Result<Body, Refusal> {
        let operation = operation.map_err(|invalid| unsent(Class::Permanent, invalid.to_string(), None))?;
        let Some(endpoint) = self.host(region) else {
            let hint = "set endpoint under [ess]".to_owned();
            return Err(unsent(Class::Permanent, format!("no host of ESS is known for region {region:?}"), Some(hint)));
        };
        match self.caller.attempt(&operation, &endpoint, self.timeout).await {
            Ok(body) => {
                self.of_hosts(region, Hosts::answered);
                Ok(body)
            }
            Err(failed) => Err(self.mend(region, failed).await),
        }
    }

    /// Does about a failure what this side can: ask another host, correct the clock, renew credentials.
    async fn mend(&self, region: &str, failed: Failed) -> Refusal {
        match failed {
            Failed::Unsent(refusal) => refusal,
            Failed::Silent(trouble) => {
                let another = if trouble.connected {
                    self.of_hosts(region, Hosts::silent);
                    false
                } else {
                    self.of_hosts(region, Hosts::failed)
                };
                let refusal = Failed::Silent(trouble).into_refusal();
                if another { Refusal { class: Class::Immediate, ..refusal } } else { refusal }
            }
            Failed::Refused(refused) if !refused.from_service => {
                self.of_hosts(region, Hosts::silent);
                refused.refusal
            }
            Failed::Refused(refused) => {
                self.of_hosts(region, Hosts::answered);
                self.caller.mend(*refused).await
            }
        }
    }

    fn host(&self, region: &str) -> Option<Url> {
        self.of_hosts(region, |hosts| hosts.current().cloned())
    }

    fn of_hosts<T>(&self, region: &str, act: impl FnOnce(&mut Hosts) -> T) -> T {
        let mut learned = self.learned();
        if let Some(hosts) = learned.hosts.iter_mut().find(|hosts| hosts.region() == region) {
            return act(hosts);
        }
        let mut hosts = Hosts::new(&self.endpoint, region);
        let result = act(&mut hosts);
        keep(&mut learned.hosts, hosts);
        result
    }

    fn learned(&self) -> std::sync::MutexGuard<'_, Learned> {
        // Nothing in there can be left half done.
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn keep<T>(list: &mut Vec<T>, item: T) {
    if list.len() >= KEPT {
        list.remove(0);
    }
    list.push(item);
}

/// One search, with the questions it has asked.
struct Search<'a> {
    client: &'a Client,
    wanted: Wanted<'a>,
    questions: u32,
}

impl Search<'_> {
    async fn run(mut self) -> Result<Found, Refusal> {
        let Wanted { region, hook, instance_id } = self.wanted;
        let configured = hook.scaling_group.as_deref();
        let body = self.ask(|| operations::describe_scaling_instances(region, configured, instance_id)).await?;
        let member = action::membership(&body, instance_id);
        if let Some(why) = member.as_ref().and_then(action::Membership::over) {
            return Ok(Found::Over(why));
        }
        let own = member.as_ref().map(|member| member.scaling_group_id.clone()).filter(|group| !group.is_empty());
        let Some(group) = own.or_else(|| configured.map(str::to_owned)) else {
            return Ok(Found::NotYet(format!("instance {instance_id} is in no scaling group of {region}")));
        };
        let mut actions = Actions::default();
        // The activity that added the instance. Those that are in progress are gone through only where it is not told, or has none.
        if let Some(activity) = member.and_then(|member| member.scaling_activity_id).filter(|activity| !activity.is_empty()) {
            self.actions_of(&activity, &group, &mut actions).await?;
        }
        if actions.is_empty() {
            self.actions_in_progress(&group, &mut actions).await?;
        }
        let none = || Found::NotYet(format!("no lifecycle action of scaling group {group} names this instance"));
        Ok(match actions.judge().unwrap_or_else(none) {
            Found::Pending(action) => Found::Pending(Action { group: Some(group), ..action }),
            found => found,
        })
    }

    async fn actions_in_progress(&mut self, group: &str, actions: &mut Actions) -> Result<(), Refusal> {
        let Wanted { region, instance_id, .. } = self.wanted;
        for page in 1..=ACTIVITY_PAGES {
            let body = self.ask(|| operations::describe_scaling_activities(region, group, page)).await?;
            let (activities, entries) = action::activities(&body, instance_id);
            for activity in activities {
                self.actions_of(&activity, group, actions).await?;
                if !actions.is_empty() || self.questions >= QUESTIONS {
                    return Ok(());
                }
            }
            if entries < operations::PAGE {
                return Ok(());
            }
        }
        Ok(())
    }

    /// All pages: several hooks may hold the instance.
    async fn actions_of(&mut self, activity: &str, group: &str, actions: &mut Actions) -> Result<(), Refusal> {
        let Wanted { region, hook, instance_id } = self.wanted;
        let mut next: Option<String> = None;
        for _ in 0..ACTION_PAGES {
            if self.questions >= QUESTIONS {
                return Ok(());
            }
            let body = self.ask(|| operations::describe_lifecycle_actions(region, Some(group), activity, next.as_deref())).await?;
            let following = actions.read(&body, instance_id, hook);
            if following.is_none() || following == next {
                return Ok(());
            }
            next = following;
        }
        Ok(())
    }

    /// Asks again at once, but only once, if the cause of the refusal was mended.
    async fn ask(&mut self, operation: impl Fn() -> Result<Operation, Invalid>) -> Result<Body, Refusal> {
        self.questions += 1;
        match self.client.attempt(self.wanted.region, operation()).await {
            Err(refusal) if refusal.class == Class::Immediate => self.client.attempt(self.wanted.region, operation()).await,
            answer => answer,
        }
    }
}
