//! What is looked at: each kind of check in the words of the agent, and where monit can look at the same, in its words.

use super::targets::Targets;
use std::fmt::Write as _;

/// A kind of check, or two of them that take turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Tcp,
    Http,
    File,
    Exec,
    /// The program of an exec check is one of monitoring-plugins: `check_tcp` and `check_http`, half of each.
    Plugin,
    Process,
    Disk,
    Mount,
    Memory,
    Load,
    Port,
    Certificate,
    Dns,
    Systemd,
    Ttl,
    Composite,
    Clock,
    Grpc,
    CloudInit,
}

const PLUGINS: &str = "/usr/lib/nagios/plugins";

impl Kind {
    /// As tables call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Plugin => "exec of monitoring-plugins",
            Self::Exec => "exec of /bin/true",
            other => other.word(),
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Http => "http",
            Self::File => "file",
            Self::Exec | Self::Plugin => "exec",
            Self::Process => "process",
            Self::Disk => "disk",
            Self::Mount => "mount",
            Self::Memory => "memory",
            Self::Load => "load",
            Self::Port => "port",
            Self::Certificate => "certificate",
            Self::Dns => "dns",
            Self::Systemd => "systemd",
            Self::Ttl => "ttl",
            Self::Composite => "composite",
            Self::Clock => "clock",
            Self::Grpc => "grpc",
            Self::CloudInit => "cloud-init",
        }
    }

    /// Whether its program is installed.
    pub(super) fn can_be_tried(self) -> bool {
        self != Self::Plugin || ["check_tcp", "check_http"].iter().all(|name| std::path::Path::new(PLUGINS).join(name).exists())
    }

    /// Whether each run makes a connection to a port of the targets.
    pub(super) fn connects(self) -> bool {
        matches!(self, Self::Tcp | Self::Http | Self::Plugin)
    }

    /// So many checks of this kind, every `interval`, as the agent is told. Each looks at the same thing.
    pub(super) fn checks(self, count: usize, interval: &str, targets: &Targets) -> String {
        let mut text = String::new();
        for index in 0..count {
            let (name, keys) = (format!("{}{index}", self.word()), self.keys(index, targets));
            let _ = write!(text, "[check.{name}]\ntype = \"{}\"\n{keys}\n", self.word());
            if !matches!(self, Self::Ttl | Self::Composite) {
                let _ = writeln!(text, "interval = \"{interval}\"");
            }
        }
        text
    }

    fn keys(self, index: usize, targets: &Targets) -> String {
        let (address, file) = (targets.agents.address, targets.file.display());
        match self {
            Self::Tcp => format!("address = \"{address}\""),
            Self::Http => format!("url = \"http://{address}/\""),
            Self::File => format!("path = \"{file}\""),
            Self::Exec => "command = [\"/bin/true\"]".to_owned(),
            Self::Plugin => format!("command = {:?}\nexit_codes = \"nagios\"", plugin(index, address.port())),
            Self::Process => "name = \"sleep\"\ncrit = \"0:\"".to_owned(),
            Self::Disk => "path = \"/\"\ncrit = \"0:\"".to_owned(),
            Self::Mount => "path = \"/\"".to_owned(),
            Self::Memory | Self::Load => "crit = \"0:\"".to_owned(),
            Self::Port => format!("port = {}", address.port()),
            Self::Certificate => format!("file = \"{file}\"\nverify = false"),
            Self::Dns => format!("name = \"proof.test\"\nrecord = \"A\"\nserver = \"{}\"", targets.names),
            Self::Systemd => "unit = \"proof.service\"".to_owned(),
            Self::Ttl => "ttl = \"1h\"".to_owned(),
            Self::Composite => "all_of = [\"tcp0\", \"http0\"]".to_owned(),
            Self::Clock => format!("url = \"http://{address}/\""),
            Self::Grpc => format!("address = \"{}\"", targets.grpc),
            Self::CloudInit => format!("run_dir = \"{}\"\nnot_installed = \"passing\"", targets.cloud_init.display()),
        }
    }

    /// The same for monit; none: it cannot look at such a thing.
    pub(super) fn for_monit(self, count: usize, targets: &Targets) -> Option<String> {
        let (port, file) = (targets.monit.address.port(), targets.file.display());
        let word = self.word();
        let mut text = String::new();
        for index in 0..count {
            let (head, test) = match self {
                Self::Tcp => (host(word, index), format!("if failed port {port} type tcp then alert")),
                Self::Http => (host(word, index), format!("if failed port {port} protocol http request \"/\" then alert")),
                Self::File => (format!("file {word}{index} with path {file}"), "if does not exist then alert".to_owned()),
                Self::Exec => (format!("program {word}{index} with path /bin/true"), "if status != 0 then alert".to_owned()),
                Self::Plugin => {
                    let command = plugin(index, port).join(" ");
                    (format!("program {word}{index} with path \"{command}\""), "if status != 0 then alert".to_owned())
                }
                Self::Process => (format!("process {word}{index} matching \"sleep\""), "if does not exist then alert".to_owned()),
                Self::Disk => (format!("filesystem {word}{index} with path /"), "if space usage > 100 % then alert".to_owned()),
                _ => return None,
            };
            let _ = writeln!(text, "check {head}\n  {test}");
        }
        Some(text)
    }
}

fn host(word: &str, index: usize) -> String {
    format!("host {word}{index} with address 127.0.0.1")
}

fn plugin(index: usize, port: u16) -> [String; 5] {
    let name = if index.is_multiple_of(2) { "check_tcp" } else { "check_http" };
    [format!("{PLUGINS}/{name}"), "-H".to_owned(), "127.0.0.1".to_owned(), "-p".to_owned(), port.to_string()]
}
