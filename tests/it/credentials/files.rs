//! Environment variables, files and systemd credentials.

use crate::mounted::Hung;
use crate::ros::{KEY_ID, environment, metadata, sandbox};
use ros_signal_agent::clock::Moment;
use ros_signal_agent::credentials::{Cache, Renewal};
use ros_signal_agent::plan::{Profile, Provider};
use ros_signal_agent::retry::Random;
use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

const NOW: Moment = Moment { boot_ms: 100_000, wall_ms: 1_790_000_000_000 };
const SECRET: &str = "madeUpSecret";

fn cache(provider: &Provider, environment: &HashMap<String, String>) -> Cache {
    Cache::new(provider, environment, &metadata("http://127.0.0.1:1", environment), Random::new(1))
}

fn document(id: &str) -> String {
    format!(r#"{{"access_key_id":"{id}","access_key_secret":"{SECRET}"}}"#)
}

/// Replaces the file as careful writers do, so that its inode changes.
fn write(path: &Path, text: &str) {
    let next = path.with_extension("next");
    std::fs::write(&next, text).unwrap();
    std::fs::rename(next, path).unwrap();
}

fn directory_with(name: &str, text: &str) -> (tempfile::TempDir, std::path::PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(name);
    std::fs::write(&path, text).unwrap();
    (directory, path)
}

#[tokio::test]
async fn the_three_variables_are_read_and_empty_ones_are_unset() {
    let mut variables = environment(Some("token"));
    let keys = cache(&Provider::Environment, &variables).keys(NOW, None).await.unwrap();
    assert_eq!((keys.access_key_id(), keys.security_token().unwrap().expose()), (KEY_ID, "token"));
    variables.insert("ALIBABA_CLOUD_SECURITY_TOKEN".into(), String::new());
    assert!(cache(&Provider::Environment, &variables).keys(NOW, None).await.unwrap().security_token().is_none());
    variables.insert("ALIBABA_CLOUD_ACCESS_KEY_SECRET".into(), String::new());
    let error = cache(&Provider::Environment, &variables).keys(NOW, None).await.unwrap_err();
    assert_eq!(error.to_string(), "no credentials: environment: ALIBABA_CLOUD_ACCESS_KEY_SECRET is not set");
}

#[tokio::test]
async fn a_file_is_read_again_when_it_was_changed() {
    let (_directory, path) = directory_with("keys.json", &document("LTAI1"));
    let cache = cache(&Provider::File(path.clone()), &HashMap::new());
    let first = cache.keys(NOW, None).await.unwrap();
    assert_eq!(first.access_key_id(), "LTAI1");
    assert_eq!(first.source(), format!("file {}", path.display()));
    write(&path, &document("LTAI2"));
    assert_eq!(cache.keys(NOW, None).await.unwrap().access_key_id(), "LTAI2");
}

#[tokio::test]
async fn scenario_15_a_half_written_file_leaves_the_old_credentials_in_use_until_it_is_whole() {
    let (_directory, path) = directory_with("keys.json", &document("LTAI1"));
    let cache = cache(&Provider::File(path.clone()), &HashMap::new());
    cache.keys(NOW, None).await.unwrap();
    write(&path, &document("LTAI2")[..30]);
    assert_eq!(cache.keys(NOW, None).await.unwrap().access_key_id(), "LTAI1");
    write(&path, &document("LTAI2"));
    assert_eq!(cache.keys(NOW, None).await.unwrap().access_key_id(), "LTAI2");
}

#[tokio::test]
async fn scenario_15_a_file_that_is_not_there_yet_or_not_whole_is_an_error_that_heals() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.json");
    let cache = cache(&Provider::File(path.clone()), &HashMap::new());
    let error = cache.keys(NOW, None).await.unwrap_err();
    assert_eq!(error.to_string(), format!("no credentials: file {}: No such file or directory (os error 2)", path.display()));
    write(&path, &document("LTAI1")[..30]);
    let error = cache.keys(NOW, None).await.unwrap_err();
    assert!(error.to_string().contains("the JSON document ends early") && error.hint().is_some(), "{error}");
    write(&path, &document("LTAI1"));
    assert_eq!(cache.keys(NOW, None).await.unwrap().access_key_id(), "LTAI1");
}

