//! Sockets that systemd has opened for us: sd_listen_fds(3), systemd.socket(5).
//!
//! They are taken over once for the life of the process and stay open, so that a source that begins anew after a reload finds its socket again.

use listenfd::ListenFd;
use std::collections::HashMap;
use std::net::TcpListener;
use std::sync::OnceLock;

static SOCKETS: OnceLock<HashMap<String, Vec<TcpListener>>> = OnceLock::new();

/// Takes them over, wanted or not: what nobody takes over is inherited by every child, even where no source uses it.
pub(crate) fn take_over() {
    SOCKETS.get_or_init(take);
}

/// All sockets with this `FileDescriptorName=`, of their own for the caller.
///
/// # Errors
/// If there are none, in words.
pub(super) fn named(name: &str) -> Result<Vec<TcpListener>, String> {
    let sockets = SOCKETS.get_or_init(take);
    let found = sockets.get(name).ok_or_else(|| {
        let mut names: Vec<_> = sockets.keys().map(String::as_str).collect();
        names.sort_unstable();
        let handed = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        format!("systemd has handed over no TCP socket called {name} (handed over: {handed})")
    })?;
    found.iter().map(|socket| socket.try_clone().map_err(|error| format!("the socket {name} of systemd cannot be used: {error}"))).collect()
}

/// Everything that was handed over and is a TCP socket. Descriptors are checked by `listenfd`, named by `sd-notify`, which also keeps them
/// from children.
fn take() -> HashMap<String, Vec<TcpListener>> {
    let mut sockets: HashMap<String, Vec<TcpListener>> = HashMap::new();
    let Ok(names) = sd_notify::listen_fds_with_names() else { return sockets };
    let mut handed = ListenFd::from_env();
    for (index, (_, name)) in names.enumerate() {
        let Ok(Some(socket)) = handed.take_tcp_listener(index) else { continue };
        if socket.set_nonblocking(true).is_ok() {
            sockets.entry(name).or_default().push(socket);
        }
    }
    sockets
}
