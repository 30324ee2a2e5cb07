//! What hands out keys: documents, profiles of two tools, addresses.

use super::around::Around;
use super::source::Refused;
use super::{Keys, cli_profile, document, ini_profile, sts, uri};
use crate::instance::Metadata;
use crate::plan::Profile;
use crate::secret::Secret;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// Reads `text`, which lies in `path` too, in the way of number `way`.
pub fn credentials(way: u8, text: &str, path: &Path, metadata: &Arc<Metadata>) {
    let around = || Around::new(&HashMap::from([("HOME".to_owned(), "/nonexistent".to_owned())]), metadata);
    let profile = || Profile { file: Some(path.to_owned()), ..Profile::default() };
    let parsed = match way % 8 {
        0 => document::file(text, "the file"),
        1 => document::role(text, "the role"),
        2 => document::issued(text, "STS"),
        3 => document::external(text, "the program"),
        4 => return recipe(cli_profile::recipe(&profile(), &around())),
        5 => return recipe(ini_profile::recipe(&profile(), &around())),
        6 => return address(text, uri::parse(text)),
        _ => return address(text, sts::overridden(text)),
    };
    match parsed {
        Ok((keys, _)) => judge(&keys),
        Err(why) => assert!(why.len() < 512 && !why.contains(char::is_control), "{why}"),
    }
}

impl Keys {
    /// Known ones.
    pub(crate) fn for_fuzzing(id: &str, secret: &str, token: Option<&str>) -> Self {
        let token = token.map(Secret::new);
        Self { access_key_id: id.to_owned(), access_key_secret: Secret::new(secret), security_token: token, source: "fuzz".to_owned() }
    }
}

/// What goes into headers can go there, and nothing of it is shown.
fn judge(keys: &Keys) {
    let secrets = [Some(keys.access_key_secret()), keys.security_token()];
    for secret in secrets.into_iter().flatten().map(Secret::expose) {
        assert!(http::HeaderValue::from_str(secret).is_ok() && secret.len() <= 8192);
        if secret.len() >= 16 && !keys.access_key_id().contains(secret) {
            crate::fuzzing::hides(&format!("{keys:?}"), secret);
        }
    }
    assert!((1..=128).contains(&keys.access_key_id().len()) && http::HeaderValue::from_str(keys.access_key_id()).is_ok());
}

fn recipe(found: Result<(super::Recipe, String), Refused>) {
    match found {
        Ok((recipe, _)) => {
            assert!(recipe.roles.len() <= 17, "chains of profiles end");
            if let super::recipe::Base::Keys((keys, _)) = &recipe.base {
                judge(keys);
            }
        }
        Err(refused) => assert!(!refused.why.is_empty()),
    }
}

/// What is taken as an address is encrypted, or stays in the private network.
fn address(text: &str, found: Result<reqwest::Url, Refused>) {
    if let Ok(url) = found {
        assert!(super::is_kept_private(&url), "{text}");
        assert!(url.username().is_empty() && url.password().is_none(), "{text}");
    }
}
