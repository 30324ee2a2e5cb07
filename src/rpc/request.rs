//! What is sent: operations with checked parameters, and the request of one attempt with its nonce, date and signature.
//!
//! All parameters travel in the query string of a POST without a body, as the vendor's SDK sends them. The vendor's SDK checks
//! nothing before it sends; this room does, so that a wrong value is told by its name and not by an error code of the service.

use super::sign::{self, Acs3};
use crate::credentials::Keys;
use crate::plan::SignatureScheme;
use crate::secret::Secret;
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Why a request is not sent: the service would not take it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Invalid {
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

/// A service with this style of interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// Resource Orchestration Service.
    Ros,
    /// Auto Scaling (Elastic Scaling Service).
    Ess,
    /// Security Token Service.
    Sts,
}

impl Service {
    /// `Version` of its API.
    pub(crate) fn version(self) -> &'static str {
        match self {
            Self::Ros => "2019-09-10",
            Self::Ess => "2022-02-22",
            Self::Sts => "2015-04-01",
        }
    }

    /// Its name in RAM actions and ARNs.
    pub(crate) fn ram(self) -> &'static str {
        match self {
            Self::Ros => "ros",
            Self::Ess => "ess",
            Self::Sts => "sts",
        }
    }

    /// Its name for people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ros => "ROS",
            Self::Ess => "Auto Scaling",
            Self::Sts => "STS",
        }
    }
}

/// An operation with its parameters, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Operation {
    /// Whose.
    pub(crate) service: Service,
    /// `Action`.
    pub(crate) action: &'static str,
    /// In no order.
    pub(crate) parameters: Vec<(&'static str, String)>,
    /// What it is done to, as the last part of an ARN: `stack/ID`.
    pub(crate) resource: String,
}

impl Operation {
    /// The value of a parameter.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str())
    }
}

/// Checks the length of a parameter.
///
/// # Errors
/// If it has none, or more than `limit` characters.
pub(crate) fn length(name: &'static str, value: &str, limit: usize) -> Result<(), Invalid> {
    let length = value.chars().count();
    if length == 0 || length > limit {
        return Err(Invalid::Length { name, value: value.chars().take(64).collect(), length, limit });
    }
    Ok(())
}

/// Checks length and characters of a parameter.
///
/// # Errors
/// Which parameter, and what is wrong with it.
pub(crate) fn charset(
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
    /// A form, of what carries its secret there.
    pub(super) form: Option<Secret>,
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
        header("x-acs-version", operation.service.version()),
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
        form: None,
    })
}

fn hmac_sha1(operation: &Operation, endpoint: &Url, keys: &Keys, attempt: &Attempt) -> Result<Prepared, Invalid> {
    let date = crate::clock::rfc3339(attempt.date_ms);
    let mut parameters: Vec<(&str, &str)> = operation.parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
    parameters.extend([
        ("Action", operation.action),
        ("Version", operation.service.version()),
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
        form: None,
    })
}

/// A request of an operation that nobody signs, because `secret`, one more parameter, says who asks. Everything travels in the form, as
/// the vendor's Go SDK sends it, so that the secret is in no URL.
pub(super) fn unsigned(operation: &Operation, endpoint: &Url, secret: (&str, &Secret), attempt: &Attempt) -> Result<Prepared, Invalid> {
    let date = crate::clock::rfc3339(attempt.date_ms);
    let query = [
        ("Action", operation.action),
        ("Version", operation.service.version()),
        ("Format", "JSON"),
        ("SignatureNonce", &attempt.nonce),
        ("Timestamp", &date),
    ];
    let mut form: Vec<(&str, &str)> = operation.parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
    form.push((secret.0, secret.1.expose()));
    let mut headers = common_headers(operation, endpoint);
    headers.push(("content-type".to_owned(), "application/x-www-form-urlencoded".to_owned()));
    Ok(Prepared {
        url: with_query(endpoint, &sign::canonical_query(&query)),
        headers: header_map(&headers)?,
        signed: Secret::default(),
        form: Some(Secret::new(sign::canonical_query(&form))),
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

    fn operation() -> Operation {
        let parameters = vec![("RegionId", "cn-hangzhou".to_owned()), ("StackId", "S".to_owned())];
        Operation { service: Service::Ros, action: "GetStack", parameters, resource: "stack/S".to_owned() }
    }

    #[test]
    fn a_prepared_request_shows_no_secret() {
        let keys = Keys::for_tests("AKID", "made-up-secret", Some("made-up-token"));
        let attempt = Attempt { nonce: "n0".into(), date_ms: 1_767_323_045_000 };
        let endpoint = Url::parse("http://127.0.0.1:8080").unwrap();
        for scheme in [SignatureScheme::Acs3HmacSha256, SignatureScheme::HmacSha1] {
            let shown = format!("{:?}", prepare(&operation(), scheme, &endpoint, &keys, &attempt).unwrap());
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
