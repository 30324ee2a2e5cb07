//! What can go wrong in a rehearsal, so that people see the agent try again.

use crate::cli::arguments::FaultWord;
use ros_sandbox::{Effect, Fault, When};

/// Signals that meet the fault.
const SIGNALS: u32 = 3;

/// How long nobody listens.
const REFUSED_SECONDS: f64 = 4.0;

impl FaultWord {
    /// As the sandbox has it.
    pub(super) fn fault(self) -> Fault {
        let of_signals = |effect, times| Fault::new(effect).action("SignalResource").times(times);
        match self {
            Self::Throttle => of_signals(Effect::throttle(None), SIGNALS),
            Self::Refuse => Fault::new(Effect::Refuse).action("GetStack").after(1).seconds(REFUSED_SECONDS),
            Self::Reset => of_signals(Effect::reset(When::Before), SIGNALS),
            Self::Lost => of_signals(Effect::reset(When::After), 1),
            Self::ServerError => of_signals(Effect::error(503, "ServiceUnavailable"), SIGNALS),
            Self::TooEarly => of_signals(Effect::TooEarly, SIGNALS),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum as _;
    use ros_sandbox::{Config, Sandbox, Secret};

    #[tokio::test(flavor = "current_thread")]
    async fn the_sandbox_takes_every_fault() {
        let sandbox = Sandbox::start(Config::new("id", Secret::new("secret"))).await.unwrap();
        for word in FaultWord::value_variants() {
            sandbox.add_fault(word.fault()).unwrap();
        }
    }
}
