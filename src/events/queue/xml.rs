//! Documents of SMQ, read without trust and by local name: namespaces and elements that are not known are passed over.
//!
//! ```text
//! <Message><MessageId/><ReceiptHandle/><MessageBody/><NextVisibleTime>ms</NextVisibleTime>...</Message>      alone, or in <Messages>
//! <ChangeVisibility><ReceiptHandle/><NextVisibleTime>ms</NextVisibleTime></ChangeVisibility>
//! <Errors><Error><ErrorCode/><ErrorMessage/><ReceiptHandle/></Error>...</Errors>                                partly deleted
//! <Error><Code/><Message/><RequestId/><HostId/></Error>
//! <Queue><QueueName/><CreateTime>s</CreateTime><LastModifyTime>s</LastModifyTime>...</Queue>
//! <Queues><Queue><QueueURL/></Queue>...<NextMarker/></Queues>
//! <Notification><TopicOwner/><Message/>...</Notification>                                                       the body of a message
//! ```

use crate::secret::Secret;
use quick_xml::Reader;
use quick_xml::events::{BytesRef, Event};

/// The most of an answer that is read: 16 messages of 64 KB in which XML has escaped every character (`&quot;`).
pub(super) const LIMIT: usize = 7 * 1024 * 1024;

/// Nested deeper than this is not from SMQ.
const DEPTH_LIMIT: usize = 16;

/// Leaves of one document: a page of 1000 queues, with room.
const LEAVES: usize = 4096;

/// Names longer than this are not known.
const NAME_LIMIT: usize = 64;

/// An element without children: the names of those around it and its own, joined by `/`, its parent's number, and its text.
struct Leaf {
    path: String,
    /// Elements with one number have one parent.
    parent: usize,
    text: String,
}

/// A document, flattened.
pub(super) struct Document {
    root: String,
    leaves: Vec<Leaf>,
}

/// An element while it is open.
struct Open {
    name: String,
    number: usize,
    text: String,
    has_children: bool,
}

impl Document {
    /// Reads a document; none if it is no XML, was cut off, or is larger than anything that SMQ says.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let text = text.trim_start_matches('\u{feff}').trim_start();
        if !text.starts_with('<') {
            return None;
        }
        let mut reader = Reader::from_str(text);
        let mut document = Self { root: String::new(), leaves: Vec::new() };
        let mut open: Vec<Open> = Vec::new();
        let mut number = 0;
        // Bounded by the length of the text: every turn consumes some of it.
        loop {
            match reader.read_event().ok()? {
                Event::Start(tag) => {
                    let name = local(tag.local_name().as_ref());
                    number += 1;
                    document.begin(&mut open, name, number)?;
                }
                Event::Empty(tag) => {
                    let name = local(tag.local_name().as_ref());
                    number += 1;
                    document.begin(&mut open, name, number)?;
                    document.end(&mut open)?;
                }
                Event::End(_) => document.end(&mut open)?,
                Event::Text(content) => append(&mut open, &content.xml10_content()),
                Event::CData(content) => append(&mut open, &content.xml10_content()),
                Event::GeneralRef(reference) => append(&mut open, &resolve(&reference)?),
                // Entities of its own: not from SMQ, and nothing we expand.
                Event::DocType(_) => return None,
                Event::Eof => break,
                _ => {}
            }
        }
        (open.is_empty() && !document.root.is_empty()).then_some(document)
    }

    fn begin(&mut self, open: &mut Vec<Open>, name: String, number: usize) -> Option<()> {
        match open.last_mut() {
            Some(parent) => parent.has_children = true,
            None if self.root.is_empty() => self.root.clone_from(&name),
            None => return None,
        }
        open.push(Open { name, number, text: String::new(), has_children: false });
        (open.len() <= DEPTH_LIMIT && self.leaves.len() <= LEAVES).then_some(())
    }

    fn end(&mut self, open: &mut Vec<Open>) -> Option<()> {
        let ended = open.pop()?;
        if !ended.has_children {
            let mut path: String = open.iter().flat_map(|open| [open.name.as_str(), "/"]).collect();
            path.push_str(&ended.name);
            let parent = open.last().map_or(0, |open| open.number);
            self.leaves.push(Leaf { path, parent, text: ended.text.trim().to_owned() });
        }
        Some(())
    }

    /// The elements of the same parent below `prefix`, such as `Messages/Message`.
    fn groups<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = Group<'a>> {
        let inside = move |leaf: &&Leaf| leaf.path.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('/')).is_some_and(is_plain);
        let mut groups: Vec<Group<'a>> = Vec::new();
        for leaf in self.leaves.iter().filter(inside) {
            match groups.last_mut().filter(|group| group.parent == leaf.parent) {
                Some(group) => group.leaves.push(leaf),
                None => groups.push(Group { parent: leaf.parent, leaves: vec![leaf] }),
            }
        }
        groups.into_iter()
    }

    fn group<'a>(&'a self, prefix: &'a str) -> Option<Group<'a>> {
        self.groups(prefix).next()
    }
}

