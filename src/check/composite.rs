//! What a composite says, from the committed states of its members. Pure.
//!
//! Enough members passing: passing. Enough satisfied, some of them `warning`: warning. Not enough even if all that are still `initial`
//! came good: critical, and terminal when too many will never pass. Else nothing can be said yet.

use super::{Health, Observation};
use crate::plan::{Composite, Name};

/// How one member stands.
#[derive(Clone, Debug)]
pub struct Member<'a> {
    /// Its name.
    pub name: &'a Name,
    /// Its committed state; none is `initial`.
    pub health: Option<Health>,
    /// [`super::CheckState::will_never_pass`].
    pub never: bool,
}

/// What `composite` says of its members; none: nothing yet.
pub fn judge(composite: &Composite, members: &[Member<'_>]) -> Option<Observation> {
    let needed = composite.needed();
    let count = |wanted: fn(&Member<'_>) -> bool| members.iter().filter(|member| wanted(member)).count();
    let passing = count(|member| member.health == Some(Health::Passing));
    let good = count(|member| member.health.is_some_and(Health::is_good));
    let open = count(|member| member.health.is_none());
    let rule = format!("{needed} of {} needed", composite.of.len());
    if passing >= needed {
        return Some(Observation::new(Health::Passing, format!("{passing} passing, {rule}")));
    }
    if good >= needed {
        let warned = named(members, |member| member.health == Some(Health::Warning));
        return Some(Observation::new(Health::Warning, format!("{good} satisfied, {rule}; warning: {warned}")));
    }
    if good + open >= needed {
        return None;
    }
    let bad = named(members, |member| !member.health.is_some_and(Health::is_good));
    let observation = Observation::new(Health::Critical, format!("{good} satisfied, {rule}; not satisfied: {bad}"));
    let possible = count(|member| !member.never);
    Some(if possible < needed { observation.terminal() } else { observation })
}

/// Up to eight names, and how many more.
fn named(members: &[Member<'_>], wanted: impl Fn(&Member<'_>) -> bool) -> String {
    let names: Vec<&str> = members.iter().filter(|member| wanted(member)).map(|member| &**member.name).collect();
    match names.split_at_checked(8) {
        Some((shown, more)) if !more.is_empty() => format!("{} and {} more", shown.join(", "), more.len()),
        _ => names.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Rule;
    use Health::{Critical, Passing, Unknown, Warning};

    fn say(rule: Rule, states: &[Option<Health>], never: &[usize]) -> Option<(Health, bool, String)> {
        let of: Vec<Name> = (0..states.len()).map(|index| Name::from(format!("m{index}"))).collect();
        let members: Vec<_> = of
            .iter()
            .zip(states)
            .enumerate()
            .map(|(index, (name, health))| Member { name, health: *health, never: never.contains(&index) })
            .collect();
        let composite = Composite { rule, of: of.clone() };
        judge(&composite, &members).map(|said| (said.health, said.terminal, said.message))
    }

    #[test]
    fn all_of_needs_each_and_any_of_needs_one() {
        let half = [Some(Passing), Some(Critical)];
        assert_eq!(say(Rule::All, &half, &[]).unwrap(), (Critical, false, "1 satisfied, 2 of 2 needed; not satisfied: m1".into()));
        assert_eq!(say(Rule::Any, &half, &[]).unwrap(), (Passing, false, "1 passing, 1 of 2 needed".into()));
        assert_eq!(say(Rule::All, &[Some(Passing); 2], &[]).unwrap().0, Passing);
        assert_eq!(say(Rule::Any, &[Some(Critical), Some(Unknown)], &[]).unwrap().0, Critical);
        assert_eq!(say(Rule::AtLeast(2), &[Some(Passing), Some(Passing), Some(Critical)], &[]).unwrap().0, Passing);
    }

    #[test]
    fn a_warning_that_is_needed_is_a_warning_and_one_that_is_not_is_none() {
        assert_eq!(say(Rule::Any, &[Some(Warning), Some(Passing)], &[]).unwrap().0, Passing);
        let said = say(Rule::All, &[Some(Warning), Some(Passing)], &[]).unwrap();
        assert_eq!(said, (Warning, false, "2 satisfied, 2 of 2 needed; warning: m0".into()));
    }

    #[test]
    fn while_members_that_are_initial_may_decide_it_nothing_is_said() {
        assert_eq!(say(Rule::All, &[Some(Passing), None], &[]), None);
        assert_eq!(say(Rule::Any, &[Some(Critical), None], &[]), None);
        assert_eq!(say(Rule::Any, &[Some(Passing), None], &[]).unwrap().0, Passing, "they cannot take it back");
        assert_eq!(say(Rule::All, &[Some(Critical), None], &[]).unwrap().0, Critical, "they cannot save it");
    }

    #[test]
    fn it_will_never_pass_when_too_many_members_will_not() {
        let bad = [Some(Critical), Some(Critical), Some(Critical)];
        assert!(!say(Rule::Any, &bad, &[0, 1]).unwrap().1);
        assert!(say(Rule::Any, &bad, &[0, 1, 2]).unwrap().1);
        assert!(say(Rule::AtLeast(2), &bad, &[0, 1]).unwrap().1);
    }
}
