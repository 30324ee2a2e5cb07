//! Templates of hosts that install the agent by user data, and the Terraform module of one of them. That this user data does what it should
//! is shown by tests/system/checks/first-boot.sh, which runs it.

use super::{example, placeholders, root, terraform_is_whole, yaml};
use ros_signal_agent::config::{Environment, Layout, Owners, load};
use ros_signal_agent::plan::Plan;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

pub(super) const TEMPLATES: [&str; 3] = ["group", "template", "template-handle"];

const STACK: &str = "4a6c9851-3b0f-4f5f-b4ca-a14bf6910000";

fn template(name: &str) -> Value {
    yaml(&example(&format!("{name}.yml")))
}

/// The script as ROS fills it in.
fn user_data(template: &Value) -> String {
    let resources = template["Resources"].as_object().unwrap();
    let mut scripts = resources.values().filter_map(|resource| resource["Properties"]["UserData"]["Fn::Sub"].as_str());
    let script = scripts.next().unwrap();
    assert!(scripts.next().is_none());
    let digest = "0".repeat(64);
    let values = [
        ("ALIYUN::StackId", STACK),
        ("ALIYUN::Region", "cn-hangzhou"),
        ("DebUrl", "http://packages.example.com/ros-signal-agent.deb"),
        ("DebSha256", digest.as_str()),
        ("RpmUrl", ""),
        ("RpmSha256", ""),
        ("WebReady.CurlCli", "curl -X POST http://100.100.100.110/waitcondition"),
    ];
    placeholders(script).iter().fold(script.to_owned(), |text, name| {
        let (_, value) = values.iter().find(|(known, _)| known == name).unwrap_or_else(|| panic!("{name}"));
        text.replace(&format!("${{{name}}}"), value)
    })
}

/// What the script writes to a file, by a here-document that ends with END.
fn written(script: &str, file: &str) -> String {
    let (_, rest) = script.split_once(&format!("cat > {file} <<'END'\n")).unwrap_or_else(|| panic!("{file} is not written"));
    rest.split_once("\nEND\n").unwrap().0.to_owned() + "\n"
}

/// The plan of the configuration that user data writes, which has no warnings.
fn plan(name: &str, script: &str) -> Plan {
    let directory = tempfile::TempDir::new().unwrap();
    let path = directory.path().join("etc/ros-signal-agent/config.toml");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, written(script, "/etc/ros-signal-agent/config.toml.new")).unwrap();
    let owners = Owners::Given { agent: 990, paths: [].into() };
    let loaded = load(&Layout::under(directory.path()), &owners, &Environment::default());
    let loaded = loaded.unwrap_or_else(|problems| panic!("{name}: {problems:?}"));
    assert!(loaded.warnings.is_empty(), "{name}: {:?}", loaded.warnings);
    loaded.plan
}

