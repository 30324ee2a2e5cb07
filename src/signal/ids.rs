//! UniqueId and ClientToken: how they are made, and what ROS accepts (SignalResource page: UniqueId 1 to 64 characters,
//! ClientToken 1 to 64 of `A-Za-z0-9-_`).
//!
//! A derived UniqueId never changes, so that a host that lost its ledger signals under the same id. Its encoding is fixed:
//! UUIDv5 (RFC 9562) under [`NAMESPACE`] of the UTF-8 text
//!
//! ```text
//! v1 LF instance id LF stack id LF resource LF signal name [LF round name, for rounds after the first]
//! ```
//!
//! Vector: instance `i-bp1a2b3c4d5e6f7g8h9i`, stack `4a6c9851-3b0f-4f5f-b4ca-a14bf6911234`, resource `WebReady`, signal `web`,
//! first round gives `d26f154e-5b50-5391-a125-3307edb4f237`.

use super::{SignalStatus, Target};
use crate::plan::{NameSource, UniqueIdStrategy};
use serde::{Deserialize, Serialize};
use std::fmt;
use uuid::Uuid;

/// Namespace of derived UniqueIds and of ClientTokens. Never change it.
pub const NAMESPACE: Uuid = Uuid::from_u128(0x6e1f_9c5e_52a7_4d0c_9a5b_3f0d_7c21_84e6);

/// Name of the first round; it does not enter the derived id.
pub const FIRST_ROUND: &str = "first";

/// Why an id cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Not 1 to 64 characters.
    #[error("unique id {0:?} has {1} characters; ROS takes 1 to 64")]
    Length(String, usize),
    /// Control characters.
    #[error("unique id {0:?} has a control character")]
    Control(String),
    /// A placeholder that is not known.
    #[error(
        "unique id template has the unknown placeholder {{{0}}}; known are {{instance_id}}, {{signal}}, {{resource}}, {{stack_id}}, {{region}}"
    )]
    Placeholder(String),
    /// A name that should end with a number and does not.
    #[error("unique_id = \"integer:{}\" needs a number at the end of that name, and it is {name:?}", .source_of.word())]
    NoNumber {
        /// Which name.
        source_of: NameSource,
        /// The name.
        name: String,
    },
    /// A name that the metadata service has not told.
    #[error("unique_id = \"integer:{}\" needs that name, which the metadata service does not tell", .0.word())]
    NoName(NameSource),
    /// An opening brace without its closing one.
    #[error("unique id template {0:?} has an unclosed brace")]
    Unclosed(String),
}

/// An id under which ROS counts a signal once.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UniqueId(String);

impl UniqueId {
    /// Checks `text` against the rules of the SignalResource page.
    ///
    /// # Errors
    /// If it is empty, longer than 64 characters, or has control characters.
    pub fn new(text: impl Into<String>) -> Result<Self, IdError> {
        let text = text.into();
        let length = text.chars().count();
        if length == 0 || length > 64 {
            return Err(IdError::Length(text, length));
        }
        if text.chars().any(char::is_control) {
            return Err(IdError::Control(text));
        }
        Ok(Self(text))
    }

    /// The id as sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for UniqueId {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        Self::new(text)
    }
}

impl From<UniqueId> for String {
    fn from(id: UniqueId) -> Self {
        id.0
    }
}

impl fmt::Display for UniqueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A token under which ROS answers the same request once. Only [`client_token`] makes it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClientToken(String);

