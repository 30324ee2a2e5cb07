//! The keys of `type = "grpc"`.

use super::Fallback::{Absent, Toml};
use super::{Section, Shape, key};

/// `type = "grpc"`.
pub(super) static GRPC: Section = Section {
    header: "`type = \"grpc\"`",
    about: "The health service of a gRPC server (`grpc.health.v1.Health/Check`). One of `address` and `unix_socket` is required.",
    keys: &[
        key("address", Shape::Text, Absent("none"), "`host:port`; an IPv6 address stands in brackets."),
        key("unix_socket", Shape::Path, Absent("none"), "A stream socket in the file system, without TLS."),
        key("service", Shape::Text, Toml("\"\""), "Name of the service that is asked for; empty for the server as a whole."),
        key("tls", Shape::Flag, Toml("false"), "Speak TLS. Without it: HTTP/2 in clear text, with prior knowledge."),
        key("tls_verify", Shape::Flag, Toml("true"), "Verify the server's certificate."),
        key("ca_file", Shape::Path, Absent("the system's only"), "PEM certificates trusted besides the system's."),
        key("cert_file", Shape::Path, Absent("none"), "PEM client certificate, with `key_file`."),
        key("key_file", Shape::Path, Absent("none"), "PEM key of the client certificate."),
        key("server_name", Shape::Text, Absent("the host of `address`"), "Name that is asked for (SNI, authority) and verified."),
    ],
};
