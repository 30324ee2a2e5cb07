//! Every example of the page, every variant that was seen, every form in which a body comes.

use super::*;
use http::HeaderValue;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/events")
}

fn fixture(name: &str) -> String {
    std::fs::read_to_string(fixtures().join(name)).unwrap()
}

fn value(name: &str) -> Value {
    serde_json::from_str(&fixture(name)).unwrap()
}

/// As a queue would hand it in.
fn of(body: impl AsRef<[u8]>) -> Result<Vec<Event>, Refused> {
    read(body.as_ref(), Carrier::Message, "")
}

fn one(body: impl AsRef<[u8]>) -> Event {
    let mut events = of(body).unwrap();
    assert_eq!(events.len(), 1);
    events.remove(0)
}

fn base64(text: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(text)
}

const STACK: &str = "b0bb2844-da77-4ceb-afe9-7dd6a97d****";

fn update_complete() -> Value {
    value("samples/ros.StackStateChange.UpdateComplete.json")
}

fn with(change: impl FnOnce(&mut Value)) -> String {
    let mut event = update_complete();
    change(&mut event);
    event.to_string()
}

#[test]
fn every_example_of_the_page_is_read() {
    let mut seen = 0;
    for file in std::fs::read_dir(fixtures().join("samples")).unwrap() {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let sample: Value = serde_json::from_str(&text).unwrap();
        let of = |value: &Value| value.as_str().map(str::to_owned);
        let wanted = Event {
            id: of(&sample["id"]).unwrap(),
            source: "acs.ros".to_owned(),
            kind: of(&sample["type"]).unwrap(),
            stack_id: of(&sample["data"]["StackId"]),
            stack_name: of(&sample["data"]["StackName"]),
            status: of(&sample["data"]["Status"]),
            time: of(&sample["time"]),
            test: false,
        };
        let name = path.display();
        for form in
            [text.clone(), sample.to_string(), base64(&text), Value::String(text.clone()).to_string(), format!("\u{feff}\n{text}\n")]
        {
            for carrier in [Carrier::Message, Carrier::File, Carrier::Http(&HeaderMap::new())] {
                assert_eq!(read(form.as_bytes(), carrier, "x").as_deref(), Ok(&[wanted.clone()][..]), "{name}");
            }
        }
        assert!(kinds::is_known(&wanted.kind), "{name}");
        assert!(kinds::implied_status(&wanted.kind).is_none_or(|implied| Some(implied) == wanted.status.as_deref()), "{name}");
        assert!(wanted.at_ms().is_some(), "{name}");
        seen += 1;
    }
    assert_eq!(seen, 21);
}

#[test]
fn every_variant_has_the_stated_outcome() {
    let variants = value("tolerance-variants.json");
    let variants = variants["variants"].as_array().unwrap();
    assert_eq!(variants.len(), 17);
    for variant in variants {
        let (name, expect) = (variant["name"].as_str().unwrap(), &variant["expect"]);
        let body = variant["event"].to_string();
        let read = of(&body);
        for key in expect.as_object().unwrap().keys() {
            match key.as_str() {
                "accept" => assert_eq!(read.is_ok(), expect["accept"], "{name}: {read:?}"),
                "reason" => assert_eq!(read.clone().unwrap_err().reason(), expect["reason"], "{name}"),
                "events" => assert_eq!(read.as_ref().unwrap().len(), expect["events"], "{name}"),
                "stack_id" => assert_eq!(read.as_ref().unwrap()[0].stack_id.as_deref(), expect["stack_id"].as_str(), "{name}"),
                "dedupe_key" => assert_eq!(read.as_ref().unwrap()[0].id, digest(&[body.as_bytes()]), "{name}"),
                "time_utc" => {
                    let wanted = expect["time_utc"].as_str().and_then(time::read);
                    assert_eq!(read.as_ref().unwrap()[0].at_ms(), wanted, "{name}");
                }
                // No outputs are kept, whatever their form; to look is all that an event ever does.
                "outputs" | "action" => {
                    let status = variant["event"]["data"]["Status"].as_str();
                    assert_eq!(read.as_ref().unwrap()[0].status.as_deref(), status, "{name}");
                }
                other => panic!("{name} states {other}, which nothing here compares"),
            }
        }
    }
}