fn is_plain(name: &str) -> bool {
    !name.contains('/')
}

fn local(name: &str) -> String {
    name.chars().take(NAME_LIMIT).collect()
}

fn append(open: &mut [Open], text: &str) {
    if let Some(last) = open.last_mut() {
        last.text.push_str(text);
    }
}

fn resolve(reference: &BytesRef<'_>) -> Option<String> {
    match reference.resolve_char_ref().ok()? {
        Some(character) => Some(character.to_string()),
        None => quick_xml::escape::resolve_xml_entity(reference).map(str::to_owned),
    }
}

/// Leaves of one parent.
struct Group<'a> {
    parent: usize,
    leaves: Vec<&'a Leaf>,
}

impl Group<'_> {
    fn text(&self, name: &str) -> Option<&str> {
        let named = |leaf: &&&Leaf| leaf.path.rsplit('/').next() == Some(name);
        self.leaves.iter().find(named).map(|leaf| leaf.text.as_str())
    }

    fn number(&self, name: &str) -> Option<i64> {
        self.text(name)?.parse().ok()
    }
}

/// A message that was received. The handle is as good as a key to it, so it is kept as a secret.
#[derive(Clone, Debug)]
pub(super) struct Message {
    /// `MessageId`: the same when it comes again.
    pub(super) id: String,
    /// To delete it with.
    pub(super) handle: Secret,
    /// When the handle dies and others see the message again, milliseconds since 1970 by the service's clock; none: not told.
    pub(super) next_visible_ms: Option<i64>,
    /// As somebody sent it.
    pub(super) body: String,
}

/// The messages of an answer to Receive or BatchReceive; none if it is not such an answer.
pub(super) fn messages(document: &Document) -> Option<Vec<Message>> {
    let prefix = match document.root.as_str() {
        "Message" => "Message",
        "Messages" => "Messages/Message",
        _ => return None,
    };
    let read = |group: Group<'_>| {
        let handle = Secret::new(group.text("ReceiptHandle").filter(|handle| !handle.is_empty())?);
        let body = group.text("MessageBody").unwrap_or_default().to_owned();
        let id = group.text("MessageId").unwrap_or_default().chars().take(128).collect();
        Some(Message { id, handle, next_visible_ms: group.number("NextVisibleTime"), body })
    };
    Some(document.groups(prefix).filter_map(read).collect())
}

/// The new handle, and when it dies.
pub(super) fn visibility(document: &Document) -> Option<(Secret, Option<i64>)> {
    let group = document.group("ChangeVisibility")?;
    Some((Secret::new(group.text("ReceiptHandle")?), group.number("NextVisibleTime")))
}

/// `Code` and `Message` of a refusal.
pub(super) fn refusal(document: &Document) -> Option<(String, String)> {
    let group = document.group("Error")?;
    Some((group.text("Code")?.to_owned(), group.text("Message").unwrap_or_default().to_owned()))
}

/// Codes of the messages that a batch could not delete.
pub(super) fn not_deleted(document: &Document) -> Option<Vec<String>> {
    let code = |group: Group<'_>| group.text("ErrorCode").unwrap_or_default().to_owned();
    (document.root == "Errors").then(|| document.groups("Errors/Error").map(code).collect())
}

/// What the service says of a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Attributes {
    /// When it was made, milliseconds since 1970.
    pub(super) created_ms: Option<i64>,
    /// When its attributes were set last, milliseconds since 1970.
    pub(super) modified_ms: Option<i64>,
    /// Messages that wait.
    pub(super) waiting: i64,
    /// Messages that somebody has received and not deleted yet.
    pub(super) in_hands: i64,
    /// `MessageRetentionPeriod`, in seconds.
    pub(super) retention: Option<u64>,
}

/// The attributes of a queue.
pub(super) fn attributes(document: &Document) -> Option<Attributes> {
    let group = document.group("Queue")?;
    // Seconds by the page, milliseconds to be safe: 10^11 s is the year 5138.
    let time = |name| group.number(name).map(|time| if time < 100_000_000_000 { time.saturating_mul(1000) } else { time });
    let count = |name| group.number(name).unwrap_or(0);
    Some(Attributes {
        created_ms: time("CreateTime"),
        modified_ms: time("LastModifyTime"),
        waiting: count("ActiveMessages").saturating_add(count("DelayMessages")),
        in_hands: count("InactiveMessages"),
        retention: group.number("MessageRetentionPeriod").and_then(|seconds| u64::try_from(seconds).ok()),
    })
}

