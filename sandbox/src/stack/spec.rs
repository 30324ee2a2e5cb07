//! A stack as a test or `PUT /stacks/ID` describes it, and what is wrong with such a description.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::status::Status;

/// Resources in one stack; ROS allows 300 in a template.
const RESOURCES_ALLOWED: usize = 300;

/// Bytes of a template; ROS allows 512 KiB, and a test may want more.
const TEMPLATE_ALLOWED: usize = 1024 * 1024;

/// Parameters of one stack; ROS allows 200 in a template.
const PARAMETERS_ALLOWED: usize = 200;

/// `NotificationURLs` of one stack, and bytes of one (page on CreateStack).
const URLS_ALLOWED: usize = 5;
const URL_BYTES: usize = 1024;

/// Bytes of the `Metadata` of one resource; ROS allows 512 KiB for the whole template.
const METADATA_ALLOWED: usize = 512 * 1024;

/// A stack to be made, updated or forced into a status.
///
/// ```json
/// {"region": "cn-hangzhou", "name": "web", "status": "CREATE_IN_PROGRESS",
///  "resources": {"WebReady": {"type": "handle", "mode": "Full", "count": -1},
///                "Wait": {"type": "condition", "handle": "WebReady", "count": 1, "timeout": 300}}}
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StackSpec {
    /// Region of the stack; a request that names another gets `StackNotFound`. Default: as before, else `cn-hangzhou`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Name of the stack. Default: as before, else the id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `CREATE_IN_PROGRESS` (default) begins anew, `UPDATE_IN_PROGRESS` begins an update; any other is set as it is.
    #[serde(default = "create_in_progress")]
    pub status: Status,
    /// Resources by logical id. Left out: those the stack has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<BTreeMap<String, ResourceSpec>>,
    /// What GetTemplate shows. Default: as before, else made from the resources.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Values of the template's parameters, for GetStack. Default: as before, else none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<BTreeMap<String, String>>,
    /// Whether a failed creation or update is rolled back. Default false.
    #[serde(default)]
    pub rollback: bool,
    /// How long a rollback takes, in seconds. Default 1.
    #[serde(default = "one_second")]
    pub rollback_seconds: f64,
    /// `Metadata` of resources, JSON objects by logical id. A resource that is not named keeps what it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<BTreeMap<String, Value>>,
    /// Outputs of the stack, any JSON by name. Default: as before, else none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs: Option<BTreeMap<String, Value>>,
    /// `NotificationURLs`: `eventbridge`, or URLs on loopback to which the service posts unsigned. Default: as before, else none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notification_urls: Option<Vec<String>>,
    /// What becomes of the stack's record after its creation. Default: it is kept.
    #[serde(default)]
    pub create_option: CreateOption,
}

/// `CreateOption` of CreateStack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum CreateOption {
    /// The record stays.
    #[default]
    KeepStackOnCreationComplete,
    /// The record goes when the creation has succeeded; the resources stay.
    AbandonStackOnCreationComplete,
    /// The record goes when a failed creation has been rolled back.
    AbandonStackOnCreationRollbackComplete,
}

impl Default for StackSpec {
    fn default() -> Self {
        Self {
            region: None,
            name: None,
            status: Status::CREATE_IN_PROGRESS,
            resources: None,
            template: None,
            parameters: None,
            rollback: false,
            rollback_seconds: one_second(),
            metadata: None,
            outputs: None,
            notification_urls: None,
            create_option: CreateOption::default(),
        }
    }
}

impl StackSpec {
    /// The usual pair: a handle and a condition `Wait` that needs `count` signals within `timeout` seconds.
    pub fn waiting_for(handle: &str, count: u32, timeout: f64) -> Self {
        Self::default().resource(handle, ResourceSpec::handle()).resource("Wait", ResourceSpec::condition(handle, count, timeout))
    }

    /// Adds or replaces a resource.
    #[must_use]
    pub fn resource(mut self, name: &str, resource: ResourceSpec) -> Self {
        self.resources.get_or_insert_default().insert(name.to_owned(), resource);
        self
    }

    /// Sets what GetTemplate shows.
    #[must_use]
    pub fn template(self, text: impl Into<String>) -> Self {
        Self { template: Some(text.into()), ..self }
    }

