//! What a configuration comes to: checks and their order, providers, probes, times.

use ros_signal_agent::config::{Diagnostic, Environment, Layout, Loaded, Owners, load, times};
use ros_signal_agent::plan::{Probe, Provider, SocketTarget, UniqueIdStrategy};
use std::time::Duration;

const SIGNAL: &str = "[signal.web]\nresource = \"WebReady\"\n";

fn try_load(text: &str) -> Result<Loaded, Vec<Diagnostic>> {
    let root = tempfile::TempDir::new().unwrap();
    let path = root.path().join("config.toml");
    std::fs::write(&path, text).unwrap();
    load(&Layout::file(path), &Owners::Given { agent: 990, paths: [].into() }, &Environment::default())
}

fn loaded(text: &str) -> Loaded {
    try_load(text).unwrap_or_else(|diagnostics| panic!("{}", diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))
}

fn ttl(name: &str, more: &str) -> String {
    format!("[check.{name}]\ntype = \"ttl\"\nttl = \"60s\"\n{more}\n")
}

fn warnings(text: &str) -> Vec<String> {
    loaded(text).warnings.iter().map(|warning| warning.message.clone()).collect()
}

fn checks(text: &str) -> Vec<String> {
    loaded(text).plan.signal("web").unwrap().checks.iter().map(ToString::to_string).collect()
}

#[test]
fn a_signal_depends_on_all_enabled_checks_unless_it_names_some() {
    let checks_text = format!("{}{}{}", ttl("a", ""), ttl("b", "tags = [\"x\"]"), ttl("c", "enabled = false"));
    assert_eq!(checks(&format!("{SIGNAL}{checks_text}")), ["a", "b"]);
    assert_eq!(checks(&format!("{SIGNAL}checks = [\"a\"]\n{checks_text}")), ["a"]);
    assert_eq!(checks(&format!("{SIGNAL}checks = [\"tag:x\"]\n{checks_text}")), ["b"]);
    assert_eq!(checks(&format!("{SIGNAL}checks = [\"tag:x\", \"b\", \"a\"]\n{checks_text}")), ["b", "a"]);
}

#[test]
fn dependencies_are_included_and_stand_before_what_needs_them() {
    let text =
        format!("{SIGNAL}checks = [\"a\"]\n{}{}{}", ttl("a", "depends_on = [\"b\"]"), ttl("b", "depends_on = [\"c\"]"), ttl("c", ""));
    assert_eq!(checks(&text), ["c", "b", "a"]);
}

#[test]
fn members_of_a_composite_are_judged_through_it_unless_the_signal_names_them() {
    let group = "[check.group]\ntype = \"composite\"\nany_of = [\"a\", \"b\"]\ntags = [\"x\"]\n";
    let members = [ttl("a", "tags = [\"x\"]\ndepends_on = [\"db\"]"), ttl("b", "tags = [\"x\"]"), ttl("db", ""), ttl("other", "")].concat();
    let both = |selected: &str| {
        let plan = loaded(&format!("{SIGNAL}{selected}{group}{members}")).plan;
        let signal = plan.signal("web").unwrap().clone();
        let names = |names: &[ros_signal_agent::plan::Name]| names.join(" ");
        (names(&signal.checks), names(&signal.members))
    };
    let pair = |checks: &str, members: &str| (checks.to_owned(), members.to_owned());
    assert_eq!(both(""), pair("db group other", "a b"));
    assert_eq!(both("checks = [\"group\"]\n"), pair("group", "db a b"));
    assert_eq!(both("checks = [\"tag:x\"]\n"), pair("group", "db a b"));
    assert_eq!(both("checks = [\"group\", \"b\"]\n"), pair("group b", "db a"));
    assert_eq!(both("checks = [\"a\"]\n"), pair("db a", ""));
}

