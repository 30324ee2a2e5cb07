//! `signal` through the URL of a handle, and as boot scripts use it in the place of `ros-notify`.

use super::{attribute, derived, ids, of_this_host, posts};
use crate::host::{Host, STACK};
use crate::private;
use ros_sandbox::{Effect, Fault, When};
use serde_json::Value;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

struct Ended {
    code: i32,
    out: String,
    err: String,
}

/// A host with the file that user data would have written.
async fn host() -> Host {
    let host = Host::new("").await;
    private::write(&host.path("handle"), &attribute(&host, "CurlCli"));
    host
}

async fn ended(mut command: Command, input: &str) -> Ended {
    use tokio::io::AsyncWriteExt as _;
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A program that does not read it may have ended.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    let ended = tokio::time::timeout(Duration::from_secs(60), child.wait_with_output()).await.expect("it ends").unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { code: ended.status.code().unwrap(), out: text(ended.stdout), err: text(ended.stderr) }
}

/// `signal` without any credentials.
async fn signal(host: &Host, arguments: &[&str]) -> Ended {
    signal_from(host, arguments, "").await
}

async fn signal_from(host: &Host, arguments: &[&str], input: &str) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ros-signal-agent"));
    command.env_clear().args(["--config", host.config().to_str().unwrap(), "signal"]).args(arguments);
    ended(command, input).await
}

fn the_signal(host: &Host) -> ros_sandbox::SignalView {
    let signals = host.sandbox.stack(STACK).unwrap().resources["WebReady"].signals.clone();
    assert_eq!(signals.len(), 1, "{signals:?}");
    signals[0].clone()
}

#[tokio::test]
async fn a_boot_script_switches_from_ros_notify_by_one_line() {
    let host = host().await;
    let script = "#!/bin/sh\nset -e\nNOTIFY=\"$1\"\nresult='{\"port\": 8080}'\n\
                  eval \"$NOTIFY\" -d '\"{\\\"Data\\\" : \\\"it works\\\", \\\"status\\\": \\\"SUCCESS\\\"}\"'\n";
    private::write(&host.path("user-data.sh"), script);
    let line = format!(
        "{} --config {} signal --handle-file {}",
        env!("CARGO_BIN_EXE_ros-signal-agent"),
        host.config().display(),
        host.path("handle").display()
    );
    let mut command = Command::new("sh");
    command.env_clear().arg(host.path("user-data.sh")).arg(line);
    let ended = ended(command, "").await;
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert!(ended.out.starts_with("SUCCESS for WebReady acknowledged\n"), "{}", ended.out);
    let seen = the_signal(&host);
    assert_eq!(
        (seen.status.as_str(), seen.data.as_str(), seen.unique_id),
        ("SUCCESS", "it works", of_this_host("manual:WebReady\n\"it works\""))
    );
    host.stack_becomes("CREATE_COMPLETE").await;
}

#[tokio::test]
async fn a_host_without_certificates_signals_through_the_url_of_its_handle() {
    let host = host().await;
    private::write(&host.path("encrypted.toml"), "[ros]\nendpoint = \"https://127.0.0.1:1\"\n");
    let none = host.path("no-certificates");
    let mut command = Command::new(env!("CARGO_BIN_EXE_ros-signal-agent"));
    command.env_clear().env("SSL_CERT_FILE", &none).env("SSL_CERT_DIR", &none).arg("--config").arg(host.path("encrypted.toml"));
    command.arg("signal").arg("--handle-file").arg(host.path("handle")).args(["--exit-code", "0", "--unique-id", "i-1"]);
    let ended = ended(command, "").await;
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert_eq!(the_signal(&host).status.as_str(), "SUCCESS");
}

/// Runs `body` as user data in which `Fn::Replace` has put the agent's command in the place of `ros-notify`.
async fn user_data(host: &Host, body: &str) -> Ended {
    let line = format!(
        "{} --config {} signal --handle-file {}",
        env!("CARGO_BIN_EXE_ros-signal-agent"),
        host.config().display(),
        host.path("handle").display()
    );
    private::write(&host.path("user-data.sh"), &format!("#!/bin/sh\nset -e\ncd \"$1\"\n{}", body.replace("ros-notify", &line)));
    let mut command = Command::new("sh");
    command.env_clear().env("PATH", "/usr/bin:/bin").arg(host.path("user-data.sh")).arg(host.path(""));
    ended(command, "").await
}

