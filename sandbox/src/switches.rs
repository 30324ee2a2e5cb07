//! What the real service does in undocumented cases: each such question is a switch, so that an agent can be shown to
//! be right under every answer.

use serde::{Deserialize, Serialize};

/// What happens to a signal for a handle for which nobody waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AfterCompletion {
    /// The call is refused with `NotSupported`.
    Refuse,
    /// The call succeeds and the signal stays with the handle, where a later update may count it (as OpenStack Heat does).
    Store,
}

/// The format of answers when the request asks for none: the ROS page says JSON, the generic RPC page says XML.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// `application/json`
    Json,
    /// `text/xml`
    Xml,
}

/// The body with which the URL of a handle acknowledges a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HandleAnswer {
    /// `{"RequestId": "..."}`
    Json,
    /// `{}`
    Object,
    /// `ok`
    Text,
    /// Nothing.
    Empty,
}

/// The form of the attribute `Headers` of a handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HandleHeaders {
    /// A JSON object.
    Object,
    /// A text with a JSON object in it.
    Text,
}

/// When `UpdateTime` of a stack moves during an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UpdateTimeMoves {
    /// When it begins.
    Start,
    /// When it ends.
    End,
    /// Then and then.
    Both,
    /// With every change of one of its resources too.
    Throughout,
}

/// Whether `ros:Stack:StatusChange` is sent, with every status, IN_PROGRESS included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StatusChangeEvents {
    /// Never.
    Off,
    /// For stacks with `eventbridge` among their NotificationURLs.
    Notified,
    /// For every stack.
    Always,
}

/// The form of `time` in an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventTime {
    /// As the page shows it for the type: with `Z`, or `+08:00` for `ros:Stack:StatusChange`.
    Page,
    /// `2020-08-17T16:04:46.149Asia/Shanghai`, as EventBridge's own pages show it.
    Shanghai,
}

/// The form of `aliyunpublishtime` in an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PublishTime {
    /// As the page shows it for the type: `Asia/Shanghai`, or a `Z` that is eight hours off for `ros:Stack:StatusChange`.
    Page,
    /// `...179PRC`
    Prc,
    /// A true `Z`.
    Utc,
}

/// Which signatures SMQ takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SmqSignature {
    /// Either.
    Both,
    /// `MNS ID:...` only.
    V2,
    /// `MNS4-HMAC-SHA256` only.
    V4,
}

