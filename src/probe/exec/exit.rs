//! What the end of a child means. Pure.

use super::output::Output;
use super::plugin;
use crate::check::{Health, MESSAGE_LIMIT, Observation, clip};
use crate::plan::{Exec, ExitCodes};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

/// A shell says so that a command it ran was killed by SIGKILL: 128 + 9 (POSIX, Shell Command Language 2.8.2).
const SHELL_SAYS_KILLED: i32 = 137;
const SIGKILL: i32 = 9;
/// Room for ` (exit code N)` in a message.
const CODE_ROOM: usize = 20;

/// Whether SIGKILL has ended the command, or one that it ran: only then it matters whether the kernel lacked memory.
pub(super) fn was_killed(status: ExitStatus) -> bool {
    status.signal() == Some(SIGKILL) || status.code() == Some(SHELL_SAYS_KILLED)
}

/// The observation for a child that ended by itself. `out_of_memory`: the kernel has killed for want of memory during the run.
pub(super) fn observe(exec: &Exec, status: ExitStatus, output: &Output, out_of_memory: bool) -> Observation {
    let mut observation = match (status.code(), status.signal()) {
        (Some(code), _) => exited(exec, code, output, out_of_memory),
        (None, Some(signal)) => Observation::new(Health::Critical, killed(signal, out_of_memory)),
        (None, None) => Observation::new(Health::Unknown, format!("the command ended in a way that is not known: {status}")),
    };
    observation.output = output.shown();
    observation
}

/// The same in words, for a command that no check runs.
pub(super) fn text(status: ExitStatus, out_of_memory: bool) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => killed(signal, out_of_memory),
        (None, None) => format!("it ended in a way that is not known: {status}"),
    }
}

fn exited(exec: &Exec, code: i32, output: &Output, out_of_memory: bool) -> Observation {
    let terminal = exec.fatal.contains(&code);
    let health = match (terminal, exec.exit_codes, code) {
        (true, _, _) => Health::Critical,
        (_, _, 0) => Health::Passing,
        (_, ExitCodes::Nagios, 1) => Health::Warning,
        (_, ExitCodes::Nagios, 3) => Health::Unknown,
        _ => Health::Critical,
    };
    let plugin = (exec.exit_codes == ExitCodes::Nagios).then(|| plugin::read(&output.head()));
    let said = match (code, &plugin) {
        (SHELL_SAYS_KILLED, _) => None,
        (_, None) => output.first_line(),
        (_, Some(plugin)) => status_text(code, plugin, output),
    };
    let message = said.unwrap_or_else(|| match (code, out_of_memory) {
        (SHELL_SAYS_KILLED, true) => "exit code 137: a process of the command was killed for want of memory".to_owned(),
        (SHELL_SAYS_KILLED, false) => "exit code 137: a process of the command was killed by SIGKILL, not by the agent".to_owned(),
        _ => format!("exit code {code}"),
    });
    let mut observation = Observation::new(health, message);
    observation.terminal = terminal;
    let readings = plugin.into_iter().flat_map(|plugin| plugin.readings);
    readings.fold(observation, |seen, reading| seen.reading(reading.label, reading.value, reading.unit))
}

/// What a plug-in says, or else its standard error, with an exit code that is not 0.
fn status_text(code: i32, plugin: &plugin::Said, output: &Output) -> Option<String> {
    let text = if plugin.text.is_empty() { output.error_line()? } else { plugin.text.clone() };
    Some(if code == 0 { text } else { format!("{} (exit code {code})", clip(text, MESSAGE_LIMIT - CODE_ROOM)) })
}

fn killed(signal: i32, out_of_memory: bool) -> String {
    match (signal, out_of_memory) {
        (SIGKILL, true) => "killed by SIGKILL for want of memory (the cgroup counts an oom_kill)".to_owned(),
        (SIGKILL, false) => "killed by SIGKILL, not by the agent: by somebody, or by the kernel for want of memory".to_owned(),
        (other, _) => format!("killed by {}", signal_name(other)),
    }
}

