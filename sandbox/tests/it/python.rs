//! The official SDK uses the sandbox as if it were ROS. Needs python3 with `alibabacloud_ros20190910`; which python, the
//! variable `ROS_SANDBOX_TEST_PYTHON` may say.

use std::process::Stdio;
use std::time::Duration;

use ros_sandbox::{Sandbox, StackSpec, Status, Switches};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::client::{authority, metadata, sandbox, sandbox_with};

const TOKEN: &str = "CAIS+abc/DEF==~tok*en%20 with-space";

/// A python that can import the SDK, or why there is none.
async fn python() -> Result<String, String> {
    let python = std::env::var("ROS_SANDBOX_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let import = "import alibabacloud_ros20190910.client, alibabacloud_tea_openapi.models";
    let output = Command::new(&python).args(["-c", import]).stdin(Stdio::null()).output().await;
    match output {
        Err(error) => Err(format!("{python}: {error}")),
        Ok(output) if output.status.success() => Ok(python),
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stderr);
            Err(format!("{python}: {}", text.lines().last().unwrap_or("failed")))
        }
    }
}

async fn run(python: &str, given: Value) -> Value {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python_sdk.py");
    let mut command = Command::new(python);
    command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    for proxy in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env_remove(proxy);
    }
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(format!("{given}\n").as_bytes()).await.unwrap();
    drop(input);
    let output = tokio::time::timeout(Duration::from_secs(120), child.wait_with_output()).await.unwrap().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Runs the script with both signature schemes, each on a stack of its own.
async fn uses(python: &str, sandbox: &Sandbox, key: (&str, &str, Option<&str>)) {
    for algorithm in [None, Some("v2")] {
        let stack = format!("stack-{}", algorithm.unwrap_or("v3"));
        sandbox.put_stack(&stack, StackSpec::waiting_for("WebReady", 1, 300.0)).unwrap();
        let unique_id = "i-1 a+b*~/中";
        let seen = run(
            python,
            json!({
                "endpoint": authority(&sandbox.ros_url()),
                "access_key_id": key.0,
                "access_key_secret": key.1,
                "security_token": key.2,
                "signature_algorithm": algorithm,
                "stack_id": stack,
                "unique_id": unique_id,
            }),
        )
        .await;
        assert_eq!(seen["before"], "CREATE_IN_PROGRESS", "{seen}");
        assert_eq!(seen["progress"][0]["ProgressTargetValue"], 1.0);
        assert_eq!((&seen["after"], &seen["condition"]), (&json!("CREATE_COMPLETE"), &json!("CREATE_COMPLETE")));
        assert_eq!((&seen["data"], &seen["error_data"]), (&json!({unique_id: ""}), &json!({})));
        assert_eq!(seen["handle_type"], "ALIYUN::ROS::WaitConditionHandle");
        assert_eq!(seen["resources"], json!(["Wait", "WebReady"]));
        assert_eq!(seen["event_statuses"][0], "CREATE_COMPLETE");
        assert_eq!(seen["error"], json!({"code": "StackNotFound", "status": 404}));
        assert_eq!(seen["request_id"].as_str().unwrap().len(), 36);
        let view = sandbox.stack(&stack).unwrap();
        assert_eq!((view.status, view.effective_signals), (Status::CREATE_COMPLETE, 1));
    }
}

#[tokio::test]
async fn the_python_sdk_works_with_static_sts_and_metadata_credentials() {
    let python = match python().await {
        Ok(python) => python,
        Err(why) => {
            println!("skipped: no python3 with alibabacloud_ros20190910 ({why}); pip install alibabacloud_ros20190910");
            return;
        }
    };
    let long_term = sandbox().await;
    uses(&python, &long_term, ("testAccessKeyId", "testAccessKeySecret", None)).await;

    let temporary = sandbox_with(Switches::default(), Some(TOKEN)).await;
    uses(&python, &temporary, ("testAccessKeyId", "testAccessKeySecret", Some(TOKEN))).await;

    let path = "/latest/meta-data/ram/security-credentials/SandboxRole";
    let issued = metadata(&long_term, "GET", path, &[]).await.unwrap().json();
    let text = |name: &str| issued[name].as_str().unwrap();
    uses_issued(&python, &long_term, (text("AccessKeyId"), text("AccessKeySecret"), text("SecurityToken"))).await;
}

async fn uses_issued(python: &str, sandbox: &Sandbox, key: (&str, &str, &str)) {
    // Client tokens are remembered per account, so the earlier stacks' tokens cannot be used again.
    let stack = "stack-issued";
    sandbox.put_stack(stack, StackSpec::waiting_for("WebReady", 1, 300.0)).unwrap();
    let seen = run(
        python,
        json!({
            "endpoint": authority(&sandbox.ros_url()),
            "access_key_id": key.0,
            "access_key_secret": key.1,
            "security_token": key.2,
            "signature_algorithm": null,
            "stack_id": stack,
            "unique_id": "i-2",
        }),
    )
    .await;
    assert_eq!(seen["after"], "CREATE_COMPLETE", "{seen}");
}
