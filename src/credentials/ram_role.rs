//! The RAM role of the instance, from the metadata service.

use super::around::Around;
use super::source::Refused;
use super::{Found, document};
use crate::instance::{self, Metadata};

const ROLES: &str = "meta-data/ram/security-credentials/";

/// Asks for the credentials of `role`, or of the one that the environment or the service names. A `source` of `""` becomes the role's.
pub(super) async fn find(role: Option<&str>, source: &str, around: &Around) -> Result<Found, Refused> {
    if around.ecs_disabled {
        return Err(Refused::new("ALIBABA_CLOUD_ECS_METADATA_DISABLED is true"));
    }
    let metadata = &around.metadata;
    let role = match role.or(around.ecs_role.as_deref()) {
        Some(role) => role.to_owned(),
        None => discover(metadata).await?,
    };
    if !instance::is_role_name(&role) {
        return Err(Refused::new("the name of the role is not usable"));
    }
    let answer = metadata.get(&format!("{ROLES}{role}")).await.map_err(|error| of_metadata(&error, Some(&role)))?;
    let source = if source.is_empty() { format!("ECS RAM role {role}") } else { source.to_owned() };
    let (keys, expires_ms) = document::role(answer.text.expose(), &source).map_err(Refused::new)?;
    Ok(Found { keys, expires_ms, source_ms: answer.date_ms, ask_again: None })
}

/// The name of the attached role: the service lists it, one a line.
async fn discover(metadata: &Metadata) -> Result<String, Refused> {
    let answer = metadata.get(ROLES).await.map_err(|error| of_metadata(&error, None))?;
    let role = answer.text.expose().lines().next().unwrap_or_default().trim().to_owned();
    if role.is_empty() { Err(no_role()) } else { Ok(role) }
}

fn no_role() -> Refused {
    Refused::new("no RAM role is attached to this instance yet")
        .hinting("attach a RAM role that may ros:SignalResource to the instance (RamRoleName in the template)")
}

fn of_metadata(error: &instance::Error, role: Option<&str>) -> Refused {
    match (error, role) {
        (instance::Error::Status { status: 404, .. }, None) => no_role(),
        (instance::Error::Status { status: 404, .. }, Some(role)) => {
            Refused::new(format!("no RAM role {role} is attached to this instance yet")).hinting("attach the role, or do not name one")
        }
        _ => Refused { why: error.to_string(), hint: error.hint().map(str::to_owned), class: None },
    }
}
