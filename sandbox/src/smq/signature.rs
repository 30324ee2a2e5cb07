//! Verification of both signatures of SMQ, written from the pages and vectors and sharing nothing with the agent.
//!
//! - V2, the default everywhere: `Authorization: MNS ID:base64(HMAC-SHA1)` over the request as it was sent
//! - V4, of the newest SDK: `Authorization: MNS4-HMAC-SHA256 Credential=ID/DATE/REGION/mns/aliyun_v4_request,Signature=hex`
//!
//! Neither signs the host, the body or the token; both take their time from `Date`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use ring::hmac;
use time::macros::format_description;

use crate::clock::{Moment, parse_http_date};
use crate::refusal::Refusal;
use crate::request::Request;
use crate::secret::Secret;
use crate::signature::Scheme;

/// Unreserved characters of RFC 3986.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The path's slashes stay.
const PATH_ENCODED: &AsciiSet = &ENCODED.remove(b'/');

/// What a request says about itself, before any of it is believed.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) scheme: Scheme,
    pub(crate) access_key_id: String,
    pub(crate) security_token: Option<Secret>,
    pub(crate) at: Moment,
    /// V4: `DATE/REGION/mns/aliyun_v4_request`.
    scope: String,
    signature: Secret,
}

/// The scheme of the header `Authorization`.
pub(crate) fn scheme(authorization: &str) -> Option<Scheme> {
    if authorization.starts_with("MNS4-HMAC-SHA256 ") {
        return Some(Scheme::Mns4HmacSha256);
    }
    authorization.starts_with("MNS ").then_some(Scheme::MnsHmacSha1)
}

/// Reads who the request says it is from.
pub(crate) fn claim(request: &Request) -> Result<Claim, Refusal> {
    let header = request.header("authorization");
    let header = header.ok_or_else(|| Refusal::bad_request("MissingAuthorizationHeader", "The Authorization header is missing."))?;
    let malformed = || Refusal::bad_request("InvalidAuthorizationHeader", "The Authorization header is not valid.");
    let scheme = scheme(&header).ok_or_else(malformed)?;
    let (_, fields) = header.split_once(' ').ok_or_else(malformed)?;
    let (access_key_id, scope, signature) = match scheme {
        Scheme::Mns4HmacSha256 => {
            let field = |name: &str| fields.split(',').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
            let (id, scope) = field("Credential").and_then(|credential| credential.split_once('/')).ok_or_else(malformed)?;
            (id, scope, field("Signature").ok_or_else(malformed)?)
        }
        _ => {
            let (id, signature) = fields.split_once(':').ok_or_else(malformed)?;
            (id, "", signature)
        }
    };
    let date = request.header("date").ok_or_else(|| Refusal::bad_request("MissingDateHeader", "The Date header is missing."))?;
    let at = parse_http_date(&date);
    Ok(Claim {
        scheme,
        access_key_id: access_key_id.to_owned(),
        security_token: request.header("security-token").map(Secret::new),
        at: at.ok_or_else(|| Refusal::bad_request("InvalidDateHeader", "The Date header is not in the format of RFC 1123."))?,
        scope: scope.to_owned(),
        signature: Secret::new(signature),
    })
}

/// Checks the signature of a claim with the secret of its key.
pub(crate) fn verify(request: &Request, claim: &Claim, secret: &Secret) -> Result<(), Refusal> {
    let expected = match claim.scheme {
        Scheme::Mns4HmacSha256 => sign_v4(request, claim, secret)?,
        _ => sign_v2(request, secret),
    };
    if expected == claim.signature.reveal() {
        return Ok(());
    }
    Err(Refusal::new(403, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided."))
}

fn sign_v2(request: &Request, secret: &Secret) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.reveal().as_bytes());
    STANDARD.encode(hmac::sign(&key, v2_text(request).as_bytes()))
}

fn v2_text(request: &Request) -> String {
    let header = |name: &str| request.header(name).unwrap_or_default();
    let head = [request.method.as_str(), &header("content-md5"), &header("content-type"), &header("date")].join("\n");
    format!("{head}\n{}{}", headers(request, |name| name.starts_with("x-mns-")), request.target)
}

