//! The listeners from their first byte: heads, signatures and bodies of anybody on the network.

use super::callback::Callback;
use super::intake::Intake;
use super::listen::{Door, talk};
use crate::events::{Arrival, Health, Inlet, Taken, Trust};
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;

/// The target that is configured, and what a tester signs with.
pub const URL: &str = "http://203.0.113.7:8080/events";
/// See [`URL`].
pub const TEST_SECRET: &str = "the secret of the test";
/// The path of the callback.
pub const PATH: &str = "/a-secret-path-of-the-callback";

/// Which listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// `http`.
    Signed,
    /// `callback`.
    Callback,
}

/// What came of the bytes of one connection.
#[derive(Debug)]
pub struct Wire {
    /// What the sender got.
    pub answer: Vec<u8>,
    /// What reached the core.
    pub arrivals: Vec<Arrival>,
}

/// Serves `bytes`.
pub async fn listener(which: Listener, bytes: &[u8]) -> Wire {
    let (sender, mut delivered) = mpsc::channel(crate::events::QUEUE);
    let inlet = Inlet::new("fuzz".into(), sender, Health::new("fuzz", "http"));
    let door = match which {
        Listener::Signed => Door::Signed(Arc::new(Intake::for_fuzzing(URL, TEST_SECRET, inlet))),
        Listener::Callback => Door::Callback(Arc::new(Callback::for_fuzzing(PATH, inlet))),
    };
    let (client, server) = tokio::io::duplex(64 * 1024);
    let (mut reader, mut writer) = tokio::io::split(client);
    let serving = talk(server, Arc::new(door));
    let talking = async {
        let mut answer = Vec::new();
        let saying = async {
            // It may hang up before all is said.
            let _ = writer.write_all(bytes).await;
            let _ = writer.shutdown().await;
        };
        let (_, _) = tokio::join!(saying, reader.read_to_end(&mut answer));
        answer
    };
    let taking = async {
        let mut arrivals = Vec::new();
        while let Some(delivered) = delivered.recv().await {
            let _ = delivered.taken.send(Taken::Look);
            arrivals.push(delivered.arrival);
        }
        arrivals
    };
    let (answer, arrivals, ()) = tokio::join!(talking, taking, serving);
    assert!(arrivals.iter().all(|arrival| which == Listener::Signed || arrival.trust == Trust::Unsigned));
    Wire { answer, arrivals }
}
