//! XML as SMQ reads and writes it: elements with text or elements in them, attributes without meaning.

use quick_xml::Reader;
use quick_xml::escape::{escape, resolve_xml_entity};
use quick_xml::events::{BytesRef, Event};

/// Elements of a document, and how deep they nest; more is `MalformedXML`.
const ELEMENTS: usize = 2_000;
const DEPTH: usize = 8;

/// The namespace of every document of the service.
const NAMESPACE: &str = "http://mns.aliyuncs.com/doc/v1/";

/// An element.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Element {
    /// Local name.
    pub(super) name: String,
    /// All text directly in it.
    pub(super) text: String,
    pub(super) children: Vec<Element>,
}

impl Element {
    fn named(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// The text of the first child of this name.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.children.iter().find(|child| child.name == name).map(|child| child.text.as_str())
    }
}

/// The root element of a document; none: it is no XML, or too much of it.
pub(super) fn read(document: &[u8]) -> Option<Element> {
    let text = std::str::from_utf8(document).ok()?;
    let mut reader = Reader::from_str(text);
    let mut open: Vec<Element> = Vec::new();
    let mut elements = 0_usize;
    loop {
        match reader.read_event().ok()? {
            Event::Start(tag) => {
                elements += 1;
                if elements > ELEMENTS || open.len() >= DEPTH {
                    return None;
                }
                open.push(Element::named(tag.local_name().as_ref()));
            }
            Event::Empty(tag) => {
                elements += 1;
                let element = Element::named(tag.local_name().as_ref());
                match open.last_mut() {
                    Some(parent) if elements <= ELEMENTS => parent.children.push(element),
                    Some(_) => return None,
                    None => return Some(element),
                }
            }
            Event::End(_) => {
                let element = open.pop()?;
                match open.last_mut() {
                    Some(parent) => parent.children.push(element),
                    None => return Some(element),
                }
            }
            Event::Text(text) => add(&mut open, &text.xml10_content()),
            Event::CData(text) => add(&mut open, &text.xml10_content()),
            Event::GeneralRef(reference) => add(&mut open, &resolve(&reference)?),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
            // No document type is needed, and entities of its own would be a trap.
            Event::DocType(_) | Event::Eof => return None,
        }
    }
}

fn add(open: &mut [Element], text: &str) {
    if let Some(element) = open.last_mut() {
        element.text.push_str(text);
    }
}

fn resolve(reference: &BytesRef<'_>) -> Option<String> {
    match reference.resolve_char_ref().ok()? {
        Some(character) => Some(character.to_string()),
        None => resolve_xml_entity(reference).map(str::to_owned),
    }
}

/// An element with text.
#[expect(clippy::needless_pass_by_value, reason = "texts and numbers alike are written in place")]
pub(super) fn leaf(name: &str, text: impl ToString) -> String {
    format!("<{name}>{}</{name}>", escape(text.to_string().as_str()))
}

/// An element with elements that are written already.
pub(super) fn branch(name: &str, inner: &str) -> String {
    format!("<{name}>{inner}</{name}>")
}

/// A document around elements that are written already.
pub(super) fn document(root: &str, inner: &str) -> String {
    format!("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<{root} xmlns=\"{NAMESPACE}\">{inner}</{root}>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let text = "{\"a\": \"<&>\\u4e2d 中\"}";
        let document = document("Message", &(leaf("MessageBody", text) + &leaf("Priority", 8)));
        let read = read(document.as_bytes()).unwrap();
        assert_eq!((read.name.as_str(), read.get("MessageBody"), read.get("Priority")), ("Message", Some(text), Some("8")));
    }

    #[test]
    fn prefixes_references_and_cdata_are_understood() {
        let read = read(b"<m:Message xmlns:m='x'><m:MessageBody>&#65;&lt;<![CDATA[<b>]]></m:MessageBody><Empty/></m:Message>").unwrap();
        assert_eq!((read.get("MessageBody"), read.get("Empty")), (Some("A<<b>"), Some("")));
    }

    #[test]
    fn what_is_no_xml_or_too_much_of_it_is_refused() {
        for document in [
            String::new(),
            "{}".to_owned(),
            "<a><b></a>".to_owned(),
            "<!DOCTYPE a><a/>".to_owned(),
            "<a>".repeat(9),
            "<a>&x;</a>".to_owned(),
        ] {
            assert_eq!(read(document.as_bytes()), None, "{document}");
        }
        let wide = format!("<a>{}</a>", "<b/>".repeat(ELEMENTS));
        assert_eq!(read(wide.as_bytes()), None);
    }
}
