//! The keys of `type = "composite"`.

use super::check::problem;
use crate::config::forms::{self, Written};
use crate::config::fragment::{Data, Table, Value};
use crate::config::reader::{Parsed, Problem, Reader, shorten};
use crate::plan::{Composite, Name, Rule};

/// Keys of all kinds that say when to run and how often to believe it: the members have their own.
const OF_MEMBERS: [&str; 7] =
    ["interval", "start_interval", "timeout", "initial_delay", "start_period", "success_threshold", "failure_threshold"];

/// The composite, and its members with their places.
pub(super) fn composite(reader: &mut Reader<'_>) -> Option<(Composite, Vec<Written<String>>)> {
    for name in OF_MEMBERS.into_iter().filter(|name| reader.has(name)).collect::<Vec<_>>() {
        let place = reader.place(name);
        let hint = "it is judged the moment one of its members changes; give the key to the members".to_owned();
        reader.notes.misfit(place, format!("`{name}` means nothing to a composite"), Some(hint));
    }
    let all = reader.optional("all_of", members);
    let any = reader.optional("any_of", members);
    let at_least = reader.optional("at_least", at_least);
    let written: Vec<_> = ["all_of", "any_of", "at_least"].into_iter().filter(|name| reader.has(name)).collect();
    match written.as_slice() {
        [] => {
            let place = reader.header();
            let message = format!("`{}` needs one of the keys `all_of`, `any_of`, `at_least`", reader.title());
            reader.notes.misfit(place, message, Some("write any_of = [\"a\", \"b\"]".to_owned()));
        }
        [_] => {}
        [first, second, ..] => {
            let place = reader.place(second);
            let hint = "write two composites, and a third over them".to_owned();
            reader.notes.misfit(place, format!("`{second}` cannot stand beside `{first}`"), Some(hint));
        }
    }
    let all = all?.map(|of| (Rule::All, of));
    let any = any?.map(|of| (Rule::Any, of));
    let at_least = at_least?.map(|(count, of)| (Rule::AtLeast(count), of));
    let (rule, of) = all.or(any).or(at_least)?;
    let names = of.iter().map(|name| Name::from(name.what.as_str())).collect();
    Some((Composite { rule, of: names }, of))
}

fn members(value: &Value) -> Parsed<Vec<Written<String>>> {
    let names = forms::names(value, None)?;
    if names.is_empty() { Err(Problem::new("must not be empty").hint("name the checks that it is made of").into()) } else { Ok(names) }
}

fn at_least(value: &Value) -> Parsed<(usize, Vec<Written<String>>)> {
    let form = "write { count = 2, of = [\"a\", \"b\", \"c\"] }";
    let Data::Table(Table(entries)) = &value.data else {
        return Err(Problem::new(format!("must be a table, not {}", value.kind())).hint(form).into());
    };
    if let Some((name, entry)) = entries.iter().find(|(name, _)| !matches!(name.as_str(), "count" | "of")) {
        return Err(Problem::new(format!("has the unknown key `{}`", shorten(name))).hint(form).at(entry.key).into());
    }
    let (Some(count), Some(of)) = (entries.get("count"), entries.get("of")) else {
        return Err(Problem::new("needs the keys `count` and `of`").hint(form).into());
    };
    let of = members(&of.value).map_err(|problems| inside("of", &of.value, problems))?;
    let wanted = match count.value.data {
        Data::Integer(wanted) => usize::try_from(wanted).ok().filter(|wanted| (1..=of.len()).contains(wanted)),
        _ => None,
    };
    let wrong = || problem(format!("must be 1 to {}, the number of members", of.len()));
    Ok((wanted.ok_or_else(wrong).map_err(|problems| inside("count", &count.value, problems))?, of))
}

/// `problems` of the inner key `name`.
fn inside(name: &str, value: &Value, problems: Vec<Problem>) -> Vec<Problem> {
    let inner = problems.into_iter().map(|problem| {
        let place = if problem.place == crate::config::source::Place::Default { value.place } else { problem.place };
        Problem { message: format!("has a `{name}` that {}", problem.message), place, hint: problem.hint }
    });
    inner.collect()
}
