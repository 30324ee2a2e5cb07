//! Logs on standard error: for the journal under systemd, for people on a terminal, as JSON for programs.
//!
//! ```text
//! journal   <4>ledger: cannot write ledger.json error="No space left on device"     (or with fields, see `journal`)
//! text      2026-01-02T03:04:05Z  WARN ledger: cannot write ledger.json error="No space left on device"
//! json      {"timestamp":"2026-01-02T03:04:05Z","level":"WARN","fields":{"message":"..."},"target":"ros_signal_agent::ledger"}
//! ```
//!
//! Fields called `ros.NAME` repeat what the message says: they are for the journal and for JSON, and not in lines.
//! `<N>` is the priority of sd-daemon(3). The journal has its own times, so the lines have none. An event is one line, always: control
//! characters, line breaks above all, are escaped, because messages quote the output of checks and the answers of servers, and a line
//! break would let them write lines of their own. `tracing-subscriber` escapes terminal sequences only, hence a format of our own.
//!
//! A span's own field must not be called `name`: in JSON that is the key of the span's name.

mod journal;

use crate::clock::{Moment, rfc3339};
use std::fmt::{self, Write};
use std::io::{self, IsTerminal};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::fmt::{FmtContext, FormattedFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, reload};

/// The crate's own targets are shown and may be configured without it.
const CRATE: &str = "ros_signal_agent";

/// Bytes of a line. The journal cuts lines at 48 KiB (journald.conf(5) LineMax=) and takes the rest for a new one, with its own `<N>`.
const LINE_LIMIT: usize = 16 * 1024;

/// Beginning of the names of fields that lines do not show.
const SILENT: &str = "ros.";

/// Bytes of a filter.
const FILTER_LIMIT: usize = 4096;

/// How events are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// `Journal` if standard error is the journal, else `Text`.
    #[default]
    Auto,
    /// For people, with time; coloured on a terminal unless `NO_COLOR` is set.
    Text,
    /// For journald, with priorities; with fields if it has started this very process with the journal as standard error.
    Journal,
    /// One JSON object for each event.
    Json,
}

/// Why logging cannot be set up.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The filter is not understood.
    #[error(
        "log filter {part:?} is not understood\nhint: LEVEL or TARGET=LEVEL, separated by commas, such as \"info,ros=debug\"; \
         LEVEL is off, error, warn, info, debug or trace"
    )]
    Filter {
        /// The part that is wrong.
        part: String,
    },
    /// Logging was set up before.
    #[error("logging is already set up")]
    Twice,
}

/// Changes the filter of the running logger.
#[derive(Clone, Debug)]
pub struct LogHandle(reload::Handle<Targets, Registry>);

impl LogHandle {
    /// Replaces the filter, as after a reload of the configuration.
    ///
    /// # Errors
    /// If the filter is not understood; the old one stays.
    pub fn set_filter(&self, filter: &str) -> Result<(), Error> {
        let targets = parse_filter(filter)?;
        // Fails only if the subscriber is gone, and then nobody logs.
        let _ = self.0.reload(targets);
        Ok(())
    }
}

/// Sets up logging on standard error for the whole process.
///
/// # Errors
/// If the filter is not understood, or logging is set up already.
pub fn init(format: Format, filter: &str) -> Result<LogHandle, Error> {
    let colour = colour_allowed(io::stderr().is_terminal(), std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()));
    let stream = crate::systemd::journal_stream();
    let format = resolve(format, stream);
    // What a command in a unit's script says in its last moment would not be known as the unit's: journald finds the unit by the process.
    let native = format == Format::Journal && stream && crate::systemd::under_systemd();
    let journal = native.then(journal::Journal::of_this_host).and_then(Result::ok);
    let fields = journal.is_some();
    let writer = journal.map_or_else(|| BoxMakeWriter::new(io::stderr), BoxMakeWriter::new);
    let (subscriber, handle) = subscriber(format, fields, colour, filter, writer, Moment::now)?;
    subscriber.try_init().map_err(|_| Error::Twice)?;
    Ok(handle)
}

fn resolve(format: Format, journal: bool) -> Format {
    match format {
        Format::Auto if journal => Format::Journal,
        Format::Auto => Format::Text,
        chosen => chosen,
    }
}

/// `NO_COLOR` as <https://no-color.org> wants it.
fn colour_allowed(terminal: bool, no_color: bool) -> bool {
    terminal && !no_color
}

