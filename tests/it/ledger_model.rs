//! A file system in memory that fails on demand and loses power.
//!
//! It promises only what POSIX does: contents are durable after fsync of the file, names after fsync of the directory, a rename is
//! atomic. In a power loss each change of a name that was not synced is kept or lost, independently of the others, and contents
//! that were not synced are kept, cut short, zeroed or lost.

use ros_signal_agent::ledger::storage::{LockError, Storage};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, mpsc};

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    /// The call fails and does nothing.
    Error(Errno),
    /// The call fails and has done its work all the same.
    ErrorAfter(Errno),
    /// This call and all that follow fail and do nothing.
    Broken(Errno),
    /// A write takes only half of what it was given; other calls are not hurt.
    Short,
    /// The process ends before the call.
    CrashBefore,
    /// The process ends after the call.
    CrashAfter,
    /// The process ends when a write has taken so many bytes.
    CrashAt(usize),
    /// From this call on the disk is so.
    Becomes(Condition),
}

/// How a disk is for longer than one call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Condition {
    /// Nothing more can be written; names can still be made.
    Full,
    /// Nothing can be changed; what is there can be read.
    ReadOnly,
    /// Every call fails.
    Broken(Errno),
}

impl Condition {
    fn refuses(self, call: &str) -> Option<Errno> {
        match (self, call) {
            (Self::Full, "write") => Some(Errno::NOSPC),
            (Self::ReadOnly, "create" | "write" | "rename" | "rename_new" | "remove") => Some(Errno::ROFS),
            (Self::Broken(errno), _) => Some(errno),
            _ => None,
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Inode {
    durable: Vec<u8>,
    live: Vec<u8>,
}

#[derive(Clone, Debug)]
enum Change {
    Create(String, usize),
    Remove(String),
    Rename(String, String, usize),
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Create(name, inode) => {
                names.insert(name.clone(), *inode);
            }
            Self::Remove(name) => {
                names.remove(name);
            }
            Self::Rename(from, to, inode) => {
                names.remove(from);
                names.insert(to.clone(), *inode);
            }
        }
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct World {
    inodes: Vec<Inode>,
    live: BTreeMap<String, usize>,
    durable: BTreeMap<String, usize>,
    pending: Vec<Change>,
    locked: bool,
    dead: bool,
    fault: Option<(usize, Fault)>,
    condition: Option<Condition>,
    /// Says that it has synced, and has not.
    lying: bool,
    /// What was called so far; for a write, with how many bytes.
    pub(crate) calls: Vec<(&'static str, usize)>,
}

impl World {
    /// A synced directory with these files.
    pub(crate) fn with(files: &[(&str, Vec<u8>)]) -> Self {
        let mut world = Self::default();
        for (name, bytes) in files {
            world.live.insert((*name).to_owned(), world.inodes.len());
            world.inodes.push(Inode { durable: bytes.clone(), live: bytes.clone() });
        }
        world.durable = world.live.clone();
        world
    }

    pub(crate) fn failing(mut self, at: usize, fault: Fault) -> Self {
        self.fault = Some((at, fault));
        self
    }

    pub(crate) fn files(&self) -> BTreeMap<&str, &[u8]> {
        self.live.iter().map(|(name, inode)| (name.as_str(), self.inodes[*inode].live.as_slice())).collect()
    }

    fn reborn(&self, live: BTreeMap<String, usize>, contents: impl FnMut(&Inode) -> Vec<u8>) -> Self {
        let inodes = self.inodes.iter().map(contents).map(|bytes| Inode { durable: bytes.clone(), live: bytes }).collect();
        Self { inodes, durable: live.clone(), live, lying: self.lying, ..Self::default() }
    }

    /// One of the things that may be found after a power loss: `choice` says which, bit by bit.
    pub(crate) fn power_loss(&self, mut choice: u64) -> Self {
        let mut bit = || {
            choice = choice.rotate_right(1);
            choice >> 63 == 1
        };
        let mut names = self.durable.clone();
        for change in &self.pending {
            if bit() {
                change.apply(&mut names);
            }
        }
        let (kept, whole, zeroed) = (bit(), bit(), bit());
        self.reborn(names, |inode| match (inode.live == inode.durable || !kept, whole, zeroed) {
            (true, _, _) => inode.durable.clone(),
            (_, true, _) => inode.live.clone(),
            (_, _, true) => vec![0; inode.live.len()],
            _ => inode.live[..inode.live.len() / 2].to_vec(),
        })
    }

    /// The same disk, which says that it has synced and has not.
    pub(crate) fn lying(self) -> Self {
        Self { lying: true, ..self }
    }

    /// The process is gone, the machine is not: nothing is lost, but nothing became durable either.
    pub(crate) fn killed(&self) -> Self {
        Self { locked: false, dead: false, fault: None, calls: Vec::new(), ..self.clone() }
    }

    /// The power is gone and everything that was not synced with it.
    pub(crate) fn worst_power_loss(&self) -> Self {
        self.reborn(self.durable.clone(), |inode| inode.durable.clone())
    }

    /// Everything that may be found after a power loss.
    pub(crate) fn power_losses(&self) -> Vec<Self> {
        assert!(self.pending.len() <= 10, "too many unsynced names to try all: {:?}", self.pending);
        let unsynced = |inode: &Inode| inode.live != inode.durable;
        let contents: [fn(&Inode) -> Vec<u8>; 4] = [
            |inode| inode.live.clone(),
            |inode| inode.durable.clone(),
            |inode| if inode.live == inode.durable { inode.live.clone() } else { inode.live[..inode.live.len() / 2].to_vec() },
            |inode| if inode.live == inode.durable { inode.live.clone() } else { vec![0; inode.live.len()] },
        ];
        let contents = if self.inodes.iter().any(unsynced) { &contents[..] } else { &contents[..1] };
        let mut all = Vec::new();
        for kept in 0..1_u32 << self.pending.len() {
            let mut names = self.durable.clone();
            for (index, change) in self.pending.iter().enumerate() {
                if kept & (1 << index) != 0 {
                    change.apply(&mut names);
                }
            }
            all.extend(contents.iter().map(|contents| self.reborn(names.clone(), contents)));
        }
        all
    }

    fn inode(&self, name: &str) -> io::Result<usize> {
        self.live.get(name).copied().ok_or_else(|| Errno::NOENT.into())
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.live);
        self.pending.push(change);
    }
}

/// One process's view of a [`World`].
pub(crate) struct Sim {
    world: Arc<Mutex<World>>,
    owns_lock: bool,
    stall: Option<(mpsc::Sender<()>, mpsc::Receiver<()>)>,
}

/// Keeps the world when the process is gone.
#[derive(Clone)]
pub(crate) struct Observer(Arc<Mutex<World>>);

impl Observer {
    pub(crate) fn world(&self) -> World {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn fail_from_now(&self, fault: Option<Fault>) {
        let mut world = self.0.lock().unwrap();
        world.fault = fault.map(|fault| (world.calls.len(), fault));
    }

    /// How many calls there were, and whether a fault has ended the process.
    pub(crate) fn glance(&self) -> (usize, bool) {
        let world = self.0.lock().unwrap();
        (world.calls.len(), world.dead)
    }

    /// Whether there is such a file.
    pub(crate) fn has(&self, is_such: impl Fn(&str) -> bool) -> bool {
        self.0.lock().unwrap().live.keys().any(|name| is_such(name))
    }

    /// What a file holds after the worst power loss.
    pub(crate) fn durable(&self, name: &str) -> Option<Vec<u8>> {
        let world = self.0.lock().unwrap();
        world.durable.get(name).map(|inode| world.inodes[*inode].durable.clone())
    }

    /// The disk is so from now on.
    pub(crate) fn set_condition(&self, condition: Option<Condition>) {
        self.0.lock().unwrap().condition = condition;
    }

    /// The fault strikes at the call with this number.
    pub(crate) fn fail_at(&self, at: usize, fault: Fault) {
        self.0.lock().unwrap().fault = Some((at, fault));
    }

    pub(crate) fn second_process(&self) -> Sim {
        Sim { world: Arc::clone(&self.0), owns_lock: false, stall: None }
    }
}

impl Sim {
    pub(crate) fn new(world: World) -> (Self, Observer) {
        let world = Arc::new(Mutex::new(world));
        (Self { world: Arc::clone(&world), owns_lock: false, stall: None }, Observer(world))
    }

    /// Every sync of a file says on `entered` that it began and ends when it gets a word on `leave`.
    pub(crate) fn stalling(mut self, entered: mpsc::Sender<()>, leave: mpsc::Receiver<()>) -> Self {
        self.stall = Some((entered, leave));
        self
    }

    fn call<T>(&self, name: &'static str, bytes: usize, effect: impl FnOnce(&mut World) -> io::Result<T>) -> io::Result<T> {
        let mut world: MutexGuard<'_, World> = self.world.lock().unwrap();
        if world.dead {
            return Err(Errno::IO.into());
        }
        let at = world.calls.len();
        world.calls.push((name, bytes));
        let hits = |(from, fault): &(usize, Fault)| *from == at || (*from < at && matches!(fault, Fault::Broken(_)));
        let fault = world.fault.filter(hits).map(|(_, fault)| fault);
        if let Some(Fault::Becomes(condition)) = fault {
            world.condition = Some(condition);
        }
        if let Some(errno) = world.condition.and_then(|condition| condition.refuses(name)) {
            return Err(errno.into());
        }
        match fault {
            None | Some(Fault::Becomes(_) | Fault::Short | Fault::CrashAt(_)) => effect(&mut world),
            Some(Fault::Error(errno) | Fault::Broken(errno)) => Err(errno.into()),
            Some(Fault::ErrorAfter(errno)) => effect(&mut world).and(Err(errno.into())),
            Some(Fault::CrashBefore) => {
                world.dead = true;
                Err(Errno::IO.into())
            }
            Some(Fault::CrashAfter) => {
                let _ = effect(&mut world);
                world.dead = true;
                Err(Errno::IO.into())
            }
        }
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        if self.owns_lock {
            self.world.lock().unwrap().locked = false;
        }
    }
}

impl Storage for Sim {
    type File = usize;

    fn path(&self) -> &Path {
        Path::new("/state")
    }

    fn prepare(&mut self) -> io::Result<()> {
        self.call("prepare", 0, |_| Ok(()))
    }

    fn lock(&mut self) -> Result<(), LockError> {
        let result = self.call("lock", 0, |world| {
            if std::mem::replace(&mut world.locked, true) {
                return Err(io::Error::from(Errno::WOULDBLOCK));
            }
            Ok(())
        });
        match result {
            Ok(()) => {
                self.owns_lock = true;
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(LockError::Held(Some(4711))),
            Err(error) => {
                // Whoever fails after locking closes the file and so gives the lock back.
                self.world.lock().unwrap().locked = false;
                Err(LockError::Io(error))
            }
        }
    }

    fn list(&mut self) -> io::Result<Vec<String>> {
        self.call("list", 0, |world| Ok(world.live.keys().cloned().collect()))
    }

    fn read(&mut self, name: &str, limit: usize) -> io::Result<Vec<u8>> {
        self.call("read", 0, |world| {
            let inode = world.inode(name)?;
            Ok(world.inodes[inode].live.iter().copied().take(limit).collect())
        })
    }

    fn create(&mut self, name: &str) -> io::Result<usize> {
        self.call("create", 0, |world| {
            if world.live.contains_key(name) {
                return Err(Errno::EXIST.into());
            }
            let inode = world.inodes.len();
            world.inodes.push(Inode::default());
            world.change(Change::Create(name.to_owned(), inode));
            Ok(inode)
        })
    }

    fn write(&mut self, file: &mut usize, bytes: &[u8]) -> io::Result<usize> {
        let file = *file;
        self.call("write", bytes.len(), |world| {
            let fault = world.fault.filter(|(at, _)| at + 1 == world.calls.len()).map(|(_, fault)| fault);
            let taken = match fault {
                Some(Fault::Short) => bytes.len().div_ceil(2),
                Some(Fault::CrashAt(taken)) => taken.min(bytes.len()),
                _ => bytes.len(),
            };
            world.inodes[file].live.extend_from_slice(&bytes[..taken]);
            if matches!(fault, Some(Fault::CrashAt(_))) {
                world.dead = true;
                return Err(Errno::IO.into());
            }
            Ok(taken)
        })
    }

    fn sync(&mut self, file: &mut usize) -> io::Result<()> {
        if let Some((entered, leave)) = &self.stall {
            let _ = entered.send(());
            let _ = leave.recv();
        }
        let file = *file;
        self.call("sync", 0, |world| {
            if world.lying {
                return Ok(());
            }
            let inode = &mut world.inodes[file];
            inode.durable = inode.live.clone();
            Ok(())
        })
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.call("rename", 0, |world| {
            let inode = world.inode(from)?;
            world.change(Change::Rename(from.to_owned(), to.to_owned(), inode));
            Ok(())
        })
    }

    fn rename_new(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.call("rename_new", 0, |world| {
            let inode = world.inode(from)?;
            if world.live.contains_key(to) {
                return Err(Errno::EXIST.into());
            }
            world.change(Change::Rename(from.to_owned(), to.to_owned(), inode));
            Ok(())
        })
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.call("remove", 0, |world| {
            world.inode(name)?;
            world.change(Change::Remove(name.to_owned()));
            Ok(())
        })
    }

    fn sync_dir(&mut self) -> io::Result<()> {
        self.call("sync_dir", 0, |world| {
            if world.lying {
                return Ok(());
            }
            world.durable = world.live.clone();
            world.pending.clear();
            Ok(())
        })
    }
}
