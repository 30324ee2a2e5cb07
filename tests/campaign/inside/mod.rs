//! The part of the campaign that runs in this process: the real core, the real writer of the ledger and the real client, with a fault at
//! every moment.
//!
//! `CASES` sets how many cases are run (default 200; the long run takes 24,000), `SEED` runs the one with this number and prints its history.
//!
//! Rooms: `case` says what a case is and lists them all, `host` runs one in virtual time (`writing` its ledger, `sending` its signals), `network` is what lies between it and the sandbox,
//! `slot` a place to run in, `judge` knows the promises, `table` counts.

mod case;
#[allow(dead_code, reason = "shared with tests/it, which needs other parts of it")]
#[path = "../../it/ledger_model.rs"]
mod disk;
mod host;
mod judge;
mod network;
mod slot;
mod table;

use case::{Case, Cases, Course, Fault, HOUR, Id, MINUTE, Moment, Planted, Strike, Truth};
use host::Host;
use judge::{Broken, Findings};
use network::Weather;
use slot::Slot;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use table::Table;

/// Cases that run side by side in each thread: most of their time they wait for connections that say nothing.
const SIDE_BY_SIDE: usize = 8;
/// A place is made anew after so many cases: the sandbox goes through all its stacks at each request.
const CASES_IN_A_PLACE: usize = 100;
/// One case that takes longer, in real time, hangs; steps and virtual time are bounded much sooner. Generous, for machines that are busy.
const CASE: Duration = Duration::from_secs(600);
/// Failures that are printed with their histories.
const PRINTED: usize = 5;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

async fn run(slot: &mut Slot, case: &Case) -> Findings {
    let living = async { Host::new(slot, case).await.live().await };
    match tokio::time::timeout(CASE, living).await {
        Ok(findings) => findings,
        Err(_) => Findings {
            broken: vec![(Broken::Hang, format!("the case has not ended within {CASE:?}"))],
            at_limit: None,
            history: Vec::new(),
            course: Course::default(),
            struck: 0,
        },
    }
}

/// An undisturbed run of the most usual host.
async fn course() -> Course {
    let quiet = Case::quiet(0);
    let case =
        Case { truth: Truth::From(2_000), id: Id::Random, looks: true, role: false, old_signature: false, composite: false, ..quiet };
    let findings = run(&mut Slot::new().await, &case).await;
    assert!(findings.broken.is_empty(), "undisturbed: {:?}\n{}", findings.broken, findings.history.join("\n"));
    findings.course
}

/// Which cases are run: all single faults and then random ones, or, where that is too much, an even choice of both.
fn chosen(cases: &Cases, count: u64) -> Vec<u64> {
    let singles = cases.singles();
    if count >= singles {
        return (0..count).collect();
    }
    let listed = count * 3 / 4;
    let spread = (0..listed).map(|index| index * singles / listed.max(1));
    spread.chain(singles..singles + (count - listed)).collect()
}

/// Runs all of them on all processors; each result as it comes.
fn run_all(numbers: &[u64], cases: &Arc<Cases>, each: &(impl Fn(&Case, Findings) + Sync)) {
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let places = (0..SIDE_BY_SIDE).map(|_| async {
                    let mut slot = Slot::new().await;
                    let mut used = 0;
                    while let Some(number) = numbers.get(next.fetch_add(1, Ordering::Relaxed)) {
                        if used >= CASES_IN_A_PLACE {
                            slot = Slot::new().await;
                            used = 0;
                        }
                        used += 1;
                        let case = cases.case(*number);
                        let findings = run(&mut slot, &case).await;
                        each(&case, findings);
                    }
                });
                runtime().block_on(join_all(places.map(|place| Box::pin(place) as _).collect()));
            });
        }
    });
}

