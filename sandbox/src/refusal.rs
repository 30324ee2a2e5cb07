//! How an operation says no: an error code of ROS or of the API gateway, with its HTTP status.

/// An error answer of ROS before it is written as JSON or XML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) message: String,
    /// The action a RAM policy would have to allow; answered as `AccessDeniedDetail`.
    pub(crate) denied_action: Option<String>,
    /// Milliseconds for the header `x-acs-retry-after`.
    pub(crate) retry_after_ms: Option<u64>,
}

impl Refusal {
    pub(crate) fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self { status, code: code.to_owned(), message: message.into(), denied_action: None, retry_after_ms: None }
    }

    pub(crate) fn bad_request(code: &str, message: impl Into<String>) -> Self {
        Self::new(400, code, message)
    }

    pub(crate) fn not_found(code: &str, message: impl Into<String>) -> Self {
        Self::new(404, code, message)
    }

    pub(crate) fn missing_parameter(name: &str) -> Self {
        Self::bad_request("MissingParameter", format!("The {name} parameter is required but was not given."))
    }

    pub(crate) fn invalid_parameter(name: &str, why: &str) -> Self {
        Self::bad_request("InvalidParameter", format!("The specified value of parameter {name} is not valid: {why}."))
    }

    pub(crate) fn stack_not_found(stack: &str) -> Self {
        Self::not_found("StackNotFound", format!("The Stack ({stack}) could not be found."))
    }

    pub(crate) fn resource_not_found(stack: &str, resource: &str) -> Self {
        Self::not_found("ResourceNotFound", format!("The Resource ({resource}) could not be found in Stack {stack}."))
    }

    pub(crate) fn resource_not_available(resource: &str) -> Self {
        Self::not_found("ResourceNotAvailable", format!("The Resource ({resource}) is not available."))
    }

    /// RAM denies the action (`Forbidden.RAM`, with what would have to be granted).
    pub(crate) fn denied(action: &str) -> Self {
        Self {
            denied_action: Some(format!("ros:{action}")),
            ..Self::new(403, "Forbidden.RAM", "User not authorized to operate on the specified resource, or this API doesn't support RAM.")
        }
    }
}
