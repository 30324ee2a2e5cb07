//! The keys of `type = "certificate"`.

use super::Fallback::{Absent, Toml};
use super::{Section, Shape, key};

/// `type = "certificate"`.
pub(super) static CERTIFICATE: Section = Section {
    header: "`type = \"certificate\"`",
    about: "How long a certificate is still good. Of all certificates that a server sends, or a file holds, the one that expires first counts. One of `address` and `file` is required.",
    keys: &[
        key("address", Shape::Text, Absent("none"), "`host:port` of a server that speaks TLS from the first byte on."),
        key("file", Shape::Path, Absent("none"), "A file with certificates, PEM or DER; the first one is the leaf."),
        key(
            "server_name",
            Shape::Text,
            Absent("the host of `address`; of a file none"),
            "Name that is asked for (SNI) and that the certificate must be for.",
        ),
        key("ca_file", Shape::Path, Absent("the system's only"), "PEM certificates trusted besides the system's."),
        key("verify", Shape::Flag, Toml("true"), "Verify the chain up to a trusted root, and the name. `false`: only the dates."),
        key("warn", Shape::Range, Toml("\"14:\""), "Days left that are a warning; the default alerts below 14."),
        key("crit", Shape::Range, Toml("\"3:\""), "Days left that are critical; `\"~:\"` never alerts."),
    ],
};