#[test]
fn a_composite_takes_as_long_as_the_members_that_it_needs() {
    let check =
        |name: &str, delay: &str| format!("[check.{name}]\ntype = \"tcp\"\naddress = \"127.0.0.1:1\"\ninitial_delay = \"{delay}\"\n");
    let text = |rule: &str| {
        let members = [check("a", "10s"), check("b", "20s"), check("c", "40s")].concat();
        let plan = loaded(&format!("{SIGNAL}min_healthy_time = \"0s\"\n[check.group]\ntype = \"composite\"\n{rule}\n{members}")).plan;
        times(&plan, plan.signal("web").unwrap()).best.as_secs()
    };
    assert_eq!(text("any_of = [\"a\", \"b\", \"c\"]"), 10);
    assert_eq!(text("at_least = { count = 2, of = [\"c\", \"b\", \"a\"] }"), 20);
    assert_eq!(text("all_of = [\"a\", \"b\", \"c\"]"), 40);
}

#[test]
fn a_required_check_that_is_only_depended_on_is_enough() {
    let text = format!("{SIGNAL}checks = [\"a\"]\n{}{}", ttl("a", "level = \"wanted\"\ndepends_on = [\"b\"]"), ttl("b", ""));
    assert_eq!(checks(&text), ["b", "a"]);
}

#[test]
fn a_signal_without_checks_is_possible_when_it_is_meant() {
    assert_eq!(checks(&format!("[agent]\nallow_no_checks = true\n{SIGNAL}")), Vec::<String>::new());
}

#[test]
fn signal_and_stack_tables_give_stack_and_region() {
    let text = format!(
        "[stack]\nstack_id = \"4a6c9851-3b0f-4f5f-b4ca-a14bf6910000\"\nregion = \"cn-hangzhou\"\n{SIGNAL}region = \"cn-beijing\"\n{}",
        ttl("a", "")
    );
    let loaded = loaded(&text);
    let signal = loaded.plan.signal("web").unwrap();
    assert_eq!(signal.stack_id.as_deref(), Some("4a6c9851-3b0f-4f5f-b4ca-a14bf6910000"));
    assert_eq!(signal.region.as_deref(), Some("cn-beijing"));
}

#[test]
fn a_stack_name_in_place_of_its_id_is_a_warning() {
    assert_eq!(warnings("[stack]\nstack_id = \"web-production\"\n"), ["`stack_id` does not look like a stack ID"]);
}

#[test]
fn every_provider_has_its_keys() {
    let provider = |text: &str| loaded(&format!("[credentials]\n{text}\n")).plan.credentials.provider;
    assert_eq!(provider(""), Provider::Auto);
    assert_eq!(provider("provider = \"environment\""), Provider::Environment);
    assert_eq!(provider("provider = \"file\"\nfile = \"/etc/key\""), Provider::File("/etc/key".into()));
    assert_eq!(provider("provider = \"systemd\""), Provider::SystemdCredential("ros-signal-agent".into()));
    assert_eq!(provider("provider = \"systemd\"\ncredential = \"key\""), Provider::SystemdCredential("key".into()));
    assert_eq!(provider("provider = \"ecs-ram-role\""), Provider::EcsRamRole(None));
    assert_eq!(provider("provider = \"ecs-ram-role\"\nrole_name = \"web\""), Provider::EcsRamRole(Some("web".into())));
}

#[test]
fn every_strategy_of_unique_ids_is_read() {
    let strategy = |text: &str| loaded(&format!("{SIGNAL}{text}\n{}", ttl("a", ""))).plan.signal("web").unwrap().unique_id.clone();
    assert_eq!(strategy(""), UniqueIdStrategy::Derived);
    assert_eq!(strategy("unique_id = \"instance\""), UniqueIdStrategy::Instance);
    assert_eq!(strategy("unique_id = \"random\""), UniqueIdStrategy::Random);
    assert_eq!(strategy("unique_id = \"integer:7\"\ncount = 9"), UniqueIdStrategy::Integer(7));
    assert_eq!(strategy("unique_id = \"{instance_id}-{signal}\""), UniqueIdStrategy::Template("{instance_id}-{signal}".into()));
}

