//! The keys of `type = "tcp"`, `"exec"` and `"ttl"`.

use super::check::{problem, refuse_pair};
use crate::config::forms;
use crate::config::fragment::{Data, Value};
use crate::config::matching;
use crate::config::network;
use crate::config::reader::{Parsed, Problem, Reader, shorten, text};
use crate::plan::{Exec, ExitCodes, SocketTarget, Tcp, Ttl, is_reserved_variable};
use std::collections::BTreeMap;

/// Greatest `send` of a tcp check, in bytes.
const SEND_LIMIT: usize = 4096;
/// Greatest length of one argument or variable, in bytes; the kernel's own limit is 128 KiB.
const ARGUMENT_LIMIT: usize = 64 * 1024;
/// Most arguments.
const ARGUMENTS_LIMIT: usize = 256;

pub(super) fn tcp(reader: &mut Reader<'_>) -> Option<Tcp> {
    let host_port = reader.optional("address", network::address);
    let unix_socket = reader.optional("unix_socket", forms::path);
    let send = reader.optional("send", |value| {
        let text = text(value)?;
        if text.len() > SEND_LIMIT { Err(problem("must have at most 4096 bytes")) } else { Ok(text.to_owned()) }
    });
    let expect = reader.optional("expect", matching::pattern);
    refuse_pair(reader, "address", "unix_socket", "a check makes one connection; write two checks");
    if !reader.has("address") && !reader.has("unix_socket") {
        let message = format!("`{}` needs the key `address` or `unix_socket`", reader.title());
        let place = reader.header();
        reader.notes.misfit(place, message, Some("write address = \"127.0.0.1:5432\"".to_owned()));
    }
    let address = host_port?.or(unix_socket?.map(SocketTarget::Unix));
    Some(Tcp { address: address?, send: send?, expect: expect? })
}

pub(super) fn exec(reader: &mut Reader<'_>) -> Option<Exec> {
    let command = reader.value("command", command);
    let exit_codes = reader.word("exit_codes", |word| match word {
        "zero" => Some(ExitCodes::Zero),
        "nagios" => Some(ExitCodes::Nagios),
        _ => None,
    });
    let fatal = reader.value("fatal", codes);
    let kill_grace = reader.duration("kill_grace");
    let environment = reader.value("environment", environment);
    let working_directory = reader.value("working_directory", forms::path);
    Some(Exec {
        command: command?,
        exit_codes: exit_codes?,
        fatal: fatal?,
        kill_grace: kill_grace?,
        environment: environment?,
        working_directory: working_directory?,
    })
}

pub(super) fn ttl(reader: &mut Reader<'_>) -> Option<Ttl> {
    reader.duration("ttl").map(|ttl| Ttl { ttl })
}

fn command(value: &Value) -> Parsed<Vec<String>> {
    if let Data::Text(_) = value.data {
        let hint = "there is no shell: write [\"/usr/bin/program\", \"argument\"], or [\"/bin/sh\", \"-c\", \"...\"]";
        return Err(Problem::new("must be an array of program and arguments, not a string").hint(hint).into());
    }
    let arguments = forms::each(value, |argument| {
        if argument.contains('\0') || argument.len() > ARGUMENT_LIMIT {
            return Err(Problem::new("has an argument with a NUL character, or of more than 64 KiB"));
        }
        Ok(argument.to_owned())
    })?;
    let Some(program) = arguments.first() else {
        return Err(problem("must not be empty"));
    };
    if !program.what.starts_with('/') {
        let found = Problem::new("must begin with the absolute path of a program").at(program.place);
        return Err(found.hint("the search path is not used, so that it is clear what runs").into());
    }
    if arguments.len() > ARGUMENTS_LIMIT {
        return Err(problem("must have at most 256 parts"));
    }
    Ok(arguments.into_iter().map(|argument| argument.what).collect())
}

fn codes(value: &Value) -> Parsed<Vec<i32>> {
    let Data::Array(values) = &value.data else {
        return Err(problem(format!("must be an array of exit codes, not {}", value.kind())));
    };
    let mut codes = Vec::new();
    let mut problems = Vec::new();
    for value in values {
        match value.data {
            Data::Integer(code) if (0..=255).contains(&code) => codes.extend(i32::try_from(code)),
            _ => problems.push(Problem::new("has an exit code that is not an integer from 0 to 255").at(value.place)),
        }
    }
    if codes.contains(&0) {
        problems.push(Problem::new("has the exit code 0, which means success"));
    }
    codes.sort_unstable();
    codes.dedup();
    if problems.is_empty() { Ok(codes) } else { Err(problems) }
}

fn environment(value: &Value) -> Parsed<BTreeMap<String, String>> {
    let pairs = forms::pairs(value, |name, entry| {
        let good = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && name.starts_with(|c: char| !c.is_ascii_digit());
        if !good {
            return Err(Problem::new(format!("has `{}`, which is not the name of a variable", shorten(name))).at(entry.key));
        }
        if is_reserved_variable(name) {
            return Err(Problem::new(format!("may not have `{name}`, which is kept from children")).at(entry.key));
        }
        let bad = |what: &str| Problem::new(format!("has a `{}` that {what}", shorten(name)));
        let text = text(&entry.value).map_err(|problem| bad(&problem.message))?;
        if text.contains('\0') || text.len() > ARGUMENT_LIMIT {
            return Err(bad("has a NUL character, or more than 64 KiB"));
        }
        Ok((name.to_owned(), text.to_owned()))
    })?;
    Ok(pairs.into_iter().collect())
}
