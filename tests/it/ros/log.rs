//! A log that a test can read.

use std::io::Write;
use std::sync::{Arc, Mutex, Once};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::util::SubscriberInitExt as _;

#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Takes down everything that this thread says, until the guard is dropped.
    pub(crate) fn listen(&self) -> DefaultGuard {
        // What a callsite cares for is kept for the whole process, and a test beside this one, to which nobody listens, can be the first
        // to come by it just while this subscriber is made. With one that is always there nothing is ever kept as of no interest.
        static ALWAYS: Once = Once::new();
        ALWAYS.call_once(|| tracing::subscriber::set_global_default(tracing_subscriber::registry()).unwrap());
        let writer = self.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_max_level(tracing::Level::TRACE);
        subscriber.with_writer(move || writer.clone()).finish().set_default()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
