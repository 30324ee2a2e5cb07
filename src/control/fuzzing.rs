//! The control socket from its first byte: HTTP heads, paths, queries and bodies of somebody who may connect.

use super::{Command, Denied, Extension, Peer, Request, connection, mpsc, router};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

/// What came of the bytes of one connection.
#[derive(Debug)]
pub struct Served {
    /// What the client got.
    pub answer: Vec<u8>,
    /// What reached the loop, as it would be ordered.
    pub commands: Vec<Command>,
}

/// Serves `bytes` to somebody who is root, or is not.
pub async fn control(bytes: &[u8], root: bool) -> Served {
    let (requests, mut queue) = mpsc::channel(super::QUEUE);
    let (mut client, server) = UnixStream::pair().expect("a pair of sockets");
    let serving = connection(server, router(requests).layer(Extension(Peer { root })));
    let talking = async {
        let mut answer = Vec::new();
        let (mut reader, mut writer) = client.split();
        let saying = async {
            // It may hang up before all is said.
            let _ = writer.write_all(bytes).await;
            let _ = writer.shutdown().await;
        };
        let (_, _) = tokio::join!(saying, reader.read_to_end(&mut answer));
        answer
    };
    let ordering = async {
        let mut commands = Vec::new();
        while let Some(request) = queue.recv().await {
            // Everything else hears that the agent is stopping.
            if let Request::Command(command, reply) = request {
                commands.push(command);
                let _ = reply.send(Err(Denied { message: "no".to_owned(), hint: "do not".to_owned() }));
            }
        }
        commands
    };
    let (answer, commands, ()) = tokio::join!(talking, ordering, serving);
    Served { answer, commands }
}
