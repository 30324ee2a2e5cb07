//! Templates in the shapes of official ones, and hostile ones.

use super::*;
use proptest::prelude::*;

/// One ECS instance that runs a script and tells a handle, the usual shape.
const SINGLE: &str = r#"
ROSTemplateFormatVersion: '2015-09-01'
Description:
  en: One web server
Parameters:
  Timeout:
    Type: Number
    Default: 1800
    MinValue: 60
  Password: {Type: String, NoEcho: true}
Resources:
  WebReady:
    Type: ALIYUN::ROS::WaitConditionHandle
  Wait:
    Type: ALIYUN::ROS::WaitCondition
    DependsOn: Run
    Properties:
      Count: 1
      Handle: !Ref WebReady
      Timeout: !Ref Timeout
  Server:
    Type: ALIYUN::ECS::InstanceGroup
    Properties:
      MaxAmount: 1
      Password: !Ref Password
  Run:
    Type: ALIYUN::ECS::RunCommand
    Properties:
      InstanceIds: !GetAtt Server.InstanceIds
      CommandContent:
        Fn::Sub:
          - |
            #!/bin/bash
            ${notify} -d '{"status": "SUCCESS"}'
          - notify: !GetAtt WebReady.CurlCli
Outputs:
  Data:
    Value: !GetAtt Wait.Data
"#;

/// A cluster: all hosts tell one handle with an effective count; numbers are texts, references are spelled out.
const CLUSTER: &str = r#"{
  "ROSTemplateFormatVersion": "2015-09-01",
  "Parameters": {"Amount": {"Type": "Number", "Default": "3"}, "How": {"Type": "String", "Default": "Full"}},
  "Mappings": {"Sizes": {"small": {"Timeout": 600}}},
  "Resources": {
    "ClusterHandle": {"Type": "ALIYUN::ROS::WaitConditionHandle", "Properties": {"Mode": {"Ref": "How"}, "Count": {"Ref": "Amount"}}},
    "ClusterWait": {
      "Type": "ALIYUN::ROS::WaitCondition",
      "Properties": {"Handle": {"Ref": "ClusterHandle"}, "Count": {"Ref": "Amount"}, "Timeout": "3600"}
    },
    "Other": {"Type": "ALIYUN::ROS::WaitConditionHandle", "Properties": {"Mode": "Increment"}},
    "OtherWait": {
      "Type": "ALIYUN::ROS::WaitCondition",
      "Properties": {"Handle": {"Ref": "Other"}, "Timeout": {"Fn::FindInMap": ["Sizes", "small", "Timeout"]},
                     "Count": {"Fn::Calculate": ["{0}-1", 0, [{"Ref": "Amount"}]]}}
    },
    "Group": {"Type": "ALIYUN::ECS::InstanceGroup", "Properties": {"MaxAmount": {"Ref": "Amount"}, "InstanceName": "web-[1,3]"}}
  }
}"#;

/// A handle for which two conditions wait, one after the other.
const TWO: &str = "
Resources:
  H: {Type: 'ALIYUN::ROS::WaitConditionHandle'}
  First: {Type: 'ALIYUN::ROS::WaitCondition', Properties: {Handle: {Ref: H}, Timeout: 60, Count: 1}}
  Second: {Type: 'ALIYUN::ROS::WaitCondition', Properties: {Handle: {Ref: H}, Timeout: 120, Count: 2}}
";

fn facts(text: &str, resource: &str, condition: Option<&str>, given: &[(&str, &str)]) -> Facts {
    let given = given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Template::parse(text).unwrap().facts(resource, condition, &given).0
}

#[test]
fn the_usual_template_tells_the_condition_and_its_timeout() {
    let learned = facts(SINGLE, "WebReady", None, &[]);
    let expected = Facts {
        resource: Named::Handle,
        mode: Some(HandleMode::Full),
        count: Some(-1),
        condition: Some("Wait".to_owned()),
        conditions: 1,
        needed: Some(1),
        timeout_s: Some(1800),
    };
    assert_eq!(learned, expected);
    assert_eq!(facts(SINGLE, "WebReady", None, &[("Timeout", "900")]).timeout_s, Some(900), "the stack's value comes first");
    let template = Template::parse(SINGLE).unwrap();
    assert_eq!(template.facts("WebReady", None, &Parameters::new()).1, BTreeSet::from(["Timeout".to_owned()]));
}

#[test]
fn a_cluster_tells_its_count_and_what_must_be_calculated_stays_unknown() {
    let learned = facts(CLUSTER, "ClusterHandle", None, &[("Amount", "5")]);
    assert_eq!((learned.mode, learned.count, learned.needed, learned.timeout_s), (Some(HandleMode::Full), Some(5), Some(5), Some(3600)));
    let other = facts(CLUSTER, "Other", None, &[]);
    assert_eq!((other.mode, other.count), (Some(HandleMode::Increment), Some(-1)));
    assert_eq!((other.condition.as_deref(), other.needed, other.timeout_s), (Some("OtherWait"), None, None), "never guessed");
}

