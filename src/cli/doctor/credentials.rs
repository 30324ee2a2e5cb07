//! Each provider of credentials, asked in the order in which the agent asks, and what it said. No key is used here.

use super::step::Step;
use crate::clock::rfc3339;
use crate::credentials::{Asked, Cache, Given, Said};
use crate::plan::Provider;
use std::time::Duration;

/// STS alone may take 10 s.
const TIMEOUT: Duration = Duration::from_secs(12);

/// Providers that the environment decides about, which the agent has from its unit.
const OF_THE_UNIT: [&str; 4] = ["environment", "systemd-credential", "oidc-role", "credentials-uri"];

/// Providers whose file is below the home directory, unless it is configured.
const AT_HOME: [&str; 2] = ["cli-profile", "ini-profile"];

pub(super) const CHOICE: &str = "credentials.choice";

/// Asks. Also tells whose credentials they are, for whoever grants something to them.
pub(super) async fn look(cache: &Cache, provider: &Provider) -> (Vec<Step>, Option<String>) {
    let at_home = match provider {
        Provider::Auto => true,
        Provider::CliProfile(profile) | Provider::IniProfile(profile) => profile.file.is_none(),
        _ => false,
    };
    match tokio::time::timeout(TIMEOUT, cache.survey()).await {
        Ok(asked) => (judge(&asked, at_home), holder(&asked)),
        Err(_) => {
            let step = Step::failed(CHOICE, format!("the providers have not answered within {}s", TIMEOUT.as_secs()))
                .remedy("name one as provider under [credentials], so that the others are not asked");
            (vec![step], None)
        }
    }
}

fn holder(asked: &[Asked]) -> Option<String> {
    asked.iter().find_map(|one| match &one.said {
        Said::Gave(given) => Some(format!("{}, access key {}", given.source, given.access_key_id)),
        _ => None,
    })
}

fn judge(asked: &[Asked], at_home: bool) -> Vec<Step> {
    let won = asked.iter().find_map(|one| match &one.said {
        Said::Gave(given) => Some((one, given)),
        _ => None,
    });
    let mut steps: Vec<Step> = asked.iter().map(|one| of_one(one, won.is_some())).collect();
    steps.push(match won {
        Some((one, given)) => choice(one, given, at_home && AT_HOME.contains(&one.kind)),
        None => Step::failed(CHOICE, "no provider gives credentials")
            .because(asked.iter().filter_map(why).collect::<Vec<_>>().join("; "))
            .remedy(
                "best attach a RAM role to the instance (RamRoleName in the template); the steps above say what else each provider wants",
            ),
    });
    steps
}

fn why(asked: &Asked) -> Option<String> {
    match &asked.said {
        Said::Refused { why, .. } => Some(format!("{}: {why}", asked.source)),
        _ => None,
    }
}

fn of_one(asked: &Asked, won: bool) -> Step {
    let name = format!("credentials.{}", asked.kind);
    let step = match &asked.said {
        Said::Gave(given) => Step::ok(name, format!("gives the access key {}{}", given.access_key_id, kind(given))).took(asked.took),
        // A provider that is passed over is how the chain is meant.
        Said::Refused { why, hint: _ } if won => Step::skipped(name, format!("passed over: {why}")),
        Said::Refused { why, hint } if OF_THE_UNIT.contains(&asked.kind) => Step::warning(name, why.clone())
            .because("this is about the environment of this shell; an agent that is a unit has that of its unit")
            .perhaps(hint.clone()),
        Said::Refused { why, hint } => Step::warning(name, why.clone()).perhaps(hint.clone()),
        Said::NotAsked => Step::skipped(name, "not asked, an earlier provider gave credentials"),
    };
    step.about(asked.source.clone())
}

fn kind(given: &Given) -> &'static str {
    if given.temporary { ", temporary" } else { ", permanent" }
}

fn choice(asked: &Asked, given: &Given, at_home: bool) -> Step {
    let ends = match (given.expires_ms, given.left_ms) {
        (Some(at), Some(left)) if left <= 0 => {
            return Step::failed(CHOICE, format!("{}: the credentials ended at {}", given.source, rfc3339(at)))
                .because("whatever renews them has not, or this host's clock is wrong")
                .remedy(format!("renew what {} gives; see the steps of clock", asked.source));
        }
        (Some(at), _) => format!(", until {}", rfc3339(at)),
        (None, _) => String::new(),
    };
    let seen = format!("{}, access key {}{ends}", given.source, given.access_key_id);
    if at_home {
        return Step::warning(CHOICE, seen)
            .because("the file was found by the environment of this shell; an agent that is a unit has another home directory, or none")
            .remedy("write provider and profile_file under [credentials]");
    }
    if given.temporary {
        return Step::ok(CHOICE, seen);
    }
    Step::ok(CHOICE, format!("{seen} (a permanent key; a RAM role of the instance would need none)"))
}

#[cfg(test)]
mod tests {
    use super::super::step::Verdict;
    use super::*;

    fn asked(kind: &'static str, said: Said) -> Asked {
        Asked { kind, source: kind.to_owned(), said, took: Duration::from_millis(3) }
    }

    fn given(left_ms: i64) -> Said {
        Said::Gave(Given {
            access_key_id: "STS.1".to_owned(),
            temporary: true,
            source: "ECS RAM role Web".to_owned(),
            expires_ms: Some(1_767_323_045_000),
            left_ms: Some(left_ms),
        })
    }

    fn refused(hint: Option<&str>) -> Said {
        Said::Refused { why: "not set".to_owned(), hint: hint.map(str::to_owned) }
    }

    #[test]
    fn providers_that_are_passed_over_are_no_trouble() {
        let steps = judge(&[asked("environment", refused(None)), asked("ecs-ram-role", given(60_000)), asked("uri", Said::NotAsked)], true);
        let told: Vec<_> = steps.iter().map(|step| (step.name(), step.verdict())).collect();
        let (ok, skipped) = (Verdict::Ok, Verdict::Skipped);
        assert_eq!(
            told,
            [("credentials.environment", skipped), ("credentials.ecs-ram-role", ok), ("credentials.uri", skipped), (CHOICE, ok)]
        );
        assert_eq!(steps[3].seen(), "ECS RAM role Web, access key STS.1, until 2026-01-02T03:04:05Z");
    }

    #[test]
    fn scenario_15_without_any_credentials_each_provider_says_what_it_wants() {
        let steps = judge(&[asked("environment", refused(None)), asked("ecs-ram-role", refused(Some("attach a role")))], true);
        assert_eq!(steps[1].what_to_do(), Some("attach a role"));
        assert_eq!((steps[2].verdict(), steps[2].cause()), (Verdict::Failed, Some("environment: not set; ecs-ram-role: not set")));
    }

    #[test]
    fn a_profile_that_the_home_of_this_shell_has_may_not_be_that_of_the_agent() {
        let choice = |at_home| judge(&[asked("cli-profile", given(60_000))], at_home).pop().unwrap();
        assert_eq!((choice(true).verdict(), choice(false).verdict()), (Verdict::Warning, Verdict::Ok));
        assert!(choice(true).what_to_do().unwrap().contains("profile_file"));
    }

    #[test]
    fn credentials_that_have_ended_are_none() {
        let steps = judge(&[asked("file", given(-1))], true);
        assert_eq!(
            (steps[1].verdict(), steps[1].seen()),
            (Verdict::Failed, "ECS RAM role Web: the credentials ended at 2026-01-02T03:04:05Z")
        );
    }
}
