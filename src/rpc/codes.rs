//! What ROS's error codes mean for the next attempt: the table `error-codes.json`, as data.
//!
//! A code is looked up as it is, then without its last dotted part (`Throttling.Region` counts as `Throttling`). A code that is not
//! in the table, and an answer without one, is judged by the HTTP status. Throttling is HTTP 400 at ROS, so the code goes first.
//! What the table calls permanent is, in the daemon, a slow and loud retry.

use crate::signal::Class;
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::OnceLock;

/// The table's `action` column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Action {
    /// Back off and try again.
    Retry,
    /// Likewise; the daemon is not bound by a count.
    RetryFew,
    /// The resource is not there yet.
    RetryUntilDeadline,
    /// The request before this one is still being worked on: the same ClientToken again.
    RetrySameToken,
    /// Back off longer.
    Throttle,
    /// The clock is wrong, not the key.
    ResyncClock,
    /// A nonce that was used before.
    NewNonceNow,
    /// The ClientToken was used for another request.
    NewClientTokenOnce,
    /// Other credentials are needed.
    Credentials,
    /// Likewise; or the request was altered on its way.
    CredentialsOnceThenPermanent,
    /// RAM denies.
    Permission,
    /// Not there (yet).
    PermanentAfterGrace,
    /// Not there, perhaps at the other home of accounts.
    PermanentAfterEndpointCheck,
    /// Will not heal by itself.
    Permanent,
}

impl Action {
    /// The class of the next attempt, before the client has tried to mend the cause.
    pub(crate) fn class(self) -> Class {
        match self {
            Self::Retry | Self::RetryFew | Self::RetrySameToken | Self::ResyncClock => Class::Transient,
            Self::RetryUntilDeadline | Self::PermanentAfterGrace | Self::PermanentAfterEndpointCheck => Class::TooEarly,
            Self::Throttle => Class::Throttled,
            Self::NewNonceNow | Self::NewClientTokenOnce => Class::Immediate,
            Self::Credentials | Self::CredentialsOnceThenPermanent => Class::Credentials,
            Self::Permission => Class::Permission,
            Self::Permanent => Class::Permanent,
        }
    }

    /// Whether an earlier copy of the request may have got through although this one was refused.
    pub(super) fn may_have_arrived(self) -> bool {
        matches!(self, Self::RetrySameToken | Self::NewNonceNow)
    }
}

#[derive(Deserialize)]
struct Table {
    fallback_by_http_status: HashMap<String, Action>,
    codes: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    code: String,
    action: Action,
}

struct Codes {
    by_code: HashMap<String, Action>,
    by_status: HashMap<String, Action>,
}

/// Codes longer than this are not looked up; those that are known are a third as long.
const CODE_LIMIT: usize = 128;

fn codes() -> &'static Codes {
    static CODES: OnceLock<Codes> = OnceLock::new();
    CODES.get_or_init(|| {
        // The file is part of the program; a test reads every row of it. Without it the status alone would judge.
        let table = serde_json::from_str(include_str!("error-codes.json"));
        let table = table.unwrap_or_else(|_| Table { fallback_by_http_status: HashMap::new(), codes: Vec::new() });
        let by_code = table.codes.into_iter().map(|row| (row.code, row.action)).collect();
        Codes { by_code, by_status: table.fallback_by_http_status }
    })
}

/// What to do about an answer with this code and HTTP status.
pub(crate) fn action(code: Option<&str>, status: u16) -> Action {
    let mut code = code.filter(|code| code.len() <= CODE_LIMIT);
    // Ends: every turn makes the code shorter.
    while let Some(known) = code {
        if let Some(action) = codes().by_code.get(known) {
            return *action;
        }
        code = known.rsplit_once('.').map(|(shorter, _)| shorter);
    }
    by_status(status)
}

