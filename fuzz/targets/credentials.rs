//! Everything that hands out keys. The first byte says in which form.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ros_signal_agent::fuzzing::{credentials, identity};
use ros_signal_agent::instance::Metadata;
use ros_signal_agent_fuzz::plan::plan;
use ros_signal_agent_fuzz::{Bounds, MIB, file, run};
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

fuzz_target!(|data: &[u8]| run(data, Bounds { memory: 64 * MIB, stretch: MIB }, |data| {
    let Some((way, text)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    identity(text);
    let path = if matches!(way % 8, 4 | 5) { file("profiles", text.as_bytes()) } else { Default::default() };
    credentials(*way, text, &path, metadata());
}));

fn metadata() -> &'static Arc<Metadata> {
    static METADATA: OnceLock<Arc<Metadata>> = OnceLock::new();
    METADATA.get_or_init(|| Arc::new(Metadata::new(&plan().instance, &HashMap::new()).expect("a metadata service")))
}
