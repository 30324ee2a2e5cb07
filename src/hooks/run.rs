//! Runs a hook as an exec check is run: a process group of its own, TERM and KILL of the group when its time is over, nothing of the
//! agent's environment, bounded output, and nothing of it left when it is over.

use super::{Call, HookEnd};
use crate::plan::{Exec, ExitCodes, Hook, Name};
use crate::probe::Prober;
use crate::probe::exec::Task;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// From TERM to KILL, when the time of a run is over.
const KILL_GRACE: Duration = Duration::from_secs(5);

/// Runs the command of `hook` as this process's user, with what `call` tells. Dropping the future ends it, TERM first.
pub async fn run(prober: &Prober, hook: &Hook, call: &Call) -> HookEnd {
    let exec = Exec {
        command: hook.command.clone(),
        exit_codes: ExitCodes::Zero,
        fatal: Vec::new(),
        kill_grace: KILL_GRACE,
        environment: BTreeMap::new(),
        working_directory: "/".into(),
    };
    // No check can be called so: names have no spaces.
    let name = Name::from(format!("hook {}", hook.name));
    let input = Some(Arc::from(call.document().into_bytes()));
    let ran = prober.command(Task { name, exec, environment: call.environment(), input, limit: hook.timeout }).await;
    HookEnd { succeeded: ran.succeeded, text: ran.text, output: ran.output }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hooks::{Occasion, StackFacts};
    use crate::plan::{Transition, testing};

    fn call() -> Call {
        let stack = StackFacts { stack_id: "4a6c".into(), status: "UPDATE_COMPLETE".into(), ..StackFacts::default() };
        // Longer than a pipe holds: who does not read it must not be held up.
        let occasion = Occasion::Stack { transition: Transition::Updated, stack, previous: Some("x".repeat(200_000)) };
        Call { hook: "h".into(), id: "id-1".into(), attempt: 1, test: false, occasion }
    }

    async fn shell(script: &str, timeout: Duration) -> HookEnd {
        let command = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
        run(&Prober::new(), &Hook { command, timeout, ..testing::hook("h", Vec::new()) }, &call()).await
    }

    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_hook_has_its_values_in_the_environment_and_as_json_on_standard_input_and_nothing_of_ours() {
        let end = shell("echo $ROS_SIGNAL_AGENT_TRIGGER $ROS_SIGNAL_AGENT_HOOK_ID; head -c 12; env | grep -c CARGO", MINUTE).await;
        assert_eq!(end.output, "stack.updated id-1\n{\"attempt\":10\n");
        assert_eq!((end.succeeded, end.text.as_str()), (false, "exit status 1"), "grep found nothing of ours");
    }

    #[tokio::test]
    async fn a_hook_that_does_not_read_is_not_held_up_and_one_that_reads_finds_all_of_it() {
        let end = shell("exec true", MINUTE).await;
        assert_eq!((end.succeeded, end.text.as_str()), (true, "exit status 0"));
        let end = shell("wc -c < /dev/stdin", MINUTE).await;
        assert_eq!(end.output.trim(), call().document().len().to_string());
    }

    #[tokio::test]
    async fn scenario_20_a_hook_that_takes_too_long_has_failed() {
        let end = shell("echo begun; sleep 600", Duration::from_millis(300)).await;
        assert_eq!((end.succeeded, end.text.as_str()), (false, "timed out after 300ms while running /bin/sh"));
        assert_eq!(end.output, "begun\n");
        let end = shell("kill -9 $$", MINUTE).await;
        assert!(!end.succeeded && end.text.starts_with("killed by SIGKILL"), "{}", end.text);
    }
}
