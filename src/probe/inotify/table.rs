//! Who wants to know of which names in which watched directories.

use crate::plan::Name;
use crate::probe::watch::Changes;
use rustix::fs::inotify;
use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::sync::{Arc, Weak};
use tokio::sync::Notify;

/// Who follows.
#[derive(Debug)]
pub(super) struct Follower {
    pub(super) name: Name,
    pub(super) changes: Changes,
    /// Rung when other directories may have to be watched.
    pub(super) bell: Arc<Notify>,
}

/// An entry of a directory; none: any.
type Entry = Option<Vec<u8>>;

#[derive(Debug)]
struct Member {
    follower: Follower,
    /// What it follows: numbers of directories, and entries in them.
    watched: Vec<(i32, Entry)>,
}

/// A directory that is watched, and who follows which entry of it.
#[derive(Debug)]
struct Directory {
    members: HashMap<Entry, HashSet<u64>>,
    descriptor: Weak<OwnedFd>,
}

/// Everybody, and the directories by the numbers that the kernel gave them.
#[derive(Debug, Default)]
pub(super) struct Table {
    next: u64,
    members: HashMap<u64, Member>,
    directories: HashMap<i32, Directory>,
    /// Watches that have ended; see [`Self::watch`].
    removals: u64,
}

impl Table {
    /// Takes in a follower, who watches nothing yet.
    pub(super) fn join(&mut self, follower: Follower) -> u64 {
        self.next += 1;
        self.members.insert(self.next, Member { follower, watched: Vec::new() });
        self.next
    }

    /// Forgets a follower, and the watches that nobody else wants.
    pub(super) fn leave(&mut self, id: u64) {
        let watched = self.members.remove(&id).map(|member| member.watched);
        self.unwatch(id, &watched.unwrap_or_default());
    }

    /// How many watches have ended.
    pub(super) fn removals(&self) -> u64 {
        self.removals
    }

    /// Gives the follower `id` these names in these watched directories, instead of those it had. Whether all of them count: not if a watch
    /// has ended since there were `before` removals, which may be one of these.
    pub(super) fn watch(&mut self, id: u64, wanted: Vec<(i32, Option<OsString>)>, descriptor: &Arc<OwnedFd>, before: u64) -> bool {
        let settled = self.removals == before;
        let wanted: Vec<(i32, Entry)> = wanted.into_iter().map(|(number, name)| (number, name.map(OsString::into_vec))).collect();
        for (number, entry) in &wanted {
            let new = || Directory { members: HashMap::new(), descriptor: Arc::downgrade(descriptor) };
            self.directories.entry(*number).or_insert_with(new).members.entry(entry.clone()).or_default().insert(id);
        }
        match self.members.get_mut(&id) {
            Some(member) => {
                let mut old = std::mem::replace(&mut member.watched, wanted.clone());
                old.retain(|watched| !wanted.contains(watched));
                self.unwatch(id, &old);
            }
            // It left while its thread was busy.
            None => self.unwatch(id, &wanted),
        }
        settled
    }

    /// Takes `id` from these entries, and ends the watches that nobody wants any more.
    fn unwatch(&mut self, id: u64, watched: &[(i32, Entry)]) {
        for (number, entry) in watched {
            let Some(directory) = self.directories.get_mut(number) else {
                continue;
            };
            if let Some(members) = directory.members.get_mut(entry) {
                members.remove(&id);
                if members.is_empty() {
                    directory.members.remove(entry);
                }
            }
            if directory.members.is_empty() {
                if let Some(descriptor) = directory.descriptor.upgrade() {
                    // An error means that the kernel has ended it already.
                    let _ = inotify::remove_watch(&*descriptor, *number);
                }
                self.directories.remove(number);
                self.removals += 1;
            }
        }
    }

    /// Something happened to the entry `name` of a directory.
    pub(super) fn happened(&self, number: i32, name: &[u8], structural: bool) {
        let Some(directory) = self.directories.get(&number) else {
            return;
        };
        for entry in [Some(name.to_vec()), None] {
            directory.members.get(&entry).into_iter().flatten().for_each(|id| self.tell(*id, structural));
        }
    }

    /// The directory itself moved or went away; `ended`: its watch did too.
    pub(super) fn moved(&mut self, number: i32, ended: bool) {
        if let Some(directory) = self.directories.get(&number) {
            directory.members.values().flatten().for_each(|id| self.tell(*id, true));
        }
        if ended {
            self.directories.remove(&number);
            self.removals += 1;
        }
    }

    /// Events were lost: anything may have happened to anybody.
    pub(super) fn overflow(&self) {
        self.members.keys().for_each(|id| self.tell(*id, true));
    }

    fn tell(&self, id: u64, structural: bool) {
        let Some(member) = self.members.get(&id) else {
            return;
        };
        member.follower.changes.tell(&member.follower.name);
        if structural {
            member.follower.bell.notify_one();
        }
    }
}

#[cfg(test)]
impl Table {
    pub(super) fn watched(&self) -> usize {
        self.directories.len()
    }

    pub(super) fn members(&self) -> usize {
        self.members.len()
    }
}