/// The level and the targets of a filter such as `info,ros=debug`. What it does not name is logged from `info` upwards.
///
/// # Errors
/// If it is not understood.
pub fn parse_filter(filter: &str) -> Result<Targets, Error> {
    let wrong = |part: &str| Error::Filter { part: part.chars().take(80).collect() };
    if filter.len() > FILTER_LIMIT {
        return Err(wrong(filter));
    }
    let mut targets = Targets::new().with_default(LevelFilter::INFO);
    for part in filter.split(',').map(str::trim) {
        match part.split_once('=') {
            None => targets = targets.with_default(level(part).ok_or_else(|| wrong(part))?),
            Some((target, named)) => {
                let (target, level) = (target.trim(), level(named.trim()).ok_or_else(|| wrong(part))?);
                if target.is_empty() || !target.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | ':')) {
                    return Err(wrong(part));
                }
                targets = targets.with_target(format!("{CRATE}::{target}"), level);
                // Targets match by prefix, and `ros` is one of the whole crate.
                if target == CRATE || !CRATE.starts_with(target) {
                    targets = targets.with_target(target, level);
                }
            }
        }
    }
    Ok(targets)
}

fn level(name: &str) -> Option<LevelFilter> {
    Some(match name.to_ascii_lowercase().as_str() {
        "off" => LevelFilter::OFF,
        "error" => LevelFilter::ERROR,
        "warn" => LevelFilter::WARN,
        "info" => LevelFilter::INFO,
        "debug" => LevelFilter::DEBUG,
        "trace" => LevelFilter::TRACE,
        _ => return None,
    })
}

/// The whole logger, with everything it would otherwise take from its surroundings. With `fields` the writer is that of the journal.
fn subscriber<W>(
    format: Format,
    fields: bool,
    colour: bool,
    filter: &str,
    writer: W,
    clock: fn() -> Moment,
) -> Result<(impl Subscriber + Send + Sync, LogHandle), Error>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let (filter, handle) = reload::Layer::new(parse_filter(filter)?);
    // log_internal_errors would report a broken standard error on standard error, with a macro that panics.
    let layer = tracing_subscriber::fmt::layer().with_writer(writer).log_internal_errors(false);
    let layer: Box<dyn Layer<_> + Send + Sync> = match format {
        Format::Json => Box::new(layer.json().with_current_span(false).with_timer(Clock(clock)).with_ansi(false)),
        Format::Journal => {
            let line = if fields { Line::Entry } else { Line::Journal };
            Box::new(layer.event_format(line).fmt_fields(Pairs).with_ansi(false))
        }
        Format::Text | Format::Auto => Box::new(layer.event_format(Line::Text(Clock(clock))).fmt_fields(Pairs).with_ansi(colour)),
    };
    Ok((Registry::default().with(filter).with(layer), LogHandle(handle)))
}

/// The house's clock for `tracing-subscriber`.
#[derive(Clone, Copy)]
struct Clock(fn() -> Moment);

impl FormatTime for Clock {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        writer.write_str(&rfc3339((self.0)().wall_ms))
    }
}

/// `message key=value key=value`, escaped.
struct Pairs;

impl<'w> FormatFields<'w> for Pairs {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut pairs = WrittenPairs { writer, between: "", result: Ok(()) };
        fields.record(&mut pairs);
        pairs.result
    }
}

struct WrittenPairs<'w> {
    writer: Writer<'w>,
    between: &'static str,
    result: fmt::Result,
}

impl Visit for WrittenPairs<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if self.result.is_err() || field.name().starts_with(SILENT) {
            return;
        }
        let between = std::mem::replace(&mut self.between, " ");
        let mut escaping = Escaping(&mut self.writer);
        self.result = match field.name() {
            "message" => write!(escaping, "{between}{value:?}"),
            name => write!(escaping, "{between}{name}={value:?}"),
        };
    }
}

/// Writes control characters as Rust does in `{:?}`: `\n`, `\u{1b}`. The line separators of Unicode count as such.
struct Escaping<'a, W>(&'a mut W);

impl<W: Write> Write for Escaping<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|c| match c {
            '\u{2028}' | '\u{2029}' => write!(self.0, "{}", c.escape_unicode()),
            c if c.is_control() => write!(self.0, "{}", c.escape_debug()),
            c => self.0.write_char(c),
        })
    }
}

