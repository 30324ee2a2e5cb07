//! The ledger as a disk gives it back: understood or set aside, never half of each. What is understood is written and read again as the
//! same, and the core lives with it for a while, whatever it says.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ros_signal_agent::agent::{Core, Effect, Identity, Input, Turn};
use ros_signal_agent::clock::Moment;
use ros_signal_agent::ledger::Ledger;
use ros_signal_agent::ledger::storage::{LockError, Storage};
use ros_signal_agent::signal::LedgerDocument;
use ros_signal_agent_fuzz::{Bounds, KIB, MIB, plan, run};
use std::collections::BTreeMap;
use std::io::{Error, ErrorKind, Result};
use std::path::Path;

const NAME: &str = "ledger.json";

fuzz_target!(|data: &[u8]| run(data, Bounds { memory: 64 * MIB, stretch: MIB + 4 * KIB }, |data| {
    let mut memory = Memory::default();
    memory.0.insert(NAME.to_owned(), data.to_vec());
    let (mut ledger, opened) = Ledger::open_on(memory).expect("nobody else has it");
    assert_eq!(opened.unwritable, None);
    assert!(opened.document.is_some() != opened.set_aside.is_some(), "{opened:?}");
    let document = opened.document.unwrap_or_else(LedgerDocument::empty);
    if ledger.write(&document).is_ok() {
        let written = serde_json::to_vec(&document).expect("it can be written");
        assert_eq!(read(written).as_ref(), Some(&document), "what is written is read as the same");
    } else {
        assert!(data.len() > 256 * KIB, "what is small can be written");
    }
    for now in [Moment { boot_ms: 5_000, wall_ms: 1_790_000_000_000 }, Moment { boot_ms: i64::from(u32::MAX), wall_ms: 0 }] {
        live(document.clone(), now);
    }
}));

/// Some turns of the core after a start with `document`.
fn live(document: LedgerDocument, now: Moment) {
    let mut turn = Turn { now, dice: 7 };
    let mut core = Core::new(plan::plan().clone(), "boot".into(), document, turn);
    let identity = Identity { instance_id: "i-fuzz".to_owned(), region: Some("cn-hangzhou".to_owned()), stack_id: None, names: Vec::new() };
    for input in [Input::Tick, Input::Identified(Ok(identity)), Input::Tick, Input::Tick] {
        let effects = core.step(turn, input);
        for effect in effects {
            if let Effect::Record(document) = effect {
                let written = serde_json::to_vec(&*document).expect("it can be written");
                assert!(read(written).is_some_and(|read| read == *document), "what the core records can be read");
            }
        }
        let _ = core.wake();
        turn.now.boot_ms += 40_000;
        turn.now.wall_ms += 40_000;
    }
}

fn read(bytes: Vec<u8>) -> Option<LedgerDocument> {
    let mut memory = Memory::default();
    memory.0.insert(NAME.to_owned(), bytes);
    Ledger::open_on(memory).ok()?.1.document
}

/// A directory in memory.
#[derive(Default)]
struct Memory(BTreeMap<String, Vec<u8>>);

impl Storage for Memory {
    type File = String;

    fn path(&self) -> &Path {
        Path::new("/state")
    }

    fn prepare(&mut self) -> Result<()> {
        Ok(())
    }

    fn lock(&mut self) -> std::result::Result<(), LockError> {
        Ok(())
    }

    fn list(&mut self) -> Result<Vec<String>> {
        Ok(self.0.keys().filter(|name| name.starts_with("ledger.")).cloned().collect())
    }

    fn read(&mut self, name: &str, limit: usize) -> Result<Vec<u8>> {
        let bytes = self.0.get(name).ok_or(Error::from(ErrorKind::NotFound))?;
        Ok(bytes[..bytes.len().min(limit)].to_vec())
    }

    fn create(&mut self, name: &str) -> Result<String> {
        self.0.insert(name.to_owned(), Vec::new());
        Ok(name.to_owned())
    }

    fn write(&mut self, file: &mut String, bytes: &[u8]) -> Result<usize> {
        self.0.entry(file.clone()).or_default().extend(bytes);
        Ok(bytes.len())
    }

    fn sync(&mut self, _: &mut String) -> Result<()> {
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<()> {
        let bytes = self.0.remove(from).ok_or(Error::from(ErrorKind::NotFound))?;
        self.0.insert(to.to_owned(), bytes);
        Ok(())
    }

    fn rename_new(&mut self, from: &str, to: &str) -> Result<()> {
        self.rename(from, to)
    }

    fn remove(&mut self, name: &str) -> Result<()> {
        self.0.remove(name).map(drop).ok_or(Error::from(ErrorKind::NotFound))
    }

    fn sync_dir(&mut self) -> Result<()> {
        Ok(())
    }
}
