//! The ledger survives every fault at every storage call, every crash and every power loss.

use crate::ledger_model::{Fault, Observer, Sim, World};
use ros_signal_agent::clock::Stamp;
use ros_signal_agent::ledger::{ASIDE_LIMIT, Error, Ledger, LedgerHandle, Opened, SIZE_LIMIT};
use ros_signal_agent::signal::{HistoryEntry, LedgerDocument, Round};
use rustix::io::Errno;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

fn document(generation: u64) -> LedgerDocument {
    let stamp = Stamp { boot_id: "0b5e".into(), boot_ms: 41_250, wall_ms: 1_790_000_000_000 };
    let round = Round {
        signal: "web".into(),
        name: "first".to_owned(),
        resource: "WebReady".to_owned(),
        target: None,
        started: stamp,
        extended: None,
        intent: None,
        series: u32::try_from(generation).unwrap(),
        settled: None,
        learned: None,
        confirmation: None,
        operation: None,
    };
    LedgerDocument { generation, instance_id: Some("i-bp1".to_owned()), rounds: vec![round], ..LedgerDocument::empty() }
}

fn bytes(generation: u64) -> Vec<u8> {
    serde_json::to_vec(&document(generation)).unwrap()
}

/// What one run of the agent did before it ended.
struct Run {
    observer: Observer,
    opened: Opened,
    /// Newest generation reported as durable by opening or writing; 0: none.
    durable: u64,
    attempted: u64,
    failed: usize,
}

fn run(world: World, generations: &[u64]) -> Run {
    let (sim, observer) = Sim::new(world);
    let (mut ledger, opened) = Ledger::open_on(sim).unwrap();
    let read = opened.document.as_ref().map_or(0, |document| document.generation);
    // A document that was read but could not be made durable is said to be so.
    let mut run = Run { observer, durable: read, attempted: read, opened, failed: 0 };
    for generation in generations {
        run.attempted = *generation;
        match ledger.write(&document(*generation)) {
            Ok(()) => run.durable = *generation,
            Err(_) => run.failed += 1,
        }
    }
    run
}

fn reopen(world: World) -> (Opened, World) {
    let (sim, observer) = Sim::new(world);
    let (_, opened) = Ledger::open_on(sim).unwrap();
    (opened, observer.world())
}

/// `world` holds the newest durable document or one that was attempted after it, complete, and keeps it over a further power loss.
/// A file that was there in the beginning and was not understood is still there, under whatever name.
fn assert_survived(world: World, durable: u64, attempted: u64, treasure: Option<&[u8]>, case: &str) {
    if let Some(treasure) = treasure {
        assert!(world.files().values().any(|bytes| *bytes == treasure), "{case}: a file that was not understood is lost");
    }
    let (opened, after) = reopen(world);
    assert_eq!(opened.unwritable, None, "{case}");
    if let Some(found) = &opened.document {
        assert!((durable..=attempted).contains(&found.generation), "{case}: found {} not {durable}..={attempted}", found.generation);
        assert_eq!(*found, document(found.generation), "{case}");
    } else {
        assert_eq!(durable, 0, "{case}: generation {durable} is lost");
    }
    let (again, _) = reopen(after.worst_power_loss());
    assert_eq!(again.document, opened.document, "{case}: what was read at the start is lost in a later power loss");
}

const ERRNOS: [Errno; 3] = [Errno::IO, Errno::NOSPC, Errno::ROFS];

fn faults(call: &str, bytes: usize) -> Vec<Fault> {
    let mut faults: Vec<Fault> = ERRNOS.iter().flat_map(|errno| [Fault::Error(*errno), Fault::ErrorAfter(*errno)]).collect();
    faults.extend([Fault::Short, Fault::CrashBefore, Fault::CrashAfter]);
    if call == "write" {
        faults.push(Fault::Error(Errno::INTR));
        faults.extend((0..=bytes).map(Fault::CrashAt));
    }
    faults
}

