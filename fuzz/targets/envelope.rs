//! Bodies of events, however they come: CloudEvents in all their modes, batches, base64, wrappers of topics, texts. What was read and is
//! written as an event again says the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ros_signal_agent::events::Event;
use ros_signal_agent::events::envelope::{BATCH, Carrier, LIMIT, read, unwrap_topic};
use ros_signal_agent_fuzz::{Bounds, KIB, MIB, run};

fuzz_target!(|data: &[u8]| run(data, Bounds { memory: 16 * MIB, stretch: LIMIT + KIB }, |data| {
    for carrier in [Carrier::Message, Carrier::File] {
        if let Ok(events) = read(data, carrier, "delivery") {
            judge(&events);
        }
    }
    let inner = unwrap_topic(data);
    assert!(inner.len() <= data.len().max(LIMIT), "a wrapper holds less than it is");
    let _ = read(&inner, Carrier::Message, "");
}));

fn judge(events: &[Event]) {
    assert!((1..=BATCH).contains(&events.len()));
    for event in events {
        let texts = [Some(&event.id), Some(&event.source), Some(&event.kind), event.stack_id.as_ref(), event.stack_name.as_ref()];
        let texts = texts.into_iter().chain([event.status.as_ref(), event.time.as_ref()]).flatten();
        for text in texts {
            assert!(text.len() <= 255 && !text.contains(char::is_control), "{event:?}");
        }
        assert!(!event.test, "nothing in a body says that it is a test");
        let _ = event.at_ms();
        if event.source.starts_with("acs") && !event.kind.is_empty() {
            again(event);
        }
    }
}

/// Written as EventBridge writes it.
fn again(event: &Event) {
    let document = serde_json::json!({
        "specversion": "1.0", "id": event.id, "source": event.source, "type": event.kind, "time": event.time,
        "data": {"StackId": event.stack_id, "StackName": event.stack_name, "Status": event.status},
    });
    let read = read(document.to_string().as_bytes(), Carrier::Message, "delivery").expect("what we write");
    let [once] = read.as_slice() else { panic!("one event became {}", read.len()) };
    let plain = |text: &Option<String>| text.clone().unwrap_or_default();
    assert_eq!((&once.id, &once.kind, &once.stack_id, &once.time), (&event.id, &event.kind, &event.stack_id, &event.time));
    assert_eq!(plain(&once.stack_name), plain(&event.stack_name));
}
