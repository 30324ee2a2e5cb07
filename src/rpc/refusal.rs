//! An answer of ROS becomes a receipt or a [`Refusal`], for people and for the core.
//!
//! Acknowledged is HTTP 200 with a RequestId and no error code, nothing else. Text of the other side is cut, freed of control
//! characters and of our own secrets before it goes anywhere: ROS repeats the string to sign, and with it the security token, when it
//! does not like a signature.

use super::body::Body;
use super::codes::{self, Action};
use super::exchange::Reply;
use super::request::Operation;
use super::sign::encode;
use super::time;
use crate::credentials::Keys;
use crate::secret::Secret;
use crate::signal::{Class, Refusal};
use crate::transport::{Trouble, clean};

/// `ACS3-HMAC-SHA256`, a line feed and 64 digits; those of HMAC-SHA1 are longer.
const SHORTEST_STRING_TO_SIGN: usize = 81;

/// What is needed to explain an answer.
#[derive(Debug)]
pub(super) struct Context<'a> {
    pub host: &'a str,
    pub operation: &'a Operation,
    pub account: Option<&'a str>,
    pub keys: &'a Keys,
    pub signed: &'a Secret,
    pub now_ms: i64,
}

/// A refusal, with what the client needs to know to mend its cause.
#[derive(Debug)]
pub(super) struct Judged {
    pub action: Action,
    pub from_service: bool,
    pub refusal: Refusal,
}

/// Whether the server signed what we signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Same,
    Different,
    NotShown,
}

/// Reads an answer.
pub(super) fn read(reply: &Reply, context: &Context<'_>) -> Result<Body, Box<Judged>> {
    let Some(body) = Body::parse(&reply.body) else {
        return Err(Box::new(foreign(reply, context)));
    };
    if reply.status == 200 && body.code().is_none() {
        return Ok(body);
    }
    Err(Box::new(refused(reply, &body, context)))
}