/// Every fault at every call of "open, write, write, write" that starts with `before` on the disk.
fn every_fault_at_every_call(before: &[(&str, Vec<u8>)], first: u64, treasure: Option<&[u8]>) -> usize {
    let generations = [first, first + 1, first + 2];
    let calls = run(World::with(before), &generations).observer.world().calls;
    let mut cases = 0;
    for (at, (call, bytes)) in calls.iter().enumerate() {
        for fault in faults(call, *bytes) {
            let case = format!("{fault:?} at call {at} ({call})");
            let run = run(World::with(before).failing(at, fault), &generations);
            let world = run.observer.world();
            let crash = matches!(fault, Fault::CrashBefore | Fault::CrashAfter | Fault::CrashAt(_));
            assert!(crash || run.failed <= 1, "{case}: one fault spoils one write, the next is whole again");
            // A ledger that could not be read (an I/O error) is a file that was not understood.
            let unread = before.iter().find(|(name, _)| *name == "ledger.json" && run.opened.document.is_none() && !crash);
            let treasure = treasure.or(unread.map(|(_, bytes)| bytes.as_slice()));
            let baseline = if crash && treasure.is_none() && !before.is_empty() { first - 1 } else { 0 };
            let durable = run.durable.max(baseline);
            let attempted = run.attempted.max(baseline);
            assert_survived(world.killed(), durable, attempted, treasure, &format!("{case}, killed"));
            for (number, loss) in world.power_losses().into_iter().enumerate() {
                assert_survived(loss, durable, attempted, treasure, &format!("{case}, power loss {number}"));
            }
            cases += 1;
        }
    }
    cases
}

#[test]
fn every_fault_at_every_call_leaves_the_old_or_the_new_document() {
    assert!(every_fault_at_every_call(&[("ledger.json", bytes(1))], 2, None) > 1000);
}

#[test]
fn every_fault_at_every_call_of_the_first_run_leaves_nothing_or_a_whole_document() {
    assert!(every_fault_at_every_call(&[], 1, None) > 1000);
}

#[test]
fn every_fault_at_every_call_keeps_a_file_that_was_not_understood() {
    let garbage = b"{\"format\": 1, \"gener".to_vec();
    every_fault_at_every_call(&[("ledger.json", garbage.clone()), ("ledger.tmp", b"half".to_vec())], 1, Some(&garbage));
}

#[test]
fn a_disk_that_breaks_for_good_at_any_call_keeps_the_newest_durable_document() {
    let before = [("ledger.json", bytes(1))];
    let calls = run(World::with(&before), &[2, 3]).observer.world().calls.len();
    for at in 0..calls {
        for errno in ERRNOS {
            let run = run(World::with(&before).failing(at, Fault::Broken(errno)), &[2, 3]);
            assert_eq!(run.opened.document.is_some(), at > 2, "the third call reads");
            let durable = run.durable.max(1);
            for loss in run.observer.world().power_losses() {
                assert_survived(loss, durable, run.attempted, None, &format!("{errno} from call {at} on"));
            }
        }
    }
}

#[test]
fn every_fault_at_every_call_keeps_the_ledger_of_another_instance() {
    let old = bytes(1);
    let replay = |world: World| {
        let (sim, observer) = Sim::new(world);
        let (mut ledger, _) = Ledger::open_on(sim).unwrap();
        // What fails here is done before the write.
        let _ = ledger.archive("i-old");
        let durable = if ledger.write(&document(8)).is_ok() { 8 } else { 0 };
        (observer.world(), durable)
    };
    let before = World::with(&[("ledger.json", old.clone())]);
    for (at, (call, length)) in replay(before.clone()).0.calls.iter().enumerate() {
        for fault in faults(call, *length) {
            let (world, durable) = replay(before.clone().failing(at, fault));
            for (number, after) in world.power_losses().into_iter().chain([world.killed()]).enumerate() {
                assert_survived(after, durable, 8, Some(&old), &format!("{fault:?} at call {at} ({call}), end {number}"));
            }
        }
    }
}

