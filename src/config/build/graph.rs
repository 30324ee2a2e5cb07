//! What checks depend on: unknown names, cycles, and everything a check needs.

use super::check::Draft;
use crate::config::keys::nearest;
use crate::config::reader::{Notes, shorten};
use crate::config::source::Place;
use std::collections::BTreeSet;

/// Refuses dependencies on what is not there, and cycles.
pub(super) fn resolve(drafts: &[Draft], notes: &mut Notes) {
    for draft in drafts {
        for needed in &draft.depends_on {
            is_known(&needed.what, needed.place, drafts, notes);
        }
    }
    for cycle in cycles(drafts) {
        let Some(first) = cycle.first().and_then(|name| drafts.iter().find(|draft| draft.name == *name)) else {
            continue;
        };
        let place =
            first.depends_on.iter().find(|needed| cycle.contains(&needed.what.as_str())).map_or(first.header, |needed| needed.place);
        let mut path: Vec<String> = cycle.iter().map(|name| shorten(name)).collect();
        path.extend(cycle.first().map(|name| shorten(name)));
        notes.misfit(place, format!("checks depend on each other: {}", path.join(" -> ")), Some("none of them would ever run".to_owned()));
    }
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

/// `names` and all they depend on, each once, dependencies first.
pub(super) fn closure(names: &[String], drafts: &[Draft]) -> Vec<String> {
    let mut done = BTreeSet::new();
    let mut ordered = Vec::new();
    // A name is met twice: before and after what it depends on.
    let mut stack: Vec<(&str, bool)> = names.iter().rev().map(|name| (name.as_str(), false)).collect();
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
        if let Some(draft) = drafts.iter().find(|draft| draft.name == name) {
            stack.extend(draft.depends_on.iter().rev().map(|needed| (needed.what.as_str(), false)));
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
            let Some(needed) = draft.depends_on.get(*next) else {
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
