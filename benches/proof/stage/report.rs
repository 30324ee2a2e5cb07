//! A report: lines and tables in Markdown, printed as they come, and put into the document that carries them.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

/// Where tables with these names belong.
const DOCUMENTS: [&str; 3] = ["docs/performance.md", "docs/reliability.md", "docs/fleet.md"];

pub(crate) struct Report {
    part: &'static str,
    text: String,
    /// Whether documents and pictures are written, too.
    write: bool,
}

impl Report {
    pub(crate) fn new(part: &'static str, write: bool) -> Self {
        let mut report = Self { part, text: String::new(), write };
        println!("\n## {part}\n");
        report.line(&format!("{}; `{}`", machine(), command(part)));
        report.line("");
        report
    }

    /// A paragraph, or a part of one.
    pub(crate) fn line(&mut self, text: &str) {
        println!("{text}");
        self.text.push_str(text);
        self.text.push('\n');
    }

    /// A table: its head, then rows of as many cells. Cells but the first are figures.
    pub(crate) fn table(&mut self, head: &[&str], rows: &[Vec<String>]) {
        let width =
            |column: usize| rows.iter().map(|row| row[column].chars().count()).chain([head[column].chars().count()]).max().unwrap_or(0);
        let row = |cells: &[String]| {
            let padded = cells.iter().enumerate().map(|(column, cell)| {
                let width = width(column);
                if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
            });
            format!("| {} |", padded.collect::<Vec<_>>().join(" | "))
        };
        let head: Vec<String> = head.iter().map(|&cell| cell.to_owned()).collect();
        let rule: Vec<String> = (0..head.len()).map(|column| if column == 0 { "---".to_owned() } else { "---:".to_owned() }).collect();
        let mut text = format!("{}\n| {} |\n", row(&head), rule.join(" | "));
        for cells in rows {
            let _ = writeln!(text, "{}", row(cells));
        }
        self.line(&text);
    }

    /// Puts what was said between the marks of its part, where a document has them.
    pub(crate) fn end(self) {
        if !self.write {
            return;
        }
        let (begin, end) = (format!("<!-- measured: {} -->\n", self.part), format!("<!-- end: {} -->", self.part));
        let documents = DOCUMENTS.map(|name| Path::new(env!("CARGO_MANIFEST_DIR")).join(name));
        let found = documents.into_iter().find_map(|path| {
            let document = std::fs::read_to_string(&path).ok()?;
            let from = document.find(&begin)? + begin.len();
            let to = from + document[from..].find(&end)?;
            Some((path, document, from, to))
        });
        let (path, document, from, to) = found.unwrap_or_else(|| panic!("no document has a place for {}: {begin}", self.part));
        std::fs::write(path, format!("{}{}\n{}", &document[..from], self.text.trim_end(), &document[to..])).unwrap();
    }

    /// A picture of this part (`stage::picture`), into `docs/pictures/NAME.svg`.
    pub(crate) fn picture(&self, name: &str, svg: &str) {
        if !self.write {
            return;
        }
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/pictures/{name}.svg"));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, svg).unwrap();
    }
}

/// What this was measured on, and when.
fn machine() -> String {
    let first = |path: &str, key: &str| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines().find_map(|line| Some(line.strip_prefix(key)?.trim_start_matches([' ', '\t', ':']).to_owned())).unwrap_or_default()
    };
    let cpu = first("/proc/cpuinfo", "model name");
    let memory = first("/proc/meminfo", "MemTotal").split_whitespace().next().and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(0.0)
        / 1024.0
        / 1024.0;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let system = first("/etc/os-release", "PRETTY_NAME=");
    let date = Command::new("date")
        .args(["-u", "+%F"])
        .output()
        .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        .unwrap_or_default();
    format!("{cores} cores of {cpu}, {memory:.0} GiB, Linux {}, {}; {date}", kernel.trim(), system.trim_matches('"'))
}

/// What changes the figures of a part, by the environment.
const VARIABLES: [&str; 14] = [
    "RUNS",
    "SECONDS",
    "WARM_UP",
    "ONLY",
    "SAMPLES",
    "BLOCKS",
    "TCP_RUNS",
    "EXEC_RUNS",
    "HTTP_RUNS",
    "FLEET_SEED",
    "FLEET_AGENTS",
    "FLEET_CLIENTS",
    "MINUTES",
    "HOURS",
];

/// The command that was given, with what its environment said.
fn command(part: &str) -> String {
    let agent = std::env::var("AGENT").ok().map(|agent| format!("AGENT={} ", quoted(&as_readers_see(&agent))));
    let others = VARIABLES.iter().filter_map(|name| Some(format!("{name}={} ", quoted(&std::env::var(name).ok()?))));
    let variables: String = agent.into_iter().chain(others).collect();
    let profile = if cfg!(debug_assertions) { "--profile dev " } else { "" };
    format!("{variables}cargo bench {profile}--bench proof -- {part}")
}

/// A path within the repository from its top, as cargo starts this program there; of another its name alone, for nobody else has that place.
fn as_readers_see(path: &str) -> String {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = Path::new(path);
    let name = || Path::new("path/to").join(path.file_name().unwrap_or_default());
    let seen = path.strip_prefix(top).map_or_else(|_| if path.is_absolute() { name() } else { path.to_owned() }, Path::to_owned);
    seen.display().to_string()
}

fn quoted(word: &str) -> String {
    shlex::try_quote(word).map_or_else(|_| "?".to_owned(), |word| word.into_owned())
}