#[tokio::test]
async fn the_ways_in_which_templates_quote_their_json_are_all_understood() {
    let nested = r#"{"ip":"10.0.0.1","ports":[80,443]}"#;
    let table = [
        (r#"ros-notify -d "{\"Data\" : \"it works\", \"status\": \"FAILURE\"}""#, "FAILURE", "it works"),
        (r#"ros-notify -d '{"status":"FAILURE","data":"it'"'"'s broken"}'"#, "FAILURE", "it's broken"),
        (r#"ros-notify -d '{"data":{"ip":"10.0.0.1","ports":[80,443]}}'"#, "SUCCESS", nested),
        (r#"ip=10.0.0.1; ros-notify --data-binary "{\"status\":\"SUCCESS\",\"data\":\"$ip\"}""#, "SUCCESS", "10.0.0.1"),
        ("echo '{\"status\": \"WARNING\",\n\"data\": \"x\"}' > body; ros-notify --data-binary @body", "WARNING", "x"),
        ("ros-notify -d @- <<END\n{\"status\": \"FAILURE\", \"data\": \"y\"}\nEND\n", "FAILURE", "y"),
    ];
    for (script, status, data) in table {
        let host = host().await;
        let ended = user_data(&host, script).await;
        assert_eq!(ended.code, 0, "{script}: {}", ended.err);
        let seen = the_signal(&host);
        assert_eq!((seen.status.as_str(), seen.data.as_str()), (status, data), "{script}");
    }
}

#[tokio::test]
async fn a_host_that_announces_each_of_its_steps_is_counted_for_each() {
    let host = host().await;
    host.sandbox.put_stack(STACK, ros_sandbox::StackSpec::waiting_for("WebReady", 3, 3_000.0)).unwrap();
    private::write(&host.path("handle"), &attribute(&host, "CurlCli"));
    let steps = "ros-notify -d '{\"data\" : \"Install httpd.\"}'\nros-notify -d '{\"data\" : \"Install mysql.\"}'\n";
    // What was begun again says its first steps twice.
    let again = user_data(&host, &format!("{steps}{steps}")).await;
    assert_eq!((again.code, ids(&host).len()), (0, 2), "{}", again.err);
    let last = user_data(&host, "ros-notify -d '{\"data\" : \"Install php.\"}'\n").await;
    assert_eq!((last.code, ids(&host).len()), (0, 3), "{}", last.err);
    host.stack_becomes("CREATE_COMPLETE").await;
}

#[tokio::test]
async fn a_failure_in_keys_of_any_case_is_a_failure() {
    // The service of the sandbox does not know `Status`, and would take it for SUCCESS.
    for body in [r#"{"Status":"FAILURE","Reason":"no disk"}"#, r#"{"status" : " FAILURE ", "reason": "no disk"}"#] {
        let host = host().await;
        let ended = signal(&host, &["--handle-file", host.path("handle").to_str().unwrap(), "--data-binary", body]).await;
        assert_eq!(ended.code, 0, "{}", ended.err);
        let seen = the_signal(&host);
        assert_eq!((seen.status.as_str(), seen.reason.as_str()), ("FAILURE", "no disk"));
        host.stack_becomes("CREATE_FAILED").await;
    }
}

#[tokio::test]
async fn exit_code_status_reason_and_id_are_said_with_options_too() {
    let host = host().await;
    let file = host.path("handle");
    let file = file.to_str().unwrap();
    let ended = signal(&host, &["--handle-file", file, "--exit-code", "3", "--unique-id", "7", "--json"]).await;
    let report: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(
        (report["via"].as_str(), report["state"].as_str(), report["unique_id"].as_str()),
        (Some("handle"), Some("acknowledged"), Some("7"))
    );
    let seen = the_signal(&host);
    assert_eq!((seen.status.as_str(), seen.reason.as_str()), ("FAILURE", "exit code 3"));
}

#[tokio::test]
async fn the_document_may_come_from_standard_input_and_the_body_from_a_file() {
    let host = host().await;
    private::write(&host.path("body.json"), "{\n\"status\": \"WARNING\",\n\"data\": [\"a\", \"b\"]\n}\n");
    let body = format!("@{}", host.path("body.json").display());
    let ended = signal_from(&host, &["--handle-file", "-", "-d", &body], &attribute(&host, "WindowsCurlCli")).await;
    assert_eq!(ended.code, 0, "{}", ended.err);
    let seen = the_signal(&host);
    assert_eq!((seen.status.as_str(), seen.data.as_str()), ("WARNING", "[\"a\",\"b\"]"));
}

#[tokio::test]
async fn a_planned_signal_with_this_transport_is_sent_so_when_it_is_sent_alone() {
    let text = "[signal.web]\nresource = \"WebReady\"\ntransport = \"handle\"\nhandle_file = \"HANDLE\"\n\
                [check.port]\ntype = \"tcp\"\naddress = \"127.0.0.1:1\"\n";
    for options in [&["--direct"][..], &[]] {
        let host = host().await;
        host.configure(&text.replace("HANDLE", host.path("handle").to_str().unwrap()));
        let ended = signal(&host, &[&["--resource", "WebReady", "--status", "success"], options].concat()).await;
        assert_eq!(ended.code, 0, "{}", ended.err);
        assert_eq!((ids(&host), posts(&host)), (vec![of_this_host("web")], 1));
    }
}

#[tokio::test]
async fn scenario_3_a_service_that_says_no_first_is_asked_until_it_says_yes() {
    for effect in [Effect::http(500, ""), Effect::http(200, "<html>"), Effect::reset(When::After), Effect::reset(When::Before)] {
        let host = host().await;
        host.sandbox.add_fault(Fault::new(effect).handle().times(2)).unwrap();
        let ended = signal(&host, &["--handle-file", host.path("handle").to_str().unwrap(), "-d", "{}"]).await;
        assert_eq!(ended.code, 0, "{}", ended.err);
        assert!(ended.err.contains("attempt 1 not acknowledged, again in "), "{}", ended.err);
        assert_eq!((posts(&host), host.sandbox.stack(STACK).unwrap().effective_signals), (3, 1));
    }
}

#[tokio::test]
async fn what_is_not_acknowledged_in_time_exits_with_75() {
    let host = host().await;
    host.sandbox.add_fault(Fault::new(Effect::http(500, "")).handle()).unwrap();
    let file = host.path("handle");
    let file = file.to_str().unwrap();
    let late = signal(&host, &["--handle-file", file, "-d", "{}", "--timeout", "300ms"]).await;
    assert_eq!(late.code, 75, "{}", late.err);
    assert!(late.err.contains("SUCCESS for WebReady was not acknowledged within 300ms: HTTP 500 from 127.0.0.1:"), "{}", late.err);
    let before = posts(&host);
    assert_eq!(signal(&host, &["--handle-file", file, "--status", "success", "--no-wait"]).await.code, 75);
    assert_eq!(posts(&host), before + 1);
    host.sandbox.clear_faults();
    host.sandbox.advance_clock(Duration::from_secs(50_000));
    let expired = signal(&host, &["--handle-file", file, "-d", "{}", "--no-wait"]).await;
    assert_eq!(expired.code, 75);
    assert!(expired.err.contains("the URL of the handle has expired (HTTP 403"), "{}", expired.err);
}

#[tokio::test]
async fn what_will_never_work_is_said_at_once() {
    let host = host().await;
    let absent = host.path("absent");
    let (absent, file, bad) = (absent.to_str().unwrap(), host.path("handle"), host.path("bad"));
    let file = file.to_str().unwrap();
    private::write(&bad, "curl --output hunter2 http://h/");
    let table: &[(&[&str], i32, &str)] = &[
        (
            &["--handle-file", absent, "-d", "{}"],
            1,
            "No such file or directory (os error 2)\nhint: write the handle's attribute CurlCli or URL into it",
        ),
        (
            &["--handle-file", bad.to_str().unwrap(), "-d", "{}"],
            1,
            "word 2 of the command of curl is not understood\nhint: write the handle's",
        ),
        (&["--handle-file", file, "-d", "hunter2"], 64, "-d: it is not JSON"),
        (&["--handle-file", file, "-d", "{\"status\": \"hunter2\"}"], 64, "`status` is none of SUCCESS, FAILURE and WARNING"),
        (&["--handle-file", file, "-d", "@/nowhere/at/all"], 64, "No such file"),
        (&["--handle-file", "-", "-d", "@-"], 64, "standard input cannot be both"),
        (&["--handle-file", file, "-d", "{'status': 'FAILURE'}"], 64, "or '{\"status\": \"FAILURE\"}', quoted for the shell"),
        (&["--handle-file", file], 64, ""),
        (&["--handle-file", file, "-d", "{}", "--status", "success"], 64, "cannot be used with"),
        (&["--resource", "WebReady", "-d", "{}"], 64, "--handle-file"),
    ];
    for (arguments, code, text) in table {
        let ended = signal(&host, arguments).await;
        assert_eq!(ended.code, *code, "{arguments:?}: {}", ended.err);
        assert!(ended.err.contains(text) && !ended.err.contains("output hunter2"), "{arguments:?}: {}", ended.err);
    }
    assert_eq!(posts(&host), 0);
}

#[tokio::test]
async fn scenario_18_the_url_in_the_place_of_its_file_is_refused_and_not_repeated() {
    let host = host().await;
    let url = attribute(&host, "URL");
    for place in [url.clone(), format!("./{url}")] {
        let ended = signal(&host, &["--handle-file", &place, "--status", "success"]).await;
        assert_eq!(ended.code, 64, "{}", ended.err);
        assert!(ended.err.contains("--handle-file: it names a file, and this is a URL\nhint: every user of this host"), "{}", ended.err);
        assert!(!ended.err.contains("signature") && ended.out.is_empty(), "{}{}", ended.err, ended.out);
    }
    assert_eq!(posts(&host), 0);
}

#[tokio::test]
async fn a_host_that_nobody_names_signals_under_an_id_of_its_machine() {
    let host = host().await;
    let text = std::fs::read_to_string(host.config()).unwrap().replace(&host.sandbox.metadata_url(), "http://127.0.0.1:1");
    private::write(&host.config(), &text);
    let file = host.path("handle");
    let arguments = ["--handle-file", file.to_str().unwrap(), "-d", "{}", "--no-wait"];
    let first = signal(&host, &arguments).await;
    assert_eq!(first.code, 0, "{}", first.err);
    assert!(first.err.contains("the instance id is not known, so the signal's id is made of machine "), "{}", first.err);
    assert_eq!(signal(&host, &arguments).await.code, 0);
    assert_eq!(ids(&host).len(), 1, "twice the same id");
    assert_ne!(ids(&host), [derived("", "manual:WebReady")]);
}

#[tokio::test]
async fn an_https_url_is_asked_over_tls_and_no_proxy_of_the_environment_is_used() {
    let host = host().await;
    let ca = format!("timeout = \"5s\"\nca_file = \"{}\"\n[instance]", host.sandbox.ca_file().display());
    private::write(&host.config(), &std::fs::read_to_string(host.config()).unwrap().replace("[instance]", &ca));
    let url = format!("{}/waitcondition?resource=WebReady", host.sandbox.ros_tls_url());
    let run = async |document: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ros-signal-agent"));
        command.env_clear().envs(["http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"].map(|name| (name, "http://127.0.0.1:1")));
        command.args(["--config", host.config().to_str().unwrap(), "signal", "--handle-file", "-", "-d", "{}", "--no-wait"]);
        ended(command, document).await
    };
    let refused = run(&url).await;
    let said = "HTTP 400 from 127.0.0.1:";
    assert!(refused.code == 75 && refused.err.contains(said) && refused.err.contains("UnsupportedHTTPMethod"), "{}", refused.err);
    assert_eq!(run(&attribute(&host, "URL")).await.code, 0);
}

#[tokio::test]
async fn scenario_18_a_file_that_everybody_may_read_is_used_and_warned_about_once() {
    use std::os::unix::fs::PermissionsExt as _;
    let host = host().await;
    std::fs::set_permissions(host.path("handle"), std::fs::Permissions::from_mode(0o644)).unwrap();
    host.sandbox.add_fault(Fault::new(Effect::http(500, "")).handle().times(1)).unwrap();
    let ended = signal(&host, &["--handle-file", host.path("handle").to_str().unwrap(), "-d", "{}"]).await;
    assert_eq!((ended.code, ended.err.matches("others may read").count()), (0, 1), "{}", ended.err);
}

#[cfg(feature = "rehearse")]
#[tokio::test]
async fn a_rehearsal_signals_through_the_url_of_the_sandbox_and_never_through_the_real_one() {
    let host = host().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    host.configure(&format!(
        "[signal.web]\nresource = \"WebReady\"\ntransport = \"handle\"\nhandle_file = \"{}\"\nmin_healthy_time = \"200ms\"\n\
         [check.port]\ntype = \"tcp\"\naddress = \"{}\"\nstart_interval = \"100ms\"\n",
        host.path("handle").display(),
        listener.local_addr().unwrap()
    ));
    let mut command = Command::new(env!("CARGO_BIN_EXE_ros-signal-agent"));
    command.env_clear().args(["--config", host.config().to_str().unwrap(), "rehearse", "--timeout", "50s"]);
    let ended = ended(command, "").await;
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
    assert_eq!(posts(&host), 0);
}
