//! What ROS says of stacks, resources and signals.

use super::{asides, client, watch};
use crate::rpc::Body;
use crate::signal::Target;
use crate::stack::confirm;

/// Reads `bytes` as every answer of ROS.
pub fn stack(bytes: &[u8]) {
    let Some(body) = Body::parse(bytes) else { return };
    assert!((1..=128).contains(&body.request_id.len()) && !body.request_id.contains(char::is_control));
    let target = Target { region: "cn-hangzhou".to_owned(), stack_id: "s".to_owned(), resource: "WebReady".to_owned() };
    let _ = client::updated(&body).map(|text| asides::ros_time_ms(&text));
    if let Ok(facts) = watch::facts(&target, &body) {
        let shown = [facts.name.as_deref(), Some(facts.status.as_str()), facts.reason.as_deref()];
        assert!(shown.into_iter().flatten().all(|text| !text.contains(char::is_control)));
        let _ = crate::stack::read(&facts.status, Some(&facts.status));
    }
    let _ = watch::notifies(&body);
    let (status, reason) = asides::shown(&body);
    assert!(!status.contains(char::is_control) && !reason.unwrap_or_default().contains(char::is_control));
    let texts = [body.member("SignalData"), body.member("Data"), body.member("ResourceAttributes")];
    let _ = confirm::holds(&texts, "b41c2043-33b9-556e-8501-c6499b333822");
    for (_, value) in client::attributes(&body) {
        let _ = crate::handle::Document::parse(value.expose());
    }
}
