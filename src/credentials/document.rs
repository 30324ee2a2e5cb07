//! The JSON documents that hold credentials.
//!
//! ```text
//! a file or systemd credential:   {"access_key_id": "LTAI...", "access_key_secret": "...", "security_token": "...",
//!                                  "expiration": "2026-01-02T09:04:05Z"}       the last two optional
//! the metadata service, a URI:    {"Code": "Success", "AccessKeyId": "STS....", "AccessKeySecret": "...", "SecurityToken": "...",
//!                                  "Expiration": "2026-01-02T09:04:05Z", "LastUpdated": "..."}
//! STS:                            the same without Code
//! a program:                      {"mode": "AK" or "StsToken", "access_key_id": "...", "access_key_secret": "...", "sts_token": "...",
//!                                  "expiration": "2026-01-02T09:04:05Z"}       the last two of AK optional
//! ```
//!
//! What serde_json says about a document is not repeated: it may quote the secret.

use super::Keys;
use crate::secret::Secret;
use serde::{Deserialize, Deserializer};

/// Keys and when they end (milliseconds since 1970).
pub(super) type Parsed = (Keys, Option<i64>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    access_key_id: String,
    #[serde(deserialize_with = "secret")]
    access_key_secret: Secret,
    #[serde(default, deserialize_with = "optional_secret")]
    security_token: Option<Secret>,
    expiration: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Role {
    access_key_id: String,
    #[serde(deserialize_with = "secret")]
    access_key_secret: Secret,
    #[serde(deserialize_with = "secret")]
    security_token: Secret,
    expiration: String,
}

#[derive(Deserialize)]
struct Printed {
    mode: Option<String>,
    access_key_id: String,
    #[serde(deserialize_with = "secret")]
    access_key_secret: Secret,
    #[serde(default, deserialize_with = "optional_secret")]
    sts_token: Option<Secret>,
    expiration: Option<String>,
}

fn secret<'de, D: Deserializer<'de>>(from: D) -> Result<Secret, D::Error> {
    String::deserialize(from).map(Secret::new)
}

fn optional_secret<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Secret>, D::Error> {
    Option::<String>::deserialize(from).map(|text| text.map(Secret::new))
}

/// Reads the document of a file.
pub(super) fn file(text: &str, source: &str) -> Result<Parsed, String> {
    let file: File = json(text)?;
    let expires = file.expiration.as_deref().map(expiration).transpose()?;
    let token = file.security_token.filter(|token| !token.expose().is_empty());
    let keys = keys(&file.access_key_id, file.access_key_secret, token, source)?;
    Ok((keys, expires))
}

/// Reads what a program printed. What it says besides is passed over.
pub(super) fn external(text: &str, source: &str) -> Result<Parsed, String> {
    let printed: Printed = json(text)?;
    let token = printed.sts_token.filter(|token| !token.expose().is_empty());
    if printed.mode.as_deref() == Some("StsToken") && token.is_none() {
        return Err("it says mode StsToken and has no sts_token".to_owned());
    }
    let expires = printed.expiration.as_deref().filter(|text| !text.is_empty()).map(expiration).transpose()?;
    let keys = keys(&printed.access_key_id, printed.access_key_secret, token, source)?;
    Ok((keys, expires))
}

/// Reads the `Credentials` of an answer of STS.
pub(super) fn issued(text: &str, source: &str) -> Result<Parsed, String> {
    let role: Role = json(text)?;
    let expires = expiration(&role.expiration)?;
    let keys = keys(&role.access_key_id, role.access_key_secret, Some(role.security_token), source)?;
    Ok((keys, Some(expires)))
}

/// Reads the document of the metadata service, or of a credentials URI.
pub(super) fn role(text: &str, source: &str) -> Result<Parsed, String> {
    #[derive(Deserialize)]
    struct Code {
        #[serde(rename = "Code")]
        code: String,
    }
    // Without success the other members need not be there.
    let Code { code } = json(text)?;
    if code != "Success" {
        return Err(format!("it says {}", crate::transport::clean(&code)));
    }
    issued(text, source)
}

/// Checks that what goes into headers can go there.
pub(super) fn keys(id: &str, secret: Secret, token: Option<Secret>, source: &str) -> Result<Keys, String> {
    let printable = |text: &str, most: usize| (1..=most).contains(&text.len()) && text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    let id_is_right = printable(id, 128) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
    match () {
        () if !id_is_right => Err("the access key id is empty or has characters that do not belong there".to_owned()),
        () if !printable(secret.expose(), 256) => {
            Err("the access key secret is empty or has characters that do not belong there".to_owned())
        }
        () if token.as_ref().is_some_and(|token| !printable(token.expose(), 8192)) => {
            Err("the security token is empty or has characters that do not belong there".to_owned())
        }
        () => Ok(Keys { access_key_id: id.to_owned(), access_key_secret: secret, security_token: token, source: source.to_owned() }),
    }
}

/// Reads a document. What is wrong with it is told without a word of it.
pub(super) fn json<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        match error.classify() {
            serde_json::error::Category::Eof => format!("the JSON document ends early, at line {line} column {column}"),
            serde_json::error::Category::Data => {
                format!("the JSON document lacks a member or has a wrong one, at line {line} column {column}")
            }
            _ => format!("it is not a JSON document, at line {line} column {column}"),
        }
    })
}

fn expiration(text: &str) -> Result<i64, String> {
    let date = time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339);
    date.map(|date| date.unix_timestamp().saturating_mul(1000)).map_err(|_| "the expiration is not an RFC 3339 date".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_documents_are_read() {
        let (keys, expires) = file(r#"{"access_key_id":"LTAI1","access_key_secret":"s"}"#, "f").unwrap();
        assert_eq!((keys.access_key_id(), keys.security_token().is_some(), expires), ("LTAI1", false, None));
        let text = r#"{"Code":"Success","AccessKeyId":"STS.1","AccessKeySecret":"s","SecurityToken":"t","Expiration":"2026-01-02T03:04:05Z","LastUpdated":"x"}"#;
        let (keys, expires) = role(text, "r").unwrap();
        assert_eq!((keys.access_key_id(), keys.security_token().unwrap().expose(), expires), ("STS.1", "t", Some(1_767_323_045_000)));
    }

    #[test]
    fn scenario_15_every_half_written_document_is_refused_without_a_word_of_it() {
        let whole = r#"{"access_key_id":"LTAI1","access_key_secret":"made-up-secret","security_token":"made-up-token","expiration":"2026-01-02T03:04:05Z"}"#;
        assert!(file(whole, "f").is_ok());
        for end in 0..whole.len() {
            let said = file(&whole[..end], "f").unwrap_err();
            assert!(!said.contains("made"), "{said}");
        }
    }

    #[test]
    fn what_is_said_about_a_wrong_document_never_quotes_it() {
        for text in [
            r#"{"access_key_id":["made-up-secret"],"access_key_secret":"x"}"#,
            r#""made-up-secret""#,
            r#"{"made-up-secret":1}"#,
            r#"{"access_key_id":"made up secret","access_key_secret":"x"}"#,
            r#"{"access_key_id":"LTAI","access_key_secret":"made\nup"}"#,
            r#"{"access_key_id":"LTAI","access_key_secret":"x","expiration":"made-up"}"#,
            r#"{"access_key_id":"LTAI","access_key_secret":""}"#,
            "<html>made-up</html>",
        ] {
            let said = file(text, "f").unwrap_err();
            assert!(!said.contains("made"), "{said}");
        }
        assert!(role(r#"{"Code":"Failed"}"#, "r").unwrap_err().contains("Failed"));
    }
}
