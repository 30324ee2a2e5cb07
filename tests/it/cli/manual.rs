//! The man page of the configuration file, from the one description of its keys; `generated.rs` compares it with the one in the tree.

use ros_signal_agent::config::keys::{self, Fallback, Key, Section};
use std::fmt::Write;

/// What the reference of keys takes for granted; the rest is in docs/configuration.md.
const HEAD: &str = r#".SH NAME
ros\-signal\-agent.toml \- configuration of ros\-signal\-agent
.SH SYNOPSIS
.nf
/etc/ros\-signal\-agent/config.toml
/etc/ros\-signal\-agent/conf.d/*.toml
/run/ros\-signal\-agent/conf.d/*.toml
/usr/lib/ros\-signal\-agent/conf.d/*.toml
.fi
.SH DESCRIPTION
The agent reads TOML: first config.toml, which need not be there, then the drop\-ins of all three directories, sorted by file name.
Of drop\-ins with the same name only one counts: the one in /etc, else the one in /run, else the one in /usr/lib; a link to
/dev/null masks them.
A file is laid on those before it: tables merge by key, arrays and all other values replace, and \fBenabled = false\fR removes a check.
Unknown keys are errors.
.PP
Without a \fB[signal.NAME]\fR the agent idles.
\fBros\-signal\-agent config check\fR says everything that is wrong, \fBros\-signal\-agent plan\fR what holds and from which file.
A running agent takes a change with \fBsystemctl reload ros\-signal\-agent\fR.
.PP
A duration is a string with units, such as "90s" or "1h30m"; a size one such as "64KiB".
A range is a string as Nagios plug\-ins have it: "10" alerts below 0 and above 10, "10:" below 10, "~:10" above 10, "10:20"
outside, "@10:20" inside.
"#;

const TAIL: &str = r#".SH FILES
.TP
/usr/share/ros\-signal\-agent/config.schema.json
JSON Schema of these files, for editors.
.TP
/usr/share/doc/ros\-signal\-agent/examples
Templates, and what goes with them.
.SH SEE ALSO
\fBros\-signal\-agent\fR(1), \fBros\-signal\-agent\-config\-default\fR(1), \fBros\-signal\-agent\-plan\fR(1)
"#;

/// The page as roff.
pub(super) fn page() -> String {
    let version = env!("CARGO_PKG_VERSION");
    let mut page = format!(".TH ros-signal-agent.toml 5 {} \"ros-signal-agent {version}\" Configuration\n", super::man::DATE);
    page.push_str(HEAD);
    heading(&mut page, "EXAMPLE");
    let _ = write!(page, ".nf\n{}.fi\n", escaped(smallest()));
    for (_, section) in keys::SINGLE {
        table(&mut page, section.header, section);
    }
    table(&mut page, keys::SIGNAL.header, &keys::SIGNAL);
    table(&mut page, keys::HOOK.header, &keys::HOOK);
    table(&mut page, keys::SOURCE.header, &keys::SOURCE);
    for (_, section) in keys::SOURCES {
        table(&mut page, &format!("[source.NAME] with {}", section.header), section);
    }
    table(&mut page, keys::CHECK.header, &keys::CHECK);
    for (_, section) in keys::KINDS {
        table(&mut page, &format!("[check.NAME] with {}", section.header), section);
    }
    page + TAIL
}

/// The example with which the documentation of the configuration begins.
fn smallest() -> &'static str {
    let document = include_str!("../../../docs/configuration.md");
    document.split("```toml\n").nth(1).unwrap().split("```").next().unwrap()
}

fn heading(page: &mut String, text: &str) {
    let _ = writeln!(page, ".SH \"{}\"", text.replace('`', "").replace('"', "\\(dq").replace('-', "\\-"));
}

fn table(page: &mut String, header: &str, section: &Section) {
    heading(page, header);
    let _ = writeln!(page, "{}", prose(section.about));
    for key in section.keys {
        entry(page, key);
    }
}

fn entry(page: &mut String, key: &Key) {
    let default = match key.default {
        Fallback::Required => "required".to_owned(),
        Fallback::Absent(text) if text.starts_with("**required**") => prose(text),
        Fallback::Absent(text) | Fallback::Computed(text) => format!("default: {}", prose(text)),
        Fallback::Toml(text) => format!("default: {}", escaped(text)),
    };
    let _ = write!(page, ".TP\n\\fB{}\\fR \\(em {}; {default}\n{}\n", escaped(key.name), prose(&key.shape.words()), prose(key.meaning));
}

/// Markdown as it is in the descriptions: `code` becomes bold.
fn prose(text: &str) -> String {
    let parts = text.replace("**", "");
    let parts = parts.split('`').enumerate();
    parts.map(|(index, part)| if index % 2 == 1 { format!("\\fB{}\\fR", escaped(part)) } else { escaped(part) }).collect()
}

/// Text in which roff sees no request and no escape.
fn escaped(text: &str) -> String {
    let line = |line: &str| {
        let line = line.replace('\\', "\\e").replace('-', "\\-");
        if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line }
    };
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}
