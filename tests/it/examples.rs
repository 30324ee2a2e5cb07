//! What is shown to users: the templates in packaging/examples, of hosts (in a room of their own) and of events for a fleet, and the
//! configurations in docs/fleet.md.

mod hosts;

use crate::peer;
use ros_signal_agent::config::{Environment, Layout, Owners, load};
use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const WAYS: [&str; 4] = ["events-queue", "events-topic", "events-http", "events-cloud-assistant"];

/// Of the watched stack, as the samples have it.
const STACK: &str = "b0bb2844-da77-4ceb-afe9-7dd6a97d****";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn example(name: &str) -> String {
    let path = root().join("packaging/examples").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn fixture(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(root().join("tests/fixtures/events").join(name)).unwrap()).unwrap()
}

/// A YAML document without anchors and tags; every plain scalar is text.
fn yaml(text: &str) -> Value {
    fn node<'a>(events: &mut impl Iterator<Item = Event<'a>>, first: Event<'a>) -> Value {
        match first {
            Event::Scalar(text, ScalarStyle::Plain, ..) => text.parse::<i64>().map_or_else(|_| json!(text), |number| json!(number)),
            Event::Scalar(text, ..) => json!(text),
            Event::SequenceStart(..) => {
                let mut items = Vec::new();
                loop {
                    match events.next().unwrap() {
                        Event::SequenceEnd => return Value::Array(items),
                        event => items.push(node(events, event)),
                    }
                }
            }
            Event::MappingStart(..) => {
                let mut members = Map::new();
                loop {
                    match events.next().unwrap() {
                        Event::MappingEnd => return Value::Object(members),
                        event => {
                            let key = node(events, event).as_str().unwrap().to_owned();
                            let value = events.next().unwrap();
                            assert!(members.insert(key.clone(), node(events, value)).is_none(), "{key} stands there twice");
                        }
                    }
                }
            }
            event => panic!("{event:?}"),
        }
    }
    let mut events = Parser::new_from_str(text).map(|event| event.unwrap().0);
    let first = events.find(|event| matches!(event, Event::MappingStart(..))).unwrap();
    node(&mut events, first)
}

/// Types of resources, and their properties, as far as the documents of the services show them.
const TYPES: [(&str, &[&str]); 11] = [
    ("ALIYUN::ROS::WaitConditionHandle", &[]),
    ("ALIYUN::ROS::WaitCondition", &["Handle", "Timeout", "Count"]),
    ("ALIYUN::ECS::Instance", &["ZoneId", "VpcId", "VSwitchId", "SecurityGroupId", "ImageId", "InstanceType", "RamRoleName", "UserData"]),
    (
        "ALIYUN::ECS::InstanceGroup",
        &[
            "MaxAmount",
            "ZoneId",
            "NetworkType",
            "VpcId",
            "VSwitchId",
            "SecurityGroupId",
            "ImageId",
            "InstanceType",
            "RamRoleName",
            "UserData",
        ],
    ),
    ("ALIYUN::MNS::Queue", &["QueueName", "PollingWaitSeconds", "VisibilityTimeout", "MessageRetentionPeriod"]),
    ("ALIYUN::MNS::Topic", &["TopicName"]),
    ("ALIYUN::EventBridge::Rule", &["EventBusName", "RuleName", "FilterPattern", "Status", "Description", "Targets"]),
    ("ALIYUN::RAM::ManagedPolicy", &["PolicyName", "Roles", "PolicyDocument"]),
    ("ALIYUN::RAM::Role", &["RoleName", "AssumeRolePolicyDocument", "Policies"]),
    ("ALIYUN::FC::Service", &["ServiceName", "Role"]),
    (
        "ALIYUN::FC::Function",
        &["ServiceName", "FunctionName", "Runtime", "Handler", "MemorySize", "Timeout", "EnvironmentVariables", "Code"],
    ),
];