fn by_status(status: u16) -> Action {
    let row = |key: &str| codes().by_status.get(key).copied();
    let exact = row(&status.to_string());
    exact.or_else(|| (400..500).contains(&status).then(|| row("other 4xx")).flatten()).unwrap_or(Action::Retry)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every row, as the design wants it treated; the table may not change without this.
    const EXPECTED: [(&str, Class); 57] = [
        ("ResourceNotAvailable", Class::TooEarly),
        ("ResourceNotFound", Class::TooEarly),
        ("StackNotFound", Class::TooEarly),
        ("NotSupported", Class::Permanent),
        ("ResourceActionNotSupported", Class::Permanent),
        ("UnknownError", Class::Transient),
        ("MissingParameter", Class::Permanent),
        ("InvalidParameter", Class::Permanent),
        ("MultipleParameter", Class::Permanent),
        ("Invalid", Class::Permanent),
        ("InvalidValue", Class::Permanent),
        ("InvalidIdempotenceParameter", Class::Immediate),
        ("IdempotentParameterMismatch", Class::Immediate),
        ("LastTokenProcessing", Class::Transient),
        ("RequestLimitExceeded", Class::Permanent),
        ("MismatchNextToken", Class::Permanent),
        ("AssumeRoleFailure", Class::Permanent),
        ("Forbidden", Class::Permission),
        ("AccountTypeNotSupported", Class::Permanent),
        ("NotFound", Class::Permanent),
        ("InternalError", Class::Transient),
        ("ServiceUnavailable", Class::Transient),
        ("ActionInProgress", Class::Transient),
        ("StackValidationFailed", Class::Permanent),
        ("StackExists", Class::Permanent),
        ("StopActionFailed", Class::Transient),
        ("Throttling", Class::Throttled),
        ("Throttling.User", Class::Throttled),
        ("Throttling.Api", Class::Throttled),
        ("Rejected.Throttling", Class::Throttled),
        ("InvalidTimeStamp.Expired", Class::Transient),
        ("InvalidTimeStamp.Format", Class::Permanent),
        ("IllegalTimestamp", Class::Permanent),
        ("SignatureNonceUsed", Class::Immediate),
        ("SignatureDoesNotMatch", Class::Credentials),
        ("IncompleteSignature", Class::Permanent),
        ("InvalidSignatureMethod", Class::Permanent),
        ("InvalidAccessKeyId.NotFound", Class::Credentials),
        ("InvalidAccessKeyId.Inactive", Class::Credentials),
        ("Forbidden.AccessKeyDisabled", Class::Credentials),
        ("InvalidSecurityToken.Expired", Class::Credentials),
        ("InvalidSecurityToken.Malformed", Class::Credentials),
        ("InvalidSecurityToken.MismatchWithAccessKey", Class::Credentials),
        ("MissingSecurityToken", Class::Credentials),
        ("Forbidden.RAM", Class::Permission),
        ("NoPermission", Class::Permission),
        ("Forbidden.RiskControl", Class::Permanent),
        ("Forbidden.UserVerification", Class::Permanent),
        ("InvalidApi.NotFound", Class::Permanent),
        ("InvalidProduct.NotFound", Class::Permanent),
        ("InvalidRegion.NotFound", Class::Permanent),
        ("InvalidProtocol.NeedSsl", Class::Permanent),
        ("UnsupportedHTTPMethod", Class::Permanent),
        ("NoSuchVersion", Class::Permanent),
        ("ContentLengthDoesNotMatch", Class::Transient),
        ("ContentMD5NotMatched", Class::Transient),
        ("InvalidParameter.Format", Class::Permanent),
    ];

    #[test]
    fn every_row_of_the_table_has_its_class() {
        assert_eq!(codes().by_code.len(), EXPECTED.len());
        for (code, class) in EXPECTED {
            assert!(codes().by_code.contains_key(code), "{code} is not in the table");
            for status in [200, 400, 403, 404, 500, 503] {
                assert_eq!(action(Some(code), status).class(), class, "{code} with HTTP {status}");
            }
        }
    }

    #[test]
    fn only_a_request_that_may_have_arrived_keeps_its_token() {
        let kept: Vec<_> = EXPECTED.iter().map(|(code, _)| *code).filter(|code| action(Some(code), 400).may_have_arrived()).collect();
        assert_eq!(kept, ["LastTokenProcessing", "SignatureNonceUsed"]);
    }

    #[test]
    fn every_status_of_the_table_has_its_class() {
        for (status, class) in [
            (408, Class::Transient),
            (429, Class::Throttled),
            (500, Class::Transient),
            (502, Class::Transient),
            (503, Class::Transient),
            (504, Class::Transient),
            (400, Class::Permanent),
            (401, Class::Permanent),
            (403, Class::Permanent),
            (404, Class::Permanent),
            (418, Class::Permanent),
            (200, Class::Transient),
            (302, Class::Transient),
            (599, Class::Transient),
        ] {
            assert_eq!(action(None, status).class(), class, "HTTP {status}");
            assert_eq!(action(Some("NeverHeardOf.It"), status).class(), class, "HTTP {status} with an unknown code");
        }
    }

    #[test]
    fn an_unknown_part_after_a_dot_does_not_hide_what_is_known() {
        assert_eq!(action(Some("Throttling.Region"), 400), Action::Throttle);
        assert_eq!(action(Some("Forbidden.RAM.Whatever"), 403), Action::Permission);
        assert_eq!(action(Some(&format!("Throttling{}", ".".repeat(60_000))), 400), Action::Permanent);
    }
}
