//! Work that may hang (names, files of a dead file server), on a thread of its own, waited for within a bound.

use std::time::Duration;

/// What `work` gives, if it ends within `within`. A thread that hangs is left behind; it ends with the program. The number of threads is
/// that of the doctor's steps.
///
/// # Errors
/// In words: it hangs, or there is no thread.
pub(super) async fn apart<T: Send + 'static>(within: Duration, work: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    let ended = crate::apart::begin("doctor", work).map_err(|error| format!("no thread for it: {error}"))?;
    match tokio::time::timeout(within, ended).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(_)) => Err("it ended without an answer".to_owned()),
        Err(_) => Err(format!("no answer within {}s", within.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_hangs_is_left_behind() {
        let (_never, forever) = std::sync::mpsc::channel::<()>();
        assert_eq!(apart(Duration::from_secs(5), || 7).await, Ok(7));
        let hung = apart(Duration::from_millis(1), move || forever.recv()).await;
        assert!(hung.unwrap_err().starts_with("no answer within"));
    }
}