    /// Gives a parameter of the template its value.
    #[must_use]
    pub fn parameter(mut self, name: &str, value: &str) -> Self {
        self.parameters.get_or_insert_default().insert(name.to_owned(), value.to_owned());
        self
    }

    /// Gives a resource its `Metadata`, a JSON object.
    #[must_use]
    pub fn metadata(mut self, resource: &str, metadata: Value) -> Self {
        self.metadata.get_or_insert_default().insert(resource.to_owned(), metadata);
        self
    }

    /// Adds an entry to `NotificationURLs`: `eventbridge`, or a URL on loopback.
    #[must_use]
    pub fn notify(mut self, url: &str) -> Self {
        self.notification_urls.get_or_insert_default().push(url.to_owned());
        self
    }

    /// Adds an output.
    #[must_use]
    pub fn output(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.outputs.get_or_insert_default().insert(name.to_owned(), value.into());
        self
    }

    /// A failed creation or update is rolled back.
    #[must_use]
    pub fn rolled_back(self) -> Self {
        Self { rollback: true, ..self }
    }

    /// Sets the status.
    #[must_use]
    pub fn status(self, status: Status) -> Self {
        Self { status, ..self }
    }
}

/// A resource of a stack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub enum ResourceSpec {
    /// `ALIYUN::ROS::WaitConditionHandle`
    Handle {
        /// What an update does with old signals. Default `Full`.
        #[serde(default)]
        mode: Mode,
        /// With `Full` and 0 or more, an update deletes signals with an integer id above this. Default -1 (off).
        #[serde(default = "minus_one")]
        count: i64,
        /// Seconds after the start of the creation or update before the handle exists; until then `ResourceNotAvailable`.
        #[serde(default)]
        too_early_for: f64,
        /// The handle does not exist until told (`POST /stacks/ID/available`).
        #[serde(default)]
        too_early: bool,
    },
    /// `ALIYUN::ROS::WaitCondition`
    Condition {
        /// Logical id of the handle.
        handle: String,
        /// Number of signals needed. Default 1.
        #[serde(default = "one")]
        count: u32,
        /// Seconds to wait for them, 1 to 43200 in ROS; the sandbox takes fractions too. Default 600.
        #[serde(default = "ten_minutes")]
        timeout: f64,
    },
    /// Anything else: it cannot be signalled.
    Other {
        /// Such as `ALIYUN::ECS::Instance`.
        resource_type: String,
    },
}

impl ResourceSpec {
    /// A handle with the defaults: `Mode: Full`, no Count, there at once.
    pub fn handle() -> Self {
        Self::Handle { mode: Mode::Full, count: -1, too_early_for: 0.0, too_early: false }
    }

    /// A condition that needs `count` signals at `handle` within `timeout` seconds.
    pub fn condition(handle: &str, count: u32, timeout: f64) -> Self {
        Self::Condition { handle: handle.to_owned(), count, timeout }
    }
}

/// `Mode` of a WaitConditionHandle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Mode {
    /// Old signals survive an update, unless Count is effective.
    #[default]
    Full,
    /// All old signals are deleted before an update.
    Increment,
}

/// What is wrong with a [`StackSpec`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// The id of the stack cannot be one.
    #[error("stack id '{0}' must have 1 to 255 characters, none of them blank or '/'")]
    StackId(String),
    /// A logical id cannot be one.
    #[error("resource name '{0}' must have 1 to 255 letters, digits, '-' or '_'")]
    ResourceName(String),
    /// A condition names a handle that is not there.
    #[error("condition '{condition}' names the handle '{handle}', which is no handle of this stack")]
    NoSuchHandle {
        /// The condition.
        condition: String,
        /// What it names.
        handle: String,
    },
    /// Metadata is given for a resource that is not there.
    #[error("metadata names the resource '{0}', which this stack does not have")]
    NoSuchResource(String),
    /// A number, or the length of a text, is out of its range.
    #[error("{what} of '{resource}' must be {range}")]
    OutOfRange {
        /// Logical id of the resource, or id of the stack.
        resource: String,
        /// The key.
        what: &'static str,
        /// What is allowed.
        range: &'static str,
    },
    /// Too many resources or stacks.
    #[error("no more than {limit} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many are allowed.
        limit: usize,
    },
}