/// Names of queues, and what to ask for more of them with.
pub(super) fn queues(document: &Document) -> Option<(Vec<String>, Option<String>)> {
    if document.root != "Queues" {
        return None;
    }
    let name = |group: Group<'_>| Some(group.text("QueueURL")?.rsplit('/').next()?.to_owned());
    let marker = document.group("Queues").and_then(|group| group.text("NextMarker").map(str::to_owned)).filter(|marker| !marker.is_empty());
    Some((document.groups("Queues/Queue").filter_map(name).collect(), marker))
}

/// The body of a BatchDelete.
pub(super) fn handles(handles: &[Secret]) -> String {
    let list: String =
        handles.iter().map(|handle| format!("<ReceiptHandle>{}</ReceiptHandle>", quick_xml::escape::escape(handle.expose()))).collect();
    document("ReceiptHandles", &list)
}

/// The body of CreateQueue and SetQueueAttributes.
pub(super) fn queue(attributes: &[(&str, u64)]) -> String {
    let list: String = attributes.iter().map(|(name, value)| format!("<{name}>{value}</{name}>")).collect();
    document("Queue", &list)
}

/// The body of Subscribe, for a queue.
pub(super) fn subscription(endpoint: &str) -> String {
    let endpoint = quick_xml::escape::escape(endpoint);
    let list = format!(
        "<NotifyStrategy>EXPONENTIAL_DECAY_RETRY</NotifyStrategy><Endpoint>{endpoint}</Endpoint><NotifyContentFormat>SIMPLIFIED</NotifyContentFormat>"
    );
    document("Subscription", &list)
}