#[tokio::test]
async fn what_is_not_a_small_regular_file_is_refused_without_blocking() {
    let directory = tempfile::tempdir().unwrap();
    let fifo = directory.path().join("fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status().unwrap();
    assert!(made.success());
    let large = directory.path().join("large");
    std::fs::write(&large, " ".repeat(70_000)).unwrap();
    for (path, why) in [(fifo, "not a regular file"), (directory.path().to_owned(), "not a regular file"), (large, "larger than 64 KiB")] {
        let error = cache(&Provider::File(path), &HashMap::new()).keys(NOW, None).await.unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
}

/// They took time that grew with the square of their length, and were given up.
#[tokio::test]
async fn profiles_among_ten_thousands_of_short_lines_are_found_before_patience_ends() {
    let profile = "[wanted]\ntype = access_key\naccess_key_id = LTAI1\naccess_key_secret = s\n";
    let numbered = |line: &dyn Fn(u32) -> String| (0..40_000).map(line).collect::<String>();
    let shapes = [numbered(&|n| format!("[{n}]\n")), numbered(&|n| format!("{n}=\n")), numbered(&|_| " x\n".to_owned())];
    for (shape, head) in shapes.iter().zip(["", "[other]\n", "[other]\nkey = value\n"]) {
        let (_directory, path) = directory_with("credentials.ini", &format!("{head}{shape}{profile}"));
        let settings = Profile { name: Some("wanted".to_owned()), file: Some(path), ..Profile::default() };
        let keys = cache(&Provider::IniProfile(settings), &HashMap::new()).keys(NOW, None).await.unwrap();
        assert_eq!(keys.access_key_id(), "LTAI1");
    }
}

#[tokio::test]
async fn a_systemd_credential_is_read_from_its_directory() {
    let (directory, _path) = directory_with("ros-signal-agent", &document("LTAI1"));
    let variables = HashMap::from([("CREDENTIALS_DIRECTORY".to_owned(), directory.path().to_str().unwrap().to_owned())]);
    let named = Provider::SystemdCredential("ros-signal-agent".into());
    for provider in [Provider::Auto, named.clone()] {
        assert_eq!(cache(&provider, &variables).keys(NOW, None).await.unwrap().access_key_id(), "LTAI1");
    }
    let error = cache(&named, &HashMap::new()).keys(NOW, None).await.unwrap_err();
    assert!(error.to_string().contains("$CREDENTIALS_DIRECTORY is not set") && error.hint().unwrap().contains("LoadCredential="));
    // Where others are asked too, it is said whose hint this is: nothing is wrong with a host that has no such credential.
    let hint = cache(&Provider::Auto, &HashMap::new()).keys(NOW, None).await.unwrap_err().hint().unwrap();
    assert!(hint.contains("systemd credential ros-signal-agent: the unit hands credentials over"), "{hint}");
    let outside = Provider::SystemdCredential("../ros-signal-agent".into());
    assert!(cache(&outside, &variables).keys(NOW, None).await.unwrap_err().to_string().contains("not a file name"));
}

#[tokio::test]
async fn auto_prefers_the_environment_and_tells_what_every_source_said() {
    let (directory, _path) = directory_with("ros-signal-agent", &document("LTAI1"));
    let mut variables = environment(None);
    variables.insert("CREDENTIALS_DIRECTORY".to_owned(), directory.path().to_str().unwrap().to_owned());
    assert_eq!(cache(&Provider::Auto, &variables).keys(NOW, None).await.unwrap().access_key_id(), KEY_ID);
    let disabled = HashMap::from([("ALIBABA_CLOUD_ECS_METADATA_DISABLED".to_owned(), "TRUE".to_owned())]);
    let error = cache(&Provider::Auto, &disabled).keys(NOW, None).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "no credentials: environment: ALIBABA_CLOUD_ACCESS_KEY_ID is not set; \
         systemd credential ros-signal-agent: $CREDENTIALS_DIRECTORY is not set; \
         CLI profile: there is no home directory: $HOME is not set; ini profile: there is no home directory: $HOME is not set; \
         ECS RAM role: ALIBABA_CLOUD_ECS_METADATA_DISABLED is true"
    );
    let lines: Vec<String> = format!("{error:#}").lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 6, "one line for each source: {lines:?}");
}