#[test]
fn user_data_is_a_script_that_a_shell_reads_and_ros_takes() {
    for name in TEMPLATES {
        let script = user_data(&template(name));
        assert!(script.starts_with("#!/bin/sh\n"), "{name}");
        assert!(script.len() <= 16 * 1024, "{name}: {}", script.len());
        let mut shell = Command::new("sh").arg("-n").stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        shell.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        let output = shell.wait_with_output().unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn the_configuration_of_user_data_loads_and_names_handle_and_condition_of_its_template() {
    for name in TEMPLATES {
        let template = template(name);
        let plan = plan(name, &user_data(&template));
        let [signal] = plan.signals.as_slice() else { panic!("{name}: {:?}", plan.signals) };
        assert_eq!(signal.stack_id.as_deref(), Some(STACK), "{name}");
        assert_eq!(signal.region.as_deref(), Some("cn-hangzhou"), "{name}");
        assert_eq!(template["Resources"][&signal.resource]["Type"], "ALIYUN::ROS::WaitConditionHandle", "{name}");
        if let Some(condition) = &signal.condition {
            let condition = &template["Resources"][condition];
            assert_eq!(condition["Type"], "ALIYUN::ROS::WaitCondition", "{name}");
            assert_eq!(condition["Properties"]["Handle"]["Ref"], *signal.resource, "{name}");
        }
        assert!(!signal.deadline_given, "{name}: the deadline is to follow the template");
    }
}

#[test]
fn all_user_data_installs_in_the_same_way_and_brings_no_unit_of_its_own() {
    let installs = |name: &str| {
        let script = user_data(&template(name));
        assert!(!script.contains("ExecStart="), "{name}");
        assert!(script.ends_with("systemctl enable --now ros-signal-agent.service\n"), "{name}");
        script[script.find("# Network, names").unwrap()..].to_owned()
    };
    for name in TEMPLATES {
        assert_eq!(installs(name), installs("group"), "{name}");
    }
}

#[test]
fn the_group_waits_for_as_many_hosts_as_it_makes_and_takes_derived_ids() {
    let template = template("group");
    let resources = &template["Resources"];
    assert_eq!(resources["Group"]["Properties"]["MaxAmount"], json!({"Ref": "Amount"}));
    assert_eq!(resources["WebCondition"]["Properties"]["Count"], json!({"Ref": "Amount"}));
    assert_eq!(resources["WebCondition"]["DependsOn"], "Group");
    let handle = resources["WebReady"].as_object().unwrap();
    assert!(!handle.contains_key("Properties"), "with a Count of the handle ROS takes integers only");
    assert_eq!(resources["WebRole"], self::template("template")["Resources"]["WebRole"]);
}

fn module() -> String {
    ["main", "variables", "outputs"].map(|file| example(&format!("group/{file}.tf"))).join("\n")
}

/// The attributes `NAME = VALUE` of the block that begins with the line `head`, one level down.
fn attributes(text: &str, head: &str) -> Vec<(String, String)> {
    let (before, rest) = text.split_once(&format!("{head}\n")).unwrap_or_else(|| panic!("{head}"));
    let indent = before.rsplit('\n').next().unwrap();
    let block = rest.split_once(&format!("\n{indent}}}\n")).unwrap().0;
    let of_block = block.lines().filter_map(|line| line.strip_prefix(indent)?.strip_prefix("  ")).filter(|line| !line.starts_with(' '));
    let pairs = of_block.filter_map(|line| line.split_once('='));
    pairs.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())).collect()
}

#[test]
fn the_module_makes_the_stack_of_the_template_with_all_its_parameters() {
    let module = module();
    terraform_is_whole("group/*.tf", &module);
    assert!(module.contains("template_body      = file(\"${path.module}/../group.yml\")\n"));
    assert!(root().join("packaging/examples/group/../group.yml").is_file());
    let template = template("group");
    let parameters = template["Parameters"].as_object().unwrap();
    let given = attributes(&module, "parameters = {");
    assert_eq!(given.iter().map(|(name, _)| name).collect::<BTreeSet<_>>(), parameters.keys().collect());
    for (parameter, variable) in given {
        let variable = attributes(&module, &format!("variable \"{}\" {{", variable.strip_prefix("var.").unwrap()));
        let default = variable.iter().find(|(name, _)| name == "default").map(|(_, value)| value.trim_matches('"').to_owned());
        let expected = parameters[&parameter].get("Default").map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        assert_eq!(default, expected, "{parameter}");
    }
}

#[test]
fn the_example_of_the_module_gives_what_it_needs_and_nothing_that_it_has_not() {
    let module = module();
    let given: BTreeSet<String> =
        attributes(&example("group/example/main.tf"), "module \"web\" {").into_iter().map(|(name, _)| name).collect();
    for name in given.iter().filter(|name| *name != "source") {
        assert!(module.contains(&format!("variable \"{name}\" {{")), "{name}");
    }
    for declared in module.lines().filter_map(|line| line.strip_prefix("variable \"")) {
        let name = declared.split('"').next().unwrap();
        let needed = attributes(&module, &format!("variable \"{name}\" {{")).iter().all(|(key, _)| key != "default");
        assert!(!needed || given.contains(name), "{name}");
    }
}