#[test]
fn scenario_10_the_integer_rule_holds_for_full_handles_with_a_count_only() {
    let signal = |more: &str| try_load(&format!("{SIGNAL}{more}\n{}", ttl("a", "")));
    assert!(signal("count = 3").is_err(), "Full is the default mode");
    assert!(signal("count = 3\nmode = \"Increment\"").is_ok());
    assert!(signal("count = -1").is_ok());
    let warnings = signal("count = 3\nunique_id = \"integer:4\"").unwrap().warnings;
    assert_eq!(warnings[0].message, "id 4 is greater than the handle's count of 3");
}

#[test]
fn signals_of_one_resource_may_differ_in_their_ids_or_stacks() {
    let two =
        |a: &str, b: &str| try_load(&format!("[signal.a]\nresource = \"R\"\n{a}\n[signal.b]\nresource = \"R\"\n{b}\n{}", ttl("a", "")));
    assert!(two("", "").is_ok(), "derived ids differ by the name of the signal");
    assert!(two("unique_id = \"instance\"", "unique_id = \"instance\"").is_err());
    assert!(two("unique_id = \"instance\"", "unique_id = \"instance\"\nstack_id = \"4a6c9851-3b0f-4f5f-b4ca-a14bf6910000\"").is_ok());
    assert!(two("unique_id = \"integer:1\"", "unique_id = \"integer:2\"").is_ok());
    assert!(two("unique_id = \"{instance_id}-{signal}\"", "unique_id = \"{instance_id}-{signal}\"").is_ok());
}

#[test]
fn an_id_that_is_the_same_on_every_host_is_a_warning() {
    let text = format!("{SIGNAL}unique_id = \"{{signal}}\"\n{}", ttl("a", ""));
    assert_eq!(warnings(&text), ["`unique_id` is the same on every host, so ROS counts all hosts once"]);
}

#[test]
fn addresses_are_taken_apart() {
    let address = |text: &str| {
        let loaded = loaded(&format!("{SIGNAL}[check.a]\ntype = \"tcp\"\n{text}\n"));
        let Probe::Tcp(tcp) = &loaded.plan.check("a").unwrap().probe else { panic!("a tcp check") };
        tcp.address.clone()
    };
    assert_eq!(address("address = \"localhost:80\""), SocketTarget::HostPort("localhost".into(), 80));
    assert_eq!(address("address = \"[::1]:80\""), SocketTarget::HostPort("::1".into(), 80));
    assert_eq!(address("unix_socket = \"/run/x\""), SocketTarget::Unix("/run/x".into()));
}

#[test]
fn plain_http_is_for_loopback_and_the_metadata_service() {
    let endpoint = |url: &str| try_load(&format!("[ros]\nendpoint = \"{url}\"\n")).is_ok();
    assert!(endpoint("http://127.0.0.1:8080") && endpoint("http://[::1]:8080") && endpoint("http://localhost"));
    assert!(endpoint("https://ros.example.com"));
    assert!(!endpoint("http://ros.example.com") && !endpoint("http://100.100.100.200") && !endpoint("http://localhost.example.com"));
    let metadata = |url: &str| try_load(&format!("[instance]\nmetadata_url = \"{url}\"\n")).is_ok();
    assert!(metadata("http://100.100.100.200") && metadata("http://127.0.0.1:1234"));
    assert!(!metadata("http://100.100.100.201") && !metadata("http://metadata.example.com"));
}

#[test]
fn an_exec_check_has_its_defaults() {
    let loaded = loaded(&format!("{SIGNAL}[check.a]\ntype = \"exec\"\ncommand = [\"/bin/true\"]\n"));
    let Probe::Exec(exec) = &loaded.plan.check("a").unwrap().probe else { panic!("an exec check") };
    assert_eq!((exec.fatal.as_slice(), exec.kill_grace), ([78].as_slice(), Duration::from_secs(5)));
    assert_eq!(exec.working_directory, std::path::Path::new("/"));
}

