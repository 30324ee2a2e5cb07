//! The operations of ROS with their parameters (API reference 2019-09-10), checked before anything is sent.

use crate::rpc::{Invalid, Operation, Service, charset, length};
use crate::signal::{SignalRequest, Target};

/// SignalResource.
///
/// # Errors
/// If a parameter breaks the rules of the page.
pub(super) fn signal_resource(request: &SignalRequest) -> Result<Operation, Invalid> {
    let mut parameters = place(&request.target)?;
    parameters.push(logical_id("LogicalResourceId", &request.target.resource)?);
    parameters.push(("Status", request.status.word().to_owned()));
    let unique_id = request.unique_id.as_str();
    length("UniqueId", unique_id, 64)?;
    parameters.push(("UniqueId", unique_id.to_owned()));
    let token = request.client_token.as_str();
    parameters.push(charset("ClientToken", token, 64, "A-Z a-z 0-9 - _", |c| c.is_ascii_alphanumeric() || "-_".contains(c))?);
    Ok(operation("SignalResource", &request.target, parameters))
}

/// GetStack, without outputs (which are slow) and logs.
///
/// # Errors
/// If a parameter breaks the rules of the page.
pub(super) fn get_stack(target: &Target) -> Result<Operation, Invalid> {
    let mut parameters = place(target)?;
    parameters.push(("OutputOption", "Disabled".to_owned()));
    parameters.push(("LogOption", "None".to_owned()));
    Ok(operation("GetStack", target, parameters))
}

/// GetStackResource of the resource `logical` (which need not be the target's).
///
/// # Errors
/// If a parameter breaks the rules of the page.
pub(super) fn get_stack_resource(target: &Target, logical: &str) -> Result<Operation, Invalid> {
    let mut parameters = place(target)?;
    parameters.push(logical_id("LogicalResourceId", logical)?);
    Ok(operation("GetStackResource", target, parameters))
}

/// GetStackResource of the target's resource, a handle, with what is needed to signal it without credentials.
///
/// # Errors
/// If a parameter breaks the rules of the page.
pub(super) fn get_handle(target: &Target) -> Result<Operation, Invalid> {
    let mut operation = get_stack_resource(target, &target.resource)?;
    let names = ["ResourceAttributes.1", "ResourceAttributes.2", "ResourceAttributes.3"];
    operation.parameters.extend(names.into_iter().zip(["URL", "Headers", "CurlCli"].map(str::to_owned)));
    Ok(operation)
}

/// GetStackResource of a condition, with the signals that it has.
///
/// # Errors
/// If a parameter breaks the rules of the page.
pub(super) fn get_data(target: &Target, condition: &str) -> Result<Operation, Invalid> {
    let mut operation = get_stack_resource(target, condition)?;
    operation.parameters.push(("ResourceAttributes.1", "Data".to_owned()));
    operation.parameters.push(("ResourceAttributes.2", "ErrorData".to_owned()));
    Ok(operation)
}

/// GetTemplate of the stack, with its transforms done (`Processed`, the default of the page).
///
/// # Errors
/// If a parameter breaks the rules of the page.
pub(super) fn get_template(target: &Target) -> Result<Operation, Invalid> {
    let mut parameters = place(target)?;
    parameters.push(("TemplateStage", "Processed".to_owned()));
    Ok(operation("GetTemplate", target, parameters))
}

fn operation(action: &'static str, target: &Target, parameters: Vec<(&'static str, String)>) -> Operation {
    Operation { service: Service::Ros, action, parameters, resource: format!("stack/{}", target.stack_id) }
}

fn place(target: &Target) -> Result<Vec<(&'static str, String)>, Invalid> {
    let lower = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let region = charset("RegionId", &target.region, 64, "a-z 0-9 -", lower)?;
    // An id is a UUID; a stack's name (letters, digits, - and _, up to 255) is let through, for ROS to judge.
    let stack_id = charset("StackId", &target.stack_id, 255, "A-Z a-z 0-9 - _", |c| c.is_ascii_alphanumeric() || "-_".contains(c))?;
    Ok(vec![region, stack_id])
}

fn logical_id(name: &'static str, value: &str) -> Result<(&'static str, String), Invalid> {
    charset(name, value, 255, "A-Z a-z 0-9 - _ .", |c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Transport;
    use crate::signal::{SignalStatus, UniqueId, client_token};

    fn target() -> Target {
        Target { region: "cn-hangzhou".into(), stack_id: "4a6c9851-3b0f-4f5f-b4ca-a14bf6911234".into(), resource: "WebServerHandle".into() }
    }

    fn request(target: Target) -> SignalRequest {
        let unique_id = UniqueId::new("i-bp1a2b3c4d5e6f7g8h9i").unwrap();
        let client_token = client_token(&target, &unique_id, SignalStatus::Success, 0);
        let transport = Transport::Api;
        SignalRequest { target, transport, status: SignalStatus::Success, unique_id, client_token, reason: String::new(), report: None }
    }

    fn refused(change: impl Fn(&mut Target)) -> String {
        let mut target = target();
        change(&mut target);
        signal_resource(&request(target)).unwrap_err().to_string()
    }

    #[test]
    fn wrong_parameters_are_refused_by_name_before_anything_is_sent() {
        assert_eq!(refused(|t| t.region = "cn hangzhou".into()), r#"RegionId "cn hangzhou" has the character ' '; allowed are a-z 0-9 -"#);
        assert_eq!(refused(|t| t.region.clear()), r#"RegionId "" has 0 characters; 1 to 64 are allowed"#);
        assert!(refused(|t| t.stack_id = "a/b".into()).contains("StackId \"a/b\" has the character '/'"));
        assert!(refused(|t| t.stack_id = "x".repeat(256)).contains("has 256 characters; 1 to 255"));
        assert!(refused(|t| t.resource = "Web Ready".into()).contains("LogicalResourceId"));
        assert!(refused(|t| t.resource = "界".into()).contains('界'));
    }

    #[test]
    fn the_parameters_are_those_of_the_page() {
        let operation = signal_resource(&request(target())).unwrap();
        let names: Vec<_> = operation.parameters.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["RegionId", "StackId", "LogicalResourceId", "Status", "UniqueId", "ClientToken"]);
        let names: Vec<_> = get_stack(&target()).unwrap().parameters.into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["RegionId", "StackId", "OutputOption", "LogOption"]);
    }
}
