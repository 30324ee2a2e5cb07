//! What sources reach the world outside with: the clients' certificates and proxy, the metadata service, credentials, the environment.
//!
//! A source is handed a [`watch::Receiver`] of it. On a reload, and when this machine turns out to be another one, the driver puts a new
//! value there: sources whose configuration is unchanged go on (a listener keeps its socket) and take the new value at their next use.

use crate::credentials::Cache;
use crate::instance::Metadata;
use crate::plan::Plan;
use crate::retry::Random;
use crate::rpc::Reach;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::watch;

/// See the head of this file. Clones share everything. `Debug` shows nothing of it, because the environment holds keys.
#[derive(Clone)]
pub struct Surroundings {
    /// Certificates, proxy, whose time counts; one HTTP client for all.
    pub reach: Reach,
    /// Who this host is.
    pub metadata: Arc<Metadata>,
    /// The one cache of credentials, which the clients of ROS and ESS use too.
    pub credentials: Arc<Cache>,
    /// The process's environment.
    pub environment: Arc<HashMap<String, String>>,
}

impl std::fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Surroundings")
    }
}

impl Surroundings {
    /// As the plan wants them. Asks nothing yet.
    ///
    /// # Errors
    /// If the address of the metadata service cannot be used.
    pub fn new(plan: &Plan, environment: &HashMap<String, String>) -> Result<Self, String> {
        let metadata = Arc::new(Metadata::new(&plan.instance, environment).map_err(|error| error.to_string())?);
        let reach = Reach::new(plan, &metadata).calling_itself(environment);
        let credentials = Cache::reaching(&plan.credentials.provider, environment, &metadata, Random::from_kernel(), &reach);
        Ok(Self { reach, metadata, credentials: Arc::new(credentials), environment: Arc::new(environment.clone()) })
    }
}

/// The surroundings as they are now, and the news of others.
pub type Around = watch::Receiver<Surroundings>;
