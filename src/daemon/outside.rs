//! What the driver reaches ROS and the metadata service with, made from a plan.

use crate::agent::status::ClockView;
use crate::agent::{Identity, Input, Places};
use crate::clock::Moment;
use crate::config::Layout;
use crate::credentials::Cache;
use crate::instance::Metadata;
use crate::plan::{ClockTrust, HandleSource, LifecycleHook, Name, NameSource, Plan, Transport, UniqueIdStrategy};
use crate::retry::Random;
use crate::ros::{Client, Remembered};
use crate::rpc::{Reach, unsent};
use crate::signal::{Answer, Beat, Class, SignalRequest, Target};
use crate::stack::Look;
use crate::{ess, handle};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// How long the check before a send, that this is still the same machine, may hold up the send.
const RECHECK_TIMEOUT: Duration = Duration::from_millis(500);

/// The clients of the running plan.
pub(super) struct Outside {
    environment: HashMap<String, String>,
    metadata: Arc<Metadata>,
    reach: Reach,
    client: Arc<Client>,
    trust: ClockTrust,
    /// The host of ROS that served last, read once: on a reload a disk that hangs must not hold up the loop.
    remembered: Remembered,
    handles: Arc<handle::Client>,
    /// Where the URL of each signal lies that travels through it.
    handle_sources: Vec<(Name, HandleSource)>,
    /// Names that ids of the plan are made of.
    names: Vec<NameSource>,
    ess: Arc<ess::Client>,
}

/// What sources of events need of the outside world.
#[derive(Clone)]
pub(super) struct Surroundings {
    pub(super) reach: Reach,
    pub(super) metadata: Arc<Metadata>,
    pub(super) environment: HashMap<String, String>,
}

impl Outside {
    pub(super) fn new(plan: &Plan, environment: &HashMap<String, String>) -> Result<Self, String> {
        Self::remembering(plan, environment, Remembered::in_directory(&plan.agent.state_dir))
    }

    fn remembering(plan: &Plan, environment: &HashMap<String, String>, remembered: Remembered) -> Result<Self, String> {
        let metadata = Arc::new(Metadata::new(&plan.instance, environment).map_err(|error| error.to_string())?);
        let reach = Reach::new(plan, &metadata).calling_itself(environment);
        let credentials = Cache::reaching(&plan.credentials.provider, environment, &metadata, Random::from_kernel(), &reach);
        let credentials = Arc::new(credentials);
        let client = Client::reaching(&plan.ros, &reach, Some(remembered.clone()), Arc::clone(&credentials));
        let client = Arc::new(client.map_err(|error| error.to_string())?);
        let ess = ess::Client::new(plan, &reach, environment, credentials).map_err(|error| error.to_string())?;
        let handles = Arc::new(handle::Client::reaching(&plan.ros, &reach, environment)?);
        let handle_sources = plan.signals.iter().filter_map(|signal| match &signal.transport {
            Transport::Handle(source) => Some((Arc::clone(&signal.name), source.clone())),
            _ => None,
        });
        Ok(Self {
            environment: environment.clone(),
            metadata,
            reach,
            client,
            ess: Arc::new(ess),
            trust: plan.clock_trust,
            remembered,
            handles,
            handle_sources: handle_sources.collect(),
            names: names(plan),
        })
    }

    /// New clients for a new plan: certificates are read again, and nothing learned for another stack or account stays.
    pub(super) fn renew(&mut self, plan: &Plan) -> Result<(), String> {
        *self = Self::remembering(plan, &self.environment, self.remembered.clone())?;
        Ok(())
    }

    pub(super) fn surroundings(&self) -> Surroundings {
        Surroundings { reach: self.reach.clone(), metadata: Arc::clone(&self.metadata), environment: self.environment.clone() }
    }

    pub(super) fn client(&self) -> Arc<Client> {
        Arc::clone(&self.client)
    }

    /// How far this host's clock is off, and by whose word.
    pub(super) fn clock(&self) -> ClockView {
        let metadata_ms = self.metadata.skew_ms(Moment::now());
        let by_metadata = self.trust == ClockTrust::Metadata && metadata_ms.is_some();
        let verified_by = if by_metadata { ClockTrust::Metadata } else { ClockTrust::System };
        ClockView {
            trust: self.trust,
            verified_by,
            ros_ahead_ms: self.client.skew_ms().or_else(|| self.ess.skew_ms()),
            metadata_ahead_ms: metadata_ms,
        }
    }