/// An event as one line.
enum Line {
    Journal,
    Entry,
    Text(Clock),
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    N: for<'w> FormatFields<'w> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let metadata = event.metadata();
        match self {
            Self::Entry => {}
            Self::Journal => write!(writer, "<{}>", priority(*metadata.level()))?,
            Self::Text(clock) => {
                clock.format_time(&mut writer)?;
                write_level(&mut writer, *metadata.level())?;
            }
        }
        let mut rest = String::new();
        let target = metadata.target();
        let room = target.strip_prefix(CRATE).and_then(|rest| rest.strip_prefix("::")).unwrap_or(target);
        write!(rest, "{room}: ")?;
        for span in context.event_scope().into_iter().flat_map(tracing_subscriber::registry::Scope::from_root) {
            write!(rest, "{}", span.name())?;
            match span.extensions().get::<FormattedFields<N>>() {
                Some(fields) if !fields.is_empty() => write!(rest, "{{{fields}}}: ")?,
                _ => write!(rest, ": ")?,
            }
        }
        context.field_format().format_fields(Writer::new(&mut rest), event)?;
        if let Self::Entry = self {
            return journal::write_entry(&mut writer, priority(*metadata.level()), room, &rest, event);
        }
        writeln!(writer, "{}", bounded(&rest))
    }
}

/// `text`, or as much of it as a line may have.
fn bounded(text: &str) -> String {
    cut(text, LINE_LIMIT)
}

fn cut(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let end = (0..=limit).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    format!("{}… ({} bytes in all)", text.get(..end).unwrap_or_default(), text.len())
}

/// syslog(3) priorities, as sd-daemon(3) writes them.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

