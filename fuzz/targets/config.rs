//! Configuration: a main file and drop-ins, to a plan or to all that is wrong. Whatever is said about a file lies inside of it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ros_signal_agent::config::{self, Diagnostic, Environment, Layout, Owners};
use ros_signal_agent_fuzz::{Bounds, MIB, directory, file, parts, run};

/// A diagnostic quotes 160 characters of a line.
const SHOWN: usize = 160;

/// Stands at the end of the main file, as the value of a key with a secret name.
const SECRET: &str = "s3cret-canary";

/// A longer file is read in part only, if it is wrong: then the secret is so long that the cut may go through it.
const LONG: usize = 32 * 1024;

fuzz_target!(|data: &[u8]| run(data, Bounds { memory: 128 * MIB, stretch: MIB }, |data| {
    let layout = Layout::under(directory());
    let drop_ins = directory().join("etc/ros-signal-agent/conf.d");
    let mut texts: Vec<Vec<u8>> = parts(data).into_iter().map(<[u8]>::to_vec).collect();
    // Where the input has put it itself, it may have made something else of it.
    let planted = !data.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
    if planted {
        let secret = planted_after(&texts[0]);
        texts[0].extend_from_slice(secret.as_bytes());
    }
    let judge = |diagnostic: &Diagnostic, lines: usize| {
        assert!(!(planted && diagnostic.to_string().contains(SECRET)), "a secret is quoted: {diagnostic}");
        judge(diagnostic, lines);
    };
    let names = ["etc/ros-signal-agent/config.toml", "etc/ros-signal-agent/conf.d/10.toml", "etc/ros-signal-agent/conf.d/20.toml"];
    let _ = std::fs::remove_dir_all(drop_ins);
    for (name, text) in names.iter().zip(&texts) {
        file(name, text);
    }
    let owners = Owners::Given { agent: 1000, paths: Default::default() };
    let lines: usize = texts.iter().map(|text| text.iter().filter(|byte| **byte == b'\n').count() + 1).max().unwrap_or_default();
    match config::load(&layout, &owners, &Environment::default()) {
        Ok(loaded) => {
            loaded.warnings.iter().for_each(|warning| judge(warning, lines));
            for signal in &loaded.plan.signals {
                let times = config::times(&loaded.plan, signal);
                assert!(times.best <= times.worst, "{times:?}");
            }
            let _ = format!("{:?}", loaded.plan);
            let again = config::load(&layout, &owners, &Environment::default()).expect("what was understood once");
            assert_eq!(again.plan, loaded.plan, "the same files are the same plan");
        }
        Err(errors) => {
            assert!(!errors.is_empty(), "it was refused for a reason");
            errors.iter().for_each(|error| judge(error, lines));
        }
    }
}));

/// On several lines that look like keys of their own, unless `text` may have begun such a string itself, which would end there.
fn planted_after(text: &[u8]) -> String {
    let strings: [&[u8]; 2] = [b"\"\"\"", b"'''"];
    if text.windows(3).any(|window| strings.contains(&window)) {
        return format!("\nproxy_password = \"{SECRET}\"\n");
    }
    let lines = if text.len() < LONG { 2 } else { 256 };
    format!("\nproxy_password = \"\"\"\n{}\"\"\"\n", format!("key = {SECRET}\n").repeat(lines))
}

fn judge(diagnostic: &Diagnostic, lines: usize) {
    let shown = diagnostic.to_string();
    let Some(position) = &diagnostic.position else { return };
    assert!((1..=lines).contains(&position.line) && position.column >= 1, "{shown}");
    assert!(position.source.chars().count() <= SHOWN && !position.source.contains(char::is_control), "{shown}");
}
