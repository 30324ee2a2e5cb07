//! Verification of both signature schemes of Alibaba Cloud, written from the pages and sharing nothing with the agent.
//!
//! - ACS3-HMAC-SHA256 ("V3", page 2593177): `Authorization: ACS3-HMAC-SHA256 Credential=..,SignedHeaders=..,Signature=..`
//! - HMAC-SHA1 ("V2", `SignatureVersion=1.0`, page 157269): everything in the parameters, of the query or of a form body
//!
//! Pure: a request goes in, a [`Claim`] or a [`Refusal`] comes out; clock, keys and nonces are judged in `gate.rs`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use ring::{digest, hmac};
use serde::Serialize;

use crate::clock::{Moment, parse_zulu};
use crate::refusal::Refusal;
use crate::request::Request;
use crate::secret::Secret;

/// Unreserved characters of RFC 3986, which both schemes leave alone.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// What takes the place of a security token in anything that is printed.
pub(crate) const MASK: &str = "***";

/// The signature scheme of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Scheme {
    /// `ACS3-HMAC-SHA256`
    #[serde(rename = "ACS3-HMAC-SHA256")]
    Acs3HmacSha256,
    /// `HMAC-SHA1`
    #[serde(rename = "HMAC-SHA1")]
    HmacSha1,
    /// V2 of SMQ: `MNS ID:...`
    #[serde(rename = "MNS")]
    MnsHmacSha1,
    /// V4 of SMQ: `MNS4-HMAC-SHA256`
    #[serde(rename = "MNS4-HMAC-SHA256")]
    Mns4HmacSha256,
}

/// What a request says about itself, before any of it is believed.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) scheme: Scheme,
    pub(crate) access_key_id: String,
    pub(crate) security_token: Option<Secret>,
    pub(crate) at: Moment,
    pub(crate) nonce: String,
    signature: Secret,
    signed_headers: Vec<String>,
}

/// Reads who the request says it is from.
pub(crate) fn claim(request: &Request) -> Result<Claim, Refusal> {
    match request.header("authorization") {
        Some(authorization) => claim_acs3(request, &authorization),
        None if request.parameter("Signature").is_some() || request.parameter("SignatureMethod").is_some() => claim_sha1(request),
        None => Err(Refusal::missing_parameter("Signature")),
    }
}

/// Checks the signature of a claim with the secret of its key.
pub(crate) fn verify(request: &Request, claim: &Claim, secret: &Secret) -> Result<(), Refusal> {
    let matches = match claim.scheme {
        Scheme::Acs3HmacSha256 => {
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret.reveal().as_bytes());
            let text = acs3_string_to_sign(request, &claim.signed_headers);
            from_hex(claim.signature.reveal()).is_some_and(|tag| hmac::verify(&key, text.as_bytes(), &tag).is_ok())
        }
        Scheme::HmacSha1 => {
            let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, format!("{}&", secret.reveal()).as_bytes());
            let text = sha1_string_to_sign(request, None);
            let tag = STANDARD.decode(claim.signature.reveal());
            tag.is_ok_and(|tag| hmac::verify(&key, text.as_bytes(), &tag).is_ok())
        }
        // Claimed and verified in the room of SMQ.
        Scheme::MnsHmacSha1 | Scheme::Mns4HmacSha256 => false,
    };
    if matches {
        return Ok(());
    }
    let signed = match claim.scheme {
        Scheme::Acs3HmacSha256 => acs3_string_to_sign(request, &claim.signed_headers),
        _ => sha1_string_to_sign(request, Some(MASK)),
    };
    let message = format!("Specified signature is not matched with our calculation. server string to sign is:{signed}");
    Err(Refusal::bad_request("SignatureDoesNotMatch", message))
}

fn claim_acs3(request: &Request, authorization: &str) -> Result<Claim, Refusal> {
    let incomplete = |why: &str| {
        Refusal::bad_request("IncompleteSignature", format!("The request signature does not conform to Alibaba Cloud standards: {why}."))
    };
    let fields = authorization.strip_prefix("ACS3-HMAC-SHA256 ").ok_or_else(|| {
        Refusal::bad_request("InvalidSignatureMethod", "The specified signature method is not supported, ACS3-HMAC-SHA256 is.")
    })?;
    let field = |name: &str| {
        let found = fields.split(',').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
        found.ok_or_else(|| incomplete(&format!("Authorization has no {name}")))
    };
    let signed_headers: Vec<String> = field("SignedHeaders")?.split(';').map(str::to_owned).collect();
    check_signed_headers(request, &signed_headers).map_err(|why| incomplete(&why))?;
    let body_hash = hex(digest::digest(&digest::SHA256, &request.body).as_ref());
    let claimed_hash = request.header("x-acs-content-sha256").ok_or_else(|| incomplete("x-acs-content-sha256 is missing"))?;
    if claimed_hash != body_hash {
        return Err(incomplete("x-acs-content-sha256 is not the hash of the body"));
    }
    Ok(Claim {
        scheme: Scheme::Acs3HmacSha256,
        access_key_id: field("Credential")?.to_owned(),
        security_token: request.header("x-acs-security-token").map(Secret::new),
        at: timestamp(request.header("x-acs-date").as_deref(), "x-acs-date")?,
        nonce: nonce(request.header("x-acs-signature-nonce"), "x-acs-signature-nonce")?,
        signature: Secret::new(field("Signature")?),
        signed_headers,
    })
}

