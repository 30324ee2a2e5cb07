//! The program: a thin shell over the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    ros_signal_agent::cli::main(std::env::args_os())
}
