//! The keys of `type = "certificate"`.

use super::check::{problem, refuse_pair};
use crate::config::forms;
use crate::config::network;
use crate::config::reader::Reader;
use crate::plan::{Certificate, CertificateSource, SocketTarget};

pub(super) fn certificate(reader: &mut Reader<'_>) -> Option<Certificate> {
    let server = reader.optional("address", |value| match network::address(value)? {
        SocketTarget::HostPort(host, port) => Ok(CertificateSource::Server(host, port)),
        SocketTarget::Unix(_) => Err(problem("must be host and port")),
    });
    let file = reader.optional("file", forms::path);
    let server_name = reader.optional("server_name", network::server_name);
    let ca_file = reader.optional("ca_file", forms::path);
    let verify = reader.flag("verify");
    let thresholds = reader.thresholds();
    refuse_pair(reader, "address", "file", "a check looks at one chain; write two checks");
    if !reader.has("address") && !reader.has("file") {
        let message = format!("`{}` needs the key `address` or `file`", reader.title());
        let place = reader.header();
        reader.notes.misfit(place, message, Some("write address = \"shop.example.com:443\"".to_owned()));
    }
    if verify == Some(false) {
        refuse_unverified(reader);
    }
    let source = server?.or(file?.map(CertificateSource::File));
    Some(Certificate { source: source?, server_name: server_name?, ca_file: ca_file?, verify: verify?, thresholds: thresholds? })
}

/// With `verify = false` a trusted root does nothing, and neither does the name for a file.
fn refuse_unverified(reader: &mut Reader<'_>) {
    let idle = ["ca_file"].into_iter().chain(reader.has("file").then_some("server_name"));
    for name in idle.collect::<Vec<_>>() {
        if reader.has(name) {
            let place = reader.place(name);
            let hint = Some("without verifying only the dates are looked at".to_owned());
            reader.notes.misfit(place, format!("`{name}` does nothing beside `verify = false`"), hint);
        }
    }
}