/// The page demands `host`, `content-type` and every `x-acs-*` header in the signature, sorted and in lower case.
fn check_signed_headers(request: &Request, signed: &[String]) -> Result<(), String> {
    if !signed.is_sorted() {
        return Err("SignedHeaders is not sorted".to_owned());
    }
    if let Some(name) = signed.iter().find(|name| request.header(name).is_none()) {
        let name: String = name.chars().take(100).collect();
        return Err(format!("SignedHeaders names '{name}', which the request does not have"));
    }
    let must = |name: &str| name == "host" || name == "content-type" || name.starts_with("x-acs-");
    let unsigned = request.headers.iter().find(|(name, _)| must(name) && !signed.contains(name));
    match unsigned {
        Some((name, _)) => Err(format!("header {name} is not signed")),
        None if !signed.iter().any(|name| name == "host") => Err("header host is not signed".to_owned()),
        None => Ok(()),
    }
}

fn claim_sha1(request: &Request) -> Result<Claim, Refusal> {
    let need = |name: &str| request.parameter(name).ok_or_else(|| Refusal::missing_parameter(name));
    let method = need("SignatureMethod")?;
    if method != "HMAC-SHA1" {
        return Err(Refusal::bad_request("InvalidSignatureMethod", "The specified signature method is not supported, HMAC-SHA1 is."));
    }
    if need("SignatureVersion")? != "1.0" {
        return Err(Refusal::invalid_parameter("SignatureVersion", "it must be 1.0"));
    }
    Ok(Claim {
        scheme: Scheme::HmacSha1,
        access_key_id: need("AccessKeyId")?.to_owned(),
        security_token: request.parameter("SecurityToken").map(Secret::from),
        at: timestamp(request.parameter("Timestamp"), "Timestamp")?,
        nonce: nonce(request.parameter("SignatureNonce").map(str::to_owned), "SignatureNonce")?,
        signature: Secret::from(need("Signature")?),
        signed_headers: Vec::new(),
    })
}

fn timestamp(text: Option<&str>, name: &str) -> Result<Moment, Refusal> {
    let text = text.ok_or_else(|| Refusal::bad_request("IllegalTimestamp", format!("{name} is missing.")))?;
    parse_zulu(text).ok_or_else(|| {
        let message = format!("Specified {name} is not in the format YYYY-MM-DDThh:mm:ssZ.");
        Refusal::bad_request("InvalidTimeStamp.Format", message)
    })
}

fn nonce(text: Option<String>, name: &str) -> Result<String, Refusal> {
    match text {
        Some(text) if text.is_empty() || text.len() > 128 => Err(Refusal::invalid_parameter(name, "it must have 1 to 128 characters")),
        Some(text) => Ok(text),
        None => Err(Refusal::missing_parameter(name)),
    }
}

fn acs3_string_to_sign(request: &Request, signed_headers: &[String]) -> String {
    let headers: String = signed_headers.iter().map(|name| format!("{name}:{}\n", request.header(name).unwrap_or_default())).collect();
    let canonical = [
        request.method.as_str(),
        request.path.as_str(),
        &canonical_query(request.query.iter()),
        &headers,
        &signed_headers.join(";"),
        &hex(digest::digest(&digest::SHA256, &request.body).as_ref()),
    ]
    .join("\n");
    format!("ACS3-HMAC-SHA256\n{}", hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref()))
}

/// `mask` replaces the security token, for printing.
fn sha1_string_to_sign(request: &Request, mask: Option<&str>) -> String {
    let parameters: Vec<(String, String)> = request
        .parameters()
        .filter(|(name, _)| name != "Signature")
        .map(|(name, value)| match mask {
            Some(mask) if name == "SecurityToken" => (name.clone(), mask.to_owned()),
            _ => (name.clone(), value.clone()),
        })
        .collect();
    format!("{}&{}&{}", request.method, encode("/"), encode(&canonical_query(parameters.iter())))
}