/// A body that is not ROS's, whatever the status.
fn foreign(reply: &Reply, context: &Context<'_>) -> Judged {
    let kind = reply.headers.get(reqwest::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = kind.map_or_else(|| "no content type".to_owned(), |kind| clean(kind.split(';').next().unwrap_or(kind)));
    let service = context.operation.service.name();
    let what = if reply.body.is_empty() { "an empty body".to_owned() } else { format!("a body that is not {service}'s ({kind})") };
    let hint = match reply.status {
        200..=299 => Some(format!("something between this host and {service} answers in its place, such as a captive portal or a proxy")),
        300..=399 => Some("redirects are not followed".to_owned()),
        _ => None,
    };
    // Whoever wrote it cannot tell what will not heal: only ROS can.
    let action = if reply.status == 429 { Action::Throttle } else { Action::Retry };
    let refusal = Refusal {
        class: action.class(),
        definite: false,
        code: None,
        message: format!("HTTP {} from {} with {what}", reply.status, context.host),
        request_id: None,
        retry_after: time::retry_after(&reply.headers, context.now_ms),
        hint,
    };
    Judged { action, from_service: false, refusal }
}

fn refused(reply: &Reply, body: &Body, context: &Context<'_>) -> Judged {
    let code = body.code();
    let action = codes::action(code, reply.status);
    let said = body.member("Message").unwrap_or_default();
    let comparison = (action == Action::CredentialsOnceThenPermanent).then(|| compare(said, context.signed));
    let mut message = format!("{} (HTTP {} from {})", clean(code.unwrap_or("no code")), reply.status, context.host);
    match comparison {
        // What follows is the string to sign.
        Some(_) => tracing::debug!(target: "ros", server = %masked(said, context.keys), "the signature was refused"),
        None if said.is_empty() => {}
        None => message.push_str(&format!(": {}", masked(said, context.keys))),
    }
    if action == Action::Permission
        && let Some(detail) = body.member("AccessDeniedDetail")
    {
        message.push_str(&format!("; AccessDeniedDetail {}", masked(detail, context.keys)));
    }
    let class = if comparison == Some(Comparison::Different) { Class::Permanent } else { action.class() };
    let refusal = Refusal {
        class,
        definite: (400..500).contains(&reply.status) && code.is_some() && !action.may_have_arrived(),
        code: code.map(clean),
        message,
        request_id: Some(body.request_id.clone()),
        retry_after: time::retry_after(&reply.headers, context.now_ms),
        hint: hint(action, comparison, context),
    };
    Judged { action, from_service: true, refusal }
}

/// The server tells its string to sign after the first colon of the message.
fn compare(said: &str, signed: &Secret) -> Comparison {
    let theirs = said.split_once(':').map_or("", |(_, theirs)| theirs.trim());
    if theirs.len() < SHORTEST_STRING_TO_SIGN {
        Comparison::NotShown
    } else if signed.expose().contains(theirs) {
        Comparison::Same
    } else {
        Comparison::Different
    }
}

fn hint(action: Action, comparison: Option<Comparison>, context: &Context<'_>) -> Option<String> {
    let Context { operation, account, .. } = context;
    let (service, ram, action_name) = (operation.service.name(), operation.service.ram(), operation.action);
    match action {
        Action::Permission => {
            let (region, account) = (operation.parameter("RegionId").unwrap_or("*"), account.unwrap_or("*"));
            let resource = &operation.resource;
            Some(format!(
                "grant {ram}:{action_name} on acs:{ram}:{region}:{account}:{resource} to the RAM role or user of these credentials"
            ))
        }
        Action::CredentialsOnceThenPermanent => Some(match comparison {
            Some(Comparison::Same) => format!("{service} signed the same text as this host, so the access key secret is wrong"),
            Some(Comparison::Different) => format!(
                "{service} signed another text than this host: the request was altered on its way, or this agent's signature has a fault"
            ),
            _ => "the access key secret is wrong, or the request was altered on its way".to_owned(),
        }),
        Action::Credentials => {
            Some(format!("{service} does not take the access key {} from {}", context.keys.access_key_id(), context.keys.source()))
        }
        Action::RetryUntilDeadline | Action::PermanentAfterGrace if action_name == "SignalResource" => {
            let resource = operation.parameter("LogicalResourceId").unwrap_or_default();
            Some(format!("is {resource} the logical ID of the ALIYUN::ROS::WaitConditionHandle in the template?"))
        }
        Action::PermanentAfterEndpointCheck => {
            Some("are stack_id and region right, and does the endpoint belong to the account's home (ros or ros-intl)?".to_owned())
        }
        _ => None,
    }
}

/// The refusal of an attempt that had no answer.
pub(crate) fn of_trouble(trouble: Trouble) -> Refusal {
    Refusal {
        class: Class::Transient,
        definite: false,
        code: None,
        message: trouble.message,
        request_id: None,
        retry_after: None,
        hint: trouble.hint,
    }
}

/// Nothing was sent, because of something on this host.
pub(crate) fn unsent(class: Class, message: String, hint: Option<String>) -> Refusal {
    Refusal { class, definite: false, code: None, message, request_id: None, retry_after: None, hint }
}

/// Foreign text without our secrets, whether plain or percent-encoded once or twice.
pub(super) fn masked(text: &str, keys: &Keys) -> String {
    let token = keys.security_token().map(Secret::expose);
    let mut text = text.to_owned();
    for secret in token.into_iter().chain([keys.access_key_secret().expose()]).filter(|secret| !secret.is_empty()) {
        let once = encode(secret);
        let twice = encode(&once);
        for form in [twice.as_str(), once.as_str(), secret] {
            text = text.replace(form, "[secret]");
        }
    }
    clean(&text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Moment;
    use crate::rpc::Service;

    const NOW: Moment = Moment { boot_ms: 0, wall_ms: 0 };

    const OURS: &str = "ACS3-HMAC-SHA256\n14fcb42f91fcbd21fdec5a4ef6f9e866f8140fc689eedbd2a3e64eb60d2de3aa";
    const THEIRS: &str = "ACS3-HMAC-SHA256\n5b5ee70b18b0e95a235f6524cf0f7ffdbb5b73035d752b7933bdf69f0a476e65";

    fn judge(status: u16, body: &str, signed: &str) -> Result<Body, Refusal> {
        let keys = Keys::for_tests("AKID", "made-up-secret", Some("made/up+token"));
        let parameters = vec![("RegionId", "cn-hangzhou".to_owned()), ("LogicalResourceId", "R".to_owned())];
        let operation = Operation { service: Service::Ros, action: "SignalResource", parameters, resource: "stack/S".to_owned() };
        let reply = Reply { status, headers: Default::default(), body: body.into(), sent: NOW, received: NOW };
        let signed = Secret::new(signed);
        let context = Context { host: "ros.test", operation: &operation, account: None, keys: &keys, signed: &signed, now_ms: 0 };
        read(&reply, &context).map_err(|refused| refused.refusal)
    }

    fn error(status: u16, code: &str, message: &str) -> Refusal {
        let body = serde_json::json!({"RequestId": "R-1", "Code": code, "Message": message}).to_string();
        judge(status, &body, &format!("{OURS}\ncanonical")).unwrap_err()
    }

    #[test]
    fn scenario_3_only_http_200_with_a_request_id_is_an_acknowledgement() {
        assert_eq!(judge(200, r#"{"RequestId":"R-1"}"#, "").unwrap().request_id, "R-1");
        for (status, body) in [
            (200, "<html>please log in</html>"),
            (200, ""),
            (200, "{}"),
            (200, r#"{"RequestId":"R-1","Code":"Throttling"}"#),
            (201, r#"{"RequestId":"R-1"}"#),
            (204, ""),
            (302, r#"{"RequestId":"R-1"}"#),
            (400, r#"{"RequestId":"R-1"}"#),
            (503, r#"{"RequestId":"R-1"}"#),
        ] {
            assert!(judge(status, body, "").is_err(), "HTTP {status} {body}");
        }
    }

    #[test]
    fn a_foreign_body_is_named_as_such() {
        let refusal = judge(503, "<html>", "").unwrap_err();
        assert_eq!(refusal.message, "HTTP 503 from ros.test with a body that is not ROS's (no content type)");
        assert_eq!((refusal.class, refusal.definite), (Class::Transient, false));
        let refusal = judge(403, "<html>", "").unwrap_err();
        assert_eq!((refusal.class, refusal.definite), (Class::Transient, false), "only ROS can say that it is permanent");
    }

    #[test]
    fn only_a_4xx_with_a_code_is_definite() {
        assert!(error(404, "StackNotFound", "").definite);
        assert!(error(400, "Throttling.User", "").definite);
        assert!(!error(500, "InternalError", "").definite);
        assert!(!error(400, "LastTokenProcessing", "").definite);
        assert!(!error(400, "SignatureNonceUsed", "").definite);
    }

    #[test]
    fn scenario_9_a_permission_error_names_action_and_arn() {
        let refusal = error(403, "Forbidden.RAM", "User not authorized");
        assert_eq!(refusal.class, Class::Permission);
        let hint = refusal.hint.unwrap();
        assert!(hint.contains("ros:SignalResource") && hint.contains("acs:ros:cn-hangzhou:*:stack/S"), "{hint}");
    }

    #[test]
    fn a_refused_signature_says_which_side_is_wrong() {
        let refused = |theirs: &str| error(400, "SignatureDoesNotMatch", &format!("not matched. server string to sign is:{theirs}"));
        let same = refused(OURS);
        assert!(same.class == Class::Credentials && same.hint.unwrap().contains("the access key secret is wrong"));
        let different = refused(THEIRS);
        assert!(different.class == Class::Permanent && different.hint.unwrap().contains("altered on its way"));
        let not_shown = refused("");
        assert!(not_shown.class == Class::Credentials && not_shown.hint.unwrap().contains("or the request was altered"));
    }

    #[test]
    fn scenario_18_our_secrets_never_come_back_in_a_message() {
        for form in ["made/up+token", "made%2Fup%2Btoken", "made%252Fup%252Btoken", "made-up-secret"] {
            for code in ["SignatureDoesNotMatch", "InvalidParameter", "Forbidden.RAM"] {
                let shown = format!("{:?}", error(400, code, &format!("string to sign:x&{form}&y")));
                assert!(!shown.contains(form), "{shown}");
            }
        }
    }

    #[test]
    fn foreign_text_is_cut_and_put_on_one_line() {
        let refusal = error(400, "InvalidParameter", &format!("a\u{1b}[31m\nb{}", "x".repeat(10_000)));
        assert!(!refusal.message.contains('\n') && !refusal.message.contains('\u{1b}'));
        assert!(refusal.message.chars().count() < 500);
    }
}
