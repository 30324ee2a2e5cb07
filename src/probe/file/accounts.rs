//! Users and groups of /etc/passwd and /etc/group, passwd(5) and group(5), read for each look.
//!
//! Accounts of a directory service (LDAP, systemd-userdb) are not in there: for them a check gives the number.

use crate::plan::Account;
use std::io::Read;
use std::path::Path;

/// What is read of each file.
const LIMIT: u64 = 4 * 1024 * 1024;

/// Whose number it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    User,
    Group,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Group => "group",
        }
    }

    fn path(self) -> &'static str {
        match self {
            Self::User => "/etc/passwd",
            Self::Group => "/etc/group",
        }
    }
}

/// In which way `found` is not the expected account; none: it is the one.
///
/// # Errors
/// If the expected name is not known.
pub(super) fn wrong(kind: Kind, expected: &Account, found: u32) -> Result<Option<String>, String> {
    if *expected == Account::Id(found) {
        return Ok(None);
    }
    let path = kind.path();
    let list = read(Path::new(path)).map_err(|error| format!("cannot be compared with {} {expected}: {path}: {error}", kind.word()))?;
    difference(kind, expected, found, &list)
}

fn difference(kind: Kind, expected: &Account, found: u32, list: &str) -> Result<Option<String>, String> {
    let (word, path) = (kind.word(), kind.path());
    let expected_id = match expected {
        Account::Id(id) => *id,
        Account::Name(name) => {
            let id = entries(list).find_map(|(entry, id)| (entry == name).then_some(id));
            id.ok_or_else(|| {
                format!("cannot be compared with {word} {name}: it is not in {path}; give the number of a {word} of a directory service")
            })?
        }
    };
    if expected_id == found {
        return Ok(None);
    }
    let name = entries(list).find_map(|(entry, id)| (id == found).then_some(entry));
    let name = name.map_or_else(|| found.to_string(), crate::probe::text::one_line);
    Ok(Some(format!("belongs to {word} {name}, expected {expected}")))
}

/// Names and numbers; lines that are none are passed over.
fn entries(list: &str) -> impl Iterator<Item = (&str, u32)> {
    list.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, id) = (fields.next()?, fields.nth(1)?);
        Some((name, id.parse().ok()?))
    })
}

fn read(path: &Path) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(LIMIT).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "root:x:0:0:root:/root:/bin/sh\n\n# note\nbroken\nalso:broken\nwww-data:x:33:33::/:/bin/false\nhuge:x:99999999999:1::\nevil\x1b[2J:x:666:1::\n";

    fn told(expected: &Account, found: u32) -> Result<Option<String>, String> {
        difference(Kind::User, expected, found, LIST)
    }

    #[test]
    fn names_and_numbers_are_compared_and_the_difference_is_said_with_names() {
        let name = |name: &str| Account::Name(name.to_owned());
        assert_eq!(told(&name("www-data"), 33), Ok(None));
        assert_eq!(told(&name("www-data"), 0), Ok(Some("belongs to user root, expected www-data".to_owned())));
        assert_eq!(told(&name("root"), 7), Ok(Some("belongs to user 7, expected root".to_owned())));
        assert_eq!(told(&Account::Id(12), 33), Ok(Some("belongs to user www-data, expected 12".to_owned())));
        assert_eq!(told(&name("root"), 666), Ok(Some("belongs to user evil\\x1b[2J, expected root".to_owned())));
        for unknown in ["nobody-here", "huge", "broken", ""] {
            let trouble = told(&name(unknown), 0).unwrap_err();
            assert!(trouble.contains("is not in /etc/passwd; give the number"), "{trouble}");
        }
    }
}
