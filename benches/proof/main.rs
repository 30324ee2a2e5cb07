//! What the agent costs, beside what people use today: one program, a part for each claim.
//!
//! ```sh
//! cargo bench --bench proof                      # all parts, one after the other
//! cargo bench --bench proof -- signal            # one of them
//! cargo bench --bench proof -- signal --write    # and its table into the document that carries it
//! ```
//!
//! Each part prints a table in Markdown, with the machine, the date and the command above it. Ratios are taken in one run beside the peer. Nothing is
//! asserted: figures are for people to judge. `AGENT=...` measures another build than that of this profile, such as the one of the package; `benches/peers`
//! installs the peers, and a part without its peer says so.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    missing_docs,
    reason = "a program for developers"
)]

mod acknowledged;
mod cost;
mod daemon;
mod fleet;
mod signal;
mod soak;
mod stage;

use stage::report::Report;
use std::process::ExitCode;

/// A part: its name, and what it does.
type Part = (&'static str, fn(&mut Report));

const PARTS: [Part; 6] = [
    ("signal", signal::run),
    ("daemon", daemon::run),
    ("acknowledged", acknowledged::run),
    ("cost", cost::run),
    ("fleet", fleet::run),
    ("soak", soak::run),
];

fn main() -> ExitCode {
    // cargo adds `--bench` by itself.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if words.first().is_some_and(|word| word == stage::child::WORD) {
        return stage::child::main(&words[1..]);
    }
    let write = words.iter().any(|word| word == "--write");
    let named: Vec<&String> = words.iter().filter(|word| !word.starts_with("--")).collect();
    if let Some(unknown) = named.iter().find(|name| PARTS.iter().all(|(part, _)| part != *name)) {
        eprintln!("error: there is no part {unknown}\nhint: {}", PARTS.map(|(part, _)| part).join(", "));
        return ExitCode::from(64);
    }
    for (part, run) in PARTS {
        if named.is_empty() && part != "soak" || named.iter().any(|name| *name == part) {
            let mut report = Report::new(part, write);
            run(&mut report);
            report.end();
        }
    }
    ExitCode::SUCCESS
}
