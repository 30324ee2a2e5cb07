//! Another configuration while the agent runs: parsed and validated beside the running plan, which only a valid one replaces.

use super::outside::Fingerprint;
use super::{Daemon, Source};
use crate::agent::Input;
use crate::config::{self, Environment, Owners};
use crate::control::Reloaded;
use std::sync::Arc;

impl Daemon {
    /// Parses and validates beside the running plan; only a valid one replaces it.
    pub(super) fn reload(&mut self) -> Result<Reloaded, String> {
        let Source::Files(layout) = &self.source else {
            return Err("this agent runs a plan without files".to_owned());
        };
        if self.stopping_since.is_some() {
            return Err("the agent is stopping".to_owned());
        }
        self.notifier.reloading();
        self.seen = Some(Fingerprint::of(layout));
        let loaded = config::load(layout, &Owners::system(), &Environment::of_process());
        let result = match loaded {
            Ok(loaded) => self.replan(loaded),
            Err(diagnostics) => Err(diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
        };
        if let Err(errors) = &result {
            self.step(Input::Misconfigured(errors.lines().next().unwrap_or_default().to_owned()));
        }
        self.notifier.ready();
        result
    }

    fn replan(&mut self, loaded: config::Loaded) -> Result<Reloaded, String> {
        let old = Arc::clone(self.core.plan());
        let mut plan = loaded.plan;
        let mut warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
        if plan.agent.state_dir != old.agent.state_dir || plan.agent.socket != old.agent.socket {
            warnings.push("agent.state_dir and agent.socket change only when the agent is restarted".to_owned());
            plan.agent.state_dir.clone_from(&old.agent.state_dir);
            plan.agent.socket.clone_from(&old.agent.socket);
        }
        self.outside.renew(&plan)?;
        self.prober.reload();
        if let Some(log) = &self.log
            && plan.agent.log != old.agent.log
            && let Err(error) = log.set_filter(&plan.agent.log)
        {
            warnings.push(error.to_string());
        }
        for warning in &warnings {
            tracing::warn!(target: "config", "{warning}");
        }
        let reloaded = Reloaded { signals: plan.signals.len(), checks: plan.checks.len(), warnings };
        let plan = Arc::new(plan);
        self.step(Input::Replan(Arc::clone(&plan)));
        self.sources.fit(&plan, &self.outside.surroundings());
        self.follow();
        Ok(reloaded)
    }

    /// Has the prober tell of changes of what the running checks look at.
    pub(super) fn follow(&self) {
        let plan = self.core.plan();
        self.prober.follow(if plan.signals.is_empty() { &[] } else { &plan.checks });
    }

    /// While idle: user data may write the configuration after the package has been started.
    pub(super) fn look_for_configuration(&mut self) {
        let Source::Files(layout) = &self.source else { return };
        let found = Fingerprint::of(layout);
        if self.seen.as_ref() == Some(&found) {
            return;
        }
        if let Err(errors) = self.reload() {
            tracing::error!(target: "config", "still not configured:\n{errors}");
        }
    }
}
