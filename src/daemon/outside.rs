//! What the driver reaches ROS and the metadata service with, made from a plan.

use crate::agent::{Identity, Input};
use crate::config::Layout;
use crate::credentials::Cache;
use crate::instance::Metadata;
use crate::plan::{Plan, Transport};
use crate::retry::Random;
use crate::ros::Client;
use crate::signal::{Answer, Class, Refusal, SignalRequest};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long the check before a send, that this is still the same machine, may hold up the send.
const RECHECK_TIMEOUT: Duration = Duration::from_millis(500);

/// The clients of the running plan.
pub(super) struct Outside {
    environment: HashMap<String, String>,
    metadata: Arc<Metadata>,
    client: Arc<Client>,
    /// The instance id that the intents are made under, once it is known.
    instance_id: Arc<Mutex<Option<String>>>,
}

impl Outside {
    pub(super) fn new(plan: &Plan, environment: &HashMap<String, String>) -> Result<Self, String> {
        let metadata = Arc::new(Metadata::new(&plan.instance, environment).map_err(|error| error.to_string())?);
        let credentials =
            Cache::with_ca_file(&plan.credentials.provider, environment, &metadata, Random::from_kernel(), plan.ros.ca_file.as_deref());
        let client = Arc::new(Client::new(&plan.ros, Arc::new(credentials)).map_err(|error| error.to_string())?);
        Ok(Self { environment: environment.clone(), metadata, client, instance_id: Arc::default() })
    }

    /// New clients for a new plan: certificates are read again, and nothing learned for another stack or account stays.
    pub(super) fn renew(&mut self, plan: &Plan) -> Result<(), String> {
        *self = Self { instance_id: Arc::clone(&self.instance_id), ..Self::new(plan, &self.environment)? };
        Ok(())
    }

    pub(super) fn client(&self) -> Arc<Client> {
        Arc::clone(&self.client)
    }

    pub(super) fn skew_ms(&self) -> Option<i64> {
        self.client.skew_ms()
    }

    /// Asks who this host is.
    pub(super) fn identify(&self) -> impl Future<Output = Result<Identity, String>> + Send + 'static {
        let (metadata, client, known) = (Arc::clone(&self.metadata), Arc::clone(&self.client), Arc::clone(&self.instance_id));
        async move {
            let found = metadata.identity().await.map_err(|error| match error.hint() {
                Some(hint) => format!("{error}; hint: {hint}"),
                None => error.to_string(),
            })?;
            if let Some(account) = &found.account_id {
                client.know_account(account);
            }
            *known.lock().unwrap_or_else(PoisonError::into_inner) = Some(found.instance_id.clone());
            Ok(Identity { instance_id: found.instance_id, region: found.region, stack_id: found.stack_id })
        }
    }

    /// One attempt, after a look whether this is still the machine that decided: a copy of a running machine resumes without a boot.
    pub(super) fn send(&self, send: u64, request: SignalRequest) -> impl Future<Output = Vec<Input>> + Send + 'static {
        let client = Arc::clone(&self.client);
        let metadata = Arc::clone(&self.metadata);
        let known = self.instance_id.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let identify = self.identify();
        async move {
            let now = tokio::time::timeout(RECHECK_TIMEOUT, metadata.instance_id()).await;
            if let (Some(known), Ok(Ok(now))) = (&known, &now)
                && known != now
            {
                let refusal = Refusal {
                    class: Class::Transient,
                    definite: false,
                    code: None,
                    message: format!("this machine was {known} and is now {now}: nothing is sent for the other one"),
                    request_id: None,
                    retry_after: None,
                    hint: None,
                };
                return vec![Input::Identified(identify.await), Input::Answered { send, answer: Answer::Refused(refusal) }];
            }
            let answer = match &request.transport {
                Transport::Api => client.signal(&request).await,
                Transport::Handle(_) | Transport::LifecycleHook(_) => return Vec::new(),
            };
            vec![Input::Answered { send, answer }]
        }
    }
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
