//! What `data` says of a stack, in the shapes that are documented or were seen:
//!
//! ```text
//! {"StackId": "...", "StackName": "...", "Status": "UPDATE_COMPLETE", "Outputs": [...]}      StackStateChange, callback of NotificationURLs
//! {"Content": {"stackId": "...", "stackName": "...", "status": "..."}, "Status": "Normal"}    CloudMonitor; older: "content"
//! {"referencedResources": {"ACS::ROS::Stack": ["..."]}}                                       ActionTrail
//! {"resourceType": "ACS::ROS::Stack", "resourceId": "..."}                                    Config
//! ```
//!
//! How EventBridge nests what CloudMonitor says is not documented: so both spellings are looked for, at the top and one level below.

use super::Refused;
use super::members::{elements, is_too_deep, members, text_of};

/// Longest StackId; today they have 36 characters.
const STACK_ID_LIMIT: usize = 128;
/// As ActionTrail and Cloud Config call a stack.
const STACK_TYPE: &str = "ACS::ROS::Stack";

/// What `data` says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) stack_id: Option<String>,
    pub(super) stack_name: Option<String>,
    pub(super) status: Option<String>,
}

/// Reads `data`: an object, or once a text with one in it. Anything else says nothing.
///
/// # Errors
/// If a StackId is given that cannot be one, or what is inside of a text is nested too deeply.
pub(super) fn read(data: &str) -> Result<Facts, Refused> {
    match text_of(Some(data)) {
        Some(text) if is_too_deep(&text) => Err(Refused::TooDeep),
        Some(text) => object(&text),
        None => object(data),
    }
}

fn object(data: &str) -> Result<Facts, Refused> {
    if let Some(facts) = direct(data)? {
        return Ok(facts);
    }
    let Some([content, old, referenced, kind, resource]) =
        members(data, ["Content", "content", "referencedResources", "resourceType", "resourceId"])
    else {
        return Ok(Facts::default());
    };
    if let Some(content) = content.or(old) {
        let text = text_of(Some(content));
        let content = text.as_deref().unwrap_or(content);
        if is_too_deep(content) {
            return Err(Refused::TooDeep);
        }
        if let Some(facts) = direct(content)? {
            return Ok(facts);
        }
    }
    let of_type = text_of(kind).is_some_and(|kind| kind == STACK_TYPE).then_some(resource).flatten();
    let stack_id = referenced.and_then(only_stack).or(of_type).and_then(|id| text_of(Some(id))).filter(|id| is_stack_id(id));
    Ok(Facts { stack_id, ..Facts::default() })
}

/// The members of an object that names a stack itself.
fn direct(object: &str) -> Result<Option<Facts>, Refused> {
    let names = ["StackId", "stackId", "StackName", "stackName", "Status", "status"];
    let Some([id, camel_id, name, camel_name, status, camel_status]) = members(object, names) else {
        return Ok(None);
    };
    let Some(id) = id.or(camel_id) else {
        return Ok(None);
    };
    let stack_id = text_of(Some(id)).filter(|id| is_stack_id(id)).ok_or(Refused::StackId)?;
    let facts = Facts { stack_id: Some(stack_id), stack_name: text_of(name.or(camel_name)), status: text_of(status.or(camel_status)) };
    Ok(Some(facts))
}

/// The stack that an audit record is about, if it is about one.
fn only_stack(referenced: &str) -> Option<&str> {
    let [stacks] = members(referenced, [STACK_TYPE])?;
    match elements(stacks?, 1)?.as_slice() {
        [stack] => Some(stack),
        _ => None,
    }
}

pub(super) fn is_stack_id(text: &str) -> bool {
    (1..=STACK_ID_LIMIT).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The stack that `subject` names: `acs:ros:REGION:ACCOUNT:stack/ID`, and `acs.ros:...` as one example has it.
pub(super) fn of_subject(subject: &str) -> Option<&str> {
    let rest = subject.strip_prefix("acs:ros:").or_else(|| subject.strip_prefix("acs.ros:"))?;
    let mut parts = rest.splitn(3, ':').skip(2);
    parts.next()?.strip_prefix("stack/").filter(|id| is_stack_id(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(data: &str) -> Option<String> {
        read(data).unwrap().stack_id
    }

    #[test]
    fn the_stack_is_found_in_every_documented_shape() {
        for data in [
            r#"{"StackId":"s-1"}"#,
            r#""{\"StackId\":\"s-1\"}""#,
            r#"{"Status":"Normal","Content":{"stackId":"s-1"}}"#,
            r#"{"content":"{\"stackId\":\"s-1\"}"}"#,
            r#"{"referencedResources":{"ACS::ROS::Stack":["s-1"]}}"#,
            r#"{"resourceType":"ACS::ROS::Stack","resourceId":"s-1"}"#,
        ] {
            assert_eq!(stack(data).as_deref(), Some("s-1"), "{data}");
        }
    }

    #[test]
    fn what_names_no_stack_says_nothing() {
        for data in [
            "5",
            "[]",
            "\"text\"",
            "{}",
            r#"{"StackId":null}"#,
            r#"{"referencedResources":{"ACS::ROS::Stack":["a","b"]}}"#,
            r#"{"resourceType":"ACS::ECS::Instance","resourceId":"i-1"}"#,
            r#""\"{\\\"StackId\\\":\\\"twice a text\\\"}\"""#,
        ] {
            assert_eq!(read(data), Ok(Facts::default()), "{data}");
        }
    }

    #[test]
    fn a_stack_id_that_cannot_be_one_is_refused() {
        let long = "s".repeat(STACK_ID_LIMIT + 1);
        for id in ["5", "{}", "\"\"", "\"a b\"", "\"a\\n\"", &format!("\"{long}\"")] {
            assert_eq!(read(&format!("{{\"StackId\":{id}}}")), Err(Refused::StackId), "{id}");
        }
    }

    #[test]
    fn the_status_is_that_of_the_object_that_names_the_stack() {
        let facts = read(r#"{"Status":"Normal","Content":{"stackId":"s","stackName":"n","status":"CREATE_COMPLETE"}}"#).unwrap();
        assert_eq!((facts.status.as_deref(), facts.stack_name.as_deref()), (Some("CREATE_COMPLETE"), Some("n")));
    }

    #[test]
    fn a_subject_names_its_stack_in_both_spellings() {
        assert_eq!(of_subject("acs:ros:cn-hangzhou:1:stack/s-1"), Some("s-1"));
        assert_eq!(of_subject("acs.ros:cn-hangzhou:1:stack/s-1"), Some("s-1"));
        for other in
            ["", "acs:ecs:cn-hangzhou:1:stack/s-1", "acs:ros:cn-hangzhou:1:stackgroup/g", "acs:ros:stack/s-1", "acs:ros:a:b:stack/"]
        {
            assert_eq!(of_subject(other), None, "{other}");
        }
    }
}