#[test]
fn a_condition_in_place_of_the_handle_is_seen_with_the_handle_that_is_meant() {
    let learned = facts(SINGLE, "Wait", None, &[]);
    assert_eq!(learned.resource, Named::Condition { handle: Some("WebReady".to_owned()) });
    assert_eq!((learned.condition.as_deref(), learned.timeout_s), (Some("Wait"), Some(1800)));
    assert_eq!(facts(SINGLE, "Server", None, &[]).resource, Named::Other { kind: "ALIYUN::ECS::InstanceGroup".to_owned() });
    assert_eq!(facts(SINGLE, "WebReddy", None, &[]).resource, Named::Missing);
}

#[test]
fn of_two_conditions_only_the_configured_one_is_believed() {
    let learned = facts(TWO, "H", None, &[]);
    assert_eq!((learned.condition, learned.conditions, learned.timeout_s), (None, 2, None));
    assert_eq!(facts(TWO, "H", Some("Second"), &[]).timeout_s, Some(120));
    assert_eq!(facts(TWO, "H", Some("Third"), &[]).condition, None);
}

#[test]
fn values_out_of_their_range_or_kind_are_unknown() {
    let with = |timeout: &str, count: &str, mode: &str| {
        let text = format!(
            r#"{{"Resources": {{"H": {{"Type": "{HANDLE}", "Properties": {{"Mode": {mode}, "Count": {count}}}}},
                "W": {{"Type": "{CONDITION}", "Properties": {{"Handle": {{"Ref": "H"}}, "Timeout": {timeout}}}}}}}}}"#
        );
        let learned = facts(&text, "H", None, &[]);
        (learned.timeout_s, learned.count, learned.mode)
    };
    assert_eq!(with("0", "1.5", "\"full\""), (None, None, None));
    assert_eq!(with("43201", "[3]", "3"), (None, None, None));
    assert_eq!(with("-1", "\"x\"", "{\"Ref\": \"Nothing\"}"), (None, None, None));
    assert_eq!(with("43200", "0", "\"Increment\""), (Some(43_200), Some(0), Some(HandleMode::Increment)));
}

#[test]
fn what_is_no_template_says_why() {
    assert_eq!(Template::parse("").unwrap_err(), "it is neither JSON nor YAML: it is empty or cut off");
    assert_eq!(Template::parse("[]").unwrap_err(), "it has no Resources");
    assert_eq!(Template::parse("Resources: [1]").unwrap_err(), "it has no Resources");
    assert!(Template::parse("{\"Resources\": {").unwrap_err().starts_with("it is not JSON: "));
    assert!(Template::parse(&" ".repeat(TEXT_LIMIT + 1)).unwrap_err().starts_with("it has 524289 bytes"));
    assert!(Template::parse(&format!("{{\"Resources\": {}{}}}", "{\"a\":".repeat(5_000), "}".repeat(5_000))).is_err());
}

/// A tree with the words of templates in wrong places.
fn hostile() -> impl Strategy<Value = Value> {
    let word = prop_oneof![
        Just("Resources"),
        Just("H"),
        Just("W"),
        Just("Type"),
        Just("Properties"),
        Just("Handle"),
        Just("Ref"),
        Just("Count"),
        Just("Timeout"),
        Just("Mode"),
        Just("Parameters"),
        Just("Default"),
        Just(HANDLE),
        Just(CONDITION),
        Just("Increment"),
        Just("\u{1b}[2J"),
    ];
    let leaf = prop_oneof![
        word.clone().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
    ];
    leaf.prop_recursive(5, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::vec((word.clone(), inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_template_makes_it_panic_or_learn_what_cannot_be(resources in hostile(), parameters in hostile()) {
        let text = serde_json::json!({"Resources": {"H": resources, "W": {"Type": CONDITION, "Properties": {"Handle": {"Ref": "H"}}}}, "Parameters": parameters});
        if let Ok(template) = Template::parse(&text.to_string()) {
            for name in ["H", "W", "\u{1b}[2J"] {
                let (learned, _) = template.facts(name, None, &Parameters::new());
                prop_assert!(learned.timeout_s.is_none_or(|timeout| (1..=43_200).contains(&timeout)));
                prop_assert!(!serde_json::to_string(&learned).unwrap().contains("\\u001b"));
            }
        }
    }

    #[test]
    fn json_and_yaml_say_the_same(amount in 0_i64..100, timeout in 1_i64..43_200) {
        let json = CLUSTER.replace("\"3\"", &amount.to_string()).replace("\"3600\"", &timeout.to_string());
        let yaml = format!("# as YAML\n---\n{json}");
        prop_assert_eq!(facts(&json, "ClusterHandle", None, &[]), facts(&yaml, "ClusterHandle", None, &[]));
    }
}
