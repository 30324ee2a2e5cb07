//! Templates in YAML become the same tree as those in JSON. Pure, and without trust: size, depth and number of nodes are bounded.
//!
//! ROS's short tags are spelled out: `!Ref X` is `{"Ref": "X"}`, any other `!Name v` is `{"Fn::Name": v}`. Aliases and merge keys are not
//! followed, so that a small text cannot become a large tree: what they stand for is null, which readers take for unknown.

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};
use serde_json::{Map, Value};
use std::borrow::Cow;

/// Collections within collections. Real templates need a dozen; the tree is dropped by recursion.
const DEPTH_LIMIT: usize = 64;

/// Scalars and collections in all. The text is bounded already; this bounds the memory of the tree.
const NODE_LIMIT: usize = 100_000;

/// A collection that is not complete yet.
enum Open {
    Sequence(Vec<Value>, Option<String>),
    /// With the key whose value comes next.
    Mapping(Map<String, Value>, Option<String>, Option<String>),
}

/// The first document of `text`.
///
/// # Errors
/// What is wrong with it, with the line where the parser knows it.
pub(super) fn parse(text: &str) -> Result<Value, String> {
    let mut open: Vec<Open> = Vec::new();
    let mut nodes = 0_usize;
    // Bounded by the length of the text: every event but a few comes from some of it, and there are at most NODE_LIMIT nodes.
    for event in Parser::new_from_str(text) {
        let (event, _) = event.map_err(|error| error.to_string())?;
        nodes += 1;
        if nodes > NODE_LIMIT {
            return Err(format!("it has more than {NODE_LIMIT} values"));
        }
        let value = match event {
            Event::Scalar(text, style, _, tag) => tagged(tag_of(tag), scalar(&text, style)),
            Event::Alias(_) => Value::Null,
            Event::SequenceStart(_, tag) => {
                push(&mut open, Open::Sequence(Vec::new(), tag_of(tag)))?;
                continue;
            }
            Event::MappingStart(_, tag) => {
                push(&mut open, Open::Mapping(Map::new(), None, tag_of(tag)))?;
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(Open::Sequence(items, tag)) => tagged(tag, Value::Array(items)),
                Some(Open::Mapping(members, _, tag)) => tagged(tag, Value::Object(members)),
                None => return Err("a collection ends that never began".to_owned()),
            },
            Event::DocumentEnd | Event::StreamEnd => break,
            _ => continue,
        };
        match open.last_mut() {
            None => return Ok(value),
            Some(Open::Sequence(items, _)) => items.push(value),
            Some(Open::Mapping(members, key, _)) => match key.take() {
                None => *key = Some(key_of(value)),
                Some(key) => {
                    members.insert(key, value);
                }
            },
        }
    }
    Err("it is empty or cut off".to_owned())
}

fn push(open: &mut Vec<Open>, collection: Open) -> Result<(), String> {
    if open.len() >= DEPTH_LIMIT {
        return Err(format!("it is nested deeper than {DEPTH_LIMIT}"));
    }
    open.push(collection);
    Ok(())
}

/// A key that is no text has no meaning in a template; it only must not stand for another one.
fn key_of(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// The name of a local tag, without its exclamation mark.
fn tag_of(tag: Option<Cow<'_, Tag>>) -> Option<String> {
    tag.filter(|tag| tag.handle == "!" && !tag.suffix.is_empty()).map(|tag| tag.suffix.clone())
}

fn tagged(tag: Option<String>, value: Value) -> Value {
    let Some(tag) = tag else { return value };
    let name = if tag == "Ref" { tag } else { format!("Fn::{tag}") };
    Value::Object(Map::from_iter([(name, value)]))
}

/// A plain scalar may be a number, a truth or nothing (YAML 1.2 core schema); a quoted one is text.
fn scalar(text: &str, style: ScalarStyle) -> Value {
    if style != ScalarStyle::Plain {
        return Value::from(text);
    }
    if let Ok(number) = text.parse::<i64>() {
        return Value::from(number);
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::from(true),
        "false" | "False" | "FALSE" => Value::from(false),
        _ => Value::from(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn a_template_in_yaml_is_the_tree_that_it_is_in_json() {
        let text = "A: &x\n  - 1\n  - '1'\n  - two words # said\n  - true\n  - ~\nB: {C: !Ref Name, D: !GetAtt [E, Url]}\nF: *x\nG: !Sub |\n  a\n  b\n";
        let tree = json!({
            "A": [1, "1", "two words", true, null],
            "B": {"C": {"Ref": "Name"}, "D": {"Fn::GetAtt": ["E", "Url"]}},
            "F": null,
            "G": {"Fn::Sub": "a\nb\n"},
        });
        assert_eq!(parse(text), Ok(tree));
    }

    #[test]
    fn what_is_too_deep_too_large_or_cut_off_is_refused() {
        assert!(parse(&"[".repeat(100_000)).is_err());
        assert!(parse(&format!("{}{}", "[".repeat(65), "]".repeat(65))).unwrap_err().contains("deeper than 64"));
        assert!(parse(&"- 1\n".repeat(100_001)).unwrap_err().contains("more than 100000 values"));
        assert!(parse(&"{a: ".repeat(10_000)).is_err() && parse(&"- ".repeat(10_000)).is_err() && parse(&"? ".repeat(10_000)).is_err());
        for cut in ["", "a: [1, 2", "a: 'b", "\t", "a: b: c"] {
            assert!(parse(cut).is_err(), "{cut:?}");
        }
    }

    #[test]
    fn a_text_that_would_grow_by_its_aliases_does_not() {
        let mut text = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for (name, before) in ["b", "c", "d", "e", "f", "g", "h", "i"].iter().zip(["a", "b", "c", "d", "e", "f", "g", "h"]) {
            text.push_str(&format!("{name}: &{name} [{}*{before}]\n", format!("*{before}, ").repeat(8)));
        }
        assert!(parse(&text).unwrap().to_string().len() < 1_000);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,200}") {
            let _ = parse(&text);
        }

        #[test]
        fn no_near_yaml_makes_it_panic(text in "([ \\n\\t]{0,3}([-?:,#&*!|>'\"%@`{}\\[\\]~]|---|\\.\\.\\.|<<|!Ref|a|1|\\\\x4|\u{feff}|é)){0,60}") {
            let _ = parse(&text);
        }
    }
}