#[tokio::test]
async fn static_keys_stay_the_same_however_often_they_are_asked_for() {
    let cache = cache(&Provider::Environment, &environment(None));
    let keys = cache.keys(NOW, None).await.unwrap();
    assert_eq!(cache.renew(&keys, NOW, None).await.unwrap(), Renewal::Same);
    assert_eq!(cache.renew(&keys, NOW, None).await.unwrap(), Renewal::Same);
    assert_eq!(cache.renew(&keys, NOW, None).await.unwrap(), Renewal::TooSoon);
}

#[tokio::test]
async fn an_expired_file_is_refused_by_the_time_of_the_service_and_not_by_a_clock_that_may_be_wrong() {
    let text = format!(r#"{{"access_key_id":"LTAI1","access_key_secret":"{SECRET}","expiration":"2026-01-02T03:04:05Z"}}"#);
    let (_directory, path) = directory_with("keys.json", &text);
    let provider = Provider::File(path);
    let expiry_ms = 1_767_323_045_000;
    let error = cache(&provider, &HashMap::new()).keys(NOW, Some(expiry_ms + 1)).await.unwrap_err();
    assert!(error.to_string().contains("the credentials have expired"), "{error}");
    assert!(cache(&provider, &HashMap::new()).keys(NOW, Some(expiry_ms - 1)).await.is_ok());
    assert!(cache(&provider, &HashMap::new()).keys(NOW, None).await.is_ok(), "only our own clock says so: ROS will judge");
}

#[tokio::test]
async fn scenario_18_secrets_are_never_in_debug_or_error_output() {
    let (_directory, path) = directory_with("keys.json", &document("LTAI1"));
    let cache_of_file = cache(&Provider::File(path.clone()), &HashMap::new());
    let keys = cache_of_file.keys(NOW, None).await.unwrap();
    let cache_of_environment = cache(&Provider::Environment, &environment(Some("madeUpToken")));
    cache_of_environment.keys(NOW, None).await.unwrap();
    let mut shown = format!("{cache_of_file:?}{keys:?}{cache_of_environment:?}");
    for broken in [&document("LTAI1")[..50], r#"{"access_key_id":"madeUp secret"}"#, r#"{"access_key_secret":["madeUpSecret"]}"#] {
        write(&path, broken);
        let error = cache(&Provider::File(path.clone()), &HashMap::new()).keys(NOW, None).await.unwrap_err();
        shown += &format!("{error}{error:?}{:?}", error.hint());
    }
    assert!(!shown.contains("madeUp"), "{shown}");
}

#[tokio::test]
async fn a_home_directory_on_a_dead_file_server_holds_up_neither_the_loop_nor_the_sources_that_come_later() {
    let Some(hung) = Hung::mount() else { return };
    let sandbox = sandbox().await;
    let variables = HashMap::from([("HOME".to_owned(), hung.path().display().to_string())]);
    let cache = Cache::new(&Provider::Auto, &variables, &metadata(&sandbox.metadata_url(), &variables), Random::new(1));
    let asking = cache.keys(NOW, None);
    let mut turns = 0;
    let turning = async {
        loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            turns += 1;
        }
    };
    let keys = tokio::select! {
        keys = asking => keys.unwrap(),
        () = turning => unreachable!("it goes round for ever"),
    };
    assert_eq!(keys.source(), "ECS RAM role SandboxRole");
    assert!(turns > 20, "the loop went on: {turns}");
}

#[tokio::test]
async fn keys_in_a_file_whose_file_server_dies_stay_in_use() {
    let Some(hung) = Hung::mount() else { return };
    let (directory, path) = directory_with("keys.json", &document("LTAI1"));
    let link = directory.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let cache_of_file = cache(&Provider::File(link.clone()), &HashMap::new());
    let first = cache_of_file.keys(NOW, None).await.unwrap();
    std::fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(hung.path().join("keys.json"), &link).unwrap();
    for _ in 0..2 {
        assert_eq!(cache_of_file.keys(NOW, None).await.unwrap().access_key_id(), "LTAI1");
    }
    let why = cache_of_file.renew(&first, NOW, None).await.unwrap_err().to_string();
    assert!(why.ends_with("an earlier look at its files still hangs"), "{why}");
    let why = cache(&Provider::File(link), &HashMap::new()).keys(NOW, None).await.unwrap_err();
    assert!(why.to_string().ends_with("its files did not answer within 2s") && why.hint().is_some(), "{why}");
}
