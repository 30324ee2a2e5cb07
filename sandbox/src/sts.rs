//! The Security Token Service, at the same door as ROS and told apart by its version: AssumeRole for those who sign, AssumeRoleWithOIDC
//! for those who bring the token that the sandbox was told to take. The keys it issues are taken by ROS until they expire.
//!
//! Any role can be assumed by any key unless the switch `permit_assume_role` is off. The name of the role is part of the key's id, so that
//! a test sees by which role a request was signed; real ids do not show it.

use serde_json::{Map, Value, json};

use crate::api::{Scripted, Seen, required};
use crate::clock::{Moment, zulu};
use crate::refusal::Refusal;
use crate::request::Request;
use crate::secret::Secret;
use crate::signature;
use crate::world::Inner;

/// `Version` of its API.
pub(crate) const VERSION: &str = "2015-04-01";

/// What a session may be asked to live, in seconds (AssumeRole page).
const SECONDS: std::ops::RangeInclusive<u32> = 900..=43_200;
const DEFAULT_SECONDS: u32 = 3600;

#[derive(Debug, Default)]
pub(crate) struct Sts {
    /// The token of the identity provider that is taken.
    pub(crate) oidc_token: Option<Secret>,
}

/// Runs the operation that the request names.
pub(crate) fn run(
    inner: &mut Inner,
    request: &Request,
    fault: Option<&Scripted>,
    (now, told): (Moment, Moment),
    seen: &mut Seen,
) -> Result<Map<String, Value>, Refusal> {
    match request.action().as_deref() {
        Some("AssumeRole") => {
            let claim = signature::claim(request)?;
            inner.gate.judge(request, &claim, now, told)?;
        }
        Some("AssumeRoleWithOIDC") => {
            required(request, "OIDCProviderArn")?;
            let given = Secret::from(required(request, "OIDCToken")?);
            if inner.sts.oidc_token.as_ref() != Some(&given) {
                return Err(Refusal::bad_request("AuthenticationFail.OIDCToken.Invalid", "This jwt token is illegal or has expired."));
            }
        }
        _ => return Err(Refusal::not_found("InvalidApi.NotFound", "Specified api is not found, please check your url and method.")),
    }
    seen.verified = true;
    if let Some(Scripted::Gateway(refusal)) = fault {
        return Err(refusal.clone());
    }
    if !inner.switches.permit_assume_role {
        return Err(Refusal::new(403, "NoPermission", "You are not authorized to do this action. You should be authorized by RAM."));
    }
    let wanted = Wanted::read(request)?;
    let lifetime = inner.gate.lifetime.min(time::Duration::seconds(i64::from(wanted.seconds)));
    let key = inner.gate.assume(wanted.role, lifetime, now);
    let mut members = Map::new();
    members.insert(
        "Credentials".to_owned(),
        json!({
            "AccessKeyId": key.id,
            "AccessKeySecret": key.secret.reveal(),
            "SecurityToken": key.token.as_ref().map(|token| token.reveal()),
            // As all times that the outside is told.
            "Expiration": key.expires.map(|expires| zulu(expires + (told - now))),
        }),
    );
    let arn = format!("{}/{}", wanted.arn, wanted.session);
    members.insert("AssumedRoleUser".to_owned(), json!({"Arn": arn, "AssumedRoleId": format!("300000000000000000:{}", wanted.session)}));
    Ok(members)
}

/// The parameters, checked by the rules of the AssumeRole page.
struct Wanted<'a> {
    arn: &'a str,
    role: &'a str,
    session: &'a str,
    seconds: u32,
}

impl<'a> Wanted<'a> {
    fn read(request: &'a Request) -> Result<Self, Refusal> {
        let arn = required(request, "RoleArn")?;
        let role = arn.strip_prefix("acs:ram::").and_then(|rest| rest.split_once(":role/"));
        let role = role.filter(|(account, role)| account.bytes().all(|byte| byte.is_ascii_digit()) && is_name(role, 1));
        let (_, role) = role.ok_or_else(|| Refusal::bad_request("InvalidParameter.RoleArn", "The parameter RoleArn is wrongly formed."))?;
        let session = required(request, "RoleSessionName")?;
        if !is_name(session, 2) {
            return Err(Refusal::bad_request("InvalidParameter.RoleSessionName", "The parameter RoleSessionName is wrongly formed."));
        }
        let seconds = request.parameter("DurationSeconds").map_or(Ok(DEFAULT_SECONDS), str::parse);
        let seconds = seconds.ok().filter(|seconds| SECONDS.contains(seconds)).ok_or_else(|| {
            Refusal::bad_request("InvalidParameter.DurationSeconds", "The Min/Max value of DurationSeconds is 15min/12h.")
        })?;
        if request.parameter("Policy").is_some_and(|policy| serde_json::from_str::<Map<String, Value>>(policy).is_err()) {
            return Err(Refusal::bad_request("InvalidParameter.PolicyGrammar", "The parameter Policy has not passed grammar check."));
        }
        Ok(Self { arn, role, session, seconds })
    }
}

fn is_name(text: &str, least: usize) -> bool {
    (least..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".@-_".contains(&byte))
}
