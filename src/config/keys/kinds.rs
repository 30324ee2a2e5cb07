//! The keys of each kind of check.

use super::Fallback::{Absent, Required, Toml};
use super::certificate::CERTIFICATE;
use super::clock::CLOCK;
use super::cloud_init::CLOUD_INIT;
use super::composite::COMPOSITE;
use super::container::CONTAINER;
use super::disk::DISK;
use super::dns::DNS;
use super::file::FILE;
use super::grpc::GRPC;
use super::load::LOAD;
use super::memory::MEMORY;
use super::mount::MOUNT;
use super::port::PORT;
use super::process::PROCESS;
use super::systemd::SYSTEMD;
use super::{ANY, SECOND, Section, Shape, key};

/// Types of checks, by name.
#[rustfmt::skip]
pub static KINDS: [(&str, &Section); 19] = [
    ("http", &HTTP),
    ("tcp", &TCP),
    ("grpc", &GRPC),
    ("exec", &EXEC),
    ("systemd", &SYSTEMD),
    ("container", &CONTAINER),
    ("cloud-init", &CLOUD_INIT),
    ("process", &PROCESS),
    ("port", &PORT),
    ("file", &FILE),
    ("mount", &MOUNT),
    ("disk", &DISK),
    ("memory", &MEMORY),
    ("load", &LOAD),
    ("clock", &CLOCK),
    ("dns", &DNS),
    ("certificate", &CERTIFICATE),
    ("ttl", &TTL),
    ("composite", &COMPOSITE),
];

/// Values of `type`.
#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
pub(super) static NAMES: [&str; KINDS.len()] = {
    let mut names = [""; KINDS.len()];
    let mut at = 0;
    while at < KINDS.len() {
        names[at] = KINDS[at].0;
        at += 1;
    }
    names
};

/// `type = "http"`.
static HTTP: Section = Section {
    header: "`type = \"http\"`",
    about: "An HTTP request and what its answer must be. No proxy from the environment is ever used.",
    keys: &[
        key("url", Shape::Url, Required, "http or https, without user and password."),
        key(
            "method",
            Shape::Word(&["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]),
            Toml("\"GET\""),
            "Method of the request.",
        ),
        key("headers", Shape::TextTable, Toml("{}"), "Headers of the request; `Host` and `User-Agent` may be given too."),
        key("body", Shape::Text, Absent("none"), "Body of the request, at most 64 KiB."),
        key("expect_status", Shape::Statuses, Toml("\"200-399\""), "Statuses that pass."),
        key("warn_status", Shape::Statuses, Toml("[]"), "Statuses that are a warning."),
        key("expect_headers", Shape::PatternTable, Toml("{}"), "Headers that must be in the answer, and what their values must match."),
        key("expect_body", Shape::Pattern, Absent("not looked at"), "What the first 64 KiB of the body must match."),
        key("expect_json", Shape::JsonTable, Toml("{}"), "Values that the body, as JSON, must have at these JSON Pointers (RFC 6901)."),
        key("follow_redirects", Shape::Flag, Toml("false"), "Follow redirects, to the same host only."),
        key("unix_socket", Shape::Path, Absent("none"), "Connect to this socket; the URL gives host and path of the request."),
        key("proxy", Shape::Url, Absent("none"), "Go through this proxy."),
        key("username", Shape::Text, Absent("none"), "For Basic authentication, with `password_file`."),
        key("password_file", Shape::Path, Absent("none"), "File with the password, read for every run."),
        key("tls_verify", Shape::Flag, Toml("true"), "Verify the server's certificate."),
        key("ca_file", Shape::Path, Absent("the system's only"), "PEM certificates trusted besides the system's."),
        key("cert_file", Shape::Path, Absent("none"), "PEM client certificate, with `key_file`."),
        key("key_file", Shape::Path, Absent("none"), "PEM key of the client certificate."),
        key("server_name", Shape::Text, Absent("the URL's host"), "Name that is asked for (SNI) and verified."),
    ],
};

/// `type = "tcp"`.
static TCP: Section = Section {
    header: "`type = \"tcp\"`",
    about: "A connection, and perhaps a word and its answer. One of `address` and `unix_socket` is required.",
    keys: &[
        key(
            "address",
            Shape::Text,
            Absent("none"),
            "`host:port`; an IPv6 address stands in brackets. A name is tried in all its address families.",
        ),
        key("unix_socket", Shape::Path, Absent("none"), "A stream socket in the file system."),
        key("send", Shape::Text, Absent("nothing"), "Written after connecting, at most 4096 bytes."),
        key("expect", Shape::Pattern, Absent("not looked at"), "What the first 4096 bytes of the answer must match."),
    ],
};

/// `type = "exec"`.
static EXEC: Section = Section {
    header: "`type = \"exec\"`",
    about: "A child process, run as the agent's user in a process group of its own. The file that defines it, and its directory, must be under the control of root or the agent's user.",
    keys: &[
        key("command", Shape::Texts, Required, "Program, as an absolute path, and its arguments. There is no shell unless it is named."),
        key(
            "exit_codes",
            Shape::Word(&["zero", "nagios"]),
            Toml("\"zero\""),
            "`zero`: 0 is passing, all else critical. `nagios`: 0 passing, 1 warning, 2 critical, 3 unknown.",
        ),
        key("fatal", Shape::Codes, Toml("[78]"), "Exit codes that say that the check will never pass."),
        key("kill_grace", ANY, Toml("\"5s\""), "From TERM to KILL of the whole group after `timeout`."),
        key("environment", Shape::TextTable, Toml("{}"), "Added to the child's small environment (PATH, LANG, name of the check)."),
        key("working_directory", Shape::Path, Toml("\"/\""), "Where the child starts."),
    ],
};

/// `type = "ttl"`.
static TTL: Section = Section {
    header: "`type = \"ttl\"`",
    about: "Fed by `ros-signal-agent push`.",
    keys: &[key("ttl", SECOND, Required, "Silence longer than this is critical.")],
};