#[test]
fn a_file_system_that_stays_broken_is_memory_mode_and_mended_it_is_used_again() {
    let (sim, observer) = Sim::new(World::with(&[("ledger.json", bytes(1))]).failing(1, Fault::Error(Errno::ROFS)));
    let (mut ledger, opened) = Ledger::open_on(sim).unwrap();
    assert_eq!(opened.document, Some(document(1)), "what can be read is used");
    let said = opened.unwritable.unwrap();
    assert!(said.starts_with("cannot lock /state/ledger.lock: Read-only file system"), "{said}");
    assert!(said.contains("\nhint: the file system is mounted read-only"), "{said}");
    observer.fail_from_now(Some(Fault::Error(Errno::ROFS)));
    assert!(ledger.write(&document(2)).is_err());
    observer.fail_from_now(None);
    ledger.write(&document(3)).unwrap();
    let (opened, _) = reopen(observer.world().worst_power_loss());
    assert_eq!(opened.document, Some(document(3)));
    assert_eq!(opened.set_aside, None);
}

#[test]
fn a_write_error_names_step_file_cause_and_a_hint() {
    let (sim, observer) = Sim::new(World::default());
    let (mut ledger, _) = Ledger::open_on(sim).unwrap();
    observer.fail_from_now(None);
    let at = observer.world().calls.len();
    // remove, create, write
    let (sim, _) = Sim::new(World::default().failing(at + 2, Fault::Error(Errno::NOSPC)));
    ledger.write(&document(1)).unwrap();
    let (mut ledger, _) = Ledger::open_on(sim).unwrap();
    insta::assert_snapshot!(ledger.write(&document(1)).unwrap_err(), @r"
    cannot write /state/ledger.tmp: No space left on device (os error 28)
    hint: free some space or inodes on this file system; the agent tries again by itself
    ");
}

#[test]
fn a_second_process_is_told_who_has_the_lock() {
    let (sim, observer) = Sim::new(World::default());
    let (ledger, _) = Ledger::open_on(sim).unwrap();
    assert!(matches!(Ledger::open_on(observer.second_process()), Err(Error::Locked { pid: Some(4711), .. })));
    drop(ledger);
    Ledger::open_on(observer.second_process()).unwrap();
}

#[test]
fn on_a_real_disk_a_second_agent_is_refused_with_the_pid_of_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("deep/state");
    let (first, _) = Ledger::open(&state).unwrap();
    let error = Ledger::open(&state).unwrap_err();
    let expected = format!("{}/ledger.lock is locked by another agent (pid {})", state.display(), std::process::id());
    assert_eq!(error.to_string().lines().next(), Some(expected.as_str()));
    drop(first);
    Ledger::open(&state).unwrap();
}

#[test]
fn on_a_real_disk_files_are_private_and_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let (mut ledger, opened) = Ledger::open(&state).unwrap();
    assert_eq!(opened, Opened::default());
    ledger.write(&document(1)).unwrap();
    ledger.write(&document(2)).unwrap();
    drop(ledger);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&state), 0o700);
    assert_eq!(mode(&state.join("ledger.json")), 0o600);
    assert_eq!(mode(&state.join("ledger.lock")), 0o600);
    assert!(!state.join("ledger.tmp").exists());
    assert_eq!(Ledger::open(&state).unwrap().1.document, Some(document(2)));
}

/// Opens a real directory whose `ledger.json` was made by `put`.
fn open_with(put: impl FnOnce(&Path)) -> (tempfile::TempDir, Opened) {
    let dir = tempfile::tempdir().unwrap();
    put(&dir.path().join("ledger.json"));
    let (_, opened) = Ledger::open(dir.path()).unwrap();
    (dir, opened)
}

