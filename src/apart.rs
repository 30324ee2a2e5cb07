//! Work that may hang in the kernel (files of a dead file server, names, children that are being started), on a thread of its own. Each
//! room says for itself how long it waits and how many such threads it may have.

use std::io;
use tokio::sync::oneshot;

/// Begins `work` on a thread called `name`. Whoever waits no more leaves the thread behind; what it gives is dropped then.
///
/// # Errors
/// If no thread can be started. `work` was dropped.
pub(crate) fn begin<T: Send + 'static>(name: &str, work: impl FnOnce() -> T + Send + 'static) -> io::Result<oneshot::Receiver<T>> {
    let (tell, told) = oneshot::channel();
    std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        let _ = tell.send(work());
    })?;
    Ok(told)
}