/// Everything that a template refers to: `Ref`, `Fn::GetAtt`, `${NAME}` in `Fn::Sub`.
fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                match (key.as_str(), value) {
                    ("Ref", Value::String(name)) => drop(found.insert(name.clone())),
                    ("Fn::GetAtt", Value::Array(names)) => drop(found.insert(names[0].as_str().unwrap().to_owned())),
                    ("Fn::Sub", Value::String(text)) => found.extend(placeholders(text)),
                    _ => references(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

/// The names in `${...}`.
fn placeholders(text: &str) -> Vec<String> {
    text.split("${").skip(1).map(|rest| rest.split_once('}').unwrap().0.to_owned()).collect()
}

#[test]
fn every_template_names_known_types_and_properties_and_only_what_it_has() {
    for way in WAYS.into_iter().chain(hosts::TEMPLATES) {
        let template = yaml(&example(&format!("{way}.yml")));
        assert_eq!(template["ROSTemplateFormatVersion"], "2015-09-01", "{way}");
        let resources = template["Resources"].as_object().unwrap();
        let parameters = template["Parameters"].as_object().unwrap();
        for (name, resource) in resources {
            let kind = resource["Type"].as_str().unwrap();
            let (_, properties) = TYPES.iter().find(|(known, _)| *known == kind).unwrap_or_else(|| panic!("{way}: {name}: {kind}"));
            for property in resource["Properties"].as_object().into_iter().flat_map(Map::keys) {
                assert!(properties.contains(&property.as_str()), "{way}: {name}: {property}");
            }
            let depends = &resource["DependsOn"];
            let depends = depends.as_array().cloned().unwrap_or_else(|| if depends.is_null() { Vec::new() } else { vec![depends.clone()] });
            assert!(depends.iter().all(|on| resources.contains_key(on.as_str().unwrap())), "{way}: {name}: {depends:?}");
        }
        let mut found = BTreeSet::new();
        references(&template, &mut found);
        let pseudo = ["ALIYUN::Region", "ALIYUN::TenantId", "ALIYUN::StackId"];
        for name in &found {
            let name = name.split('.').next().unwrap();
            let known = resources.contains_key(name) || parameters.contains_key(name) || pseudo.contains(&name);
            assert!(known, "{way}: {name} is neither a parameter nor a resource");
        }
        let unused: Vec<&String> = parameters.keys().filter(|name| !found.contains(*name)).collect();
        assert!(unused.is_empty(), "{way}: {unused:?}");
    }
}

#[test]
fn every_target_has_an_endpoint_of_its_own_form_and_takes_the_complete_event() {
    let forms = [
        ("events-queue", "acs.mns.queue", "acs:mns:${ALIYUN::Region}:${ALIYUN::TenantId}:queues/${QueueName}", "queue"),
        ("events-topic", "acs.mns.topic", "acs:mns:${ALIYUN::Region}:${ALIYUN::TenantId}:topics/${TopicName}", "topic"),
        (
            "events-cloud-assistant",
            "acs.fc.function",
            "acs:fc:${ALIYUN::Region}:${ALIYUN::TenantId}:services/${Name}.LATEST/functions/${Name}",
            "functionName",
        ),
    ];
    for (way, kind, endpoint, key) in forms {
        let template = yaml(&example(&format!("{way}.yml")));
        let targets = template["Resources"]["Rule"]["Properties"]["Targets"].as_array().unwrap().clone();
        assert_eq!((targets.len(), &targets[0]["Type"]), (1, &json!(kind)));
        assert_eq!(targets[0]["Endpoint"]["Fn::Sub"], endpoint);
        let list = targets[0]["ParamList"].as_array().unwrap();
        assert!(list.iter().any(|it| it["ResourceKey"] == key && it["Form"] == "CONSTANT"), "{way}");
    }
    for way in WAYS {
        let template = yaml(&example(&format!("{way}.yml")));
        let list = template["Resources"]["Rule"]["Properties"]["Targets"][0]["ParamList"].as_array().unwrap().clone();
        assert!(list.iter().any(|it| *it == json!({"ResourceKey": "Body", "Form": "ORIGINAL", "Value": ""})), "{way}");
        let terraform = example(&format!("{way}.tf"));
        for key in list.iter().map(|it| it["ResourceKey"].as_str().unwrap()) {
            assert!(terraform.contains(&format!("resource_key = \"{key}\"")), "{way}: {key}");
        }
    }
}

/// Whether an event passes a filter pattern: AND over keys, OR over the entries of a list (pages on event patterns).
fn matches(pattern: &Value, event: &Value) -> bool {
    let expression = |one: &Value| match one {
        Value::Object(operator) => {
            let (operator, operand) = operator.iter().next().unwrap();
            let (text, operand) = (event.as_str().unwrap_or_default(), operand.as_str().unwrap());
            match operator.as_str() {
                "prefix" => text.starts_with(operand),
                "suffix" => text.ends_with(operand),
                other => panic!("{other}"),
            }
        }
        exact => exact == event,
    };
    match pattern {
        Value::Object(members) => members.iter().all(|(key, below)| event.get(key).is_some_and(|event| matches(below, event))),
        Value::Array(any) => any.iter().any(expression),
        _ => panic!("{pattern}"),
    }
}

/// Every sample, with its name.
fn samples() -> Vec<(String, Value)> {
    let directory = std::fs::read_dir(root().join("tests/fixtures/events/samples")).unwrap();
    let names = directory.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let samples: Vec<(String, Value)> = names.map(|name| (name.clone(), fixture(&format!("samples/{name}")))).collect();
    assert_eq!(samples.len(), 21);
    samples
}

#[test]
fn every_rule_passes_all_events_of_its_own_stack_and_none_of_another() {
    for way in WAYS {
        let template = yaml(&example(&format!("{way}.yml")));
        let pattern = template["Resources"]["Rule"]["Properties"]["FilterPattern"].clone();
        assert_eq!(pattern["data"]["StackId"][0]["Ref"], "WatchedStackId");
        for (name, sample) in samples() {
            let own = sample["data"]["StackId"].as_str().unwrap();
            let of = |stack: &str| {
                let mut pattern = pattern.clone();
                pattern["data"]["StackId"] = json!([stack]);
                pattern
            };
            assert!(matches(&of(own), &sample), "{way}: {name}");
            assert!(!matches(&of("another"), &sample), "{way}: {name}");
            let mut other = sample.clone();
            other["source"] = json!("acs.ecs");
            assert!(!matches(&of(own), &other), "{way}: {name}");
        }
    }
}

#[test]
fn the_patterns_that_are_advised_pass_the_samples_that_they_should() {
    let patterns = fixture("event-patterns.json");
    let passed = |name: &str| {
        let pattern = &patterns["patterns"][name]["pattern"];
        samples().into_iter().filter(|(_, sample)| matches(pattern, sample)).map(|(name, _)| name).collect::<Vec<_>>()
    };
    assert_eq!(passed("whole_account_region").len(), 21);
    let failures = passed("failures_only");
    assert!(failures.iter().all(|name| name.contains("Failed") || name.contains("Rollback")) && failures.len() >= 10, "{failures:?}");
    assert!(passed("one_stack_by_data").is_empty(), "its id is that of no sample");
}

/// The text of an HCL file without comments, and with each string replaced by `""`; with what stood in the strings.
fn hcl(text: &str) -> (String, String) {
    let (mut code, mut strings) = (String::new(), String::new());
    let mut heredoc = false;
    for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
        if heredoc {
            heredoc = line.trim() != "END";
            strings.push_str(line);
            strings.push('\n');
            continue;
        }
        heredoc = line.ends_with("<<-END");
        for (index, part) in line.split('"').enumerate() {
            if index % 2 == 0 {
                code.push_str(part);
            } else {
                strings.push_str(part);
            }
            strings.push('\n');
        }
        code.push('\n');
    }
    (code, strings)
}

/// `var.NAME` and the like, all that begins with `prefix`.
fn mentions(text: &str, prefix: &str, parts: usize) -> BTreeSet<String> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let found = text.match_indices(prefix).filter(|(at, _)| !text[..*at].ends_with(|c: char| is_word(c) || c == '.' || c == '-'));
    let name = |at: usize| {
        text[at..].split(|c: char| !is_word(c) && c != '.').next().unwrap().split('.').take(parts).collect::<Vec<_>>().join(".")
    };
    found.map(|(at, _)| name(at)).collect()
}

