//! What is sent: operations with checked parameters, and the request of one attempt with its nonce, date and signature.
//!
//! All parameters travel in the query string of a POST without a body, as the vendor's SDK sends them. The vendor's SDK checks
//! nothing before it sends; this room does, so that a wrong value is told by its name and not by an error code of the service.

use super::sign::{self, Acs3};
use crate::credentials::Keys;
use crate::plan::SignatureScheme;
use crate::secret::Secret;
use crate::signal::{SignalRequest, Target};
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

/// Version of the ROS API.
pub(super) const VERSION: &str = "2019-09-10";

const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Why a request is not sent: ROS would not take it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Invalid {
    /// Empty or too long.
    #[error("{name} {value:?} has {length} characters; 1 to {limit} are allowed")]
    Length {
        /// The parameter.
        name: &'static str,
        /// Its value, cut.
        value: String,
        /// Its length.
        length: usize,
        /// The most.
        limit: usize,
    },
    /// A character that cannot be.
    #[error("{name} {value:?} has the character {character:?}; allowed are {allowed}")]
    Character {
        /// The parameter.
        name: &'static str,
        /// Its value.
        value: String,
        /// The first wrong one.
        character: char,
        /// The right ones.
        allowed: &'static str,
    },
    /// A value that cannot be put into a header.
    #[error("{0} cannot be sent in a header")]
    Header(&'static str),
}

/// An operation of ROS with its parameters, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Operation {
    /// `Action`.
    pub(super) action: &'static str,
    /// In no order.
    pub(super) parameters: Vec<(&'static str, String)>,
}

impl Operation {
    /// SignalResource.
    ///
    /// # Errors
    /// If a parameter breaks the rules of the page.
    pub(super) fn signal(request: &SignalRequest) -> Result<Self, Invalid> {
        let mut parameters = place(&request.target)?;
        parameters.push(logical_id("LogicalResourceId", &request.target.resource)?);
        parameters.push(("Status", request.status.word().to_owned()));
        let unique_id = request.unique_id.as_str();
        length("UniqueId", unique_id, 64)?;
        parameters.push(("UniqueId", unique_id.to_owned()));
        let token = request.client_token.as_str();
        parameters.push(charset("ClientToken", token, 64, "A-Z a-z 0-9 - _", |c| c.is_ascii_alphanumeric() || "-_".contains(c))?);
        Ok(Self { action: "SignalResource", parameters })
    }

    /// GetStack, without outputs (which are slow) and logs.
    ///
    /// # Errors
    /// If a parameter breaks the rules of the page.
    pub(super) fn get_stack(target: &Target) -> Result<Self, Invalid> {
        let mut parameters = place(target)?;
        parameters.push(("OutputOption", "Disabled".to_owned()));
        parameters.push(("LogOption", "None".to_owned()));
        Ok(Self { action: "GetStack", parameters })
    }

    /// GetStackResource of the resource `logical` (which need not be the target's).
    ///
    /// # Errors
    /// If a parameter breaks the rules of the page.
    pub(super) fn get_stack_resource(target: &Target, logical: &str) -> Result<Self, Invalid> {
        let mut parameters = place(target)?;
        parameters.push(logical_id("LogicalResourceId", logical)?);
        Ok(Self { action: "GetStackResource", parameters })
    }
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

fn length(name: &'static str, value: &str, limit: usize) -> Result<(), Invalid> {
    let length = value.chars().count();
    if length == 0 || length > limit {
        return Err(Invalid::Length { name, value: value.chars().take(64).collect(), length, limit });
    }
    Ok(())
}

fn charset(
    name: &'static str,
    value: &str,
    limit: usize,
    allowed: &'static str,
    is_allowed: impl Fn(char) -> bool,
) -> Result<(&'static str, String), Invalid> {
    length(name, value, limit)?;
    match value.chars().find(|c| !is_allowed(*c)) {
        Some(character) => Err(Invalid::Character { name, value: value.to_owned(), character, allowed }),
        None => Ok((name, value.to_owned())),
    }
}

/// What belongs to one attempt alone. Never used twice.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    /// `SignatureNonce`.
    pub(super) nonce: String,
    /// The date of the request, milliseconds since 1970 by the server's clock.
    pub(super) date_ms: i64,
}

/// A signed request, ready to go.
#[derive(Debug)]
pub(super) struct Prepared {
    /// With the query; of HMAC-SHA1 it holds the signature, so it is never shown.
    pub(super) url: Secret,
    /// Headers, those with secrets marked sensitive.
    pub(super) headers: HeaderMap,
    /// What we signed, to compare with what the server says it signed. Holds the security token.
    pub(super) signed: Secret,
}

/// Signs `operation` for `endpoint`.
///
/// # Errors
/// If a value cannot be sent in a header.
pub(super) fn prepare(
    operation: &Operation,
    scheme: SignatureScheme,
    endpoint: &Url,
    keys: &Keys,
    attempt: &Attempt,
) -> Result<Prepared, Invalid> {
    match scheme {
        SignatureScheme::Acs3HmacSha256 => acs3(operation, endpoint, keys, attempt),
        SignatureScheme::HmacSha1 => hmac_sha1(operation, endpoint, keys, attempt),
    }
}

/// `Host` as HTTP wants it: the port only where it is not the scheme's own.
fn host(endpoint: &Url) -> String {
    let host = endpoint.host_str().unwrap_or_default();
    endpoint.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn common_headers(operation: &Operation, endpoint: &Url) -> Vec<(String, String)> {
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    vec![
        header("host", &host(endpoint)),
        header("accept", "application/json"),
        header("x-acs-action", operation.action),
        header("x-acs-version", VERSION),
    ]
}

fn with_query(endpoint: &Url, query: &str) -> Secret {
    let mut url = endpoint.clone();
    url.set_query(Some(query));
    Secret::new(url)
}

fn acs3(operation: &Operation, endpoint: &Url, keys: &Keys, attempt: &Attempt) -> Result<Prepared, Invalid> {
    let query = sign::canonical_query(&operation.parameters);
    let mut headers = common_headers(operation, endpoint);
    headers.push(("x-acs-date".to_owned(), crate::clock::rfc3339(attempt.date_ms)));
    headers.push(("x-acs-signature-nonce".to_owned(), attempt.nonce.clone()));
    headers.push(("x-acs-content-sha256".to_owned(), EMPTY_SHA256.to_owned()));
    if let Some(token) = keys.security_token() {
        headers.push(("x-acs-accesskey-id".to_owned(), keys.access_key_id().to_owned()));
        headers.push(("x-acs-security-token".to_owned(), token.expose().to_owned()));
    }
    let request = Acs3 { method: "POST", path: endpoint.path(), canonical_query: &query, headers: &headers, body: b"" };
    let signed = request.sign(keys.access_key_id(), keys.access_key_secret().expose());
    headers.push(("authorization".to_owned(), signed.authorization));
    Ok(Prepared {
        url: with_query(endpoint, &query),
        headers: header_map(&headers)?,
        signed: Secret::new(format!("{}\n{}", signed.string_to_sign, signed.canonical_request)),
    })
}

fn hmac_sha1(operation: &Operation, endpoint: &Url, keys: &Keys, attempt: &Attempt) -> Result<Prepared, Invalid> {
    let date = crate::clock::rfc3339(attempt.date_ms);
    let mut parameters: Vec<(&str, &str)> = operation.parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
    parameters.extend([
        ("Action", operation.action),
        ("Version", VERSION),
        ("Format", "JSON"),
        ("AccessKeyId", keys.access_key_id()),
        ("SignatureMethod", "HMAC-SHA1"),
        ("SignatureVersion", "1.0"),
        ("SignatureNonce", &attempt.nonce),
        ("Timestamp", &date),
    ]);
    parameters.extend(keys.security_token().map(|token| ("SecurityToken", token.expose())));
    let query = sign::canonical_query(&parameters);
    let string_to_sign = sign::hmac_sha1_string_to_sign("POST", &query);
    let signature = sign::hmac_sha1_signature(keys.access_key_secret().expose(), &string_to_sign);
    Ok(Prepared {
        url: with_query(endpoint, &format!("{query}&Signature={}", sign::encode(&signature))),
        headers: header_map(&common_headers(operation, endpoint))?,
        signed: Secret::new(string_to_sign),
    })
}

fn header_map(headers: &[(String, String)]) -> Result<HeaderMap, Invalid> {
    let mut map = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        let name = HeaderName::try_from(name).map_err(|_| Invalid::Header("a name"))?;
        let mut value = HeaderValue::try_from(value).map_err(|_| Invalid::Header("a value"))?;
        value.set_sensitive(matches!(name.as_str(), "authorization" | "x-acs-security-token"));
        map.insert(name, value);
    }
    Ok(map)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::{SignalStatus, UniqueId, client_token};

    fn target() -> Target {
        Target { region: "cn-hangzhou".into(), stack_id: "4a6c9851-3b0f-4f5f-b4ca-a14bf6911234".into(), resource: "WebServerHandle".into() }
    }

    fn request(target: Target) -> SignalRequest {
        let unique_id = UniqueId::new("i-bp1a2b3c4d5e6f7g8h9i").unwrap();
        let client_token = client_token(&target, &unique_id, SignalStatus::Success, 0);
        SignalRequest { target, status: SignalStatus::Success, unique_id, client_token }
    }

    fn refused(change: impl Fn(&mut Target)) -> String {
        let mut target = target();
        change(&mut target);
        Operation::signal(&request(target)).unwrap_err().to_string()
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
        let operation = Operation::signal(&request(target())).unwrap();
        let names: Vec<_> = operation.parameters.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["RegionId", "StackId", "LogicalResourceId", "Status", "UniqueId", "ClientToken"]);
        let names: Vec<_> = Operation::get_stack(&target()).unwrap().parameters.into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["RegionId", "StackId", "OutputOption", "LogOption"]);
    }

    #[test]
    fn a_prepared_request_shows_no_secret() {
        let keys = Keys::for_tests("AKID", "made-up-secret", Some("made-up-token"));
        let attempt = Attempt { nonce: "n0".into(), date_ms: 1_767_323_045_000 };
        let operation = Operation::signal(&request(target())).unwrap();
        let endpoint = Url::parse("http://127.0.0.1:8080").unwrap();
        for scheme in [SignatureScheme::Acs3HmacSha256, SignatureScheme::HmacSha1] {
            let shown = format!("{:?}", prepare(&operation, scheme, &endpoint, &keys, &attempt).unwrap());
            assert!(!shown.contains("made-up") && !shown.contains("Signature="), "{shown}");
        }
    }

    #[test]
    fn the_signed_host_has_the_port_only_where_http_has_it() {
        for (url, expected) in [
            ("https://ros.aliyuncs.com", "ros.aliyuncs.com"),
            ("https://ros.aliyuncs.com:443", "ros.aliyuncs.com"),
            ("http://[::1]:8080", "[::1]:8080"),
        ] {
            assert_eq!(host(&Url::parse(url).unwrap()), expected);
        }
    }
}