impl ClientToken {
    /// The token as sent: 32 hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The UniqueId of a signal in a round.
///
/// `random` is fresh randomness from the caller, used by [`UniqueIdStrategy::Random`] alone.
///
/// # Errors
/// If the expanded id breaks the rules of ROS.
pub fn unique_id(
    strategy: &UniqueIdStrategy,
    instance_id: &str,
    signal: &str,
    round: &str,
    target: &Target,
    random: Uuid,
) -> Result<UniqueId, IdError> {
    match strategy {
        UniqueIdStrategy::Derived => {
            let mut name = format!("v1\n{instance_id}\n{}\n{}\n{signal}", target.stack_id, target.resource);
            if round != FIRST_ROUND {
                name.push('\n');
                name.push_str(round);
            }
            UniqueId::new(Uuid::new_v5(&NAMESPACE, name.as_bytes()).to_string())
        }
        UniqueIdStrategy::Instance => UniqueId::new(instance_id),
        UniqueIdStrategy::Random => UniqueId::new(random.to_string()),
        UniqueIdStrategy::Integer(number) => UniqueId::new(number.to_string()),
        // Of a strategy that `with_name` has not seen.
        UniqueIdStrategy::IntegerOf(source) => Err(IdError::NoName(*source)),
        UniqueIdStrategy::Template(template) => UniqueId::new(expand(template, instance_id, signal, target)?),
    }
}

/// The strategy with the name of this host put in: `integer:instance-name` becomes the integer at the end of the name that `name_of`
/// knows. Others stay as they are.
///
/// # Errors
/// If there is no such name, or no number at its end.
pub fn with_name(strategy: &UniqueIdStrategy, name_of: impl Fn(NameSource) -> Option<String>) -> Result<UniqueIdStrategy, IdError> {
    let UniqueIdStrategy::IntegerOf(source) = strategy else { return Ok(strategy.clone()) };
    let name = name_of(*source).ok_or(IdError::NoName(*source))?;
    let number = number_at_end(&name).ok_or_else(|| IdError::NoNumber { source_of: *source, name: name.clone() })?;
    Ok(UniqueIdStrategy::Integer(number))
}

/// `web-007` has 7. Eighteen digits at most, which ROS's integers surely hold.
fn number_at_end(name: &str) -> Option<u64> {
    let digits = name.len() - name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let number = name.get(name.len() - digits..)?.trim_start_matches('0');
    match (digits, number) {
        (0, _) => None,
        (_, "") => Some(0),
        (_, number) if number.len() <= 18 => number.parse().ok(),
        _ => None,
    }
}

/// Expands the placeholders of a `unique_id` template. With made-up values it also validates one.
///
/// # Errors
/// If a placeholder is unknown or a brace unclosed.
pub fn expand(template: &str, instance_id: &str, signal: &str, target: &Target) -> Result<String, IdError> {
    let mut out = String::with_capacity(64);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let Some((word, tail)) = after.split_once('}') else {
            return Err(IdError::Unclosed(template.to_owned()));
        };
        out.push_str(match word {
            "instance_id" => instance_id,
            "signal" => signal,
            "resource" => &target.resource,
            "stack_id" => &target.stack_id,
            "region" => &target.region,
            _ => return Err(IdError::Placeholder(word.to_owned())),
        });
        rest = tail;
    }
    out.push_str(rest);
    Ok(out)
}

