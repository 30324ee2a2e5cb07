//! The listeners for EventBridge and ROS's callback: anything that can be said on the network. The first byte says to whom, and whether the
//! body comes with a signature that holds. Without one nothing arrives as signed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ros_signal_agent::clock::Moment;
use ros_signal_agent::events::Trust;
use ros_signal_agent::events::signature::test_headers;
use ros_signal_agent::fuzzing::{Listener, PATH, TEST_SECRET, URL, listener};
use ros_signal_agent_fuzz::{Bounds, KIB, MIB, run};
use std::cell::OnceCell;
use tokio::runtime::{Builder, Runtime};

thread_local!(static RUNTIME: OnceCell<Runtime> = const { OnceCell::new() });

fuzz_target!(|data: &[u8]| run(data, Bounds { memory: 32 * MIB, stretch: 600 * KIB }, |data| RUNTIME.with(|runtime| {
    let runtime = runtime.get_or_init(|| Builder::new_current_thread().enable_all().build().expect("a runtime"));
    let Some((way, data)) = data.split_first() else { return };
    let (which, bytes, signed) = match way % 4 {
        0 => (Listener::Signed, data.to_vec(), false),
        1 => (Listener::Callback, data.to_vec(), false),
        2 => (Listener::Signed, request("/events", &test_headers(TEST_SECRET, URL, data, Moment::now().wall_ms), data), true),
        _ => (Listener::Callback, request(PATH, &[], data), false),
    };
    let wire = runtime.block_on(listener(which, &bytes));
    assert!(wire.answer.is_empty() || wire.answer.starts_with(b"HTTP/1."), "{}", String::from_utf8_lossy(&wire.answer));
    assert!(signed || wire.arrivals.iter().all(|arrival| arrival.trust < Trust::Signed), "{:?}", wire.arrivals);
})));

fn request(path: &str, headers: &[(&str, String)], body: &[u8]) -> Vec<u8> {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let mut request = format!("POST {path} HTTP/1.1\r\nhost: a\r\n{headers}content-length: {}\r\n\r\n", body.len()).into_bytes();
    request.extend(body);
    request
}
