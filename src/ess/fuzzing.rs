//! Answers of Auto Scaling.

use super::action::{Actions, activities, membership};
use crate::plan::LifecycleHook;
use crate::rpc::Body;

/// Reads `body` as each of the answers that are asked for.
pub fn lifecycle(body: &[u8], wanted: &LifecycleHook) {
    let Some(body) = Body::parse(body) else { return };
    if let Some(membership) = membership(&body, "i-1") {
        let _ = membership.over();
    }
    let _ = activities(&body, "i-1");
    let mut actions = Actions::default();
    for _ in 0..3 {
        let _ = actions.read(&body, "i-1", wanted);
    }
    assert_eq!(actions.is_empty(), actions.judge().is_none());
}