fn canonical_query<'a>(parameters: impl Iterator<Item = &'a (String, String)>) -> String {
    let mut parameters: Vec<&(String, String)> = parameters.collect();
    parameters.sort();
    let pairs: Vec<String> = parameters.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    pairs.join("&")
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Lower-case hexadecimal only, as both pages print it.
fn from_hex(text: &str) -> Option<Vec<u8>> {
    let nibble = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(nibble(*high)? << 4 | nibble(*low)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{Service, WireScheme};
    use serde_json::Value;

    fn vectors(scheme: &str) -> Vec<Value> {
        let text = include_str!("../tests/fixtures/signature-vectors.json");
        let all: Value = serde_json::from_str(text).unwrap();
        all[scheme].as_array().unwrap().clone()
    }

    fn text(value: &Value, key: &str) -> String {
        value[key].as_str().unwrap().to_owned()
    }

    fn pairs(value: &Value) -> Vec<(String, String)> {
        let map = value.as_object().unwrap();
        map.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect()
    }

    fn request(method: String, path_and_query: &str, headers: Vec<(String, String)>, body: String) -> Request {
        Request::new(Service::Ros, WireScheme::Http, method, path_and_query, headers, body.into_bytes().into())
    }

    #[test]
    fn every_hmac_sha1_vector_passes_and_only_with_its_own_secret() {
        let vectors = vectors("v1_hmac_sha1");
        assert_eq!(vectors.len(), 13);
        for vector in vectors {
            let body = vector.get("form_body").and_then(Value::as_str).unwrap_or_default().to_owned();
            let mut query = text(&vector, "signed_query_string");
            let mut headers = Vec::new();
            if !body.is_empty() {
                let in_query = pairs(&vector["query_params"]);
                query = in_query.iter().map(|(k, v)| format!("{}={}&", encode(k), encode(v))).collect();
                query += &format!("Signature={}", text(&vector, "signature_percent_encoded"));
                headers.push(("content-type".to_owned(), "application/x-www-form-urlencoded".to_owned()));
            }
            let request = request(text(&vector, "method"), &format!("/?{query}"), headers, body);
            assert_eq!(sha1_string_to_sign(&request, None), text(&vector, "string_to_sign"), "{}", vector["name"]);
            let claim = claim(&request).unwrap();
            verify(&request, &claim, &Secret::new(text(&vector, "access_key_secret"))).unwrap();
            let refusal = verify(&request, &claim, &Secret::from("another")).unwrap_err();
            assert_eq!(refusal.code, "SignatureDoesNotMatch");
        }
    }

    #[test]
    fn every_acs3_vector_passes_and_only_with_its_own_secret() {
        let vectors = vectors("v3_acs3_hmac_sha256");
        assert_eq!(vectors.len(), 11);
        for vector in vectors {
            let mut headers = pairs(&vector["headers"]);
            headers.push(("authorization".to_owned(), text(&vector, "authorization")));
            let target = format!("{}?{}", text(&vector, "canonical_uri"), text(&vector, "canonical_query"));
            let request = request(text(&vector, "method"), &target, headers, text(&vector, "payload"));
            let claim = claim(&request).unwrap();
            let signed = acs3_string_to_sign(&request, &claim.signed_headers);
            assert_eq!(signed, text(&vector, "string_to_sign"), "{}", vector["name"]);
            verify(&request, &claim, &Secret::new(text(&vector, "access_key_secret"))).unwrap();
            let refusal = verify(&request, &claim, &Secret::from("another")).unwrap_err();
            assert_eq!(refusal.code, "SignatureDoesNotMatch");
        }
    }

    #[test]
    fn a_changed_parameter_breaks_either_signature() {
        let sha1 = &vectors("v1_hmac_sha1")[0];
        let query = text(sha1, "signed_query_string").replace("Status=SUCCESS", "Status=FAILURE");
        let request_sha1 = request("POST".to_owned(), &format!("/?{query}"), Vec::new(), String::new());
        let claimed = claim(&request_sha1).unwrap();
        assert!(verify(&request_sha1, &claimed, &Secret::new(text(sha1, "access_key_secret"))).is_err());

        let acs3 = &vectors("v3_acs3_hmac_sha256")[0];
        let mut headers = pairs(&acs3["headers"]);
        headers.push(("authorization".to_owned(), text(acs3, "authorization")));
        let query = text(acs3, "canonical_query").replace("Status=SUCCESS", "Status=FAILURE");
        let request_acs3 = request("POST".to_owned(), &format!("/?{query}"), headers, String::new());
        let claimed = claim(&request_acs3).unwrap();
        assert!(verify(&request_acs3, &claimed, &Secret::new(text(acs3, "access_key_secret"))).is_err());
    }

    #[test]
    fn the_printed_string_to_sign_hides_the_security_token() {
        let vector = vectors("v1_hmac_sha1").into_iter().find(|v| v["name"] == "basic_sts").unwrap();
        let target = format!("/?{}", text(&vector, "signed_query_string"));
        let request = request("POST".to_owned(), &target, Vec::new(), String::new());
        let claim = claim(&request).unwrap();
        let refusal = verify(&request, &claim, &Secret::from("another")).unwrap_err();
        assert!(refusal.message.contains("SecurityToken%3D%252A%252A%252A"), "{}", refusal.message);
        assert!(!refusal.message.contains("CAIS"), "{}", refusal.message);
    }
}