/// Polls all of them until all have ended.
async fn join_all(mut futures: Vec<std::pin::Pin<Box<dyn Future<Output = ()> + '_>>>) {
    std::future::poll_fn(|context| {
        futures.retain_mut(|future| future.as_mut().poll(context).is_pending());
        if futures.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

#[test]
fn no_fault_at_any_moment_loses_or_doubles_a_signal_or_makes_a_false_one() {
    let cases = Arc::new(Cases::of(runtime().block_on(course())));
    if let Some(seed) = number("SEED") {
        let case = cases.case(seed);
        let findings = runtime().block_on(async { run(&mut Slot::new().await, &case).await });
        println!("{case}\n\n{}\n", findings.history.join("\n"));
        assert!(findings.broken.is_empty(), "SEED={seed}: {:?}", findings.broken);
        return;
    }
    let count = number("CASES").unwrap_or(200);
    let numbers = chosen(&cases, count);
    let table = std::sync::Mutex::new(Table::default());
    run_all(&numbers, &cases, &|case, findings| {
        let mut table = table.lock().unwrap();
        if !findings.broken.is_empty() && table.failures() < PRINTED {
            println!("\n{case}\n{:?}\n\n{}\n", findings.broken, findings.history.join("\n"));
        }
        table.count(case, &findings);
    });
    let table = table.into_inner().unwrap();
    println!("{}", table.markdown(cases.singles()));
    println!("{} of {count} cases differ in more than their number", cases.different(&numbers));
    assert_eq!(table.failures(), 0, "repeat each by its number: {}", table.seeds());
}

/// What the judge says about a case with a planted defect.
fn judged(case: &Case) -> Vec<Broken> {
    let findings = runtime().block_on(async { run(&mut Slot::new().await, case).await });
    findings.broken.into_iter().map(|(broken, _)| broken).collect()
}

/// A host with every choice made.
fn plain(strikes: Vec<Strike>) -> Case {
    Case {
        truth: Truth::From(2_000),
        id: Id::Random,
        looks: false,
        hold: false,
        role: false,
        old_signature: false,
        refuses_late: false,
        composite: false,
        strikes,
        ..Case::quiet(1)
    }
}

#[test]
fn the_judge_sees_what_is_planted() {
    let storm = |weather, times| vec![Strike { when: Moment::Turn(0), what: Fault::Weather(weather, times) }];
    let power = |when| Strike { when, what: Fault::PowerLoss(None) };
    let with = |planted, case: Case| Case { planted, ..case };

    let believed = plain(storm(Weather::Captive, 1));
    assert_eq!(judged(&believed), [], "an honest client does not believe a captive portal");
    assert_eq!(judged(&with(Planted::Believes200, believed)), [Broken::Lost]);

    let cut = plain(vec![power(Moment::Wire(0, network::Side::Answer, 5))]);
    assert_eq!(judged(&cut), [], "an honest disk keeps the random id");
    let lied = judged(&with(Planted::LyingDisk, cut.clone()));
    assert!(lied.contains(&Broken::Doubled), "{lied:?}");
    let unwritten = judged(&with(Planted::RecordsUnwritten, cut));
    assert!(unwritten.contains(&Broken::Doubled) && unwritten.contains(&Broken::Rule), "{unwritten:?}");

    let sick = Case { truth: Truth::Never, ..plain(Vec::new()) };
    assert_eq!(judged(&sick), [], "honest checks make a FAILURE");
    let rosy = judged(&with(Planted::RosyChecks, sick));
    assert!(rosy.contains(&Broken::FalseSuccess), "{rosy:?}");

    // Its first SUCCESS is true, and forgotten; the second has the same id, and nothing was seen to be good.
    let forgets = |id| Case { truth: Truth::Flapping(7_000), id, ..plain(vec![Strike { when: Moment::Decided, what: Fault::Kill }]) };
    for id in [Id::Derived, Id::Instance, Id::Random] {
        assert_eq!(judged(&forgets(id)), [], "honest checks see what became of the host meanwhile");
        let rosy = judged(&with(Planted::RosyAfterRestart, forgets(id)));
        assert!(rosy.contains(&Broken::FalseSuccess), "{id:?}: {rosy:?}");
    }

    for truth in [Truth::From(2_000), Truth::Flapping(3_000)] {
        let gloomy = Case { truth, ..plain(vec![Strike { when: Moment::Decided, what: Fault::Kill }]) };
        assert_eq!(judged(&gloomy), [], "one kill costs nothing");
        assert_eq!(judged(&with(Planted::GloomyChecks, gloomy)), [Broken::Rule], "a FAILURE of a healthy host is not excused by one kill");
    }

    let refused = plain(storm(Weather::Status(503), 1));
    assert_eq!(judged(&refused), []);
    assert_eq!(judged(&with(Planted::LostTimer, refused)), [Broken::Hang, Broken::Lost]);
}

#[test]
fn after_a_sleep_at_any_moment_a_composite_says_nothing_that_was_seen_before() {
    let mut wrong = Vec::new();
    for turn in 1..=40 {
        for what in [Fault::Suspend(HOUR), Fault::Stop(2 * MINUTE)] {
            let case = Case { composite: true, ..plain(vec![Strike { when: Moment::Turn(turn), what }]) };
            let broken = judged(&case);
            if !broken.is_empty() {
                wrong.push((turn, what, broken));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}
