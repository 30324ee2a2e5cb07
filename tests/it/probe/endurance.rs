//! Many runs of exec checks, among them those that fork, leave their group, ignore signals and flood: nothing of them is left.
//!
//! `EXEC_RUNS` sets their number (default 200; the long run takes 10,000).

use super::leftovers::{children, descriptors, threads};
use super::*;
use ros_signal_agent::probe::adopt_orphans;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Runs that go on at once: `max_exec` as it is when nothing is written.
const AT_ONCE: usize = 4;
/// Runs before anything is counted: threads, buffers and the allocator have then seen all kinds.
const WARM_UP: usize = 64;

/// A kind of child, and what it does.
struct Kind {
    name: &'static str,
    script: &'static str,
    timeout: Duration,
}

const fn kind(name: &'static str, script: &'static str, timeout_ms: u64) -> Kind {
    Kind { name, script, timeout: Duration::from_millis(timeout_ms) }
}

/// NAP is a sleep that no other process on the machine has among its arguments. A timeout of 0: the run is dropped while it goes on.
const KINDS: [Kind; 14] = [
    kind("quick", "exit 0", 20_000),
    kind("failing", "echo no >&2; exit 3", 20_000),
    kind("forker", "for i in 1 2 3 4 5 6 7 8; do NAP & done; echo forked", 20_000),
    kind("forker that holds no pipe", "for i in 1 2 3 4; do (NAP </dev/null >/dev/null 2>&1 &) ; done; exit 1", 20_000),
    kind("daemon", "setsid NAP & exit 0", 20_000),
    kind("daemon by a double fork", "(setsid sh -c 'NAP & NAP & wait' >/dev/null 2>&1 &) ; exit 0", 20_000),
    kind("daemon without a mark", "setsid env -i /bin/sh -c 'NAP' </dev/null >/dev/null 2>&1 & exit 0", 20_000),
    kind("ignorer of TERM", "trap '' TERM; while :; do NAP; done", 40),
    kind("family of ignorers of TERM", "trap '' TERM; (trap '' TERM; NAP) & setsid sh -c 'trap \"\" TERM HUP; NAP' & NAP", 40),
    kind("sleeper", "NAP", 20),
    kind("flooder", "head -c 300000 /dev/zero", 20_000),
    kind("endless flooder on both", "cat /dev/zero >&2 & cat /dev/zero", 40),
    kind("killed", "kill -9 $$", 20_000),
    kind("dropped", "setsid NAP & NAP", 0),
];

async fn once(prober: &Prober, worker: usize, kind: &Kind, nap: &str) {
    let mut exec = sh(&kind.script.replace("NAP", nap));
    exec.kill_grace = Duration::from_millis(5);
    let (dropped, timeout) = (kind.timeout.is_zero(), kind.timeout.max(Duration::from_millis(1)));
    let mut check = Check::clone(&check(Probe::Exec(exec), if dropped { PATIENCE } else { timeout }));
    check.name = Arc::from(format!("check-{worker}"));
    let run = prober.run(Job { check: Arc::new(check), attempt: 1, deadline_unix_ms: None });
    if dropped {
        let ended = tokio::time::timeout(Duration::from_millis(10), run).await;
        assert!(ended.is_err(), "{}: {ended:?}", kind.name);
        return;
    }
    let seen = run.await;
    assert!(seen.output.len() <= 4096, "{}: {seen:?}", kind.name);
    assert!(!seen.message.contains("hangs in the kernel"), "{}: {}", kind.name, seen.message);
}

/// Runs `count` of all kinds in turn, [`AT_ONCE`] at a time.
async fn runs(prober: &Arc<Prober>, count: usize, nap: &str) -> BTreeMap<&'static str, usize> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut workers = tokio::task::JoinSet::new();
    for worker in 0..AT_ONCE {
        let (prober, next, nap) = (Arc::clone(prober), Arc::clone(&next), nap.to_owned());
        workers.spawn(async move {
            let mut made = BTreeMap::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return made;
                }
                let kind = &KINDS[number % KINDS.len()];
                once(&prober, worker, kind, &nap).await;
                *made.entry(kind.name).or_insert(0) += 1;
            }
        });
    }
    let mut all = BTreeMap::new();
    while let Some(made) = workers.join_next().await {
        for (name, count) in made.unwrap() {
            *all.entry(name).or_insert(0) += count;
        }
    }
    all
}

/// Processes of this test, whoever their parent is: by the mark of their run, or by how long they mean to sleep.
fn left(nap: &str) -> Vec<String> {
    let mark = format!("-{}-", std::process::id());
    let seconds = nap.split(' ').next_back().unwrap().to_owned();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let file = |name: &str| String::from_utf8_lossy(&std::fs::read(entry.path().join(name)).unwrap_or_default()).into_owned();
        let marked = file("environ").split('\0').any(|word| word.strip_prefix("ROS_SIGNAL_RUN=").is_some_and(|run| run.contains(&mark)));
        let command = file("cmdline");
        if marked || (command.starts_with("sleep\0") && command.contains(&seconds)) {
            found.push(format!("{} {command}", entry.file_name().display()));
        }
    }
    found
}

/// Resident memory, in KiB.
fn resident() -> i64 {
    let status = read(Path::new("/proc/self/status"));
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn thousands_of_runs_of_forkers_daemons_and_ignorers_of_signals_leave_nothing() {
    let name = "probe::endurance::thousands_of_runs_of_forkers_daemons_and_ignorers_of_signals_leave_nothing";
    if !in_own_process(name) {
        return;
    }
    let wanted = std::env::var("EXEC_RUNS").ok().and_then(|text| text.parse().ok()).unwrap_or(200);
    let nap = format!("sleep 1000.{}", std::process::id());
    runtime().block_on(async {
        let null = std::process::Stdio::null;
        let mut one = std::process::Command::new("sleep").arg(&nap["sleep ".len()..]).stdout(null()).stderr(null()).spawn().unwrap();
        // Its arguments can be read a moment after it was started.
        until("what is left would be seen", || left(&nap).len() == 1 && children().len() == 1).await;
        one.kill().unwrap();
        one.wait().unwrap();
        adopt_orphans().unwrap();
        let prober = Arc::new(Prober::new());
        let quiet = async || {
            until("all dropped runs are over", || children().is_empty()).await;
            until("nothing of them is left", || left(&nap).is_empty()).await;
        };
        runs(&prober, WARM_UP, &nap).await;
        quiet().await;
        let (open, lean, small) = (descriptors(), threads(), resident());
        let begun = tokio::time::Instant::now();
        let made = runs(&prober, wanted, &nap).await;
        let took = begun.elapsed();
        assert_eq!(made.values().sum::<usize>(), wanted);
        quiet().await;
        until("the descriptors are closed", || descriptors() <= open).await;
        until("the threads are gone", || threads() <= lean).await;
        let grown = resident() - small;
        println!("{wanted} runs in {:.1} s, {AT_ONCE} at once: {made:?}", took.as_secs_f64());
        println!(
            "left: {} children, {} processes, {} descriptors ({open} before), {} threads ({lean} before); resident memory {small} KiB, grown by {grown} KiB",
            children().len(),
            left(&nap).len(),
            descriptors(),
            threads(),
        );
        assert!(grown < 16 * 1024, "resident memory has grown by {grown} KiB");
    });
}