/// The undocumented choices, and what RAM permits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Switches {
    /// Whether a WARNING counts towards `Count` as a SUCCESS does. Only warnings fail either way. Default true.
    pub warning_counts: bool,
    /// Whether an error of SignalResource is remembered under its ClientToken and answered again. Default false.
    pub tokens_replay_errors: bool,
    /// Whether `Data` of a wait condition can be read while it still waits. Default true.
    pub data_readable_in_progress: bool,
    /// What happens to a signal after completion. Default `store`.
    pub after_completion: AfterCompletion,
    /// Whether a WaitCondition may be named in SignalResource instead of its handle. Default false.
    pub condition_accepts_signals: bool,
    /// Whether `StackId` may be the stack's name. Default false.
    pub stack_by_name: bool,
    /// Whether a stack in `DELETE_COMPLETE` can still be read; otherwise it is `StackNotFound`. Default false.
    pub deleted_stack_visible: bool,
    /// Milliseconds between two looks of a condition at its signals; 0 looks at once. Default 0.
    pub evaluation_interval_ms: u32,
    /// The format of answers when none was asked for. Default `json`.
    pub default_format: Format,
    /// RAM: whether `ros:SignalResource` is allowed. Default true.
    pub permit_signal_resource: bool,
    /// RAM: whether `ros:GetStack`, `GetStackResource`, `ListStackEvents` and `ListStackResources` are allowed. Default true.
    pub permit_get_stack: bool,
    /// RAM: whether `ros:GetTemplate` is allowed. Default true.
    pub permit_get_template: bool,
    /// RAM: whether the describing operations of ESS are allowed. Default true.
    pub permit_ess_describe: bool,
    /// RAM: whether `ess:CompleteLifecycleAction` and `ess:RecordLifecycleActionHeartbeat` are allowed. Default true.
    pub permit_ess_lifecycle: bool,
    /// Whether DescribeScalingInstances tells the `ScalingActivityId` of an instance that a hook still holds. Default true.
    pub instances_tell_activity: bool,
    /// Whether DescribeScalingInstances lists an instance that a hook still holds. Default true.
    pub pending_instances_listed: bool,
    /// Whether all instances of an activity share one lifecycle action for each hook. Default false: each has its own.
    pub one_action_for_all: bool,
    /// Whether the time of a heartbeat is added to what is left, and does not begin anew. Default false.
    pub heartbeats_add: bool,
    /// RAM: whether STS lets a role be assumed. Default true.
    pub permit_assume_role: bool,
    /// Metadata service: whether every read needs a token (hardened mode). Default false.
    pub require_metadata_token: bool,
    /// URL of a handle: the HTTP status of an acknowledgement. Default 200.
    pub handle_accepted_status: u16,
    /// URL of a handle: the body of an acknowledgement. Default `json`.
    pub handle_answer: HandleAnswer,
    /// URL of a handle: the HTTP status when the URL has expired, or its signature is wrong. Default 403.
    pub handle_expired_status: u16,
    /// URL of a handle: whether `Status` is taken for `status`; else it is ignored, and nothing said means SUCCESS. Default false.
    pub handle_keys_ignore_case: bool,
    /// URL of a handle: whether `WARNING` is a status; else the body is refused. Default true.
    pub handle_takes_warning: bool,
    /// URL of a handle: how many seconds it works from when it was asked for. Default 43200.
    pub handle_url_seconds: u32,
    /// The form of the attribute `Headers` of a handle. Default `object`.
    pub handle_headers: HandleHeaders,
    /// When `UpdateTime` of a stack moves. Default `both`.
    pub update_time_moves: UpdateTimeMoves,
    /// Whether `ros:Stack:StatusChange` is sent. Default `off`.
    pub status_change_events: StatusChangeEvents,
    /// The form of `time` in events. Default `page`.
    pub event_time: EventTime,
    /// The form of `aliyunpublishtime` in events. Default `page`.
    pub event_publish_time: PublishTime,
    /// How many calls of GetStack the account has in a second; more are `Throttling.User`. 0, the default: no limit.
    pub get_stack_per_second: u32,
    /// Milliseconds in `x-acs-retry-after` of such a refusal. 0, the default: no such header.
    pub throttle_retry_after_ms: u32,
    /// SMQ: which signatures are taken. Default `both`.
    pub smq_signature: SmqSignature,
    /// SMQ: whether deleting a queue or topic, or ending a subscription, fails that is not there. Default false.
    pub smq_deleting_twice_fails: bool,
    /// RAM: whether messages may be received, peeked at and deleted, and their visibility changed. Default true.
    pub permit_smq_receive: bool,
    /// RAM: whether messages may be sent and published. Default true.
    pub permit_smq_send: bool,
    /// RAM: whether queues, topics and subscriptions may be made, changed and deleted. Default true.
    pub permit_smq_manage: bool,
    /// RAM: whether queues, topics and subscriptions may be listed and their attributes read. Default true.
    pub permit_smq_list: bool,
}

impl Default for Switches {
    fn default() -> Self {
        Self {
            warning_counts: true,
            tokens_replay_errors: false,
            data_readable_in_progress: true,
            after_completion: AfterCompletion::Store,
            condition_accepts_signals: false,
            stack_by_name: false,
            deleted_stack_visible: false,
            evaluation_interval_ms: 0,
            default_format: Format::Json,
            permit_signal_resource: true,
            permit_get_stack: true,
            permit_get_template: true,
            permit_ess_describe: true,
            permit_ess_lifecycle: true,
            instances_tell_activity: true,
            pending_instances_listed: true,
            one_action_for_all: false,
            heartbeats_add: false,
            permit_assume_role: true,
            require_metadata_token: false,
            handle_accepted_status: 200,
            handle_answer: HandleAnswer::Json,
            handle_expired_status: 403,
            handle_keys_ignore_case: false,
            handle_takes_warning: true,
            handle_url_seconds: 43_200,
            handle_headers: HandleHeaders::Object,
            update_time_moves: UpdateTimeMoves::Both,
            status_change_events: StatusChangeEvents::Off,
            event_time: EventTime::Page,
            event_publish_time: PublishTime::Page,
            get_stack_per_second: 0,
            throttle_retry_after_ms: 0,
            smq_signature: SmqSignature::Both,
            smq_deleting_twice_fails: false,
            permit_smq_receive: true,
            permit_smq_send: true,
            permit_smq_manage: true,
            permit_smq_list: true,
        }
    }
}