/// The HCL of `text` is balanced, and names only what it has.
fn terraform_is_whole(what: &str, text: &str) {
    let (code, strings) = hcl(text);
    for (open, close) in [('{', '}'), ('[', ']'), ('(', ')')] {
        let depths = code.chars().scan(0_i32, |depth, c| {
            *depth += i32::from(c == open) - i32::from(c == close);
            Some(*depth)
        });
        assert!(depths.clone().all(|depth| depth >= 0) && depths.last() == Some(0), "{what}: {open}{close}");
    }
    let all = format!("{code}\n{}", placeholders(&strings).join("\n"));
    for variable in mentions(&all, "var.", 2) {
        assert!(text.contains(&format!("variable \"{}\" {{", &variable[4..])), "{what}: {variable}");
    }
    for declared in text.lines().filter_map(|line| line.strip_prefix("variable \"")) {
        let name = declared.split('"').next().unwrap();
        assert!(all.contains(&format!("var.{name}")), "{what}: {name} is not used");
    }
    for data in mentions(&all, "data.", 3) {
        let parts: Vec<&str> = data.split('.').collect();
        assert!(text.contains(&format!("data \"{}\" \"{}\" {{", parts[1], parts[2])), "{what}: {data}");
    }
    for resource in mentions(&all, "alicloud_", 2) {
        let (kind, name) = resource.split_once('.').unwrap();
        assert!(text.contains(&format!("resource \"{kind}\" \"{name}\" {{")), "{what}: {resource}");
    }
    for local in mentions(&all, "local.", 2) {
        assert!(text.contains(&format!("  {:<7} = ", &local[6..])), "{what}: {local}");
    }
}