/// The ClientToken of an attempt series: the same for ambiguous attempts, across restarts; another one after each definite rejection.
///
/// UUIDv5 in simple form over target, id, status and series, so that two requests that differ never share a token.
pub fn client_token(target: &Target, id: &UniqueId, status: SignalStatus, series: u32) -> ClientToken {
    let name = format!("token v1\n{}\n{}\n{}\n{id}\n{status}\n{series}", target.region, target.stack_id, target.resource);
    ClientToken(Uuid::new_v5(&NAMESPACE, name.as_bytes()).simple().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> Target {
        Target { region: "cn-hangzhou".into(), stack_id: "4a6c9851-3b0f-4f5f-b4ca-a14bf6911234".into(), resource: "WebReady".into() }
    }

    fn id(strategy: &UniqueIdStrategy, round: &str) -> Result<UniqueId, IdError> {
        unique_id(strategy, "i-bp1a2b3c4d5e6f7g8h9i", "web", round, &target(), Uuid::from_u128(7))
    }

    #[test]
    fn the_documented_vector_never_changes() {
        let first = id(&UniqueIdStrategy::Derived, FIRST_ROUND).unwrap();
        assert_eq!(first.as_str(), "d26f154e-5b50-5391-a125-3307edb4f237");
        let second = id(&UniqueIdStrategy::Derived, "update-2026-01-02T03:04:05").unwrap();
        assert_eq!(second.as_str(), "1ac3bf31-1749-5b9c-ae53-4c5ccaad8f88");
    }

    #[test]
    fn scenario_40_hosts_of_one_group_and_signals_of_one_host_have_ids_of_their_own() {
        let of = |instance: &str, signal: &str| {
            unique_id(&UniqueIdStrategy::Derived, instance, signal, FIRST_ROUND, &target(), Uuid::nil()).unwrap()
        };
        let ids: std::collections::BTreeSet<_> = (0..100).map(|host| of(&format!("i-{host}"), "web").to_string()).collect();
        assert_eq!(ids.len(), 100);
        assert_ne!(of("i-1", "web"), of("i-1", "db"));
        assert_eq!(of("i-1", "web"), of("i-1", "web"), "and keep them");
    }

    #[test]
    fn every_strategy_gives_its_id() {
        assert_eq!(id(&UniqueIdStrategy::Instance, "first").unwrap().as_str(), "i-bp1a2b3c4d5e6f7g8h9i");
        assert_eq!(id(&UniqueIdStrategy::Integer(3), "first").unwrap().as_str(), "3");
        assert_eq!(id(&UniqueIdStrategy::Random, "first").unwrap().as_str(), Uuid::from_u128(7).to_string());
        let template = UniqueIdStrategy::Template("{instance_id}-{signal}".into());
        assert_eq!(id(&template, "first").unwrap().as_str(), "i-bp1a2b3c4d5e6f7g8h9i-web");
    }

    #[test]
    fn scenario_40_the_number_at_the_end_of_a_name_is_an_id_for_each_member_of_a_group() {
        let of = |name: &str| {
            let strategy = with_name(&UniqueIdStrategy::IntegerOf(NameSource::InstanceName), |_| Some(name.to_owned()))?;
            id(&strategy, FIRST_ROUND)
        };
        for (name, number) in [("web-001", "1"), ("web-012", "12"), ("web3", "3"), ("42", "42"), ("x000", "0")] {
            assert_eq!(of(name).unwrap().as_str(), number, "{name}");
        }
        for name in ["web", "web-1a", "", "iZbp1a2b3c4d5eZ", "w1234567890123456789", "web-\u{661}"] {
            assert_eq!(of(name), Err(IdError::NoNumber { source_of: NameSource::InstanceName, name: name.to_owned() }));
        }
        let nameless = with_name(&UniqueIdStrategy::IntegerOf(NameSource::Hostname), |_| None).unwrap_err().to_string();
        assert_eq!(nameless, "unique_id = \"integer:hostname\" needs that name, which the metadata service does not tell");
    }

    #[test]
    fn ids_outside_the_rules_of_ros_are_refused() {
        assert!(matches!(UniqueId::new(""), Err(IdError::Length(_, 0))));
        assert!(matches!(UniqueId::new("x".repeat(65)), Err(IdError::Length(_, 65))));
        assert!(UniqueId::new("界".repeat(64)).is_ok(), "characters count, not bytes");
        assert!(matches!(UniqueId::new("a\nb"), Err(IdError::Control(_))));
        let template = |t: &str| id(&UniqueIdStrategy::Template(t.into()), "first");
        assert!(matches!(template("{host}"), Err(IdError::Placeholder(_))));
        assert!(matches!(template("{signal"), Err(IdError::Unclosed(_))));
        assert!(matches!(template("{stack_id}{stack_id}"), Err(IdError::Length(_, 72))));
    }

    #[test]
    fn tokens_change_with_the_series_and_with_every_parameter() {
        let id = UniqueId::new("a").unwrap();
        let token = client_token(&target(), &id, SignalStatus::Success, 0);
        assert_eq!(token, client_token(&target(), &id, SignalStatus::Success, 0));
        assert_ne!(token, client_token(&target(), &id, SignalStatus::Success, 1));
        assert_ne!(token, client_token(&target(), &id, SignalStatus::Failure, 0));
        let other = Target { resource: "DbReady".into(), ..target() };
        assert_ne!(token, client_token(&other, &id, SignalStatus::Success, 0));
        assert!(token.as_str().len() <= 64 && token.as_str().bytes().all(|b| b.is_ascii_alphanumeric()));
    }
}
