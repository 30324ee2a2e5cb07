//! Profiles of the SDKs: `~/.alibabacloud/credentials.ini` (the Python SDK's place) or `~/.alibabacloud/credentials` (the Go SDK's).
//!
//! ```text
//! [default]
//! type = access_key | ram_role_arn | ecs_ram_role | oidc_role_arn
//! access_key_id = LTAI...
//! access_key_secret = ...        # what follows a # is cut off
//! ```
//!
//! Read as the Python SDK reads it (configparser): `=` or `:`, keys in any case, whole lines of comment with `#` or `;`, an indented line
//! goes on with the value before it, nothing may come twice. Our own few lines, because values are secrets from the first byte on and what
//! is said about a broken line must not quote it.

use super::around::Around;
use super::document;
use super::file::{self, Readers};
use super::oidc::Token;
use super::recipe::{Base, Recipe};
use super::source::Refused;
use super::sts::{Role, RoleSettings};
use crate::plan;
use crate::secret::Secret;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// The values of one section by key.
type Section = Vec<(String, Secret)>;

/// Where the file may be, in order.
pub(super) fn paths(settings: &plan::Profile, around: &Around) -> Vec<PathBuf> {
    match settings.file.as_ref().or(around.ini_file.as_ref()) {
        Some(path) => vec![path.clone()],
        None => around
            .home
            .iter()
            .flat_map(|home| ["credentials.ini", "credentials"].map(|name| home.join(".alibabacloud").join(name)))
            .collect(),
    }
}

/// What the profile comes to, and its name with its type. The first file that has the profile counts.
pub(super) fn recipe(settings: &plan::Profile, around: &Around) -> Result<(Recipe, String), Refused> {
    let name = settings.name.clone().or_else(|| around.profile.clone()).unwrap_or_else(|| "default".to_owned());
    let paths = paths(settings, around);
    if paths.is_empty() {
        return Err(super::source::no_home());
    }
    let mut missed = Vec::new();
    for path in &paths {
        match section(path, &name) {
            Ok(section) => {
                let in_file = |refused: Refused| Refused { why: format!("{}: profile {name}: {}", path.display(), refused.why), ..refused };
                return of_section(&name, &section, settings, around).map_err(in_file);
            }
            Err(why) => missed.push(format!("{}: {why}", path.display())),
        }
    }
    Err(Refused::new(missed.join("; ")))
}

fn section(path: &Path, name: &str) -> Result<Section, String> {
    let text = file::read(path, file::PROFILES_LIMIT, Readers::Few)?;
    let mut sections = parse(&text)?;
    let position = sections.iter().position(|(title, _)| *title == name);
    let position = position.ok_or_else(|| format!("there is no profile {}", crate::transport::clean(name)))?;
    Ok(kept(sections.swap_remove(position).1))
}

fn of_section(name: &str, section: &Section, settings: &plan::Profile, around: &Around) -> Result<(Recipe, String), Refused> {
    let value = |key: &str| section.iter().find(|(own, _)| own == key).map(|(_, value)| value).filter(|value| !value.expose().is_empty());
    let text = |key: &str| value(key).map(|value| value.expose().to_owned());
    let kind = text("type").ok_or_else(|| Refused::new("it has no type"))?;
    let source = format!("ini profile {name} ({kind})");
    let lacks = |what: &str| Refused::new(format!("it has no {what}"));
    let keys = || {
        let id = text("access_key_id").ok_or_else(|| lacks("access_key_id"))?;
        let secret = value("access_key_secret").cloned().ok_or_else(|| lacks("access_key_secret"))?;
        document::keys(&id, secret, None, &source).map(Base::lasting).map_err(Refused::new)
    };
    let role = || -> Result<Role, Refused> {
        let role = RoleSettings {
            arn: text("role_arn"),
            session_name: text("role_session_name"),
            policy: text("policy"),
            ..RoleSettings::default()
        };
        role.complete(&settings.sts, around)
    };
    let (base, roles) = match kind.as_str() {
        "access_key" => (keys()?, Vec::new()),
        "ram_role_arn" => (keys()?, vec![role()?]),
        "ecs_ram_role" => (Base::EcsRamRole(text("role_name")), Vec::new()),
        "oidc_role_arn" => {
            let token = Token::complete(text("oidc_provider_arn"), text("oidc_token_file_path").map(PathBuf::from), around)?;
            (Base::Oidc(token, role()?), Vec::new())
        }
        other => {
            let hint = "supported are access_key, ram_role_arn, ecs_ram_role and oidc_role_arn";
            return Err(Refused::new(format!("type {} is not supported", crate::transport::clean(other))).hinting(hint));
        }
    };
    Ok((Recipe { base, roles }, source))
}

