//! `type = "grpc"`: the health service of a gRPC server.

use super::{SocketTarget, TlsOptions};

/// A gRPC server, and the service whose health it is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Grpc {
    /// `address` or `unix_socket`.
    pub address: SocketTarget,
    /// `service`; empty: the server as a whole.
    pub service: String,
    /// `tls` and its keys; none: HTTP/2 in clear text, with prior knowledge.
    pub tls: Option<TlsOptions>,
}
