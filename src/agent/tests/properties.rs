//! Random histories. The number of cases is set by `CORE_CASES` (default 1,000; the long run takes 100,000).

use super::world::{AfterCompletion, Disk, Happening, Looks, Switches, Teaching, Weather, World};
use crate::plan::{
    Check, Composite, Confirm, Level, Name, NameSource, OnDeadline, OnDegraded, OnUnwritable, Plan, Probe, Rule, UniqueIdStrategy, testing,
};
use crate::signal::SignalStatus;
use proptest::prelude::*;
use std::time::Duration;

fn happenings() -> impl Strategy<Value = Vec<(u32, Happening)>> {
    let weather = prop_oneof![
        2 => Just(Weather::Fine),
        1 => Just(Weather::Refused),
        1 => Just(Weather::ResetBefore),
        2 => Just(Weather::ResetAfter),
        1 => Just(Weather::Throttled),
        1 => Just(Weather::ServerError),
        1 => Just(Weather::TooEarly),
        1 => Just(Weather::Permission),
        1 => Just(Weather::BadClock),
    ];
    let happening = prop_oneof![
        4 => Just(Happening::Wait),
        3 => Just(Happening::Crash),
        1 => prop_oneof![Just(0i64), Just(-86_400 * 400), Just(3_600), -100i64..100].prop_map(Happening::Reboot),
        1 => Just(Happening::LoseLedger),
        2 => prop_oneof![Just(Disk::Works), Just(Disk::Refuses), Just(Disk::Hangs)].prop_map(Happening::Disk),
        5 => weather.prop_map(Happening::Ros),
        2 => prop_oneof![Just(Looks::Answered), Just(Looks::Denied), Just(Looks::Failing), Just(Looks::Busy)].prop_map(Happening::Looks),
        8 => (0usize..3, prop::bool::weighted(0.7)).prop_map(|(check, healthy)| Happening::Truth(check, healthy)),
        1 => (0usize..3, any::<bool>()).prop_map(|(check, terminal)| Happening::Terminal(check, terminal)),
        1 => (-100_000i64..100_000).prop_map(Happening::WallJump),
        1 => any::<bool>().prop_map(Happening::Metadata),
        1 => any::<bool>().prop_map(Happening::Hold),
        1 => any::<bool>().prop_map(Happening::Reports),
        1 => Just(Happening::Reload),
        2 => (0usize..2).prop_map(Happening::Retarget),
        1 => prop_oneof![Just(SignalStatus::Success), Just(SignalStatus::Failure)].prop_map(Happening::ByHand),
        1 => Just(Happening::Cancel),
        2 => teachings().prop_map(Happening::Template),
        1 => Just(Happening::Stop),
    ];
    prop::collection::vec((0u32..12_000, happening), 0..40)
}

fn teachings() -> impl Strategy<Value = Teaching> {
    let left = prop_oneof![3 => (-10_000i64..400_000).prop_map(Some), 1 => Just(None)];
    prop_oneof![
        1 => Just(Teaching::Denied),
        1 => Just(Teaching::Failing),
        1 => Just(Teaching::Unreadable),
        4 => (1i64..400, left).prop_map(|(timeout_s, left_ms)| Teaching::Taught { timeout_s, left_ms }),
    ]
}

