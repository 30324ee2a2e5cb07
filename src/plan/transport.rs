//! How a signal travels, and what is known of the handle that it is for.

use super::*;

/// `transport`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// SignalResource, signed with the host's credentials.
    Api,
    /// POST to the URL of the wait condition handle.
    Handle(HandleSource),
    /// CompleteLifecycleAction for the lifecycle hook that holds this instance in its scaling group.
    LifecycleHook(LifecycleHook),
}

/// Where the URL of a handle comes from. The URL is a bearer secret, so it never stands in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HandleSource {
    /// `handle_file`.
    File(PathBuf),
    /// `handle_credential`: name of a systemd credential.
    SystemdCredential(String),
    /// Neither: asked of the stack (GetStackResource of `resource`) before it is used.
    Stack,
}

/// The lifecycle hook of a scaling group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LifecycleHook {
    /// `scaling_group`: its ID; else all groups of the region are looked through.
    pub scaling_group: Option<String>,
    /// `hook`: ID of the lifecycle hook; else the one whose pending action names this instance.
    pub hook: Option<String>,
    /// `action_token`, for those who know it; else it is looked for.
    pub action_token: Option<String>,
    /// `on_failure`.
    pub on_failure: OnFailure,
}

/// What a FAILURE becomes as the result of a lifecycle action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// `ABANDON`: the scaling group releases the instance.
    Abandon,
    /// `ROLLBACK`: it releases the instance and rolls the scaling activity back.
    Rollback,
}

/// `confirm`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Confirm {
    /// Look where it is permitted.
    Auto,
    /// Look, and say loudly when it is not permitted.
    On,
    /// Do not look.
    Off,
}

/// `Mode` of an ALIYUN::ROS::WaitConditionHandle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
pub enum HandleMode {
    /// Old signals survive an update, unless `Count` is effective.
    Full,
    /// All old signals are deleted before an update.
    Increment,
}

/// `resignal`: whether updates of the stack are signalled again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resignal {
    /// Once, in the first round.
    Never,
    /// A round for each update.
    OnUpdate,
}