#[test]
fn an_event_of_each_type_of_the_page_is_a_reason_to_look() {
    for (kind, status) in kinds::KINDS {
        let bare = one(json!({"specversion": "1.0", "id": "1", "source": "acs.ros", "type": kind}).to_string());
        assert_eq!((bare.kind.as_str(), bare.status.as_deref(), bare.stack_id), (kind, status, None), "{kind}");
    }
}

#[test]
fn bodies_of_other_senders_are_read() {
    let body = |name: &str| value(&format!("samples-other/{name}.json"))["body"].clone();
    let stack = Some("b0bb2844-da77-4ceb-afe9-7dd6a97d1111");
    for (name, status) in [
        ("notification-url-post", Some("CREATE_COMPLETE")),
        ("cloudmonitor-callback-new", Some("CREATE_COMPLETE")),
        ("cloudmonitor-callback-old", Some("CREATE_COMPLETE")),
        ("actiontrail-apicall-shape", None),
    ] {
        let bare = one(body(name).to_string());
        assert_eq!((bare.stack_id.as_deref(), bare.status.as_deref()), (stack, status), "{name}");
        let kind = "ros:CloudMonitor:Stack[StatusChange]";
        let wrapped = one(json!({"id": "1", "type": kind, "source": "acs.ros", "data": body(name)}).to_string());
        assert_eq!((wrapped.stack_id.as_deref(), wrapped.status.as_deref(), wrapped.kind.as_str()), (stack, status, kind), "{name}");
    }
    assert_eq!(one(body("cloudmonitor-callback-old").to_string()).id, "939F2DC4-BA3E-4539-BB95-03A300D00000");
}

#[test]
fn the_status_of_a_resource_is_not_taken_for_that_of_its_stack() {
    for kind in ["ros:CloudMonitor:StackResource[StatusChange]", "ros:CloudMonitor:StackGroup[OperationStatusChange]"] {
        let data = json!({"content": {"stackId": "s-1", "status": "DELETE_COMPLETE"}});
        let read = one(json!({"id": "1", "type": kind, "source": "acs.ros", "data": data}).to_string());
        assert_eq!((read.stack_id.as_deref(), read.status), (Some("s-1"), None), "{kind}");
    }
}

#[test]
fn data_may_be_an_object_or_once_a_text_or_base64() {
    let data = update_complete()["data"].clone();
    let as_text = with(|event| event["data"] = Value::String(data.to_string()));
    let as_base64 = with(|event| {
        event["data"] = Value::Null;
        event["data_base64"] = Value::String(base64(&data.to_string()));
    });
    let twice = with(|event| event["data"] = Value::String(Value::String(data.to_string()).to_string()));
    assert_eq!(one(as_text), one(update_complete().to_string()));
    assert_eq!(one(as_base64), one(update_complete().to_string()));
    let twice = one(twice);
    assert_eq!((twice.stack_id.as_deref(), twice.stack_name), (Some(STACK), None), "the subject names the stack, the data are not read");
}

