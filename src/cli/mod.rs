//! The command line: arguments become plain data (`arguments.rs`), one file per command does the work, and one enum holds the exit
//! codes ([`Exit`], documented in `docs/exit-codes.md`).
//!
//! Nothing is read, asked or opened before the arguments are understood, and each command touches only what it needs: `--help`,
//! `--version`, `config default` and `config schema` touch nothing at all. Nothing blocks without a bound.

mod agent;
mod arguments;
mod check;
mod config;
mod doctor;
mod events;
mod exit;
mod failure;
mod history;
mod hold;
mod hook;
mod output;
mod paint;
mod plan;
mod push;
#[cfg(feature = "rehearse")]
mod rehearse;
mod reload;
mod report;
mod reset;
mod run;
mod settings;
mod signal;
mod status;
mod table;
mod wait;

pub use exit::Exit;

use arguments::{Arguments, Command};
use clap::{CommandFactory, Parser};
use output::Output;
use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

/// The whole command line as clap knows it, for man pages and completions.
pub fn command() -> clap::Command {
    Arguments::command()
}

/// Runs the program with these arguments, the program's own name first. Says on standard error what went wrong.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => return ExitCode::from(usage(&error).code()),
    };
    let exit = dispatch(arguments).unwrap_or_else(|error| {
        failure::tell(&error);
        failure::exit_of(&error)
    });
    ExitCode::from(exit.code())
}

/// Help and version are answers; all else is a wrong use.
fn usage(error: &clap::Error) -> Exit {
    let _ = error.print();
    match error.kind() {
        clap::error::ErrorKind::DisplayHelp | clap::error::ErrorKind::DisplayVersion => Exit::Ok,
        _ => Exit::Usage,
    }
}

fn dispatch(arguments: Arguments) -> anyhow::Result<Exit> {
    let Arguments { global, command } = arguments;
    let mut out = Output::standard();
    global.refuse_absent_root()?;
    match command {
        Command::Run => run::run(&global),
        Command::Check(arguments) => check::run(&global, &arguments, &mut out),
        Command::Signal(arguments) => signal::run(&global, arguments, &mut out),
        Command::Status(arguments) => status::run(&global, &arguments, &mut out),
        Command::History(arguments) => history::run(&global, &arguments, &mut out),
        Command::Wait(arguments) => wait::run(&global, &arguments, &mut out),
        Command::Plan(arguments) => plan::run(&global, &arguments, &mut out),
        Command::Config(command) => config::run(&global, &command, &mut out),
        Command::Doctor(arguments) => doctor::run(&global, &arguments, &mut out),
        Command::Events(arguments) => events::run(&global, arguments, &mut out),
        Command::Hook(command) => hook::run(&global, command, &mut out),
        Command::Push(arguments) => push::run(&global, arguments, &mut out),
        Command::Reload(arguments) => reload::run(&global, &arguments, &mut out),
        Command::Report(arguments) => report::run(&global, &arguments, &mut out),
        Command::Reset(arguments) => reset::run(&global, &arguments, &mut out),
        Command::Hold(arguments) => hold::run(&global, hold::Wanted::Hold, &arguments, &mut out),
        Command::Resume(arguments) => hold::run(&global, hold::Wanted::Resume, &arguments, &mut out),
        #[cfg(feature = "rehearse")]
        Command::Rehearse(arguments) => rehearse::run(&global, &arguments, &mut out),
    }
}

/// Runs `work` on one thread. Blocking work that tokio does for us (name look-ups) gets a few more, which end when they are idle.
fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(4)
        .thread_keep_alive(Duration::from_secs(2))
        .build()?;
    let done = runtime.block_on(work);
    // A name look-up that hangs must not hold up the end.
    runtime.shutdown_background();
    done
}
