//! The keys of `type = "port"`.

use super::Fallback::{Absent, Required, Toml};
use super::{Section, Shape, key};

/// `type = "port"`.
pub(super) static PORT: Section = Section {
    header: "`type = \"port\"`",
    about: "A port on which something listens, from the kernel's tables of sockets. Nothing is sent to it.",
    keys: &[
        key("port", Shape::Integer(1, 65535), Required, "The port."),
        key("protocol", Shape::Word(&["tcp", "udp"]), Toml("\"tcp\""), "What is spoken on it."),
        key(
            "family",
            Shape::Word(&["any", "ipv4", "ipv6"]),
            Toml("\"any\""),
            "The family of addresses. A socket for any IPv6 address, `::`, counts as IPv4 too.",
        ),
        key("ip", Shape::Text, Absent("any"), "Exactly the address that it listens on; `0.0.0.0` and `::` are those for any address."),
    ],
};