fn write_level(writer: &mut Writer<'_>, level: Level) -> fmt::Result {
    if !writer.has_ansi_escapes() {
        return write!(writer, " {level:>5} ");
    }
    let colour = match level {
        Level::ERROR => 31,
        Level::WARN => 33,
        Level::INFO => 32,
        Level::DEBUG => 34,
        Level::TRACE => 35,
    };
    write!(writer, " \u{1b}[{colour}m{level:>5}\u{1b}[0m ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Paper {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    fn clock() -> Moment {
        Moment { boot_ms: 0, wall_ms: 1_767_323_045_123 }
    }

    fn logged(format: Format, colour: bool, filter: &str, events: impl FnOnce(&LogHandle)) -> String {
        let paper = Paper::default();
        let theirs = paper.clone();
        let (subscriber, handle) = subscriber(format, false, colour, filter, move || theirs.clone(), clock).unwrap();
        tracing::subscriber::with_default(subscriber, || events(&handle));
        paper.text()
    }

    fn one_of_each(_: &LogHandle) {
        tracing::error!(target: "ros_signal_agent::ledger", path = %"/state", "cannot write");
        tracing::warn!(target: "ros_signal_agent::ros", code = "Throttling", attempt = 3, "refused");
        let round = tracing::info_span!(target: "ros_signal_agent::agent", "round", signal = "web");
        round.in_scope(|| tracing::info!(target: "ros_signal_agent::agent", "verdict: success"));
        tracing::debug!(target: "hyper", { ros.check = "quiet" }, "chatter");
    }

    #[test]
    fn for_the_journal_lines_have_priorities_and_no_time() {
        insta::assert_snapshot!(logged(Format::Journal, false, "debug", one_of_each), @r#"
        <3>ledger: cannot write path=/state
        <4>ros: refused code="Throttling" attempt=3
        <6>agent: round{signal="web"}: verdict: success
        <7>hyper: chatter
        "#);
    }

    #[test]
    fn for_people_lines_have_time_and_level() {
        insta::assert_snapshot!(logged(Format::Text, false, "debug", one_of_each), @r#"
        2026-01-02T03:04:05Z ERROR ledger: cannot write path=/state
        2026-01-02T03:04:05Z  WARN ros: refused code="Throttling" attempt=3
        2026-01-02T03:04:05Z  INFO agent: round{signal="web"}: verdict: success
        2026-01-02T03:04:05Z DEBUG hyper: chatter
        "#);
    }

    #[test]
    fn only_a_terminal_gets_colour() {
        let coloured = logged(Format::Text, true, "info", |_| tracing::warn!(target: "x", "y"));
        assert_eq!(coloured, "2026-01-02T03:04:05Z \u{1b}[33m WARN\u{1b}[0m x: y\n");
        assert!(colour_allowed(true, false));
        assert!(!colour_allowed(true, true));
        assert!(!colour_allowed(false, false));
    }

    #[test]
    fn for_programs_each_line_is_an_object() {
        insta::assert_snapshot!(logged(Format::Json, false, "debug", one_of_each), @r#"
        {"timestamp":"2026-01-02T03:04:05Z","level":"ERROR","fields":{"message":"cannot write","path":"/state"},"target":"ros_signal_agent::ledger"}
        {"timestamp":"2026-01-02T03:04:05Z","level":"WARN","fields":{"message":"refused","code":"Throttling","attempt":3},"target":"ros_signal_agent::ros"}
        {"timestamp":"2026-01-02T03:04:05Z","level":"INFO","fields":{"message":"verdict: success"},"target":"ros_signal_agent::agent","spans":[{"signal":"web","name":"round"}]}
        {"timestamp":"2026-01-02T03:04:05Z","level":"DEBUG","fields":{"message":"chatter","ros.check":"quiet"},"target":"hyper"}
        "#);
    }

    /// What a check could print to look like the agent itself.
    const FORGERY: &str = "refused\n<0>kernel: panic\r\u{1b}[2J\u{85}\u{2028}\u{9b}31m\0end";

    #[test]
    fn untrusted_text_stays_in_its_line() {
        for format in [Format::Journal, Format::Text, Format::Json] {
            let log = logged(format, false, "info", |_| {
                let span = tracing::info_span!("check", name = %FORGERY);
                span.in_scope(|| tracing::info!(text = %FORGERY, quoted = FORGERY, debug = ?FORGERY, "said: {FORGERY}"));
            });
            assert_eq!(log.lines().count(), 1, "{log}");
            let line = log.strip_suffix('\n').unwrap();
            let bad = |c: char| c.is_control() && (format != Format::Json || c < ' ');
            assert!(!line.contains(bad), "{line:?}");
        }
    }

    #[test]
    fn escaped_text_can_be_read() {
        let log = logged(Format::Journal, false, "info", |_| tracing::info!(target: "x", text = %FORGERY, "ö{}", "\t"));
        assert_eq!(log, "<6>x: ö\\t text=refused\\n<0>kernel: panic\\r\\u{1b}[2J\\u{85}\\u{2028}\\u{9b}31m\\0end\n");
    }

    #[test]
    fn a_line_is_shorter_than_what_the_journal_would_cut() {
        let log = logged(Format::Journal, false, "info", |_| tracing::info!(target: "x", "{}", "ä".repeat(100_000)));
        assert!(log.len() < LINE_LIMIT + 100, "{}", log.len());
        assert!(log.ends_with("ä… (200003 bytes in all)\n"));
    }

    #[test]
    fn a_broken_standard_error_hurts_nobody() {
        struct Broken;
        impl io::Write for Broken {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (subscriber, _) = subscriber(Format::Text, false, false, "info", || Broken, clock).unwrap();
        tracing::subscriber::with_default(subscriber, || tracing::error!("nobody hears this"));
    }

    #[test]
    fn a_filter_names_rooms_or_crates() {
        let log = |filter: &str| {
            logged(Format::Journal, false, filter, |_| {
                tracing::debug!(target: "ros_signal_agent::ros::client", "a");
                tracing::debug!(target: "ros_signal_agent::ledger", "b");
                tracing::info!(target: "hyper", "c");
            })
        };
        assert_eq!(log("info,ros=debug"), "<7>ros::client: a\n<6>hyper: c\n");
        assert_eq!(log("ros_signal_agent=debug, hyper=off"), "<7>ros::client: a\n<7>ledger: b\n");
        assert_eq!(log("warn"), "");
    }

    #[test]
    fn a_bad_filter_is_an_error_that_shows_the_grammar() {
        for bad in ["", "loud", "info,", "ros=", "=debug", "ros=loud", "a b=info", "ros[span]=info", "a=b=info"] {
            assert!(parse_filter(bad).is_err(), "{bad:?}");
        }
        assert!(parse_filter(&"a=info,".repeat(10_000)).is_err());
        insta::assert_snapshot!(parse_filter("info,ros=loud").unwrap_err(), @r#"
        log filter "ros=loud" is not understood
        hint: LEVEL or TARGET=LEVEL, separated by commas, such as "info,ros=debug"; LEVEL is off, error, warn, info, debug or trace
        "#);
    }

    #[test]
    fn a_reload_changes_the_filter_or_keeps_the_old_one() {
        let log = logged(Format::Journal, false, "info", |handle| {
            tracing::debug!(target: "x", "1");
            handle.set_filter("debug").unwrap();
            tracing::debug!(target: "x", "2");
            assert!(handle.set_filter("loud").is_err());
            tracing::debug!(target: "x", "3");
            handle.set_filter("warn").unwrap();
            tracing::info!(target: "x", "4");
        });
        assert_eq!(log, "<7>x: 2\n<7>x: 3\n");
    }

    #[test]
    fn auto_follows_standard_error() {
        assert_eq!(resolve(Format::Auto, true), Format::Journal);
        assert_eq!(resolve(Format::Auto, false), Format::Text);
        assert_eq!(resolve(Format::Json, true), Format::Json);
    }
}