#[test]
fn every_terraform_file_is_balanced_and_names_only_what_it_has() {
    for way in WAYS {
        let text = example(&format!("{way}.tf"));
        terraform_is_whole(&format!("{way}.tf"), &text);
        let filter = "    source = [\"acs.ros\"]\n    type   = [{ prefix = \"ros:StackStateChange:\" }, \"ros:Stack:StatusChange\"]\n    data   = { StackId = [var.watched_stack_id] }\n";
        assert!(text.contains(filter), "{way}.tf");
    }
}

#[test]
fn ros_and_terraform_permit_the_same() {
    for way in ["events-queue", "events-topic", "events-cloud-assistant"] {
        let actions = |text: &str| -> BTreeSet<String> {
            let words = text.split(|c: char| c.is_whitespace() || "\",[]".contains(c));
            words.filter(|word| ["mns:", "ecs:"].iter().any(|code| word.starts_with(code))).map(str::to_owned).collect()
        };
        let (ros, terraform) = (actions(&example(&format!("{way}.yml"))), actions(&example(&format!("{way}.tf"))));
        assert!(!ros.is_empty() && ros == terraform, "{way}: {ros:?} {terraform:?}");
    }
}

#[test]
fn every_example_says_what_it_makes_and_costs_and_that_it_was_never_applied() {
    for name in WAYS.iter().flat_map(|way| [format!("{way}.yml"), format!("{way}.tf")]) {
        let text = example(&name);
        let head: Vec<&str> = text.lines().take_while(|line| line.starts_with('#')).collect();
        let head = head.join("\n");
        for said in ["What it makes:", "What it costs:", "What to change:", "Not applied to a live account", "eventbridge", "docs/fleet.md"]
        {
            assert!(head.contains(said), "{name}: {said}");
        }
    }
}

