//! What checks depend on: unknown names, cycles, and everything a check needs.

use super::check::Draft;
use crate::config::forms::Written;
use crate::config::keys::nearest;
use crate::config::reader::{Notes, shorten};
use crate::config::source::Place;
use std::collections::{BTreeMap, BTreeSet};

/// Refuses dependencies on what is not there, and cycles.
pub(super) fn resolve(drafts: &[Draft], notes: &mut Notes) {
    for draft in drafts {
        for needed in needs(draft) {
            is_known(&needed.what, needed.place, drafts, notes);
        }
    }
    for cycle in cycles(drafts) {
        let Some(first) = cycle.first().and_then(|name| drafts.iter().find(|draft| draft.name == *name)) else {
            continue;
        };
        let place = needs(first).find(|needed| cycle.contains(&needed.what.as_str())).map_or(first.header, |needed| needed.place);
        let mut path: Vec<String> = cycle.iter().map(|name| shorten(name)).collect();
        path.extend(cycle.first().map(|name| shorten(name)));
        notes.misfit(place, format!("checks depend on each other: {}", path.join(" -> ")), Some("none of them would ever run".to_owned()));
    }
}

/// What a check cannot be judged without: its dependencies, and its members.
fn needs(draft: &Draft) -> impl Iterator<Item = &Written<String>> {
    draft.depends_on.iter().chain(&draft.members)
}

/// Whether there is an enabled check called `name`; complains if not.
pub(super) fn is_known(name: &str, place: Place, drafts: &[Draft], notes: &mut Notes) -> bool {
    let (message, hint) = match drafts.iter().find(|draft| draft.name == name) {
        Some(draft) if draft.enabled => return true,
        Some(_) => (format!("check `{name}` is not enabled"), Some("remove the name here, or `enabled = false` there".to_owned())),
        None => {
            let names = drafts.iter().filter(|draft| draft.enabled).map(|draft| draft.name.as_str());
            let hint = nearest(name, names).map(|near| format!("did you mean `{near}`?"));
            (format!("there is no check `{name}`"), hint)
        }
    };
    notes.misfit(place, message, hint);
    false
}

/// What runs for a signal, dependencies and members first.
pub(super) struct Selection {
    /// Judged by themselves: the names, and all they depend on.
    pub(super) checks: Vec<String>,
    /// Judged through composites: their members, and what those depend on.
    pub(super) members: Vec<String>,
}

/// What runs for a signal that has `named`, and of `others` (by tag, or because all are meant) those that are not members of a
/// composite which it has too.
pub(super) fn select(named: &[String], others: &[String], drafts: &[Draft]) -> Selection {
    let by_name: BTreeMap<&str, &Draft> = drafts.iter().map(|draft| (draft.name.as_str(), draft)).collect();
    let had = named.iter().chain(others).filter_map(|name| by_name.get(name.as_str()));
    let members: BTreeSet<&str> = had.flat_map(|draft| &draft.members).map(|member| member.what.as_str()).collect();
    let alone = others.iter().map(String::as_str).filter(|name| !members.contains(name));
    let judged: Vec<&str> = named.iter().map(String::as_str).chain(alone).collect();
    let checks = closure(&judged, &by_name, |draft| draft.depends_on.iter().collect());
    let all = closure(&judged, &by_name, |draft| needs(draft).collect());
    let members = all.into_iter().filter(|name| !checks.contains(name)).collect();
    Selection { checks, members }
}

/// `names` and all they need, each once, what is needed first.
fn closure<'a>(
    names: &[&'a str],
    drafts: &BTreeMap<&str, &'a Draft>,
    needs: impl Fn(&'a Draft) -> Vec<&'a Written<String>>,
) -> Vec<String> {
    let mut done = BTreeSet::new();
    let mut ordered = Vec::new();
    // A name is met twice: before and after what it needs.
    let mut stack: Vec<(&str, bool)> = names.iter().rev().map(|name| (*name, false)).collect();
    let mut entered = BTreeSet::new();
    while let Some((name, after)) = stack.pop() {
        if after {
            if done.insert(name) {
                ordered.push(name.to_owned());
            }
            continue;
        }
        if !entered.insert(name) {
            continue;
        }
        stack.push((name, true));
        if let Some(draft) = drafts.get(name) {
            stack.extend(needs(draft).into_iter().rev().map(|needed| (needed.what.as_str(), false)));
        }
    }
    ordered
}

/// Cycles, each once, beginning with its first name in order of names. Depth-first with three colours.
fn cycles(drafts: &[Draft]) -> Vec<Vec<&str>> {
    let mut finished: BTreeSet<&str> = BTreeSet::new();
    let mut found = Vec::new();
    for start in drafts {
        let mut path: Vec<(&Draft, usize)> = vec![(start, 0)];
        while let Some((draft, next)) = path.last_mut() {
            let Some(needed) = needs(draft).nth(*next) else {
                finished.insert(&draft.name);
                path.pop();
                continue;
            };
            *next += 1;
            let name = needed.what.as_str();
            if finished.contains(name) {
                continue;
            }
            if let Some(at) = path.iter().position(|(draft, _)| draft.name == name) {
                let names = path.iter().skip(at).map(|(draft, _)| draft.name.as_str()).collect();
                found.push(names);
            } else if let Some(draft) = drafts.iter().find(|draft| draft.name == name) {
                path.push((draft, 0));
            }
        }
    }
    found
}