#[test]
fn binary_mode_takes_attributes_from_headers_percent_decoded_once() {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("ce-type", "\"ros:StackStateChange:UpdateComplete\""),
        ("ce-id", "a%2Fb%2525"),
        ("ce-source", "acs.ros"),
        ("ce-specversion", "1.0"),
        ("ce-subject", "acs:ros:cn-hangzhou:1:stack/b0bb2844-da77-4ceb-afe9-7dd6a97d****"),
        ("ce-time", "2021-01-05T09:56:54Z"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let read = |body: &str| read(body.as_bytes(), Carrier::Http(&headers), "");
    let event = read(&update_complete()["data"].to_string()).unwrap().remove(0);
    assert_eq!(event.id, "a/b%25");
    assert_eq!((event.kind.as_str(), event.time.as_deref()), ("ros:StackStateChange:UpdateComplete", Some("2021-01-05T09:56:54Z")));
    assert_eq!((event.stack_id.as_deref(), event.stack_name.as_deref()), (Some(STACK), Some("test-stack")));
    for body in ["", "any text", "<xml/>", "[1]"] {
        let event = read(body).unwrap().remove(0);
        assert_eq!((event.stack_id.as_deref(), event.status.as_deref()), (Some(STACK), Some("UPDATE_COMPLETE")), "{body}");
    }
    let structured = read(&with(|event| event["id"] = json!("of the body"))).unwrap();
    assert_eq!(structured[0].id, "of the body", "a complete event counts, whatever the headers say");
    assert_eq!(read("{\"StackId\":\"another\"}"), Err(Refused::Disagree));
    headers.insert("ce-source", HeaderValue::from_static("acs.oss"));
    assert_eq!(super::read(b"{}", Carrier::Http(&headers), ""), Err(Refused::OtherSource));
}

#[test]
fn bodies_of_the_transforms_are_read() {
    let data = update_complete()["data"].to_string();
    let partial = one(&data);
    assert_eq!((partial.stack_id.as_deref(), partial.status.as_deref(), partial.kind.as_str()), (Some(STACK), Some("UPDATE_COMPLETE"), ""));
    let template = one("{\"StackId\":\"s-1\",\"Status\":\"UPDATE_COMPLETE\"}");
    assert_eq!(template.stack_id.as_deref(), Some("s-1"));
    for text in ["look", "the stack test-stack is now UPDATE_COMPLETE\n", "\"quoted\"", STACK, "abcd"] {
        let constant = one(text);
        assert_eq!(constant, Event { id: constant.id.clone(), ..Event::default() }, "{text}");
        assert_eq!(read(text.as_bytes(), Carrier::File, ""), Err(Refused::NotJson), "a file of somebody: {text}");
    }
    assert_eq!(of("<html>"), Err(Refused::NotJson));
    assert_eq!(of("\u{1}\u{2}"), Err(Refused::NotJson));
    assert_eq!(of("x".repeat(5 * TEXT_LIMIT)), Err(Refused::NotJson));
}

#[test]
fn a_second_delivery_of_the_same_words_is_another_event_where_nothing_else_tells_them_apart() {
    let id = |body: &str, delivery: &str| read(body.as_bytes(), Carrier::Message, delivery).unwrap().remove(0).id;
    for body in ["look", "{\"StackId\":\"s-1\",\"Status\":\"UPDATE_COMPLETE\"}"] {
        assert_eq!(id(body, "m-1"), id(body, "m-1"));
        assert_ne!(id(body, "m-1"), id(body, "m-2"));
    }
    let event = with(|event| event["id"] = Value::Null);
    assert_eq!(id(&event, "m-1"), id(&event, "m-2"), "a complete event has a time of its own");
}

#[test]
fn of_a_batch_those_that_are_no_events_do_not_lose_the_others() {
    let event = update_complete();
    let mut other = event.clone();
    other["source"] = json!("acs.oss");
    assert_eq!(of(json!([other, event, 5]).to_string()).unwrap().len(), 1);
    assert_eq!(of(json!([other, 5]).to_string()), Err(Refused::OtherSource));
    assert_eq!(of("[]"), Err(Refused::NotAnEvent));
    assert_eq!(of("[{}, 1"), Err(Refused::NotJson));
    assert_eq!(of(Value::from(vec![event.clone(); BATCH]).to_string()).unwrap().len(), BATCH);
    assert_eq!(of(Value::from(vec![event; BATCH + 1]).to_string()), Err(Refused::TooMany));
}

#[test]
fn ids_of_a_batch_without_ids_differ() {
    let (mut first, mut second) = (update_complete(), update_complete());
    first["id"] = Value::Null;
    second["id"] = Value::Null;
    second["time"] = json!("2021-01-05T09:56:55Z");
    let events = of(json!([first, second]).to_string()).unwrap();
    assert_ne!(events[0].id, events[1].id);
}

#[test]
fn what_is_no_event_is_refused_with_its_reason() {
    for (body, why) in [
        (String::new(), Refused::Empty),
        (" \n".to_owned(), Refused::Empty),
        ("{".to_owned(), Refused::NotJson),
        (update_complete().to_string()[..300].to_owned(), Refused::NotJson),
        (base64(&update_complete().to_string()[..300]), Refused::NotJson),
        ("{}".to_owned(), Refused::NotAnEvent),
        ("{\"type\":\"ros:Stack:StatusChange\"}".to_owned(), Refused::NotAnEvent),
        ("{\"specversion\":\"1.0\"}".to_owned(), Refused::NotAnEvent),
        (with(|event| event["source"] = json!("acs.rosx")), Refused::OtherSource),
        (
            with(|event| {
                event["source"] = Value::Null;
                event["type"] = json!("oss:Object:Created");
            }),
            Refused::OtherSource,
        ),
        (with(|event| event["data"]["StackId"] = json!(5)), Refused::StackId),
        (with(|event| event["data"]["StackId"] = json!("another")), Refused::Disagree),
        (with(|event| event["x"] = serde_json::from_str(&format!("{}{}", "[".repeat(32), "]".repeat(32))).unwrap()), Refused::TooDeep),
        (with(|event| event["data"] = json!(format!("{{\"a\":{}{}}}", "[".repeat(32), "]".repeat(32)))), Refused::TooDeep),
        (with(|event| event["x"] = json!("x".repeat(LIMIT))), Refused::TooLarge),
    ] {
        assert_eq!(of(&body), Err(why), "{}", &body[..body.len().min(200)]);
    }
    assert_eq!(of([0xff, 0xfe]), Err(Refused::NotJson));
}

#[test]
fn an_event_of_the_largest_size_is_read() {
    let room = LIMIT - with(|event| event["x"] = json!("")).len();
    let body = with(|event| event["x"] = json!("x".repeat(room)));
    assert_eq!((body.len(), one(body).stack_id.as_deref()), (LIMIT, Some(STACK)));
}

#[test]
fn long_texts_are_cut_and_a_long_id_is_hashed() {
    let long = |c: char| c.to_string().repeat(5000);
    let read = one(with(|event| {
        event["id"] = json!(long('i'));
        event["time"] = json!(long('t'));
        event["type"] = json!(long('ä'));
        event["data"]["StackName"] = json!("two\nlines");
        event["data"]["Status"] = json!(long('S'));
    }));
    assert_eq!(read.id, digest(&[long('i').as_bytes()]));
    assert_eq!((read.time.unwrap().len(), read.kind.len(), read.status.unwrap().len()), (TIME_LIMIT, ATTRIBUTE_LIMIT, STATUS_LIMIT));
    assert_eq!(read.stack_name.as_deref(), Some("two lines"));
}

#[test]
fn attributes_of_the_wrong_kind_lose_no_event() {
    for member in ["id", "time", "subject", "specversion", "datacontenttype", "aliyunpublishtime"] {
        for wrong in [json!(5), json!(1.5), json!({"a": [1]}), json!([]), json!(true), Value::Null, json!("")] {
            let read = one(with(|event| event[member] = wrong.clone()));
            assert_eq!(read.stack_id.as_deref(), Some(STACK), "{member} = {wrong}");
            assert!(!read.id.is_empty(), "{member} = {wrong}");
        }
    }
}

#[test]
fn wrappers_of_a_topic_are_taken_off() {
    let direct = one(update_complete().to_string());
    for name in ["topic_notification_body_json.json", "topic_notification_body_xml.xml"] {
        let body = fixture(&format!("topic/{name}"));
        assert_eq!(one(unwrap_topic(body.as_bytes())), direct, "{name}");
    }
}