/// Loads as `config check` does, beside the least there must be.
fn loads(what: &str, snippet: &str) {
    let directory = tempfile::TempDir::new().unwrap();
    let path = directory.path().join("etc/ros-signal-agent/config.toml");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let least = "[signal.web]\nresource = \"WebReady\"\n[check.port]\ntype = \"tcp\"\naddress = \"127.0.0.1:80\"\n";
    std::fs::write(path, format!("{least}{snippet}")).unwrap();
    let owners = Owners::Given { agent: 990, paths: [].into() };
    let loaded = load(&Layout::under(directory.path()), &owners, &Environment::default());
    let loaded = loaded.unwrap_or_else(|problems| panic!("{what}: {problems:?}\n{snippet}"));
    assert!(loaded.warnings.is_empty(), "{what}: {:?}", loaded.warnings);
    assert!(!loaded.plan.sources.is_empty(), "{what}");
}

#[test]
fn every_configuration_of_the_examples_and_of_the_page_loads() {
    for way in WAYS {
        let template = yaml(&example(&format!("{way}.yml")));
        let mut text = template["Outputs"]["AgentConfiguration"]["Value"]["Fn::Sub"].as_str().unwrap().to_owned();
        for name in placeholders(&text.clone()) {
            let default = template["Parameters"][&name]["Default"].as_str().unwrap();
            text = text.replace(&format!("${{{name}}}"), default);
        }
        loads(way, &text);
        let terraform = example(&format!("{way}.tf"));
        let (_, output) = terraform.split_once("value       = <<-END\n").unwrap();
        let mut output: String = output.lines().take_while(|line| line.trim() != "END").map(|line| line.trim().to_owned() + "\n").collect();
        for name in placeholders(&output.clone()) {
            let (_, variable) = terraform.split_once(&format!("variable \"{}\" {{", &name[4..])).unwrap();
            let (_, default) = variable.split_once("default     = \"").unwrap();
            output = output.replace(&format!("${{{name}}}"), default.split('"').next().unwrap());
        }
        assert_eq!(output, text, "{way}");
    }
    let page = std::fs::read_to_string(root().join("docs/fleet.md")).unwrap();
    let snippets: Vec<&str> = page.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(snippets.len() >= 5);
    for snippet in snippets {
        loads("docs/fleet.md", snippet);
    }
}

#[test]
fn the_cost_table_is_what_its_formula_says() {
    let page = std::fs::read_to_string(root().join("docs/fleet.md")).unwrap();
    let (_, table) = page.split_once("<!-- cost -->").unwrap();
    let rows: Vec<Vec<&str>> =
        table.lines().filter(|line| line.starts_with('|')).map(|line| line.split('|').map(str::trim).collect()).collect();
    let mut fleets = 0;
    for row in rows.iter().skip(2).take_while(|row| row.len() == 8) {
        let Ok(n) = row[1].parse::<u32>() else { break };
        let topics = f64::from(n.div_ceil(100)) * 0.32 * 30.0;
        let n = f64::from(n);
        let queues = n * 0.08 * 30.0;
        let requests = n * 30.0 * 86_400.0 / 30.0 / 1e6;
        let expected = [
            format!("{queues:.2}"),
            format!("{topics:.2}"),
            format!("{:.2}", queues + topics),
            format!("{requests:.1}"),
            format!("{:.2}", n / 300.0),
        ];
        assert_eq!(row[2..7], expected, "{n}");
        fleets += 1;
    }
    assert_eq!(fleets, 5);
}

