//! The binary: one line of JSON, loopback only, the secret not in the arguments unless wanted, and an end on SIGTERM.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::client::{Caller, STACK};

fn binary(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ros-sandbox"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command.env_remove("ROS_SANDBOX_ACCESS_KEY_SECRET").env_remove("ROS_SANDBOX_SECURITY_TOKEN");
    command
}

async fn first_line(child: &mut Child) -> (Value, BufReader<tokio::process::ChildStdout>) {
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    tokio::time::timeout(Duration::from_secs(20), output.read_line(&mut line)).await.unwrap().unwrap();
    (serde_json::from_str(&line).unwrap(), output)
}

#[tokio::test]
async fn it_prints_one_line_serves_and_ends_on_sigterm() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("secret");
    std::fs::write(&file, "testAccessKeySecret\n").unwrap();
    let arguments = ["--listen", "127.0.0.1:0", "--access-key-id", "testAccessKeyId", "--access-key-secret-file"];
    let mut child = binary(&arguments).arg(&file).spawn().unwrap();
    let (line, mut output) = first_line(&mut child).await;
    let mut names: Vec<&String> = line.as_object().unwrap().keys().collect();
    names.sort();
    assert_eq!(names, ["ca_file", "control", "handle", "metadata", "ros", "ros_tls", "smq"]);
    let ca_file = std::path::PathBuf::from(line["ca_file"].as_str().unwrap());
    assert!(ca_file.exists());
    let parameters = [("RegionId", "cn-hangzhou"), ("StackId", STACK)];
    let reply = Caller::default().call(line["ros"].as_str().unwrap(), None, "GetStack", &parameters).await.unwrap();
    reply.is(404, "StackNotFound");

    let pid = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
    let status = tokio::time::timeout(Duration::from_secs(20), child.wait()).await.unwrap().unwrap();
    assert!(status.success(), "{status}");
    let mut rest = String::new();
    output.read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest, "");
    assert!(!ca_file.exists());
}

#[tokio::test]
async fn the_secret_may_come_from_the_environment() {
    let mut child =
        binary(&["--access-key-id", "testAccessKeyId"]).env("ROS_SANDBOX_ACCESS_KEY_SECRET", "testAccessKeySecret").spawn().unwrap();
    let (line, _output) = first_line(&mut child).await;
    let parameters = [("RegionId", "cn-hangzhou"), ("StackId", STACK)];
    let reply = Caller::sha1().call(line["ros"].as_str().unwrap(), None, "GetStack", &parameters).await.unwrap();
    reply.is(404, "StackNotFound");
}

#[tokio::test]
async fn it_refuses_other_addresses_and_a_missing_secret() {
    let key = ["--access-key-id", "a"];
    let cases = [
        (
            vec!["--listen", "0.0.0.0:0", "--access-key-secret", "hidden"],
            "cannot listen on 0.0.0.0:0: the sandbox listens on loopback only",
        ),
        (vec![], "no secret given"),
        (vec!["--access-key-secret-file", "/nonexistent/secret"], "cannot read /nonexistent/secret"),
    ];
    for (arguments, expected) in cases {
        let output = binary(&key).args(&arguments).output().await.unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && error.contains(expected), "{error}");
        assert!(output.stdout.is_empty() && !error.contains("hidden"), "{error}");
    }
}
