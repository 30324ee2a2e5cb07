//! The reading operations, with the members that their pages document.

use serde_json::{Map, Value, json};

use crate::api::{Scripted, required};
use crate::clock::{Moment, ros_time};
use crate::refusal::Refusal;
use crate::request::Request;
use crate::stack::{Condition, Resource, ResourceKind, Signal, SignalStatus, Stack, StackEvent};
use crate::world::Inner;

/// Largest `PageSize` of ListStackEvents in the current SDK.
const LARGEST_PAGE: usize = 50;

type Members = Map<String, Value>;

pub(crate) fn get_stack(stack: &Stack, request: &Request) -> Result<Members, Refusal> {
    let progress = match request.parameter("ShowResourceProgress") {
        None | Some("Disabled") => Value::Null,
        Some("PercentageOnly") => percentages(stack),
        Some("EnabledIfCreateStack") => counts(stack),
        Some(_) => {
            let why = "it must be Disabled, PercentageOnly or EnabledIfCreateStack";
            return Err(Refusal::invalid_parameter("ShowResourceProgress", why));
        }
    };
    let outputs = if request.parameter("OutputOption") == Some("Disabled") { Vec::new() } else { stack.outputs() };
    let members = json!({
        "StackId": stack.id,
        "StackName": stack.name,
        "RegionId": stack.region,
        "Status": stack.status.to_string(),
        "StatusReason": stack.reason,
        "Description": "",
        "CreateTime": ros_time(stack.created),
        "UpdateTime": stack.updated.map(ros_time),
        "DisableRollback": !stack.rollback,
        "TimeoutInMinutes": 60,
        "Parameters": stack.parameters.iter().map(|(key, value)| json!({"ParameterKey": key, "ParameterValue": value})).collect::<Vec<_>>(),
        "Outputs": outputs,
        "Tags": [],
        "NotificationURLs": stack.notification_urls,
        "StackType": "ROS",
        "OperationInfo": {"Action": stack.status.action()},
        "ResourceProgress": progress,
    });
    Ok(without_nulls(members))
}

/// Both stages are the same here: nothing is transformed.
pub(crate) fn get_template(stack: &Stack, request: &Request) -> Result<Members, Refusal> {
    if !matches!(request.parameter("TemplateStage"), None | Some("Processed" | "Original")) {
        return Err(Refusal::invalid_parameter("TemplateStage", "it must be Processed or Original"));
    }
    let members = json!({
        "TemplateBody": stack.template_body(),
        "StackId": stack.id,
        "RegionId": stack.region,
        "CreateTime": ros_time(stack.created),
        "UpdateTime": stack.updated.map(ros_time),
        "Description": "",
        "Interface": "{}",
    });
    Ok(without_nulls(members))
}

fn percentages(stack: &Stack) -> Value {
    let done = stack.resources.values().filter(|resource| !resource.status.in_progress()).count();
    let percent = done.saturating_mul(100).checked_div(stack.resources.len()).unwrap_or(100);
    json!({"StackOperationProgress": percent, "StackActionProgress": percent})
}

fn counts(stack: &Stack) -> Value {
    let having = |test: fn(&Resource) -> bool| stack.resources.values().filter(|resource| test(resource)).count();
    let details: Vec<Value> = stack
        .resources
        .iter()
        .filter(|(_, resource)| resource.status.in_progress())
        .map(|(name, resource)| {
            let (value, target) = match &resource.kind {
                ResourceKind::Condition(condition) => stack.progress_of(condition),
                _ => (0, 1),
            };
            json!({
                "ResourceName": name,
                "ResourceType": resource.kind.resource_type(),
                "ProgressValue": value,
                "ProgressTargetValue": target,
            })
        })
        .collect();
    json!({
        "TotalResourceCount": stack.resources.len(),
        "SuccessResourceCount": having(|resource| resource.status.complete()),
        "FailedResourceCount": having(|resource| resource.status.failed()),
        "InProgressResourceCount": details.len(),
        "PendingResourceCount": 0,
        "InProgressResourceDetails": details,
    })
}

pub(crate) fn get_stack_resource(
    inner: &Inner,
    stack: &Stack,
    request: &Request,
    fault: Option<&Scripted>,
    now: Moment,
) -> Result<Members, Refusal> {
    let name = required(request, "LogicalResourceId")?;
    let resource = stack.resources.get(name).ok_or_else(|| Refusal::resource_not_found(&stack.id, name))?;
    if matches!(fault, Some(Scripted::TooEarly)) {
        return Err(Refusal::resource_not_available(name));
    }
    let mut members = describe(stack, name, resource);
    let asked = list_parameter(request, "ResourceAttributes");
    let all = request.parameter("ShowResourceAttributes").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    if all || !asked.is_empty() {
        let attributes: Vec<Value> = attributes(inner, stack, (name, resource), now)
            .into_iter()
            .filter(|(key, _)| asked.is_empty() || asked.contains(key))
            .map(|(key, value)| json!({"ResourceAttributeKey": key, "ResourceAttributeValue": value}))
            .collect();
        members.insert("ResourceAttributes".to_owned(), Value::Array(attributes));
    }
    members.insert("Description".to_owned(), Value::from(""));
    members.insert("Metadata".to_owned(), Value::Object(resource.metadata.clone()));
    Ok(members)
}

