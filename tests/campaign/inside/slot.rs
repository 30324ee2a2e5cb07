//! A place where one case after the other runs: a sandbox, the network before it, and a plan.

use super::case::{Case, Id};
use super::network::{Network, Weather};
use reqwest::Url;
use ros_sandbox::{AfterCompletion, Config, Fault, Sandbox, Secret, StackSpec, StackView, Switches};
use ros_signal_agent::config::{self, Environment, Layout, Owners};
use ros_signal_agent::credentials::Cache;
use ros_signal_agent::instance::Metadata;
use ros_signal_agent::plan::{Confirm, Endpoint, OnUnwritable, Plan, Provider, SignatureScheme, UniqueIdStrategy};
use ros_signal_agent::retry::Random;
use ros_signal_agent::ros::Client;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

pub(crate) const INSTANCE: &str = "i-bp1a2b3c4d5e6f7g8h9i";
const KEY: &str = "testAccessKeyId";
const SECRET: &str = "madeUpSecret0123456789";

/// Of one attempt, where a connection goes dead: so long it takes, in real time.
const SHORT: Duration = Duration::from_millis(250);
/// Of one attempt, where none does: how busy the machine is must not show.
const LONG: Duration = Duration::from_secs(30);

const CONFIGURATION: &str = r#"
[stack]
region = "cn-hangzhou"
stack_id = "4a6c9851-3b0f-4f5f-b4ca-a14bf6910000"
[signal.web]
resource = "WebReady"
deadline = "3m"
[check.homepage]
type = "tcp"
address = "127.0.0.1:1"
[check.worker]
type = "tcp"
address = "127.0.0.1:2"
"#;

const COMPOSITE: &str = r#"
[check.site]
type = "composite"
all_of = ["homepage", "worker"]
"#;

pub(crate) struct Slot {
    sandbox: Sandbox,
    pub(crate) network: Network,
    /// A client of a host whose name does not resolve.
    pub(crate) nameless: Arc<Client>,
    template: Plan,
    /// The same with a composite over both checks.
    composite: Plan,
    metadata: Url,
    skewed: bool,
}