/// Headers that are signed, in their order.
fn headers(request: &Request, signed: impl Fn(&str) -> bool) -> String {
    let mut names: Vec<&str> = request.headers.iter().map(|(name, _)| name.as_str()).filter(|name| signed(name)).collect();
    names.sort_unstable();
    names.dedup();
    names.iter().map(|name| format!("{name}:{}\n", request.header(name).unwrap_or_default())).collect()
}

fn sign_v4(request: &Request, claim: &Claim, secret: &Secret) -> Result<String, Refusal> {
    let malformed = || Refusal::bad_request("InvalidAuthorizationHeader", "The credential scope of the Authorization header is not valid.");
    let [date, region, "mns", "aliyun_v4_request"] = claim.scope.split('/').collect::<Vec<_>>()[..] else {
        return Err(malformed());
    };
    let stamp = claim.at.format(format_description!("[year][month][day]T[hour][minute][second]Z")).unwrap_or_default();
    if region.is_empty() || !stamp.starts_with(date) || date.len() != 8 {
        return Err(malformed());
    }
    let first = format!("aliyun_v4{}", secret.reveal());
    let steps = [date, region, "mns", "aliyun_v4_request"];
    let key = steps.iter().fold(first.into_bytes(), |key, step| hmac_sha256(&key, step.as_bytes()));
    let text = format!("MNS4-HMAC-SHA256\n{stamp}\n{}\n{}", claim.scope, v4_canonical(request));
    Ok(hmac_sha256(&key, text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect())
}

fn v4_canonical(request: &Request) -> String {
    let path = percent_decode_str(&request.path).decode_utf8_lossy();
    let encode = |text: &str| utf8_percent_encode(text.trim(), ENCODED).to_string();
    let mut parameters: Vec<(String, String)> =
        request.query.iter().map(|(name, value)| (encode(&name.to_lowercase()), encode(value))).collect();
    parameters.sort();
    let pair = |(name, value): &(String, String)| if value.is_empty() { name.clone() } else { format!("{name}={value}") };
    let query: Vec<String> = parameters.iter().map(pair).collect();
    let signed = |name: &str| name == "content-type" || name == "content-md5" || name.starts_with("x-mns-");
    [request.method.as_str(), &utf8_percent_encode(&path, PATH_ENCODED).to_string(), &query.join("&"), &headers(request, signed)].join("\n")
        + "\n"
}

fn hmac_sha256(key: &[u8], text: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::http_date;
    use crate::request::{Service, WireScheme};
    use serde_json::Value;

    fn fixture() -> Value {
        serde_json::from_str(include_str!("../../tests/fixtures/smq-signature-vectors.json")).unwrap()
    }

    fn text<'a>(value: &'a Value, key: &str) -> &'a str {
        value[key].as_str().unwrap_or_else(|| panic!("{key} of {value}"))
    }

    fn request(method: &str, target: &str, headers: Vec<(String, String)>) -> Request {
        let headers = headers.into_iter().map(|(name, value)| (name.to_lowercase(), value)).collect();
        Request::new(Service::Smq, WireScheme::Http, method.to_owned(), target, headers, Vec::new().into())
    }

    fn pairs(list: &Value) -> Vec<(String, String)> {
        let list = list.as_array().unwrap();
        list.iter().map(|pair| (pair[0].as_str().unwrap().to_owned(), pair[1].as_str().unwrap().to_owned())).collect()
    }

    /// Passes with its own secret, and with no other.
    fn holds(request: &Request, secret: &str, name: &str) {
        let claim = claim(request).unwrap_or_else(|refusal| panic!("{name}: {refusal:?}"));
        verify(request, &claim, &Secret::from(secret)).unwrap_or_else(|refusal| panic!("{name}: {refusal:?}"));
        let refusal = verify(request, &claim, &Secret::from("another")).unwrap_err();
        assert_eq!(refusal.code, "SignatureDoesNotMatch", "{name}");
    }

    #[test]
    fn every_vector_of_the_official_python_sdk_passes_and_only_with_its_own_secret() {
        let fixture = fixture();
        let vectors = fixture["vectors"].as_array().unwrap();
        assert!(vectors.len() >= 10, "{}", vectors.len());
        for vector in vectors {
            let headers = vector["headers"].as_object().unwrap();
            let headers = headers.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect();
            let request = request(text(vector, "method"), text(vector, "request_target"), headers);
            assert_eq!(v2_text(&request), text(vector, "string_to_sign"), "{}", vector["name"]);
            holds(&request, text(vector, "access_key_secret"), text(vector, "name"));
        }
    }

    #[test]
    fn every_v2_value_of_the_official_java_sdk_and_of_the_page_is_reproduced() {
        let fixture = fixture();
        let page = &fixture["published_doc_vector"];
        let java = fixture["official_java_sdk_v2_tests"]["vectors"].as_array().unwrap();
        for vector in java.iter().chain([page]) {
            let mut headers =
                vector.get("headers").map(pairs).unwrap_or_else(|| vec![("x-mns-version".to_owned(), "2015-06-06".to_owned())]);
            headers.push(("date".to_owned(), text(vector, "date").to_owned()));
            let request = request(text(vector, "method"), text(vector, "canonicalized_resource"), headers);
            assert_eq!(sign_v2(&request, &Secret::from(text(vector, "access_key_secret"))), text(vector, "signature"));
        }
    }

    #[test]
    fn every_v4_value_is_reproduced() {
        let fixture = fixture();
        let official = fixture["official_java_sdk_v4_tests"]["vectors"].as_array().unwrap();
        let agent = fixture["v4_agent_calls"]["vectors"].as_array().unwrap();
        assert!(official.len() >= 6 && agent.len() >= 3);
        for vector in official.iter().chain(agent) {
            let name = text(vector, "name");
            let mut target = text(vector, "resource_path").to_owned();
            if !target.starts_with('/') {
                target.insert(0, '/');
            }
            for (key, value) in vector.get("parameters").and_then(Value::as_object).into_iter().flatten() {
                let join = if target.contains('?') { '&' } else { '?' };
                target = format!("{target}{join}{key}={}", utf8_percent_encode(value.as_str().unwrap(), ENCODED));
            }
            let mut headers = pairs(&vector["headers"]);
            let format = format_description!("[year][month][day]T[hour][minute][second]Z");
            let at = time::PrimitiveDateTime::parse(text(vector, "request_datetime"), format).unwrap().assume_utc();
            headers.push(("date".to_owned(), http_date(at)));
            headers.push(("authorization".to_owned(), text(vector, "authorization").to_owned()));
            let request = request(text(vector, "method"), &target, headers);
            assert_eq!(v4_canonical(&request), text(vector, "canonical_request"), "{name}");
            holds(&request, text(vector, "access_key_secret"), name);
        }
    }

    #[test]
    fn a_scope_of_another_day_or_product_is_refused() {
        let fixture = fixture();
        let vector = &fixture["v4_agent_calls"]["vectors"][0];
        for (from, to) in [("/mns/", "/oss/"), ("20261122/", "20261121/"), ("/cn-hangzhou/", "//"), ("/aliyun_v4_request", "")] {
            let headers = vec![
                ("date".to_owned(), "Sun, 22 Nov 2026 04:05:06 GMT".to_owned()),
                ("authorization".to_owned(), text(vector, "authorization").replace(from, to)),
            ];
            let request = request("GET", text(vector, "resource_path"), headers);
            let claim = claim(&request).unwrap();
            let refusal = verify(&request, &claim, &Secret::from(text(vector, "access_key_secret"))).unwrap_err();
            assert_eq!(refusal.code, "InvalidAuthorizationHeader", "{to}");
        }
    }

    #[test]
    fn a_request_that_does_not_say_who_it_is_from_is_refused() {
        let date = ("date".to_owned(), "Sun, 22 Nov 2026 04:05:06 GMT".to_owned());
        let by = |value: &str| ("authorization".to_owned(), value.to_owned());
        let cases = [
            (vec![], "MissingAuthorizationHeader"),
            (vec![by("Basic x")], "InvalidAuthorizationHeader"),
            (vec![by("MNS nocolon"), date], "InvalidAuthorizationHeader"),
            (vec![by("MNS a:b")], "MissingDateHeader"),
            (vec![by("MNS a:b"), ("date".to_owned(), "2026-11-22".to_owned())], "InvalidDateHeader"),
        ];
        for (headers, code) in cases {
            assert_eq!(claim(&request("GET", "/queues", headers)).unwrap_err().code, code);
        }
    }
}
