//! What the metadata service tells, before it is believed.

use super::{is_account, is_instance_id, is_name, is_region, is_role_name, is_stack_id, is_token};

/// Judges `text` as everything that the service tells. What is taken fits into headers, host names and paths, as the case may be.
pub fn identity(text: &str) {
    if is_region(text)
        && let Ok(url) = reqwest::Url::parse(&format!("https://ros.{text}.aliyuncs.com"))
    {
        assert!(url.host_str().is_some_and(|host| host.ends_with(".aliyuncs.com")) && url.path() == "/", "{text}");
    }
    for id in [is_instance_id, is_stack_id, is_role_name, is_account, is_token] {
        assert!(!id(text) || http::HeaderValue::from_str(text).is_ok(), "{text}");
        assert!(!id(text) || !text.contains(['/', '?', '#', '\n']) || is_token(text), "{text}");
    }
    assert!(!is_name(text) || !text.contains(char::is_control));
}
