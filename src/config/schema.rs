//! The JSON Schema (draft 7, which TOML editors such as taplo understand) of a configuration file.
//!
//! A drop-in may hold a part of a table, so no key is required here, and a check without `type` may have the keys of any type.

use super::fragment::Value as Written;
use super::keys::{self, Fallback, Key, Section, Shape};
use serde_json::{Map, Value, json};

/// A name of a check or signal.
const NAME: &str = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$";
/// A duration.
const DURATION: &str = "^\\s*([0-9]+(\\.[0-9]+)?\\s*[A-Za-zµ]+\\s*)+$";

/// A size.
const SIZE: &str = "^\\s*[0-9]+\\s*([KMGT]iB|[kMGT]?B)\\s*$";
/// A range of numbers.
const RANGE: &str = "^@?((-?[0-9.]+|~)?:)?(-?[0-9.]+)?$";
/// The same with sizes as ends.
const RANGE_OF_SIZES: &str = "^@?((-?[0-9.]+|[0-9]+([KMGT]iB|[kMGT]?B)|~)?:)?(-?[0-9.]+|[0-9]+([KMGT]iB|[kMGT]?B))?$";

/// The JSON Schema of `config.toml` and of its drop-ins.
pub fn schema() -> Value {
    let mut properties = Map::new();
    for (name, section) in keys::SINGLE {
        properties.insert(name.to_owned(), table(section.about, &[section]));
    }
    properties.insert("signal".to_owned(), named("Signals by name.", &table(keys::SIGNAL.about, &[&keys::SIGNAL])));
    properties.insert("check".to_owned(), named("Checks by name.", &typed("check", &keys::CHECK, &keys::KINDS)));
    properties.insert("source".to_owned(), named("Sources of events by name.", &typed("source", &keys::SOURCE, &keys::SOURCES)));
    properties.insert("hook".to_owned(), named("Hooks by name.", &table(keys::HOOK.about, &[&keys::HOOK])));
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Configuration of ros-signal-agent",
        "description": "The main file config.toml, or a drop-in.",
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
    })
}

fn named(about: &str, item: &Value) -> Value {
    json!({
        "description": about,
        "type": "object",
        "propertyNames": { "pattern": NAME },
        "additionalProperties": item,
    })
}

fn table(about: &str, sections: &[&Section]) -> Value {
    let mut properties = Map::new();
    for key in sections.iter().flat_map(|section| section.keys) {
        let property = property(key);
        match properties.get_mut(key.name) {
            // Kinds that use one word for two forms: only a drop-in without a type sees both.
            Some(known) if *known != property => *known = json!({ "anyOf": [known.take(), property] }),
            _ => {
                properties.insert(key.name.to_owned(), property);
            }
        }
    }
    json!({ "description": about, "type": "object", "additionalProperties": false, "properties": properties })
}

/// What has a `type`: one form for each, and one for a part without it.
fn typed(what: &str, common: &Section, kinds: &[(&str, &Section)]) -> Value {
    let mut forms: Vec<Value> = kinds.iter().map(|(name, section)| kind(what, name, common, section)).collect();
    let mut part = table(
        &format!("A part of a {what}, in a drop-in that leaves the type to another file."),
        &std::iter::once(common).chain(kinds.iter().map(|(_, section)| *section)).collect::<Vec<&Section>>(),
    );
    if let Some(properties) = part.get_mut("properties").and_then(Value::as_object_mut) {
        properties.remove("type");
    }
    forms.push(part);
    json!({ "description": common.about, "type": "object", "oneOf": forms })
}

fn kind(what: &str, name: &str, common: &Section, section: &Section) -> Value {
    let mut kind = table(section.about, &[common, section]);
    if let Some(properties) = kind.get_mut("properties").and_then(Value::as_object_mut) {
        properties.insert("type".to_owned(), json!({ "description": section.about, "const": name, "type": "string" }));
    }
    if let Some(kind) = kind.as_object_mut() {
        kind.insert("required".to_owned(), json!(["type"]));
        kind.insert("title".to_owned(), json!(format!("{name} {what}")));
    }
    kind
}

fn property(key: &Key) -> Value {
    let mut property = shape(key.shape);
    if let Some(property) = property.as_object_mut() {
        property.insert("description".to_owned(), json!(key.meaning));
        if let Fallback::Toml(text) = key.default
            && let Ok(default) = super::matching::json(&Written::of_default(text))
        {
            property.insert("default".to_owned(), default);
        }
    }
    property
}

fn shape(shape: Shape) -> Value {
    let status = json!({ "type": ["string", "integer"], "pattern": "^\\s*[1-5][0-9]{2}\\s*(-\\s*[1-5][0-9]{2}\\s*)?$", "minimum": 100, "maximum": 599 });
    match shape {
        Shape::Flag => json!({ "type": "boolean" }),
        Shape::Integer(low, high) => json!({ "type": "integer", "minimum": low, "maximum": high }),
        Shape::Duration(_) => json!({ "type": "string", "pattern": DURATION, "examples": ["90s", "5m", "1h30m", "250ms"] }),
        Shape::Size => json!({ "type": "string", "pattern": SIZE, "examples": ["64KiB", "10MB", "1GiB"] }),
        Shape::Range => json!({ "type": "string", "pattern": RANGE, "examples": ["10", "10:", "~:10", "10:20", "@10:20"] }),
        Shape::RangeOfSizes => json!({ "type": "string", "pattern": RANGE_OF_SIZES, "examples": ["10:", "~:90", "1GiB:", "@0:512MiB"] }),
        Shape::Text => json!({ "type": "string" }),
        Shape::Word(words) => json!({ "type": "string", "enum": words }),
        Shape::Path => json!({ "type": "string", "pattern": "^/" }),
        Shape::Url => json!({ "type": "string", "pattern": "^https?://" }),
        Shape::Pattern => json!({ "type": "string", "format": "regex" }),
        Shape::Texts => json!({ "type": "array", "items": { "type": "string" } }),
        Shape::AtLeast => json!({
            "type": "object",
            "additionalProperties": false,
            "required": ["count", "of"],
            "properties": {
                "count": { "type": "integer", "minimum": 1 },
                "of": { "type": "array", "items": { "type": "string" }, "minItems": 1 },
            },
        }),
        Shape::Codes => json!({ "type": "array", "items": { "type": "integer", "minimum": 0, "maximum": 255 } }),
        Shape::Statuses => json!({ "anyOf": [status, { "type": "array", "items": status }] }),
        Shape::TextTable => json!({ "type": "object", "additionalProperties": { "type": "string" } }),
        Shape::PatternTable => json!({ "type": "object", "additionalProperties": { "type": "string", "format": "regex" } }),
        Shape::JsonTable => json!({ "type": "object", "propertyNames": { "pattern": "^(/.*)?$" } }),
    }
}
