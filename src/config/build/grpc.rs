//! The keys of `type = "grpc"`.

use super::check::{problem, refuse_pair};
use super::http;
use crate::config::forms;
use crate::config::fragment::Value;
use crate::config::network;
use crate::config::reader::{Parsed, Reader, text};
use crate::plan::{Grpc, SocketTarget};

/// Greatest name of a service, in bytes.
const SERVICE_LIMIT: usize = 1024;

pub(super) fn grpc(reader: &mut Reader<'_>) -> Option<Grpc> {
    let host_port = reader.optional("address", network::address);
    let unix_socket = reader.optional("unix_socket", forms::path);
    let service = reader.value("service", service);
    let tls = reader.flag("tls");
    let options = http::tls_keys(reader);
    refuse_pair(reader, "address", "unix_socket", "a check makes one connection; write two checks");
    if !reader.has("address") && !reader.has("unix_socket") {
        let message = format!("`{}` needs the key `address` or `unix_socket`", reader.title());
        let place = reader.header();
        reader.notes.misfit(place, message, Some("write address = \"127.0.0.1:50051\"".to_owned()));
    }
    if tls == Some(true) {
        refuse_pair(reader, "unix_socket", "tls", "a socket in the file system is asked in clear text");
    } else {
        refuse_idle(reader);
    }
    let address = host_port?.or(unix_socket?.map(SocketTarget::Unix));
    let options = options?;
    Some(Grpc { address: address?, service: service?, tls: tls?.then_some(options) })
}

/// Without TLS its keys do nothing, and who wrote them believes otherwise.
fn refuse_idle(reader: &mut Reader<'_>) {
    for name in http::TLS_KEYS {
        if reader.has(name) {
            let place = reader.place(name);
            reader.notes.misfit(place, format!("`{name}` does nothing without `tls = true`"), None);
        }
    }
}

fn service(value: &Value) -> Parsed<String> {
    let name = text(value)?;
    if name.len() > SERVICE_LIMIT {
        return Err(problem("must have at most 1024 bytes"));
    }
    if name.chars().any(char::is_control) { Err(problem("must not have control characters")) } else { Ok(name.to_owned()) }
}
