//! Events of ROS as EventBridge sends them: which there are, when a stack sends one, and what they look like.
//!
//! Rules from the page "ROS events" and the page on CreateStack: for stacks with `eventbridge` among their NotificationURLs, nothing of
//! IN_PROGRESS, and of a failed creation or update only its rollback, where it is rolled back. The oddities of the page's examples are kept:
//! `acs.ros:` in the subject of `ros:Stack:StatusChange`, `Asia/Shanghai` in times.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use time::UtcOffset;
use time::macros::format_description;
use uuid::Uuid;

use crate::clock::{Moment, rfc3339, zulu};
use crate::stack::life::Notice;
use crate::stack::status::Status;
use crate::switches::{EventTime, PublishTime, StatusChangeEvents, Switches};

/// The entry of NotificationURLs that stands for EventBridge.
const EVENTBRIDGE: &str = "eventbridge";

/// The type that every change of status may send.
const STATUS_CHANGE: &str = "ros:Stack:StatusChange";

/// What the outcome of an operation is sent as.
const STATE_CHANGE: &str = "ros:StackStateChange:";

/// Types without an example on the page.
const UNSHOWN: [&str; 8] = [
    "ros:ActionTrail:AliyunServiceEvent",
    "ros:ActionTrail:ApiCall",
    "ros:ActionTrail:ConsoleOperation",
    "ros:CloudMonitor:StackGroup[OperationStatusChange]",
    "ros:CloudMonitor:StackResource[StatusChange]",
    "ros:CloudMonitor:Stack[StatusChange]",
    "ros:Config:ConfigurationItemChangeNotification",
    "ros:Config:NonCompliantNotification",
];

/// An event that is asked for, whatever the stack is doing: `POST /events`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventRequest {
    /// One of the 29 types of the page, or any other, to see what becomes of an unknown one.
    #[serde(rename = "type")]
    pub kind: String,
    /// Id of the stack. One that is not there is taken by its name: its events may be late.
    pub stack: String,
    /// `Status` in the data. Default: what the type says, else that of the stack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// The whole `data`, in place of what belongs to the type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
    /// Attributes of the envelope to be added or replaced; null removes one.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub attributes: Map<String, Value>,
}

impl EventRequest {
    /// An event of this type about this stack, with the data that belongs to it.
    pub fn new(kind: &str, stack: &str) -> Self {
        Self { kind: kind.to_owned(), stack: stack.to_owned(), status: None, data: None, attributes: Map::new() }
    }
}

/// An event on its way: its envelope, and what targets choose by.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) kind: String,
    pub(crate) stack_id: String,
    pub(crate) envelope: Value,
}

/// All 29 types of the page "ROS events".
pub fn event_types() -> Vec<String> {
    let state = Status::all().into_iter().filter_map(state_change);
    state.chain([STATUS_CHANGE.to_owned()]).chain(UNSHOWN.map(str::to_owned)).collect()
}

/// The type of the event for the end of an operation: the status in camel case.
fn state_change(status: Status) -> Option<String> {
    if status.in_progress() {
        return None;
    }
    let camel = |word: &str| {
        let mut letters = word.chars();
        letters.next().into_iter().chain(letters.map(|letter| letter.to_ascii_lowercase())).collect::<String>()
    };
    Some(format!("{STATE_CHANGE}{}", status.to_string().split('_').map(camel).collect::<String>()))
}

/// The status that a type names.
fn status_of(kind: &str) -> Option<Status> {
    Status::all().into_iter().find(|status| state_change(*status).as_deref() == Some(kind))
}

/// Whether ROS tells anybody of this change: EventBridge, and the URLs, which get the same.
fn is_told(notice: &Notice) -> bool {
    let status = notice.status;
    let undone = status.failed() && notice.rollback && crate::stack::change::rollback_of(status.operation).is_some();
    !status.in_progress() && !undone
}

/// The events of a change of status.
pub(crate) fn of(notice: &Notice, account: &str, switches: &Switches) -> Vec<Event> {
    let notified = notice.urls.iter().any(|url| url == EVENTBRIDGE);
    let mut events = Vec::new();
    if let Some(kind) = state_change(notice.status).filter(|_| notified && is_told(notice)) {
        events.push(event(notice, &kind, &data(notice), account, switches));
    }
    let changes = match switches.status_change_events {
        StatusChangeEvents::Off => false,
        StatusChangeEvents::Notified => notified,
        StatusChangeEvents::Always => true,
    };
    if changes {
        events.push(event(notice, STATUS_CHANGE, &data_of(STATUS_CHANGE, notice), account, switches));
    }
    events
}

/// The bare body that ROS posts to the other entries of NotificationURLs, and to which of them.
pub(crate) fn callbacks(notice: &Notice) -> Option<(Vec<String>, Value)> {
    let urls: Vec<String> = notice.urls.iter().filter(|url| *url != EVENTBRIDGE).cloned().collect();
    (is_told(notice) && !urls.is_empty()).then(|| (urls, data(notice)))
}

/// The event that is asked for, about a stack as `notice` has it.
pub(crate) fn requested(request: &EventRequest, mut notice: Notice, account: &str, switches: &Switches) -> Event {
    if let Some(status) = request.status.or_else(|| status_of(&request.kind)) {
        notice.status = status;
    }
    let data = request.data.clone().unwrap_or_else(|| data_of(&request.kind, &notice));
    let mut event = event(&notice, &request.kind, &data, account, switches);
    if let Some(envelope) = event.envelope.as_object_mut() {
        for (name, value) in &request.attributes {
            if value.is_null() {
                envelope.remove(name);
            } else {
                envelope.insert(name.clone(), value.clone());
            }
        }
    }
    event
}

