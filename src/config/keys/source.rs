//! `[source.NAME]` and the keys of each type.

use super::Fallback::{Absent, Required, Toml};
use super::{SECOND, Section, Shape, key};

/// `[source.NAME]`, all types.
pub static SOURCE: Section = Section {
    header: "[source.NAME]",
    about: "Where hints come from that the stack has changed; keys of all types. There may be any number, and none is needed: the stack is looked at anyway.",
    keys: &[
        key("type", Shape::Word(&["http", "callback", "queue", "spool"]), Required, "How events come."),
        key("enabled", Shape::Flag, Toml("true"), "`false` removes the source."),
    ],
};

/// Types of sources, by name.
pub static SOURCES: [(&str, &Section); 4] = [("http", &HTTP), ("callback", &CALLBACK), ("queue", &QUEUE), ("spool", &SPOOL)];

static HTTP: Section = Section {
    header: "`type = \"http\"`",
    about: "A listener for the HTTP target of an EventBridge rule. Events must be signed by EventBridge.",
    keys: &[
        key(
            "listen",
            Shape::Text,
            Required,
            "Address and port, such as `127.0.0.1:8480`, or `systemd:NAME` for a socket that systemd hands over.",
        ),
        key(
            "url",
            Shape::Url,
            Required,
            "The URL of the target, exactly as it is configured at EventBridge: it is part of what is signed.",
        ),
        key("tls_certificate", Shape::Path, Absent("no TLS"), "PEM file with the certificate of the listener and its chain."),
        key("tls_key", Shape::Path, Absent("no TLS"), "PEM file with its key."),
        key(
            "allow_v1",
            Shape::Flag,
            Toml("false"),
            "Take events with a signature of version 1 (HMAC-SHA1), where there is none of version 2.",
        ),
        key(
            "certificate_file",
            Shape::Path,
            Absent("fetched"),
            "PEM file with the certificate that EventBridge signs with, for hosts that cannot fetch it.",
        ),
        key(
            "certificate_regions",
            Shape::Texts,
            Absent("the instance's region"),
            "Regions whose certificate of EventBridge may be fetched.",
        ),
        key("token_file", Shape::Path, Absent("none"), "File with the token that EventBridge must send."),
        key("token_credential", Shape::Text, Absent("none"), "Name of a systemd credential with it."),
        key(
            "allowed_origin",
            Shape::Text,
            Absent("nobody"),
            "Who is told that it may send, when it asks first (`WebHook-Request-Origin`); `*` is everybody.",
        ),
    ],
};

static CALLBACK: Section = Section {
    header: "`type = \"callback\"`",
    about: "A listener for the unsigned callback that ROS makes to a URL among the stack's `NotificationURLs`. It can say no more than: look now.",
    keys: &[
        key("listen", Shape::Text, Required, "Address and port, or `systemd:NAME`."),
        key("tls_certificate", Shape::Path, Absent("no TLS"), "PEM file with the certificate of the listener and its chain."),
        key("tls_key", Shape::Path, Absent("no TLS"), "PEM file with its key."),
        key("path_file", Shape::Path, Absent("none"), "File with the secret path of the URL, at least 16 characters."),
        key("path_credential", Shape::Text, Absent("none"), "Name of a systemd credential with it."),
    ],
};

static QUEUE: Section = Section {
    header: "`type = \"queue\"`",
    about: "A queue of SMQ (formerly MNS), read by long polling. A message reaches one reader only, so each agent needs a queue of its own.",
    keys: &[
        key("queue", Shape::Text, Absent("none"), "Name of the queue."),
        key(
            "topic",
            Shape::Text,
            Absent("none"),
            "Instead of `queue`: the agent makes a queue of its own, subscribes it to this topic, and takes both away when the stack is deleted.",
        ),
        key("account", Shape::Text, Absent("the instance's"), "Number of the account that the queue belongs to."),
        key("region", Shape::Text, Absent("the instance's"), "Region of the queue."),
        key("endpoint", Shape::Text, Toml("\"auto\""), "`auto`, or a URL."),
        key(
            "network",
            Shape::Word(&["public", "internal", "internal-plain"]),
            Toml("\"public\""),
            "With `endpoint = \"auto\"`: `internal` for hosts without internet access; `internal-plain` where it does not answer over TLS: events and the token of the RAM role then cross the VPC in the clear.",
        ),
        key("signature", Shape::Word(&["v2", "v4"]), Toml("\"v2\""), "How requests are signed."),
        key("wait", SECOND, Toml("\"30s\""), "Of one long poll, at most 30 s."),
        key("batch", Shape::Integer(1, 16), Toml("16"), "Messages in one answer."),
    ],
};

static SPOOL: Section = Section {
    header: "`type = \"spool\"`",
    about: "A directory into which a relay, Cloud Assistant or a script puts files with one event each.",
    keys: &[key(
        "directory",
        Shape::Path,
        Required,
        "The directory. A file is read once it is complete, that is, renamed into it or closed, and then removed.",
    )],
};
