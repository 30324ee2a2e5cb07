//! The official SDK uses the sandbox as if it were SMQ. Needs python3 with `aliyun-mns-sdk`; which python, the variable
//! `ROS_SANDBOX_TEST_PYTHON` may say.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

const SECRET: &str = "testAccessKeySecret";
const TOKEN: &str = "CAIS+abc/DEF==~tok*en%20 with-space";

/// A python that can import the SDK. Without one the test says that it skipped; where a python is named and peers are required, it fails.
async fn python() -> Option<PathBuf> {
    let named = std::env::var_os("ROS_SANDBOX_TEST_PYTHON");
    let python = PathBuf::from(named.clone().unwrap_or_else(|| "python3".into()));
    let found = Command::new(&python).args(["-c", "import mns.account"]).stdin(Stdio::null()).stderr(Stdio::null()).status().await;
    if found.is_ok_and(|status| status.success()) {
        return Some(python);
    }
    let required = std::env::var("ROS_SIGNAL_AGENT_PEERS").is_ok_and(|word| word == "required");
    assert!(!(required && named.is_some()), "{} has no aliyun-mns-sdk", python.display());
    println!("skipped: no python3 with aliyun-mns-sdk; pip install aliyun-mns-sdk==1.3.0");
    None
}

/// The binary, and what it printed.
async fn sandbox(token: Option<&str>) -> (Child, Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ros-sandbox"));
    command.args(["--access-key-id", "testAccessKeyId"]).env("ROS_SANDBOX_ACCESS_KEY_SECRET", SECRET);
    if let Some(token) = token {
        command.env("ROS_SANDBOX_SECURITY_TOKEN", token);
    }
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).await.unwrap();
    (child, serde_json::from_str(&line).unwrap())
}

async fn round(python: &PathBuf, token: Option<&str>) -> (Value, String) {
    let (_sandbox, printed) = sandbox(token).await;
    let mut command = Command::new(python);
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/smq_sdk.py"));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let endpoint = printed["smq"].as_str().unwrap().to_owned();
    let given = json!({
        "endpoint": endpoint,
        "access_key_id": "testAccessKeyId",
        "access_key_secret": SECRET,
        "security_token": token.unwrap_or_default(),
    });
    let mut input = child.stdin.take().unwrap();
    input.write_all(format!("{given}\n").as_bytes()).await.unwrap();
    drop(input);
    let output = tokio::time::timeout(Duration::from_secs(120), child.wait_with_output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (serde_json::from_slice(&output.stdout).unwrap(), endpoint)
}

#[tokio::test]
async fn the_python_sdk_of_smq_does_its_whole_round_with_and_without_a_token() {
    let Some(python) = python().await else { return };
    for token in [None, Some(TOKEN)] {
        let (seen, endpoint) = round(&python, token).await;
        let queues = json!({
            "url": format!("{endpoint}/queues/round"),
            "same_url": true,
            "differing": "QueueAlreadyExist",
            "visibility": [60, 30],
            "times": true,
            "pages": [["page-1", "page-2"], ["page-3"]],
            "end": "",
            "missing": "QueueNotExist",
        });
        assert_eq!(seen["queues"], queues);
        let messages = json!({
            "sent": [true, true],
            "peeked": [true, 0],
            "received": [true, 1, 8],
            "visible_in": 30,
            "counts": [0, 1, 0],
            "changed": [true, true],
            "dead": "ReceiptHandleError",
            "gone": "MessageNotExist",
            "empty": "MessageNotExist",
            "held": ["MessageNotExist", true],
            "many": [16, 3, 16, ["0", "1", "2"]],
            "partial": [["MessageNotExist", true]],
            "left": "MessageNotExist",
        });
        assert_eq!(seen["messages"], messages);
        let body = |form: &str| json!([format!("{{\"n\": \"{form} <&>\"}}"), "events", true, form]);
        let topics = json!({
            "bodies": {"XML": body("XML"), "JSON": body("JSON"), "SIMPLIFIED": body("SIMPLIFIED")},
            "listed": ["sub-simplified"],
            "empty": [[], "MessageNotExist"],
            "bad": "EndpointInvalid",
            "topics": ["events"],
            "missing": "TopicNotExist",
        });
        assert_eq!(seen["topics"], topics);
        assert_eq!(seen["refused"], json!(["SignatureDoesNotMatch", "InvalidAccessKeyId"]));
        assert_eq!(seen["deleted"], "QueueNotExist");
    }
}