#[test]
fn what_is_not_a_ledger_is_set_aside_and_the_reason_told() {
    let (dir, opened) = open_with(|path| fs::write(path, "{\"format\":1,").unwrap());
    let aside = opened.set_aside.unwrap();
    assert_eq!(aside.path, dir.path().join("ledger.corrupt-1"));
    assert!(aside.why.starts_with("not a ledger: EOF while parsing"), "{}", aside.why);
    assert_eq!(opened.unwritable, None);
    assert_eq!(fs::read_to_string(aside.path).unwrap(), "{\"format\":1,");
}

#[test]
fn what_is_larger_than_the_limit_is_set_aside_unparsed() {
    let (_dir, opened) = open_with(|path| fs::write(path, vec![b' '; SIZE_LIMIT + 1]).unwrap());
    assert_eq!(opened.set_aside.unwrap().why, "larger than 1048576 bytes");
}

#[test]
fn deep_nesting_is_set_aside() {
    let (_dir, opened) = open_with(|path| fs::write(path, "[".repeat(500_000)).unwrap());
    assert!(opened.set_aside.is_some());
}

#[test]
fn a_link_is_not_followed() {
    let (dir, opened) = open_with(|path| {
        let elsewhere = path.with_file_name("elsewhere.json");
        fs::write(&elsewhere, bytes(7)).unwrap();
        std::os::unix::fs::symlink(elsewhere, path).unwrap();
    });
    assert_eq!(opened.document, None);
    assert!(opened.set_aside.is_some());
    assert_eq!(fs::read(dir.path().join("elsewhere.json")).unwrap(), bytes(7));
}

#[test]
fn a_fifo_does_not_hang_the_start() {
    let (_dir, opened) = open_with(|path| {
        rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
    });
    assert_eq!(opened.set_aside.unwrap().why, "cannot be read: not a regular file");
}

#[test]
fn a_ledger_of_a_newer_agent_is_set_aside_under_its_format() {
    let newer = r#"{"format": 2, "generation": "of another kind"}"#;
    let (dir, opened) = open_with(|path| fs::write(path, newer).unwrap());
    let aside = opened.set_aside.unwrap();
    assert_eq!(aside.path, dir.path().join("ledger.format-2-1"));
    assert_eq!(aside.why, "format 2 is newer than 1, which this agent knows");
    assert_eq!(fs::read_to_string(aside.path).unwrap(), newer);
}

#[test]
fn files_set_aside_are_numbered_never_overwritten_and_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.json");
    for number in 1..=ASIDE_LIMIT {
        fs::write(&path, format!("garbage {number}")).unwrap();
        let (_, opened) = Ledger::open(dir.path()).unwrap();
        assert_eq!(opened.set_aside.unwrap().path, dir.path().join(format!("ledger.corrupt-{number}")));
    }
    fs::write(&path, "one too many").unwrap();
    let (mut ledger, opened) = Ledger::open(dir.path()).unwrap();
    assert_eq!(opened.set_aside, None);
    let said = opened.unwritable.unwrap();
    assert!(said.contains("16 ledgers were set aside before\nhint: look at"), "{said}");
    assert!(ledger.write(&document(1)).is_err());
    assert_eq!(fs::read_to_string(&path).unwrap(), "one too many");
    for number in 1..=ASIDE_LIMIT {
        assert_eq!(fs::read_to_string(dir.path().join(format!("ledger.corrupt-{number}"))).unwrap(), format!("garbage {number}"));
    }
    // Someone has looked.
    fs::remove_file(dir.path().join("ledger.corrupt-3")).unwrap();
    ledger.write(&document(1)).unwrap();
    assert_eq!(fs::read_to_string(dir.path().join("ledger.corrupt-3")).unwrap(), "one too many");
}