#[test]
fn the_function_in_the_template_is_the_one_beside_it() {
    let template = yaml(&example("events-cloud-assistant.yml"));
    let code = template["Resources"]["Function"]["Properties"]["Code"]["SourceCode"].as_str().unwrap();
    assert_eq!(code, example("events-cloud-assistant.py"));
    assert!(code.len() <= 4096, "{}", code.len());
}

/// Runs the function as Function Compute does, and gives what it put into the query of its one request.
async fn run_function(python: &Path, sandbox: &ros_sandbox::Sandbox, event: &Value) -> ros_sandbox::RequestRecord {
    let code = root().join("packaging/examples/events-cloud-assistant.py");
    let main = "import runpy, sys, types\n\
                f = runpy.run_path(sys.argv[1])\n\
                k = types.SimpleNamespace(access_key_id='testAccessKeyId', access_key_secret=sys.stdin.readline().strip(), security_token='')\n\
                try:\n    f['handler'](sys.argv[2].encode(), types.SimpleNamespace(region='cn-hangzhou', credentials=k))\n\
                except Exception as e:\n    print(e)\n";
    let mut child = tokio::process::Command::new(python)
        .args(["-c", main, code.to_str().unwrap(), &event.to_string()])
        .env_clear()
        .env("ENDPOINT", sandbox.ros_url())
        .env("SPOOL", "/tmp/spool")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut input, format!("{}\n", crate::ros::KEY_SECRET).as_bytes()).await.unwrap();
    drop(input);
    let output = tokio::time::timeout(std::time::Duration::from_secs(60), child.wait_with_output()).await.unwrap().unwrap();
    assert!(output.status.success());
    sandbox.requests().pop().unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&output.stdout)))
}

#[tokio::test]
async fn the_function_asks_for_one_command_that_drops_the_event_without_its_outputs() {
    let Some(python) = peer::program("python3") else { return };
    let Some(shell) = peer::program("sh") else { return };
    let sandbox = crate::ros::sandbox().await;
    let mut event = samples().into_iter().find(|(name, _)| name.contains("UpdateComplete")).unwrap().1;
    event["data"]["Outputs"] = json!([{"OutputKey": "Password", "OutputValue": "out-of-here"}]);
    event["data"]["StackName"] = json!("it's $(a) `name` 中");
    let request = run_function(&python, &sandbox, &event).await;
    let asked = |name: &str| request.parameters.get(name).cloned().unwrap_or_default();
    assert_eq!((request.method.as_str(), asked("Action").as_str(), asked("Version").as_str()), ("POST", "RunCommand", "2014-05-26"));
    assert_eq!((asked("ResourceTag.1.Key").as_str(), asked("ResourceTag.1.Value").as_str()), ("ros-signal-agent", "spool"));
    assert!(request.verified, "it is signed");
    // The command is longer than what a record keeps of a parameter; the script itself comes from the function.
    let directory = tempfile::TempDir::new().unwrap();
    let spool = directory.path().join("spool");
    std::fs::create_dir(&spool).unwrap();
    let code = root().join("packaging/examples/events-cloud-assistant.py");
    let print = "import json, runpy, sys\nprint(runpy.run_path(sys.argv[1])['script'](json.loads(sys.argv[2])), end='')\n";
    let script = std::process::Command::new(&python)
        .args(["-c", print, code.to_str().unwrap(), &event.to_string()])
        .env("SPOOL", &spool)
        .output()
        .unwrap();
    let status = std::process::Command::new(shell).arg("-c").arg(String::from_utf8(script.stdout).unwrap()).status().unwrap();
    assert!(status.success());
    let dropped: Vec<PathBuf> = std::fs::read_dir(&spool).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(dropped.len(), 1, "{dropped:?}");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left beside it");
    let text = std::fs::read_to_string(&dropped[0]).unwrap();
    let file: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&file["id"], &file["type"], &file["data"]["StackId"]), (&event["id"], &event["type"], &json!(STACK)));
    assert_eq!(file["data"]["StackName"], event["data"]["StackName"]);
    assert!(!text.contains("out-of-here"));
}
