//! Following what checks look at where the system tells of changes: units, files, containers.
//!
//! A change is a hint to look, never the truth: it makes the next run of the check due at once, and the polls go on as the net under
//! it. Each followed check has one task; many changes of one check before anybody asks are one.

use crate::plan::{Check, Name};
use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// A task that follows what one check looks at; it never ends by itself.
pub(super) type Following = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Checks that may have changed, each once however often it was told.
#[derive(Clone, Debug, Default)]
pub(super) struct Changes(Arc<Told>);

#[derive(Debug, Default)]
struct Told {
    names: Mutex<BTreeSet<Name>>,
    bell: Notify,
}

impl Changes {
    /// Tells that the answer of `name` may be another now.
    pub(super) fn tell(&self, name: &Name) {
        self.0.names.lock().unwrap_or_else(PoisonError::into_inner).insert(Arc::clone(name));
        self.0.bell.notify_one();
    }

    /// The next check that may have changed. Cancel-safe.
    pub(super) async fn next(&self) -> Name {
        loop {
            if let Some(name) = self.0.names.lock().unwrap_or_else(PoisonError::into_inner).pop_first() {
                return name;
            }
            self.0.bell.notified().await;
        }
    }
}

/// The tasks that follow, by check.
#[derive(Debug, Default)]
pub(super) struct Watches(Mutex<BTreeMap<Name, Watch>>);

#[derive(Debug)]
struct Watch {
    check: Arc<Check>,
    task: JoinHandle<()>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Watches {
    /// Follows exactly `checks`, as far as `follow` knows how: tasks of unchanged checks go on.
    pub(super) fn fit(&self, checks: &[Arc<Check>], follow: impl Fn(&Arc<Check>) -> Option<Following>) {
        let mut watches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut old = std::mem::take(&mut *watches);
        for check in checks {
            let kept = old.remove(&check.name).filter(|watch| watch.check == *check);
            let watch = kept.or_else(|| Some(Watch { check: Arc::clone(check), task: tokio::spawn(follow(check)?) }));
            if let Some(watch) = watch {
                watches.insert(Arc::clone(&check.name), watch);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing;

    #[tokio::test]
    async fn many_changes_of_one_check_are_one() {
        let changes = Changes::default();
        for name in ["b", "a", "b"] {
            changes.tell(&Arc::from(name));
        }
        assert_eq!((&*changes.next().await, &*changes.next().await), ("a", "b"));
        let waiting = tokio::time::timeout(std::time::Duration::from_millis(1), changes.next()).await;
        assert!(waiting.is_err(), "nothing is left");
    }

    #[tokio::test]
    async fn a_check_that_left_the_plan_or_changed_is_followed_no_more_and_others_go_on() {
        let (watches, changes) = (Watches::default(), Changes::default());
        let checks = |names: &[&str]| names.iter().map(|name| Arc::new(testing::check(name))).collect::<Vec<_>>();
        let follow = |check: &Arc<Check>| {
            let (changes, name) = (changes.clone(), Arc::clone(&check.name));
            let following: Following = Box::pin(async move {
                changes.tell(&name);
                std::future::pending::<()>().await;
            });
            (&*check.name != "deaf").then_some(following)
        };
        watches.fit(&checks(&["deaf", "kept", "gone"]), follow);
        assert_eq!((&*changes.next().await, &*changes.next().await), ("gone", "kept"));
        let mut again = checks(&["kept", "new"]);
        let mut other = testing::check("new");
        other.failure_threshold = 7;
        again[1] = Arc::new(other.clone());
        watches.fit(&again, follow);
        assert_eq!(&*changes.next().await, "new", "kept goes on and does not begin again");
        assert_eq!(watches.0.lock().unwrap().len(), 2);
        other.failure_threshold = 8;
        watches.fit(&[Arc::new(other)], follow);
        assert_eq!(&*changes.next().await, "new", "it changed, so it begins again");
    }
}
