//! Members of JSON objects, without a tree of the rest: what is kept while a body is read are pointers into it, whatever it holds. So
//! half a MiB of brackets costs no more memory than half a MiB of event.

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Deserializer;
use serde_json::value::RawValue;
use std::fmt;

/// Objects and arrays that lie in each other.
pub(super) const NESTING: usize = 32;

/// Whether brackets are nested deeper than [`NESTING`].
pub(super) fn is_too_deep(text: &str) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => {
                depth += 1;
                if depth > NESTING {
                    return true;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// The members `names` of the object that `text` is, none of those that are `null`; of one that stands there twice, the last. None: it
/// is no object, or no JSON.
pub(super) fn members<'a, const N: usize>(text: &'a str, names: [&str; N]) -> Option<[Option<&'a str>; N]> {
    let mut reader = Deserializer::from_str(text);
    let found = Members(names).deserialize(&mut reader).ok()?;
    reader.end().ok()?;
    Some(found)
}

/// The elements of the array that `text` is, at most `limit` and one more. None: it is no array, or no JSON.
pub(super) fn elements(text: &str, limit: usize) -> Option<Vec<&str>> {
    let mut reader = Deserializer::from_str(text);
    let found = Elements(limit + 1).deserialize(&mut reader).ok()?;
    reader.end().ok()?;
    Some(found)
}

/// The text that a member is, if it is one.
pub(super) fn text_of(member: Option<&str>) -> Option<String> {
    serde_json::from_str(member?).ok()
}

struct Members<'n, const N: usize>([&'n str; N]);

impl<'a, const N: usize> DeserializeSeed<'a> for Members<'_, N> {
    type Value = [Option<&'a str>; N];

    fn deserialize<D: serde::Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'a, const N: usize> Visitor<'a> for Members<'_, N> {
    type Value = [Option<&'a str>; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = [None; N];
        while let Some(key) = map.next_key::<String>()? {
            let slot = self.0.iter().zip(&mut found).find(|(name, _)| **name == key);
            if let Some((_, slot)) = slot {
                let value = map.next_value::<&'a RawValue>()?.get();
                *slot = (value != "null").then_some(value);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

struct Elements(usize);

impl<'a> DeserializeSeed<'a> for Elements {
    type Value = Vec<&'a str>;

    fn deserialize<D: serde::Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'a> Visitor<'a> for Elements {
    type Value = Vec<&'a str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
        let mut found = Vec::new();
        while found.len() < self.0 {
            let Some(element) = sequence.next_element::<&'a RawValue>()? else {
                return Ok(found);
            };
            found.push(element.get());
        }
        while sequence.next_element::<IgnoredAny>()?.is_some() {}
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_found_whatever_stands_beside_them() {
        let text = r#"{"x":{"nested":[1,{"StackId":"inner"}]},"y":1.5,"StackId":"a","n":null,"StackId":"b"} "#;
        assert_eq!(members(text, ["StackId", "n", "missing"]), Some([Some("\"b\""), None, None]));
        for not in ["", "[]", "{", "{\"a\":1}x", "\"a\"", "{\"a\":1,}"] {
            assert_eq!(members(not, ["a"]), None, "{not}");
        }
    }

    #[test]
    fn an_array_gives_no_more_than_the_limit_and_one() {
        assert_eq!(elements("[1, {\"a\":[2]}]", 5), Some(vec!["1", "{\"a\":[2]}"]));
        let long = format!("[{}0]", "0,".repeat(1000));
        assert_eq!(elements(&long, 5).unwrap().len(), 6);
        assert_eq!(elements("[1", 5), None);
        assert_eq!(elements("[1] 2", 5), None);
    }

    #[test]
    fn nesting_counts_brackets_outside_of_texts_only() {
        assert!(!is_too_deep(&"[".repeat(NESTING)));
        assert!(is_too_deep(&"{\"a\":[".repeat(NESTING)));
        assert!(!is_too_deep(&format!("{{\"a\":\"\\\"{}\"}}", "[".repeat(100))));
        assert!(!is_too_deep(&"[]".repeat(100)));
    }
}