fn event(notice: &Notice, kind: &str, data: &Value, account: &str, switches: &Switches) -> Event {
    let odd = kind == STATUS_CHANGE;
    let id = Uuid::new_v4().to_string();
    let (region, stack) = (&notice.region, &notice.stack_id);
    let separator = if odd { '.' } else { ':' };
    let mut envelope = json!({
        // The example of this type alone has no UUID.
        "id": if odd { format!("45ef4dewdwe1-{}", id.get(9..).unwrap_or_default()) } else { id },
        "source": "acs.ros",
        "specversion": "1.0",
        "type": kind,
        "subject": format!("acs{separator}ros:{region}:{account}:stack/{stack}"),
        "time": event_time(notice.at, odd, switches),
        "data": data,
        "aliyunaccountid": account,
        "aliyuneventbusname": "default",
        "aliyunpublishtime": publish_time(notice.at, odd, switches),
        "aliyunregionid": region,
        "aliyunpublishaddr": "172.25.0.1",
    });
    if let Some(envelope) = envelope.as_object_mut().filter(|_| !odd) {
        envelope.insert("datacontenttype".to_owned(), Value::from("application/json; charset=utf-8"));
    }
    Event { kind: kind.to_owned(), stack_id: stack.clone(), envelope }
}

/// What the page shows for all stack state changes, and what ROS posts to a URL.
fn data(notice: &Notice) -> Value {
    json!({
        "StackId": notice.stack_id,
        "StackName": notice.stack_name,
        "Status": notice.status.to_string(),
        "Outputs": notice.outputs,
    })
}

/// `data` by type. What no document describes is made after the nearest document there is.
fn data_of(kind: &str, notice: &Notice) -> Value {
    let family = kind.split(':').nth(1).unwrap_or_default();
    let resource = format!("acs:ros:{}:stack/{}", notice.region, notice.stack_id);
    match family {
        "Stack" => {
            let mut data = data(notice);
            if let Some(data) = data.as_object_mut() {
                data.insert("Tags".to_owned(), json!({}));
            }
            data
        }
        "ActionTrail" => json!({
            "eventId": Uuid::new_v4().to_string(),
            "eventVersion": 1,
            "eventName": "UpdateStack",
            "eventType": kind.rsplit(':').next(),
            "eventRW": "Write",
            "serviceName": "Ros",
            "eventTime": zulu(notice.at),
            "acsRegion": notice.region,
            "requestId": Uuid::new_v4().to_string().to_uppercase(),
            "sourceIpAddress": "203.0.113.7",
            "userAgent": "AlibabaCloud",
            "isGlobal": false,
            "userIdentity": {"type": "ram-user", "userName": "ops"},
            "referencedResources": {"ACS::ROS::Stack": [notice.stack_id]},
        }),
        "CloudMonitor" => json!({
            "Product": "ros",
            "Name": kind.rsplit(':').next().unwrap_or_default().replace('[', ":").replace(']', ""),
            "Level": "INFO",
            "Status": "Normal",
            "Time": notice.at.unix_timestamp().saturating_mul(1000),
            "RegionId": notice.region,
            "ResourceId": resource,
            "InstanceName": "",
            "GroupId": "0",
            "Content": {
                "callerId": "229050894712720000",
                "requestId": Uuid::new_v4().to_string().to_uppercase(),
                "stackId": notice.stack_id,
                "stackName": notice.stack_name,
                "status": notice.status.to_string(),
                "statusReason": notice.reason,
            },
        }),
        "Config" => json!({
            "resourceId": notice.stack_id,
            "resourceType": "ACS::ROS::Stack",
            "captureTime": notice.at.unix_timestamp().saturating_mul(1000).to_string(),
            "configuration": json!({"StackName": notice.stack_name, "Status": notice.status.to_string()}).to_string(),
            "configurationDiff": "{}",
        }),
        _ => data(notice),
    }
}

fn event_time(at: Moment, odd: bool, switches: &Switches) -> String {
    match switches.event_time {
        EventTime::Shanghai => format!("{}Asia/Shanghai", wall(at)),
        EventTime::Page if odd => rfc3339(at.replace_nanosecond(0).unwrap_or(at).to_offset(china())),
        EventTime::Page => zulu(at),
    }
}

fn publish_time(at: Moment, odd: bool, switches: &Switches) -> String {
    match switches.event_publish_time {
        PublishTime::Utc => zulu(at),
        PublishTime::Prc => format!("{}PRC", wall(at)),
        PublishTime::Page if odd => zulu(at.to_offset(china())),
        PublishTime::Page => format!("{}Asia/Shanghai", wall(at)),
    }
}

/// The time on a wall in Shanghai: milliseconds without zeros at the end, as in the examples.
fn wall(at: Moment) -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]");
    let text = at.to_offset(china()).format(format).unwrap_or_default();
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn china() -> UtcOffset {
    UtcOffset::from_hms(8, 0, 0).unwrap_or(UtcOffset::UTC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_the_29_types_of_the_page() {
        let page: Value = serde_json::from_str(include_str!("../tests/fixtures/event-types.json")).unwrap();
        let mut known = event_types();
        known.sort();
        let mut shown: Vec<String> =
            page["types"].as_array().unwrap().iter().map(|kind| kind["type"].as_str().unwrap().to_owned()).collect();
        shown.sort();
        assert_eq!(known, shown);
        assert_eq!(known.len(), 29);
    }
}