/// signal(7), numbers of x86 and ARM.
pub(in crate::probe) fn signal_name(number: i32) -> String {
    let name = match number {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        5 => "SIGTRAP",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        SIGKILL => "SIGKILL",
        10 => "SIGUSR1",
        11 => "SIGSEGV",
        12 => "SIGUSR2",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        31 => "SIGSYS (a system call that the sandbox of the unit forbids)",
        other => return format!("signal {other}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::output::Stream;
    use super::*;
    use std::collections::BTreeMap;
    use std::time::Duration;

    fn exec(exit_codes: ExitCodes) -> Exec {
        Exec {
            command: vec!["/bin/true".to_owned()],
            exit_codes,
            fatal: vec![78],
            kill_grace: Duration::from_secs(5),
            environment: BTreeMap::new(),
            working_directory: "/".into(),
        }
    }

    fn seen(exit_codes: ExitCodes, wait_status: i32, output: &Output) -> (Health, bool, String) {
        let seen = observe(&exec(exit_codes), ExitStatus::from_raw(wait_status), output, false);
        (seen.health, seen.terminal, seen.message)
    }

    #[test]
    fn exit_codes_mean_what_their_map_says() {
        use ExitCodes::{Nagios, Zero};
        let silent = Output::default();
        let table = [
            (Zero, 0, Health::Passing),
            (Zero, 1, Health::Critical),
            (Zero, 3, Health::Critical),
            (Nagios, 0, Health::Passing),
            (Nagios, 1, Health::Warning),
            (Nagios, 2, Health::Critical),
            (Nagios, 3, Health::Unknown),
            (Nagios, 4, Health::Critical),
        ];
        for (map, code, health) in table {
            assert_eq!(seen(map, code << 8, &silent), (health, false, format!("exit code {code}")), "{map:?} {code}");
        }
        assert_eq!(seen(Zero, 78 << 8, &silent), (Health::Critical, true, "exit code 78".to_owned()));
    }

    #[test]
    fn the_text_of_a_plug_in_is_the_message_its_code_is_named_and_its_numbers_are_read() {
        let said = |code: i32, map: ExitCodes, out: &str, err: &str| {
            let mut output = Output::default();
            output.push(Stream::Out, out.as_bytes());
            output.push(Stream::Err, err.as_bytes());
            observe(&exec(map), ExitStatus::from_raw(code << 8), &output, false)
        };
        let ok = said(0, ExitCodes::Nagios, "LOAD OK - 0.1 | load1=0.1;5;9;0; load5=0.3\n", "");
        assert_eq!(ok.message, "LOAD OK - 0.1");
        let readings: Vec<_> = ok.readings.iter().map(|reading| (reading.label.as_str(), reading.value)).collect();
        assert_eq!(readings, [("load1", 0.1), ("load5", 0.3)]);
        assert_eq!(said(2, ExitCodes::Nagios, "LOAD CRITICAL | load1=99", "").message, "LOAD CRITICAL (exit code 2)");
        assert_eq!(said(3, ExitCodes::Nagios, "", "no such option").message, "no such option (exit code 3)");
        assert_eq!(said(3, ExitCodes::Nagios, "| a=1", "").message, "exit code 3");
        let long = said(255, ExitCodes::Nagios, &"x".repeat(600), "").message;
        assert!(long.ends_with("x (exit code 255)") && long.len() <= MESSAGE_LIMIT, "{long}");
        let plain = said(2, ExitCodes::Zero, "a | b=1", "");
        assert_eq!((plain.message.as_str(), plain.readings.len()), ("a | b=1", 0));
    }

    #[test]
    fn scenario_32_death_by_signal_is_told_apart_from_a_timeout_and_from_want_of_memory() {
        let mut output = Output::default();
        output.push(Stream::Err, b"Killed\n");
        let says = |status: i32, oom: bool| observe(&exec(ExitCodes::Zero), ExitStatus::from_raw(status), &output, oom).message;
        assert_eq!(says(11, false), "killed by SIGSEGV");
        assert_eq!(says(34, false), "killed by signal 34");
        assert_eq!(says(9, true), "killed by SIGKILL for want of memory (the cgroup counts an oom_kill)");
        assert_eq!(says(9, false), "killed by SIGKILL, not by the agent: by somebody, or by the kernel for want of memory");
        assert_eq!(says(137 << 8, true), "exit code 137: a process of the command was killed for want of memory");
        assert_eq!(says(137 << 8, false), "exit code 137: a process of the command was killed by SIGKILL, not by the agent");
    }
}