pub(super) fn plans() -> impl Strategy<Value = Plan> {
    let ids = prop_oneof![
        4 => Just(UniqueIdStrategy::Derived),
        1 => Just(UniqueIdStrategy::Instance),
        2 => Just(UniqueIdStrategy::Random),
        1 => Just(UniqueIdStrategy::Integer(3)),
        1 => Just(UniqueIdStrategy::IntegerOf(NameSource::InstanceName)),
        1 => Just(UniqueIdStrategy::Template("{instance_id}-{signal}".to_owned())),
    ];
    let degraded = prop_oneof![Just(OnDegraded::Success), Just(OnDegraded::Warning), Just(OnDegraded::Wait)];
    let deadline = prop_oneof![4 => Just(OnDeadline::Failure), 1 => Just(OnDeadline::Warning), 1 => Just(OnDeadline::None)];
    let group = prop_oneof![3 => Just(None), 1 => Just(Some(Rule::All)), 1 => Just(Some(Rule::Any)), 1 => Just(Some(Rule::AtLeast(2)))];
    (ids, degraded, deadline, any::<[bool; 4]>(), group, 1u32..4, 1u32..4, 0u64..20, 0u64..12, any::<bool>()).prop_map(
        |(
            unique_id,
            on_degraded,
            on_deadline,
            [fail_fast, hold, region, deadline_given],
            group,
            success,
            failure,
            start_period,
            healthy_time,
            depends,
        )| {
            let mut checks: Vec<_> = ["a", "b", "c"].map(testing::check).into();
            checks[2].level = Level::Wanted;
            for check in &mut checks {
                check.success_threshold = success;
                check.failure_threshold = failure;
                check.start_period = Duration::from_secs(start_period);
            }
            if depends {
                checks[1].depends_on = vec![std::sync::Arc::from("a")];
            }
            let mut signal = testing::signal("web", "WebReady", &["a", "b", "c"]);
            signal.deadline = Duration::from_secs(120);
            signal.margin = Duration::from_secs(20);
            signal.min_healthy_time = Duration::from_secs(healthy_time);
            signal.unique_id = unique_id;
            signal.on_degraded = on_degraded;
            signal.on_deadline = on_deadline;
            signal.fail_fast = fail_fast;
            signal.deadline_given = deadline_given;
            signal.confirm = if hold { Confirm::On } else { Confirm::Auto };
            signal.region = region.then(|| "cn-hangzhou".to_owned());
            if let Some(rule) = group {
                // Judged through two layers; `b` and `c` by themselves no more.
                let of = ["a", "b", "c"].map(Name::from).to_vec();
                let over = |rule, of| Probe::Composite(Composite { rule, of });
                let inner = Check { probe: over(rule, of.clone()), failure_threshold: 1, ..testing::check("d") };
                let outer = Check { probe: over(Rule::All, vec![Name::from("d")]), failure_threshold: 1, ..testing::check("e") };
                checks.extend([inner, outer]);
                signal.checks = vec![Name::from("e")];
                signal.members = of.into_iter().chain([Name::from("d")]).collect();
            }
            let mut plan = testing::plan(vec![signal], checks);
            plan.on_unwritable = if hold { OnUnwritable::Hold } else { OnUnwritable::Send };
            plan
        },
    )
}

fn after_completion() -> impl Strategy<Value = AfterCompletion> {
    prop_oneof![Just(AfterCompletion::Stored), Just(AfterCompletion::Ignored), Just(AfterCompletion::Refused)]
}

pub(super) fn cases() -> u32 {
    std::env::var("CORE_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, max_shrink_iters: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn every_history_ends_with_one_effective_signal_and_no_false_success(
        plan in plans(),
        history in happenings(),
        replay in any::<bool>(),
        after in after_completion(),
        seed in any::<u64>(),
    ) {
        let mut world = World::new(plan, Switches { tokens_replay_errors: replay, after_completion: after }, seed);
        for (after, happening) in &history {
            world.pass(i64::from(*after));
            world.happen(happening);
        }
        world.heal();
        world.judge();
    }

    #[test]
    fn without_holds_and_metadata_faults_every_round_is_decided_by_its_deadline(plan in plans(), history in happenings(), seed in any::<u64>()) {
        let mut world = World::new(plan, Switches { tokens_replay_errors: false, after_completion: AfterCompletion::Ignored }, seed);
        let kept = history.into_iter().filter(|(_, happening)| {
            use Happening::{ByHand, Cancel, Crash, Hold, LoseLedger, Metadata, Reboot, Retarget, Stop, Template};
            !matches!(happening, Hold(_) | Template(_) | Metadata(_) | Crash | Reboot(_) | LoseLedger | Retarget(_) | ByHand(_) | Cancel | Stop)
        });
        let mut passed = 0;
        for (after, happening) in kept {
            let after = i64::from(after).min(120_000 - passed);
            world.pass(after);
            passed += after;
            world.happen(&happening);
        }
        // A clock that was set in the last moment has the metadata service asked first.
        world.pass(120_100 - passed);
        prop_assert!(world.core.status().signals.iter().all(|signal| signal.state != "pending"), "{}", world.core.summary());
    }
}
