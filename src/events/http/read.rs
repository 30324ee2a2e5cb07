//! What a believed request says. The envelope's own reader belongs in here.

use crate::events::Event;
use http::HeaderMap;

/// The events in `body`.
///
/// # Errors
/// If it is none, in few words.
pub(super) fn events(body: &[u8], _headers: &HeaderMap) -> Result<Vec<Event>, &'static str> {
    let document: serde_json::Value = serde_json::from_slice(body).map_err(|_| "not JSON")?;
    let text = |value: Option<&serde_json::Value>| value.and_then(serde_json::Value::as_str).map(str::to_owned);
    let (Some(id), Some(kind)) = (text(document.get("id")), text(document.get("type"))) else { return Err("not an event") };
    let data = document.get("data");
    let of_data = |name| text(data.and_then(|data| data.get(name)));
    Ok(vec![Event {
        id,
        source: text(document.get("source")).unwrap_or_default(),
        kind,
        stack_id: of_data("StackId"),
        stack_name: of_data("StackName"),
        status: of_data("Status"),
        time: text(document.get("time")),
    }])
}