fn document(root: &str, inner: &str) -> String {
    format!("<?xml version=\"1.0\" encoding=\"utf-8\"?><{root} xmlns=\"http://mns.aliyuncs.com/doc/v1/\">{inner}</{root}>")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    macro_rules! fixture {
        ($name:literal) => {
            include_str!(concat!("../../../tests/fixtures/events/mns-xml/", $name))
        };
    }

    fn parse(text: &str) -> Document {
        Document::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn counts_beyond_all_bounds_do_not_make_it_panic() {
        let text = format!("<Queue><ActiveMessages>{0}</ActiveMessages><DelayMessages>{0}</DelayMessages></Queue>", i64::MAX);
        assert_eq!(attributes(&parse(&text)).unwrap().waiting, i64::MAX);
    }

    #[test]
    fn one_message_is_read_raw_and_in_base64() {
        for (text, begins, handle) in [
            (fixture!("receive_raw_json.xml"), "{\"id\":\"238dbcdc", "1-ODU4OTkzNDU5My0xNjA5ODQwNjc1LTItOAAA"),
            (fixture!("receive_base64.xml"), "eyJpZCI6", "1-ODU4OTkzNDU5My0xNjA5ODQwNjc1LTItOAAB"),
        ] {
            let found = messages(&parse(text)).unwrap();
            assert_eq!(found.len(), 1);
            assert!(found[0].body.starts_with(begins), "{}", found[0].body);
            assert_eq!((found[0].handle.expose(), found[0].next_visible_ms), (handle, Some(1_609_840_675_010)));
        }
    }

    #[test]
    fn a_batch_is_read_message_by_message() {
        let found = messages(&parse(fixture!("batch_receive.xml"))).unwrap();
        let handles: Vec<_> = found.iter().map(|message| message.handle.expose()).collect();
        assert_eq!(handles, ["RH1", "RH2"]);
        assert!(found[0].body.starts_with('{') && found[1].body.starts_with("eyJ"));
    }

    #[test]
    fn elements_of_newer_versions_are_passed_over() {
        let text = "<Message xmlns='x'><UserProperties><PropertyValue><Name>ReceiptHandle</Name><ReceiptHandle>wrong</ReceiptHandle>\
                    </PropertyValue></UserProperties><New/><m:ReceiptHandle xmlns:m='y'>right</m:ReceiptHandle>\
                    <MessageBody>{&quot;a&quot;:<![CDATA[\"<b>\"]]>&#125;</MessageBody></Message>";
        let found = messages(&parse(text)).unwrap();
        assert_eq!((found[0].handle.expose(), found[0].body.as_str()), ("right", "{\"a\":\"<b>\"}"));
    }

    #[test]
    fn every_refusal_is_read_by_its_code() {
        for (text, code) in [
            (fixture!("error_AccessDenied.xml"), "AccessDenied"),
            (fixture!("error_MessageNotExist.xml"), "MessageNotExist"),
            (fixture!("error_QpsLimitExceeded.xml"), "QpsLimitExceeded"),
            (fixture!("error_QueueNotExist.xml"), "QueueNotExist"),
            (fixture!("error_ReceiptHandleError.xml"), "ReceiptHandleError"),
            (fixture!("error_SignatureDoesNotMatch.xml"), "SignatureDoesNotMatch"),
            (fixture!("error_TimeExpired.xml"), "TimeExpired"),
        ] {
            assert_eq!(refusal(&parse(text)).unwrap().0, code);
            assert!(messages(&parse(text)).is_none());
        }
    }

    #[test]
    fn a_new_handle_and_what_was_not_deleted_are_read() {
        let (handle, until) = visibility(&parse(fixture!("change_visibility.xml"))).unwrap();
        assert_eq!((handle.expose(), until), ("1-ODU4OTkzNDU5My0xNjA5ODQwNzM1LTItOAAC", Some(1_609_840_735_010)));
        assert_eq!(not_deleted(&parse(fixture!("batch_delete_errors.xml"))).unwrap(), ["ReceiptHandleError"]);
    }

    #[test]
    fn attributes_and_lists_of_queues_are_read_and_times_are_seconds_or_milliseconds() {
        let text = "<Queue xmlns='x'><QueueName>q</QueueName><CreateTime>1609840615</CreateTime><LastModifyTime>1609840616010</LastModifyTime>\
                    <MessageRetentionPeriod>86400</MessageRetentionPeriod><ActiveMessages>3</ActiveMessages><InactiveMessages>1</InactiveMessages></Queue>";
        let expected = Attributes {
            created_ms: Some(1_609_840_615_000),
            modified_ms: Some(1_609_840_616_010),
            waiting: 3,
            in_hands: 1,
            retention: Some(86_400),
        };
        assert_eq!(attributes(&parse(text)), Some(expected));
        let text = "<Queues><Queue><QueueURL>http://1.mns.r.aliyuncs.com/queues/a</QueueURL></Queue>\
                    <Queue><QueueURL>http://1.mns.r.aliyuncs.com/queues/b</QueueURL></Queue><NextMarker>m</NextMarker></Queues>";
        assert_eq!(queues(&parse(text)).unwrap(), (vec!["a".to_owned(), "b".to_owned()], Some("m".to_owned())));
        assert_eq!(queues(&parse("<Queues/>")).unwrap(), (Vec::new(), None));
    }

    #[test]
    fn what_is_not_a_document_is_not_read() {
        for text in ["", "{}", "<a>", "<a></b>", "<a/><b/>", "<!DOCTYPE a><a/>", "<a>&unknown;</a>", "x<a/>"] {
            assert!(Document::parse(text.as_bytes()).is_none(), "{text}");
        }
        assert!(Document::parse(format!("{}{}", "<a>".repeat(10_000), "</a>".repeat(10_000)).as_bytes()).is_none());
        assert!(Document::parse(format!("<a>{}</a>", "<b/>".repeat(10_000)).as_bytes()).is_none());
        assert!(Document::parse(&[0xff, 0xfe]).is_none());
    }

    #[test]
    fn what_is_sent_is_what_the_python_sdk_sends() {
        let vectors: serde_json::Value =
            serde_json::from_str(include_str!("../../../tests/fixtures/events/mns-signature-vectors.json")).unwrap();
        let list = vectors["vectors"].as_array().unwrap().clone();
        let body = |name: &str| list.iter().find(|vector| vector["name"] == name).unwrap()["body"].as_str().unwrap().to_owned();
        let two = ["1-ODU4OTkzNDU5My0xNDYyMTk4NTI2LTIt8AAA", "1-ODU4OTkzNDU5My0xNDYyMTk4NTI2LTIt8AAA2"].map(Secret::new);
        assert_eq!(handles(&two), body("batch_delete_two"));
        let endpoint = "acs:mns:cn-hangzhou:1234567890123456:queues/ros-agent-i-bp1test0001";
        assert_eq!(subscription(endpoint), body("subscribe_queue_to_topic"));
        let attributes = [
            ("VisibilityTimeout", 60),
            ("MaximumMessageSize", 65536),
            ("MessageRetentionPeriod", 86400),
            ("DelaySeconds", 0),
            ("PollingWaitSeconds", 30),
        ];
        assert_eq!(queue(&attributes), body("create_queue"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            let _ = Document::parse(&bytes);
        }

        #[test]
        fn no_near_xml_makes_it_panic(text in "(<[/!?]?[a-zA-Z&;# ]{0,8}>?|&#?[a-z0-9]{0,5};?|Message|ReceiptHandle|\\]\\]>){0,40}") {
            if let Some(document) = Document::parse(format!("<{text}").as_bytes()) {
                let _ = (messages(&document), visibility(&document), refusal(&document), attributes(&document), queues(&document));
            }
        }
    }
}