#[test]
fn the_ledger_of_another_instance_is_archived_under_its_id() {
    let dir = tempfile::tempdir().unwrap();
    let (mut ledger, _) = Ledger::open(dir.path()).unwrap();
    assert_eq!(ledger.archive("i-old").unwrap(), None, "nothing there, nothing to archive");
    ledger.write(&document(5)).unwrap();
    let path = ledger.archive("i-old/../../x").unwrap().unwrap();
    assert_eq!(path, dir.path().join("ledger.instance-i-old_.._.._x-1"));
    ledger.write(&document(6)).unwrap();
    drop(ledger);
    assert_eq!(serde_json::from_slice::<LedgerDocument>(&fs::read(path).unwrap()).unwrap(), document(5));
    assert_eq!(Ledger::open(dir.path()).unwrap().1.document, Some(document(6)));
}

#[test]
fn a_state_directory_that_cannot_be_made_is_memory_mode_until_it_can() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    fs::write(&state, "in the way").unwrap();
    let (mut ledger, opened) = Ledger::open(&state).unwrap();
    let said = opened.unwritable.unwrap();
    assert!(said.starts_with(&format!("cannot use {}: ", state.display())), "{said}");
    let error = ledger.write(&document(1)).unwrap_err();
    assert_eq!(error.path, state);
    fs::remove_file(&state).unwrap();
    ledger.write(&document(2)).unwrap();
    drop(ledger);
    assert_eq!(Ledger::open(&state).unwrap().1.document, Some(document(2)));
}

#[test]
fn a_ledger_that_turns_up_later_is_not_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    fs::write(&state, "in the way").unwrap();
    let (mut ledger, _) = Ledger::open(&state).unwrap();
    fs::remove_file(&state).unwrap();
    fs::create_dir(&state).unwrap();
    fs::write(state.join("ledger.json"), bytes(9)).unwrap();
    ledger.write(&document(2)).unwrap();
    assert_eq!(fs::read(state.join("ledger.unread-1")).unwrap(), bytes(9));
}

#[test]
fn a_document_that_could_not_be_read_back_is_not_written() {
    let (sim, _) = Sim::new(World::default());
    let (mut ledger, _) = Ledger::open_on(sim).unwrap();
    let mut huge = document(1);
    huge.history.push(HistoryEntry { at_ms: 0, signal: None, what: "x".repeat(SIZE_LIMIT) });
    assert_eq!(ledger.write(&huge).unwrap_err().cause, "larger than 1048576 bytes");
}

/// Longer than any machine needs; only a failing test waits so long.
const LONG: Duration = Duration::from_secs(60);

fn current_thread() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

#[test]
fn a_hung_disk_blocks_neither_record_nor_close_and_the_newest_document_wins() {
    let (entered_tx, entered) = mpsc::channel();
    let (leave, leave_rx) = mpsc::channel();
    let (sim, observer) = Sim::new(World::default());
    let (ledger, _) = Ledger::open_on(sim.stalling(entered_tx, leave_rx)).unwrap();
    let mut handle = ledger.start().unwrap();
    handle.record(document(1));
    entered.recv_timeout(LONG).unwrap();
    // The sync of generation 1 hangs now; ten thousand more documents are taken all the same.
    for generation in 2..=10_000 {
        handle.record(document(generation));
    }
    leave.send(()).unwrap();
    let runtime = current_thread();
    let first = runtime.block_on(handle.written()).unwrap();
    assert_eq!((first.generation, first.result), (1, Ok(())));
    entered.recv_timeout(LONG).unwrap();
    leave.send(()).unwrap();
    let second = runtime.block_on(handle.written()).unwrap();
    assert_eq!((second.generation, second.result), (10_000, Ok(())));
    handle.record(document(10_001));
    entered.recv_timeout(LONG).unwrap();
    assert_eq!(runtime.block_on(handle.close(Duration::from_millis(10))), None, "it still hangs");
    assert_eq!(reopen(observer.world().worst_power_loss()).0.document, Some(document(10_000)));
    drop(leave);
}

