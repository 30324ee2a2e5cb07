//! What is said about the command line itself.

use super::{program, program_with};
use std::path::Path;

#[cfg(feature = "rehearse")]
#[tokio::test]
async fn the_help_shows_commands_options_and_exit_codes() {
    insta::assert_snapshot!(program(&["--help"]).await.golden(Path::new("/nowhere")));
}

#[tokio::test]
async fn the_help_of_signal_tells_all_there_is() {
    insta::assert_snapshot!(program(&["signal", "--help"]).await.golden(Path::new("/nowhere")));
}

#[tokio::test]
async fn scenario_17_help_version_and_texts_need_neither_configuration_nor_metadata() {
    let cases: [&[&str]; 6] =
        [&["--help"], &["--version"], &["config", "default"], &["config", "schema"], &["signal", "--help"], &["help", "wait"]];
    for case in cases {
        // A configuration that is not there would be an error if anybody looked for it.
        let arguments = [&["--config", "/nowhere/config.toml"], case].concat();
        let ended = program(&arguments).await;
        assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{case:?}");
        assert!(!ended.out.is_empty(), "{case:?}");
    }
}

#[tokio::test]
async fn a_wrong_command_line_exits_with_64() {
    let cases: [&[&str]; 13] = [
        &[],
        &["sing"],
        &["status", "--jsn"],
        &["wait"],
        &["wait", "--for", "ever"],
        &["wait", "--for", "healthy", "--timeout", "5"],
        &["signal", "--resource", "WebReady"],
        &["signal", "--resource", "WebReady", "--status", "success", "--exit-code", "0"],
        &["signal", "--resource", "WebReady", "--exit-code", "256"],
        &["signal", "--resource", "WebReady", "--exit-code", "-1"],
        &["--root", "/dev/null/typo", "config", "check"],
        &["push", "batch", "fine"],
        &["signal", "--resource", "WebReady", "--status", "success", "--unique-id", "", "--direct"],
    ];
    for case in cases {
        let ended = program(case).await;
        assert_eq!(ended.code, 64, "{case:?}: {ended:?}");
        assert!(ended.out.is_empty() && !ended.err.is_empty(), "{case:?}: {ended:?}");
    }
    assert!(program(&["sing"]).await.err.contains("signal"), "it suggests what may have been meant");
}

#[tokio::test]
async fn a_wrong_log_filter_is_a_wrong_command_line() {
    let (_dir, config) = super::configured("");
    let ended = program(&["--config", &config, "--log", "loud", "run"]).await;
    assert_eq!(ended.code, 64);
    assert!(ended.err.starts_with("error: log filter \"loud\" is not understood\nhint: "), "{}", ended.err);
}

#[tokio::test]
async fn what_is_not_a_terminal_gets_no_colours() {
    let (_dir, config) = super::configured("[stack]\nregion = \"cn-hangzhou\"\n");
    let ended = program_with(&["--config", &config, "plan"], &[("TERM", "xterm-256color"), ("CLICOLOR_FORCE", "1")]).await;
    assert_eq!(ended.code, 0);
    assert!(!ended.out.contains('\x1b'), "{}", ended.out);
}