/// A section as it stands in the file: a key, and the pieces of its value line by line.
type Written<'a> = Vec<(String, Vec<&'a str>)>;

/// Sections by their names.
type Sections<'a> = Vec<(&'a str, Written<'a>)>;

/// All sections of a file; what is wrong is told by the number of its line. Takes time in proportion to the text: the file may be a MiB
/// of the shortest lines there are.
fn parse(text: &str) -> Result<Sections<'_>, String> {
    let mut sections = Sections::new();
    let (mut titles, mut keys) = (HashSet::new(), HashSet::new());
    let mut goes_on = false;
    for (line, number) in text.trim_start_matches('\u{feff}').lines().zip(1_usize..) {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        let open = sections.last_mut();
        if goes_on && line.starts_with([' ', '\t']) {
            if let Some((_, value)) = open.and_then(|(_, section)| section.last_mut()) {
                value.push(uncommented(trimmed));
            }
            continue;
        }
        if let Some(title) = trimmed.strip_prefix('[') {
            let title = title.split_once(']').map(|(title, _)| title).ok_or_else(|| format!("line {number} has [ without ]"))?;
            if !titles.insert(title) {
                return Err(format!("line {number} begins a profile that was there before"));
            }
            sections.push((title, Vec::new()));
            keys.clear();
            goes_on = false;
            continue;
        }
        let (_, section) = open.ok_or_else(|| format!("line {number} stands before the first [profile]"))?;
        let (key, value) = trimmed.split_once(['=', ':']).ok_or_else(|| format!("line {number} is not of the form key = value"))?;
        let key = key.trim().to_lowercase();
        if !keys.insert(key.clone()) {
            return Err(format!("line {number} has a key that was there before"));
        }
        section.push((key, vec![uncommented(value)]));
        goes_on = true;
    }
    Ok(sections)
}

/// Its values, from here on as secrets.
fn kept(written: Written<'_>) -> Section {
    written.into_iter().map(|(key, value)| (key, Secret::new(value.join("\n")))).collect()
}

fn uncommented(value: &str) -> &str {
    value.split('#').next().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<(String, Vec<(String, String)>)> {
        let plain = |section: Section| section.into_iter().map(|(key, value)| (key, value.expose().to_owned())).collect();
        parse(text).unwrap().into_iter().map(|(name, written)| (name.to_owned(), plain(kept(written)))).collect()
    }

    #[test]
    fn a_file_is_read_as_the_python_sdk_reads_it() {
        let text = "# a comment\n[default]\n; another\nType = access_key\naccess_key_id:LTAI1 # mine\n\npolicy = {\n  \"Version\": \"1\" \n  }\n[ other ]\nenable = true\n";
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let default = vec![pair("type", "access_key"), pair("access_key_id", "LTAI1"), pair("policy", "{\n\"Version\": \"1\"\n}")];
        assert_eq!(shown(text), [("default".to_owned(), default), (" other ".to_owned(), vec![pair("enable", "true")])]);
    }

    #[test]
    fn what_is_wrong_is_told_by_its_line_and_never_quoted() {
        for (text, line) in [
            ("made-up-secret", "line 1"),
            ("[a]\nmade-up-secret", "line 2"),
            ("[a]\nk = 1\nK = made-up", "line 3"),
            ("[a]\n[a]\n", "line 2"),
            ("[made-up", "line 1"),
        ] {
            let said = parse(text).unwrap_err();
            assert!(said.starts_with(line) && !said.contains("made"), "{said}");
        }
        assert!(parse("").unwrap().is_empty());
    }
}