#[test]
fn the_thread_is_called_ledger() {
    let (entered_tx, entered) = mpsc::channel();
    let (leave, leave_rx) = mpsc::channel();
    let (sim, _) = Sim::new(World::default());
    let (ledger, _) = Ledger::open_on(sim.stalling(entered_tx, leave_rx)).unwrap();
    let handle = ledger.start().unwrap();
    handle.record(document(1));
    entered.recv_timeout(LONG).unwrap();
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let names: Vec<String> = tasks.filter_map(|task| fs::read_to_string(task.unwrap().path().join("comm")).ok()).collect();
    assert!(names.iter().any(|name| name == "ledger\n"), "{names:?}");
    drop(leave);
}

#[test]
fn a_child_does_not_inherit_the_lock() {
    let dir = tempfile::tempdir().unwrap();
    let lock = dir.path().join("ledger.lock");
    let (_ledger, _) = Ledger::open(dir.path()).unwrap();
    let output = std::process::Command::new("ls").args(["-l", "/proc/self/fd"]).output().unwrap();
    let listed = String::from_utf8(output.stdout).unwrap();
    assert!(listed.contains("/proc/") && !listed.contains(lock.to_str().unwrap()), "{listed}");
}

#[test]
fn closing_writes_what_was_recorded_last() {
    let dir = tempfile::tempdir().unwrap();
    let (handle, _) = LedgerHandle::open(dir.path()).unwrap();
    handle.record(document(1));
    handle.record(document(2));
    let last = current_thread().block_on(handle.close(LONG)).unwrap();
    assert_eq!((last.generation, last.result), (2, Ok(())));
    assert_eq!(Ledger::open(dir.path()).unwrap().1.document, Some(document(2)));
}

#[test]
fn an_archive_asked_of_the_thread_happens_before_the_next_write() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("ledger.json"), bytes(3)).unwrap();
    let (handle, opened) = LedgerHandle::open(dir.path()).unwrap();
    assert_eq!(opened.document, Some(document(3)));
    handle.archive("i-bp1");
    handle.record(document(1));
    current_thread().block_on(handle.close(LONG)).unwrap().result.unwrap();
    assert_eq!(fs::read(dir.path().join("ledger.instance-i-bp1-1")).unwrap(), bytes(3));
    assert_eq!(Ledger::open(dir.path()).unwrap().1.document, Some(document(1)));
}

#[test]
fn a_loop_that_fetches_no_results_still_gets_its_last_document_written() {
    let (sim, observer) = Sim::new(World::default());
    let (ledger, _) = Ledger::open_on(sim).unwrap();
    let handle = ledger.start().unwrap();
    for generation in 1..=1000 {
        handle.record(document(generation));
        std::thread::yield_now();
    }
    let last = current_thread().block_on(handle.close(LONG)).unwrap();
    assert_eq!((last.generation, last.result), (1000, Ok(())));
    assert_eq!(reopen(observer.world().worst_power_loss()).0.document, Some(document(1000)));
}

mod outside_data {
    use super::*;
    use proptest::prelude::*;

    fn open_bytes(contents: &[u8]) -> (Opened, World) {
        let (opened, world) = reopen(World::with(&[("ledger.json", contents.to_vec())]));
        assert_eq!(opened.document.is_some(), opened.set_aside.is_none());
        assert!(world.files().values().any(|bytes| *bytes == contents), "nothing that was found is lost");
        (opened, world)
    }

    #[test]
    fn every_truncation_is_set_aside() {
        let whole = bytes(1);
        for length in 0..whole.len() {
            assert_eq!(open_bytes(&whole[..length]).0.document, None, "{length}");
        }
    }

    proptest! {
        #[test]
        fn random_bytes_are_set_aside(contents in proptest::collection::vec(any::<u8>(), 0..4096)) {
            open_bytes(&contents);
        }

        #[test]
        fn a_changed_byte_is_understood_or_set_aside(at in 0_usize..300, to in any::<u8>()) {
            let mut contents = bytes(1);
            let length = contents.len();
            contents[at % length] = to;
            open_bytes(&contents);
        }
    }
}
