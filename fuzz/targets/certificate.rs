//! Certificates, PEM or DER: of servers, of files, of EventBridge.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ros_signal_agent::events::signature::{Key, SigningKey};
use ros_signal_agent::fuzzing::certificate;
use ros_signal_agent_fuzz::{Bounds, MIB, file, run};

fuzz_target!(|data: &[u8]| run(data, Bounds { memory: 32 * MIB, stretch: MIB }, |data| {
    let _ = Key::of_certificate(data);
    let _ = SigningKey::of_pem(data);
    certificate(&file("chain.pem", data));
}));