#[test]
fn times_to_a_verdict_follow_from_delays_thresholds_and_dependencies() {
    let text = format!(
        "{SIGNAL}min_healthy_time = \"5s\"\ndegraded_grace = \"30s\"\n\
         [check.db]\ntype = \"tcp\"\naddress = \"localhost:1\"\ninitial_delay = \"10s\"\n\
         [check.web]\ntype = \"http\"\nurl = \"http://localhost/\"\ndepends_on = [\"db\"]\nsuccess_threshold = 3\nstart_period = \"20s\"\ntimeout = \"2s\"\n\
         [check.extra]\ntype = \"ttl\"\nttl = \"1h\"\nlevel = \"wanted\"\n"
    );
    let loaded = loaded(&text);
    let times = times(&loaded.plan, loaded.plan.signal("web").unwrap());
    // db: its delay of 10 s; web: two more runs, a second apart; 5 s healthy. The wanted check holds nothing up.
    assert_eq!(times.best, Duration::from_secs(10 + 2 + 5));
    // db: 10 s delay, 1 s splay, 3 runs of 5 s and 2 pauses: later than web's start period. web: 4 runs of 2 s, 3 pauses. Then the grace.
    assert_eq!(times.worst, Duration::from_secs((10 + 1 + 15 + 2) + (8 + 3) + 30));
}

#[test]
fn the_silence_of_a_check_that_is_fed_is_not_counted() {
    let text = |ttl: &str| format!("{SIGNAL}min_healthy_time = \"5s\"\n[check.a]\ntype = \"ttl\"\nttl = \"{ttl}\"\n");
    let (short, long) = (loaded(&text("10s")), loaded(&text("24h")));
    let worst = |loaded: &Loaded| times(&loaded.plan, loaded.plan.signal("web").unwrap()).worst;
    assert_eq!(worst(&short), worst(&long));
    assert_eq!(warnings(&text("24h")), [""; 0]);
}

#[test]
fn a_worst_case_beyond_the_deadline_is_a_warning() {
    let text = format!("{SIGNAL}deadline = \"2m\"\n[check.a]\ntype = \"tcp\"\naddress = \"localhost:1\"\nstart_period = \"5m\"\n");
    assert_eq!(warnings(&text), ["signal `web` may take 5m 47s to say SUCCESS, beyond deadline - margin (2m - 30s)"]);
}

#[test]
fn a_deadline_longer_than_any_stack_waits_is_a_warning() {
    let text = format!("{SIGNAL}deadline = \"13h\"\n[check.a]\ntype = \"tcp\"\naddress = \"localhost:1\"\n");
    assert_eq!(warnings(&text), ["`deadline` is longer than any stack waits"]);
}

#[test]
fn ends_of_ranges_may_be_sizes_where_bytes_are_judged_and_defaults_hold_only_alone() {
    use ros_signal_agent::check::Thresholds;
    use ros_signal_agent::plan::Disk;
    let disk = |text: &str| -> Disk {
        let loaded = loaded(&format!("{SIGNAL}[check.a]\ntype = \"disk\"\npath = \"/\"\n{text}\n"));
        let Probe::Disk(disk) = &loaded.plan.check("a").unwrap().probe else { panic!("a disk check") };
        disk.clone()
    };
    let range = |text: &str| Some(text.parse().unwrap());
    let bytes = disk("measure = \"free\"\nwarn = \"@0:2GiB\"\ncrit = \"1024:\"");
    assert_eq!(bytes.thresholds, Thresholds { warn: range("@0:2147483648"), crit: range("1024:") });
    assert_eq!(disk("").thresholds, Thresholds { warn: range("20:"), crit: range("10:") });
    assert_eq!(disk("warn = \"5:\"").thresholds, Thresholds { warn: range("5:"), crit: None });
}

#[test]
fn version_1_of_the_signature_without_a_token_is_warned_of() {
    let source = |keys: &str| {
        warnings(&format!("[source.eb]\ntype = \"http\"\nlisten = \"127.0.0.1:0\"\nurl = \"https://agent.example.com/\"\n{keys}"))
    };
    let warned = source("allow_v1 = true");
    assert!(warned.len() == 1 && warned[0].contains("can sign others"), "{warned:?}");
    assert_eq!(source("allow_v1 = true\ntoken_file = \"/etc/token\""), Vec::<String>::new());
    assert_eq!(source(""), Vec::<String>::new());
}