fn environment() -> HashMap<String, String> {
    [("ALIBABA_CLOUD_ACCESS_KEY_ID", KEY), ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", SECRET)]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

fn plan(text: &str) -> Plan {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("config.toml");
    std::fs::write(&path, text).unwrap();
    config::load(&Layout::file(path), &Owners::Given { agent: 990, paths: [].into() }, &Environment::default()).unwrap().plan
}

impl Slot {
    pub(crate) async fn new() -> Self {
        let sandbox = Sandbox::start(Config::new(KEY, Secret::from(SECRET))).await.unwrap();
        let upstream = sandbox.ros_url().strip_prefix("http://").unwrap().parse().unwrap();
        let network = Network::to(upstream).await;
        let mut template = plan(CONFIGURATION);
        template.ros.timeout = LONG;
        // No name server is asked for a label of more than 63 letters.
        template.ros.endpoint = Endpoint::Url(Url::parse(&format!("https://{}.invalid", "ros".repeat(22))).unwrap());
        let metadata = Url::parse(&sandbox.metadata_url()).unwrap();
        let nameless = client(&template, &metadata, false);
        template.ros.endpoint = Endpoint::Url(Url::parse(&format!("http://{}", network.address)).unwrap());
        // A member that is bad once is bad, so that the judge needs to know no thresholds. Between two looks at it is more than `min_healthy_time`:
        // a composite is good for as long as it was not told otherwise, but not over a sleep.
        let members = CONFIGURATION.replace("type = \"tcp\"", "type = \"tcp\"\nfailure_threshold = 1\nstart_interval = \"20s\"");
        let composite = Plan { ros: template.ros.clone(), ..plan(&format!("{members}{COMPOSITE}")) };
        Self { sandbox, network, nameless, template, composite, metadata, skewed: false }
    }

    /// Makes everything as it is before a case, and gives its plan.
    pub(crate) async fn prepare(&mut self, case: &Case) -> Arc<Plan> {
        self.network.clear().await;
        self.sandbox.clear_faults();
        if std::mem::take(&mut self.skewed) {
            self.sandbox.set_skew_seconds(0);
        }
        let after_completion = if case.refuses_late { AfterCompletion::Refuse } else { AfterCompletion::Store };
        let replays = case.replays_errors;
        self.sandbox.set_switches(Switches { tokens_replay_errors: replays, after_completion, ..Switches::default() });
        let stack = stack_id(case);
        self.sandbox.put_stack(&stack, StackSpec::waiting_for("WebReady", 1, 43_200.0)).unwrap();
        let mut plan = if case.composite { self.composite.clone() } else { self.template.clone() };
        plan.ros.timeout = if case.goes_dead() { SHORT } else { LONG };
        let mut signal = (*plan.signals[0]).clone();
        signal.stack_id = Some(stack.clone());
        signal.confirm = Confirm::Off;
        signal.unique_id = match case.id {
            Id::Derived => UniqueIdStrategy::Derived,
            Id::Random => UniqueIdStrategy::Random,
            Id::Instance => UniqueIdStrategy::Instance,
        };
        plan.signals = vec![Arc::new(signal)];
        plan.stack.stack_id = Some(stack);
        plan.on_unwritable = if case.hold { OnUnwritable::Hold } else { OnUnwritable::Send };
        plan.ros.signature = if case.old_signature { SignatureScheme::HmacSha1 } else { SignatureScheme::Acs3HmacSha256 };
        Arc::new(plan)
    }

    /// A client as an agent that was just started has it.
    pub(crate) fn client(&self, plan: &Plan, case: &Case) -> Arc<Client> {
        client(plan, &self.metadata, case.role)
    }

    pub(crate) fn stack(&self, case: &Case) -> StackView {
        self.sandbox.stack(&stack_id(case)).unwrap()
    }

    /// What the server's clock is ahead of this host's.
    pub(crate) fn skew(&mut self, ms: i64) {
        self.skewed = true;
        // No server's clock says a time from before this program: the client would not believe it. Nor more than the sandbox can tell.
        let year = 365 * 86_400;
        self.sandbox.set_skew_seconds((ms / 1000).clamp(-year, 10 * year));
    }

    /// All temporary credentials are expired; who asks gets new ones.
    pub(crate) fn expire(&self) {
        self.sandbox.expire_credentials();
    }

    pub(crate) fn permit_looks(&self, permitted: bool) {
        let switches = self.sandbox.switches();
        if switches.permit_get_stack != permitted {
            self.sandbox.set_switches(Switches { permit_get_stack: permitted, ..switches });
        }
    }

    /// What the next attempt meets.
    pub(crate) async fn weather(&mut self, action: &str, weather: Option<Weather>) {
        self.network.set(weather).await;
        self.sandbox.clear_faults();
        if let Some(effect) = weather.and_then(Weather::of_ros) {
            self.sandbox.add_fault(Fault::new(effect).action(action).times(1)).unwrap();
        }
    }
}

fn stack_id(case: &Case) -> String {
    format!("4a6c9851-3b0f-4f5f-b4ca-{:012}", case.number % 1_000_000_000_000)
}

fn client(plan: &Plan, metadata: &Url, role: bool) -> Arc<Client> {
    let mut settings = plan.instance.clone();
    settings.metadata_url = metadata.clone();
    let environment = environment();
    let metadata = Arc::new(Metadata::new(&settings, &environment).unwrap());
    let provider = if role { Provider::EcsRamRole(None) } else { Provider::Environment };
    let cache = Arc::new(Cache::new(&provider, &environment, &metadata, Random::new(1)));
    Arc::new(Client::new(&plan.ros, cache).unwrap())
}