/// `Data`, `ErrorData` and `JoinedErrorData` of a condition: JSON text `{signal id: data}`, as Heat builds it.
/// SignalResource carries no data, so the data of its signals is empty. Of a handle: where and how to signal it.
fn attributes(inner: &Inner, stack: &Stack, (name, resource): (&str, &Resource), now: Moment) -> Vec<(&'static str, Value)> {
    let switches = &inner.switches;
    let condition = match &resource.kind {
        ResourceKind::Condition(condition) => condition,
        ResourceKind::Handle(_) => return inner.handles.attributes(stack, name, now, switches),
        ResourceKind::Other { .. } => return Vec::new(),
    };
    if resource.status.in_progress() && !switches.data_readable_in_progress {
        return vec![("Data", Value::Null), ("ErrorData", Value::Null), ("JoinedErrorData", Value::Null)];
    }
    let failed = |signal: &Signal| signal.kind == SignalStatus::Failure;
    vec![
        ("Data", data(stack, condition, |signal| !failed(signal))),
        ("ErrorData", data(stack, condition, failed)),
        ("JoinedErrorData", joined(stack, condition, failed)),
    ]
}

fn data(stack: &Stack, condition: &Condition, wanted: impl Fn(&Signal) -> bool) -> Value {
    let signals = stack.signals_of(condition).into_iter().filter(|(_, signal)| wanted(signal));
    let data: Members = signals.map(|(id, signal)| (id.clone(), Value::from(signal.data.as_str()))).collect();
    Value::from(Value::Object(data).to_string())
}

/// As Heat joins them: one after the other, separated by `;`.
fn joined(stack: &Stack, condition: &Condition, wanted: impl Fn(&Signal) -> bool) -> Value {
    let signals = stack.signals_of(condition).into_iter().filter(|(_, signal)| wanted(signal));
    let data: Vec<&str> = signals.map(|(_, signal)| signal.data.as_str()).filter(|data| !data.is_empty()).collect();
    Value::from(data.join(";"))
}

pub(crate) fn list_stack_resources(stack: &Stack) -> Members {
    let resources = stack.resources.iter().map(|(name, resource)| Value::Object(describe(stack, name, resource)));
    Members::from_iter([("Resources".to_owned(), resources.collect())])
}

fn describe(stack: &Stack, name: &str, resource: &Resource) -> Members {
    let members = json!({
        "StackId": stack.id,
        "StackName": stack.name,
        "LogicalResourceId": name,
        "PhysicalResourceId": resource.physical_id,
        "ResourceType": resource.kind.resource_type(),
        "Status": resource.status.to_string(),
        "StatusReason": resource.reason,
        "CreateTime": ros_time(resource.created),
        "UpdateTime": ros_time(resource.updated),
        "DriftDetectionTime": null,
        "ResourceDriftStatus": "NOT_CHECKED",
    });
    without_nulls(members)
}

pub(crate) fn list_stack_events(stack: &Stack, request: &Request) -> Result<Members, Refusal> {
    let page_number = number(request, "PageNumber", 1, usize::MAX)?;
    let page_size = number(request, "PageSize", 10, LARGEST_PAGE)?;
    let names = list_parameter(request, "LogicalResourceId");
    let types = list_parameter(request, "ResourceType");
    let statuses = list_parameter(request, "Status");
    let wanted = |list: &[&str], value: &str| list.is_empty() || list.contains(&value);
    let events: Vec<&StackEvent> = stack
        .events
        .iter()
        .rev()
        .filter(|event| wanted(&names, &event.logical_id))
        .filter(|event| wanted(&types, &event.resource_type))
        .filter(|event| wanted(&statuses, &event.status.to_string()))
        .collect();
    let skipped = page_number.saturating_sub(1).saturating_mul(page_size);
    let page: Vec<Value> = events
        .iter()
        .skip(skipped)
        .take(page_size)
        .map(|event| {
            json!({
                "EventId": event.event_id,
                "StackId": stack.id,
                "StackName": stack.name,
                "LogicalResourceId": event.logical_id,
                "PhysicalResourceId": event.physical_id,
                "ResourceType": event.resource_type,
                "Status": event.status.to_string(),
                "StatusReason": event.reason,
                "CreateTime": ros_time(event.at),
            })
        })
        .collect();
    let members = json!({
        "Events": page,
        "TotalCount": events.len(),
        "PageNumber": page_number,
        "PageSize": page_size,
    });
    Ok(without_nulls(members))
}

fn number(request: &Request, name: &str, default: usize, largest: usize) -> Result<usize, Refusal> {
    let Some(text) = request.parameter(name) else {
        return Ok(default);
    };
    let number = text.parse().ok().filter(|number| (1..=largest).contains(number));
    number.ok_or_else(|| Refusal::invalid_parameter(name, "it is not a number or out of range"))
}

/// `Name.1`, `Name.2`, ... ; `Name` alone is taken too.
fn list_parameter<'a>(request: &'a Request, name: &str) -> Vec<&'a str> {
    let of_list = |key: &str| {
        key.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.strip_prefix('.').is_some_and(|n| n.parse::<u16>().is_ok()))
    };
    request.parameters().filter(|(key, value)| of_list(key) && !value.is_empty()).map(|(_, v)| v.as_str()).collect()
}

fn without_nulls(value: Value) -> Members {
    match value {
        Value::Object(members) => members.into_iter().filter(|(_, value)| !value.is_null()).collect(),
        _ => Members::new(),
    }
}
