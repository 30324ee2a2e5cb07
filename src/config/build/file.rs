//! The keys of `type = "file"`.

use super::check::{problem, refuse_pair};
use crate::config::forms;
use crate::config::fragment::Value;
use crate::config::matching;
use crate::config::reader::{Parsed, Problem, Reader, text};
use crate::config::{duration, size};
use crate::plan::{Account, File, FileMeasure, FileType, Present};
use std::time::Duration;

/// Keys about what is there, which make no sense where nothing may be.
const ABOUT: [&str; 13] =
    ["file_type", "mode", "owner", "group", "min_size", "max_size", "min_age", "max_age", "contents", "sha256", "measure", "warn", "crit"];

pub(super) fn file(reader: &mut Reader<'_>) -> Option<File> {
    let path = reader.value("path", forms::path);
    let exists = reader.flag("exists");
    let present = present(reader);
    if exists == Some(false) {
        refuse_beside_absence(reader);
        return Some(File { path: path?, present: None });
    }
    refuse_contradictions(reader, present.as_ref());
    exists?;
    Some(File { path: path?, present: Some(Box::new(present?)) })
}

fn present(reader: &mut Reader<'_>) -> Option<Present> {
    let file_type = if reader.has("file_type") { reader.word("file_type", file_type).map(Some) } else { Some(None) };
    let mode = reader.optional("mode", mode);
    let (owner, group) = (reader.optional("owner", account), reader.optional("group", account));
    let (min_size, max_size) = (reader.optional("min_size", size::parse), reader.optional("max_size", size::parse));
    let (min_age, max_age) = (reader.optional("min_age", age), reader.optional("max_age", age));
    let contents = reader.optional("contents", matching::pattern);
    let sha256 = reader.optional("sha256", sha256);
    let measure = if reader.has("measure") { reader.word("measure", measure).map(Some) } else { Some(None) };
    let thresholds = reader.thresholds();
    let measure = measure.and_then(|measure| Some((measure, thresholds?)));
    Some(Present {
        file_type: file_type?,
        mode: mode?,
        owner: owner?,
        group: group?,
        min_size: min_size?,
        max_size: max_size?,
        min_age: min_age?,
        max_age: max_age?,
        contents: contents?,
        sha256: sha256?,
        measure: measure.map(|(measure, thresholds)| measure.map(|measure| (measure, thresholds)))?,
    })
}

fn refuse_beside_absence(reader: &mut Reader<'_>) {
    for name in ABOUT {
        if reader.has(name) {
            let place = reader.place(name);
            let hint = "exists = false says that nothing may be there; leave one of the two out".to_owned();
            reader.notes.misfit(place, format!("`{name}` cannot stand beside `exists = false`"), Some(hint));
        }
    }
}

fn refuse_contradictions(reader: &mut Reader<'_>, present: Option<&Present>) {
    let measured = reader.has("measure");
    let judged = ["warn", "crit"].into_iter().find(|name| reader.has(name));
    match (measured, judged) {
        (true, None) => {
            let place = reader.place("measure");
            reader.notes.misfit(place, "`measure` needs `warn` or `crit` beside it", Some("write crit = \"~:3600\"".to_owned()));
        }
        (false, Some(name)) => {
            let place = reader.place(name);
            reader.notes.misfit(
                place,
                format!("`{name}` needs `measure` beside it"),
                Some("write measure = \"size\" or \"age\"".to_owned()),
            );
        }
        (true, Some(_)) | (false, None) => {}
    }
    let Some(present) = present else {
        return;
    };
    refuse_reversed(reader, "min_size", "max_size", present.min_size > present.max_size && present.max_size.is_some());
    refuse_reversed(reader, "min_age", "max_age", present.min_age > present.max_age && present.max_age.is_some());
    if present.file_type.is_some_and(|file_type| file_type != FileType::File) {
        for name in ["contents", "sha256"] {
            refuse_pair(reader, "file_type", name, "only regular files are read: file_type = \"file\"");
        }
    }
}

fn refuse_reversed(reader: &mut Reader<'_>, least: &str, most: &str, reversed: bool) {
    if reversed {
        let place = reader.place(least);
        let hint = "nothing could ever pass".to_owned();
        reader.notes.misfit(place, format!("`{least}` is greater than `{most}`"), Some(hint));
    }
}

fn file_type(word: &str) -> Option<FileType> {
    Some(match word {
        "file" => FileType::File,
        "directory" => FileType::Directory,
        "symlink" => FileType::Symlink,
        "socket" => FileType::Socket,
        "fifo" => FileType::Fifo,
        "block" => FileType::Block,
        "char" => FileType::Char,
        _ => return None,
    })
}

fn measure(word: &str) -> Option<FileMeasure> {
    match word {
        "size" => Some(FileMeasure::Size),
        "age" => Some(FileMeasure::Age),
        _ => None,
    }
}

fn mode(value: &Value) -> Parsed<u32> {
    let hint = "write four octal digits in quotes, such as \"0644\"";
    let text = text(value).map_err(|problem| problem.hint(hint))?;
    let octal = (3..=4).contains(&text.len()) && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    let mode = octal.then(|| u32::from_str_radix(text, 8).ok()).flatten();
    mode.ok_or_else(|| Problem::new("is not a mode").hint(hint).into())
}

fn age(value: &Value) -> Parsed<Duration> {
    duration::parse(value, Duration::ZERO)
}

fn account(value: &Value) -> Parsed<Account> {
    let text = forms::line(value, 256)?;
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        let id = text.parse().map_err(|_| problem("is a number that no user or group can have"))?;
        return Ok(Account::Id(id));
    }
    if text.contains([':', '/']) {
        return Err(problem("is neither the name nor the number of a user or group"));
    }
    Ok(Account::Name(text))
}

fn sha256(value: &Value) -> Parsed<[u8; 32]> {
    let text = text(value)?;
    let wrong = || Problem::new("is not a SHA-256").hint("write the 64 hexadecimal digits that sha256sum prints");
    let digits: Option<Vec<u32>> = text.chars().map(|digit| digit.to_digit(16)).collect();
    let digits = digits.ok_or_else(wrong)?;
    let bytes = digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit));
    let bytes: Vec<u8> = bytes.filter_map(|byte| u8::try_from(byte).ok()).collect();
    let whole = digits.len() == 64;
    bytes.try_into().ok().filter(|_| whole).ok_or_else(|| wrong().into())
}
