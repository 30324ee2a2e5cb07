//! The ledger thread: durable writes beside the loop, so that a hung sync never stops the loop (and the watchdog with it).
//!
//! Between the loop and the thread lies a mailbox of one document. A newer document replaces an older one that was not taken yet:
//! documents are whole, so the newer one contains the older one, and the mailbox can neither fill up nor block the loop.
//! Results wait in a bounded channel; when the loop does not fetch them the thread stops taking documents until it does.

use super::storage::{Disk, Storage};
use super::{Error, Ledger, WriteError};
use crate::signal::LedgerDocument;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;

/// Results that wait to be fetched.
const RESULTS: usize = 16;

/// What came of one write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Of the document that was written. Every older generation is contained in it.
    pub generation: u64,
    /// Durable, or why not. The thread does not try a document again by itself: record it again.
    pub result: Result<(), WriteError>,
}

/// The loop's end of the ledger thread.
#[derive(Debug)]
pub struct LedgerHandle {
    mailbox: Arc<Mailbox>,
    results: mpsc::Receiver<Written>,
}

#[derive(Debug, Default)]
struct Mailbox {
    slot: Mutex<Slot>,
    changed: Condvar,
}

/// Never locked during I/O.
#[derive(Debug, Default)]
struct Slot {
    document: Option<LedgerDocument>,
    /// The file is of this instance and must be set aside before the next write.
    archive: Option<String>,
    closing: bool,
}

impl Mailbox {
    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        self.slot().closing = true;
        self.changed.notify_one();
    }

    /// Waits for a document. None when the loop is gone and everything is written.
    fn take(&self) -> Option<(Option<String>, LedgerDocument)> {
        let mut slot = self.slot();
        loop {
            if let Some(document) = slot.document.take() {
                return Some((slot.archive.take(), document));
            }
            if slot.closing {
                return None;
            }
            slot = self.changed.wait(slot).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl<S: Storage> Ledger<S> {
    /// Hands the ledger to its own thread, named `ledger`.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(self) -> Result<LedgerHandle, Error> {
        let mailbox = Arc::new(Mailbox::default());
        let (sender, results) = mpsc::channel(RESULTS);
        let theirs = Arc::clone(&mailbox);
        let run = move || keep(self, &theirs, &sender);
        std::thread::Builder::new().name("ledger".to_owned()).spawn(run).map_err(Error::Thread)?;
        Ok(LedgerHandle { mailbox, results })
    }
}

fn keep<S: Storage>(mut ledger: Ledger<S>, mailbox: &Mailbox, results: &mpsc::Sender<Written>) {
    while let Some((archive, document)) = mailbox.take() {
        if let Some(id) = archive {
            // Kept in mind by the ledger: if it fails now, the write fails, and says why.
            let _ = ledger.archive(&id);
        }
        let written = Written { generation: document.generation, result: ledger.write(&document) };
        // Nobody fetches results any more: the loop is closing, but what it recorded is still written.
        let _ = results.blocking_send(written);
    }
}

impl LedgerHandle {
    /// Opens `dir` and starts the thread; see [`Ledger::open`] and [`Ledger::start`].
    ///
    /// # Errors
    /// If another agent holds the lock, or there is no thread to be had.
    pub fn open(dir: &std::path::Path) -> Result<(Self, super::Opened), Error> {
        let (ledger, opened) = Ledger::<Disk>::open(dir)?;
        Ok((ledger.start()?, opened))
    }

    /// Asks for `document` to be made durable, in place of one that waits. Never blocks.
    pub fn record(&self, document: LedgerDocument) {
        self.mailbox.slot().document = Some(document);
        self.mailbox.changed.notify_one();
    }

    /// The file belongs to the instance `id`, and this is another one: it is set aside before the next document is written.
    /// A document that still waits is dropped. Never blocks.
    pub fn archive(&self, id: &str) {
        let mut slot = self.mailbox.slot();
        slot.document = None;
        slot.archive.get_or_insert_with(|| id.to_owned());
    }

    /// The next result; waits for it. None when the thread is gone. Safe to cancel.
    pub async fn written(&mut self) -> Option<Written> {
        self.results.recv().await
    }

    /// Lets the thread finish what was recorded, for at most `limit`, and gives the last result that was not fetched yet.
    /// A write that hangs longer is left alone; the end of the process ends it, and the ledger then holds the old or the new document.
    pub async fn close(mut self, limit: Duration) -> Option<Written> {
        self.mailbox.close();
        let mut last = None;
        let drain = async {
            while let Some(written) = self.results.recv().await {
                last = Some(written);
            }
        };
        if tokio::time::timeout(limit, drain).await.is_err() {
            tracing::warn!("the last write of the ledger did not end in time");
        }
        last
    }
}

impl Drop for LedgerHandle {
    fn drop(&mut self) {
        self.mailbox.close();
    }
}
