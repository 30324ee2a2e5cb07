//! What is rehearsed without a configuration: a service that takes a moment to become healthy, and two checks of it.

use crate::clock::{Moment, millis};
use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// How long the service answers 503.
pub(super) const BECOMES_HEALTHY_AFTER: Duration = Duration::from_secs(2);

/// Where a service of one's own would listen.
pub(super) const USUAL_ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// The running service and the configuration that looks at it.
#[derive(Debug)]
pub(super) struct Example {
    pub(super) address: SocketAddr,
    pub(super) configuration: String,
    service: JoinHandle<io::Result<()>>,
}

impl Example {
    /// Starts the service on a free port of loopback. It ends with this value.
    pub(super) async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let healthy_at = Moment::now().boot_ms.saturating_add(millis(BECOMES_HEALTHY_AFTER));
        let health = move || async move {
            if Moment::now().boot_ms < healthy_at { (StatusCode::SERVICE_UNAVAILABLE, "starting\n") } else { (StatusCode::OK, "ok\n") }
        };
        let service = tokio::spawn(axum::serve(listener, Router::new().route("/healthz", get(health))).into_future());
        Ok(Self { address, configuration: configuration(address), service })
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        self.service.abort();
    }
}

/// A configuration to start from, for a service at `address`.
pub(super) fn configuration(address: SocketAddr) -> String {
    format!(
        r#"# Which stack waits. Left out, it is the instance tag acs:ros:stackId, where the metadata service shows it.
[stack]
stack_id = "{stack}"

# Logical ID of the ALIYUN::ROS::WaitConditionHandle in the template, and by when the agent must have decided.
[signal.web]
resource = "WebReady"
deadline = "5m"

[check.port]
type = "tcp"
address = "{address}"

[check.homepage]
type = "http"
url = "http://{address}/healthz"
depends_on = ["port"]
"#,
        stack = super::redirect::STACK_ID
    )
}
