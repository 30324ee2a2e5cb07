//! The environment of a child: little, and nothing of ours.

use crate::plan::{Exec, is_reserved_variable};
use crate::probe::Job;
use std::collections::BTreeMap;

/// Where programs that are named by a child without a path are looked for.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Names the run a process belongs to, also for processes that left its group.
pub(super) const RUN: &str = "ROS_SIGNAL_RUN";

/// What every child has.
pub(super) fn least(run: &str) -> BTreeMap<String, String> {
    [("PATH", PATH), ("LANG", "C.UTF-8"), (RUN, run)].into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The whole environment of a run of `exec`. Nothing is inherited.
pub(super) fn of_run(job: &Job, exec: &Exec, run: &str) -> BTreeMap<String, String> {
    let mut all = least(run);
    all.extend(exec.environment.iter().filter(|(name, _)| !is_reserved_variable(name)).map(|(name, value)| (name.clone(), value.clone())));
    all.insert("ROS_SIGNAL_CHECK".to_owned(), job.check.name.to_string());
    all.insert("ROS_SIGNAL_ATTEMPT".to_owned(), job.attempt.to_string());
    if let Some(deadline) = job.deadline_unix_ms {
        // Whole seconds, to be compared with `date +%s`.
        all.insert("ROS_SIGNAL_DEADLINE".to_owned(), deadline.div_euclid(1000).to_string());
    }
    all.insert(RUN.to_owned(), run.to_owned());
    all
}
