//! Every control example of the README works as it stands there.

use crate::client::{control, sandbox};

/// Method, path and body of a `curl` line.
fn request(line: &str) -> (&str, &str, &str) {
    let method = line.split_once("-X ").map_or("GET", |(_, rest)| rest.split(' ').next().unwrap());
    let path = line.split_once("$CONTROL").unwrap().1.split(' ').next().unwrap();
    let body = line.split_once("-d '").map_or("", |(_, rest)| rest.strip_suffix('\'').unwrap());
    (method, path, body)
}

#[tokio::test]
async fn every_control_example_works_in_order() {
    let sandbox = sandbox().await;
    let readme = include_str!("../../README.md");
    let examples: Vec<&str> = readme.lines().filter(|line| line.starts_with("curl ")).collect();
    assert!(examples.len() > 40, "{}", examples.len());
    for line in examples {
        let (method, path, body) = request(line);
        let reply = control(&sandbox, method, path, body).await;
        assert_eq!(reply.status, 200, "{line}: {}", reply.body);
    }
}

#[test]
fn every_kind_of_fault_and_every_switch_has_an_entry() {
    let readme = include_str!("../../README.md");
    let switches = serde_json::to_value(ros_sandbox::Switches::default()).unwrap();
    for switch in switches.as_object().unwrap().keys() {
        assert!(readme.contains(&format!("`{switch}`")), "{switch}");
    }
    let kinds = [
        "refuse",
        "reset",
        "stall",
        "http",
        "error",
        "throttle",
        "too_early",
        "stack_not_found",
        "forbidden",
        "expire_credentials",
        "date",
    ];
    for kind in kinds {
        assert!(readme.contains(&format!("\"kind\": \"{kind}\"")), "{kind}");
    }
}