/// Checks a description before it touches a stack.
pub(crate) fn check(id: &str, spec: &StackSpec) -> Result<(), SpecError> {
    if id.is_empty() || id.len() > 255 || id.contains(|c: char| c.is_whitespace() || c.is_control() || c == '/') {
        return Err(SpecError::StackId(id.chars().take(255).collect()));
    }
    for (what, text) in [("region", &spec.region), ("name", &spec.name)] {
        if text.as_ref().is_some_and(|text| text.is_empty() || text.len() > 255) {
            return Err(out_of_range(id, what, "1 to 255 bytes long"));
        }
    }
    if spec.template.as_ref().is_some_and(|text| text.len() > TEMPLATE_ALLOWED) {
        return Err(out_of_range(id, "template", "at most 1 MiB long"));
    }
    if spec.parameters.as_ref().is_some_and(|parameters| parameters.len() > PARAMETERS_ALLOWED) {
        return Err(SpecError::TooMany { what: "parameters in a stack", limit: PARAMETERS_ALLOWED });
    }
    if !(0.0..=43_200.0).contains(&spec.rollback_seconds) {
        return Err(out_of_range(id, "rollback_seconds", "0 to 43200"));
    }
    if spec.notification_urls.as_ref().is_some_and(|urls| urls.len() > URLS_ALLOWED) {
        return Err(SpecError::TooMany { what: "NotificationURLs of a stack", limit: URLS_ALLOWED });
    }
    if spec.notification_urls.iter().flatten().any(|url| url.is_empty() || url.len() > URL_BYTES) {
        return Err(out_of_range(id, "a notification URL", "1 to 1024 bytes long"));
    }
    for (name, metadata) in spec.metadata.iter().flatten() {
        if !metadata.is_object() || metadata.to_string().len() > METADATA_ALLOWED {
            return Err(out_of_range(name, "metadata", "a JSON object of at most 512 KiB"));
        }
        if spec.resources.as_ref().is_some_and(|resources| !resources.contains_key(name)) {
            return Err(SpecError::NoSuchResource(name.clone()));
        }
    }
    let Some(resources) = &spec.resources else {
        return Ok(());
    };
    if resources.len() > RESOURCES_ALLOWED {
        return Err(SpecError::TooMany { what: "resources in a stack", limit: RESOURCES_ALLOWED });
    }
    resources.iter().try_for_each(|(name, resource)| check_resource(name, resource, resources))
}

fn check_resource(name: &str, resource: &ResourceSpec, all: &BTreeMap<String, ResourceSpec>) -> Result<(), SpecError> {
    let charset = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || name.len() > 255 || !name.chars().all(charset) {
        return Err(SpecError::ResourceName(name.chars().take(255).collect()));
    }
    match resource {
        ResourceSpec::Handle { count, too_early_for, .. } => {
            if *count < -1 {
                return Err(out_of_range(name, "count", "-1 or more"));
            }
            if !(0.0..=43_200.0).contains(too_early_for) {
                return Err(out_of_range(name, "too_early_for", "0 to 43200 seconds"));
            }
            Ok(())
        }
        ResourceSpec::Condition { handle, timeout, .. } => {
            if !matches!(all.get(handle), Some(ResourceSpec::Handle { .. })) {
                return Err(SpecError::NoSuchHandle { condition: name.to_owned(), handle: handle.clone() });
            }
            if !(*timeout > 0.0 && *timeout <= 43_200.0) {
                return Err(out_of_range(name, "timeout", "above 0 and at most 43200 seconds"));
            }
            Ok(())
        }
        ResourceSpec::Other { resource_type } if resource_type.is_empty() || resource_type.len() > 255 => {
            Err(out_of_range(name, "resource_type", "1 to 255 bytes long"))
        }
        ResourceSpec::Other { .. } => Ok(()),
    }
}

pub(crate) fn out_of_range(resource: &str, what: &'static str, range: &'static str) -> SpecError {
    SpecError::OutOfRange { resource: resource.to_owned(), what, range }
}

fn create_in_progress() -> Status {
    Status::CREATE_IN_PROGRESS
}

fn one() -> u32 {
    1
}

fn minus_one() -> i64 {
    -1
}

fn one_second() -> f64 {
    1.0
}

fn ten_minutes() -> f64 {
    600.0
}