    /// What the URLs of handles tell that lie on this host.
    pub(super) fn read_handles(&self) -> impl Future<Output = Places> + Send + 'static {
        let mut reading = JoinSet::new();
        for (name, source) in self.handle_sources.clone() {
            let handles = Arc::clone(&self.handles);
            reading.spawn(async move { Some((name, handles.place(&source).await.transpose()?)) });
        }
        async move { reading.join_all().await.into_iter().flatten().collect() }
    }

    /// Asks who this host is.
    pub(super) fn identify(&self) -> impl Future<Output = Result<Identity, String>> + Send + 'static {
        let (metadata, client) = (Arc::clone(&self.metadata), Arc::clone(&self.client));
        let (wanted, ess) = (self.names.clone(), Arc::clone(&self.ess));
        async move {
            let found = metadata.identity().await.map_err(|error| match error.hint() {
                Some(hint) => format!("{error}; hint: {hint}"),
                None => error.to_string(),
            })?;
            if let Some(account) = &found.account_id {
                client.know_account(account);
                ess.know_account(account);
            }
            let mut names = Vec::new();
            for source in wanted {
                if let Ok(name) = metadata.name(source).await {
                    names.push((source, name));
                }
            }
            Ok(Identity { instance_id: found.instance_id, region: found.region, stack_id: found.stack_id, names })
        }
    }

    /// Whether a lifecycle action of the hook waits for this instance, which is the one that the core knows.
    pub(super) fn look_at_hook(
        &self,
        known: Option<String>,
        target: Target,
        hook: LifecycleHook,
    ) -> impl Future<Output = Look> + Send + 'static {
        let ess = Arc::clone(&self.ess);
        async move { ess.look(&target.region, &hook, known.as_deref().unwrap_or_default()).await }
    }

    /// One heartbeat for the hook.
    pub(super) fn beat(
        &self,
        known: Option<String>,
        target: Target,
        hook: LifecycleHook,
        covers: Duration,
    ) -> impl Future<Output = Beat> + Send + 'static {
        let ess = Arc::clone(&self.ess);
        async move { ess.heartbeat(&target.region, &hook, known.as_deref().unwrap_or_default(), covers).await }
    }

    /// One attempt, after a look whether this is still the machine that decided: a copy of a running machine resumes without a boot.
    /// `known` is the instance that the intent was made under: what a question in flight is about to find must not count here.
    pub(super) fn send(
        &self,
        known: Option<String>,
        send: u64,
        request: SignalRequest,
    ) -> impl Future<Output = Vec<Input>> + Send + 'static {
        let client = Arc::clone(&self.client);
        let (handles, ess) = (Arc::clone(&self.handles), Arc::clone(&self.ess));
        let metadata = Arc::clone(&self.metadata);
        let identify = self.identify();
        async move {
            let now = tokio::time::timeout(RECHECK_TIMEOUT, metadata.instance_id()).await;
            if let (Some(known), Ok(Ok(now))) = (&known, &now)
                && known != now
            {
                let why = format!("this machine was {known} and is now {now}: nothing is sent for the other one");
                let refusal = unsent(Class::Transient, why, None);
                return vec![Input::Identified(identify.await), Input::Answered { send, answer: Answer::Refused(refusal) }];
            }
            let answer = match &request.transport {
                Transport::Api => client.signal(&request).await,
                Transport::Handle(source) => handles.signal(&request, source, &client).await,
                // An intent is made when the instance id is known, so that there is one.
                Transport::LifecycleHook(hook) => ess.complete(&request, hook, known.as_deref().unwrap_or_default()).await,
            };
            vec![Input::Answered { send, answer }]
        }
    }
}

/// Each name that some signal needs, once.
fn names(plan: &Plan) -> Vec<NameSource> {
    let needs = |source| plan.signals.iter().any(|signal| signal.unique_id == UniqueIdStrategy::IntegerOf(source));
    [NameSource::InstanceName, NameSource::Hostname].into_iter().filter(|source| needs(*source)).collect()
}

/// What the configuration files looked like, to see a change without reading them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint(Vec<(PathBuf, u64, i64, i64)>);

impl Fingerprint {
    pub(super) fn of(layout: &Layout) -> Self {
        let mut seen = Vec::new();
        note(&layout.main, &mut seen);
        for directory in &layout.drop_ins {
            let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
            let mut paths: Vec<_> = entries.map(|entry| entry.path()).take(256).collect();
            paths.sort();
            for path in paths {
                note(&path, &mut seen);
            }
        }
        Self(seen)
    }
}

fn note(path: &Path, seen: &mut Vec<(PathBuf, u64, i64, i64)>) {
    use std::os::unix::fs::MetadataExt as _;
    if let Ok(found) = std::fs::metadata(path) {
        seen.push((path.to_owned(), found.len(), found.mtime(), found.mtime_nsec()));
    }
}
